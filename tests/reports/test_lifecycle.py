"""What staff and the beat do to a report: rows, history, words and events, on PostgreSQL."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from accounts.actors import Actor, Grant
from accounts.models import Team
from accounts.rules import Permission, Role
from core.db import db, transaction
from core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from core.models import OutboxEvent
from geo.errors import OutsideJurisdictionError
from geo.measures import Point
from geo.models import Jurisdiction
from reports import assignment, changing, correction, lifecycle, remarks
from reports.assignment import Assignment, UnknownPersonError, UnknownTeamError
from reports.changing import Words, author_of
from reports.history import Author
from reports.models import HistoryEntry, Note, Service, ServiceRequest
from reports.rules import DuplicateMoveError, FinishedError, MoveError, NoTeamError
from reports.vocabulary import ActorKind, NoteKind, Status, Visibility
from tests.factories import (
    OFFICE_HOURS,
    WEDNESDAY,
    grant,
    new_citizen,
    new_jurisdiction,
    new_person,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)

NOW = WEDNESDAY + timedelta(hours=1)
BY = Author(ActorKind.STAFF, UUID(int=7))


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def team(session: Session, city: Jurisdiction) -> Team:
    return new_team(session, city, code="voirie", calendar=OFFICE_HOURS)


@pytest.fixture
def service(session: Session, city: Jurisdiction) -> Service:
    return new_service(session, city, service_level={"working_days": 5})


@pytest.fixture
def report(session: Session, service: Service, team: Team) -> ServiceRequest:
    return new_report(
        session,
        service,
        team=team,
        status=Status.TRIAGED,
        requested_at=WEDNESDAY,
        due_at=datetime.fromisoformat("2026-03-18T16:00:00+00:00"),
    )


def staff_of(city: Jurisdiction, role: Role = Role.AGENT, team: Team | None = None) -> Actor:
    grants = (Grant(role, city.id, team.id if team is not None else None),)
    return Actor(person_id=UUID(int=7), grants=grants)


def events_of(session: Session, report: ServiceRequest) -> list[str]:
    return [event.name for event in stored(session, OutboxEvent, subject_id=report.id)]


# -- moving ---------------------------------------------------------------------------------------


def test_a_move_leaves_status_version_history_words_and_event(
    session: Session, report: ServiceRequest
) -> None:
    entry_id = lifecycle.move(
        session,
        report,
        Status.IN_PROGRESS,
        by=BY,
        now=NOW,
        words=Words(note="Équipe 3", public_note="Nous y sommes."),
    )

    session.refresh(report)
    assert (report.status, report.version, report.updated_at) == ("in_progress", 2, NOW)
    entry = session.get_one(HistoryEntry, entry_id)
    assert (entry.from_status, entry.to_status) == ("triaged", "in_progress")
    assert (entry.actor_kind, entry.actor_id, entry.at) == ("staff", BY.id, NOW)
    notes = {note.kind: note.body for note in stored(session, Note, history_id=entry_id)}
    assert notes == {"internal": "Équipe 3", "public": "Nous y sommes."}
    [event] = stored(session, OutboxEvent, subject_id=report.id)
    assert event.name == "report.status_changed"
    assert event.data == {"history_id": entry_id, "from": "triaged", "to": "in_progress"}
    assert event.jurisdiction_id == report.jurisdiction_id


def test_an_illegal_move_is_a_conflict_and_leaves_no_trace(
    session: Session, service: Service
) -> None:
    report = new_report(session, service, status=Status.CLOSED)
    before = len(stored(session, HistoryEntry))
    with pytest.raises(MoveError):
        lifecycle.move(
            session, report, Status.IN_PROGRESS, by=BY, now=NOW, words=Words(note="oups")
        )
    session.expire_all()
    assert (report.status, report.version) == ("closed", 1)
    assert len(stored(session, HistoryEntry)) == before
    assert not stored(session, Note)
    assert not stored(session, OutboxEvent)


def test_a_rejection_tells_the_public_why_and_has_a_reason(
    session: Session, report: ServiceRequest
) -> None:
    with pytest.raises(InvalidError) as refused:
        lifecycle.move(session, report, Status.REJECTED, by=BY, now=NOW, reason="not_ours")
    assert refused.value.field == "public_note"

    words = Words(public_note="Cette rue est privée.")
    entry_id = lifecycle.move(
        session, report, Status.REJECTED, by=BY, now=NOW, words=words, reason="private_property"
    )
    assert session.get_one(HistoryEntry, entry_id).data == {"reason": "private_property"}
    assert report.closed_at == NOW


def test_triaged_needs_a_team(session: Session, service: Service) -> None:
    report = new_report(session, service)
    with pytest.raises(NoTeamError):
        lifecycle.move(session, report, Status.TRIAGED, by=BY, now=NOW)


def test_whoever_takes_what_no_team_has_gets_it(session: Session, service: Service) -> None:
    report = new_report(session, service)
    lifecycle.move(session, report, Status.ASSIGNED, by=BY, now=NOW)
    assert report.assignee_id == BY.id
    assert "report.assigned" in events_of(session, report)


def test_a_duplicate_is_moved_by_its_parent_only(
    session: Session, service: Service, report: ServiceRequest
) -> None:
    child = new_report(session, service, parent=report)
    with pytest.raises(DuplicateMoveError):
        lifecycle.move(session, child, Status.RESOLVED, by=BY, now=NOW)


def test_the_clock_stands_while_on_hold(session: Session, report: ServiceRequest) -> None:
    due = report.due_at
    assert due is not None
    lifecycle.move(session, report, Status.ON_HOLD, by=BY, now=NOW, reason="parts")
    assert report.held_since == NOW
    assert report.due_at == due
    # Two whole days of work later.
    entry_id = lifecycle.move(
        session, report, Status.IN_PROGRESS, by=BY, now=NOW + timedelta(days=2)
    )
    assert report.held_since is None
    assert report.due_at == due + timedelta(days=2)
    data = session.get_one(HistoryEntry, entry_id).data
    assert datetime.fromisoformat(data["from_due_at"]) == due
    assert datetime.fromisoformat(data["due_at"]) == report.due_at


def test_what_runs_by_the_clock_is_put_off_by_the_clock(
    session: Session, city: Jurisdiction, team: Team
) -> None:
    hours = new_service(session, city, service_level={"hours": 8, "clock": "calendar"})
    due = WEDNESDAY + timedelta(hours=8)
    report = new_report(
        session, hours, team=team, status=Status.ON_HOLD, held_since=NOW, due_at=due
    )
    lifecycle.move(session, report, Status.IN_PROGRESS, by=BY, now=NOW + timedelta(hours=20))
    assert report.due_at == due + timedelta(hours=20)


def test_resolved_closed_and_reopened_keep_their_instants(
    session: Session, report: ServiceRequest
) -> None:
    lifecycle.move(session, report, Status.RESOLVED, by=BY, now=NOW)
    assert (report.resolved_at, report.closed_at) == (NOW, None)
    lifecycle.move(session, report, Status.CLOSED, by=BY, now=NOW + timedelta(hours=1))
    assert report.closed_at == NOW + timedelta(hours=1)
    before = report.due_at
    again = NOW + timedelta(days=7)
    lifecycle.move(session, report, Status.REOPENED, by=BY, now=again)
    assert (report.resolved_at, report.closed_at) == (None, None)
    assert report.due_at is not None
    assert before is not None
    assert report.due_at == before + timedelta(days=7), "promised anew, from the reopening"


# -- who may --------------------------------------------------------------------------------------


def test_the_scope_decides_who_finds_and_who_may_change(
    session: Session, city: Jurisdiction, team: Team, report: ServiceRequest
) -> None:
    elsewhere = new_jurisdiction(session)
    other_team = new_team(session, city)
    work, triage = Permission.WORK_REPORTS, Permission.TRIAGE_REPORTS

    def outcome(actor: Actor, needed: Permission) -> str:
        try:
            changing.take(session, actor, report.id, needed)
        except NotFoundError:
            return "missing"
        except ForbiddenError:
            return "refused"
        return "taken"

    for role in (Role.AGENT, Role.MANAGER, Role.ADMIN):
        for needed in (work, triage):
            assert outcome(staff_of(city, role), needed) == "taken"
            assert outcome(staff_of(city, role, team), needed) == "taken"
            assert outcome(staff_of(city, role, other_team), needed) == "missing"
            assert outcome(staff_of(elsewhere, role), needed) == "missing"
    for role in (Role.VIEWER, Role.COORDINATOR, Role.AUDITOR):
        assert outcome(staff_of(city, role), work) == "refused"
        assert outcome(staff_of(city, role, team), work) == "refused"
        assert outcome(staff_of(city, role, other_team), work) == "missing"
        assert outcome(staff_of(elsewhere, role), work) == "missing"
    assert outcome(staff_of(city, Role.CITIZEN), work) == "missing"
    assert outcome(Actor(), work) == "missing"


def test_what_is_not_there_is_missing(session: Session, city: Jurisdiction) -> None:
    with pytest.raises(NotFoundError):
        changing.take(session, staff_of(city), UUID(int=1), Permission.WORK_REPORTS)


def test_a_machine_is_named_as_one() -> None:
    person = UUID(int=3)
    assert author_of(Actor(person_id=person)) == Author(ActorKind.STAFF, person)
    machine = Actor(person_id=person, api_key_id=UUID(int=4))
    assert author_of(machine) == Author(ActorKind.MACHINE, person)


# -- assigning ------------------------------------------------------------------------------------


def test_a_person_who_takes_it_makes_it_assigned(
    session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    actor = Actor(person_id=agent.id, grants=(Grant(Role.AGENT, city.id, None),))
    assignment.assign(session, report, Assignment(person="me"), actor=actor, now=NOW)
    assert (report.status, report.assignee_id) == ("assigned", agent.id)
    assert events_of(session, report) == ["report.assigned", "report.status_changed"]


def test_a_person_can_be_named_by_address_or_id_and_be_taken_off(
    session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city, email="ana@ville.example")
    actor = staff_of(city)
    assignment.assign(session, report, Assignment(person="Ana@ville.example"), actor=actor, now=NOW)
    assert report.assignee_id == agent.id
    assignment.assign(session, report, Assignment(nobody=True), actor=actor, now=NOW)
    assert (report.assignee_id, report.status) == (None, "triaged")
    assignment.assign(session, report, Assignment(person=str(agent.id)), actor=actor, now=NOW)
    assert report.assignee_id == agent.id


def test_only_those_who_may_work_on_it_can_be_given_it(
    session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    elsewhere = new_staff(session, new_jurisdiction(session))
    viewer = new_staff(session, city, Role.VIEWER)
    citizen = new_citizen(session)
    other_team = new_staff(session, city, team=new_team(session, city))
    gone = new_person(session, is_active=False)
    grant(session, gone, Role.AGENT, city)
    for person in (elsewhere.id, viewer.id, citizen.id, other_team.id, gone.id, "nobody"):
        with pytest.raises(UnknownPersonError):
            assignment.assign(
                session, report, Assignment(person=str(person)), actor=staff_of(city), now=NOW
            )


def test_another_team_gets_the_promise_by_its_own_calendar_and_keeps_it_for_good(
    session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    early = {"hours": {day: [["06:00", "12:00"]] for day in OFFICE_HOURS["hours"]}}
    parks = new_team(session, city, code="parcs", calendar=early)
    report.assignee_id = new_person(session).id
    assignment.assign(session, report, Assignment(team="parcs"), actor=staff_of(city), now=NOW)
    assert (report.team_id, report.routed_by, report.status) == (parks.id, "person", "assigned")
    assert report.assignee_id is None, "whoever had it is of the other team"
    assert report.due_at == datetime.fromisoformat("2026-03-18T11:00:00+00:00")
    assert events_of(session, report) == [
        "report.rerouted",
        "report.assigned",
        "report.status_changed",
    ]


def test_routed_to_a_team_that_has_not_taken_it_is_triaged(
    session: Session, city: Jurisdiction, service: Service
) -> None:
    new_team(session, city, code="parcs")
    report = new_report(session, service)
    given = Assignment(team="parcs", is_taken=False)
    assignment.assign(session, report, given, actor=staff_of(city), now=NOW)
    assert (report.status, report.routed_by) == ("triaged", "person")
    assert events_of(session, report) == ["report.rerouted", "report.status_changed"]


def test_a_report_in_work_stays_in_work_when_it_changes_hands(
    session: Session, city: Jurisdiction, service: Service, team: Team
) -> None:
    report = new_report(session, service, team=team, status=Status.IN_PROGRESS)
    agent = new_staff(session, city)
    assignment.assign(
        session, report, Assignment(person=str(agent.id)), actor=staff_of(city), now=NOW
    )
    assert report.status == "in_progress"


def test_teams_of_other_cities_and_idle_ones_are_unknown(
    session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    new_team(session, code="ailleurs")
    new_team(session, city, code="dissoute", is_active=False)
    for code in ("ailleurs", "dissoute", "inconnue"):
        with pytest.raises(UnknownTeamError):
            assignment.assign(session, report, Assignment(team=code), actor=staff_of(city), now=NOW)


def test_what_is_over_is_given_to_nobody(
    session: Session, city: Jurisdiction, service: Service
) -> None:
    report = new_report(session, service, status=Status.RESOLVED)
    with pytest.raises(FinishedError):
        assignment.assign(session, report, Assignment(team="voirie"), actor=staff_of(city), now=NOW)


# -- words, service, place, visibility ------------------------------------------------------------


def test_a_comment_keeps_internal_and_public_words_apart(
    session: Session, report: ServiceRequest
) -> None:
    words = Words(note="Voir avec le gaz", public_note="Travaux prévus lundi")
    entry_id = remarks.comment(session, report, words, by=BY, now=NOW)
    notes = {note.kind: note for note in stored(session, Note, history_id=entry_id)}
    assert notes[NoteKind.INTERNAL].body == "Voir avec le gaz"
    assert notes[NoteKind.PUBLIC].body == "Travaux prévus lundi"
    told = {event.data["note_id"] for event in stored(session, OutboxEvent, subject_id=report.id)}
    assert told == {str(note.id) for note in notes.values()}
    assert session.get_one(HistoryEntry, entry_id).data == {}, "the history holds no words"
    assert report.version == 2


def test_an_empty_comment_is_refused(session: Session, report: ServiceRequest) -> None:
    with pytest.raises(InvalidError):
        remarks.comment(session, report, Words(), by=BY, now=NOW)


def test_a_question_can_stop_the_clock(session: Session, report: ServiceRequest) -> None:
    note_id = remarks.ask(session, report, "De quel côté ?", hold=True, by=BY, now=NOW)
    assert (report.status, report.held_since) == ("on_hold", NOW)
    assert session.get_one(Note, note_id).kind == "question"
    assert events_of(session, report) == ["report.status_changed", "report.question_asked"]


def test_another_service_asks_triage_again_and_drops_answers_it_does_not_ask_for(
    session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    question = {"code": "danger", "datatype": "string", "required": False, "order": 1}
    other = new_service(session, city, code="lampe", attributes=[question])
    report.attributes = {"danger": "oui", "couleur": "rouge"}
    entry_id = correction.change_service(session, report, "lampe", by=BY, now=NOW)
    assert (report.service_id, report.triaged_at) == (other.id, None)
    assert report.attributes == {"danger": "oui"}
    assert session.get_one(HistoryEntry, entry_id).data["dropped_attributes"] == ["couleur"]
    assert events_of(session, report) == ["report.service_changed"]
    with pytest.raises(ConflictError):
        correction.change_service(session, report, "lampe", by=BY, now=NOW)


def test_another_place_asks_to_be_located_again(session: Session, report: ServiceRequest) -> None:
    there = Point(43.61, 3.88)
    correction.change_place(session, report, there, by=BY, now=NOW)
    assert (report.lat, report.lon, report.place_source) == (43.61, 3.88, "staff")
    assert (report.located_at, report.triaged_at, report.address) == (None, None, None)
    assert events_of(session, report) == ["report.moved"]


def test_a_place_outside_the_city_is_refused(session: Session, report: ServiceRequest) -> None:
    with pytest.raises(OutsideJurisdictionError):
        correction.change_place(session, report, Point(48.85, 2.35), by=BY, now=NOW)


def test_hiding_a_report_is_remembered(session: Session, report: ServiceRequest) -> None:
    entry_id = correction.show(session, report, Visibility.HIDDEN, by=BY, now=NOW)
    assert report.visibility == "hidden"
    assert session.get_one(HistoryEntry, entry_id).data == {"from": "public", "to": "hidden"}
    with pytest.raises(ConflictError):
        correction.show(session, report, Visibility.HIDDEN, by=BY, now=NOW)


# -- the beat -------------------------------------------------------------------------------------


def test_what_was_resolved_long_enough_ago_is_closed_once(
    session: Session, city: Jurisdiction
) -> None:
    service = new_service(session, city, close_after_days=14)
    patient = new_service(session, city, close_after_days=60)
    old = NOW - timedelta(days=14)
    due = [new_report(session, service, status=Status.RESOLVED, resolved_at=old) for _ in range(3)]
    kept = [
        new_report(
            session, service, status=Status.RESOLVED, resolved_at=old + timedelta(seconds=1)
        ),
        new_report(session, patient, status=Status.RESOLVED, resolved_at=old),
    ]
    assert lifecycle.close_resolved(session, now=NOW, limit=2) == 2
    assert lifecycle.close_resolved(session, now=NOW, limit=2) == 1
    assert lifecycle.close_resolved(session, now=NOW, limit=2) == 0
    session.expire_all()
    for report in due:
        assert (report.status, report.closed_at, report.version) == ("closed", NOW, 2)
        [event] = stored(session, OutboxEvent, subject_id=report.id)
        assert event.data["from"] == "resolved"
        assert event.data["to"] == "closed"
        entry = session.get_one(HistoryEntry, event.data["history_id"])
        assert (entry.report_id, entry.actor_kind) == (report.id, "system")
    assert all(report.status == "resolved" for report in kept)


# -- two at once ----------------------------------------------------------------------------------


def test_of_two_agents_at_once_the_second_sees_what_the_first_did(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        city = new_jurisdiction(session)
        report = new_report(session, new_service(session, city), status=Status.ASSIGNED)
        report_id, actor = report.id, staff_of(city)
    ready = threading.Barrier(2)
    outcomes: list[str] = []

    def reject_or_resolve(after: Status) -> None:
        with committed_db.app_context():
            try:
                ready.wait(timeout=10)
                with transaction() as session:
                    locked = changing.take(session, actor, report_id, Permission.WORK_REPORTS)
                    lifecycle.move(
                        session,
                        locked,
                        after,
                        by=author_of(actor),
                        now=NOW,
                        words=Words(public_note="Voilà."),
                    )
                outcomes.append("moved")
            except MoveError:
                outcomes.append("refused")
            finally:
                db.session.remove()

    threads = [
        threading.Thread(target=reject_or_resolve, args=(after,))
        for after in (Status.REJECTED, Status.RESOLVED)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(outcomes) == ["moved", "refused"]
    with committed_db.app_context():
        moves = db.session.scalar(
            sa.select(sa.func.count())
            .select_from(HistoryEntry)
            .where(HistoryEntry.report_id == report_id, HistoryEntry.from_status == "assigned")
        )
        db.session.remove()
    assert moves == 1
