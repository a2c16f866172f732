"""What staff see of people and do to reports is entered in the audit log, or does not happen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import audit
from accounts.audit import Action, Subject
from accounts.models import AuditEntry, RoleGrant
from accounts.rules import Role
from core.clock import utc_now
from core.db import db
from geo.models import Jurisdiction
from reports.models import HistoryEntry, ServiceRequest
from reports.vocabulary import Status
from tests.factories import (
    COMEDIE,
    SignedIn,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def report(session: Session, city: Jurisdiction) -> ServiceRequest:
    """With a reporter who left an address."""
    made = new_report(session, new_service(session, city), status=Status.TRIAGED)
    new_follower(session, made, is_reporter=True, phone="+33600000000")
    return made


def entries(session: Session, **where: Any) -> list[AuditEntry]:
    return list(stored(session, AuditEntry, **where))


def read(client: FlaskClient, report: ServiceRequest, who: Mapping[str, str]) -> Any:
    return client.get(f"/api/v1/reports/{report.id}", headers=dict(who))


def move(client: FlaskClient, report_id: UUID, who: SignedIn, **headers: str) -> Any:
    return client.post(
        f"/api/v1/reports/{report_id}/status",
        json={"status": "in_progress", "note": "Équipe 3"},
        headers={**who.headers, **headers},
    )


# -- reading --------------------------------------------------------------------------------------


def test_a_read_of_contact_data_is_entered(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    assert read(client, report, agent.headers).json["contact"]["phone"] == "+33600000000"
    (entry,) = entries(session)
    assert (entry.action, entry.actor_kind, entry.actor_id) == ("contact.read", "person", agent.id)
    assert (entry.subject_kind, entry.subject_id) == ("report", str(report.id))
    assert entry.jurisdiction_id == city.id
    assert entry.data == {"what": "get_report"}


def test_a_key_is_named_with_its_person(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    key = new_key(session, agent)
    assert read(client, report, key).json["contact"]
    (entry,) = entries(session, action="contact.read")
    assert (entry.actor_kind, entry.actor_id) == ("key", agent.id)
    assert entry.api_key_id is not None


def new_key(session: Session, somebody: SignedIn) -> dict[str, str]:
    from accounts import keys

    key = keys.create_key(session, somebody.person.email or "", "program", now=utc_now())
    return {"Authorization": f"Bearer {key}"}


def test_who_sees_no_contact_data_leaves_no_entry(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    viewer = new_staff(session, city, Role.VIEWER)
    citizen = new_citizen(session)
    assert read(client, report, viewer.headers).json["contact"] is None
    assert "contact" not in read(client, report, citizen.headers).json
    assert "contact" not in read(client, report, {}).json
    assert client.get("/api/v1/reports", headers=viewer.headers).json["items"]
    assert entries(session) == []


def test_no_list_shows_contact_data(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    """A list has no entry for each of its reports, so it must have nothing to enter."""
    admin = new_staff(session, city, Role.ADMIN)
    (follower,) = [one for one in report_followers(session, report) if one.is_reporter]
    for path in ("/api/v1/reports", f"/api/v1/reports/{report.id}/history", "/api/v1/queues"):
        text = client.get(path, headers=admin.headers).get_data(as_text=True)
        for secret in (follower.email, follower.phone, follower.name):
            assert secret not in text, path


def report_followers(session: Session, report: ServiceRequest) -> Any:
    from reports.models import Follower

    return stored(session, Follower, report_id=report.id)


def test_without_an_entry_there_is_no_contact_data(
    client: FlaskClient,
    session: Session,
    city: Jurisdiction,
    report: ServiceRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*_args: object, **_kwargs: object) -> None:
        raise sa.exc.OperationalError("INSERT", {}, Exception("the disk is full"))

    agent = new_staff(session, city)
    monkeypatch.setattr(audit, "record", away)
    answer = read(client, report, agent.headers)
    assert answer.status_code == 503
    assert "+33600000000" not in answer.get_data(as_text=True)


def test_readers_do_not_wait_for_one_another(committed_db: Flask) -> None:
    """Twenty enter their reads side by side, none of them committed yet; none waits a moment."""
    with committed_db.app_context():
        engine = sa.create_engine(db.engine.url, poolclass=sa.NullPool)
        connections = [engine.connect() for _ in range(20)]
        try:
            for number, connection in enumerate(connections):
                connection.execute(sa.text("SET LOCAL lock_timeout = '200ms'"))
                audit.record(
                    connection,
                    audit.SYSTEM,
                    Action.CONTACT_READ,
                    Subject("report", number),
                    now=utc_now(),
                )
            for connection in connections:
                connection.commit()
        finally:
            for connection in connections:
                connection.close()
        with engine.connect() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(AuditEntry)) == 20


# -- changing -------------------------------------------------------------------------------------


def test_a_change_is_entered_with_what_it_appended_to_the_history(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    answer = move(client, report.id, agent)
    assert answer.status_code == 200, answer.json
    (entry,) = entries(session)
    appended = session.scalars(
        sa.select(HistoryEntry.id).where(HistoryEntry.actor_id == agent.id)
    ).all()
    assert entry.action == "report.changed"
    assert entry.actor_id == agent.id
    assert entry.data == {
        "what": "move_report",
        "version": 2,
        "history": list(appended),
        "contact": True,
    }


def test_a_refused_change_leaves_no_entry(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    assert move(client, report.id, agent, **{"If-Match": '"7"'}).status_code == 412
    assert entries(session) == []


def test_an_answer_that_is_given_again_is_a_read(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    for _ in range(2):
        assert move(client, report.id, agent, **{"Idempotency-Key": "k"}).status_code == 200
    assert [entry.action for entry in entries(session)] == ["report.changed", "contact.read"]


def test_who_was_moved_elsewhere_is_not_given_an_answer_again(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    assert move(client, report.id, agent, **{"Idempotency-Key": "k"}).status_code == 200
    elsewhere = new_jurisdiction(session)
    session.execute(
        sa.update(RoleGrant)
        .where(RoleGrant.person_id == agent.id)
        .values(jurisdiction_id=elsewhere.id)
    )
    answer = move(client, report.id, agent, **{"Idempotency-Key": "k"})
    assert answer.status_code == 404
    assert len(entries(session)) == 1


def test_a_report_filed_for_a_caller_is_entered(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    agent = new_staff(session, city)
    service = new_service(session, city)
    sent = {
        "service_code": service.code,
        "jurisdiction": city.code,
        "lat": COMEDIE.lat,
        "lon": COMEDIE.lon,
    }
    filed = client.post("/api/v1/reports", json={**sent, "on_behalf": True}, headers=agent.headers)
    assert filed.status_code == 201, filed.json
    assert client.post("/api/v1/reports", json=sent, headers=agent.headers).status_code == 201
    (entry,) = entries(session)
    assert (entry.subject_id, entry.data) == (filed.json["id"], {"what": "submit_report"})


def test_who_takes_calls_for_one_team_takes_none_for_another_city(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    home = new_jurisdiction(session)
    agent = new_staff(session, home, team=new_team(session, home))
    service = new_service(session, city)
    answer = client.post(
        "/api/v1/reports",
        json={
            "service_code": service.code,
            "jurisdiction": city.code,
            "lat": COMEDIE.lat,
            "lon": COMEDIE.lon,
            "on_behalf": True,
        },
        headers=agent.headers,
    )
    assert answer.status_code == 403
    assert answer.json["code"] == "forbidden"
