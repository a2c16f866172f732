"""How good learned rules and levels are: past cases routed and dated as a city would have done.

Exactly what production does: the learned table is written as rules, read back by the grammar,
decided by `deciding.decide`, and due dates are counted by `service_levels.due_at`. Of a judged case
only what is known at its intake is looked at: what was asked, where, how and when. `Router` never
sees the department, queue, due date or closing of what it routes.

`rolling` judges each month of a history by the months before it, beside the simple rules: the most
frequent team of the service, and the median time of the service.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median_low
from typing import Self
from zoneinfo import ZoneInfo

from core.text import fold
from geo.areas import AreaIndex
from reports.case_files import PastCase
from reports.routing import deciding, learning, level_learning
from reports.routing.deciding import Facts, RoutingPlan
from reports.routing.grammar import parse
from reports.routing.learning import LearnedTable
from reports.routing.level_learning import LearnedLevels
from reports.routing.past import AreaMemory, CodeBooks, Past, area_code

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Routed:
    """What was decided about a case, in the words of its file."""

    id: str
    department: str
    queue: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Router:
    """A learned table and learned levels at work."""

    books: CodeBooks
    memory: AreaMemory
    table: LearnedTable
    levels: LearnedLevels
    plan: RoutingPlan
    departments: Mapping[str, str]

    @classmethod
    def learn(
        cls,
        cases: Sequence[PastCase],
        zone: ZoneInfo,
        *,
        country: str = "",
        subdivision: str | None = None,
    ) -> Self:
        """A router of these cases.

        Raises:
            ValueError: none of them went to a team.
        """
        books = CodeBooks()
        bare = [books.past(case) for case in cases]
        memory = AreaMemory(bare)
        past = [memory.completed(case) for case in bare]
        table = learning.learn(past)
        levels = level_learning.learn_levels(past, zone, country=country, subdivision=subdivision)
        rules = parse(learning.as_text(table))
        teams = sorted({rule.team for rule in rules})
        plan = RoutingPlan(
            rules=rules,
            teams={team: number for number, team in enumerate(teams, start=1)},
            calendars={},
            usual=levels.calendar,
        )
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for case in cases:
            counts[case.queue][case.department] += 1
        departments = {queue: _most(found) for queue, found in counts.items()}
        return cls(books, memory, table, levels, plan, departments)

    def route(self, case: PastCase) -> Routed:
        """What the rules say of a case, by what was known when it came in."""
        known = replace(case, closed_at=None, department="", queue="", due_at=None)
        past = self.memory.completed(self.books.past(known))
        team = str(deciding.decide(self.plan, facts_of(past, self.plan)).explanation["team"])
        queue = self.books.teams.name(team)
        due = self.levels.due(past.service, past.group, past.at)
        return Routed(case.id, self.departments.get(queue, ""), queue, due)


def facts_of(case: Past, plan: RoutingPlan) -> Facts:
    """What rules may look at of a past case."""
    is_working, days, day_of_year = deciding.time_facts(plan.usual, case.at)
    return Facts(
        service_code=case.service,
        group=case.group,
        source=case.source,
        areas=frozenset(case.areas.items()),
        words=f" {fold(case.description)} ",
        is_working=is_working,
        days=days,
        day_of_year=day_of_year,
    )


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of so many were right."""

    right: int
    of: int


@dataclass(frozen=True, slots=True)
class Month:
    """How good a month was: each share beside that of the simple rule."""

    name: str
    rules: int
    department: Tally
    queue: Tally
    within_hour: Tally
    within_day: Tally
    simple_department: Tally
    simple_queue: Tally
    simple_within_hour: Tally
    simple_within_day: Tally


def rolling(
    cases: Sequence[PastCase],
    zone: ZoneInfo,
    *,
    country: str = "",
    subdivision: str | None = None,
    closed_only: bool = False,
) -> Iterator[Month]:
    """Each month but the first, judged by what came before it.

    Args:
        closed_only: learn from those alone that were closed before the month began, whose team
            cannot have changed since.
    """
    ordered = sorted(cases, key=lambda case: (case.opened_at, case.id))
    months: dict[datetime, list[PastCase]] = defaultdict(list)
    for case in ordered:
        local = case.opened_at.astimezone(zone)
        months[local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)].append(case)
    for start, judged in sorted(months.items())[1:]:
        before = [
            case
            for case in ordered
            if case.opened_at < start
            and (not closed_only or (case.closed_at is not None and case.closed_at < start))
        ]
        router = Router.learn(before, zone, country=country, subdivision=subdivision)
        yield _judged(f"{start:%Y-%m}", judged, router, before)


def ward_agreement(cases: Iterable[PastCase], wards: AreaIndex) -> Tally:
    """How often the area that a position lies in is the one that the city wrote down."""
    placed = [case for case in cases if case.point is not None and case.ward]
    found = wards.containing([case.point for case in placed if case.point is not None])
    right = sum(
        area_code(case.ward) in {area_code(area.code) for area in areas}
        for case, areas in zip(placed, found, strict=True)
    )
    return Tally(right, len(placed))


def _judged(
    name: str, judged: Sequence[PastCase], router: Router, before: Sequence[PastCase]
) -> Month:
    routed = [router.route(case) for case in judged]
    simple = _SimpleRules(before)
    guessed = [simple.route(case) for case in judged]

    def right(answers: Sequence[Routed], word: str) -> Tally:
        told = [
            getattr(answer, word) == getattr(case, word)
            for case, answer in zip(judged, answers, strict=True)
            if getattr(case, word)
        ]
        return Tally(sum(told), len(told))

    def within(answers: Sequence[Routed], limit: timedelta) -> Tally:
        told = [
            answer.due_at is not None and abs(answer.due_at - case.due_at) <= limit
            for case, answer in zip(judged, answers, strict=True)
            if case.due_at is not None
        ]
        return Tally(sum(told), len(told))

    return Month(
        name,
        len(router.table.rules),
        right(routed, "department"),
        right(routed, "queue"),
        within(routed, _HOUR),
        within(routed, _DAY),
        right(guessed, "department"),
        right(guessed, "queue"),
        within(guessed, _HOUR),
        within(guessed, _DAY),
    )


class _SimpleRules:
    """The most frequent team and the median time of each type: what to be better than."""

    def __init__(self, cases: Sequence[PastCase]) -> None:
        teams: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        times: dict[str, list[timedelta]] = defaultdict(list)
        for case in cases:
            teams[case.type][case.department, case.queue] += 1
            if case.due_at is not None:
                times[case.type].append(case.due_at - case.opened_at)
        self._team = {
            name: max(sorted(found), key=found.__getitem__) for name, found in teams.items()
        }
        self._time = {name: median_low(found) for name, found in times.items()}

    def route(self, case: PastCase) -> Routed:
        """What the type alone says."""
        department, queue = self._team.get(case.type, ("", ""))
        time = self._time.get(case.type)
        return Routed(case.id, department, queue, None if time is None else case.opened_at + time)


def _most(counts: Counter[str]) -> str:
    return max(sorted(counts), key=counts.__getitem__)
