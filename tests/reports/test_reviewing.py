"""Held for review: what holds a report, who sees why, who publishes it, what is said before."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session

from accounts.actors import ANONYMOUS
from accounts.models import Person
from accounts.rules import Role
from core.clock import utc_now
from geo.models import Jurisdiction
from reports.models import Service, ServiceRequest
from reports.submission import Caller, Draft, submit
from reports.vocabulary import Source
from tests import factories
from tests.factories import COMEDIE

URL = "/api/v1/reports"
TELLING = "M. Dupont gare AB-123-CD ici, appelez le 06 12 34 56 78."


def signed_in(session: Session, city: Jurisdiction, role: Role) -> tuple[Person, dict[str, str]]:
    """Somebody of that role, and the header that says so."""
    who = (
        factories.new_citizen(session)
        if role is Role.CITIZEN
        else factories.new_staff(session, city, role=role)
    )
    return who.person, who.headers


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return factories.new_jurisdiction(session, code="montpellier")


@pytest.fixture
def pothole(session: Session, city: Jurisdiction) -> Service:
    return factories.new_service(session, city, code="pothole")


@pytest.fixture
def staff(session: Session, city: Jurisdiction) -> dict[str, str]:
    _, headers = signed_in(session, city, Role.AGENT)
    return headers


def payload(**others: Any) -> dict[str, Any]:
    return {"service_code": "pothole", "lat": COMEDIE.lat, "lon": COMEDIE.lon, **others}


def sent(client: FlaskClient, **others: Any) -> dict[str, Any]:
    answer = client.post(URL, json=payload(**others))
    assert answer.status_code == 201, answer.json
    assert answer.json is not None
    return dict(answer.json)


def test_words_that_name_somebody_hold_a_report_and_its_sender_is_told(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    body = sent(client, description=TELLING)
    assert body["visibility"] == "held"
    assert body["review"]["kinds"] == ["name", "plate", "phone"]
    report = session.get_one(ServiceRequest, UUID(body["id"]))
    assert report.visibility == "held"
    assert report.review is not None
    assert "Dupont" not in str(report.review)
    assert client.get(f"{URL}/{body['id']}").status_code == 404
    listed = client.get(f"{URL}?bbox=3.8,43.5,4,43.7").json
    assert listed["items"] == []
    own = client.get(f"{URL}/{body['id']}", headers={"X-Tracking-Token": body["tracking_token"]})
    assert own.json["review"]["kinds"] == ["name", "plate", "phone"]


def test_plain_words_are_public_at_once(client: FlaskClient, pothole: Service) -> None:
    body = sent(client, description="Trou au 12 avenue du Docteur Pezet")
    assert (body["visibility"], body["review"]) == ("public", None)
    assert client.get(f"{URL}/{body['id']}").status_code == 200


def test_a_report_sent_again_is_held_as_before(client: FlaskClient, pothole: Service) -> None:
    again = {"id": "0197b3c0-0000-7000-8000-000000000001", "description": TELLING}
    assert sent(client, **again)["review"] == sent(client, **again)["review"] is not None


def test_a_moderated_service_holds_text_and_photos_without_a_finding(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    factories.new_service(session, city, code="graffiti", moderation="before_publication")
    body = sent(client, service_code="graffiti", description="Un tag.")
    assert (body["visibility"], body["review"]) == ("held", None)


def test_a_filled_trap_loses_no_report(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    body = sent(client, description="Un trou.", website="https://spam.example")
    assert body["visibility"] == "held"
    assert body["review"]["kinds"] == ["honeypot"]
    stored = session.get_one(ServiceRequest, UUID(body["id"]))
    assert stored.description == "Un trou."
    assert sent(client, description="Un trou.", website="")["visibility"] == "public"
    form = client.post(URL, data={**payload(), "website": "x"})
    assert form.status_code == 415 or form.json["review"]["kinds"] == ["honeypot"]


def test_staff_find_what_waits_see_why_and_publish_it(
    client: FlaskClient, session: Session, pothole: Service, staff: dict[str, str]
) -> None:
    held = sent(client, description=TELLING)
    sent(client, description="Un trou.")
    waiting = client.get(f"{URL}?visibility=held", headers=staff).json["items"]
    assert [item["id"] for item in waiting] == [held["id"]]
    assert waiting[0]["review"]["kinds"] == ["name", "plate", "phone"]
    queues = client.get("/api/v1/queues", headers=staff).json["items"]
    assert {queue["queue"]: queue["open"] for queue in queues}["review"] == 1
    [queued] = client.get("/api/v1/queues/review/reports", headers=staff).json["items"]
    assert queued["id"] == held["id"]
    shown = client.post(
        f"{URL}/{held['id']}/visibility", json={"visibility": "public"}, headers=staff
    )
    assert shown.status_code == 200, shown.json
    # Why it was held can still be told.
    assert shown.json["review"]["kinds"] == ["name", "plate", "phone"]
    assert client.get(f"{URL}/{held['id']}").status_code == 200
    assert client.get("/api/v1/queues/review/reports", headers=staff).json["items"] == []


def test_the_public_cannot_ask_what_is_held(client: FlaskClient, pothole: Service) -> None:
    assert client.get(f"{URL}?visibility=held").status_code == 401


def test_words_added_later_are_never_public(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    body = sent(client, description="Un trou.")
    token = {"X-Tracking-Token": body["tracking_token"]}
    added = client.post(f"{URL}/{body['id']}/additions", json={"text": TELLING}, headers=token)
    assert added.status_code == 201
    for address in (f"{URL}/{body['id']}", f"{URL}/{body['id']}/history", f"/r/{body['id']}"):
        assert "Dupont" not in client.get(address).get_data(as_text=True)


def test_new_words_of_the_reporter_are_read_before_everybody_sees_them(
    client: FlaskClient, session: Session, pothole: Service, staff: dict[str, str]
) -> None:
    for part in ("description", "address"):
        body = sent(client, description="Un trou.", address="3 rue Foch")
        session.get_one(ServiceRequest, UUID(body["id"])).address = "3 rue Foch"
        session.flush()
        token = {"X-Tracking-Token": body["tracking_token"]}
        url = f"{URL}/{body['id']}"
        plain = {"part": part, "text": "Un grand trou"}
        assert client.post(f"{url}/redactions", json=plain, headers=token).status_code == 201
        assert client.get(url).status_code == 200

        telling = {"part": part, "text": TELLING}
        assert client.post(f"{url}/redactions", json=telling, headers=token).status_code == 201

        assert client.get(url).status_code == 404
        own = client.get(url, headers=token).json
        assert (own["visibility"], own["review"]["kinds"]) == ("held", ["name", "plate", "phone"])
        [queued] = client.get("/api/v1/queues/review/reports", headers=staff).json["items"]
        assert queued["id"] == body["id"]
        # Staff who read it show it; their own words are theirs to answer for.
        shown = {"visibility": "public"}
        assert client.post(f"{url}/visibility", json=shown, headers=staff).status_code == 200
        assert client.post(f"{url}/redactions", json=telling, headers=staff).status_code == 201
        assert client.get(url).status_code == 200


def test_what_comes_later_waits_too_where_everything_of_a_service_does(
    client: FlaskClient, session: Session, city: Jurisdiction, staff: dict[str, str]
) -> None:
    factories.new_service(session, city, code="graffiti", moderation="before_publication")
    body = sent(client, service_code="graffiti", description="Un tag.")
    token = {"X-Tracking-Token": body["tracking_token"]}
    url = f"{URL}/{body['id']}"

    def show() -> None:
        client.post(f"{url}/visibility", json={"visibility": "public"}, headers=staff)
        assert client.get(url).status_code == 200

    show()
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG")
    photo = {"photos": (io.BytesIO(picture.getvalue()), "a.jpg")}
    assert client.post(f"{url}/additions", data=photo, headers=token).status_code == 201
    assert client.get(url).status_code == 404

    show()
    gone = {"part": "description"}
    assert client.post(f"{url}/redactions", json=gone, headers=token).status_code == 201
    assert client.get(url).status_code == 200
    said = {"part": "description", "text": "Un autre tag."}
    assert client.post(f"{url}/redactions", json=said, headers=token).status_code == 201
    assert client.get(url).status_code == 404


@pytest.mark.parametrize(
    ("description", "visibility"), [("", "public"), ("A deep hole.", "public"), (TELLING, "held")]
)
def test_of_a_replayed_past_only_words_that_name_somebody_wait(
    session: Session, pothole: Service, description: str, visibility: str
) -> None:
    history = Caller(ANONYMOUS, address="history import", default_source=Source.IMPORT)
    draft = Draft(service_code="pothole", point=COMEDIE, description=description)
    taken = submit(session, draft, history, now=utc_now(), secret="secret")
    assert taken.visibility == visibility


# -- before sending -------------------------------------------------------------------------------


def check(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    answer = client.post(f"{URL}/check", json=fields)
    assert answer.status_code == 200, answer.json
    assert answer.json is not None
    return dict(answer.json)


def test_the_citizen_is_told_before_sending_what_was_found_where(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    body = check(client, **payload(description=f"  {TELLING}\r\n", locale="fr"))
    found = [
        (each["kind"], body["description"][each["start"] : each["end"]])
        for each in body["findings"]
    ]
    assert found == [("name", "M. Dupont"), ("plate", "AB-123-CD"), ("phone", "06 12 34 56 78")]
    assert [each["text"] for each in body["findings"]] == [text for _, text in found]
    assert body["visibility"] == "held"
    assert "le nom d’une personne, une plaque d’immatriculation et un numéro" in body["message"]
    assert body["errors"] == {}
    english = check(client, **payload(description="Call Mr. Smith", locale="en"))
    assert "somebody’s name" in english["message"]
    assert session.scalar(sa.select(sa.func.count()).select_from(ServiceRequest)) == 0


def test_what_says_nothing_of_anybody_needs_no_word(client: FlaskClient, pothole: Service) -> None:
    body = check(client, **payload(description="Un trou rue Paul Valéry"))
    assert (body["visibility"], body["message"], body["findings"]) == ("public", None, [])
    assert check(client)["visibility"] == "public"


def test_moderation_is_said_before(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    factories.new_service(session, city, code="graffiti", moderation="before_publication")
    body = check(client, service_code="graffiti", description="Un tag", locale="en")
    assert body["visibility"] == "held"
    assert "after somebody has read" in body["message"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"lat": 48.85, "lon": 2.35}, "lat"),
        ({"lat": 43.6}, "lon"),
        ({"service_code": "dragons"}, "service_code"),
        ({"service_code": "pothole", "attributes": {"size": 3}}, "attributes.size"),
        ({"jurisdiction": "atlantis"}, "jurisdiction"),
    ],
)
def test_what_would_be_refused_is_said_beside_the_words(
    client: FlaskClient, pothole: Service, fields: dict[str, Any], field: str
) -> None:
    body = check(client, **fields, description="Appelez Mme Roux")
    assert field in body["errors"]
    assert [each["kind"] for each in body["findings"]] == ["name"]


@pytest.mark.parametrize("body", [{"description": "x" * 4001}, {"description": "a\0b"}, {"a": 1}])
def test_a_malformed_check_is_refused(client: FlaskClient, body: dict[str, Any]) -> None:
    assert client.post(f"{URL}/check", json=body).status_code == 422
