"""Calls to servers whose address somebody else chose."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from core.outgoing import (
    Allowance,
    Outgoing,
    OutgoingRefusedError,
    OutgoingUnreachableError,
    check_url,
    is_public,
    post,
    resolve,
)

LOCAL = Allowance.parse("127.0.0.1")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[dict[str, str]]] = []
    connections: ClassVar[set[tuple[str, int]]] = set()

    def do_POST(self) -> None:
        type(self).connections.add(self.client_address)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).seen.append({**dict(self.headers), "path": self.path, "body": body.decode()})
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        answer = b"x" * 300_000 if self.path == "/large" else b'{"id": "m1"}'
        self.send_response(429 if self.path == "/busy" else 200)
        self.send_header("Retry-After", "17")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    _Handler.seen, _Handler.connections = [], set()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def raw_server() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Serves one connection with whatever the test does to the bare socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(behave: Callable[[socket.socket], None]) -> str:
        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    behave(connection)
                except OSError:
                    return

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield serve
    listener.close()
    for thread in threads:
        thread.join(5)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "192.88.99.1",
        "::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_addresses_that_lead_inside_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1", "64:ff9b::808:808"])
def test_addresses_of_the_world_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.org/", "gopher://example.org/", "//example.org/",
        "http://", "http:///path", "http://user:secret@example.org/", "http://@example.org/",
        "http://example.org:99999/", "http://exa mple.org/", "http://example.org/\r\nHost: x",
        "http://example.org\\@localhost/", "http://[::1/", "",
    ],
)  # fmt: skip
def test_urls_that_are_never_called(url: str) -> None:
    with pytest.raises(OutgoingRefusedError):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/", "http://127.0.0.1/", "http://127.1/", "http://2130706433/",
        "http://0x7f000001/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://0/",
    ],
)  # fmt: skip
def test_every_spelling_of_this_machine_is_refused(url: str) -> None:
    with pytest.raises(OutgoingRefusedError):
        resolve(url)


def test_a_name_with_one_private_address_among_public_ones_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def both(*_args: object, **_kwargs: object) -> list[tuple[object, ...]]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("8.8.8.8", 80)), (*kind, ("10.0.0.8", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(OutgoingRefusedError):
        resolve("http://mixed.example/")
    assert resolve("http://mixed.example/", Allowance.parse("10.0.0.0/24")).address == "8.8.8.8"
    assert resolve("http://mixed.example/", Allowance.parse(["MIXED.example"]))


def test_the_call_goes_to_the_address_that_was_checked(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(server.rpartition(":")[2])
    answers = iter(["127.0.0.1", "192.0.2.1"])

    def turning(*_args: object, **_kwargs: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    resolves = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *a, **k: turning() if host == "turning.example" else resolves(host, *a, **k),
    )
    answer = post(f"http://turning.example:{port}/hook", b"{}", allow=LOCAL)
    assert answer.status == 200
    assert _Handler.seen[0]["Host"] == f"turning.example:{port}"


def test_redirects_are_not_followed(server: str) -> None:
    answer = post(f"{server}/away", b"", allow=LOCAL)
    assert answer.status == 302
    assert [seen["path"] for seen in _Handler.seen] == ["/away"]


def test_an_answer_is_read_up_to_its_cap(server: str) -> None:
    with Outgoing(allow=LOCAL, max_bytes=1000) as calls:
        assert len(calls.post(f"{server}/large", b"").body) == 1000
        assert calls.post(f"{server}/small", b"").body == b'{"id": "m1"}'


def test_one_batch_uses_one_connection(server: str) -> None:
    with Outgoing(allow=LOCAL) as calls:
        for number in range(5):
            calls.post(f"{server}/{number}", b"words", {"X-Test": "1"})
    assert len(_Handler.seen) == 5
    assert len(_Handler.connections) == 1
    assert _Handler.seen[0]["body"] == "words"
    assert _Handler.seen[0]["User-Agent"] == "Riverain"


def test_the_wait_a_server_asks_for_is_told(server: str) -> None:
    answer = post(f"{server}/busy", b"", allow=LOCAL)
    assert (answer.status, answer.retry_after_s) == (429, 17)


def test_nobody_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(OutgoingUnreachableError, match="refused"):
        post(f"http://127.0.0.1:{port}/", b"", allow=LOCAL)
    with pytest.raises(OutgoingUnreachableError, match="name"):
        post("http://no-such-name.invalid/", b"")


@pytest.mark.parametrize("dripping", ["headers", "body"])
def test_a_server_that_drips_bytes_does_not_hold_us(
    raw_server: Callable[[Callable[[socket.socket], None]], str], dripping: str
) -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        if dripping == "body":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(50):
            connection.sendall(b"a")
            time.sleep(0.1)

    url = raw_server(drip)
    started = time.monotonic()
    with pytest.raises(OutgoingUnreachableError, match="timeout"):
        post(url, b"", allow=LOCAL, timeout_s=0.4)
    assert time.monotonic() - started < 2


def test_a_connection_closed_while_idle_is_replaced(server: str) -> None:
    with Outgoing(allow=LOCAL) as calls:
        calls.post(f"{server}/1", b"")
        ((connection, _line),) = calls._kept.values()
        sock: Any = connection.sock
        sock._sock.shutdown(socket.SHUT_RDWR)
        assert calls.post(f"{server}/2", b"").status == 200
    assert len(_Handler.connections) == 2


def test_gibberish_for_an_answer_is_unreachable(
    raw_server: Callable[[Callable[[socket.socket], None]], str],
) -> None:
    url = raw_server(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n"))
    with pytest.raises(OutgoingUnreachableError, match="broken"):
        post(url, b"", allow=LOCAL, timeout_s=2)
