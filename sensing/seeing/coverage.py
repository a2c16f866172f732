"""Where phones drove and where nobody did, area by area, beside what people reported there.

Phones are not everywhere: who has none, or drives little, is not heard by them. So the areas are
counted, and what was not driven over is unknown, never good.

1. A street cell is an H3 cell of resolution 11 (about 50 m across) in which the gazetteer has an
   address or the register an asset: the data know no streets. A lamp in a park makes a street cell
   that no car can reach, so no area comes to a hundred per cent.
2. It was driven over if a trip of the last 90 days passed one of its cells of resolution 12.
3. Reports are those that people made in the same days, duplicates too: every one is a voice.

`recount` stores the counts of a city in the caller's transaction; it runs by the beat. Reading them
costs one statement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from assets.vocabulary import THERE_SQL
from geo.areas import AreaRef
from geo.cells import centre_of
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point
from reports.catalogue import catalogue_of
from reports.models import ServiceRequest
from reports.vocabulary import Source, Visibility
from sensing.models import RoadDefect
from sensing.policy import RoadPolicy
from sensing.seeing.models import AreaCoverage
from sensing.seeing.rules import WINDOW_DAYS, knowledge
from sensing.seeing.vocabulary import Knowledge

#: Streets are counted by these cells, found by these packets of `sensing.grid`.
STREET_RESOLUTION, PACKET_RESOLUTION = 11, 10

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Covered:
    """What is known of an area; `area` None: of the whole city.

    Attributes:
        passes: trips through street cells, summed over the cells; None where that is unknown.
        share: of the street cells that were driven over; None where that is unknown.
    """

    area: AreaRef | None
    knowledge: Knowledge
    street_cells: int
    driven_cells: int | None
    share: float | None
    passes: int | None
    defects: int
    reports: int
    road_reports: int

    @property
    def passes_per_cell(self) -> float | None:
        """How often a street that was driven over was, in the mean; None where that is unknown.

        A trip counts in `passes` with every cell, so that a long way makes thousands of it.
        """
        if self.passes is None or not self.driven_cells:
            return None
        return self.passes / self.driven_cells


@dataclass(frozen=True, slots=True)
class CityCoverage:
    """What is known of a city's areas; `counted_at` None: never counted."""

    place: JurisdictionRef
    whole: Covered
    areas: Sequence[Covered]
    from_day: date | None
    counted_at: datetime | None


def recount(session: Session, place: JurisdictionRef, *, now: datetime) -> int:
    """Count a city anew; how many areas, the whole city among them."""
    today = (now.astimezone(UTC).date() - _EPOCH).days
    from_day = today - WINDOW_DAYS
    cells = _street_cells(session, place)
    passes = _passes(session, cells, from_day)
    inside = place.areas.containing([centre_of(cell) for cell in cells])
    street: Counter[int | None] = Counter()
    driven: Counter[int | None] = Counter()
    passed: Counter[int | None] = Counter()
    for cell, areas in zip(cells, inside, strict=True):
        for id_ in (None, *(area.id for area in areas)):
            street[id_] += 1
            if cell in passes:
                driven[id_] += 1
                passed[id_] += passes[cell]
    defects = _defects(session, place)
    reports, road_reports = _reports(session, place, now - timedelta(days=WINDOW_DAYS))
    ids = [None, *(area.id for area in place.areas.refs)]
    rows = [
        {
            "jurisdiction_id": place.id,
            "area_id": id_,
            "street_cells": street[id_],
            "driven_cells": driven[id_],
            "passes": passed[id_],
            "defects": defects[id_],
            "reports": reports[id_],
            "road_reports": road_reports[id_],
            "from_day": from_day,
            "counted_at": now,
        }
        for id_ in ids
    ]
    insert = postgresql.insert(AreaCoverage)
    counted = ("street_cells", "driven_cells", "passes", "defects", "reports", "road_reports")
    session.execute(
        insert.on_conflict_do_update(
            constraint="uq_area_coverage_area",
            set_={name: insert.excluded[name] for name in (*counted, "from_day", "counted_at")},
        ),
        rows,
    )
    return len(rows)


def of_city(session: Session, place: JurisdictionRef, layer: str | None = None) -> CityCoverage:
    """What is known of a city's areas, of one layer or of all; one statement.

    An area that was never counted is unknown.
    """
    rows = {
        row.area_id: row
        for row in session.execute(
            sa.select(*AreaCoverage.__table__.columns).where(
                AreaCoverage.jurisdiction_id == place.id
            )
        )
    }
    areas = [area for area in place.areas.refs if layer is None or area.layer == layer]
    whole = rows.get(None)
    return CityCoverage(
        place=place,
        whole=_covered(None, whole),
        areas=[_covered(area, rows.get(area.id)) for area in areas],
        from_day=None if whole is None else _EPOCH + timedelta(days=whole.from_day),
        counted_at=None if whole is None else whole.counted_at,
    )


def _covered(area: AreaRef | None, row: Any) -> Covered:
    if row is None:
        return Covered(area, Knowledge.UNKNOWN, 0, None, None, None, 0, 0, 0)
    known = knowledge(row.street_cells, row.driven_cells)
    is_known = known is not Knowledge.UNKNOWN
    return Covered(
        area,
        known,
        row.street_cells,
        row.driven_cells if is_known else None,
        row.driven_cells / row.street_cells if is_known else None,
        row.passes if is_known else None,
        row.defects,
        row.reports,
        row.road_reports,
    )


def _street_cells(session: Session, place: JurisdictionRef) -> list[int]:
    return list(session.scalars(_STREET_CELLS, {"place": place.id}))


def _passes(session: Session, cells: Sequence[int], from_day: int) -> Mapping[int, int]:
    """By street cell that was driven over: trips, from that day on."""
    if not cells:
        return {}
    packets = sorted({_ancestor(cell, PACKET_RESOLUTION) for cell in cells})
    rows = session.execute(_PASSES, {"packets": packets, "from_day": from_day})
    return {row.street: int(row.passes) for row in rows}


def _defects(session: Session, place: JurisdictionRef) -> Counter[int | None]:
    rows = session.execute(
        sa.select(RoadDefect.lat, RoadDefect.lon).where(
            RoadDefect.jurisdiction_id == place.id, RoadDefect.is_present
        )
    ).all()
    counts: Counter[int | None] = Counter({None: len(rows)})
    for areas in place.areas.containing([Point(row.lat, row.lon) for row in rows]):
        counts.update(area.id for area in areas)
    return counts


def _reports(
    session: Session, place: JurisdictionRef, since: datetime
) -> tuple[Counter[int | None], Counter[int | None]]:
    """By area: what people reported since, and how much of it was of the family of roads."""
    policy = RoadPolicy.of(place.policy)
    catalogue = catalogue_of(session, place.id)
    service = None if policy is None else catalogue.by_code.get(policy.service)
    of_roads = [] if service is None else catalogue.family_ids(service.family)
    theirs = (
        ServiceRequest.jurisdiction_id == place.id,
        ServiceRequest.requested_at >= since,
        ServiceRequest.source != Source.SENSOR.value,
        ServiceRequest.visibility != Visibility.HIDDEN.value,
    )
    is_road = ServiceRequest.service_id.in_(of_roads)
    counted = (sa.func.count(), sa.func.count().filter(is_road))
    whole = session.execute(sa.select(*counted).where(*theirs)).one()
    voices = (
        sa.select(sa.func.unnest(ServiceRequest.areas).label("area"), is_road.label("is_road"))
        .where(*theirs)
        .subquery("voices")
    )
    by_area = session.execute(
        sa.select(
            voices.c.area, sa.func.count(), sa.func.count().filter(voices.c.is_road)
        ).group_by(voices.c.area)
    ).all()
    every: Counter[int | None] = Counter({None: whole[0]})
    roads: Counter[int | None] = Counter({None: whole[1]})
    for id_, all_, of_road in by_area:
        every[id_], roads[id_] = all_, of_road
    return every, roads


def _ancestor(cell: int, resolution: int) -> int:
    """As `geo.cells.parent_of`, without calling the library for each of many thousands."""
    finer = 3 * (15 - resolution)
    return (cell & ~(0xF << 52)) | (resolution << 52) | ((1 << finer) - 1)


def _ancestor_sql(column: str, resolution: int) -> str:
    finer = (1 << (3 * (15 - resolution))) - 1
    return f"(({column} & ~(15::bigint << 52)) | ({resolution}::bigint << 52) | {finer})"


_STREET_CELLS = sa.text(
    f"""
    SELECT {_ancestor_sql("cell", STREET_RESOLUTION)} AS street
      FROM addresses WHERE jurisdiction_id = :place
     UNION
    SELECT {_ancestor_sql("cell", STREET_RESOLUTION)}
      FROM assets WHERE jurisdiction_id = :place AND state IN ({THERE_SQL})
     ORDER BY street
    """
)

# A trip counts in every cell of resolution 12 that it passes: of those of one street cell, the one
# that most trips passed says how many there were.
_PASSES = sa.text(
    f"""
    SELECT street, sum(passes) AS passes
      FROM (
           SELECT {_ancestor_sql("cell", STREET_RESOLUTION)} AS street, max(passes) AS passes
             FROM road_sightings
            WHERE packet = ANY (:packets ::bigint[]) AND day >= :from_day
            GROUP BY street, octant, day
      ) AS daily
     GROUP BY street
    """
)
