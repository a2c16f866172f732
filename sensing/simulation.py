"""A simulation: streets with planted defects, cars that drive over them, phones in them. Pure.

No labelled data exist that say what a bump was. This makes some, with the physics that is known
(a quarter-car on a profile) and everything else drawn at random: it shows that the analysis does
what it says, not how good it is on a street. It is the load generator too.

1. A route is a line of positions; what is planted on it has a place and a profile.
2. Each car has its own springs, each driver a speed, each pass a line: a hole is met by one wheel,
   by none, or by both; a hump by all.
3. The body's acceleration is that of the quarter-car of `sensing.roughness`, for two axles.
4. The phone turns it into its own axes, adds its noise and samples at its rate; its position is
   wrong by a slow error of some metres and a second old.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.signal import bilinear, lfilter, sosfilt, tf2sos

from geo.measures import Point, degree_lengths_m
from sensing import roughness
from sensing.arrays import Series, Vectors
from sensing.traces import Trip

#: Steps of the simulation, far above the wheel's hop.
STEP_HZ = 400.0

#: Profiles are drawn so finely that the edge of a hole is an edge.
STEP_M = 0.02

#: Distance of the axles of a small car.
WHEELBASE_M = 2.5

GRAVITY_MS2 = 9.80665


class Kind(StrEnum):
    """What may lie in a street."""

    POTHOLE = "pothole"
    SUNKEN_CASTING = "sunken_casting"
    SPEED_HUMP = "speed_hump"
    JOINT = "joint"
    RAIL = "rail"
    MANHOLE = "manhole"


#: What a city should mend.
ACTIONABLE = frozenset({Kind.POTHOLE, Kind.SUNKEN_CASTING})

#: Share of passes whose wheels meet it: what lies across the street is met by all.
MET_BY = {
    Kind.POTHOLE: 0.65,
    Kind.SUNKEN_CASTING: 0.6,
    Kind.SPEED_HUMP: 1.0,
    Kind.JOINT: 1.0,
    Kind.RAIL: 1.0,
    Kind.MANHOLE: 0.6,
}


@dataclass(frozen=True, slots=True)
class Planted:
    """Something that lies in a street.

    Attributes:
        along_m: from the start of the route to its beginning.
        kind: what it is.
        size: 1 is usual; heights and depths grow with it.
        from_s, until_s: when it was there: it wears in, and is repaired.
    """

    along_m: float
    kind: Kind
    size: float = 1.0
    from_s: float = -np.inf
    until_s: float = np.inf


@dataclass(frozen=True, slots=True)
class Car:
    """Springs as in `roughness`, and the pace of who drives."""

    damping: float = roughness.DAMPING
    tyre: float = roughness.TYRE
    spring: float = roughness.SPRING
    mass_ratio: float = roughness.MASS_RATIO
    speed_ms: float = 9.0


@dataclass(frozen=True, slots=True)
class Phone:
    """How it lies, feels and knows its place.

    Attributes:
        axes: (3, 3) rotation of north-like, east-like, up into the phone's own axes.
        rate_hz, jitter_s: of its samples.
        noise_ms2, position_error_m: standard errors.
        clock_s: how far its clock is ahead.
    """

    axes: Vectors
    rate_hz: float = 50.0
    jitter_s: float = 0.001
    noise_ms2: float = 0.12
    position_error_m: float = 4.0
    clock_s: float = 0.0


def profile(kind: Kind, size: float = 1.0) -> Series:
    """Heights in metres, `STEP_M` apart, of the usual form of a kind.

    Sizes by the French and Dutch guides for humps (4 m long, 8 to 10 cm high; here 3.6 m and 8 cm),
    by street inventories for the others: holes 0.5 m long and 5 cm deep with steep edges, castings
    0.7 m and 3 cm, joints 2 cm by 8 mm, rails 1.5 m apart and 8 mm high, good manholes within 4 mm.
    """
    if kind is Kind.POTHOLE:
        x = np.arange(0.0, 0.5, STEP_M) / 0.5
        return -0.05 * size * np.minimum(1.0, 6.0 * np.minimum(x, 1.0 - x))
    if kind is Kind.SUNKEN_CASTING:
        x = np.arange(0.0, 0.7, STEP_M) / 0.7
        return -0.03 * size * np.minimum(1.0, 10.0 * np.minimum(x, 1.0 - x))
    if kind is Kind.SPEED_HUMP:
        x = np.arange(0.0, 3.6, STEP_M) / 3.6
        return 0.08 * size * np.sin(np.pi * x) ** 2
    if kind is Kind.JOINT:
        return np.full(4, 0.008 * size)
    if kind is Kind.RAIL:
        heights = np.zeros(round(1.6 / STEP_M))
        heights[:4] = heights[-4:] = 0.008 * size
        return heights
    return np.full(round(0.7 / STEP_M), 0.004 * size)


def random_car(drawn: np.random.Generator) -> Car:
    """A car of the city: the Golden Car's springs within a third, 25 to 50 km/h."""
    return Car(
        damping=roughness.DAMPING * float(drawn.uniform(0.75, 1.35)),
        tyre=roughness.TYRE * float(drawn.uniform(0.8, 1.25)),
        spring=roughness.SPRING * float(drawn.uniform(0.75, 1.35)),
        mass_ratio=roughness.MASS_RATIO * float(drawn.uniform(0.8, 1.2)),
        speed_ms=float(drawn.uniform(7.0, 13.5)),
    )


def random_phone(drawn: np.random.Generator, *, rate_hz: float | None = None) -> Phone:
    """A phone that lies anyhow; 50 or 100 samples a second unless told."""
    return Phone(
        axes=random_axes(drawn),
        rate_hz=rate_hz or float(drawn.choice([50.0, 100.0])),
        position_error_m=float(drawn.uniform(2.0, 6.0)),
        clock_s=float(drawn.normal(0.0, 1.0)),
    )


def random_axes(drawn: np.random.Generator) -> Vectors:
    """(3, 3): a rotation, every one as likely."""
    axes, upper = np.linalg.qr(drawn.normal(size=(3, 3)))
    axes = axes * np.sign(np.diag(upper))
    if np.linalg.det(axes) < 0:
        axes[:, 0] = -axes[:, 0]
    return axes


def length_m(route: Sequence[Point]) -> float:
    """How long a route is."""
    return float(_distances(route)[-1])


def drive(
    route: Sequence[Point],
    planted: Sequence[Planted],
    *,
    car: Car,
    phone: Phone,
    start_s: float,
    drawn: np.random.Generator,
    roughness_mm: float = 2.0,
) -> Trip:
    """One trip along a route, from its first position to its last.

    Args:
        route: at least two positions.
        planted: what lies in it, for this direction of travel.
        start_s: seconds since 1970, by the right clock.
        drawn: source of everything random; the same gives the same trip.
        roughness_mm: standard deviation of the random road, after waves longer than 10 m are off.

    Raises:
        ValueError: the route is shorter than 20 m.
    """
    total_m = length_m(route)
    if total_m < 20.0:
        raise ValueError("a route of 20 m is needed")
    t, x, speed = _pace(total_m, car.speed_ms, drawn)
    road = _road(total_m, roughness_mm, drawn)
    for each in planted:
        is_there = each.from_s <= start_s <= each.until_s
        if is_there and drawn.random() < MET_BY[each.kind]:
            heights = profile(each.kind, each.size)
            # One wheel of two lifts its side of the body by half; a hump lifts both.
            share = 1.0 if MET_BY[each.kind] == 1.0 else float(drawn.uniform(0.6, 1.0))
            first = round(each.along_m / STEP_M)
            last = min(len(road), first + len(heights))
            if first < last:
                road[first:last] += share * heights[: last - first]
    up = body_acceleration(_height(road, x), car)
    up = 0.5 * (up + body_acceleration(_height(road, x - WHEELBASE_M), car))
    ahead = np.gradient(speed, 1.0 / STEP_HZ)
    aside = 0.15 * _smooth_noise(len(t), 0.3, drawn)
    return _recorded(route, t, x, speed, np.stack([ahead, aside, up]), phone, start_s, drawn)


def body_acceleration(height_m: Series, car: Car) -> Series:
    """(n,) m/s², up, of a car's body on a road of heights in time, `STEP_HZ` a second.

    The transfer function of the two masses, by Tustin's rule.
    """
    c, k, kt, mu = car.damping, car.spring, car.tyre, car.mass_ratio
    over = [kt * c, kt * k, 0.0, 0.0]
    # (s² + c s + k) (µ s² + c s + k + kt) - (c s + k)², by powers of s.
    under = [mu, c + c * mu, k + kt + k * mu, c * kt, k * kt]
    acceleration: Series = sosfilt(tf2sos(*bilinear(over, under, STEP_HZ)), height_m)
    return acceleration


def csv_of(trip: Trip) -> bytes:
    """A trip as a phone uploads it: `t,lat,lon,speed_ms,ax,ay,az`, not compressed."""
    table = np.column_stack(
        [trip.t_s, trip.lat_deg, trip.lon_deg, trip.speed_ms, trip.acceleration]
    )
    # `np.savetxt` takes three times as long, and a fleet sends many trips.
    line = "%.3f,%.7f,%.7f,%.2f,%.4f,%.4f,%.4f\n"
    lines = "".join([line % tuple(row) for row in table.tolist()])
    return f"t,lat,lon,speed_ms,ax,ay,az\n{lines}".encode()


def _pace(
    total_m: float, speed_ms: float, drawn: np.random.Generator
) -> tuple[Series, Series, Series]:
    """Times, distances and speeds: away from a standstill, wandering, and to a stop."""
    seconds = total_m / speed_ms * 1.6 + 30.0
    count = round(seconds * STEP_HZ)
    wander = 1.0 + 0.12 * _smooth_noise(count, 0.05, drawn)
    t = np.arange(count) / STEP_HZ
    speed = speed_ms * np.clip(wander, 0.6, 1.4) * np.minimum(1.0, t / 6.0 + 0.01)
    x = np.cumsum(speed) / STEP_HZ
    left = np.maximum(total_m - x, 0.0)
    # Brakes at 1.5 m/s² to the end of the route.
    speed = np.minimum(speed, np.sqrt(2 * 1.5 * left) + 0.3)
    x = np.cumsum(speed) / STEP_HZ
    end = int(np.searchsorted(x, total_m - 0.5)) or count
    end = min(max(end, 2), count)
    return t[:end], x[:end], speed[:end]


def _road(total_m: float, roughness_mm: float, drawn: np.random.Generator) -> Series:
    """Heights of a random road: amplitudes fall with the square of the frequency (ISO 8608)."""
    count = round((total_m + 5.0) / STEP_M)
    fall = 1.0 - 2 * np.pi * STEP_M / 10.0
    heights = lfilter([1.0], [1.0, -fall], drawn.normal(size=count))
    heights = lfilter([0.2], [1.0, -0.8], heights)
    scaled: Series = heights / max(float(heights.std()), 1e-12) * roughness_mm / 1000.0
    return scaled


def _height(road: Series, x: Series) -> Series:
    height: Series = np.interp(x, np.arange(len(road)) * STEP_M, road, left=0.0, right=0.0)
    return height


def _smooth_noise(count: int, corner_hz: float, drawn: np.random.Generator) -> Series:
    """(count,): noise of deviation 1 below a frequency."""
    step_s = 1.0 / corner_hz / 4.0
    knots = int(count / STEP_HZ / step_s) + 3
    smooth: Series = np.interp(
        np.arange(count) / STEP_HZ, np.arange(knots) * step_s, drawn.normal(size=knots)
    )
    return smooth


def _recorded(
    route: Sequence[Point],
    t: Series,
    x: Series,
    speed: Series,
    felt: Vectors,
    phone: Phone,
    start_s: float,
    drawn: np.random.Generator,
) -> Trip:
    """What the phone writes down of (3, n) accelerations ahead, aside and up."""
    count = int(t[-1] * phone.rate_hz)
    at = np.arange(count) / phone.rate_hz + drawn.uniform(-1, 1, count) * phone.jitter_s
    at = np.sort(np.clip(at, 0.0, t[-1]))
    at = at[np.diff(at, prepend=-1.0) > 1e-6]
    samples = np.stack([np.interp(at, t, axis) for axis in felt])
    samples[2] += GRAVITY_MS2
    samples = phone.axes @ samples + phone.noise_ms2 * drawn.normal(size=samples.shape)
    # A fix a second, its error wandering over half a minute, repeated until the next.
    fix_t = np.arange(0.0, t[-1] + 1.0, 1.0)
    fix_x = np.interp(fix_t, t, x)
    distances = _distances(route)
    lat = np.interp(fix_x, distances, [point.lat for point in route])
    lon = np.interp(fix_x, distances, [point.lon for point in route])
    north_m, east_m = degree_lengths_m(route[0].lat)
    wrong = np.stack(
        [
            np.interp(fix_t, np.arange(0, t[-1] + 60, 30), drawn.normal(size=_knots(t[-1])))
            for _ in range(2)
        ]
    )
    lat = lat + wrong[0] * phone.position_error_m / north_m
    lon = lon + wrong[1] * phone.position_error_m / east_m
    latest = np.clip(at.astype(np.int64), 0, len(fix_t) - 1)
    return Trip(
        t_s=start_s + phone.clock_s + at,
        lat_deg=lat[latest],
        lon_deg=lon[latest],
        speed_ms=np.interp(at, t, speed),
        acceleration=samples.T,
        accuracy_m=np.full(len(at), phone.position_error_m * 1.5),
    )


def _knots(last_s: float) -> int:
    return len(np.arange(0, last_s + 60, 30))


def _distances(route: Sequence[Point]) -> Series:
    """(n,): metres from the start to each position."""
    lat = np.array([point.lat for point in route])
    lon = np.array([point.lon for point in route])
    north_m, east_m = degree_lengths_m(route[0].lat)
    legs = np.hypot(np.diff(lat) * north_m, np.diff(lon) * east_m)
    return np.concatenate(([0.0], np.cumsum(legs)))
