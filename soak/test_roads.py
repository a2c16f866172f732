"""The simulation end to end over HTTP: two hundred phones on fifty kilometres of Montpellier.

Its streets are made of the gazetteer's addresses, because the city's data have no roads; what lies
in them is drawn at random. It shows that uploads, fusion, requests, repairs and their confirmation
fit together at the size of a city, not how good they are on a real street.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from werkzeug.serving import make_server

from accounts.rules import Role
from app import create_app
from app.city import load_city
from app.city_reading import read_city
from core.db import close_connections, reading, transaction
from geo import jurisdictions
from geo.measures import Point, distance_m
from geo.models import Jurisdiction
from reports.models import ServiceRequest
from reports.vocabulary import Source
from sensing import fleet
from sensing.fleet import is_to_mend
from sensing.seeing import coverage
from tests.factories import new_staff
from tests.sensing.fleets import (
    FIRST_DAY,
    NEAR_M,
    ROOT,
    Fleet,
    addresses_of_montpellier,
    planted_in,
    requests_at,
    states_at,
)
from tests.workers.installation import Installation

PHONES, TOTAL_M, TOUR_M = 200, 50_000.0, 2_500.0

#: Days on which every phone drives, before and after the repairs.
BEFORE, AFTER = (0, 1), (4, 5)

#: Of what was told, one in so many is said to be mended and is not.
FORGOTTEN_EVERY = 5


@pytest.mark.timeout(7200)
def test_a_fleet_finds_what_is_planted_and_sees_it_mended(installation: Installation) -> None:
    drawn = np.random.default_rng(2012)
    tours = fleet.tours(addresses_of_montpellier(), total_m=TOTAL_M, tour_m=TOUR_M, drawn=drawn)
    planted = planted_in(tours)
    holes = [(each, point) for each, point in planted if is_to_mend(each)]
    others = [(each, point) for each, point in planted if not is_to_mend(each)]
    app = create_app(installation.settings)
    with serving(app) as port:
        with time_machine.travel(FIRST_DAY, tick=False), app.app_context():
            with transaction() as session:
                load_city(session, read_city(ROOT / "cities/montpellier"))
            with reading() as session:
                place = jurisdictions.by_code(session, "montpellier")

        def post(path: str, body: bytes, headers: dict[str, str]) -> int:
            return call(port, "POST", path, body, headers)[0]

        def new_key() -> str:
            return str(call(port, "POST", "/api/v1/devices", b"", {})[1]["key"])

        phones = Fleet(app, tours, place, post, new_key, drawn)
        for day in BEFORE:
            phones.drive(day, PHONES)
        night = phones.night_after(BEFORE[-1])

        with app.app_context(), reading() as session:
            told = [hole for hole in holes if requests_at(session, hole[1])]
            wrong = Counter(
                each.kind.value for each, point in others if requests_at(session, point)
            )
            places = [
                Point(row.lat, row.lon)
                for row in session.execute(
                    sa.select(ServiceRequest.lat, ServiceRequest.lon).where(
                        ServiceRequest.source == Source.SENSOR.value
                    )
                )
            ]
        # Tours cross: what a request is about is what lies nearest.
        nearest = [
            min((distance_m(place, point), each.kind.value) for each, point in planted)
            for place in places
        ]
        made_up = [away_m for away_m, _ in nearest if away_m > NEAR_M]
        harmless = {each.kind.value for each, _ in others}
        wrong = Counter(kind for away_m, kind in nearest if away_m <= NEAR_M and kind in harmless)
        print(
            f"\n{len(tours)} tours, {sum(tour.length_m for tour in tours) / 1000:.0f} km,"
            f" {phones.sent} trips; {len(told)} of {len(holes)} holes told in {len(places)}"
            f" requests; told though harmless: {dict(wrong)} of {len(others)};"
            f" {len(made_up)} of nothing"
        )
        assert len(told) >= 0.7 * len(holes)
        assert wrong["speed_hump"] == 0
        assert sum(wrong.values()) <= 0.05 * len(others)
        assert len(made_up) <= 0.05 * len(places)

        forgotten, mended = told[::FORGOTTEN_EVERY], []
        mended = [hole for hole in told if hole not in forgotten]
        with time_machine.travel(night + timedelta(hours=8), tick=False):
            with app.app_context():
                with transaction() as session:
                    city = session.get_one(Jurisdiction, place.id)
                    staff = new_staff(session, city, Role.ADMIN).headers
                with reading() as session:
                    ids = {id_ for _, point in told for id_ in requests_at(session, point)}
            for id_ in sorted(ids):
                status, answer = call(
                    port,
                    "POST",
                    f"/api/v1/reports/{id_}/status",
                    json.dumps({"status": "resolved", "public_note": "Rebouché"}).encode(),
                    {"Content-Type": "application/json", **staff},
                )
                assert status in (200, 409), answer
            phones.drain()
        without = [each for each, _ in mended]
        for day in AFTER:
            phones.drive(day, PHONES, without=without)
            night = phones.night_after(day)

        with app.app_context():
            of_mended = Counter(states_at(point for _, point in mended))
            of_forgotten = Counter(states_at(point for _, point in forgotten))
            with transaction() as session:
                coverage.recount(session, place, now=night)
        print(f"mended: {dict(of_mended)}; forgotten: {dict(of_forgotten)}")
        assert of_mended["confirmed"] >= 0.7 * len(mended)
        assert of_mended["open"] <= 0.05 * len(mended)
        assert of_forgotten["open"] >= 0.7 * len(forgotten)
        assert of_forgotten["confirmed"] <= 0.1 * len(forgotten)
        status, document = call(port, "GET", "/api/v1/road-coverage?jurisdiction=montpellier")
        assert status == 200
        print(f"driven: {document['whole']['share']:.0%} of the city's street cells")
        with app.app_context():
            close_connections()


@contextlib.contextmanager
def serving(app: Flask) -> Iterator[int]:
    """The application on a port of its own; in this process, whose clock is moved."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()


def call(
    port: int,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """Status and document of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()
