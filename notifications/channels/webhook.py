"""Calls other systems, signed as Standard Webhooks says (standardwebhooks.com), so that they can
check that the call is ours, is whole, is recent, and is not a repeat they have seen."""

from __future__ import annotations

from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

from core.outgoing import (
    Outgoing,
    OutgoingError,
    OutgoingRefusedError,
    OutgoingTLSError,
)
from notifications.messages import Message, NotSent, Result, Sent, WebhookTarget
from notifications.rules import fault_of_http
from notifications.vocabulary import Channel, Fault


class WebhookCarrier:
    """Posts events to endpoints."""

    reads_html = False

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        #: Endpoints that did not answer in this batch: the rest of it does not wait for them again.
        self._silent: dict[str, NotSent] = {}

    def send(self, message: Message, now: datetime) -> Result:
        """Post one event; a redirect counts as a failure."""
        target = message.target
        if not isinstance(target, WebhookTarget):
            return NotSent(Fault.OUR_BUG, "webhook without target")
        if (silent := self._silent.get(target.url)) is not None:
            return silent
        # The signature holds the delivery's id: a repeat is recognised by it.
        name = f"msg_{message.delivery_id.hex}"
        moment = now.astimezone(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(target.secret).sign(name, moment, message.body),
        }
        try:
            answer = self._outgoing.post(target.url, message.body.encode(), headers)
        except OutgoingError as error:
            kind = "certificate" if isinstance(error, OutgoingTLSError) else str(error)
            failed = NotSent(Fault.TRY_AGAIN, f"webhook {kind}")
            if not isinstance(error, OutgoingRefusedError):
                self._silent[target.url] = failed
            return failed
        fault = fault_of_http(answer.status, channel=Channel.WEBHOOK)
        if fault is not None:
            return NotSent(fault, f"webhook {answer.status}", answer.retry_after_s)
        return Sent()

    def close(self) -> None:
        """Let go of connections."""
        self._silent.clear()
        self._outgoing.close()
