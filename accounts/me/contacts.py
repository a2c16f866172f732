"""How somebody can be reached: naming a contact, proving a new one, giving one up.

1. `ask` has a code sent to the new contact and word of it to the old ones. What the asker is told
   does not depend on whether somebody else has the contact.
2. `prove` makes it theirs, in place of the one of that kind they had. One that somebody else has is
   never moved: the database refuses, and only whoever can read its messages learns of it.
3. `give_up` takes one away, but the last.

What was reported or followed under a contact belongs to whoever proves it. That is another
feature's: it is asked through `Belongings`, which `create_app` binds.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit, challenges, notices
from accounts.actors import Actor
from accounts.audit import Action, Subject
from accounts.contact_rules import (
    CONTACTS_PER_HOUR,
    CONTACTS_WINDOW,
    ContactKind,
    ContactPoint,
    CountryNeededError,
    PhoneError,
    normal_phone,
    takes_texts,
)
from accounts.errors import (
    CountryMissingError,
    LastContactError,
    NotTextableError,
    OwnContactError,
    SecondFactorNeededError,
    TooManyContactsError,
)
from accounts.models import Person, RoleGrant, SecondFactor, SignInSession
from accounts.notices import AccountChange
from core.errors import InvalidError, NotFoundError
from geo import jurisdictions
from geo.errors import JurisdictionNeededError, NoJurisdictionError
from geo.jurisdictions import JurisdictionRef


class Belongings(Protocol):
    """What the rest of the house keeps under contacts of people; `create_app` binds who answers."""

    def claim(self, session: Session, person_id: UUID, contact: ContactPoint) -> None:
        """Note that whatever is kept under a contact, and is nobody's yet, is that person's."""

    def move(
        self, session: Session, person_id: UUID, old: ContactPoint, new: ContactPoint | None
    ) -> None:
        """Keep under the new contact what that person had under the old one; None: under none."""


class Proof(enum.Enum):
    """What came of proving a new contact."""

    DONE = "done"
    WRONG = "wrong"
    TAKEN = "taken"


def place_of(session: Session, code: str | None, default: str | None) -> JurisdictionRef | None:
    """In whose name a message goes out and whose numbers are read; None when nothing says so.

    Raises:
        UnknownJurisdictionError: there is none of that code.
    """
    try:
        return jurisdictions.resolve(session, code=code, default=default)
    except (JurisdictionNeededError, NoJurisdictionError):
        return None


def named(
    sent: Mapping[str, Any], place: JurisdictionRef | None, *, is_texted: bool = False
) -> ContactPoint:
    """The contact that a payload names by `email` (in its normal form) or `phone` (in any).

    Args:
        is_texted: whether a text will be sent there.

    Raises:
        InvalidError: it is no phone number.
        CountryMissingError: it is a national one, and nothing says of which country.
        NotTextableError
    """
    if sent.get("email") is not None:
        return ContactPoint(ContactKind.EMAIL, sent["email"])
    try:
        number = normal_phone(sent["phone"], place.country if place else None)
    except CountryNeededError as error:
        raise CountryMissingError(str(error), field="phone") from error
    except PhoneError as error:
        raise InvalidError(str(error), field="phone") from error
    if is_texted and not takes_texts(number):
        raise NotTextableError(field="phone")
    return ContactPoint(ContactKind.PHONE, number)


def ask(
    session: Session,
    actor: Actor,
    to: ContactPoint,
    *,
    place: JurisdictionRef | None,
    locale: str | None,
    now: datetime,
) -> UUID:
    """Have somebody's new contact proved; the id that `prove` is called with.

    Raises:
        SecondFactorNeededError: the session lacks the second factor that the person has.
        OwnContactError: it is theirs already.
        TooManyContactsError: they asked too often.
    """
    person = _owner(session, actor)
    if _value(person, to.kind) == to.value:
        raise OwnContactError(field=to.kind.value)
    asked = challenges.asked_lately(session, person.id, now - CONTACTS_WINDOW)
    if len(asked) >= CONTACTS_PER_HOUR:
        wait = asked[-CONTACTS_PER_HOUR] + CONTACTS_WINDOW - now
        raise TooManyContactsError(retry_after=max(1, int(wait.total_seconds())))
    return challenges.ask_contact(
        session,
        person,
        to,
        jurisdiction_id=place.id if place else None,
        locale=locale,
        now=now,
    )


def prove(
    session: Session,
    secret: str,
    actor: Actor,
    challenge_id: UUID,
    code: str,
    *,
    belongings: Belongings,
    now: datetime,
) -> Proof:
    """Make a contact somebody's own, by the code that was sent there.

    Whatever comes of it, the caller commits: a wrong code counts, and a right one is used up.

    Raises:
        SecondFactorNeededError: the session lacks the second factor that the person has.
    """
    person = _owner(session, actor)
    contact = challenges.answer_contact(session, secret, person.id, challenge_id, code, now=now)
    if contact is None:
        return Proof.WRONG
    old = _value(person, contact.kind)
    try:
        with session.begin_nested():
            setattr(person, contact.kind.value, contact.value)
            person.verified_at = now
            session.flush()
    except sa.exc.IntegrityError:
        session.refresh(person)
        return Proof.TAKEN
    if old is not None:
        # What came in under it since they last signed in is theirs as well.
        before = ContactPoint(contact.kind, old)
        belongings.claim(session, person.id, before)
        belongings.move(session, person.id, before, contact)
    belongings.claim(session, person.id, contact)
    notices.tell(session, person.id, AccountChange(contact.kind.value), challenge_id=challenge_id)
    _record(session, actor, person, contact.kind, "proved", now)
    return Proof.DONE


def give_up(
    session: Session,
    actor: Actor,
    kind: ContactKind,
    *,
    belongings: Belongings,
    now: datetime,
) -> None:
    """Be reached there no more.

    Raises:
        SecondFactorNeededError: the session lacks the second factor that the person has.
        NotFoundError: there is none of that kind.
        LastContactError: nothing else would be left; of staff, the e-mail address.
    """
    person = _owner(session, actor)
    value = _value(person, kind)
    if value is None:
        raise NotFoundError
    is_last = _value(person, ContactKind.PHONE if kind is ContactKind.EMAIL else ContactKind.EMAIL)
    if is_last is None or (kind is ContactKind.EMAIL and _is_staff(session, person.id)):
        raise LastContactError
    contact = ContactPoint(kind, value)
    belongings.claim(session, person.id, contact)
    belongings.move(session, person.id, contact, None)
    setattr(person, kind.value, None)
    session.flush()
    is_email = kind is ContactKind.EMAIL
    notices.tell(
        session,
        person.id,
        AccountChange.EMAIL_GIVEN_UP if is_email else AccountChange.PHONE_GIVEN_UP,
    )
    _record(session, actor, person, kind, "given_up", now)


def claim_all(session: Session, person: Person, belongings: Belongings) -> None:
    """After a sign-in by link or code: what is kept under the person's contacts is theirs."""
    for kind in ContactKind:
        value = _value(person, kind)
        if value is not None:
            belongings.claim(session, person.id, ContactPoint(kind, value))


def _owner(session: Session, actor: Actor) -> Person:
    """The person who acts with a session, locked.

    Raises:
        SecondFactorNeededError: they have one, and this session was opened without it.
    """
    person = session.get_one(Person, actor.person_id, with_for_update=True, populate_existing=True)
    has_factor = sa.exists().where(
        SecondFactor.person_id == person.id, SecondFactor.confirmed_at.is_not(None)
    )
    was_shown = sa.exists().where(
        SignInSession.id == actor.session_id, SignInSession.has_second_factor
    )
    is_weak = session.scalar(sa.select(sa.and_(has_factor, sa.not_(was_shown))))
    if is_weak:
        raise SecondFactorNeededError
    return person


def _value(person: Person, kind: ContactKind) -> str | None:
    return person.email if kind is ContactKind.EMAIL else person.phone


def _is_staff(session: Session, person_id: UUID) -> bool:
    return bool(session.scalar(sa.select(sa.exists().where(RoleGrant.person_id == person_id))))


def _record(
    session: Session, actor: Actor, person: Person, kind: ContactKind, what: str, now: datetime
) -> None:
    audit.record(
        session,
        actor,
        Action.PERSON_CHANGED,
        Subject("person", person.id),
        now=now,
        data={"contact": kind.value, "what": what},
    )
