"""Who is asking: the actor behind a request, with what they may do and where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import ApiKey, Person, RoleGrant, SignInSession
from accounts.rules import PERMISSIONS, Permission, Role
from accounts.secrets import digest


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
    grants: tuple[Grant, ...] = ()

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
        return any(needed in PERMISSIONS[grant.role] for grant in self.grants)

    def scope(self, needed: Permission) -> Scope:
        """Where the permission holds."""
        fitting = [grant for grant in self.grants if needed in PERMISSIONS[grant.role]]
        return Scope(
            frozenset(grant.jurisdiction_id for grant in fitting if grant.team_id is None),
            frozenset(grant.team_id for grant in fitting if grant.team_id is not None),
        )

    def may(self, needed: Permission, jurisdiction_id: int, team_id: int | None) -> bool:
        """Whether the permission holds for the work of that team in that jurisdiction."""
        return self.scope(needed).covers(jurisdiction_id, team_id)


#: Somebody who did not say who they are.
ANONYMOUS = Actor()


def find(session: Session, token: str, *, now: datetime) -> Actor | None:
    """The actor whose session token or API key this is; None when it is not valid now."""
    hashed = digest(token)
    row = session.execute(
        sa.select(
            Person.id,
            Person.email,
            Person.name,
            Person.locale,
            SignInSession.id.label("session_id"),
            sa.null().label("api_key_id"),
        )
        .join(SignInSession, SignInSession.person_id == Person.id)
        .where(
            SignInSession.token_hash == hashed,
            SignInSession.revoked_at.is_(None),
            SignInSession.expires_at > now,
            Person.is_active,
        )
        .union_all(
            sa.select(
                Person.id,
                Person.email,
                Person.name,
                Person.locale,
                sa.null(),
                ApiKey.id,
            )
            .join(ApiKey, ApiKey.person_id == Person.id)
            .where(
                ApiKey.key_hash == hashed,
                ApiKey.revoked_at.is_(None),
                sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
                Person.is_active,
            )
        )
    ).one_or_none()
    if row is None:
        return None
    grants = session.execute(
        sa.select(RoleGrant.role, RoleGrant.jurisdiction_id, RoleGrant.team_id)
        .where(RoleGrant.person_id == row.id)
        .order_by(RoleGrant.id)
    )
    return Actor(
        person_id=row.id,
        session_id=row.session_id,
        api_key_id=row.api_key_id,
        email=row.email,
        name=row.name,
        locale=row.locale,
        grants=tuple(Grant(Role(role), city, team) for role, city, team in grants),
    )
