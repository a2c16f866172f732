"""What every page has: its language, its frame, its headers, and its errors as pages.

No page sets or reads a cookie. What a link lets its holder do is proved by the token in the link
itself, which no other site can know or have the browser add: there is nothing for a forged request
to ride on, so the forms need no CSRF token. For the same reason no page tells another site its
address (`Referrer-Policy`), and pages with a token are kept by no cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from flask import (
    Blueprint,
    Flask,
    Response,
    make_response,
    render_template,
    request,
    send_from_directory,
    url_for,
)
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from accounts.access import EVERYONE, allow
from core.api import http_problem
from core.errors import DomainError
from core.i18n import LANGUAGES, language_of
from core.version import VERSION
from web.wording import wording

log = structlog.get_logger()

HERE = Path(__file__).parent

blueprint = Blueprint("web", __name__, template_folder="templates")

#: Everything a page may load comes from here: one style sheet and photos. No script at all.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)

_RETRY_AFTER_S = "5"

#: First parts of paths whose callers are programs: they get their errors as documents.
_FOR_PROGRAMS = ("/api/", "/open311/", "/ogc/", "/metrics", "/healthz", "/readyz")


class GoneError(DomainError):
    """The link was good once: it has expired, was used, or was replaced by a newer one."""

    status = 410
    code = "link_gone"
    title = "This link does not work any more"


def install(app: Flask) -> None:
    """Have strangers' wrong addresses answered with a page, and programs' with a document."""
    app.register_blueprint(blueprint)
    app.register_error_handler(404, _wrong_address)
    app.register_error_handler(405, _wrong_address)


def page(
    template: str,
    *,
    status: int = 200,
    locale: str | None = None,
    is_private: bool = False,
    **context: Any,
) -> Response:
    """A rendered page.

    Args:
        locale: language to fall back to when the reader names none that is offered.
        is_private: the address carries a secret: no cache, no search engine.
    """
    lang = reader_language(locale)
    response = make_response(
        render_template(
            template,
            t=wording(lang),
            lang=lang,
            other_langs=[
                (other, wording(other)("language"), _same_page(other))
                for other in LANGUAGES
                if other != lang
            ],
            lang_query={"lang": lang} if request.args.get("lang") else {},
            style_url=url_for("web.static_file", name="riverain.css", v=_fingerprint()),
            version=VERSION,
            **context,
        ),
        status,
    )
    response.headers["Content-Language"] = lang
    response.headers["Vary"] = "Accept-Language"
    if is_private or status >= 400:
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Robots-Tag"] = "noindex"
    return response


def reader_language(locale: str | None = None) -> str:
    """`?lang`, else what the browser asks for, else `locale`, else the first language offered."""
    asked = request.args.get("lang", "")
    if asked in LANGUAGES:
        return asked
    for wanted, quality in request.accept_languages:
        language = wanted.partition("-")[0].lower()
        if quality > 0 and language in LANGUAGES:
            return language
    return language_of(locale)


def _same_page(lang: str) -> str:
    """This page in another language. A page that answered a POST is left by GET."""
    arguments: Mapping[str, Any] = {**(request.view_args or {}), "lang": lang}
    return url_for(request.endpoint, **arguments) if request.endpoint else f"/?lang={lang}"


@blueprint.after_request
def _protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blueprint.get("/static/<path:name>")
@allow(EVERYONE)
def static_file(name: str) -> ResponseReturnValue:
    """Our one style sheet and its like; kept for a year under the fingerprint of its content."""
    is_this_version = request.args.get("v") == _fingerprint()
    response = send_from_directory(
        HERE / "static", name, max_age=31_536_000 if is_this_version else 300
    )
    response.cache_control.public = True
    return response


@cache
def _fingerprint() -> str:
    return hashlib.sha256((HERE / "static" / "riverain.css").read_bytes()).hexdigest()[:12]


# -- errors ---------------------------------------------------------------------------------------


def error_page(status: int, code: str) -> Response:
    """The page of an error: what it is, and what the reader can do."""
    kind = {404: "not_found", 410: "gone", 405: "not_found", 429: "too_many", 503: "away"}.get(
        status, "defect" if status >= 500 else "refused"
    )
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return page("error.html", status=status, kind=kind, code=code, request_id=request_id)


@blueprint.errorhandler(DomainError)
def _domain_error(error: DomainError) -> Response:
    answer = error_page(error.status, error.code)
    if error.status in (429, 503):
        answer.headers["Retry-After"] = str(error.extra.get("retry_after", _RETRY_AFTER_S))
    return answer


@blueprint.errorhandler(HTTPException)
def _http_error(error: HTTPException) -> Response:
    if error.code is None or error.code < 400:
        return error.get_response()  # type: ignore[return-value]
    answer = error_page(error.code, error.name.lower().replace(" ", "_"))
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            answer.headers[name] = value
    return answer


@blueprint.errorhandler(OperationalError)
@blueprint.errorhandler(PoolTimeoutError)
def _database_away(error: Exception) -> Response:
    log.error("database.away", error=type(error).__name__)
    answer = error_page(503, "unavailable")
    answer.headers["Retry-After"] = _RETRY_AFTER_S
    return answer


@blueprint.errorhandler(Exception)
def _defect(error: Exception) -> Response:
    log.error("request.failed", error=type(error).__name__, exc_info=error)
    return error_page(500, "internal")


def _wrong_address(error: HTTPException) -> ResponseReturnValue:
    """No route was found, so no blueprint answers: tell readers from programs."""
    accepts = request.accept_mimetypes
    is_reader = accepts.accept_html and accepts["text/html"] >= accepts["application/json"]
    if request.path.startswith(_FOR_PROGRAMS) or not is_reader:
        return http_problem(error)
    return _protect(_http_error(error))
