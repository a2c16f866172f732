"""People: created by an operator or by the first proof of an address, given roles, deactivated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts import events, notices, passwords
from accounts.contact_rules import ContactPoint
from accounts.errors import (
    NoSuchPersonError,
    NoSuchTeamError,
    NotAnEmailError,
)
from accounts.models import ApiKey, Invitation, Person, RoleGrant, SignInSession, Team
from accounts.notices import AccountChange
from accounts.rules import (
    PERMISSIONS,
    STAFF_SESSION,
    Role,
    is_email,
    normal_email,
)
from core.ids import new_id
from core.outbox import emit
from geo import jurisdictions
from geo.models import Jurisdiction


@dataclass(frozen=True, slots=True)
class Given:
    """What `create_person` did."""

    person_id: UUID
    is_new_person: bool
    is_new_role: bool


@dataclass(frozen=True, slots=True)
class RoleHeld:
    """A role as people read it."""

    role: Role
    jurisdiction: str
    team: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A person in the operator's list."""

    email: str | None
    is_active: bool
    roles: tuple[RoleHeld, ...]
    keys: int


def create_person(
    session: Session,
    email: str,
    role: Role,
    *,
    jurisdiction_id: int | None,
    team_id: int | None,
    password: str | None,
    now: datetime,
) -> Given:
    """Make sure that somebody has that role and can sign in, verified and active.

    An existing person gets the role beside those they have; a password that differs from theirs
    replaces it and ends their sessions. The role of citizen is everybody's: nothing is stored for
    it.

    Raises:
        NotAnEmailError: it cannot be an address.
        WeakPasswordError: see `accounts.passwords.check_strength`.
    """
    email = normal_email(email)
    if not is_email(email):
        raise NotAnEmailError(f"{email!r} is not an e-mail address.", field="email")
    if password is not None:
        passwords.check_strength(password, email, about=_names_of(session, [jurisdiction_id]))
    person, is_new = _person_of(session, ContactPoint.email(email), locale=None, now=now)
    person.is_active = True
    person.verified_at = person.verified_at or now
    if password is not None and not passwords.fits(person.password_hash, password):
        person.password_hash = passwords.hashed(password)
        person.password_changed_at = now
        end_sessions(session, person.id, now)
        if not is_new:
            notices.tell(session, person.id, AccountChange.PASSWORD)
    session.flush()
    is_new_role = False
    if role is not Role.CITIZEN:
        if jurisdiction_id is None:
            raise ValueError(f"the role {role} is held in a jurisdiction")
        is_new_role = grant(session, person.id, role, jurisdiction_id, team_id, now)
    return Given(person.id, is_new, is_new_role)


def with_proven_contact(
    session: Session, contact: ContactPoint, *, locale: str | None, now: datetime
) -> Person | None:
    """The person of a contact that was just proved, created if need be; None if deactivated."""
    person, _ = _person_of(session, contact, locale=locale, now=now)
    if not person.is_active:
        return None
    person.verified_at = person.verified_at or now
    session.flush()
    return person


def deactivate(session: Session, email: str, *, now: datetime) -> UUID:
    """Shut somebody out at once (see `shut_out`). Their id.

    Raises:
        NoSuchPersonError
    """
    person = find_person(session, email)
    shut_out(session, person, now=now)
    return person.id


def shut_out(session: Session, person: Person, *, now: datetime) -> None:
    """End somebody's sessions and keys and what they offered, and refuse them from now on."""
    person.is_active = False
    session.flush()
    end_sessions(session, person.id, now)
    session.execute(
        sa.update(ApiKey)
        .where(ApiKey.person_id == person.id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    end_invitations(session, person.id, None, now)


def close(session: Session, person_id: UUID, *, now: datetime) -> None:
    """End an account at its holder's wish; what is held on them is erased by the pipeline.

    In the caller's transaction. Twice at once is once: the second finds nobody to let in.
    """
    person = session.get_one(Person, person_id, with_for_update=True, populate_existing=True)
    if not person.is_active:
        return
    shut_out(session, person, now=now)
    emit(session, events.ACCOUNT_CLOSED, person_id)


def end_invitations(
    session: Session, person_id: UUID, jurisdiction_id: int | None, now: datetime
) -> None:
    """What somebody offered, there or (None) anywhere, counts no more: they may not offer it."""
    session.execute(
        sa.update(Invitation)
        .where(
            Invitation.invited_by == person_id,
            Invitation.accepted_at.is_(None),
            Invitation.revoked_at.is_(None),
            *(
                [Invitation.jurisdiction_id == jurisdiction_id]
                if jurisdiction_id is not None
                else []
            ),
        )
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )


def find_person(session: Session, email: str) -> Person:
    """The person of that address.

    Raises:
        NoSuchPersonError
    """
    email = normal_email(email)
    person = session.scalar(sa.select(Person).where(Person.email == email))
    if person is None:
        raise NoSuchPersonError(f"Nobody has the e-mail address {email}.", field="email")
    return person


def find_team(session: Session, jurisdiction_id: int, code: str) -> Team:
    """The team at work of that code.

    Raises:
        NoSuchTeamError: none; the message names those there are.
    """
    teams = session.scalars(
        sa.select(Team)
        .where(Team.jurisdiction_id == jurisdiction_id, Team.is_active)
        .order_by(Team.code)
    ).all()
    for team in teams:
        if team.code == code:
            return team
    known = ", ".join(team.code for team in teams) or "none"
    raise NoSuchTeamError(f"There is no team {code}; there are: {known}.", field="team")


def roles_of(session: Session, person_id: UUID) -> list[RoleHeld]:
    """Somebody's roles, in the order in which they were given."""
    return [held for _, held in _roles(session, RoleGrant.person_id == person_id)]


def list_people(session: Session) -> list[Listed]:
    """Everybody with a role or a key, by address; two statements however many they are."""
    keys = (
        sa.select(ApiKey.person_id, sa.func.count().label("valid"))
        .where(ApiKey.revoked_at.is_(None))
        .group_by(ApiKey.person_id)
        .subquery()
    )
    roles: dict[UUID, list[RoleHeld]] = {}
    for person_id, held in _roles(session):
        roles.setdefault(person_id, []).append(held)
    rows = session.execute(
        sa.select(Person.id, Person.email, Person.is_active, sa.func.coalesce(keys.c.valid, 0))
        .outerjoin(keys, keys.c.person_id == Person.id)
        .where(
            sa.or_(
                keys.c.valid.is_not(None),
                sa.exists().where(RoleGrant.person_id == Person.id),
            )
        )
        .order_by(Person.email, Person.id)
    )
    return [
        Listed(email, is_active, tuple(roles.get(person_id, ())), count)
        for person_id, email, is_active, count in rows
    ]


def words_about(session: Session, person_id: UUID) -> Iterator[str]:
    """What a stranger knows of somebody, and would try as a password: name and cities."""
    name = session.scalar(sa.select(Person.name).where(Person.id == person_id))
    if name is not None:
        yield name
    yield from _names_of(
        session,
        session.scalars(
            sa.select(RoleGrant.jurisdiction_id).where(RoleGrant.person_id == person_id).distinct()
        ).all(),
    )


def _names_of(session: Session, jurisdiction_ids: Iterable[int | None]) -> Iterator[str]:
    for jurisdiction_id in jurisdiction_ids:
        if jurisdiction_id is not None:
            place = jurisdictions.by_id(session, jurisdiction_id)
            yield place.code
            yield from place.names.values()


def _roles(
    session: Session, *conditions: sa.ColumnElement[bool]
) -> Sequence[tuple[UUID, RoleHeld]]:
    rows = session.execute(
        sa.select(RoleGrant.person_id, RoleGrant.role, Jurisdiction.code, Team.code)
        .join(Jurisdiction, Jurisdiction.id == RoleGrant.jurisdiction_id)
        .outerjoin(Team, Team.id == RoleGrant.team_id)
        .where(*conditions)
        .order_by(RoleGrant.id)
    )
    return [(person_id, RoleHeld(Role(role), city, team)) for person_id, role, city, team in rows]


def _person_of(
    session: Session, contact: ContactPoint, *, locale: str | None, now: datetime
) -> tuple[Person, bool]:
    """The person of a contact, locked, and whether they were created now."""
    column = contact.kind.value
    while True:
        created = session.scalar(
            postgresql.insert(Person)
            .values(id=new_id(), locale=locale, created_at=now, **{column: contact.value})
            .on_conflict_do_nothing(index_elements=[column])
            .returning(Person.id)
        )
        person = session.scalar(
            sa.select(Person)
            .where(getattr(Person, column) == contact.value)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        # Whoever had the contact a moment ago may have given it up while we waited for the lock.
        if person is not None:
            return person, created is not None


def grant(
    session: Session,
    person_id: UUID,
    role: Role,
    jurisdiction_id: int,
    team_id: int | None,
    now: datetime,
) -> bool:
    """Give a role; False when it was held already."""
    given = session.scalar(
        postgresql.insert(RoleGrant)
        .values(
            person_id=person_id,
            role=role.value,
            jurisdiction_id=jurisdiction_id,
            team_id=team_id,
        )
        .on_conflict_do_nothing()
        .returning(RoleGrant.id)
    )
    if PERMISSIONS[role]:
        # A citizen's session lasts for days; with the powers of staff it must not.
        session.execute(
            sa.update(SignInSession)
            .where(
                SignInSession.person_id == person_id,
                SignInSession.expires_at > now + STAFF_SESSION,
            )
            .values(expires_at=now + STAFF_SESSION)
        )
    return given is not None


def end_sessions(session: Session, person_id: UUID, now: datetime) -> None:
    """End all of somebody's sessions."""
    session.execute(
        sa.update(SignInSession)
        .where(SignInSession.person_id == person_id, SignInSession.revoked_at.is_(None))
        .values(revoked_at=now)
    )
