"""Service levels learned from past due dates: what a city promised, as rules of a clock. Pure.

A city's due dates look like many numbers of hours, and are few rules: so many working days to the
hour, so many hours of the clock. What makes them look like many are nights, weekends and holidays.

1. The city's clock is found first: when its day begins and ends, which days are rest days, and
   whether public holidays count. The clock that explains most due dates wins.
2. Every due date is turned into the levels that would have given it on that clock. The level that
   explains most recent cases of a service is the service's; a service most of whose cases have no
   due date has none.
3. Where the last cases say something else than those before, the last ones are believed, and the
   change is told with its day.

What comes out is words for `services.yaml` and `teams.yaml`, with the support beside each; due
dates are then counted by `reports.service_levels.due_at` and by nothing else.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from reports.routing.past import Past
from reports.service_levels import (
    WEEKDAYS,
    Clock,
    RestlessError,
    ServiceLevel,
    WorkCalendar,
    due_at,
)

#: Two due dates this far apart say the same.
SAME = timedelta(hours=1)

#: After so many days a case counts half: levels change, and the last ones are in force.
HALF_LIFE_DAYS = 45.0

#: So many cases in a row, and such a share of them, show that a level has changed.
LAST, LAST_SHARE = 25, 0.8

#: Promises of more working days than this are promises of the calendar.
LONGEST_WORKING_DAYS = 90

#: The rests of a week that are tried: none, Sunday, the weekend.
_RESTS = (frozenset({5, 6}), frozenset({6}), frozenset[int]())

#: Cases that are enough to find a city's clock by.
_SAMPLE = 1_500

#: Where the due dates do not show when work begins and ends.
_USUAL = (time(8, 0), time(17, 0))

_MIDNIGHT = time(0, 0)


@dataclass(frozen=True, slots=True)
class CityClock:
    """When a city's working day begins and ends, and on which days there is none."""

    opens: time
    closes: time
    rest: frozenset[int]
    keeps_holidays: bool

    def calendar(self, zone: ZoneInfo, country: str, subdivision: str | None) -> WorkCalendar:
        """The calendar of a team that works so."""
        return WorkCalendar.from_data(
            self.as_data(), time_zone=zone.key, country=country, subdivision=subdivision
        )

    def as_data(self) -> dict[str, Any]:
        """In the words of a team's calendar."""
        closes = "24:00" if self.closes == _MIDNIGHT else f"{self.closes:%H:%M}"
        hours = {
            name: [[f"{self.opens:%H:%M}", closes]]
            for weekday, name in enumerate(WEEKDAYS)
            if weekday not in self.rest
        }
        return {"hours": hours, "works_on_holidays": not self.keeps_holidays}


#: A city whose due dates nobody knows.
USUAL_CLOCK = CityClock(*_USUAL, _RESTS[0], keeps_holidays=False)


@dataclass(frozen=True, slots=True)
class LearnedLevel:
    """The level of one service, and how it fared.

    Attributes:
        level: None where most cases had no due date.
        cases, right: cases with a due date, and those that the level gives within an hour.
        changed_on, before: when it changed, and what held until then.
    """

    level: ServiceLevel | None
    cases: int
    right: int
    changed_on: date | None = None
    before: ServiceLevel | None = None


@dataclass(frozen=True, slots=True)
class LearnedLevels:
    """What a history says of a city's promises."""

    clock: CityClock
    calendar: WorkCalendar
    services: Mapping[str, LearnedLevel]
    groups: Mapping[str, ServiceLevel | None] = field(default_factory=dict)
    usual: ServiceLevel | None = None

    def due(self, service: str, group: str, at: datetime) -> datetime | None:
        """When a case of now would be due; by its group or by everybody where it is unknown."""
        found = self.services.get(service)
        level = found.level if found is not None else self.groups.get(group, self.usual)
        if level is None:
            return None
        try:
            return due_at(level, at, self.calendar)
        except RestlessError:
            return None


def learn_levels(
    cases: Sequence[Past], zone: ZoneInfo, *, country: str = "", subdivision: str | None = None
) -> LearnedLevels:
    """The levels of each service of a history, by the due dates of its cases.

    Args:
        country: whose public holidays may be rest days; empty: none are known.
    """
    ordered = sorted(cases, key=lambda case: (case.at, case.id))
    clock = _clock(ordered, zone, country, subdivision)
    calendar = clock.calendar(zone, country, subdivision)
    end = ordered[-1].at if ordered else datetime.min.replace(tzinfo=UTC)
    explained = [(case, frozenset(_levels(case, calendar))) for case in ordered]
    by_service, by_group = defaultdict(list), defaultdict(list)
    for pair in explained:
        by_service[pair[0].service].append(pair)
        by_group[pair[0].group].append(pair)
    return LearnedLevels(
        clock,
        calendar,
        services={service: _learned(pairs, end) for service, pairs in by_service.items()},
        groups={group: _most(pairs, end) for group, pairs in by_group.items()},
        usual=_most(explained, end),
    )


def as_yaml(learned: LearnedLevels, name: Mapping[str, str]) -> str:
    """The levels in the words of `services.yaml` and `teams.yaml`, for a manager to read.

    Args:
        name: service code → what people call it.
    """
    hours = learned.clock.as_data()["hours"]
    lines = ["# teams.yaml: the working hours that explain most due dates.", "calendars:"]
    lines.append("  learned:")
    lines += [f'    {day}: ["{span[0][0]}-{span[0][1]}"]' for day, span in hours.items()]
    if not learned.clock.keeps_holidays:
        lines.append("    works_on_holidays: true")
    lines += ["", "# services.yaml: the level of each service.", "services:"]
    for code in sorted(learned.services):
        found = learned.services[code]
        share = f"{100 * found.right / found.cases:.0f} %" if found.cases else "none"
        lines.append(f"  # {name.get(code, code)}: {found.cases} cases with a due date,")
        lines.append(f"  # {share} of them within an hour of this level.")
        if found.changed_on is not None:
            before = level_in_yaml(found.before) if found.before else "no due date"
            lines.append(f"  # Since {found.changed_on}; before that {before}.")
        lines.append(f"  - code: {code}")
        if found.level is not None:
            lines.append(f"    service_level: {level_in_yaml(found.level)}")
    return "\n".join(lines) + "\n"


def level_in_yaml(level: ServiceLevel) -> str:
    """A level as `services.yaml` has it."""
    if level.working_days is not None:
        to_the_hour = ", to_the_hour: true" if level.to_the_hour else ""
        return f"{{working_days: {level.working_days:g}{to_the_hour}}}"
    return f"{{hours: {level.hours:g}, clock: {level.clock.value}}}"


def _clock(
    cases: Sequence[Past], zone: ZoneInfo, country: str, subdivision: str | None
) -> CityClock:
    """The clock that explains most due dates."""
    dated = [case for case in cases if case.due_at is not None]
    if len(dated) > _SAMPLE:
        dated = dated[:: len(dated) // _SAMPLE]

    def explained(clock: CityClock) -> int:
        calendar = clock.calendar(zone, country, subdivision)
        levels: dict[str, Counter[ServiceLevel]] = defaultdict(Counter)
        for case in dated:
            levels[case.service].update(_levels(case, calendar))
        return sum(max(found.values(), default=0) for found in levels.values())

    # Of equals the first: office hours, a weekend, and public holidays are what is usual.
    keeps = bool(country)
    days = [CityClock(*span, _RESTS[0], keeps) for span in _spans(dated, zone)]
    best = max(days, key=explained)
    choices = (True, False) if keeps else (False,)
    tried = [
        replace(best, rest=rest, keeps_holidays=choice) for rest in _RESTS for choice in choices
    ]
    return max(tried, key=explained)


def _spans(dated: Sequence[Past], zone: ZoneInfo) -> Iterator[tuple[time, time]]:
    """Hours in which a city may work: by the hours at which things are due that came at others.

    Such an hour is an opening, from which late cases count, or a closing, at which days end.
    """
    special: Counter[time] = Counter()
    for case in dated:
        at, due = case.at.astimezone(zone), case.due_at.astimezone(zone)  # type: ignore[union-attr]
        if abs(_minute(at) - _minute(due)) > 1:
            special[time(due.hour, due.minute)] += 1
    common = [hour for hour, count in special.most_common(3) if count > 0.01 * len(dated)]
    for opens in [*common, _USUAL[0]]:
        later = [hour for hour in common if hour > opens]
        for closes in dict.fromkeys((_cut_after(dated, zone, opens), *later)):
            if closes > opens or closes == _MIDNIGHT:
                yield opens, closes
    yield _USUAL


def _cut_after(dated: Sequence[Past], zone: ZoneInfo, opens: time) -> time:
    """From which half hour on cases count from that opening; else the usual end of work."""
    moved: Counter[int] = Counter()
    kept: Counter[int] = Counter()
    for case in dated:
        at, due = case.at.astimezone(zone), case.due_at.astimezone(zone)  # type: ignore[union-attr]
        half_hour = _minute(at) // 30
        if abs(_minute(at) - _minute(due)) <= 1:
            kept[half_hour] += 1
        elif (due.hour, due.minute) == (opens.hour, opens.minute):
            moved[half_hour] += 1
    if not moved:
        return _USUAL[1]

    def parted(cut: int) -> int:
        after = sum(count for half, count in moved.items() if half >= cut)
        return after + sum(count for half, count in kept.items() if half < cut)

    first = (opens.hour * 60 + opens.minute) // 30 + 1
    best = max(range(first, 49), key=parted)
    return time(best // 2 % 24, 30 * (best % 2))


def _minute(at: datetime) -> int:
    return at.hour * 60 + at.minute


def _levels(case: Past, calendar: WorkCalendar) -> Iterator[ServiceLevel]:
    """Every level that would have given the case its due date."""
    if case.due_at is None or case.due_at <= case.at:
        return
    hours = (case.due_at - case.at) / timedelta(hours=1)
    whole = round(hours) if hours >= 1 else round(hours * 4) / 4
    if whole > 0 and abs(hours - whole) * 3600 <= 120:
        yield ServiceLevel(hours=float(whole), clock=Clock.CALENDAR)
    days = _working_days(case, calendar)
    # What comes late on a rest day counts from the second working day after it.
    counts = [count for count in range(days - 2, days + 2) if 0 < count <= LONGEST_WORKING_DAYS]
    if not counts:
        return
    ends = calendar.stretches(calendar.local_day(case.due_at))
    for to_the_hour in (True, False):
        if to_the_hour:
            hours_of_day = [case.at, *(opens for opens, _ in ends[:1])]
        else:
            hours_of_day = [closes for _, closes in ends[-1:]]
        # Most levels fall at another hour of the day: it is cheaper to see that first.
        if not any(_is_near_hour(case.due_at, hour) for hour in hours_of_day):
            continue
        for count in counts:
            level = ServiceLevel(working_days=float(count), to_the_hour=to_the_hour)
            if abs(due_at(level, case.at, calendar) - case.due_at) <= SAME:
                yield level


def _is_near_hour(at: datetime, other: datetime) -> bool:
    """Whether two instants lie at about one hour of the day; a change of the clock is forgiven."""
    apart = abs(at - other) % timedelta(days=1)
    return min(apart, timedelta(days=1) - apart) <= 2 * SAME


def _working_days(case: Past, calendar: WorkCalendar) -> int:
    """About how many working days lie between a case and its due date."""
    assert case.due_at is not None
    day, last = calendar.local_day(case.at), calendar.local_day(case.due_at)
    if (last - day).days > 2 * LONGEST_WORKING_DAYS:
        return -1
    return sum(
        calendar.works_on(day + timedelta(days=ahead)) for ahead in range(1, (last - day).days + 1)
    )


_Explained = tuple[Past, frozenset[ServiceLevel]]


def _learned(pairs: Sequence[_Explained], end: datetime) -> LearnedLevel:
    level = _most(pairs, end)
    dated = [(case, levels) for case, levels in pairs if case.due_at is not None]
    changed_on, before = None, None
    if len(pairs) >= 2 * LAST:
        last = pairs[-LAST:]
        recent = _most(last, end)
        if _is_new(last, level, recent):
            level = recent
        earlier = _most(pairs[:-LAST], last[0][0].at)
        if level == recent and _is_new(last, earlier, recent):
            changed_on, before = _since(pairs, recent), earlier
    right = sum(level in levels for _, levels in dated) if level is not None else 0
    return LearnedLevel(level, len(dated), right, changed_on, before)


def _is_new(
    last: Sequence[_Explained], before: ServiceLevel | None, recent: ServiceLevel | None
) -> bool:
    """Whether the last cases say something else: many levels give one due date now and then."""
    return (
        recent != before
        and sum(_says(pair, recent) for pair in last) >= LAST_SHARE * len(last)
        and sum(_says(pair, before) for pair in last) < len(last) / 2
    )


def _says(pair: _Explained, level: ServiceLevel | None) -> bool:
    case, levels = pair
    return case.due_at is None if level is None else level in levels


def _since(pairs: Sequence[_Explained], level: ServiceLevel | None) -> date:
    """The day from which on most cases say that level."""
    since = pairs[-1][0].at
    balance = 0
    for pair in reversed(pairs):
        balance += 1 if _says(pair, level) else -3
        if balance < 0:
            break
        if _says(pair, level):
            since = pair[0].at
    return since.date()


def _most(pairs: Sequence[_Explained], end: datetime) -> ServiceLevel | None:
    """The level that explains most, recent cases counting more; None where most have none."""
    weights: dict[ServiceLevel | None, float] = defaultdict(float)
    total = 0.0
    for case, levels in pairs:
        weight = math.pow(0.5, max((end - case.at) / timedelta(days=1), 0.0) / HALF_LIFE_DAYS)
        total += weight
        if case.due_at is None:
            weights[None] += weight
        for level in levels:
            weights[level] += weight
    if not weights or weights.get(None, 0.0) > total / 2:
        return None
    weights.pop(None, None)
    return min(weights, key=lambda level: (-weights[level], _simplicity(level)), default=None)


def _simplicity(level: ServiceLevel | None) -> tuple[bool, bool, float]:
    """Of levels that explain as much, the one that is said in fewer words first."""
    assert level is not None
    return (
        level.working_days is not None,
        level.to_the_hour,
        level.hours or level.working_days or 0,
    )
