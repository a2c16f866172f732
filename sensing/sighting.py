"""What one trip adds to what is known of the road. Pure.

A trip counts once in a row, however often it went round. It passes, or feels, every cell whose
middle is within reach of its way, or of its bump: 17 to 28 m, by the errors of its positions.
"""

from __future__ import annotations

import h3.api.basic_int as h3
import numpy as np
from scipy.spatial import cKDTree

from sensing.arrays import Vectors
from sensing.grid import (
    FARTHEST_REACH_M,
    OCTANTS,
    REACH_BASE_M,
    REACH_M,
    RESOLUTION,
    Plane,
    day_of,
    middles_of,
    octant_of,
)
from sensing.tallies import ROW, WEIGHT_UNIT, Rows
from sensing.traces import Analysis, Bump, Detector, Track

#: A bump that the learned detector was at least this sure of counts as felt weakly, one that it
#: calls a bump as felt strongly. At low rates 0.085 is 4 m/s²; at high rates confidence says how
#: likely a window is no plain road.
WEAK_CONFIDENCE_LOW_RATE, WEAK_CONFIDENCE = 0.085, 0.3


def sightings(analysis: Analysis, *, day: int | None = None) -> Rows:
    """What one trip adds: at most one row for each cell and octant, `passes` 1 in each.

    Args:
        analysis: of a trip; what is not believed has neither bumps nor track.
        day: to count it on; the day of its first place otherwise.
    """
    track = analysis.track
    if not len(track.t_s):
        return np.zeros(0, dtype=ROW)
    if day is None:
        day = day_of(float(track.t_s[0]))
    flat = Plane.about(float(track.lat_deg[0]), float(track.lon_deg[0]))
    way = flat.metres(track.lat_deg, track.lon_deg)
    errors = 2.0 * float(np.median(track.error_m))
    reach_m = min(max(REACH_BASE_M + errors, REACH_M), FARTHEST_REACH_M)
    return _with_hits(flat, _passes(flat, way, track, day, reach_m), analysis, reach_m)


def _passes(flat: Plane, way: Vectors, track: Track, day: int, reach_m: float) -> Rows:
    """A row for each cell and octant within reach of the way, with one pass; sorted by them."""
    octants = octant_of(track.heading_deg)
    # Every second place, ten metres apart, is near enough to all cells within reach: the next ring
    # but one begins 22 m from it.
    own = [
        h3.latlng_to_cell(lat, lon, RESOLUTION)
        for lat, lon in zip(track.lat_deg[::2].tolist(), track.lon_deg[::2].tolist(), strict=True)
    ]
    about: set[int] = set()
    for cell in set(own):
        about.update(h3.grid_disk(cell, 2 if reach_m > 20.0 else 1))
    cells = np.array(sorted(about), dtype=np.int64)
    middles = flat.metres(*middles_of(cells).T)
    near = cKDTree(middles).sparse_distance_matrix(cKDTree(way), reach_m, output_type="ndarray")
    nearest = np.full((len(cells), OCTANTS), np.inf)
    np.minimum.at(nearest, (near["i"], octants[near["j"]]), near["v"])
    # In a bend a trip passes a cell in two octants next to each other: it counts in the nearer, so
    # that nowhere one trip is taken for two.
    place, octant = np.nonzero(np.isfinite(nearest))
    before, after = np.roll(nearest, 1, axis=1), np.roll(nearest, -1, axis=1)
    ours = nearest[place, octant]
    single = (ours < before[place, octant]) & (ours <= after[place, octant])
    rows = np.zeros(int(single.sum()), dtype=ROW)
    rows["cell"], rows["octant"], rows["day"] = cells[place[single]], octant[single], day
    rows["passes"] = 1
    return rows


def _with_hits(flat: Plane, rows: Rows, analysis: Analysis, reach_m: float) -> Rows:
    """The rows, with the trip's bumps in those within reach: in each row the nearest of the surest.

    A bump without a pass (its place is beyond the last of the track) is left out.
    """
    if not len(rows):
        return rows
    floor = WEAK_CONFIDENCE_LOW_RATE if analysis.is_low_rate else WEAK_CONFIDENCE
    bumps = [
        bump
        for bump in analysis.bumps
        if bump.heading_deg is not None and (_is_strong(bump) or bump.confidence >= floor)
    ]
    if not bumps:
        return rows
    where = flat.metres(
        np.array([bump.point.lat for bump in bumps]), np.array([bump.point.lon for bump in bumps])
    )
    headings = octant_of(np.array([bump.heading_deg for bump in bumps]))
    middles = flat.metres(*middles_of(rows["cell"]).T)
    # A row and a bump each: those that may belong together.
    near = cKDTree(middles).sparse_distance_matrix(cKDTree(where), reach_m, output_type="ndarray")
    turned = np.abs((rows["octant"][near["i"]] - headings[near["j"]] + 4) % OCTANTS - 4)
    near = near[turned <= 1]
    place, number = near["i"], near["j"]
    strong = np.array([_is_strong(bump) for bump in bumps])
    order = np.lexsort((number, near["v"], ~strong[number], place))
    place, firsts = np.unique(place[order], return_index=True)
    best = order[firsts]
    number = number[best]
    offsets = np.round((where[number] - middles[place]) * 100.0).astype(np.int64)
    rows["strong"][place] = strong[number]
    rows["weak"][place] = ~strong[number]
    errors = np.maximum([bump.error_m for bump in bumps], 1.0)[number]
    weight = np.maximum(1, np.round(WEIGHT_UNIT / errors**2)).astype(np.int64)
    rows["weight"][place] = weight
    rows["north"][place], rows["east"][place] = (weight[:, None] * offsets).T
    rows["square"][place] = weight * (offsets**2).sum(axis=1)
    rows["severity"][place] = np.round([bump.severity * 1000 for bump in bumps])[number]
    forms = [
        (1.0, bump.width_m * 1000, bump.symmetry * 1000)
        if bump.width_m is not None and bump.symmetry is not None
        else (0.0, 0.0, 0.0)
        for bump in bumps
    ]
    for name, values in zip(("shaped", "width", "symmetry"), np.round(forms).T, strict=True):
        rows[name][place] = values[number]
    return rows


def _is_strong(bump: Bump) -> bool:
    return Detector.LEARNED in bump.detectors
