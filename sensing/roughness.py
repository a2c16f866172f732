"""Roughness of road segments: the quarter-car index, and a phone's estimate of it. Pure.

`international_roughness_index` is the index itself, of a measured profile (ASTM E1926-08).
`estimates` is what a phone in a car can say of it: an estimate, labelled as such wherever it is
shown, because the phone feels its own car's springs and not the Golden Car's.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm
from scipy.signal import dlsim

from geo.measures import Point, degree_lengths_m
from sensing import signal
from sensing.arrays import Series, Vectors
from sensing.traces import Trip

#: The Golden Car: damping, tyre and spring stiffness by the sprung mass, and the ratio of the
#: unsprung to the sprung mass (Sayers, Gillespie and Queiroz, World Bank TP 46, 1986; ASTM E1926-08
#: section 8.1). Units: 1/s, 1/s², 1/s², none.
DAMPING, TYRE, SPRING, MASS_RATIO = 6.0, 653.0, 63.3, 0.15

#: The Golden Car drives at 80 km/h, on tyres that touch the road over 25 cm.
STANDARD_SPEED_MS, TYRE_CONTACT_M = 80.0 / 3.6, 0.25

#: The first metres are driven with the springs still at rest (section 8.2.3: 11 m for their start).
START_M = 11.0

#: Length of a segment, and of it how much must have been driven.
SEGMENT_M, FEWEST_M = 100.0, 60.0

#: Where a phone's estimate means something: fast enough for the springs, slow enough for a street.
SLOWEST_MS, FASTEST_MS = 5.0, 30.0

#: Index by root mean square of the vertical acceleration between the axles (2.5 m apart) of a
#: Golden Car at 50 km/h, over random roads of ISO 8608 classes A to D: m/km by m/s². Tests compute
#: it again.
INDEX_BY_ACCELERATION = 9.7

#: The acceleration grows with about this power of the speed (same roads, 20 to 90 km/h).
SPEED_POWER = 0.57
REFERENCE_SPEED_MS = 50.0 / 3.6

#: Between cars of a city springs, seats and mounts differ so much (relative standard error).
UNKNOWN_CAR = 0.35


@dataclass(frozen=True, slots=True)
class Segment:
    """An estimate for one stretch of one trip.

    Attributes:
        start, end: its ends, in the direction of travel.
        index_m_km: estimate of the International Roughness Index.
        error_m_km: its standard error, mostly of the unknown car.
        length_m: driven and good.
        speed_ms: the mean.
    """

    start: Point
    end: Point
    index_m_km: float
    error_m_km: float
    length_m: float
    speed_ms: float


def international_roughness_index(profile_m: Series, step_m: float) -> float:
    """The index in m/km of a profile's heights (n,), in metres, `step_m` apart.

    The Golden Car is driven over the profile at 80 km/h, its four equations solved exactly between
    samples (the profile's slope is constant there), and the travel of its suspension is added up by
    length (ASTM E1926-08, section 8). Heights are first averaged over 25 cm where samples are
    closer than that.

    Raises:
        ValueError: fewer samples than 11 m, or a step that is none.
    """
    if not step_m > 0 or len(profile_m) * step_m < START_M:
        raise ValueError("a profile of more than 11 m is needed")
    heights = np.asarray(profile_m, dtype=float)
    if step_m < TYRE_CONTACT_M:
        width = round(TYRE_CONTACT_M / step_m)
        if width > 1:
            heights = np.convolve(heights, np.ones(width) / width, mode="valid")
    slope = np.diff(heights) / step_m
    relative = slope_response(slope, step_m)
    return float(np.mean(np.abs(relative)) * 1000.0)


def slope_response(slope: Series, step_m: float) -> Series:
    """(n,): slope of the Golden Car's suspension travel, by slopes of the road `step_m` apart.

    The springs start at rest on the mean slope of the first 11 m.
    """
    transition, drive = _standard_car(step_m)
    first = float(np.mean(slope[: max(1, round(START_M / step_m))]))
    start = np.array([first, 0.0, first, 0.0])
    output = np.array([[1.0, 0.0, -1.0, 0.0]])
    system = (transition, drive[:, None], output, np.zeros((1, 1)), step_m / STANDARD_SPEED_MS)
    # The state after a step answers to the slope of that step.
    padded = np.append(slope, 0.0)[:, None]
    _, answer, _ = dlsim(system, padded, x0=start)
    response: Series = answer[1:, 0]
    return response


def gain(wavelength_m: float) -> float:
    """How much of a sinusoidal slope of a wavelength the index passes on, in theory.

    The amplitude of the transfer function from slope to suspension travel at 80 km/h: 0 for very
    long and very short waves, most at about 2.4 m and 15 m.
    """
    s = 2j * np.pi * STANDARD_SPEED_MS / wavelength_m
    # Body and wheel under a road u: the equations of section 8.1 in the Laplace domain.
    body = np.array(
        [
            [s * s + DAMPING * s + SPRING, -(DAMPING * s + SPRING)],
            [-(DAMPING * s + SPRING), MASS_RATIO * s * s + DAMPING * s + SPRING + TYRE],
        ]
    )
    answer = np.linalg.solve(body, np.array([0.0, TYRE]))
    return float(abs(answer[0] - answer[1]))


def estimates(trip: Trip) -> list[Segment]:
    """Segments of 100 m of a trip with an estimate of their index; none where it cannot be known.

    Needs 20 samples a second and 5 to 30 m/s. The root mean square of the vertical acceleration,
    brought to 50 km/h, times what a Golden Car's body would have felt.
    """
    rate_hz = signal.sampling_rate_hz(trip.t_s)
    if rate_hz < signal.LOW_RATE_HZ or not trip.is_believed:
        return []
    samples = signal.prepared(trip, rate_hz)
    speed = samples.speed_ms
    usable = samples.is_good & (speed >= SLOWEST_MS) & (speed <= FASTEST_MS)
    if not usable.any():
        return []
    travelled = np.cumsum(np.where(usable, np.nan_to_num(speed), 0.0)) / samples.rate_hz
    segment = (travelled / SEGMENT_M).astype(np.int64)
    number = int(segment[-1]) + 1
    counts = np.bincount(segment[usable], minlength=number)
    at_reference = (
        samples.vertical
        * (
            REFERENCE_SPEED_MS
            / np.clip(np.nan_to_num(speed, nan=REFERENCE_SPEED_MS), SLOWEST_MS, None)
        )
        ** SPEED_POWER
    )
    square = np.bincount(segment[usable], at_reference[usable] ** 2, minlength=number)
    speeds = np.bincount(segment[usable], speed[usable], minlength=number)
    answer = []
    for each in np.flatnonzero(counts).tolist():
        length = float(speeds[each]) / samples.rate_hz
        places = np.flatnonzero(usable & (segment == each))
        ends = _ends(trip, samples.t_s[places[[0, -1]]])
        if length < FEWEST_M or ends is None or not _is_whole(*ends, length):
            continue
        index = INDEX_BY_ACCELERATION * float(np.sqrt(square[each] / counts[each]))
        answer.append(
            Segment(
                *ends,
                index_m_km=index,
                error_m_km=UNKNOWN_CAR * index,
                length_m=length,
                speed_ms=float(speeds[each] / counts[each]),
            )
        )
    return answer


def state_equations(
    damping: float, tyre: float, spring: float, mass_ratio: float
) -> tuple[Vectors, Series]:
    """(4, 4) and (4,): rates of body and wheel (height, speed each), and what the road adds."""
    return (
        np.array(
            [
                [0.0, 1.0, 0.0, 0.0],
                [-spring, -damping, spring, damping],
                [0.0, 0.0, 0.0, 1.0],
                [
                    spring / mass_ratio,
                    damping / mass_ratio,
                    -(tyre + spring) / mass_ratio,
                    -damping / mass_ratio,
                ],
            ]
        ),
        np.array([0.0, 0.0, 0.0, tyre / mass_ratio]),
    )


def exact_steps(rates: Vectors, road: Series, step_s: float) -> tuple[Vectors, Series]:
    """The transition of one step and what a road constant during it adds (ASTM E1926-08, 8.3)."""
    size = len(road)
    whole = np.zeros((size + 1, size + 1))
    whole[:size, :size], whole[:size, size] = rates * step_s, road * step_s
    exponential = expm(whole)
    return exponential[:size, :size], exponential[:size, size]


@functools.lru_cache(maxsize=16)
def _standard_car(step_m: float) -> tuple[Vectors, Series]:
    rates, road = state_equations(DAMPING, TYRE, SPRING, MASS_RATIO)
    return exact_steps(rates, road, step_m / STANDARD_SPEED_MS)


def _ends(trip: Trip, t_s: Series) -> tuple[Point, Point] | None:
    known = np.isfinite(trip.lat_deg) & np.isfinite(trip.lon_deg)
    if np.count_nonzero(known) < 2:
        return None
    lat = np.interp(t_s, trip.t_s[known], trip.lat_deg[known])
    lon = np.interp(t_s, trip.t_s[known], trip.lon_deg[known])
    return Point(float(lat[0]), float(lon[0])), Point(float(lat[1]), float(lon[1]))


def _is_whole(start: Point, end: Point, length_m: float) -> bool:
    """Whether the ends are no further apart than was driven between them: no gap was jumped."""
    north_m, east_m = degree_lengths_m(start.lat)
    apart = np.hypot((end.lat - start.lat) * north_m, (end.lon - start.lon) * east_m)
    return bool(apart <= 1.3 * length_m + 20.0)
