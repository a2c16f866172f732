"""A city's administrators see and change its people, and nobody else's."""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from accounts import actors, second_factor
from accounts.errors import LastAdminError
from accounts.models import AuditEntry, Invitation, Person, RoleGrant, SecondFactor
from accounts.rules import Role
from accounts.staff import administration
from core.clock import utc_now
from core.db import transaction
from geo.models import Jurisdiction
from tests.factories import (
    SignedIn,
    grant,
    new_citizen,
    new_jurisdiction,
    new_staff,
    new_team,
)

URL = "/api/v1/people"


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session, code="ici")


@pytest.fixture
def elsewhere(session: Session) -> Jurisdiction:
    return new_jurisdiction(session, code="ailleurs")


@pytest.fixture
def admin(session: Session, city: Jurisdiction) -> SignedIn:
    return new_staff(session, city, Role.ADMIN)


def outcome(answer: TestResponse) -> tuple[int, str | None]:
    """Status and, of a refusal, its code."""
    return answer.status_code, answer.json[
        "code"
    ] if answer.is_json and "code" in answer.json else None


def role_of(session: Session, person: Person, role: Role) -> int:
    return session.scalars(
        sa.select(RoleGrant.id).where(
            RoleGrant.person_id == person.id, RoleGrant.role == role.value
        )
    ).one()


def test_the_list_holds_the_citys_people_with_their_roles_there(
    client: FlaskClient,
    session: Session,
    city: Jurisdiction,
    elsewhere: Jurisdiction,
    admin: SignedIn,
) -> None:
    both = new_staff(session, city)
    grant(session, both.person, Role.MANAGER, elsewhere)
    new_staff(session, elsewhere)
    new_citizen(session)
    answer = client.get(URL, headers=admin.headers)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert [item["id"] for item in answer.json["items"]] == [str(admin.id), str(both.id)]
    held = answer.json["items"][1]["roles"]
    assert [(one["role"], one["jurisdiction"], one["team"]) for one in held] == [
        ("agent", "ici", None)
    ]
    read = session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "contact.read")).one()
    assert read.data == {"people": [str(admin.id), str(both.id)]}


def test_the_list_is_paged(
    client: FlaskClient, session: Session, city: Jurisdiction, admin: SignedIn
) -> None:
    ids = {str(admin.id), *(str(new_staff(session, city).id) for _ in range(4))}
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = client.get(URL, query_string=query, headers=admin.headers).json
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == 5
    assert set(seen) == ids
    bad = client.get(URL, query_string={"cursor": "WyJ4Il0"}, headers=admin.headers)
    assert outcome(bad) == (422, "bad_cursor")


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_only_administrators_manage_people(
    client: FlaskClient, session: Session, city: Jurisdiction, role: Role
) -> None:
    other = new_staff(session, city, role)
    assert client.get(URL, headers=other.headers).status_code == 403
    assert client.post("/api/v1/invitations", json={}, headers=other.headers).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("GET", "", None),
        ("POST", "/roles", {"role": "viewer"}),
        ("DELETE", "/roles/{grant}", None),
        ("POST", "/deactivation", None),
        ("POST", "/reactivation", None),
        ("DELETE", "/second-factor", None),
    ],
)
def test_people_of_another_city_look_missing(
    client: FlaskClient,
    session: Session,
    elsewhere: Jurisdiction,
    admin: SignedIn,
    method: str,
    path: str,
    sent: dict[str, str] | None,
) -> None:
    other = new_staff(session, elsewhere)
    path = path.format(grant=role_of(session, other.person, Role.AGENT))
    for person_id in (other.id, new_citizen(session).id, uuid4()):
        answer = client.open(
            f"{URL}/{person_id}{path}", method=method, json=sent, headers=admin.headers
        )
        assert outcome(answer) == (404, "not_found")
    assert other.person.is_active
    assert len(session.scalars(sa.select(RoleGrant)).all()) == 2
    assert session.scalars(sa.select(AuditEntry)).all() == []


def test_a_role_is_given_and_taken_and_counts_at_once(
    client: FlaskClient, session: Session, city: Jurisdiction, admin: SignedIn
) -> None:
    new_team(session, city, code="voirie")
    viewer = new_staff(session, city, Role.VIEWER)
    sent = {"role": "manager", "team": "voirie"}
    answer = client.post(f"{URL}/{viewer.id}/roles", json=sent, headers=admin.headers)
    assert answer.status_code == 201
    given = answer.json["roles"][-1]
    assert (given["role"], given["team"]) == ("manager", "voirie")
    again = client.post(f"{URL}/{viewer.id}/roles", json=sent, headers=admin.headers)
    assert outcome(again) == (409, "already_held")

    path = f"{URL}/{viewer.id}/roles/{given['id']}"
    assert client.delete(path, headers=admin.headers).status_code == 204
    assert outcome(client.delete(path, headers=admin.headers)) == (404, "not_found")
    actor = actors.find(session, viewer.token, now=utc_now())
    assert actor is not None
    assert [held.role for held in actor.grants] == [Role.VIEWER]
    entries = session.scalars(
        sa.select(AuditEntry.data).where(AuditEntry.action == "role.changed")
    ).all()
    assert [entry["change"] for entry in entries] == ["given", "taken"]


@pytest.mark.parametrize("role", ["auditor"])
def test_nobody_gives_or_takes_more_than_they_hold(
    client: FlaskClient, session: Session, city: Jurisdiction, admin: SignedIn, role: str
) -> None:
    agent = new_staff(session, city)
    answer = client.post(f"{URL}/{agent.id}/roles", json={"role": role}, headers=admin.headers)
    assert outcome(answer) == (403, "wider_than_own")
    auditor = new_staff(session, city, Role.AUDITOR)
    grant_id = role_of(session, auditor.person, Role.AUDITOR)
    answer = client.delete(f"{URL}/{auditor.id}/roles/{grant_id}", headers=admin.headers)
    assert outcome(answer) == (403, "wider_than_own")
    answer = client.post(f"{URL}/{auditor.id}/deactivation", headers=admin.headers)
    assert outcome(answer) == (409, "works_elsewhere")


def test_a_teams_administrator_stays_in_the_team(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    team = new_team(session, city, code="voirie")
    new_team(session, city, code="arbres")
    lead = new_staff(session, city, Role.ADMIN, team=team)
    mate = new_staff(session, city, Role.AGENT, team=team)
    outside = new_staff(session, city, Role.AGENT)
    listed = client.get(URL, headers=lead.headers).json["items"]
    assert [item["id"] for item in listed] == [str(lead.id), str(mate.id)]
    path = f"{URL}/{mate.id}/roles"
    for sent in ({"role": "manager"}, {"role": "manager", "team": "arbres"}):
        answer = client.post(path, json=sent, headers=lead.headers)
        assert outcome(answer) == (403, "wider_than_own")
    sent = {"role": "manager", "team": "voirie"}
    assert client.post(path, json=sent, headers=lead.headers).status_code == 201
    assert client.get(f"{URL}/{outside.id}", headers=lead.headers).status_code == 404


def test_a_role_in_another_city_is_not_theirs_to_give(
    client: FlaskClient,
    session: Session,
    city: Jurisdiction,
    elsewhere: Jurisdiction,
    admin: SignedIn,
) -> None:
    agent = new_staff(session, city)
    answer = client.post(
        f"{URL}/{agent.id}/roles",
        json={"role": "viewer", "jurisdiction": elsewhere.code},
        headers=admin.headers,
    )
    assert outcome(answer) == (403, "wider_than_own")


def test_deactivation_ends_sessions_and_keys_at_once(
    client: FlaskClient, session: Session, city: Jurisdiction, admin: SignedIn
) -> None:
    agent = new_staff(session, city)
    key = client.post("/api/v1/keys", json={"name": "x"}, headers=agent.headers).json["key"]
    path = f"{URL}/{agent.id}"
    answer = client.post(f"{path}/deactivation", headers=admin.headers)
    assert answer.status_code == 200
    assert not answer.json["is_active"]
    for token in (agent.token, key):
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/api/v1/queues", headers=headers).status_code == 401
    # Said twice it is the same.
    assert client.post(f"{path}/deactivation", headers=admin.headers).status_code == 200

    answer = client.post(f"{path}/reactivation", headers=admin.headers)
    assert answer.json["is_active"]
    assert client.get("/api/v1/queues", headers=agent.headers).status_code == 401
    changes = session.scalars(
        sa.select(AuditEntry.data["change"].astext).where(AuditEntry.action == "person.changed")
    ).all()
    assert changes == ["deactivated", "reactivated"]


def test_whoever_also_works_elsewhere_is_not_shut_out_from_here(
    client: FlaskClient,
    session: Session,
    city: Jurisdiction,
    elsewhere: Jurisdiction,
    admin: SignedIn,
) -> None:
    both = new_staff(session, city)
    grant(session, both.person, Role.VIEWER, elsewhere)
    for method, path in (("POST", "deactivation"), ("DELETE", "second-factor")):
        answer = client.open(f"{URL}/{both.id}/{path}", method=method, headers=admin.headers)
        assert outcome(answer) == (409, "works_elsewhere")
    assert both.person.is_active
    here = role_of(session, both.person, Role.AGENT)
    answer = client.delete(f"{URL}/{both.id}/roles/{here}", headers=admin.headers)
    assert answer.status_code == 204


def test_the_last_administrator_stays(
    client: FlaskClient, session: Session, city: Jurisdiction, admin: SignedIn
) -> None:
    own = f"{URL}/{admin.id}/roles/{role_of(session, admin.person, Role.ADMIN)}"
    # Neither one who is shut out nor one of a team alone could take over.
    new_staff(session, city, Role.ADMIN, is_active=False)
    new_staff(session, city, Role.ADMIN, team=new_team(session, city))
    assert outcome(client.delete(own, headers=admin.headers)) == (409, "last_admin")
    answer = client.post(f"{URL}/{admin.id}/deactivation", headers=admin.headers)
    assert outcome(answer) == (409, "own_account")
    new_staff(session, city, Role.ADMIN)
    assert client.delete(own, headers=admin.headers).status_code == 204


@pytest.mark.parametrize("way", ["take_role", "deactivate"])
def test_two_administrators_who_remove_each_other_leave_one(committed_db: Flask, way: str) -> None:
    with committed_db.app_context(), transaction() as session:
        city = new_jurisdiction(session)
        pair = [new_staff(session, city, Role.ADMIN) for _ in range(2)]
        grants = [role_of(session, one.person, Role.ADMIN) for one in pair]
        people: list[tuple[UUID, str]] = [(one.id, one.token) for one in pair]
    start = threading.Barrier(2)
    refused: list[str] = []

    def remove(mine: int, other: int) -> None:
        with committed_db.app_context():
            with transaction() as session:
                actor = actors.find(session, people[mine][1], now=utc_now())
                assert actor is not None
            start.wait()
            try:
                with transaction() as session:
                    if way == "deactivate":
                        administration.deactivate(session, actor, people[other][0], now=utc_now())
                    else:
                        administration.take_role(
                            session, actor, people[other][0], grants[other], now=utc_now()
                        )
            except LastAdminError:
                refused.append("last_admin")

    threads = [threading.Thread(target=remove, args=pair) for pair in ((0, 1), (1, 0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["last_admin"]
    with committed_db.app_context(), transaction() as session:
        in_power = (
            sa.select(Person.id)
            .join(RoleGrant, RoleGrant.person_id == Person.id)
            .where(Person.is_active)
        )
        assert len(session.scalars(in_power).all()) == 1


def test_a_lost_second_factor_is_taken_off(
    client: FlaskClient, session: Session, city: Jurisdiction, admin: SignedIn
) -> None:
    agent = new_staff(session, city)
    session.add(SecondFactor(person_id=agent.id, started_at=utc_now(), confirmed_at=utc_now()))
    session.flush()
    seen = client.get(f"{URL}/{agent.id}", headers=admin.headers).json
    assert seen["has_second_factor"]
    path = f"{URL}/{agent.id}/second-factor"
    assert client.delete(path, headers=agent.headers).status_code == 403
    assert client.delete(path, headers=admin.headers).status_code == 204
    assert not second_factor.is_on(session, agent.id)
    assert client.get("/api/v1/me", headers=agent.headers).status_code == 401


def test_what_a_former_administrator_offered_counts_no_more(
    client: FlaskClient, session: Session, city: Jurisdiction, admin: SignedIn
) -> None:
    other = new_staff(session, city, Role.ADMIN)
    sent = {"email": "ami@ville.example", "role": "admin"}
    assert client.post("/api/v1/invitations", json=sent, headers=other.headers).status_code == 201
    grant_id = role_of(session, other.person, Role.ADMIN)
    path = f"{URL}/{other.id}/roles/{grant_id}"
    assert client.delete(path, headers=admin.headers).status_code == 204
    assert session.scalars(sa.select(Invitation)).one().revoked_at is not None


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"role": "citizen"},
        {"role": "king"},
        {"role": "viewer", "team": "no-such"},
        {"role": "viewer", "jurisdiction": "\x00"},
        {"role": "viewer", "person_id": str(uuid4())},
        {"role": "viewer", "origin": "oidc"},
        {"role": "viewer", "jurisdiction_id": 1},
    ],
)
def test_bad_input_is_refused(
    client: FlaskClient,
    session: Session,
    city: Jurisdiction,
    admin: SignedIn,
    sent: dict[str, object],
) -> None:
    agent = new_staff(session, city)
    answer = client.post(f"{URL}/{agent.id}/roles", json=sent, headers=admin.headers)
    assert answer.status_code == 422
    assert len(session.scalars(sa.select(RoleGrant)).all()) == 2
