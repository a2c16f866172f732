"""From the samples of a trip to bumps. Pure.

1. Samples of 20 Hz or more are brought to a grid of 50 Hz; slower ones are taken as they are,
   because interpolation would flatten the one or two samples that met the bump.
2. The phone's axes are turned to an upright frame found in the data, so that nothing below depends
   on how the phone lies.
3. A running median of five seconds is taken off: gravity, slopes, braking, turning.
4. Where the phone was handled, the car stood or samples are missing, nothing is believed.
5. What is left is strongest where the road was felt; every peak a second or more from a stronger
   one is a candidate, and five detectors judge it.
6. Places between two fixes of the position are interpolated.

It does not read files, check what a phone sent (`sensing.checking`) or know other trips
(`sensing.clustering`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter, minimum_filter1d, uniform_filter1d
from scipy.signal import find_peaks

from geo.measures import Point, degree_lengths_m
from sensing import learned, windows
from sensing.arrays import Flags, Indices, Series, Vectors
from sensing.learned import Weights
from sensing.traces import Analysis, Bump, Detector, Mark, Track, Trip

#: Standard gravity, m/s² (ISO 80000-3).
G_MS2 = 9.80665

#: Slower than this, one period of a wheel's hop (10 to 15 Hz) has no two samples.
LOW_RATE_HZ = 20.0

#: Wheels hop at 10 to 15 Hz and bodies bounce at 1 to 2: 50 Hz holds both.
GRID_HZ = 50.0

#: Faster than this, samples are averaged to the grid instead of interpolated: what is above 25 Hz
#: would otherwise fold back.
AVERAGED_FROM_HZ = 60.0

#: Gravity, slopes, braking and turning change over seconds, bumps within one. Tried from 2 to 10.
DRIFT_S = 5.0

#: At high rates the median is taken of the means of so many seconds.
BLOCK_S = 0.4

#: Where the phone points is asked of half a minute: a mount slips, a driver takes it in the hand.
UPRIGHT_S = 31

#: Fewer samples than this are no trip.
FEWEST_SAMPLES = 50

#: Two bumps closer than this are one. People press no faster (docs/accuracy.md).
APART_S = 1.0

#: Slower than this a car stands, parks or is pushed, and doors slam.
MOVING_MS = 2.0

#: A peak below this is the road as it is. m/s², all axes, drift removed.
FLOOR_LOW_RATE_MS2 = 2.5
FLOOR_MS2 = 1.2

#: A hand turned the phone when upright before and after differ by more than this: the hardest
#: braking, 0.8 g, tilts gravity by 39°, but never for five seconds.
TURNED_DEG, TURNED_OVER_S = 40.0, 3

#: A phone that falls feels almost nothing for this long: 0.12 s is a fall of 7 cm.
FALLING_MS2, FALLING_S = 2.5, 0.12

#: No street turns a car by this; a hand does (rad/s).
HANDLED_RAD_S = 4.0

#: What follows and precedes a hand on the phone is not the road either.
HANDLED_MARGIN_S = 2.0

#: Thresholds of Mednis et al., "Real Time Pothole Detection using Android Smartphones with
#: Accelerometers", DCOSS 2011, in g; the window of the deviation in seconds.
Z_THRESH_G, Z_DIFF_G, STDEV_Z_G, G_ZERO_G, STDEV_S = 0.4, 0.2, 0.2, 0.8, 0.5

#: A phone that does not say how well it knows its place: the usual radius of 68 % in a street.
DEFAULT_ACCURACY_M = 6.0

#: Radius of 68 % of a round normal distribution, in standard errors of one axis.
_RADIUS_68 = 1.515

#: The clocks of position and acceleration differ by about this, and fixes are a little old.
CLOCK_ERROR_S = 0.3

#: Positions of a track are this far apart: closer than the cells that count passes.
TRACK_STEP_M = 5.0

#: Between two fixes further apart than this nobody knows where the car was.
FIX_GAP_S = 6.0

#: Nor where two fixes lie further apart than this many metres a second.
FASTEST_MS = 70.0

#: Severity is 10 · (1 - exp(-peak / this)): 5 at 5.2 m/s², which is where people press.
SEVERITY_SCALE_MS2 = 7.5

#: Below about 30 km/h the same hole is felt less, above it more: the peak grows with about the
#: square root of the speed (quarter-car of `sensing.simulation`, holes of 0.3 to 1 m, 5 to 20 m/s).
#: At low rates dividing by speed did not help: what few samples catch is chance.
REFERENCE_SPEED_MS, SPEED_EXPONENT = 8.0, 0.5


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples as the detectors see them; each axis is a row, so that numpy runs along memory.

    Attributes:
        t_s: (n,) increasing; evenly spaced unless the rate is low.
        rate_hz: of these samples.
        speed_ms: (n,), NaN where unknown.
        acceleration: (3, n) m/s² in the upright frame: up, then two horizontal axes.
        strength: (n,) size of the acceleration without drift, all axes.
        vertical: (n,) what of it is along gravity at the time; up is positive.
        is_good: (n,) no gap, moving, not handled.
        handled_s: seconds that a hand spoiled.
    """

    t_s: Series
    rate_hz: float
    speed_ms: Series
    acceleration: Vectors
    strength: Series
    vertical: Series
    is_good: Flags
    handled_s: float


def analyse(trip: Trip, weights: Weights | None = None) -> Analysis:
    """The bumps and passes of a trip, and what is odd about it.

    Args:
        trip: checked.
        weights: of the learned detector, if not those that ship with this version.

    The same trip gives the same answer, whichever way the phone lay and whenever it was driven.
    What is not believed (`Trip.is_believed`) or has no place gives no bump and no pass.
    """
    rate_hz = sampling_rate_hz(trip.t_s)
    is_low_rate = rate_hz < LOW_RATE_HZ
    marks = trip.marks | ({Mark.LOW_RATE} if is_low_rate else set())
    places = _Places.of(trip)
    if not trip.is_believed or places is None or len(trip.t_s) < FEWEST_SAMPLES:
        return Analysis((), _nowhere(), rate_hz, is_low_rate, 0.0, frozenset(marks))
    samples = prepared(trip, rate_hz)
    return Analysis(
        bumps=_bumps(samples, places, weights or learned.in_force(), is_low_rate=is_low_rate),
        track=_track(samples, places),
        rate_hz=rate_hz,
        is_low_rate=is_low_rate,
        handled_s=samples.handled_s,
        marks=frozenset(marks),
    )


def sampling_rate_hz(t_s: Series) -> float:
    """Samples per second, by the median of their distances; 0 for fewer than two."""
    if len(t_s) < 2:
        return 0.0
    period = float(np.median(np.diff(t_s)))
    return 1.0 / period if period > 0 else 0.0


def prepared(trip: Trip, rate_hz: float) -> Samples:
    """Steps 1 to 4, by the trip's rate: upright, without drift, and which samples to believe."""
    t_s, rate_hz, given, has_samples = resampled(trip, rate_hz)
    acceleration = upright_frame(given) @ given
    drift, upright = drift_and_upright(acceleration, rate_hz)
    felt = np.subtract(acceleration, drift, out=drift)
    vertical = np.einsum("ij,ij->j", felt, upright)
    speed = trip.speed_ms
    if t_s is not trip.t_s:
        # A fifth of a second is fine enough for a speed that is told once a second.
        every = round(GRID_HZ / 5.0)
        speed = np.repeat(np.interp(t_s[::every], trip.t_s, speed), every)[: len(t_s)]
    handled = _handled(trip, t_s, rate_hz, acceleration)
    # An unknown speed is no reason to distrust: bumps are then found wherever it was driven.
    driving = has_samples & ~(speed < MOVING_MS)
    return Samples(
        t_s=t_s,
        rate_hz=rate_hz,
        speed_ms=speed,
        acceleration=acceleration,
        strength=np.sqrt(np.einsum("ij,ij->j", felt, felt)),
        vertical=vertical,
        is_good=driving & ~handled,
        handled_s=float(np.count_nonzero(handled & driving) / rate_hz),
    )


def resampled(trip: Trip, rate_hz: float) -> tuple[Series, float, Vectors, Flags]:
    """Times, rate, accelerations (3, n) and where there were samples to know them by.

    From 20 Hz on: a grid of 50 Hz that begins with the trip, linear between samples, or the means
    of the grid's periods where there are more than 60 a second (exact integrals of the broken line
    through the samples, whatever the jitter). Below: the samples themselves.
    """
    t, given = trip.t_s, np.ascontiguousarray(trip.acceleration.T)
    apart = np.diff(t)
    gap_after = apart > max(0.5, 3.0 / rate_hz)
    if rate_hz < LOW_RATE_HZ:
        # Nothing is interpolated here: a gap only matters where it is longer than the drift.
        gap_after = apart > DRIFT_S
        near_gap = np.zeros(len(t), dtype=bool)
        near_gap[:-1] |= gap_after
        near_gap[1:] |= gap_after
        return t, rate_hz, given, ~near_gap
    since = t - t[0]
    count = int(since[-1] * GRID_HZ + 0.5) + 1
    offsets = np.arange(count) / GRID_HZ
    if rate_hz > AVERAGED_FROM_HZ:
        grid = _averaged(since, given, offsets)
    elif count == len(t) and np.abs(since - offsets).max() < 0.1 / GRID_HZ:
        grid = given
    else:
        grid = np.stack([np.interp(offsets, since, axis) for axis in given])
    known = np.ones(count, dtype=bool)
    for start in np.flatnonzero(gap_after):
        first = max(0, math.floor((since[start] - 0.2) * GRID_HZ))
        known[first : math.ceil((since[start + 1] + 0.2) * GRID_HZ) + 1] = False
    return t[0] + offsets, GRID_HZ, grid, known


def upright_frame(acceleration: Vectors) -> Vectors:
    """(3, 3) orthonormal rows, of samples (3, n): up by the mean, then the main horizontal axis.

    The frame turns with the phone, so that what is computed in it does not; the signs of the two
    horizontal axes are left open, because nothing here depends on them.
    """
    mean = acceleration.mean(axis=1)
    length = float(np.linalg.norm(mean))
    up = mean / length if length > 1e-9 else np.array([0.0, 0.0, 1.0])
    covariance = acceleration @ acceleration.T / acceleration.shape[1] - np.outer(mean, mean)
    flat = np.eye(3) - np.outer(up, up)
    _, vectors = np.linalg.eigh(flat @ covariance @ flat)
    first = vectors[:, 2] - up * (up @ vectors[:, 2])
    size = float(np.linalg.norm(first))
    if size < 1e-6:
        first = np.cross(up, [1.0, 0.0, 0.0] if abs(up[0]) < 0.9 else [0.0, 1.0, 0.0])
        size = float(np.linalg.norm(first))
    first = first / size
    return np.stack([up, first, np.cross(up, first)])


def drift_and_upright(acceleration: Vectors, rate_hz: float) -> tuple[Vectors, Vectors]:
    """The running median of five seconds, and the direction of gravity over half a minute.

    Both (3, n). At high rates medians are taken of means of some samples: a bump does not move a
    median, and the detail of a sample does not either.
    """
    count = acceleration.shape[1]
    block = max(1, round(rate_hz * BLOCK_S)) if rate_hz >= LOW_RATE_HZ else 1
    slow = _medians(_block_means(acceleration, block), _odd(DRIFT_S * rate_hz / block))
    each_s = max(1, round(rate_hz / block))
    calm = _medians(slow[:, ::each_s], UPRIGHT_S)
    lengths = np.linalg.norm(calm, axis=0)
    calm = np.where(lengths > 1e-6, calm / np.maximum(lengths, 1e-6), [[1.0], [0.0], [0.0]])
    upright = np.repeat(calm, each_s * block, axis=1)[:, :count]
    return _between_blocks(slow, block, count), upright


def fired(samples: Samples, peaks: Indices) -> dict[Detector, Flags]:
    """Which detectors of Mednis et al. (DCOSS 2011) fired within half a second of peaks, (k,).

    - Z-THRESH: the vertical deviates from gravity by more than 0.4 g.
    - Z-DIFF: it changes by more than 0.2 g from one sample to the next.
    - STDEV(Z): its standard deviation over half a second exceeds 0.2 g.
    - G-ZERO: all three axes are below 0.8 g at once, as in a fall.

    Their thresholds were set at 100 Hz. At low rates they are told all the same, and count for no
    more than a remark.
    """
    width = 2 * max(2, round(0.5 * samples.rate_hz)) + 1
    vertical = windows.around(samples.vertical, peaks, width)
    part = min(width, _odd(max(3.0, STDEV_S * samples.rate_hz)))
    mean = uniform_filter1d(vertical, part, axis=1, mode="nearest")
    square = uniform_filter1d(vertical * vertical, part, axis=1, mode="nearest")
    variance = np.maximum(square - mean * mean, 0.0)
    largest = np.zeros_like(vertical)
    for axis in samples.acceleration:
        np.maximum(largest, np.abs(windows.around(axis, peaks, width)), out=largest)
    g = G_MS2
    return {
        Detector.Z_THRESH: (np.abs(vertical) > Z_THRESH_G * g).any(axis=1),
        Detector.Z_DIFF: (np.abs(np.diff(vertical, axis=1)) > Z_DIFF_G * g).any(axis=1),
        Detector.STDEV_Z: (variance > (STDEV_Z_G * g) ** 2).any(axis=1),
        Detector.G_ZERO: (largest < G_ZERO_G * g).any(axis=1),
    }


def speed_normalised(peak_ms2: Series, speed_ms: Series) -> Series:
    """What the peaks would have been at 8 m/s; as they are where the speed is unknown."""
    known = np.where(np.isfinite(speed_ms), np.clip(speed_ms, 3.0, 25.0), REFERENCE_SPEED_MS)
    normalised: Series = peak_ms2 * (REFERENCE_SPEED_MS / known) ** SPEED_EXPONENT
    return normalised


def severities(peak_ms2: Series) -> Series:
    """0 to 10 of peaks in m/s²: half-way at what people press a button for."""
    severity: Series = 10.0 * -np.expm1(-peak_ms2 / SEVERITY_SCALE_MS2)
    return severity


def _bumps(
    samples: Samples, places: _Places, weights: Weights, *, is_low_rate: bool
) -> tuple[Bump, ...]:
    """Steps 5 and 6."""
    if is_low_rate:
        judged, floor = samples.strength, FLOOR_LOW_RATE_MS2
    else:
        judged, floor = windows.energy(samples.strength), FLOOR_MS2
    judged = np.where(samples.is_good, judged, 0.0)
    distance = max(1, math.ceil(APART_S * samples.rate_hz - 1e-6))
    peaks, _ = find_peaks(judged, height=floor, distance=distance)
    t, speed = samples.t_s[peaks], samples.speed_ms[peaks]
    lat, lon, heading, error, is_placed = places.at(t, speed)
    if not is_placed.any():
        return ()
    width = symmetry = np.full(len(peaks), np.nan)
    if is_low_rate:
        largest = samples.strength[peaks]
        confidence, is_learned = learned.judge_peaks(weights.peaks, largest, samples.rate_hz)
        severity = severities(largest)
    else:
        around = windows.around(samples.vertical, peaks)
        largest = windows.around(samples.strength, peaks).max(axis=1)
        confidence, is_learned = learned.judge_windows(weights.windows, around)
        severity = severities(speed_normalised(largest, speed))
        width, symmetry = windows.felt_s(around) * speed, windows.symmetry(around)
    flags = {**fired(samples, peaks), Detector.LEARNED: is_learned}
    told = _told(flags)
    columns = (t, lat, lon, heading, speed, error, severity, confidence, largest, width, symmetry)
    rows = zip(*(column[is_placed].tolist() for column in columns), strict=True)
    return tuple(
        Bump(
            t_s=at,
            point=Point(north, east),
            heading_deg=_or_none(way),
            speed_ms=_or_none(fast),
            error_m=wrong,
            severity=severe,
            confidence=sure,
            detectors=detectors,
            peak_ms2=peak,
            width_m=_or_none(wide),
            symmetry=_or_none(form),
        )
        for (at, north, east, way, fast, wrong, severe, sure, peak, wide, form), detectors in zip(
            rows, [told[code] for code in _codes(flags)[is_placed].tolist()], strict=True
        )
    )


def _codes(flags: dict[Detector, Flags]) -> Indices:
    """One number for each set of detectors: bit by bit in the order of the table."""
    codes = np.zeros(len(next(iter(flags.values()))), dtype=np.int64)
    for place, each in enumerate(flags.values()):
        codes |= each.astype(np.int64) << place
    return codes


def _told(flags: dict[Detector, Flags]) -> list[frozenset[Detector]]:
    """The set of detectors of every such number: bumps share them."""
    names = list(flags)
    return [
        frozenset(name for place, name in enumerate(names) if code >> place & 1)
        for code in range(1 << len(names))
    ]


def _handled(trip: Trip, t_s: Series, rate_hz: float, acceleration: Vectors) -> Flags:
    """Where a hand, a fall or a pocket moved the phone, and two seconds about it."""
    count = len(t_s)
    spoiled = np.zeros(count, dtype=bool)
    block = max(1, round(rate_hz))
    calm = _medians(_block_means(acceleration, block), 5)
    if calm.shape[1] > 2 * TURNED_OVER_S:
        before, after = calm[:, : -2 * TURNED_OVER_S], calm[:, 2 * TURNED_OVER_S :]
        sizes = np.linalg.norm(before, axis=0) * np.linalg.norm(after, axis=0)
        cosine = np.einsum("ij,ij->j", before, after) / np.maximum(sizes, 1e-9)
        turned = np.zeros(calm.shape[1], dtype=bool)
        turned[TURNED_OVER_S:-TURNED_OVER_S] = cosine < math.cos(math.radians(TURNED_DEG))
        if turned.any():
            spoiled |= np.repeat(turned, block)[:count]
    if rate_hz >= LOW_RATE_HZ:
        falling = np.einsum("ij,ij->j", acceleration, acceleration) < FALLING_MS2**2
        if falling.any():
            long = minimum_filter1d(falling.astype(np.uint8), max(2, round(FALLING_S * rate_hz)))
            spoiled |= long.astype(bool)
    if trip.gyro is not None:
        turning = np.einsum("ij,ij->i", trip.gyro, trip.gyro) > HANDLED_RAD_S**2
        if turning.any():
            at = np.clip(np.searchsorted(t_s, trip.t_s[turning]), 0, count - 1)
            spoiled[at] = True
    if not spoiled.any():
        return spoiled
    reach = round(HANDLED_MARGIN_S * rate_hz)
    counted = np.concatenate(([0], np.cumsum(spoiled)))
    place = np.arange(count)
    last = np.minimum(place + reach + 1, count)
    widened: Flags = counted[last] > counted[np.maximum(place - reach, 0)]
    return widened


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the car was: the fixes, each at the first sample that had it."""

    t_s: Series
    lat_deg: Series
    lon_deg: Series
    bearing_deg: Series | None
    accuracy_m: Series | None

    @classmethod
    def of(cls, trip: Trip) -> _Places | None:
        """The fixes of a trip; None for fewer than two."""
        known = np.flatnonzero(np.isfinite(trip.lat_deg) & np.isfinite(trip.lon_deg))
        if len(known) < 2:
            return None
        lat, lon = trip.lat_deg[known], trip.lon_deg[known]
        # A phone repeats its last fix until the next one: only the first of them is one. One that
        # stands still gives the same for long; a sample a second keeps that known.
        fresh = np.ones(len(known), dtype=bool)
        fresh[1:] = (np.diff(lat) != 0) | (np.diff(lon) != 0)
        fresh |= np.diff(np.floor(trip.t_s[known] / 2.0), prepend=-1.0) != 0
        repeated = np.zeros(len(known), dtype=bool)
        repeated[1:] = (np.diff(lat) == 0) & (np.diff(lon) == 0)
        moving = ~(trip.speed_ms[known] < MOVING_MS)
        fresh &= ~(repeated & moving)
        fresh[-1] |= not (repeated[-1] and moving[-1])
        kept = known[fresh]
        if len(kept) < 2:
            return None
        return cls(
            trip.t_s[kept],
            trip.lat_deg[kept],
            trip.lon_deg[kept],
            None if trip.bearing_deg is None else trip.bearing_deg[kept],
            None if trip.accuracy_m is None else trip.accuracy_m[kept],
        )

    def at(self, t_s: Series, speed_ms: Series) -> tuple[Series, Series, Series, Series, Flags]:
        """Latitude, longitude, heading (NaN unknown), standard error, and whether it is known."""
        lat = np.interp(t_s, self.t_s, self.lat_deg)
        lon = np.interp(t_s, self.t_s, self.lon_deg)
        before = np.clip(np.searchsorted(self.t_s, t_s, side="right") - 1, 0, len(self.t_s) - 2)
        apart = self.t_s[before + 1] - self.t_s[before]
        inside = (t_s >= self.t_s[0] - 1.0) & (t_s <= self.t_s[-1] + 1.0)
        lat_leg, lon_leg = np.diff(self.lat_deg)[before], np.diff(self.lon_deg)[before]
        north_m, east_m = degree_lengths_m(float(self.lat_deg[0]))
        leg_m = np.hypot(lat_leg * north_m, lon_leg * east_m)
        known = inside & (apart <= FIX_GAP_S) & (leg_m <= FASTEST_MS * np.maximum(apart, 0.5))
        heading = self._heading(t_s, before)
        accuracy = np.full(len(t_s), DEFAULT_ACCURACY_M)
        if self.accuracy_m is not None:
            told = self.accuracy_m[before]
            accuracy = np.where(np.isfinite(told) & (told > 0), told, DEFAULT_ACCURACY_M)
        along = CLOCK_ERROR_S * np.where(np.isfinite(speed_ms), speed_ms, REFERENCE_SPEED_MS)
        error = np.hypot(accuracy / _RADIUS_68, along)
        return lat, lon, heading, error, known

    def _heading(self, t_s: Series, before: Indices) -> Series:
        """The chord of three seconds about each time; the phone's own bearing where that is short.

        The chord is preferred: it is the street's direction, and known for every phone.
        """
        north_m, east_m = degree_lengths_m(float(self.lat_deg[0]))
        ends = np.stack([t_s - 1.5, t_s + 1.5])
        north = np.diff(np.interp(ends, self.t_s, self.lat_deg), axis=0)[0] * north_m
        east = np.diff(np.interp(ends, self.t_s, self.lon_deg), axis=0)[0] * east_m
        heading = np.degrees(np.arctan2(east, north)) % 360.0
        short = np.hypot(north, east) < 2.0
        told = np.full(len(t_s), np.nan)
        if self.bearing_deg is not None:
            # Phones say -1 for unknown, too.
            given = self.bearing_deg[before]
            told = np.where(np.isfinite(given) & (given != -1.0), given, np.nan) % 360.0
        heading = np.where(short, told, heading)
        answer: Series = np.where(heading >= 360.0, 0.0, heading)
        return answer


def _track(samples: Samples, places: _Places) -> Track:
    """The places that were driven over while samples were good, five metres apart."""
    north_m, east_m = degree_lengths_m(float(places.lat_deg[0]))
    steps = np.hypot(np.diff(places.lat_deg) * north_m, np.diff(places.lon_deg) * east_m)
    apart = np.diff(places.t_s)
    whole = (apart <= FIX_GAP_S) & (steps / np.maximum(apart, 0.5) <= FASTEST_MS)
    travelled = np.concatenate(([0.0], np.cumsum(np.where(whole, steps, 0.0))))
    # Standing cars do not advance: times are told apart by a hair, so that they can be inverted.
    rising = travelled + np.arange(len(travelled)) * 1e-9
    wanted = np.arange(0.0, travelled[-1], TRACK_STEP_M)
    t = np.interp(wanted, rising, places.t_s)
    nearest = np.clip(np.searchsorted(samples.t_s, t), 0, len(samples.t_s) - 1)
    speed = samples.speed_ms[nearest]
    lat, lon, heading, error, known = places.at(t, speed)
    near_sample = np.abs(samples.t_s[nearest] - t) <= max(0.5, 2.0 / samples.rate_hz)
    kept = known & near_sample & samples.is_good[nearest] & np.isfinite(heading)
    return Track(t[kept], lat[kept], lon[kept], heading[kept], error[kept])


def _nowhere() -> Track:
    nothing = np.empty(0)
    return Track(nothing, nothing, nothing, nothing, nothing)


def _averaged(since: Series, given: Vectors, offsets: Series) -> Vectors:
    """(3, m): means of the line through the samples over a period about each offset."""
    area = np.zeros_like(given)
    np.cumsum(0.5 * (given[:, 1:] + given[:, :-1]) * np.diff(since), axis=1, out=area[:, 1:])
    # Periods at the ends are cut short, but never to nothing.
    low = np.clip(offsets - 0.5 / GRID_HZ, 0.0, since[-1] - 0.5 / GRID_HZ)
    high = np.clip(offsets + 0.5 / GRID_HZ, 0.5 / GRID_HZ, since[-1])
    edges = np.stack([low, high])
    before = np.clip(np.searchsorted(since, edges, side="right") - 1, 0, len(since) - 2)
    part = edges - since[before]
    slope = (given[:, before + 1] - given[:, before]) / (since[before + 1] - since[before])
    whole = area[:, before] + part * (given[:, before] + 0.5 * slope * part)
    means: Vectors = (whole[:, 1] - whole[:, 0]) / (high - low)
    return means


def _medians(values: Vectors, width: int) -> Vectors:
    """(3, m): the running median along each row."""
    return np.stack([median_filter(axis, size=width, mode="nearest") for axis in values])


def _block_means(values: Vectors, block: int) -> Vectors:
    """(3, ceil(n / block)): the mean of each block; a rest at the end is a block of its own."""
    if block == 1:
        return values
    whole = values.shape[1] // block * block
    # A product with a row of shares: five times faster than the mean of so short an axis.
    means: Vectors = values[:, :whole].reshape(3, -1, block) @ np.full(block, 1.0 / block)
    if whole < values.shape[1]:
        rest = values[:, whole:].mean(axis=1, keepdims=True)
        means = np.concatenate([means, rest], axis=1)
    return means


def _between_blocks(means: Vectors, block: int, count: int) -> Vectors:
    """(3, count): straight lines between the middles of the blocks."""
    if block == 1 or means.shape[1] < 2:
        return np.repeat(means, block, axis=1)[:, :count]
    half = block // 2
    share = (np.arange(block) + 0.5 * (1 + block % 2) - 0.5 * (block % 2)) / block
    padded = np.concatenate([means[:, :1], means, means[:, -1:]], axis=1)
    lines = padded[:, :-1, None] + np.diff(padded, axis=1)[:, :, None] * share
    return lines.reshape(3, -1)[:, block - half : block - half + count]


def _odd(width: float) -> int:
    """The odd number of samples next to a width."""
    return max(1, 2 * round((width - 1) / 2) + 1)


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
