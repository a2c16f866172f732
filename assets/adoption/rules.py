"""Who may adopt, and what falls due when in the life of an adoption. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from assets.adoption.vocabulary import Refusal, Step
from assets.rules import AdoptionRules
from assets.vocabulary import AssetState

#: Whoever waits has so long to take the place that became free. Then the next one is asked.
OFFER_FOR = timedelta(days=3)

#: And the other side of a hand-over so long.
HANDOVER_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Present:
    """How things stand with an asset, for somebody who wants to adopt it.

    Attributes:
        slots: those that are taken.
        offered: how many places are kept for others on the waiting list.
        is_mine: they look after it already.
        held: how many assets of the kind they look after.
    """

    state: AssetState
    is_adoptable: bool
    slots: Collection[int]
    offered: int
    is_mine: bool
    held: int


@dataclass(frozen=True, slots=True)
class Due:
    """The next step in the life of an adoption, and from when on it is due."""

    step: Step
    at: datetime


def refusal(present: Present, rules: AdoptionRules) -> Refusal | None:
    """Why somebody may not adopt it; None: they may. What they cannot change is said first."""
    if not present.is_adoptable:
        return Refusal.NOT_ADOPTABLE
    if not present.state.is_there:
        return Refusal.NOT_THERE
    if present.is_mine:
        return Refusal.YOURS_ALREADY
    if len(present.slots) + present.offered >= rules.capacity:
        return Refusal.ADOPTED
    if present.held >= rules.limit_per_volunteer:
        return Refusal.LIMIT_REACHED
    return None


def free_slot(taken: Collection[int]) -> int:
    """The lowest slot, from 1 on, that nobody has."""
    return next(slot for slot in range(1, len(taken) + 2) if slot not in taken)


def term_end(now: datetime, rules: AdoptionRules) -> datetime:
    """When an adoption that begins, or is renewed, now must be renewed again."""
    return now + timedelta(days=rules.term_days)


def reminders_before(rules: AdoptionRules) -> int:
    """How many reminders would be due at the very beginning of a term, and are left out."""
    return sum(days >= rules.term_days for days in rules.reminder_days)


def next_step(
    until: datetime,
    rules: AdoptionRules,
    *,
    reminded: int,
    nudged: int,
    nudged_at: datetime | None = None,
) -> Due:
    """What comes next for an adoption whose term ends at `until`.

    Reminders come before the end of the term, nudges from it on, each a while after the last one
    really went out: a clock that stood still takes nobody's time to answer.

    Args:
        reminded, nudged: how many of each this term has had.
    """
    if nudged == 0 and reminded < len(rules.reminder_days):
        return Due(Step.REMIND, until - timedelta(days=rules.reminder_days[reminded]))
    pause = timedelta(days=rules.nudge_days)
    at = until if nudged_at is None else max(until, nudged_at + pause)
    return Due(Step.NUDGE if nudged < rules.nudges else Step.LAPSE, at)


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that is taken now, and what is counted after it."""

    step: Step
    reminded: int
    nudged: int


def take_step(
    until: datetime,
    rules: AdoptionRules,
    *,
    reminded: int,
    nudged: int,
    nudged_at: datetime | None,
    now: datetime,
) -> Taken | None:
    """What is to be done now, if anything. Of reminders that are late only the last goes out."""
    step = next_step(until, rules, reminded=reminded, nudged=nudged, nudged_at=nudged_at)
    if step.at > now:
        return None
    while step.step is Step.REMIND:
        after = next_step(until, rules, reminded=reminded + 1, nudged=nudged)
        if after.at > now:
            return Taken(Step.REMIND, reminded + 1, nudged)
        reminded, step = reminded + 1, after
    if step.step is Step.NUDGE:
        return Taken(Step.NUDGE, reminded, nudged + 1)
    return Taken(Step.LAPSE, reminded, nudged)
