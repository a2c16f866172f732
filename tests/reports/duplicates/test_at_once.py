"""At the same instant on many workers: one parent, no deadlock, no report lost.

Each worker is a process with a connection of its own, as in production.
"""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import h3.api.basic_int as h3
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.db import transaction
from geo import cells
from geo.measures import Point
from reports.models import HistoryEntry, ServiceRequest
from reports.triage import triage
from reports.vocabulary import Status
from tests.factories import COMEDIE, new_jurisdiction, new_report, new_service, new_team
from tests.reports.duplicates.crowd import work

WORKERS = 4
RADIUS_M = 30.0

#: Degrees that are less than seven metres, whichever way.
NEARBY_DEG = 0.00006


def at_one_pothole(_number: int) -> Point:
    return COMEDIE


def around(corner: Point) -> Callable[[int], Point]:
    chance = random.Random(7)

    def point(_number: int) -> Point:
        return Point(
            corner.lat + chance.uniform(-NEARBY_DEG, NEARBY_DEG),
            corner.lon + chance.uniform(-NEARBY_DEG, NEARBY_DEG),
        )

    return point


def corner_of_cells() -> Point:
    """Where three of the cells meet that locks are made of."""
    cell = cells.cell_of(COMEDIE, cells.lock_resolution(RADIUS_M))
    lat, lon = h3.cell_to_boundary(cell)[0]
    return Point(lat, lon)


def crowd(app: Flask, where: Callable[[int], Point], count: int = 50) -> list[UUID]:
    with app.app_context(), transaction() as session:
        city = new_jurisdiction(session)
        new_team(session, city)
        service = new_service(session, city, duplicate_radius_m=RADIUS_M)
        return [new_report(session, service, at=where(number)).id for number in range(count)]


def triage_at_once(url: str, shares: Sequence[Sequence[UUID]]) -> None:
    # Forked from a process that has loaded what they need, once for all of these tests.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__])
    start = context.Barrier(len(shares))
    processes = [context.Process(target=work, args=(url, mine, start)) for mine in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
    assert [process.exitcode for process in processes] == [0] * len(shares)


def check(session: Session, ids: Sequence[UUID]) -> None:
    rows = session.execute(
        sa.select(
            ServiceRequest.id,
            ServiceRequest.parent_id,
            ServiceRequest.triaged_at,
            ServiceRequest.joined_count,
        )
    ).all()
    assert {row.id for row in rows} == set(ids)
    assert all(row.triaged_at is not None for row in rows)
    parents = Counter(row.parent_id for row in rows)
    [leader] = [row for row in rows if row.parent_id is None]
    assert parents == {None: 1, leader.id: len(ids) - 1}
    assert leader.joined_count == len(ids) - 1
    joined = session.scalar(
        sa.select(sa.func.count())
        .select_from(HistoryEntry)
        .where(HistoryEntry.kind == "joined", HistoryEntry.to_status == "duplicate")
    )
    assert joined == len(ids) - 1


@pytest.mark.timeout(180)
@pytest.mark.parametrize("place", ["one pothole", "around a corner of cells"])
def test_fifty_reports_at_once_have_exactly_one_parent(
    committed_db: Flask, database_url: str, place: str
) -> None:
    where = at_one_pothole if place == "one pothole" else around(corner_of_cells())
    ids = crowd(committed_db, where)
    if place != "one pothole":
        resolution = cells.lock_resolution(RADIUS_M)
        chance = around(corner_of_cells())
        touched = {cells.cell_of(chance(number), resolution) for number in range(50)}
        assert len(touched) == 3
    triage_at_once(database_url, [ids[number::WORKERS] for number in range(WORKERS)])
    with committed_db.app_context(), transaction() as session:
        check(session, ids)


@pytest.mark.timeout(180)
def test_reports_taken_by_two_workers_are_joined_once(
    committed_db: Flask, database_url: str
) -> None:
    """The broker may hand a batch out twice."""
    ids = crowd(committed_db, at_one_pothole, 12)
    triage_at_once(database_url, [ids, ids[::-1], ids, ids[::-1]])
    with committed_db.app_context(), transaction() as session:
        check(session, ids)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("place", ["one pothole", "around a corner of cells"])
def test_whoever_is_looked_at_first_the_oldest_of_the_well_placed_leads(
    committed_db: Flask, database_url: str, place: str
) -> None:
    where = at_one_pothole if place == "one pothole" else around(corner_of_cells())
    chance = random.Random(11)
    with committed_db.app_context(), transaction() as session:
        city = new_jurisdiction(session)
        new_team(session, city)
        service = new_service(session, city, duplicate_radius_m=RADIUS_M)
        now = utc_now()
        placed = [number % 3 == 2 for number in range(50)]
        ids = [
            new_report(
                session,
                service,
                at=where(number),
                requested_at=now - timedelta(hours=2, seconds=-number),
                accuracy_m=8.0 if is_placed else 90.0,
            ).id
            for number, is_placed in enumerate(placed)
        ]
    mixed = chance.sample(ids, len(ids))
    triage_at_once(database_url, [mixed[number::WORKERS] for number in range(WORKERS)])
    with committed_db.app_context(), transaction() as session:
        check(session, ids)
        leader = session.scalars(
            sa.select(ServiceRequest.id).where(ServiceRequest.parent_id.is_(None))
        ).one()
        assert leader == ids[placed.index(True)]


def test_who_has_a_duplicate_that_somebody_holds_keeps_the_lead_and_nobody_waits(
    committed_db: Flask, database_url: str
) -> None:
    now = utc_now()
    with committed_db.app_context(), transaction() as session:
        city = new_jurisdiction(session)
        new_team(session, city)
        service = new_service(session, city, duplicate_radius_m=RADIUS_M)
        first, second, late = (
            new_report(session, service, requested_at=now - timedelta(minutes=minutes)).id
            for minutes in (20, 10, 30)
        )
    with committed_db.app_context():
        for report_id in (first, second):
            with transaction() as session:
                triage(session, [report_id], now=now)
        engine = sa.create_engine(database_url)
        with engine.begin() as somebody:
            somebody.execute(
                sa.text("SELECT FROM service_requests WHERE id = :id FOR UPDATE"), {"id": second}
            )
            with transaction() as session:
                session.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
                triage(session, [late], now=now)
        engine.dispose()
        with transaction() as session:
            parents = dict(
                session.execute(sa.select(ServiceRequest.id, ServiceRequest.parent_id)).all()
            )
    assert parents == {first: None, second: first, late: first}


def test_twenty_come_back_at_once_and_open_their_report_once(
    committed_db: Flask, database_url: str
) -> None:
    with committed_db.app_context(), transaction() as session:
        city = new_jurisdiction(session)
        new_team(session, city)
        service = new_service(
            session, city, duplicate_radius_m=RADIUS_M, recurrence="reopen", recurrence_days=30
        )
        two_days_ago = utc_now() - timedelta(days=2)
        first = new_report(session, service, status=Status.RESOLVED, requested_at=two_days_ago)
        first_id = first.id
        ids = [new_report(session, service, same_as=first.id).id for _ in range(20)]
    triage_at_once(database_url, [ids[number::WORKERS] for number in range(WORKERS)])
    with committed_db.app_context(), transaction() as session:
        check(session, [first_id, *ids])
        reopened = session.scalar(
            sa.select(sa.func.count())
            .select_from(HistoryEntry)
            .where(HistoryEntry.report_id == first_id, HistoryEntry.to_status == "reopened")
        )
        assert reopened == 1
