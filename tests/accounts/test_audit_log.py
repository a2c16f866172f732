"""Reading the audit log: by auditors over the API, by the operator at the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import audit
from accounts.audit import OPERATOR, Action, Subject
from accounts.audit import chain as audit_chain
from accounts.models import AuditEntry
from accounts.rules import Role
from core.clock import utc_now
from core.db import db, transaction
from core.ids import new_id
from tests.factories import (
    WEDNESDAY,
    new_citizen,
    new_jurisdiction,
    new_staff,
    new_team,
    stored,
)

AUDIT = "/api/v1/audit"


def enter(session: Session, city_id: int | None, subject_id: Any = 1, **given: Any) -> None:
    audit.record(
        session,
        given.pop("by", OPERATOR),
        given.pop("action", Action.CONTACT_READ),
        Subject("report", subject_id, city_id),
        now=given.pop("now", WEDNESDAY),
        data={"what": "get_report"},
    )


def shown(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.json
    return [item["subject"]["id"] for item in answer.json["items"] if item["subject"]]


# -- over the API ---------------------------------------------------------------------------------


def test_an_auditor_reads_their_own_city_newest_first_and_is_entered(
    client: FlaskClient, session: Session
) -> None:
    here, there = new_jurisdiction(session), new_jurisdiction(session)
    enter(session, here.id, "a")
    enter(session, there.id, "foreign")
    enter(session, None, "nowhere")
    enter(session, here.id, "b")
    auditor = new_staff(session, here, Role.AUDITOR)
    answer = client.get(AUDIT, headers=auditor.headers)
    assert shown(answer) == ["b", "a"]
    assert answer.headers["Cache-Control"] == "no-store"
    item = answer.json["items"][0]
    assert item["actor"] == {"kind": "operator", "id": None, "name": None, "api_key_id": None}
    assert item["jurisdiction"] == here.code
    assert item["is_sealed"] is False
    own = stored(session, AuditEntry, action="audit.read")
    assert [(entry.actor_id, entry.jurisdiction_id, entry.data) for entry in own] == [
        (auditor.id, here.id, {"entries": 2})
    ]


def test_the_log_is_paged_without_gap_or_repetition(client: FlaskClient, session: Session) -> None:
    city = new_jurisdiction(session)
    for number in range(5):
        enter(session, city.id, number)
    auditor = new_staff(session, city, Role.AUDITOR)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        # Each read enters itself, at the end that paging has left behind.
        query = {"limit": 2, "action": "contact.read"} | ({"cursor": cursor} if cursor else {})
        answer = client.get(AUDIT, query_string=query, headers=auditor.headers)
        seen += shown(answer)
        cursor = answer.json["next"]
    assert seen == ["4", "3", "2", "1", "0"]


def test_the_log_is_asked_for_somebody_something_and_a_time(
    client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session)
    auditor = new_staff(session, city, Role.AUDITOR)
    report_id = new_id()
    enter(session, city.id, report_id)
    enter(session, city.id, 2, action=Action.REPORT_CHANGED)
    enter(session, city.id, 3, now=utc_now())
    for query, expected in (
        ({"subject": f"report:{report_id}"}, [str(report_id)]),
        ({"action": "report.changed"}, ["2"]),
        ({"since": "2026-04-01T00:00:00Z", "action": "contact.read"}, ["3"]),
        ({"actor": str(new_id())}, []),
        ({"jurisdiction": city.code, "action": "report.changed"}, ["2"]),
    ):
        assert shown(client.get(AUDIT, query_string=query, headers=auditor.headers)) == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"subject": "report"}, "subject"),
        ({"actor": "me"}, "actor"),
        ({"action": "x"}, "action"),
        ({"since": "yesterday"}, "since"),
        ({"cursor": "WyJ4Il0"}, "cursor"),
        ({"cursor": "WzBd"}, "cursor"),
        ({"limit": "0"}, "limit"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    client: FlaskClient, session: Session, query: dict[str, str], field: str
) -> None:
    auditor = new_staff(session, new_jurisdiction(session), Role.AUDITOR)
    answer = client.get(AUDIT, query_string=query, headers=auditor.headers)
    assert answer.status_code == 422
    assert field in answer.json["errors"]


def test_the_log_of_another_city_looks_missing(client: FlaskClient, session: Session) -> None:
    here, there = new_jurisdiction(session), new_jurisdiction(session)
    auditor = new_staff(session, here, Role.AUDITOR)
    for code in (there.code, "no-such-city"):
        answer = client.get(AUDIT, query_string={"jurisdiction": code}, headers=auditor.headers)
        assert answer.status_code == 404
        assert answer.json["code"] == "not_found"
    of_a_team = new_staff(session, here, Role.AUDITOR, team=new_team(session, here))
    assert client.get(AUDIT, headers=of_a_team.headers).status_code == 404
    assert stored(session, AuditEntry) == []


def test_an_admin_is_no_auditor(client: FlaskClient, session: Session) -> None:
    city = new_jurisdiction(session)
    for role in set(Role) - {Role.AUDITOR, Role.CITIZEN}:
        answer = client.get(AUDIT, headers=new_staff(session, city, role).headers)
        assert answer.status_code == 403, role
    assert client.get(AUDIT, headers=new_citizen(session).headers).status_code == 403
    assert client.get(AUDIT).status_code == 401


# -- at the command line --------------------------------------------------------------------------


@pytest.fixture
def log(committed_db: Flask) -> Iterator[Flask]:
    """Two sealed entries and one that waits."""
    with committed_db.app_context(), transaction() as session:
        city = new_jurisdiction(session, code="ici")
        agent = new_staff(session, city, email="agent@ville.example")
        enter(session, city.id, "a")
        audit.record(
            session,
            audit.SYSTEM,
            Action.RETENTION_RAN,
            Subject("jurisdiction", city.id, city.id),
            now=WEDNESDAY,
        )
        audit_chain.seal_next(session, secret=committed_db.config["SECRET_KEY"], now=WEDNESDAY)
        session.execute(
            sa.insert(AuditEntry).values(
                at=utc_now(),
                actor_kind="person",
                actor_id=agent.id,
                action="report.changed",
                subject_kind="report",
                subject_id="b",
                jurisdiction_id=city.id,
                data={"what": "move_report"},
            )
        )
    yield committed_db
    with committed_db.app_context():
        db.session.remove()


def run(app: Flask, *arguments: str) -> Any:
    return app.test_cli_runner().invoke(args=["audit", *arguments])


def test_verify_says_that_the_log_is_intact_and_its_head(log: Flask) -> None:
    result = run(log, "verify")
    assert result.exit_code == 0, result.output
    assert "Intact: 2 entries in 1 seals; not sealed yet: 1." in result.output
    head = result.output.rpartition("Head: ")[2].strip()
    assert len(head) == 64
    assert run(log, "verify", "--head", head).exit_code == 0
    assert run(log, "verify", "--head", "0" * 64).exit_code == 1


def test_verify_names_the_first_broken_seal_and_fails(log: Flask) -> None:
    with log.app_context(), db.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE audit_entries DISABLE TRIGGER USER"))
        connection.execute(sa.text("UPDATE audit_entries SET subject_id = 'z' WHERE id = 1"))
        connection.execute(sa.text("ALTER TABLE audit_entries ENABLE TRIGGER USER"))
    result = run(log, "verify")
    assert result.exit_code == 1
    assert "Seal 1 of 2026-03-11 09:00:00 UTC is broken" in result.output
    assert "(entries 1 to 2)" in result.output


def test_a_former_key_is_read_from_a_file(
    log: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "old"
    key.write_text(log.config["SECRET_KEY"] + "\n", encoding="utf-8")
    monkeypatch.setitem(log.config, "SECRET_KEY", "another")
    assert run(log, "verify").exit_code == 1
    assert run(log, "verify", "--former-key", str(key)).exit_code == 0


def test_seal_seals_what_waits(log: Flask) -> None:
    assert "Seal 2: 1 entries, head" in run(log, "seal").output
    assert "not sealed yet: 0." in run(log, "verify").output


def test_list_shows_who_did_what(log: Flask) -> None:
    lines = run(log, "list").output.splitlines()
    assert len(lines) == 3
    assert "agent@ville.example  report.changed  report:b" in lines[0]
    assert "system  retention.ran" in lines[1]
    assert "operator  contact.read  report:a" in lines[2]
    for arguments, count in (
        (["--actor", "Agent@ville.example"], 1),
        (["--subject", "report:a"], 1),
        (["--since", "2026-04-01"], 1),
        (["--since", "2026-03-11T09:00"], 3),
        (["--limit", "2"], 2),
    ):
        assert len(run(log, "list", *arguments).output.splitlines()) == count, arguments


@pytest.mark.parametrize("arguments", [["--actor", "x@y.example"], ["--subject", "report"]])
def test_list_refuses_what_it_does_not_understand(log: Flask, arguments: list[str]) -> None:
    assert run(log, "list", *arguments).exit_code == 2
