"""People as a city's administrators see and change them.

1. Who is seen: whoever holds a role where the actor manages people, with those roles only. Anybody
   else looks missing, and so does what they hold elsewhere.
2. What is given or taken: roles within the actor's scope, and none that may do more there than the
   actor may. An auditor's role is therefore the operator's to give and to take.
3. What concerns the whole account (deactivation, another second factor) is for those who manage
   every role of the person.
4. A city keeps at least one administrator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit, people, second_factor
from accounts.actors import Actor, Scope
from accounts.errors import (
    AlreadyHeldError,
    LastAdminError,
    OwnAccountError,
    WiderThanOwnError,
    WorksElsewhereError,
)
from accounts.models import Person, RoleGrant, SecondFactor, Team
from accounts.rules import PERMISSIONS, Permission, Role
from core.errors import InvalidError, NotFoundError
from geo import jurisdictions

#: Keeps this use of advisory locks apart from others.
_ADMINS = 0xAD31


@dataclass(frozen=True, slots=True)
class Place:
    """Where a role holds: a jurisdiction, or one team of it."""

    jurisdiction_id: int
    team_id: int | None


@dataclass(frozen=True, slots=True)
class HeldRole:
    """A role that the actor manages."""

    id: int
    role: Role
    jurisdiction: str
    team: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A person as an administrator sees them."""

    id: UUID
    name: str | None
    email: str | None
    phone: str | None
    locale: str | None
    is_active: bool
    has_second_factor: bool
    roles: Sequence[HeldRole]


def place_of(session: Session, actor: Actor, jurisdiction: str | None, team: str | None) -> Place:
    """Where a role is meant: by codes, or because there is but one place that the actor manages.

    Raises:
        InvalidError: several are managed, and none is named.
        NoSuchTeamError, NoJurisdictionError: there is none of that code.
    """
    scope = _scope(actor)
    if jurisdiction is not None:
        jurisdiction_id = jurisdictions.by_code(session, jurisdiction).id
    else:
        managed = {*scope.jurisdiction_ids, *_cities_of(session, scope.team_ids)}
        if len(managed) != 1:
            raise InvalidError("Say which: you manage several.", field="jurisdiction")
        jurisdiction_id = next(iter(managed))
    team_id = people.find_team(session, jurisdiction_id, team).id if team is not None else None
    return Place(jurisdiction_id, team_id)


def check_may_give(actor: Actor, role: Role, place: Place) -> None:
    """Refuse what the actor could not do there themselves.

    Raises:
        WiderThanOwnError
    """
    needed = {Permission.MANAGE_PEOPLE, *PERMISSIONS[role]}
    if not all(actor.may(each, place.jurisdiction_id, place.team_id) for each in needed):
        raise WiderThanOwnError(field="role")


def list_people(
    session: Session, actor: Actor, *, after: UUID | None, limit: int
) -> Sequence[Seen]:
    """Those who hold a role that the actor manages, in the order in which they came."""
    rows = session.scalars(
        sa.select(Person)
        .where(
            sa.exists().where(RoleGrant.person_id == Person.id, _within(_scope(actor))),
            *([Person.id > after] if after is not None else []),
        )
        .order_by(Person.id)
        .limit(limit)
    ).all()
    return _seen(session, actor, rows)


def find(session: Session, actor: Actor, person_id: UUID) -> Seen:
    """One of them.

    Raises:
        NotFoundError: nobody, or nobody whom the actor manages.
    """
    return _seen(session, actor, [_managed(session, actor, person_id)])[0]


def give_role(
    session: Session, actor: Actor, person_id: UUID, role: Role, place: Place, *, now: datetime
) -> None:
    """Give somebody a further role.

    Raises:
        NotFoundError: nobody whom the actor manages.
        WiderThanOwnError: the role may do more than the actor may there.
        AlreadyHeldError
    """
    person = _managed(session, actor, person_id)
    check_may_give(actor, role, place)
    if not people.grant(session, person.id, role, place.jurisdiction_id, place.team_id, now):
        raise AlreadyHeldError
    _enter_role(session, actor, person.id, role, place, "given", now)


def take_role(
    session: Session, actor: Actor, person_id: UUID, grant_id: int, *, now: datetime
) -> None:
    """Take a role away; from the next request on it counts no more.

    Raises:
        NotFoundError: no such role that the actor manages.
        WiderThanOwnError: the role may do more than the actor may there.
        LastAdminError
    """
    _managed(session, actor, person_id)
    row = session.scalar(
        sa.select(RoleGrant).where(
            RoleGrant.id == grant_id, RoleGrant.person_id == person_id, _within(_scope(actor))
        )
    )
    if row is None:
        raise NotFoundError
    role, place = Role(row.role), Place(row.jurisdiction_id, row.team_id)
    check_may_give(actor, role, place)
    _keep_an_admin(session, person_id, [place] if role is Role.ADMIN else [])
    taken = session.execute(
        sa.delete(RoleGrant).where(RoleGrant.id == grant_id).returning(RoleGrant.id)
    )
    if taken.one_or_none() is None:
        # Somebody else took it while this call waited.
        raise NotFoundError
    people.end_invitations(session, person_id, place.jurisdiction_id, now)
    _enter_role(session, actor, person_id, role, place, "taken", now)


def deactivate(session: Session, actor: Actor, person_id: UUID, *, now: datetime) -> None:
    """Shut somebody out: sessions and keys end at once, signing in is refused. Repeatable.

    Raises:
        NotFoundError: nobody whom the actor manages.
        OwnAccountError, WorksElsewhereError, LastAdminError
    """
    person = _whole(session, actor, person_id)
    if not person.is_active:
        return
    grants = session.scalars(sa.select(RoleGrant).where(RoleGrant.person_id == person_id)).all()
    _keep_an_admin(
        session,
        person_id,
        [Place(g.jurisdiction_id, g.team_id) for g in grants if g.role == Role.ADMIN],
    )
    people.shut_out(session, person, now=now)
    _enter(session, actor, person_id, "deactivated", now)


def reactivate(session: Session, actor: Actor, person_id: UUID, *, now: datetime) -> None:
    """Let somebody in again, with the roles they had; sessions and keys stay ended. Repeatable.

    Raises:
        NotFoundError: nobody whom the actor manages.
        OwnAccountError, WorksElsewhereError
    """
    person = _whole(session, actor, person_id)
    if person.is_active:
        return
    person.is_active = True
    session.flush()
    _enter(session, actor, person_id, "reactivated", now)


def reset_second_factor(session: Session, actor: Actor, person_id: UUID, *, now: datetime) -> None:
    """Take the second factor off the account of somebody who lost it; their sessions end.

    Raises:
        NotFoundError: nobody whom the actor manages.
        OwnAccountError: one's own is turned off with a proof, at `/me/second-factor`.
        WorksElsewhereError
    """
    person = _whole(session, actor, person_id)
    second_factor.turn_off(session, person.id)
    people.end_sessions(session, person.id, now)
    audit.record(
        session,
        actor,
        audit.Action.SECOND_FACTOR_CHANGED,
        audit.Subject("person", person.id),
        now=now,
        data={"change": "reset"},
    )


def _scope(actor: Actor) -> Scope:
    return actor.scope(Permission.MANAGE_PEOPLE)


def _within(scope: Scope) -> sa.ColumnElement[bool]:
    """A role that the scope covers."""
    return sa.or_(
        RoleGrant.jurisdiction_id.in_(scope.jurisdiction_ids), RoleGrant.team_id.in_(scope.team_ids)
    )


def _managed(session: Session, actor: Actor, person_id: UUID) -> Person:
    person = session.scalar(
        sa.select(Person).where(
            Person.id == person_id,
            sa.exists().where(RoleGrant.person_id == Person.id, _within(_scope(actor))),
        )
    )
    if person is None:
        raise NotFoundError
    return person


def _whole(session: Session, actor: Actor, person_id: UUID) -> Person:
    """Somebody else, every role of whom the actor manages; held."""
    _managed(session, actor, person_id)
    if person_id == actor.person_id:
        raise OwnAccountError
    person = session.get_one(Person, person_id, with_for_update=True, populate_existing=True)
    for row in session.scalars(sa.select(RoleGrant).where(RoleGrant.person_id == person_id)):
        try:
            check_may_give(actor, Role(row.role), Place(row.jurisdiction_id, row.team_id))
        except WiderThanOwnError as error:
            raise WorksElsewhereError from error
    return person


def _keep_an_admin(session: Session, person_id: UUID, places: Sequence[Place]) -> None:
    """Refuse to leave a city without an administrator of the whole of it."""
    cities = sorted({place.jurisdiction_id for place in places if place.team_id is None})
    for jurisdiction_id in cities:
        # Two administrators who remove each other come after one another, and the second one
        # sees, in a statement that begins now, what the first one did.
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADMINS, jurisdiction_id)))
        admins = session.scalars(
            sa.select(RoleGrant.person_id)
            .join(Person, Person.id == RoleGrant.person_id)
            .where(
                RoleGrant.jurisdiction_id == jurisdiction_id,
                RoleGrant.team_id.is_(None),
                RoleGrant.role == Role.ADMIN.value,
                Person.is_active,
            )
        ).all()
        if all(admin == person_id for admin in admins):
            raise LastAdminError


def _cities_of(session: Session, team_ids: frozenset[int]) -> Sequence[int]:
    return session.scalars(
        sa.select(Team.jurisdiction_id).where(Team.id.in_(team_ids)).distinct()
    ).all()


def _seen(session: Session, actor: Actor, rows: Sequence[Person]) -> list[Seen]:
    ids = [row.id for row in rows]
    roles: dict[UUID, list[HeldRole]] = {}
    for grant, team in session.execute(
        sa.select(RoleGrant, Team.code)
        .outerjoin(Team, Team.id == RoleGrant.team_id)
        .where(RoleGrant.person_id.in_(ids), _within(_scope(actor)))
        .order_by(RoleGrant.id)
    ):
        place = jurisdictions.by_id(session, grant.jurisdiction_id)
        roles.setdefault(grant.person_id, []).append(
            HeldRole(grant.id, Role(grant.role), place.code, team)
        )
    with_factor = set(
        session.scalars(
            sa.select(SecondFactor.person_id).where(
                SecondFactor.person_id.in_(ids), SecondFactor.confirmed_at.is_not(None)
            )
        )
    )
    return [
        Seen(
            id=row.id,
            name=row.name,
            email=row.email,
            phone=row.phone,
            locale=row.locale,
            is_active=row.is_active,
            has_second_factor=row.id in with_factor,
            roles=roles.get(row.id, []),
        )
        for row in rows
    ]


def _enter(session: Session, actor: Actor, person_id: UUID, change: str, now: datetime) -> None:
    audit.record(
        session,
        actor,
        audit.Action.PERSON_CHANGED,
        audit.Subject("person", person_id),
        now=now,
        data={"change": change},
    )


def _enter_role(
    session: Session,
    actor: Actor,
    person_id: UUID,
    role: Role,
    place: Place,
    change: str,
    now: datetime,
) -> None:
    data: Mapping[str, object] = {
        "change": change,
        "role": role.value,
        "team_id": place.team_id,
    }
    audit.record(
        session,
        actor,
        audit.Action.ROLE_CHANGED,
        audit.Subject("person", person_id, place.jurisdiction_id),
        now=now,
        data=data,
    )
