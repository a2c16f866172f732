"""The simulation end to end in memory, and what a place is taken for: no street, a simulation."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from sensing import classifying, clustering, grid, sighting, simulation, tallies
from sensing.classifying import Nearby
from sensing.clustering import Defect
from sensing.signal import analyse
from sensing.simulation import ACTIONABLE, Kind, Planted
from sensing.traces import Trip
from sensing.vocabulary import KnownAs, Verdict
from tests.sensing.roads import MONDAY_S, along_m, northwards

LENGTH_M = 2500.0
TODAY = grid.day_of(MONDAY_S)


@functools.cache
def driven(seed: int, passes: int = 24) -> tuple[tuple[Planted, ...], tuple[Defect, ...]]:
    """A street with things in it, and what many phones make of it."""
    drawn = np.random.default_rng(seed)
    kinds = [Kind.POTHOLE, Kind.SPEED_HUMP, Kind.SUNKEN_CASTING, Kind.JOINT, Kind.MANHOLE]
    planted = tuple(
        Planted(150.0 + 120.0 * place, kinds[place % 5], float(drawn.uniform(0.9, 1.4)))
        for place in range(18)
    )
    parts = []
    for each in range(passes):
        trip = simulation.drive(
            northwards(LENGTH_M),
            planted,
            car=simulation.random_car(drawn),
            phone=simulation.random_phone(drawn),
            start_s=MONDAY_S + 600 * each,
            drawn=drawn,
        )
        parts.append(sighting.sightings(analyse(trip), day=TODAY))
    return planted, tuple(clustering.defects(tallies.added(parts), today=TODAY))


def what_lies_at(planted: tuple[Planted, ...], defect: Defect) -> Kind | None:
    near = [each for each in planted if abs(each.along_m - along_m(defect.point)) < 20.0]
    return near[0].kind if near else None


def test_what_should_be_mended_is_found_and_nothing_is_made_up() -> None:
    planted, defects = driven(100)
    wanted = [each for each in planted if each.kind in ACTIONABLE]
    found = {what_lies_at(planted, defect) for defect in defects}
    hit = sum(
        any(abs(along_m(defect.point) - each.along_m) < 20.0 for defect in defects)
        for each in wanted
    )
    assert hit >= 0.8 * len(wanted)
    assert None not in found
    assert Kind.JOINT not in found


def test_holes_are_told_from_humps() -> None:
    right = wrong = 0
    for seed in (100, 101):
        planted, defects = driven(seed)
        for defect in defects:
            kind = what_lies_at(planted, defect)
            verdict = classifying.judge(defect).verdict
            if kind is None or verdict is Verdict.UNKNOWN:
                continue
            is_right = (verdict is Verdict.ACTIONABLE) == (kind in ACTIONABLE)
            right, wrong = right + is_right, wrong + (not is_right)
    assert right >= 0.85 * (right + wrong)
    assert right >= 12


def test_a_repaired_hole_goes_silent() -> None:
    drawn = np.random.default_rng(5)
    mended_s = MONDAY_S + 86_400
    planted = [Planted(400.0, Kind.POTHOLE, 1.3, until_s=mended_s)]
    evidence = tallies.Evidence()

    def pass_by(start_s: float) -> list[Defect]:
        trip = simulation.drive(
            northwards(700.0),
            planted,
            car=simulation.random_car(drawn),
            phone=simulation.random_phone(drawn),
            start_s=start_s,
            drawn=drawn,
        )
        return clustering.fuse(evidence, sighting.sightings(analyse(trip)), today=TODAY)

    found: list[Defect] = []
    for each in range(14):
        found = pass_by(MONDAY_S + 600 * each)
    assert found
    silent = 0
    while found and silent < 60:
        found = pass_by(mended_s + 600 * silent + 600)
        silent += 1
    assert 0 < silent <= 40


def test_the_same_seed_gives_the_same_trip() -> None:
    def trip() -> Trip:
        drawn = np.random.default_rng(7)
        return simulation.drive(
            northwards(300.0),
            [],
            car=simulation.random_car(drawn),
            phone=simulation.random_phone(drawn),
            start_s=MONDAY_S,
            drawn=drawn,
        )

    assert np.array_equal(trip().acceleration, trip().acceleration)


def test_a_trip_is_written_as_phones_send_it() -> None:
    drawn = np.random.default_rng(7)
    trip = simulation.drive(
        northwards(100.0),
        [],
        car=simulation.random_car(drawn),
        phone=simulation.random_phone(drawn),
        start_s=MONDAY_S,
        drawn=drawn,
    )
    lines = simulation.csv_of(trip).decode().splitlines()
    assert lines[0] == "t,lat,lon,speed_ms,ax,ay,az"
    assert len(lines) == len(trip.t_s) + 1
    assert len(lines[1].split(",")) == 7


def test_a_route_of_no_length_is_refused() -> None:
    drawn = np.random.default_rng(0)
    with pytest.raises(ValueError, match="20 m"):
        simulation.drive(
            northwards(5.0),
            [],
            car=simulation.Car(),
            phone=simulation.random_phone(drawn),
            start_s=MONDAY_S,
            drawn=drawn,
        )


HOLE = Defect(
    cell=0,
    octant=0,
    point=northwards()[0],
    error_m=2.0,
    heading_deg=0.0,
    belief=0.95,
    severity=6.0,
    hits=6,
    passes=10,
    first_day=TODAY - 3,
    last_day=TODAY,
    width_m=3.7,
    symmetry=-0.75,
)


def test_a_hole_is_to_be_mended_and_says_why() -> None:
    judgement = classifying.judge(HOLE)
    assert judgement.verdict is Verdict.ACTIONABLE
    assert judgement.reasons[0][0] in {"symmetry", "width"}


def test_a_hump_is_not() -> None:
    hump = dataclasses.replace(HOLE, width_m=6.6, symmetry=0.7, hits=10)
    assert classifying.judge(hump).verdict is Verdict.HARMLESS


def test_the_register_subtracts_what_it_knows() -> None:
    known = dataclasses.replace(HOLE, width_m=None, symmetry=None, hits=9)
    hump = [Nearby(KnownAs.SPEED_HUMP, 4.0)]
    assert classifying.judge(known, hump).verdict is Verdict.HARMLESS
    far = [Nearby(KnownAs.SPEED_HUMP, 40.0)]
    assert classifying.judge(known, far) == classifying.judge(known)


def test_without_form_or_passes_nothing_is_claimed() -> None:
    unknown = dataclasses.replace(HOLE, width_m=None, symmetry=None, hits=2, passes=3)
    assert classifying.judge(unknown).verdict is Verdict.UNKNOWN


def test_what_stays_the_same_for_a_winter_was_built_so() -> None:
    built = dataclasses.replace(HOLE, hits=9, first_day=TODAY - 300)
    fresh = dataclasses.replace(HOLE, hits=9)
    assert classifying.judge(built).probability < classifying.judge(fresh).probability
