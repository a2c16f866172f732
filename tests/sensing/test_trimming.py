"""The ends of a trip: how much goes, and that the rim of the hole tells nobody's door."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo import cells
from geo.measures import Point, destination, distance_m
from sensing import trimming
from sensing.traces import Trip
from tests.sensing.phones import drive

HOME = Point(43.61, 3.87)


def way(points: list[tuple[Point, float]], *, rate_hz: float = 5.0) -> Trip:
    """A trip that is at these places at these seconds, in straight lines between."""
    seconds = np.array([at for _, at in points])
    t = np.arange(seconds[0], seconds[-1], 1.0 / rate_hz)
    lat = np.interp(t, seconds, [place.lat for place, _ in points])
    lon = np.interp(t, seconds, [place.lon for place, _ in points])
    north = np.gradient(lat, t) * 111_100.0
    east = np.gradient(lon, t) * 80_500.0
    felt = np.tile([0.1, 0.2, 9.8], (len(t), 1))
    return Trip(1.7e9 + t, lat, lon, np.hypot(north, east), felt)


def near(trip: Trip, place: Point) -> float:
    """How near to a place a trip comes, in metres."""
    known = np.isfinite(trip.lat_deg)
    return min(
        distance_m(Point(lat, lon), place)
        for lat, lon in zip(trip.lat_deg[known], trip.lon_deg[known], strict=True)
    )


@given(
    heading=st.floats(0.0, 360.0),
    speed_ms=st.floats(3.0, 30.0),
    north_m=st.floats(-300.0, 300.0),
)
@settings(max_examples=40, deadline=None)
def test_nothing_within_two_hundred_metres_or_a_minute_of_an_end_is_kept(
    heading: float, speed_ms: float, north_m: float
) -> None:
    start = destination(HOME, 0.0, north_m)
    end = destination(start, heading, 4000.0)
    trip = way([(start, 0.0), (end, 4000.0 / speed_ms)])
    kept = trimming.trimmed(trip)
    if kept is None:
        # Fast: a minute at both ends is most of it.
        assert speed_ms > 20.0
        return
    assert near(kept, start) > 200.0
    assert near(kept, end) > 200.0
    assert kept.t_s[0] == 0.0
    assert kept.t_s[-1] <= trip.t_s[-1] - trip.t_s[0] - 120.0


def test_every_home_of_a_block_leaves_the_same() -> None:
    block = cells.cell_of(HOME, trimming.BLOCK_RESOLUTION)
    middle = cells.centre_of(block)
    far = destination(middle, 80.0, 3000.0)
    kept = set()
    for heading in range(0, 360, 60):
        home = destination(middle, float(heading), 55.0)
        assert cells.cell_of(home, trimming.BLOCK_RESOLUTION) == block
        # From the door to the same street, and away.
        corner = destination(middle, 80.0, 150.0)
        trip = way([(home, 0.0), (corner, 120.0), (far, 600.0), (far, 601.0)])
        left = trimming.trimmed(trip)
        assert left is not None
        kept.add((round(left.lat_deg[0], 9), round(left.lon_deg[0], 9)))
    assert len(kept) == 1


def test_whoever_comes_past_home_in_between_is_hidden_there_too() -> None:
    away = destination(HOME, 90.0, 2000.0)
    beyond = destination(HOME, 270.0, 2500.0)
    trip = way([(HOME, 0.0), (away, 200.0), (HOME, 400.0), (beyond, 650.0)])
    kept = trimming.trimmed(trip)
    assert kept is not None
    assert near(kept, HOME) > 200.0


@pytest.mark.parametrize("stays", [True, False])
def test_a_stay_in_the_middle_is_an_end_and_a_red_light_is_none(stays: bool) -> None:
    friend = destination(HOME, 90.0, 2500.0)
    beyond = destination(HOME, 90.0, 5000.0)
    wait_s = 400.0 if stays else 60.0
    trip = way([(HOME, 0.0), (friend, 250.0), (friend, 250.0 + wait_s), (beyond, 500.0 + wait_s)])
    kept = trimming.trimmed(trip)
    assert kept is not None
    assert (near(kept, friend) > 200.0) is stays


def test_a_pause_of_the_recording_is_an_end() -> None:
    there, beyond = destination(HOME, 90.0, 2500.0), destination(HOME, 90.0, 5000.0)
    trip = way([(HOME, 0.0), (there, 250.0), (there, 1250.0), (beyond, 1500.0)])
    gone = (trip.t_s > trip.t_s[0] + 252.0) & (trip.t_s < trip.t_s[0] + 1248.0)
    left = replace(
        trip,
        t_s=trip.t_s[~gone],
        lat_deg=trip.lat_deg[~gone],
        lon_deg=trip.lon_deg[~gone],
        speed_ms=np.full(int((~gone).sum()), np.nan),
        acceleration=trip.acceleration[~gone],
    )
    kept = trimming.trimmed(left)
    assert kept is not None
    assert near(kept, there) > 200.0


def test_before_the_first_and_after_the_last_fix_nothing_is_kept() -> None:
    trip = way([(HOME, 0.0), (destination(HOME, 30.0, 6000.0), 600.0)])
    lat, lon = trip.lat_deg.copy(), trip.lon_deg.copy()
    late = trip.t_s < trip.t_s[0] + 100.0
    lat[late], lon[late] = np.nan, np.nan
    kept = trimming.trimmed(replace(trip, lat_deg=lat, lon_deg=lon))
    whole = trimming.trimmed(trip)
    assert kept is not None
    assert whole is not None
    assert len(kept.t_s) < len(whole.t_s)


@pytest.mark.parametrize("length_m", [0.0, 300.0, 700.0])
def test_a_short_trip_is_nothing(length_m: float) -> None:
    end = destination(HOME, 45.0, length_m)
    assert trimming.trimmed(way([(HOME, 0.0), (end, 100.0)])) is None


def test_positions_that_nobody_knows_are_nothing() -> None:
    trip = drive()
    unknown = np.full(len(trip.t_s), np.nan)
    assert trimming.trimmed(replace(trip, lat_deg=unknown, lon_deg=unknown)) is None
