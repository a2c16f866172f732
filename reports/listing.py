"""Lists of reports: by place, service, status, time, area, team, person and words, in pages.

A list costs the same few statements however long it is: the page itself with team, assignee,
parent and reporter joined; how many told the same and follow; its photos.

A page is read in branches, one for each city or team that the reader may see, each with its own
limit, so that an index in the order of the list serves every branch. A place is asked for by cells
and boxes in SQL, and measured afterwards: a page may hold fewer rows than were asked for and still
have a next one.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts.actors import Scope
from core.pagination import BadCursorError, Page, pack, unpack
from core.text import fold
from geo import jurisdictions
from geo.cells import REACH, Range, cover_box, cover_disk, edge_m, widened
from geo.jurisdictions import JurisdictionRef
from geo.measures import MEAN_RADIUS_M, Box, Point, distance_m
from reports.catalogue import catalogue_of
from reports.models import ServiceRequest
from reports.queries import IS_OPEN, Found, complete, selected
from reports.rules import BLOCK_RESOLUTION
from reports.vocabulary import (
    OPEN_STATUSES,
    Status,
    Visibility,
)

_R = ServiceRequest

#: Words of a search beyond these narrow nothing and cost time.
MOST_WORDS = 8

#: How far a public position can lie from the true one.
_BLOCK_M = edge_m(BLOCK_RESOLUTION) * REACH

#: A box wider than this is not grown by a margin: it would wrap around the globe.
_WIDEST_GROWN_DEG = 300.0

#: The great circle errs against the ellipsoid by less than this share.
_SPHERE_SLACK = 1.006


class Sort(enum.StrEnum):
    """Orders of a list; a minus says the latest first."""

    NEWEST = "-requested_at"
    OLDEST = "requested_at"
    DUE = "due_at"
    LAST_CHANGED = "-updated_at"
    FIRST_CHANGED = "updated_at"

    @property
    def is_descending(self) -> bool:
        """Whether the latest come first."""
        return self.value.startswith("-")

    @property
    def column(self) -> sa.orm.InstrumentedAttribute[Any]:
        """What is compared before the id."""
        column: sa.orm.InstrumentedAttribute[Any] = getattr(_R, self.value.lstrip("-"))
        return column


@dataclass(frozen=True, slots=True)
class Filters:
    """Which reports are asked for; what is None or empty asks nothing.

    Attributes:
        areas: pairs of layer and code.
        team_ids: of these teams; `is_unrouted`: of none.
        overdue_at: due before that instant, on the clock of the report.
        text: words that begin words of the report, or `#` and its number.
        needs_place: open, and nobody knows where.
        may_repeat: staff are asked whether it is a duplicate.
    """

    jurisdiction_ids: tuple[int, ...] = ()
    box: Box | None = None
    near: Point | None = None
    radius_m: float = 0.0
    service_codes: tuple[str, ...] = ()
    group: str | None = None
    statuses: tuple[Status, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    updated_since: datetime | None = None
    updated_until: datetime | None = None
    area: tuple[str, str] | None = None
    team_ids: tuple[int, ...] | None = None
    is_unrouted: bool = False
    assignee_id: UUID | None = None
    overdue_at: datetime | None = None
    text: str | None = None
    needs_place: bool = False
    visibility: Visibility | None = None
    may_repeat: bool = False


def page(
    session: Session,
    filters: Filters,
    *,
    scope: Scope | None,
    sort: Sort = Sort.NEWEST,
    cursor: str | None = None,
    limit: int,
) -> Page[Found]:
    """One page of reports: of the staff's scope, or public ones where `scope` is None.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    after = _unpacked(cursor, sort)
    places = _places(session, filters, scope)
    common = _conditions(session, filters, places, is_public=scope is None)
    if common is None:
        return Page([], None)
    if after is not None:
        common.append(_beyond(sort, *after))
    branches = _branches(filters, scope, places)
    if not branches:
        return Page([], None)
    order = _order(sort, sort.column, _R.id)
    chosen: Any
    if len(branches) == 1:
        chosen = sa.select(_R.id).where(branches[0], *common).order_by(*order).limit(limit + 1)
    else:
        each = [
            sa.select(_R.id, sort.column.label("key"))
            .where(branch, *common)
            .order_by(*order)
            .limit(limit + 1)
            .subquery()
            for branch in branches
        ]
        # A report can be in two branches: of a city, and of a team of that city.
        union = sa.union(*(sa.select(part.c.id, part.c.key) for part in each)).subquery()
        chosen = (
            sa.select(union.c.id).order_by(*_order(sort, union.c.key, union.c.id)).limit(limit + 1)
        )
    wanted = chosen.subquery()
    rows = session.execute(selected().join(wanted, wanted.c.id == _R.id).order_by(*order)).all()
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        key = getattr(rows[-1], sort.column.key)
        following = pack(sort.value, key and key.isoformat(), str(rows[-1].id))
    found = complete(session, rows, is_public=scope is None)
    if filters.near is not None or filters.box is not None:
        found = _measured(found, filters, is_public=scope is None)
    return Page(found, following)


def public_conditions(session: Session, filters: Filters) -> list[sa.ColumnElement[bool]] | None:
    """What a list for the public asks, for those who select columns of their own.

    None where nothing can fit. A place still has to be measured, by `lies_within`.
    """
    places = _places(session, filters, None)
    common = _conditions(session, filters, places, is_public=True)
    if common is None or not places:
        return None
    return [sa.or_(*_branches(filters, None, places)), *common]


def lies_within(filters: Filters, point: Point) -> bool:
    """Whether a position, as its reader sees it, lies in the box and the circle asked for."""
    if filters.box is not None and not filters.box.contains(point):
        return False
    return filters.near is None or distance_m(filters.near, point) <= filters.radius_m


def search_query(text: str) -> str | None:
    """The `tsquery` of somebody's words: all of them, each as the beginning of a word.

    None where nothing is left to search for.
    """
    words = fold(text).split()[:MOST_WORDS]
    return " & ".join(f"'{word}':*" for word in words) or None


def _places(session: Session, filters: Filters, scope: Scope | None) -> list[JurisdictionRef]:
    """The cities that the list is about."""
    every = jurisdictions.all_of_them(session)
    if filters.jurisdiction_ids:
        every = [place for place in every if place.id in filters.jurisdiction_ids]
    if scope is not None and not scope.team_ids:
        every = [place for place in every if place.id in scope.jurisdiction_ids]
    return list(every)


def _branches(
    filters: Filters, scope: Scope | None, places: Sequence[JurisdictionRef]
) -> list[sa.ColumnElement[bool]]:
    """One condition for each city or team that is read; an index begins with each."""
    if scope is None:
        return [
            sa.and_(_R.jurisdiction_id == place.id, _R.visibility == Visibility.PUBLIC.value)
            for place in places
        ]
    cities = [
        _R.jurisdiction_id == place.id for place in places if place.id in scope.jurisdiction_ids
    ]
    teams: list[sa.ColumnElement[bool]] = [
        _R.team_id == team_id
        if not filters.jurisdiction_ids
        else sa.and_(_R.team_id == team_id, _R.jurisdiction_id.in_(filters.jurisdiction_ids))
        for team_id in sorted(scope.team_ids)
    ]
    return [*cities, *teams]


def _conditions(
    session: Session,
    filters: Filters,
    places: Sequence[JurisdictionRef],
    *,
    is_public: bool,
) -> list[sa.ColumnElement[bool]] | None:
    """What every branch has in common; None where nothing can fit."""
    conditions: list[sa.ColumnElement[bool]] = []
    entries = [entry for place in places for entry in catalogue_of(session, place.id).services]
    if filters.service_codes or filters.group is not None:
        ids = [
            entry.id
            for entry in entries
            if (not filters.service_codes or entry.code in filters.service_codes)
            and filters.group in (None, entry.group)
        ]
        if not ids:
            return None
        conditions.append(_R.service_id.in_(ids))
    if filters.area is not None:
        areas = [
            ref.id
            for place in places
            for ref in place.areas.refs
            if (ref.layer, ref.code) == filters.area
        ]
        if not areas:
            return None
        conditions.append(_R.areas.op("&&")(sa.cast(areas, postgresql.ARRAY(sa.Integer()))))
    if set(filters.statuses) == set(OPEN_STATUSES):
        conditions.append(IS_OPEN)
    elif filters.statuses:
        conditions.append(_R.status.in_([status.value for status in filters.statuses]))
    for column, since, until in (
        (_R.requested_at, filters.since, filters.until),
        (_R.updated_at, filters.updated_since, filters.updated_until),
    ):
        if since is not None:
            conditions.append(column >= since)
        if until is not None:
            conditions.append(column < until)
    conditions += _work_conditions(filters)
    if filters.text is not None:
        conditions.append(_text_condition(filters.text))
    blurred = [entry.id for entry in entries if entry.public_precision == "block"]
    conditions += _place_conditions(filters, blurred if is_public else [])
    return conditions


def _work_conditions(filters: Filters) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if filters.team_ids is not None:
        conditions.append(_R.team_id.in_(filters.team_ids))
    if filters.is_unrouted:
        conditions += [_R.team_id.is_(None), IS_OPEN]
    if filters.assignee_id is not None:
        conditions.append(_R.assignee_id == filters.assignee_id)
    if filters.overdue_at is not None:
        # On hold the clock stands where it stood.
        conditions += [
            _R.due_at < sa.func.coalesce(_R.held_since, filters.overdue_at),
            IS_OPEN,
        ]
    if filters.visibility is not None:
        conditions.append(_R.visibility == filters.visibility.value)
    if filters.may_repeat:
        conditions.append(_R.suggested_id.is_not(None))
    if filters.needs_place:
        conditions += [_R.cell.is_(None), IS_OPEN]
    return conditions


def _text_condition(text: str) -> sa.ColumnElement[bool]:
    number = text.strip().removeprefix("#")
    if text.strip().startswith("#") and number.isascii() and number.isdigit():
        return _R.number == int(number) if len(number) <= 18 else sa.false()
    query = search_query(text)
    if query is None:
        return sa.true()
    config = sa.cast(sa.literal("simple"), postgresql.REGCONFIG)
    return _R.search.op("@@")(sa.func.to_tsquery(config, query))


def _place_conditions(filters: Filters, blurred: Sequence[int]) -> list[sa.ColumnElement[bool]]:
    """Cells and boxes that surely hold what is meant.

    Args:
        blurred: services of which the reader sees rounded positions. They are asked for by a wider
            margin here, in whole blocks, and measured where they are shown: whoever moves a box
            about must not learn more than the map says, not even by whether there is a next page.
    """
    conditions: list[sa.ColumnElement[bool]] = []
    margin_m = _BLOCK_M if blurred else 0.0
    if filters.box is not None:
        ranges = cover_box(_grown(filters.box, margin_m))
        conditions.append(_in_cells(widened(ranges, BLOCK_RESOLUTION) if blurred else ranges))
        conditions.append(_or_blurred(_in_box(filters.box), blurred))
    if filters.near is not None:
        reach_m = filters.radius_m + margin_m
        ranges = cover_disk(filters.near, reach_m)
        conditions.append(_in_cells(widened(ranges, BLOCK_RESOLUTION) if blurred else ranges))
        conditions.append(
            _or_blurred(_within(filters.near, filters.radius_m * _SPHERE_SLACK + 1), blurred)
        )
    return conditions


def _in_cells(ranges: Sequence[Range]) -> sa.ColumnElement[bool]:
    return sa.or_(*(_R.cell.between(low, high) for low, high in ranges))


def _in_box(box: Box) -> sa.ColumnElement[bool]:
    return sa.or_(
        *(
            sa.and_(_R.lat.between(part.south, part.north), _R.lon.between(part.west, part.east))
            for part in box.parts()
        )
    )


def _within(centre: Point, radius_m: float) -> sa.ColumnElement[bool]:
    """By the haversine formula on a sphere; slack is the caller's business."""
    half_lat = sa.func.sind((_R.lat - centre.lat) / 2)
    half_lon = sa.func.sind((_R.lon - centre.lon) / 2)
    chord = half_lat * half_lat + (
        sa.func.cosd(_R.lat) * sa.func.cosd(sa.literal(centre.lat)) * half_lon * half_lon
    )
    return 2 * MEAN_RADIUS_M * sa.func.asin(sa.func.least(1.0, sa.func.sqrt(chord))) <= radius_m


def _or_blurred(
    condition: sa.ColumnElement[bool], blurred: Sequence[int]
) -> sa.ColumnElement[bool]:
    return sa.or_(condition, _R.service_id.in_(blurred)) if blurred else condition


def _grown(box: Box, margin_m: float) -> Box:
    width = box.east - box.west + (360.0 if box.crosses_antimeridian else 0.0)
    if not margin_m or width > _WIDEST_GROWN_DEG:
        return box
    low = Box.around(Point(box.south, box.west), margin_m)
    high = Box.around(Point(box.north, box.east), margin_m)
    if high.north >= 89 or low.south <= -89:
        return Box(-180.0, low.south, 180.0, high.north)
    return Box(low.west, low.south, high.east, high.north)


def _measured(found: Sequence[Found], filters: Filters, *, is_public: bool) -> list[Found]:
    """Those that lie, as the reader sees them, in the box and within the radius."""
    kept: list[Found] = []
    for item in found:
        point = item.public_point if is_public else item.point
        if point is None or (filters.box is not None and not filters.box.contains(point)):
            continue
        if filters.near is None:
            kept.append(item)
            continue
        away_m = distance_m(filters.near, point)
        if away_m <= filters.radius_m:
            kept.append(replace(item, distance_m=round(away_m, 1)))
    return kept


def _order(sort: Sort, key: Any, id_: Any) -> tuple[Any, Any]:
    if sort.is_descending:
        return key.desc(), id_.desc()
    return key.asc(), id_.asc()


def _beyond(sort: Sort, key: datetime | None, last: UUID) -> sa.ColumnElement[bool]:
    """What comes after that row. Without a due date comes last, as PostgreSQL sorts."""
    row = sa.tuple_(sort.column, _R.id)
    if key is None:
        return sa.and_(sort.column.is_(None), _R.id > last)
    compare = operator.lt if sort.is_descending else operator.gt
    after: sa.ColumnElement[bool] = compare(row, sa.tuple_(sa.literal(key), sa.literal(last)))
    return sa.or_(after, sort.column.is_(None)) if sort is Sort.DUE else after


def _unpacked(cursor: str | None, sort: Sort) -> tuple[datetime | None, UUID] | None:
    if cursor is None:
        return None
    name, key, last = unpack(cursor, 3)
    if name != sort.value or (key is None and sort is not Sort.DUE):
        raise BadCursorError(field="cursor")
    try:
        instant = None if key is None else datetime.fromisoformat(str(key))
        if instant is not None and instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        return instant, UUID(str(last))
    except ValueError as error:
        raise BadCursorError(field="cursor") from error
