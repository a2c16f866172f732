"""What trips felt, added up in the database, and the road defects that follow from it.

1. A trip's rows (`clustering.sightings`) are added to `road_sightings` and, weighed by age and
   repairs, to `road_totals`: one statement each, whatever the length of the trip.
2. The totals about its way are read back, and `clustering.defects_on` tells the defects there.
3. `road_defects` is brought to say the same, and what changed is emitted.

Adding is all that happens to the rows, in integers, so that trips may come in any order. Who works
in a neighbourhood (an H3 cell of resolution 7, 5 km²) holds it until the end of the transaction:
two trips that meet do not each decide without the other, and nobody waits in a circle.

Nothing here knows a trip, a device or a time finer than a day. Called in the caller's transaction.
"""

from __future__ import annotations

import math
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import h3.api.basic_int as h3
import numpy as np
import sqlalchemy as sa
from scipy.spatial import cKDTree
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.outbox import Happening, emit_many
from geo import cells as geo_cells
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point, degree_lengths_m, distance_m
from sensing import clustering, events
from sensing.arrays import Indices
from sensing.clustering import ROW, TOTAL, Defect, Rows, Totals
from sensing.models import RoadDefect, RoadRepair, RoadSighting, RoadTotal

#: Whoever changes what is known of a cell of this resolution holds it meanwhile.
HELD_RESOLUTION = 7

#: First half of the names of our advisory locks.
_LOCKS = 7_315_402

#: What a trip changed may change who is best two cells on: those are looked at again, too.
_WIDER_M = 40.0

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
    rows = clustering.added([rows])
    touched = np.unique(rows["cell"])
    packets = clustering.packets_about(touched)
    _hold(session, packets)
    _add(session, RoadSighting, rows, ROW, clustering.KEY)
    added = clustering.totals(rows, _repairs(session, packets))
    _add(session, RoadTotal, added, TOTAL, ("cell", "octant"))
    return _settle(session, touched, packets, now=now)


def repaired(session: Session, cell: int, octant: int, day: int, *, now: datetime) -> Fused:
    """A defect was repaired on a day: what was felt there until then counts for almost nothing.

    Told again with an earlier day it changes nothing, with a later one it moves on.
    """
    about = clustering.packets_about(np.array([cell]))
    _hold(session, about)
    stored = postgresql.insert(RoadRepair).values(
        packet=int(clustering.packets_of(np.array([cell]))[0]), cell=cell, octant=octant, day=day
    )
    session.execute(
        stored.on_conflict_do_update(
            index_elements=["packet", "cell", "octant"],
            set_={"day": sa.func.greatest(RoadRepair.day, stored.excluded.day)},
        )
    )
    rows = _read(session, RoadSighting, ROW, about)
    wider = clustering.packets_about(np.array(_cells_in(about), dtype=np.int64))
    anew = clustering.totals(rows, _repairs(session, wider))
    session.execute(sa.delete(RoadTotal).where(RoadTotal.packet.in_(about)))
    _add(session, RoadTotal, anew, TOTAL, ("cell", "octant"))
    touched = np.array(sorted(h3.grid_disk(cell, 3)), dtype=np.int64)
    return _settle(session, touched, about, now=now)


def refreshed(session: Session, cells: Iterable[int], *, now: datetime) -> Fused:
    """Tell the defects in and about these cells anew: they age without a trip, too."""
    touched = np.unique(np.fromiter(cells, dtype=np.int64))
    if not len(touched):
        return Fused()
    packets = clustering.packets_about(touched)
    _hold(session, packets)
    return _settle(session, touched, packets, now=now)


def near(session: Session, cells: Indices) -> Totals:
    """The totals of the packets of the cells and of those about them."""
    return _read(session, RoadTotal, TOTAL, clustering.packets_about(cells))


def defect_id(cell: int, octant: int) -> UUID:
    """The id of the defect of a cell and octant, the same for ever."""
    return uuid.uuid5(_NAMESPACE, f"{cell:x}.{octant}")


# -- rows and totals ------------------------------------------------------------------------------


def _hold(session: Session, packets: Sequence[int]) -> None:
    """Wait until nobody else works in the neighbourhoods of these packets, and keep others out."""
    held = sorted(
        {
            # Half of a lock's name has 32 bits. Two neighbourhoods of one name wait for each
            # other, and nothing else.
            zlib.crc32(int(h3.cell_to_parent(packet, HELD_RESOLUTION)).to_bytes(8, "big")) - 2**31
            for packet in packets
        }
    )
    session.execute(
        sa.text(
            "SELECT pg_advisory_xact_lock(:locks, name)"
            " FROM (SELECT unnest(CAST(:names AS int[])) AS name ORDER BY 1) AS held"
        ),
        {"locks": _LOCKS, "names": _array(held)},
    )


def _repairs(session: Session, packets: Sequence[int]) -> dict[tuple[int, int], int]:
    found = session.execute(
        sa.select(RoadRepair.cell, RoadRepair.octant, RoadRepair.day).where(
            RoadRepair.packet.in_(packets)
        )
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
    session.execute(
        _adding(table, kind, key),
        {
            "packet": _array(clustering.packets_of(rows["cell"]).tolist()),
            **{name: _array(rows[name].tolist()) for name in kind.names or ()},
        },
    )


def _adding(
    table: type[RoadSighting | RoadTotal], kind: np.dtype[np.void], key: tuple[str, ...]
) -> sa.TextClause:
    """One statement for all rows. Arrays go as text: the driver would handle number by number."""
    name = table.__tablename__
    columns = ("packet", *(kind.names or ()))
    arrays = ", ".join(f"CAST(:{column} AS {_sql_type(kind, column)}[])" for column in columns)
    whole = {"packet", *key, "lat", "lon"}
    how = {"first_day": "least", "last_day": "greatest"}
    sums = ", ".join(
        f"{column} = {how[column]}({name}.{column}, excluded.{column})"
        if column in how
        else f"{column} = {name}.{column} + excluded.{column}"
        for column in columns
        if column not in whole
    )
    return sa.text(
        f"INSERT INTO {name} ({', '.join(columns)})"
        f" SELECT * FROM unnest({arrays}) ON CONFLICT ({', '.join(('packet', *key))})"
        f" DO UPDATE SET {sums}"
    )


def _read(
    session: Session,
    table: type[RoadSighting | RoadTotal],
    kind: np.dtype[np.void],
    packets: Sequence[int],
) -> Rows:
    """The rows of packets, in binary: to make objects of them would take ten times as long."""
    columns = ", ".join(kind.names or ())
    statement = (
        f"COPY (SELECT {columns} FROM {table.__tablename__}"
        " WHERE packet = ANY(CAST(%s AS bigint[]))) TO STDOUT (FORMAT binary)"
    )
    session.flush()
    driver: Any = session.connection().connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement, [_array(packets)]) as copy:
        content = b"".join(copy)
    return _decoded(content, kind)


#: PostgreSQL's documentation, COPY, "Binary Format": eleven bytes of signature, flags and the
#: length of an extension that is empty; at the end a count of -1.
_HEAD, _TAIL = 19, 2


def _decoded(content: bytes, kind: np.dtype[np.void]) -> Rows:
    """Rows of a binary COPY without NULL: every row then has the same length."""
    names = kind.names or ()
    sent: list[tuple[str, str]] = [("fields", ">i2")]
    for name in names:
        sent += [(f"{name}_length", ">i4"), (name, _sent_type(kind, name))]
    found = np.frombuffer(content[_HEAD : len(content) - _TAIL], dtype=np.dtype(sent))
    rows = np.empty(len(found), dtype=kind)
    for name in names:
        rows[name] = found[name]
    return rows


def _sql_type(kind: np.dtype[np.void], column: str) -> str:
    if column == "packet":
        return "bigint"
    return {"<i1": "smallint", "<i4": "integer", "<i8": "bigint", "<f8": "float8"}[
        _type_of(kind, column)
    ]


def _sent_type(kind: np.dtype[np.void], column: str) -> str:
    # The smallest integer that PostgreSQL has is of two bytes.
    return {"<i1": ">i2", "<i4": ">i4", "<i8": ">i8", "<f8": ">f8"}[_type_of(kind, column)]


def _type_of(kind: np.dtype[np.void], column: str) -> str:
    fields: Mapping[str, Any] = kind.fields or {}
    return str(fields[column][0].str).replace("|", "<")


def _array(values: Iterable[float]) -> str:
    """PostgreSQL's own writing of an array of numbers."""
    return f"{{{','.join(map(repr, values))}}}"


def _cells_in(packets: Sequence[int]) -> list[int]:
    """One cell in each packet, to find the packets about them by."""
    return [int(h3.cell_to_center_child(packet, clustering.RESOLUTION)) for packet in packets]


# -- defects --------------------------------------------------------------------------------------


def _settle(session: Session, touched: Indices, packets: Sequence[int], *, now: datetime) -> Fused:
    """Bring the defects in and about the cells to what the totals now tell."""
    totals = clustering.summed([_read(session, RoadTotal, TOTAL, packets)])
    touched = _widened(touched, totals)
    found = clustering.defects_on(touched, totals, clustering.day_of(now.timestamp()))
    stored = {
        defect.id: defect
        for defect in session.scalars(
            sa.select(RoadDefect)
            .where(RoadDefect.packet.in_(packets))
            .execution_options(populate_existing=True)
        )
    }
    cities = jurisdictions.all_of_them(session)
    created, updated = [], []
    told: set[UUID] = set()
    for defect in found:
        identity = defect_id(defect.cell, defect.octant)
        told.add(identity)
        known = stored.get(identity)
        if known is None:
            city = _city_of(defect.point, cities)
            # What lies in nobody's city is nobody's to mend. Its rows stay, should one be loaded.
            if city is not None:
                session.add(_new(identity, defect, city, now.date()))
                created.append(identity)
        elif _renew(known, defect, now.date()):
            updated.append(identity)
    scope = {cell for each in touched.tolist() for cell in h3.grid_disk(each, 1)}
    lost = [
        known
        for known in stored.values()
        if known.is_present and known.id not in told and known.cell in scope
    ]
    present = [known for known in stored.values() if known.is_present and known not in lost]
    for known in lost:
        known.is_present = False
        known.succeeded_by = _successor(known, found, present)
        known.version += 1
        known.updated_on = now.date()
    session.flush()
    fused = Fused(tuple(created), tuple(updated), tuple(known.id for known in lost))
    _emit(session, fused)
    return fused


def _widened(touched: Indices, totals: Totals) -> Indices:
    """The cells, and those near them in which anything was felt."""
    felt = totals[(totals["weak"] > 0) | (totals["strong"] > 0)]
    if not len(felt):
        return touched
    middles = np.array([h3.cell_to_latlng(cell) for cell in touched.tolist()])
    north_m, east_m = degree_lengths_m(float(middles[0, 0]))
    scale = np.array([north_m, east_m])
    # Across the antimeridian the difference is taken the short way.
    places = np.stack([felt["lat"], felt["lon"]], axis=1) - middles[0]
    places[:, 1] = (places[:, 1] + 180.0) % 360.0 - 180.0
    middles = middles - middles[0]
    middles[:, 1] = (middles[:, 1] + 180.0) % 360.0 - 180.0
    away, _ = cKDTree(middles * scale).query(places * scale, distance_upper_bound=_WIDER_M)
    wider: Indices = np.union1d(touched, felt["cell"][np.isfinite(away)])
    return wider


def _city_of(point: Point, cities: Sequence[JurisdictionRef]) -> JurisdictionRef | None:
    around = [each for each in cities if each.boundary.contains(point)]
    return min(around, key=lambda each: each.boundary.area_m2, default=None)


def _values(defect: Defect) -> Mapping[str, Any]:
    figures = {name: getattr(defect, name) for name in _FIGURES}
    return figures | {
        "lat": defect.point.lat,
        "lon": defect.point.lon,
        "place_cell": geo_cells.cell_of(defect.point),
    }


def _new(identity: UUID, defect: Defect, city: JurisdictionRef, today: date) -> RoadDefect:
    return RoadDefect(
        id=identity,
        jurisdiction_id=city.id,
        cell=defect.cell,
        octant=defect.octant,
        packet=int(clustering.packets_of(np.array([defect.cell]))[0]),
        updated_on=today,
        **_values(defect),
    )


def _renew(known: RoadDefect, defect: Defect, today: date) -> bool:
    """Let a stored defect say what is now believed; whether that is anything new."""
    fresh = {
        name: value
        for name, value in _values(defect).items()
        if not _is_same(getattr(known, name), value)
    }
    if known.is_present and not fresh:
        return False
    for name, value in fresh.items():
        setattr(known, name, value)
    known.is_present, known.succeeded_by = True, None
    known.version += 1
    known.updated_on = today
    return True


def _is_same(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is after
    return before == after or math.isclose(before, after, rel_tol=1e-9, abs_tol=1e-12)


def _successor(
    lost: RoadDefect, found: Sequence[Defect], present: Sequence[RoadDefect]
) -> UUID | None:
    """The defect that stands nearest in the lost one's place and direction, if one does."""
    here = Point(lost.lat, lost.lon)
    others = [(each.point, each.octant, defect_id(each.cell, each.octant)) for each in found]
    others += [(Point(each.lat, each.lon), each.octant, each.id) for each in present]
    near = [
        (distance_m(here, point), identity)
        for point, octant, identity in others
        if abs((octant - lost.octant + 4) % clustering.OCTANTS - 4) <= 2
        and distance_m(here, point) <= clustering.APART_M
    ]
    return min(near, default=(0.0, None))[1]


def _emit(session: Session, fused: Fused) -> None:
    if not fused.changed:
        return
    by_city: dict[int, list[UUID]] = {}
    for identity, city in session.execute(
        sa.select(RoadDefect.id, RoadDefect.jurisdiction_id).where(RoadDefect.id.in_(fused.changed))
    ):
        by_city.setdefault(city, []).append(identity)
    emit_many(
        session,
        events.ROAD_DEFECTS_CHANGED,
        [
            Happening(
                None,
                city,
                {"defect_ids": sorted(map(str, ids))},
                # Not that of the upload in hand, which would lead from a drive to its places.
                request_id=str(uuid.uuid4()),
            )
            for city, ids in sorted(by_city.items())
        ],
    )
