"""What becomes of a proposal: confirmed by others, accepted or rejected, taken back.

Locks are taken in one order, the asset (or the kind, of a missing one) before the correction, so
nobody waits in a circle.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts.actors import Actor
from accounts.rules import Permission
from assets import register
from assets.corrections import events
from assets.corrections.errors import DecidedAlreadyError, OwnCorrectionError
from assets.corrections.models import Correction, CorrectionConfirmation
from assets.corrections.rules import is_enough
from assets.corrections.vocabulary import DecidedBy, Overtaken, State, What
from assets.kinds import KindEntry, kinds_of
from assets.models import Asset
from assets.register import Change, NewAsset, Said
from assets.vocabulary import AssetState, Origin
from core.errors import NotFoundError
from core.outbox import emit
from geo.measures import Point


def lock(session: Session, correction_id: UUID) -> Correction:
    """A correction with what it is about, held until the transaction ends.

    Raises:
        NotFoundError: there is none.
    """
    found = session.get(Correction, correction_id)
    if found is None:
        raise NotFoundError
    if found.what == What.MISSING:
        lock_kind(session, found.kind_id)
    elif found.asset_id is not None:
        register.take(session, found.asset_id)
    return session.scalars(
        sa.select(Correction)
        .where(Correction.id == correction_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def lock_kind(session: Session, kind_id: int) -> None:
    """Hold what is said to be missing of a kind: two who say the same at once become one."""
    session.execute(
        sa.select(sa.func.pg_advisory_xact_lock(kind_id, sa.func.hashtext("missing assets")))
    )


def confirm(
    session: Session, correction: Correction, person_id: UUID, *, now: datetime
) -> Correction:
    """Somebody else says the same of a locked correction; twice is once. Enough of them accept it.

    Raises:
        OwnCorrectionError, DecidedAlreadyError
    """
    _check_open(correction)
    if correction.person_id == person_id:
        raise OwnCorrectionError
    added = session.execute(
        postgresql.insert(CorrectionConfirmation)
        .values(correction_id=correction.id, person_id=person_id, at=now)
        .on_conflict_do_nothing()
        .returning(CorrectionConfirmation.person_id)
    ).first()
    if added is None:
        return correction
    correction.confirmations += 1
    session.flush()
    if is_enough(correction.confirmations, kind_of(session, correction).corrections):
        accept(session, correction, how=DecidedBy.CONFIRMATIONS, now=now)
    return correction


def accept(
    session: Session,
    correction: Correction,
    *,
    how: DecidedBy,
    by: UUID | None = None,
    reason: str | None = None,
    now: datetime,
) -> None:
    """Make a locked correction true: the asset's next version, with its origin.

    Raises:
        DecidedAlreadyError, OutsideJurisdictionError, AssetAttributesError
    """
    _check_open(correction)
    said = Said(Origin.CORRECTION, correction.person_id, correction.id)
    point = Point(correction.lat, correction.lon)
    if correction.what == What.MISSING:
        new = NewAsset(point=point, attributes=correction.attributes)
        asset = register.create(session, kind_of(session, correction), new, by=said, now=now)
        correction.asset_id = asset.id
    else:
        assert correction.asset_id is not None
        asset = register.take(session, correction.asset_id)
        register.change(session, asset, _change(correction, point), by=said, now=now)
    correction.asset_version = asset.version
    _settle(session, correction, State.ACCEPTED, how, by, reason, now)


def reject(
    session: Session, correction: Correction, *, by: UUID | None, reason: str, now: datetime
) -> None:
    """Leave the register as it is; the proposer is told why.

    Raises:
        DecidedAlreadyError
    """
    _check_open(correction)
    _settle(session, correction, State.REJECTED, DecidedBy.STAFF, by, reason, now)


def withdraw(session: Session, correction: Correction, *, now: datetime) -> None:
    """The proposer takes it back.

    Raises:
        DecidedAlreadyError
    """
    _check_open(correction)
    _settle(session, correction, State.WITHDRAWN, DecidedBy.PROPOSER, None, None, now)


def overtake(session: Session, correction: Correction, why: Overtaken, *, now: datetime) -> None:
    """Close a locked, open correction: the register answers it already, or its asset is gone."""
    _settle(session, correction, State.OVERTAKEN, DecidedBy.REGISTER, None, why.value, now)


def for_staff(session: Session, actor: Actor, correction_id: UUID) -> Correction:
    """A locked correction where the actor keeps the register.

    Raises:
        NotFoundError
    """
    found = session.get(Correction, correction_id)
    if found is None or not may_decide(session, actor, found):
        raise NotFoundError
    return lock(session, correction_id)


def may_decide(session: Session, actor: Actor, correction: Correction) -> bool:
    """Whether the actor keeps the register there: of the city, or of the team that owns it."""
    kind = kind_of(session, correction)
    team_id = kind.owner_team_id
    if correction.asset_id is not None:
        asset = session.get_one(Asset, correction.asset_id)
        team_id = register.team_of(asset, kind)
    return actor.may(Permission.MANAGE_ASSETS, correction.jurisdiction_id, team_id)


def kind_of(session: Session, correction: Correction) -> KindEntry:
    """The kind of asset that it is about."""
    return kinds_of(session, correction.jurisdiction_id).by_id[correction.kind_id]


def _change(correction: Correction, point: Point) -> Change:
    what = What(correction.what)
    if what is What.GONE:
        return Change(state=AssetState.REMOVED)
    if what is What.MOVED:
        return Change(point=point)
    return Change(attributes=correction.attributes)


def _check_open(correction: Correction) -> None:
    if correction.state != State.OPEN:
        raise DecidedAlreadyError(state=correction.state)


def _settle(
    session: Session,
    correction: Correction,
    state: State,
    how: DecidedBy,
    by: UUID | None,
    reason: str | None,
    now: datetime,
) -> None:
    correction.state, correction.decided_how = state.value, how.value
    correction.decided_at, correction.decided_by, correction.reason = now, by, reason
    session.flush()
    emit(
        session,
        events.CORRECTION_DECIDED,
        correction.id,
        jurisdiction_id=correction.jurisdiction_id,
        correction_id=str(correction.id),
        what=correction.what,
        decision=state.value,
        **({"asset_id": str(correction.asset_id)} if correction.asset_id else {}),
    )
