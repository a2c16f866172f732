"""Keys for programs: scopes, end, shown once, and nothing that changes how a person signs in."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from accounts import actors
from accounts.models import ApiKey, AuditEntry, RoleGrant
from accounts.rules import KEYS_PER_PERSON, Permission, Role
from accounts.secrets import digest
from core.clock import utc_now
from tests.factories import SignedIn, new_citizen, new_jurisdiction, new_staff

URL = "/api/v1/keys"


@pytest.fixture
def agent(session: Session) -> SignedIn:
    return new_staff(session, new_jurisdiction(session), Role.AGENT)


def make(client: FlaskClient, who: SignedIn, **sent: object) -> TestResponse:
    return client.post(URL, json={"name": "work orders", **sent}, headers=who.headers)


def by(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_key_is_shown_once_and_stored_as_a_digest(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    answer = make(client, agent)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    key = answer.json["key"]
    row = session.scalars(sa.select(ApiKey)).one()
    assert row.key_hash == digest(key)
    assert row.expires_at is not None
    assert timedelta(days=89) < row.expires_at - utc_now() <= timedelta(days=90)
    listed = client.get(URL, headers=agent.headers)
    assert key not in listed.text
    assert listed.json["items"][0]["id"] == answer.json["id"]
    assert listed.json["items"][0]["last_used_at"] is None


def test_a_key_does_what_its_scopes_say_and_no_more(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    key = make(client, agent, scopes=["reports.read"]).json["key"]
    actor = actors.find(session, key, now=utc_now())
    assert actor is not None
    assert actor.scopes == {Permission.READ_REPORTS}
    assert actor.holds(Permission.READ_REPORTS)
    assert not actor.holds(Permission.WORK_REPORTS)
    assert client.get("/api/v1/queues", headers=by(key)).status_code == 200
    refused = client.post(f"/api/v1/reports/{uuid4()}/assignment", json={}, headers={**by(key)})
    assert refused.status_code == 403
    assert client.get(URL, headers=agent.headers).json["items"][0]["last_used_at"] is not None


def test_a_key_never_does_more_than_its_person_may_now(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    key = make(client, agent, scopes=["reports.read"]).json["key"]
    session.execute(sa.delete(RoleGrant).where(RoleGrant.person_id == agent.id))
    assert client.get("/api/v1/queues", headers=by(key)).status_code == 403


def test_nobody_gives_a_key_what_they_do_not_hold(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    answer = make(client, agent, scopes=["reports.read", "people.manage"])
    assert (answer.status_code, answer.json["code"]) == (403, "wider_than_own")
    assert "people.manage" in answer.json["detail"]
    assert session.scalars(sa.select(ApiKey)).all() == []


def test_a_key_ends(client: FlaskClient, session: Session, agent: SignedIn) -> None:
    made = make(client, agent, expires_in_days=1).json
    row = session.get_one(ApiKey, made["id"])
    row.expires_at = utc_now()
    assert client.get("/api/v1/queues", headers=by(made["key"])).status_code == 401
    assert client.get(URL, headers=agent.headers).json["items"] == []


def test_a_revoked_key_is_worth_nothing_at_once(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    made = make(client, agent).json
    other = new_citizen(session)
    assert client.delete(f"{URL}/{made['id']}", headers=other.headers).status_code == 404
    assert client.delete(f"{URL}/{made['id']}", headers=agent.headers).status_code == 204
    assert client.get("/api/v1/queues", headers=by(made["key"])).status_code == 401
    changes = session.scalars(
        sa.select(AuditEntry.data["change"].astext).where(AuditEntry.action == "key.changed")
    ).all()
    assert changes == ["made", "revoked"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/keys"),
        ("POST", "/keys"),
        ("DELETE", f"/keys/{UUID(int=7)}"),
        ("GET", "/sessions"),
        ("DELETE", "/sessions"),
        ("DELETE", f"/sessions/{UUID(int=7)}"),
        ("POST", "/me/password"),
        ("GET", "/me/second-factor"),
        ("POST", "/me/second-factor"),
        ("DELETE", "/me/second-factor"),
        ("POST", "/me/second-factor/confirmation"),
        ("POST", "/me/second-factor/recovery-codes"),
    ],
)
def test_a_key_does_not_change_how_its_person_signs_in(
    client: FlaskClient, agent: SignedIn, method: str, path: str
) -> None:
    key = make(client, agent).json["key"]
    answer = client.open(f"/api/v1{path}", method=method, json={}, headers=by(key))
    assert (answer.status_code, answer.json["code"]) == (403, "session_needed")


def test_there_is_an_end_to_how_many(client: FlaskClient, agent: SignedIn) -> None:
    for _ in range(KEYS_PER_PERSON):
        assert make(client, agent).status_code == 201
    assert make(client, agent).json["code"] == "too_many_keys"


@pytest.mark.parametrize(
    "sent",
    [
        {"name": "   "},
        {"scopes": ["everything"]},
        {"expires_in_days": 0},
        {"expires_in_days": 367},
        {"person_id": str(uuid4())},
        {"key_hash": "x"},
        {"email": "admin@ville.example"},
    ],
)
def test_bad_input_is_refused(
    client: FlaskClient, session: Session, agent: SignedIn, sent: dict[str, object]
) -> None:
    assert make(client, agent, **sent).status_code == 422
    assert session.scalars(sa.select(ApiKey)).all() == []
