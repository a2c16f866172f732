"""Letters over real SMTP, to a real server on this machine."""

from __future__ import annotations

import contextlib
import email
import email.policy
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from notifications.channels.email import EmailCarrier, Server, compose
from notifications.messages import Message, NotSent, Sent
from notifications.vocabulary import Channel, Fault

NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
SENDER = "Riverain <ville@riverain.example>"


def message(**values: Any) -> Message:
    given: dict[str, Any] = {
        "delivery_id": ID,
        "channel": Channel.EMAIL,
        "to": "camille@courriel.example",
        "locale": "fr",
        "subject": "Signalement n° 124 : c'est réglé",
        "body": "Bonjour,\n\nC'est réglé.\n",
        "html": "<p>C'est réglé.</p>",
        "from_name": "Ville de Montpellier",
        "reply_to": "signalements@montpellier.example",
        "thread": "report-7",
        "unsubscribe_url": "https://riverain.example/leave/7",
    }
    return Message(**(given | values))


class Mailbox:
    """What the server does with letters: keeps them, or answers as the test says."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.sessions: set[int] = set()
        self.answers: dict[str, str] = {}
        self.hang_up_after: int | None = None

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.sessions.add(id(session))
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from = address
        return "250 ok"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "RCPT" in self.answers and "camille" in address:
            return self.answers["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if "DATA" in self.answers:
            return self.answers["DATA"]
        if self.hang_up_after == len(self.letters):
            self.hang_up_after = None
            assert server.transport is not None
            server.transport.close()
            return "421 bye"
        content = envelope.content
        assert isinstance(content, bytes)
        letter = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 2.0.0 queued as 4Xk2"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@contextlib.contextmanager
def serving(mailbox: Mailbox, **options: Any) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        controller.stop()


@pytest.fixture
def server(mailbox: Mailbox) -> Iterator[str]:
    with serving(mailbox) as place:
        yield place


@pytest.fixture
def carrier(server: str) -> Iterator[EmailCarrier]:
    made = EmailCarrier(Server.parse(f"smtp://{server}"), SENDER, timeout_s=5)
    yield made
    made.close()


def test_a_letter_arrives_with_all_that_mail_programs_use(
    carrier: EmailCarrier, mailbox: Mailbox
) -> None:
    assert carrier.send(message(), NOW) == Sent("4Xk2")
    (letter,) = mailbox.letters
    assert letter["From"] == '"Ville de Montpellier" <ville@riverain.example>' or (
        letter["From"] == "Ville de Montpellier <ville@riverain.example>"
    )
    assert letter["To"] == "camille@courriel.example"
    assert letter["Reply-To"] == "signalements@montpellier.example"
    assert letter["Subject"] == "Signalement n° 124 : c'est réglé"
    assert letter["Message-ID"] == f"<{ID}@riverain.example>"
    assert letter["In-Reply-To"] == letter["References"] == "<report-7@riverain.example>"
    assert letter["List-Unsubscribe"] == "<https://riverain.example/leave/7>"
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Content-Language"] == "fr"
    assert letter["Date"] == "Wed, 11 Mar 2026 09:00:00 +0000"
    text, html = letter.get_body(("plain",)), letter.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().replace("\r\n", "\n") == "Bonjour,\n\nC'est réglé.\n"
    assert html.get_content().replace("\r\n", "\n") == "<p>C'est réglé.</p>\n"


def test_a_repeat_bears_the_same_message_id(carrier: EmailCarrier, mailbox: Mailbox) -> None:
    carrier.send(message(), NOW)
    carrier.close()
    carrier.send(message(), NOW)
    first, second = mailbox.letters
    assert first["Message-ID"] == second["Message-ID"]


def test_one_connection_serves_a_batch(carrier: EmailCarrier, mailbox: Mailbox) -> None:
    for number in range(10):
        assert isinstance(carrier.send(message(delivery_id=UUID(int=number)), NOW), Sent)
    assert len(mailbox.letters) == 10
    assert len(mailbox.sessions) == 1


@pytest.mark.parametrize(
    "evil",
    [
        {"subject": "Bonjour\r\nBcc: all@ville.example"},
        {"subject": "Bonjour\nBcc: all@ville.example\n\nother body"},
        {"from_name": "Ville\r\nBcc: all@ville.example"},
        {"from_name": 'Ville" <evil@example.org>, "x'},
        {"unsubscribe_url": "https://x.example/\r\nBcc: all@ville.example"},
    ],
)
def test_nothing_that_people_wrote_makes_a_header(
    carrier: EmailCarrier, mailbox: Mailbox, evil: dict[str, str]
) -> None:
    assert isinstance(carrier.send(message(**evil), NOW), Sent)
    (letter,) = mailbox.letters
    assert letter["Bcc"] is None
    assert letter["From"].addresses[0].addr_spec == "ville@riverain.example"
    assert len(letter["From"].addresses) == 1


@pytest.mark.parametrize(
    "address",
    [
        "a@b.example\r\nBcc: c@d.example",
        "a@b.example, c@d.example",
        "a@b.example>",
        "nobody",
        "@b.example",
        "a b@c.example",
        "",
        "a@" + "x" * 70 + "é.example",
    ],
)
def test_what_is_no_address_is_given_up(
    carrier: EmailCarrier, mailbox: Mailbox, address: str
) -> None:
    result = carrier.send(message(to=address), NOW)
    assert result == NotSent(Fault.GIVE_UP_ON_RECIPIENT, "address")
    assert mailbox.letters == []


def test_an_international_domain_is_spelled_as_the_dns_does(
    carrier: EmailCarrier, mailbox: Mailbox
) -> None:
    assert isinstance(carrier.send(message(to="camille@hôtel.example"), NOW), Sent)
    assert mailbox.letters[0]["To"] == "camille@xn--htel-vqa.example"


@pytest.mark.parametrize(
    ("step", "answer", "fault", "reason"),
    [
        ("RCPT", "550 5.1.1 no camille@x", Fault.GIVE_UP_ON_RECIPIENT, "smtp 550 5.1.1 to"),
        ("RCPT", "550 5.7.1 relaying denied", Fault.OUR_BUG, "smtp 550 5.7.1 to"),
        ("RCPT", "450 4.2.0 greylisted", Fault.TRY_AGAIN, "smtp 450 4.2.0 to"),
        ("MAIL", "550 5.1.8 your domain", Fault.OUR_BUG, "smtp 550 5.1.8 from"),
        ("MAIL", "553 who are you", Fault.OUR_BUG, "smtp 553 from"),
        ("DATA", "554 5.7.1 spam", Fault.OUR_BUG, "smtp 554 5.7.1 data"),
        ("DATA", "451 4.3.0 later", Fault.TRY_AGAIN, "smtp 451 4.3.0 data"),
    ],
)  # fmt: skip
def test_refusals_are_classed_without_naming_anybody(
    carrier: EmailCarrier, mailbox: Mailbox, step: str, answer: str, fault: Fault, reason: str
) -> None:
    mailbox.answers[step] = answer
    assert carrier.send(message(), NOW) == NotSent(fault, reason)
    mailbox.answers.clear()
    assert isinstance(carrier.send(message(to="dominique@courriel.example"), NOW), Sent)
    assert len(mailbox.sessions) == 1


def test_a_server_that_is_away_is_asked_once_a_batch() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    carrier = EmailCarrier(Server.parse(f"smtp://127.0.0.1:{port}"), SENDER, timeout_s=2)
    first = carrier.send(message(), NOW)
    assert first == NotSent(Fault.TRY_AGAIN, "smtp no connection")
    assert carrier.send(message(), NOW) is first


def test_a_line_that_breaks_while_it_is_taken_is_tried_again_later(
    carrier: EmailCarrier, mailbox: Mailbox
) -> None:
    mailbox.hang_up_after = 1
    assert isinstance(carrier.send(message(), NOW), Sent)
    broken = carrier.send(message(), NOW)
    assert isinstance(broken, NotSent)
    assert broken.fault is Fault.TRY_AGAIN
    assert isinstance(carrier.send(message(), NOW), Sent)


def test_a_connection_closed_while_idle_is_replaced(
    carrier: EmailCarrier, mailbox: Mailbox
) -> None:
    carrier.send(message(), NOW)
    assert carrier._line is not None
    assert carrier._line.sock is not None
    carrier._line.sock.shutdown(socket.SHUT_RDWR)
    assert isinstance(carrier.send(message(), NOW), Sent)
    assert len(mailbox.letters) == 2


@pytest.mark.parametrize("right", [True, False])
def test_signing_in_to_the_server(mailbox: Mailbox, right: bool) -> None:
    def check(_server: Any, _session: Any, _envelope: Any, _how: str, data: Any) -> AuthResult:
        return AuthResult(
            success=(data.login, data.password) == (b"ville@x", b"p:w/d"), handled=False
        )

    with serving(mailbox, authenticator=check, auth_require_tls=False) as place:
        password = "p%3Aw%2Fd" if right else "wrong"
        server = Server.parse(f"smtp://ville%40x:{password}@{place}")
        carrier = EmailCarrier(server, SENDER, timeout_s=5)
        result = carrier.send(message(), NOW)
        carrier.close()
    if right:
        assert isinstance(result, Sent)
    else:
        assert result == NotSent(Fault.OUR_BUG, "smtp 535 sign-in")


def test_a_server_without_the_security_we_ask_for_gets_nothing(
    server: str, mailbox: Mailbox
) -> None:
    carrier = EmailCarrier(Server.parse(f"smtp+starttls://{server}"), SENDER, timeout_s=5)
    assert carrier.send(message(), NOW) == NotSent(
        Fault.OUR_BUG, "smtp security or sign-in not offered"
    )
    assert mailbox.letters == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key and the certificate of a server at 127.0.0.1, vouched for by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return pem


def _as_server(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize(
    ("scheme", "option"), [("smtps", "ssl_context"), ("smtp+starttls", "tls_context")]
)
def test_letters_travel_through_tls_and_only_to_a_server_that_is_vouched_for(
    mailbox: Mailbox, certificate: Path, scheme: str, option: str
) -> None:
    strict = {"require_starttls": True} if option == "tls_context" else {}
    with serving(mailbox, **{option: _as_server(certificate)}, **strict) as place:
        where = Server.parse(f"{scheme}://{place}")
        trusting = EmailCarrier(
            where, SENDER, timeout_s=5, trust=ssl.create_default_context(cafile=certificate)
        )
        with contextlib.closing(trusting):
            assert trusting.send(message(), NOW) == Sent("4Xk2")
        stranger = EmailCarrier(where, SENDER, timeout_s=5)
        with contextlib.closing(stranger):
            assert isinstance(stranger.send(message(), NOW), NotSent)
    assert len(mailbox.letters) == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail", Server("mail", 25, "none", None, None)),
        ("smtp://mail:1025", Server("mail", 1025, "none", None, None)),
        ("smtps://u:p@mail", Server("mail", 465, "tls", "u", "p")),
        ("smtp+starttls://u%40x:p%2F@mail", Server("mail", 587, "starttls", "u@x", "p/")),
    ],
)
def test_the_settings_say_where_and_how(url: str, expected: Server) -> None:
    assert Server.parse(url) == expected


@pytest.mark.parametrize("url", ["mail", "http://mail", "smtp://", "smtp://mail:port"])
def test_a_setting_that_says_nothing_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"SMTP_URL|[Pp]ort"):
        Server.parse(url)


def test_one_click_needs_https() -> None:
    letter = compose(
        message(unsubscribe_url="http://127.0.0.1:8000/leave/7"), "R", "a@b.example", NOW
    )
    assert letter["List-Unsubscribe"] == "<http://127.0.0.1:8000/leave/7>"
    assert letter["List-Unsubscribe-Post"] is None
