"""A simulation: a fleet of phones that drive through a city, for trials and as a load. Pure.

The city's data know no streets, only addresses. So streets are made of those: the addresses of one
street in the order in which they lie, joined into tours by straight legs from the end of one to the
nearest beginning of another. What is planted in them and what phones feel of it is
`sensing.simulation`. None of it is a road that somebody drove on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geo.measures import Point, bearing_deg, degree_lengths_m, destination, distance_m
from sensing import simulation
from sensing.arrays import Vectors
from sensing.simulation import ACTIONABLE, Kind, Planted
from sensing.traces import Trip

#: Addresses are gathered into so long pieces of a street, which evens out front gardens.
_PIECE_M = 30.0

#: Streets shorter than this are none, streets are cut at the other.
SHORTEST_M, LONGEST_M = 150.0, 1_500.0

#: So far somebody drives from the end of one street to the next one of a tour.
_FARTHEST_LEG_M = 500.0

#: Before and after each tour: uploads lose their first and last 200 m or 60 s.
LEAD_M = 900.0

#: What is planted lies so far from the next thing, and from any corner.
_APART_M, _FROM_CORNER_M, _CORNER_DEG = 70.0, 40.0, 25.0

#: In the order in which a tour gets them: something to mend in every second place.
_PLANTED = (
    *(Kind.POTHOLE, Kind.SPEED_HUMP, Kind.POTHOLE, Kind.JOINT),
    *(Kind.SUNKEN_CASTING, Kind.MANHOLE),
)


@dataclass(frozen=True, slots=True)
class Tour:
    """A way through the city, one way only, with its lead at both ends.

    Attributes:
        route: positions, the lead's too.
        planted: what lies in it, by metres from the beginning of `route`.
    """

    route: tuple[Point, ...]
    planted: tuple[Planted, ...] = ()

    @property
    def length_m(self) -> float:
        """How long it is, without its lead."""
        return simulation.length_m(self.route) - 2 * LEAD_M

    def place_of(self, planted: Planted) -> Point:
        """Where something that is planted in it lies."""
        return at(self.route, planted.along_m)


def tours(
    addresses: Mapping[str, Sequence[Point]],
    *,
    total_m: float,
    tour_m: float,
    drawn: np.random.Generator,
) -> list[Tour]:
    """Tours of about a length, together about so long, each street in at most one of them.

    Args:
        addresses: positions of the house numbers by street.
    """
    streets = [line for points in addresses.values() for line in _street(points)]
    order = drawn.permutation(len(streets)).tolist()
    free = {number: streets[number] for number in order}
    made: list[Tour] = []
    driven = 0.0
    while free and driven < total_m:
        number = next(iter(free))
        way = list(free.pop(number))
        while simulation.length_m(way) < tour_m:
            following = _nearest(way[-1], free)
            if following is None:
                break
            number, is_turned = following
            line = free.pop(number)
            way += reversed(line) if is_turned else line
        if simulation.length_m(way) < tour_m * 0.7:
            continue
        tour = _planted(Tour(_with_lead(way)), drawn)
        made.append(tour)
        driven += tour.length_m
    return made


def drive(
    tour: Tour,
    *,
    start_s: float,
    drawn: np.random.Generator,
    without: Iterable[Planted] = (),
    phone: simulation.Phone | None = None,
) -> Trip:
    """One phone's trip along a tour.

    Args:
        without: what was planted and is repaired.
        phone: None: any of the city's.
    """
    gone = set(without)
    return simulation.drive(
        tour.route,
        [each for each in tour.planted if each not in gone],
        car=simulation.random_car(drawn),
        phone=phone or simulation.random_phone(drawn),
        start_s=start_s,
        drawn=drawn,
    )


def is_to_mend(planted: Planted) -> bool:
    """Whether a city should hear of it."""
    return planted.kind in ACTIONABLE


def at(route: Sequence[Point], along_m: float) -> Point:
    """The position so many metres along a route."""
    left = along_m
    for start, end in itertools.pairwise(route):
        leg = distance_m(start, end)
        if left <= leg:
            part = left / leg if leg else 0.0
            return Point(
                start.lat + part * (end.lat - start.lat), start.lon + part * (end.lon - start.lon)
            )
        left -= leg
    return route[-1]


def _street(points: Sequence[Point]) -> list[tuple[Point, ...]]:
    """The lines of one street's addresses: their middles in pieces along its longest extent."""
    if len(points) < 4:
        return []
    lat, lon = (np.array([getattr(point, name) for point in points]) for name in ("lat", "lon"))
    north_m, east_m = degree_lengths_m(float(lat.mean()))
    flat: Vectors = np.stack([(lat - lat.mean()) * north_m, (lon - lon.mean()) * east_m], axis=1)
    _, _, axes = np.linalg.svd(flat, full_matrices=False)
    along = flat @ axes[0]
    piece = np.floor((along - along.min()) / _PIECE_M).astype(np.int64)
    lines: list[tuple[Point, ...]] = []
    line: list[Point] = []
    for number in range(int(piece.max()) + 1):
        here = piece == number
        if not here.any():
            # A gap of one piece is a garden; the next address goes on.
            continue
        middle = Point(float(lat[here].mean()), float(lon[here].mean()))
        is_broken = bool(line) and distance_m(line[-1], middle) > 6 * _PIECE_M
        if is_broken or (len(line) > 1 and simulation.length_m(line) > LONGEST_M):
            lines.append(tuple(line))
            line = []
        line.append(middle)
    lines.append(tuple(line))
    return [each for each in lines if len(each) > 1 and simulation.length_m(each) >= SHORTEST_M]


def _nearest(end: Point, free: Mapping[int, tuple[Point, ...]]) -> tuple[int, bool] | None:
    """The street that begins nearest, and whether it is driven from its end."""
    found = min(
        (
            (distance_m(end, line[-1] if is_turned else line[0]), number, is_turned)
            for number, line in free.items()
            for is_turned in (False, True)
        ),
        default=None,
    )
    if found is None or found[0] > _FARTHEST_LEG_M:
        return None
    return found[1], found[2]


def _with_lead(way: Sequence[Point]) -> tuple[Point, ...]:
    before = bearing_deg(way[1], way[0])
    after = bearing_deg(way[-2], way[-1])
    return (
        destination(way[0], before, LEAD_M),
        *way,
        destination(way[-1], after, LEAD_M),
    )


def _planted(tour: Tour, drawn: np.random.Generator) -> Tour:
    """The tour with something in it every few hundred metres, away from corners."""
    corners = _corners(tour.route)
    planted: list[Planted] = []
    along_m, end_m = LEAD_M + _APART_M, LEAD_M + tour.length_m - _APART_M
    while along_m < end_m:
        if all(abs(along_m - corner) >= _FROM_CORNER_M for corner in corners):
            kind = _PLANTED[len(planted) % len(_PLANTED)]
            planted.append(Planted(along_m, kind, float(drawn.uniform(1.0, 1.4))))
            along_m += float(drawn.uniform(2.5, 4.0)) * _APART_M
        else:
            along_m += 10.0
    return Tour(tour.route, tuple(planted))


def _corners(route: Sequence[Point]) -> list[float]:
    corners: list[float] = []
    along_m = 0.0
    for before, here, after in zip(route, route[1:], route[2:], strict=False):
        along_m += distance_m(before, here)
        turned = bearing_deg(here, after) - bearing_deg(before, here)
        if abs(math.remainder(turned, 360.0)) > _CORNER_DEG:
            corners.append(along_m)
    return corners
