"""Reading reports: lists by filters, one report, its history, the queues of the teams.

A list costs the same few statements however long it is: the page itself with team, assignee,
parent and reporter joined; how many told the same and follow; its photos. Services, cities and
areas are in memory. Nothing here decides what of a report a reader sees: `reports.showing` does.

A page is read in branches, one for each city or team that the reader may see, each with its own
limit, so that an index in the order of the list serves every branch. A place is asked for by cells
and boxes in SQL, and measured afterwards: a page may hold fewer rows than were asked for and still
have a next one.
"""

from __future__ import annotations

import enum
import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session, aliased

from accounts.actors import Scope
from accounts.models import Person, Team
from core.pagination import BadCursorError, Page, pack, unpack
from core.text import fold
from geo import jurisdictions
from geo.cells import REACH, Range, cover_box, cover_disk, edge_m
from geo.jurisdictions import JurisdictionRef
from geo.measures import MEAN_RADIUS_M, Box, Point, distance_m
from reports.catalogue import ServiceEntry, catalogue_of
from reports.media import photos_of
from reports.models import Follower, HistoryEntry, Note, Photo, ServiceRequest
from reports.rules import BLOCK_RESOLUTION, public_point
from reports.vocabulary import (
    OPEN_STATUSES,
    HistoryKind,
    NoteKind,
    Status,
    Visibility,
)

#: Words of a search beyond these narrow nothing and cost time.
MOST_WORDS = 8

#: How far a public position can lie from the true one.
_BLOCK_M = edge_m(BLOCK_RESOLUTION) * REACH

#: A box wider than this is not grown by a margin: it would wrap around the globe.
_WIDEST_GROWN_DEG = 300.0

#: The great circle errs against the ellipsoid by less than this share.
_SPHERE_SLACK = 1.006

_R = ServiceRequest

#: Written out, not bound, so that every plan can use the indexes of open reports.
_IS_OPEN: sa.ColumnElement[bool] = sa.literal_column(
    "service_requests.status IN (" + ", ".join(f"'{status}'" for status in OPEN_STATUSES) + ")",
    sa.Boolean(),
)


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
    area: tuple[str, str] | None = None
    team_ids: tuple[int, ...] | None = None
    is_unrouted: bool = False
    assignee_id: UUID | None = None
    overdue_at: datetime | None = None
    text: str | None = None
    needs_place: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A report as it was read, with what belongs to it. `row` has the columns of `_COLUMNS`."""

    row: Any
    place: JurisdictionRef
    service: ServiceEntry
    duplicates: int
    followers: int
    photos: Sequence[Photo]
    distance_m: float | None = None

    @property
    def point(self) -> Point | None:
        """Where it is."""
        return None if self.row.lat is None else Point(self.row.lat, self.row.lon)

    @property
    def public_point(self) -> Point | None:
        """Where the public sees it."""
        return self.point and public_point(self.point, self.service.public_precision)


_parent = aliased(ServiceRequest)

_COLUMNS = (
    *(
        column
        for column in _R.__table__.columns
        if column.name not in ("search", "content_hash", "caller_hash")
    ),
    Team.code.label("team_code"),
    Team.names.label("team_names"),
    Team.agency.label("team_agency"),
    Person.name.label("assignee_name"),
    _parent.number.label("parent_number"),
    _parent.status.label("parent_status"),
    _parent.visibility.label("parent_visibility"),
    sa.select(Follower.name)
    .where(Follower.report_id == _R.id, Follower.is_reporter)
    .limit(1)
    .scalar_subquery()
    .label("reporter_name"),
)


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
    rows = session.execute(_selected().join(wanted, wanted.c.id == _R.id).order_by(*order)).all()
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        key = getattr(rows[-1], sort.column.key)
        following = pack(sort.value, key and key.isoformat(), str(rows[-1].id))
    found = _complete(session, rows, is_public=scope is None)
    if filters.near is not None or filters.box is not None:
        found = _measured(found, filters, is_public=scope is None)
    return Page(found, following)


def one(session: Session, report_id: UUID, *, only_public_photos: bool) -> Found | None:
    """One report, whoever asks; the caller decides what they may see of it."""
    row = session.execute(_selected().where(_R.id == report_id)).one_or_none()
    if row is None:
        return None
    return _complete(session, [row], is_public=only_public_photos)[0]


def several(session: Session, ids: Sequence[UUID]) -> dict[UUID, Found]:
    """Those of these reports that the public may see."""
    rows = session.execute(
        _selected().where(_R.id.in_(list(ids)), _R.visibility == Visibility.PUBLIC.value)
    ).all()
    return {found.row.id: found for found in _complete(session, rows, is_public=True)}


def belonging(session: Session, report_id: UUID) -> Any | None:
    """Whose a report is and who may see it: jurisdiction_id, team_id, visibility, parent_id."""
    return session.execute(
        sa.select(_R.jurisdiction_id, _R.team_id, _R.visibility, _R.parent_id).where(
            _R.id == report_id
        )
    ).one_or_none()


def find_id(session: Session, jurisdiction_id: int, named: str) -> UUID | None:
    """The id of the report that somebody calls by its id or, within a city, by its number."""
    named = named.strip().removeprefix("#")
    if named.isascii() and named.isdigit():
        if len(named) > 18:
            return None
        return session.scalar(
            sa.select(_R.id).where(_R.jurisdiction_id == jurisdiction_id, _R.number == int(named))
        )
    try:
        return UUID(named)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Contact:
    """How a reporter can be reached; for those who may read contact data."""

    name: str | None
    email: str | None
    phone: str | None
    locale: str
    is_told: bool


def reporter_of(session: Session, report_id: UUID) -> Contact | None:
    """Who told of it, if they said."""
    row = session.execute(
        sa.select(Follower.name, Follower.email, Follower.phone, Follower.locale, Follower.left_at)
        .where(Follower.report_id == report_id, Follower.is_reporter)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Contact(row.name, row.email, row.phone, row.locale, row.left_at is None)


def notes_of(session: Session, report_id: UUID, kinds: Sequence[NoteKind]) -> list[Any]:
    """The words of these kinds about a report, oldest first: kind, body, created_at."""
    return list(
        session.execute(
            sa.select(Note.kind, Note.body, Note.created_at)
            .where(Note.report_id == report_id, Note.kind.in_([kind.value for kind in kinds]))
            .order_by(Note.created_at, Note.id)
        )
    )


def photo_states(session: Session, report_id: UUID) -> list[Any]:
    """Every photo of a report and where it stands: id, state, dropped_because, created_at."""
    return list(
        session.execute(
            sa.select(Photo.id, Photo.state, Photo.dropped_because, Photo.created_at)
            .where(Photo.report_id == report_id)
            .order_by(Photo.created_at, Photo.id)
        )
    )


class Reader(enum.Enum):
    """For whom a history is read."""

    PUBLIC = "public"
    REPORTER = "reporter"
    STAFF = "staff"


#: What the public learns of: what became of a report, not who looked at what.
PUBLIC_KINDS = (
    HistoryKind.STATUS,
    HistoryKind.JOINED,
    HistoryKind.UNJOINED,
    HistoryKind.COMMENTED,
    HistoryKind.ASSIGNED,
    HistoryKind.ROUTED,
)

_WORDS_FOR: Mapping[Reader, tuple[NoteKind, ...]] = {
    Reader.PUBLIC: (NoteKind.PUBLIC,),
    Reader.REPORTER: (
        NoteKind.PUBLIC,
        NoteKind.QUESTION,
        NoteKind.ANSWER,
        NoteKind.ADDITION,
    ),
    Reader.STAFF: tuple(NoteKind),
}

_KINDS_FOR: Mapping[Reader, tuple[HistoryKind, ...]] = {
    Reader.PUBLIC: PUBLIC_KINDS,
    Reader.REPORTER: (
        *PUBLIC_KINDS,
        HistoryKind.ASKED,
        HistoryKind.ANSWERED,
        HistoryKind.ADDED,
        HistoryKind.PHOTO_ADDED,
        HistoryKind.PHOTO_DROPPED,
        HistoryKind.WITHDRAWN,
    ),
    Reader.STAFF: tuple(HistoryKind),
}

#: Steps that say something only by the status they lead to, or by words beside them.
_SILENT_ALONE = frozenset({HistoryKind.COMMENTED, HistoryKind.ASSIGNED, HistoryKind.ROUTED})


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a history with the words that belong to it."""

    row: Any
    notes: Sequence[Any]


def history(
    session: Session,
    report_id: UUID,
    reader: Reader,
    *,
    cursor: str | None = None,
    limit: int,
) -> Page[Step]:
    """What happened to a report, oldest first, as far as this reader is told; two statements."""
    query = (
        sa.select(
            HistoryEntry.id,
            HistoryEntry.at,
            HistoryEntry.kind,
            HistoryEntry.from_status,
            HistoryEntry.to_status,
            HistoryEntry.actor_kind,
            HistoryEntry.actor_id,
            HistoryEntry.data,
            Person.name.label("actor_name"),
        )
        .outerjoin(Person, Person.id == HistoryEntry.actor_id)
        .where(
            HistoryEntry.report_id == report_id,
            HistoryEntry.kind.in_([kind.value for kind in _KINDS_FOR[reader]]),
        )
        .order_by(HistoryEntry.id)
        .limit(limit + 1)
    )
    if cursor is not None:
        [last] = unpack(cursor, 1)
        if not isinstance(last, int) or not 0 <= last < 1 << 63:
            raise BadCursorError(field="cursor")
        query = query.where(HistoryEntry.id > last)
    rows = session.execute(query).all()
    following = pack(rows[limit - 1].id) if len(rows) > limit else None
    rows = rows[:limit]
    notes: dict[int, list[Any]] = {}
    for note in session.execute(
        sa.select(Note.history_id, Note.kind, Note.body, Note.created_at)
        .where(
            Note.history_id.in_([row.id for row in rows]),
            Note.report_id == report_id,
            Note.kind.in_([kind.value for kind in _WORDS_FOR[reader]]),
        )
        .order_by(Note.created_at, Note.id)
    ):
        notes.setdefault(note.history_id, []).append(note)
    steps = [Step(row, notes.get(row.id, [])) for row in rows]
    if reader is not Reader.STAFF:
        steps = [
            step
            for step in steps
            if step.notes or step.row.to_status or step.row.kind not in _SILENT_ALONE
        ]
    return Page(steps, following)


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for a team. `team` has code, names and jurisdiction_id; None: a special queue."""

    name: str
    jurisdiction_id: int
    team: Any | None
    open: int
    overdue: int
    unassigned: int
    on_hold: int
    oldest_due_at: datetime | None


#: Queues that belong to no team: nobody knows where, nobody knows whose.
NEEDS_PLACE, UNROUTED = "needs-place", "unrouted"


def queues(session: Session, scope: Scope, *, now: datetime) -> list[Queue]:
    """What is waiting in every queue of the scope: two statements."""
    overdue = _R.due_at < sa.func.coalesce(_R.held_since, now)
    counts = (
        sa.func.count(_R.id).label("open"),
        sa.func.count(_R.id).filter(overdue).label("overdue"),
        sa.func.count(_R.id).filter(_R.assignee_id.is_(None)).label("unassigned"),
        sa.func.count(_R.id).filter(_R.status == Status.ON_HOLD.value).label("on_hold"),
        sa.func.min(_R.due_at).label("oldest_due_at"),
    )
    teams = session.execute(
        sa.select(Team.id, Team.jurisdiction_id, Team.code, Team.names, *counts)
        .outerjoin(_R, sa.and_(_R.team_id == Team.id, _IS_OPEN))
        .where(
            sa.or_(Team.jurisdiction_id.in_(scope.jurisdiction_ids), Team.id.in_(scope.team_ids))
        )
        .group_by(Team.id)
        .having(sa.or_(Team.is_active, sa.func.count(_R.id) > 0))
        .order_by(Team.jurisdiction_id, Team.code)
    )
    found = [
        Queue(
            row.code,
            row.jurisdiction_id,
            row,
            row.open,
            row.overdue,
            row.unassigned,
            row.on_hold,
            row.oldest_due_at,
        )
        for row in teams
    ]
    if not scope.jurisdiction_ids:
        return found
    special = {
        (row.jurisdiction_id, row.name): row
        for row in session.execute(
            sa.union_all(
                *(
                    sa.select(_R.jurisdiction_id, sa.literal(name).label("name"), *counts)
                    .where(
                        _R.jurisdiction_id.in_(scope.jurisdiction_ids),
                        _IS_OPEN,
                        condition,
                    )
                    .group_by(_R.jurisdiction_id)
                    for name, condition in (
                        (NEEDS_PLACE, _R.cell.is_(None)),
                        (UNROUTED, _R.team_id.is_(None)),
                    )
                )
            )
        )
    }
    for jurisdiction_id in sorted(scope.jurisdiction_ids):
        for name in (NEEDS_PLACE, UNROUTED):
            row = special.get((jurisdiction_id, name))
            found.append(
                Queue(
                    name,
                    jurisdiction_id,
                    None,
                    row.open if row else 0,
                    row.overdue if row else 0,
                    row.unassigned if row else 0,
                    row.on_hold if row else 0,
                    row.oldest_due_at if row else None,
                )
            )
    return found


def teams_called(
    session: Session, codes: Sequence[str], jurisdiction_ids: Sequence[int]
) -> list[Any]:
    """The teams of those codes, of these cities or of all: id, jurisdiction_id, code, names."""
    query = sa.select(Team.id, Team.jurisdiction_id, Team.code, Team.names).where(
        Team.code.in_(codes)
    )
    if jurisdiction_ids:
        query = query.where(Team.jurisdiction_id.in_(jurisdiction_ids))
    return list(session.execute(query.order_by(Team.id)))


def search_query(text: str) -> str | None:
    """The `tsquery` of somebody's words: all of them, each as the beginning of a word.

    None where nothing is left to search for.
    """
    words = fold(text).split()[:MOST_WORDS]
    return " & ".join(f"'{word}':*" for word in words) or None


# -- the parts of a page --------------------------------------------------------------------------


def _selected() -> sa.Select[Any]:
    return (
        sa.select(*_COLUMNS)
        .select_from(_R)
        .outerjoin(Team, Team.id == _R.team_id)
        .outerjoin(Person, Person.id == _R.assignee_id)
        .outerjoin(_parent, _parent.id == _R.parent_id)
    )


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
        conditions.append(_IS_OPEN)
    elif filters.statuses:
        conditions.append(_R.status.in_([status.value for status in filters.statuses]))
    for column, since, until in (
        (_R.requested_at, filters.since, filters.until),
        (_R.updated_at, filters.updated_since, None),
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
        conditions += [_R.team_id.is_(None), _IS_OPEN]
    if filters.assignee_id is not None:
        conditions.append(_R.assignee_id == filters.assignee_id)
    if filters.overdue_at is not None:
        # On hold the clock stands where it stood.
        conditions += [
            _R.due_at < sa.func.coalesce(_R.held_since, filters.overdue_at),
            _IS_OPEN,
        ]
    if filters.needs_place:
        conditions += [_R.cell.is_(None), _IS_OPEN]
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
            margin here and measured where they are shown: whoever moves a box about must not
            learn more than the map says.
    """
    conditions: list[sa.ColumnElement[bool]] = []
    margin_m = _BLOCK_M if blurred else 0.0
    if filters.box is not None:
        conditions.append(_in_cells(cover_box(_grown(filters.box, margin_m))))
        conditions.append(_or_blurred(_in_box(filters.box), blurred))
    if filters.near is not None:
        reach_m = filters.radius_m + margin_m
        conditions.append(_in_cells(cover_disk(filters.near, reach_m)))
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
            kept.append(
                Found(
                    item.row,
                    item.place,
                    item.service,
                    item.duplicates,
                    item.followers,
                    item.photos,
                    round(away_m, 1),
                )
            )
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


def _complete(session: Session, rows: Sequence[Any], *, is_public: bool) -> list[Found]:
    """Rows with what belongs to them: two statements for any number of rows."""
    if not rows:
        return []
    ids = [row.id for row in rows]
    counts = _evidence(session, ids)
    photos = photos_of(session, ids, only_public=is_public)
    return [
        Found(
            row=row,
            place=(catalogue := catalogue_of(session, row.jurisdiction_id)).place,
            service=catalogue.by_id[row.service_id],
            duplicates=counts.get(row.id, (0, 0))[0],
            followers=counts.get(row.id, (0, 0))[1],
            photos=photos.get(row.id, ()),
        )
        for row in rows
    ]


@functools.cache
def _evidence_query() -> sa.Select[Any]:
    ids = sa.bindparam("ids", type_=postgresql.ARRAY(sa.Uuid()))
    family = sa.union_all(
        sa.select(_R.id.label("id"), _R.id.label("root")).where(_R.id == sa.any_(ids)),
        sa.select(_R.id.label("id"), _R.parent_id.label("root")).where(
            _R.parent_id == sa.any_(ids)
        ),
    ).cte("family")
    return (
        sa.select(
            family.c.root,
            (sa.func.count(sa.distinct(family.c.id)) - 1).label("duplicates"),
            sa.func.count(Follower.id).label("followers"),
        )
        .select_from(family)
        .outerjoin(
            Follower,
            sa.and_(
                Follower.report_id == family.c.id,
                Follower.is_reporter.is_(False),
                Follower.confirmed_at.is_not(None),
                Follower.left_at.is_(None),
            ),
        )
        .group_by(family.c.root)
    )


def _evidence(session: Session, ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """How many others told the same, and how many wait for news, by report."""
    return {
        row.root: (row.duplicates, row.followers)
        for row in session.execute(_evidence_query(), {"ids": list(ids)})
    }
