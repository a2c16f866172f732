"""Proposing services from words: at intake, to the staff, and learnt from a city's cases."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.rules import Role
from core.clock import utc_now
from geo import jurisdictions
from geo.models import Jurisdiction
from reports.catalogue import Catalogue, catalogue_of
from reports.models import Service
from reports.words import learning, proposing
from tests.factories import WEDNESDAY, new_jurisdiction, new_report, new_service, new_staff


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    """A city with a lamp, a pothole and a gas leak, which is called and not filed."""
    city = new_jurisdiction(session)
    for code, fr, en, words in (
        ("lamp", "Lampadaire en panne", "Street light out", ["éclairage", "ampoule", "lamp"]),
        ("pothole", "Nid-de-poule", "Pothole", ["trou", "chaussée", "hole", "road"]),
        ("tree", "Arbre tombé", "Fallen tree", ["branche", "tronc", "branch", "trunk"]),
    ):
        new_service(
            session,
            city,
            code=code,
            names={"fr": fr, "en": en},
            keywords={"fr": words[:2], "en": words[2:]},
        )
    new_service(
        session,
        city,
        code="gas",
        names={"fr": "Odeur de gaz", "en": "Smell of gas"},
        emergency={"phone": "0800 47 33 33", "text": {"fr": "Appelez", "en": "Call"}},
    )
    return city


def catalogue(session: Session, city: Jurisdiction) -> Catalogue:
    jurisdictions.forget()
    return catalogue_of(session, city.id)


def asked(client: FlaskClient, city: Jurisdiction, text: str, **others: str) -> list[dict]:
    answer = client.post(
        "/api/v1/services/suggestions",
        json={"text": text, "jurisdiction": city.code, **others},
    )
    assert answer.status_code == 200, answer.json
    return list(answer.json["items"])


def test_words_propose_services_in_the_readers_language(
    client: FlaskClient, city: Jurisdiction
) -> None:
    found = asked(client, city, "le lampadaire est éteint, ampoule morte", locale="en")
    assert (found[0]["service_code"], found[0]["name"]) == ("lamp", "Street light out")
    assert 0.35 <= found[0]["confidence"] <= 1
    assert len(found) <= 3


def test_a_link_can_ask_the_same(client: FlaskClient, city: Jurisdiction) -> None:
    answer = client.get(
        f"/api/v1/services/suggestions?jurisdiction={city.code}&text=trou+dans+la+chauss%C3%A9e"
    )
    assert answer.json["items"][0]["service_code"] == "pothole"
    assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("text", ["bonjour", "xyzzy plugh", "…", "12 34 56"])
def test_nothing_is_proposed_when_nothing_is_sure(
    client: FlaskClient, city: Jurisdiction, text: str
) -> None:
    assert asked(client, city, text) == []


def test_an_emergency_is_proposed_with_its_number(client: FlaskClient, city: Jurisdiction) -> None:
    found = asked(client, city, "forte odeur de gaz", locale="fr")
    assert found[0]["emergency"] == {"phone": "0800 47 33 33", "text": "Appelez"}


def test_what_is_offered_no_more_is_not_proposed(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    session.query(Service).filter_by(jurisdiction_id=city.id, code="lamp").update(
        {"is_active": False}
    )
    proposing.forget()
    assert "lamp" not in {each["service_code"] for each in asked(client, city, "un lampadaire")}


def test_the_words_are_not_logged(client: FlaskClient, city: Jurisdiction) -> None:
    with structlog.testing.capture_logs() as logs:
        asked(client, city, "le lampadaire de Mme Zébulon")
        client.get(f"/api/v1/services/suggestions?jurisdiction={city.code}&text=Zebulon+lampe")
    assert "bulon" not in json.dumps(logs, default=str, ensure_ascii=False)


def test_staff_see_that_the_words_clearly_say_another_service(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    services = {
        each.code: each for each in session.query(Service).filter_by(jurisdiction_id=city.id)
    }
    agent = new_staff(session, city, role=Role.AGENT)
    wrong, right = (
        new_report(
            session,
            service=services[code],
            description="Une grosse branche, tronc fendu, arbre tombé en travers",
        )
        for code in ("lamp", "tree")
    )
    hints = [
        client.get(f"/api/v1/reports/{report.id}", headers=agent.headers).json["service_hint"]
        for report in (wrong, right)
    ]
    assert hints[0]["service_code"] == "tree"
    assert hints[1] is None
    public = client.get(f"/api/v1/reports/{wrong.id}").json
    assert "service_hint" not in public


def test_a_city_learns_from_its_cases_and_uses_it_at_once(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    services = {
        each.code: each for each in session.query(Service).filter_by(jurisdiction_id=city.id)
    }
    chance = random.Random(1)
    said = {
        "lamp": ["noir", "sombre", "nuit", "clignote", "aucune", "lumière"],
        "pothole": ["pneu", "secousse", "bitume", "profond", "vélo", "crevé"],
        "tree": ["tempête", "racine", "penche", "feuillage", "vent", "bois"],
    }
    for number in range(57):
        code = sorted(said)[number % 3]
        new_report(
            session,
            service=services[code],
            description=" ".join([*chance.sample(said[code], 4), str(number), "ici"]),
            requested_at=WEDNESDAY + timedelta(hours=number),
        )
    assert asked(client, city, "grosse secousse, pneu crevé") == []
    known = catalogue(session, city)
    texts = learning.texts_of(session, known)
    trained = learning.train(known, texts, now=utc_now())
    assert trained.is_better
    assert trained.model.record["real"] == 57
    assert learning.put_in_force(session, known, trained.model, now=utc_now()) == 1
    assert learning.put_in_force(session, known, trained.model, now=utc_now()) == 2
    jurisdictions.forget()
    assert asked(client, city, "grosse secousse, pneu crevé")[0]["service_code"] == "pothole"
    assert asked(client, city, "le lampadaire")[0]["service_code"] == "lamp"


def test_a_city_with_few_texts_keeps_its_catalogue(session: Session, city: Jurisdiction) -> None:
    known = catalogue(session, city)
    with pytest.raises(learning.TooFewTextsError, match="too few to learn from"):
        learning.train(known, learning.texts_of(session, known), now=utc_now())


def test_web_and_workers_start_without_what_training_needs(app: Flask) -> None:
    import subprocess
    import sys

    check = (
        "import sys, reports.intake_views, workers.sweeper;"
        "print([n for n in ('sklearn', 'scipy') if n in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
