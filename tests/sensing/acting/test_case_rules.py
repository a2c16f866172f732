"""The table of cases, and when the trips since a repair have said enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.vocabulary import Status
from sensing.acting.models import _LIVE
from sensing.acting.rules import (
    CONFIRMED_BELOW,
    FEWEST_PASSES,
    LIVE,
    MOVES,
    Since,
    belief_since,
    fact_of,
    is_same_place,
    is_worth_saying,
    next_state,
    silence_needed,
    verified,
)
from sensing.acting.vocabulary import CaseState, Fact
from sensing.policy import RoadPolicy

OPEN, REPAIRED, CONFIRMED, DISMISSED = CaseState


@pytest.mark.parametrize(
    ("state", "fact", "after"),
    [
        (OPEN, Fact.RESOLVED, REPAIRED),
        (OPEN, Fact.REJECTED, DISMISSED),
        (OPEN, Fact.REOPENED, None),
        (OPEN, Fact.SILENT, None),
        (REPAIRED, Fact.RESOLVED, None),
        (REPAIRED, Fact.REOPENED, OPEN),
        (REPAIRED, Fact.FELT_AGAIN, OPEN),
        (REPAIRED, Fact.SILENT, CONFIRMED),
        (CONFIRMED, Fact.FELT_AGAIN, None),
        (CONFIRMED, Fact.REOPENED, OPEN),
        (DISMISSED, Fact.RESOLVED, None),
        (DISMISSED, Fact.REOPENED, OPEN),
    ],
)
def test_a_case_moves_as_the_table_says(
    state: CaseState, fact: Fact, after: CaseState | None
) -> None:
    assert next_state(state, fact) is after


def test_every_state_has_its_row_and_the_index_holds_the_live_ones() -> None:
    assert set(MOVES) == set(CaseState)
    assert all(f"'{state}'" in _LIVE for state in LIVE)
    assert all(f"'{state}'" not in _LIVE for state in set(CaseState) - set(LIVE))


@pytest.mark.parametrize(
    ("status", "was_repaired", "fact"),
    [
        (Status.RESOLVED, True, Fact.RESOLVED),
        (Status.CLOSED, True, Fact.RESOLVED),
        (Status.CLOSED, False, Fact.REJECTED),
        (Status.REJECTED, False, Fact.REJECTED),
        (Status.REOPENED, False, Fact.REOPENED),
        (Status.IN_PROGRESS, False, Fact.REOPENED),
        (Status.DUPLICATE, False, None),
    ],
)
def test_what_the_status_of_a_request_says(
    status: Status, was_repaired: bool, fact: Fact | None
) -> None:
    assert fact_of(status, was_repaired=was_repaired) is fact


@pytest.mark.parametrize(
    ("since", "said"),
    [
        (Since(), None),
        (Since(passes=4, days=4), None),
        (Since(passes=40, days=1), None),
        (Since(passes=5, days=2), Fact.SILENT),
        (Since(passes=5, weak=1, days=2), Fact.SILENT),
        (Since(passes=5, strong=1, days=2), None),
        (Since(passes=8, strong=1, days=3), Fact.SILENT),
        (Since(passes=5, strong=2, days=2), None),
        (Since(passes=5, strong=3, days=2), Fact.FELT_AGAIN),
        (Since(passes=4, strong=4, days=4), None),
        (Since(passes=9, strong=5, weak=1, days=5), Fact.FELT_AGAIN),
    ],
)
def test_when_a_repair_holds(since: Since, said: Fact | None) -> None:
    assert verified(since, believed_from=0.9) is said


def test_silence_is_as_long_as_the_rates_ask() -> None:
    needed = silence_needed()
    assert needed >= FEWEST_PASSES
    assert belief_since(Since(passes=needed)) <= CONFIRMED_BELOW


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_feeling_more_never_makes_a_repair_better(silent: int, weak: int, strong: int) -> None:
    since = Since(silent + weak + strong, weak, strong, days=9)
    felt = Since(silent + weak + strong + 1, weak, strong + 1, days=9)
    quiet = Since(silent + weak + strong + 1, weak, strong, days=9)
    assert belief_since(quiet) <= belief_since(since) <= belief_since(felt)


@pytest.mark.parametrize(
    ("away_m", "octants", "same"),
    [(0, (0, 0), True), (20, (0, 2), True), (5, (7, 1), True), (21, (0, 0), False),
     (5, (0, 4), False), (5, (1, 6), False)],
)  # fmt: skip
def test_what_is_one_place_to_those_who_mend_it(
    away_m: float, octants: tuple[int, int], same: bool
) -> None:
    assert is_same_place(away_m, *octants) is same


def test_the_team_hears_again_when_twice_as_many_felt_it() -> None:
    assert next(hits for hits in range(3, 25) if is_worth_saying(hits, 5)) == 10


def test_a_policy_is_read_as_the_city_says_and_none_is_none() -> None:
    assert RoadPolicy.of({}) is None
    policy = RoadPolicy.of({"road_defects": {"service": "x", "trips": 5}})
    assert policy is not None
    assert policy.is_enough(belief=0.9, severity=2.0, hits=5)
    assert not policy.is_enough(belief=0.9, severity=2.0, hits=4)
    assert (policy.witnesses(4), policy.witnesses(14)) == (0, 2)
