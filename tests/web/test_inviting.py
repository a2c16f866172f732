"""Accepting an invitation on a page: the link shows, the button acts, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import passwords
from accounts.models import Invitation, Person, RoleGrant, SignInSession
from accounts.rules import Role
from accounts.staff import invitations
from core.clock import utc_now
from core.ids import new_id
from geo.models import Jurisdiction
from tests.conftest import SECRET_KEY
from tests.factories import new_citizen, new_jurisdiction, new_person, new_team, stored
from tests.web.browsing import browse_as, cookie_of, text_of
from tests.web.test_signing_in import app_code, turn_on

GOOD = "tournesol vélo marais 47"


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


def invited(session: Session, city: Jurisdiction, **values: Any) -> str:
    """The path of a fresh invitation."""
    now = utc_now()
    row = Invitation(
        **{
            "id": new_id(),
            "email": "camille@courriel.example",
            "role": Role.AGENT.value,
            "jurisdiction_id": city.id,
            "version": 1,
            "created_at": now,
            "expires_at": now + timedelta(days=7),
            **values,
        }
    )
    session.add(row)
    session.flush()
    return f"/invitations/{row.id}/{invitations.token(SECRET_KEY, row)}"


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_opening_the_link_shows_the_offer_and_does_nothing(
    client: FlaskClient, session: Session, city: Jurisdiction, lang: str
) -> None:
    team = new_team(session, city, names={"fr": "Voirie Centre", "en": "Roads Centre"})
    path = invited(session, city, team_id=team.id)

    answer = client.get(f"{path}?lang={lang}")

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    shown = text_of(answer)
    assert "camille@courriel.example" in shown
    assert ("Roads Centre" if lang == "en" else "Voirie Centre") in shown
    assert stored(session, RoleGrant) == []


def test_accepting_gives_role_and_session_once(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    path = invited(session, city)

    accepted = client.post(path, data={"name": "Camille Durand", "password": GOOD})

    assert (accepted.status_code, accepted.headers["Location"]) == (303, "/account")
    me = client.get("/api/v1/me").get_json()
    assert (me["name"], me["roles"][0]["role"]) == ("Camille Durand", "agent")
    (opened,) = stored(session, SignInSession)
    assert (opened.way, opened.is_browser) == ("invitation", True)
    (person,) = stored(session, Person, email="camille@courriel.example")
    assert passwords.fits(person.password_hash, GOOD)

    client.delete_cookie("riverain")
    assert client.get(path).status_code == 410
    assert client.post(path, data={}).status_code == 410


def test_no_password_is_needed(client: FlaskClient, session: Session, city: Jurisdiction) -> None:
    assert client.post(invited(session, city), data={"password": ""}).status_code == 303
    (person,) = stored(session, Person, email="camille@courriel.example")
    assert person.password_hash is None


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"password": "short"}, "too short"),
        ({"name": "<b>", "password": GOOD}, "Write your name with letters"),
    ],
)
def test_a_refusal_is_said_and_leaves_the_invitation_open(
    client: FlaskClient,
    session: Session,
    city: Jurisdiction,
    form: dict[str, str],
    words: str,
) -> None:
    path = invited(session, city)

    refused = client.post(f"{path}?lang=en", data=form)

    assert (refused.status_code, words in text_of(refused)) == (422, True)
    assert stored(session, RoleGrant) == []
    assert cookie_of(client) is None
    assert client.post(path, data={}).status_code == 303


def test_a_password_that_is_there_is_kept(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    person = new_person(
        session, email="camille@courriel.example", password_hash=passwords.hashed(GOOD)
    )
    path = invited(session, city)

    assert 'name="password"' not in client.get(path).get_data(as_text=True)
    assert client.post(path, data={"password": "another long one 12"}).status_code == 409
    assert client.post(path, data={}).status_code == 303
    session.refresh(person)
    assert passwords.fits(person.password_hash, GOOD)


def test_a_second_factor_is_asked_for(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    person = new_person(session, email="camille@courriel.example")
    turn_on(session, person)
    path = invited(session, city)

    asked = client.post(path, data={})
    assert (asked.status_code, 'name="otp"' in asked.get_data(as_text=True)) == (200, True)
    wrong = client.post(f"{path}?lang=en", data={"otp": "000000"})
    assert (wrong.status_code, "This code is wrong" in text_of(wrong)) == (401, True)
    assert stored(session, RoleGrant) == []
    assert client.post(path, data={"otp": app_code(session, person)}).status_code == 303
    (opened,) = stored(session, SignInSession)
    assert opened.has_second_factor


@pytest.mark.parametrize(
    "values",
    [
        {"expires_at": utc_now() - timedelta(seconds=1)},
        {"revoked_at": utc_now()},
        {"accepted_at": utc_now()},
    ],
)
def test_an_invitation_that_is_over_is_gone(
    client: FlaskClient, session: Session, city: Jurisdiction, values: dict[str, Any]
) -> None:
    path = invited(session, city, **values)

    assert client.get(path).status_code == 410
    assert client.post(path, data={}).status_code == 410
    assert stored(session, RoleGrant) == []


def test_a_guess_or_the_link_of_another_opens_nothing(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    mine, other = invited(session, city), invited(session, city, email="other@courriel.example")
    mixed = mine.rsplit("/", 1)[0] + "/" + other.rsplit("/", 1)[1]

    for path in (mixed, mine.rsplit("/", 1)[0] + "/guess"):
        assert client.get(path).status_code == 410
        assert client.post(path, data={}).status_code == 410


def test_no_other_site_accepts_for_a_visitor(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    path = invited(session, city)
    assert client.post(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert stored(session, RoleGrant) == []


def test_whoever_was_signed_in_here_is_not_any_more(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    stranger = new_citizen(session).person
    csrf = browse_as(client, session, stranger)
    before = cookie_of(client)

    assert client.post(invited(session, city), data={"csrf": csrf}).status_code == 303

    assert client.get("/api/v1/me").get_json()["email"] == "camille@courriel.example"
    client.set_cookie("riverain", before or "")
    assert client.get("/api/v1/me").status_code == 401
