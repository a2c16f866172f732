"""Settings of gunicorn that its command line does not take (`--config=python:app.web_server`)."""

from __future__ import annotations

import gc
import json
import socket
import sys
from typing import Any, TextIO, cast

from gunicorn import util

from app.config import Settings
from core import logging

#: Bytes of the first line of a request, the most that gunicorn takes: two hundred ids in a query.
limit_request_line = 8190


def pre_fork(_server: object, _worker: object) -> None:
    """Keep what the master loaded shared with its workers: the collector would write to it.

    What the first request would load is loaded now, once for all of them.
    """
    import geo.areas  # noqa: F401

    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """Gather the lines about requests; here, because a thread does not outlive a fork."""
    settings: Settings = worker.wsgi.extensions["settings"]
    gathered = logging.Gathered(sys.stderr)
    logging.configure(settings.log_level, cast("TextIO", gathered))


def refuse(client: socket.socket, status: int, reason: str, _said: str) -> None:
    """Answer what is no request as the API answers: not by a page, and repeating none of it."""
    code = reason.lower().replace(" ", "_")
    document = {
        "type": f"urn:riverain:problem:{code}",
        "title": reason,
        "status": status,
        "code": code,
    }
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(client, head.encode("latin-1") + body)


# Gunicorn has no setting for it, and asks this module for the function at every error.
util.write_error = refuse
