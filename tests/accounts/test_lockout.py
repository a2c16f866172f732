"""Failed sign-ins lock an address for longer each time, and tell nobody whether it is known."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from accounts import challenges, lockout, passwords, signing_in
from accounts.errors import LockedError
from accounts.models import Person, SignInChallenge, SignInFailure, SignInSession
from accounts.rules import FAILURES_KEPT, lock_after
from core.db import transaction
from tests.conftest import SECRET_KEY
from tests.factories import new_person

PASSWORD = "correct horse battery staple"
NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)
EMAIL = "agent@ville.example"


@pytest.fixture(scope="module")
def stored() -> str:
    return passwords.hashed(PASSWORD)


def sign_in(client: FlaskClient, **payload: str) -> TestResponse:
    return client.post("/api/v1/sessions", json=payload)


@pytest.mark.parametrize(
    ("failures", "minutes"),
    [(0, None), (4, None), (5, 1), (6, 2), (7, 4), (10, 32), (11, 60), (12, 60), (10_000, 60)],
)
def test_the_wait_doubles_up_to_an_hour(failures: int, minutes: int | None) -> None:
    wait = None if minutes is None else timedelta(minutes=minutes)
    assert lock_after(failures) == wait


def test_a_thousand_guesses_come_to_a_dozen(session: Session) -> None:
    new_person(session, email=EMAIL, password_hash="the hash")
    compared: dict[str, list[int]] = {}
    refused: dict[str, list[int]] = {}

    # One guess each four seconds for over an hour, at somebody's address and at nobody's.
    seconds = range(0, 4_000, 4)
    for second, email in itertools.product(seconds, (EMAIL, "nobody@ville.example")):

        def fits(
            _stored: str | None, _password: str, second: int = second, to: str = email
        ) -> bool:
            compared.setdefault(to, []).append(second)
            return False

        try:
            signing_in.prove_password(
                session,
                SECRET_KEY,
                email,
                "a guess",
                fits=fits,
                now=NOW + timedelta(seconds=second),
            )
        except LockedError as locked:
            refused.setdefault(email, []).append(locked.extra["retry_after"])
    # Five at once, then after 1, 2, 4, 8, 16, 32 minutes: the same for both.
    assert compared[EMAIL] == [0, 4, 8, 12, 16, 76, 196, 436, 916, 1876, 3796]
    assert compared["nobody@ville.example"] == compared[EMAIL]
    assert refused["nobody@ville.example"] == refused[EMAIL]
    assert len(compared[EMAIL]) + len(refused[EMAIL]) == len(seconds)


@pytest.mark.parametrize("email", [EMAIL, "nobody@ville.example"])
def test_the_sixth_attempt_is_refused_whatever_it_says(
    client: FlaskClient, session: Session, stored: str, email: str
) -> None:
    new_person(session, email=EMAIL, password_hash=stored)
    for _ in range(5):
        assert sign_in(client, email=email, password="wrong").json["code"] == "sign_in_failed"
    answer = sign_in(client, email=email.upper(), password=PASSWORD)
    assert answer.status_code == 429
    assert answer.json["code"] == "locked"
    assert answer.json["title"] == "Too many failed sign-ins; wait, or have a link sent to you"
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert answer.json["retry_after"] == int(answer.headers["Retry-After"])
    assert session.scalars(sa.select(SignInSession)).all() == []


def test_the_mailed_link_works_all_the_same(
    client: FlaskClient, session: Session, stored: str
) -> None:
    new_person(session, email=EMAIL, password_hash=stored)
    for _ in range(6):
        sign_in(client, email=EMAIL, password="wrong")
    client.post("/api/v1/sessions/link", json={"email": EMAIL})
    asked = session.scalars(sa.select(SignInChallenge)).one()
    answer = sign_in(
        client, challenge=str(asked.id), token=challenges.link_token(SECRET_KEY, asked.id)
    )
    assert answer.status_code == 201


def test_the_right_password_forgets_the_wrong_ones(
    client: FlaskClient, session: Session, stored: str
) -> None:
    new_person(session, email=EMAIL, password_hash=stored)
    for _ in range(2):
        for _ in range(4):
            assert sign_in(client, email=EMAIL, password="wrong").status_code == 401
        assert sign_in(client, email=EMAIL, password=PASSWORD).status_code == 201
    assert session.scalars(sa.select(SignInFailure)).all() == []


def test_the_address_is_not_kept(client: FlaskClient, session: Session) -> None:
    sign_in(client, email=EMAIL, password="wrong")
    row = session.scalars(sa.select(SignInFailure)).one()
    assert len(row.subject) == 32
    assert EMAIL.encode() not in row.subject


def test_after_a_quiet_day_the_count_begins_anew(session: Session) -> None:
    for _ in range(5):
        lockout.failed(session, SECRET_KEY, EMAIL, NOW)
    with pytest.raises(LockedError):
        lockout.check(session, SECRET_KEY, EMAIL, NOW)
    later = NOW + FAILURES_KEPT
    lockout.failed(session, SECRET_KEY, EMAIL, later)
    lockout.check(session, SECRET_KEY, EMAIL, later)
    assert session.scalars(sa.select(SignInFailure.failures)).all() == [1]
    assert lockout.forget_old(session, now=later) == 0
    assert lockout.forget_old(session, now=later + FAILURES_KEPT) == 1


def test_guesses_at_the_same_instant_are_counted_one_after_another(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        session.add(Person(email=EMAIL, password_hash="the hash"))
    compared: list[str] = []
    start = threading.Barrier(12)

    def wrong(_stored: str | None, password: str) -> bool:
        compared.append(password)
        return False

    def guess() -> None:
        start.wait()
        with committed_db.app_context():
            try:
                with transaction() as session:
                    signing_in.prove_password(
                        session,
                        SECRET_KEY,
                        EMAIL,
                        "a guess",
                        fits=wrong,
                        now=NOW,
                    )
            except LockedError:
                pass

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compared) == 5
