"""The simulation end to end over HTTP, in small: holes are found, mended, and seen to be mended."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.rules import Role
from geo.models import Jurisdiction
from reports.models import ServiceRequest
from reports.vocabulary import Source, Status
from sensing import fleet, simulation
from sensing.fleet import LEAD_M, is_to_mend
from sensing.seeing.models import RoadRoughness
from sensing.simulation import Kind
from tests.factories import new_staff, new_team
from tests.sensing.defects import new_road_city
from tests.sensing.fleets import (
    FIRST_DAY,
    NEAR_M,
    Fleet,
    addresses_of_montpellier,
    planted_in,
    requests_at,
    states_at,
)


def test_streets_are_made_of_addresses_each_driven_once() -> None:
    drawn = np.random.default_rng(3)
    tours = fleet.tours(addresses_of_montpellier(), total_m=8_000.0, tour_m=2_000.0, drawn=drawn)
    assert 8_000.0 <= sum(tour.length_m for tour in tours) <= 14_000.0
    places = [place for _, place in planted_in(tours)]
    assert len(places) >= 20
    for tour in tours:
        for each in tour.planted:
            assert LEAD_M < each.along_m < LEAD_M + tour.length_m
    kinds = {each.kind for tour in tours for each in tour.planted}
    assert {Kind.POTHOLE, Kind.SPEED_HUMP} <= kinds


def test_a_place_along_a_route_is_measured_from_its_beginning() -> None:
    drawn = np.random.default_rng(3)
    [tour, *_] = fleet.tours(
        addresses_of_montpellier(), total_m=1_000.0, tour_m=1_500.0, drawn=drawn
    )
    assert fleet.at(tour.route, 0.0) == tour.route[0]
    assert fleet.at(tour.route, 1e9) == tour.route[-1]
    whole = simulation.length_m(tour.route)
    assert whole == pytest.approx(tour.length_m + 2 * LEAD_M)


@pytest.mark.timeout(120)
def test_twenty_phones_find_holes_and_see_them_mended(
    app: Flask, client: FlaskClient, session: Session
) -> None:
    with time_machine.travel(FIRST_DAY, tick=False):
        place, _ = new_road_city(session)
        city = session.get_one(Jurisdiction, place.id)
        new_team(session, city)
        drawn = np.random.default_rng(11)
        tours = fleet.tours(
            addresses_of_montpellier(), total_m=1_500.0, tour_m=2_000.0, drawn=drawn
        )

        def new_key() -> str:
            key: str = client.post("/api/v1/devices").get_json()["key"]
            return key

        def post(path: str, body: bytes, headers: dict[str, str]) -> int:
            return client.post(path, data=body, headers=headers).status_code

        phones = Fleet(app, tours, place, post, new_key, drawn, rate_hz=25.0)
    phones.drive(0, 10)
    phones.drive(1, 10)
    night = phones.night_after(1)

    planted = planted_in(tours)
    holes = [(each, point) for each, point in planted if is_to_mend(each)]
    others = [point for each, point in planted if not is_to_mend(each)]
    told = [hole for hole in holes if requests_at(session, hole[1])]
    assert len(told) >= 0.6 * len(holes)
    assert [point for point in others if requests_at(session, point)] == []
    of_sensors = sa.select(sa.func.count()).where(ServiceRequest.source == Source.SENSOR.value)
    assert session.scalar(of_sensors) == len(told), "nothing is made up, and nothing told twice"

    # The team says that all is done. It is not: the last hole was forgotten.
    *mended, (forgotten, its_place) = told
    with time_machine.travel(night + timedelta(hours=8), tick=False):
        staff = new_staff(session, city, Role.ADMIN).headers
        for _, point in told:
            [report_id] = requests_at(session, point)
            answer = client.post(
                f"/api/v1/reports/{report_id}/status",
                json={"status": "resolved", "public_note": "Rebouché"},
                headers=staff,
            )
            assert answer.status_code == 200, answer.text
        phones_before = phones.sent
        phones.drain()
    assert set(states_at(point for _, point in told)) == {"repaired"}

    phones.drive(3, 5, without=[each for each, _ in mended])
    phones.drive(4, 5, without=[each for each, _ in mended])
    phones.night_after(4)
    assert phones.sent - phones_before == 10
    states = states_at(point for _, point in mended)
    assert states.count("confirmed") >= 0.6 * len(mended)
    assert "open" not in states
    [report_id] = requests_at(session, its_place)
    report = session.get_one(ServiceRequest, report_id, populate_existing=True)
    # Ten trips may have missed it; they cannot have found it mended.
    assert states_at([its_place])[0] in ("open", "repaired")
    assert report.status in (Status.REOPENED, Status.RESOLVED, Status.TRIAGED)
    assert is_to_mend(forgotten)
    assert NEAR_M > 20.0

    # Where they drove, how rough it is was estimated too.
    assert session.scalar(sa.select(sa.func.max(RoadRoughness.trips))) >= 10
    shown = client.get(f"/api/v1/road-defects?jurisdiction={place.code}").get_json()
    assert all(feature["properties"]["hits"] >= 2 for feature in shown["features"])
