"""People who do not sign in: the work that a city may ask of them, and who is never asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.models import Person
from accounts.rules import Role
from core import proof_of_work
from core.clock import utc_now
from core.proof_of_work import issue, solve
from core.tally import WITHOUT_REDIS, Tally
from geo.models import Jurisdiction
from reports.models import Service, ServiceRequest
from tests import factories
from tests.conftest import SECRET_KEY, Client
from tests.factories import COMEDIE

URL = "/api/v1/reports"
pytestmark = pytest.mark.usefixtures("valkey", "easy")


def signed_in(session: Session, city: Jurisdiction, role: Role) -> tuple[Person, dict[str, str]]:
    """Somebody of that role, and the header that says so."""
    who = (
        factories.new_citizen(session)
        if role is Role.CITIZEN
        else factories.new_staff(session, city, role=role)
    )
    return who.person, who.headers


@pytest.fixture
def easy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little work, so that the tests do little."""
    monkeypatch.setattr(proof_of_work, "DIFFICULTY", 6)


@pytest.fixture
def pothole(session: Session) -> Service:
    city = factories.new_jurisdiction(
        session, code="montpellier", policy={"anonymous": "proof_of_work"}
    )
    return factories.new_service(session, city, code="pothole")


def payload(**others: Any) -> dict[str, Any]:
    return {"service_code": "pothole", "lat": COMEDIE.lat, "lon": COMEDIE.lon, **others}


def solved(challenge: Any) -> dict[str, str]:
    text = challenge["challenge"]
    return {"challenge": text, "nonce": solve(text, challenge["difficulty"])}


def count(session: Session) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(ServiceRequest)) or 0


def test_without_proof_a_report_is_refused_with_a_challenge_that_lets_one_go_on(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    refused = client.post(URL, json=payload())
    assert refused.status_code == 422
    assert (refused.json["code"], refused.json["reason"]) == ("proof_needed", "missing")
    assert refused.json["challenge"]["algorithm"] == "sha-256"
    assert count(session) == 0
    taken = client.post(URL, json=payload(proof=solved(refused.json["challenge"])))
    assert taken.status_code == 201, taken.json
    assert count(session) == 1


def test_a_challenge_can_be_asked_for_and_its_proof_sent_as_a_header(
    client: FlaskClient, pothole: Service
) -> None:
    answer = client.get(f"{URL}/challenge")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    proof = solved(answer.json)
    header = {"X-Proof-Of-Work": f"{proof['challenge']}:{proof['nonce']}"}
    assert client.post(URL, json=payload(), headers=header).status_code == 201


def test_a_proof_is_good_for_one_report_and_its_retry(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    proof = solved(client.get(f"{URL}/challenge").json)
    first = payload(id=str(uuid4()), proof=proof)
    assert client.post(URL, json=first).status_code == 201
    assert client.post(URL, json=first).headers["Idempotent-Replayed"] == "true"
    second = client.post(URL, json=payload(proof=proof))
    assert (second.status_code, second.json["reason"]) == (422, "used")
    assert count(session) == 1


def test_a_slip_of_the_pen_does_not_cost_the_proof(client: FlaskClient, pothole: Service) -> None:
    proof = solved(client.get(f"{URL}/challenge").json)
    wrong = client.post(URL, json=payload(proof=proof, attributes={"size": 3}))
    assert wrong.json["code"] == "invalid_attributes"
    assert client.post(URL, json=payload(proof=proof)).status_code == 201


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        (lambda now: {"challenge": "x" * 47, "nonce": "0"}, "forged"),
        (lambda now: {"challenge": issue("another key", now=now).text, "nonce": "0"}, "forged"),
        (
            lambda now: {
                "challenge": issue(SECRET_KEY, now=now - timedelta(minutes=11)).text,
                "nonce": "0",
            },
            "expired",
        ),
        (
            lambda now: {
                "challenge": issue(SECRET_KEY, now=now, difficulty=99).text,
                "nonce": "é",
            },
            "wrong",
        ),
    ],
)
def test_what_is_no_proof_is_refused_by_name(
    client: FlaskClient,
    pothole: Service,
    proof: Callable[[datetime], dict[str, str]],
    reason: str,
) -> None:
    answer = client.post(URL, json=payload(proof=proof(utc_now())))
    assert (answer.status_code, answer.json["reason"]) == (422, reason)


def test_who_signed_in_is_not_asked(
    client: FlaskClient, session: Session, pothole: Service
) -> None:
    city = session.get_one(Jurisdiction, pothole.jurisdiction_id)
    for role in (Role.CITIZEN, Role.AGENT):
        _, headers = signed_in(session, city, role)
        assert client.post(URL, json=payload(), headers=headers).status_code == 201
        assert not client.post(f"{URL}/check", json=payload(), headers=headers).json[
            "proof_of_work"
        ]
    assert client.post(f"{URL}/check", json=payload()).json["proof_of_work"]


def test_whoever_asks_often_works_harder_and_a_neighbour_does_not(
    client: FlaskClient, pothole: Service
) -> None:
    def difficulty(address: str) -> int:
        answer = client.get(f"{URL}/challenge", environ_base={"REMOTE_ADDR": address})
        number: int = answer.json["difficulty"]
        return number

    asked = [difficulty("192.0.2.1") for _ in range(9)]
    assert asked == [6, 6, 6, 6, 7, 7, 7, 7, 8]
    assert difficulty("192.0.2.2") == 6


def test_without_redis_a_proof_is_taken_and_counted(
    app: Flask, client: FlaskClient, pothole: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.extensions, "tally", Tally("redis://127.0.0.1:1/0"))
    before = WITHOUT_REDIS._value.get()
    proof = solved(client.get(f"{URL}/challenge").json)
    assert client.post(URL, json=payload(proof=proof)).status_code == 201
    assert client.post(URL, json=payload(proof=proof)).status_code == 201
    assert WITHOUT_REDIS._value.get() == before + 3
    assert client.post(URL, json=payload()).json["reason"] == "missing"


def test_an_open_city_asks_nothing(client: FlaskClient, session: Session) -> None:
    city = factories.new_jurisdiction(session, code="open")
    factories.new_service(session, city, code="pothole")
    assert client.post(URL, json=payload(proof=None)).status_code == 201
    nonsense = {"challenge": "no", "nonce": "no"}
    assert client.post(URL, json=payload(proof=nonsense)).status_code == 201


# -- the same place -------------------------------------------------------------------------------


def test_a_flood_at_one_place_from_many_addresses_is_held_up(
    new_app: Callable[..., Flask], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limits import parse

    from core import limits

    monkeypatch.setattr(limits, "PLACE", parse("3 per 10 minutes"))
    city = factories.new_jurisdiction(session, code="montpellier")
    for code in ("pothole", "lamp"):
        factories.new_service(session, city, code=code)
    client = Client(new_app(rate_limits=True))
    client.session = session

    def status(number: int, headers: dict[str, str] | None = None, **others: Any) -> int:
        answer = client.post(
            URL,
            json=payload(**others),
            headers=headers or {},
            environ_base={"REMOTE_ADDR": f"198.51.100.{number}"},
        )
        return answer.status_code

    # Some metres apart, and in whatever form a number can be sent.
    near: list[dict[str, Any]] = [{}, {"lat": COMEDIE.lat + 0.00001}, {"lat": str(COMEDIE.lat)}]
    assert [status(number, **near[number]) for number in range(3)] == [201] * 3
    assert status(4) == 429
    assert status(5, service_code="lamp") == 201
    assert status(6, lat=COMEDIE.lat + 0.002) == 201
    form = client.post(
        URL,
        data={name: str(value) for name, value in payload().items()},
        content_type="multipart/form-data",
        environ_base={"REMOTE_ADDR": "198.51.100.7"},
    )
    assert form.status_code == 429
    assert "Retry-After" in form.headers
    _, headers = signed_in(session, city, Role.CITIZEN)
    assert status(8, headers) == 201
    assert status(9, description="x" * 5000) == 429
