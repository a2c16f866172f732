"""What becomes of a report that repeats one which is over: the rule. Pure.

A problem that was repaired and is told again within the service's days of recurrence has come
back: as the service says, the first report is opened again, or the new one stands for itself and
names the first. Told later it is another problem. What was rejected or taken back was never
repaired; whether it is that again, a person says.

That it repeats one which is over is known from a person's word, from a judge, or from the spot: the
same asset, or a point that no phone tells from the first. How likely staff would call the two one
says little there: a problem that came back is no slip of the one who tells of it.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta

from geo.measures import distance_m
from reports.duplicates.rules import Candidate, Features, Reason
from reports.vocabulary import Recurrence

#: Points nearer than this are one spot: phones are no surer of theirs.
SPOT_M = 5.0


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


def same_spot(report: Features, other: Candidate) -> tuple[Reason, ...]:
    """Why the two are about one thing at one spot; () if they may be about two."""
    if other.service_id != report.service_id:
        return ()
    is_asset = report.asset_id is not None and report.asset_id == other.asset_id
    if not is_asset and None not in (report.asset_id, other.asset_id):
        return ()
    if report.point is None or other.point is None:
        return (Reason("same_asset"), Reason("same_service")) if is_asset else ()
    metres = distance_m(report.point, other.point)
    if not is_asset and metres > SPOT_M:
        return ()
    reasons = (Reason("same_service"), Reason("distance", {"m": round(metres, 1)}))
    return (Reason("same_asset"), *reasons) if is_asset else reasons
