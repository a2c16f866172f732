"""Reads of the register: by place, the nearest ones, one with its versions, clusters of many.

A list is one statement, whatever its size: for each range of cells (and each city or kind) an
index in the order of the list is read from where the page begins, and no further than it ends. A
place is asked for by cells in the index and exactly in the same statement; a circle is measured
once more afterwards, so a page of one can hold fewer assets than asked for.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Person, Team
from assets.kinds import KindEntry, Kinds, kinds_of
from assets.models import AssetVersion
from assets.vocabulary import STATES_THERE, THERE_SQL, AssetState
from core.pagination import BadCursorError, Page, pack, unpack
from core.text import fold
from geo import jurisdictions
from geo.cells import (
    EVERYWHERE,
    POSITION_RESOLUTION,
    Range,
    centre_of,
    cover_box,
    cover_disk,
    edge_m,
    parent_of,
)
from geo.jurisdictions import JurisdictionRef
from geo.measures import MEAN_RADIUS_M, Box, Point, distance_m
from reports.models import ServiceRequest
from reports.queries import IS_OPEN
from reports.vocabulary import Visibility

#: A box that holds more than this is answered with clusters, unless pages were asked for.
MOST_IN_BOX = 1_000

#: About so many clusters fill a map.
CLUSTERS = 150

#: The finest resolution of clusters, edges of 9 m, and the coarsest.
FINEST_CLUSTER, COARSEST_CLUSTER = 12, 2

#: Cells of this resolution, with edges of half a kilometre, are kept counted (`AssetCell`); and
#: how many bits part them from cells of positions.
COUNTED = 8
_COUNTED_SHIFT = 3 * (POSITION_RESOLUTION - COUNTED)

#: Where the mean position of a cell's assets lies so far inside of a box, all of them lie inside:
#: no two of them are further apart than a cell is wide, its ragged edge included.
_INSIDE_M = 3 * edge_m(COUNTED)

#: The nearest ones are looked for within these radii, one after the other.
_NEAREST_RADII_M = (60.0, 250.0, 1_000.0, 5_000.0)

#: Words of a search beyond these narrow nothing and cost time.
_MOST_WORDS = 8

#: The sphere errs against the ellipsoid by less than this share.
_SPHERE_SLACK = 1.006


@dataclass(frozen=True, slots=True)
class Filters:
    """Which assets are asked for; what is None or empty asks nothing.

    Attributes:
        places: of these cities only.
        kinds: codes of kinds.
        states: without them, those that are there.
        adopted: True: somebody looks after it; False: it can be adopted now.
        text: beginnings of words of its code and attributes.
        code: the city's own, whole.
    """

    places: tuple[JurisdictionRef, ...]
    box: Box | None = None
    near: Point | None = None
    radius_m: float = 0.0
    kinds: tuple[str, ...] = ()
    states: tuple[AssetState, ...] = ()
    adopted: bool | None = None
    text: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One asset with its kind, as lists give it.

    Attributes:
        distance_m: from the position that was asked about.
    """

    id: UUID
    kind: KindEntry
    place: JurisdictionRef
    code: str
    point: Point
    attributes: Mapping[str, Any]
    state: AssetState
    owner_team_id: int | None
    version: int
    since: datetime
    created_at: datetime
    adopters: int
    distance_m: float | None = None

    @property
    def team_id(self) -> int | None:
        """The team that looks after it."""
        return self.owner_team_id if self.owner_team_id is not None else self.kind.owner_team_id


@dataclass(frozen=True, slots=True)
class Cluster:
    """Assets that lie in one cell, counted.

    Attributes:
        point: the mean of their positions.
        kinds: code of the kind → how many.
    """

    cell: int
    point: Point
    kinds: Mapping[str, int]

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.kinds.values())


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an asset, with the name of the member of the staff who made it, if one did."""

    version: int
    at: datetime
    origin: str
    actor_id: UUID | None
    actor_name: str | None
    correction_id: UUID | None
    run_id: int | None
    changed: Sequence[str]
    code: str
    lat: float
    lon: float
    attributes: Mapping[str, Any]
    state: str
    owner_team_id: int | None


def page(
    session: Session, filters: Filters, *, cursor: str | None = None, limit: int
) -> Page[Found]:
    """One page of assets, in the order of their cells: neighbours follow one another.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    rows = _rows(session, filters, _unpacked(cursor), limit + 1)
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = pack(rows[-1].cell, str(rows[-1].id))
    found = _found(session, rows)
    if filters.near is not None:
        found = _measured(found, filters.near, filters.radius_m)
    return Page(found, following)


def written(
    session: Session, filters: Filters, *, cursor: str | None = None, limit: int
) -> Page[Any]:
    """The same page as rows that are written as they are: attributes and instants as JSON text.

    Not of a circle, which is measured. A map asks for five hundred at once; to make values of what
    becomes text again would take most of the time.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    rows = _rows(session, filters, _unpacked(cursor), limit + 1, columns=_WRITTEN)
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], pack(rows[limit - 1].cell, rows[limit - 1].id))


def nearest(session: Session, filters: Filters, *, most: int) -> list[Found]:
    """The nearest assets to `filters.near`, at most so many, nearest first.

    Within `filters.radius_m`, or within five kilometres. One statement: a wider circle is read
    only where the narrower ones hold too few.
    """
    centre = filters.near
    assert centre is not None
    reach_m = filters.radius_m or _NEAREST_RADII_M[-1]
    plan = _plan(session, filters)
    if not plan.scopes:
        return []
    radii = [radius for radius in _NEAREST_RADII_M if radius < reach_m] + [reach_m]
    values: dict[str, Any] = {**plan.values, "lat": centre.lat, "lon": centre.lon, "most": most}
    rings: list[str] = []
    for number, radius_m in enumerate(radii):
        values |= plan.ranged(cover_disk(centre, radius_m), f"_{number}")
        values[f"radius_{number}"] = radius_m * _SPHERE_SLACK + 1
        # What is enough is decided once, before the circle is read.
        enough = "".join(
            f" AND (SELECT count(*) FROM ring_{before}) < :most" for before in range(number)
        )
        rings.append(
            f"""ring_{number} AS MATERIALIZED (
                SELECT a.id, a.away FROM {plan.ranges(f"_{number}")}
                 CROSS JOIN LATERAL (
                       SELECT a.id, {_DISTANCE} AS away FROM assets AS a
                        WHERE {plan.lies_in_range} AND {plan.where} {_RANGE_BY_RANGE}) AS a
                 WHERE a.away <= :radius_{number}{enough})"""
        )
    union = " UNION ".join(f"SELECT id, away FROM ring_{number}" for number in range(len(radii)))
    statement = f"""
        WITH {", ".join(rings)},
        best AS (SELECT id, min(away) AS away FROM ({union}) AS found
                  GROUP BY id ORDER BY 2, 1 LIMIT :most)
        SELECT {_COLUMNS} FROM best JOIN assets AS a USING (id)
    """
    rows = session.execute(sa.text(statement), values).all()
    found = _measured(_found(session, rows), centre, reach_m)
    return sorted(found, key=lambda item: (item.distance_m or 0.0, item.id))


def clusters(session: Session, filters: Filters) -> list[Cluster]:
    """The assets of a box, counted by cell; some 150 cells, whatever the size of the box."""
    assert filters.box is not None
    plan = _plan(session, filters)
    if not plan.scopes:
        return []
    resolution = cluster_resolution(filters.box)
    if resolution <= COUNTED and _is_counted(filters):
        return _clusters(_counted(session, filters.box, plan, resolution), resolution, plan)
    statement = f"""
        SELECT min(a.cell) AS cell, a.kind_id, sum(a.count)::integer AS count,
               sum(a.lat) / sum(a.count) AS lat, sum(a.lon) / sum(a.count) AS lon,
               max(a.east) - min(a.west) AS width
          FROM {plan.ranges("")}
         CROSS JOIN LATERAL (
               SELECT min(a.cell) AS cell, a.cell >> :shift AS prefix, a.kind_id,
                      count(*) AS count, sum(a.lat) AS lat, sum(a.lon) AS lon,
                      min(a.lon) AS west, max(a.lon) AS east
                 FROM assets AS a WHERE {plan.lies_in_range} AND {plan.where}
                GROUP BY a.cell >> :shift, a.kind_id) AS a
         GROUP BY a.prefix, a.kind_id
    """
    values = {
        **plan.values,
        **plan.ranged(cover_box(filters.box), ""),
        "shift": 3 * (POSITION_RESOLUTION - resolution),
    }
    return _clusters(session.execute(sa.text(statement), values).all(), resolution, plan)


def cluster_resolution(box: Box) -> int:
    """The finest resolution at which about `CLUSTERS` cells fill the box."""
    width = box.east - box.west + (360.0 if box.crosses_antimeridian else 0.0)
    middle = math.radians((box.south + box.north) / 2)
    degree_m = math.radians(1) * MEAN_RADIUS_M
    area_m2 = (box.north - box.south) * degree_m * width * degree_m * math.cos(middle)
    for resolution in range(FINEST_CLUSTER, COARSEST_CLUSTER, -1):
        hexagon_m2 = 1.5 * math.sqrt(3) * edge_m(resolution) ** 2
        if area_m2 <= hexagon_m2 * CLUSTERS:
            return resolution
    return COARSEST_CLUSTER


def one(session: Session, asset_id: UUID) -> Found | None:
    """The asset of that id."""
    return several(session, [asset_id]).get(asset_id)


def several(session: Session, ids: Sequence[UUID]) -> dict[UUID, Found]:
    """The assets of those ids that there are; one statement."""
    rows = session.execute(
        sa.text(f"SELECT {_COLUMNS} FROM assets AS a WHERE a.id = ANY (:ids ::uuid[])"),
        {"ids": list(ids)},
    ).all()
    return {found.id: found for found in _found(session, rows)}


def versions(
    session: Session, asset_id: UUID, *, before: int | None = None, limit: int
) -> list[Version]:
    """The versions of an asset, the latest first."""
    columns = AssetVersion.__table__.c
    statement = (
        sa.select(
            *(columns[item.name] for item in fields(Version) if item.name != "actor_name"),
            Person.name.label("actor_name"),
        )
        .outerjoin_from(AssetVersion.__table__, Person, Person.id == columns.actor_id)
        .where(columns.asset_id == asset_id)
        .order_by(columns.version.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(columns.version < before)
    return [Version(**row) for row in session.execute(statement).mappings()]


def reports_of(session: Session, asset_id: UUID, *, most: int) -> tuple[list[UUID], int]:
    """Ids of the public open reports about it, the latest first, and how many are over."""
    is_about = sa.and_(
        ServiceRequest.asset_id == asset_id,
        ServiceRequest.visibility == Visibility.PUBLIC.value,
    )
    ids = session.scalars(
        sa.select(ServiceRequest.id)
        .where(is_about, IS_OPEN)
        .order_by(ServiceRequest.requested_at.desc(), ServiceRequest.id)
        .limit(most)
    )
    past = session.scalar(
        sa.select(sa.func.count()).select_from(ServiceRequest).where(is_about, sa.not_(IS_OPEN))
    )
    return list(ids), past or 0


def past_reports(
    session: Session, asset_id: UUID, *, cursor: str | None = None, limit: int
) -> Page[UUID]:
    """Ids of the public reports about it that are over, the latest first.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    row = ServiceRequest
    query = sa.select(row.id, row.requested_at).where(
        row.asset_id == asset_id,
        row.visibility == Visibility.PUBLIC.value,
        sa.not_(IS_OPEN),
    )
    if cursor is not None:
        at, id_ = unpack(cursor, 2)
        try:
            last = (datetime.fromisoformat(str(at)), UUID(str(id_)))
        except ValueError as error:
            raise BadCursorError(field="cursor") from error
        if last[0].tzinfo is None:
            raise BadCursorError(field="cursor")
        query = query.where(sa.tuple_(row.requested_at, row.id) < last)
    rows = session.execute(
        query.order_by(row.requested_at.desc(), row.id.desc()).limit(limit + 1)
    ).all()
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = pack(rows[-1].requested_at.isoformat(), str(rows[-1].id))
    return Page([found.id for found in rows], following)


def teams(session: Session, ids: Collection[int]) -> dict[int, tuple[str, Mapping[str, str]]]:
    """Code and names of teams, by id."""
    if not ids:
        return {}
    rows = session.execute(sa.select(Team.id, Team.code, Team.names).where(Team.id.in_(list(ids))))
    return {row.id: (row.code, row.names) for row in rows}


# -- statements ------------------------------------------------------------------------------------

_COLUMNS = """a.id, a.jurisdiction_id, a.kind_id, a.code, a.lat, a.lon, a.cell, a.attributes,
    a.state, a.owner_team_id, a.version, a.since, a.created_at, a.adopters"""

_WRITTEN = """a.id::text AS id, a.kind_id, a.code, a.lat, a.lon, a.cell,
    a.attributes::text AS attributes, a.state, a.owner_team_id, a.version,
    to_json(a.since AT TIME ZONE 'UTC') #>> '{}' AS since, a.adopters"""

#: Keeps the planner from joining all ranges with all assets and only then comparing: each range is
#: a stretch of an index.
_RANGE_BY_RANGE = "OFFSET 0"

#: By the haversine formula on a sphere.
_DISTANCE = f"""(2 * {MEAN_RADIUS_M} * asin(least(1.0, sqrt(
    power(sind((a.lat - :lat) / 2), 2)
    + cosd(a.lat) * cosd(:lat) * power(sind((a.lon - :lon) / 2), 2)))))"""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How assets are looked up.

    Attributes:
        key: the column that the index begins with.
        scopes: values of that column, each with the capacity of the kind that it is.
        kinds: whose assets are meant.
        where: conditions on `a` and `s`, but for the key, the cells and the cursor.
    """

    key: str
    scopes: Sequence[tuple[int, int]]
    kinds: Sequence[KindEntry]
    where: str
    values: Mapping[str, Any]

    def source(self, suffix: str) -> str:
        """A FROM of the assets in the ranges of `ranged`."""
        return f"{self.ranges(suffix)} JOIN assets AS a ON {self.lies_in_range}"

    def ranges(self, suffix: str) -> str:
        """A FROM of the ranges themselves."""
        return f"""unnest(:scopes{suffix} ::integer[], :capacities{suffix} ::integer[],
            :lows{suffix} ::bigint[], :highs{suffix} ::bigint[]) AS s(id, capacity, low, high)"""

    @property
    def lies_in_range(self) -> str:
        """The condition that joins the two."""
        return f"a.{self.key} = s.id AND a.cell BETWEEN s.low AND s.high"

    def ranged(self, ranges: Sequence[Range], suffix: str) -> dict[str, Any]:
        """The values of `ranges`: every range of cells in every scope."""
        pairs = [(scope, span) for scope in self.scopes for span in ranges]
        return {
            f"scopes{suffix}": [scope for (scope, _), _ in pairs],
            f"capacities{suffix}": [capacity for (_, capacity), _ in pairs],
            f"lows{suffix}": [low for _, (low, _) in pairs],
            f"highs{suffix}": [high for _, (_, high) in pairs],
        }


def _plan(session: Session, filters: Filters) -> _Plan:
    kinds = [
        kind
        for place in filters.places
        for kind in kinds_of(session, place.id).offered()
        if (not filters.kinds or kind.code in filters.kinds)
        and (kind.is_adoptable or filters.adopted is not False)
    ]
    values: dict[str, Any] = {}
    conditions: list[str] = []
    states = set(filters.states or STATES_THERE)
    is_usual = states == set(STATES_THERE)
    if is_usual:
        # In the very words of the indexes.
        conditions.append(f"a.state IN ({THERE_SQL})")
    else:
        conditions.append("a.state = ANY (:states ::text[])")
        values["states"] = sorted(state.value for state in states)
    if filters.adopted is True:
        conditions.append("a.adopters > 0")
    elif filters.adopted is False:
        conditions.append(f"a.adopters < s.capacity AND a.state IN ({THERE_SQL})")
    if filters.box is not None:
        conditions.append(_in_box(filters.box, values))
    if filters.text is not None:
        words = fold(filters.text).split()[:_MOST_WORDS]
        if words:
            conditions.append("a.search @@ to_tsquery('simple', :words)")
            values["words"] = " & ".join(f"'{word}':*" for word in words)
    if filters.code is not None:
        conditions.append("a.code = :code")
        values["code"] = filters.code
    # A code is looked up in each kind's own index.
    if is_usual and not filters.kinds and filters.adopted is None and filters.code is None:
        key = "jurisdiction_id"
        scopes = [(place.id, 0) for place in filters.places]
        conditions.append("a.kind_id = ANY (:kinds ::integer[])")
        values["kinds"] = [kind.id for kind in kinds]
    else:
        key = "kind_id"
        scopes = [(kind.id, kind.adoption.capacity) for kind in kinds]
    return _Plan(key, scopes if kinds else [], kinds, " AND ".join(conditions), values)


def _in_box(box: Box, values: dict[str, Any]) -> str:
    parts = []
    for at, part in enumerate(box.parts()):
        parts.append(
            f"(a.lat BETWEEN :south_{at} AND :north_{at}"
            f" AND a.lon BETWEEN :west_{at} AND :east_{at})"
        )
        values |= {
            f"south_{at}": part.south,
            f"north_{at}": part.north,
            f"west_{at}": part.west,
            f"east_{at}": part.east,
        }
    return f"({' OR '.join(parts)})"


def _rows(
    session: Session,
    filters: Filters,
    after: tuple[int, UUID] | None,
    count: int,
    *,
    columns: str = _COLUMNS,
) -> Sequence[Any]:
    """That many rows beyond the cursor, in order; one statement."""
    plan = _plan(session, filters)
    ranges = [EVERYWHERE]
    if filters.box is not None:
        ranges = cover_box(filters.box)
    elif filters.near is not None:
        ranges = cover_disk(filters.near, filters.radius_m)
    where, values = plan.where, {**plan.values, "count": count}
    if after is not None:
        where += " AND (a.cell, a.id) > (:after_cell, :after_id)"
        values |= {"after_cell": after[0], "after_id": after[1]}
        ranges = [(max(low, after[0]), high) for low, high in ranges if high >= after[0]]
    if filters.near is not None:
        where += f" AND {_DISTANCE} <= :radius_m"
        values |= {
            "lat": filters.near.lat,
            "lon": filters.near.lon,
            "radius_m": filters.radius_m * _SPHERE_SLACK + 1,
        }
    if not plan.scopes or not ranges:
        return []
    values |= plan.ranged(ranges, "")
    if "words" in values:
        # Few fit words: they are found first, and sorted.
        statement = f"""
            SELECT {columns} FROM {plan.source("")} WHERE {where}
             ORDER BY a.cell, a.id LIMIT :count
        """
    else:
        statement = f"""
            SELECT {columns}
              FROM {plan.ranges("")}
             CROSS JOIN LATERAL (
                   SELECT a.* FROM assets AS a WHERE {plan.lies_in_range} AND {where}
                    ORDER BY a.cell, a.id LIMIT :count) AS a
             ORDER BY a.cell, a.id LIMIT :count
        """
    return session.execute(sa.text(statement), values).all()


def _found(session: Session, rows: Sequence[Any]) -> list[Found]:
    known: dict[int, tuple[JurisdictionRef, Kinds]] = {}
    made: list[Found] = []
    for row in rows:
        if row.jurisdiction_id not in known:
            known[row.jurisdiction_id] = (
                jurisdictions.by_id(session, row.jurisdiction_id),
                kinds_of(session, row.jurisdiction_id),
            )
        place, kinds = known[row.jurisdiction_id]
        made.append(
            Found(
                id=row.id,
                kind=kinds.by_id[row.kind_id],
                place=place,
                code=row.code,
                point=Point(row.lat, row.lon),
                attributes=row.attributes,
                state=AssetState(row.state),
                owner_team_id=row.owner_team_id,
                version=row.version,
                since=row.since,
                created_at=row.created_at,
                adopters=row.adopters,
            )
        )
    return made


def _measured(found: Sequence[Found], centre: Point, radius_m: float) -> list[Found]:
    """Those within the radius, with their distances."""
    measured = [replace(item, distance_m=distance_m(centre, item.point)) for item in found]
    return [item for item in measured if (item.distance_m or 0.0) <= radius_m]


def _is_counted(filters: Filters) -> bool:
    """Whether the counts by cell answer it: they know kinds, and of states only who is there."""
    return (
        set(filters.states or STATES_THERE) == set(STATES_THERE)
        and filters.adopted is None
        and filters.code is None
        and not (filters.text and fold(filters.text).split())
    )


def _counted(session: Session, box: Box, plan: _Plan, resolution: int) -> Sequence[Any]:
    """Counts of the cells of a large box: as they are kept, and anew where a cell may cross its
    edge. Kinds of several cities have ids of their own, so one list of kinds serves all."""
    spans = _merged((low >> _COUNTED_SHIFT, high >> _COUNTED_SHIFT) for low, high in cover_box(box))
    places = sorted({kind.jurisdiction_id for kind in plan.kinds})
    values: dict[str, Any] = {
        "places": [place for place in places for _ in spans],
        "lows": [low for _ in places for low, _ in spans],
        "highs": [high for _ in places for _, high in spans],
        "kinds": [kind.id for kind in plan.kinds],
        "shift": _COUNTED_SHIFT,
        "up": 3 * (COUNTED - resolution),
    }
    inside = []
    margin = math.degrees(_INSIDE_M / MEAN_RADIUS_M)
    for at, part in enumerate(box.parts()):
        widest = min(max(abs(part.south), abs(part.north)), 89.0)
        margin_lon = margin / math.cos(math.radians(widest))
        inside.append(
            f"(c.middle_lat BETWEEN :in_south_{at} AND :in_north_{at}"
            f" AND c.middle_lon BETWEEN :in_west_{at} AND :in_east_{at})"
        )
        values |= {
            f"in_south_{at}": part.south + margin,
            f"in_north_{at}": part.north - margin,
            f"in_west_{at}": part.west + margin_lon,
            f"in_east_{at}": part.east - margin_lon,
        }
    # Nothing is joined by cell: how many there are the planner does not know.
    statement = f"""
        WITH found AS (
            SELECT c.*, sum(c.lat) OVER cell / sum(c.count) OVER cell AS middle_lat,
                   sum(c.lon) OVER cell / sum(c.count) OVER cell AS middle_lon
              FROM unnest(:places ::integer[], :lows ::bigint[], :highs ::bigint[])
                   AS s(id, low, high)
             CROSS JOIN LATERAL (
                   SELECT c.* FROM asset_cells AS c
                    WHERE c.jurisdiction_id = s.id AND c.prefix BETWEEN s.low AND s.high
                      AND c.count > 0 AND c.kind_id = ANY (:kinds ::integer[])
                    {_RANGE_BY_RANGE}) AS c
            WINDOW cell AS (PARTITION BY c.jurisdiction_id, c.prefix)
        ), placed AS MATERIALIZED (
            SELECT c.*, ({" OR ".join(inside)}) AS is_inside FROM found AS c
        )
        SELECT min(prefix) << :shift AS cell, kind_id, sum(count)::integer AS count,
               sum(lat) / sum(count) AS lat, sum(lon) / sum(count) AS lon,
               max(middle_lon) - min(middle_lon) AS width
          FROM placed WHERE is_inside GROUP BY prefix >> :up, kind_id
         UNION ALL
        SELECT min(e.prefix) << :shift, a.kind_id, count(*)::integer, avg(a.lat), avg(a.lon),
               max(a.lon) - min(a.lon)
          FROM (SELECT DISTINCT jurisdiction_id, prefix FROM placed WHERE NOT is_inside) AS e
         CROSS JOIN LATERAL (
               SELECT a.kind_id, a.lat, a.lon FROM assets AS a
                WHERE a.jurisdiction_id = e.jurisdiction_id
                  AND a.cell BETWEEN e.prefix << :shift AND ((e.prefix + 1) << :shift) - 1
                  AND a.state IN ({THERE_SQL}) AND a.kind_id = ANY (:kinds ::integer[])
                  AND {_in_box(box, values)} {_RANGE_BY_RANGE}) AS a
         GROUP BY e.prefix >> :up, a.kind_id
    """
    return session.execute(sa.text(statement), values).all()


def _merged(spans: Iterable[Range]) -> list[Range]:
    """The same ranges, those that touch or overlap as one."""
    merged: list[Range] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _clusters(rows: Iterable[Any], resolution: int, plan: _Plan) -> list[Cluster]:
    cells: dict[int, list[Any]] = {}
    for row in rows:
        cells.setdefault(parent_of(row.cell, resolution), []).append(row)
    codes = {kind.id: kind.code for kind in plan.kinds}
    return [_cluster(cell, cells[cell], codes) for cell in sorted(cells)]


def _cluster(cell: int, rows: Sequence[Any], codes: Mapping[int, str]) -> Cluster:
    kinds: dict[str, int] = {}
    for row in rows:
        code = codes[row.kind_id]
        kinds[code] = kinds.get(code, 0) + row.count
    total = sum(kinds.values())
    # Of a cell across the antimeridian the mean of degrees lies on the other side of the globe.
    centre = centre_of(cell)
    if (
        any(row.width > 180.0 or abs(row.lon - centre.lon) > 90.0 for row in rows)
        or len({row.lon > 0 for row in rows}) > 1
    ):
        return Cluster(cell, centre, dict(sorted(kinds.items())))
    lat = sum(row.lat * row.count for row in rows) / total
    lon = sum(row.lon * row.count for row in rows) / total
    return Cluster(cell, Point(lat, lon), dict(sorted(kinds.items())))


def _unpacked(cursor: str | None) -> tuple[int, UUID] | None:
    if cursor is None:
        return None
    cell, id_ = unpack(cursor, 2)
    if type(cell) is not int or not 0 <= cell < 1 << 63:
        raise BadCursorError(field="cursor")
    try:
        return cell, UUID(str(id_))
    except ValueError as error:
        raise BadCursorError(field="cursor") from error
