"""What everybody sees of the roads: estimates by box, and where nobody drove, unknown."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from geo.cells import cell_of, centre_of, parent_of
from geo.jurisdictions import JurisdictionRef
from geo.measures import Box, Point, destination
from geo.models import Jurisdiction
from reports.models import ServiceRequest
from reports.vocabulary import Source, Status, Visibility
from sensing import roughness
from sensing.acting import opening
from sensing.models import RoadDefect, RoadSighting
from sensing.seeing import coverage, queries, roughness_sums, schemas, showing
from sensing.seeing.models import RoadRoughness
from sensing.seeing.roughness_sums import Sum
from tests.factories import COMEDIE, new_area, new_asset, new_asset_kind, new_report, new_service
from tests.sensing.defects import (
    BASE_URL,
    SECRET,
    TODAY,
    at,
    case_of,
    drive_over,
    new_defect,
    new_road_city,
    place_of,
)

BOX = "3.87,43.60,3.89,43.62"


@pytest.fixture
def place(session: Session) -> JurisdictionRef:
    return new_road_city(session)[0]


def test_defects_are_geojson_with_belief_and_evidence(
    client: FlaskClient, session: Session, place: JurisdictionRef
) -> None:
    defect = new_defect(session, place, verdict="actionable", probability=0.81)
    answer = client.get(f"/api/v1/road-defects?bbox={BOX}")
    assert answer.mimetype == "application/geo+json"
    assert schemas.DefectCollectionOut().validate(answer.get_json()) == {}
    document: dict[str, Any] = answer.get_json()
    [feature] = document["features"]
    assert document["next"] is None
    assert feature["geometry"]["coordinates"] == [COMEDIE.lon, COMEDIE.lat]
    assert feature["properties"] == {
        "jurisdiction": place.code,
        "verdict": "actionable",
        "probability": 0.81,
        "belief": 0.97,
        "severity": 5.2,
        "hits": 14,
        "passes": 17,
        "first_felt": "2026-02-19",
        "last_felt": "2026-03-10",
        "error_m": 3.0,
        "heading_deg": 0.0,
        "is_present": True,
        "is_estimate": True,
        "state": None,
        "report": None,
        "evidence_url": feature["properties"]["evidence_url"],
    }
    one = client.get(f"/api/v1/road-defects/{defect.id}")
    assert one.get_json() == feature


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 1),
        (f"?bbox={BOX}", 1),
        ("?bbox=3.0,43.0,3.1,43.1", 0),
        ("?verdict=actionable", 1),
        ("?verdict=harmless,unknown", 0),
        ("?belief_from=0.98", 0),
        ("?severity_from=5", 1),
        ("?severity_from=6", 0),
    ],
)
def test_defects_are_found_by_box_and_figures(
    client: FlaskClient, session: Session, place: JurisdictionRef, query: str, found: int
) -> None:
    new_defect(session, place, verdict="actionable", probability=0.8)
    assert len(client.get(f"/api/v1/road-defects{query}").get_json()["features"]) == found


def test_what_is_gone_or_felt_by_one_trip_is_not_in_the_list(
    client: FlaskClient, session: Session, place: JurisdictionRef
) -> None:
    gone = new_defect(session, place, is_present=False)
    single = new_defect(session, place, point=destination(COMEDIE, 0.0, 90.0), hits=1)
    assert client.get("/api/v1/road-defects").get_json()["features"] == []
    # Who follows a link to what is gone is told so.
    document = client.get(f"/api/v1/road-defects/{gone.id}").get_json()
    assert document["properties"]["is_present"] is False
    assert client.get(f"/api/v1/road-defects/{single.id}").status_code == 404
    assert client.get(f"/api/v1/road-defects/{single.id}/evidence.svg").status_code == 404


def test_pages_follow_one_another_without_loss(
    client: FlaskClient, session: Session, place: JurisdictionRef
) -> None:
    ids = {
        str(new_defect(session, place, point=destination(COMEDIE, 0.0, 60.0 * each)).id)
        for each in range(7)
    }
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/api/v1/road-defects?limit=3{cursor}").get_json()
        seen += [feature["id"] for feature in page["features"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == 7
    assert set(seen) == ids


@pytest.mark.parametrize("path", ["road-defects", f"road-segments?bbox={BOX}", "road-coverage"])
def test_who_has_it_is_told_that_nothing_changed(
    client: FlaskClient, session: Session, place: JurisdictionRef, path: str
) -> None:
    new_defect(session, place)
    first = client.get(f"/api/v1/{path}")
    assert first.headers["Cache-Control"].startswith("public, max-age=")
    again = client.get(f"/api/v1/{path}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_request_about_a_defect_is_named_while_it_is_public(
    client: FlaskClient, session: Session
) -> None:
    place, service = new_road_city(session)
    defect = new_defect(session, place)
    opening.act(session, place, now=at(TODAY), secret=SECRET, base_url=BASE_URL)
    report = session.get_one(ServiceRequest, case_of(session, defect).report_id)

    def shown() -> Any:
        return client.get(f"/api/v1/road-defects/{defect.id}").get_json()["properties"]

    assert shown()["state"] == "open"
    assert shown()["report"]["number"] == report.number
    assert shown()["report"]["url"].endswith(f"/report/{place.code}/{report.number}")
    report.visibility = Visibility.HIDDEN.value
    assert shown()["report"] is None
    report.visibility = Visibility.PUBLIC.value
    # The defect's exact place would give away what the report's is rounded for.
    service.public_precision = "block"
    assert (shown()["report"], shown()["state"]) == (None, "open")


# -- the picture ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "words"),
    [("fr", ["Ce que les téléphones ont senti", "14 trajets sur 17"]),
     ("en", ["What phones felt", "14 of 17 trips"])],
)  # fmt: skip
def test_the_evidence_is_a_picture_that_loads_nothing(
    client: FlaskClient,
    session: Session,
    place: JurisdictionRef,
    monkeypatch: pytest.MonkeyPatch,
    lang: str,
    words: list[str],
) -> None:
    monkeypatch.setattr("sensing.seeing.views.utc_now", lambda: at(TODAY))
    defect = new_defect(session, place)
    for back in range(1, 40):
        drive_over(session, defect, TODAY - back, passes=2, strong=1)
    # A week of a single trip is not drawn.
    drive_over(session, defect, TODAY - 80, passes=1, strong=1)
    answer = client.get(f"/api/v1/road-defects/{defect.id}/evidence.svg?locale={lang}")
    assert answer.mimetype == "image/svg+xml"
    assert answer.headers["Content-Language"] == lang
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    text = answer.get_data(as_text=True)
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert all(each in text for each in words)
    assert "script" not in text
    assert text.count("http") == 1  # The name of the format itself.
    assert text.count("<g><title>") == 6 or text.count("<g><title>") == 7


def test_a_defect_without_trips_to_show_says_so(
    client: FlaskClient, session: Session, place: JurisdictionRef
) -> None:
    defect = new_defect(session, place, is_present=False)
    text = client.get(f"/api/v1/road-defects/{defect.id}/evidence.svg?locale=en").text
    assert "Too few trips to show them." in text
    assert "Recent trips do not confirm it any more." in text


# -- segments -------------------------------------------------------------------------------------


def test_segments_say_how_often_and_how_rough(
    client: FlaskClient,
    session: Session,
    place: JurisdictionRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sensing.seeing.views.utc_now", lambda: at(TODAY))
    defect = new_defect(session, place)
    drive_over(session, defect, TODAY - 3, passes=2)
    drive_over(session, defect, TODAY - 2, passes=3, weak=1)
    # Another cell of the packet, passed by the same trips: the busiest counts.
    beside = next(
        cell
        for cell in (cell_of(destination(COMEDIE, 30.0 * step, 20.0), 12) for step in range(12))
        if cell != defect.cell and parent_of(cell, 10) == defect.packet
    )
    values = dict.fromkeys(("weak", "strong", "weight", "north", "east", "square"), 0)
    values |= dict.fromkeys(("severity", "shaped", "width", "symmetry"), 0)
    session.add(
        RoadSighting(packet=defect.packet, cell=beside, octant=0, day=TODAY - 2, passes=2, **values)
    )
    for index in (3.0, 5.0):
        row = [Sum(defect.packet, 0, 1000, round(1000 * index * 1000))]
        roughness_sums.add(session, row, day=TODAY - 2, packets={defect.packet})
    roughness_sums.add(session, row, day=TODAY - 2, packets=set())

    answer = client.get(f"/api/v1/road-segments?bbox={BOX}")
    assert schemas.SegmentCollectionOut().validate(answer.get_json()) == {}
    [feature] = answer.get_json()["features"]
    ring = feature["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert feature["properties"] == {
        "cell": feature["id"].partition("-")[0],
        "heading_deg": 0,
        "passes": 5,
        "days": 2,
        "last_driven": "2026-03-09",
        "roughness": {
            "index_m_km": 4.0,
            "error_m_km": round(4.0 * 0.35 / 2**0.5, 2),
            "trips": 2,
            "driven_m": 200.0,
            "is_estimate": True,
        },
    }


def test_what_few_trips_passed_is_no_segment(
    client: FlaskClient,
    session: Session,
    place: JurisdictionRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sensing.seeing.views.utc_now", lambda: at(TODAY))
    defect = new_defect(session, place)
    drive_over(session, defect, TODAY - 3, passes=queries.FEWEST_PASSES - 1)
    drive_over(session, defect, TODAY - 800, passes=40)
    assert client.get(f"/api/v1/road-segments?bbox={BOX}").get_json()["features"] == []


def test_segments_come_page_by_page(
    client: FlaskClient,
    session: Session,
    place: JurisdictionRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sensing.seeing.views.utc_now", lambda: at(TODAY))
    for each in range(5):
        defect = new_defect(session, place, point=destination(COMEDIE, 45.0, 150.0 * each))
        drive_over(session, defect, TODAY - 1, passes=4)
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/api/v1/road-segments?bbox=3.8,43.5,4,43.7&limit=2{cursor}").get_json()
        seen += [feature["id"] for feature in page["features"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize("rows_at_once", [3, 500])
def test_a_page_of_segments_is_full_whatever_lies_beside_the_box(
    client: FlaskClient,
    session: Session,
    place: JurisdictionRef,
    monkeypatch: pytest.MonkeyPatch,
    rows_at_once: int,
) -> None:
    monkeypatch.setattr("sensing.seeing.views.utc_now", lambda: at(TODAY))
    monkeypatch.setattr(queries, "_ROWS", rows_at_once)
    driven = set()
    for north in range(6):
        for east in range(6):
            point = destination(destination(COMEDIE, 0.0, 150.0 * north), 90.0, 150.0 * east)
            defect = new_defect(session, place, point=point)
            if defect.packet not in driven:
                drive_over(session, defect, TODAY - 1, passes=4)
            driven.add(defect.packet)
    inside = centre_of(sorted(driven)[len(driven) // 2])
    sides = (inside.lon - 0.003, inside.lat - 0.0022, inside.lon + 0.003, inside.lat + 0.0022)
    box = ",".join(map(str, sides))
    wanted = {packet for packet in driven if Box(*sides).contains(centre_of(packet))}
    assert 2 < len(wanted) < len(driven) - 4
    sizes, seen = [], []
    cursor = ""
    while True:
        page = client.get(f"/api/v1/road-segments?bbox={box}&limit=2{cursor}").get_json()
        sizes.append(len(page["features"]))
        seen += [feature["id"] for feature in page["features"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == len(wanted)
    if rows_at_once == 500:
        assert set(sizes[:-1]) <= {2}
        assert sizes[-1] in (1, 2)
    else:
        # The search stops after a few rounds, and goes on with the next page.
        assert max(sizes) <= 2


def test_a_box_of_half_a_country_is_refused(client: FlaskClient, place: JurisdictionRef) -> None:
    answer = client.get("/api/v1/road-segments?bbox=0,42,6,48")
    assert answer.status_code == 422
    assert client.get("/api/v1/road-segments").status_code == 422


def test_the_error_of_one_car_is_that_of_the_estimate() -> None:
    assert showing.ONE_CAR == roughness.UNKNOWN_CAR
    assert coverage.PACKET_RESOLUTION == queries.PACKET_RESOLUTION == 10


def test_months_are_counted_from_1970() -> None:
    assert roughness_sums.month_of(0) == 0
    assert roughness_sums.month_of(TODAY) == (2026 - 1970) * 12 + 2
    assert RoadRoughness.__tablename__ == "road_roughness"


# -- coverage -------------------------------------------------------------------------------------


def test_where_nobody_drove_is_unknown_and_never_good(
    client: FlaskClient, session: Session
) -> None:
    place, _ = new_road_city(session)
    answer = client.get(f"/api/v1/road-coverage?jurisdiction={place.code}").get_json()
    assert answer["counted_at"] is None
    assert answer["whole"]["knowledge"] == "unknown"
    assert (answer["whole"]["share"], answer["whole"]["passes"]) == (None, None)


def test_coverage_stands_beside_what_people_report(client: FlaskClient, session: Session) -> None:
    place, service = new_road_city(session)
    kind = new_asset_kind(session, jurisdiction_id=place.id)
    far = Point(COMEDIE.lat + 0.05, COMEDIE.lon)
    here = _area(session, place, "ici", COMEDIE)
    there = _area(session, place, "la-bas", far)
    place = _again(session, place)
    lamps = [destination(COMEDIE, 90.0, 70.0 * step) for step in range(10)]
    for lamp in [*lamps, destination(far, 0.0, 10.0)]:
        new_asset(session, kind, point=lamp)
    for lamp in lamps[:6]:
        _drive(session, lamp, TODAY - 5, passes=3)
    # Too long ago, and no street of the city's.
    _drive(session, lamps[9], TODAY - 200, passes=9)
    new_report(session, service, areas=[here], requested_at=at(TODAY - 5))
    new_report(session, service, areas=[there], requested_at=at(TODAY - 5))
    other = new_service(session, session.get_one(Jurisdiction, place.id))
    new_report(session, other, areas=[there], requested_at=at(TODAY - 5))
    new_report(session, service, areas=[there], requested_at=at(TODAY - 400))
    new_report(
        session, service, areas=[there], requested_at=at(TODAY - 5), source=Source.SENSOR.value
    )
    session.flush()

    assert coverage.recount(session, place, now=at(TODAY)) == 3
    assert coverage.recount(session, place, now=at(TODAY)) == 3
    answer = client.get(f"/api/v1/road-coverage?jurisdiction={place.code}&locale=fr")
    assert schemas.CoverageOut().validate(answer.get_json()) == {}
    document = answer.get_json()
    rows = {each["area"]["code"]: each for each in document["items"]}
    assert rows["ici"]["knowledge"] == "part"
    assert (rows["ici"]["street_cells"], rows["ici"]["driven_cells"]) == (10, 6)
    assert (rows["ici"]["share"], rows["ici"]["passes"]) == (0.6, 18)
    assert (rows["ici"]["reports"], rows["ici"]["road_reports"]) == (1, 1)
    assert rows["la-bas"]["knowledge"] == "unknown"
    assert (rows["la-bas"]["driven_cells"], rows["la-bas"]["share"]) == (None, None)
    assert (rows["la-bas"]["reports"], rows["la-bas"]["road_reports"]) == (2, 1)
    assert document["whole"]["street_cells"] == 11
    assert document["since"] == "2025-12-11"
    only = client.get(f"/api/v1/road-coverage?jurisdiction={place.code}&layer=nope").get_json()
    assert only["items"] == []


def _area(session: Session, place: JurisdictionRef, code: str, centre: Point) -> Any:
    city = session.get_one(Jurisdiction, place.id)
    return new_area(session, city, code=code, centre=centre)


def _again(session: Session, place: JurisdictionRef) -> JurisdictionRef:
    return place_of(session, session.get_one(Jurisdiction, place.id))


def _drive(session: Session, point: Point, day: int, *, passes: int) -> None:
    """Trips through the cell of resolution 12 in the middle of the street cell there."""
    middle = centre_of(parent_of(cell_of(point), coverage.STREET_RESOLUTION))
    cell = cell_of(middle, 12)
    row = RoadDefect(packet=parent_of(cell, 10), cell=cell, octant=0)
    drive_over(session, row, day, passes=passes)


def test_reports_of_every_status_are_voices(session: Session) -> None:
    place, service = new_road_city(session)
    new_report(session, service, status=Status.REJECTED, requested_at=at(TODAY - 1))
    coverage.recount(session, place, now=at(TODAY))
    assert coverage.of_city(session, place).whole.reports == 1
