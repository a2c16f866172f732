"""Roles offered by e-mail.

1. `invite` stores the offer and emits `invitation.sent`; notifications render the link. Its token
   is derived from the invitation and its version, and stored nowhere.
2. `send_again` moves the version and the end: the link before is worth nothing.
3. `accept` proves the address, makes the account where there is none, and gives the role, once.

Accepting never replaces a password: whoever has one keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit, passwords, people
from accounts.actors import Actor, Scope
from accounts.contact_rules import ContactPoint
from accounts.errors import (
    AlreadyHeldError,
    AlreadyInvitedError,
    HasPasswordError,
    InactivePersonError,
)
from accounts.events import INVITATION_SENT
from accounts.models import Invitation, Person, RoleGrant, Team
from accounts.rules import INVITATION_LIFETIME, Permission, Role
from accounts.staff import administration
from accounts.staff.administration import Place
from core.errors import NotFoundError
from core.ids import new_id
from core.outbox import emit
from core.tokens import Purpose, matches, token_for
from geo import jurisdictions


@dataclass(frozen=True, slots=True)
class Offer:
    """An invitation as people read it."""

    id: UUID
    email: str
    name: str | None
    locale: str | None
    role: Role
    jurisdiction: str
    team: str | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Shown:
    """An invitation as the holder of its link sees it.

    Attributes:
        has_password: there is an account with a password, which accepting does not replace.
    """

    offer: Offer
    has_password: bool


def invite(
    session: Session,
    actor: Actor,
    email: str,
    role: Role,
    place: Place,
    *,
    name: str | None,
    locale: str | None,
    now: datetime,
) -> Offer:
    """Offer a role to an address, and have a letter sent there.

    Raises:
        WiderThanOwnError: the role may do more than the actor may there.
        AlreadyHeldError: the address's person has that role.
        AlreadyInvitedError: the same offer is open.
        InactivePersonError: a colleague whom the actor manages is deactivated.
    """
    administration.check_may_give(actor, role, place)
    is_same_role = (
        RoleGrant.role == role.value,
        RoleGrant.jurisdiction_id == place.jurisdiction_id,
        RoleGrant.team_id.is_not_distinct_from(place.team_id),
    )
    known = session.execute(
        sa.select(
            Person.is_active,
            sa.exists().where(RoleGrant.person_id == Person.id, *is_same_role).label("has_role"),
        ).where(Person.email == email)
    ).one_or_none()
    if known is not None and known.has_role:
        if not known.is_active:
            raise InactivePersonError(f"{email} is deactivated.", field="email")
        raise AlreadyHeldError(field="email")
    # Two who invite the same address at once must not both be the first.
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK, sa.func.hashtext(email))))
    is_open = session.scalar(
        sa.select(Invitation.id)
        .where(
            Invitation.email == email,
            Invitation.role == role.value,
            Invitation.jurisdiction_id == place.jurisdiction_id,
            Invitation.team_id.is_not_distinct_from(place.team_id),
            *_is_open(now),
        )
        .limit(1)
    )
    if is_open is not None:
        raise AlreadyInvitedError(field="email", invitation=str(is_open))
    row = Invitation(
        id=new_id(),
        email=email,
        name=name,
        locale=locale,
        role=role.value,
        jurisdiction_id=place.jurisdiction_id,
        team_id=place.team_id,
        invited_by=actor.person_id,
        created_at=now,
        expires_at=now + INVITATION_LIFETIME,
    )
    session.add(row)
    session.flush()
    emit(session, INVITATION_SENT, row.id, jurisdiction_id=row.jurisdiction_id)
    _enter(session, actor, row, "sent", now)
    return _offers(session, [row])[0]


def open_ones(
    session: Session, actor: Actor, *, after: UUID | None, limit: int, now: datetime
) -> list[Offer]:
    """The open invitations where the actor manages people, in the order in which they were made."""
    rows = session.scalars(
        sa.select(Invitation)
        .where(
            _within(actor.scope(Permission.MANAGE_PEOPLE)),
            *_is_open(now),
            *([Invitation.id > after] if after is not None else []),
        )
        .order_by(Invitation.id)
        .limit(limit)
    )
    return _offers(session, rows.all())


def send_again(session: Session, actor: Actor, invitation_id: UUID, *, now: datetime) -> Offer:
    """Send the letter again, with a new link that is good for another week.

    Raises:
        NotFoundError: no invitation that the actor manages, or it was accepted or revoked.
        WiderThanOwnError: the role may do more than the actor may there.
    """
    row = _managed(session, actor, invitation_id)
    administration.check_may_give(actor, Role(row.role), Place(row.jurisdiction_id, row.team_id))
    row.version += 1
    row.expires_at = now + INVITATION_LIFETIME
    row.invited_by = actor.person_id
    session.flush()
    emit(session, INVITATION_SENT, row.id, jurisdiction_id=row.jurisdiction_id)
    _enter(session, actor, row, "sent_again", now)
    return _offers(session, [row])[0]


def revoke(session: Session, actor: Actor, invitation_id: UUID, *, now: datetime) -> None:
    """Take an offer back.

    Raises:
        NotFoundError: no invitation that the actor manages, or it was accepted or revoked.
    """
    row = _managed(session, actor, invitation_id)
    row.revoked_at = now
    session.flush()
    _enter(session, actor, row, "revoked", now)


def token(secret: str, row: Invitation) -> str:
    """What the mailed link carries beside the invitation's id (`core.links.invitation_url`)."""
    return token_for(secret, Purpose.INVITATION, row.id, row.version)


def look(
    session: Session, secret: str, invitation_id: UUID, given: str, *, now: datetime
) -> Shown | None:
    """What the holder of the link is offered; None when the link is good for nothing."""
    row = session.scalar(
        sa.select(Invitation).where(Invitation.id == invitation_id, *_is_open(now))
    )
    if row is None or not _fits(secret, row, given):
        return None
    has_password = session.scalar(
        sa.select(Person.password_hash.is_not(None)).where(Person.email == row.email)
    )
    return Shown(_offers(session, [row])[0], bool(has_password))


def accept(
    session: Session,
    secret: str,
    invitation_id: UUID,
    given: str,
    *,
    password: str | None,
    name: str | None,
    now: datetime,
) -> Person | None:
    """Take the role; the person, or None when the link is good for nothing.

    In the transaction that opens the session (`signing_in.sign_in`): where that is refused, the
    invitation stays open.

    Raises:
        WeakPasswordError: see `accounts.passwords.check_strength`.
        HasPasswordError: a password was sent for an account that has one.
    """
    row = session.scalar(
        sa.select(Invitation)
        .where(Invitation.id == invitation_id, *_is_open(now))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None or not _fits(secret, row, given):
        return None
    contact = ContactPoint.email(row.email)
    person = people.with_proven_contact(session, contact, locale=row.locale, now=now)
    if person is None:
        return None
    if person.name is None:
        person.name = name or row.name
    role, place = Role(row.role), Place(row.jurisdiction_id, row.team_id)
    if people.grant(session, person.id, role, place.jurisdiction_id, place.team_id, now):
        audit.record(
            session,
            Actor(person_id=person.id),
            audit.Action.ROLE_CHANGED,
            audit.Subject("person", person.id, place.jurisdiction_id),
            now=now,
            data={
                "change": "accepted",
                "role": role.value,
                "team_id": place.team_id,
                "invitation_id": str(row.id),
            },
        )
    if password is not None:
        if person.password_hash is not None:
            raise HasPasswordError(field="password")
        session.flush()
        passwords.check_strength(password, row.email, about=people.words_about(session, person.id))
        person.password_hash = passwords.hashed(password)
        person.password_changed_at = now
    row.accepted_at = now
    session.flush()
    return person


#: Keeps this use of advisory locks apart from others.
_LOCK = 0x1A71


def _fits(secret: str, row: Invitation, given: str) -> bool:
    return matches(secret, Purpose.INVITATION, row.id, row.version, given)


def _is_open(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        Invitation.accepted_at.is_(None),
        Invitation.revoked_at.is_(None),
        Invitation.expires_at > now,
    )


def _within(scope: Scope) -> sa.ColumnElement[bool]:
    return sa.or_(
        Invitation.jurisdiction_id.in_(scope.jurisdiction_ids),
        Invitation.team_id.in_(scope.team_ids),
    )


def _managed(session: Session, actor: Actor, invitation_id: UUID) -> Invitation:
    """One that was neither accepted nor revoked; it may have ended. Held."""
    row = session.scalar(
        sa.select(Invitation)
        .where(
            Invitation.id == invitation_id,
            _within(actor.scope(Permission.MANAGE_PEOPLE)),
            Invitation.accepted_at.is_(None),
            Invitation.revoked_at.is_(None),
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise NotFoundError
    return row


def _offers(session: Session, rows: Sequence[Invitation]) -> list[Offer]:
    found = session.execute(
        sa.select(Team.id, Team.code).where(Team.id.in_({row.team_id for row in rows}))
    )
    teams = {row.id: row.code for row in found}
    return [
        Offer(
            id=row.id,
            email=row.email,
            name=row.name,
            locale=row.locale,
            role=Role(row.role),
            jurisdiction=jurisdictions.by_id(session, row.jurisdiction_id).code,
            team=teams[row.team_id] if row.team_id is not None else None,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )
        for row in rows
    ]


def _enter(session: Session, actor: Actor, row: Invitation, change: str, now: datetime) -> None:
    audit.record(
        session,
        actor,
        audit.Action.INVITATION_CHANGED,
        audit.Subject("invitation", row.id, row.jurisdiction_id),
        now=now,
        data={"change": change, "role": row.role, "team_id": row.team_id},
    )
