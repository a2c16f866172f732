"""Who may call a route: declared once beside it, checked before it runs, shown in the API document.

Every view function carries `@allow(…)`; the application does not start with a route that does
not. What a caller may see *within* a route (own teams, own jurisdiction) is decided by the
queries, which take the `Actor`. No identity ever comes from a body.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

import apispec
import sqlalchemy as sa
import structlog
from flask import Flask, Response, g, request
from werkzeug.routing import Rule

from accounts import actors, cookies, keys, sessions
from accounts.actors import ANONYMOUS, Actor
from accounts.errors import SecondFactorNeededError, SessionNeededError
from accounts.rules import PERMISSIONS, SEEN_RECORDED_EVERY, Permission
from core.clock import utc_now
from core.db import db, transaction
from core.errors import DomainError, ForbiddenError, NotSignedInError
from core.limits import DEVICE_KEY_PREFIX, Caller

log = structlog.get_logger()

View = TypeVar("View", bound=Callable[..., Any])

#: Routes that libraries add by themselves: the API document, and files of a `static` folder.
LIBRARY_ENDPOINTS = frozenset({"api-docs.openapi_json", "static"})

#: The name of our one way to sign a call, in the API document.
SECURITY_SCHEME = "bearer"

#: The name of the way in which sensing devices sign theirs.
DEVICE_SCHEME = "deviceKey"


class Gate(enum.Enum):
    """How a route decides who may call it."""

    EVERYONE = "everyone"
    TOKEN = "token"  # the holder of the link that a message carried, checked by the service
    SIGNED_IN = "signed_in"
    SESSION = "session"  # signed in as a person; a key, which a program holds, does not do
    PERMISSION = "permission"
    DEVICE = "device"  # a sensing device with its key, checked by the service


@dataclass(frozen=True, slots=True)
class Access:
    """The declaration of one route."""

    gate: Gate
    permission: Permission | None = None

    @property
    def needs_sign_in(self) -> bool:
        """Whether a call without a valid token or key is refused."""
        return self.gate in (Gate.SIGNED_IN, Gate.SESSION, Gate.PERMISSION)

    @property
    def in_words(self) -> str:
        """Who may call, for the API document."""
        if self.permission is not None:
            roles = [str(role) for role, held in PERMISSIONS.items() if self.permission in held]
            return f"Staff with the permission `{self.permission}` ({', '.join(roles)})."
        return _IN_WORDS[self.gate]


_IN_WORDS = {
    Gate.EVERYONE: "Everyone.",
    Gate.TOKEN: (
        "The holder of the token that a message or an answer carried; where it is about their own"
        " report or following, also who is signed in."
    ),
    Gate.SIGNED_IN: "Everyone who is signed in.",
    Gate.SESSION: "Everyone who is signed in with a session; a key does not do.",
    Gate.DEVICE: "A sensing device with its key.",
}

EVERYONE = Access(Gate.EVERYONE)
TOKEN = Access(Gate.TOKEN)
SIGNED_IN = Access(Gate.SIGNED_IN)
SESSION = Access(Gate.SESSION)
DEVICE = Access(Gate.DEVICE)


class UndeclaredRouteError(RuntimeError):
    """A route does not say who may call it: our own defect, found at start."""


def permission(needed: Permission) -> Access:
    """Those who hold that permission in at least one jurisdiction or team."""
    return Access(Gate.PERMISSION, needed)


def allow(access: Access) -> Callable[[View], View]:
    """Declare who may call a view; the outermost decorator but `route`."""

    def declare(view: View) -> View:
        @functools.wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            _check(access)
            return view(*args, **kwargs)

        checked.access = access  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return declare


def device_key() -> str:
    """The key that a sensing device signs this request with; whether it is good, the service says.

    Raises:
        NotSignedInError: there is none.
    """
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key.startswith(DEVICE_KEY_PREFIX):
        raise NotSignedInError("Send `Authorization: Bearer <device key>`.")
    return key


def current_actor() -> Actor:
    """Who makes this request: by its `Authorization` header, else by the cookie of a browser's
    session; anonymous without either.

    A cookie whose session is over is as good as none: its holder did not send it on purpose.

    Raises:
        NotSignedInError: a token was sent that is unknown, expired or revoked.
        CsrfFailedError: a browser's session would change something, and does not show that its
            owner meant to.
    """
    if "actor" not in g:
        header = request.headers.get("Authorization", "")
        g.actor = _by_header(header) if header else _by_cookie()
    actor: Actor = g.actor
    return actor


def current_person_id() -> UUID:
    """Who is signed in, in a view that lets nobody else in (`SIGNED_IN`, a permission)."""
    person_id = current_actor().person_id
    assert person_id is not None
    return person_id


def _by_header(header: str) -> Actor:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotSignedInError("Send `Authorization: Bearer <token>`.")
    found = actors.find(db.session(), token.strip(), now=utc_now())
    if found is None or found.is_browser:
        raise NotSignedInError("This token is unknown, expired or revoked.")
    return found


def _by_cookie() -> Actor:
    token = cookies.sent()
    found = None if token is None else actors.find(db.session(), token, now=utc_now())
    if found is None or found.session_id is None or not found.is_browser:
        return ANONYMOUS
    if request.method not in cookies.SAFE_METHODS:
        cookies.check_csrf(found.session_id)
    return found


def caller() -> Caller | None:
    """Who makes this request, for its rate limit; None when that is not known by a valid token."""
    header = request.headers.get("Authorization", "")
    if header.partition(" ")[2].startswith(DEVICE_KEY_PREFIX):
        # A phone is nobody, and nobody's key is looked up for it.
        return None
    if not header and cookies.sent() is None:
        return None
    try:
        actor = current_actor()
    except DomainError:
        # The view says what is wrong with the token, if it asks for one at all.
        return None
    except sa.exc.SQLAlchemyError:
        # Likewise of the database.
        db.session.rollback()
        return None
    return Caller(str(actor.person_id), is_staff=actor.is_staff) if actor.is_signed_in else None


def install(app: Flask) -> None:
    """Hold what browsers send to their own pages; note the use of keys and sessions afterwards."""
    app.before_request(_check_browser)
    app.after_request(_record_use)


def check_routes(app: Flask) -> None:
    """Refuse to start with a route that does not declare who may call it.

    Raises:
        UndeclaredRouteError: names every such route.
    """
    missing = sorted(
        f"{method} {rule.rule} ({rule.endpoint})"
        for rule, method, access in declarations(app)
        if access is None
    )
    if missing:
        raise UndeclaredRouteError(
            "These routes do not declare who may call them (accounts.access.allow): "
            + ", ".join(missing)
        )


def declarations(app: Flask) -> Iterator[tuple[Rule, str, Access | None]]:
    """Every route and method of `app` with its declaration, None where there is none."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method, declared(app, rule, method)


def declared(app: Flask, rule: Rule, method: str) -> Access | None:
    """Who may call that method of that route; None when it is not declared."""
    if rule.endpoint in LIBRARY_ENDPOINTS or rule.endpoint.endswith(".static"):
        return EVERYONE
    view: Any = app.view_functions[rule.endpoint]
    view_class = getattr(view, "view_class", None)
    if view_class is not None:
        view = getattr(view_class, method.lower(), None)
    access: Access | None = getattr(view, "access", None)
    return access


class AccessInDocument(apispec.BasePlugin):
    """Writes into the API document who may call each operation, and how a call is signed."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def init_spec(self, spec: apispec.APISpec) -> None:
        """Declare the bearer scheme."""
        spec.components.security_scheme(
            SECURITY_SCHEME,
            {
                "type": "http",
                "scheme": "bearer",
                "description": "The token of a session (`POST /api/v1/sessions`), or an API key.",
            },
        )
        spec.components.security_scheme(
            DEVICE_SCHEME,
            {
                "type": "http",
                "scheme": "bearer",
                "description": "The key of a sensing device (`POST /api/v1/devices`).",
            },
        )

    def operation_helper(
        self,
        path: str | None = None,  # noqa: ARG002 (the name is apispec's)
        operations: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Complete the operations of one route."""
        rule: Rule = kwargs["rule"]
        for method, operation in (operations or {}).items():
            access = declared(self._app, rule, method.upper())
            if access is None:
                continue
            said = operation.get("description", "").rstrip()
            who = f"**Who may call:** {access.in_words}"
            operation["description"] = f"{said}\n\n{who}" if said else who
            if access.gate is Gate.DEVICE:
                operation["security"] = [{DEVICE_SCHEME: []}]
                operation.setdefault("responses", {}).setdefault(
                    "401", HTTPStatus.UNAUTHORIZED.name
                )
            elif access.needs_sign_in:
                operation["security"] = [{SECURITY_SCHEME: []}]
                responses = operation.setdefault("responses", {})
                responses.setdefault("401", HTTPStatus.UNAUTHORIZED.name)
                if access.gate in (Gate.SESSION, Gate.PERMISSION):
                    responses.setdefault("403", HTTPStatus.FORBIDDEN.name)
            else:
                # Signing is possible, and shows staff more; `{}` says that it is not needed.
                operation["security"] = [{}, {SECURITY_SCHEME: []}]


def describe(app: Flask, spec: apispec.APISpec) -> None:
    """Let `spec` say who may call what; before the first blueprint is registered with it."""
    plugin = AccessInDocument(app)
    plugin.init_spec(spec)
    spec.plugins = [*spec.plugins, plugin]


def _check(access: Access) -> None:
    if access.gate is Gate.DEVICE:
        device_key()
    if not access.needs_sign_in:
        return
    actor = current_actor()
    if not actor.is_signed_in:
        raise NotSignedInError
    if access.gate is Gate.SESSION and actor.session_id is None:
        raise SessionNeededError
    if access.permission is not None and not actor.holds(access.permission):
        raise SecondFactorNeededError if actor.is_second_factor_needed else ForbiddenError


def _check_browser() -> None:
    """Whatever a browser's session changes is checked, whether or not the view asks who it is."""
    if (
        request.method not in cookies.SAFE_METHODS
        and request.endpoint is not None
        and "Authorization" not in request.headers
        and cookies.sent() is not None
    ):
        current_actor()


def _record_use(response: Response) -> Response:
    """After the view has ended its transaction, in one of its own, and not every time."""
    actor: Actor | None = g.get("actor")
    if actor is None or not actor.is_signed_in:
        return response
    now = utc_now()
    if actor.api_key_id is not None:
        seen_at, every = actor.key_used_at, keys.USE_RECORDED_EVERY
    else:
        seen_at, every = actor.session_seen_at, SEEN_RECORDED_EVERY
    if seen_at is not None and now - seen_at < every:
        return response
    try:
        # Whatever the view left unsaved was not meant to be saved.
        db.session.rollback()
        with transaction() as session:
            if actor.api_key_id is not None:
                keys.record_use(session, actor.api_key_id, now=now)
            elif actor.session_id is not None:
                sessions.record_seen(session, actor.session_id, now=now)
    except sa.exc.SQLAlchemyError as error:
        # The answer stands; that it was used is known again from the next use.
        log.warning("access.use_not_recorded", error=type(error).__name__)
    return response
