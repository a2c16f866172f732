"""Joining and separating: nothing is lost, and separating puts everything back."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.errors import ConflictError
from core.models import OutboxEvent
from reports.duplicates import joining
from reports.history import Author
from reports.models import HistoryEntry, PairVerdict, ServiceRequest
from reports.vocabulary import ActorKind, Status
from tests.factories import new_jurisdiction, new_report, new_service, new_team, stored

STAFF = Author(ActorKind.STAFF)

#: What may differ after joining and separating: the version says that something happened.
MOVED_ON = {"version", "updated_at"}


def snapshot(session: Session, report: ServiceRequest) -> dict[str, object]:
    session.refresh(report)
    columns = ServiceRequest.__table__.columns.keys()
    return {name: getattr(report, name) for name in columns if name not in MOVED_ON}


def test_a_duplicate_follows_its_parent_and_keeps_its_own(session: Session) -> None:
    city = new_jurisdiction(session)
    service, team = new_service(session, city), new_team(session, city)
    parent = new_report(session, service, status=Status.ASSIGNED, team=team)
    child = new_report(session, service, status=Status.TRIAGED)
    joining.join(session, child, parent, by=STAFF, now=utc_now())
    assert (child.status, child.parent_id, child.team_id) == ("duplicate", parent.id, team.id)
    assert child.due_at is None
    assert child.description
    [entry] = stored(session, HistoryEntry, report_id=child.id, kind="joined")
    assert (entry.from_status, entry.to_status) == ("triaged", "duplicate")
    [verdict] = stored(session, PairVerdict)
    assert (verdict.report_id, verdict.other_id, verdict.is_same) == (child.id, parent.id, True)
    assert [event.name for event in stored(session, OutboxEvent)] == ["report.joined"]


@pytest.mark.parametrize("status", [Status.TRIAGED, Status.ASSIGNED, Status.ON_HOLD])
def test_separating_restores_exactly_what_was(session: Session, status: Status) -> None:
    city = new_jurisdiction(session)
    service = new_service(session, city)
    parent = new_report(session, service, status=Status.TRIAGED, team=new_team(session, city))
    child = new_report(
        session,
        service,
        status=status,
        team=new_team(session, city),
        priority=2,
        routing={"rule": "danger"},
        duplicate={"outcome": "suggested", "candidates": []},
        due_at=utc_now() + timedelta(hours=3),
    )
    before = snapshot(session, child), snapshot(session, parent)
    joining.join(session, child, parent, by=STAFF, now=utc_now())
    joining.unjoin(session, child, by=STAFF, now=utc_now())
    assert (snapshot(session, child), snapshot(session, parent)) == before
    [verdict] = stored(session, PairVerdict)
    assert not verdict.is_same


def test_who_leads_others_takes_them_along_and_brings_them_back(session: Session) -> None:
    city = new_jurisdiction(session)
    service = new_service(session, city)
    first, second = (new_report(session, service, status=Status.TRIAGED) for _ in range(2))
    stays, leaves = (new_report(session, service, status=Status.TRIAGED) for _ in range(2))
    for child in (stays, leaves):
        joining.join(session, child, second, by=STAFF, now=utc_now())
    joining.join(session, second, first, by=STAFF, now=utc_now())
    for report in (stays, leaves):
        session.refresh(report)
        assert report.parent_id == first.id
    # One of them is separated in the meantime: it does not come back with its former parent.
    joining.unjoin(session, leaves, by=STAFF, now=utc_now())
    joining.unjoin(session, second, by=STAFF, now=utc_now())
    for report in (stays, leaves, second):
        session.refresh(report)
    assert (stays.parent_id, leaves.parent_id, second.parent_id) == (second.id, None, None)
    joining.unjoin(session, stays, by=STAFF, now=utc_now())
    assert (stays.status, stays.parent_id) == ("triaged", None)


def test_what_cannot_be_joined_is_a_conflict_and_leaves_no_trace(session: Session) -> None:
    city = new_jurisdiction(session)
    service = new_service(session, city)
    parent, other = (new_report(session, service, status=Status.TRIAGED) for _ in range(2))
    duplicate = new_report(session, service, parent=parent)
    closed = new_report(session, service, status=Status.CLOSED)
    abroad = new_report(session, status=Status.TRIAGED)
    cases = [
        (other, other, joining.OneReportError),
        (other, abroad, joining.OtherJurisdictionError),
        (duplicate, other, joining.AlreadyJoinedError),
        (other, duplicate, joining.ParentIsDuplicateError),
        (other, closed, joining.FinishedReportError),
        (closed, other, joining.FinishedReportError),
    ]
    for child, leader, error in cases:
        with pytest.raises(error):
            joining.join(session, child, leader, by=STAFF, now=utc_now())
    with pytest.raises(joining.NotJoinedError):
        joining.unjoin(session, other, by=STAFF, now=utc_now())
    assert stored(session, OutboxEvent) == []
    assert stored(session, PairVerdict) == []


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_joined_and_separated_there_are_no_chains_and_the_counts_hold(
    session: Session, seed: int
) -> None:
    chance = random.Random(seed)
    service = new_service(session)
    reports = [new_report(session, service, status=Status.TRIAGED) for _ in range(7)]
    for _ in range(40):
        one, other = chance.sample(reports, 2)
        with contextlib.suppress(ConflictError):
            if chance.random() < 0.6:
                joining.join(session, one, other, by=STAFF, now=utc_now())
            else:
                joining.unjoin(session, one, by=STAFF, now=utc_now())
        session.expire_all()
        led = Counter(report.parent_id for report in reports if report.parent_id is not None)
        assert all(report.parent_id is None for report in reports if led[report.id])
        assert {report.id: report.joined_count for report in reports} == {
            report.id: led[report.id] for report in reports
        }
        assert all(
            (report.status == "duplicate") == (report.parent_id is not None) for report in reports
        )
