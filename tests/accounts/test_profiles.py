"""One's own account: name, language, display."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from tests.factories import new_citizen, new_jurisdiction, new_team

ME = "/api/v1/me"


def test_name_language_and_display_are_ones_own(client: FlaskClient, session: Session) -> None:
    camille = new_citizen(session, name=None)
    sent = {"name": "  Rene\u0301e   Char ", "locale": "en", "display": "first"}
    changed = client.patch(ME, json=sent, headers=camille.headers)
    assert changed.status_code == 200
    assert changed.headers["Cache-Control"] == "no-store"
    read = client.get(ME, headers=camille.headers).json
    assert read == changed.json
    assert (read["name"], read["locale"], read["display"]) == ("Ren\u00e9e Char", "en", "first")
    assert read["public_name"] == "Ren\u00e9e"


def test_what_is_left_out_stays_and_null_takes_away(client: FlaskClient, session: Session) -> None:
    camille = new_citizen(session, name="Camille", display="full")
    assert client.patch(ME, json={}, headers=camille.headers).json["name"] == "Camille"
    without = client.patch(ME, json={"name": None}, headers=camille.headers).json
    assert (without["name"], without["display"], without["locale"]) == (None, "full", "fr")
    assert client.patch(ME, json={"name": "  "}, headers=camille.headers).json["name"] is None


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"name": "Camille\x00"}, "name"),
        ({"name": "Camille\u202eDurand"}, "name"),
        ({"name": "Cam\u200bille"}, "name"),
        ({"name": "Camille\nDurand"}, "name"),
        ({"name": "Ville de Montp\u0435llier"}, "name"),
        ({"name": "😀"}, "name"),
        ({"name": "x" * 10_000}, "name"),
        ({"name": ["Camille"]}, "name"),
        ({"locale": "de"}, "locale"),
        ({"display": "nickname"}, "display"),
        ({"display": None}, "display"),
        ({"email": "a@exemple.fr"}, "email"),
        ({"phone": "+33612345678"}, "phone"),
        ({"id": "x"}, "id"),
        ({"is_active": False}, "is_active"),
        ({"verified_at": None}, "verified_at"),
        ({"roles": [{"role": "admin"}]}, "roles"),
    ],
)
def test_what_cannot_be_said_of_oneself_is_refused_by_name(
    client: FlaskClient, session: Session, sent: dict[str, Any], field: str
) -> None:
    camille = new_citizen(session)
    before = client.get(ME, headers=camille.headers).json
    answer = client.patch(ME, json=sent, headers=camille.headers)
    assert answer.status_code == 422
    assert field in answer.json["errors"]
    assert client.get(ME, headers=camille.headers).json == before


def test_nobody_shows_the_name_of_the_city_or_of_a_team(
    client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session, names={"fr": "Montpellier", "en": "Montpellier"})
    new_team(session, city, names={"fr": "Équipe Propreté", "en": "Cleaning team"})
    camille = new_citizen(session)
    for name in ("Ville de Montpellier", "PROPRETE", "Mairie"):
        hidden = {"name": name, "display": "anonymous"}
        assert client.patch(ME, json=hidden, headers=camille.headers).status_code == 200
        refused = client.patch(ME, json={"display": "full"}, headers=camille.headers)
        assert (refused.status_code, refused.json["code"]) == (422, "posing_name")
    fine = {"name": "Camille Montpellier", "display": "full"}
    assert client.patch(ME, json=fine, headers=camille.headers).status_code == 200
