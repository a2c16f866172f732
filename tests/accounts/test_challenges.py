"""Proving an address by a mailed link or code."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from accounts import challenges
from accounts.contact_rules import ContactPoint
from accounts.models import Person, SignInChallenge, SignInSession
from accounts.rules import CHALLENGE_TRIES, LINKS_PER_HOUR, WRONG_CODES_PER_DAY
from core.db import reading, transaction
from core.models import OutboxEvent
from tests.conftest import SECRET_KEY
from tests.factories import new_jurisdiction, new_person
from tests.statements import count_statements

NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=14, seconds=59)
TOO_LATE = NOW + timedelta(minutes=15)
EMAIL = "marie@exemple.fr"
TO = ContactPoint.email(EMAIL)


def asked(session: Session, email: str = EMAIL, now: datetime = NOW) -> Any:
    return challenges.ask(
        session, ContactPoint.email(email), jurisdiction_id=None, locale="fr", now=now
    )


def follow(session: Session, challenge_id: Any, now: datetime = NOW) -> Person | None:
    token = challenges.link_token(SECRET_KEY, challenge_id)
    return challenges.answer_link(session, SECRET_KEY, challenge_id, token, now=now)


def a_wrong_code(session: Session) -> str:
    right = {
        challenges.code(SECRET_KEY, row) for row in session.scalars(sa.select(SignInChallenge.id))
    }
    return next(code for code in ("000000", "111111", "222222") if code not in right)


# -- asking ----------------------------------------------------------------------------------------


def test_asking_stores_a_challenge_and_tells_the_workers(
    client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session)
    answer = client.post(
        "/api/v1/sessions/link",
        json={"email": "Marie@Exemple.fr"},
        headers={"Accept-Language": "en-GB,en;q=0.9"},
    )
    assert answer.status_code == 202
    assert answer.json == {"expires_in_s": 900}
    assert answer.headers["Cache-Control"] == "no-store"
    challenge = session.scalars(sa.select(SignInChallenge)).one()
    assert challenge.email == "marie@exemple.fr"
    assert challenge.locale == "en"
    assert challenge.jurisdiction_id == city.id
    assert challenge.expires_at - challenge.created_at == timedelta(minutes=15)
    event = session.scalars(sa.select(OutboxEvent)).one()
    assert (event.name, event.subject_id, event.data) == ("sign_in.asked", challenge.id, {})


def test_the_answer_is_the_same_for_everybody(client: FlaskClient, session: Session) -> None:
    new_person(session, email="known@exemple.fr")
    new_person(session, email="gone@exemple.fr", is_active=False)
    answers = [
        client.post("/api/v1/sessions/link", json={"email": email})
        for email in ("known@exemple.fr", "unknown@exemple.fr", "gone@exemple.fr")
        for _ in range(LINKS_PER_HOUR + 2)
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {
        (202, answers[0].text),
    }


def test_a_deactivated_person_is_sent_nothing(session: Session) -> None:
    new_person(session, email=EMAIL, is_active=False)
    assert asked(session) is None
    assert session.scalars(sa.select(OutboxEvent)).all() == []


def test_nobodys_mailbox_is_filled(session: Session) -> None:
    given = [asked(session) for _ in range(LINKS_PER_HOUR + 3)]
    assert [challenge is not None for challenge in given] == [True] * LINKS_PER_HOUR + [False] * 3
    assert asked(session, now=NOW + timedelta(hours=1)) is not None


def test_a_known_person_is_written_to_in_their_language(session: Session) -> None:
    new_person(session, email=EMAIL, locale="en")
    challenge = session.get_one(SignInChallenge, asked(session))
    assert challenge.locale == "en"


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "email"),
        ({"email": "no address"}, "email"),
        ({"email": EMAIL, "jurisdiction": "atlantis"}, "jurisdiction"),
        ({"email": EMAIL, "is_staff": True}, "is_staff"),
    ],
)
def test_a_payload_that_asks_for_nothing_names_the_field(
    client: FlaskClient, session: Session, payload: dict[str, Any], field: str
) -> None:
    new_jurisdiction(session)
    answer = client.post("/api/v1/sessions/link", json=payload)
    assert answer.status_code == 422
    assert field in answer.json["errors"]
    assert session.scalars(sa.select(SignInChallenge)).all() == []


# -- answering -------------------------------------------------------------------------------------


def test_the_link_opens_a_session_and_makes_the_account(
    client: FlaskClient, session: Session
) -> None:
    client.post("/api/v1/sessions/link", json={"email": EMAIL})
    challenge = session.scalars(sa.select(SignInChallenge)).one()
    token = challenges.link_token(SECRET_KEY, challenge.id)
    answer = client.post("/api/v1/sessions", json={"challenge": str(challenge.id), "token": token})
    assert answer.status_code == 201
    me = client.get("/api/v1/me", headers={"Authorization": f"Bearer {answer.json['token']}"})
    assert me.json["email"] == EMAIL
    person = session.scalars(sa.select(Person)).one()
    assert person.verified_at is not None
    assert person.password_hash is None


def test_the_code_opens_a_session_for_the_same_person(
    client: FlaskClient, session: Session
) -> None:
    person = new_person(session, email=EMAIL)
    client.post("/api/v1/sessions/link", json={"email": EMAIL})
    challenge = session.scalars(sa.select(SignInChallenge)).one()
    code = challenges.code(SECRET_KEY, challenge.id)
    spaced = f"{code[:3]} {code[3:]}"
    answer = client.post("/api/v1/sessions", json={"email": "MARIE@exemple.fr", "code": spaced})
    assert answer.status_code == 201
    assert session.scalars(sa.select(SignInSession.person_id)).one() == person.id


def test_a_link_works_once(session: Session) -> None:
    challenge_id = asked(session)
    assert follow(session, challenge_id) is not None
    assert follow(session, challenge_id) is None


def test_a_code_works_once_and_ends_its_link(session: Session) -> None:
    challenge_id = asked(session)
    code = challenges.code(SECRET_KEY, challenge_id)
    assert challenges.answer_code(session, SECRET_KEY, TO, code, now=NOW) is not None
    assert challenges.answer_code(session, SECRET_KEY, TO, code, now=NOW) is None
    assert follow(session, challenge_id) is None


def test_both_work_for_fifteen_minutes(session: Session) -> None:
    first, second = asked(session), asked(session)
    code = challenges.code(SECRET_KEY, second)
    assert follow(session, first, TOO_LATE) is None
    assert challenges.answer_code(session, SECRET_KEY, TO, code, now=TOO_LATE) is None
    assert follow(session, first, LATER) is not None
    assert challenges.answer_code(session, SECRET_KEY, TO, code, now=LATER) is not None


def test_each_of_several_codes_under_way_works(session: Session) -> None:
    for challenge_id in [asked(session), asked(session), asked(session)]:
        code = challenges.code(SECRET_KEY, challenge_id)
        assert challenges.answer_code(session, SECRET_KEY, TO, code, now=NOW) is not None


def test_a_code_opens_only_the_address_it_was_sent_to(session: Session) -> None:
    code = challenges.code(SECRET_KEY, asked(session))
    asked(session, "other@exemple.fr")
    assert (
        challenges.answer_code(
            session, SECRET_KEY, ContactPoint.email("other@exemple.fr"), code, now=NOW
        )
        is None
    )


def test_a_link_made_with_another_key_opens_nothing(session: Session) -> None:
    challenge_id = asked(session)
    token = challenges.link_token("another installation's key", challenge_id)
    assert challenges.answer_link(session, SECRET_KEY, challenge_id, token, now=NOW) is None


def test_the_sixth_try_fails_even_when_right(client: FlaskClient, session: Session) -> None:
    client.post("/api/v1/sessions/link", json={"email": EMAIL})
    challenge = session.scalars(sa.select(SignInChallenge)).one()
    wrong = a_wrong_code(session)
    for _ in range(CHALLENGE_TRIES):
        answer = client.post("/api/v1/sessions", json={"email": EMAIL, "code": wrong})
        assert answer.status_code == 401
        assert answer.json["code"] == "proof_failed"
    assert challenge.tries == CHALLENGE_TRIES
    right = challenges.code(SECRET_KEY, challenge.id)
    answer = client.post("/api/v1/sessions", json={"email": EMAIL, "code": right})
    assert answer.status_code == 401
    token = challenges.link_token(SECRET_KEY, challenge.id)
    assert (
        client.post(
            "/api/v1/sessions", json={"challenge": str(challenge.id), "token": token}
        ).status_code
        == 401
    )


def test_wrong_links_count_as_tries(client: FlaskClient, session: Session) -> None:
    client.post("/api/v1/sessions/link", json={"email": EMAIL})
    challenge = session.scalars(sa.select(SignInChallenge)).one()
    token = challenges.link_token(SECRET_KEY, challenge.id)
    for _ in range(CHALLENGE_TRIES):
        client.post("/api/v1/sessions", json={"challenge": str(challenge.id), "token": token[:-1]})
    assert (
        client.post(
            "/api/v1/sessions", json={"challenge": str(challenge.id), "token": token}
        ).status_code
        == 401
    )


def test_a_patient_stranger_is_stopped_and_the_link_still_works(session: Session) -> None:
    hours = 0
    while True:
        now = NOW + timedelta(hours=hours)
        asked(session, now=now)
        wrong = a_wrong_code(session)
        for _ in range(CHALLENGE_TRIES):
            challenges.answer_code(session, SECRET_KEY, TO, wrong, now=now)
        hours += 1
        if hours * CHALLENGE_TRIES >= WRONG_CODES_PER_DAY:
            break
    now = NOW + timedelta(hours=hours)
    challenge_id = asked(session, now=now)
    code = challenges.code(SECRET_KEY, challenge_id)
    assert challenges.answer_code(session, SECRET_KEY, TO, code, now=now) is None
    assert follow(session, challenge_id, now) is not None
    tomorrow = NOW + timedelta(days=2)
    code = challenges.code(SECRET_KEY, asked(session, now=tomorrow))
    assert challenges.answer_code(session, SECRET_KEY, TO, code, now=tomorrow) is not None


def test_somebody_deactivated_meanwhile_is_not_let_in(session: Session) -> None:
    person = new_person(session, email=EMAIL)
    challenge_id = asked(session)
    person.is_active = False
    session.flush()
    assert follow(session, challenge_id) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(token=st.text(max_size=60), row=st.uuids())
def test_whatever_a_stranger_sends_is_refused_and_never_an_error(
    session: Session, token: str, row: UUID
) -> None:
    assert challenges.answer_link(session, SECRET_KEY, row, token, now=NOW) is None
    assert challenges.answer_code(session, SECRET_KEY, TO, token, now=NOW) is None


# -- at the same instant ---------------------------------------------------------------------------


def at_once(app: Flask, answers: list[Callable[[Session], Person | None]]) -> list[bool]:
    """Give all answers at the same instant, each in its own transaction: which were right."""
    barrier = threading.Barrier(len(answers))

    def give(answer: Callable[[Session], Person | None]) -> bool:
        with app.app_context(), transaction() as session:
            session.execute(sa.text("SELECT 1"))
            barrier.wait(10)
            return answer(session) is not None

    with ThreadPoolExecutor(len(answers)) as pool:
        return list(pool.map(give, answers))


def test_one_link_opened_in_several_windows_lets_one_in(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        challenge_id = asked(session)
    right = at_once(committed_db, [lambda session: follow(session, challenge_id)] * 5)
    assert sorted(right) == [False] * 4 + [True]


def test_two_first_proofs_of_an_address_make_one_person(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        first, second = asked(session), asked(session)
    right = at_once(
        committed_db,
        [lambda session: follow(session, first), lambda session: follow(session, second)],
    )
    assert right == [True, True]
    with committed_db.app_context(), reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Person)) == 1


def test_parallel_guesses_are_all_counted(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        for _ in range(2):
            asked(session)
        wrong = a_wrong_code(session)
    guess = functools.partial(answer_code, given=wrong)
    assert at_once(committed_db, [guess] * 6) == [False] * 6
    with committed_db.app_context(), reading() as session:
        tries = session.scalars(sa.select(SignInChallenge.tries)).all()
    assert tries == [CHALLENGE_TRIES, CHALLENGE_TRIES]


def answer_code(session: Session, given: str) -> Person | None:
    return challenges.answer_code(session, SECRET_KEY, TO, given, now=NOW)


def test_asking_for_a_known_contact_costs_the_same_statements(
    client: FlaskClient, session: Session
) -> None:
    new_jurisdiction(session)
    new_person(session, email=EMAIL, phone="+33612345678")
    client.post("/api/v1/sessions/link", json={"email": "warm@exemple.fr"})
    counts = []
    for contact in (
        {"email": EMAIL},
        {"email": "inconnu@exemple.fr"},
        {"phone": "+33612345678"},
        {"phone": "+33612345679"},
    ):
        with count_statements() as statements:
            client.post("/api/v1/sessions/link", json=contact)
        counts.append(len(statements))
    assert len(set(counts)) == 1
