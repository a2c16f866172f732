"""A small Open311 server of somebody else's, with the faults of the field, on a local port.

Faithful by default: it takes requests, lists them, answers tokens. What it does wrong is set by a
test, call by call or for good. It remembers everything that it was sent.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

PAGE = b"<!DOCTYPE html><html><head><title>Oops</title></head><body>It works!</body></html>"


@dataclass(frozen=True, slots=True)
class Call:
    """What somebody asked."""

    method: str
    path: str
    fields: Mapping[str, str]
    pairs: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]


@dataclass(slots=True)
class Foreign:
    """The other system.

    Attributes:
        faults: what is done wrong at the next calls, in their order; see `fail`.
        kind: `realtime`, `batch` or `blackbox`: how it answers a POST.
        format: `json`, or `xml` whatever is asked for.
        wrap: puts an answer into what a framework would put around it.
        hides: whether its list leaves out what it was sent.
        numbers: whether ids are numbers in JSON.
    """

    url: str = ""
    kind: str = "realtime"
    format: str | None = None
    wrap: Callable[[Any], Any] = lambda content: content
    hides: bool = False
    numbers: bool = False
    shows_times: bool = True
    page_size: int = 100
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, str | None] = field(default_factory=dict)
    updates: list[dict[str, Any]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    faults: deque[str] = field(default_factory=deque)
    reading_faults: deque[str] = field(default_factory=deque)
    slow_s: float = 5.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # What a test does

    @property
    def posts(self) -> list[Call]:
        return [call for call in self.calls if call.method == "POST"]

    def gets(self, ending: str) -> list[Call]:
        return [call for call in self.calls if call.method == "GET" and ending in call.path]

    def fail(self, *kinds: str) -> None:
        """Do this at the next POSTs: a status, `lost` (taken, no answer), `refused` (not taken, no
        answer), `late` (taken, answered too late), `html`, `empty`, `lost 500` (taken, 500), `echo`
        (400 that says the description again)."""
        self.faults.extend(kinds)

    def stored(self) -> list[str]:
        return [str(one["description"]) for one in self.requests.values()]

    def answer_tokens(self) -> None:
        """Give every token its id."""
        for token, request in self.tokens.items():
            self.tokens[token] = request or token.removeprefix("t")
        for one in self.requests.values():
            one["hidden"] = False

    def say(self, request_id: str, status: str | None, at: datetime | None = None) -> None:
        """Move a request to a status."""
        one = self.requests[request_id]
        one["status"] = status
        one["updated_datetime"] = _written(at or datetime.now(UTC))

    # What it does

    def take(self, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        with self._lock:
            number = str(len(self.requests) + 1)
            self.requests[number] = {
                "service_request_id": number,
                "status": "open",
                "service_code": fields.get("service_code"),
                "description": fields.get("description"),
                "lat": fields.get("lat"),
                "long": fields.get("long"),
                "requested_datetime": _written(datetime.now(UTC)),
                "updated_datetime": _written(datetime.now(UTC)),
                "hidden": self.kind != "realtime",
            }
        if self.kind == "batch":
            self.tokens[f"t{number}"] = None
            return [{"token": f"t{number}"}]
        if self.kind == "blackbox":
            return [{"service_request_id": None, "service_notice": "Thank you."}]
        return [{"service_request_id": self._id(number), "account_id": ""}]

    def show(self, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        if fields.get("page", "1") != "1":
            return []
        found = [one for one in self.requests.values() if not (one["hidden"] or self.hides)]
        if "service_request_id" in fields:
            wanted = fields["service_request_id"].split(",")
            found = [one for one in found if one["service_request_id"] in wanted]
        if "service_code" in fields:
            found = [one for one in found if one["service_code"] == fields["service_code"]]
        if "start_date" in fields:
            found = [one for one in found if one["requested_datetime"] >= fields["start_date"]]
        if "updated_after" in fields:
            found = [one for one in found if one["updated_datetime"] >= fields["updated_after"]]
        return [self._shown(one) for one in found]

    def _shown(self, one: Mapping[str, Any]) -> dict[str, Any]:
        left_out = {"hidden"} if self.shows_times else {"hidden", "updated_datetime"}
        shown = {name: value for name, value in one.items() if name not in left_out}
        return {**shown, "service_request_id": self._id(one["service_request_id"])}

    def _id(self, number: str) -> Any:
        return int(number) if self.numbers else number

    def answer(self, call: Call) -> tuple[int, str, Any]:
        """Status, root and content of the answer to a call."""
        name = call.path.rpartition("/v2/")[2].rpartition(".")[0]
        first, _, rest = name.partition("/")
        if first == "requests" and call.method == "POST":
            return 200, "service_requests", self.take(call.fields)
        if first == "requests" and not rest:
            return 200, "service_requests", self.show(call.fields)
        if first == "requests":
            one = self.requests.get(rest)
            if one is not None and not (one["hidden"] or self.hides):
                return 200, "service_requests", [self._shown(one)]
        if first == "tokens" and rest in self.tokens:
            found = {"token": rest, "service_request_id": self.tokens[rest]}
            return 200, "service_requests", [found]
        if first == "services":
            services = [
                {"service_code": code, "metadata": "false", "type": self.kind}
                for code in sorted({str(one["service_code"]) for one in self.requests.values()})
            ]
            return 200, "services", services
        if first == "servicerequestupdates":
            start, end = call.fields["start_date"], call.fields["end_date"]
            window = [u for u in self.updates if start <= u["updated_datetime"] <= end]
            skipped = (int(call.fields.get("page", 1)) - 1) * self.page_size
            window = window[skipped : skipped + self.page_size]
            return 200, "service_request_updates", window
        return 404, "errors", [{"code": 404, "description": "There is no such thing."}]

    def written(self, call: Call, root: str, content: Any) -> tuple[str, bytes]:
        asked = self.format or call.path.rpartition(".")[2]
        if asked == "xml":
            item = {"service_request_updates": "request_update"}.get(
                root, root.removesuffix("s").removeprefix("service_")
            )
            inner = "".join(f"<{item}>{_fields(one)}</{item}>" for one in content)
            return "text/xml", f'<?xml version="1.0"?><{root}>{inner}</{root}>'.encode()
        return "application/json", json.dumps(self.wrap(content)).encode()


def _fields(one: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{escape(str(value))}</{name}>" for name, value in one.items() if value is not None
    )


def _written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def running() -> Iterator[Foreign]:
    """Such a system, for the length of a test."""
    foreign = Foreign()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._serve("GET", "")

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self._serve("POST", self.rfile.read(length).decode())

        def _serve(self, method: str, body: str) -> None:
            parts = urlsplit(self.path)
            pairs = tuple(parse_qsl(body if method == "POST" else parts.query, True))
            call = Call(
                method,
                parts.path,
                dict(pairs),
                pairs,
                {name.lower(): value for name, value in self.headers.items()},
            )
            foreign.calls.append(call)
            faults = foreign.faults if method == "POST" else foreign.reading_faults
            self._answer(call, faults.popleft() if faults else "")

        def _answer(self, call: Call, fault: str) -> None:
            if fault == "refused":
                self._hang_up()
            elif fault == "lost":
                foreign.answer(call)
                self._hang_up()
            elif fault == "late":
                foreign.answer(call)
                time.sleep(foreign.slow_s)
                self._hang_up()
            elif fault in ("html", "empty"):
                foreign.answer(call)
                self._send(200, "text/html", PAGE if fault == "html" else b"")
            elif fault == "lost 500":
                foreign.answer(call)
                self._send(500, "text/html", PAGE)
            elif fault == "echo":
                content = [{"code": 400, "description": call.fields["description"]}]
                kind, body = foreign.written(call, "errors", content)
                self._send(400, kind, body)
            elif fault.startswith("429"):
                self._send(429, "text/plain", b"Slow down", {"Retry-After": "90"})
            elif fault:
                content = [{"code": int(fault), "description": f"No, because {fault}."}]
                kind, body = foreign.written(call, "errors", content)
                self._send(int(fault), kind, body)
            else:
                status, root, content = foreign.answer(call)
                kind, body = foreign.written(call, root, content)
                self._send(status, kind, body)

        def _send(
            self, status: int, kind: str, body: bytes, headers: Mapping[str, str] | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _hang_up(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(2)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_args: object) -> None:
            """Whoever hung up first is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    foreign.url = f"http://127.0.0.1:{server.server_address[1]}/open311/v2"
    try:
        yield foreign
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
