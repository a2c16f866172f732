"""A newcomer that is older or better placed leads, unless somebody works on the other already."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.rules import Role
from core.clock import utc_now
from core.models import OutboxEvent
from geo.measures import Point
from reports import prioritising, remarks
from reports.changing import Words
from reports.duplicates import joining
from reports.duplicates.leading import Hold, may_cede
from reports.duplicates.rules import FirstRule
from reports.history import Author
from reports.models import HistoryEntry, PairVerdict, Service, ServiceRequest
from reports.triage import Triaged, triage
from reports.vocabulary import ActorKind, Status
from tests.factories import (
    COMEDIE,
    new_jurisdiction,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)

NOW = utc_now()
STAFF = Author(ActorKind.STAFF)
RULE = FirstRule()


@pytest.fixture
def service(session: Session) -> Service:
    city = new_jurisdiction(session)
    new_team(session, city)
    return new_service(session, city, duplicate_radius_m=30.0)


def told(session: Session, service: Service, minutes: int, **values: Any) -> ServiceRequest:
    """A report told so many minutes before now, that waits for triage."""
    return new_report(session, service, requested_at=NOW - timedelta(minutes=minutes), **values)


def look_at(session: Session, *reports: ServiceRequest) -> Triaged:
    done = triage(session, [report.id for report in reports], now=NOW, judge=RULE)
    session.expire_all()
    return done


def leader_of(*reports: ServiceRequest) -> ServiceRequest:
    [leader] = [report for report in reports if report.parent_id is None]
    others = [report for report in reports if report is not leader]
    assert {report.parent_id for report in others} <= {leader.id}
    assert leader.joined_count == len(others)
    assert leader.status != "duplicate"
    assert all((other.status, other.joined_count) == ("duplicate", 0) for other in others)
    return leader


def test_one_that_was_told_earlier_and_comes_late_leads(session: Session, service: Service) -> None:
    first, second = told(session, service, 10), told(session, service, 9)
    look_at(session, first)
    look_at(session, second)
    late = told(session, service, 30)
    look_at(session, late)
    assert leader_of(first, second, late) is late
    assert (late.triaged_at, late.parent_id) == (NOW, None)
    assert first.duplicate is not None
    assert (first.duplicate["judge"], first.duplicate["parent_id"]) == (RULE.name, str(late.id))
    assert first.duplicate["reasons"][-1] == {"code": "leader_older"}
    assert late.duplicate is not None
    assert late.duplicate["outcome"] == "apart"


def test_one_that_can_be_found_leads_one_that_hardly_can(
    session: Session, service: Service
) -> None:
    vague = told(session, service, 10, accuracy_m=200.0)
    look_at(session, vague)
    exact = told(session, service, 5, accuracy_m=8.0)
    look_at(session, exact)
    assert leader_of(vague, exact) is exact
    assert vague.duplicate is not None
    assert vague.duplicate["reasons"][-1] == {"code": "leader_better_placed"}


def test_a_street_alone_yields_to_a_pin(session: Session, service: Service) -> None:
    street = told(session, service, 10, place_source="address", address="Place de la Comédie")
    look_at(session, street)
    pin = told(session, service, 5)
    look_at(session, pin)
    assert leader_of(street, pin) is pin


def test_everybody_hears_of_it_once(session: Session, service: Service) -> None:
    first, second, late = (told(session, service, minutes) for minutes in (10, 9, 30))
    for report in (first, second, late):
        look_at(session, report)
    events = [(event.name, event.subject_id) for event in stored(session, OutboxEvent)]
    assert sorted(events, key=str) == sorted(
        [
            ("report.triaged", first.id),
            ("report.joined", second.id),
            ("report.triaged", late.id),
            ("report.joined", first.id),
        ],
        key=str,
    )
    # The judge's word is no label.
    assert stored(session, PairVerdict) == []


def test_separating_brings_back_the_former_leader_and_whom_it_led(
    session: Session, service: Service
) -> None:
    first, second = told(session, service, 10), told(session, service, 9)
    look_at(session, first)
    look_at(session, second)
    columns = ServiceRequest.__table__.columns.keys()
    before = {name: getattr(first, name) for name in columns}
    late = told(session, service, 30)
    look_at(session, late)
    joining.unjoin(session, first, by=STAFF, now=NOW)
    session.expire_all()
    after = {name: getattr(first, name) for name in columns}
    assert {name for name in columns if before[name] != after[name]} == {"version"}
    assert (second.parent_id, late.parent_id, late.joined_count) == (first.id, None, 0)


def test_in_one_batch_the_better_placed_leads_without_having_followed(
    session: Session, service: Service
) -> None:
    vague = told(session, service, 10, accuracy_m=200.0)
    middling = told(session, service, 9, accuracy_m=60.0)
    exact = told(session, service, 8, accuracy_m=5.0)
    done = look_at(session, vague, middling, exact)
    assert leader_of(vague, middling, exact) is exact
    assert (done.routed, done.joined) == (1, 2)
    joined = session.scalars(
        sa.select(HistoryEntry.report_id).where(HistoryEntry.kind == "joined")
    ).all()
    assert set(joined) == {vague.id, middling.id}


def begin(session: Session, leader: ServiceRequest) -> None:
    leader.status = Status.IN_PROGRESS.value


def assign(session: Session, leader: ServiceRequest) -> None:
    city = new_jurisdiction(session)
    leader.assignee_id = new_staff(session, city, Role.AGENT).id


def comment(session: Session, leader: ServiceRequest) -> None:
    remarks.comment(session, leader, Words(note="Vu ce matin."), by=STAFF, now=NOW)


def choose_priority(session: Session, leader: ServiceRequest) -> None:
    prioritising.set_priority(session, leader, 1, by=STAFF, now=NOW)


def join_another(session: Session, leader: ServiceRequest) -> None:
    other = new_report(session, session.get(Service, leader.service_id), status=Status.TRIAGED)
    joining.join(session, other, leader, by=STAFF, now=NOW)


@pytest.mark.parametrize("work", [begin, assign, comment, choose_priority, join_another])
def test_who_is_worked_on_keeps_the_lead(
    session: Session, service: Service, work: Callable[[Session, ServiceRequest], None]
) -> None:
    leader = told(session, service, 10)
    look_at(session, leader)
    work(session, leader)
    session.flush()
    late = told(session, service, 30)
    look_at(session, late)
    assert (leader.parent_id, late.parent_id) == (None, leader.id)


def test_whom_a_reporter_named_keeps_the_lead(session: Session, service: Service) -> None:
    leader = told(session, service, 10)
    look_at(session, leader)
    late = told(session, service, 30, same_as=leader.id)
    look_at(session, late)
    assert late.parent_id == leader.id


def test_who_was_told_apart_from_a_report_does_not_come_under_it_later(
    session: Session, service: Service
) -> None:
    first = told(session, service, 30)
    another = told(session, service, 10, not_same_as=[first.id])
    # The later one is looked at first: the pipeline keeps no order.
    look_at(session, another)
    look_at(session, first)
    assert (first.parent_id, another.parent_id) == (None, None)
    assert (first.triaged_at, another.triaged_at) == (NOW, NOW)


def test_what_the_public_may_not_see_leads_nothing_that_it_sees(
    session: Session, service: Service
) -> None:
    leader = told(session, service, 10)
    look_at(session, leader)
    held = told(session, service, 30, visibility="held")
    look_at(session, held)
    assert held.parent_id == leader.id


def test_another_service_of_the_family_does_not_get_the_work(session: Session) -> None:
    city = new_jurisdiction(session)
    new_team(session, city)
    one, other = (
        new_service(session, city, family="road", duplicate_radius_m=30.0) for _ in range(2)
    )
    leader = told(session, one, 10)
    look_at(session, leader)
    late = told(session, other, 30)
    look_at(session, late)
    assert late.parent_id == leader.id


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_in_whatever_order_they_are_looked_at_the_oldest_leads(
    session: Session, service: Service, order: tuple[int, ...]
) -> None:
    reports = [told(session, service, minutes, at=_beside(minutes)) for minutes in (30, 20, 10)]
    for index in order:
        look_at(session, reports[index])
    assert leader_of(*reports) is reports[0]


def _beside(minutes: int) -> Point:
    return Point(COMEDIE.lat + minutes * 1e-6, COMEDIE.lon)


@pytest.mark.parametrize(
    ("status", "is_assigned", "is_touched", "expected"),
    [
        (Status.RECEIVED, False, False, True),
        (Status.TRIAGED, False, False, True),
        (Status.TRIAGED, True, False, False),
        (Status.TRIAGED, False, True, False),
        *(
            (status, False, False, False)
            for status in Status
            if status not in ("received", "triaged")
        ),
    ],
)
def test_only_what_nobody_has_begun_to_work_on_cedes(
    status: Status, is_assigned: bool, is_touched: bool, expected: bool
) -> None:
    assert may_cede(Hold(status, is_assigned, is_touched)) is expected
