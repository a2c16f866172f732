"""`flask accounts …`, as an operator uses it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import second_factor
from accounts.models import (
    ApiKey,
    AuditEntry,
    Invitation,
    Person,
    RoleGrant,
    SecondFactor,
    SignInSession,
)
from accounts.rules import Role
from core.clock import utc_now
from core.db import db
from tests.factories import new_citizen, new_jurisdiction, new_person, new_staff, new_team

#: Runs `flask accounts …` with those arguments.
Run = Callable[..., Result]

PASSWORD = "correct horse battery staple"


@pytest.fixture
def run(app: Flask, session: Session) -> Run:
    def run_it(*arguments: str, stdin: str | None = None) -> Result:
        session.commit()
        result = app.test_cli_runner().invoke(args=["accounts", *arguments], input=stdin)
        session.expire_all()
        return result

    return run_it


def create(run: Run, *arguments: str, password: str | None = PASSWORD) -> Result:
    if password is None:
        return run("create", *arguments)
    return run("create", *arguments, "--password-stdin", stdin=f"{password}\n")


def refused(result: Result) -> str:
    """What it said; it must be one sentence and exit code 2."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_created_person_signs_in(run: Run, client: FlaskClient, session: Session) -> None:
    new_jurisdiction(session, code="montpellier")
    result = create(run, "--email", "Admin@Ville.Example", "--role", "admin")
    assert result.exit_code == 0, result.output
    assert result.stdout == "admin@ville.example created: admin in montpellier.\n"
    answer = client.post(
        "/api/v1/sessions", json={"email": "admin@ville.example", "password": PASSWORD}
    )
    assert answer.status_code == 201
    person = session.scalars(sa.select(Person)).one()
    assert person.verified_at is not None


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_line_end_is_no_part_of_the_password(
    run: Run, client: FlaskClient, session: Session, ending: str
) -> None:
    new_jurisdiction(session)
    run(
        *("create", "--email", "a@ville.example", "--role", "viewer", "--password-stdin"),
        stdin=PASSWORD + ending,
    )
    sent = {"email": "a@ville.example", "password": PASSWORD}
    assert client.post("/api/v1/sessions", json=sent).status_code == 201


def test_running_it_again_adds_a_role_and_changes_nothing_else(run: Run, session: Session) -> None:
    city = new_jurisdiction(session, code="montpellier")
    team = new_team(session, city, code="voirie")
    arguments = ("--email", "a@ville.example", "--role")
    create(run, *arguments, "agent", "--team", "voirie")
    hash_ = session.scalars(sa.select(Person.password_hash)).one()
    result = create(run, *arguments, "manager")
    assert result.stdout == "a@ville.example updated: manager in montpellier.\n"
    create(run, *arguments, "manager")
    assert session.execute(
        sa.select(RoleGrant.role, RoleGrant.team_id).order_by(RoleGrant.id)
    ).all() == [("agent", team.id), ("manager", None)]
    assert session.scalars(sa.select(Person.password_hash)).one() == hash_


def test_another_password_replaces_the_first_and_ends_the_sessions(
    run: Run, client: FlaskClient, session: Session
) -> None:
    new_jurisdiction(session)
    one = new_citizen(session, email="a@ville.example")
    arguments = ("--email", "a@ville.example", "--role", "viewer")
    create(run, *arguments)
    assert session.scalars(sa.select(SignInSession.revoked_at)).one() is not None
    assert client.get("/api/v1/me", headers=one.headers).status_code == 401


def test_without_a_password_the_person_has_none(run: Run, session: Session) -> None:
    new_jurisdiction(session)
    create(run, "--email", "a@ville.example", "--role", "viewer", password=None)
    assert session.scalars(sa.select(Person.password_hash)).one() is None


def test_a_citizen_needs_no_jurisdiction(run: Run, session: Session) -> None:
    result = create(run, "--email", "marie@exemple.fr", "--role", "citizen")
    assert result.stdout == "marie@exemple.fr created: citizen.\n"
    assert session.scalars(sa.select(RoleGrant)).all() == []


def test_with_several_jurisdictions_one_must_be_named(run: Run, session: Session) -> None:
    new_jurisdiction(session, code="montpellier")
    boston = new_jurisdiction(session, code="boston")
    arguments = ("--email", "a@ville.example", "--role", "admin")
    assert refused(create(run, *arguments)) == (
        "Error: Say which jurisdiction with --jurisdiction; there are: boston, montpellier."
    )
    assert session.scalars(sa.select(Person)).all() == []
    assert create(run, *arguments, "--jurisdiction", "boston").exit_code == 0
    assert session.scalars(sa.select(RoleGrant.jurisdiction_id)).one() == boston.id


@pytest.mark.parametrize(
    ("arguments", "password", "message"),
    [
        (("--role", "admin", "--jurisdiction", "x"), PASSWORD, "There is no jurisdiction x"),
        (("--role", "agent", "--team", "x"), PASSWORD, "There is no team x; there are: voirie."),
        (("--role", "citizen", "--team", "voirie"), PASSWORD, "A citizen belongs to no team"),
        (("--role", "agent"), "too short", "at least 12 characters"),
        (("--role", "agent"), "a" * 20, "repeats a few characters"),
        (("--role", "agent"), "a@ville.example", "must not be the e-mail address"),
        (("--role", "agent"), "", "There is no password on standard input."),
        (("--role", "agent", "--email", "nobody"), PASSWORD, "'nobody' is not an e-mail address"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_leaves_nothing(
    run: Run, session: Session, arguments: tuple[str, ...], password: str, message: str
) -> None:
    new_team(session, new_jurisdiction(session, code="montpellier"), code="voirie")
    result = create(run, "--email", "a@ville.example", *arguments, password=password)
    assert message in refused(result)
    assert session.scalars(sa.select(Person)).all() == []


def test_before_a_city_is_loaded_it_says_what_comes_first(run: Run, session: Session) -> None:
    result = create(run, "--email", "a@ville.example", "--role", "admin")
    assert "`flask jurisdictions load FOLDER` comes first" in refused(result)


def test_a_key_stands_alone_on_the_last_line_and_works(
    run: Run, client: FlaskClient, session: Session
) -> None:
    new_person(session, email="a@ville.example")
    result = run("api-key", "--email", "a@ville.example", "--name", "work orders")
    key = result.stdout.splitlines()[-1]
    assert key.startswith("rvk_")
    assert result.stdout.count(key) == 1
    answer = client.get("/api/v1/me", headers={"Authorization": f"Bearer {key}"})
    assert answer.json["known_by"] == "api_key"
    row = session.scalars(sa.select(ApiKey)).one()
    assert row.name == "work orders"
    assert key.encode() not in row.key_hash


def test_a_key_needs_a_person_at_work_and_a_name(run: Run, session: Session) -> None:
    new_person(session, email="gone@ville.example", is_active=False)
    nobody = run("api-key", "--email", "x@ville.example", "--name", "n")
    assert "Nobody has the e-mail address x@ville.example." in refused(nobody)
    gone = run("api-key", "--email", "gone@ville.example", "--name", "n")
    assert "gone@ville.example is deactivated." in refused(gone)
    assert "needs a name" in refused(run("api-key", "--email", "x@ville.example", "--name", " "))


def test_a_deactivated_person_is_out_until_created_again(
    run: Run, client: FlaskClient, session: Session
) -> None:
    new_jurisdiction(session)
    create(run, "--email", "a@ville.example", "--role", "agent")
    key = run("api-key", "--email", "a@ville.example", "--name", "n").stdout.splitlines()[-1]
    sent = {"email": "a@ville.example", "password": PASSWORD}
    token = client.post("/api/v1/sessions", json=sent).json["token"]

    assert run("deactivate", "--email", "a@ville.example").exit_code == 0
    assert client.post("/api/v1/sessions", json=sent).status_code == 401
    for secret in (token, key):
        headers = {"Authorization": f"Bearer {secret}"}
        assert client.get("/api/v1/me", headers=headers).status_code == 401

    create(run, "--email", "a@ville.example", "--role", "agent")
    assert client.post("/api/v1/sessions", json=sent).status_code == 201
    for secret in (token, key):
        headers = {"Authorization": f"Bearer {secret}"}
        assert client.get("/api/v1/me", headers=headers).status_code == 401


def test_what_a_deactivated_person_offered_counts_no_more(run: Run, session: Session) -> None:
    city = new_jurisdiction(session)
    admin = new_staff(session, city, Role.ADMIN)
    now = utc_now()
    offer = Invitation(
        email="b@ville.example",
        role="agent",
        jurisdiction_id=city.id,
        invited_by=admin.person.id,
        created_at=now,
        expires_at=now + timedelta(days=7),
    )
    session.add(offer)
    session.flush()
    assert run("deactivate", "--email", admin.person.email or "").exit_code == 0
    assert session.get_one(Invitation, offer.id).revoked_at is not None


def test_the_list_shows_who_may_do_what_where(run: Run, session: Session) -> None:
    city = new_jurisdiction(session, code="montpellier")
    new_team(session, city, code="voirie")
    new_person(session, email="marie@exemple.fr")
    for role, *more in (("agent", "--team", "voirie"), ("viewer",)):
        create(run, "--email", "b@ville.example", "--role", role, *more, password=None)
    create(run, "--email", "a@ville.example", "--role", "admin", password=None)
    run("api-key", "--email", "a@ville.example", "--name", "n")
    run("deactivate", "--email", "b@ville.example")
    assert run("list").stdout.splitlines() == [
        "a@ville.example: admin in montpellier; 1 key",
        "b@ville.example: agent in montpellier, team voirie; viewer in montpellier; deactivated",
    ]


def test_a_key_has_scopes_and_an_end_and_is_revoked(
    run: Run, client: FlaskClient, session: Session
) -> None:
    new_jurisdiction(session)
    create(run, "--email", "a@ville.example", "--role", "agent", password=None)
    made = run(
        *("api-key", "--email", "a@ville.example", "--name", "GMAO", "--expires-days", "30"),
        *("--scope", "reports.read", "--scope", "reports.work"),
    )
    key = made.stdout.splitlines()[-1]
    row = session.scalars(sa.select(ApiKey)).one()
    assert row.scopes == ["reports.read", "reports.work"]
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at).days == 30
    (line,) = run("keys").stdout.splitlines()
    assert line.startswith(f"{row.id} a@ville.example: GMAO (reports.read, reports.work; ends 20")
    assert key not in line
    headers = {"Authorization": f"Bearer {key}"}
    assert client.get("/api/v1/queues", headers=headers).status_code == 200
    assert run("revoke-key", str(row.id)).exit_code == 0
    assert client.get("/api/v1/queues", headers=headers).status_code == 401
    assert "no valid key" in refused(run("revoke-key", str(row.id)))
    assert run("keys").stdout == ""


def test_a_lost_second_factor_is_taken_off(run: Run, session: Session) -> None:
    person = new_person(session, email="a@ville.example")
    session.add(SecondFactor(person_id=person.id, started_at=utc_now(), confirmed_at=utc_now()))
    said = run("reset-second-factor", "--email", "A@ville.example").stdout
    assert said == ("a@ville.example has no second factor any more; their sessions are ended.\n")
    assert not second_factor.is_on(session, person.id)
    assert (
        "had no second factor" in run("reset-second-factor", "--email", person.email or "").stdout
    )
    assert "Nobody has" in refused(run("reset-second-factor", "--email", "b@ville.example"))


def test_what_the_operator_does_stands_in_the_audit_log(run: Run, session: Session) -> None:
    new_jurisdiction(session)
    create(run, "--email", "a@ville.example", "--role", "agent", password=None)
    run("api-key", "--email", "a@ville.example", "--name", "n")
    run("deactivate", "--email", "a@ville.example")
    entries = session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.actor_kind, entry.action) for entry in entries] == [
        ("operator", "person.changed"),
        ("operator", "key.changed"),
        ("operator", "person.changed"),
    ]


def test_a_database_that_is_away_is_said_in_a_sentence(
    new_app: Callable[..., Flask],
) -> None:
    away = new_app(database_url="postgresql+psycopg://x:y@127.0.0.1:1/none")
    result = away.test_cli_runner().invoke(args=["accounts", "list"])
    assert "The database does not answer" in refused(result)
    with away.app_context():
        db.session.remove()
