"""Streets, phones and data that the tests of sensing share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geo.measures import Point
from sensing import simulation
from sensing.simulation import Kind, Planted
from sensing.traces import Trip

SHARED = Path(__file__).parents[3] / "shared" / "data" / "sensing"

#: 2026-05-04, a Monday, in the morning.
MONDAY_S = 1_777_879_200.0

START = Point(43.6, 3.87)


def shared_file(*parts: str) -> Path:
    """A file of the data that the project is measured with; the test is skipped where it is not."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the evaluation data is not here: {path.name}")
    return path


def northwards(length_m: float = 1000.0) -> list[Point]:
    """A straight street to the north."""
    return [START, Point(START.lat + length_m / 111_100.0, START.lon)]


def holes(*along_m: float) -> list[Planted]:
    """Deep holes at these places."""
    return [Planted(each, Kind.POTHOLE, 1.2) for each in along_m]


def trip_over(
    planted: list[Planted],
    *,
    seed: int = 0,
    route: list[Point] | None = None,
    rate_hz: float = 50.0,
    start_s: float = MONDAY_S,
) -> Trip:
    """One simulated trip, the same for the same seed."""
    drawn = np.random.default_rng(seed)
    return simulation.drive(
        route or northwards(),
        planted,
        car=simulation.random_car(drawn),
        phone=simulation.random_phone(drawn, rate_hz=rate_hz),
        start_s=start_s,
        drawn=drawn,
    )


def along_m(point: Point) -> float:
    """How far north of the start."""
    return (point.lat - START.lat) * 111_100.0
