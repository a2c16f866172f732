"""Who is asking: the actor behind a request, with what they may do and where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import ApiKey, GrantOrigin, Person, RoleGrant, SignInSession, SignInWay
from accounts.rules import PERMISSIONS, Permission, Role, is_idle
from accounts.secrets import KEY_PREFIX, SESSION_PREFIX, digest
from geo.models import Jurisdiction


@dataclass(frozen=True, slots=True)
class Grant:
    """A role in a jurisdiction, or in one team of it."""

    role: Role
    jurisdiction_id: int
    team_id: int | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a permission holds: whole jurisdictions, and single teams."""

    jurisdiction_ids: frozenset[int]
    team_ids: frozenset[int]

    @property
    def is_empty(self) -> bool:
        """Whether it holds nowhere."""
        return not self.jurisdiction_ids and not self.team_ids

    def covers(self, jurisdiction_id: int, team_id: int | None) -> bool:
        """Whether it holds for the work of that team in that jurisdiction."""
        return jurisdiction_id in self.jurisdiction_ids or (
            team_id is not None and team_id in self.team_ids
        )


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who makes a request; anonymous when `person_id` is None."""

    person_id: UUID | None = None
    session_id: UUID | None = None
    api_key_id: UUID | None = None
    email: str | None = None
    name: str | None = None
    locale: str | None = None
    #: What this person holds now, without what a missing second factor withholds.
    grants: tuple[Grant, ...] = ()
    #: When the key was last known to be used; None for a session and for a key's first use.
    key_used_at: datetime | None = None
    #: The permissions that a key is limited to; None: all that its person may do.
    scopes: frozenset[Permission] | None = None
    #: The session's token travels in a cookie, and is worth nothing in a header.
    is_browser: bool = False
    #: A one-time password or recovery code was shown in this session.
    has_second_factor: bool = False
    #: Roles are withheld because their jurisdiction demands a second factor of its staff.
    is_second_factor_needed: bool = False
    #: When the session was last known to be used.
    session_seen_at: datetime | None = None

    @property
    def is_signed_in(self) -> bool:
        """Whether it is known who this is."""
        return self.person_id is not None

    @property
    def is_staff(self) -> bool:
        """Whether any role lets this person into the staff's side."""
        return self.holds(Permission.READ_REPORTS)

    def holds(self, needed: Permission) -> bool:
        """Whether the permission holds anywhere."""
        return any(self._gives(grant, needed) for grant in self.grants)

    def scope(self, needed: Permission) -> Scope:
        """Where the permission holds."""
        fitting = [grant for grant in self.grants if self._gives(grant, needed)]
        return Scope(
            frozenset(grant.jurisdiction_id for grant in fitting if grant.team_id is None),
            frozenset(grant.team_id for grant in fitting if grant.team_id is not None),
        )

    def may(self, needed: Permission, jurisdiction_id: int, team_id: int | None) -> bool:
        """Whether the permission holds for the work of that team in that jurisdiction."""
        return self.scope(needed).covers(jurisdiction_id, team_id)

    def may_somewhere_in(self, needed: Permission, jurisdiction_id: int) -> bool:
        """Whether the permission holds in that jurisdiction, be it for one team's work only."""
        return any(
            grant.jurisdiction_id == jurisdiction_id and self._gives(grant, needed)
            for grant in self.grants
        )

    def _gives(self, grant: Grant, needed: Permission) -> bool:
        return needed in PERMISSIONS[grant.role] and (self.scopes is None or needed in self.scopes)


#: Somebody who did not say who they are.
ANONYMOUS = Actor()


def find(session: Session, token: str, *, now: datetime) -> Actor | None:
    """The actor whose session token or API key this is; None when it is not valid now.

    One statement; none for a token that neither of our prefixes starts.
    """
    if token.startswith(SESSION_PREFIX):
        statement = _by_session(digest(token), now)
    elif token.startswith(KEY_PREFIX):
        statement = _by_key(digest(token), now)
    else:
        return None
    rows = session.execute(statement).all()
    if not rows:
        return None
    first = rows[0]
    if (
        first.is_browser
        and any(row.role is not None and PERMISSIONS[Role(row.role)] for row in rows)
        and is_idle(first.session_seen_at or first.session_created_at, now)
    ):
        return None
    is_vouched_for = (
        first.api_key_id is not None
        or first.has_second_factor
        # The city's own provider asks for whatever the city wants asked.
        or first.way == SignInWay.OIDC
    )
    grants, withheld = [], False
    for row in rows:
        if row.role is None:
            continue
        role = Role(row.role)
        if (
            row.origin == GrantOrigin.OIDC
            and first.api_key_id is None
            and first.way != SignInWay.OIDC
        ):
            # Whoever left the city's directory still has a mailbox, or a password from before.
            continue
        if row.demands_second_factor and PERMISSIONS[role] and not is_vouched_for:
            withheld = True
            continue
        grants.append(Grant(role, row.jurisdiction_id, row.team_id))
    return Actor(
        person_id=first.id,
        session_id=first.session_id,
        api_key_id=first.api_key_id,
        email=first.email,
        name=first.name,
        locale=first.locale,
        grants=tuple(grants),
        key_used_at=first.key_used_at,
        scopes=_permissions(first.scopes),
        is_browser=bool(first.is_browser),
        has_second_factor=bool(first.has_second_factor),
        is_second_factor_needed=withheld,
        session_seen_at=first.session_seen_at,
    )


def _permissions(names: list[str] | None) -> frozenset[Permission] | None:
    """A permission that a later version no longer knows is none."""
    if names is None:
        return None
    known = {str(permission) for permission in Permission}
    return frozenset(Permission(name) for name in names if name in known)


_PERSON = (Person.id, Person.email, Person.name, Person.locale)
_GRANT = (
    RoleGrant.role,
    RoleGrant.origin,
    RoleGrant.jurisdiction_id,
    RoleGrant.team_id,
    (Jurisdiction.policy["sign_in"]["second_factor"].astext == "staff").label(
        "demands_second_factor"
    ),
)


def _by_session(hashed: bytes, now: datetime) -> sa.Select[*tuple[Any, ...]]:
    """One row per role of the session's person, or one without a role."""
    return (
        sa.select(
            *_PERSON,
            SignInSession.id.label("session_id"),
            sa.null().label("api_key_id"),
            sa.null().label("key_used_at"),
            sa.null().label("scopes"),
            SignInSession.way,
            SignInSession.is_browser,
            SignInSession.has_second_factor,
            SignInSession.last_seen_at.label("session_seen_at"),
            SignInSession.created_at.label("session_created_at"),
            *_GRANT,
        )
        .select_from(SignInSession)
        .join(Person, Person.id == SignInSession.person_id)
        .outerjoin(RoleGrant, RoleGrant.person_id == Person.id)
        .outerjoin(Jurisdiction, Jurisdiction.id == RoleGrant.jurisdiction_id)
        .where(
            SignInSession.token_hash == hashed,
            SignInSession.revoked_at.is_(None),
            SignInSession.expires_at > now,
            Person.is_active,
        )
        .order_by(RoleGrant.id)
    )


def _by_key(hashed: bytes, now: datetime) -> sa.Select[*tuple[Any, ...]]:
    """One row per role of the key's person, or one without a role."""
    return (
        sa.select(
            *_PERSON,
            sa.null().label("session_id"),
            ApiKey.id.label("api_key_id"),
            ApiKey.last_used_at.label("key_used_at"),
            ApiKey.scopes,
            sa.null().label("way"),
            sa.null().label("is_browser"),
            sa.null().label("has_second_factor"),
            sa.null().label("session_seen_at"),
            sa.null().label("session_created_at"),
            *_GRANT,
        )
        .select_from(ApiKey)
        .join(Person, Person.id == ApiKey.person_id)
        .outerjoin(RoleGrant, RoleGrant.person_id == Person.id)
        .outerjoin(Jurisdiction, Jurisdiction.id == RoleGrant.jurisdiction_id)
        .where(
            ApiKey.key_hash == hashed,
            ApiKey.revoked_at.is_(None),
            sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
            Person.is_active,
        )
        .order_by(RoleGrant.id)
    )
