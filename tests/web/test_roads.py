"""The page of the roads, in both languages: unknown is said, and never called good."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from geo.cells import cell_of, centre_of, parent_of
from geo.measures import destination
from geo.models import Jurisdiction
from sensing.acting import opening
from sensing.models import RoadDefect
from sensing.seeing import coverage
from tests.factories import COMEDIE, new_area, new_asset, new_asset_kind, new_report
from tests.sensing.defects import (
    BASE_URL,
    SECRET,
    TODAY,
    at,
    drive_over,
    new_defect,
    new_road_city,
    place_of,
)


def text_of(client: FlaskClient, url: str) -> str:
    """What a reader sees."""
    answer = client.get(url, follow_redirects=True)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.get_data(as_text=True)))


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        (
            "fr",
            [
                "Inconnu ne veut pas dire bon.",
                "Antigone inconnu – – – 1 1",
                "Un défaut estimé",
                "à réparer, 14 trajets sur 17, gravité 5,2 sur 10",
                "confié à la ville",
                "demande n° 1",
            ],
        ),
        (
            "en",
            [
                "Unknown does not mean good.",
                "Antigone unknown – – – 1 1",
                "One estimated defect",
                "to be mended, 14 of 17 trips, severity 5.2 of 10",
                "with the city",
                "request no. 1",
            ],
        ),
    ],
)
def test_the_page_says_what_is_known_and_what_is_not(
    client: FlaskClient, session: Session, lang: str, words: list[str]
) -> None:
    place, service = new_road_city(session)
    city = session.get_one(Jurisdiction, place.id)
    away = destination(COMEDIE, 0.0, 4_000.0)
    area = new_area(session, city, code="Antigone", centre=away, half_deg=0.005)
    place = place_of(session, city)
    new_asset(session, new_asset_kind(session, city), point=away)
    new_report(session, service, areas=[area], requested_at=at(TODAY - 1), at=away)
    defect = new_defect(session, place, verdict="actionable", probability=0.9)
    drive_over(session, defect, TODAY - 1, passes=3)
    opening.act(session, place, now=at(TODAY), secret=SECRET, base_url=BASE_URL)
    coverage.recount(session, place, now=at(TODAY))

    text = text_of(client, f"/roads/{place.code}?lang={lang}")
    for each in words:
        assert each in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("lang", "row"),
    [
        ("fr", "Toute la ville connu pour l’essentiel 100 % 4,5 0 0 0"),
        ("en", "The whole city mostly known 100% 4.5 0 0 0"),
    ],
)
def test_trips_are_told_by_cell_and_not_once_for_every_cell(
    client: FlaskClient, session: Session, lang: str, row: str
) -> None:
    place, _ = new_road_city(session)
    kind = new_asset_kind(session, session.get_one(Jurisdiction, place.id))
    for step in range(6):
        # In the middle of a street cell, so that each is one of its own.
        street = parent_of(cell_of(destination(COMEDIE, 90.0, 100.0 * step)), 11)
        new_asset(session, kind, point=centre_of(street))
        cell = cell_of(centre_of(street), 12)
        driven = RoadDefect(packet=parent_of(cell, 10), cell=cell, octant=0)
        drive_over(session, driven, TODAY - 1, passes=3 + step % 2 * 3)
    coverage.recount(session, place, now=at(TODAY))
    assert row in text_of(client, f"/roads/{place.code}?lang={lang}")


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_a_phone_shows_each_row_as_a_card_that_names_its_figures(
    client: FlaskClient, session: Session, lang: str
) -> None:
    place, _ = new_road_city(session)
    new_area(session, session.get_one(Jurisdiction, place.id), code="Antigone")
    place = place_of(session, session.get_one(Jurisdiction, place.id))
    coverage.recount(session, place, now=at(TODAY))
    body = client.get(f"/roads/{place.code}?lang={lang}").text
    [table] = re.findall(r"<table.*?</table>", body, re.DOTALL)
    headers = re.findall(r'role="columnheader">([^<]+)<', table)
    rows = re.findall(r'<tr role="row"><th scope="row".*?</tr>', table, re.DOTALL)
    assert (len(headers), len(rows)) == (7, 2)
    for row in rows:
        assert re.findall(r'role="cell" data-label="([^"]+)"', row) == headers[1:]
    # What is laid out anew no longer says that it is a table, unless told to.
    assert all(f'role="{role}"' in table for role in ("table", "rowgroup", "rowheader"))


def test_one_city_needs_no_choice(client: FlaskClient, session: Session) -> None:
    place, _ = new_road_city(session)
    answer = client.get("/roads?lang=en")
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/roads/{place.code}?lang=en")


def test_of_several_cities_one_is_chosen(client: FlaskClient, session: Session) -> None:
    codes = [new_road_city(session)[0].code for _ in range(2)]
    body = client.get("/roads?lang=fr").text
    assert all(f"/roads/{code}?lang=fr" in body for code in codes)


def test_before_anything_is_counted_everything_is_unknown(
    client: FlaskClient, session: Session
) -> None:
    place, _ = new_road_city(session)
    text = text_of(client, f"/roads/{place.code}?lang=en")
    assert "The first count is still to come." in text
    assert "The whole city unknown" in text
    assert "No defect known" in text


def test_a_city_that_there_is_not_is_not_found(client: FlaskClient) -> None:
    assert client.get("/roads/atlantis").status_code == 404
