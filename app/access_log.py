"""One log line per request, under a request id that goes on into the tasks it causes.

The path is logged as its route (`/api/v1/reports/<id>`), never as typed: tokens stand in paths and
queries. The caller's address is not logged.
"""

from __future__ import annotations

import re
import time

import structlog
from flask import Flask, Response, g, request

from core.ids import new_id

log = structlog.get_logger()

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def install(app: Flask) -> None:
    """Log every request of `app` and answer with its `X-Request-Id`."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.started = time.perf_counter()
    g.request_id = given if _REQUEST_ID.fullmatch(given) else str(new_id())
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    request_id = g.get("request_id")
    if request_id is None:
        return response
    # Nothing else answers with one, so that nobody need look for another.
    response.headers.add("X-Request-Id", request_id)
    rule = request.url_rule.rule if request.url_rule else None
    if rule not in ("/healthz", "/readyz", "/metrics"):
        log.info(
            "request.answered",
            method=request.method,
            route=rule,
            status=response.status_code,
            ms=round((time.perf_counter() - g.started) * 1000, 1),
        )
    return response
