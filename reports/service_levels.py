"""When a report is due: service levels on the clock of the team that answers for it. Pure.

1. A service level says how long: so many hours (of the clock or of work) or so many working days.
2. A calendar says when the team works: weekly hours, public holidays, the city's own closed days.
3. `due_at` joins the two; `resume` puts a due date off by the time a report was on hold.

What comes after the cut-off hour, or on a day without work, counts from the opening of the next
working day. A level of working days ends with the work of the last of them; the day on which the
report came in is not counted.

A level of working days that is kept `to_the_hour` ends at the hour of the day at which the report
came in: what came at 10:12 is due at 10:12. Only what comes after the cut-off (the end of work,
unless the level says otherwise) counts from the opening; the hour of a rest day is kept, because
whole days are counted and not the hours in them.

The instants are aware UTC; only a calendar knows a time zone, so the change to summer time costs
nobody an hour: hours of the clock are elapsed hours, hours of work are those of the day as lived.
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

#: Of a team that has not said when it works.
USUAL_HOURS: Mapping[str, Sequence[Sequence[str]]] = dict.fromkeys(
    WEEKDAYS[:5], (("08:00", "17:00"),)
)

#: A team that does not work for so many days in a row has no calendar that a promise could use.
LONGEST_REST_DAYS = 60

#: What is left of a service level when a report is more urgent than usual (0). A less urgent one
#: keeps the whole: the promise was made to everybody.
SHARE_BY_PRIORITY: Mapping[int, float] = {1: 0.5, 2: 0.25}


class Clock(enum.StrEnum):
    """Which hours count."""

    CALENDAR = "calendar"
    WORKING = "working"


class Days(Protocol):
    """Days that can be asked for: a set, or the calendar of the `holidays` library."""

    def __contains__(self, day: Any, /) -> bool: ...


class RestlessError(ValueError):
    """A calendar in which no working hour can be found."""


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """How long a report of a service may take: hours on a clock, or working days."""

    hours: float | None = None
    working_days: float | None = None
    clock: Clock = Clock.WORKING
    cut_off: time | None = None
    to_the_hour: bool = False

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> ServiceLevel | None:
        """The level of a service's `service_level`; None where nothing is promised."""
        cut_off = _clock_time(data["cut_off"]) if data.get("cut_off") else None
        if data.get("working_days") is not None:
            return cls(
                working_days=float(data["working_days"]),
                cut_off=cut_off,
                to_the_hour=bool(data.get("to_the_hour")),
            )
        if data.get("hours") is not None:
            clock = Clock(data.get("clock", Clock.CALENDAR))
            return cls(hours=float(data["hours"]), clock=clock, cut_off=cut_off)
        return None

    @property
    def runs_always(self) -> bool:
        """Whether nights and Sundays count too."""
        return self.working_days is None and self.clock is Clock.CALENDAR

    def shortened(self, priority: int) -> ServiceLevel:
        """The same for a report of that priority."""
        share = SHARE_BY_PRIORITY.get(min(priority, max(SHARE_BY_PRIORITY)))
        if share is None:
            return self
        if self.working_days is not None:
            days = float(math.ceil(self.working_days * share))
            return replace(self, working_days=days)
        hours = None if self.hours is None else self.hours * share
        return replace(self, hours=hours)


@dataclass(frozen=True, slots=True)
class WorkCalendar:
    """When a team works.

    Attributes:
        week: for Monday to Sunday the stretches of work in minutes after midnight, in order.
        holidays: public holidays and the city's own closed days, unless the team works on them.
    """

    zone: ZoneInfo
    week: tuple[tuple[tuple[int, int], ...], ...]
    holidays: Days = frozenset()
    _stretches: dict[date, tuple[tuple[datetime, datetime], ...]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @classmethod
    def from_data(
        cls,
        data: Mapping[str, Any],
        *,
        time_zone: str,
        country: str,
        subdivision: str | None = None,
        closed_days: Collection[date] = (),
    ) -> WorkCalendar:
        """The calendar of a team's `calendar` in a jurisdiction."""
        hours = data.get("hours") or USUAL_HOURS
        week = tuple(
            tuple(sorted((_minutes(start), _minutes(end)) for start, end in hours.get(day, ())))
            for day in WEEKDAYS
        )
        if data.get("works_on_holidays"):
            rest: Days = frozenset()
        else:
            rest = _Either(public_holidays(country, subdivision), frozenset(closed_days))
        return cls(ZoneInfo(time_zone), week, rest)

    def works_on(self, day: date) -> bool:
        """Whether there is any work on that day."""
        return bool(self.week[day.weekday()]) and day not in self.holidays

    def stretches(self, day: date) -> tuple[tuple[datetime, datetime], ...]:
        """The stretches of work of a local day, as instants, in order."""
        known = self._stretches.get(day)
        if known is None:
            known = ()
            if self.works_on(day):
                pairs = (
                    (self._instant(day, start), self._instant(day, end))
                    for start, end in self.week[day.weekday()]
                )
                known = tuple((start, end) for start, end in pairs if start < end)
            self._stretches[day] = known
        return known

    def local_day(self, at: datetime) -> date:
        """The day it is for the team at that instant."""
        return at.astimezone(self.zone).date()

    def next_working_day(self, day: date) -> date:
        """That day if there is work on it, else the first after it.

        Raises:
            RestlessError: there is none for too long.
        """
        for ahead in range(LONGEST_REST_DAYS):
            found = day + timedelta(days=ahead)
            if self.stretches(found):
                return found
        raise RestlessError(f"no working day in the {LONGEST_REST_DAYS} days from {day}")

    def worked_between(self, start: datetime, end: datetime) -> timedelta:
        """How much work lies between two instants; zero when the second is the earlier."""
        total = timedelta()
        day, last = self.local_day(start), self.local_day(end)
        while day <= last:
            for opens, closes in self.stretches(day):
                total += max(min(closes, end) - max(opens, start), timedelta())
            day += timedelta(days=1)
        return total

    def after_working(self, start: datetime, work: timedelta) -> datetime:
        """The instant at which that much work is done when it begins at `start`."""
        left = work
        day = self.local_day(start)
        while True:
            day = self.next_working_day(day)
            for opens, closes in self.stretches(day):
                begins = max(opens, start)
                if begins >= closes:
                    continue
                if closes - begins >= left:
                    return begins + left
                left -= closes - begins
            day += timedelta(days=1)

    def _instant(self, day: date, minute: int) -> datetime:
        days, minute = divmod(minute, 24 * 60)
        at = time(minute // 60, minute % 60)
        return datetime.combine(day + timedelta(days=days), at, self.zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class _Either:
    """Public holidays, or days that the city itself is closed."""

    public: Days
    own: Days

    def __contains__(self, day: Any, /) -> bool:
        return day in self.own or day in self.public


@functools.cache
def public_holidays(country: str, subdivision: str | None) -> Days:
    """The public holidays of a country or of a part of it; none where the library knows none."""
    # The library is large and needed only where due dates are computed.
    import holidays

    try:
        found: Days = holidays.country_holidays(country, subdiv=subdivision, observed=True)
    except NotImplementedError:
        return frozenset()
    return found


def due_at(
    level: ServiceLevel, requested_at: datetime, calendar: WorkCalendar, *, priority: int = 0
) -> datetime:
    """When a report that came in at that instant is due.

    Raises:
        RestlessError: the calendar has no working hours where the level needs them.
    """
    level = level.shortened(priority)
    if level.to_the_hour and level.working_days is not None:
        return _to_the_hour(level, requested_at, calendar)
    if level.hours is not None and level.clock is Clock.CALENDAR:
        start = requested_at
        if level.cut_off is not None:
            start = _counted_from(level, requested_at, calendar)
        return start + timedelta(hours=level.hours)
    start = _counted_from(level, requested_at, calendar)
    if level.hours is not None:
        return calendar.after_working(start, timedelta(hours=level.hours))
    day = calendar.local_day(start)
    for _ in range(math.ceil(level.working_days or 0)):
        day = calendar.next_working_day(day + timedelta(days=1))
    return calendar.stretches(day)[-1][1]


def resume(
    due: datetime, held_since: datetime, now: datetime, calendar: WorkCalendar | None
) -> datetime:
    """The due date of a report that was on hold from `held_since` to `now`.

    What was left of the time then is left now: of working time with a calendar, of the clock's
    without. What was overdue before it was held stays overdue.
    """
    if due <= held_since or now <= held_since:
        return due
    if calendar is None:
        return due + (now - held_since)
    left = calendar.worked_between(held_since, due)
    # Never earlier than it was: a due date outside working hours is kept by a hold of no work.
    return max(due, calendar.after_working(now, left)) if left else max(due, now)


def _counted_from(level: ServiceLevel, at: datetime, calendar: WorkCalendar) -> datetime:
    """The instant from which a level counts: `at`, or the opening of the next working day."""
    local = at.astimezone(calendar.zone)
    day = local.date()
    is_late = level.cut_off is not None and local.time() >= level.cut_off
    if not is_late and calendar.stretches(day) and at < calendar.stretches(day)[-1][1]:
        return at
    opening = calendar.next_working_day(day + timedelta(days=1 if calendar.stretches(day) else 0))
    return calendar.stretches(opening)[0][0]


def _to_the_hour(level: ServiceLevel, at: datetime, calendar: WorkCalendar) -> datetime:
    """Working days later at the same hour; what came late counts from the next opening."""
    local = at.astimezone(calendar.zone)
    day = calendar.next_working_day(local.date())
    hour = local.time()
    closes = calendar.stretches(day)[-1][1].astimezone(calendar.zone)
    # Work until midnight ends on the next day: nothing comes after it.
    ends = closes.time() if closes.date() == day else time.max
    if hour >= (level.cut_off or ends):
        day = calendar.next_working_day(day + timedelta(days=1))
        hour = calendar.stretches(day)[0][0].astimezone(calendar.zone).time()
    for _ in range(math.ceil(level.working_days or 0)):
        day = calendar.next_working_day(day + timedelta(days=1))
    return datetime.combine(day, hour, calendar.zone).astimezone(UTC)


def _clock_time(text: str) -> time:
    hour, minute = text.split(":")
    return time(int(hour), int(minute))


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)
