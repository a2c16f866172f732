"""Nothing that is kept, and nothing that is public, leads to a device, a drive or a home."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.access import EVERYONE, declarations
from core.db import Base
from geo import cells
from geo.measures import Point, distance_m
from sensing import keeping, sighting, telling
from sensing.cli import export_traces_command
from sensing.models import DeviceDay, ResearchTrace, RoadDefect, RoadSighting, StoredTrip
from sensing.vocabulary import TripState
from tests.factories import new_jurisdiction, stored
from tests.sensing.phones import csv_of, drive, new_device, send, street
from tests.sensing.roads import START, holes
from workers import trips
from workers.trips import analyse, clean_trips

#: Nothing that is kept lies nearer to a home.
PROMISED_M = 200.0

#: Where somebody lives, and where they work.
HOME, WORK = street()

#: What could tell one row from another: everything else is shared by thousands.
_TOLD = {"state", "marks", "received_on", "is_research", "bumps", "reason"}


def files(app: Flask) -> list[Path]:
    root = Path(app.extensions["settings"].data_dir) / "media"
    folders = (keeping.WAITING, keeping.PARTS, keeping.RESEARCH)
    return [path for folder in folders for path in (root / folder).rglob("*") if path.is_file()]


@pytest.fixture(autouse=True)
def nothing_is_left(app: Flask) -> Iterator[None]:
    yield
    for path in files(app):
        path.unlink()


def analyse_all(app: Flask, session: Session) -> None:
    with app.app_context():
        analyse(list(session.scalars(sa.select(StoredTrip.id))))
    session.expire_all()


def rows_of_everything(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, table in Base.metadata.tables.items():
        for row in session.execute(sa.select(table)).mappings():
            yield name, dict(row)


def places_in(document: Any) -> Iterator[Point]:
    """Everything in a document that could be a position: pairs of numbers, and lat beside lon."""
    if isinstance(document, dict):
        if isinstance(document.get("lat"), float) and isinstance(document.get("lon"), float):
            yield Point(document["lat"], document["lon"])
        for value in document.values():
            yield from places_in(value)
    elif isinstance(document, list):
        if len(document) == 2 and all(isinstance(value, int | float) for value in document):
            lon, lat = document
            if abs(lat) <= 90 and abs(lon) <= 180:
                yield Point(lat, lon)
        for value in document:
            yield from places_in(value)


def test_thirty_drives_from_home_to_work_lead_nowhere(
    app: Flask, client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session, centre=START)
    device = new_device(client)
    key = device["Authorization"].removeprefix("Bearer ")
    ids = [str(uuid4()) for _ in range(30)]
    planted = holes(700.0, 1200.0, 1600.0)
    for day, id_ in enumerate(ids):
        trip = drive(planted, day=day, seed=day % 5, rate_hz=25.0)
        assert send(client, device, csv_of(trip), id=id_).status_code == 202
        for path in files(app):
            kept = keeping.read(path.read_bytes())
            assert kept.t_s[0] == 0.0
            known = np.isfinite(kept.lat_deg)
            for lat, lon in zip(kept.lat_deg[known], kept.lon_deg[known], strict=True):
                assert distance_m(Point(lat, lon), HOME) > PROMISED_M
                assert distance_m(Point(lat, lon), WORK) > PROMISED_M
        analyse_all(app, session)
    assert files(app) == []
    assert len(stored(session, RoadDefect)) >= 2

    # Every table: no place near the home, no id that the phone made, no key.
    everything = list(rows_of_everything(session))
    for name, row in everything:
        text = json.dumps(
            row, default=lambda value: value.hex() if isinstance(value, bytes) else str(value)
        )
        assert key not in text
        assert not any(id_ in text for id_ in ids), name
        if name in ("jurisdictions", "areas"):
            continue
        found = list(places_in(json.loads(text)))
        found += [
            cells.centre_of(value)
            for column, value in row.items()
            if column in ("cell", "place_cell") and isinstance(value, int)
        ]
        for place in found:
            assert distance_m(place, HOME) > PROMISED_M, name
            assert distance_m(place, WORK) > PROMISED_M, name

    # What is left of the trips: no two rows have anything in common that others have not, and
    # nothing of them stands in any other table but the outbox, which is forgotten in a week.
    mine = [row for name, row in everything if name == "trips"]
    assert len(mine) == 30
    marks = [value for row in mine for column, value in row.items() if column not in _TOLD]
    telling = [value for value in marks if value is not None]
    assert len(telling) == len(set(telling)) == 30 * 3
    elsewhere = {
        value
        for name, row in everything
        if name not in ("trips", "outbox_events")
        for value in row.values()
        if isinstance(value, bytes) or hasattr(value, "hex")
    }
    assert not elsewhere & set(telling)
    # The events of places name no trip, and no request that named one.
    events = [row for name, row in everything if name == "outbox_events"]
    of_trips = [row for row in events if row["name"] == "trip.received"]
    of_roads = [row for row in events if row["name"] == "road_defect.changed"]
    assert of_roads
    assert not {row["request_id"] for row in of_trips} & {row["request_id"] for row in of_roads}

    # What was fused: no time finer than a day.
    for name, table in Base.metadata.tables.items():
        if name.startswith(("road_", "device_", "research_")) or name in ("trips", "trip_parts"):
            for column in table.columns:
                is_of_requests = name in ("road_cases", "road_case_steps")
                assert is_of_requests or not isinstance(column.type, sa.DateTime), column
                assert not isinstance(column.type, sa.Time), column
    for name, row in everything:
        if name in ("road_sightings", "road_totals", "road_defects"):
            assert not any(isinstance(value, datetime | time) for value in row.values())

    # Everything public about roads.
    box = f"{HOME.lon - 0.03},{HOME.lat - 0.03},{HOME.lon + 0.03},{HOME.lat + 0.06}"
    walked = 0
    for rule, method, access in declarations(app):
        if method != "GET" or access != EVERYONE or not re.search("road|trip", rule.rule):
            continue
        defects = stored(session, RoadDefect) if "defect_id" in rule.arguments else [None]
        for defect in defects:
            named: dict[str, Any] = {
                "defect_id": defect and defect.id,
                "jurisdiction": city.code,
                "code": city.code,
            }
            built = rule.build({name: named[name] for name in rule.arguments})
            assert built is not None
            query = {} if rule.arguments else {"bbox": box}
            answer = client.get(built[1], query_string=query, follow_redirects=True)
            assert answer.status_code == 200, (rule.rule, answer.text)
            walked += 1
            assert key not in answer.text
            assert not re.search(r"T\d\d:\d\d", answer.text), rule.rule
            assert not any(id_ in answer.text for id_ in ids)
            if answer.is_json:
                for place in places_in(answer.json):
                    # The city's own outline and areas are nobody's drive.
                    assert distance_m(place, HOME) > PROMISED_M, rule.rule
    assert walked >= 1


def test_one_car_counts_once_a_day_in_a_place_whatever_it_drives(
    app: Flask, client: FlaskClient, session: Session
) -> None:
    new_jurisdiction(session, centre=START)
    device, other = new_device(client), new_device(client)

    def passes() -> list[int]:
        rows = session.execute(
            sa.select(RoadSighting.passes).order_by(RoadSighting.cell, RoadSighting.day)
        )
        return sorted({row.passes for row in rows})

    def sent(who: dict[str, str], day: int, seed: int) -> None:
        trip = drive(holes(1000.0), day=day, seed=seed, rate_hz=10.0)
        assert send(client, who, csv_of(trip)).status_code == 202
        analyse_all(app, session)

    for seed in range(4):
        sent(device, day=0, seed=seed)
    assert passes() == [1]
    assert len(stored(session, DeviceDay)) == 1
    sent(other, day=0, seed=9)
    assert max(passes()) == 2
    sent(device, day=1, seed=1)
    days = stored(session, DeviceDay)
    assert len({row.id for row in days}) == 3
    # Where they drove on two days, the same cells look like others.
    drawn = [np.frombuffer(row.cells, dtype=np.uint64) for row in days]
    assert not set(drawn[0]) & set(drawn[1]) & set(drawn[2])


def test_days_of_devices_are_forgotten_the_day_after(
    app: Flask, client: FlaskClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, new_device(client), csv_of(drive(rate_hz=10.0)))
    analyse_all(app, session)
    now = trips.utc_now()
    for later, left in ((1, 1), (2, 0)):
        monkeypatch.setattr(trips, "utc_now", lambda days=later: now + timedelta(days=days))
        with app.app_context():
            clean_trips.run()
        session.expire_all()
        assert len(stored(session, DeviceDay)) == left


def test_traces_that_cannot_be_written_are_told_in_a_sentence(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    run = app.test_cli_runner().invoke(export_traces_command, [str(tmp_path / "file" / "traces")])
    assert run.exit_code == 1
    assert run.output.startswith("Error: Nothing can be written into")


def test_research_keeps_a_trace_without_its_ends_its_device_and_its_day(
    app: Flask,
    client: FlaskClient,
    session: Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = new_device(client)
    given = send(client, device, csv_of(drive(rate_hz=10.0)), research="true").json["id"]
    other = send(client, device, csv_of(drive(rate_hz=10.0, seed=2))).json["id"]
    analyse_all(app, session)
    told = {
        id_: client.get(f"/api/v1/trips/{id_}", headers=device).json["texts"]
        for id_ in (given, other)
    }
    assert told[given] == telling.KEPT_FOR_RESEARCH
    assert told[other] == telling.STATES[TripState.ANALYSED]
    [trace] = session.scalars(sa.select(ResearchTrace))
    assert trace.driven_on.day == 1
    out = tmp_path / "traces"
    run = app.test_cli_runner().invoke(export_traces_command, [str(out)])
    assert run.exit_code == 0, run.output
    assert "1 traces" in run.output
    with (out / "traces.csv").open(encoding="utf-8") as file:
        [row] = list(csv.DictReader(file))
    assert row == {"file": "trace-000001.parquet", "month": f"{trace.driven_on:%Y-%m}"}
    kept = keeping.read((out / row["file"]).read_bytes())
    assert kept.t_s[0] == 0.0
    known = np.isfinite(kept.lat_deg)
    assert distance_m(Point(kept.lat_deg[known][0], kept.lon_deg[known][0]), HOME) > PROMISED_M
    now = trips.utc_now()
    days = app.extensions["settings"].research_days
    monkeypatch.setattr(trips, "utc_now", lambda: now + timedelta(days=days + 1))
    with app.app_context():
        clean_trips.run()
    assert files(app) == []
    assert session.scalar(sa.select(sa.func.count()).select_from(ResearchTrace)) == 0


def test_no_row_is_written_for_a_cell_near_an_end() -> None:
    from sensing import signal, trimming

    for seed in range(3):
        kept = trimming.trimmed(drive(seed=seed))
        assert kept is not None
        rows = sighting.sightings(signal.analyse(kept), day=0)
        assert len(rows)
        for cell in np.unique(rows["cell"]).tolist():
            assert distance_m(cells.centre_of(cell), HOME) > PROMISED_M
            assert distance_m(cells.centre_of(cell), WORK) > PROMISED_M
