"""The ground of every change of an adoption: the lock, beginning one, ending one, the next in line.

Nothing here asks who may: that is `claiming`, `passing`, `waiting`, `reminding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Person
from assets.adoption import events
from assets.adoption.errors import NotVerifiedError
from assets.adoption.models import Adoption, AdoptionEntry, AdoptionWait
from assets.adoption.rules import (
    OFFER_FOR,
    Present,
    free_slot,
    next_step,
    reminders_before,
    term_end,
)
from assets.adoption.vocabulary import WAITS, EndReason, Entry, WaitState
from assets.kinds import KindEntry
from assets.models import Asset
from assets.register import kind_of
from assets.vocabulary import STATES_THERE, AssetState
from core.errors import NotFoundError
from core.outbox import EventName, emit


def check_person(session: Session, person_id: UUID) -> Person:
    """The person, who has proved a contact.

    Raises:
        NotVerifiedError
    """
    person = session.get(Person, person_id)
    if person is None or not person.is_active or person.verified_at is None:
        raise NotVerifiedError
    return person


def lock(session: Session, asset_id: UUID) -> Asset:
    """The asset, with everything about its adoption held until the transaction ends.

    Readers and reports about it are not held up (`FOR NO KEY UPDATE`).

    Raises:
        NotFoundError: there is none.
    """
    asset = session.scalar(
        sa.select(Asset)
        .where(Asset.id == asset_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if asset is None:
        raise NotFoundError
    return asset


def lock_volunteer(session: Session, person_id: UUID, kind: KindEntry) -> None:
    """Hold what one person adopts of one kind, so that the limit holds; before `lock`."""
    session.execute(
        sa.select(
            sa.func.pg_advisory_xact_lock(kind.id, sa.func.hashtext(f"volunteer {person_id}"))
        )
    )


def adoptions_of(session: Session, asset_id: UUID) -> Sequence[Adoption]:
    """Those that hold now, in the order of their slots."""
    return session.scalars(
        sa.select(Adoption)
        .where(Adoption.asset_id == asset_id, Adoption.ended_at.is_(None))
        .order_by(Adoption.slot)
        .execution_options(populate_existing=True)
    ).all()


def held_by(session: Session, person_id: UUID, kind_id: int) -> int:
    """How many assets of a kind somebody looks after that are there."""
    return (
        session.scalar(
            sa.select(sa.func.count())
            .select_from(Adoption)
            .join(Asset, Asset.id == Adoption.asset_id)
            .where(
                Adoption.person_id == person_id,
                Adoption.kind_id == kind_id,
                Adoption.ended_at.is_(None),
                Asset.state.in_([state.value for state in STATES_THERE]),
            )
        )
        or 0
    )


def wait_of(session: Session, asset_id: UUID, person_id: UUID) -> AdoptionWait | None:
    """Somebody's place on the waiting list of a locked asset."""
    return session.scalar(
        sa.select(AdoptionWait)
        .where(
            AdoptionWait.asset_id == asset_id,
            AdoptionWait.person_id == person_id,
            AdoptionWait.state.in_([state.value for state in WAITS]),
        )
        .execution_options(populate_existing=True)
    )


def present(session: Session, asset: Asset, kind: KindEntry, person_id: UUID) -> Present:
    """How things stand with a locked asset for somebody who wants to adopt it."""
    held = adoptions_of(session, asset.id)
    offered = session.scalar(
        sa.select(sa.func.count())
        .select_from(AdoptionWait)
        .where(
            AdoptionWait.asset_id == asset.id,
            AdoptionWait.state == WaitState.OFFERED.value,
            AdoptionWait.person_id != person_id,
        )
    )
    return Present(
        state=AssetState(asset.state),
        is_adoptable=kind.is_adoptable and kind.is_active,
        slots={each.slot for each in held},
        offered=offered or 0,
        is_mine=any(each.person_id == person_id for each in held),
        held=held_by(session, person_id, kind.id),
    )


def begin(
    session: Session,
    asset: Asset,
    kind: KindEntry,
    person_id: UUID,
    *,
    slots: Sequence[int] | set[int] | frozenset[int],
    shows_name: bool,
    now: datetime,
    **data: Any,
) -> Adoption:
    """Begin an adoption of a locked asset, whatever the rules say.

    Args:
        slots: those that are taken.
    """
    until = term_end(now, kind.adoption)
    reminded = reminders_before(kind.adoption)
    adoption = Adoption(
        jurisdiction_id=asset.jurisdiction_id,
        kind_id=kind.id,
        asset_id=asset.id,
        person_id=person_id,
        slot=free_slot(slots),
        begun_at=now,
        until=until,
        reminded=reminded,
        nudged=0,
        next_step_at=next_step(until, kind.adoption, reminded=reminded, nudged=0).at,
        shows_name=shows_name,
        token_version=1,
    )
    session.add(adoption)
    session.flush()
    waited = wait_of(session, asset.id, person_id)
    if waited is not None:
        waited.state, waited.settled_at = WaitState.ACCEPTED.value, now
    _count(session, asset)
    note(session, adoption, Entry.BEGUN, person_id, now, **data)
    tell(session, events.BEGUN, adoption)
    return adoption


def end(
    session: Session,
    adoption: Adoption,
    asset: Asset,
    reason: EndReason,
    *,
    actor_id: UUID | None,
    now: datetime,
    advances: bool = True,
) -> None:
    """End an adoption of a locked asset; its links work no more, and the next in line is asked.

    Args:
        advances: False where somebody else takes the very place.
    """
    adoption.ended_at, adoption.ended_because = now, reason.value
    adoption.name_wanted = None
    adoption.token_version += 1
    session.flush()
    _count(session, asset)
    note(session, adoption, Entry.ENDED, actor_id, now, reason=reason.value)
    tell(session, events.ENDED, adoption, reason=reason.value)
    if advances:
        advance(session, asset, now=now)


def advance(session: Session, asset: Asset, *, now: datetime) -> int:
    """Offer the free places of a locked asset to those who wait longest; to how many."""
    kind = kind_of(session, asset)
    if not (kind.is_adoptable and kind.is_active and AssetState(asset.state).is_there):
        return 0
    offered = (
        session.scalar(
            sa.select(sa.func.count())
            .select_from(AdoptionWait)
            .where(
                AdoptionWait.asset_id == asset.id,
                AdoptionWait.state == WaitState.OFFERED.value,
            )
        )
        or 0
    )
    free = kind.adoption.capacity - asset.adopters - offered
    if free <= 0:
        return 0
    waiting = session.scalars(
        sa.select(AdoptionWait)
        .where(AdoptionWait.asset_id == asset.id, AdoptionWait.state == WaitState.WAITING.value)
        .order_by(AdoptionWait.since, AdoptionWait.id)
        .limit(free)
        .execution_options(populate_existing=True)
    ).all()
    for each in waiting:
        each.state = WaitState.OFFERED.value
        each.offered_at, each.offered_until = now, now + OFFER_FOR
        session.flush()
        emit(
            session,
            events.OFFERED,
            each.id,
            jurisdiction_id=asset.jurisdiction_id,
            asset_id=str(asset.id),
            wait_id=str(each.id),
        )
    return len(waiting)


def note(
    session: Session,
    adoption: Adoption,
    entry: Entry,
    actor_id: UUID | None,
    now: datetime,
    **data: Any,
) -> None:
    """Append to the history of an adoption."""
    session.add(
        AdoptionEntry(
            adoption_id=adoption.id, at=now, entry=entry.value, actor_id=actor_id, data=data
        )
    )
    session.flush()


def tell(session: Session, event: EventName, adoption: Adoption, **data: Any) -> None:
    """Emit what happened to an adoption."""
    emit(
        session,
        event,
        adoption.id,
        jurisdiction_id=adoption.jurisdiction_id,
        adoption_id=str(adoption.id),
        asset_id=str(adoption.asset_id),
        **data,
    )


def _count(session: Session, asset: Asset) -> None:
    """Keep the count in the asset's row, which lists read; it is no change of the asset."""
    count = len(adoptions_of(session, asset.id))
    session.execute(
        sa.update(Asset)
        .where(Asset.id == asset.id)
        .values(adopters=count)
        .execution_options(synchronize_session=False)
    )
    session.refresh(asset, ["adopters"])
