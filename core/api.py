"""The JSON API's plumbing: schemas that refuse what the database cannot hold, problem documents,
entity tags. It knows no feature.

Errors are RFC 9457 `application/problem+json` with a stable `code`, whoever raised them: a
`DomainError`, a schema, Werkzeug, or a defect of ours (500, with the request id and nothing else).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from http import HTTPStatus
from typing import Any

import flask_smorest
import marshmallow as ma
import structlog
from flask import Flask, Request, Response, abort, current_app, request
from flask.json.provider import DefaultJSONProvider
from marshmallow import fields
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from webargs.core import missing
from webargs.flaskparser import FlaskParser, is_json_request
from werkzeug.exceptions import HTTPException

from core.documenting import (
    INTRODUCTION,
    PROBLEM_JSON,
    Problem,
    SaidOfEveryOperation,
    register_problems,
)
from core.errors import DomainError, InvalidError, StaleError
from core.json_objects import said_once

log = structlog.get_logger()

#: What PostgreSQL stores and XML can carry: no control characters but tab, line feed and carriage
#: return, no halves of surrogate pairs, no non-characters.
STORABLE = re.compile(r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]*$")

#: A JSON body larger than this is refused; photos come as multipart and have their own limits.
MAX_JSON_BYTES = 1024 * 1024

_RETRY_AFTER_S = "5"


class Text(fields.String):
    """A string that can be stored: see `STORABLE`. `max_length` counts characters."""

    def __init__(self, *, max_length: int = 4000, min_length: int = 0, **kwargs: Any) -> None:
        validate = kwargs.pop("validate", [])
        extra = list(validate) if isinstance(validate, (list, tuple)) else [validate]
        # A field has one `pattern` in OpenAPI; a narrower one of its own refuses the rest too.
        if not any(isinstance(each, ma.validate.Regexp) for each in extra):
            extra.append(
                ma.validate.Regexp(
                    STORABLE, error="Control characters and broken Unicode cannot be stored."
                )
            )
        super().__init__(
            validate=[ma.validate.Length(min=min_length, max=max_length), *extra],
            **kwargs,
        )


class Schema(ma.Schema):
    """Base of every schema: unknown keys are refused by name."""

    class Meta:
        unknown = ma.RAISE


class PayloadError(InvalidError):
    """The payload does not fit its schema; `errors` says where."""

    def __init__(self, messages: Mapping[Any, Any]) -> None:
        super().__init__("Some fields are not as they should be; see errors.")
        self.extra["errors"] = _flat(messages)


def keep_nowhere(response: Response) -> Response:
    """For a blueprint's `after_request`: secrets and personal data stay out of every cache."""
    response.headers["Cache-Control"] = "no-store"
    return response


def load(schema: ma.Schema, data: Any) -> Any:
    """What `schema` makes of `data`, for payloads that no decorator can read.

    Raises:
        PayloadError: `data` does not fit.
    """
    try:
        return schema.load(data)
    except ma.ValidationError as error:
        messages: dict[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise PayloadError(messages) from error


class JSONProvider(DefaultJSONProvider):
    """Flask's JSON, with instants as RFC 3339, minus documents that no two parsers read alike.

    One that is nested so deep that the parser gives up, and one whose object says a key twice: a
    proxy that looks at the first and we at the last would see two different requests.
    """

    ensure_ascii = False
    sort_keys = False

    @staticmethod
    def default(value: Any) -> Any:
        """What JSON has no type for: instants in UTC as RFC 3339, days as ISO 8601, ids as text."""
        if isinstance(value, datetime):
            return value.isoformat().replace("+00:00", "Z")
        if isinstance(value, date):
            return value.isoformat()
        return DefaultJSONProvider.default(value)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            return json.loads(s, object_pairs_hook=said_once, **kwargs)
        except RecursionError as error:
            raise ValueError("nested too deep") from error


class _Arguments(FlaskParser):
    """What `@blueprint.arguments` reads a body with: JSON that every parser reads alike.

    webargs has its own `json.loads`, which takes the last of two keys and, given a document that is
    deep enough, dies of it (500).
    """

    def _raw_load_json(self, req: Request) -> Any:
        if not is_json_request(req):
            return missing
        text = req.get_data(cache=True)
        try:
            return current_app.json.loads(text)
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "…", 0) from error


# Every view's decorator takes it from here; each imports this module before it has one.
flask_smorest.Blueprint.ARGUMENTS_PARSER = _Arguments()


class Api(flask_smorest.Api):
    """flask-smorest's API whose errors are problem documents that keep their headers."""

    ERROR_SCHEMA = Problem

    def _register_responses(self) -> None:
        register_problems(self.spec)

    def _register_error_handlers(self) -> None:
        app = self._app
        app.register_error_handler(DomainError, _domain_error)
        app.register_error_handler(HTTPException, http_problem)
        app.register_error_handler(OperationalError, _database_away)
        app.register_error_handler(PoolTimeoutError, _database_away)
        app.register_error_handler(Exception, _defect)


def install(app: Flask) -> Api:
    """Give `app` its JSON provider, limits and the API that blueprints register with."""
    app.json = JSONProvider(app)
    app.config.update(
        API_TITLE="Riverain",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api/v1",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={"info": {"description": INTRODUCTION}},
    )
    app.before_request(_refuse_nul)
    app.before_request(_expect_whole_body)
    app.before_request(_limit_json)
    return Api(app, spec_kwargs={"extra_plugins": [SaidOfEveryOperation()]})


def problem(document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """A problem document as a response."""
    # It may repeat what was sent, and halves of surrogate pairs are JSON but not UTF-8: escaped
    # they are both.
    body = current_app.json.dumps(document).encode("utf-8", "backslashreplace")
    response = current_app.response_class(body, int(document["status"]), content_type=PROBLEM_JSON)
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def http_problem(error: HTTPException) -> Response:
    """What Werkzeug refuses as a problem document, with the headers that belong to it."""
    status = error.code or 500
    if status < 400:
        return error.get_response()  # type: ignore[return-value]
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
    data = getattr(error, "data", None) or {}
    document: dict[str, Any] = {
        "type": f"urn:riverain:problem:{_code(phrase)}",
        "title": phrase,
        "status": status,
        "detail": error.description or phrase,
        "code": _code(phrase),
    }
    messages = data.get("messages")
    if messages:
        document["code"] = "invalid"
        document["type"] = "urn:riverain:problem:invalid"
        document["title"] = "The payload is not valid"
        document["detail"] = "Some fields are not as they should be; see errors."
        document["errors"] = _flat(messages)
    kept = {
        name: value
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    }
    return problem(document, kept)


def entity_tag(version: int) -> str:
    """The ETag of a resource at that version."""
    return f'"{version}"'


def check_version(version: int) -> None:
    """Hold the request's `If-Match` against the resource's present version.

    Raises:
        StaleError: the client read another version, or none that can be read.
    """
    # What cannot be read parses to nothing, as no header does; but whoever sent it asked for care.
    if "If-Match" in request.headers and not request.if_match.contains(str(version)):
        raise StaleError(current=entity_tag(version))


def _refuse_nul() -> None:
    """Nothing has a name with NUL in it, and PostgreSQL could not even be asked."""
    if "\0" in request.path:
        abort(404)


def _expect_whole_body() -> None:
    """Let a body that breaks off be a 400, not a shorter body.

    Where the server says that it ends bodies itself, as gunicorn does, Werkzeug takes whatever came
    for the whole. Where it does not, a body that has fewer bytes than it said is an error.
    """
    if request.content_length is not None:
        request.environ.pop("wsgi.input_terminated", None)


def _limit_json() -> None:
    if request.is_json:
        request.max_content_length = MAX_JSON_BYTES


def _domain_error(error: DomainError) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if error.status in (429, 503):
        headers["Retry-After"] = str(error.extra.get("retry_after", _RETRY_AFTER_S))
    return problem(error.problem(), headers)


def _database_away(error: DBAPIError | PoolTimeoutError) -> Response:
    log.error("database.away", error=type(getattr(error, "orig", error)).__name__)
    return problem(
        {
            "type": "urn:riverain:problem:unavailable",
            "title": "A part of the service is away for the moment",
            "status": 503,
            "detail": "The database does not answer. Try again in a few seconds.",
            "code": "unavailable",
        },
        {"Retry-After": _RETRY_AFTER_S},
    )


def _defect(error: Exception) -> Response:
    if current_app.testing and current_app.config.get("PROPAGATE_EXCEPTIONS"):
        raise error
    log.error("request.failed", error=type(error).__name__, exc_info=error)
    return problem(
        {
            "type": "urn:riverain:problem:internal",
            "title": "Something went wrong on our side",
            "status": 500,
            "detail": "The error was recorded. Quote the request id when you ask about it.",
            "code": "internal",
            "request_id": structlog.contextvars.get_contextvars().get("request_id"),
        }
    )


#: Where webargs found a field; no part of the field's name.
_LOCATIONS = frozenset({"json", "form", "query", "files", "headers", "path", "json_or_form"})


def _code(phrase: str) -> str:
    return re.sub(r"[^a-z]+", "_", phrase.lower()).strip("_")


def _flat(messages: Mapping[Any, Any], prefix: str = "") -> dict[str, list[str]]:
    """Marshmallow's nested messages as `field.sub.0 → [messages]`; the location is left out."""
    flat: dict[str, list[str]] = {}
    for key, value in messages.items():
        if not prefix and key in (
            "json",
            "form",
            "query",
            "files",
            "headers",
            "path",
            "json_or_form",
        ):
            name = ""
        else:
            name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            flat.update(_flat(value, name))
        else:
            texts = value if isinstance(value, list) else [value]
            flat.setdefault(name or "payload", []).extend(str(text) for text in texts)
    return flat
