"""How long until a problem is fixed, from cases that were and cases that still wait. Pure.

To look at closed cases alone would be to look at the quick ones. An open case says something too:
that it lasted longer than until today. Kaplan and Meier, "Nonparametric estimation from incomplete
observations", JASA 53 (1958), here on a fixed grid of times (the actuarial estimate, their section
3.3), so that a database can count and cells can be added up.

A cell with few cases borrows from the wider one: its hazard in each stretch of time is

    (closed + k · hazard of the wider cell) / (at risk + k)

which is the posterior mean under a beta process centred on the wider cell (Hjort, "Nonparametric
Bayes estimators based on beta processes", Annals of Statistics 18, 1990), with k cases' worth of
trust in it. So a district goes over to its own figures as it gathers them.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: The grid, in hours: from a quarter of an hour to three years, each edge an eighth above the last.
FIRST_EDGE_H, LAST_EDGE_H, STEP = 0.25, 3 * 365.25 * 24, 1.125

EDGES_H: tuple[float, ...] = (
    0.0,
    *(
        FIRST_EDGE_H * STEP**power
        for power in range(math.ceil(math.log(LAST_EDGE_H / FIRST_EDGE_H, STEP)) + 1)
    ),
)
STRETCHES = len(EDGES_H) - 1

#: How many cases' worth of trust a cell has in the wider one. Tried: docs/accuracy.md.
TRUST = 20.0


def stretch_of(hours: float) -> int:
    """Which stretch of the grid a duration falls into; the last one for what is longer still."""
    return min(max(bisect.bisect_right(EDGES_H, hours) - 1, 0), STRETCHES - 1)


@dataclass(slots=True)
class Tally:
    """How many cases were closed, and how many were last seen open, in each stretch of time."""

    closed: list[float] = field(default_factory=lambda: [0.0] * STRETCHES)
    open: list[float] = field(default_factory=lambda: [0.0] * STRETCHES)

    def add(self, stretch: int, *, is_closed: bool, cases: float = 1.0) -> None:
        """Count cases that lasted that long."""
        (self.closed if is_closed else self.open)[stretch] += cases

    def add_all(self, others: Iterable[Tally]) -> Tally:
        """Count what others counted as well; itself."""
        for other in others:
            for stretch in range(STRETCHES):
                self.closed[stretch] += other.closed[stretch]
                self.open[stretch] += other.open[stretch]
        return self

    @property
    def cases(self) -> float:
        """All of them."""
        return sum(self.closed) + sum(self.open)

    @property
    def closings(self) -> float:
        """Those that were closed."""
        return sum(self.closed)


@dataclass(frozen=True, slots=True)
class Curve:
    """The hazard of each stretch: which share of those that reach it is closed in it."""

    hazards: Sequence[float]

    def within(self, share: float) -> float | None:
        """After how many hours that share is closed; None when it was never seen to be.

        What falls into the first stretch is 0: closed as it was entered.
        """
        left = 1.0
        for stretch, hazard in enumerate(self.hazards):
            after = left * (1.0 - hazard)
            if after <= 1.0 - share + 1e-12:
                part = (left - (1.0 - share)) / (left - after)
                start, end = EDGES_H[stretch], EDGES_H[stretch + 1]
                return 0.0 if stretch == 0 else start + part * (end - start)
            left = after
        return None

    def share_within(self, hours: float) -> float:
        """Which share is closed after so many hours."""
        left = 1.0
        for stretch, hazard in enumerate(self.hazards):
            start, end = EDGES_H[stretch], EDGES_H[stretch + 1]
            if hours <= start:
                break
            left *= 1.0 - hazard * min((hours - start) / (end - start), 1.0)
        return 1.0 - left


def curve_of(tally: Tally, wider: Curve | None = None, trust: float = TRUST) -> Curve:
    """The curve of a cell, leaning on that of the wider one where it has little of its own.

    Those last seen open in a stretch count as at risk for half of it.
    """
    at_risk = tally.cases
    hazards = []
    for stretch in range(STRETCHES):
        closed, still_open = tally.closed[stretch], tally.open[stretch]
        exposed = at_risk - still_open / 2
        if wider is None:
            hazard = closed / exposed if exposed > 0 else 0.0
        else:
            hazard = (closed + trust * wider.hazards[stretch]) / (max(exposed, 0.0) + trust)
        hazards.append(min(hazard, 1.0))
        at_risk -= closed + still_open
    return Curve(hazards)
