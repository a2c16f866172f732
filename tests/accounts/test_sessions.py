"""A person's own sessions: listed, ended, seen; and what reaches them at once."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import passwords
from accounts.browsers import kind_of
from accounts.models import AuditEntry, RoleGrant, SignInSession
from accounts.rules import FRESH_PROOF, SEEN_RECORDED_EVERY, Role
from core.clock import utc_now
from tests.factories import (
    SignedIn,
    new_citizen,
    new_jurisdiction,
    new_person,
    new_staff,
    sign_in,
)

PASSWORD = "correct horse battery staple"
OTHER = "a violet bicycle in the rain"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15"
    " (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36"
    " (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0"
)


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (FIREFOX, "Firefox, Linux"),
        (SAFARI, "Safari, iPhone"),
        (EDGE, "Edge, Windows"),
        ("okhttp/4.12.0", "App"),
        ("curl/8.5.0", "Program"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Linux"),
        ("<script>alert(1)</script>", None),
        ("x" * 10_000 + "Firefox/1", None),
        ("", None),
        (None, None),
    ],
)
def test_a_device_is_known_by_its_kind_only(header: str | None, kind: str | None) -> None:
    assert kind_of(header) == kind


def test_the_list_shows_what_a_person_recognises(client: FlaskClient, session: Session) -> None:
    stored = passwords.hashed(PASSWORD)
    person = new_person(session, email="agent@ville.example", password_hash=stored)
    older = sign_in(session, person)
    sign_in(session, new_person(session))
    token = client.post(
        "/api/v1/sessions",
        json={"email": person.email, "password": PASSWORD},
        headers={"User-Agent": FIREFOX},
    ).json["token"]
    answer = client.get("/api/v1/sessions", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    here, there = answer.json["items"]
    assert here["is_current"]
    assert (here["way"], here["agent"]) == ("password", "Firefox, Linux")
    assert not there["is_current"]
    assert older not in answer.text
    assert FIREFOX not in answer.text


def test_one_ends_ones_own_session_and_nobody_elses(client: FlaskClient, session: Session) -> None:
    one, other = new_citizen(session), new_citizen(session)
    theirs = session.scalars(
        sa.select(SignInSession.id).where(SignInSession.person_id == other.id)
    ).one()
    mine = session.scalars(
        sa.select(SignInSession.id).where(SignInSession.person_id == one.id)
    ).one()
    for missing in (theirs, uuid4()):
        answer = client.delete(f"/api/v1/sessions/{missing}", headers=one.headers)
        assert answer.status_code == 404
    assert client.get("/api/v1/me", headers=other.headers).status_code == 200
    assert client.delete(f"/api/v1/sessions/{mine}", headers=one.headers).status_code == 204
    assert client.get("/api/v1/me", headers=one.headers).status_code == 401


def test_all_others_end_at_once(client: FlaskClient, session: Session) -> None:
    one = new_citizen(session)
    others = [sign_in(session, one.person) for _ in range(3)]
    answer = client.delete("/api/v1/sessions", headers=one.headers)
    assert answer.json == {"ended": 3}
    for token in others:
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/api/v1/me", headers=headers).status_code == 401
    assert client.get("/api/v1/me", headers=one.headers).status_code == 200
    assert session.scalars(sa.select(AuditEntry.action)).all() == ["session.ended"]


def test_use_is_noted_every_five_minutes_at_most(client: FlaskClient, session: Session) -> None:
    one = new_citizen(session)
    row = session.scalars(sa.select(SignInSession)).one()
    for ago, is_noted in (
        (None, True),
        (timedelta(minutes=4), False),
        (SEEN_RECORDED_EVERY, True),
    ):
        before = None if ago is None else utc_now() - ago
        row.last_seen_at = before
        assert client.get("/api/v1/me", headers=one.headers).status_code == 200
        assert (row.last_seen_at != before) is is_noted


def test_a_downgraded_agent_with_an_old_session_is_what_they_are_now(
    client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session)
    agent = new_staff(session, city, Role.AGENT)
    assert client.get("/api/v1/queues", headers=agent.headers).status_code == 200
    session.execute(sa.delete(RoleGrant).where(RoleGrant.person_id == agent.id))
    assert client.get("/api/v1/queues", headers=agent.headers).status_code == 403
    assert client.get("/api/v1/me", headers=agent.headers).json["roles"] == []


def test_somebody_deactivated_is_out_at_the_next_request(
    client: FlaskClient, session: Session
) -> None:
    agent = new_staff(session, new_jurisdiction(session))
    agent.person.is_active = False
    assert client.get("/api/v1/queues", headers=agent.headers).status_code == 401


@pytest.fixture
def keeper(session: Session) -> SignedIn:
    person = new_person(
        session,
        email="camille.durand@ville.example",
        name="Camille Durand",
        password_hash=passwords.hashed(PASSWORD),
    )
    return SignedIn(person, sign_in(session, person))


def change(client: FlaskClient, who: SignedIn, **sent: str) -> tuple[int, str | None]:
    answer = client.post("/api/v1/me/password", json=sent, headers=who.headers)
    return answer.status_code, answer.json["code"] if answer.data else None


def test_changing_the_password_ends_the_other_sessions(
    client: FlaskClient, session: Session, keeper: SignedIn
) -> None:
    other = {"Authorization": f"Bearer {sign_in(session, keeper.person)}"}
    assert change(client, keeper, current=PASSWORD, new=OTHER) == (204, None)
    assert client.get("/api/v1/me", headers=other).status_code == 401
    assert client.get("/api/v1/me", headers=keeper.headers).status_code == 200
    assert passwords.fits(keeper.person.password_hash, OTHER)
    assert keeper.person.password_changed_at is not None
    assert "password.changed" in session.scalars(sa.select(AuditEntry.action)).all()


def test_a_wrong_present_password_changes_nothing_and_counts(
    client: FlaskClient, keeper: SignedIn
) -> None:
    for _ in range(5):
        assert change(client, keeper, current="wrong", new=OTHER) == (422, "wrong_password")
    assert change(client, keeper, current=PASSWORD, new=OTHER) == (429, "locked")
    assert passwords.fits(keeper.person.password_hash, PASSWORD)


def test_a_first_password_needs_none_before(client: FlaskClient, session: Session) -> None:
    one = new_citizen(session)
    assert change(client, one, new=OTHER) == (204, None)
    # Whoever forgets it soon after signing in by link makes another; later, or else, it is asked.
    assert change(client, one, new=PASSWORD) == (204, None)
    session.execute(sa.update(SignInSession).values(created_at=utc_now() - FRESH_PROOF))
    assert change(client, one, new=OTHER) == (422, "wrong_password")


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("short", "too_short"),
        ("x" * 129, "too_long"),
        ("abababababab", "too_simple"),
        ("azertyuiopqs", "too_simple"),
        ("P4ssw0rd2024!", "common"),
        ("1qaz2wsx3edc", "common"),
        ("Sunshine-2026!", "common"),
        ("dragondragon", "common"),
        ("Durand.Camille34", "about_the_person"),
        ("Riverain-2026", "about_the_person"),
        ("camille.durand@ville.example", "like_the_address"),
    ],
)
def test_a_password_that_can_be_guessed_is_refused(
    client: FlaskClient, keeper: SignedIn, new: str, reason: str
) -> None:
    answer = client.post(
        "/api/v1/me/password", json={"current": PASSWORD, "new": new}, headers=keeper.headers
    )
    assert (answer.status_code, answer.json["code"]) == (422, "weak_password")
    assert answer.json["reason"] == reason
    assert "new" in answer.json["errors"]


def test_a_password_with_the_name_of_ones_city_is_refused(
    client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session, names={"fr": "Saint-Étienne", "en": "Saint-Étienne"})
    agent = new_staff(session, city)
    assert change(client, agent, new="saint-étienne42") == (422, "weak_password")


@pytest.mark.parametrize("extra", ["email", "person_id", "is_active", "roles", "password_hash"])
def test_no_identity_comes_from_a_body(
    client: FlaskClient, session: Session, keeper: SignedIn, extra: str
) -> None:
    sent = {"current": PASSWORD, "new": OTHER, extra: "x"}
    assert change(client, keeper, **sent) == (422, "invalid")
