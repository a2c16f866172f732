"""The folder, texts, web push and webhooks, against real files and real local servers."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs
from uuid import UUID

import http_ece  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from py_vapid import Vapid02
from standardwebhooks.webhooks import Webhook

from app.config import Settings
from core.ids import new_id
from core.outgoing import Allowance, Outgoing
from notifications.channels import open_carriers, vapid
from notifications.channels.email import EmailCarrier
from notifications.channels.folder import FolderCarrier
from notifications.channels.push import PushCarrier
from notifications.channels.sms import Gateway, SmsCarrier
from notifications.channels.webhook import Silent, WebhookCarrier
from notifications.messages import Message, NotSent, PushTarget, Result, Sent, WebhookTarget
from notifications.rendering import webhook_secret
from notifications.vocabulary import Channel, Fault

NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)
INSIDE = Allowance.parse("127.0.0.1")


def message(**values: Any) -> Message:
    given: dict[str, Any] = {
        "delivery_id": new_id(),
        "channel": Channel.EMAIL,
        "to": "camille@courriel.example",
        "locale": "fr",
        "subject": "C'est réglé",
        "body": "Bonjour,\n\nC'est réglé.\n",
    }
    return Message(**(given | values))


class Provider(BaseHTTPRequestHandler):
    """Answers with the status of the test and keeps what it was sent."""

    protocol_version = "HTTP/1.1"
    status: ClassVar[int] = 200
    seen: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.append((self.path, headers, body))
        answer = b'{"id": "sms-1"}'
        self.send_response(self.status)
        self.send_header("Retry-After", "120")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return


@pytest.fixture
def provider() -> Iterator[str]:
    Provider.status = 200
    Provider.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_reads_like_a_letter(tmp_path: Path) -> None:
    carrier = FolderCarrier(tmp_path / "outbox")
    note = message(
        delivery_id=UUID(int=7), subject="C'est\nréglé", unsubscribe_url="https://r.example/leave/7"
    )
    assert carrier.send(note, NOW) == Sent("folder")
    assert (tmp_path / "outbox" / f"{UUID(int=7)}.txt").read_text() == (
        "To: camille@courriel.example\n"
        "Channel: email\n"
        "Subject: C'est réglé\n"
        "Locale: fr\n"
        "Delivery: 00000000-0000-0000-0000-000000000007\n"
        "Date: 2026-03-11T09:00:00+00:00\n"
        "List-Unsubscribe: https://r.example/leave/7\n"
        "\n"
        "Bonjour,\n\nC'est réglé.\n"
    )


def test_a_file_is_written_once_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    carrier = FolderCarrier(tmp_path / "outbox")
    ids = [new_id() for _ in range(20)]
    bodies = [f"{number}" * 50_000 for number in range(8)]
    seen: set[str] = set()
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            for path in (tmp_path / "outbox").glob("*") if (tmp_path / "outbox").exists() else ():
                text = path.read_text().partition("\n\n")[2].strip()
                seen.add(text[:1] if len(text) == 50_000 else f"partial: {len(text)}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda pair: carrier.send(message(delivery_id=pair[0], body=pair[1]), NOW),
                [(each, body) for each in ids for body in bodies],
            )
        )
    is_over.set()
    watcher.join()
    files = sorted(path.name for path in (tmp_path / "outbox").iterdir())
    assert files == sorted(f"{each}.txt" for each in ids)
    assert list((tmp_path / ".outbox-unfinished").iterdir()) == []
    assert not any(one.startswith("partial") for one in seen)


def test_the_folder_is_fast(tmp_path: Path) -> None:
    carrier = FolderCarrier(tmp_path / "outbox")
    notes = [message() for _ in range(1000)]
    started = time.perf_counter()
    for note in notes:
        carrier.send(note, NOW)
    # 10,000 a second on the machine it was written on, while others were using it.
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("form", ["form", "json"])
def test_a_text_is_handed_to_the_gateway(provider: str, form: str) -> None:
    url = f"{provider}/send?to=number&text=message&from=Ville" + ("#json" if form == "json" else "")
    carrier = SmsCarrier(Gateway.parse(url, "secret"), Outgoing(allow=INSIDE))
    note = message(channel=Channel.SMS, to="+33612345678", body="Reçu : « n° 7 »")
    assert carrier.send(note, NOW) == Sent("sms-1")
    ((path, headers, body),) = Provider.seen
    fields = (
        json.loads(body)
        if form == "json"
        else {name: values[0] for name, values in parse_qs(body.decode()).items()}
    )
    assert path == "/send"
    assert fields == {"from": "Ville", "number": "+33612345678", "message": 'Recu : " no 7 "'}
    assert headers["authorization"] == "Bearer secret"
    assert headers["idempotency-key"] == str(note.delivery_id)
    carrier.close()


@pytest.mark.parametrize(
    ("status", "fault"),
    [(503, Fault.TRY_AGAIN), (429, Fault.TRY_AGAIN), (401, Fault.OUR_BUG), (302, Fault.OUR_BUG)],
)
def test_a_gateway_that_refuses(provider: str, status: int, fault: Fault) -> None:
    Provider.status = status
    carrier = SmsCarrier(Gateway.parse(provider, None), Outgoing(allow=INSIDE))
    result = carrier.send(message(channel=Channel.SMS, to="+33612345678"), NOW)
    assert result == NotSent(fault, f"sms {status}", 120)
    carrier.close()


def test_a_gateway_that_is_away_is_asked_once_a_batch() -> None:
    gateway = Gateway.parse("http://127.0.0.1:9/send", None)
    carrier = SmsCarrier(gateway, Outgoing(allow=INSIDE, timeout_s=1))
    first = carrier.send(message(channel=Channel.SMS), NOW)
    assert isinstance(first, NotSent)
    assert first.fault is Fault.TRY_AGAIN
    assert carrier.send(message(channel=Channel.SMS), NOW) is first


def _vapid() -> tuple[str, Vapid02]:
    key = Vapid02()
    key.generate_keys()
    raw = key.private_key.private_numbers().private_value.to_bytes(32, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), key


def _browser(endpoint: str) -> tuple[PushTarget, ec.EllipticCurvePrivateKey, bytes]:
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    auth = b"sixteen bytes ok"

    def text(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    return PushTarget(endpoint, text(public), text(auth)), private, auth


def test_a_push_message_is_sealed_for_the_browser_and_signed_by_us(provider: str) -> None:
    private_key, _ = _vapid()
    target, private, auth = _browser(f"{provider}/push/abc")
    carrier = PushCarrier(private_key, "mailto:ville@riverain.example", Outgoing(allow=INSIDE))
    note = message(
        channel=Channel.PUSH,
        subject="Signalement n° 7",
        body="C'est réglé.",
        thread="report-7",
        link="https://r.example/r/7",
        target=target,
    )
    real_now = datetime.now(UTC)
    assert carrier.send(note, real_now) == Sent()
    ((path, headers, body),) = Provider.seen
    assert path == "/push/abc"
    assert headers["content-encoding"] == "aes128gcm"
    assert headers["ttl"] == "86400"
    told = json.loads(http_ece.decrypt(body, private_key=private, auth_secret=auth))
    assert told == {
        "title": "Signalement n° 7",
        "body": "C'est réglé.",
        "url": "https://r.example/r/7",
        "lang": "fr",
        "tag": "report-7",
    }
    assert Vapid02.verify(headers["authorization"])
    token = headers["authorization"].split("t=")[1].split(",")[0].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(token + "=="))
    assert claims["aud"] == provider
    assert claims["sub"] == "mailto:ville@riverain.example"
    assert real_now.timestamp() < claims["exp"] <= real_now.timestamp() + 86400
    carrier.close()


def test_push_services_may_be_told_of_a_page(provider: str) -> None:
    carrier = PushCarrier(_vapid()[0], "https://ville.example/contact", Outgoing(allow=INSIDE))
    target = _browser(f"{provider}/push")[0]
    assert carrier.send(message(channel=Channel.PUSH, target=target), NOW) == Sent()
    carrier.close()


def test_a_key_of_another_curve_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(ValueError, match="P-256"):
        vapid.load(other.decode())


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (404, Fault.GIVE_UP_ON_RECIPIENT),
        (410, Fault.GIVE_UP_ON_RECIPIENT),
        (429, Fault.TRY_AGAIN),
        (500, Fault.TRY_AGAIN),
        (403, Fault.OUR_BUG),
    ],
)
def test_what_push_services_answer(provider: str, status: int, fault: Fault) -> None:
    Provider.status = status
    carrier = PushCarrier(_vapid()[0], "mailto:v@r.example", Outgoing(allow=INSIDE))
    target = _browser(f"{provider}/push")[0]
    result = carrier.send(message(channel=Channel.PUSH, target=target), NOW)
    assert result == NotSent(fault, f"push {status}", 120)
    carrier.close()


@pytest.mark.parametrize(
    "target",
    [
        PushTarget("https://push.example/x", "not a key", "x"),
        PushTarget("https://push.example/x", "", ""),
        PushTarget("http://127.0.0.1/x", *(_browser("")[0].p256dh, _browser("")[0].auth)),
        # Nothing is signed for a host that has no name.
        PushTarget("https://[2001:db8::1]/x", *(_browser("")[0].p256dh, _browser("")[0].auth)),
    ],
)
def test_a_subscription_that_cannot_work_is_given_up(target: PushTarget) -> None:
    carrier = PushCarrier(_vapid()[0], "mailto:v@r.example", Outgoing())
    result = carrier.send(message(channel=Channel.PUSH, target=target), NOW)
    assert isinstance(result, NotSent)
    assert result.fault is Fault.GIVE_UP_ON_RECIPIENT


def test_a_webhook_can_be_verified_by_its_receiver(provider: str) -> None:
    secret = webhook_secret("key", UUID(int=1), 1)
    body = '{"type":"report.resolved","data":{"é":1}}'
    note = message(
        channel=Channel.WEBHOOK, body=body, target=WebhookTarget(f"{provider}/hook", secret)
    )
    carrier = WebhookCarrier(Outgoing(allow=INSIDE))
    assert carrier.send(note, datetime.now(UTC)) == Sent()
    assert carrier.send(note, datetime.now(UTC)) == Sent()
    for _, headers, received in Provider.seen:
        assert Webhook(secret).verify(received, headers) == json.loads(body)
    first, second = (headers for _, headers, _ in Provider.seen)
    assert first["webhook-id"] == second["webhook-id"]
    carrier.close()


def test_an_endpoint_that_does_not_answer_is_left_alone_for_a_minute() -> None:
    passed = 0.0
    silent: Silent = {}

    def in_a_batch() -> Result:
        outgoing = Outgoing(allow=INSIDE, timeout_s=1)
        carrier = WebhookCarrier(outgoing, silent, monotonic=lambda: passed)
        try:
            return carrier.send(note, NOW)
        finally:
            carrier.close()

    note = message(
        channel=Channel.WEBHOOK,
        target=WebhookTarget("http://127.0.0.1:9/hook", webhook_secret("key", UUID(int=1), 1)),
    )
    first = in_a_batch()
    assert isinstance(first, NotSent)
    assert first.fault is Fault.TRY_AGAIN
    passed = 59.0
    assert in_a_batch() is first
    passed = 60.0
    assert in_a_batch() is not first


def test_each_version_of_an_endpoint_has_its_own_secret() -> None:
    secrets = {webhook_secret("key", UUID(int=n), version) for n in (1, 2) for version in (1, 2)}
    assert len(secrets) == 4
    assert all(len(base64.b64decode(secret.removeprefix("whsec_"))) == 32 for secret in secrets)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (500, Fault.TRY_AGAIN),
        (302, Fault.TRY_AGAIN),
        (404, Fault.TRY_AGAIN),
        (410, Fault.GIVE_UP_ON_RECIPIENT),
    ],
)
def test_what_endpoints_answer(provider: str, status: int, fault: Fault) -> None:
    Provider.status = status
    target = WebhookTarget(f"{provider}/hook", webhook_secret("key", UUID(int=1), 1))
    carrier = WebhookCarrier(Outgoing(allow=INSIDE))
    result = carrier.send(message(channel=Channel.WEBHOOK, target=target), NOW)
    assert result == NotSent(fault, f"webhook {status}", 120)
    assert [path for path, _, _ in Provider.seen] == ["/hook"]
    carrier.close()


def test_a_webhook_never_leads_inside(provider: str) -> None:
    target = WebhookTarget(f"{provider}/hook", webhook_secret("key", UUID(int=1), 1))
    result = WebhookCarrier(Outgoing()).send(message(channel=Channel.WEBHOOK, target=target), NOW)
    assert result == NotSent(Fault.TRY_AGAIN, "webhook private_address")
    assert Provider.seen == []


def test_the_settings_decide_how_messages_travel(tmp_path: Path) -> None:
    bare = open_carriers(Settings(data_dir=tmp_path))
    assert isinstance(bare[Channel.EMAIL], FolderCarrier)
    assert bare[Channel.EMAIL] is bare[Channel.SMS] is bare[Channel.PUSH]
    assert isinstance(bare[Channel.WEBHOOK], WebhookCarrier)
    mailing = open_carriers(Settings(data_dir=tmp_path, smtp_url="smtp://127.0.0.1:25"))
    assert isinstance(mailing[Channel.EMAIL], EmailCarrier)
    assert set(mailing) == {Channel.EMAIL, Channel.WEBHOOK}
    full = open_carriers(
        Settings(
            data_dir=tmp_path,
            smtp_url="smtp://127.0.0.1:25",
            sms_url="https://sms.example/send",
            vapid_private_key=_vapid()[0],
        )
    )
    assert set(full) == set(Channel)
    with pytest.raises(ValueError, match="SMS_URL"):
        open_carriers(Settings(data_dir=tmp_path, sms_url="sms.example"))
