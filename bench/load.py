"""Load from a few clients over kept-alive connections, and how long each answer took.

A raw socket per client: an HTTP library in the client would cost more than the server under test
on a machine that runs both. Loopback only, bounded in time.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Result:
    """What the clients saw. Times in seconds."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.times) / self.seconds if self.seconds else 0.0

    def quantile_ms(self, share: float) -> float:
        """The time that `share` of the answers did not exceed, milliseconds."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else 0.0


def run(port: int, request: Callable[[int, int], bytes], *, clients: int, seconds: float) -> Result:
    """Let `clients` send `request(client, number)` one after the other for so long."""
    total = Result()
    lock = threading.Lock()
    started = time.perf_counter()
    stop_at = started + seconds

    def work(client: int) -> None:
        own = Result()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = 0
            while time.perf_counter() < stop_at:
                message = request(client, number)
                number += 1
                before = time.perf_counter()
                connection.sendall(message)
                status, keeps = _answer(connection)
                own.times.append(time.perf_counter() - before)
                own.statuses[status] += 1
                if not keeps:
                    connection.close()
                    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        with lock:
            total.statuses += own.statuses
            total.times += own.times

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total.seconds = time.perf_counter() - started
    return total


def post(path: str, body: bytes, *, address: str) -> bytes:
    """A POST of a JSON body, as if a proxy had had it from `address`."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Forwarded-For: {address}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path: str, token: str | None = None) -> bytes:
    """A GET, by somebody signed in if a token is given."""
    signed = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{signed}\r\n".encode()


def _answer(connection: socket.socket) -> tuple[int, bool]:
    """Status of the next answer, and whether the connection stays open after it."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the server hung up")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lowered = head.lower()
    length = 0
    if b"transfer-encoding: chunked" in lowered:
        while not body.endswith(b"\r\n0\r\n\r\n"):
            body += connection.recv(65536)
    for line in lowered.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head[9:12]), b"connection: close" not in lowered
