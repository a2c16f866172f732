"""What becomes of a report that repeats one which is over: the rule. Pure.

A problem that was repaired and is told again within the service's days of recurrence has come
back: as the service says, the first report is opened again, or the new one stands for itself and
names the first. Told later it is another problem. What was rejected or taken back was never
repaired; whether it is that again, a person says.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta

from reports.vocabulary import Recurrence


class Fate(enum.Enum):
    """What follows when a report was found to repeat another one."""

    JOINS = "joins"
    REOPENS = "reopens"
    RECURS = "recurs"
    SUGGESTED = "suggested"
    APART = "apart"


def fate_of(
    told_at: datetime,
    over_at: datetime | None,
    *,
    is_repaired: bool,
    recurrence: Recurrence,
    days: int,
) -> Fate:
    """What becomes of a report told at that instant, that repeats one which is over since then.

    Args:
        over_at: None while it is open.
        is_repaired: the work was done; else it was rejected or taken back.
        recurrence, days: of the service of the one that is over.
    """
    if over_at is None:
        return Fate.JOINS
    # Told before the repair and looked at after it: most likely repaired too, but not surely.
    if not is_repaired or told_at <= over_at:
        return Fate.SUGGESTED
    if told_at - over_at > timedelta(days=days):
        return Fate.APART
    return Fate.REOPENS if recurrence is Recurrence.REOPEN else Fate.RECURS
