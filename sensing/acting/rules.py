"""What becomes of a defect that the city was told of, as one table, and when a repair holds. Pure.

A case is what ties a defect to the request about it. Requests are moved by people; a case follows
them, and asks later trips whether what was repaired is still felt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from reports.vocabulary import Status
from sensing.acting.vocabulary import CaseState, Fact
from sensing.clustering import RATES, Rates, odds
from sensing.grid import APART_M, OCTANTS

#: From → what happened → to. What is not here changes nothing.
MOVES: Mapping[CaseState, Mapping[Fact, CaseState]] = {
    CaseState.OPEN: {
        Fact.RESOLVED: CaseState.REPAIRED,
        Fact.REJECTED: CaseState.DISMISSED,
    },
    CaseState.REPAIRED: {
        Fact.REOPENED: CaseState.OPEN,
        Fact.FELT_AGAIN: CaseState.OPEN,
        Fact.SILENT: CaseState.CONFIRMED,
    },
    CaseState.CONFIRMED: {Fact.REOPENED: CaseState.OPEN},
    CaseState.DISMISSED: {Fact.REOPENED: CaseState.OPEN},
}

#: Cases of which a place has at most one: a new defect there is theirs.
LIVE = (CaseState.OPEN, CaseState.REPAIRED)

#: Who looked and found nothing to mend is not sent again for so long, whatever cars feel.
DISMISSED_FOR_DAYS = 365

#: Before anybody has driven over it, a repair is as likely to hold as not.
BEFORE_VERIFYING = 0.5

#: A repair holds when the belief in the defect has sunk below this.
CONFIRMED_BELOW = 0.05

#: Nothing is said of a repair before so many trips on so many days: one car that comes by five
#: times in a morning drives the same line each time, and may miss what is left of a hole.
FEWEST_PASSES, FEWEST_DAYS = 5, 2


@dataclass(frozen=True, slots=True)
class Since:
    """What the trips since the day after a repair felt there.

    Attributes:
        passes: trips, those that felt something too. days: on which they came.
    """

    passes: int = 0
    weak: int = 0
    strong: int = 0
    days: int = 0

    @property
    def felt(self) -> int:
        """Trips that felt something."""
        return self.weak + self.strong


def next_state(state: CaseState, fact: Fact) -> CaseState | None:
    """Where a case goes; None: it stays."""
    return MOVES[state].get(fact)


def fact_of(status: Status, *, was_repaired: bool) -> Fact | None:
    """What the status of its request says of a case; None: nothing new.

    Args:
        was_repaired: of a closed one, whether it was resolved before. Else it was withdrawn.
    """
    if status is Status.RESOLVED or (status is Status.CLOSED and was_repaired):
        return Fact.RESOLVED
    if status in (Status.REJECTED, Status.CLOSED):
        return Fact.REJECTED
    return Fact.REOPENED if status.is_open else None


def belief_since(since: Since, rates: Rates = RATES) -> float:
    """How likely it is that a repaired defect is there, by the trips since alone."""
    silent = since.passes - since.felt
    log_odds = (
        odds(BEFORE_VERIFYING)
        + since.strong * rates.by_strong
        + since.weak * rates.by_weak
        + silent * rates.by_silence
    )
    return 1.0 / (1.0 + math.exp(-log_odds))


def verified(since: Since, *, believed_from: float, rates: Rates = RATES) -> Fact | None:
    """What the trips since a repair say of it; None: it is too early.

    A test of Wald's kind: it ends when one of two beliefs is reached, and the mistakes that it
    makes are about as rare as those beliefs are far from certainty.

    Args:
        believed_from: from this belief on a defect is told to the city.
    """
    if since.passes < FEWEST_PASSES or since.days < FEWEST_DAYS:
        return None
    belief = belief_since(since, rates)
    if belief >= believed_from:
        return Fact.FELT_AGAIN
    if belief <= CONFIRMED_BELOW:
        return Fact.SILENT
    return None


def silence_needed(rates: Rates = RATES) -> int:
    """How many passes, if none feels anything, confirm a repair."""
    by_rates = math.ceil((odds(BEFORE_VERIFYING) - odds(CONFIRMED_BELOW)) / -rates.by_silence)
    return max(FEWEST_PASSES, by_rates)


def is_same_place(distance_m: float, octant: int, other: int) -> bool:
    """Whether two defects, by their places and directions, are one to those who mend it.

    As evidence grows, a defect may be called by a neighbouring cell or octant.
    """
    turned = abs((octant - other + OCTANTS // 2) % OCTANTS - OCTANTS // 2)
    return distance_m <= APART_M and turned <= 2


def is_worth_saying(hits: int, said: int) -> bool:
    """Whether the team is told again of trips: each time their number has doubled."""
    return hits >= 2 * max(said, 1)
