"""What trips felt, added up in the database, and the road defects that follow from it.

1. A trip's rows (`sighting.sightings`) are added to `road_sightings` and, weighed by age and
   repairs, to `road_totals`: one statement each, whatever the length of the trip.
2. The totals about its way are read back, and `clustering.defects_on` tells the defects there.
3. `road_defects` is brought to say the same, and what changed is emitted.

Adding is all that happens to the rows, in integers, so that trips may come in any order; two that
meet wait for each other (`sensing.holding`).

Nothing here knows a trip, a device or a time finer than a day. Called in the caller's transaction.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import h3.api.basic_int as h3
import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.outbox import Happening, emit_many
from geo import cells as geo_cells
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point, distance_m
from sensing import clustering, columns, events, grid, tallies
from sensing.arrays import Indices
from sensing.clustering import Defect
from sensing.holding import hold
from sensing.models import RoadDefect, RoadRepair, RoadSighting, RoadTotal
from sensing.tallies import ROW, TOTAL, Rows, Totals

#: Columns, not entities: hundreds of them are compared for each trip.
_STORED = sa.select(*RoadDefect.__table__.columns).where(
    sa.text("packet = ANY(CAST(:packets AS bigint[]))")
)

#: Ids of defects are made from cell and octant.
_NAMESPACE = UUID("9b1f7a52-6c0e-4f3a-8d5b-2f6d1c9e7a40")

#: What a stored defect tells as `clustering.Defect` does.
_FIGURES = (
    *("error_m", "heading_deg", "belief", "severity", "hits", "passes"),
    *("first_day", "last_day", "width_m", "symmetry"),
)


@dataclass(frozen=True, slots=True)
class Fused:
    """What fusing changed: ids of road defects, by what happened to them."""

    created: tuple[UUID, ...] = ()
    updated: tuple[UUID, ...] = ()
    gone: tuple[UUID, ...] = ()

    @property
    def changed(self) -> tuple[UUID, ...]:
        return (*self.created, *self.updated, *self.gone)


def fuse(session: Session, rows: Rows, *, now: datetime) -> Fused:
    """Add what a trip felt to what is known, and bring the defects on its way up to date."""
    if not len(rows):
        return Fused()
    rows = tallies.added([rows])
    touched = np.unique(rows["cell"])
    packets = grid.packets_about(touched)
    hold(session, packets)
    _add(session, RoadSighting, rows, ROW, tallies.KEY)
    added = tallies.totals(rows, _repairs(session, packets))
    _add(session, RoadTotal, added, TOTAL, ("cell", "octant"))
    return _settle(session, touched, packets, now=now)


def repaired(session: Session, cell: int, octant: int, day: int, *, now: datetime) -> Fused:
    """A defect was repaired on a day: what was felt there until then counts for almost nothing.

    Told again with an earlier day it changes nothing, with a later one it moves on.
    """
    about = grid.packets_about(np.array([cell]))
    hold(session, about)
    stored = postgresql.insert(RoadRepair).values(
        packet=int(grid.packets_of(np.array([cell]))[0]), cell=cell, octant=octant, day=day
    )
    session.execute(
        stored.on_conflict_do_update(
            index_elements=["packet", "cell", "octant"],
            set_={"day": sa.func.greatest(RoadRepair.day, stored.excluded.day)},
        )
    )
    rows = _read(session, RoadSighting, ROW, about)
    wider = grid.packets_about(np.array(_cells_in(about), dtype=np.int64))
    anew = tallies.totals(rows, _repairs(session, wider))
    session.execute(sa.delete(RoadTotal).where(RoadTotal.packet.in_(about)))
    _add(session, RoadTotal, anew, TOTAL, ("cell", "octant"))
    touched = np.array(sorted(h3.grid_disk(cell, 3)), dtype=np.int64)
    return _settle(session, touched, about, now=now)


def refreshed(session: Session, cells: Iterable[int], *, now: datetime) -> Fused:
    """Tell the defects in and about these cells anew: they age without a trip, too."""
    touched = np.unique(np.fromiter(cells, dtype=np.int64))
    if not len(touched):
        return Fused()
    packets = grid.packets_about(touched)
    hold(session, packets)
    return _settle(session, touched, packets, now=now)


def near(session: Session, cells: Indices) -> Totals:
    """The totals of the packets of the cells and of those about them."""
    return _read(session, RoadTotal, TOTAL, grid.packets_about(cells))


def defect_id(cell: int, octant: int) -> UUID:
    """The id of the defect of a cell and octant, the same for ever."""
    return uuid.uuid5(_NAMESPACE, f"{cell:x}.{octant}")


# -- rows and totals ------------------------------------------------------------------------------


def _repairs(session: Session, packets: Sequence[int]) -> dict[tuple[int, int], int]:
    found = session.execute(
        sa.text(
            "SELECT cell, octant, day FROM road_repairs"
            " WHERE packet = ANY(CAST(:packets AS bigint[]))"
        ),
        {"packets": _array(packets)},
    )
    return {(row.cell, row.octant): row.day for row in found}


def _add(
    session: Session,
    table: type[RoadSighting | RoadTotal],
    rows: Rows,
    kind: np.dtype[np.void],
    key: tuple[str, ...],
) -> None:
    """Add rows to those of the same key; `first_day` the least, `last_day` the greatest."""
    if not len(rows):
        return
    sent = {"packet": grid.packets_of(rows["cell"])}
    sent |= {name: rows[name] for name in kind.names or ()}
    connection = session.connection()
    columns.register(connection)
    # Through SQLAlchemy, so that a deadlock or a lost server is told as everywhere else.
    connection.exec_driver_sql(_adding(table, tuple(sent), key), sent)


def _adding(
    table: type[RoadSighting | RoadTotal], names: tuple[str, ...], key: tuple[str, ...]
) -> str:
    """One statement for all rows, whose parameters are the columns."""
    name = table.__tablename__
    arrays = ", ".join(f"%({column})s" for column in names)
    whole = {"packet", *key, "lat", "lon"}
    how = {"first_day": "least", "last_day": "greatest"}
    sums = ", ".join(
        f"{column} = {how[column]}({name}.{column}, excluded.{column})"
        if column in how
        else f"{column} = {name}.{column} + excluded.{column}"
        for column in names
        if column not in whole
    )
    return (
        f"INSERT INTO {name} ({', '.join(names)})"
        f" SELECT * FROM unnest({arrays}) ON CONFLICT ({', '.join(('packet', *key))})"
        f" DO UPDATE SET {sums}"
    )


def _read(
    session: Session,
    table: type[RoadSighting | RoadTotal],
    kind: np.dtype[np.void],
    packets: Sequence[int],
    *,
    felt_only: bool = False,
) -> Rows:
    """The rows of packets: column by column, since to make objects of them takes ten times as long.

    Args:
        felt_only: leave out cells in which nothing was felt in any direction; most are.
    """
    names, name = kind.names or (), table.__tablename__
    wanted = f"{name} WHERE packet = ANY(%(packets)s::bigint[])"
    if felt_only:
        wanted = (
            f"(SELECT DISTINCT packet, cell FROM {wanted} AND (weak > 0 OR strong > 0)) AS felt"
            f" JOIN {name} USING (packet, cell)"
        )
    session.flush()
    driver: Any = session.connection().connection.driver_connection
    with driver.cursor(binary=True) as cursor:
        found = cursor.execute(
            f"SELECT {', '.join(f'array_agg({column})' for column in names)} FROM {wanted}",
            {"packets": _array(packets)},
        ).fetchone()
    rows = np.empty(len(found[0] or ()), dtype=kind)
    for column, values in zip(names, found, strict=True):
        # Without a row there is no array.
        rows[column] = values or ()
    return rows


def _array(values: Iterable[object]) -> str:
    """PostgreSQL's own writing of an array of numbers or ids."""
    return f"{{{','.join('NULL' if each is None else str(each) for each in values)}}}"


def _cells_in(packets: Sequence[int]) -> list[int]:
    """One cell in each packet, to find the packets about them by."""
    return [int(h3.cell_to_center_child(packet, grid.RESOLUTION)) for packet in packets]


# -- defects --------------------------------------------------------------------------------------


def _settle(session: Session, touched: Indices, packets: Sequence[int], *, now: datetime) -> Fused:
    """Bring the defects in and about the cells to what the totals now tell."""
    totals = tallies.summed([_read(session, RoadTotal, TOTAL, packets, felt_only=True)])
    touched = clustering.widened(touched, totals)
    found = {
        defect_id(defect.cell, defect.octant): defect
        for defect in clustering.defects_on(touched, totals, grid.day_of(now.timestamp()))
    }
    stored = {row.id: row for row in session.execute(_STORED, {"packets": _array(packets)})}
    cities = jurisdictions.all_of_them(session)
    created: dict[UUID, int] = {}
    updated: dict[UUID, int] = {}
    for identity, defect in found.items():
        known = stored.get(identity)
        if known is None:
            city = _city_of(defect.point, cities)
            # What lies in nobody's city is nobody's to mend. Its rows stay, should one be loaded.
            if city is not None:
                created[identity] = city.id
        elif not known.is_present or _is_other(known, defect):
            updated[identity] = known.jurisdiction_id
    scope = set(touched.tolist())
    lost = {
        identity: known
        for identity, known in stored.items()
        if known.is_present
        and identity not in found
        and not scope.isdisjoint(h3.grid_disk(known.cell, 1))
    }
    present = [known for known in stored.values() if known.is_present and known.id not in lost]
    _write(session, {each: found[each] for each in (*created, *updated)}, created | updated, now)
    _lose(session, {each: _successor(known, found, present) for each, known in lost.items()}, now)
    places = created | updated | {each: known.jurisdiction_id for each, known in lost.items()}
    _emit(session, places)
    return Fused(tuple(created), tuple(updated), tuple(lost))


def _city_of(point: Point, cities: Sequence[JurisdictionRef]) -> JurisdictionRef | None:
    around = [each for each in cities if each.boundary.contains(point)]
    return min(around, key=lambda each: each.boundary.area_m2, default=None)


def _is_other(known: Any, defect: Defect) -> bool:
    """Whether a stored defect says something else than what is now believed."""
    fresh = {"lat": defect.point.lat, "lon": defect.point.lon}
    fresh |= {name: getattr(defect, name) for name in _FIGURES}
    return not all(_is_same(getattr(known, name), value) for name, value in fresh.items())


def _is_same(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is after
    return before == after or math.isclose(before, after, rel_tol=1e-9, abs_tol=1e-12)


def _write(
    session: Session, defects: Mapping[UUID, Defect], places: Mapping[UUID, int], now: datetime
) -> None:
    """Store defects, new and known, by one statement."""
    if not defects:
        return
    each = list(defects.values())
    packets = grid.packets_of(np.array([defect.cell for defect in each])).tolist()
    columns: dict[str, tuple[str, Iterable[object]]] = {
        "id": ("uuid", defects),
        "jurisdiction_id": ("smallint", (places[identity] for identity in defects)),
        "packet": ("bigint", packets),
        "cell": ("bigint", (defect.cell for defect in each)),
        "octant": ("smallint", (defect.octant for defect in each)),
        "place_cell": ("bigint", (geo_cells.cell_of(defect.point) for defect in each)),
        "lat": ("float8", (defect.point.lat for defect in each)),
        "lon": ("float8", (defect.point.lon for defect in each)),
    }
    for name in _FIGURES:
        columns[name] = ("float8", [getattr(defect, name) for defect in each])
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, (kind, _) in columns.items())
    renewed = ", ".join(
        f"{name} = excluded.{name}" for name in ("place_cell", "lat", "lon", *_FIGURES)
    )
    session.execute(
        sa.text(
            f"INSERT INTO road_defects ({', '.join(columns)}, updated_on)"
            f" SELECT told.*, :today FROM unnest({arrays}) AS told"
            f" ON CONFLICT (id) DO UPDATE SET {renewed}, updated_on = excluded.updated_on,"
            " is_present = true, succeeded_by = NULL, version = road_defects.version + 1"
        ),
        {"today": now.date(), **{name: _array(values) for name, (_, values) in columns.items()}},
    )
    _expire(session)


def _lose(session: Session, lost: Mapping[UUID, UUID | None], now: datetime) -> None:
    """Let defects be none any more, by one statement."""
    if not lost:
        return
    session.execute(
        sa.text(
            "UPDATE road_defects SET is_present = false, succeeded_by = told.successor,"
            " updated_on = :today, version = version + 1"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:successors AS uuid[]))"
            " AS told (id, successor) WHERE road_defects.id = told.id"
        ),
        {"today": now.date(), "ids": _array(lost), "successors": _array(lost.values())},
    )
    _expire(session)


def _expire(session: Session) -> None:
    """Let whoever holds a defect of this session see what was written past it."""
    for held in list(session.identity_map.values()):
        if isinstance(held, RoadDefect):
            session.expire(held)


def _successor(lost: Any, found: Mapping[UUID, Defect], present: Sequence[Any]) -> UUID | None:
    """The defect that stands nearest in the lost one's place and direction, if one does."""
    here = Point(lost.lat, lost.lon)
    others = [(each.point, each.octant, identity) for identity, each in found.items()]
    others += [(Point(each.lat, each.lon), each.octant, each.id) for each in present]
    near = [
        (distance_m(here, point), identity)
        for point, octant, identity in others
        if abs((octant - lost.octant + 4) % grid.OCTANTS - 4) <= 2
        and distance_m(here, point) <= grid.APART_M
    ]
    return min(near, default=(0.0, None))[1]


def _emit(session: Session, places: Mapping[UUID, int]) -> None:
    """Tell of changed defects, one event for each city."""
    by_city: dict[int, list[str]] = {}
    for identity, city in places.items():
        by_city.setdefault(city, []).append(str(identity))
    emit_many(
        session,
        events.ROAD_DEFECTS_CHANGED,
        [
            Happening(
                None,
                city,
                {"defect_ids": sorted(ids)},
                # Not that of the upload in hand, which would lead from a drive to its places.
                request_id=str(uuid.uuid4()),
            )
            for city, ids in sorted(by_city.items())
        ],
    )
