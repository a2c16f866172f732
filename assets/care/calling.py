"""A passer-by says that an asset needs care; its adopter cares, or says that it was a false alarm.

Once an hour at most for one asset: one row of the database, which everybody who calls must move
forward by an hour, decides that, however many call at once.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from assets.adoption.errors import LinkOverError, NotAdoptableError, NotThereError, NotYoursError
from assets.adoption.models import Adoption
from assets.care import doing, events
from assets.care.doing import Done
from assets.care.models import Care, CareCall, CareGate
from assets.care.rules import CALL_EVERY, usual_action
from assets.care.vocabulary import CallState
from assets.models import Asset
from assets.register import kind_of
from assets.vocabulary import AssetState
from core.errors import NotFoundError, TooManyRequestsError
from core.outbox import EventName, emit
from core.tokens import Purpose, matches


class CalledLatelyError(TooManyRequestsError):
    """Somebody said so within the hour; the adopter knows."""

    code = "called_lately"
    title = "Somebody has said so already: its adopter knows"


def call(session: Session, asset_id: UUID, person_id: UUID | None, *, now: datetime) -> CareCall:
    """Say that an asset needs care; whoever looks after it is told. In the caller's transaction.

    Raises:
        NotFoundError, NotThereError
        NotAdoptableError: volunteers do not look after assets of the kind; report it instead.
        CalledLatelyError: somebody said so within the hour.
    """
    asset = session.get(Asset, asset_id)
    if asset is None:
        raise NotFoundError
    if not AssetState(asset.state).is_there:
        raise NotThereError
    if not kind_of(session, asset).is_adoptable:
        raise NotAdoptableError
    gate = postgresql.insert(CareGate).values(asset_id=asset_id, at=now)
    passed = session.execute(
        gate.on_conflict_do_update(
            index_elements=["asset_id"],
            set_={"at": gate.excluded.at},
            where=CareGate.at <= gate.excluded.at - CALL_EVERY,
        ).returning(CareGate.asset_id)
    ).first()
    if passed is None:
        raise CalledLatelyError(retry_after=int(CALL_EVERY.total_seconds()))
    made = CareCall(
        jurisdiction_id=asset.jurisdiction_id,
        asset_id=asset_id,
        person_id=person_id,
        called_at=now,
        state=CallState.OPEN.value,
    )
    session.add(made)
    session.flush()
    _tell(session, events.CARE_CALLED, made)
    return made


def ask_for_help(session: Session, asset: Asset, person_id: UUID, *, now: datetime) -> None:
    """Its adopter cannot do it alone: coordinators find it among what was called for.

    The adopter is not told what they have just said. One that is called for already is so.
    """
    is_called = sa.exists().where(
        CareCall.asset_id == asset.id, CareCall.state == CallState.OPEN.value
    )
    if not session.scalar(sa.select(is_called)):
        session.add(
            CareCall(
                jurisdiction_id=asset.jurisdiction_id,
                asset_id=asset.id,
                person_id=person_id,
                called_at=now,
                state=CallState.OPEN.value,
            )
        )
        session.flush()


def false_alarm(session: Session, call_id: UUID, person_id: UUID, *, now: datetime) -> CareCall:
    """The adopter has looked: nothing needs to be done.

    Raises:
        NotYoursError: there is no such call, or the person does not look after the asset.
        LinkOverError: it was answered.
    """
    made = session.scalar(
        sa.select(CareCall)
        .where(CareCall.id == call_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if made is None:
        raise NotYoursError
    holds = sa.exists().where(
        Adoption.asset_id == made.asset_id,
        Adoption.person_id == person_id,
        Adoption.ended_at.is_(None),
    )
    if not session.scalar(sa.select(holds)):
        raise NotYoursError
    if made.state != CallState.OPEN:
        raise LinkOverError
    made.state, made.answered_by, made.answered_at = CallState.FALSE_ALARM.value, person_id, now
    session.flush()
    _tell(session, events.CARE_ANSWERED, made)
    return made


def of_link(
    session: Session, call_id: UUID, adoption_id: UUID, token: str, *, secret: str
) -> tuple[CareCall, Adoption]:
    """The call and the adoption whose letter carried that token.

    Raises:
        NotFoundError: it is no such token.
        LinkOverError: the call was answered, or the adoption has ended.
    """
    made = session.get(CareCall, call_id, populate_existing=True)
    adoption = session.get(Adoption, adoption_id, populate_existing=True)
    if made is None or adoption is None or made.asset_id != adoption.asset_id:
        raise NotFoundError
    versions = range(1, adoption.token_version + 1)
    row_id = f"{call_id}|{adoption_id}"
    if not any(matches(secret, Purpose.CARE, row_id, each, token) for each in versions):
        raise NotFoundError
    if made.state != CallState.OPEN or adoption.ended_at is not None:
        raise LinkOverError
    return made, adoption


def done(session: Session, made: CareCall, adoption: Adoption, *, now: datetime) -> Care:
    """The adopter says by link that it is done: the first thing that is done for the kind."""
    asset = session.get_one(Asset, made.asset_id)
    kind = kind_of(session, asset)
    action = usual_action(kind.care)
    return doing.log(session, adoption.person_id, asset.id, Done(action.code), now=now)


def _tell(session: Session, event: EventName, made: CareCall) -> None:
    emit(
        session,
        event,
        made.id,
        jurisdiction_id=made.jurisdiction_id,
        asset_id=str(made.asset_id),
        call_id=str(made.id),
    )
