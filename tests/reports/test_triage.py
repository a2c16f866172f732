"""Triage: batches are joined, routed and dated in one go, each report once."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.db import transaction
from core.models import OutboxEvent
from geo.measures import Point
from geo.models import Jurisdiction
from reports.duplicates import joining
from reports.history import SYSTEM
from reports.loading import load_routing_rules
from reports.models import HistoryEntry, Service, ServiceRequest
from reports.routing.grammar import parse
from reports.triage import Triaged, triage
from reports.vocabulary import Status
from tests.factories import COMEDIE, new_jurisdiction, new_report, new_service, new_team, stored
from tests.statements import count_statements

RULES = "rule trous when service trou then team voirie\notherwise team accueil\n"


def new_city(session: Session) -> tuple[Jurisdiction, Service]:
    city = new_jurisdiction(session)
    new_team(session, city, code="voirie")
    new_team(session, city, code="accueil")
    service = new_service(session, city, code="trou", service_level={"working_days": 3})
    load_routing_rules(session, city.id, parse(RULES))
    return city, service


def apart(number: int) -> Point:
    return Point(COMEDIE.lat + 0.001 * number, COMEDIE.lon)


def test_a_new_report_gets_its_team_its_date_and_its_explanation(session: Session) -> None:
    _, service = new_city(session)
    report = new_report(session, service)
    assert triage(session, [report.id], now=utc_now()) == Triaged(routed=1)
    session.refresh(report)
    assert (report.status, report.routed_by) == ("triaged", "rule")
    assert report.routing is not None
    assert report.routing["rule"] == "trous"
    assert report.due_at is not None
    assert report.due_at > report.requested_at + timedelta(days=2)
    kinds = [entry.kind for entry in stored(session, HistoryEntry, report_id=report.id)]
    assert kinds == ["status", "routed", "status"]
    assert [event.name for event in stored(session, OutboxEvent)] == ["report.triaged"]


def test_triage_again_does_nothing(session: Session) -> None:
    _, service = new_city(session)
    reports = [
        new_report(session, service, at=apart(number // 2), address=f"{1 + number // 2} rue Foch")
        for number in range(4)
    ]
    ids = [report.id for report in reports]
    assert triage(session, ids, now=utc_now()) == Triaged(routed=2, joined=2)
    counts = [len(stored(session, model)) for model in (HistoryEntry, OutboxEvent)]
    versions = [report.version for report in stored(session, ServiceRequest)]
    assert triage(session, ids, now=utc_now()) == Triaged()
    assert [len(stored(session, model)) for model in (HistoryEntry, OutboxEvent)] == counts
    assert [report.version for report in stored(session, ServiceRequest)] == versions


def test_the_first_to_come_leads_and_there_are_no_chains(session: Session) -> None:
    _, service = new_city(session)
    now = utc_now()
    reports = [
        new_report(session, service, requested_at=now - timedelta(minutes=minutes))
        for minutes in (5, 50, 20, 10)
    ]
    # Two batches: the second finds the leader of the first.
    triage(session, [report.id for report in reports[:3]], now=now)
    triage(session, [reports[3].id], now=now)
    session.expire_all()
    leader = reports[1]
    assert leader.parent_id is None
    assert {report.parent_id for report in reports if report is not leader} == {leader.id}
    assert all(report.team_id == leader.team_id for report in reports)


def test_what_the_citizen_said_decides(session: Session) -> None:
    _, service = new_city(session)
    known = new_report(session, service, status=Status.TRIAGED)
    duplicate = new_report(session, service, parent=known, at=apart(1))
    another = new_report(session, service, not_same_as=[known.id])
    same = new_report(session, service, at=apart(1), same_as=duplicate.id)
    triage(session, [another.id, same.id], now=utc_now())
    session.expire_all()
    assert (another.status, another.parent_id) == ("triaged", None)
    assert (same.status, same.parent_id) == ("duplicate", known.id)


def test_who_says_no_to_a_duplicate_says_it_of_the_problem_that_it_tells(session: Session) -> None:
    _, service = new_city(session)
    known = new_report(session, service, status=Status.TRIAGED)
    duplicate = new_report(session, service, parent=known, at=apart(1))
    another = new_report(session, service, not_same_as=[duplicate.id])
    # What was named counts, whatever was said of one that was joined to it.
    same = new_report(session, service, same_as=known.id, not_same_as=[duplicate.id])
    triage(session, [another.id, same.id], now=utc_now())
    session.expire_all()
    assert (another.status, another.parent_id) == ("triaged", None)
    assert (same.status, same.parent_id) == ("duplicate", known.id)


def test_what_staff_separated_stays_apart_and_is_routed(session: Session) -> None:
    _, service = new_city(session)
    leader, child = new_report(session, service), new_report(session, service)
    triage(session, [leader.id, child.id], now=utc_now())
    session.refresh(child)
    assert child.parent_id == leader.id
    joining.unjoin(session, child, by=SYSTEM, now=utc_now())
    assert (child.status, child.triaged_at) == ("received", None)
    triage(session, [child.id], now=utc_now())
    session.refresh(child)
    assert (child.status, child.parent_id) == ("triaged", None)
    assert child.team_id is not None


def test_another_service_means_another_team_unless_a_person_chose_it(session: Session) -> None:
    city, hole = new_city(session)
    lamp = new_service(session, city, code="lampe")
    by_rule, by_person = (new_report(session, hole, at=apart(n)) for n in (1, 2))
    triage(session, [by_rule.id, by_person.id], now=utc_now())
    chosen = new_team(session, city)
    session.expire_all()
    by_person.team_id, by_person.routed_by = chosen.id, "person"
    by_rule.status = Status.ON_HOLD.value
    for report in (by_rule, by_person):
        report.service_id, report.triaged_at = lamp.id, None
    session.flush()
    triage(session, [by_rule.id, by_person.id], now=utc_now())
    session.expire_all()
    assert by_rule.routing is not None
    assert (by_rule.status, by_rule.routing["rule"]) == ("on_hold", "otherwise")
    assert (by_person.team_id, by_person.routed_by) == (chosen.id, "person")
    assert [e.name for e in stored(session, OutboxEvent)][-1] == "report.rerouted"


def test_without_a_place_it_still_gets_a_team(session: Session) -> None:
    _, service = new_city(session)
    report = new_report(session, service, at=None, address_given="quelque part")
    triage(session, [report.id], now=utc_now())
    session.refresh(report)
    assert (report.status, report.cell) == ("triaged", None)


def test_what_was_finished_before_is_left_alone(session: Session) -> None:
    _, service = new_city(session)
    withdrawn = new_report(session, service, status=Status.CLOSED, triaged_at=None)
    assert triage(session, [withdrawn.id], now=utc_now()) == Triaged()


def test_a_batch_costs_the_same_number_of_statements_whatever_its_size(session: Session) -> None:
    _, service = new_city(session)
    costs = []
    for start, size in ((0, 4), (100, 40)):
        # Half of them repeat their neighbour.
        ids = [
            new_report(session, service, at=apart(start + number // 2)).id for number in range(size)
        ]
        with count_statements() as seen:
            triage(session, ids, now=utc_now())
        costs.append(len([line for line in seen if "jurisdictions" not in line]))
    assert costs[0] >= costs[1]
    assert costs[1] <= 12


@pytest.mark.timeout(120)
def test_fifty_reports_of_one_pothole_at_once_have_exactly_one_parent(committed_db: Flask) -> None:
    """Each in a transaction of its own, on four workers, about a corner of cells."""
    with committed_db.app_context(), transaction() as session:
        _, service = new_city(session)
        ids = [
            new_report(session, service, at=Point(COMEDIE.lat + 0.00001 * (n % 7), COMEDIE.lon)).id
            for n in range(50)
        ]
    start = threading.Barrier(4)
    failures: list[BaseException] = []

    def work(mine: list[object]) -> None:
        start.wait()
        for report_id in mine:
            try:
                with committed_db.app_context(), transaction() as session:
                    triage(session, [report_id], now=utc_now())  # type: ignore[list-item]
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test must know
                failures.append(error)

    threads = [threading.Thread(target=work, args=(ids[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with committed_db.app_context(), transaction() as session:
        rows = session.execute(sa.select(ServiceRequest.id, ServiceRequest.parent_id)).all()
    parents = Counter(row.parent_id for row in rows)
    assert parents[None] == 1
    [leader] = [row.id for row in rows if row.parent_id is None]
    assert parents[leader] == 49
