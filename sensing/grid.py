"""Where on the road: cells and packets, octants of heading, days, and how near is near. Pure."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import h3.api.basic_int as h3
import numpy as np

from geo.measures import degree_lengths_m
from sensing.arrays import Indices, Series, Vectors

#: Middles of neighbours are 19 m apart: about two standard errors of a position in a street.
RESOLUTION = 12

#: Rows are stored and found by packets: the cells of this resolution, about 130 m wide.
PACKET_RESOLUTION = 10

OCTANTS = 8

#: A trip passes, or feels, the cells whose middles are near: these metres and two standard errors
#: of its positions, within limits. No point is further than 11 m from the middle of its own cell.
REACH_BASE_M, REACH_M, FARTHEST_REACH_M = 8.0, 17.0, 28.0

#: Two defects are this far apart, or lie in different directions of travel.
APART_M = 20.0


def day_of(t_s: float) -> int:
    """Days since 1970-01-01 UTC of a time in seconds."""
    return math.floor(t_s / 86_400)


def octant_of(heading_deg: Series) -> Indices:
    """0 for north (±22.5°), clockwise to 7 for north-west."""
    octants: Indices = np.round(np.asarray(heading_deg) / 45.0).astype(np.int64) % OCTANTS
    return octants


def packets_of(cells: Indices) -> Indices:
    """The packet of each cell: its ancestor of resolution 10, 49 cells of ours.

    As `geo.cells.parent_of`, for many at once: the digits below are set to seven, the bits of the
    resolution to ten.
    """
    finer = 15 - PACKET_RESOLUTION
    packets: Indices = (
        (np.asarray(cells, dtype=np.int64) & ~np.int64(0xF << 52))
        | np.int64(PACKET_RESOLUTION << 52)
        | np.int64((1 << (3 * finer)) - 1)
    )
    return packets


def packets_about(cells: Indices) -> list[int]:
    """The packets of the cells and all next to them, sorted: what `defects` needs to see."""
    about: set[int] = set()
    for packet in np.unique(packets_of(cells)).tolist():
        about.update(h3.grid_disk(packet, 1))
    return sorted(about)


@dataclass(frozen=True, slots=True)
class Plane:
    """A flat map of a neighbourhood."""

    lat_deg: float
    lon_deg: float
    north_m: float
    east_m: float

    @classmethod
    def about(cls, lat_deg: float, lon_deg: float) -> Plane:
        north_m, east_m = degree_lengths_m(float(lat_deg))
        return cls(float(lat_deg), float(lon_deg), north_m, east_m)

    def metres(self, lat_deg: Series, lon_deg: Series) -> Vectors:
        """(n, 2): metres north and east."""
        # Across the antimeridian the difference is taken the short way.
        east = (np.asarray(lon_deg) - self.lon_deg + 180.0) % 360.0 - 180.0
        return np.stack(
            [(np.asarray(lat_deg) - self.lat_deg) * self.north_m, east * self.east_m], axis=1
        )


class _Middles:
    """Middles of the cells that were asked for last, sorted by cell.

    A trip asks for the same two thousand cells five times; arrays answer at once for all of them.
    """

    #: Then it begins anew: to put cells into longer arrays costs more than to ask H3 for them.
    MOST = 1 << 14

    def __init__(self) -> None:
        # Both at once, so that no thread sees the cells of one and the middles of another.
        self._known: tuple[Indices, Vectors] = (np.empty(0, np.int64), np.empty((0, 2)))

    def of(self, cells: Indices) -> Vectors:
        """(n, 2): latitude and longitude of each."""
        known, middles = self._known
        places = np.searchsorted(known, cells)
        is_known = np.append(known, -1)[places] == cells
        if not is_known.all():
            unknown = np.unique(cells[~is_known])
            if len(known) + len(unknown) > self.MOST:
                known, middles = known[:0], middles[:0]
                unknown = np.unique(cells)
            found = itertools.chain.from_iterable(map(h3.cell_to_latlng, unknown.tolist()))
            fresh = np.fromiter(found, np.float64, 2 * len(unknown)).reshape(-1, 2)
            places = np.searchsorted(known, unknown)
            known = np.insert(known, places, unknown)
            middles = np.insert(middles, places, fresh, axis=0)
            self._known = known, middles
            places = np.searchsorted(known, cells)
        answer: Vectors = middles[places]
        return answer


middles_of = _Middles().of
