"""What trips felt, added up in the database: in any order, by many at once, after repairs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import h3.api.basic_int as h3
import numpy as np
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from core.db import transaction
from core.models import OutboxEvent
from geo import jurisdictions
from sensing import clustering, fusing, grid, sighting, signal, tallies
from sensing.acting import verdicts
from sensing.models import RoadDefect, RoadRepair, RoadSighting, RoadTotal
from sensing.tallies import ROW, TOTAL, Evidence, Rows
from tests.factories import new_jurisdiction, stored
from tests.sensing.phones import FIRST_S, drive
from tests.sensing.roads import START, holes

NOW = datetime.fromtimestamp(FIRST_S, UTC) + timedelta(days=30)
TODAY = grid.day_of(NOW.timestamp())
_WAITING = sa.text(
    "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database"
    " WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted)"
)
HOLES = holes(700.0, 1000.0, 1030.0, 1500.0)


@pytest.fixture(scope="module")
def felt() -> list[Rows]:
    """What twelve drives over four holes felt, on twelve days."""
    found = []
    for number in range(12):
        analysis = signal.analyse(drive(HOLES, day=number, seed=number))
        found.append(sighting.sightings(analysis))
    return found


def table(session: Session, model: Any) -> list[tuple[Any, ...]]:
    """All rows of a table, sorted, without what tells how often it changed."""
    columns = [
        column
        for column in model.__table__.columns
        if column.name not in ("version", "updated_on", "acted_version")
    ]
    return sorted(tuple(row) for row in session.execute(sa.select(*columns)))


def state(session: Session) -> dict[str, Any]:
    present = [row for row in stored(session, RoadDefect) if row.is_present]
    return {
        "sightings": table(session, RoadSighting),
        "totals": table(session, RoadTotal),
        "defects": sorted(
            (row.id, row.lat, row.lon, row.belief, row.hits, row.passes, row.last_day)
            for row in present
        ),
    }


def fused_in(session: Session, rows: Sequence[Rows]) -> None:
    for each in rows:
        fusing.fuse(session, each, now=NOW)


def test_trips_in_any_order_leave_the_same_tables(session: Session, felt: list[Rows]) -> None:
    new_jurisdiction(session, centre=START)
    states = []
    for seed in range(4):
        order = list(felt)
        random.Random(seed).shuffle(order)
        with session.begin_nested() as around:
            fused_in(session, order)
            states.append(state(session))
            around.rollback()
        session.expire_all()
    assert states[0]["defects"]
    assert states[1:] == states[:1] * 3


def test_the_tables_are_what_the_rows_in_memory_are(session: Session, felt: list[Rows]) -> None:
    new_jurisdiction(session, centre=START)
    fused_in(session, felt)
    evidence = Evidence()
    for rows in felt:
        evidence.add(rows)
    assert table(session, RoadSighting) == sorted(
        (int(packet), *row)
        for packet, row in zip(
            grid.packets_of(evidence.all()["cell"]), evidence.all().tolist(), strict=True
        )
    )
    near = fusing.near(session, felt[0]["cell"])
    known = evidence.near(felt[0]["cell"])
    assert (tallies.summed([near]) == known).all()
    wanted = clustering.defects(evidence.all(), today=TODAY)
    told = {row.id: row for row in stored(session, RoadDefect) if row.is_present}
    assert {fusing.defect_id(each.cell, each.octant) for each in wanted} == set(told)
    for each in wanted:
        row = told[fusing.defect_id(each.cell, each.octant)]
        assert (row.belief, row.severity) == pytest.approx((each.belief, each.severity))
        assert (row.hits, row.passes) == (each.hits, each.passes)


def test_workers_at_one_time_leave_what_one_leaves(committed_db: Flask, felt: list[Rows]) -> None:
    with committed_db.app_context():
        with transaction() as session:
            new_jurisdiction(session, centre=START)
        with transaction() as session:
            fused_in(session, felt)
            alone = state(session)
        with transaction() as session:
            for model in (RoadDefect, RoadTotal, RoadSighting):
                session.execute(sa.delete(model))

    def one(rows: Rows) -> None:
        with committed_db.app_context(), transaction() as session:
            fusing.fuse(session, rows, now=NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, reversed(felt)))
    with committed_db.app_context(), transaction() as session:
        assert state(session) == alone


def test_whoever_judges_holds_nothing_while_waiting_for_a_trip(
    committed_db: Flask, felt: list[Rows]
) -> None:
    with committed_db.app_context(), transaction() as session:
        new_jurisdiction(session, centre=START)
        fused_in(session, felt)
        ids = sorted(row.id for row in stored(session, RoadDefect))

    def judged() -> int:
        with committed_db.app_context(), transaction() as session:
            return verdicts.give(session, ids)

    def change(session: Session, identity: UUID) -> None:
        one = sa.update(RoadDefect).where(RoadDefect.id == identity)
        session.execute(one.values(version=RoadDefect.version + 1))

    with ThreadPoolExecutor(1) as pool:
        with committed_db.app_context(), transaction() as adding:
            fusing.refreshed(adding, felt[0]["cell"].tolist(), now=NOW)
            change(adding, ids[-1])
            judging = pool.submit(judged)
            while not adding.scalar(_WAITING):
                assert not judging.done()
            adding.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            change(adding, ids[0])
        assert judging.result(timeout=10) > 0


def test_what_changed_is_told_once_and_names_no_request(session: Session, felt: list[Rows]) -> None:
    city = new_jurisdiction(session, centre=START)
    fused = [fusing.fuse(session, rows, now=NOW) for rows in felt]
    events = stored(session, OutboxEvent)
    assert {event.name for event in events} == {"road_defect.changed"}
    assert len(events) == sum(bool(each.changed) for each in fused)
    assert {event.jurisdiction_id for event in events} == {city.id}
    assert all(event.subject_id is None for event in events)
    told = {id_ for event in events for id_ in event.data["defect_ids"]}
    assert told == {str(row.id) for row in stored(session, RoadDefect)}
    for row in stored(session, RoadDefect):
        assert row.version == sum(row.id in each.changed for each in fused)


def test_what_lies_in_no_city_is_counted_and_is_nobodys_defect(
    session: Session, felt: list[Rows]
) -> None:
    fused_in(session, felt)
    assert table(session, RoadTotal)
    assert stored(session, RoadDefect) == []
    new_jurisdiction(session, centre=START)
    session.commit()
    jurisdictions.forget()
    fusing.refreshed(session, felt[0]["cell"].tolist(), now=NOW)
    assert stored(session, RoadDefect) != []


def test_passes_that_feel_nothing_let_a_defect_go(session: Session, felt: list[Rows]) -> None:
    new_jurisdiction(session, centre=START)
    fused_in(session, felt)
    defects = [row.id for row in stored(session, RoadDefect) if row.is_present]
    smooth = sighting.sightings(signal.analyse(drive([], day=20, seed=100)))
    for _ in range(30):
        fusing.fuse(session, smooth, now=NOW)
    session.expire_all()
    left = [row for row in stored(session, RoadDefect) if row.is_present]
    assert len(left) < len(defects)
    gone = [row for row in stored(session, RoadDefect) if not row.is_present]
    assert all(row.updated_on == NOW.date() for row in gone)


def test_a_repair_takes_the_evidence_before_it_and_only_that(
    session: Session, felt: list[Rows]
) -> None:
    new_jurisdiction(session, centre=START)
    fused_in(session, felt)
    evidence = Evidence()
    for rows in felt:
        evidence.add(rows)
    worst = max(stored(session, RoadDefect), key=lambda row: row.belief)
    day = int(felt[-1]["day"].max()) + 1
    fused = fusing.repaired(session, worst.cell, worst.octant, day, now=NOW)
    evidence.repair(worst.cell, worst.octant, day)
    assert worst.id in fused.gone
    near = tallies.summed([fusing.near(session, felt[0]["cell"])])
    assert (near == evidence.near(felt[0]["cell"])).all()
    # A trip of before that comes late weighs as little; one of after counts in full.
    late, after = felt[3].copy(), felt[3].copy()
    after["day"] = day + 1
    for rows in (late, after):
        fusing.fuse(session, rows, now=NOW)
        evidence.add(rows)
    near = tallies.summed([fusing.near(session, felt[0]["cell"])])
    assert (near == evidence.near(felt[0]["cell"])).all()
    fusing.repaired(session, worst.cell, worst.octant, day - 5, now=NOW)
    assert [row.day for row in session.scalars(sa.select(RoadRepair))] == [day]


def test_numbers_of_every_kind_come_back_as_they_went(session: Session) -> None:
    rows = np.zeros(2, dtype=ROW)
    cells = [int(cell) for cell in h3.grid_disk(0x8C1FB466D8A01FF, 1)][:2]
    rows["cell"], rows["octant"], rows["day"] = sorted(cells), [0, 7], [20_000, 20_001]
    rows["passes"], rows["strong"], rows["north"] = 2**20, 1, [-(2**40), 2**40]
    fusing._add(session, RoadSighting, rows, ROW, tallies.KEY)
    packets = sorted(set(grid.packets_of(rows["cell"]).tolist()))
    back = tallies.added([fusing._read(session, RoadSighting, ROW, packets)])
    assert (back == tallies.added([rows])).all()
    totals = tallies.totals(rows)
    fusing._add(session, RoadTotal, totals, TOTAL, ("cell", "octant"))
    assert (tallies.summed([fusing._read(session, RoadTotal, TOTAL, packets)]) == totals).all()
