"""Calls other systems, signed as Standard Webhooks says (standardwebhooks.com), so that they can
check that the call is ours, is whole, is recent, and is not a repeat they have seen."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
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

#: How long an endpoint that did not answer is left alone, about as long as the first wait before
#: its message is tried again. A batch waits for it many seconds, and letters wait behind.
LEFT_ALONE_S = 60.0

#: By URL: until when an endpoint that did not answer is left alone, and what came of the last call.
Silent = MutableMapping[str, tuple[float, NotSent]]


class WebhookCarrier:
    """Posts events to endpoints."""

    reads_html = False

    def __init__(
        self,
        outgoing: Outgoing,
        silent: Silent | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`silent` is kept between batches by the process, so that not each of them waits."""
        self._outgoing = outgoing
        self._silent: Silent = {} if silent is None else silent
        self._monotonic = monotonic

    def send(self, message: Message, now: datetime) -> Result:
        """Post one event; a redirect counts as a failure."""
        target = message.target
        if not isinstance(target, WebhookTarget):
            return NotSent(Fault.OUR_BUG, "webhook without target")
        if (silent := self._silent.get(target.url)) is not None:
            until, failed = silent
            if self._monotonic() < until:
                return failed
            self._silent.pop(target.url, None)
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
                self._silent[target.url] = (self._monotonic() + LEFT_ALONE_S, failed)
            return failed
        fault = fault_of_http(answer.status, channel=Channel.WEBHOOK)
        if fault is not None:
            return NotSent(fault, f"webhook {answer.status}", answer.retry_after_s)
        return Sent()

    def close(self) -> None:
        """Let go of connections."""
        self._outgoing.close()
