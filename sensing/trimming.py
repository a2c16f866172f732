"""Where somebody sets off, arrives or stays, cut out of a trip before any of it is kept. Pure.

1. An *end* is the first and the last place of a trip, both sides of a pause of the recording, and
   wherever the car stood for minutes: homes are left in the middle of a recording, too.
2. Around every end a minute goes, and everything within `HIDDEN_M` of the middle of the block the
   end lies in, whenever in the trip the car came there: more than the first 200 m *or* 60 s, both.
   A minute alone leaves a slow start at the door; 200 m of way alone may lead once round the house.
3. Measured from the middle of the block, because a hole drawn around the door itself has the door
   in its middle, for whoever lays thirty trips over each other. This one tells the block, as
   reports from homes do.
4. Times of day go: what is kept begins at zero.

What is left can still be one street that only one person drives: that is what fusing with the
trips of others, and showing no place before two trips felt it, is for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geo import cells
from geo.measures import Point, degree_lengths_m
from sensing.arrays import Flags, Indices, Series
from sensing.traces import Trip

#: What the first and last part of a trip are at least, by the promise to those who drive.
CUT_M, CUT_S = 200.0, 60.0

#: Blocks are the cells of this resolution, as in `public_precision: block` of reports.
BLOCK_RESOLUTION = 10

#: From the middle of a block to its farthest corner (84 m), the promise, what a pass counts for
#: beside its way (28 m, and 11 m to the rim of a cell), and a margin.
HIDDEN_M = 84.0 + CUT_M + 28.0 + 11.0 + 7.0

#: A recording that paused so long, or a car that stood so long, was at somebody's place.
PAUSE_S, STAY_S = 120.0, 300.0

#: Slower than this a car stands, and positions drift.
STANDING_MS = 1.5

#: Less than this is nothing: no bump can be told from so little.
FEWEST_SAMPLES, SHORTEST_S = 50, 30.0


def trimmed(trip: Trip) -> Trip | None:
    """The trip without its ends and from zero on; None where nothing to speak of is left."""
    t = trip.t_s
    known = np.flatnonzero(np.isfinite(trip.lat_deg) & np.isfinite(trip.lon_deg))
    if not len(known):
        return None
    # Between two fixes a sample is where the line between them says.
    lat = np.interp(t, t[known], trip.lat_deg[known])
    lon = np.interp(t, t[known], trip.lon_deg[known])
    kept = np.zeros(len(t), dtype=bool)
    # Before the first fix and after the last nobody knows how near the door it was.
    kept[known[0] : known[-1] + 1] = True
    hidden: set[int] = set()
    for first, last in _ends(trip, t, known):
        kept &= (t < t[first] - CUT_S) | (t > t[last] + CUT_S)
        for at in (first, last):
            hidden.add(cells.cell_of(Point(float(lat[at]), float(lon[at])), BLOCK_RESOLUTION))
    for block in sorted(hidden):
        kept &= ~_near(cells.centre_of(block), lat, lon)
    if np.count_nonzero(kept) < FEWEST_SAMPLES:
        return None
    left = t[kept]
    if left[-1] - left[0] < SHORTEST_S:
        return None
    return replace(
        trip,
        t_s=left - left[0],
        lat_deg=trip.lat_deg[kept],
        lon_deg=trip.lon_deg[kept],
        speed_ms=trip.speed_ms[kept],
        acceleration=trip.acceleration[kept],
        gyro=None if trip.gyro is None else trip.gyro[kept],
        bearing_deg=None if trip.bearing_deg is None else trip.bearing_deg[kept],
        accuracy_m=None if trip.accuracy_m is None else trip.accuracy_m[kept],
    )


def _ends(trip: Trip, t: Series, known: Indices) -> list[tuple[int, int]]:
    """First and last sample of every time at an end."""
    fixes = t[known]
    ends = [(0, int(known[0])), (int(known[-1]), len(t) - 1)]
    pauses = np.flatnonzero(np.diff(fixes) > PAUSE_S)
    ends += [(int(known[at]), int(known[at + 1])) for at in pauses]
    # An unknown speed is no standing: gaps of the positions are pauses already.
    stands: Flags = trip.speed_ms < STANDING_MS
    edges = np.flatnonzero(np.diff(np.concatenate(([False], stands, [False])).astype(np.int8)))
    ends += [
        (int(first), int(after) - 1)
        for first, after in edges.reshape(-1, 2)
        if t[after - 1] - t[first] >= STAY_S
    ]
    return ends


def _near(place: Point, lat: Series, lon: Series) -> Flags:
    north_m, east_m = degree_lengths_m(place.lat)
    east = (lon - place.lon + 180.0) % 360.0 - 180.0
    near: Flags = np.hypot((lat - place.lat) * north_m, east * east_m) < HIDDEN_M
    return near
