"""Who is asking: found from a token, with one statement."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import actors, keys
from accounts.models import ApiKey, SignInSession
from accounts.rules import Permission, Role
from core.clock import utc_now
from tests.factories import (
    SignedIn,
    grant,
    new_citizen,
    new_jurisdiction,
    new_person,
    new_staff,
    new_team,
    sign_in,
)
from tests.statements import count_statements


@pytest.fixture
def agent(session: Session) -> SignedIn:
    city = new_jurisdiction(session)
    agent = new_staff(session, city, Role.AGENT, team=new_team(session, city))
    grant(session, agent.person, Role.VIEWER, city)
    grant(session, agent.person, Role.ADMIN, new_jurisdiction(session))
    return agent


def test_a_session_is_found_with_all_its_roles_by_one_statement(
    session: Session, agent: SignedIn
) -> None:
    with count_statements() as statements:
        actor = actors.find(session, agent.token, now=utc_now())
    assert len(statements) == 1
    assert actor is not None
    assert actor.person_id == agent.id
    assert [grant.role for grant in actor.grants] == [Role.AGENT, Role.VIEWER, Role.ADMIN]


def test_a_key_acts_as_its_person_and_is_found_by_one_statement(
    session: Session, agent: SignedIn
) -> None:
    key = keys.create_key(session, agent.person.email or "", "import", now=utc_now())
    with count_statements() as statements:
        actor = actors.find(session, key, now=utc_now())
    assert len(statements) == 1
    assert actor is not None
    assert actor.person_id == agent.id
    assert actor.session_id is None
    assert len(actor.grants) == 3


def test_a_permission_holds_where_its_role_was_given(session: Session, agent: SignedIn) -> None:
    actor = actors.find(session, agent.token, now=utc_now())
    assert actor is not None
    by_team, by_city, elsewhere = actor.grants
    work = actor.scope(Permission.WORK_REPORTS)
    assert work.jurisdiction_ids == {elsewhere.jurisdiction_id}
    assert work.team_ids == {by_team.team_id}
    assert actor.may(Permission.WORK_REPORTS, by_city.jurisdiction_id, by_team.team_id)
    assert not actor.may(Permission.WORK_REPORTS, by_city.jurisdiction_id, None)
    assert not actor.may(Permission.WORK_REPORTS, by_city.jurisdiction_id, -1)
    assert actor.may(Permission.READ_REPORTS, by_city.jurisdiction_id, None)
    assert actor.may(Permission.MANAGE_PEOPLE, elsewhere.jurisdiction_id, None)
    assert not actor.may(Permission.MANAGE_PEOPLE, by_city.jurisdiction_id, None)


def test_a_downgraded_agent_is_one_at_once(session: Session, agent: SignedIn) -> None:
    session.execute(sa.text("DELETE FROM role_grants"))
    actor = actors.find(session, agent.token, now=utc_now())
    assert actor is not None
    assert not actor.is_staff


@pytest.mark.parametrize(
    "token",
    ["", "x", "rvs_", "rvk_", "rvs_" + "A" * 43, "rvk_" + "A" * 43, "rvs_\ud800", "rvs_\0", "é"],
)
def test_a_token_that_was_never_given_out_is_nobodys(session: Session, token: str) -> None:
    assert actors.find(session, token, now=utc_now()) is None


def test_a_token_of_another_kind_costs_no_statement(session: Session) -> None:
    with count_statements() as statements:
        assert actors.find(session, "eyJhbGciOiJub25lIn0.e30.", now=utc_now()) is None
    assert statements == []


@pytest.mark.parametrize("model", [SignInSession, ApiKey])
@pytest.mark.parametrize("change", ["revoked", "expired", "inactive"])
def test_what_was_revoked_or_expired_or_whose_person_left_opens_nothing(
    session: Session, agent: SignedIn, model: type[SignInSession | ApiKey], change: str
) -> None:
    now = utc_now()
    key = keys.create_key(session, agent.person.email or "", "import", now=now)
    token = agent.token if model is SignInSession else key
    assert actors.find(session, token, now=now) is not None
    row: Any = session.scalars(sa.select(model)).one()
    if change == "revoked":
        row.revoked_at = now
    elif change == "expired":
        row.expires_at = now
    else:
        agent.person.is_active = False
    session.flush()
    assert actors.find(session, token, now=now) is None


# -- over the API ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "rvs_abc", "Bearer rvs_abc", "bearer x y"]
)
def test_a_header_that_names_nobody_is_refused(
    client: FlaskClient, session: Session, header: str
) -> None:
    answer = client.get("/api/v1/me", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json["code"] == "not_signed_in"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def last_use(session: Session) -> datetime | None:
    return session.scalars(sa.select(ApiKey.last_used_at)).one()


def test_the_use_of_a_key_is_known_to_the_minute(client: FlaskClient, session: Session) -> None:
    person = new_person(session)
    key = keys.create_key(session, person.email or "", "import", now=utc_now())
    headers = {"Authorization": f"Bearer {key}"}
    assert last_use(session) is None

    assert client.get("/api/v1/me", headers=headers).json["known_by"] == "api_key"
    first = last_use(session)
    assert first is not None
    with count_statements() as statements:
        client.get("/api/v1/me", headers=headers)
    assert last_use(session) == first
    assert not any("UPDATE" in statement for statement in statements)

    session.execute(sa.update(ApiKey).values(last_used_at=first - timedelta(minutes=2)))
    client.get("/api/v1/me", headers=headers)
    latest = last_use(session)
    assert latest is not None
    assert latest >= first


def test_a_key_that_cannot_be_noted_still_reads(
    client: FlaskClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = new_person(session)
    key = keys.create_key(session, person.email or "", "import", now=utc_now())

    def away(*_args: object, **_kwargs: object) -> None:
        raise sa.exc.OperationalError("UPDATE", {}, Exception("the disk is full"))

    monkeypatch.setattr(keys, "record_use", away)
    assert client.get("/api/v1/me", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_a_key_has_no_session_to_end(client: FlaskClient, session: Session) -> None:
    person = new_person(session)
    key = keys.create_key(session, person.email or "", "import", now=utc_now())
    answer = client.delete("/api/v1/sessions/current", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 409
    assert answer.json["code"] == "not_a_session"


def test_somebody_deactivated_is_out_at_the_next_call(
    client: FlaskClient, session: Session
) -> None:
    one = new_citizen(session)
    assert client.get("/api/v1/me", headers=one.headers).status_code == 200
    one.person.is_active = False
    session.flush()
    assert client.get("/api/v1/me", headers=one.headers).status_code == 401


@pytest.mark.parametrize(
    ("is_browser", "is_staff", "minutes", "is_known"),
    [
        (True, True, 29, True),
        (True, True, 36, False),
        (True, False, 36, True),
        (False, True, 36, True),
    ],
)
def test_staff_who_left_a_browser_alone_sign_in_again(
    session: Session, is_browser: bool, is_staff: bool, minutes: int, is_known: bool
) -> None:
    city, person = new_jurisdiction(session), new_person(session)
    if is_staff:
        grant(session, person, Role.AGENT, city)
    seen_at = utc_now()
    token = sign_in(session, person, is_browser=is_browser, last_seen_at=seen_at)
    found = actors.find(session, token, now=seen_at + timedelta(minutes=minutes))
    assert (found is not None) == is_known
