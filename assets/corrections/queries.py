"""Reads of corrections: what is open, by place; one's own; the city's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.actors import Scope
from assets.corrections.models import Correction
from assets.corrections.vocabulary import State
from assets.kinds import KindEntry, kinds_of
from assets.models import Asset, AssetKind
from assets.paging import latest_first
from core.pagination import Page
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.measures import Box

#: Columns of the file for the city's GIS.
COLUMNS = (
    "id", "what", "kind", "asset", "asset_id", "lat", "lon", "attributes", "note",
    "confirmations", "proposed_at", "jurisdiction",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filters:
    """Which corrections; what is None asks nothing."""

    state: State | None = State.OPEN
    jurisdiction_id: int | None = None
    kind: str | None = None
    asset_id: UUID | None = None
    person_id: UUID | None = None
    box: Box | None = None
    scope: Scope | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A correction with what it is about."""

    correction: Correction
    kind: KindEntry
    place: JurisdictionRef
    asset_code: str | None


def page(session: Session, filters: Filters, *, cursor: str | None, limit: int) -> Page[Listed]:
    """A page of corrections, the latest first.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    rows = latest_first(session, _query(filters), Correction.id, cursor=cursor, limit=limit)
    return Page(_listed(session, rows.items), rows.next)


def all_open(session: Session, filters: Filters) -> list[Listed]:
    """All corrections of a list, the oldest first, for a file."""
    return _listed(session, session.execute(_query(filters).order_by(Correction.id)).all())


def one(session: Session, correction: Correction) -> Listed:
    """One correction with what it is about."""
    row = session.execute(_query(Filters(state=None)).where(Correction.id == correction.id)).one()
    return _listed(session, [row])[0]


def _query(filters: Filters) -> Any:
    query = sa.select(Correction, Asset.code.label("asset_code")).outerjoin(
        Asset, Asset.id == Correction.asset_id
    )
    if filters.state is not None:
        query = query.where(Correction.state == filters.state.value)
    for column, value in (
        (Correction.jurisdiction_id, filters.jurisdiction_id),
        (Correction.asset_id, filters.asset_id),
        (Correction.person_id, filters.person_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if filters.kind is not None:
        query = query.where(
            Correction.kind_id.in_(sa.select(AssetKind.id).where(AssetKind.code == filters.kind))
        )
    if filters.box is not None:
        box = filters.box
        query = query.where(
            Correction.lat.between(box.south, box.north),
            Correction.lon.between(box.west, box.east),
        )
    if filters.scope is not None:
        owner = sa.func.coalesce(
            Asset.owner_team_id,
            sa.select(AssetKind.owner_team_id)
            .where(AssetKind.id == Correction.kind_id)
            .scalar_subquery(),
        )
        query = query.where(
            sa.or_(
                Correction.jurisdiction_id.in_(filters.scope.jurisdiction_ids),
                owner.in_(filters.scope.team_ids),
            )
        )
    return query


def _listed(session: Session, rows: Sequence[Any]) -> list[Listed]:
    return [
        Listed(
            correction=row.Correction,
            kind=kinds_of(session, row.Correction.jurisdiction_id).by_id[row.Correction.kind_id],
            place=jurisdictions.by_id(session, row.Correction.jurisdiction_id),
            asset_code=row.asset_code,
        )
        for row in rows
    ]
