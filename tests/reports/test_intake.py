"""Intake over HTTP: what is taken, what is refused and why, and what a retry finds."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session

from accounts.rules import Role
from core.clock import utc_now
from core.models import OutboxEvent
from geo.models import Jurisdiction
from reports.models import Follower, HistoryEntry, Photo, Service, ServiceRequest
from tests import factories
from tests.factories import COMEDIE

URL = "/api/v1/reports"


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return factories.new_jurisdiction(session, code="montpellier")


@pytest.fixture
def pothole(session: Session, city: Jurisdiction) -> Service:
    return factories.new_service(
        session,
        city,
        code="pothole",
        attributes=[
            {
                "code": "danger",
                "datatype": "singlevaluelist",
                "required": True,
                "values": [{"key": "yes", "names": {}}, {"key": "no", "names": {}}],
            }
        ],
    )


def payload(**others: Any) -> dict[str, Any]:
    return {
        "service_code": "pothole",
        "lat": COMEDIE.lat,
        "lon": COMEDIE.lon,
        "description": "Un trou devant l’opéra.",
        "attributes": {"danger": "yes"},
        **others,
    }


def photo(kind: str = "JPEG") -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "grey").save(file, kind)
    file.seek(0)
    return file


def test_a_report_is_stored_with_its_first_status_and_its_event(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    answer = client.post(
        URL,
        json=payload(
            contact={"email": " Ana@Example.org", "phone": "06 12 34 56 78", "locale": "fr"},
            display="first",
            accuracy_m=8,
        ),
    )
    assert answer.status_code == 201, answer.json
    body = answer.json
    assert body["number"] == 1001
    assert body["status"] == "received"
    assert len(body["tracking_token"]) == 22
    assert body["tracking_token"] in body["tracking_url"]
    assert answer.headers["Location"] == f"{URL}/{body['id']}"

    report = session.get_one(ServiceRequest, UUID(body["id"]))
    assert (report.lat, report.lon) == (COMEDIE.lat, COMEDIE.lon)
    assert report.attributes == {"danger": "yes"}
    assert report.cell is not None
    entry = session.scalars(sa.select(HistoryEntry)).one()
    assert (entry.kind, entry.to_status, entry.actor_kind) == ("status", "received", "reporter")
    reporter = session.scalars(sa.select(Follower)).one()
    assert reporter.is_reporter
    assert (reporter.email, reporter.phone) == ("ana@example.org", "+33612345678")
    event = session.scalars(sa.select(OutboxEvent)).one()
    assert (event.name, event.subject_id) == ("report.submitted", report.id)
    assert event.request_id == answer.headers["X-Request-Id"]
    assert event.data == {}


@pytest.mark.parametrize(
    ("said", "asked", "written"),
    [
        ({"contact": {"email": "a@example.org", "locale": "en-GB"}}, "fr", "en-GB"),
        ({"contact": {"email": "a@example.org"}, "locale": "en"}, "fr", "en"),
        ({"contact": {"email": "a@example.org"}}, "en-US,en;q=0.9", "en"),
        ({"contact": {"email": "a@example.org", "locale": "de"}}, "en", "en"),
        ({"contact": {"email": "a@example.org", "locale": "de"}}, "de, *;q=0.5", "fr"),
        ({"contact": {"email": "a@example.org"}}, "en;q=0", "fr"),
        ({"contact": {"email": "a@example.org"}}, "", "fr"),
    ],
)
def test_reporters_are_written_to_in_their_language_else_in_the_citys(
    client: FlaskClient,
    session: Session,
    pothole: Service,
    said: dict[str, object],
    asked: str,
    written: str,
) -> None:
    answer = client.post(URL, json=payload(**said), headers={"Accept-Language": asked})
    assert answer.status_code == 201
    assert session.scalars(sa.select(Follower.locale)).one() == written


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"contact": None},
        {"contact": {}},
        {"contact": {"email": " "}},
        {"contact": {"locale": "fr"}},
    ],
)
def test_an_anonymous_report_has_no_reporter(
    client: FlaskClient, session: Session, pothole: Service, given: dict[str, Any]
) -> None:
    assert client.post(URL, json=payload(**given)).status_code == 201
    assert session.scalars(sa.select(Follower)).all() == []


def test_an_address_alone_is_enough(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    body = payload(address="12 rue Foch")
    del body["lat"], body["lon"]
    answer = client.post(URL, json=body)
    assert answer.status_code == 201
    report = session.get_one(ServiceRequest, UUID(answer.json["id"]))
    assert (report.cell, report.place_source) == (None, "unknown")
    assert report.address_given == "12 rue Foch"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lat": 95}, "lat"),
        ({"lon": 181}, "lon"),
        ({"lat": float("nan")}, "lat"),
        ({"lat": "north"}, "lat"),
        ({"lat": None}, "lat"),
        ({"lat": 48.85, "lon": 2.35}, "lat"),
        ({"lat": 3.8797, "lon": 43.6086}, "lat"),
        ({"service_code": "dragons"}, "service_code"),
        ({"service_code": ""}, "service_code"),
        ({"attributes": {}}, "attributes.danger"),
        ({"attributes": {"danger": "yes", "size": 3}}, "attributes.size"),
        ({"attributes": []}, "attributes"),
        ({"description": "x" * 4001}, "description"),
        ({"description": "a\0b"}, "description"),
        ({"description": "\ud800"}, "description"),
        ({"description": 7}, "description"),
        ({"contact": {"email": "not an address"}}, "contact.email"),
        ({"contact": {"email": "a@b.example", "age": 7}}, "contact.age"),
        ({"contact": {"phone": "call me"}}, "contact.phone"),
        ({"id": "one"}, "id"),
        ({"display": "nickname"}, "display"),
        ({"status": "closed"}, "status"),
        ({"occurred_at": "tomorrow"}, "occurred_at"),
        ({"asset_id": str(uuid4())}, "asset_id"),
        ({"same_as": str(uuid4())}, "same_as"),
        ({"accuracy_m": -1}, "accuracy_m"),
        ({"jurisdiction": "atlantis"}, "jurisdiction"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_the_name_of_its_field(
    client: FlaskClient, session: Session, pothole: Service, change: dict[str, Any], field: str
) -> None:
    answer = client.post(URL, data=json.dumps(payload(**change)), content_type="application/json")
    assert answer.status_code == 422, answer.json
    assert answer.content_type == "application/problem+json"
    assert field in answer.json["errors"], answer.json
    assert session.scalars(sa.select(ServiceRequest)).all() == []
    assert session.scalars(sa.select(OutboxEvent)).all() == []


def test_a_date_in_the_future_is_refused(client: FlaskClient, pothole: Service) -> None:
    later = (utc_now() + timedelta(hours=1)).isoformat()
    answer = client.post(URL, json=payload(occurred_at=later))
    assert answer.status_code == 422
    assert "occurred_at" in answer.json["errors"]


def test_a_position_without_its_other_half_and_no_place_at_all_are_refused(
    client: FlaskClient, pothole: Service
) -> None:
    body = payload()
    del body["lon"]
    assert "lon" in client.post(URL, json=body).json["errors"]
    del body["lat"]
    assert "lat" in client.post(URL, json=body).json["errors"]


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ("null", "application/json", 422),
        ("[]", "application/json", 422),
        ('{"lat": ' + "9" * 5000 + "}", "application/json", 400),
        ("service_code=pothole", "application/x-www-form-urlencoded", 415),
        ("", "text/plain", 415),
        (json.dumps({"description": "x" * 2_000_000}), "application/json", 413),
    ],
)
def test_what_is_no_report_at_all_is_a_clear_error(
    client: FlaskClient, pothole: Service, data: str, content_type: str, status: int
) -> None:
    answer = client.post(URL, data=data, content_type=content_type)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"


def test_an_emergency_shows_a_number_and_is_not_filed(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    factories.new_service(
        session,
        city,
        code="gas",
        emergency={"phone": "0 800 47 33 33", "text": {"fr": "Éloignez-vous."}},
    )
    answer = client.post(URL, json=payload(service_code="gas", attributes={}))
    assert answer.status_code == 422
    assert answer.json["code"] == "emergency_service"
    assert answer.json["phone"] == "0 800 47 33 33"


# -- retries --------------------------------------------------------------------------------------


def test_the_same_report_sent_again_is_the_same_report(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    body = payload(id=str(uuid4()))
    first = client.post(URL, json=body)
    again = client.post(URL, json=body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(session.scalars(sa.select(ServiceRequest)).all()) == 1
    assert len(session.scalars(sa.select(OutboxEvent)).all()) == 1


def test_an_idempotency_key_makes_a_retry_the_same_report(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    headers = {"Idempotency-Key": "a-key-of-the-phone"}
    first = client.post(URL, json=payload(), headers=headers)
    again = client.post(
        URL, json=payload(), headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.9"}
    )
    assert again.json == first.json
    other = client.post(URL, json=payload(description="Un autre"), headers=headers)
    assert (other.status_code, other.json["code"]) == (409, "id_taken")
    assert len(session.scalars(sa.select(ServiceRequest)).all()) == 1


def test_somebody_else_who_repeats_a_report_does_not_get_its_tracking_link(
    client: FlaskClient, pothole: Service
) -> None:
    body = payload(id=str(uuid4()))
    client.post(URL, json=body)
    again = client.post(URL, json=body, environ_base={"REMOTE_ADDR": "192.0.2.9"})
    assert again.status_code == 201
    assert again.json["tracking_token"] is None


def test_an_id_that_stands_for_another_report_is_a_conflict(
    client: FlaskClient, pothole: Service
) -> None:
    taken = str(uuid4())
    client.post(URL, json=payload(id=taken))
    answer = client.post(URL, json=payload(id=taken, description="Tout autre chose"))
    assert (answer.status_code, answer.json["code"]) == (409, "id_taken")


# -- staff who take a call ------------------------------------------------------------------------


def test_staff_file_for_a_citizen_who_calls(
    client: FlaskClient, session: Session, city: Jurisdiction, pothole: Service
) -> None:
    agent = factories.new_staff(session, city, Role.AGENT)
    answer = client.post(
        URL,
        json=payload(source="phone", on_behalf=True, contact={"email": "ana@example.org"}),
        headers=agent.headers,
    )
    assert answer.status_code == 201, answer.json
    report = session.get_one(ServiceRequest, UUID(answer.json["id"]))
    assert (report.source, report.submitted_by) == ("phone", agent.id)
    entry = session.scalars(sa.select(HistoryEntry)).one()
    assert (entry.actor_kind, entry.actor_id) == ("staff", agent.id)
    reporter = session.scalars(sa.select(Follower)).one()
    assert (reporter.email, reporter.person_id) == ("ana@example.org", None)


@pytest.mark.parametrize("body", [{"source": "phone"}, {"on_behalf": True}])
def test_nobody_else_may_file_as_the_city(
    client: FlaskClient,
    session: Session,
    city: Jurisdiction,
    pothole: Service,
    body: dict[str, Any],
) -> None:
    elsewhere = factories.new_jurisdiction(session, centre=factories.Point(48.85, 2.35))
    foreign = factories.new_staff(session, elsewhere, Role.AGENT)
    viewer = factories.new_staff(session, city, Role.VIEWER)
    citizen = factories.new_citizen(session)
    for headers in ({}, citizen.headers, viewer.headers, foreign.headers):
        answer = client.post(URL, json=payload(**body), headers=headers)
        assert answer.status_code == 403, answer.json
    assert client.post(URL, json=payload(source="sensor")).status_code == 422


# -- photos ---------------------------------------------------------------------------------------


def test_photos_come_with_the_report_and_wait_to_be_cleaned(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    fields = payload(attributes=json.dumps({"danger": "yes"}))
    answer = client.post(
        URL, data={**fields, "photos": [(photo(), "a.jpg"), (photo("PNG"), "b.png")]}
    )
    assert answer.status_code == 201, answer.json
    photos = session.scalars(sa.select(Photo)).all()
    assert sorted(each.media_type for each in photos) == ["image/jpeg", "image/png"]
    assert {each.state for each in photos} == {"staged"}


def test_a_whole_report_may_be_one_part(client: FlaskClient, pothole: Service) -> None:
    answer = client.post(URL, data={"report": json.dumps(payload()), "photos": (photo(), "a.jpg")})
    assert answer.status_code == 201, answer.json


def test_a_file_that_is_no_photo_takes_the_report_back(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    html = io.BytesIO(b"<html><script>alert(1)</script></html>")
    answer = client.post(
        URL, data={"report": json.dumps(payload()), "photos": [(photo(), "a.jpg"), (html, "b.jpg")]}
    )
    assert answer.status_code == 422
    assert "photos.1" in answer.json["errors"]
    many = client.post(
        URL,
        data={
            "report": json.dumps(payload()),
            "photos": [(photo(), f"{number}.jpg") for number in range(6)],
        },
    )
    assert many.status_code == 422
    assert session.scalars(sa.select(ServiceRequest)).all() == []


# -- the catalogue --------------------------------------------------------------------------------


def test_the_catalogue_is_told_in_the_readers_language(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    answer = client.get("/api/v1/services", headers={"Accept-Language": "en-GB,en;q=0.9"})
    assert [item["name"] for item in answer.json["items"]] == ["Problem pothole"]
    answer = client.get("/api/v1/services/pothole?locale=fr")
    assert answer.json["name"] == "Problème pothole"
    assert answer.json["attributes"][0]["required"] is True
    again = client.get(
        "/api/v1/services/pothole?locale=fr", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304
    assert client.get("/api/v1/services/dragon").status_code == 404


def test_of_several_cities_the_position_decides(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    paris = factories.new_jurisdiction(session, code="paris", centre=factories.Point(48.85, 2.35))
    factories.new_service(session, paris, code="pothole")
    answer = client.post(URL, json=payload(lat=48.85, lon=2.35, attributes={}))
    assert answer.json["jurisdiction"] == "paris"
    services = client.get(f"/api/v1/services?lat={COMEDIE.lat}&lon={COMEDIE.lon}")
    assert services.json["items"][0]["jurisdiction"] == "montpellier"
    assert client.get("/api/v1/services").status_code == 422
    codes = [item["code"] for item in client.get("/api/v1/jurisdictions").json["items"]]
    assert codes == ["montpellier", "paris"]
