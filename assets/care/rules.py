"""What can be done for an asset, when it is neglected, and how long a streak is. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta

from assets.rules import CareAction, CareRules, Season

#: What can be done for any asset whose kind says nothing else.
USUAL_ACTIONS = (
    CareAction("checked", {"fr": "Contrôlé", "en": "Checked"}),
    CareAction("cleaned", {"fr": "Nettoyé", "en": "Cleaned"}),
    CareAction("problem_seen", {"fr": "Problème constaté", "en": "Problem seen"}, is_problem=True),
)

#: A passer-by calls for one asset once in so long, whoever they are.
CALL_EVERY = timedelta(hours=1)

#: Whoever writes down later than this what they did does not remember it well.
LOGGED_WITHIN = timedelta(days=30)

#: A telephone's clock may be so far ahead.
CLOCK_SLACK = timedelta(minutes=5)

#: In kinds that count no days, a streak counts weeks.
STREAK_DAYS = 7


def actions_of(rules: CareRules) -> tuple[CareAction, ...]:
    """What can be done for assets of a kind."""
    return rules.actions or USUAL_ACTIONS


def action_of(rules: CareRules, code: str) -> CareAction | None:
    """The action of that code."""
    known = (*actions_of(rules), usual_action(rules))
    return next((each for each in known if each.code == code), None)


def usual_action(rules: CareRules) -> CareAction:
    """What "I did it" means for a kind: the first thing that is done for it."""
    done = (each for each in (*actions_of(rules), *USUAL_ACTIONS) if not each.is_problem)
    return next(done)


def is_timely(at: datetime, now: datetime) -> bool:
    """Whether care of that time may be logged now: neither to come nor long past."""
    return now - LOGGED_WITHIN <= at <= now + CLOCK_SLACK


def neglected_before(
    rules: CareRules, season: Season | None, now: datetime, day: date
) -> datetime | None:
    """An asset last cared for before this instant is neglected; None: nothing is, today."""
    if rules.every_days is None or (season is not None and not season.holds(day)):
        return None
    return now - timedelta(days=rules.every_days)


def streak(days: Collection[date], every_days: int | None, today: date) -> int:
    """For how many spans of days in a row, up to the present one, somebody has cared.

    The present span may still be empty: it is not over.
    """
    length = every_days or STREAK_DAYS
    spans = {(today - day).days // length for day in days if day <= today}
    first = 0 if 0 in spans else 1
    count = 0
    while first + count in spans:
        count += 1
    return count
