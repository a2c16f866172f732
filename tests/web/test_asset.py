"""The page of a street asset, in both languages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.cookies import CSRF_FIELD, PLAIN_NAME
from assets import register
from assets.adoption.models import AdoptionWait
from assets.care.models import CareCall
from assets.corrections.models import Correction
from assets.models import Asset
from assets.photo_models import AssetPhoto
from assets.register import Change, Said
from assets.vocabulary import AssetState, Origin
from core.clock import utc_now
from core.ids import new_id
from geo.measures import destination
from reports.vocabulary import Status, Visibility
from tests.factories import (
    COMEDIE,
    new_adoption,
    new_asset,
    new_asset_kind,
    new_jurisdiction,
    new_person,
    new_report,
    new_service,
    new_team,
    stored,
)
from tests.reports.test_intake import photo
from tests.web.browsing import browse_as


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


# -- looking after it ------------------------------------------------------------------------------


def post(client: FlaskClient, asset: Asset, form: str, csrf: str, **fields: Any) -> Any:
    return client.post(f"/assets/{asset.id}/{form}?lang=en", data={CSRF_FIELD: csrf, **fields})


def shown(client: FlaskClient, asset: Asset, more: str = "") -> str:
    return text_of(client, f"/assets/{asset.id}?lang=en{more}")


def test_a_free_one_is_adopted_from_its_page_and_shows_the_name_by_choice(
    client: FlaskClient, session: Session
) -> None:
    asset = new_asset(session)
    assert "Sign in to adopt it" in shown(client, asset)
    refused = client.post(f"/assets/{asset.id}/volunteer", data={"choice": "adopt"})
    assert refused.status_code == 401
    ana = new_person(session, name="Ana Lopez", display="first")
    csrf = browse_as(client, session, ana)
    assert "Adopt it" in shown(client, asset)
    assert post(client, asset, "volunteer", "wrong", choice="adopt").status_code == 403
    answer = post(client, asset, "volunteer", csrf, choice="adopt", shows_name="yes")
    assert (answer.status_code, answer.location) == (
        303,
        f"/assets/{asset.id}?done=adopted&lang=en",
    )
    page = shown(client, asset, "&done=adopted")
    assert "It is yours now" in page
    assert "You look after it: thank you." in page
    client.delete_cookie(PLAIN_NAME)
    assert "Looked after by Ana" in shown(client, asset)
    assert "Lopez" not in shown(client, asset)
    again = browse_as(client, session, ana)
    assert post(client, asset, "volunteer", again, choice="adopt").status_code == 409
    assert post(client, asset, "volunteer", again, choice="sell").status_code == 404


def test_of_a_taken_one_the_page_offers_the_list_and_the_nearest_free_ones(
    client: FlaskClient, session: Session
) -> None:
    kind = new_asset_kind(session, names={"fr": "Borne", "en": "Hydrant"})
    asset = new_asset(session, kind, code="H-1")
    new_adoption(session, asset, name="Hector")
    # The name is the hydrant's, not the volunteer's.
    assert "Hydrant H-1 “Hector”" in shown(client, asset)
    assert "a volunteer “Hector”" not in shown(client, asset)
    assert "Nearby, all of them are looked after." in shown(client, asset)
    new_asset(session, kind, code="H-2", point=destination(COMEDIE, 90.0, 120.0))
    csrf = browse_as(client, session, new_person(session))
    late = post(client, asset, "volunteer", csrf, choice="adopt")
    assert late.status_code == 409
    assert "Somebody else was quicker" in late.text
    page = shown(client, asset)
    assert "Hydrant H-2" in page
    assert "120 m away" in page
    assert post(client, asset, "volunteer", csrf, choice="wait").status_code == 303
    page = shown(client, asset, "&done=waiting")
    assert "We write to you when it is your turn." in page
    assert "Wait no more" in page
    assert [row.state for row in stored(session, AdoptionWait)] == ["waiting"]
    assert post(client, asset, "volunteer", csrf, choice="leave").status_code == 303
    assert post(client, asset, "volunteer", csrf, choice="leave").status_code == 404


def test_a_passer_by_says_that_it_needs_care_once_an_hour(
    client: FlaskClient, session: Session
) -> None:
    asset = new_asset(session)
    called = client.post(f"/assets/{asset.id}/needs-care?lang=en")
    assert (called.status_code, called.location) == (
        303,
        f"/assets/{asset.id}?done=called&lang=en",
    )
    again = client.post(f"/assets/{asset.id}/needs-care?lang=en")
    assert again.status_code == 429
    assert "Somebody has said so within the hour" in again.text
    assert len(stored(session, CareCall)) == 1
    assert client.post(f"/assets/{new_id()}/needs-care").status_code == 404


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"what": "gone", "note": "A wall stands there"}, 303, None),
        ({"what": "moved", "lat": "43,6095", "lon": "3.8801"}, 303, None),
        ({"what": "attribute", "attribute": "name", "value": "New"}, 303, None),
        ({"what": "moved", "lat": "north", "lon": "3.88"}, 422, "Something is missing"),
        ({"what": "moved", "lat": "nan", "lon": "3.88"}, 422, "Something is missing"),
        ({"what": "moved", "lat": "48.85", "lon": "2.35"}, 422, "outside the city"),
        ({"what": "attribute", "attribute": "colour", "value": "x"}, 422, "does not fit"),
        ({"what": "attribute", "attribute": "name", "value": "Old"}, 409, "says so already"),
        ({"what": "gone", "note": "x" * 1001}, 422, "Something is missing"),
        ({"what": "missing"}, 404, None),
    ],
)
def test_the_register_is_corrected_from_the_page(
    client: FlaskClient, session: Session, fields: dict[str, str], status: int, said: str | None
) -> None:
    asset = new_asset(session, attributes={"name": "Old"})
    csrf = browse_as(client, session, new_person(session))
    answer = post(client, asset, "correct", csrf, **fields)
    assert answer.status_code == status
    assert said is None or said in answer.text
    assert len(stored(session, Correction)) == (status == 303)
    if status == 303:
        assert answer.location.startswith(f"/assets/{asset.id}?done=proposed")


def test_a_photo_comes_with_a_correction_and_the_same_word_again_confirms(
    client: FlaskClient, session: Session
) -> None:
    asset = new_asset(session)
    csrf = browse_as(client, session, new_person(session))
    sent = post(client, asset, "correct", csrf, what="gone", photos=(photo(), "a.jpg"))
    assert sent.location.startswith(f"/assets/{asset.id}?done=proposed")
    [correction] = stored(session, Correction)
    assert [row.id for row in stored(session, AssetPhoto)] == [correction.photo_id]
    csrf = browse_as(client, session, new_person(session))
    same = post(client, asset, "correct", csrf, what="gone")
    assert same.location.startswith(f"/assets/{asset.id}?done=confirmed")


# -- history ---------------------------------------------------------------------------------------


def test_past_reports_and_versions_have_second_pages(client: FlaskClient, session: Session) -> None:
    city = new_jurisdiction(session)
    asset = new_asset(session, new_asset_kind(session, city))
    service = new_service(session, city, names={"fr": "Fuite", "en": "Leak"})
    reports = [
        new_report(session, service, status=Status.CLOSED, asset_id=asset.id) for _ in range(13)
    ]
    for number in range(12):
        change = Change(state=list(AssetState)[number % 2 ^ 1])
        register.change(session, asset, change, by=Said(Origin.STAFF), now=utc_now())
    first = client.get(f"/assets/{asset.id}?lang=en").text
    numbers = {str(report.number) for report in reports}

    def listed(page: str) -> set[str]:
        return numbers & set(re.findall(r"Report (\d+), Leak", page))

    assert len(listed(first)) == 10
    [past] = re.findall(r"[?&;]past=([\w-]+)", first)
    second = client.get(f"/assets/{asset.id}?lang=en&past={past}").text
    assert len(listed(second)) == 3
    assert listed(first) | listed(second) == numbers
    [before] = re.findall(r"[?&;]history=(\d+)", first)
    older = client.get(f"/assets/{asset.id}?lang=en&history={before}").text
    assert first.count("by the city") == 10
    assert (older.count("by the city"), older.count("from the city")) == (2, 1)
    for wrong in ("history=x", "history=0", "history=99999999999", "past=x", "past=WzFd"):
        assert client.get(f"/assets/{asset.id}?{wrong}").status_code == 404


def test_one_that_nobody_has_said_anything_about_says_so(
    client: FlaskClient, session: Session
) -> None:
    asset = new_asset(session, new_asset_kind(session, is_adoptable=False))
    page = shown(client, asset)
    assert "Nothing is open." in page
    assert "Look after it" not in page
    assert "Entered" in page
    assert "needs care" not in page
