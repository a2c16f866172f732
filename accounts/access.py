"""Who may call a route: declared once beside it, checked before it runs.

Every view function carries `@allow(…)`; a test walks all routes and fails on one without. What a
caller may see *within* a route (own teams, own jurisdiction) is decided by the queries, which take
the `Actor`. No identity ever comes from a body.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, g, request

from accounts import actors
from accounts.actors import ANONYMOUS, Actor
from accounts.rules import Permission
from core.clock import utc_now
from core.db import db
from core.errors import ForbiddenError, NotSignedInError

View = TypeVar("View", bound=Callable[..., Any])


class Gate(enum.Enum):
    """How a route decides who may call it."""

    EVERYONE = "everyone"
    TOKEN = "token"  # the holder of the link that a message carried, checked by the service
    SIGNED_IN = "signed_in"
    PERMISSION = "permission"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Access:
    """The declaration of one route."""

    gate: Gate
    permission: Permission | None = None


EVERYONE = Access(Gate.EVERYONE)
TOKEN = Access(Gate.TOKEN)
SIGNED_IN = Access(Gate.SIGNED_IN)


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


def current_actor() -> Actor:
    """Who makes this request, found from its `Authorization` header; anonymous without one.

    Raises:
        NotSignedInError: a token was sent that is unknown, expired or revoked.
    """
    if "actor" not in g:
        header = request.headers.get("Authorization", "")
        scheme, _, token = header.partition(" ")
        if not header:
            g.actor = ANONYMOUS
        elif scheme.lower() != "bearer" or not token.strip():
            raise NotSignedInError("Send `Authorization: Bearer <token>`.")
        else:
            found = actors.find(db.session(), token.strip(), now=utc_now())
            if found is None:
                raise NotSignedInError("This token is unknown, expired or revoked.")
            g.actor = found
    actor: Actor = g.actor
    return actor


def install(app: Flask) -> None:
    """Refuse to start with a route that does not declare who may call it."""
    app.extensions["access_checked"] = False


def _check(access: Access) -> None:
    if access.gate in (Gate.EVERYONE, Gate.TOKEN, Gate.DEVICE):
        return
    actor = current_actor()
    if not actor.is_signed_in:
        raise NotSignedInError
    if access.permission is not None and not actor.holds(access.permission):
        raise ForbiddenError
