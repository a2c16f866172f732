"""Which of two reports of one problem leads, and which leader holds its place. Pure.

The older one leads: people know its number, a team may be on its way. Unless nobody could find it
and the other can be found: a report without a position leads none that has one, nor does one whose
phone did not know the street, or that names a street alone, lead one that knew the paving stone.

Staff are asked about two reports and see both, so their click goes by that alone (`leads`). What
comes late or better placed takes the lead by itself only from a report that nobody has begun to
work on (`may_cede`): a team on its way must find its report where it left it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from reports.duplicates.rules import Reason
from reports.vocabulary import PlaceSource, Status

#: Within so many metres a team finds the place; beyond the second it has to search the street.
WELL_PLACED_M = 25.0
BADLY_PLACED_M = 75.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts when two reports are held against each other.

    Attributes:
        is_street_alone: its position stands for a whole street, not for a number in it.
    """

    told_at: datetime
    is_placed: bool
    accuracy_m: float | None
    id: UUID
    is_street_alone: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """How firmly a leader holds its place.

    Attributes:
        is_assigned: somebody has it in hand.
        is_touched: staff, another system or a volunteer did something about it.
    """

    status: Status
    is_assigned: bool
    is_touched: bool


def is_street_alone(place_source: str, number: str | None) -> bool:
    """Whether a position was made of an address that names no house."""
    return place_source == PlaceSource.ADDRESS and not number


def leads(one: Standing, other: Standing) -> bool:
    """Whether the first of the two leads."""
    if one.is_placed != other.is_placed:
        return one.is_placed
    if _is_bad(one) and _is_good(other):
        return False
    if _is_good(one) and _is_bad(other):
        return True
    return (one.told_at, one.id) <= (other.told_at, other.id)


def may_cede(hold: Hold) -> bool:
    """Whether the lead may go to another report without asking anybody."""
    is_waiting = hold.status in (Status.RECEIVED, Status.TRIAGED)
    return is_waiting and not hold.is_assigned and not hold.is_touched


def why(leader: Standing, other: Standing) -> Reason:
    """Why the first of the two leads, in a word for those who read the decision."""
    is_older = (leader.told_at, leader.id) <= (other.told_at, other.id)
    return Reason("leader_older" if is_older else "leader_better_placed")


def _is_good(report: Standing) -> bool:
    # Without a word of accuracy a person put the pin there, or an address was found.
    is_exact = (report.accuracy_m or 0.0) <= WELL_PLACED_M
    return report.is_placed and is_exact and not report.is_street_alone


def _is_bad(report: Standing) -> bool:
    is_vague = (report.accuracy_m or 0.0) > BADLY_PLACED_M
    return not report.is_placed or is_vague or report.is_street_alone
