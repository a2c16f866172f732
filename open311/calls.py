"""What the views of the server share: format, language, key, parameters, answers, errors.

The suffix of a path says the format and beats `Accept`; without either it is XML, which the
standard requires. Every error, whoever raised it, is the standard's list of codes and descriptions,
in that format.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import structlog
from flask import Response, current_app, g, request
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from accounts import actors
from accounts.actors import ANONYMOUS, Actor
from core.clock import utc_now
from core.db import db
from core.errors import DomainError
from core.i18n import LANGUAGES, asked_for
from open311 import bulk, formats
from open311.faults import Fault, Refusal, of_error, status_for
from open311.formats import Format
from open311.parameters import Parameters
from open311.places import Endpoint

log = structlog.get_logger()

_RETRY_AFTER_S = "5"

#: Names of what asks for JSONP. A page of another site reads JSON by CORS, and runs nothing.
_JSONP = ("callback", "jsonp")


def endpoint(jurisdiction: str | None) -> Endpoint:
    """The endpoint that this call came to."""
    return Endpoint(
        base_url=current_app.config["BASE_URL"],
        jurisdiction=jurisdiction,
        default=current_app.config["DEFAULT_JURISDICTION"],
    )


def parameters() -> Parameters:
    """What was sent: the form before the query."""
    pairs = [request.args.items(multi=True)]
    if request.method == "POST":
        pairs.insert(0, request.form.items(multi=True))
    sent = Parameters.of(*pairs)
    if request.method == "POST" and request.is_json and not request.form:
        # Whoever sends JSON would hear only that everything is missing.
        sent.fault("the body is JSON; send a form, as the standard asks for")
    return sent


def split(name: str) -> tuple[str, str | None]:
    """A name in a path and the format at its end, if there is one."""
    stem, dot, suffix = name.rpartition(".")
    if dot and stem and formats.of_suffix(suffix) is not None:
        return stem, suffix
    return name, None


def form_of(suffix: str | None) -> Format:
    """The format of the answer, which errors keep to from here on.

    Raises:
        Refusal: the path names a format that there is not; JSONP is asked for.
    """
    form = formats.of_suffix(suffix) if suffix is not None else _accepted()
    g.open311_format = form or _accepted()
    if form is None:
        names = ", ".join(each.suffix for each in Format)
        raise Refusal([Fault(400, f"there is no such format; there are: {names}")])
    if any(request.args.get(name) for name in _JSONP):
        raise Refusal([Fault(400, "JSONP is not served; read it across origins with CORS")])
    return form


def _accepted() -> Format:
    best = request.accept_mimetypes.best_match(
        ["text/xml", "application/xml", "application/json"], default="text/xml"
    )
    return Format.JSON if best == "application/json" else Format.XML


def locale() -> str | None:
    """The language that the reader asks for; None for the city's own."""
    asked = request.args.get("locale", "").partition("-")[0].lower()
    return asked if asked in LANGUAGES else asked_for(request.accept_languages)


def identify() -> None:
    """Say who sends, by the key in `api_key` or in `Authorization`, before anybody asks.

    A session does not do: what comes in here is a program's.
    """
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.partition(" ")
    key = request.form.get("api_key") or request.args.get("api_key") or ""
    if not key.strip() and scheme.lower() == "bearer":
        key = token
    found = actors.find(db.session(), key.strip(), now=utc_now()) if key.strip() else None
    g.actor = found if found is not None and found.api_key_id is not None else ANONYMOUS


def sender() -> Actor:
    """Who sends."""
    actor: Actor = g.actor
    return actor


# -- answers --------------------------------------------------------------------------------------


def answer(form: Format, root: str, document: Any, status: int = 200) -> Response:
    """A whole document."""
    response = Response(
        formats.written(form, root, document), status, content_type=form.content_type
    )
    response.vary.update(("Accept", "Accept-Language"))
    return response


def cacheable(form: Format, root: str, document: Any, version: str) -> Response:
    """A document that changes with the city's folder: 304 for whoever has this version."""
    response = answer(form, root, document)
    response.headers["Cache-Control"] = "public, max-age=60"
    response.set_etag(f"{version}-{locale() or 'own'}-{form.suffix}", weak=True)
    response.make_conditional(request)
    return response


def stream(form: Format, root: str, batches: Iterable[Iterable[Mapping[str, Any]]]) -> Response:
    """A list that is written while it is sent."""
    return _streamed(formats.pieces(form, root, batches), form.content_type)


def table(lines: Iterator[str]) -> Response:
    """A table to keep, read and written while it is sent."""
    response = _streamed(lines, bulk.CONTENT_TYPE)
    response.headers["Content-Disposition"] = 'attachment; filename="requests.csv"'
    return response


def _streamed(pieces: Iterator[str], content_type: str) -> Response:
    """An answer in pieces. The first is made before the head leaves, so that what is wrong is
    still said by a status.
    """
    first = next(pieces)
    whole = itertools.chain([first], pieces)
    response = Response((piece.encode() for piece in whole), content_type=content_type)
    response.headers["Cache-Control"] = "no-cache"
    response.vary.update(("Accept", "Accept-Language"))
    return response


# -- errors ---------------------------------------------------------------------------------------


def refused(faults: Iterable[Fault], status: int) -> Response:
    """What is wrong, as the standard says it."""
    form: Format | None = g.get("open311_format")
    if form is None:
        form = formats.of_suffix(request.path.rpartition(".")[2]) or _accepted()
    response = answer(form, "errors", [fault.document() for fault in faults], status)
    response.headers["Cache-Control"] = "no-store"
    return response


def on_refusal(error: Refusal) -> Response:
    """Everything that is wrong with a call."""
    return refused(error.faults, error.status)


def on_domain_error(error: DomainError) -> Response:
    """A broken rule of the house, in the standard's words."""
    faults = of_error(error)
    response = refused(faults, faults[0].code)
    if error.status in (429, 503):
        response.headers["Retry-After"] = str(error.extra.get("retry_after", _RETRY_AFTER_S))
    return response


def on_http_error(error: HTTPException) -> Response:
    """What Werkzeug refuses: wrong addresses and methods, bodies that are too large."""
    status = error.code or 500
    if status < 400:
        return error.get_response()  # type: ignore[return-value]
    kept = status if status == 404 else status_for(status)
    response = refused([Fault(kept, error.description or error.name)], kept)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def on_missing_database(error: OperationalError | PoolTimeoutError) -> Response:
    """The database is away: the same call may succeed soon."""
    log.error("database.away", error=type(getattr(error, "orig", error)).__name__)
    response = refused([Fault(503, "The database does not answer. Try again soon.")], 503)
    response.headers["Retry-After"] = _RETRY_AFTER_S
    return response


def on_defect(error: Exception) -> Response:
    """A defect of ours."""
    if current_app.testing and current_app.config.get("PROPAGATE_EXCEPTIONS"):
        raise error
    log.error("request.failed", error=type(error).__name__, exc_info=error)
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    said = f"Something went wrong on our side; it was recorded as {request_id}."
    return refused([Fault(500, said)], 500)
