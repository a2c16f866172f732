"""Reading what Open311 shows of service requests: chosen, put in order, with what belongs to them.

The public's view: `reports.listing` says which requests fit and what of a place may be asked,
`reports.rules` what of it is shown. The columns are chosen here, because a list has a thousand
rows: one statement reads them with what belongs to them, whatever their number. Where a place is
asked for, one statement more finds the requests that surely fit, and each is measured as the
public sees it.

Requests of black-box services are never shown: their senders were promised so.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session, aliased

from accounts.models import Team
from geo.measures import Point
from reports import listing
from reports.catalogue import Catalogue, ServiceEntry
from reports.listing import Filters
from reports.models import HistoryEntry, Note, Photo, ServiceRequest
from reports.queries import PUBLIC_KINDS
from reports.rules import public_point
from reports.vocabulary import NoteKind, PhotoState, ServiceKind, Visibility

_R = ServiceRequest

_ORDER = (_R.requested_at.desc(), _R.id.desc())

#: The place of a row in that order.
Key = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of a list: at most `size` after the first `skip`. Without `size` the rest."""

    skip: int = 0
    size: int | None = None


def by_filters(
    session: Session,
    catalogue: Catalogue,
    filters: Filters,
    cut: Cut,
    *,
    is_extended: bool = False,
) -> Sequence[Any]:
    """The rows of the requests of one jurisdiction that fit, the newest first."""
    if has_place(filters):
        ids = by_place(session, catalogue, filters, cut)
        return by_ids(session, catalogue, ids, is_extended=is_extended)
    conditions = listing.public_conditions(session, filters)
    if conditions is None:
        return []
    # The page is chosen before anything is joined to it.
    wanted = (
        sa.select(_R.id)
        .where(*conditions, *_shown(catalogue))
        .order_by(*_ORDER)
        .limit(cut.size)
        .offset(cut.skip or None)
        .subquery()
    )
    statement = _selected(is_extended).join(wanted, wanted.c.id == _R.id)
    return session.execute(statement.order_by(*_ORDER)).all()


def following(
    session: Session, catalogue: Catalogue, filters: Filters, last: Key | None, size: int
) -> Sequence[Any]:
    """The rows after that one: a long list in short statements, whatever comes in meanwhile."""
    conditions = listing.public_conditions(session, filters)
    if conditions is None:
        return []
    if last is not None:
        conditions.append(sa.tuple_(_R.requested_at, _R.id) < sa.tuple_(*map(sa.literal, last)))
    statement = _selected(False).where(*conditions, *_shown(catalogue))
    return session.execute(statement.order_by(*_ORDER).limit(size)).all()


def by_ids(
    session: Session,
    catalogue: Catalogue | None,
    ids: Sequence[UUID],
    *,
    numbers: Sequence[int] = (),
    is_extended: bool = False,
) -> Sequence[Any]:
    """The rows of these requests as far as the public sees them, the newest first.

    Args:
        catalogue: of the only jurisdiction that is meant; `numbers` are its short numbers.
    """
    meant: list[sa.ColumnElement[bool]] = [_R.id.in_(ids)] if ids else []
    if catalogue is not None and numbers:
        meant.append(sa.and_(_R.jurisdiction_id == catalogue.place.id, _R.number.in_(numbers)))
    if not meant:
        return []
    conditions = [sa.or_(*meant), _R.visibility == Visibility.PUBLIC.value]
    if catalogue is not None:
        conditions += [_R.jurisdiction_id == catalogue.place.id, *_shown(catalogue)]
    statement = _selected(is_extended).where(*conditions).order_by(*_ORDER)
    return session.execute(statement).all()


def has_place(filters: Filters) -> bool:
    """Whether a list has to be measured."""
    return filters.box is not None or filters.near is not None


def by_place(session: Session, catalogue: Catalogue, filters: Filters, cut: Cut) -> list[UUID]:
    """Ids of one part of such a list, counted after measuring: no page is short but the last."""
    conditions = listing.public_conditions(session, filters)
    if conditions is None:
        return []
    rows = session.execute(
        sa.select(_R.id, _R.lat, _R.lon, _R.service_id)
        .where(*conditions, *_shown(catalogue))
        .order_by(*_ORDER),
        execution_options={"yield_per": 1000},
    )
    precisions = {entry.id: entry.public_precision for entry in catalogue.services}
    end = None if cut.size is None else cut.skip + cut.size
    try:
        fitting = (row.id for row in rows if _fits(row, filters, precisions[row.service_id]))
        return list(itertools.islice(fitting, cut.skip, end))
    finally:
        rows.close()


def _fits(row: Any, filters: Filters, precision: str) -> bool:
    return row.lat is not None and listing.lies_within(
        filters, public_point(Point(row.lat, row.lon), precision)
    )


def ids_of(
    session: Session, jurisdiction_id: int | None, ids: Sequence[UUID], numbers: Sequence[int]
) -> list[UUID]:
    """The ids of those of these requests that are there, whoever may see them."""
    meant = [_R.id.in_(ids)]
    if jurisdiction_id is None:
        statement = sa.select(_R.id).where(*meant)
    else:
        meant.append(_R.number.in_(numbers))
        statement = sa.select(_R.id).where(_R.jurisdiction_id == jurisdiction_id, sa.or_(*meant))
    return list(session.scalars(statement.order_by(_R.id)))


def is_shown(service: ServiceEntry) -> bool:
    """Whether requests of a service are shown to anybody."""
    return service.kind is not ServiceKind.BLACKBOX


def _shown(catalogue: Catalogue) -> list[sa.ColumnElement[bool]]:
    hidden = [service.id for service in catalogue.services if not is_shown(service)]
    return [_R.service_id.not_in(hidden)] if hidden else []


_parent = aliased(ServiceRequest)

_note = (
    sa.select(Note.body)
    .where(Note.report_id == _R.id, Note.kind == NoteKind.PUBLIC.value)
    .order_by(Note.created_at.desc(), Note.id.desc())
    .limit(1)
    .scalar_subquery()
)

_shown_photos = (
    Photo.report_id == _R.id,
    Photo.state == PhotoState.READY.value,
    Photo.is_public,
)

_photo = (
    sa.select(Photo.id)
    .where(*_shown_photos)
    .order_by(Photo.created_at, Photo.id)
    .limit(1)
    .scalar_subquery()
)

_COLUMNS = (
    _R.id,
    _R.number,
    _R.jurisdiction_id,
    _R.service_id,
    _R.source,
    _R.status,
    _R.description,
    _R.lat,
    _R.lon,
    _R.address,
    _R.address_id,
    _R.postcode,
    _R.requested_at,
    _R.updated_at,
    _R.due_at,
    _R.resolved_at,
    _R.closed_at,
    # The names are JSON, which costs a thousand times as much as the one that is mostly wanted.
    sa.case((Team.agency.is_(None), Team.names)).label("team_names"),
    Team.agency.label("team_agency"),
    _note.label("note"),
    _photo.label("photo_id"),
    sa.case((_parent.visibility == Visibility.PUBLIC.value, _parent.number)).label("parent_number"),
)

_photos = (
    sa.select(
        sa.func.jsonb_agg(
            postgresql.aggregate_order_by(
                sa.func.jsonb_build_array(Photo.id, Photo.width, Photo.height, Photo.created_at),
                Photo.created_at,
                Photo.id,
            )
        )
    )
    .where(*_shown_photos)
    .scalar_subquery()
)

_said = (
    sa.select(sa.func.string_agg(Note.body, "\n"))
    .where(
        Note.history_id == HistoryEntry.id,
        Note.report_id == _R.id,
        Note.kind == NoteKind.PUBLIC.value,
    )
    .correlate(HistoryEntry, _R)
    .scalar_subquery()
)

_steps = (
    sa.select(
        sa.func.jsonb_agg(
            postgresql.aggregate_order_by(
                sa.func.jsonb_build_array(
                    HistoryEntry.at, HistoryEntry.kind, HistoryEntry.to_status, _said
                ),
                HistoryEntry.id,
            )
        )
    )
    .where(
        HistoryEntry.report_id == _R.id,
        HistoryEntry.kind.in_([kind.value for kind in PUBLIC_KINDS]),
    )
    .correlate(_R)
    .scalar_subquery()
)

#: What only `extensions=true` shows.
_EXTENSIONS = (
    _R.attributes,
    _photos.label("photos"),
    _steps.label("steps"),
)


def _selected(is_extended: bool) -> sa.Select[Any]:
    columns = (*_COLUMNS, *_EXTENSIONS) if is_extended else _COLUMNS
    return (
        sa.select(*columns)
        .select_from(_R)
        .outerjoin(Team, Team.id == _R.team_id)
        .outerjoin(_parent, _parent.id == _R.parent_id)
    )
