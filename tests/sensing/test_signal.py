"""The signal: a bump is found where it is, however the phone lies and whenever it was driven."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensing import signal, simulation
from sensing.traces import Detector, Mark, Trip
from tests.sensing.roads import along_m, holes, trip_over

HOLES_M = (200.0, 400.0, 640.0, 800.0)


def turned(trip: Trip, seed: int) -> Trip:
    axes = simulation.random_axes(np.random.default_rng(seed))
    return dataclasses.replace(trip, acceleration=trip.acceleration @ axes.T)


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 200.0])
def test_most_passes_over_a_deep_hole_are_felt_and_little_else_is(rate_hz: float) -> None:
    felt = elsewhere = 0
    for seed in range(8):
        found = signal.analyse(trip_over(holes(*HOLES_M), seed=seed, rate_hz=rate_hz))
        bumps = [bump for bump in found.bumps if Detector.LEARNED in bump.detectors]
        places = [along_m(bump.point) for bump in bumps]
        felt += sum(any(abs(place - hole) < 25 for place in places) for hole in HOLES_M)
        elsewhere += sum(all(abs(place - hole) >= 25 for hole in HOLES_M) for place in places)
    # A wheel meets a hole on about two passes of three.
    assert felt >= 8 * 4 * 0.45
    assert elsewhere <= 4


@given(seed=st.integers(0, 2**32 - 1), rate_hz=st.sampled_from([5.0, 50.0, 100.0]))
@settings(max_examples=15, deadline=None)
def test_the_rotation_of_the_phone_changes_nothing(seed: int, rate_hz: float) -> None:
    trip = trip_over(holes(*HOLES_M), seed=3, rate_hz=rate_hz)
    straight, other = signal.analyse(trip), signal.analyse(turned(trip, seed))
    assert [bump.t_s for bump in straight.bumps] == [bump.t_s for bump in other.bumps]
    for one, two in zip(straight.bumps, other.bumps, strict=True):
        assert one.detectors == two.detectors
        assert one.peak_ms2 == pytest.approx(two.peak_ms2, abs=1e-6)
        assert one.confidence == pytest.approx(two.confidence, abs=1e-4)
        assert one.severity == pytest.approx(two.severity, abs=1e-6)


@given(
    shift_s=st.floats(-3e7, 3e7).map(lambda value: round(value * 1024) / 1024),
    rate_hz=st.sampled_from([5.0, 50.0]),
)
@settings(max_examples=15, deadline=None)
def test_a_shift_of_time_changes_nothing_but_the_time(shift_s: float, rate_hz: float) -> None:
    trip = trip_over(holes(*HOLES_M), seed=4, rate_hz=rate_hz)
    # Times on a grid that floating point holds exactly, then and now.
    trip = dataclasses.replace(trip, t_s=np.round(trip.t_s * 1024) / 1024)
    later = dataclasses.replace(trip, t_s=trip.t_s + shift_s)
    straight, other = signal.analyse(trip), signal.analyse(later)
    assert len(straight.bumps) == len(other.bumps)
    for one, two in zip(straight.bumps, other.bumps, strict=True):
        assert two.t_s - one.t_s == pytest.approx(shift_s, abs=1e-3)
        assert one.detectors == two.detectors
        assert one.peak_ms2 == pytest.approx(two.peak_ms2, rel=1e-6)
        assert one.severity == pytest.approx(two.severity, rel=1e-6)


def test_a_phone_that_is_taken_in_the_hand_is_not_believed() -> None:
    trip = trip_over(holes(*HOLES_M), seed=1)
    middle = len(trip.t_s) // 2
    acceleration = trip.acceleration.copy()
    quarter = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    acceleration[middle:] = acceleration[middle:] @ quarter.T
    acceleration[middle - 5 : middle + 5] += 15.0
    handled = signal.analyse(dataclasses.replace(trip, acceleration=acceleration))
    assert handled.handled_s > 2.0
    turned_at = trip.t_s[middle]
    assert all(abs(bump.t_s - turned_at) > 1.0 for bump in handled.bumps)


def test_a_phone_that_falls_is_not_a_bump() -> None:
    trip = trip_over([], seed=1)
    middle = len(trip.t_s) // 2
    acceleration = trip.acceleration.copy()
    acceleration[middle : middle + 15] = 0.1
    acceleration[middle + 15 : middle + 18] = 40.0
    fallen = signal.analyse(dataclasses.replace(trip, acceleration=acceleration))
    assert all(abs(bump.t_s - trip.t_s[middle]) > 1.0 for bump in fallen.bumps)


def test_a_slammed_door_of_a_standing_car_is_not_a_bump() -> None:
    trip = trip_over([], seed=1)
    speed = trip.speed_ms.copy()
    middle = len(speed) // 2
    speed[middle - 200 : middle + 200] = 0.0
    acceleration = trip.acceleration.copy()
    acceleration[middle : middle + 4] += 12.0
    slammed = signal.analyse(dataclasses.replace(trip, speed_ms=speed, acceleration=acceleration))
    assert all(abs(bump.t_s - trip.t_s[middle]) > 2.0 for bump in slammed.bumps)


def test_braking_and_turning_are_not_bumps() -> None:
    trip = trip_over([], seed=2)
    t = trip.t_s - trip.t_s[0]
    up = trip.acceleration.mean(axis=0)
    level = np.cross(up / np.linalg.norm(up), [0.3, 0.5, 0.8])
    push = 4.0 * np.clip(1.5 - np.abs(t - 60.0) / 2.0, 0.0, 1.0)
    braked = dataclasses.replace(trip, acceleration=trip.acceleration + push[:, None] * level)
    found = [bump for bump in signal.analyse(braked).bumps if abs(bump.t_s - trip.t_s[0] - 60) < 5]
    assert not any(Detector.LEARNED in bump.detectors for bump in found)


def test_what_lies_in_a_gap_is_not_known() -> None:
    trip = trip_over(holes(*HOLES_M), seed=0)
    t = trip.t_s - trip.t_s[0]
    kept = (t < 40.0) | (t > 60.0)
    cut = Trip(
        *(
            getattr(trip, name)[kept]
            for name in ("t_s", "lat_deg", "lon_deg", "speed_ms", "acceleration")
        )
    )
    found = signal.analyse(cut)
    since = np.array([bump.t_s for bump in found.bumps]) - trip.t_s[0]
    assert not ((since > 40.0) & (since < 60.0)).any()
    passed = found.track.t_s - trip.t_s[0]
    assert not ((passed > 41.0) & (passed < 59.0)).any()


def test_a_low_rate_is_said_and_no_form_is_made_up() -> None:
    found = signal.analyse(trip_over(holes(*HOLES_M), rate_hz=5.0))
    assert found.is_low_rate
    assert Mark.LOW_RATE in found.marks
    assert found.bumps
    assert all(bump.width_m is None and bump.symmetry is None for bump in found.bumps)


def test_fewer_samples_a_second_are_trusted_less() -> None:
    slow = signal.analyse(trip_over(holes(*HOLES_M), rate_hz=2.0))
    for bump in slow.bumps:
        assert bump.confidence <= 0.4


def test_holes_and_humps_have_the_form_that_they_have() -> None:
    hump = [simulation.Planted(400.0, simulation.Kind.SPEED_HUMP, 1.2)]
    for planted, sign in ((holes(400.0), -1), (hump, 1)):
        symmetry = [
            bump.symmetry
            for seed in range(10)
            for bump in signal.analyse(trip_over(planted, seed=seed)).bumps
            if bump.symmetry is not None and abs(along_m(bump.point) - 400) < 25
        ]
        assert np.sign(np.median(symmetry)) == sign


@pytest.mark.parametrize("count", [0, 1, 30, 60])
@pytest.mark.parametrize("rate_hz", [1.0, 5.0, 50.0, 200.0])
def test_short_trips_are_analysed_without_complaint(count: int, rate_hz: float) -> None:
    drawn = np.random.default_rng(0)
    t = 1.7e9 + np.arange(count) / rate_hz
    trip = Trip(
        t,
        np.asarray(43.6 + np.arange(count) * 1e-5, dtype=np.float64),
        np.full(count, 3.87, dtype=np.float64),
        np.full(count, 8.0, dtype=np.float64),
        drawn.normal(size=(count, 3)) + np.array([0.0, 0.0, 9.8]),
    )
    assert signal.analyse(trip).rate_hz >= 0.0


@pytest.mark.parametrize("told", [-1.0, np.inf, np.nan])
def test_a_bearing_that_is_none_changes_nothing(told: float) -> None:
    # A car that creeps: over three seconds its way is too short to tell the direction.
    trip = trip_over(holes(*HOLES_M), seed=1)
    crept = dataclasses.replace(
        trip,
        lat_deg=trip.lat_deg[0] + (trip.lat_deg - trip.lat_deg[0]) / 30.0,
        lon_deg=trip.lon_deg[0] + (trip.lon_deg - trip.lon_deg[0]) / 30.0,
    )
    bearing = np.full(len(trip.t_s), told)
    for each in (trip, crept):
        plain, said = (
            signal.analyse(dataclasses.replace(each, bearing_deg=given))
            for given in (None, bearing)
        )
        assert plain.bumps == said.bumps
        assert np.array_equal(plain.track.heading_deg, said.track.heading_deg, equal_nan=True)
