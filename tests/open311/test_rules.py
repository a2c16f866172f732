"""What the client decides: tables of cases, no database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from geo.measures import Point, destination
from open311.answers import ForeignRequest
from open311.rules import (
    CIRCUIT_OPENS_AFTER,
    Because,
    Circuit,
    Fault,
    Known,
    Ours,
    Sending,
    Theirs,
    delay_s,
    disagrees,
    fault_of_http,
    found_among,
    judge,
    token_delay_s,
)
from reports.vocabulary import Status
from tests.factories import COMEDIE

NOON = datetime(2026, 3, 11, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (200, None),
        (201, None),
        (202, None),
        (302, Fault.PERSON),
        (400, Fault.PERSON),
        (401, Fault.PERSON),
        (403, Fault.PERSON),
        (404, Fault.PERSON),
        (408, Fault.LOST),
        (422, Fault.PERSON),
        (429, Fault.TRY_AGAIN),
        (500, Fault.LOST),
        (502, Fault.LOST),
        (503, Fault.LOST),
        (504, Fault.LOST),
    ],
)
def test_whose_fault_a_status_is(status: int, fault: Fault | None) -> None:
    assert fault_of_http(status) is fault


def test_waits_grow_up_to_a_bound_and_heed_what_was_asked() -> None:
    waits = [delay_s(failures, 0.5) for failures in range(1, 30)]
    assert waits == sorted(waits)
    assert waits[0] == 30
    assert waits[-1] == 6 * 3600
    assert delay_s(1, 0.5, asked_s=600) == 600
    assert delay_s(1, 0.0) < delay_s(1, 1.0)
    assert token_delay_s(timedelta()) == 60
    assert token_delay_s(timedelta(minutes=20)) == 300
    assert token_delay_s(timedelta(days=3)) == 3600


def test_a_circuit_opens_after_failures_in_a_row_and_closes_at_the_first_success() -> None:
    circuit = Circuit()
    for _ in range(CIRCUIT_OPENS_AFTER - 1):
        circuit = circuit.after(is_well=False, now=NOON)
        assert circuit.open_until is None
    circuit = circuit.after(is_well=False, now=NOON)
    assert circuit.open_until == NOON + timedelta(minutes=1)
    assert circuit.is_tried
    assert circuit.after(is_well=False, now=NOON).open_until == NOON + timedelta(minutes=2)
    assert circuit.after(is_well=True, now=NOON) == Circuit()
    for _ in range(50):
        circuit = circuit.after(is_well=False, now=NOON)
    assert circuit.open_until == NOON + timedelta(minutes=30)
    assert Circuit().after(is_well=True, now=NOON, asked_s=90).open_until == NOON + 1.5 * MINUTE


# -- finding what was sent ------------------------------------------------------------------------

WORDS = "Un trou profond devant la boulangerie."
SENT = Sending("nid", WORDS, COMEDIE, NOON, NOON)


def shown(
    name: str = "7",
    words: str | None = WORDS,
    *,
    code: str | None = "nid",
    at: Point | None = COMEDIE,
    requested_at: datetime | None = NOON,
) -> ForeignRequest:
    return ForeignRequest(name, None, "open", None, words, code, at, requested_at, None, None)


@pytest.mark.parametrize(
    ("one", "is_found"),
    [
        (shown(), True),
        (shown(words="  un trou PROFOND\ndevant la boulangerie "), True),
        (shown(words=f"[Ville 12] {WORDS} (transmis)"), True),
        (shown(words="Autre chose."), False),
        (shown(at=destination(COMEDIE, 90, 100)), True),
        (shown(at=destination(COMEDIE, 90, 400)), False),
        (shown(at=None), True),
        (shown(code="autre"), False),
        (shown(code=None), True),
        (shown(requested_at=NOON - timedelta(hours=1)), False),
        (shown(requested_at=NOON + timedelta(hours=1)), False),
        (shown(requested_at=NOON - 10 * MINUTE), True),
        (shown(requested_at=None), True),
        # One that keeps words to itself: the service and the very place must do.
        (shown(words=None), True),
        (shown(words=None, at=destination(COMEDIE, 90, 100)), False),
        (shown(words=None, at=None), False),
        (shown(words=None, code=None), False),
    ],
)
def test_what_was_sent_is_known_by_service_words_place_and_time(
    one: ForeignRequest, is_found: bool
) -> None:
    assert (found_among(SENT, [one], taken=()) == "7") is is_found


def test_a_cut_description_is_known() -> None:
    long = "Un très long récit. " * 20
    sent = Sending("nid", long, COMEDIE, NOON, NOON)
    assert found_among(sent, [shown(words=long[:120])], taken=()) == "7"
    assert found_among(sent, [shown(words=long[:20])], taken=()) is None


def test_what_stands_for_another_report_is_not_taken() -> None:
    assert found_among(SENT, [shown("7"), shown("8")], taken={"7"}) == "8"
    assert found_among(SENT, [shown("7")], taken={"7"}) is None


def test_of_several_the_first_is_taken() -> None:
    later = shown("8", requested_at=NOON + MINUTE)
    assert found_among(SENT, [later, shown("7")], taken=()) == "7"


# -- judging what comes back ----------------------------------------------------------------------


def told(
    ours: Status,
    theirs: str | None,
    *,
    at: datetime | None = NOON + MINUTE,
    changed_at: datetime = NOON,
    known: str | None = "open",
    known_at: datetime | None = None,
    seen_at: datetime = NOON,
    is_theirs: bool = True,
    meanings: dict[str, str] | None = None,
) -> tuple[Status | None, Because]:
    verdict = judge(
        Ours(ours, changed_at, is_theirs),
        Theirs(theirs, at),
        Known(known, known_at, seen_at),
        meanings,
    )
    return verdict.to, verdict.because


@pytest.mark.parametrize(
    ("ours", "word", "to", "because"),
    [
        (Status.TRIAGED, "open", None, Because.SAME),
        (Status.TRIAGED, "closed", Status.RESOLVED, Because.NEWS),
        (Status.TRIAGED, "Closed ", Status.RESOLVED, Because.NEWS),
        (Status.TRIAGED, "fixed", Status.RESOLVED, Because.NEWS),
        (Status.TRIAGED, "in_progress", Status.IN_PROGRESS, Because.NEWS),
        (Status.TRIAGED, "In Progress", Status.IN_PROGRESS, Because.NEWS),
        (Status.TRIAGED, "action_scheduled", Status.ASSIGNED, Because.NEWS),
        (Status.IN_PROGRESS, "in_progress", None, Because.SAME),
        (Status.IN_PROGRESS, "no_further_action", Status.REJECTED, Because.NEWS),
        (Status.RESOLVED, "closed", None, Because.SAME),
        (Status.CLOSED, "fixed", None, Because.SAME),
        (Status.REJECTED, "closed", None, Because.NO_WAY),
        (Status.RESOLVED, "in_progress", Status.REOPENED, Because.NEWS),
        (Status.CLOSED, "reopened", Status.REOPENED, Because.NEWS),
        (Status.REOPENED, "reopened", None, Because.SAME),
        (Status.DUPLICATE, "closed", None, Because.NO_WAY),
        (Status.TRIAGED, "duplicate", None, Because.DUPLICATE_THERE),
        (Status.TRIAGED, None, None, Because.MISSING),
        (Status.TRIAGED, "  ", None, Because.MISSING),
        (Status.TRIAGED, "banana", None, Because.UNKNOWN),
    ],
)
def test_what_a_word_of_theirs_does(
    ours: Status, word: str | None, to: Status | None, because: Because
) -> None:
    assert told(ours, word) == (to, because)


def test_only_what_is_newer_than_our_last_change_applies() -> None:
    assert told(Status.TRIAGED, "closed", at=NOON + MINUTE)[0] is Status.RESOLVED
    assert told(Status.REOPENED, "closed", at=NOON - MINUTE) == (None, Because.OLDER)
    assert told(Status.REOPENED, "closed", at=NOON) == (None, Because.OLDER)
    # Whole seconds: within our own second nobody can tell.
    late = NOON + timedelta(milliseconds=700)
    assert told(Status.TRIAGED, "closed", at=NOON, changed_at=late) == (None, Because.OLDER)
    assert told(Status.TRIAGED, "closed", at=NOON + timedelta(seconds=1), changed_at=late)[0]


def test_without_a_time_a_changed_word_is_newer_than_our_last_look() -> None:
    ours: dict[str, Any] = {"at": None, "changed_at": NOON}
    assert told(Status.TRIAGED, "closed", seen_at=NOON + MINUTE, **ours)[0] is Status.RESOLVED
    assert told(Status.TRIAGED, "closed", seen_at=NOON - MINUTE, **ours)[1] is Because.OLDER
    same = told(Status.REOPENED, "closed", known="closed", seen_at=NOON + MINUTE, **ours)
    assert same == (None, Because.SAME)


def test_an_older_step_that_comes_late_moves_nothing() -> None:
    known: dict[str, Any] = {"known": "closed", "known_at": NOON + 10 * MINUTE}
    assert told(Status.RESOLVED, "in_progress", at=NOON + 5 * MINUTE, **known)[1] is Because.OLDER


def test_open_before_and_open_now_is_no_news_whatever_the_time() -> None:
    assert told(Status.RESOLVED, "open", known="open", at=NOON + MINUTE)[1] is Because.SAME
    assert told(Status.ON_HOLD, "in_progress", known="in_progress")[1] is Because.SAME
    assert told(Status.RESOLVED, "open", known="closed")[0] is Status.REOPENED


def test_a_report_that_went_to_another_team_is_not_theirs_to_move() -> None:
    assert told(Status.TRIAGED, "closed", is_theirs=False) == (None, Because.NOT_THEIRS)


def test_a_city_may_say_what_their_words_mean() -> None:
    meanings = {"Terminé": "resolved", "parti": "rejected", "vu": "triaged"}
    assert told(Status.TRIAGED, "terminé", meanings=meanings)[0] is Status.RESOLVED
    assert told(Status.TRIAGED, "PARTI", meanings=meanings)[0] is Status.REJECTED
    assert told(Status.TRIAGED, "vu", meanings=meanings) == (None, Because.SAME)
    assert told(Status.TRIAGED, "terminé") == (None, Because.UNKNOWN)


def test_who_disagrees() -> None:
    ours = Ours(Status.REOPENED, NOON, True)
    assert disagrees(ours, Theirs("closed", NOON))
    assert not disagrees(ours, Theirs("open", NOON))
    assert not disagrees(ours, Theirs("banana", NOON))
    assert not disagrees(Ours(Status.RESOLVED, NOON, True), Theirs("closed", NOON))
