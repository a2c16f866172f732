"""Which of two reports of one problem leads. Pure.

The older one: people know its number, a team may be on its way. Unless nobody could find it and
the other can be found: a report without a position leads none that has one, nor does one whose
phone did not know the street lead one that knew the paving stone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

#: Within so many metres a team finds the place; beyond the second it has to search the street.
WELL_PLACED_M = 25.0
BADLY_PLACED_M = 75.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts when two reports are held against each other."""

    told_at: datetime
    is_placed: bool
    accuracy_m: float | None
    id: UUID


def leads(one: Standing, other: Standing) -> bool:
    """Whether the first of the two leads."""
    if one.is_placed != other.is_placed:
        return one.is_placed
    if _is_bad(one) and _is_good(other):
        return False
    if _is_good(one) and _is_bad(other):
        return True
    return (one.told_at, one.id) <= (other.told_at, other.id)


def _is_good(report: Standing) -> bool:
    # Without a word of accuracy a person put the pin there, or an address was found.
    return report.is_placed and (report.accuracy_m or 0.0) <= WELL_PLACED_M


def _is_bad(report: Standing) -> bool:
    return not report.is_placed or (report.accuracy_m or 0.0) > BADLY_PLACED_M
