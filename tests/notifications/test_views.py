"""Webhooks and push subscriptions over the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.rules import Role
from core.ids import new_id
from core.models import OutboxEvent
from core.tokens import Purpose, token_for
from geo.models import Jurisdiction
from notifications.models import PushSubscription, WebhookEndpoint
from notifications.rendering import webhook_secret
from reports.models import Follower
from tests.factories import (
    WEDNESDAY,
    SignedIn,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_report,
    new_service,
    new_staff,
    new_team,
)

HOOKS = "/api/v1/webhooks"
PUSH = "/api/v1/push-subscriptions"
URL = "https://hooks.example.org/riverain"
BROWSER = {
    "endpoint": "https://push.example.net/send/abc",
    "expirationTime": None,
    "keys": {"p256dh": "B" + "A" * 86, "auth": "A" * 22},
}


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def manager(session: Session, city: Jurisdiction) -> SignedIn:
    return new_staff(session, city, Role.MANAGER)


def test_a_new_webhook_shows_its_key_once(
    client: FlaskClient, app: Flask, manager: SignedIn, city: Jurisdiction
) -> None:
    made = client.post(
        HOOKS, json={"url": URL, "events": ["report.triaged"]}, headers=manager.headers
    )
    assert made.status_code == 201
    body = made.json
    assert body is not None
    assert body["jurisdiction"] == city.code
    assert body["events"] == ["report.triaged"]
    assert body["secret"] == webhook_secret(app.config["SECRET_KEY"], UUID(body["id"]), 1)
    assert made.headers["Cache-Control"] == "no-store"
    listed = client.get(HOOKS, headers=manager.headers).json
    assert listed is not None
    assert [item["id"] for item in listed["items"]] == [body["id"]]
    assert "secret" not in listed["items"][0]
    one = client.get(f"{HOOKS}/{body['id']}", headers=manager.headers)
    assert one.json == listed["items"][0]


def test_a_key_can_be_renewed(client: FlaskClient, manager: SignedIn) -> None:
    made = client.post(HOOKS, json={"url": URL}, headers=manager.headers).json
    assert made is not None
    renewed = client.post(f"{HOOKS}/{made['id']}/secret", headers=manager.headers).json
    assert renewed is not None
    assert renewed["secret"] != made["secret"]


def test_trying_a_webhook_switches_it_on_again(
    client: FlaskClient, session: Session, manager: SignedIn
) -> None:
    made = client.post(HOOKS, json={"url": URL}, headers=manager.headers).json
    assert made is not None
    endpoint = session.get_one(WebhookEndpoint, UUID(made["id"]))
    endpoint.failing_since = endpoint.disabled_at = WEDNESDAY
    answer = client.post(f"{HOOKS}/{made['id']}/test", headers=manager.headers)
    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.json["disabled_at"] is None
    event = session.scalars(
        sa.select(OutboxEvent).where(OutboxEvent.name == "webhook.pinged")
    ).one()
    assert event.subject_id == endpoint.id


def test_a_removed_webhook_is_gone(client: FlaskClient, manager: SignedIn) -> None:
    made = client.post(HOOKS, json={"url": URL}, headers=manager.headers).json
    assert made is not None
    path = f"{HOOKS}/{made['id']}"
    assert client.delete(path, headers=manager.headers).status_code == 204
    assert client.get(path, headers=manager.headers).status_code == 404
    assert client.delete(path, headers=manager.headers).status_code == 404


def test_pages_follow_one_another(client: FlaskClient, manager: SignedIn) -> None:
    made = [
        client.post(HOOKS, json={"url": f"{URL}/{n}"}, headers=manager.headers).json["id"]
        for n in range(5)
    ]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = client.get(HOOKS, query_string=query, headers=manager.headers).json
        assert page is not None
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
    assert seen == made


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "url"),
        ({"url": "http://hooks.example.org/"}, "url"),
        ({"url": "ftp://hooks.example.org/"}, "url"),
        ({"url": "https://user:password@hooks.example.org/"}, "url"),
        ({"url": "https://hooks.example.org/#x"}, "url"),
        ({"url": "nonsense"}, "url"),
        ({"url": URL, "events": ["report.vanished"]}, "events.0"),
        ({"url": URL, "events": ["sign_in.asked"]}, "events.0"),
        ({"url": URL, "jurisdiction": "nowhere"}, "jurisdiction"),
        ({"url": URL, "other": 1}, "other"),
    ],
)
def test_what_is_refused_names_its_field(
    client: FlaskClient, manager: SignedIn, sent: dict[str, Any], field: str
) -> None:
    answer = client.post(HOOKS, json=sent, headers=manager.headers)
    assert answer.status_code == 422, answer.json
    assert answer.json is not None
    assert field in answer.json["errors"]


def test_whose_webhooks_are_whose(
    client: FlaskClient, session: Session, city: Jurisdiction, manager: SignedIn
) -> None:
    elsewhere = new_staff(session, new_jurisdiction(session), Role.MANAGER)
    made = client.post(HOOKS, json={"url": URL}, headers=manager.headers).json
    assert made is not None
    path = f"{HOOKS}/{made['id']}"
    assert client.get(path, headers=elsewhere.headers).status_code == 404
    assert client.delete(path, headers=elsewhere.headers).status_code == 404
    listed = client.get(HOOKS, headers=elsewhere.headers).json
    assert listed == {"items": [], "next": None}
    foreign = {"url": URL, "jurisdiction": city.code}
    assert client.post(HOOKS, json=foreign, headers=elsewhere.headers).status_code == 403
    agent = new_staff(session, city, Role.AGENT)
    of_team = new_staff(session, city, Role.MANAGER, team=new_team(session, city))
    citizen = new_citizen(session)
    for caller in (agent, of_team, citizen):
        answer = client.post(HOOKS, json={"url": URL}, headers=caller.headers)
        assert answer.status_code == 403
    assert client.post(HOOKS, json={"url": URL}).status_code == 401


def test_a_reporter_without_address_can_be_told_by_push(
    client: FlaskClient, app: Flask, session: Session, city: Jurisdiction
) -> None:
    report = new_report(session, new_service(session, city))
    token = token_for(app.config["SECRET_KEY"], Purpose.TRACK, report.id, report.token_version)
    sent = {**BROWSER, "report_id": str(report.id), "tracking_token": token}
    first = client.post(PUSH, json=sent)
    assert first.status_code == 201, first.json
    again = client.post(PUSH, json=sent)
    assert again.json == first.json
    follower = session.scalars(sa.select(Follower)).one()
    assert (follower.is_reporter, follower.report_id) == (True, report.id)
    subscription = session.scalars(sa.select(PushSubscription)).one()
    assert subscription.follower_id == follower.id
    path = f"{PUSH}/{subscription.id}"
    assert client.delete(path).status_code == 204
    assert client.delete(path).status_code == 404


def test_a_browser_joins_the_reporter_there_is(
    client: FlaskClient, app: Flask, session: Session
) -> None:
    report = new_report(session)
    reporter = new_follower(session, report, is_reporter=True)
    token = token_for(app.config["SECRET_KEY"], Purpose.TRACK, report.id, 1)
    sent = {**BROWSER, "report_id": str(report.id), "tracking_token": token}
    assert client.post(PUSH, json=sent).status_code == 201
    assert session.scalars(sa.select(PushSubscription.follower_id)).one() == reporter.id


def test_somebody_signed_in_is_told_of_all_they_follow(
    client: FlaskClient, session: Session
) -> None:
    citizen = new_citizen(session)
    assert client.post(PUSH, json=BROWSER, headers=citizen.headers).status_code == 201
    assert session.scalars(sa.select(PushSubscription.person_id)).one() == citizen.id


def test_nobody_subscribes_to_what_is_not_theirs(client: FlaskClient, session: Session) -> None:
    report = new_report(session)
    for token in ("wrong", ""):
        sent = {**BROWSER, "report_id": str(report.id), "tracking_token": token}
        assert client.post(PUSH, json=sent).status_code == 404
    missing = {**BROWSER, "report_id": str(new_id()), "tracking_token": "x"}
    assert client.post(PUSH, json=missing).status_code == 404
    assert client.post(PUSH, json=BROWSER).status_code == 401
    inside = {**BROWSER, "endpoint": "http://127.0.0.1/push"}
    citizen = new_citizen(session)
    refused = client.post(PUSH, json=inside, headers=citizen.headers)
    assert refused.status_code == 422
    assert list(refused.json["errors"]) == ["endpoint"]


def test_the_key_for_browsers(client: FlaskClient, new_app: Any) -> None:
    assert client.get(f"{PUSH}/key").json == {"public_key": None}
    app = new_app(vapid_private_key="A" * 42 + "E")
    answer = app.test_client().get(f"{PUSH}/key")
    assert len(answer.json["public_key"]) == 87
