"""The waiting list of an asset: joining, leaving, and offers that nobody answered in time."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.adoption import holding
from assets.adoption.claiming import Wish, adopt, refusal_of
from assets.adoption.errors import LinkOverError, NotWaitedForError
from assets.adoption.models import Adoption, AdoptionWait
from assets.adoption.rules import refusal
from assets.adoption.vocabulary import WAITS, Refusal, WaitState
from assets.models import Asset, AssetKind
from assets.register import kind_of
from assets.vocabulary import STATES_THERE
from core.errors import NotFoundError
from core.tokens import Purpose, matches

#: Assets whose waiting lists one transaction of the beat sees to.
_AT_A_TIME = 100


def join(session: Session, person_id: UUID, asset_id: UUID, *, now: datetime) -> AdoptionWait:
    """Wait for a place at an asset; a second time changes nothing.

    Raises:
        NotVerifiedError, NotFoundError
        NotAdoptableError, NotThereError, YoursAlreadyError, LimitReachedError
        NotWaitedForError: there is a free place.
    """
    holding.check_person(session, person_id)
    asset = holding.lock(session, asset_id)
    there = holding.wait_of(session, asset_id, person_id)
    if there is not None:
        return there
    kind = kind_of(session, asset)
    refused = refusal(holding.present(session, asset, kind, person_id), kind.adoption)
    if refused is None:
        raise NotWaitedForError
    if refused is not Refusal.ADOPTED:
        raise refusal_of(refused, kind)
    wait = AdoptionWait(
        jurisdiction_id=asset.jurisdiction_id,
        asset_id=asset_id,
        person_id=person_id,
        state=WaitState.WAITING.value,
        since=now,
    )
    session.add(wait)
    session.flush()
    return wait


def leave(session: Session, person_id: UUID, asset_id: UUID, *, now: datetime) -> None:
    """Wait no more, or decline what is offered: the next in line is asked.

    Raises:
        NotFoundError: the person does not wait.
    """
    asset = holding.lock(session, asset_id)
    wait = holding.wait_of(session, asset_id, person_id)
    if wait is None:
        raise NotFoundError
    _settle(session, wait, asset, WaitState.LEFT, now)


def position(session: Session, wait: AdoptionWait) -> int:
    """How many stand before somebody on the list, and they themselves."""
    before = sa.tuple_(AdoptionWait.since, AdoptionWait.id) < sa.tuple_(
        sa.literal(wait.since), sa.literal(wait.id)
    )
    count = session.scalar(
        sa.select(sa.func.count())
        .select_from(AdoptionWait)
        .where(
            AdoptionWait.asset_id == wait.asset_id,
            AdoptionWait.state.in_([state.value for state in WAITS]),
            before,
        )
    )
    return 1 + (count or 0)


def of_link(
    session: Session, wait_id: UUID, token: str, *, secret: str, now: datetime
) -> AdoptionWait:
    """The offer whose letter carried that token.

    Raises:
        NotFoundError: it is no such token.
        LinkOverError: the offer was answered, or is too late.
    """
    wait = session.get(AdoptionWait, wait_id, populate_existing=True)
    if wait is None or not matches(secret, Purpose.OFFER, wait_id, 1, token):
        raise NotFoundError
    is_open = wait.state == WaitState.OFFERED and wait.offered_until is not None
    if not is_open or (wait.offered_until is not None and wait.offered_until <= now):
        raise LinkOverError
    return wait


def accept(session: Session, wait: AdoptionWait, *, now: datetime) -> Adoption:
    """Take the place that is offered, as anybody adopts; the place is kept for this person.

    Raises:
        As `claiming.adopt`.
    """
    return adopt(session, wait.person_id, wait.asset_id, Wish(), now=now)


def see_to_lists(session: Session, *, now: datetime) -> int:
    """End some offers that nobody answered, and ask the next ones wherever there is a free place.

    A place also becomes free where an asset comes back or its kind takes more adopters. Returns
    how many assets were seen to; the caller goes on while there are any.
    """
    expired = sa.select(AdoptionWait.asset_id).where(
        AdoptionWait.state == WaitState.OFFERED.value, AdoptionWait.offered_until <= now
    )
    waits = (
        sa.select(
            AdoptionWait.asset_id,
            sa.func.count().filter(AdoptionWait.state == WaitState.OFFERED.value).label("offered"),
            sa.func.count().filter(AdoptionWait.state == WaitState.WAITING.value).label("waiting"),
        )
        .where(AdoptionWait.state.in_([state.value for state in WAITS]))
        .group_by(AdoptionWait.asset_id)
        .subquery()
    )
    capacity = sa.func.coalesce(AssetKind.adoption["capacity"].as_integer(), 1)
    free = (
        sa.select(Asset.id)
        .join(waits, waits.c.asset_id == Asset.id)
        .join(AssetKind, AssetKind.id == Asset.kind_id)
        .where(
            waits.c.waiting > 0,
            Asset.state.in_([state.value for state in STATES_THERE]),
            AssetKind.is_adoptable,
            AssetKind.is_active,
            Asset.adopters + waits.c.offered < capacity,
        )
    )
    wanted = sa.union(expired, free).subquery()
    assets = session.scalars(
        sa.select(Asset)
        .where(Asset.id.in_(sa.select(wanted.c[0])))
        .order_by(Asset.id)
        .limit(_AT_A_TIME)
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    for asset in assets:
        for wait in session.scalars(
            sa.select(AdoptionWait)
            .where(
                AdoptionWait.asset_id == asset.id,
                AdoptionWait.state == WaitState.OFFERED.value,
                AdoptionWait.offered_until <= now,
            )
            .execution_options(populate_existing=True)
        ).all():
            wait.state, wait.settled_at = WaitState.EXPIRED.value, now
        session.flush()
        holding.advance(session, asset, now=now)
    return len(assets)


def _settle(
    session: Session, wait: AdoptionWait, asset: Asset, state: WaitState, now: datetime
) -> None:
    wait.state, wait.settled_at = state.value, now
    session.flush()
    holding.advance(session, asset, now=now)
