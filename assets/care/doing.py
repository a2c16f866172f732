"""Logging what was done for an asset. It answers every open call for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.adoption import holding
from assets.adoption.errors import NotThereError
from assets.adoption.models import Adoption
from assets.care import events
from assets.care.models import Care, CareCall
from assets.care.rules import action_of, actions_of, is_timely
from assets.care.vocabulary import CallState
from assets.models import Asset
from assets.register import kind_of
from assets.vocabulary import AssetState
from core.errors import InvalidError, NotFoundError
from core.outbox import emit
from core.text import clean


class UnknownActionError(InvalidError):
    """Nothing of that code is done for assets of the kind; `actions` says what is."""

    code = "unknown_action"
    title = "This is not done for assets of this kind"


class NotTimelyError(InvalidError):
    """It is said to be done in the future, or too long ago."""

    code = "not_timely"
    title = "Say when it was done, within thirty days"


@dataclass(frozen=True, slots=True)
class Done:
    """What somebody did.

    Attributes:
        at: when; None: now.
        quantity: in the unit of the action.
    """

    action: str
    at: datetime | None = None
    minutes: int | None = None
    quantity: float | None = None
    note: str | None = None


def log(session: Session, person_id: UUID, asset_id: UUID, done: Done, *, now: datetime) -> Care:
    """Store what somebody did, in the caller's transaction: the adopter, or a neighbour who helps.

    Raises:
        NotVerifiedError, NotFoundError, NotThereError, UnknownActionError, NotTimelyError
    """
    holding.check_person(session, person_id)
    asset = session.get(Asset, asset_id)
    if asset is None:
        raise NotFoundError
    if not AssetState(asset.state).is_there:
        raise NotThereError
    kind = kind_of(session, asset)
    action = action_of(kind.care, done.action)
    if action is None:
        codes = [each.code for each in actions_of(kind.care)]
        raise UnknownActionError(f"One of: {', '.join(codes)}.", field="action", actions=codes)
    at = done.at or now
    if not is_timely(at, now):
        raise NotTimelyError(field="at")
    adoption_id = session.scalar(
        sa.select(Adoption.id).where(
            Adoption.asset_id == asset_id,
            Adoption.person_id == person_id,
            Adoption.ended_at.is_(None),
        )
    )
    note = clean(done.note).strip() if done.note else None
    care = Care(
        jurisdiction_id=asset.jurisdiction_id,
        kind_id=asset.kind_id,
        asset_id=asset_id,
        person_id=person_id,
        adoption_id=adoption_id,
        action=action.code,
        is_problem=action.is_problem,
        at=at,
        minutes=done.minutes,
        quantity=done.quantity,
        note=note or None,
        created_at=now,
    )
    session.add(care)
    session.flush()
    if not action.is_problem:
        _answer_calls(session, asset_id, person_id, at, now)
    emit(
        session,
        events.CARE_LOGGED,
        care.id,
        jurisdiction_id=asset.jurisdiction_id,
        asset_id=str(asset_id),
        action=action.code,
    )
    return care


def _answer_calls(
    session: Session, asset_id: UUID, person_id: UUID, at: datetime, now: datetime
) -> None:
    session.execute(
        sa.update(CareCall)
        .where(
            CareCall.asset_id == asset_id,
            CareCall.state == CallState.OPEN.value,
            CareCall.called_at <= at,
        )
        .values(state=CallState.CARED.value, answered_by=person_id, answered_at=now)
        .execution_options(synchronize_session=False)
    )
