"""The ways of sending, and which of them the settings give."""

from __future__ import annotations

from email.utils import parseaddr
from pathlib import Path
from typing import Protocol

from core.outgoing import Allowance, Outgoing
from notifications.channels.email import EmailCarrier, Server
from notifications.channels.folder import FolderCarrier
from notifications.channels.sms import Gateway, SmsCarrier
from notifications.channels.webhook import Silent, WebhookCarrier
from notifications.messages import Carrier
from notifications.vocabulary import Channel


class ChannelSettings(Protocol):
    """What of the settings decides how messages travel."""

    @property
    def data_dir(self) -> Path: ...
    @property
    def smtp_url(self) -> str | None: ...
    @property
    def mail_from(self) -> str: ...
    @property
    def sms_url(self) -> str | None: ...
    @property
    def sms_token(self) -> str | None: ...
    @property
    def vapid_private_key(self) -> str | None: ...
    @property
    def vapid_subject(self) -> str | None: ...
    @property
    def outgoing_allow(self) -> str: ...


def open_carriers(
    settings: ChannelSettings, *, silent: Silent | None = None
) -> dict[Channel, Carrier]:
    """A carrier for each channel that is set up; nothing is dialled yet.

    Without `SMTP_URL` this is no installation that reaches people: e-mail, and text and push
    where they are not set up, go to the folder `DATA_DIR/outbox`. Webhooks are always called.

    Raises:
        ValueError: a setting is not what it should be; the text names it.
    """
    allow = Allowance.parse(settings.outgoing_allow)
    carriers: dict[Channel, Carrier] = {
        Channel.WEBHOOK: WebhookCarrier(Outgoing(allow=allow), silent)
    }
    if settings.smtp_url:
        carriers[Channel.EMAIL] = EmailCarrier(Server.parse(settings.smtp_url), settings.mail_from)
    else:
        folder = FolderCarrier(outbox_folder(settings.data_dir))
        carriers.update(dict.fromkeys((Channel.EMAIL, Channel.SMS, Channel.PUSH), folder))
    if settings.sms_url:
        # The operator chose this one address, so it may well be inside.
        gateway = Gateway.parse(settings.sms_url, settings.sms_token)
        inside = Allowance(allow.hosts | {gateway.host}, allow.networks)
        carriers[Channel.SMS] = SmsCarrier(gateway, Outgoing(allow=inside))
    if settings.vapid_private_key:
        # Loads an HTTP client and a crypto library that nothing else needs: only where it is used.
        from notifications.channels.push import PushCarrier

        address = parseaddr(settings.mail_from)[1]
        subject = settings.vapid_subject or f"mailto:{address}"
        carriers[Channel.PUSH] = PushCarrier(
            settings.vapid_private_key, subject, Outgoing(allow=allow)
        )
    return carriers


def outbox_folder(data_dir: Path) -> Path:
    """Where messages are written when there is no mail server."""
    return data_dir / "outbox"
