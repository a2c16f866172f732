"""Signing in at a city's own identity provider: the way there, the way back, and what went wrong.

What must survive in between travels in a sealed cookie that this browser alone has, that scripts
cannot read, and that the way back takes away. `accounts.oidc` says how it is checked.
"""

from __future__ import annotations

from uuid import UUID

import structlog
from flask import Response, current_app, redirect, request
from flask.typing import ResponseReturnValue

from accounts import browsers, cookies, oidc, signing_in
from accounts.access import EVERYONE, allow
from accounts.destinations import local_path
from accounts.models import SignInWay
from accounts.oidc import Attempt, Failure, OidcError, Provider
from accounts.oidc import claims as oidc_claims
from core import idempotency
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import NotFoundError
from core.limits import Allowance, limited
from web.pages import blueprint, page, reader_language
from web.signing_in import end_previous

log = structlog.get_logger()

#: Where somebody arrives who asked for nothing else.
_HOME = "/account"

_COOKIE = "riverain-oidc"

#: What a provider says when it is in trouble itself (RFC 6749, section 4.1.2.1).
_THEIR_TROUBLE = frozenset({"server_error", "temporarily_unavailable"})

#: What it says when the person did not go through with it (OpenID Connect Core, section 3.1.2.6).
_THEIR_NO = frozenset(
    {
        "access_denied",
        "login_required",
        "interaction_required",
        "consent_required",
        "account_selection_required",
        "unmet_authentication_requirements",
    }
)


@blueprint.get("/sign-in/oidc/<jurisdiction>")
@allow(EVERYONE)
def to_provider(jurisdiction: str) -> ResponseReturnValue:
    """Send the browser to the city's provider."""
    now = utc_now()
    provider = _provider(jurisdiction)
    if provider is None:
        raise NotFoundError
    attempt = oidc.begin(provider, local_path(request.args.get("next")), now=now)
    try:
        url = _connector().client.authorization_url(
            provider, attempt, _redirect_uri(), reader_language(), now=now
        )
    except OidcError as error:
        return _failed(error, provider.jurisdiction)
    response = redirect(url, 303)
    response.set_cookie(
        _cookie_name(),
        oidc.seal(current_app.config["SECRET_KEY"], attempt),
        max_age=int(oidc.ATTEMPT_LIFETIME.total_seconds()),
        path="/",
        secure=cookies.is_secure(),
        httponly=True,
        # Lax: it must come along when the provider sends the browser back.
        samesite="Lax",
    )
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/sign-in/oidc/callback")
@allow(EVERYONE)
@limited(Allowance.SIGN_IN)
def from_provider() -> ResponseReturnValue:
    """Take the provider's answer, once."""
    now = utc_now()
    attempt: Attempt | None = None
    try:
        attempt = oidc.unseal(
            current_app.config["SECRET_KEY"],
            request.cookies.get(_cookie_name()),
            request.args.get("state"),
            now=now,
        )
        with transaction() as session:
            is_first = idempotency.spend(session, "oidc", attempt.state, now=now)
        if not is_first:
            raise OidcError(Failure.LOST, "attempt.used")
        provider = _provider(attempt.jurisdiction)
        if provider is None or provider.issuer != attempt.issuer:
            raise OidcError(Failure.LOST, "attempt.provider_changed")
        claims = _connector().client.redeem(
            provider,
            attempt,
            _code(provider),
            _redirect_uri(),
            said_issuer=request.args.get("iss"),
            now=now,
        )
        opened = None
        with transaction() as session:
            admitted = oidc.admit(session, provider, claims, now=now)
            if isinstance(admitted, UUID):
                end_previous(session, now)
                opened = signing_in.open_session(
                    session,
                    admitted,
                    way=SignInWay.OIDC,
                    has_second_factor=oidc_claims.has_several_factors(claims),
                    is_browser=True,
                    agent=browsers.kind_of(request.user_agent.string),
                    now=now,
                )
        # Raised after the commit: roles that the provider took are gone either way.
        if isinstance(admitted, Failure):
            raise OidcError(admitted)
    except OidcError as error:
        response = _failed(error, attempt.jurisdiction if attempt else None)
    else:
        assert opened is not None
        response = redirect(attempt.destination or _HOME, 303)  # type: ignore[assignment]
        cookies.keep(response, opened, now=now)
    response.delete_cookie(
        _cookie_name(), path="/", secure=cookies.is_secure(), httponly=True, samesite="Lax"
    )
    return response


def _code(provider: Provider) -> str:
    """The code that the provider's answer brought.

    Raises:
        OidcError: it comes from another provider (RFC 9207), or brings no code.
    """
    said_issuer = request.args.get("iss")
    if said_issuer is not None and said_issuer != provider.issuer:
        raise OidcError(Failure.UNVERIFIED, "answer.issuer")
    error = request.args.get("error")
    if error is not None:
        if error in _THEIR_NO:
            raise OidcError(Failure.REFUSED, f"answer.{error}")
        if error in _THEIR_TROUBLE:
            raise OidcError(Failure.AWAY, f"answer.{error}")
        raise OidcError(Failure.SETUP, "answer.error")
    code = request.args.get("code")
    if not code:
        raise OidcError(Failure.LOST, "answer.code_missing")
    return code


def _failed(error: OidcError, jurisdiction: str | None) -> Response:
    """The page that says what to do, and the one line that an administrator finds."""
    log.warning(
        "oidc.failed", failure=error.failure.value, cause=error.cause, jurisdiction=jurisdiction
    )
    response = page(
        "single_sign_on.html",
        status=error.status,
        is_private=True,
        failure=error.failure.value,
        again=oidc.path_of(jurisdiction) if jurisdiction else None,
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
    )
    if error.status == 503:
        response.headers["Retry-After"] = "30"
    return response


def _provider(jurisdiction: str) -> Provider | None:
    with reading() as session:
        return oidc.configured(session, jurisdiction, _connector().secrets)


def _connector() -> oidc.Connector:
    found: oidc.Connector = current_app.extensions["oidc"]
    return found


def _redirect_uri() -> str:
    return f"{current_app.config['BASE_URL']}/sign-in/oidc/callback"


def _cookie_name() -> str:
    return f"__Host-{_COOKIE}" if cookies.is_secure() else _COOKIE
