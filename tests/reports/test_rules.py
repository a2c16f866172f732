"""The life cycle row by row, and what the public sees of a place and a name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.naming import public_name
from accounts.rules import Display
from core.errors import ConflictError, InvalidError
from geo.measures import Point, distance_m
from reports.rules import (
    MOVES,
    DuplicateMoveError,
    Facts,
    FinishedError,
    MoveError,
    Need,
    NoTeamError,
    OnlyByJoiningError,
    Reason,
    Step,
    VolunteersMayNotError,
    WindowClosedError,
    check_move,
    check_open,
    destinations,
    may_reopen,
    public_address,
    public_point,
    rejection_reason,
    reopening_ends_at,
    takes_words,
)
from reports.vocabulary import OPEN_STATUSES, ActorKind, Status

EVERYTHING = Facts(
    has_team=True, has_public_note=True, is_window_open=True, may_volunteers_resolve=True
)
ROWS = [(before, after, step) for before, row in MOVES.items() for after, step in row.items()]
NOON = datetime(2026, 3, 11, 12, tzinfo=UTC)

#: The table as the documents tell it, written a second time so that a slip of the hand shows.
STAFF_MAY = {
    "received": "triaged assigned in_progress on_hold resolved rejected",
    "triaged": "assigned in_progress on_hold resolved rejected",
    "assigned": "triaged in_progress on_hold resolved rejected",
    "in_progress": "triaged assigned on_hold resolved rejected",
    "on_hold": "triaged assigned in_progress resolved rejected",
    "resolved": "closed reopened",
    "closed": "reopened",
    "rejected": "reopened",
    "duplicate": "",
    "reopened": "triaged assigned in_progress on_hold resolved rejected",
}


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("by", [ActorKind.STAFF, ActorKind.MACHINE])
def test_staff_and_their_machines_may_move_as_documented(before: Status, by: ActorKind) -> None:
    assert set(destinations(before, by)) == {Status(name) for name in STAFF_MAY[before].split()}


@pytest.mark.parametrize("before", Status)
def test_a_reporter_may_only_withdraw_and_reopen(before: Status) -> None:
    allowed = destinations(before, ActorKind.REPORTER)
    if before in OPEN_STATUSES:
        assert allowed == [Status.CLOSED]
    elif before in (Status.RESOLVED, Status.CLOSED):
        assert allowed == [Status.REOPENED]
    else:
        assert allowed == []


@pytest.mark.parametrize("before", Status)
def test_a_citizen_with_an_account_moves_nothing(before: Status) -> None:
    assert destinations(before, ActorKind.CITIZEN) == []


@pytest.mark.parametrize("before", Status)
def test_a_volunteer_may_only_resolve_what_is_open_and_not_held(before: Status) -> None:
    may = before in OPEN_STATUSES and before is not Status.ON_HOLD
    assert destinations(before, ActorKind.VOLUNTEER) == ([Status.RESOLVED] if may else [])


@pytest.mark.parametrize(("before", "after", "step"), ROWS)
def test_each_row_holds_for_those_it_names_and_nobody_else(
    before: Status, after: Status, step: Step
) -> None:
    for by in ActorKind:
        if by in step.by:
            check_move(before, after, by, EVERYTHING)
        else:
            with pytest.raises(MoveError):
                check_move(before, after, by, EVERYTHING)


@pytest.mark.parametrize(("before", "after", "step"), [row for row in ROWS if row[2].needs])
def test_each_need_of_a_row_is_asked_for(before: Status, after: Status, step: Step) -> None:
    refusals: dict[Need, type[Exception]] = {
        Need.TEAM: NoTeamError,
        Need.PUBLIC_NOTE: InvalidError,
        Need.OPEN_WINDOW: WindowClosedError,
        Need.VOLUNTEERS: VolunteersMayNotError,
    }
    asks = {Need.OPEN_WINDOW: ActorKind.REPORTER, Need.VOLUNTEERS: ActorKind.VOLUNTEER}
    for need in step.needs:
        by = asks.get(need, ActorKind.STAFF)
        lacking = Facts(
            has_team=need is not Need.TEAM,
            has_public_note=need is not Need.PUBLIC_NOTE,
            is_window_open=need is not Need.OPEN_WINDOW,
            may_volunteers_resolve=need is not Need.VOLUNTEERS,
        )
        with pytest.raises(refusals[need]):
            check_move(before, after, by, lacking)


@given(st.sampled_from(Status), st.sampled_from(Status), st.sampled_from(ActorKind))
def test_what_is_in_no_row_is_a_conflict(before: Status, after: Status, by: ActorKind) -> None:
    if after in MOVES[before] and by in MOVES[before][after].by:
        check_move(before, after, by, EVERYTHING)
    else:
        with pytest.raises(ConflictError):
            check_move(before, after, by, EVERYTHING)


def test_the_refusal_says_where_it_may_go_instead() -> None:
    with pytest.raises(MoveError) as refused:
        check_move(Status.CLOSED, Status.IN_PROGRESS, ActorKind.STAFF, EVERYTHING)
    assert refused.value.problem()["allowed"] == ["reopened"]


def test_duplicate_is_neither_reached_nor_left_by_a_move() -> None:
    for status in Status:
        if status is not Status.DUPLICATE:
            with pytest.raises(OnlyByJoiningError):
                check_move(status, Status.DUPLICATE, ActorKind.STAFF, EVERYTHING)
        with pytest.raises(DuplicateMoveError):
            check_move(Status.DUPLICATE, status, ActorKind.STAFF, EVERYTHING)


def test_every_status_but_duplicate_can_be_reached() -> None:
    reached = {after for row in MOVES.values() for after in row} | {Status.RECEIVED}
    assert reached == set(Status) - {Status.DUPLICATE}


def test_staff_reopen_after_the_window_has_closed() -> None:
    late = Facts(is_window_open=False)
    check_move(Status.CLOSED, Status.REOPENED, ActorKind.STAFF, late)


@pytest.mark.parametrize("status", Status)
def test_work_is_done_on_open_reports_only(status: Status) -> None:
    if status.is_open:
        check_open(status)
    else:
        expected = DuplicateMoveError if status is Status.DUPLICATE else FinishedError
        with pytest.raises(expected):
            check_open(status)


def test_the_window_is_counted_from_the_resolution_and_includes_its_end() -> None:
    end = reopening_ends_at(NOON, 14)
    assert end == NOON + timedelta(days=14)
    assert may_reopen(NOON, 14, end)
    assert not may_reopen(NOON, 14, end + timedelta(seconds=1))


def test_what_was_withdrawn_stays_closed() -> None:
    assert not may_reopen(None, 14, NOON)


def test_a_rejection_has_a_reason_and_knows_no_other_codes() -> None:
    assert rejection_reason(None) is Reason.OTHER
    assert rejection_reason("not_ours") is Reason.NOT_OURS
    with pytest.raises(InvalidError):
        rejection_reason("bad_mood")


def test_words_are_taken_until_it_is_over_for_good() -> None:
    closed = {status for status in Status if not takes_words(status)}
    assert closed == {Status.CLOSED, Status.REJECTED}


@given(st.floats(-80, 80), st.floats(-179, 179))
def test_a_rounded_place_is_near_and_does_not_tell_the_door(lat: float, lon: float) -> None:
    point = Point(lat, lon)
    shown = public_point(point, "block")
    assert distance_m(point, shown) < 130
    assert public_point(shown, "block") == shown
    assert public_point(point, "exact") == point


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("12 rue de la Loge", "rue de la Loge"),
        ("12 bis rue de la Loge, 34000 Montpellier", "rue de la Loge, 34000 Montpellier"),
        ("12B rue de la Loge", "rue de la Loge"),
        ("12-14 Beacon Street", "Beacon Street"),
        ("3, place de la Comédie", "place de la Comédie"),
        ("rue de la Loge", None),
        ("Hauptstraße 12", None),
        (None, None),
    ],
)
def test_a_blurred_address_has_no_house_number(address: str | None, shown: str | None) -> None:
    assert public_address(address, "block") == shown
    assert public_address(address, "exact") == address


@pytest.mark.parametrize(
    ("name", "display", "shown"),
    [
        ("Camille Durand", Display.FULL, "Camille Durand"),
        ("Camille Durand", Display.FIRST, "Camille"),
        ("Camille Durand", Display.ANONYMOUS, None),
        ("  ", Display.FULL, None),
        (None, Display.FIRST, None),
    ],
)
def test_a_name_is_shown_as_its_owner_chose(
    name: str | None, display: Display, shown: str | None
) -> None:
    assert public_name(name, display) == shown
