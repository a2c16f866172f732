"""Due dates: by the clock, by working hours, by working days, around holidays and clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.service_levels import (
    Clock,
    RestlessError,
    ServiceLevel,
    WorkCalendar,
    due_at,
    resume,
)

PARIS = ZoneInfo("Europe/Paris")
OFFICE = {
    "hours": {
        **{
            day: [["08:00", "12:00"], ["13:30", "17:00"]]
            for day in ("monday", "tuesday", "wednesday", "thursday")
        },
        "friday": [["08:00", "12:00"]],
    }
}


def calendar(
    data: dict[str, Any] | None = None,
    *,
    country: str = "FR",
    subdivision: str | None = None,
    zone: str = "Europe/Paris",
    closed: tuple[date, ...] = (),
) -> WorkCalendar:
    return WorkCalendar.from_data(
        OFFICE if data is None else data,
        time_zone=zone,
        country=country,
        subdivision=subdivision,
        closed_days=closed,
    )


def paris(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS).astimezone(UTC)


@pytest.mark.parametrize(
    ("level", "requested", "due"),
    [
        # Hours of the clock run through the night and over Sunday.
        ({"hours": 24, "clock": "calendar"}, "2026-03-13T16:00", "2026-03-14T16:00"),
        # The night of the change to summer time has an hour less on the clock on the wall.
        ({"hours": 24, "clock": "calendar"}, "2026-03-28T12:00", "2026-03-29T13:00"),
        # Four hours of work from Thursday 15:00: two on Thursday, two on Friday.
        ({"hours": 4, "clock": "working"}, "2026-03-12T15:00", "2026-03-13T10:00"),
        # The lunch break is nobody's working time.
        ({"hours": 2, "clock": "working"}, "2026-03-11T11:00", "2026-03-11T14:30"),
        # From Friday afternoon on, Monday morning counts.
        ({"hours": 1, "clock": "working"}, "2026-03-13T14:00", "2026-03-16T09:00"),
        # The day it came in does not count; a day ends with its work.
        ({"working_days": 1}, "2026-03-11T10:00", "2026-03-12T17:00"),
        ({"working_days": 2}, "2026-03-11T10:00", "2026-03-13T12:00"),
        ({"working_days": 5}, "2026-03-11T10:00", "2026-03-18T17:00"),
        # To the hour: what came at 10:12 is due at 10:12; Sunday's hour is kept, the evening's not.
        ({"working_days": 2, "to_the_hour": True}, "2026-03-11T10:12", "2026-03-13T10:12"),
        ({"working_days": 2, "to_the_hour": True}, "2026-03-11T05:00", "2026-03-13T05:00"),
        ({"working_days": 1, "to_the_hour": True}, "2026-03-08T11:00", "2026-03-10T11:00"),
        ({"working_days": 1, "to_the_hour": True}, "2026-03-11T17:00", "2026-03-13T08:00"),
        ({"working_days": 1, "to_the_hour": True}, "2026-03-08T18:00", "2026-03-11T08:00"),
        # After the cut-off it counts as if it had come in on the next working day.
        ({"working_days": 1, "cut_off": "15:00"}, "2026-03-11T14:59", "2026-03-12T17:00"),
        ({"working_days": 1, "cut_off": "15:00"}, "2026-03-11T15:00", "2026-03-13T12:00"),
        # A Sunday report is one of Monday.
        ({"working_days": 1}, "2026-03-15T10:00", "2026-03-17T17:00"),
        # 14 July is a Tuesday in 2026.
        ({"working_days": 1}, "2026-07-13T10:00", "2026-07-15T17:00"),
    ],
)
def test_due_dates_of_an_office_in_france(
    level: dict[str, object], requested: str, due: str
) -> None:
    parsed = ServiceLevel.from_data(level)
    assert parsed is not None
    assert due_at(parsed, paris(requested), calendar()) == paris(due)


def test_nothing_is_promised_without_a_level() -> None:
    assert ServiceLevel.from_data({}) is None


def test_holidays_of_the_united_states_and_of_one_state() -> None:
    level = ServiceLevel(working_days=1)
    boston = ZoneInfo("America/New_York")
    # Patriots' Day, 20 April 2026, is kept in Massachusetts and not in New York.
    friday = datetime(2026, 4, 17, 10, tzinfo=boston).astimezone(UTC)
    hours = {"hours": {day: [["09:00", "17:00"]] for day in ("monday", "tuesday", "friday")}}
    massachusetts = calendar(hours, country="US", subdivision="MA", zone="America/New_York")
    new_york = calendar(hours, country="US", subdivision="NY", zone="America/New_York")
    assert due_at(level, friday, massachusetts).astimezone(boston).date() == date(2026, 4, 21)
    assert due_at(level, friday, new_york).astimezone(boston).date() == date(2026, 4, 20)


def test_a_citys_own_closed_days_and_a_crew_that_always_works() -> None:
    level = ServiceLevel(working_days=1)
    closed = calendar(closed=(date(2026, 3, 12),))
    assert due_at(level, paris("2026-03-11T10:00"), closed) == paris("2026-03-13T12:00")
    crew = calendar(
        {"hours": {"tuesday": [["00:00", "24:00"]]}, "works_on_holidays": True},
        closed=(date(2026, 7, 14),),
    )
    # To the end of the day, which is the beginning of the next.
    assert due_at(level, paris("2026-07-13T10:00"), crew) == paris("2026-07-22T00:00")


def test_a_team_that_never_works_makes_no_promise() -> None:
    never = WorkCalendar(PARIS, ((),) * 7)
    with pytest.raises(RestlessError):
        due_at(ServiceLevel(working_days=1), paris("2026-03-11T10:00"), never)


def test_urgent_work_is_due_sooner_and_unimportant_work_not_later() -> None:
    level = ServiceLevel(hours=8, clock=Clock.CALENDAR)
    start = paris("2026-03-11T10:00")
    due = {p: due_at(level, start, calendar(), priority=p) for p in (-1, 0, 1, 2, 5)}
    assert due[-1] == due[0] == start + timedelta(hours=8)
    assert due[1] == start + timedelta(hours=4)
    assert due[2] == due[5] == start + timedelta(hours=2)


@pytest.mark.parametrize(
    ("due", "held", "back", "expected"),
    [
        # Two working hours were left on Wednesday; held to Thursday 09:00, due at 11:00.
        ("2026-03-11T17:00", "2026-03-11T15:00", "2026-03-12T09:00", "2026-03-12T11:00"),
        # Held over lunch only: nothing of the work was lost.
        ("2026-03-11T17:00", "2026-03-11T12:00", "2026-03-11T13:30", "2026-03-11T17:00"),
        # Overdue before it was held: still overdue.
        ("2026-03-11T10:00", "2026-03-11T15:00", "2026-03-12T09:00", "2026-03-11T10:00"),
    ],
)
def test_a_hold_puts_the_due_date_off_by_the_work_that_was_left(
    due: str, held: str, back: str, expected: str
) -> None:
    assert resume(paris(due), paris(held), paris(back), calendar()) == paris(expected)


def test_a_hold_on_the_wall_clock_puts_off_by_its_length() -> None:
    due, held = paris("2026-03-11T10:00"), paris("2026-03-10T10:00")
    assert resume(due, held, held + timedelta(hours=3), None) == due + timedelta(hours=3)


levels = st.one_of(
    st.builds(
        ServiceLevel,
        hours=st.floats(0.25, 200),
        clock=st.just(Clock.WORKING),
        cut_off=st.none() | st.just(time(15)),
    ),
    st.builds(
        ServiceLevel,
        working_days=st.integers(1, 30).map(float),
        cut_off=st.none() | st.just(time(15)),
    ),
)
instants = st.datetimes(
    datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)  # noqa: DTZ001
)  # fmt: skip


@settings(max_examples=200)
@given(levels, instants)
def test_due_is_later_than_the_request_and_within_working_hours(
    level: ServiceLevel, requested: datetime
) -> None:
    works = calendar()
    due = due_at(level, requested, works)
    assert due > requested
    assert any(opens < due <= closes for opens, closes in works.stretches(works.local_day(due)))


@settings(max_examples=200)
@given(levels, instants, st.timedeltas(timedelta(0), timedelta(days=20)))
def test_who_comes_later_is_due_no_earlier(
    level: ServiceLevel, requested: datetime, later: timedelta
) -> None:
    works = calendar()
    assert due_at(level, requested, works) <= due_at(level, requested + later, works)


@settings(max_examples=200)
@given(levels, instants, st.timedeltas(timedelta(0), timedelta(days=9)),
       st.timedeltas(timedelta(0), timedelta(days=9)))  # fmt: skip
def test_a_hold_never_brings_the_due_date_nearer(
    level: ServiceLevel, requested: datetime, before: timedelta, held: timedelta
) -> None:
    works = calendar()
    due = due_at(level, requested, works)
    since = requested + before
    later = resume(due, since, since + held, works)
    assert later >= due
    assert resume(due, since, since + held + timedelta(days=1), works) >= later
