"""The rules of telling, by tables and properties."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.rules import (
    LONGEST_WAIT,
    MAX_ATTEMPTS,
    NIGHT,
    TOLD,
    Quiet,
    after_failure,
    digest_window,
    enhanced_code,
    fault_of_http,
    fault_of_smtp,
    is_overtaken,
    next_allowed,
    occasion_of,
    occasions_of,
    quiet_of,
    retry_after,
    send_from,
    ways,
)
from notifications.vocabulary import Channel, DeliveryState, Fault, Occasion, Role

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)

AGAIN, GONE, OURS = Fault.TRY_AGAIN, Fault.GIVE_UP_ON_RECIPIENT, Fault.OUR_BUG


@pytest.mark.parametrize(
    ("event", "data", "occasion"),
    [
        ("report.submitted", {}, Occasion.RECEIVED),
        ("report.joined", {}, Occasion.MERGED),
        ("report.unjoined", {}, Occasion.SEPARATED),
        ("report.assigned", {}, Occasion.ASSIGNED),
        ("report.status_changed", {"to": "resolved"}, Occasion.RESOLVED),
        ("report.status_changed", {"to": "rejected"}, Occasion.REJECTED),
        ("report.status_changed", {"to": "reopened"}, Occasion.REOPENED),
        ("report.status_changed", {"to": "resolved", "takes_back": 7}, Occasion.NOT_REOPENED),
        ("report.status_changed", {"to": "on_hold"}, Occasion.NOTE),
        ("report.status_changed", {"to": "assigned"}, None),
        ("report.status_changed", {"to": "triaged"}, None),
        ("report.question_asked", {}, Occasion.QUESTION),
        ("report.commented", {}, Occasion.NOTE),
        ("report.followed", {}, Occasion.CONFIRM),
        ("photo.dropped", {}, Occasion.PHOTO_DROPPED),
        ("report.located", {}, None),
        ("report.triaged", {}, None),
    ],
)
def test_what_is_told_of_an_event(
    event: str, data: dict[str, object], occasion: Occasion | None
) -> None:
    assert occasion_of(event, data) is occasion


def test_of_a_separation_its_own_people_hear_and_those_who_were_misled() -> None:
    assert occasions_of("report.unjoined", {}) == (Occasion.SEPARATED, Occasion.NOT_OVER)
    assert occasions_of("report.joined", {}) == (Occasion.MERGED,)
    assert occasions_of("report.located", {}) == ()


def test_a_reporter_hears_every_step_and_a_follower_the_outcome() -> None:
    reporter = {occasion for occasion, roles in TOLD.items() if Role.REPORTER in roles}
    follower = {occasion for occasion, roles in TOLD.items() if Role.FOLLOWER in roles}
    assert reporter == set(TOLD)
    assert follower == {
        Occasion.RESOLVED,
        Occasion.REJECTED,
        Occasion.REOPENED,
        Occasion.NOT_REOPENED,
        Occasion.NOT_OVER,
        Occasion.NOTE,
        Occasion.CONFIRM,
    }


@pytest.mark.parametrize(
    ("occasion", "role", "email", "phone", "channels"),
    [
        (Occasion.RESOLVED, Role.REPORTER, True, True, (Channel.EMAIL,)),
        (Occasion.RESOLVED, Role.REPORTER, False, True, (Channel.SMS,)),
        (Occasion.RESOLVED, Role.REPORTER, False, False, ()),
        (Occasion.NOTE, Role.FOLLOWER, False, True, ()),
        (Occasion.NOTE, Role.REPORTER, False, True, (Channel.SMS,)),
        (Occasion.ASSIGNED, Role.FOLLOWER, True, True, ()),
    ],
)
def test_over_which_channel(
    occasion: Occasion, role: Role, email: bool, phone: bool, channels: tuple[Channel, ...]
) -> None:
    assert ways(occasion, role, has_email=email, has_phone=phone) == channels


# The night from 28 to 29 March 2026 the clocks of Paris jump from 2 to 3; on 25 October they go
# back from 3 to 2.
@pytest.mark.parametrize(
    ("at", "quiet", "allowed"),
    [
        ("2026-03-11 12:00", NIGHT, "2026-03-11 12:00"),
        ("2026-03-11 20:59", NIGHT, "2026-03-11 20:59"),
        ("2026-03-11 21:00", NIGHT, "2026-03-12 08:00"),
        ("2026-03-12 07:59", NIGHT, "2026-03-12 08:00"),
        ("2026-03-12 08:00", NIGHT, "2026-03-12 08:00"),
        ("2026-03-28 22:00", NIGHT, "2026-03-29 08:00"),
        ("2026-10-24 22:00", NIGHT, "2026-10-25 08:00"),
        ("2026-03-28 23:00", Quiet(time(22), time(2, 30)), "2026-03-29 03:30"),
        ("2026-10-25 00:30", Quiet(time(22), time(2, 30)), "2026-10-25 02:30"),
        ("2026-03-11 12:30", Quiet(time(12), time(14)), "2026-03-11 14:00"),
        ("2026-03-11 23:00", None, "2026-03-11 23:00"),
    ],
)
def test_quiet_hours_by_the_recipients_clock(at: str, quiet: Quiet | None, allowed: str) -> None:
    local = datetime.fromisoformat(at).replace(tzinfo=PARIS)
    expected = datetime.fromisoformat(allowed).replace(tzinfo=PARIS)
    assert next_allowed(local.astimezone(UTC), PARIS, quiet) == expected.astimezone(UTC)


def test_the_hour_that_comes_twice_is_quiet_twice() -> None:
    first, second = (
        datetime(2026, 10, 25, 2, 15, tzinfo=PARIS, fold=fold).astimezone(UTC) for fold in (0, 1)
    )
    quiet = Quiet(time(22), time(2, 30))
    assert next_allowed(first, PARIS, quiet) == first + timedelta(minutes=15)
    assert next_allowed(second, PARIS, quiet) == second + timedelta(minutes=15)


@given(
    minutes=st.integers(0, 15 * 366 * 24 * 60),
    zone=st.sampled_from(
        ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
    ),
    start=st.times(),
    end=st.times(),
)
def test_the_instant_found_is_allowed_and_within_a_day(
    minutes: int, zone: str, start: time, end: time
) -> None:
    at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    quiet = Quiet(start, end)
    tz = ZoneInfo(zone)
    found = next_allowed(at, tz, quiet)
    assert at <= found <= at + timedelta(hours=26)
    assert not quiet.covers(found.astimezone(tz).time())
    assert next_allowed(found, tz, quiet) == found


def test_a_city_chooses_its_quiet_hours() -> None:
    chosen = {"quiet_hours": {"from": "20:00", "to": "09:30"}}
    assert quiet_of(Channel.SMS, {}) == NIGHT
    assert quiet_of(Channel.SMS, chosen) == Quiet(time(20), time(9, 30))
    assert quiet_of(Channel.PUSH, {"quiet_hours": None}) is None
    assert quiet_of(Channel.EMAIL, chosen) is None
    with pytest.raises(ValueError, match="25:00"):
        quiet_of(Channel.SMS, {"quiet_hours": {"from": "25:00", "to": "09:30"}})


def test_an_awaited_answer_comes_at_night_unless_it_is_late() -> None:
    night = datetime(2026, 3, 11, 22, 0, tzinfo=UTC)
    soon = night + timedelta(minutes=1)
    late = night + timedelta(hours=1)
    morning = datetime(2026, 3, 12, 7, 0, tzinfo=UTC)
    assert send_from(Occasion.RECEIVED, soon, night, PARIS, NIGHT) == soon
    assert send_from(Occasion.RECEIVED, late, night, PARIS, NIGHT) == morning
    assert send_from(Occasion.RESOLVED, soon, night, PARIS, NIGHT) == morning


@pytest.mark.parametrize(
    ("code", "reply", "fault"),
    [
        (0, "", AGAIN),
        (-1, "", AGAIN),
        (421, "4.7.0 try later", AGAIN),
        (450, "4.2.0 greylisted", AGAIN),
        (451, "", AGAIN),
        (452, "4.2.2 mailbox full", AGAIN),
        (454, "4.7.0 temporary authentication failure", AGAIN),
        (500, "", OURS),
        (501, "5.1.3 bad recipient address syntax", GONE),
        (501, "5.1.7 bad sender address syntax", OURS),
        (502, "", OURS),
        (521, "", GONE),
        (530, "5.7.0 authentication required", OURS),
        (535, "5.7.8 authentication failed", OURS),
        (550, "", GONE),
        (550, "5.1.1 no such user", GONE),
        (550, "5.2.1 mailbox disabled", GONE),
        (550, "5.7.1 relaying denied", OURS),
        (551, "", GONE),
        (552, "", AGAIN),
        (552, "5.2.2 mailbox full", AGAIN),
        (552, "5.3.4 message too big", OURS),
        (553, "", GONE),
        (553, "5.1.8 sender domain does not exist", OURS),
        (554, "", OURS),
        (554, "5.7.1 blocked", OURS),
        (554, "5.1.1 unknown", GONE),
        (556, "5.1.10 null MX", GONE),
    ],
)
def test_whose_fault_an_smtp_reply_is(code: int, reply: str, fault: Fault) -> None:
    assert fault_of_smtp(code, enhanced_code(reply)) is fault


@pytest.mark.parametrize(
    ("status", "channel", "fault"),
    [
        (200, Channel.SMS, None),
        (201, Channel.PUSH, None),
        (204, Channel.WEBHOOK, None),
        (0, Channel.SMS, AGAIN),
        (408, Channel.SMS, AGAIN),
        (429, Channel.PUSH, AGAIN),
        (500, Channel.SMS, AGAIN),
        (503, Channel.PUSH, AGAIN),
        (404, Channel.PUSH, GONE),
        (410, Channel.PUSH, GONE),
        (401, Channel.SMS, OURS),
        (403, Channel.PUSH, OURS),
        (400, Channel.SMS, OURS),
        (302, Channel.SMS, OURS),
        (302, Channel.WEBHOOK, AGAIN),
        (401, Channel.WEBHOOK, AGAIN),
        (404, Channel.WEBHOOK, AGAIN),
        (410, Channel.WEBHOOK, GONE),
    ],
)
def test_whose_fault_an_http_answer_is(status: int, channel: Channel, fault: Fault | None) -> None:
    assert fault_of_http(status, channel=channel) is fault


@given(st.integers(1, 40), st.floats(0, 1), st.floats(0, 1))
def test_waits_grow_from_a_minute_to_twelve_hours(
    attempts: int, jitter: float, other: float
) -> None:
    wait = retry_after(attempts, jitter)
    assert timedelta(minutes=1) <= wait <= LONGEST_WAIT
    assert retry_after(attempts + 1, jitter) >= wait
    if attempts < 7:
        assert retry_after(attempts + 1, other) > wait


def test_what_follows_from_a_failure() -> None:
    def state(fault: Fault, attempts: int) -> DeliveryState:
        return after_failure(fault, attempts, NOW, 0.5).state

    assert state(AGAIN, 1) is DeliveryState.PENDING
    assert state(AGAIN, MAX_ATTEMPTS - 1) is DeliveryState.PENDING
    assert state(AGAIN, MAX_ATTEMPTS) is DeliveryState.DEAD
    assert state(GONE, 1) is DeliveryState.GONE
    assert state(OURS, 1) is DeliveryState.DEAD


def test_a_provider_may_ask_for_a_longer_wait_but_not_for_ever() -> None:
    def wait(seconds: int) -> timedelta:
        return after_failure(AGAIN, 1, NOW, 0, asked_wait_s=seconds).next_attempt_at - NOW

    assert wait(10) == timedelta(minutes=1)
    assert wait(900) == timedelta(minutes=15)
    assert wait(10**9) == LONGEST_WAIT


def test_only_a_message_that_waited_long_is_overtaken() -> None:
    assert not is_overtaken(Occasion.RESOLVED, "reopened", timedelta(minutes=5))
    assert is_overtaken(Occasion.RESOLVED, "reopened", timedelta(hours=9))
    assert not is_overtaken(Occasion.RESOLVED, "closed", timedelta(hours=9))
    assert not is_overtaken(Occasion.RECEIVED, "closed", timedelta(hours=9))


def _weekdays(day: date) -> bool:
    return day.weekday() < 5


@pytest.mark.parametrize(
    ("choice", "last", "now", "window"),
    [
        ("off", None, "03-11 09:30", None),
        ("hourly", None, "03-11 09:30", ("03-04 09:00", "03-11 09:00")),
        ("hourly", "03-11 08:00", "03-11 09:00", ("03-11 08:00", "03-11 09:00")),
        ("hourly", "03-11 09:00", "03-11 09:59", None),
        ("hourly", "03-11 05:00", "03-11 09:05", ("03-11 05:00", "03-11 09:00")),
        # Daily at 08:00 in Paris, 07:00 UTC.
        ("daily", "03-10 07:00", "03-11 06:59", None),
        ("daily", "03-10 07:00", "03-11 07:00", ("03-10 07:00", "03-11 07:00")),
        # Saturday and Sunday rest; Monday's digest reaches back to Friday's.
        ("daily", "03-13 07:00", "03-14 12:00", None),
        ("daily", "03-13 07:00", "03-16 07:01", ("03-13 07:00", "03-16 07:00")),
        ("daily", "02-01 07:00", "03-11 07:00", ("03-04 07:00", "03-11 07:00")),
        ("immediately", "03-11 09:00", "03-11 09:01", ("03-11 09:00", "03-11 09:01")),
        ("immediately", "03-11 09:00", "03-11 09:00", None),
    ],
)
def test_which_window_a_digest_covers(
    choice: str, last: str | None, now: str, window: tuple[str, str] | None
) -> None:
    def instant(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)

    found = digest_window(choice, instant(last) if last else None, instant(now), PARIS, _weekdays)
    if window is None:
        assert found is None
    else:
        assert found is not None
        assert (found.start, found.end) == tuple(instant(text) for text in window)


def test_the_daily_digest_keeps_its_hour_when_the_clocks_change() -> None:
    last = datetime(2026, 3, 27, 7, 0, tzinfo=UTC)
    now = datetime(2026, 3, 30, 6, 0, tzinfo=UTC)
    window = digest_window("daily", last, now, PARIS, _weekdays)
    assert window is not None
    assert window.end == now


def test_nobody_works_and_nothing_is_due() -> None:
    assert digest_window("daily", None, NOW, PARIS, lambda day: False) is None
