"""A server of photos on a local port, with the faults of the field."""

from __future__ import annotations

import contextlib
import io
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image


def jpeg(colour: str = "grey") -> bytes:
    """A small photo."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "JPEG")
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class Shown:
    """What is answered.

    Attributes:
        promised: the length that is said, where it is not that of the body.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    promised: int | None = None


@dataclass(slots=True)
class Album:
    """What lies at which path, one answer after the other; the last one stays."""

    url: str = ""
    pages: dict[str, deque[Shown]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def put(self, path: str, *answers: Shown) -> str:
        """Let that path answer so; its address."""
        self.pages[path] = deque(answers)
        return f"{self.url}{path}"

    def answer(self, path: str) -> Shown:
        self.asked.append(path)
        answers = self.pages.get(path)
        if not answers:
            return Shown(404)
        return answers[0] if len(answers) == 1 else answers.popleft()


@contextlib.contextmanager
def running() -> Iterator[Album]:
    """Such a server, for the length of a test."""
    album = Album()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        def do_GET(self) -> None:
            shown = album.answer(self.path)
            self.send_response(shown.status)
            length = len(shown.body) if shown.promised is None else shown.promised
            self.send_header("Content-Length", str(length))
            for name, value in shown.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(shown.body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    album.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield album
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
