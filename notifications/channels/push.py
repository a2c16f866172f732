"""Sends to browsers by Web Push: encrypted for each (RFC 8291), signed with VAPID (RFC 8292)."""

from __future__ import annotations

import json
from datetime import datetime
from urllib.parse import urlsplit

from py_vapid import VapidException
from pywebpush import WebPusher, WebPushException

from core.outgoing import (
    Outgoing,
    OutgoingError,
    OutgoingRefusedError,
    OutgoingUnreachableError,
)
from notifications.channels import vapid
from notifications.messages import Message, NotSent, PushTarget, Result, Sent
from notifications.rules import fault_of_http
from notifications.vocabulary import Channel, Fault

#: A telephone that stays off longer gets no stale news: the e-mail has told it.
TTL_S = 24 * 3600

#: How long a signature for one push service holds; RFC 8292 allows a day.
_SIGNATURE_S = 12 * 3600


class PushCarrier:
    """Hands messages to whatever push service each browser uses."""

    reads_html = False

    def __init__(self, private_key: str, subject: str, outgoing: Outgoing) -> None:
        """`private_key`: P-256, raw in base64url or PEM; `subject`: a mailto: or https: of ours."""
        self._key = vapid.load(private_key)
        # Our settings have seen the subject; by the library's pattern a page has no path.
        self._key.conf["no-strict"] = True
        self._subject = subject
        self._outgoing = outgoing
        self._signed: dict[str, tuple[float, dict[str, str]]] = {}

    def send(self, message: Message, now: datetime) -> Result:
        """Hand over one message for one browser."""
        target = message.target
        if not isinstance(target, PushTarget):
            return NotSent(Fault.OUR_BUG, "push without target")
        note = {
            "title": message.subject,
            "body": message.body,
            "url": message.link,
            "lang": message.locale,
            # A later message about the same report replaces the earlier on the screen.
            "tag": message.thread,
        }
        try:
            sealed = WebPusher(
                {
                    "endpoint": target.endpoint,
                    "keys": {"p256dh": target.p256dh, "auth": target.auth},
                }
            ).encode(json.dumps(note, ensure_ascii=False).encode(), "aes128gcm")["body"]
        except (WebPushException, ValueError, LookupError):
            # Keys that are no keys came from the browser; it must subscribe anew.
            return NotSent(Fault.GIVE_UP_ON_RECIPIENT, "push keys")
        try:
            signature = self._signature(target.endpoint, now)
        except VapidException:
            # It signs for names of hosts alone, and no push service goes by its address.
            return NotSent(Fault.GIVE_UP_ON_RECIPIENT, "push endpoint")
        try:
            answer = self._outgoing.post(
                target.endpoint,
                sealed,
                {
                    **signature,
                    "Content-Encoding": "aes128gcm",
                    "Content-Type": "application/octet-stream",
                    "TTL": str(TTL_S),
                    "Urgency": "normal",
                },
            )
        except OutgoingUnreachableError as error:
            return NotSent(Fault.TRY_AGAIN, f"push {error}")
        except OutgoingRefusedError as error:
            return NotSent(Fault.GIVE_UP_ON_RECIPIENT, f"push {error}")
        except OutgoingError as error:
            return NotSent(Fault.TRY_AGAIN, f"push {error}")
        fault = fault_of_http(answer.status, channel=Channel.PUSH)
        if fault is not None:
            return NotSent(fault, f"push {answer.status}", answer.retry_after_s)
        # The Location names the message at the service and could hold its key: not kept.
        return Sent()

    def close(self) -> None:
        """Let go of connections."""
        self._outgoing.close()

    def _signature(self, endpoint: str, now: datetime) -> dict[str, str]:
        """The VAPID header for the service behind an endpoint, kept for half its life."""
        parts = urlsplit(endpoint)
        audience = f"{parts.scheme}://{parts.netloc}"
        kept = self._signed.get(audience)
        moment = now.timestamp()
        if kept is None or kept[0] < moment:
            claims = {
                "aud": audience,
                "sub": self._subject,
                "exp": int(moment) + _SIGNATURE_S,
            }
            kept = (moment + _SIGNATURE_S / 2, self._key.sign(claims))
            self._signed[audience] = kept
        return kept[1]
