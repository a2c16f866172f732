"""Routing again after a correction: exactly once, and never against a person."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from accounts.actors import Actor
from accounts.rules import Role
from core.clock import utc_now
from core.db import transaction
from core.models import OutboxEvent
from geo.models import Jurisdiction
from reports import assignment, correction, lifecycle
from reports.assignment import Assignment
from reports.history import SYSTEM, Author
from reports.loading import load_routing_rules
from reports.models import HistoryEntry, Service, ServiceRequest
from reports.routing.grammar import parse
from reports.triage import Triaged, triage
from reports.vocabulary import ActorKind, Status
from tests.factories import (
    SignedIn,
    new_area,
    new_jurisdiction,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)

RULES = """
rule holes
  when service hole
  then team roads

rule lamps
  when service lamp
  then team lights
   and person ann@ville.example
   and due in 4 hours

otherwise team desk
"""


def new_city(session: Session) -> tuple[Jurisdiction, Service, Service]:
    city = new_jurisdiction(session)
    for code in ("roads", "lights", "desk"):
        new_team(session, city, code=code)
    new_area(session, city)
    hole = new_service(session, city, code="hole")
    lamp = new_service(session, city, code="lamp")
    load_routing_rules(session, city.id, parse(RULES))
    return city, hole, lamp


def team_of(session: Session, report: ServiceRequest) -> str | None:
    session.refresh(report)
    found: str | None = session.scalar(
        sa.text("SELECT code FROM teams WHERE id = :id"), {"id": report.team_id}
    )
    return found


def names(session: Session, report: ServiceRequest) -> Counter[str]:
    return Counter(event.name for event in stored(session, OutboxEvent, subject_id=report.id))


def actor_of(somebody: SignedIn, session: Session) -> Actor:
    from accounts import actors

    found = actors.find(session, somebody.token, now=utc_now())
    assert found is not None
    return found


def test_a_corrected_service_is_routed_once_however_often_the_event_comes(
    session: Session,
) -> None:
    _, hole, _ = new_city(session)
    report = new_report(session, hole)
    triage(session, [report.id], now=utc_now())
    assert team_of(session, report) == "roads"
    correction.change_service(session, report, "lamp", by=SYSTEM, now=utc_now())
    assert triage(session, [report.id], now=utc_now()) == Triaged(routed=1)
    before = report.version
    for _ in range(3):
        assert triage(session, [report.id], now=utc_now()) == Triaged()
    assert team_of(session, report) == "lights"
    assert report.version == before + 1
    assert names(session, report)["report.rerouted"] == 1
    routed = [
        entry
        for entry in stored(session, HistoryEntry, report_id=report.id)
        if entry.kind == "routed"
    ]
    assert [entry.data["rule"] for entry in routed] == ["holes", "lamps"]
    # Four hours by the rule's own level, from when it was asked.
    assert report.due_at == report.requested_at + timedelta(hours=4)


def test_a_service_that_stays_with_its_team_is_no_rerouting(session: Session) -> None:
    city, hole, _ = new_city(session)
    other = new_service(session, city, code="other")
    report = new_report(session, other)
    triage(session, [report.id], now=utc_now())
    new_service(session, city, code="another")
    assert hole.code == "hole"
    correction.change_service(session, report, "hole", by=SYSTEM, now=utc_now())
    triage(session, [report.id], now=utc_now())
    assert team_of(session, report) == "roads"
    assert names(session, report)["report.rerouted"] == 1


def test_a_team_that_a_person_chose_is_kept(session: Session) -> None:
    city, hole, _ = new_city(session)
    agent = actor_of(new_staff(session, city, Role.AGENT), session)
    report = new_report(session, hole)
    triage(session, [report.id], now=utc_now())
    session.refresh(report)
    assignment.assign(
        session, report, Assignment(team="desk", is_taken=False), actor=agent, now=utc_now()
    )
    correction.change_service(session, report, "lamp", by=SYSTEM, now=utc_now())
    triage(session, [report.id], now=utc_now())
    assert team_of(session, report) == "desk"
    assert (report.routed_by, report.assignee_id) == ("person", None)


def test_a_team_that_a_person_named_again_is_kept(session: Session) -> None:
    city, hole, _ = new_city(session)
    agent = actor_of(new_staff(session, city, Role.AGENT), session)
    report = new_report(session, hole)
    triage(session, [report.id], now=utc_now())
    session.refresh(report)
    given = Assignment(team="roads", is_taken=False)
    assignment.assign(session, report, given, actor=agent, now=utc_now())
    assert (report.status, report.routed_by) == (Status.TRIAGED, "person")
    correction.change_service(session, report, "lamp", by=SYSTEM, now=utc_now())
    triage(session, [report.id], now=utc_now())
    assert team_of(session, report) == "roads"
    assert names(session, report)["report.rerouted"] == 0


@pytest.mark.parametrize("is_held", [False, True])
@pytest.mark.parametrize("status", [Status.ASSIGNED, Status.IN_PROGRESS])
def test_a_team_that_took_it_in_hand_keeps_it(
    session: Session, status: Status, is_held: bool
) -> None:
    city, hole, _ = new_city(session)
    agent = actor_of(new_staff(session, city, Role.AGENT), session)
    report = new_report(session, hole)
    triage(session, [report.id], now=utc_now())
    session.refresh(report)
    by = Author(ActorKind.STAFF, agent.person_id)
    lifecycle.move(session, report, status, by=by, now=utc_now())
    if is_held:
        status = Status.ON_HOLD
        lifecycle.move(session, report, status, by=by, now=utc_now())
    assert report.assignee_id is None
    correction.change_service(session, report, "lamp", by=SYSTEM, now=utc_now())
    triage(session, [report.id], now=utc_now())
    assert team_of(session, report) == "roads"
    assert (report.status, names(session, report)["report.rerouted"]) == (status, 0)


def test_who_took_it_in_hand_keeps_it(session: Session) -> None:
    city, hole, _ = new_city(session)
    somebody = new_staff(session, city, Role.AGENT)
    agent = actor_of(somebody, session)
    report = new_report(session, hole)
    triage(session, [report.id], now=utc_now())
    session.refresh(report)
    assignment.assign(session, report, Assignment(person="me"), actor=agent, now=utc_now())
    correction.change_service(session, report, "lamp", by=SYSTEM, now=utc_now())
    triage(session, [report.id], now=utc_now())
    assert team_of(session, report) == "roads"
    assert report.assignee_id == somebody.person.id
    assert names(session, report)["report.rerouted"] == 0


def test_a_rule_gives_to_a_person_who_works_there_and_takes_it_back(session: Session) -> None:
    city, _, lamp = new_city(session)
    ann = new_staff(session, city, Role.AGENT, email="ann@ville.example")
    report = new_report(session, lamp)
    triage(session, [report.id], now=utc_now())
    session.refresh(report)
    assert (report.assignee_id, report.status) == (ann.person.id, Status.ASSIGNED)
    assert names(session, report) == {"report.triaged": 1, "report.assigned": 1}
    correction.change_service(session, report, "hole", by=SYSTEM, now=utc_now())
    triage(session, [report.id], now=utc_now())
    assert team_of(session, report) == "roads"
    assert (report.assignee_id, report.status) == (None, Status.TRIAGED)


@pytest.mark.parametrize("where", ["nobody", "other team"])
def test_a_rule_that_names_nobody_who_may_work_on_it_gives_it_to_the_team(
    session: Session, where: str
) -> None:
    city, _, lamp = new_city(session)
    if where == "other team":
        team = session.scalars(sa.text("SELECT id FROM teams WHERE code = 'roads'")).first()
        from accounts.models import Team

        new_staff(
            session,
            city,
            Role.AGENT,
            email="ann@ville.example",
            team=session.get(Team, team),
        )
    report = new_report(session, lamp)
    triage(session, [report.id], now=utc_now())
    assert team_of(session, report) == "lights"
    assert (report.assignee_id, report.status) == (None, Status.TRIAGED)


def test_many_workers_route_a_corrected_report_once(committed_db: Flask) -> None:
    with committed_db.app_context():
        with transaction() as session:
            _, hole, _ = new_city(session)
            report_id = new_report(session, hole).id
        with transaction() as session:
            triage(session, [report_id], now=utc_now())
        with transaction() as session:
            report = session.get_one(ServiceRequest, report_id, with_for_update=True)
            correction.change_service(session, report, "lamp", by=SYSTEM, now=utc_now())
    done: list[Triaged] = []
    start = threading.Barrier(4)

    def work() -> None:
        with committed_db.app_context():
            start.wait()
            with transaction() as session:
                done.append(triage(session, [report_id], now=utc_now()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.routed for each in done) == [0, 0, 0, 1]
    with committed_db.app_context(), transaction() as session:
        report = session.get_one(ServiceRequest, report_id)
        assert team_of(session, report) == "lights"
        assert names(session, report)["report.rerouted"] == 1
