"""When a campaign is on, when the calendar sets it off, what its words may hold. Pure."""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta, tzinfo

from assets.campaigns.vocabulary import Answer, Repeat
from assets.rules import Season

#: What a campaign's words may hold, and what stands there in a letter.
PLACEHOLDERS: Mapping[str, str] = {
    "asset": "what the reader looks after: kind and code, of several the first three",
    "count": "how many that are",
    "city": "the city's name",
    "day": "the day, of a weather campaign that on which it begins",
    "weather": "what is foreseen; empty but for weather campaigns",
}

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

#: Stands for a placeholder without a value while its surroundings are mended: private use, which
#: nobody types.
_HOLE = "\ue000"

#: What goes with a hole, the first that fits first: its brackets; the sentence that is nothing
#: else; the sign that led to it at the end of a sentence.
_MENDED = (
    (re.compile(r"[ \t]{2,}"), " "),
    (re.compile(rf"[ \t]?[(\[]{_HOLE}[)\]]"), ""),
    (re.compile(rf"(^|[.!?…]|\n)([ \t]?){_HOLE}\s*[.,;:!?…]+[ \t]?"), r"\1\2"),
    (re.compile(rf"[ \t]?[\u00a0\u202f]?[,;:–—-]?[ \t]?{_HOLE}(?=[.!?…]|\n|$)"), ""),
    (re.compile(_HOLE), ""),
    (re.compile(r"[ \t]{2,}"), " "),
)

#: Text messages cut a campaign's words here.
SMS_TEXT = 120

#: Who confirmed a number confirmed so much more: people adopt while a campaign waits.
LEEWAY = 1.2

#: What the calendar missed because everything stood still is made good for so long.
LATE_AT_MOST = timedelta(hours=12)

#: “Is it clear?” can be answered for so long.
ANSWERED_WITHIN = timedelta(days=7)

#: The calendar is searched no further than this for a day of the season.
_TURNS = 1200


def unknown_placeholders(text: str) -> list[str]:
    """What stands in braces and is none of `PLACEHOLDERS`; a lone brace too."""
    unknown = [name for name in _PLACEHOLDER.findall(text) if name not in PLACEHOLDERS]
    rest = _PLACEHOLDER.sub("", text)
    return unknown + [brace for brace in "{}" if brace in rest]


def filled(text: str, values: Mapping[str, str]) -> str:
    """The words with their placeholders filled in; an empty one leaves no trace of itself."""
    made = _PLACEHOLDER.sub(lambda found: values.get(found.group(1)) or _HOLE, text)
    for pattern, instead in _MENDED:
        made = pattern.sub(instead, made)
    return made.strip()


def is_on(day: date, starts_on: date, ends_on: date, season: Season | None) -> bool:
    """Whether a campaign may go out on a day of the city's calendar."""
    return starts_on <= day <= ends_on and (season is None or season.holds(day))


def next_due(
    first: datetime,
    repeat: Repeat,
    after: datetime,
    *,
    zone: tzinfo,
    window: tuple[date, date],
    season: Season | None,
) -> datetime | None:
    """When the calendar sets a campaign off next; None: never again.

    Args:
        first: by the clock of the city, without a zone.
        after: not before this instant.
        window: its first and last day.
    """
    for local in _turns(first, repeat):
        if local.date() > window[1]:
            return None
        # An hour that the clock leaves out comes an hour later.
        at = local.replace(tzinfo=zone).astimezone(after.tzinfo)
        if at >= after and is_on(local.date(), *window, season):
            return at
    return None


def _turns(first: datetime, repeat: Repeat) -> Iterator[datetime]:
    """The instants of the calendar; the 31st of a shorter month is its last day."""
    for turn in range(1 if repeat is Repeat.ONCE else _TURNS):
        if repeat is Repeat.WEEKLY:
            yield first + timedelta(weeks=turn)
            continue
        months = first.month - 1 + turn * (12 if repeat is Repeat.YEARLY else 1)
        year, month = first.year + months // 12, months % 12 + 1
        if year > date.max.year:
            return
        day = min(first.day, calendar.monthrange(year, month)[1])
        yield first.replace(year=year, month=month, day=day)


def most_without_asking(limit: int, confirmed: int | None) -> int:
    """To so many a campaign goes without anybody being asked."""
    return max(limit, math.ceil((confirmed or 0) * LEEWAY))


def may_follow(answer: Answer | None, following: Answer) -> bool:
    """Whether somebody may say this after that: what is clear is answered for good."""
    return answer is not Answer.CLEAR and answer is not following
