"""Somebody signed in: their reports, what they follow, and both after a change of contact."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import challenges
from accounts.contact_rules import ContactPoint
from accounts.models import SignInChallenge
from accounts.rules import Display
from reports import own
from reports.models import Follower, ServiceRequest
from reports.vocabulary import Status, Visibility
from tests.conftest import SECRET_KEY
from tests.factories import (
    COMEDIE,
    SignedIn,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_person,
    new_photo,
    new_report,
    new_service,
    new_staff,
    stored,
)
from tests.statements import count_statements

EMAIL = "camille@exemple.fr"
NEW = "nouvelle@exemple.fr"
PHONE = "+33612345678"


@pytest.fixture
def camille(session: Session) -> SignedIn:
    """A citizen, signed in."""
    return new_citizen(session, email=EMAIL, phone=PHONE)


def mine(client: FlaskClient, who: SignedIn, **query: Any) -> list[str]:
    answer = client.get("/api/v1/me/reports", query_string=query, headers=who.headers)
    assert answer.status_code == 200
    return [item["id"] for item in answer.json["items"]]


def followed(client: FlaskClient, who: SignedIn) -> list[str]:
    answer = client.get("/api/v1/me/following", headers=who.headers)
    assert answer.status_code == 200
    return [item["report"]["id"] for item in answer.json["items"]]


def reported(session: Session, **contact: Any) -> ServiceRequest:
    report = new_report(session)
    new_follower(session, report, is_reporter=True, **{"email": None, **contact})
    return report


# -- whose a report is -----------------------------------------------------------------------------


def test_own_reports_are_those_of_the_person_and_of_their_proved_contacts(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    by_address = reported(session, email=EMAIL)
    by_number = reported(session, phone=PHONE)
    by_person = reported(session, person_id=camille.id)
    reported(session, email="autre@exemple.fr")
    # Somebody who is signed in gave this address for their report: it is theirs.
    reported(session, email=EMAIL, person_id=new_person(session).id)
    new_follower(session, new_report(session), email=EMAIL)
    assert set(mine(client, camille)) == {str(r.id) for r in (by_address, by_number, by_person)}


def test_an_address_that_nobody_proved_opens_nothing(client: FlaskClient, session: Session) -> None:
    unproved = new_citizen(session, email=EMAIL, verified_at=None)
    report = reported(session, email=EMAIL)
    report.visibility = Visibility.HIDDEN.value
    session.flush()
    assert mine(client, unproved) == []
    assert client.get(f"/api/v1/reports/{report.id}", headers=unproved.headers).status_code == 404


def test_own_reports_are_paged_the_latest_first_and_show_what_is_not_public(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    for _ in range(5):
        reported(session, email=EMAIL).visibility = Visibility.HELD.value
    session.flush()
    first = client.get("/api/v1/me/reports?limit=3", headers=camille.headers).json
    second = client.get(
        "/api/v1/me/reports",
        query_string={"limit": 3, "cursor": first["next"]},
        headers=camille.headers,
    ).json
    shown = first["items"] + second["items"]
    assert (len(first["items"]), len(second["items"]), second["next"]) == (3, 2, None)
    assert len({item["id"] for item in shown}) == 5
    times = [item["requested_at"] for item in shown]
    assert times == sorted(times, reverse=True)
    assert shown[0]["visibility"] == "held"
    assert shown[0]["may"]["withdraw"] is True
    assert shown[0]["links"]["self"].endswith(f"/api/v1/reports/{shown[0]['id']}")
    assert "tracking_token" not in shown[0]


@pytest.mark.parametrize("cursor", ["x", "W10", "WyJmb2xsb3dpbmciLDEsMl0", "\u00e9", "x" * 401])
def test_a_cursor_of_another_list_is_refused(
    client: FlaskClient, camille: SignedIn, cursor: str
) -> None:
    for path in ("reports", "following"):
        answer = client.get(
            f"/api/v1/me/{path}", query_string={"cursor": cursor}, headers=camille.headers
        )
        assert answer.status_code == 422


def test_a_page_costs_the_same_however_long_it_is(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    service = new_service(session)
    for _ in range(12):
        report = new_report(session, service)
        new_follower(session, report, is_reporter=True, email=EMAIL)
    mine(client, camille)
    counts = []
    for limit in (1, 12):
        with count_statements() as statements:
            assert len(mine(client, camille, limit=limit)) == limit
        counts.append(len(statements))
    assert counts[0] == counts[1]


# -- acting as the reporter ------------------------------------------------------------------------


def test_the_owner_reads_and_acts_without_the_tracking_token(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    report = reported(session, email=EMAIL)
    report.visibility = Visibility.HELD.value
    session.flush()
    path = f"/api/v1/reports/{report.id}"
    read = client.get(path, headers=camille.headers)
    assert read.status_code == 200
    assert read.json["may"]["add"] is True
    assert client.get(f"{path}/history", headers=camille.headers).status_code == 200
    words = {"text": "Il grandit."}
    added = client.post(f"{path}/additions", json=words, headers=camille.headers)
    assert added.status_code == 201
    assert [note["text"] for note in added.json["words"]] == ["Il grandit."]
    assert client.post(f"{path}/answer", json=words, headers=camille.headers).status_code == 409
    gone = client.post(f"{path}/withdrawal", json={}, headers=camille.headers)
    assert (gone.status_code, gone.json["status"]) == (200, "closed")


def test_the_owner_says_that_it_is_not_fixed(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    report = new_report(session, status=Status.RESOLVED)
    new_follower(session, report, is_reporter=True, email=None, phone=PHONE)
    answer = client.post(f"/api/v1/reports/{report.id}/not-fixed", json={}, headers=camille.headers)
    assert (answer.status_code, answer.json["status"]) == (200, "reopened")


def test_nobody_else_acts_as_the_reporter_and_a_wrong_token_is_wrong_for_the_owner(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    report = reported(session, email=EMAIL)
    stranger = new_citizen(session)
    follower = new_citizen(session)
    new_follower(session, report, email=follower.person.email, person_id=follower.id)
    path = f"/api/v1/reports/{report.id}"
    for who in (stranger, follower):
        for action in ("additions", "answer", "withdrawal", "not-fixed"):
            refused = client.post(f"{path}/{action}", json={"text": "x"}, headers=who.headers)
            assert refused.status_code == 404
    wrong = {**camille.headers, "X-Tracking-Token": "x"}
    assert client.post(f"{path}/additions", json={"text": "x"}, headers=wrong).status_code == 404
    assert client.get(path, headers=wrong).status_code == 404
    assert session.scalars(
        sa.select(Follower.left_at).where(Follower.report_id == report.id)
    ).all() == [None, None]


# -- following -------------------------------------------------------------------------------------


def test_following_and_leaving(client: FlaskClient, session: Session, camille: SignedIn) -> None:
    report, other = new_report(session), new_report(session)
    new_follower(session, other, email=EMAIL, is_confirmed=False)
    path = f"/api/v1/reports/{report.id}/followers"
    assert followed(client, camille) == []
    assert client.post(path, json={}, headers=camille.headers).json["status"] == "following"
    assert followed(client, camille) == [str(report.id)]
    assert client.delete(path, headers=camille.headers).status_code == 204
    assert followed(client, camille) == []
    assert client.delete(path, headers=camille.headers).status_code == 404


def test_what_was_followed_under_a_proved_address_is_there_and_is_left(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    shown, hidden = new_report(session), new_report(session)
    hidden.visibility = Visibility.HIDDEN.value
    for report in (shown, hidden):
        new_follower(session, report, email=EMAIL)
    assert followed(client, camille) == [str(shown.id)]
    path = f"/api/v1/reports/{shown.id}/followers"
    assert client.delete(path, headers=camille.headers).status_code == 204
    assert followed(client, camille) == []


def test_following_takes_no_report_from_somebody_else(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    other = new_citizen(session)
    report = reported(session, email=EMAIL, person_id=other.id)
    path = f"/api/v1/reports/{report.id}/followers"
    assert client.post(path, json={}, headers=camille.headers).status_code == 202
    assert mine(client, camille) == []
    assert mine(client, other) == [str(report.id)]


# -- claiming and moving ---------------------------------------------------------------------------


def prove(client: FlaskClient, session: Session, who: SignedIn, **contact: str) -> None:
    asked = client.post("/api/v1/me/contacts", json=contact, headers=who.headers)
    challenge = session.scalars(
        sa.select(SignInChallenge.id).where(
            sa.cast(SignInChallenge.id, sa.Text) == asked.json["challenge"]
        )
    ).one()
    sent = {"challenge": str(challenge), "code": challenges.code(SECRET_KEY, challenge)}
    proved = client.post("/api/v1/me/contacts/proof", json=sent, headers=who.headers)
    assert proved.status_code == 200


def test_signing_in_by_code_claims_what_is_nobodys(client: FlaskClient, session: Session) -> None:
    free, others = reported(session, email=EMAIL), new_person(session)
    taken = reported(session, email=EMAIL, person_id=others.id)
    client.post("/api/v1/sessions/link", json={"email": EMAIL})
    challenge = session.scalars(sa.select(SignInChallenge.id)).one()
    sent = {"email": EMAIL, "code": challenges.code(SECRET_KEY, challenge)}
    token = client.post("/api/v1/sessions", json=sent).json["token"]
    me = client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"}).json
    owners = {str(row.report_id): row.person_id for row in stored(session, Follower)}
    assert str(owners[str(free.id)]) == me["id"]
    assert owners[str(taken.id)] == others.id


def test_a_change_of_address_takes_everything_along(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    new_jurisdiction(session)
    old, new = reported(session, email=EMAIL), reported(session, email=NEW)
    both = new_report(session)
    new_follower(session, both, email=EMAIL)
    new_follower(session, both, email=NEW)
    prove(client, session, camille, email=NEW)
    assert set(mine(client, camille)) == {str(old.id), str(new.id)}
    assert followed(client, camille) == [str(both.id)]
    rows = stored(session, Follower)
    assert {row.person_id for row in rows} == {camille.id}
    # Where the new address has a row already, the old one keeps the person alone.
    assert sorted(str(row.email) for row in rows) == ["None", NEW, NEW, NEW]


def test_a_given_up_address_leaves_the_reports_with_their_person(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    report = reported(session, email=EMAIL)
    path = "/api/v1/me/contacts/email"
    assert client.delete(path, headers=camille.headers).status_code == 204
    assert mine(client, camille) == [str(report.id)]
    stranger = new_citizen(session, email=EMAIL)
    assert mine(client, stranger) == []


def test_staff_reach_the_reporter_where_they_are_now(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    city = new_jurisdiction(session)
    report = new_report(session, new_service(session, city))
    new_follower(session, report, is_reporter=True, email=None, person_id=camille.id)
    agent = new_staff(session, city)
    shown = client.get(f"/api/v1/reports/{report.id}", headers=agent.headers).json["contact"]
    assert (shown["email"], shown["phone"]) == (EMAIL, PHONE)


def test_claiming_twice_changes_nothing(session: Session, camille: SignedIn) -> None:
    reported(session, phone=PHONE)
    for _ in range(2):
        own.claim(session, camille.id, ContactPoint.phone(PHONE))
    assert [row.person_id for row in stored(session, Follower)] == [camille.id]


# -- how the name is shown -------------------------------------------------------------------------


def file(client: FlaskClient, who: SignedIn | None, **more: Any) -> Any:
    sent = {"service_code": "trou", "lat": COMEDIE.lat, "lon": COMEDIE.lon, **more}
    return client.post("/api/v1/reports", json=sent, headers=who.headers if who else {})


@pytest.fixture
def city(session: Session) -> None:
    """A city with one service."""
    place = new_jurisdiction(session, names={"fr": "Montpellier"})
    new_service(session, place, code="trou")


@pytest.mark.usefixtures("city")
def test_a_report_shows_the_name_as_its_reporter_chose_once_for_all(
    client: FlaskClient, session: Session
) -> None:
    camille = new_citizen(session, name="Dr. Camille Durand", display=Display.FIRST.value)
    shown = []
    for more in ({}, {"display": "anonymous"}, {"display": "full"}):
        filed = file(client, camille, description=str(more), **more)
        assert filed.status_code == 201
        shown.append(client.get(f"/api/v1/reports/{filed.json['id']}").json["reporter_name"])
    assert shown == ["Camille", None, "Dr. Camille Durand"]


@pytest.mark.usefixtures("city")
@pytest.mark.parametrize(
    "name", ["Ville de Montpellier", "M\u043entpellier", "Camille\u202e", "😀", "a\nb"]
)
def test_no_report_shows_a_name_that_misleads(client: FlaskClient, name: str) -> None:
    refused = file(client, None, contact={"name": name}, display="full")
    assert refused.status_code == 422
    assert "contact.name" in refused.json["errors"]


def test_an_imported_name_that_misleads_is_shown_to_nobody(
    client: FlaskClient, session: Session
) -> None:
    report = new_report(session, display="full")
    new_follower(session, report, is_reporter=True, name="Camille\u202eDurand")
    assert client.get(f"/api/v1/reports/{report.id}").json["reporter_name"] is None


@pytest.mark.usefixtures("city")
def test_an_address_in_a_report_is_the_address_in_the_account(
    client: FlaskClient, session: Session
) -> None:
    rene = new_citizen(session, email="ren\u00e9@exemple.fr")
    filed = file(client, None, contact={"email": " Rene\u0301@Exemple.FR"})
    assert mine(client, rene) == [filed.json["id"]]


def test_a_waiting_question_shows_in_the_list(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    city = new_jurisdiction(session)
    report = new_report(session, new_service(session, city), status=Status.IN_PROGRESS)
    new_follower(session, report, is_reporter=True, email=EMAIL)
    agent = new_staff(session, city)
    asked = client.post(
        f"/api/v1/reports/{report.id}/question",
        json={"question": "Où exactement ?"},
        headers=agent.headers,
    )
    assert asked.status_code in (200, 201)
    for may in (True, False):
        items = client.get("/api/v1/me/reports", headers=camille.headers).json["items"]
        assert items[0]["may"]["answer"] is may
        said = {"text": "Devant le 3."}
        path = f"/api/v1/reports/{report.id}/answer"
        answer = client.post(path, json=said, headers=camille.headers)
        assert answer.status_code == (201 if may else 409)


def test_the_owner_sees_a_photo_that_is_not_public(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    report = reported(session, email=EMAIL)
    report.visibility = Visibility.HELD.value
    photo = new_photo(session, report, storage_name="a" * 32)
    # Whoever may see it is told that it has not changed; nobody else that it is there.
    known = {"If-None-Match": f'"{photo.id.hex}-full"'}
    seen = {
        who.id: client.get(f"/media/{photo.id}/full.jpg", headers={**who.headers, **known})
        for who in (camille, new_citizen(session))
    }
    assert [answer.status_code for answer in seen.values()] == [304, 404]
