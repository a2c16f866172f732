"""Who may adopt, and what falls due when: tables, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.adoption.rules import (
    Due,
    Present,
    Taken,
    free_slot,
    next_step,
    refusal,
    reminders_before,
    take_step,
)
from assets.adoption.vocabulary import Refusal, Step
from assets.rules import AdoptionRules
from assets.vocabulary import AssetState

UNTIL = datetime(2027, 3, 1, tzinfo=UTC)
RULES = AdoptionRules()


def present(**values: object) -> Present:
    return Present(
        **{  # type: ignore[arg-type]
            "state": AssetState.IN_SERVICE,
            "is_adoptable": True,
            "slots": (),
            "offered": 0,
            "is_mine": False,
            "held": 0,
            **values,
        }
    )


@pytest.mark.parametrize(
    ("values", "capacity", "refused"),
    [
        ({}, 1, None),
        ({"state": AssetState.OUT_OF_ORDER}, 1, None),
        ({"state": AssetState.REMOVED}, 1, Refusal.NOT_THERE),
        ({"state": AssetState.MOVED}, 1, Refusal.NOT_THERE),
        ({"is_adoptable": False}, 1, Refusal.NOT_ADOPTABLE),
        ({"is_adoptable": False, "state": AssetState.REMOVED}, 1, Refusal.NOT_ADOPTABLE),
        ({"slots": {1}}, 1, Refusal.ADOPTED),
        ({"slots": {1}, "is_mine": True}, 1, Refusal.YOURS_ALREADY),
        ({"slots": {1}}, 2, None),
        ({"slots": {1}, "offered": 1}, 2, Refusal.ADOPTED),
        ({"offered": 1}, 1, Refusal.ADOPTED),
        ({"held": 4}, 1, None),
        ({"held": 5}, 1, Refusal.LIMIT_REACHED),
        ({"held": 5, "slots": {1}}, 1, Refusal.ADOPTED),
    ],
)
def test_who_may_adopt(values: dict[str, object], capacity: int, refused: Refusal | None) -> None:
    assert refusal(present(**values), AdoptionRules(capacity=capacity)) is refused


@given(st.sets(st.integers(1, 20)))
def test_the_free_slot_is_the_lowest_that_nobody_has(taken: set[int]) -> None:
    slot = free_slot(taken)
    assert slot not in taken
    assert set(range(1, slot)) <= taken


def days(count: float) -> datetime:
    return UNTIL + timedelta(days=count)


@pytest.mark.parametrize(
    ("reminded", "nudged", "nudged_at", "due"),
    [
        (0, 0, None, Due(Step.REMIND, days(-30))),
        (1, 0, None, Due(Step.REMIND, days(-7))),
        (2, 0, None, Due(Step.NUDGE, UNTIL)),
        (2, 1, days(0), Due(Step.NUDGE, days(7))),
        (2, 2, days(9), Due(Step.NUDGE, days(16))),
        (2, 3, days(14), Due(Step.LAPSE, days(21))),
    ],
)
def test_reminders_come_before_the_term_nudges_after_it_then_the_lapse(
    reminded: int, nudged: int, nudged_at: datetime | None, due: Due
) -> None:
    found = next_step(UNTIL, RULES, reminded=reminded, nudged=nudged, nudged_at=nudged_at)
    assert found == due


def test_without_nudges_an_adoption_lapses_with_its_term() -> None:
    rules = AdoptionRules(nudges=0, reminder_days=())
    assert next_step(UNTIL, rules, reminded=0, nudged=0) == Due(Step.LAPSE, UNTIL)


@pytest.mark.parametrize(
    ("now", "taken"),
    [
        (days(-31), None),
        (days(-30), Taken(Step.REMIND, 1, 0)),
        # The clock stood still: of two late reminders the last goes out.
        (days(-3), Taken(Step.REMIND, 2, 0)),
        (days(40), Taken(Step.NUDGE, 2, 1)),
    ],
)
def test_what_is_taken_now(now: datetime, taken: Taken | None) -> None:
    found = take_step(UNTIL, RULES, reminded=0, nudged=0, nudged_at=None, now=now)
    assert found == taken


def test_a_clock_that_stood_still_takes_nobodys_time_to_answer() -> None:
    late = days(100)
    first = take_step(UNTIL, RULES, reminded=2, nudged=0, nudged_at=None, now=late)
    assert first == Taken(Step.NUDGE, 2, 1)
    again = take_step(UNTIL, RULES, reminded=2, nudged=1, nudged_at=late, now=late)
    assert again is None
    last = take_step(
        UNTIL, RULES, reminded=2, nudged=3, nudged_at=late, now=late + timedelta(days=7)
    )
    assert last == Taken(Step.LAPSE, 2, 3)


def test_reminders_that_a_short_term_has_no_room_for_are_left_out() -> None:
    assert reminders_before(AdoptionRules(term_days=10, reminder_days=(30, 7))) == 1
    assert reminders_before(AdoptionRules(term_days=365, reminder_days=(30, 7))) == 0
