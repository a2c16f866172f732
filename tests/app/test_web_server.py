"""What is no request at all is refused as the API refuses, by gunicorn itself."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.system import free_port

ROOT = Path(__file__).resolve().parents[2]

#: An application that says how long its query was; all that the settings of gunicorn ask of one.
APPLICATION = """
from types import SimpleNamespace


class Application:
    extensions = {"settings": SimpleNamespace(log_level="ERROR")}

    def __call__(self, environ, start_response):
        body = str(len(environ["QUERY_STRING"])).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


application = Application()
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a gunicorn with our settings."""
    folder = tmp_path_factory.mktemp("application")
    (folder / "echoing.py").write_text(APPLICATION)
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "echoing:application", "--no-control-socket"),
            *("--config=python:app.web_server", f"--bind=127.0.0.1:{port}"),
            *("--worker-class=gthread", "--threads=2", "--log-level=critical"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])},
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield port
    process.terminate()
    process.wait(timeout=30)


def answer(port: int, request: bytes) -> tuple[str, str]:
    """Head and body of what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        data = b""
        while part := connection.recv(65536):
            data += part
    head, _, body = data.decode().partition("\r\n\r\n")
    return head, body


def test_two_hundred_ids_fit_into_the_first_line(port: int) -> None:
    query = "service_request_id=" + ",".join(["0" * 36] * 200)
    head, body = answer(
        port, f"GET /?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    assert head.startswith("HTTP/1.1 200 ")
    assert body == str(len(query))


@pytest.mark.parametrize(
    ("request_line", "status", "code"),
    [
        ("GET /?" + "x" * 9000 + " HTTP/1.1", 414, "uri_too_long"),
        ("<script>alert(1)</script>", 400, "bad_request"),
    ],
)
def test_what_is_no_request_gets_a_problem_document_that_repeats_nothing(
    port: int, request_line: str, status: int, code: str
) -> None:
    head, body = answer(port, f"{request_line}\r\nHost: a\r\n\r\n".encode())
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "Content-Type: application/problem+json" in head
    document = json.loads(body)
    assert (document["status"], document["code"]) == (status, code)
    assert "script" not in body
