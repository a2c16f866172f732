"""Signing in and out over the API, with a password."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from accounts import passwords, people, signing_in
from accounts.models import Person, SignInSession, SignInWay
from accounts.rules import Role
from accounts.secrets import digest
from core.clock import utc_now
from tests.factories import new_citizen, new_jurisdiction, new_person, new_staff, new_team

PASSWORD = "correct horse battery staple"
NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def stored() -> str:
    """The hash of `PASSWORD`, made once: it is slow on purpose."""
    return passwords.hashed(PASSWORD)


@pytest.fixture
def agent(session: Session, stored: str) -> Person:
    return new_person(session, email="agent@ville.example", password_hash=stored)


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that passwords were held against, in order."""
    held_against: list[str] = []
    verify = PasswordHasher.verify

    def counted(self: PasswordHasher, stored: str, password: bytes) -> bool:
        held_against.append(stored)
        return verify(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    return held_against


def sign_in(client: FlaskClient, **payload: str | None) -> TestResponse:
    return client.post("/api/v1/sessions", json=payload)


def test_address_and_password_open_a_session(client: FlaskClient, agent: Person) -> None:
    answer = sign_in(client, email="agent@ville.example", password=PASSWORD)
    assert answer.status_code == 201
    assert answer.json is not None
    assert set(answer.json) == {"token", "expires_at"}
    assert answer.headers["Cache-Control"] == "no-store"

    me = client.get("/api/v1/me", headers={"Authorization": f"Bearer {answer.json['token']}"})
    assert me.status_code == 200
    assert me.json["email"] == "agent@ville.example"
    assert me.headers["Cache-Control"] == "no-store"


def test_an_address_is_the_same_in_capitals(client: FlaskClient, agent: Person) -> None:
    answer = sign_in(client, email="  Agent@Ville.Example ", password=PASSWORD)
    assert answer.status_code == 201


def test_the_token_is_not_stored(client: FlaskClient, session: Session, agent: Person) -> None:
    token = sign_in(client, email=agent.email, password=PASSWORD).json["token"]
    row = session.scalars(sa.select(SignInSession)).one()
    assert row.token_hash == digest(token)
    assert token.encode() not in row.token_hash


def test_a_letter_typed_in_two_ways_is_the_same_password(session: Session) -> None:
    hash_ = passwords.hashed("la clé du garage")
    assert passwords.fits(hash_, "la cle\u0301 du garage")


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("agent@ville.example", "correct horse battery stable"),
        ("agent@ville.example", ""),
        ("agent@ville.example", "x" * 512),
        ("nobody@ville.example", PASSWORD),
        ("without@ville.example", PASSWORD),
        ("gone@ville.example", PASSWORD),
    ],
)
def test_every_failure_looks_the_same_and_costs_the_same(
    client: FlaskClient,
    session: Session,
    agent: Person,
    stored: str,
    verifications: list[str],
    email: str,
    password: str,
) -> None:
    new_person(session, email="without@ville.example", password_hash=None)
    new_person(session, email="gone@ville.example", password_hash=stored, is_active=False)
    answer = sign_in(client, email=email, password=password)
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json == {
        "type": "urn:riverain:problem:sign_in_failed",
        "title": "The e-mail address and the password do not fit",
        "status": 401,
        "detail": "The e-mail address and the password do not fit",
        "code": "sign_in_failed",
    }
    assert len(verifications) == 1
    assert session.scalars(sa.select(SignInSession)).all() == []


@pytest.mark.usefixtures("slow_passwords")
def test_the_hash_of_nobody_is_as_slow_as_one_made_today() -> None:
    assert not passwords.is_outdated(passwords.NOBODYS_HASH)
    assert not passwords.fits(None, "")


def test_a_hash_of_older_parameters_is_renewed_at_sign_in(
    client: FlaskClient, session: Session
) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    person = new_person(session, password_hash=old)
    assert sign_in(client, email=person.email, password=PASSWORD).status_code == 201
    assert person.password_hash != old
    assert not passwords.is_outdated(person.password_hash or "")
    assert sign_in(client, email=person.email, password=PASSWORD).status_code == 201


def test_a_broken_hash_in_the_database_is_a_refusal_and_no_defect(
    client: FlaskClient, session: Session
) -> None:
    person = new_person(session, password_hash="$argon2id$nonsense")
    assert sign_in(client, email=person.email, password=PASSWORD).status_code == 401


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "_schema"),
        ({"email": "a@b.example"}, "_schema"),
        ({"password": PASSWORD}, "email"),
        ({"code": "123456"}, "email"),
        ({"token": "x" * 22}, "challenge"),
        ({"token": "x" * 22, "challenge": "1"}, "challenge"),
        ({"email": "a@b.example", "password": PASSWORD, "code": "123456"}, "_schema"),
        ({"email": "not an address", "password": PASSWORD}, "email"),
        ({"email": "a\u0000@b.example", "password": PASSWORD}, "email"),
        ({"email": "a@b.example", "password": "x" * 513}, "password"),
        ({"email": "a@b.example", "password": 12345678901234}, "password"),
        ({"email": "a@b.example", "password": PASSWORD, "role": "admin"}, "role"),
    ],
)
def test_a_payload_that_is_no_sign_in_names_the_field(
    client: FlaskClient, session: Session, payload: dict[str, object], field: str
) -> None:
    answer = client.post("/api/v1/sessions", json=payload)
    assert answer.status_code == 422
    assert field in answer.json["errors"]


def test_a_one_time_password_is_refused_while_there_is_no_second_factor(
    client: FlaskClient, agent: Person
) -> None:
    answer = sign_in(client, email=agent.email, password=PASSWORD, otp="123456")
    assert answer.status_code == 422
    assert answer.json["code"] == "second_factor_off"
    assert list(answer.json["errors"]) == ["otp"]


@pytest.mark.parametrize("empty", ["", None])
def test_a_form_may_leave_the_one_time_password_empty(
    client: FlaskClient, agent: Person, empty: str | None
) -> None:
    assert sign_in(client, email=agent.email, password=PASSWORD, otp=empty).status_code == 201


def test_signing_out_ends_this_session_and_no_other(client: FlaskClient, session: Session) -> None:
    one = new_citizen(session)
    other = signing_in.open_session(
        session, one.id, way=SignInWay.PASSWORD, has_second_factor=False, now=utc_now()
    )
    assert client.delete("/api/v1/sessions/current", headers=one.headers).status_code == 204
    refused = client.get("/api/v1/me", headers=one.headers)
    assert refused.status_code == 401
    assert refused.json["code"] == "not_signed_in"
    still = client.get("/api/v1/me", headers={"Authorization": f"Bearer {other.token}"})
    assert still.status_code == 200


def test_a_session_ends_on_the_second_and_use_does_not_prolong_it(session: Session) -> None:
    from accounts import actors

    person = new_person(session)
    opened = signing_in.open_session(
        session, person.id, way=SignInWay.PASSWORD, has_second_factor=False, now=NOW
    )
    assert opened.expires_at == NOW + timedelta(days=14)
    almost = NOW + timedelta(days=14) - timedelta(seconds=1)
    assert actors.find(session, opened.token, now=almost) is not None
    assert actors.find(session, opened.token, now=opened.expires_at) is None


def test_a_member_of_staff_signs_in_for_a_day(session: Session) -> None:
    staff = new_staff(session, new_jurisdiction(session))
    opened = signing_in.open_session(
        session, staff.id, way=SignInWay.PASSWORD, has_second_factor=False, now=NOW
    )
    assert opened.expires_at == NOW + timedelta(hours=12)


def test_a_citizen_who_becomes_staff_keeps_no_long_session(session: Session) -> None:
    person = new_person(session)
    signing_in.open_session(
        session, person.id, way=SignInWay.PASSWORD, has_second_factor=False, now=NOW
    )
    people.create_person(
        session,
        person.email or "",
        Role.AGENT,
        jurisdiction_id=new_jurisdiction(session).id,
        team_id=None,
        password=None,
        now=NOW,
    )
    session.expire_all()
    row = session.scalars(sa.select(SignInSession)).one()
    assert row.expires_at == NOW + timedelta(hours=12)


def test_me_says_what_somebody_may_do_where(client: FlaskClient, session: Session) -> None:
    city = new_jurisdiction(session, code="montpellier")
    team = new_team(session, city, code="voirie")
    staff = new_staff(session, city, Role.AGENT, team=team, email="agent@ville.example")
    answer = client.get("/api/v1/me", headers=staff.headers).json
    assert answer["is_staff"] is True
    assert answer["known_by"] == "session"
    assert answer["roles"] == [
        {
            "role": "agent",
            "jurisdiction": "montpellier",
            "team": "voirie",
            "permissions": [
                "reports.read",
                "reports.read_contacts",
                "reports.take_calls",
                "reports.triage",
                "reports.work",
            ],
        }
    ]


def test_a_citizen_has_no_role(client: FlaskClient, session: Session) -> None:
    answer = client.get("/api/v1/me", headers=new_citizen(session).headers).json
    assert answer["roles"] == []
    assert answer["is_staff"] is False
