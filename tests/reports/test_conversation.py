"""What reporters and followers do, by the tokens that messages carry."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from core.errors import InvalidError, NotFoundError
from core.models import OutboxEvent
from core.tokens import Purpose, token_for
from geo.models import Jurisdiction
from reports import conversation, lifecycle, remarks
from reports.conversation import Following, NoQuestionError, TooManyAdditionsError, Wish
from reports.duplicates import evidence
from reports.history import Author
from reports.models import Follower, HistoryEntry, Note, Service, ServiceRequest
from reports.rules import FinishedError, MoveError, WindowClosedError
from reports.vocabulary import ActorKind, Status, Visibility
from tests.factories import (
    WEDNESDAY,
    new_follower,
    new_jurisdiction,
    new_person,
    new_report,
    new_service,
    stored,
)

SECRET = "a key of this test"
NOW = WEDNESDAY
STAFF = Author(ActorKind.STAFF, UUID(int=7))


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def service(session: Session, city: Jurisdiction) -> Service:
    return new_service(session, city, reopen_days=14)


@pytest.fixture
def report(session: Session, service: Service) -> ServiceRequest:
    return new_report(session, service, requested_at=NOW - timedelta(days=1))


def names(session: Session, report_id: UUID) -> list[str]:
    return [event.name for event in stored(session, OutboxEvent, subject_id=report_id)]


# -- the link -------------------------------------------------------------------------------------


def test_only_the_reports_own_token_of_its_present_version_opens_it(
    session: Session, report: ServiceRequest, service: Service
) -> None:
    other = new_report(session, service)
    right = token_for(SECRET, Purpose.TRACK, report.id, 1)
    assert conversation.holds_link(session, report.id, right, secret=SECRET)
    wrong = [
        token_for(SECRET, Purpose.TRACK, other.id, 1),
        token_for(SECRET, Purpose.LEAVE, report.id, 1),
        token_for("another key", Purpose.TRACK, report.id, 1),
        right[:-1],
        "é",
        "",
        None,
    ]
    for token in wrong:
        with pytest.raises(NotFoundError):
            conversation.take_as_reporter(session, report.id, token, secret=SECRET)
    report.token_version = 2
    session.flush()
    assert not conversation.holds_link(session, report.id, right, secret=SECRET)


def test_a_report_that_is_not_there_has_no_token(session: Session) -> None:
    nothing = UUID(int=1)
    token = token_for(SECRET, Purpose.TRACK, nothing, 1)
    assert not conversation.holds_link(session, nothing, token, secret=SECRET)


# -- words ----------------------------------------------------------------------------------------


def test_words_are_kept_beside_the_history_and_told_to_the_team(
    session: Session, report: ServiceRequest
) -> None:
    entry_id = conversation.add(session, report, "Il y en a deux.", photos=0, now=NOW)
    assert entry_id is not None
    entry = session.get_one(HistoryEntry, entry_id)
    assert (entry.kind, entry.actor_kind, entry.actor_id, entry.data) == (
        "added",
        "reporter",
        None,
        {},
    )
    [note] = stored(session, Note, history_id=entry_id)
    assert (note.kind, note.body) == ("addition", "Il y en a deux.")
    [event] = stored(session, OutboxEvent, subject_id=report.id)
    assert (event.name, event.data["note_id"]) == ("report.added_to", str(note.id))
    assert report.version == 2


def test_something_must_be_said_or_shown(session: Session, report: ServiceRequest) -> None:
    with pytest.raises(InvalidError):
        conversation.add(session, report, None, photos=0, now=NOW)
    assert conversation.add(session, report, None, photos=1, now=NOW) is None


@pytest.mark.parametrize("status", [Status.CLOSED, Status.REJECTED])
def test_what_is_over_for_good_takes_no_words(
    session: Session, service: Service, status: Status
) -> None:
    report = new_report(session, service, status=status)
    with pytest.raises(FinishedError):
        conversation.add(session, report, "Encore", photos=0, now=NOW)


def test_a_flood_of_words_ends(
    session: Session, report: ServiceRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "MOST_ADDITIONS", 2)
    conversation.add(session, report, "un", photos=0, now=NOW)
    conversation.add(session, report, "deux", photos=0, now=NOW)
    with pytest.raises(TooManyAdditionsError):
        conversation.add(session, report, "trois", photos=0, now=NOW)


# -- questions ------------------------------------------------------------------------------------


def test_an_answer_is_taken_once_for_each_question(
    session: Session, report: ServiceRequest
) -> None:
    with pytest.raises(NoQuestionError):
        conversation.answer(session, report, "À gauche", now=NOW)
    remarks.ask(session, report, "De quel côté ?", hold=False, by=STAFF, now=NOW)
    conversation.answer(session, report, "À gauche", now=NOW)
    with pytest.raises(NoQuestionError):
        conversation.answer(session, report, "À droite", now=NOW)
    assert names(session, report.id) == ["report.question_asked", "report.answered"]


def test_an_answer_lets_go_on_what_was_held_for_it(session: Session, service: Service) -> None:
    due = NOW + timedelta(days=2)
    report = new_report(session, service, status=Status.IN_PROGRESS, due_at=due)
    remarks.ask(session, report, "De quel côté ?", hold=True, by=STAFF, now=NOW)
    assert report.status == "on_hold"
    conversation.answer(session, report, "À gauche", now=NOW + timedelta(hours=5))
    assert (report.status, report.held_since) == ("in_progress", None)
    assert report.due_at == due + timedelta(hours=5)
    last = stored(session, HistoryEntry, report_id=report.id)[-1]
    assert (last.from_status, last.to_status, last.actor_kind) == (
        "on_hold",
        "in_progress",
        "system",
    )


def test_an_answer_does_not_let_go_on_what_was_held_for_parts(
    session: Session, service: Service
) -> None:
    report = new_report(session, service, status=Status.IN_PROGRESS)
    remarks.ask(session, report, "De quel côté ?", hold=False, by=STAFF, now=NOW)
    lifecycle.move(session, report, Status.ON_HOLD, by=STAFF, now=NOW, reason="parts")
    conversation.answer(session, report, "À gauche", now=NOW)
    assert report.status == "on_hold"


# -- withdrawal -----------------------------------------------------------------------------------


def test_a_withdrawn_report_is_closed_and_cannot_be_reopened_by_its_reporter(
    session: Session, report: ServiceRequest
) -> None:
    assert conversation.withdraw(session, report, "C'est réglé.", now=NOW)
    assert (report.status, report.closed_at, report.resolved_at) == ("closed", NOW, None)
    entry = stored(session, HistoryEntry, report_id=report.id)[-1]
    assert entry.data == {"reason": "withdrawn"}
    with pytest.raises(WindowClosedError):
        conversation.not_fixed(session, report, None, now=NOW)
    with pytest.raises(MoveError):
        conversation.withdraw(session, report, None, now=NOW)


@pytest.mark.parametrize("others", ["follower", "duplicate"])
def test_a_problem_of_others_stays_open_when_its_reporter_leaves(
    session: Session, report: ServiceRequest, service: Service, others: str
) -> None:
    reporter = new_follower(session, report, is_reporter=True)
    if others == "follower":
        new_follower(session, report)
    else:
        new_report(session, service, parent=report)
    assert not conversation.withdraw(session, report, None, now=NOW)
    session.expire_all()
    assert (report.status, report.version, reporter.left_at) == ("received", 2, NOW)
    assert stored(session, HistoryEntry, report_id=report.id)[-1].kind == "withdrawn"


def test_somebody_who_never_confirmed_does_not_keep_it_open(
    session: Session, report: ServiceRequest
) -> None:
    new_follower(session, report, is_confirmed=False)
    assert conversation.withdraw(session, report, None, now=NOW)


def test_the_reporter_of_a_duplicate_only_leaves(
    session: Session, report: ServiceRequest, service: Service
) -> None:
    child = new_report(session, service, parent=report)
    reporter = new_follower(session, child, is_reporter=True)
    assert not conversation.withdraw(session, child, None, now=NOW)
    session.expire_all()
    assert (child.status, reporter.left_at) == ("duplicate", NOW)


# -- not fixed ------------------------------------------------------------------------------------


def resolved(session: Session, service: Service, at: datetime) -> ServiceRequest:
    return new_report(session, service, status=Status.RESOLVED, resolved_at=at)


def test_what_is_not_fixed_is_reopened_within_the_days_of_its_service(
    session: Session, service: Service
) -> None:
    report = resolved(session, service, NOW - timedelta(days=14))
    conversation.not_fixed(session, report, "Le trou est encore là.", now=NOW)
    assert (report.status, report.resolved_at) == ("reopened", None)
    [event] = stored(session, OutboxEvent, subject_id=report.id)
    assert event.data["to"] == "reopened"
    assert [note.body for note in stored(session, Note, report_id=report.id)] == [
        "Le trou est encore là."
    ]


def test_later_a_new_report_is_the_way(session: Session, service: Service) -> None:
    report = resolved(session, service, NOW - timedelta(days=14, seconds=1))
    with pytest.raises(WindowClosedError):
        conversation.not_fixed(session, report, None, now=NOW)


def test_what_is_open_is_not_reopened(session: Session, report: ServiceRequest) -> None:
    with pytest.raises(MoveError):
        conversation.not_fixed(session, report, None, now=NOW)


def test_the_reporter_of_a_duplicate_reopens_its_parent_and_keeps_the_words(
    session: Session, service: Service
) -> None:
    parent = resolved(session, service, NOW)
    child = new_report(session, service, parent=parent)
    assert conversation.not_fixed(session, child, "Toujours là", now=NOW) is parent
    assert (parent.status, child.status) == ("reopened", "duplicate")
    entry = stored(session, HistoryEntry, report_id=parent.id)[-1]
    assert entry.data["duplicate_id"] == str(child.id)
    assert not stored(session, Note, report_id=parent.id)
    assert len(stored(session, Note, report_id=child.id)) == 1


# -- followers ------------------------------------------------------------------------------------


def test_an_address_must_be_confirmed_by_its_own_link(
    session: Session, report: ServiceRequest
) -> None:
    wish = Wish(locale="fr", email="a@courriel.example", name="Ana")
    follower_id, state = conversation.follow(session, report, wish, now=NOW)
    follower = session.get_one(Follower, follower_id)
    assert (state, follower.confirmed_at) == (Following.ASKED, None)
    [event] = stored(session, OutboxEvent, subject_id=report.id)
    assert (event.name, event.data) == ("report.followed", {"follower_id": str(follower_id)})

    wrong = token_for(SECRET, Purpose.LEAVE, follower_id, 1)
    with pytest.raises(NotFoundError):
        conversation.confirm(session, follower_id, wrong, secret=SECRET, now=NOW)
    token = token_for(SECRET, Purpose.CONFIRM, follower_id, 1)
    for later in (NOW, NOW + timedelta(days=1)):
        conversation.confirm(session, follower_id, token, secret=SECRET, now=later)
        assert follower.confirmed_at == NOW


def test_asking_again_soon_sends_no_second_mail(session: Session, report: ServiceRequest) -> None:
    wish = Wish(locale="fr", email="a@courriel.example")
    first, _ = conversation.follow(session, report, wish, now=NOW)
    again, state = conversation.follow(session, report, wish, now=NOW + timedelta(minutes=9))
    assert (again, state) == (first, Following.ASKED)
    assert names(session, report.id) == ["report.followed"]
    conversation.follow(session, report, wish, now=NOW + timedelta(minutes=10))
    assert names(session, report.id) == ["report.followed"] * 2


def test_a_stranger_cannot_fill_a_mailbox_by_naming_many_reports(
    session: Session, service: Service
) -> None:
    wish = Wish(locale="fr", email="a@courriel.example")
    for _ in range(conversation.MOST_ASKED_AN_HOUR + 3):
        _, state = conversation.follow(session, new_report(session, service), wish, now=NOW)
        assert state is Following.ASKED
    mailed = [event for event in stored(session, OutboxEvent) if event.name == "report.followed"]
    assert len(mailed) == conversation.MOST_ASKED_AN_HOUR
    later = NOW + timedelta(hours=1)
    conversation.follow(session, new_report(session, service), wish, now=later)
    assert len(stored(session, OutboxEvent)) == len(mailed) + 1


def test_the_answer_does_not_tell_whether_somebody_follows_already(
    session: Session, report: ServiceRequest
) -> None:
    new_follower(session, report, email="a@courriel.example")
    new_follower(session, report, email="b@courriel.example", is_reporter=True)
    for email in ("a@courriel.example", "b@courriel.example", "c@courriel.example"):
        _, state = conversation.follow(session, report, Wish("fr", email=email), now=NOW)
        assert state is Following.ASKED
    assert len(names(session, report.id)) == 1


def test_somebody_signed_in_follows_at_once(session: Session, report: ServiceRequest) -> None:
    person = new_person(session)
    wish = Wish(locale="fr", email=person.email, person_id=person.id)
    for _ in range(2):
        follower_id, state = conversation.follow(session, report, wish, now=NOW)
        assert state is Following.FOLLOWING
    follower = session.get_one(Follower, follower_id)
    assert (follower.person_id, follower.confirmed_at) == (person.id, NOW)
    assert names(session, report.id) == []
    conversation.leave_as(session, report, person.id, now=NOW)
    session.expire_all()
    assert follower.left_at == NOW
    with pytest.raises(NotFoundError):
        conversation.leave_as(session, report, person.id, now=NOW)


def test_somebody_without_an_address_can_follow_by_account(
    session: Session, report: ServiceRequest
) -> None:
    person = new_person(session)
    wish = Wish(locale="fr", person_id=person.id)
    first, _ = conversation.follow(session, report, wish, now=NOW)
    again, _ = conversation.follow(session, report, wish, now=NOW)
    assert first == again
    assert len(stored(session, Follower, report_id=report.id)) == 1


def test_following_a_duplicate_follows_its_parent(
    session: Session, report: ServiceRequest, service: Service
) -> None:
    child = new_report(session, service, parent=report)
    wish = Wish(locale="fr", email="a@courriel.example")
    follower_id, _ = conversation.follow(session, child, wish, now=NOW)
    assert session.get_one(Follower, follower_id).report_id == report.id
    assert names(session, report.id) == ["report.followed"]


def test_who_left_can_come_back_only_by_confirming(
    session: Session, report: ServiceRequest
) -> None:
    follower = new_follower(session, report, created_at=NOW - timedelta(days=1))
    token = token_for(SECRET, Purpose.LEAVE, follower.id, 1)
    for _ in range(2):
        conversation.leave(session, follower.id, token, secret=SECRET, now=NOW)
    assert follower.left_at == NOW
    conversation.follow(session, report, Wish("fr", email=follower.email), now=NOW)
    assert (follower.left_at, follower.confirmed_at) == (None, None)
    assert names(session, report.id) == ["report.followed"]


def test_a_reporter_who_took_it_back_comes_back_by_confirming(
    session: Session, report: ServiceRequest
) -> None:
    reporter = new_follower(
        session, report, is_reporter=True, created_at=NOW - timedelta(minutes=1), is_confirmed=False
    )
    other = new_follower(session, report)
    conversation.withdraw(session, report, None, now=NOW)
    session.refresh(reporter)
    assert (report.status, reporter.left_at) == (Status.RECEIVED, NOW)
    for _ in range(2):
        _, state = conversation.follow(session, report, Wish("fr", email=reporter.email), now=NOW)
        assert state is Following.ASKED
    assert names(session, report.id) == ["report.followed"]
    assert (reporter.left_at, report.withdrawn_at) == (NOW, NOW)
    token = token_for(SECRET, Purpose.CONFIRM, reporter.id, 1)
    conversation.confirm(session, reporter.id, token, secret=SECRET, now=NOW)
    session.refresh(report)
    assert (reporter.left_at, report.withdrawn_at) == (None, None)
    # They tell of it again: the last who follows it may go.
    assert other.left_at is None
    assert evidence.told(session, [report.id])[report.id].people == 2


def test_who_only_wants_no_more_letters_closes_nothing(
    session: Session, report: ServiceRequest
) -> None:
    new_follower(session, report, is_reporter=True)
    last = new_follower(session, report)
    conversation.withdraw(session, report, None, now=NOW)
    token = token_for(SECRET, Purpose.LEAVE, last.id, 1)
    conversation.leave(session, last.id, token, secret=SECRET, now=NOW)
    session.refresh(report)
    assert (report.status, report.withdrawn_at) == (Status.RECEIVED, NOW)


def test_somebody_must_be_named(session: Session, report: ServiceRequest) -> None:
    with pytest.raises(InvalidError):
        conversation.follow(session, report, Wish(locale="fr"), now=NOW)


@pytest.mark.parametrize("visibility", [Visibility.HELD, Visibility.HIDDEN])
def test_what_the_public_does_not_see_is_missing(
    session: Session, service: Service, visibility: Visibility
) -> None:
    report = new_report(session, service, visibility=visibility.value)
    with pytest.raises(NotFoundError):
        conversation.seen_by_all(session, report.id)
