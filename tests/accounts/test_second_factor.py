"""One-time passwords and recovery codes: each once, few tries, a duty where a city says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from accounts import actors, challenges, one_time, passwords, second_factor
from accounts.models import AuditEntry, Person, SecondFactor, SignInChallenge, SignInSession
from accounts.rules import SECOND_FACTOR_SETUP, Permission, Role
from core.clock import utc_now
from core.tokens import key_for
from tests.conftest import SECRET_KEY
from tests.factories import SignedIn, grant, new_jurisdiction, new_person, new_staff, sign_in

PASSWORD = "correct horse battery staple"
NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)
EMAIL = "agent@ville.example"
URL = "/api/v1/me/second-factor"


@pytest.fixture(scope="module")
def stored() -> str:
    return passwords.hashed(PASSWORD)


@pytest.fixture
def agent(session: Session, stored: str) -> SignedIn:
    person = new_person(session, email=EMAIL, password_hash=stored)
    return SignedIn(person, sign_in(session, person, way="password"))


def code_now(
    session: Session, person: Person, *, steps: int = 1, now: datetime | None = None
) -> str:
    """What the person's app shows in a moment: the code before is spent by `turn_on`."""
    row = session.get_one(SecondFactor, person.id, populate_existing=True)
    key = key_for(SECRET_KEY, "second_factor.secret", person.id, row.version)
    step = one_time.step_of(now or utc_now()) + steps
    return one_time.code_at(key[: one_time.SECRET_BYTES], step)


def start(client: FlaskClient, agent: SignedIn) -> TestResponse:
    return client.post(URL, json={"password": PASSWORD}, headers=agent.headers)


def turn_on(client: FlaskClient, session: Session, agent: SignedIn) -> list[str]:
    """Set it up with the present code; the recovery codes."""
    assert start(client, agent).status_code == 201
    code = code_now(session, agent.person, steps=0)
    answer = client.post(f"{URL}/confirmation", json={"code": code}, headers=agent.headers)
    assert answer.status_code == 200, answer.json
    codes: list[str] = answer.json["recovery_codes"]
    return codes


def sign_in_with(client: FlaskClient, **payload: str) -> TestResponse:
    return client.post("/api/v1/sessions", json=payload)


# RFC 6238, appendix B, the SHA-1 column, cut to six digits.
@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    now = datetime.fromtimestamp(seconds, UTC)
    assert one_time.code_at(b"12345678901234567890", one_time.step_of(now)) == code


@pytest.mark.parametrize(
    ("steps", "is_taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
def test_a_clock_may_be_half_a_minute_off(steps: int, is_taken: bool) -> None:
    step = one_time.step_of(NOW) + steps
    found = one_time.matching_step(b"key", one_time.code_at(b"key", step), NOW, after=None)
    assert found == (step if is_taken else None)


def test_the_app_is_told_what_it_needs(client: FlaskClient, agent: SignedIn) -> None:
    answer = start(client, agent)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["uri"] == (
        f"otpauth://totp/Riverain:{EMAIL}?secret={answer.json['secret_base32']}"
        "&issuer=Riverain&digits=6&period=30"
    )
    assert len(answer.json["secret_base32"]) == 32


def test_starting_takes_the_password_or_a_fresh_proof(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    bare = client.post(URL, headers=agent.headers)
    assert (bare.status_code, bare.json["code"]) == (403, "fresh_proof_needed")
    wrong = client.post(URL, json={"password": "something else"}, headers=agent.headers)
    assert (wrong.status_code, wrong.json["code"]) == (422, "wrong_password")
    assert session.scalar(sa.select(sa.func.count()).select_from(SecondFactor)) == 0

    def by_link(age: timedelta) -> int:
        token = sign_in(session, agent.person, way="link")
        session.execute(
            sa.update(SignInSession)
            .where(SignInSession.way == "link")
            .values(created_at=utc_now() - age)
        )
        headers = {"Authorization": f"Bearer {token}"}
        return client.post(URL, headers=headers).status_code

    assert by_link(timedelta(minutes=14)) == 201
    assert by_link(timedelta(minutes=16)) == 403


def test_wrong_passwords_are_counted_there_too(client: FlaskClient, agent: SignedIn) -> None:
    for _ in range(5):
        client.post(URL, json={"password": "something else"}, headers=agent.headers)
    locked = start(client, agent)
    assert locked.status_code == 429
    assert int(locked.headers["Retry-After"]) > 0


def test_it_is_in_force_from_the_first_right_code(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    start(client, agent)
    wrong = client.post(f"{URL}/confirmation", json={"code": "abcdef"}, headers=agent.headers)
    assert (wrong.status_code, wrong.json["code"]) == (422, "wrong_code")
    assert sign_in_with(client, email=EMAIL, password=PASSWORD).status_code == 201

    codes = turn_on(client, session, agent)
    assert len(set(codes)) == 10
    state = client.get(URL, headers=agent.headers).json
    assert state["is_on"]
    assert state["recovery_codes_left"] == 10
    answer = sign_in_with(client, email=EMAIL, password=PASSWORD)
    assert (answer.status_code, answer.json["code"]) == (401, "second_factor_needed")


def test_turning_it_on_ends_the_other_sessions(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    other = {"Authorization": f"Bearer {sign_in(session, agent.person)}"}
    assert client.get("/api/v1/sessions", headers=other).status_code == 200
    turn_on(client, session, agent)
    assert client.get("/api/v1/sessions", headers=other).status_code == 401
    assert client.get("/api/v1/sessions", headers=agent.headers).json["items"][0][
        "has_second_factor"
    ]


def test_neither_secret_nor_codes_are_stored(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    codes = turn_on(client, session, agent)
    row = session.execute(sa.text("SELECT second_factors::text FROM second_factors")).scalar_one()
    assert not any(code in row or code.replace("-", "") in row for code in codes)


def test_a_code_of_the_app_is_taken_once(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    turn_on(client, session, agent)
    code = code_now(session, agent.person)
    first = sign_in_with(client, email=EMAIL, password=PASSWORD, otp=f"{code[:3]} {code[3:]}")
    assert first.status_code == 201
    again = sign_in_with(client, email=EMAIL, password=PASSWORD, otp=code)
    assert (again.status_code, again.json["code"]) == (401, "sign_in_failed")


def test_a_recovery_code_is_taken_once(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    code = turn_on(client, session, agent)[7]
    assert sign_in_with(client, email=EMAIL, password=PASSWORD, otp=code.upper()).status_code == 201
    assert sign_in_with(client, email=EMAIL, password=PASSWORD, otp=code).status_code == 401
    left = client.get(URL, headers=agent.headers).json["recovery_codes_left"]
    assert left == 9


def test_new_recovery_codes_end_the_old_ones_and_keep_the_app(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    old = turn_on(client, session, agent)
    answer = client.post(
        f"{URL}/recovery-codes", json={"password": PASSWORD}, headers=agent.headers
    )
    new = answer.json["recovery_codes"]
    assert not set(old) & set(new)
    assert not second_factor.check(session, SECRET_KEY, agent.id, old[0], utc_now())
    assert second_factor.check(session, SECRET_KEY, agent.id, new[0], utc_now())
    assert second_factor.check(
        session, SECRET_KEY, agent.id, code_now(session, agent.person), utc_now()
    )


def test_wrong_codes_lock_for_longer_each_time_and_do_not_use_up_the_link(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    turn_on(client, session, agent)
    client.post("/api/v1/sessions/link", json={"email": EMAIL})
    asked = session.scalars(sa.select(SignInChallenge)).one()
    link = {"challenge": str(asked.id), "token": challenges.link_token(SECRET_KEY, asked.id)}
    assert sign_in_with(client, **link).json["code"] == "second_factor_needed"
    for _ in range(5):
        answer = sign_in_with(client, **link, otp="000000")
        assert (answer.status_code, answer.json["code"]) == (401, "proof_failed")
    locked = sign_in_with(client, **link, otp=code_now(session, agent.person))
    assert (locked.status_code, locked.json["code"]) == (429, "locked")
    # Whoever also knows the password meets the same lock.
    locked = sign_in_with(client, email=EMAIL, password=PASSWORD, otp="000000")
    assert locked.status_code == 429
    session.execute(sa.text("DELETE FROM sign_in_failures"))
    assert sign_in_with(client, **link, otp=code_now(session, agent.person)).status_code == 201


def test_a_one_time_password_without_a_second_factor_is_refused(
    client: FlaskClient, agent: SignedIn
) -> None:
    answer = sign_in_with(client, email=EMAIL, password=PASSWORD, otp="123456")
    assert (answer.status_code, answer.json["code"]) == (422, "second_factor_off")
    # Only those who know the password are told.
    answer = sign_in_with(client, email=EMAIL, password="wrong", otp="123456")
    assert answer.json["code"] == "sign_in_failed"


def test_turning_it_off_takes_a_proof(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    turn_on(client, session, agent)
    for proof, code in (
        ({}, "invalid"),
        ({"password": "wrong"}, "wrong_password"),
        ({"code": "000000"}, "wrong_code"),
    ):
        answer = client.delete(URL, json=proof, headers=agent.headers)
        assert (answer.status_code, answer.json["code"]) == (422, code)
    answer = client.delete(URL, json={"password": PASSWORD}, headers=agent.headers)
    assert answer.status_code == 204
    assert sign_in_with(client, email=EMAIL, password=PASSWORD).status_code == 201
    changes = session.scalars(
        sa.select(AuditEntry.data["change"].astext).where(
            AuditEntry.action == "second_factor.changed"
        )
    ).all()
    assert changes == ["on", "off"]


def test_the_next_secret_is_another_one(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    first = second_factor.start(session, SECRET_KEY, agent.id, NOW)
    code = code_now(session, agent.person, now=NOW)
    assert second_factor.confirm(session, SECRET_KEY, agent.id, code, NOW) is not None
    second_factor.turn_off(session, agent.id)
    assert second_factor.start(session, SECRET_KEY, agent.id, NOW) != first
    assert second_factor.confirm(session, SECRET_KEY, agent.id, code, NOW) is None


def test_a_setup_ends_when_nobody_confirms_it(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    second_factor.start(session, SECRET_KEY, agent.id, utc_now() - SECOND_FACTOR_SETUP)
    code = code_now(session, agent.person)
    answer = client.post(f"{URL}/confirmation", json={"code": code}, headers=agent.headers)
    assert (answer.status_code, answer.json["code"]) == (422, "second_factor_off")


def test_where_a_city_demands_it_roles_wait_for_it(client: FlaskClient, session: Session) -> None:
    strict = new_jurisdiction(session, policy={"sign_in": {"second_factor": "staff"}})
    agent = new_staff(session, strict)
    grant(session, agent.person, Role.VIEWER, new_jurisdiction(session))
    actor = actors.find(session, agent.token, now=utc_now())
    assert actor is not None
    assert actor.is_second_factor_needed
    assert not actor.may(Permission.READ_REPORTS, strict.id, None)
    assert actor.holds(Permission.READ_REPORTS)  # in the other city
    assert client.get(URL, headers=agent.headers).json["is_needed"]

    # Signed in by link a moment ago, as people without a password are.
    assert client.post(URL, headers=agent.headers).status_code == 201
    code = code_now(session, agent.person, steps=0)
    client.post(f"{URL}/confirmation", json={"code": code}, headers=agent.headers)
    actor = actors.find(session, agent.token, now=utc_now())
    assert actor is not None
    assert actor.may(Permission.READ_REPORTS, strict.id, None)
    assert not actor.is_second_factor_needed

    second_factor.turn_off(session, agent.id)
    actor = actors.find(session, agent.token, now=utc_now())
    assert actor is not None
    assert actor.is_second_factor_needed


def test_the_refusal_says_that_the_second_factor_is_missing(
    client: FlaskClient, session: Session
) -> None:
    strict = new_jurisdiction(session, policy={"sign_in": {"second_factor": "staff"}})
    agent = new_staff(session, strict)
    answer = client.get("/api/v1/queues", headers=agent.headers)
    assert (answer.status_code, answer.json["code"]) == (403, "second_factor_needed")
    # A key would be a way round.
    answer = client.post("/api/v1/keys", json={"name": "x"}, headers=agent.headers)
    assert (answer.status_code, answer.json["code"]) == (403, "second_factor_needed")


def test_two_sessions_cannot_spend_one_code(session: Session, agent: SignedIn) -> None:
    second_factor.start(session, SECRET_KEY, agent.id, NOW)
    code = code_now(session, agent.person, now=NOW)
    assert second_factor.confirm(session, SECRET_KEY, agent.id, code, NOW) is not None
    assert not second_factor.check(session, SECRET_KEY, agent.id, code, NOW)
    # Nor is one that is older than the last one taken.
    older = code_now(session, agent.person, steps=-1, now=NOW)
    assert not second_factor.check(session, SECRET_KEY, agent.id, older, NOW)
    newer = code_now(session, agent.person, steps=2, now=NOW)
    assert second_factor.check(session, SECRET_KEY, agent.id, newer, NOW + timedelta(seconds=30))


def test_a_session_remembers_how_it_was_opened(
    client: FlaskClient, session: Session, agent: SignedIn
) -> None:
    turn_on(client, session, agent)
    sign_in(session, agent.person, has_second_factor=True)
    answer = sign_in_with(
        client, email=EMAIL, password=PASSWORD, otp=code_now(session, agent.person)
    )
    assert answer.status_code == 201
    rows = session.scalars(sa.select(SignInSession).where(SignInSession.revoked_at.is_(None))).all()
    assert {(row.way, row.has_second_factor) for row in rows} == {
        ("link", True),
        ("password", True),
    }
