"""What a phone sent, made into a trip, or refused with a reason. Pure.

Whatever can be understood is put right and marked: milliseconds, g, disorder, repeated samples,
numbers that are none. What can be read in two ways is refused, and says what would help. A trip
that can be read but not believed (a plane, a bicycle, a sensor that stands still) is marked, so
that its sender gets an answer and nobody gets its bumps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.errors import DomainError
from geo.measures import Box, degree_lengths_m
from sensing.arrays import Flags, Series, Vectors
from sensing.signal import G_MS2, sampling_rate_hz
from sensing.traces import Mark, Trip

#: What a trip may be: four hours at 200 samples a second.
LONGEST_S, FASTEST_HZ = 4 * 3600.0, 200.0
MOST_SAMPLES = int(LONGEST_S * FASTEST_HZ * 1.05)

#: Fewer samples than this tell nothing: two seconds at 5 Hz.
FEWEST_SAMPLES = 10

#: Seconds since 1970 lie between 2001 and 2128; a thousand times that are milliseconds.
EARLIEST_S, LATEST_S = 1e9, 5e9

#: A phone's clock may be wrong by this much and the trip still be of today.
CLOCK_AHEAD_S = 86_400.0

#: Median size of an acceleration with gravity, in g and in m/s².
IN_G, IN_MS2 = (0.5, 2.0), (4.9, 20.0)

#: No phone feels more than this: its sensor ends at 16 g. m/s².
LARGEST_MS2 = 400.0

#: A sensor that gives the same number, to a ten-thousandth, has stood still.
STILL_MS2 = 1e-4

#: No car drives faster between two fixes; what does has jumped (m/s).
JUMP_MS = 70.0

#: An island of fixes between two jumps that lasts no longer is one wrong fix or a few.
ISLAND_S = 10.0

#: Where half of the driving is faster, it was no car (m/s: 216 km/h).
PLANE_MS = 60.0

#: A trip that never gets faster in five minutes of moving was no car, or not worth while.
BICYCLE_MS, BICYCLE_S = 8.0, 300.0


class TripError(DomainError):
    """No trip can be made of it."""

    status = 422
    code = "trip_unreadable"
    title = "This is not a trip that can be read"


class EmptyTripError(TripError):
    """Too few samples."""

    code = "trip_empty"
    title = "The trip has too few samples"


class TripTimeError(TripError):
    """Times that are none, or too many."""

    code = "trip_times"
    title = "The times of the trip cannot be read"


class FutureTripError(TripTimeError):
    """It has not been driven yet."""

    code = "trip_from_future"
    title = "The trip lies in the future"


class TripUnitsError(TripError):
    """Accelerations that are neither m/s² nor g, or lack gravity."""

    code = "trip_units"
    title = "The accelerations of the trip are in no known unit"


class TripPlaceError(TripError):
    """Positions that are none, or the wrong way round."""

    code = "trip_positions"
    title = "The positions of the trip cannot be read"


def checked(
    columns: Mapping[str, Series], *, now_s: float | None = None, here: Box | None = None
) -> Trip:
    """The trip of columns: `t, lat, lon, speed_ms, ax, ay, az`, perhaps more.

    Args:
        columns: (n,) each; also `gx, gy, gz` (rad/s), `bearing_deg`, `accuracy_m`. NaN is unknown.
        now_s: to refuse what is from the future.
        here: where trips may be; positions outside that would be inside the other way round are
            refused as such.

    Raises:
        TripError: one of its kinds.
    """
    missing = [name for name in ("t", "ax", "ay", "az") if name not in columns]
    if missing:
        raise TripError(f"The columns {', '.join(missing)} are missing.", field=missing[0])
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
    if len({len(values) for values in arrays.values()}) > 1:
        raise TripError("The columns are not of the same length.")
    count = len(arrays["t"])
    if count > MOST_SAMPLES:
        raise TripError(f"{count} samples; four hours at 200 a second are the most.")
    marks: set[Mark] = set()
    arrays = _in_order(arrays, marks)
    t_s = _seconds(arrays["t"], marks, now_s)
    acceleration = _metric(np.stack([arrays[axis] for axis in ("ax", "ay", "az")], 1), marks)
    lat, lon = _positions(arrays, t_s, marks, here)
    speed = _speeds(arrays, t_s, lat, lon, marks)
    _judge(t_s, speed, marks)
    gyro = None
    if all(axis in arrays for axis in ("gx", "gy", "gz")):
        gyro = np.nan_to_num(np.stack([arrays[axis] for axis in ("gx", "gy", "gz")], 1), posinf=0.0)
    return Trip(
        t_s=t_s,
        lat_deg=lat,
        lon_deg=lon,
        speed_ms=speed,
        acceleration=acceleration,
        gyro=gyro,
        bearing_deg=_finite(arrays.get("bearing_deg")),
        accuracy_m=_finite(arrays.get("accuracy_m")),
        marks=frozenset(marks),
    )


def _in_order(arrays: dict[str, Series], marks: set[Mark]) -> dict[str, Series]:
    """Rows whose time and accelerations are numbers, in time order, each time once."""
    needed = np.stack([arrays[name] for name in ("t", "ax", "ay", "az")])
    good = np.isfinite(needed).all(axis=0)
    if not good.all():
        marks.add(Mark.BAD_SAMPLES)
    arrays = {name: values[good] for name, values in arrays.items()}
    if (np.diff(arrays["t"]) < 0).any():
        marks.add(Mark.UNSORTED)
        order = np.argsort(arrays["t"], kind="stable")
        arrays = {name: values[order] for name, values in arrays.items()}
    fresh = np.diff(arrays["t"], prepend=-np.inf) > 0
    if not fresh.all():
        marks.add(Mark.DUPLICATES)
        arrays = {name: values[fresh] for name, values in arrays.items()}
    count = len(arrays["t"])
    if count < FEWEST_SAMPLES:
        raise EmptyTripError(f"{count} usable samples; {FEWEST_SAMPLES} are the fewest.", field="t")
    return arrays


def _seconds(t: Series, marks: set[Mark], now_s: float | None) -> Series:
    """Times in seconds since 1970, whether they came so or in milliseconds."""
    middle = float(np.median(t))
    if EARLIEST_S * 1000 <= middle <= LATEST_S * 1000:
        marks.add(Mark.MILLISECONDS)
        t = t / 1000.0
    elif not EARLIEST_S <= middle <= LATEST_S:
        raise TripTimeError(
            "Times are seconds (or milliseconds) since 1970-01-01 UTC; these are neither.",
            field="t",
        )
    lasted = float(t[-1] - t[0])
    if lasted > LONGEST_S:
        raise TripTimeError(
            f"The trip lasts {lasted / 3600:.1f} hours; {LONGEST_S / 3600:.0f} are the most.",
            field="t",
        )
    if sampling_rate_hz(t) > FASTEST_HZ * 1.1:
        raise TripTimeError("More than 200 samples a second.", field="t")
    if now_s is not None and t[-1] > now_s + CLOCK_AHEAD_S:
        raise FutureTripError("The last sample is more than a day in the future.", field="t")
    if (np.diff(t) > 2.0).any():
        marks.add(Mark.GAPS)
    return t


def _metric(acceleration: Vectors, marks: set[Mark]) -> Vectors:
    """Accelerations in m/s² with gravity, whether they came so or in g."""
    spread = np.abs(acceleration - acceleration[0]).max()
    size = float(np.median(np.sqrt(np.einsum("ij,ij->i", acceleration, acceleration))))
    if spread < STILL_MS2:
        # A sensor that is off gives zeros, or its last value for ever.
        marks.add(Mark.STILL)
        return acceleration
    if IN_G[0] <= size <= IN_G[1]:
        marks.add(Mark.G_UNITS)
        acceleration = acceleration * G_MS2
    elif size < IN_G[0]:
        raise TripUnitsError("The accelerations lack gravity: send them as measured.", field="az")
    elif not IN_MS2[0] <= size <= IN_MS2[1]:
        raise TripUnitsError(
            f"The median acceleration is {size:.1f}; with gravity it is 9.8 in m/s², 1 in g.",
            field="az",
        )
    if np.abs(acceleration).max() > LARGEST_MS2:
        marks.add(Mark.BAD_SAMPLES)
        acceleration = np.clip(acceleration, -LARGEST_MS2, LARGEST_MS2)
    return acceleration


def _positions(
    arrays: dict[str, Series], t_s: Series, marks: set[Mark], here: Box | None
) -> tuple[Series, Series]:
    """Latitudes and longitudes, NaN where unknown or jumped to."""
    unknown = np.full(len(t_s), np.nan)
    lat = arrays.get("lat", unknown).copy()
    lon = arrays.get("lon", unknown).copy()
    # Phones without a fix say so in two ways: with nothing, and with the Gulf of Guinea.
    lost = ~np.isfinite(lat) | ~np.isfinite(lon) | ((lat == 0) & (lon == 0))
    lat[lost], lon[lost] = np.nan, np.nan
    known = np.flatnonzero(~lost)
    if len(known) < 2:
        marks.add(Mark.NO_POSITIONS)
        return lat, lon
    if (np.abs(lat[known]) > 90).any() or (np.abs(lon[known]) > 180).any():
        swapped = (np.abs(lon[known]) <= 90).all() and (np.abs(lat[known]) <= 180).all()
        hint = ": latitude and longitude seem swapped" if swapped else ""
        raise TripPlaceError(f"Latitudes end at 90, longitudes at 180 degrees{hint}.", field="lat")
    if here is not None:
        inside = _inside(here, lat[known], lon[known])
        turned = np.abs(lon[known]).max() <= 90 and _inside(here, lon[known], lat[known])
        if turned and not inside:
            raise TripPlaceError("Latitude and longitude are swapped.", field="lat")
    jumps = _jumps(t_s[known], lat[known], lon[known])
    if jumps.any():
        marks.add(Mark.TELEPORT)
        # The fixes between two jumps in quick succession are wrong, the others may be right.
        island = np.concatenate(([0], np.cumsum(jumps)))
        _, first, length = np.unique(island, return_index=True, return_counts=True)
        last = first + length - 1
        lasted = t_s[known[last]] - t_s[known[first]]
        wrong = (lasted <= ISLAND_S)[island]
        lat[known[wrong]], lon[known[wrong]] = np.nan, np.nan
        if len(known) - int(wrong.sum()) < 2:
            marks.add(Mark.NO_POSITIONS)
    return lat, lon


def _speeds(
    arrays: dict[str, Series], t_s: Series, lat: Series, lon: Series, marks: set[Mark]
) -> Series:
    """Metres per second; from the positions where the phone does not say."""
    speed = arrays.get("speed_ms", np.full(len(t_s), np.nan)).copy()
    # Phones say -1 for unknown.
    speed[~np.isfinite(speed) | (speed < 0)] = np.nan
    known = np.isfinite(speed)
    if known.any():
        return speed if known.all() else np.interp(t_s, t_s[known], speed[known])
    marks.add(Mark.NO_SPEED)
    placed = np.flatnonzero(np.isfinite(lat))
    fresh = np.ones(len(placed), dtype=bool)
    fresh[1:] = (np.diff(lat[placed]) != 0) | (np.diff(lon[placed]) != 0)
    placed = placed[fresh]
    if len(placed) < 2:
        return speed
    legs = _lengths_m(lat[placed], lon[placed])
    between = np.diff(t_s[placed])
    middles = (t_s[placed[1:]] + t_s[placed[:-1]]) / 2
    return np.interp(t_s, middles, np.minimum(legs / between, JUMP_MS))


def _judge(t_s: Series, speed_ms: Series, marks: set[Mark]) -> None:
    """Whether a car may have driven so."""
    moving = speed_ms[speed_ms > 1.0]
    if not len(moving):
        return
    if np.median(moving) > PLANE_MS:
        marks.add(Mark.TOO_FAST)
    moved_s = len(moving) / max(sampling_rate_hz(t_s), 1e-9)
    if moved_s > BICYCLE_S and np.percentile(moving, 99) < BICYCLE_MS:
        marks.add(Mark.NOT_A_CAR)


def _jumps(t_s: Series, lat: Series, lon: Series) -> Flags:
    """(n - 1,): between which fixes no car can have driven.

    A fix that a phone repeats is as old as its first sample.
    """
    legs = _lengths_m(lat, lon)
    place = np.arange(len(lat))
    fresh = np.concatenate(([True], legs > 0))
    since = t_s[np.maximum.accumulate(np.where(fresh, place, 0))]
    apart = np.maximum(t_s[1:] - since[:-1], 0.2)
    # A hundred metres in an instant happen between two kinds of fixes (network, satellite).
    jumps: Flags = (legs / apart > JUMP_MS) & (legs > 100.0)
    return jumps


def _lengths_m(lat: Series, lon: Series) -> Series:
    north_m, east_m = degree_lengths_m(float(np.median(lat)))
    east = (np.diff(lon) + 180.0) % 360.0 - 180.0
    lengths: Series = np.hypot(np.diff(lat) * north_m, east * east_m)
    return lengths


def _inside(here: Box, lat: Series, lon: Series) -> bool:
    """Whether any of the positions lies in the box."""
    in_lon = (lon >= here.west) & (lon <= here.east)
    if here.crosses_antimeridian:
        in_lon = (lon >= here.west) | (lon <= here.east)
    return bool(((lat >= here.south) & (lat <= here.north) & in_lon).any())


def _finite(values: Series | None) -> Series | None:
    return None if values is None or not np.isfinite(values).any() else values
