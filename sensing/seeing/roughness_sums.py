"""What single trips estimate of the roughness of streets, added up and forgotten trip by trip.

`of_trip` runs where the samples are; `add` stores its sums in the caller's transaction. A stretch
of 100 m counts, a third each, where its thirds lie: in the packet (an H3 cell of resolution 10,
about 130 m wide) and the octant in which it was driven.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo.cells import cell_of
from geo.measures import Point, bearing_deg, wrapped
from sensing import roughness
from sensing.grid import OCTANTS, PACKET_RESOLUTION
from sensing.traces import Trip

#: The thirds of a stretch are taken to lie at these parts of the way between its ends.
_THIRDS = (1 / 6, 3 / 6, 5 / 6)


@dataclass(frozen=True, slots=True)
class Sum:
    """What one trip adds to one row of `road_roughness`."""

    packet: int
    octant: int
    length_dm: int
    weighted: int


def of_trip(trip: Trip) -> list[Sum]:
    """The sums of one trip, at most one for each packet and octant; none where rate or speed do not
    allow an estimate."""
    lengths: dict[tuple[int, int], int] = {}
    weights: dict[tuple[int, int], int] = {}
    for segment in roughness.estimates(trip):
        octant = round(bearing_deg(segment.start, segment.end) / 45.0) % OCTANTS
        length_dm = round(segment.length_m * 10.0 / len(_THIRDS))
        for part in _THIRDS:
            key = (cell_of(_between(segment.start, segment.end, part), PACKET_RESOLUTION), octant)
            lengths[key] = lengths.get(key, 0) + length_dm
            weights[key] = weights.get(key, 0) + length_dm * round(segment.index_m_km * 1000.0)
    return [
        Sum(packet, octant, lengths[packet, octant], weights[packet, octant])
        for packet, octant in sorted(lengths)
    ]


def add(session: Session, sums: Sequence[Sum], *, day: int, packets: Container[int]) -> None:
    """Add a trip's sums to what is known, in the caller's transaction.

    In the order of the key, as every other transaction, so that none waits for one that waits.

    Args:
        day: on which it was driven, since 1970-01-01 UTC.
        packets: where it counts; elsewhere its device was counted on that day already.
    """
    counted = [asdict(each) for each in sums if each.packet in packets]
    if counted:
        session.execute(_ADD, {"sums": json.dumps(counted), "month": month_of(day)})


def month_of(day: int) -> int:
    """Months since January 1970 of a count of days since then."""
    at = date(1970, 1, 1) + timedelta(days=day)
    return (at.year - 1970) * 12 + at.month - 1


def _between(start: Point, end: Point, part: float) -> Point:
    # Ends are a hundred metres apart: straight lines in degrees will do, but across the date line.
    lon = wrapped(start.lon + part * wrapped(end.lon - start.lon))
    return Point(start.lat + part * (end.lat - start.lat), lon)


_ADD = sa.text(
    """
    INSERT INTO road_roughness AS known (packet, octant, month, trips, length_dm, weighted)
    SELECT packet, octant, :month, 1, length_dm, weighted
      FROM json_to_recordset(CAST(:sums AS json)) AS sum(
               packet bigint, octant smallint, length_dm bigint, weighted bigint
           )
     ORDER BY packet, octant
        ON CONFLICT (packet, octant, month) DO UPDATE
       SET trips = known.trips + 1,
           length_dm = known.length_dm + excluded.length_dm,
           weighted = known.weighted + excluded.weighted
    """
)
