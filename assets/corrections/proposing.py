"""Saying that the register is wrong. Whoever says what an open proposal says joins it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets import queries as register_queries
from assets import register
from assets.adoption import holding
from assets.adoption.errors import NotThereError
from assets.corrections import deciding, events
from assets.corrections.errors import KnownAlreadyError, NothingToCorrectError
from assets.corrections.models import Correction
from assets.corrections.rules import (
    KNOWN_WITHIN_M,
    LEAST_MOVE_M,
    SAME_PLACE_M,
    Claim,
    says_the_same,
)
from assets.corrections.vocabulary import State, What
from assets.kinds import KindEntry, kinds_of
from assets.models import Asset
from assets.queries import Filters
from assets.rules import merged_attributes
from assets.vocabulary import AssetState
from core.errors import InvalidError
from core.outbox import emit
from core.text import clean
from geo import jurisdictions
from geo.cells import cell_of, cover_disk
from geo.measures import Point, distance_m


class PositionNeededError(InvalidError):
    """Where it is, or is now, must be said."""

    code = "position_needed"
    title = "Say where it is: lat and lon"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody says.

    Attributes:
        asset_id: None of a missing one, whose kind and city are named instead.
    """

    what: What
    asset_id: UUID | None = None
    kind: str | None = None
    jurisdiction: str | None = None
    point: Point | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Proposed:
    """The correction, and whether somebody had proposed it before."""

    correction: Correction
    is_joined: bool


def propose(
    session: Session,
    person_id: UUID,
    proposal: Proposal,
    *,
    default_jurisdiction: str | None = None,
    now: datetime,
) -> Proposed:
    """Propose a correction, or join the open one that says the same, in the caller's transaction.

    Raises:
        NotVerifiedError, NotFoundError, NotThereError, UnknownKindError
        PositionNeededError, OutsideJurisdictionError, AssetAttributesError
        NothingToCorrectError, KnownAlreadyError
    """
    holding.check_person(session, person_id)
    if proposal.what is What.MISSING:
        kind, point = _missing(session, proposal, default_jurisdiction)
        subject: object = kind.id
        attributes: Mapping[str, Any] = register.checked(kind, proposal.attributes)
    else:
        assert proposal.asset_id is not None
        asset = register.take(session, proposal.asset_id)
        kind = register.kind_of(session, asset)
        subject = asset.id
        point, attributes = _about(session, asset, kind, proposal)
    claim = Claim(proposal.what, subject, point, attributes)
    there = _same(session, claim, kind)
    if there is not None:
        joined = deciding.lock(session, there.id)
        if joined.person_id != person_id:
            deciding.confirm(session, joined, person_id, now=now)
        return Proposed(joined, is_joined=True)
    note = clean(proposal.note).strip() if proposal.note else None
    correction = Correction(
        jurisdiction_id=kind.jurisdiction_id,
        kind_id=kind.id,
        asset_id=proposal.asset_id,
        what=proposal.what.value,
        lat=point.lat,
        lon=point.lon,
        cell=cell_of(point),
        attributes=dict(attributes),
        note=note or None,
        person_id=person_id,
        confirmations=0,
        state=State.OPEN.value,
        proposed_at=now,
    )
    session.add(correction)
    session.flush()
    emit(
        session,
        events.CORRECTION_PROPOSED,
        correction.id,
        jurisdiction_id=correction.jurisdiction_id,
        correction_id=str(correction.id),
        what=correction.what,
        **({"asset_id": str(correction.asset_id)} if correction.asset_id else {}),
    )
    return Proposed(correction, is_joined=False)


def _missing(session: Session, proposal: Proposal, default: str | None) -> tuple[KindEntry, Point]:
    if proposal.point is None:
        raise PositionNeededError(field="lat")
    place = jurisdictions.resolve(
        session, code=proposal.jurisdiction, point=proposal.point, default=default
    )
    kind = kinds_of(session, place.id).kind(proposal.kind or "")
    deciding.lock_kind(session, kind.id)
    known = register_queries.nearest(
        session,
        Filters(places=(place,), near=proposal.point, radius_m=KNOWN_WITHIN_M, kinds=(kind.code,)),
        most=1,
    )
    if known:
        raise KnownAlreadyError(id=str(known[0].id))
    return kind, proposal.point


def _about(
    session: Session, asset: Asset, kind: KindEntry, proposal: Proposal
) -> tuple[Point, Mapping[str, Any]]:
    """Where a correction of an asset lies, and the attributes it says; refuses what is so."""
    here = Point(asset.lat, asset.lon)
    if proposal.what is What.ATTRIBUTE:
        attributes = register.checked(kind, proposal.attributes)
        merged = merged_attributes(asset.attributes, attributes, proposal.attributes)
        if merged == asset.attributes:
            raise NothingToCorrectError
        # An empty value takes an attribute away, so what was said is kept, not what is left.
        return here, {code: attributes.get(code) for code in proposal.attributes}
    if proposal.what is What.GONE:
        if not AssetState(asset.state).is_there:
            raise NothingToCorrectError
        return here, {}
    if not AssetState(asset.state).is_there and asset.state != AssetState.MOVED:
        raise NotThereError
    if proposal.point is None:
        raise PositionNeededError(field="lat")
    if distance_m(here, proposal.point) < LEAST_MOVE_M:
        raise NothingToCorrectError
    place = jurisdictions.by_id(session, asset.jurisdiction_id)
    jurisdictions.resolve(session, code=place.code, point=proposal.point)
    return proposal.point, {}


def _same(session: Session, claim: Claim, kind: KindEntry) -> Correction | None:
    """The oldest open correction that says the same."""
    query = sa.select(Correction).where(
        Correction.state == State.OPEN.value, Correction.what == claim.what.value
    )
    if claim.what is What.MISSING:
        assert claim.point is not None
        cells = [
            Correction.cell.between(first, last)
            for first, last in cover_disk(claim.point, SAME_PLACE_M)
        ]
        query = query.where(Correction.kind_id == kind.id, sa.or_(*cells))
    else:
        query = query.where(Correction.asset_id == claim.subject)
    rows: Sequence[Correction] = session.scalars(
        query.order_by(Correction.id).execution_options(populate_existing=True)
    ).all()
    for row in rows:
        said = Claim(
            What(row.what),
            kind.id if row.what == What.MISSING else row.asset_id,
            Point(row.lat, row.lon),
            row.attributes,
        )
        if says_the_same(said, claim):
            return row
    return None
