"""Roles offered by e-mail: who may offer what, the letter, and accepting it once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from accounts import passwords, people
from accounts.models import AuditEntry, Invitation, Person, RoleGrant, SecondFactor, SignInSession
from accounts.rules import INVITATION_LIFETIME, Role
from accounts.staff import invitations
from core.clock import utc_now
from core.models import OutboxEvent
from geo.models import Jurisdiction
from tests.conftest import SECRET_KEY
from tests.factories import SignedIn, new_jurisdiction, new_person, new_staff, new_team, stored

URL = "/api/v1/invitations"
EMAIL = "nouvelle@ville.example"
PASSWORD = "a violet bicycle in the rain"


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session, code="ici")


@pytest.fixture
def admin(session: Session, city: Jurisdiction) -> SignedIn:
    return new_staff(session, city, Role.ADMIN)


def invite(client: FlaskClient, who: SignedIn, **sent: Any) -> TestResponse:
    return client.post(URL, json={"email": EMAIL, "role": "agent", **sent}, headers=who.headers)


def token_of(session: Session, invitation_id: str) -> str:
    row = session.get_one(Invitation, UUID(invitation_id), populate_existing=True)
    return invitations.token(SECRET_KEY, row)


def accept(client: FlaskClient, invitation_id: str, **sent: Any) -> TestResponse:
    return client.post(f"{URL}/{invitation_id}/acceptance", json=sent)


def outcome(answer: TestResponse) -> tuple[int, str | None]:
    return answer.status_code, answer.json[
        "code"
    ] if answer.is_json and "code" in answer.json else None


def test_an_invitation_is_sent_and_says_nothing_of_its_link(
    client: FlaskClient, session: Session, city: Jurisdiction, admin: SignedIn
) -> None:
    new_team(session, city, code="voirie")
    answer = invite(client, admin, email=" Nouvelle@Ville.Example", team="voirie", locale="en")
    assert answer.status_code == 201
    assert (answer.json["email"], answer.json["team"]) == (EMAIL, "voirie")
    assert token_of(session, answer.json["id"]) not in answer.text
    event = session.scalars(
        sa.select(OutboxEvent).where(OutboxEvent.name == "invitation.sent")
    ).one()
    assert str(event.subject_id) == answer.json["id"]
    assert EMAIL not in str(event.data)


def test_accepting_makes_the_account_gives_the_role_and_opens_a_session(
    client: FlaskClient, session: Session, admin: SignedIn
) -> None:
    made = invite(client, admin, name="Noé Martin", locale="fr").json
    token = token_of(session, made["id"])
    answer = accept(client, made["id"], token=token, password=PASSWORD)
    assert answer.status_code == 201
    me = client.get("/api/v1/me", headers={"Authorization": f"Bearer {answer.json['token']}"}).json
    assert (me["email"], me["name"], me["locale"]) == (EMAIL, "Noé Martin", "fr")
    assert [role["role"] for role in me["roles"]] == ["agent"]
    signed = client.post("/api/v1/sessions", json={"email": EMAIL, "password": PASSWORD})
    assert signed.status_code == 201
    # Once.
    assert outcome(accept(client, made["id"], token=token)) == (401, "proof_failed")
    assert client.get(URL, headers=admin.headers).json["items"] == []


def test_without_a_password_the_link_of_each_sign_in_does(
    client: FlaskClient, session: Session, admin: SignedIn
) -> None:
    made = invite(client, admin).json
    answer = accept(client, made["id"], token=token_of(session, made["id"]), name="Noé")
    assert answer.status_code == 201
    person = session.scalars(sa.select(Person).where(Person.email == EMAIL)).one()
    assert person.password_hash is None
    assert person.name == "Noé"


def test_who_has_the_role_is_not_invited_to_it(
    client: FlaskClient, session: Session, city: Jurisdiction, admin: SignedIn
) -> None:
    agent = new_staff(session, city, Role.AGENT)
    answer = invite(client, admin, email=agent.person.email)
    assert outcome(answer) == (409, "already_held")
    assert invite(client, admin, email=agent.person.email, role="manager").status_code == 201


def test_one_offer_at_a_time(client: FlaskClient, admin: SignedIn) -> None:
    first = invite(client, admin).json
    again = invite(client, admin)
    assert outcome(again) == (409, "already_invited")
    assert again.json["invitation"] == first["id"]


def test_sent_again_the_link_before_is_worth_nothing(
    client: FlaskClient, session: Session, admin: SignedIn
) -> None:
    made = invite(client, admin).json
    before = token_of(session, made["id"])
    answer = client.post(f"{URL}/{made['id']}/resending", headers=admin.headers)
    assert answer.status_code == 200
    assert outcome(accept(client, made["id"], token=before)) == (401, "proof_failed")
    now = token_of(session, made["id"])
    assert accept(client, made["id"], token=now).status_code == 201
    events = session.scalars(
        sa.select(OutboxEvent).where(OutboxEvent.name == "invitation.sent")
    ).all()
    assert len(events) == 2


def test_revoked_or_too_old_it_is_worth_nothing(
    client: FlaskClient, session: Session, admin: SignedIn
) -> None:
    made = invite(client, admin).json
    row = session.get_one(Invitation, UUID(made["id"]))
    row.expires_at = utc_now()
    token = token_of(session, made["id"])
    assert outcome(accept(client, made["id"], token=token)) == (401, "proof_failed")
    row.expires_at = utc_now() + timedelta(days=1)
    assert client.delete(f"{URL}/{made['id']}", headers=admin.headers).status_code == 204
    assert outcome(accept(client, made["id"], token=token)) == (401, "proof_failed")
    answer = client.post(f"{URL}/{made['id']}/resending", headers=admin.headers)
    assert answer.status_code == 404
    assert session.scalars(sa.select(Person).where(Person.email == EMAIL)).all() == []


@pytest.mark.parametrize("token", ["", "x", "A" * 22, "é" * 11, "../../etc/passwd"])
def test_a_guessed_token_opens_nothing(
    client: FlaskClient, session: Session, admin: SignedIn, token: str
) -> None:
    made = invite(client, admin).json
    other = invite(client, admin, email="autre@ville.example").json
    foreign = token_of(session, other["id"])
    assert accept(client, made["id"], token=token).status_code in (401, 422)
    assert accept(client, made["id"], token=foreign).status_code == 401
    assert accept(client, str(uuid4()), token=foreign).status_code == 401
    assert session.scalars(sa.select(RoleGrant)).all()[1:] == []


def test_another_citys_invitations_look_missing(
    client: FlaskClient, session: Session, admin: SignedIn
) -> None:
    made = invite(client, admin).json
    stranger = new_staff(session, new_jurisdiction(session), Role.ADMIN)
    assert client.get(URL, headers=stranger.headers).json["items"] == []
    for method, path in (("DELETE", ""), ("POST", "/resending")):
        answer = client.open(f"{URL}/{made['id']}{path}", method=method, headers=stranger.headers)
        assert outcome(answer) == (404, "not_found")
    answer = invite(client, stranger, jurisdiction="ici")
    assert outcome(answer) == (403, "wider_than_own")
    assert outcome(invite(client, admin, role="auditor")) == (403, "wider_than_own")


def test_who_reads_the_addresses_that_were_invited_is_entered(
    client: FlaskClient, session: Session, admin: SignedIn
) -> None:
    made = invite(client, admin).json
    assert client.get(URL, headers=admin.headers).status_code == 200
    [entry] = stored(session, AuditEntry, action="contact.read", subject_kind="invitations")
    assert (entry.actor_id, entry.data) == (admin.id, {"invitations": [made["id"]]})
    assert EMAIL not in str(entry.data)


def test_accepting_does_not_replace_a_password(
    client: FlaskClient, session: Session, admin: SignedIn
) -> None:
    stored = passwords.hashed(PASSWORD)
    person = new_person(session, email=EMAIL, password_hash=stored)
    made = invite(client, admin).json
    # The administrator is not told that the address has an account.
    assert set(made or ()) == {
        "id",
        "email",
        "name",
        "locale",
        "role",
        "jurisdiction",
        "team",
        "created_at",
        "expires_at",
    }
    token = token_of(session, made["id"])
    shown = invitations.look(session, SECRET_KEY, UUID(made["id"]), token, now=utc_now())
    assert shown is not None
    assert shown.has_password
    answer = accept(client, made["id"], token=token, password="another violet bicycle")
    assert outcome(answer) == (409, "has_password")
    assert accept(client, made["id"], token=token).status_code == 201
    assert person.password_hash == stored


def test_a_weak_password_leaves_the_invitation_open(
    client: FlaskClient, session: Session, admin: SignedIn
) -> None:
    made = invite(client, admin).json
    token = token_of(session, made["id"])
    answer = accept(client, made["id"], token=token, password="password1234")
    assert outcome(answer) == (422, "weak_password")
    assert session.scalars(sa.select(Person).where(Person.email == EMAIL)).all() == []
    assert accept(client, made["id"], token=token).status_code == 201


def test_a_second_factor_is_asked_for_here_too(
    client: FlaskClient, session: Session, admin: SignedIn
) -> None:
    person = new_person(session, email=EMAIL)
    session.add(SecondFactor(person_id=person.id, started_at=utc_now(), confirmed_at=utc_now()))
    session.flush()
    made = invite(client, admin).json
    token = token_of(session, made["id"])
    assert outcome(accept(client, made["id"], token=token)) == (401, "second_factor_needed")
    wrong = accept(client, made["id"], token=token, otp="000000")
    assert outcome(wrong) == (401, "proof_failed")
    row = session.get_one(Invitation, UUID(made["id"]))
    assert row.accepted_at is None
    grants = sa.select(RoleGrant).where(RoleGrant.person_id == person.id)
    assert session.scalars(grants).all() == []


def test_somebody_deactivated_is_not_let_in_by_an_invitation(
    client: FlaskClient, session: Session, city: Jurisdiction, admin: SignedIn
) -> None:
    agent = new_staff(session, city)
    people.shut_out(session, agent.person, now=utc_now())
    known = invite(client, admin, email=agent.person.email)
    assert outcome(known) == (409, "inactive_person")
    made = invite(client, admin, email=agent.person.email, role="viewer").json
    answer = accept(client, made["id"], token=token_of(session, made["id"]))
    assert outcome(answer) == (401, "proof_failed")


@pytest.mark.parametrize(
    "sent",
    [
        {"email": "nobody"},
        {"role": "citizen"},
        {"team": "no-such"},
        {"locale": "xx"},
        {"name": "a\u202eb"},
        {"invited_by": str(uuid4())},
        {"jurisdiction_id": 1},
        {"version": 7},
    ],
)
def test_bad_input_is_refused(
    client: FlaskClient, session: Session, admin: SignedIn, sent: dict[str, Any]
) -> None:
    assert invite(client, admin, **sent).status_code == 422
    assert session.scalars(sa.select(Invitation)).all() == []


@pytest.mark.parametrize("extra", ["email", "role", "person_id", "jurisdiction"])
def test_accepting_takes_no_identity_from_the_body(
    client: FlaskClient, session: Session, admin: SignedIn, extra: str
) -> None:
    made = invite(client, admin).json
    sent = {"token": token_of(session, made["id"]), extra: "admin"}
    assert accept(client, made["id"], **sent).status_code == 422
    assert len(session.scalars(sa.select(SignInSession)).all()) == 1


def test_it_is_good_for_a_week(client: FlaskClient, session: Session, admin: SignedIn) -> None:
    made = invite(client, admin).json
    row = session.get_one(Invitation, UUID(made["id"]))
    assert row.expires_at - row.created_at == INVITATION_LIFETIME == timedelta(days=7)
