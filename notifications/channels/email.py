"""Sends letters over SMTP: `smtp://`, `smtps://` (TLS from the start), `smtp+starttls://`.

One connection serves a batch. A letter says nothing twice to one mailbox without bearing the same
`Message-ID`, which comes from the delivery's id: when we are killed between handing over and noting
it, the repeat is recognised by mail programs as the same letter.
"""

from __future__ import annotations

import email.policy
import email.utils
import smtplib
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Literal
from urllib.parse import unquote, urlsplit

from notifications.messages import Message, NotSent, Result, Sent
from notifications.rules import enhanced_code, fault_of_smtp
from notifications.vocabulary import Fault

#: A mail server may greylist or scan while we wait; RFC 5321 allows minutes, a worker has less.
TIMEOUT_S = 20.0

_POLICY = email.policy.SMTP.clone(max_line_length=78)

Security = Literal["none", "starttls", "tls"]


@dataclass(frozen=True, slots=True)
class Server:
    """Where letters are handed over."""

    host: str
    port: int
    security: Security
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> Server:
        """From `SMTP_URL`: `smtp+starttls://user:password@mail.example:587`.

        Raises:
            ValueError: another scheme, no host, or a port that is none.
        """
        parts = urlsplit(url)
        kinds: dict[str, tuple[Security, int]] = {
            "smtp": ("none", 25),
            "smtp+starttls": ("starttls", 587),
            "smtps": ("tls", 465),
        }
        if parts.scheme not in kinds or not parts.hostname:
            raise ValueError(
                "SMTP_URL must look like smtp://host:port, smtps:// or smtp+starttls://"
            )
        security, port = kinds[parts.scheme]
        return cls(
            host=parts.hostname,
            port=parts.port or port,
            security=security,
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )


class EmailCarrier:
    """Hands letters to one SMTP server."""

    reads_html = True

    def __init__(
        self,
        server: Server,
        sender: str,
        *,
        timeout_s: float = TIMEOUT_S,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """`sender` is the From address of all letters: `Riverain <city@example.org>`."""
        self._server = server
        self._name, self._address = email.utils.parseaddr(sender)
        if "@" not in self._address:
            raise ValueError("MAIL_FROM must hold an e-mail address")
        self._timeout_s = timeout_s
        self._trust = trust
        self._line: smtplib.SMTP | None = None
        self._down: NotSent | None = None

    def send(self, message: Message, now: datetime) -> Result:
        """Hand over one letter. While the server is away, the rest of a batch does not wait."""
        if self._down is not None:
            return self._down
        try:
            letter = compose(message, self._name, self._address, now)
            recipient = _ascii_domain(message.to)
        except (ValueError, UnicodeError, IndexError):
            # Whoever wrote the address wrote something else; our own parts were tested.
            return NotSent(Fault.GIVE_UP_ON_RECIPIENT, "address")
        raw = letter.as_bytes(policy=_POLICY)
        while True:
            fresh = self._line is None
            if fresh and (failed := self._connect()) is not None:
                self._down = failed
                return failed
            result = self._hand_over(recipient, raw)
            if result is not None:
                return result
            self._hang_up()
            if fresh:
                return NotSent(Fault.TRY_AGAIN, "smtp line broke")
            # It was closed while idle, or had had its number of letters: nothing was handed over.

    def close(self) -> None:
        """End the conversation."""
        self._down = None
        if self._line is not None:
            try:
                self._line.quit()
            except (OSError, smtplib.SMTPException):
                self._line.close()
            self._line = None

    def _connect(self) -> NotSent | None:
        server = self._server
        line: smtplib.SMTP | None = None
        try:
            if server.security == "tls":
                line = smtplib.SMTP_SSL(
                    server.host, server.port, timeout=self._timeout_s, context=self._context()
                )
            else:
                line = smtplib.SMTP(server.host, server.port, timeout=self._timeout_s)
            line.ehlo_or_helo_if_needed()
            if server.security == "starttls":
                line.starttls(context=self._context())
                line.ehlo()
            if server.user is not None:
                line.login(server.user, server.password or "")
        except (OSError, smtplib.SMTPException) as error:
            if line is not None:
                line.close()
            return _no_line(error)
        self._line = line
        return None

    def _context(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = ssl.create_default_context()
        return self._trust

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _hand_over(self, recipient: str, raw: bytes) -> Result | None:
        """What the server said of this letter; None when the line was closed before it took it."""
        line = self._line
        assert line is not None
        options = []
        if not recipient.isascii():
            if not line.has_extn("smtputf8"):
                return NotSent(Fault.GIVE_UP_ON_RECIPIENT, "smtputf8")
            options = ["SMTPUTF8"]
        try:
            # No size or body option: the letter is 7-bit, and servers count for themselves.
            code, reply = line.mail(self._address, options)
            if code == 421:
                return None
            if code != 250:
                return self._refused(code, reply, "from")
            code, reply = line.rcpt(recipient)
            if code == 421:
                return None
            if code not in (250, 251):
                return self._refused(code, reply, "to")
        except UnicodeError:
            return NotSent(Fault.GIVE_UP_ON_RECIPIENT, "address")
        except (OSError, smtplib.SMTPException):
            return None
        try:
            code, reply = line.data(raw)
        except smtplib.SMTPDataError as error:
            said = error.smtp_error
            return self._refused(
                error.smtp_code, said if isinstance(said, bytes) else said.encode(), "data"
            )
        except (OSError, smtplib.SMTPException):
            # It may have been taken: another attempt bears the same Message-ID.
            self._hang_up()
            return NotSent(Fault.TRY_AGAIN, "smtp line broke")
        if code != 250:
            return self._refused(code, reply, "data")
        return Sent(provider_id=_queue_id(reply))

    def _refused(self, code: int, reply: bytes, stage: str) -> Result:
        enhanced = enhanced_code(reply.decode("ascii", "replace"))
        fault = fault_of_smtp(code, enhanced)
        if stage == "from" and fault is Fault.GIVE_UP_ON_RECIPIENT:
            # The server speaks of our own address; the recipient has not been named yet.
            fault = Fault.OUR_BUG
        self._reset()
        return NotSent(fault, " ".join(filter(None, ("smtp", str(code), enhanced, stage))))

    def _reset(self) -> None:
        if self._line is None:
            return
        try:
            self._line.rset()
        except (OSError, smtplib.SMTPException):
            self._hang_up()


def compose(message: Message, name: str, address: str, now: datetime) -> EmailMessage:
    """The letter: text and HTML, threading, one-click unsubscription, and no way to inject headers.

    Raises:
        ValueError: the recipient's address is none.
    """
    local, _, domain = address.rpartition("@")
    letter = EmailMessage(policy=_POLICY)
    letter["From"] = Address(_one_line(message.from_name or name), local, domain)
    letter["To"] = _address(message.to)
    letter["Subject"] = _one_line(message.subject)
    letter["Date"] = email.utils.format_datetime(now)
    letter["Message-ID"] = f"<{message.delivery_id}@{domain}>"
    # RFC 3834: nobody's holiday notice should answer us.
    letter["Auto-Submitted"] = "auto-generated"
    letter["X-Auto-Response-Suppress"] = "All"
    if message.reply_to:
        letter["Reply-To"] = _address(message.reply_to)
    if message.thread:
        # A letter that never was starts the thread: which of the real ones comes first is open.
        root = f"<{message.thread}@{domain}>"
        letter["In-Reply-To"] = root
        letter["References"] = root
    if message.unsubscribe_url:
        letter["List-Unsubscribe"] = f"<{_one_line(message.unsubscribe_url)}>"
        if message.unsubscribe_url.startswith("https://"):
            # RFC 8058 section 3.1 asks for HTTPS.
            letter["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    letter.set_content(message.body, cte="quoted-printable")
    if message.html is not None:
        letter.add_alternative(message.html, subtype="html", cte="quoted-printable")
    # Last: as a header of content it would move into the first part.
    letter["Content-Language"] = message.locale
    return letter


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _address(text: str) -> Address:
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain or any(not c.isprintable() or c in " ,;<>" for c in text):
        raise ValueError("no e-mail address")
    return Address(username=local, domain=_ascii_domain(domain))


def _ascii_domain(text: str) -> str:
    """An address or domain with the domain as the DNS spells it; the part before @ stays."""
    local, at, domain = text.rpartition("@")
    return f"{local}{at}{domain if domain.isascii() else domain.encode('idna').decode()}"


def _queue_id(reply: bytes) -> str | None:
    """The server's own name for the letter, which it usually says last: `queued as 4Xk2…`."""
    words = reply.decode("ascii", "replace").split()
    return words[-1][:100] if words else None


def _no_line(error: Exception) -> NotSent:
    """Why there is no connection, classed."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        temporary = error.smtp_code < 500
        return NotSent(
            Fault.TRY_AGAIN if temporary else Fault.OUR_BUG, f"smtp {error.smtp_code} sign-in"
        )
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return NotSent(Fault.OUR_BUG, "smtp security or sign-in not offered")
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotSent(Fault.OUR_BUG, "smtp certificate")
    if isinstance(error, smtplib.SMTPResponseException):
        return NotSent(Fault.TRY_AGAIN, f"smtp {error.smtp_code} greeting")
    if isinstance(error, TimeoutError | socket.gaierror):
        return NotSent(Fault.TRY_AGAIN, "smtp no answer")
    return NotSent(Fault.TRY_AGAIN, "smtp no connection")
