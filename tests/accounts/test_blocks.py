"""The block list: who is kept out, where, until when, by whom, and what they are told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import blocks
from accounts.blocks.rules import (
    BlockList,
    BlockRow,
    NetworkError,
    Sender,
    contact_digest,
    network_of,
)
from accounts.models import AuditEntry, Block, Person
from accounts.rules import BlockKind, Role
from core.clock import utc_now
from geo.measures import Point
from geo.models import Jurisdiction
from reports.models import Service, ServiceRequest
from tests import factories
from tests.factories import COMEDIE

URL = "/api/v1/blocks"
REPORTS = "/api/v1/reports"

# -- the rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("10.1.0.0/16", "10.1.0.0/16"),
        (" 2001:db8:1:2::7 ", "2001:db8:1:2::/64"),
        ("2001:db8::7/128", "2001:db8::7/128"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
    ],
)
def test_networks_as_they_are_blocked(text: str, network: str) -> None:
    assert str(network_of(text)) == network


@pytest.mark.parametrize(
    "text", ["0.0.0.0/0", "10.0.0.0/15", "2001::/31", "::/0", "::ffff:0:0/96", "here", "", "1.2.3"]
)
def test_no_network_wider_than_a_provider_is_blocked(text: str) -> None:
    with pytest.raises(NetworkError):
        network_of(text)


def listed(**subject: Any) -> BlockList:
    kind = subject.pop("kind", BlockKind.NETWORK)
    return BlockList.of([BlockRow(uuid4(), kind, subject.pop("place", None), **subject)])


@pytest.mark.parametrize(
    ("address", "is_blocked"),
    [
        ("192.0.2.1", True),
        ("192.0.2.255", True),
        ("192.0.3.1", False),
        ("::ffff:192.0.2.9", True),
        ("2001:db8::1", False),
        ("", False),
        ("unix:", False),
    ],
)
def test_an_address_is_blocked_with_its_network(address: str, is_blocked: bool) -> None:
    held = listed(network=network_of("192.0.2.0/24"))
    assert held.holds(Sender(address=address), 1, secret="s") is is_blocked


def test_a_block_holds_where_it_was_made_or_everywhere() -> None:
    digest = contact_digest("s", BlockKind.EMAIL, "a@example.org")
    sender = Sender(emails=frozenset(["a@example.org"]))
    here = listed(kind=BlockKind.EMAIL, digest=digest, place=1)
    assert here.holds(sender, 1, secret="s")
    assert not here.holds(sender, 2, secret="s")
    assert not here.holds(sender, 1, secret="another")
    assert listed(kind=BlockKind.EMAIL, digest=digest).holds(sender, 2, secret="s")
    assert not here.holds(Sender(phones=frozenset(["a@example.org"])), 1, secret="s")


# -- over HTTP ------------------------------------------------------------------------------------


def signed_in(session: Session, city: Jurisdiction, role: Role) -> tuple[Person, dict[str, str]]:
    """Somebody of that role, and the header that says so."""
    who = (
        factories.new_citizen(session)
        if role is Role.CITIZEN
        else factories.new_staff(session, city, role=role)
    )
    return who.person, who.headers


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return factories.new_jurisdiction(
        session, code="montpellier", contact={"email": "mairie@example.org"}
    )


@pytest.fixture
def pothole(session: Session, city: Jurisdiction) -> Service:
    return factories.new_service(session, city, code="pothole")


@pytest.fixture
def manager(session: Session, city: Jurisdiction) -> dict[str, str]:
    return signed_in(session, city, Role.MANAGER)[1]


def payload(**others: Any) -> dict[str, Any]:
    return {"service_code": "pothole", "lat": COMEDIE.lat, "lon": COMEDIE.lon, **others}


def block(client: FlaskClient, manager: dict[str, str], **fields: Any) -> dict[str, Any]:
    answer = client.post(URL, json={"reason": "flood", **fields}, headers=manager)
    assert answer.status_code == 201, answer.json
    assert answer.json is not None
    return dict(answer.json)


def test_who_is_blocked_is_told_whom_to_ask_and_leaves_nothing(
    client: FlaskClient, session: Session, pothole: Service, manager: dict[str, str]
) -> None:
    block(client, manager, network="127.0.0.0/24")
    refused = client.post(REPORTS, json=payload())
    assert (refused.status_code, refused.json["code"]) == (403, "blocked")
    assert refused.json["contact"] == {"email": "mairie@example.org"}
    assert "mairie@example.org" in refused.json["detail"]
    assert set(refused.json["texts"]) == {"fr", "en"}
    assert "network" not in refused.get_data(as_text=True)
    assert session.scalar(sa.select(sa.func.count()).select_from(ServiceRequest)) == 0
    other = client.post(REPORTS, json=payload(), environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert other.status_code == 201


@pytest.mark.parametrize(
    ("named", "contact", "other"),
    [
        (
            {"email": " Flood@Example.org"},
            {"email": "flood@example.ORG"},
            {"email": "b@example.org"},
        ),
        ({"phone": "06 12 34 56 78"}, {"phone": "+33612345678"}, {"phone": "06 12 34 56 79"}),
    ],
)
def test_a_contact_is_blocked_however_it_is_written_and_kept_as_a_digest(
    client: FlaskClient,
    session: Session,
    pothole: Service,
    manager: dict[str, str],
    named: dict[str, str],
    contact: dict[str, str],
    other: dict[str, str],
) -> None:
    made = block(client, manager, **named)
    assert client.post(REPORTS, json=payload(contact=contact)).status_code == 403
    assert client.post(REPORTS, json=payload(contact=other)).status_code == 201
    row = session.get_one(Block, UUID(made["id"]))
    assert row.digest is not None
    assert b"example" not in bytes(row.digest)
    assert made["network"] is made["person_id"] is None


def test_a_person_is_blocked_wherever_they_sign_in(
    client: FlaskClient,
    session: Session,
    city: Jurisdiction,
    pothole: Service,
    manager: dict[str, str],
) -> None:
    person, headers = signed_in(session, city, Role.CITIZEN)
    block(client, manager, person_id=str(person.id))
    assert client.post(REPORTS, json=payload(), headers=headers).status_code == 403
    assert client.post(REPORTS, json=payload()).status_code == 201


def test_staff_at_a_blocked_address_go_on_working(
    client: FlaskClient, session: Session, pothole: Service, manager: dict[str, str]
) -> None:
    block(client, manager, network="127.0.0.1")
    answer = client.post(REPORTS, json=payload(on_behalf=True), headers=manager)
    assert answer.status_code == 201


def test_a_block_ends_by_itself_or_when_it_is_lifted_and_is_kept(
    client: FlaskClient, session: Session, pothole: Service, manager: dict[str, str]
) -> None:
    made = block(client, manager, network="127.0.0.1")
    lifted = client.delete(f"{URL}/{made['id']}", headers=manager)
    assert lifted.json["lifted_at"] is not None
    assert client.post(REPORTS, json=payload()).status_code == 201
    until = (utc_now() + timedelta(hours=1)).isoformat()
    block(client, manager, network="127.0.0.1", expires_at=until)
    assert client.post(REPORTS, json=payload()).status_code == 403
    session.execute(sa.update(Block).values(expires_at=utc_now()))
    blocks.forget()
    assert client.post(REPORTS, json=payload()).status_code == 201
    assert client.get(URL, headers=manager).json["items"] == []
    assert len(client.get(f"{URL}?past=1", headers=manager).json["items"]) == 2


def test_each_change_is_in_the_audit_log_without_what_was_blocked(
    client: FlaskClient, session: Session, manager: dict[str, str], pothole: Service
) -> None:
    made = block(client, manager, email="flood@example.org")
    client.delete(f"{URL}/{made['id']}", headers=manager)
    client.delete(f"{URL}/{made['id']}", headers=manager)
    entries = session.scalars(
        sa.select(AuditEntry).where(AuditEntry.action == "block.changed").order_by(AuditEntry.id)
    ).all()
    assert [entry.data["change"] for entry in entries] == ["added", "lifted"]
    assert {entry.subject_id for entry in entries} == {made["id"]}
    assert "example.org" not in str([entry.data for entry in entries])


def test_only_who_manages_the_city_sees_and_makes_its_blocks(
    client: FlaskClient, session: Session, city: Jurisdiction, manager: dict[str, str]
) -> None:
    made = block(client, manager, network="192.0.2.0/24", jurisdiction="montpellier")
    _, agent = signed_in(session, city, Role.AGENT)
    elsewhere = factories.new_jurisdiction(session, code="lyon", centre=Point(45.76, 4.83))
    _, stranger = signed_in(session, elsewhere, Role.ADMIN)
    body = {"reason": "x", "network": "192.0.2.0/24", "jurisdiction": "montpellier"}
    assert client.get(URL).status_code == 401
    for headers, status in ((agent, 403), (stranger, 403)):
        assert client.post(URL, json=body, headers=headers).status_code == status
    assert client.get(URL, headers=agent).status_code == 403
    assert client.get(URL, headers=stranger).json["items"] == []
    assert client.delete(f"{URL}/{made['id']}", headers=stranger).status_code == 404
    assert client.delete(f"{URL}/{uuid4()}", headers=manager).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "network"),
        ({"network": "192.0.2.1", "email": "a@example.org"}, "network"),
        ({"network": "10.0.0.0/8"}, "network"),
        ({"email": "nobody"}, "email"),
        ({"phone": "call me"}, "phone"),
        ({"person_id": str(uuid4())}, "person_id"),
        ({"network": "192.0.2.1", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"network": "192.0.2.1", "reason": ""}, "reason"),
        ({"network": "192.0.2.1", "created_by": str(uuid4())}, "created_by"),
    ],
)
def test_what_cannot_be_blocked_is_refused_by_field(
    client: FlaskClient, session: Session, manager: dict[str, str], body: dict[str, Any], field: str
) -> None:
    answer = client.post(URL, json={"reason": "flood", **body}, headers=manager)
    assert answer.status_code == 422
    assert field in answer.json["errors"]
    assert session.scalar(sa.select(sa.func.count()).select_from(Block)) == 0


def test_the_list_has_pages(
    client: FlaskClient, city: Jurisdiction, manager: dict[str, str]
) -> None:
    made = [block(client, manager, network=f"192.0.2.{number}")["id"] for number in range(3)]
    first = client.get(f"{URL}?limit=2", headers=manager).json
    second = client.get(f"{URL}?limit=2&cursor={first['next']}", headers=manager).json
    assert [each["id"] for each in [*first["items"], *second["items"]]] == made[::-1]
    assert second["next"] is None
    for cursor in ("x", "bm8", "WzFd", "WyJ4Il0"):
        assert client.get(f"{URL}?cursor={cursor}", headers=manager).status_code == 422


# -- at the command line --------------------------------------------------------------------------


def test_the_operator_blocks_everywhere_and_lifts(
    app: Flask, client: FlaskClient, session: Session, pothole: Service, manager: dict[str, str]
) -> None:
    session.commit()
    runner = app.test_cli_runner()
    made = runner.invoke(
        args=["blocks", "add", "network", "127.0.0.1", "--reason", "flood", "--days", "2"]
    )
    assert made.exit_code == 0, made.output
    block_id = made.output.split()[-1]
    assert client.post(REPORTS, json=payload()).status_code == 403
    shown = runner.invoke(args=["blocks", "list"])
    assert f"{block_id} network 127.0.0.1/32, everywhere" in shown.output
    # Those who manage a city see it and cannot lift it.
    assert client.get(URL, headers=manager).json["items"][0]["jurisdiction"] is None
    assert client.delete(f"{URL}/{block_id}", headers=manager).status_code == 403
    assert runner.invoke(args=["blocks", "lift", block_id]).exit_code == 0
    assert client.post(REPORTS, json=payload()).status_code == 201


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "network", "0.0.0.0/0", "--reason", "x"],
        ["add", "phone", "06 12 34 56 78", "--reason", "x"],
        ["add", "email", "nobody", "--reason", "x", "--jurisdiction", "atlantis"],
        ["lift", str(uuid4())],
    ],
)
def test_the_operator_is_told_in_one_sentence_what_is_wrong(
    app: Flask, session: Session, arguments: list[str]
) -> None:
    result = app.test_cli_runner().invoke(args=["blocks", *arguments])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


# -- in memory ------------------------------------------------------------------------------------


def test_blocks_are_read_again_only_after_some_seconds(session: Session) -> None:
    seconds = [0.0]
    known = blocks.Blocks(clock=lambda: seconds[0])
    empty = known.current(session, utc_now())
    session.add(Block(kind="network", network="192.0.2.0/24", reason="x", created_at=utc_now()))
    session.flush()
    assert known.current(session, utc_now()) is empty
    seconds[0] = blocks.RELOAD_EVERY_S
    again = known.current(session, utc_now())
    assert again.holds(Sender(address="192.0.2.1"), 1, secret="s")
