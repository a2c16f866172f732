"""Signing in by phone, and changing how one is reached: proved first, told to the old contact."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import challenges
from accounts.actors import Actor
from accounts.contact_rules import CONTACTS_PER_HOUR, ContactPoint
from accounts.me import contacts
from accounts.me.contacts import Proof
from accounts.models import AuditEntry, Person, SecondFactor, SignInChallenge, SignInSession
from accounts.rules import CHALLENGE_TRIES, LINKS_PER_HOUR, Role
from core.clock import utc_now
from core.db import reading, transaction
from core.models import OutboxEvent
from reports import own
from tests.conftest import SECRET_KEY
from tests.factories import (
    SignedIn,
    grant,
    new_citizen,
    new_jurisdiction,
    new_person,
    sign_in,
    stored,
)

PHONE = "+33612345678"
NEW = "nouvelle@exemple.fr"


@pytest.fixture
def camille(session: Session) -> SignedIn:
    """A citizen of one city, signed in."""
    new_jurisdiction(session)
    return new_citizen(session, email="camille@exemple.fr")


def ask(client: FlaskClient, who: SignedIn, **contact: str) -> Any:
    return client.post("/api/v1/me/contacts", json=contact, headers=who.headers)


def prove(client: FlaskClient, who: SignedIn, challenge: str, code: str | None = None) -> Any:
    right = challenges.code(SECRET_KEY, UUID(challenge))
    sent = {"challenge": challenge, "code": right if code is None else code}
    return client.post("/api/v1/me/contacts/proof", json=sent, headers=who.headers)


def wrong(challenge: str) -> str:
    return "000000" if challenges.code(SECRET_KEY, UUID(challenge)) != "000000" else "111111"


# -- signing in by phone ---------------------------------------------------------------------------


def test_a_texted_code_opens_a_session_and_makes_the_account(
    client: FlaskClient, session: Session
) -> None:
    new_jurisdiction(session)
    asked = client.post("/api/v1/sessions/link", json={"phone": "06 12 34 56 78"})
    assert (asked.status_code, asked.json) == (202, {"expires_in_s": 900})
    challenge = session.scalars(sa.select(SignInChallenge)).one()
    assert (challenge.phone, challenge.email) == (PHONE, None)
    code = challenges.code(SECRET_KEY, challenge.id)
    opened = client.post("/api/v1/sessions", json={"phone": "0033612345678", "code": code})
    assert opened.status_code == 201
    me = client.get("/api/v1/me", headers={"Authorization": f"Bearer {opened.json['token']}"})
    assert (me.json["phone"], me.json["email"]) == (PHONE, None)
    again = client.post("/api/v1/sessions", json={"phone": PHONE, "code": code})
    assert (again.status_code, again.json["code"]) == (401, "proof_failed")


def test_a_code_sent_by_text_opens_no_address_and_tries_run_out(
    client: FlaskClient, session: Session
) -> None:
    new_jurisdiction(session)
    client.post("/api/v1/sessions/link", json={"phone": PHONE})
    challenge = session.scalars(sa.select(SignInChallenge)).one()
    code = challenges.code(SECRET_KEY, challenge.id)
    foreign = client.post("/api/v1/sessions", json={"email": "a@exemple.fr", "code": code})
    assert foreign.status_code == 401
    for _ in range(CHALLENGE_TRIES):
        client.post("/api/v1/sessions", json={"phone": PHONE, "code": wrong(str(challenge.id))})
    assert client.post("/api/v1/sessions", json={"phone": PHONE, "code": code}).status_code == 401


def test_a_number_is_not_flooded_and_the_answer_never_tells(
    client: FlaskClient, session: Session
) -> None:
    new_jurisdiction(session)
    new_person(session, phone=PHONE)
    new_person(session, phone="+33612345670", is_active=False)
    answers = {
        (answer.status_code, answer.text)
        for number in (PHONE, "+33612345670", "+33612345671")
        for answer in [
            client.post("/api/v1/sessions/link", json={"phone": number})
            for _ in range(LINKS_PER_HOUR + 1)
        ]
    }
    assert len(answers) == 1
    sent = session.scalars(sa.select(SignInChallenge.phone)).all()
    assert {number: sent.count(number) for number in set(sent)} == {
        PHONE: LINKS_PER_HOUR,
        "+33612345671": LINKS_PER_HOUR,
    }


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"phone": "téléphone"}, "phone"),
        ({"phone": "06"}, "phone"),
        ({"phone": "1" * 10_000}, "phone"),
        ({"phone": "\x00"}, "phone"),
        ({"phone": "😀"}, "phone"),
        ({"phone": "+33 4 67 12 34 56"}, "phone"),
        ({"phone": "+33 899 12 34 56"}, "phone"),
        ({"phone": PHONE, "email": "a@exemple.fr"}, "phone"),
        ({"phone": None}, "phone"),
        ({"email": "\u202ea@exemple.fr\n"}, "email"),
        ({}, "email"),
    ],
)
def test_what_is_no_contact_is_refused_by_name(
    client: FlaskClient, session: Session, payload: dict[str, Any], field: str
) -> None:
    camille = new_citizen(session)
    new_jurisdiction(session)
    for path, headers in (("sessions/link", {}), ("me/contacts", camille.headers)):
        answer = client.post(f"/api/v1/{path}", json=payload, headers=headers)
        assert answer.status_code == 422
        assert field in answer.json["errors"]
    assert session.scalars(sa.select(SignInChallenge)).all() == []


def test_among_several_cities_a_national_number_needs_one(
    client: FlaskClient, session: Session
) -> None:
    new_jurisdiction(session, code="ici")
    new_jurisdiction(session, code="there", country="US", locales=["en"], default_locale="en")
    link = "/api/v1/sessions/link"
    lost = client.post(link, json={"phone": "06 12 34 56 78"})
    assert (lost.status_code, list(lost.json["errors"])) == (422, ["phone"])
    assert client.post(link, json={"phone": PHONE}).status_code == 202
    here = client.post(link, json={"phone": "06 12 34 56 78", "jurisdiction": "ici"})
    assert here.status_code == 202
    there = client.post(link, json={"phone": "617 555 0123", "jurisdiction": "there"})
    assert there.status_code == 202
    numbers = session.scalars(sa.select(SignInChallenge.phone).order_by(SignInChallenge.id)).all()
    assert numbers == [PHONE, PHONE, "+16175550123"]


# -- another contact -------------------------------------------------------------------------------


def test_a_phone_is_added_by_its_code(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    asked = ask(client, camille, phone="06 12 34 56 78")
    assert asked.status_code == 202
    assert asked.headers["Cache-Control"] == "no-store"
    assert client.get("/api/v1/me", headers=camille.headers).json["phone"] is None
    proved = prove(client, camille, asked.json["challenge"])
    assert proved.status_code == 200
    assert (proved.json["email"], proved.json["phone"]) == ("camille@exemple.fr", PHONE)
    (entry,) = stored(session, AuditEntry)
    assert (entry.actor_id, entry.data) == (camille.id, {"contact": "phone", "what": "proved"})


def test_the_old_contact_is_told_by_where_it_was(session: Session, camille: SignedIn) -> None:
    camille.person.phone = PHONE
    session.flush()
    challenge_id = challenges.ask_contact(
        session,
        camille.person,
        ContactPoint.email(NEW),
        jurisdiction_id=None,
        locale="fr",
        now=utc_now(),
    )
    challenge = session.get_one(SignInChallenge, challenge_id)
    assert (challenge.old_email, challenge.old_phone) == ("camille@exemple.fr", PHONE)
    event = session.scalars(sa.select(OutboxEvent)).one()
    assert (event.name, event.data) == ("contact.asked", {"challenge_id": str(challenge_id)})


def test_a_new_address_replaces_the_old_one(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    asked = ask(client, camille, email=" Nouvelle@EXEMPLE.fr ")
    assert prove(client, camille, asked.json["challenge"]).json["email"] == NEW
    session.expire_all()
    assert camille.person.email == NEW


def test_a_contact_of_somebody_else_is_never_taken_and_only_its_reader_learns_of_it(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    other = new_person(session, email=NEW)
    taken, free = ask(client, camille, email=NEW), ask(client, camille, email="libre@exemple.fr")
    assert taken.status_code == free.status_code == 202
    assert taken.json.keys() == free.json.keys()
    refused = prove(client, camille, taken.json["challenge"], wrong(taken.json["challenge"]))
    assert (refused.status_code, refused.json["code"]) == (422, "proof_failed")
    conflict = prove(client, camille, taken.json["challenge"])
    assert (conflict.status_code, conflict.json["code"]) == (409, "contact_taken")
    session.expire_all()
    assert (camille.person.email, other.email) == ("camille@exemple.fr", NEW)
    assert prove(client, camille, taken.json["challenge"]).json["code"] == "proof_failed"


def test_a_code_works_once_for_fifteen_minutes_and_five_tries(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    first = ask(client, camille, email=NEW).json["challenge"]
    assert prove(client, camille, first).status_code == 200
    assert prove(client, camille, first).status_code == 422
    late = ask(client, camille, email="tard@exemple.fr").json["challenge"]
    session.get_one(SignInChallenge, UUID(late)).expires_at = utc_now() - timedelta(seconds=1)
    session.flush()
    assert prove(client, camille, late).status_code == 422
    tried = ask(client, camille, email="essai@exemple.fr").json["challenge"]
    for _ in range(CHALLENGE_TRIES):
        assert prove(client, camille, tried, wrong(tried)).status_code == 422
    assert prove(client, camille, tried).status_code == 422


def test_nobody_proves_somebody_elses_challenge(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    stranger = new_citizen(session)
    challenge = ask(client, camille, email=NEW).json["challenge"]
    for _ in range(CHALLENGE_TRIES + 1):
        assert prove(client, stranger, challenge).status_code == 422
    assert prove(client, camille, challenge).status_code == 200


def test_a_proof_of_one_purpose_serves_no_other(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    contact = ask(client, camille, email=NEW).json["challenge"]
    code = challenges.code(SECRET_KEY, UUID(contact))
    token = challenges.link_token(SECRET_KEY, UUID(contact))
    for sent in ({"email": NEW, "code": code}, {"challenge": contact, "token": token}):
        assert client.post("/api/v1/sessions", json=sent).status_code == 401
    client.post("/api/v1/sessions/link", json={"email": NEW})
    signing_in = session.scalars(
        sa.select(SignInChallenge.id).where(SignInChallenge.purpose == "sign_in")
    ).one()
    assert prove(client, camille, str(signing_in)).status_code == 422


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"challenge": "x", "code": "123456"},
        {"challenge": "01890a5d-ac96-774b-bcce-b302099a8057"},
        {"challenge": "01890a5d-ac96-774b-bcce-b302099a8057", "code": ""},
        {"challenge": "01890a5d-ac96-774b-bcce-b302099a8057", "code": "1" * 10_000},
        {"challenge": "01890a5d-ac96-774b-bcce-b302099a8057", "code": "\x00"},
        {"challenge": "01890a5d-ac96-774b-bcce-b302099a8057", "code": "123456"},
        {"challenge": "01890a5d-ac96-774b-bcce-b302099a8057", "code": "\u0661\u0662😀"},
        {"challenge": "01890a5d-ac96-774b-bcce-b302099a8057", "code": "1", "person_id": "x"},
    ],
)
def test_malformed_proofs_are_refused(
    client: FlaskClient, camille: SignedIn, sent: dict[str, Any]
) -> None:
    answer = client.post("/api/v1/me/contacts/proof", json=sent, headers=camille.headers)
    assert answer.status_code == 422


def test_ones_own_contact_and_too_many_are_told(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    mine = ask(client, camille, email="CAMILLE@exemple.fr")
    assert (mine.status_code, mine.json["code"]) == (409, "own_contact")
    for number in range(CONTACTS_PER_HOUR):
        assert ask(client, camille, email=f"n{number}@exemple.fr").status_code == 202
    refused = ask(client, camille, email="zuviel@exemple.fr")
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_contacts")
    assert 3590 < int(refused.headers["Retry-After"]) <= 3600


def test_an_address_that_others_asked_for_too_often_is_not_told_apart(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    for _ in range(LINKS_PER_HOUR):
        client.post("/api/v1/sessions/link", json={"email": NEW})
    asked = ask(client, camille, email=NEW)
    assert asked.status_code == 202
    assert prove(client, camille, asked.json["challenge"]).status_code == 422


def test_a_contact_is_given_up_but_the_last(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    path = "/api/v1/me/contacts/"
    last = client.delete(path + "email", headers=camille.headers)
    assert (last.status_code, last.json["code"]) == (409, "last_contact")
    assert client.delete(path + "phone", headers=camille.headers).status_code == 404
    camille.person.phone = PHONE
    session.flush()
    assert client.delete(path + "email", headers=camille.headers).status_code == 204
    me = client.get("/api/v1/me", headers=camille.headers).json
    assert (me["email"], me["phone"]) == (None, PHONE)
    assert client.delete(path + "fax", headers=camille.headers).status_code == 404


def test_staff_keep_their_address(client: FlaskClient, session: Session, camille: SignedIn) -> None:
    grant(session, camille.person, Role.AGENT, new_jurisdiction(session))
    camille.person.phone = PHONE
    session.flush()
    answer = client.delete("/api/v1/me/contacts/email", headers=camille.headers)
    assert answer.status_code == 409


def test_a_session_without_the_second_factor_changes_no_contact(
    client: FlaskClient, session: Session, camille: SignedIn
) -> None:
    now = utc_now()
    session.add(SecondFactor(person_id=camille.id, started_at=now, confirmed_at=now))
    session.flush()
    refused = ask(client, camille, email=NEW)
    assert (refused.status_code, refused.json["code"]) == (403, "second_factor_needed")
    session.execute(sa.update(SignInSession).values(has_second_factor=True))
    assert ask(client, camille, email=NEW).status_code == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "me"),
        ("POST", "me/contacts"),
        ("POST", "me/contacts/proof"),
        ("DELETE", "me/contacts/email"),
        ("DELETE", "me/contacts/phone"),
        ("GET", "me/reports"),
        ("GET", "me/following"),
    ],
)
def test_strangers_have_no_account(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(f"/api/v1/{path}", method=method, json={})
    assert (answer.status_code, answer.json["code"]) == (401, "not_signed_in")


# -- at the same instant ---------------------------------------------------------------------------


def test_of_two_who_prove_one_address_at_the_same_instant_one_has_it(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        rivals = []
        for _ in range(2):
            person = new_person(session)
            sign_in(session, person)
            session_id = session.scalars(
                sa.select(SignInSession.id).where(SignInSession.person_id == person.id)
            ).one()
            actor = Actor(person_id=person.id, session_id=session_id)
            challenge_id = contacts.ask(
                session, actor, ContactPoint.email(NEW), place=None, locale="fr", now=utc_now()
            )
            rivals.append((actor, challenge_id))
    barrier = threading.Barrier(2)

    def give(rival: tuple[Actor, UUID]) -> Proof:
        actor, challenge_id = rival
        with committed_db.app_context(), transaction() as session:
            session.execute(sa.text("SELECT 1"))
            barrier.wait(10)
            return contacts.prove(
                session,
                SECRET_KEY,
                actor,
                challenge_id,
                challenges.code(SECRET_KEY, challenge_id),
                belongings=own,
                now=utc_now(),
            )

    with ThreadPoolExecutor(2) as pool:
        outcomes = set(pool.map(give, rivals))
    assert outcomes == {Proof.DONE, Proof.TAKEN}
    with committed_db.app_context(), reading() as session:
        holders = session.scalars(sa.select(Person.id).where(Person.email == NEW)).all()
        used = session.scalars(sa.select(SignInChallenge.used_at)).all()
    assert len(holders) == 1
    assert None not in used
