"""Reads defects and segments for everybody to see: by box, page by page.

Nothing is shown of what fewer trips than `sensing.policy.FEWEST_SHOWN` felt, or fewer than
`FEWEST_PASSES` passed; nothing has a time finer than a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.pagination import BadCursorError, Page, pack, unpack
from geo import cells
from geo.jurisdictions import JurisdictionRef
from geo.measures import Box
from sensing.models import RoadDefect, RoadSighting
from sensing.policy import FEWEST_SHOWN
from sensing.vocabulary import Verdict

#: Segments that fewer trips passed in the window are not shown: two may be one household's.
FEWEST_PASSES = 3

#: Segments tell of the last year: a winter is in it.
SEGMENT_DAYS = 365

#: Roughness is shown from so many trips on.
FEWEST_ESTIMATES = 2

#: Packets of `sensing.grid` and of segments.
PACKET_RESOLUTION = 10

OCTANTS = 8

#: A page of segments is sought in so many rounds of so many rows at least: cells that cover a box
#: stand out over its edge, and what lies there is no part of the page.
_ROUNDS, _ROWS = 4, 500


@dataclass(frozen=True, slots=True)
class Filters:
    """Which defects."""

    places: Sequence[JurisdictionRef]
    box: Box | None = None
    verdicts: Sequence[Verdict] = ()
    belief_from: float = 0.0
    severity_from: float = 0.0


@dataclass(frozen=True, slots=True)
class Segment:
    """What is known of the way through one packet in one direction.

    Attributes:
        passes, days: trips in the window, and on how many days. last_day: since 1970-01-01 UTC.
        index_m_km: an estimate of the International Roughness Index, of `trips` trips; None
            without enough.
    """

    packet: int
    octant: int
    passes: int
    days: int
    last_day: int
    trips: int
    length_m: float
    index_m_km: float | None


@dataclass(frozen=True, slots=True)
class Week:
    """What the trips of seven days felt at a defect; `first_day` since 1970-01-01 UTC."""

    first_day: int
    passes: int
    hits: int


def defects(session: Session, filters: Filters, *, cursor: str | None, limit: int) -> Page[Any]:
    """Defects that are believed in, by id, which says nothing."""
    after = _defect_cursor(cursor)
    conditions = [
        RoadDefect.is_present,
        RoadDefect.jurisdiction_id.in_([place.id for place in filters.places]),
        RoadDefect.hits >= FEWEST_SHOWN,
        RoadDefect.belief >= filters.belief_from,
        RoadDefect.severity >= filters.severity_from,
    ]
    if after is not None:
        conditions.append(RoadDefect.id > after)
    if filters.verdicts:
        verdict = sa.func.coalesce(RoadDefect.verdict, Verdict.UNKNOWN.value)
        conditions.append(verdict.in_([each.value for each in filters.verdicts]))
    if filters.box is not None:
        conditions.append(_in_box(filters.box))
    rows = session.execute(
        sa.select(*RoadDefect.__table__.columns)
        .where(*conditions)
        .order_by(RoadDefect.id)
        .limit(limit + 1)
    ).all()
    following = pack(str(rows[limit - 1].id)) if len(rows) > limit else None
    return Page(rows[:limit], following)


def one(session: Session, defect_id: UUID) -> Any | None:
    """A defect, believed in or not any more; None: there never was one that may be shown."""
    return session.execute(
        sa.select(*RoadDefect.__table__.columns).where(
            RoadDefect.id == defect_id, RoadDefect.hits >= FEWEST_SHOWN
        )
    ).one_or_none()


def weeks(session: Session, defect: Any, *, from_day: int) -> list[Week]:
    """What was felt in a defect's cell and direction, week by week, oldest first.

    A week of fewer trips than may be shown is left out.
    """
    first = RoadSighting.day - (RoadSighting.day + 3) % 7
    passes = sa.func.sum(RoadSighting.passes)
    rows = session.execute(
        sa.select(
            first.label("first_day"),
            passes.label("passes"),
            sa.func.sum(RoadSighting.weak + RoadSighting.strong).label("hits"),
        )
        .where(
            RoadSighting.packet == defect.packet,
            RoadSighting.cell == defect.cell,
            RoadSighting.octant.in_([defect.octant, (defect.octant + 1) % OCTANTS]),
            RoadSighting.day >= from_day,
        )
        .group_by(first)
        .having(passes >= FEWEST_SHOWN)
        .order_by(first)
    )
    return [Week(row.first_day, int(row.passes), int(row.hits)) for row in rows]


def segments(
    session: Session, box: Box, *, today: int, month: int, cursor: str | None, limit: int
) -> Page[Segment]:
    """Segments in a box by packet and direction.

    A page is full unless it is the last. Where thousands of segments lie between the box and the
    edge of the cells that cover it, the search stops: that page is short and has a cursor.

    Args:
        today: since 1970-01-01 UTC. month: the present one, since January 1970.
    """
    ranges = [
        (cells.parent_of(low, PACKET_RESOLUTION), cells.parent_of(high, PACKET_RESOLUTION))
        for low, high in cells.cover_box(box)
        if (low, high) != cells.EVERYWHERE
    ]
    packet, octant = _segment_cursor(cursor)
    asked = max(limit + 1, _ROWS)
    kept: list[Any] = []
    for _ in range(_ROUNDS):
        rows = session.execute(
            _SEGMENTS,
            {
                "lows": [low for low, _ in ranges] or [0],
                "highs": [high for _, high in ranges] or [cells.EVERYWHERE[1]],
                "from_day": today - SEGMENT_DAYS,
                "from_month": month - 11,
                "fewest": FEWEST_PASSES,
                "packet": packet,
                "octant": octant,
                "limit": asked,
            },
        ).all()
        kept += [row for row in rows if box.contains(cells.centre_of(row.packet))]
        if len(kept) > limit:
            packet, octant = kept[limit - 1].packet, kept[limit - 1].octant
            break
        if len(rows) < asked:
            return Page([_segment(row) for row in kept], None)
        packet, octant = rows[-1].packet, rows[-1].octant
    return Page([_segment(row) for row in kept[:limit]], pack(packet, octant))


def _segment(row: Any) -> Segment:
    is_enough = row.trips >= FEWEST_ESTIMATES and row.length_dm > 0
    return Segment(
        packet=row.packet,
        octant=row.octant,
        passes=int(row.passes),
        days=int(row.days),
        last_day=row.last_day,
        trips=int(row.trips) if is_enough else 0,
        length_m=float(row.length_dm) / 10.0 if is_enough else 0.0,
        index_m_km=float(row.weighted) / float(row.length_dm) / 1000.0 if is_enough else None,
    )


def _in_box(box: Box) -> sa.ColumnElement[bool]:
    """By the index, and then exactly."""
    near = sa.or_(*(RoadDefect.place_cell.between(low, high) for low, high in cells.cover_box(box)))
    inside = sa.or_(
        *(
            sa.and_(
                RoadDefect.lat.between(part.south, part.north),
                RoadDefect.lon.between(part.west, part.east),
            )
            for part in box.parts()
        )
    )
    return sa.and_(near, inside)


def _defect_cursor(cursor: str | None) -> UUID | None:
    if cursor is None:
        return None
    (text,) = unpack(cursor, 1)
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError) as error:
        raise BadCursorError(field="cursor") from error


def _segment_cursor(cursor: str | None) -> tuple[int, int]:
    if cursor is None:
        return 0, 0
    packet, octant = unpack(cursor, 2)
    if type(packet) is not int or type(octant) is not int:
        raise BadCursorError(field="cursor")
    if not (0 <= packet < 1 << 63 and 0 <= octant < OCTANTS):
        raise BadCursorError(field="cursor")
    return packet, octant


# A trip counts in every cell of a packet that it passes: the busiest cell of a day says how many
# there were. Ranges of packets are stretches of the primary key.
_SEGMENTS = sa.text(
    """
    WITH daily AS (
        SELECT s.packet, s.octant, s.day, max(s.passes) AS passes
          FROM unnest(:lows ::bigint[], :highs ::bigint[]) AS span(low, high)
          JOIN road_sightings AS s ON s.packet BETWEEN span.low AND span.high
         WHERE s.day >= :from_day AND s.packet >= :packet
         GROUP BY s.packet, s.octant, s.day
    ), driven AS (
        SELECT packet, octant, sum(passes) AS passes, count(*) AS days, max(day) AS last_day
          FROM daily
         WHERE (packet, octant) > (:packet, :octant) OR :packet = 0
         GROUP BY packet, octant
        HAVING sum(passes) >= :fewest
         ORDER BY packet, octant
         LIMIT :limit
    )
    SELECT d.*, coalesce(r.trips, 0) AS trips, coalesce(r.length_dm, 0) AS length_dm,
           coalesce(r.weighted, 0) AS weighted
      FROM driven AS d
      LEFT JOIN LATERAL (
           SELECT sum(trips) AS trips, sum(length_dm) AS length_dm, sum(weighted) AS weighted
             FROM road_roughness AS r
            WHERE r.packet = d.packet AND r.octant = d.octant AND r.month >= :from_month
      ) AS r ON true
     ORDER BY d.packet, d.octant
    """
)
