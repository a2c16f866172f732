"""Fusion: hits and passes add up in any order, and what they make us believe can be followed."""

from __future__ import annotations

import functools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo.cells import cell_of, centre_of, parent_of
from geo.measures import Point, distance_m
from sensing import clustering, grid, sighting, tallies
from sensing.arrays import Series
from sensing.signal import analyse
from sensing.tallies import Evidence, Rows
from sensing.traces import Analysis, Track
from tests.sensing.roads import MONDAY_S, along_m, holes, northwards, trip_over

TODAY = grid.day_of(MONDAY_S)


@functools.cache
def sightings(seed: int, *, felt: bool = True, day: int = TODAY, southwards: bool = False) -> Rows:
    route = northwards(700.0)
    if southwards:
        route = route[::-1]
    planted = holes(300.0) if felt else []
    return sighting.sightings(analyse(trip_over(planted, seed=seed, route=route)), day=day)


@given(order=st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_trips_may_arrive_in_any_order(order: list[int]) -> None:
    straight, shuffled = Evidence(), Evidence()
    for seed in range(6):
        straight.add(sightings(seed))
    for seed in order:
        shuffled.add(sightings(seed))
    assert np.array_equal(straight.all(), shuffled.all())
    assert clustering.defects(straight.all(), today=TODAY) == clustering.defects(
        shuffled.all(), today=TODAY
    )


def test_fusing_trip_by_trip_finds_what_fusing_all_at_once_does() -> None:
    evidence = Evidence()
    latest: list[clustering.Defect] = []
    for seed in range(8):
        latest = clustering.fuse(evidence, sightings(seed), today=TODAY)
    assert latest
    assert latest == clustering.defects(evidence.all(), today=TODAY)


def test_a_hole_is_found_where_it_is() -> None:
    rows = tallies.added([sightings(seed) for seed in range(12)])
    (found,) = clustering.defects(rows, today=TODAY)
    assert abs(along_m(found.point) - 300.0) < 10.0
    assert found.error_m < 6.0
    assert found.belief > 0.95
    assert 9 <= found.passes <= 12
    assert 4 <= found.hits <= found.passes


def test_a_trip_counts_once_in_a_row_and_names_nobody() -> None:
    rows = sightings(0)
    keys = {(int(row["cell"]), int(row["octant"]), int(row["day"])) for row in rows}
    assert len(keys) == len(rows)
    assert set(rows["passes"].tolist()) == {1}
    assert set(tallies.ROW.names or ()) == {*tallies.KEY, *tallies.SUMS}


def test_passes_that_feel_nothing_are_evidence_against() -> None:
    felt = [sightings(seed) for seed in range(6)]
    believed = [
        clustering.defects(
            tallies.added([*felt, *(sightings(seed, felt=False) for seed in range(50, 50 + n))]),
            today=TODAY,
            believed=1e-6,
        )[0].belief
        for n in (0, 2, 4, 8)
    ]
    assert believed == sorted(believed, reverse=True)
    assert believed[-1] < 0.5


def test_a_new_defect_knows_the_passes_before_it() -> None:
    before = [sightings(seed, felt=False, day=TODAY - 5) for seed in range(50, 54)]
    after = [sightings(seed) for seed in range(12)]
    (found,) = clustering.defects(tallies.added([*before, *after]), today=TODAY)
    assert found.passes >= 12
    assert found.passes > found.hits


def test_both_directions_of_a_street_are_kept_apart() -> None:
    north = [sightings(seed) for seed in range(12)]
    south = [sightings(seed, felt=False, southwards=True) for seed in range(60, 66)]
    (found,) = clustering.defects(tallies.added([*north, *south]), today=TODAY)
    assert found.passes <= 12
    turned = (found.heading_deg + 180.0) % 360.0 - 180.0
    assert abs(turned) < 46.0


def test_a_repair_takes_the_evidence_before_it_away() -> None:
    worn = [sightings(seed, day=TODAY - 10) for seed in range(8)]
    (before,) = clustering.defects(tallies.added(worn), today=TODAY)
    repaired = {(before.cell, before.octant): TODAY - 5}
    assert not clustering.defects(tallies.added(worn), today=TODAY, repaired=repaired)
    silent = [sightings(seed, felt=False) for seed in range(50, 53)]
    assert not clustering.defects(tallies.added([*worn, *silent]), today=TODAY, repaired=repaired)
    again = [sightings(seed) for seed in range(8, 14)]
    assert clustering.defects(tallies.added([*worn, *again]), today=TODAY, repaired=repaired)


def test_a_repair_is_the_same_before_and_after_the_trips() -> None:
    worn = [sightings(seed, day=TODAY - 10) for seed in range(8)]
    fresh = [sightings(seed) for seed in range(8, 16)]
    (before,) = clustering.defects(tallies.added(worn), today=TODAY)
    early, late = Evidence(), Evidence()
    early.repair(before.cell, before.octant, TODAY - 5)
    for rows in [*worn, *fresh]:
        early.add(rows)
    for rows in [*fresh, *worn]:
        late.add(rows)
    late.repair(before.cell, before.octant, TODAY - 5)
    cells = np.unique(worn[0]["cell"])
    assert np.array_equal(early.near(cells), late.near(cells))
    (after,) = clustering.defects_on(cells, late.near(cells), TODAY)
    assert after.first_day == TODAY


def test_totals_of_parts_add_up_to_the_totals_of_all() -> None:
    parts = [sightings(seed, day=TODAY - seed * 40) for seed in range(5)]
    whole = tallies.totals(tallies.added(parts))
    assert np.array_equal(whole, tallies.summed([tallies.totals(part) for part in parts]))


def test_evidence_fades_with_age() -> None:
    rows = tallies.added([sightings(seed) for seed in range(5)])
    fresh = clustering.defects(rows, today=TODAY, believed=0.01)[0].belief
    old = clustering.defects(rows, today=TODAY + 600, believed=0.01)[0].belief
    assert old < fresh


@pytest.mark.parametrize("years", [8, 15, 30])
def test_old_recordings_are_worth_as_much_as_todays(years: int) -> None:
    day = TODAY - 365 * years

    def belief(day: int) -> float:
        rows = tallies.added([sightings(seed, day=day) for seed in range(6, 9)])
        (found,) = clustering.defects(rows, today=day)
        return found.belief

    assert belief(day) == pytest.approx(belief(TODAY), abs=0.001)


def test_a_single_trip_makes_no_defect() -> None:
    assert clustering.defects(sightings(1), today=TODAY, believed=0.01) == []


def test_packets_are_the_ancestors_that_geo_knows() -> None:
    drawn = random.Random(0)
    for _ in range(50):
        point = Point(drawn.uniform(-80, 80), drawn.uniform(-179, 179))
        cell = cell_of(point, grid.RESOLUTION)
        (packet,) = grid.packets_of(np.array([cell]))
        assert packet == parent_of(cell, grid.PACKET_RESOLUTION)


def test_a_street_on_the_antimeridian_is_one_street() -> None:
    count = 600
    t = MONDAY_S + np.arange(count) / 5.0
    lon: Series = 179.995 + np.arange(float(count)) * 0.2 * 8.0 / 111_320.0
    lon = (lon + 180.0) % 360.0 - 180.0
    rows = sighting.sightings(
        Analysis(
            (),
            Track(t, np.zeros(count), lon, np.full(count, 90.0), np.full(count, 4.0)),
            5.0,
            is_low_rate=True,
            handled_s=0.0,
            marks=frozenset(),
        )
    )
    assert len(rows) > 50


def test_bumps_of_a_cell_on_the_antimeridian_may_lie_beyond_it() -> None:
    cell = cell_of(Point(-16.8, 179.99995), grid.RESOLUTION)
    rows = np.zeros(1, dtype=tallies.ROW)
    rows["cell"], rows["octant"], rows["day"] = cell, 2, TODAY
    rows["passes"] = rows["strong"] = 6
    weight = 6 * tallies.WEIGHT_UNIT
    rows["weight"], rows["east"], rows["square"] = weight, weight * 2_000, weight * 2_000**2
    (found,) = clustering.defects(rows, today=TODAY)
    middle = centre_of(cell)
    assert middle.lon > 0 > found.point.lon
    assert distance_m(middle, found.point) == pytest.approx(20.0, abs=0.1)


def test_silence_that_is_needed_to_call_it_fixed_is_counted() -> None:
    assert clustering.silence_needed(0.05) == 0
    assert clustering.silence_needed(0.9) >= 3
    assert clustering.silence_needed(0.99) > clustering.silence_needed(0.9)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_defect_lies_near_the_cell_it_is_called_by(seed: int) -> None:
    from geo.cells import centre_of

    rows = tallies.added([sightings(each) for each in range(seed, seed + 6)])
    for found in clustering.defects(rows, today=TODAY):
        assert distance_m(found.point, centre_of(found.cell)) < grid.REACH_M + 5.0
