"""The cookie that a browser's session travels in, and the proof that a form is one of ours.

1. The cookie holds the token of a session that was opened for a browser; scripts cannot read it,
   and no other site's form brings it along (`SameSite=Lax`). Behind https its name begins with
   `__Host-`: no sub-domain and no plain connection can set it.
2. A browser sends it by itself, so a request that changes something must also show the CSRF token
   of the session: HMAC over the session's id, in a form's field or in a header, never in a cookie.
   And the browser must not say that the request comes from another site.
3. A form that opens a session has no session to derive a token from. It is held to its origin
   alone: nobody signs a visitor in as somebody else by a form on another site.

Who a token belongs to is found in `accounts.access`.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from flask import Response, current_app, request

from accounts.errors import CsrfFailedError
from accounts.signing_in import Opened
from core.tokens import Purpose, matches, token_for

#: Browsers take a cookie of this name only from its own host, over https, for every path.
SECURE_NAME = "__Host-riverain"

#: Where a developer has no certificate. Never beside https.
PLAIN_NAME = "riverain"

CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

#: Raised when the way CSRF tokens are made changes; ends those that are out.
_VERSION = 1


def is_secure() -> bool:
    """Whether people reach this installation over https."""
    return str(current_app.config["BASE_URL"]).startswith("https://")


def name() -> str:
    """The name of the cookie here."""
    return SECURE_NAME if is_secure() else PLAIN_NAME


def sent() -> str | None:
    """The token in the request's cookie."""
    if "HTTP_COOKIE" not in request.environ:
        # Nearly every call of a program: no dictionary of nothing is made for it.
        return None
    return request.cookies.get(name()) or None


def keep(response: Response, opened: Opened, *, now: datetime) -> None:
    """Have the browser keep a session until it expires."""
    response.set_cookie(
        name(),
        opened.token,
        max_age=max(0, int((opened.expires_at - now).total_seconds())),
        path="/",
        secure=is_secure(),
        httponly=True,
        samesite="Lax",
    )
    response.headers["Cache-Control"] = "no-store"


def drop(response: Response) -> None:
    """Have the browser forget the session."""
    response.delete_cookie(name(), path="/", secure=is_secure(), httponly=True, samesite="Lax")
    response.headers["Cache-Control"] = "no-store"


def csrf_token(session_id: UUID) -> str:
    """What forms and calls of that session carry."""
    return token_for(current_app.config["SECRET_KEY"], Purpose.CSRF, session_id, _VERSION)


def check_csrf(session_id: UUID) -> None:
    """See that the request comes from a page of ours, opened in that very session.

    Raises:
        CsrfFailedError: it does not carry the token, or comes from another site.
    """
    if _comes_from_elsewhere():
        raise CsrfFailedError
    given = request.headers.get(CSRF_HEADER)
    if given is None and not request.path.startswith("/api/"):
        # Pages have forms; a call to the API is not read before its own limits are set.
        given = request.form.get(CSRF_FIELD)
    if not matches(current_app.config["SECRET_KEY"], Purpose.CSRF, session_id, _VERSION, given):
        raise CsrfFailedError


def check_origin() -> None:
    """See that a form which opens a session was not sent from another site.

    Every browser since 2020 says where a form comes from; a program that says nothing is let
    through, because it has no visitor to deceive.

    Raises:
        CsrfFailedError: another site sent it, or one that does not want to be known.
    """
    if _comes_from_elsewhere() or (
        request.headers.get("Sec-Fetch-Site") is None and request.headers.get("Origin") == "null"
    ):
        raise CsrfFailedError


def _comes_from_elsewhere() -> bool:
    """Whether the browser says so; `same-site` is elsewhere too: a neighbour's sub-domain."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    # "null" is also said of forms on our own pages that tell no site their address.
    if origin is None or origin == "null":
        return False
    return origin.lower() not in _our_origins()


def _our_origins() -> frozenset[str]:
    base = urlsplit(current_app.config["BASE_URL"])
    return frozenset(
        {request.host_url.rstrip("/").lower(), f"{base.scheme}://{base.netloc}".lower()}
    )
