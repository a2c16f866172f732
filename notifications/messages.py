"""A message ready to be sent, and what came of sending it: what rendering and channels share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from notifications.vocabulary import Channel, Fault, RecipientKind


@dataclass(frozen=True, slots=True)
class PushTarget:
    """One browser: its push service's URL and the keys it gave (RFC 8291)."""

    endpoint: str
    p256dh: str
    auth: str


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """One endpoint: where it listens and the key it checks signatures with (`whsec_…`)."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Message:
    """Everything a channel needs. Made when it is sent, stored nowhere: it holds addresses."""

    delivery_id: UUID
    channel: Channel
    #: An e-mail address, a phone number, or a name for a browser or endpoint, as people read it.
    to: str
    locale: str
    subject: str
    #: The whole text; of a webhook its JSON; of a push message its one or two sentences.
    body: str
    html: str | None = None
    #: Who speaks: the city, in the recipient's language.
    from_name: str = ""
    reply_to: str | None = None
    #: What the message is about; messages of one thread are shown together.
    thread: str | None = None
    #: Where one click, or one POST by a mail program, ends these messages (RFC 8058).
    unsubscribe_url: str | None = None
    #: Where a tap leads.
    link: str | None = None
    target: PushTarget | WebhookTarget | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took it; `provider_id` is its name for the message, if it gave one."""

    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """It did not go out. `reason` is a code for operators and never holds an address."""

    fault: Fault
    reason: str
    retry_after_s: int | None = None


Result = Sent | NotSent


class Carrier(Protocol):
    """A way of sending. Used for one batch by one thread, then closed; never in a transaction.

    `reads_html` says whether a letter's HTML is of use to it: making it takes time.
    """

    reads_html: bool

    def send(self, message: Message, now: datetime) -> Result:
        """Hand one message over, and tell what came of it. Never raises for the other side."""
        ...

    def close(self) -> None:
        """Let go of connections. Sending again afterwards opens them anew."""
        ...


#: What sends each channel's messages. A channel that is not set up is missing.
Carriers = Mapping[Channel, Carrier]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process alone may send until its lease ends."""

    id: UUID
    event_id: int
    event: str
    jurisdiction_id: int
    report_id: UUID | None
    recipient_kind: RecipientKind
    recipient_id: str
    channel: Channel
    locale: str
    data: Mapping[str, Any]
    attempts: int
    created_at: datetime
