"""What every page has: its language, its frame, its headers, and its errors as pages.

What a link lets its holder do is proved by the token in the link itself, which no other site can
know. For the same reason no page tells another site its address (`Referrer-Policy`), and pages with
a token are kept by no cache.

Who signs in on a page is known by a cookie (`accounts.cookies`), which a browser adds to whatever
it sends. So while somebody is signed in every form carries the CSRF token of their session, those
behind a link too, and `accounts.access` takes none without. A page that shows who is signed in is
kept by no cache either.
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
    g,
    make_response,
    redirect,
    render_template,
    request,
    send_from_directory,
    url_for,
)
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from accounts import cookies
from accounts.access import EVERYONE, allow, current_actor
from accounts.actors import ANONYMOUS, Actor
from accounts.destinations import local_path
from core.api import http_problem
from core.errors import DomainError, NotSignedInError
from core.i18n import LANGUAGES, asked_for, language_of
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
    opens_session: bool = False,
    **context: Any,
) -> Response:
    """A rendered page.

    Args:
        locale: language to fall back to when the reader names none that is offered.
        is_private: the address carries a secret: no cache, no search engine.
        opens_session: its form signs somebody in, and must be able to say that it is ours.
    """
    reader = _reader(is_error=status >= 500)
    lang = reader_language(locale or reader.locale)
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
            reader=reader,
            csrf_field=_csrf_field(reader),
            leads_to=local_path(request.args.get("next")),
            **context,
        ),
        status,
    )
    response.headers["Content-Language"] = lang
    response.headers["Vary"] = "Accept-Language, Cookie"
    if is_private or status >= 400:
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Robots-Tag"] = "noindex"
    if opens_session:
        # With `no-referrer` a browser says `Origin: null` of our own forms.
        response.headers["Referrer-Policy"] = "same-origin"
    return response


def _reader(*, is_error: bool) -> Actor:
    """Who reads the page, for its head; on the page of a failure the database is not asked."""
    known: Actor | None = g.get("actor")
    if known is not None:
        return known
    if is_error or cookies.sent() is None:
        return ANONYMOUS
    try:
        return current_actor()
    except DomainError:
        # The error in hand may be this very one.
        return ANONYMOUS


def _csrf_field(reader: Actor) -> Markup:
    """What every form holds while somebody is signed in."""
    if reader.session_id is None or not reader.is_browser:
        return Markup()
    value = cookies.csrf_token(reader.session_id)
    return Markup('<input type="hidden" name="{}" value="{}">').format(cookies.CSRF_FIELD, value)


def reader_language(locale: str | None = None) -> str:
    """`?lang`, else what the browser asks for, else `locale`, else the first language offered."""
    asked = request.args.get("lang", "")
    if asked in LANGUAGES:
        return asked
    return asked_for(request.accept_languages) or language_of(locale)


def _same_page(lang: str) -> str:
    """This page in another language. A page that answered a POST is left by GET."""
    arguments: dict[str, Any] = {**(request.view_args or {}), "lang": lang}
    leads_to = local_path(request.args.get("next"))
    if leads_to is not None:
        arguments["next"] = leads_to
    if request.args.get("for") == "app":
        arguments["for"] = "app"
    return url_for(request.endpoint, **arguments) if request.endpoint else f"/?lang={lang}"


@blueprint.after_request
def _protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
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


#: What a page says of an error, by its code or its status.
_KINDS: Mapping[str | int, str] = {
    "csrf_failed": "csrf",
    401: "sign_in",
    403: "forbidden",
    404: "not_found",
    405: "not_found",
    410: "gone",
    429: "too_many",
    503: "away",
}


def error_page(status: int, code: str, wait_s: int | None = None) -> Response:
    """The page of an error: what it is, and what the reader can do.

    Args:
        wait_s: in how many seconds the same may succeed, where that is known.
    """
    kind = _KINDS.get(code) or _KINDS.get(status) or ("defect" if status >= 500 else "refused")
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return page(
        "error.html", status=status, kind=kind, code=code, request_id=request_id, wait_s=wait_s
    )


@blueprint.errorhandler(NotSignedInError)
def _sign_in_first(error: NotSignedInError) -> ResponseReturnValue:
    """Whoever only wants to read signs in and is led back; what was sent is not sent again."""
    if request.method == "GET" and "Authorization" not in request.headers:
        wanted = local_path(request.full_path.rstrip("?"))
        return redirect(url_for("web.sign_in", next=wanted), 303)
    return error_page(error.status, error.code)


@blueprint.errorhandler(DomainError)
def _domain_error(error: DomainError) -> Response:
    answer = error_page(error.status, error.code, error.extra.get("retry_after"))
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
