"""The page of a street asset, in both languages."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from assets.vocabulary import AssetState
from core.ids import new_id
from reports.vocabulary import Status, Visibility
from tests.factories import (
    new_asset,
    new_asset_kind,
    new_jurisdiction,
    new_report,
    new_service,
    new_team,
)


def text_of(client: FlaskClient, url: str) -> str:
    """What a reader sees."""
    answer = client.get(url)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.get_data(as_text=True)))


@pytest.mark.parametrize(
    ("lang", "told"),
    [
        (
            "fr",
            [
                "Borne n° F-7",
                "Trois Grâces",
                "En service.",
                "Espaces verts",
                "Matière Pierre",
                "personne encore : vous pouvez l’adopter",
                "Fuite",
                "Un signalement passé, traité.",
                "Signaler un problème",
            ],
        ),
        (
            "en",
            [
                "Fountain no. F-7",
                "Trois Grâces",
                "In service.",
                "Parks",
                "Material Stone",
                "nobody yet: it can be adopted",
                "Leak",
                "One earlier report was dealt with.",
                "Report a problem",
            ],
        ),
    ],
)
def test_an_asset_shows_what_it_is_and_what_is_open(
    client: FlaskClient, session: Session, lang: str, told: list[str]
) -> None:
    city = new_jurisdiction(session, contact={"email": "mairie@ville.example"})
    team = new_team(session, city, names={"fr": "Espaces verts", "en": "Parks"})
    kind = new_asset_kind(
        session,
        city,
        names={"fr": "Borne", "en": "Fountain"},
        owner_team_id=team.id,
        attributes=[
            {"code": "name", "datatype": "string", "names": {"fr": "Nom", "en": "Name"}},
            {
                "code": "material",
                "datatype": "singlevaluelist",
                "names": {"fr": "Matière", "en": "Material"},
                "values": [{"key": "s", "names": {"fr": "Pierre", "en": "Stone"}}],
            },
        ],
    )
    asset = new_asset(
        session, kind, code="F-7", attributes={"name": "Trois Grâces", "material": "s"}
    )
    service = new_service(session, city, names={"fr": "Fuite", "en": "Leak"})
    new_report(session, service, status=Status.TRIAGED, asset_id=asset.id)
    new_report(session, service, status=Status.CLOSED, asset_id=asset.id)
    hidden = new_service(session, city, names={"fr": "Caché", "en": "Hidden"})
    new_report(session, hidden, asset_id=asset.id, visibility=Visibility.HELD.value)
    shown = text_of(client, f"/assets/{asset.id}?lang={lang}")
    for words in told:
        assert words in shown
    assert "Caché" not in shown
    assert "Hidden" not in shown


def test_one_that_is_gone_says_so_and_takes_no_reports(
    client: FlaskClient, session: Session
) -> None:
    city = new_jurisdiction(session, contact={"url": "https://ville.example/signaler"})
    kind = new_asset_kind(session, city)
    there, gone = (
        new_asset(session, kind, state=state)
        for state in (AssetState.OUT_OF_ORDER, AssetState.REMOVED)
    )
    page = client.get(f"/assets/{there.id}?lang=en").get_data(as_text=True)
    assert 'href="https://ville.example/signaler"' in page
    assert "Out of order." in page
    page = client.get(f"/assets/{gone.id}?lang=en").get_data(as_text=True)
    assert "Not there any more." in page
    assert "ville.example/signaler" not in page


def test_what_is_not_in_the_register_is_not_found(client: FlaskClient) -> None:
    assert client.get(f"/assets/{new_id()}").status_code == 404
