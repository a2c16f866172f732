"""Bad input: each is a clear error or a marked trip."""

from __future__ import annotations

import numpy as np
import pytest

from geo.measures import Box
from sensing import checking, signal
from sensing.arrays import Series
from sensing.checking import (
    EmptyTripError,
    FutureTripError,
    TripError,
    TripPlaceError,
    TripTimeError,
    TripUnitsError,
)
from sensing.traces import Mark

MONTPELLIER = Box(3.80, 43.55, 3.95, 43.66)


def columns(count: int = 3000, rate_hz: float = 50.0, speed_ms: float = 9.0) -> dict[str, Series]:
    """A plausible trip to the north."""
    drawn = np.random.default_rng(0)
    t = 1.7e9 + np.arange(count) / rate_hz
    # Above what a bicycle does, and never the same twice.
    return {
        "t": t,
        "lat": 43.6 + np.arange(count) / rate_hz * speed_ms / 111_100,
        "lon": np.full(count, 3.87),
        "speed_ms": np.full(count, speed_ms),
        "ax": drawn.normal(size=count) * 0.3,
        "ay": drawn.normal(size=count) * 0.3,
        "az": 9.81 + drawn.normal(size=count) * 0.3,
    }


def test_a_plausible_trip_has_no_marks() -> None:
    trip = checking.checked(columns())
    assert trip.marks == frozenset()
    assert trip.is_believed


def test_no_samples_are_no_trip() -> None:
    with pytest.raises(EmptyTripError):
        checking.checked(columns(0))


def test_a_missing_column_is_named() -> None:
    told = columns()
    del told["az"]
    with pytest.raises(TripError, match="az"):
        checking.checked(told)


def test_samples_that_are_no_numbers_are_left_out() -> None:
    told = columns()
    told["ax"][5], told["t"][9], told["az"][11] = np.nan, np.inf, -np.inf
    trip = checking.checked(told)
    assert len(trip.t_s) == 2997
    assert Mark.BAD_SAMPLES in trip.marks
    assert np.isfinite(trip.acceleration).all()


def test_nothing_but_nan_is_no_trip() -> None:
    told = columns()
    told["ax"][:] = np.nan
    with pytest.raises(EmptyTripError):
        checking.checked(told)


@pytest.mark.parametrize("constant", [0.0, 9.81])
def test_a_sensor_that_stands_still_is_marked_and_not_believed(constant: float) -> None:
    told = columns()
    for axis in ("ax", "ay", "az"):
        told[axis][:] = constant
    trip = checking.checked(told)
    assert Mark.STILL in trip.marks
    assert signal.analyse(trip).bumps == ()
    assert not len(signal.analyse(trip).track.t_s)


def test_g_is_told_and_put_right() -> None:
    told = columns()
    for axis in ("ax", "ay", "az"):
        told[axis] /= signal.G_MS2
    trip = checking.checked(told)
    assert Mark.G_UNITS in trip.marks
    assert np.allclose(trip.acceleration, checking.checked(columns()).acceleration)


def test_accelerations_without_gravity_are_refused() -> None:
    told = columns()
    told["az"] -= 9.81
    told["ax"] *= 0.3
    with pytest.raises(TripUnitsError, match="gravity"):
        checking.checked({**told, "ay": told["ay"] * 0.3, "az": told["az"] * 0.3})


def test_unknown_units_are_refused() -> None:
    told = columns()
    for axis in ("ax", "ay", "az"):
        told[axis] *= 1000.0
    with pytest.raises(TripUnitsError):
        checking.checked(told)


def test_milliseconds_are_told_and_put_right() -> None:
    told = columns()
    told["t"] = told["t"] * 1000
    trip = checking.checked(told)
    assert Mark.MILLISECONDS in trip.marks
    assert trip.t_s[0] == pytest.approx(1.7e9)


def test_times_since_the_phone_started_are_refused() -> None:
    told = columns()
    told["t"] -= 1.7e9
    with pytest.raises(TripTimeError, match="1970"):
        checking.checked(told)


def test_more_than_four_hours_are_refused() -> None:
    told = columns()
    told["t"][-1] += 5 * 3600
    with pytest.raises(TripTimeError, match="hours"):
        checking.checked(told)


def test_a_trip_from_the_future_is_refused_and_a_wrong_clock_is_not() -> None:
    with pytest.raises(FutureTripError):
        checking.checked(columns(), now_s=1.7e9 - 3 * 86_400)
    checking.checked(columns(), now_s=1.7e9 - 3600)


def test_samples_out_of_order_and_twice_make_the_same_trip() -> None:
    told = columns()
    order = np.random.default_rng(1).permutation(len(told["t"]))
    order = np.concatenate([order, order[:100]])
    trip = checking.checked({name: values[order] for name, values in told.items()})
    assert {Mark.UNSORTED, Mark.DUPLICATES} <= trip.marks
    straight = checking.checked(columns())
    assert np.array_equal(trip.t_s, straight.t_s)
    assert np.array_equal(trip.acceleration, straight.acceleration)


def test_swapped_coordinates_are_said() -> None:
    told = columns()
    told["lat"], told["lon"] = told["lon"], told["lat"]
    with pytest.raises(TripPlaceError, match="swapped"):
        checking.checked(told, here=MONTPELLIER)
    told["lat"] = told["lat"] - 110.0
    with pytest.raises(TripPlaceError, match="swapped"):
        checking.checked(told)


def test_a_fix_that_jumps_is_left_out() -> None:
    told = columns()
    told["lat"][1000:1100] += 0.5
    trip = checking.checked(told)
    assert Mark.TELEPORT in trip.marks
    assert np.isnan(trip.lat_deg[1000:1100]).all()
    assert np.isfinite(trip.lat_deg[:1000]).all()
    track = signal.analyse(trip).track
    assert track.lat_deg.max() < 43.7


def test_a_plane_is_not_believed() -> None:
    trip = checking.checked(columns(speed_ms=200.0))
    assert Mark.TOO_FAST in trip.marks
    assert signal.analyse(trip).bumps == ()


def test_a_bicycle_is_not_believed() -> None:
    trip = checking.checked(columns(count=40_000, rate_hz=100.0, speed_ms=5.0))
    assert Mark.NOT_A_CAR in trip.marks
    assert not trip.is_believed


def test_a_trip_without_positions_is_not_believed() -> None:
    told = columns()
    told["lat"][:] = np.nan
    assert Mark.NO_POSITIONS in checking.checked(told).marks
    told["lat"][:], told["lon"][:] = 0.0, 0.0
    assert Mark.NO_POSITIONS in checking.checked(told).marks


def test_a_speed_that_is_not_told_is_measured() -> None:
    told = columns()
    del told["speed_ms"]
    trip = checking.checked(told)
    assert Mark.NO_SPEED in trip.marks
    assert np.nanmedian(trip.speed_ms) == pytest.approx(9.0, rel=0.02)


def test_a_gap_is_marked() -> None:
    told = columns()
    told["t"][1500:] += 30.0
    assert Mark.GAPS in checking.checked(told).marks


def test_columns_of_unlike_lengths_are_refused() -> None:
    told = columns()
    told["lat"] = told["lat"][:-1]
    with pytest.raises(TripError, match="length"):
        checking.checked(told)


def test_an_impossible_force_is_cut_off() -> None:
    told = columns()
    told["az"][77] = 1e12
    trip = checking.checked(told)
    assert Mark.BAD_SAMPLES in trip.marks
    assert np.abs(trip.acceleration).max() <= checking.LARGEST_MS2
