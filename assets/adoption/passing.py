"""Handing an asset over: its adopter offers it to an address, whoever has the address accepts.

The other side proves the address by the link of the letter, or by being signed in under it. Until
they accept, the adopter stays the adopter; the waiting list is not asked, for the place is not
free.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import people
from accounts.contact_rules import ContactPoint
from accounts.models import Person
from accounts.rules import is_email, normal_email
from assets.adoption import events, holding
from assets.adoption.claiming import own, refusal_of
from assets.adoption.errors import HandoverOpenError, LinkOverError, NotVerifiedError
from assets.adoption.models import Adoption, Handover
from assets.adoption.rules import HANDOVER_FOR, refusal
from assets.adoption.vocabulary import EndReason, Entry, HandoverState, Refusal
from assets.kinds import kinds_of
from core.errors import InvalidError, NotFoundError
from core.outbox import EventName, emit
from core.tokens import Purpose, matches

#: Hand-overs that one transaction of the beat ends.
_AT_A_TIME = 100


class NotAnAddressError(InvalidError):
    """Nobody else can be reached there."""

    code = "not_an_address"
    title = "Give the e-mail address of somebody else"


def offer(
    session: Session, person_id: UUID, asset_id: UUID, email: str, *, now: datetime
) -> Handover:
    """Offer one's asset to whoever has that address; they get a letter.

    Raises:
        NotVerifiedError, NotYoursError
        NotAnAddressError: it is no address, or one's own.
        HandoverOpenError: somebody else has not answered yet.
    """
    person = holding.check_person(session, person_id)
    email = normal_email(email)
    if not is_email(email) or email == person.email:
        raise NotAnAddressError(field="email")
    own(session, asset_id, person_id)
    holding.lock(session, asset_id)
    adoption = own(session, asset_id, person_id)
    if open_of(session, adoption.id) is not None:
        raise HandoverOpenError
    handover = Handover(
        adoption_id=adoption.id,
        email=email,
        state=HandoverState.OFFERED.value,
        # The reader's language where they have said one; who offers never learns which.
        locale=_locale_of(session, email) or person.locale or "",
        offered_at=now,
        until=now + HANDOVER_FOR,
    )
    session.add(handover)
    session.flush()
    holding.note(session, adoption, Entry.HANDOVER_OFFERED, person_id, now)
    _tell(session, events.HANDOVER_OFFERED, adoption, handover)
    return handover


def _locale_of(session: Session, email: str) -> str | None:
    return session.scalar(
        sa.select(Person.locale).where(Person.email == email, Person.verified_at.is_not(None))
    )


def withdraw(session: Session, person_id: UUID, asset_id: UUID, *, now: datetime) -> None:
    """Offer it no more.

    Raises:
        NotYoursError
        NotFoundError: nothing is offered.
    """
    own(session, asset_id, person_id)
    holding.lock(session, asset_id)
    adoption = own(session, asset_id, person_id)
    handover = open_of(session, adoption.id)
    if handover is None:
        raise NotFoundError
    _settle(session, handover, HandoverState.WITHDRAWN, now)
    holding.note(session, adoption, Entry.HANDOVER_WITHDRAWN, person_id, now)


def open_of(session: Session, adoption_id: UUID) -> Handover | None:
    """The hand-over of an adoption that waits for its answer."""
    return session.scalar(
        sa.select(Handover)
        .where(Handover.adoption_id == adoption_id, Handover.state == HandoverState.OFFERED.value)
        .execution_options(populate_existing=True)
    )


def of_link(
    session: Session, handover_id: UUID, token: str, *, secret: str, now: datetime
) -> Handover:
    """The hand-over whose letter carried that token.

    Raises:
        NotFoundError: it is no such token.
        LinkOverError: it was answered, withdrawn, or is too late.
    """
    handover = session.get(Handover, handover_id, populate_existing=True)
    if handover is None or not matches(secret, Purpose.HANDOVER, handover_id, 1, token):
        raise NotFoundError
    _check_open(session, handover, now)
    return handover


def of_person(session: Session, handover_id: UUID, person_id: UUID, *, now: datetime) -> Handover:
    """The hand-over that is offered to somebody's proven address.

    Raises:
        NotFoundError: none is offered to this person under that id.
        LinkOverError: it is too late.
    """
    person = session.get(Person, person_id)
    handover = session.get(Handover, handover_id, populate_existing=True)
    if (
        handover is None
        or person is None
        or person.verified_at is None
        or person.email is None
        or handover.email != person.email
    ):
        raise NotFoundError
    _check_open(session, handover, now)
    return handover


def accept(session: Session, handover: Handover, *, locale: str | None, now: datetime) -> Adoption:
    """The other side takes it: the adoption ends and another begins in its place.

    Whoever has no account under the address gets one: the link has proved it.

    Raises:
        LinkOverError: it was answered meanwhile, or the adoption has ended.
        NotVerifiedError: the account of that address is shut.
        YoursAlreadyError, LimitReachedError, NotAdoptableError, NotThereError
    """
    email = handover.email
    given = session.get_one(Adoption, handover.adoption_id)
    if email is None:
        raise LinkOverError
    person = people.with_proven_contact(session, ContactPoint.email(email), locale=locale, now=now)
    if person is None:
        raise NotVerifiedError
    kind = kinds_of(session, given.jurisdiction_id).by_id[given.kind_id]
    holding.lock_volunteer(session, person.id, kind)
    asset = holding.lock(session, given.asset_id)
    session.refresh(given)
    session.refresh(handover)
    _check_open(session, handover, now)
    present = holding.present(session, asset, kind, person.id)
    refused = refusal(present, kind.adoption)
    # That it is adopted is the point; the place changes hands.
    if refused is not None and refused is not Refusal.ADOPTED:
        raise refusal_of(refused, kind)
    if refused is Refusal.ADOPTED and present.held >= kind.adoption.limit_per_volunteer:
        raise refusal_of(Refusal.LIMIT_REACHED, kind)
    _settle(session, handover, HandoverState.ACCEPTED, now)
    holding.end(
        session,
        given,
        asset,
        EndReason.HANDED_OVER,
        actor_id=person.id,
        now=now,
        advances=False,
    )
    adoption = holding.begin(
        session,
        asset,
        kind,
        person.id,
        slots=set(present.slots) - {given.slot},
        shows_name=False,
        now=now,
        handed_over=str(given.id),
    )
    # A name that was approved belongs to the asset rather than to whoever thought of it.
    adoption.name = given.name
    session.flush()
    _tell(session, events.HANDOVER_ANSWERED, given, handover, answer="accepted")
    return adoption


def refuse(session: Session, handover: Handover, *, now: datetime) -> None:
    """The other side does not want it; the adopter is told.

    Raises:
        LinkOverError: it was answered meanwhile.
    """
    adoption = session.get_one(Adoption, handover.adoption_id)
    holding.lock(session, adoption.asset_id)
    session.refresh(adoption)
    session.refresh(handover)
    _check_open(session, handover, now)
    _settle(session, handover, HandoverState.REFUSED, now)
    holding.note(session, adoption, Entry.HANDOVER_REFUSED, None, now)
    _tell(session, events.HANDOVER_ANSWERED, adoption, handover, answer="refused")


def expire(session: Session, *, now: datetime) -> int:
    """End some hand-overs that nobody answered in time; how many."""
    late = session.execute(
        sa.select(Handover, Adoption)
        .join(Adoption, Adoption.id == Handover.adoption_id)
        .where(Handover.state == HandoverState.OFFERED.value, Handover.until <= now)
        .order_by(Handover.id)
        .limit(_AT_A_TIME)
        .with_for_update(of=Handover, skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    for handover, adoption in late:
        _settle(session, handover, HandoverState.EXPIRED, now)
        if adoption.ended_at is None:
            holding.note(session, adoption, Entry.HANDOVER_EXPIRED, None, now)
            _tell(session, events.HANDOVER_ANSWERED, adoption, handover, answer="expired")
    return len(late)


def _check_open(session: Session, handover: Handover, now: datetime) -> None:
    adoption = session.get_one(Adoption, handover.adoption_id)
    if (
        handover.state != HandoverState.OFFERED
        or handover.until <= now
        or adoption.ended_at is not None
    ):
        raise LinkOverError


def _settle(session: Session, handover: Handover, state: HandoverState, now: datetime) -> None:
    handover.state, handover.settled_at, handover.email = state.value, now, None
    session.flush()


def _tell(
    session: Session, event: EventName, adoption: Adoption, handover: Handover, **data: str
) -> None:
    emit(
        session,
        event,
        handover.id,
        jurisdiction_id=adoption.jurisdiction_id,
        adoption_id=str(adoption.id),
        asset_id=str(adoption.asset_id),
        handover_id=str(handover.id),
        **data,
    )
