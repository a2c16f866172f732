"""Service levels learned from due dates: the clock of a city, and what it promised on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from ruamel.yaml import YAML

from app.city_schemas import ServiceLevelIn
from reports.routing.level_learning import as_yaml, learn_levels
from reports.routing.past import Past
from reports.service_levels import Clock, ServiceLevel, WorkCalendar, due_at

PARIS = ZoneInfo("Europe/Paris")
START = datetime(2026, 4, 1, tzinfo=UTC)

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
OFFICE = WorkCalendar.from_data(
    {"hours": {day: [["08:30", "17:00"]] for day in DAYS}}, time_zone="Europe/Paris", country="FR"
)
NO_HOLIDAYS = WorkCalendar.from_data(
    {"hours": {day: [["08:30", "17:00"]] for day in DAYS}, "works_on_holidays": True},
    time_zone="Europe/Paris",
    country="FR",
)

TWO_DAYS = ServiceLevel(working_days=2, to_the_hour=True)
TEN_DAYS = ServiceLevel(working_days=10, to_the_hour=True)
END_OF_DAY = ServiceLevel(working_days=3)
A_WEEK = ServiceLevel(hours=168, clock=Clock.CALENDAR)

Due = Callable[[datetime], datetime | None]


def promised(level: ServiceLevel, calendar: WorkCalendar = OFFICE) -> Due:
    return lambda at: due_at(level, at, calendar)


def history(service: str, due: Due, *, first: int = 0, days: int = 60) -> list[Past]:
    """Five cases a day, night and weekend too."""
    cases = []
    for day in range(first, first + days):
        for number in range(5):
            at = START + timedelta(days=day, hours=4.6 * number, minutes=7 * day % 60)
            cases.append(
                Past(f"{service}{day}.{number}", service, "g", "app", at, None, {}, due_at=due(at))
            )
    return cases


def test_the_clock_and_the_levels_are_found_in_the_due_dates() -> None:
    cases = [
        *history("bulk", promised(TWO_DAYS)),
        *history("lamp", promised(TEN_DAYS)),
        *history("tree", promised(A_WEEK)),
        *history("sign", promised(END_OF_DAY)),
        *history("note", lambda at: None),
    ]
    learned = learn_levels(cases, PARIS, country="FR")
    assert (learned.clock.opens, learned.clock.closes) == (time(8, 30), time(17, 0))
    assert learned.clock.rest == {5, 6}
    assert learned.clock.keeps_holidays
    levels = {service: found.level for service, found in learned.services.items()}
    assert levels == {
        "bulk": TWO_DAYS,
        "lamp": TEN_DAYS,
        "tree": A_WEEK,
        "sign": END_OF_DAY,
        "note": None,
    }
    at = datetime(2026, 9, 4, 16, 30, tzinfo=UTC)
    assert learned.due("bulk", "g", at) == due_at(TWO_DAYS, at, OFFICE)
    assert learned.due("note", "g", at) is None


def test_a_city_that_counts_holidays_is_known_by_its_due_dates() -> None:
    learned = learn_levels(history("bulk", promised(TWO_DAYS, NO_HOLIDAYS)), PARIS, country="FR")
    assert not learned.clock.keeps_holidays


def test_a_level_that_changed_is_told_with_its_day() -> None:
    cases = history("bulk", promised(TEN_DAYS), days=100)
    cases += history("bulk", promised(TWO_DAYS), first=100, days=12)
    found = learn_levels(cases, PARIS, country="FR").services["bulk"]
    assert (found.level, found.before) == (TWO_DAYS, TEN_DAYS)
    assert found.changed_on is not None
    assert abs(found.changed_on - date(2026, 7, 10)) <= timedelta(days=2)


def test_single_odd_due_dates_change_nothing() -> None:
    odd = iter(range(10_000))
    cases = history(
        "bulk",
        lambda at: at + timedelta(days=700) if next(odd) % 7 == 0 else due_at(TWO_DAYS, at, OFFICE),
    )
    found = learn_levels(cases, PARIS, country="FR").services["bulk"]
    assert (found.level, found.changed_on) == (TWO_DAYS, None)
    assert 0.8 < found.right / found.cases < 0.9


def test_a_service_that_nobody_knows_has_what_its_group_or_the_city_promises() -> None:
    learned = learn_levels(history("bulk", promised(TWO_DAYS)), PARIS, country="FR")
    at = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)
    assert learned.due("new", "g", at) == due_at(TWO_DAYS, at, OFFICE)
    assert learned.due("new", "elsewhere", at) == due_at(TWO_DAYS, at, OFFICE)


@pytest.mark.parametrize("level", [TWO_DAYS, A_WEEK, END_OF_DAY])
def test_what_is_proposed_can_be_pasted_into_the_folder(level: ServiceLevel) -> None:
    learned = learn_levels(history("bulk", promised(level)), PARIS, country="FR")
    text = as_yaml(learned, {"bulk": "Bulk items"})
    assert "# Bulk items: 300 cases with a due date" in text
    data = YAML(typ="safe").load(text)
    [service] = data["services"]
    loaded = ServiceLevelIn().load(service["service_level"])
    assert ServiceLevel.from_data(loaded) == level


def test_no_history_teaches_no_level() -> None:
    learned = learn_levels([], PARIS)
    assert learned.due("bulk", "g", START) is None
