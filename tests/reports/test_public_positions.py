"""What the public learns of a place that is shown as a block: nothing that tells two doors apart.

One report is moved from door to door within its block; whatever the public can ask must answer the
same, byte for byte.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from geo.cells import cell_of, centre_of, children_range, cover_box, cover_disk, parent_of, widened
from geo.measures import Box, Point, destination, distance_m
from geo.models import Jurisdiction
from reports.models import Service, ServiceRequest
from reports.rules import BLOCK_RESOLUTION
from reports.vocabulary import Status
from tests.factories import COMEDIE, new_follower, new_jurisdiction, new_report, new_service

MIDDLE = centre_of(cell_of(COMEDIE, BLOCK_RESOLUTION))

#: Doors of one block, as far apart as they can be.
DOORS = [
    door
    for heading in range(0, 360, 45)
    if cell_of(door := destination(MIDDLE, heading, 50), BLOCK_RESOLUTION)
    == cell_of(MIDDLE, BLOCK_RESOLUTION)
]


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def private(session: Session, city: Jurisdiction) -> Service:
    return new_service(
        session, city, code="intime", public_precision="block", duplicate_radius_m=60
    )


def move(session: Session, report: ServiceRequest, door: Point, number: int) -> None:
    report.lat, report.lon, report.cell = door.lat, door.lon, cell_of(door)
    report.address = f"{number} rue de la Loge"
    session.flush()


def test_a_block_has_doors_far_apart() -> None:
    assert len(DOORS) >= 6
    assert max(distance_m(one, other) for one in DOORS for other in DOORS) > 90


def questions(report: ServiceRequest, code: str) -> Iterator[str]:
    """Everything a stranger can ask of it, with boxes and circles of every size all about it."""
    api = "/api/v1/reports"
    yield f"{api}/{report.id}"
    yield f"{api}/{report.id}/history"
    yield f"/report/{code}/{report.number}"
    yield f"{api}?sort=updated_at"
    chance = random.Random(5)
    for _ in range(30):
        centre = destination(MIDDLE, chance.uniform(0, 360), chance.uniform(0, 260))
        radius_m = chance.choice([1, 20, 60, 100, 200])
        box = Box.around(centre, radius_m)
        edges = f"{box.west},{box.south},{box.east},{box.north}"
        # One to a page: whether there is a next one tells of what was not shown.
        yield f"{api}?limit=1&bbox={edges}"
        yield f"{api}?limit=1&near={centre.lat},{centre.lon}&radius_m={radius_m}"
        yield f"{api}?bbox={edges}&near={centre.lat},{centre.lon}&radius_m={radius_m}"
        yield f"{api}/similar?service_code=intime&lat={centre.lat}&lon={centre.lon}"


def test_no_answer_to_the_public_tells_two_doors_of_a_block_apart(
    client: FlaskClient, session: Session, city: Jurisdiction, private: Service
) -> None:
    exact = new_service(session, city, code="trou")
    new_report(session, exact, at=MIDDLE, description="Un repère, connu au mètre près.")
    report = new_report(session, private, status=Status.TRIAGED, description="Chez moi.")
    new_follower(session, report)
    asked = list(questions(report, city.code))
    answers = []
    for number, door in enumerate((DOORS[0], DOORS[len(DOORS) // 2], DOORS[-1]), start=10):
        move(session, report, door, number)
        pages = [client.get(question).get_data(as_text=True) for question in asked]
        # A page bears a new token of its own each time.
        answers.append([re.sub(r'nonce="[^"]*"|nonce-[\w-]+', "", page) for page in pages])

    for question, *said in zip(asked, *answers, strict=True):
        assert said[0] == said[1] == said[2], question
    seen = sum("Chez moi." in page for page in answers[0])
    assert 10 < seen < len(asked), "the questions find it, and some do not"


def test_what_may_be_repeated_in_a_block_is_found_from_each_of_its_doors(
    client: FlaskClient, session: Session, private: Service
) -> None:
    report = new_report(session, private, at=DOORS[0], status=Status.TRIAGED)
    for door in DOORS:
        answer = client.get(
            f"/api/v1/reports/similar?service_code=intime&lat={door.lat}&lon={door.lon}"
        )
        [item] = answer.json["items"]
        assert item["report"]["id"] == str(report.id)
        assert item["report"]["is_rounded"] is True
        assert item["distance_m"] == round(distance_m(door, MIDDLE), 1)


@given(
    lat=st.floats(-70, 70),
    lon=st.floats(-179, 179),
    radius_m=st.floats(1, 3000),
    resolution=st.integers(5, 14),
)
def test_a_widened_cover_holds_whole_cells_and_nothing_less(
    lat: float, lon: float, radius_m: float, resolution: int
) -> None:
    point = Point(lat, lon)
    for ranges in (cover_disk(point, radius_m), cover_box(Box.around(point, radius_m))):
        wide = widened(ranges, resolution)
        assert wide == sorted(wide)
        for low, high in ranges:
            assert any(first <= low and high <= last for first, last in wide)
            for cell in (low, high):
                first, last = children_range(parent_of(cell, resolution))
                assert any(a <= first and last <= b for a, b in wide)
