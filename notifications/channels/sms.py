"""Sends texts through a gateway's plain HTTP interface.

Gateways differ in the names of three fields; the setting says them:
`SMS_URL=https://gateway.example/send?to=number&text=message#json` posts a JSON object (without
`#json`, a form) whose `number` and `message` carry recipient and text. Every other query field is
sent as it stands. `SMS_TOKEN` goes as a bearer token.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from core.outgoing import Outgoing, OutgoingError, OutgoingTLSError, OutgoingUnreachableError
from notifications.messages import Message, NotSent, Result, Sent
from notifications.rules import fault_of_http
from notifications.texting import fitted
from notifications.vocabulary import Channel, Fault


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where texts are handed over and in which form."""

    url: str
    to_field: str
    text_field: str
    fixed: tuple[tuple[str, str], ...]
    is_json: bool
    token: str | None

    @property
    def host(self) -> str:
        """The name in the URL, in lower case."""
        return urlsplit(self.url).hostname or ""

    @classmethod
    def parse(cls, url: str, token: str | None) -> Gateway:
        """From `SMS_URL` and `SMS_TOKEN`.

        Raises:
            ValueError: no `http` or `https` URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("SMS_URL must be an http or https URL")
        fields = dict(parse_qsl(parts.query, keep_blank_values=True))
        to_field = fields.pop("to", "to")
        text_field = fields.pop("text", "text")
        return cls(
            url=urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
            to_field=to_field,
            text_field=text_field,
            fixed=tuple(fields.items()),
            is_json=parts.fragment == "json",
            token=token,
        )


class SmsCarrier:
    """Hands texts to one gateway."""

    reads_html = False

    def __init__(self, gateway: Gateway, outgoing: Outgoing) -> None:
        self._gateway = gateway
        self._outgoing = outgoing
        self._down: NotSent | None = None

    def send(self, message: Message, now: datetime) -> Result:  # noqa: ARG002
        """Hand over one text, in at most three parts."""
        if self._down is not None:
            return self._down
        gateway = self._gateway
        fields = {
            **dict(gateway.fixed),
            gateway.to_field: message.to,
            gateway.text_field: fitted(message.body),
        }
        headers = {
            # Gateways that know it do not send a repeat twice.
            "Idempotency-Key": str(message.delivery_id),
            "Content-Type": (
                "application/json" if gateway.is_json else "application/x-www-form-urlencoded"
            ),
        }
        if gateway.token:
            headers["Authorization"] = f"Bearer {gateway.token}"
        body = json.dumps(fields) if gateway.is_json else urlencode(fields)
        try:
            answer = self._outgoing.post(gateway.url, body.encode(), headers)
        except OutgoingUnreachableError as error:
            # The gateway is one for all: the rest of the batch need not wait for it too.
            self._down = NotSent(Fault.TRY_AGAIN, f"sms {error}")
            return self._down
        except OutgoingError as error:
            kind = "certificate" if isinstance(error, OutgoingTLSError) else str(error)
            return NotSent(Fault.OUR_BUG, f"sms {kind}")
        fault = fault_of_http(answer.status, channel=Channel.SMS)
        if fault is not None:
            return NotSent(fault, f"sms {answer.status}", answer.retry_after_s)
        return Sent(provider_id=_id_in(answer.body))

    def close(self) -> None:
        """Let go of the connection."""
        self._down = None
        self._outgoing.close()


def _id_in(body: bytes) -> str | None:
    """The gateway's name for the text, where its answer is JSON that has one."""
    try:
        told = json.loads(body)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    found = next((told[name] for name in ("id", "message_id", "messageId") if told.get(name)), None)
    return str(found)[:100] if isinstance(found, str | int) else None
