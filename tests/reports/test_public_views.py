"""What the public reads, and what reporters and followers do over the JSON API."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session

from accounts.rules import Display
from core.clock import utc_now
from core.tokens import Purpose, token_for
from geo.measures import destination
from geo.models import Jurisdiction
from reports import remarks
from reports.changing import Words
from reports.history import Author
from reports.models import Follower, Note, Photo, Service, ServiceRequest
from reports.vocabulary import ActorKind, Status, Visibility
from tests.conftest import SECRET_KEY
from tests.factories import (
    COMEDIE,
    new_area,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    stored,
)
from tests.statements import count_statements

STAFF = Author(ActorKind.STAFF)


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def service(session: Session, city: Jurisdiction) -> Service:
    return new_service(session, city, code="trou")


def track(report: ServiceRequest) -> dict[str, str]:
    """What the reporter's client sends."""
    return {
        "X-Tracking-Token": token_for(SECRET_KEY, Purpose.TRACK, report.id, report.token_version)
    }


def act(client: FlaskClient, report: ServiceRequest, action: str, payload: Any = None) -> Any:
    return client.post(f"/api/v1/reports/{report.id}/{action}", json=payload, headers=track(report))


# -- the public -----------------------------------------------------------------------------------


def test_the_public_sees_no_contact_no_internal_words_and_nothing_held_back(
    client: FlaskClient, session: Session, service: Service
) -> None:
    report = new_report(session, service, display=Display.FIRST.value, attributes={"plaque": "X1"})
    new_follower(
        session,
        report,
        is_reporter=True,
        name="Camille Durand",
        email="camille@courriel.example",
        phone="+33612345678",
    )
    held = new_report(session, service, visibility=Visibility.HELD.value)
    hidden = new_report(session, service, visibility=Visibility.HIDDEN.value)
    words = Words(note="Elle rappelle souvent", public_note="Prévu lundi")
    remarks.comment(session, report, words, by=STAFF, now=utc_now())

    whole = client.get(f"/api/v1/reports/{report.id}")
    assert whole.json["reporter_name"] == "Camille"
    listed = client.get("/api/v1/reports")
    assert [item["id"] for item in listed.json["items"]] == [str(report.id)]
    history = client.get(f"/api/v1/reports/{report.id}/history")
    assert "Prévu lundi" in history.text
    for answer in (whole, listed, history):
        assert answer.status_code == 200
        for secret in ("Durand", "camille@", "+336", "rappelle", "X1", "caller_hash", "version"):
            assert secret not in answer.text
        assert "ETag" not in answer.headers
    for other in (held, hidden):
        for path in ("", "/history"):
            assert client.get(f"/api/v1/reports/{other.id}{path}").status_code == 404


@pytest.mark.parametrize(
    ("display", "shown"),
    [(Display.FULL, "Camille Durand"), (Display.FIRST, "Camille"), (Display.ANONYMOUS, None)],
)
def test_a_name_is_shown_as_its_owner_chose(
    client: FlaskClient, session: Session, service: Service, display: Display, shown: str | None
) -> None:
    report = new_report(session, service, display=display.value)
    new_follower(session, report, is_reporter=True, name="Camille Durand")
    assert client.get(f"/api/v1/reports/{report.id}").json["reporter_name"] == shown


def test_a_blurred_service_tells_the_block_and_the_street(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    private = new_service(session, city, public_precision="block")
    report = new_report(session, private, address="12 rue de la Loge")
    shown = client.get(f"/api/v1/reports/{report.id}").json
    assert shown["is_rounded"] is True
    assert (shown["lat"], shown["lon"]) != (report.lat, report.lon)
    assert shown["address"] == "rue de la Loge"
    own = client.get(f"/api/v1/reports/{report.id}", headers=track(report)).json
    assert (own["lat"], own["lon"], own["address"]) == (
        report.lat,
        report.lon,
        "12 rue de la Loge",
    )


def test_a_duplicate_names_its_parent_and_a_parent_counts_its_evidence(
    client: FlaskClient, session: Session, service: Service
) -> None:
    parent = new_report(session, service)
    child = new_report(session, service, parent=parent)
    new_follower(session, child)
    shown = client.get(f"/api/v1/reports/{child.id}").json
    assert (shown["status"], shown["parent"]["number"]) == ("duplicate", parent.number)
    led = client.get(f"/api/v1/reports/{parent.id}").json
    assert (led["parent"], led["duplicates"], led["followers"]) == (None, 1, 1)
    parent.visibility = Visibility.HIDDEN.value
    session.flush()
    assert client.get(f"/api/v1/reports/{child.id}").json["parent"] == {
        "id": None,
        "number": None,
        "status": "received",
    }


def test_the_public_filters_by_place_service_status_time_and_area(
    client: FlaskClient, session: Session, city: Jurisdiction, service: Service
) -> None:
    area = new_area(session, city, code="centre")
    here = new_report(session, service, areas=[area])
    there = new_report(
        session,
        new_service(session, city, code="lampe"),
        at=destination(COMEDIE, 90, 2000),
        status=Status.RESOLVED,
        requested_at=utc_now() - timedelta(days=9),
    )

    def ids(query: str) -> list[str]:
        answer = client.get(f"/api/v1/reports?{query}")
        assert answer.status_code == 200, answer.json
        return [item["id"] for item in answer.json["items"]]

    assert ids("bbox=3.87,43.60,3.89,43.62") == [str(here.id)]
    assert ids(f"near={COMEDIE.lat},{COMEDIE.lon}&radius_m=500") == [str(here.id)]
    assert ids("service_code=lampe,inconnu") == [str(there.id)]
    assert ids("status=open") == [str(here.id)]
    assert ids("status=resolved,closed") == [str(there.id)]
    assert ids("area=quartiers:centre") == [str(here.id)]
    day = (utc_now() - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert ids(f"since={day}") == [str(here.id)]
    assert ids(f"until={day}") == [str(there.id)]
    assert ids(f"jurisdiction={city.code}") == [str(here.id), str(there.id)]
    assert ids("sort=requested_at") == [str(there.id), str(here.id)]
    first = client.get("/api/v1/reports?limit=1").json
    assert ids(f"limit=1&cursor={first['next']}") == [str(there.id)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("bbox=1,2,3", "bbox"),
        ("bbox=a,b,c,d", "bbox"),
        ("bbox=3,95,4,96", "bbox"),
        ("bbox=nan,43,4,44", "bbox"),
        ("near=43.6,3.8", "radius_m"),
        ("radius_m=5", "near"),
        ("near=x&radius_m=5", "near"),
        ("near=43.6,3.8&radius_m=-1", "radius_m"),
        ("near=43.6,3.8&radius_m=nan", "radius_m"),
        ("status=done", "status"),
        ("area=centre", "area"),
        ("since=yesterday", "since"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=x", "cursor"),
        ("sort=number", "sort"),
        ("service_code=a%00", "service_code"),
        ("jurisdiction=atlantis", "jurisdiction"),
    ],
)
def test_a_filter_that_cannot_be_is_422_and_is_named(
    client: FlaskClient, service: Service, query: str, field: str
) -> None:
    answer = client.get(f"/api/v1/reports?{query}")
    assert answer.status_code == 422, answer.json
    assert field in answer.json["errors"]


def test_names_are_in_the_reader_s_language(
    client: FlaskClient, session: Session, service: Service
) -> None:
    report = new_report(session, service)
    url = f"/api/v1/reports/{report.id}"
    assert client.get(url).json["service_name"] == "Problème trou"
    english = client.get(url, headers={"Accept-Language": "en-GB,en;q=0.9"})
    assert english.json["service_name"] == "Problem trou"
    assert client.get(f"{url}?locale=en").json["service_name"] == "Problem trou"


def test_what_is_not_there_is_404_whatever_it_is_called(client: FlaskClient) -> None:
    for name in (UUID(int=1), "1001", "x"):
        answer = client.get(f"/api/v1/reports/{name}")
        assert answer.status_code == 404
        assert answer.content_type == "application/problem+json"


def test_a_public_list_costs_the_same_for_five_as_for_fifty(
    client: FlaskClient, session: Session, service: Service
) -> None:
    for _ in range(55):
        new_photo(session, new_report(session, service))
    client.get("/api/v1/reports")
    costs = []
    for limit in (5, 50):
        session.commit()
        with count_statements() as statements:
            answer = client.get(f"/api/v1/reports?limit={limit}&bbox=3.8,43.5,3.9,43.7")
        assert len(answer.json["items"]) == limit
        costs.append(len(statements))
    assert costs[0] == costs[1] <= 4, statements


# -- similar --------------------------------------------------------------------------------------


def test_open_reports_of_the_family_nearby_are_offered_best_first(
    client: FlaskClient, session: Session, service: Service
) -> None:
    near = new_report(session, service, status=Status.TRIAGED, at=destination(COMEDIE, 90, 4))
    farther = new_report(session, service, status=Status.ASSIGNED, at=destination(COMEDIE, 90, 20))
    new_follower(session, near)
    new_report(session, service, status=Status.CLOSED)
    new_report(session, service, status=Status.TRIAGED, visibility=Visibility.HELD.value)
    new_report(session, service, status=Status.TRIAGED, at=destination(COMEDIE, 90, 300))
    answer = client.get(
        f"/api/v1/reports/similar?service_code=trou&lat={COMEDIE.lat}&lon={COMEDIE.lon}"
        "&description=Un+trou"
    )
    assert answer.status_code == 200, answer.json
    items = answer.json["items"]
    assert [item["report"]["id"] for item in items] == [str(near.id), str(farther.id)]
    assert items[0]["score"] >= items[1]["score"]
    assert [round(item["distance_m"]) for item in items] == [4, 20]
    assert [item["followers"] for item in items] == [1, 0]
    assert all(item["reasons"] for item in items)
    wrong = client.get("/api/v1/reports/similar?service_code=x&lat=43.6&lon=3.88")
    assert (wrong.status_code, wrong.json["errors"].keys()) == (422, {"service_code"})


# -- the reporter ---------------------------------------------------------------------------------

REPORTER_ACTIONS = {
    "additions": {"text": "Encore"},
    "answer": {"text": "À gauche"},
    "withdrawal": None,
    "not-fixed": None,
}


@pytest.mark.parametrize("action", REPORTER_ACTIONS)
def test_a_wrong_token_finds_nothing_like_a_missing_report(
    client: FlaskClient, session: Session, service: Service, action: str
) -> None:
    report, other = new_report(session, service), new_report(session, service)
    payload = REPORTER_ACTIONS[action]
    agent = new_staff(session, session.get_one(Jurisdiction, report.jurisdiction_id))
    url = f"/api/v1/reports/{report.id}/{action}"
    missing = client.post(
        f"/api/v1/reports/{UUID(int=1)}/{action}", json=payload, headers=track(other)
    )
    for headers in (track(other), {"X-Tracking-Token": "x"}, {}, agent.headers):
        answer = client.post(url, json=payload, headers=headers)
        assert answer.status_code == missing.status_code == 404
        assert answer.json == missing.json
    assert session.get_one(ServiceRequest, report.id).version == 1


def test_reading_with_a_wrong_token_finds_nothing_even_of_a_public_report(
    client: FlaskClient, session: Session, service: Service
) -> None:
    report, other = new_report(session, service), new_report(session, service)
    for path in ("", "/history"):
        url = f"/api/v1/reports/{report.id}{path}"
        assert client.get(url).status_code == 200
        assert client.get(url, headers=track(other)).status_code == 404
        assert client.get(f"{url}?token=x").status_code == 404


def test_the_reporter_reads_the_whole_of_a_held_report(
    client: FlaskClient, session: Session, service: Service
) -> None:
    report = new_report(
        session, service, visibility=Visibility.HELD.value, attributes={"danger": "oui"}
    )
    new_follower(session, report, is_reporter=True)
    new_photo(session, report, is_public=False)
    remarks.comment(session, report, Words(note="Interne"), by=STAFF, now=utc_now())
    remarks.ask(session, report, "De quel côté ?", hold=True, by=STAFF, now=utc_now())
    token = track(report)["X-Tracking-Token"]
    for answer in (
        client.get(f"/api/v1/reports/{report.id}", headers=track(report)),
        client.get(f"/api/v1/reports/{report.id}?token={token}"),
    ):
        own = answer.json
        assert answer.status_code == 200
        assert own["attributes"] == {"danger": "oui"}
        assert own["question"]["text"] == "De quel côté ?"
        assert own["may"] == {
            "add": True,
            "answer": True,
            "withdraw": True,
            "say_not_fixed": False,
        }
        assert own["is_told"] is True
        assert len(own["photos"]) == len(own["photo_states"]) == 1
        assert "Interne" not in answer.text
        assert "contact" not in own
        assert "no-store" in answer.headers["Cache-Control"]


def test_the_reporter_adds_answers_and_withdraws(
    client: FlaskClient, session: Session, service: Service
) -> None:
    report = new_report(session, service)
    added = act(client, report, "additions", {"text": "Il y en a deux."})
    assert added.status_code == 201
    assert [word["text"] for word in added.json["words"]] == ["Il y en a deux."]
    assert added.headers["ETag"] == '"2"'
    early = act(client, report, "answer", {"text": "À gauche"})
    assert (early.status_code, early.json["code"]) == (409, "no_question")
    remarks.ask(session, report, "De quel côté ?", hold=True, by=STAFF, now=utc_now())
    answered = act(client, report, "answer", {"text": "À gauche"})
    assert (answered.status_code, answered.json["status"]) == (201, "received")
    withdrawn = act(client, report, "withdrawal", {"text": "C'est réglé"})
    assert (withdrawn.status_code, withdrawn.json["status"]) == (200, "closed")
    again = act(client, report, "withdrawal")
    assert (again.status_code, again.json["code"]) == (409, "move_not_allowed")
    late = act(client, report, "additions", {"text": "Encore"})
    assert (late.status_code, late.json["code"]) == (409, "report_finished")


def test_the_reporter_says_that_it_is_not_fixed_in_time(
    client: FlaskClient, session: Session, service: Service
) -> None:
    now = utc_now()
    fresh = new_report(session, service, status=Status.RESOLVED, resolved_at=now)
    old = new_report(session, service, status=Status.CLOSED, resolved_at=now - timedelta(days=15))
    reopened = act(client, fresh, "not-fixed", {"text": "Toujours là"})
    assert (reopened.status_code, reopened.json["status"]) == (200, "reopened")
    late = act(client, old, "not-fixed")
    assert (late.status_code, late.json["code"]) == (409, "reopening_closed")


def test_the_reporter_of_a_duplicate_learns_what_its_parent_allows(
    client: FlaskClient, session: Session, service: Service
) -> None:
    parent = new_report(session, service, status=Status.RESOLVED, resolved_at=utc_now())
    child = new_report(session, service, parent=parent)
    seen = client.get(f"/api/v1/reports/{child.id}", headers=track(child)).json
    assert seen["may"]["say_not_fixed"] is True
    assert seen["reopening_ends_at"] is not None
    reopened = act(client, child, "not-fixed")
    assert (reopened.status_code, reopened.json["parent"]["status"]) == (200, "reopened")
    assert reopened.json["may"]["say_not_fixed"] is False


def test_photos_can_come_later_with_or_without_words(
    client: FlaskClient, session: Session, service: Service
) -> None:
    report = new_report(session, service)
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "grey").save(picture, "PNG")
    url = f"/api/v1/reports/{report.id}/additions"
    answer = client.post(
        url,
        data={"text": "Voilà", "photos": [(io.BytesIO(picture.getvalue()), "a.png")]},
        headers=track(report),
    )
    assert answer.status_code == 201, answer.json
    assert [photo["state"] for photo in answer.json["photo_states"]] == ["staged"]
    assert answer.json["photos"] == []
    [photo] = stored(session, Photo, report_id=report.id)
    assert photo.added_by == "reporter"
    no_photo = client.post(
        url, data={"photos": [(io.BytesIO(b"hello"), "a.png")]}, headers=track(report)
    )
    assert no_photo.status_code == 422
    nothing = client.post(url, data={}, headers=track(report))
    assert (nothing.status_code, nothing.json["errors"].keys()) == (422, {"text"})


@pytest.mark.parametrize("text", ["a\0b", "x" * 4001, 5])
def test_words_that_cannot_be_stored_are_refused(
    client: FlaskClient, session: Session, service: Service, text: Any
) -> None:
    report = new_report(session, service)
    answer = act(client, report, "additions", {"text": text})
    assert (answer.status_code, answer.json["errors"].keys()) == (422, {"text"})


def test_the_reporter_repeats_under_a_key_and_is_heard_once(
    client: FlaskClient, session: Session, service: Service
) -> None:
    report = new_report(session, service)
    headers = {**track(report), "Idempotency-Key": "k1"}
    url = f"/api/v1/reports/{report.id}/additions"
    answers = [client.post(url, json={"text": "Encore"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].text == answers[1].text
    assert len(stored(session, Note, report_id=report.id)) == 1


# -- followers ------------------------------------------------------------------------------------


def test_me_too_is_confirmed_by_mail_and_ended_by_a_link(
    client: FlaskClient, session: Session, service: Service
) -> None:
    report = new_report(session, service)
    url = f"/api/v1/reports/{report.id}/followers"
    asked = client.post(url, json={"email": "Ana@Courriel.example", "locale": "en"})
    assert (asked.status_code, asked.json["status"]) == (202, "confirmation_sent")
    [follower] = stored(session, Follower, report_id=report.id)
    assert (follower.email, follower.locale) == ("ana@courriel.example", "en")
    assert client.get(f"/api/v1/reports/{report.id}").json["followers"] == 0

    confirm = token_for(SECRET_KEY, Purpose.CONFIRM, follower.id, 1)
    leave = token_for(SECRET_KEY, Purpose.LEAVE, follower.id, 1)
    confirmation = f"/api/v1/followers/{follower.id}/confirmation"
    assert client.post(confirmation, json={"token": leave}).status_code == 404
    answer = client.post(confirmation, json={"token": confirm})
    assert (answer.status_code, answer.json["status"]) == (200, "following")
    assert client.get(f"/api/v1/reports/{report.id}").json["followers"] == 1

    assert client.delete(f"{url}?follower={follower.id}&token={confirm}").status_code == 404
    for _ in range(2):
        assert client.delete(f"{url}?follower={follower.id}&token={leave}").status_code == 204
    assert client.get(f"/api/v1/reports/{report.id}").json["followers"] == 0


def test_somebody_signed_in_follows_and_leaves_at_once(
    client: FlaskClient, session: Session, service: Service
) -> None:
    report = new_report(session, service)
    citizen = new_citizen(session)
    url = f"/api/v1/reports/{report.id}/followers"
    # The address is that of the account, whatever the body says.
    answer = client.post(url, json={"email": "other@x.example"}, headers=citizen.headers)
    assert (answer.status_code, answer.json["status"]) == (202, "following")
    [follower] = stored(session, Follower, report_id=report.id)
    assert follower.email == citizen.person.email
    assert client.delete(url, headers=citizen.headers).status_code == 204
    assert client.delete(url, headers=citizen.headers).status_code == 404
    assert client.delete(url).status_code == 401


def test_following_needs_an_address_and_a_report_that_is_public(
    client: FlaskClient, session: Session, service: Service
) -> None:
    report = new_report(session, service)
    held = new_report(session, service, visibility=Visibility.HELD.value)
    url = f"/api/v1/reports/{report.id}/followers"
    for payload in (None, {}, {"email": "nobody"}, {"email": None}):
        answer = client.post(url, json=payload)
        assert (answer.status_code, answer.json["errors"].keys()) == (422, {"email"}), payload
    hidden = client.post(f"/api/v1/reports/{held.id}/followers", json={"email": "a@b.example"})
    assert hidden.status_code == 404
