"""The whole story: hydrants of the demo city, adopted; snow foreseen over HTTP; reminders by SMTP;
the answer by its link; care logged, and nothing neglected."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from accounts.rules import Role
from app.city import load_city
from app.city_reading import read_city
from assets.adoption.models import Adoption
from assets.campaigns.models import CampaignRound
from assets.care.models import Care
from assets.models import Asset, AssetKind
from core.clock import utc_now
from core.db import transaction
from geo import jurisdictions
from geo.models import Jurisdiction
from notifications.models import Delivery
from tests.assets.test_weather import sky
from tests.factories import new_citizen, new_staff
from tests.notifications.test_email import Mailbox, serving
from tests.workers.driving import run_pipeline
from workers import campaigning

CITIES = Path(__file__).parents[2] / "cities"


def test_from_the_import_of_hydrants_to_an_empty_list_of_neglected_ones(
    committed_db: Flask, new_app: Callable[..., Flask]
) -> None:
    mailbox = Mailbox()
    with serving(mailbox) as smtp, sky() as server:
        app = new_app(
            smtp_url=f"smtp://{smtp}",
            weather_forecast_url=f"{server.url}/forecast",
            outgoing_allow="127.0.0.1",
        )
        server.answers["/forecast"] = (503, b"")
        tell_the_story(app, mailbox, server.answers)


def tell_the_story(app: Flask, mailbox: Mailbox, weather: dict[str, tuple[int, bytes]]) -> None:
    client = app.test_client()
    with app.app_context(), transaction() as session:
        load_city(session, read_city(CITIES / "boston"))
        jurisdictions.forget()
        boston = session.scalars(sa.select(Jurisdiction)).one()
        # Whatever the day of the test, it is winter.
        session.scalars(sa.select(AssetKind)).one().season = None
        boston.version += 1
        coordinator = new_staff(session, boston, Role.COORDINATOR, locale="en")
        ana, ben = new_citizen(session, locale="en"), new_citizen(session, locale="fr")
        hydrants = session.scalars(sa.select(Asset).order_by(Asset.code).limit(7)).all()
        assert session.scalar(sa.select(sa.func.count()).select_from(Asset)) == 13253
        codes, ids = [each.code for each in hydrants], [each.id for each in hydrants]
        emails = [str(who.person.email) for who in (ana, ben)]
        headers = [who.headers for who in (ana, ben)]
        staff = coordinator.headers
    for asset_id, signed in zip(ids, [headers[0]] * 6 + [headers[1]], strict=True):
        adopt(client, asset_id, signed)
    with app.app_context(), transaction() as session:
        session.execute(sa.update(Adoption).values(begun_at=utc_now() - timedelta(days=40)))
    run_pipeline(app)
    mailbox.letters.clear()
    assert len(neglected(client, staff)) == 7

    made = client.post(
        "/api/v1/campaigns",
        json={
            "jurisdiction": "boston",
            "name": "Snow",
            "kind": "hydrant",
            "starts_on": str(utc_now().date() - timedelta(days=1)),
            "ends_on": str(utc_now().date() + timedelta(days=90)),
            "words": {
                "en": {"subject": "{weather}", "text": "Please clear {asset}."},
                "fr": {"subject": "{weather}", "text": "Dégagez {asset}, merci."},
            },
            "trigger": {"forecast": {"snowfall_cm": 5}},
            "follow_up_h": 3,
        },
        headers=staff,
    )
    assert made.status_code == 201, made.json
    assert made.json["action"] == "cleared"
    assert made.json["remarks"] == []

    # The weather service is away, and then foresees snow; two beats tell it once.
    beat(app)
    assert mailbox.letters == []
    weather["/forecast"] = (200, snow().encode())
    beat(app)
    beat(app)
    assert len(mailbox.letters) == 2
    to_ana, to_ben = by_address(mailbox, emails)
    assert re.search(r"^12 cm of snow, from \w+ \d+ \w+, about \d\d:00$", to_ana["Subject"])
    assert re.search(r"^12 cm de neige, à partir de ", to_ben["Subject"])
    for code in codes[:6]:
        assert f"Fire hydrant {code}" in text_of(to_ana)
    assert f"Dégagez Borne d’incendie {codes[6]}, merci." in text_of(to_ben)
    assert "/leave-campaigns/" in to_ana["List-Unsubscribe"]

    # It has snowed. They are asked, and answer by link.
    mailbox.letters.clear()
    with app.app_context(), transaction() as session:
        session.execute(sa.update(CampaignRound).values(follow_up_at=utc_now()))
    with app.app_context():
        campaigning.keep_campaigns()
        campaigning.keep_campaigns()
    run_pipeline(app)
    assert len(mailbox.letters) == 2
    to_ana, to_ben = by_address(mailbox, emails)
    links = [link_in(line) for line in text_of(to_ana).splitlines() if "/clear/" in line]
    assert len(links) == 7
    for link in {*links, link_in(text_of(to_ben))}:
        assert client.get(link).status_code == 200
    assert not cared(app)
    for link in links[:2]:
        assert client.post(link, data={"choice": "clear"}).status_code == 200
    # The last link of a letter is for all.
    assert "It is noted" in client.post(links[6], data={"choice": "clear"}).text
    assert len(neglected(client, staff)) == 1
    assert client.post(link_in(text_of(to_ben)), data={"choice": "clear"}).status_code == 200

    assert sorted(cared(app)) == sorted((code, "cleared") for code in codes)
    assert neglected(client, staff) == []
    url = f"/api/v1/campaigns/{made.json['id']}/rounds"
    [sent] = client.get(url, headers=staff).json["items"]
    assert (sent["recipients"], sent["assets"], sent["answers"]) == (2, 7, {"clear": 7})
    with app.app_context(), transaction() as session:
        assert set(session.scalars(sa.select(Delivery.state))) == {"sent"}


def adopt(client: FlaskClient, asset_id: UUID, headers: dict[str, str]) -> None:
    made = client.post(f"/api/v1/assets/{asset_id}/adoption", json={}, headers=headers)
    assert made.status_code == 201, made.json


def beat(app: Flask) -> None:
    """One turn of the clock, as if the lease of the last look were over."""
    with app.app_context():
        with transaction() as session:
            session.execute(sa.text("UPDATE weather_looks SET next_look_at = now()"))
        campaigning.look_at_weather()
    run_pipeline(app)


def snow() -> str:
    """Twelve centimetres in the next half day, in the format of Open-Meteo."""
    first = utc_now().replace(minute=0, second=0, microsecond=0)
    hours = [int((first + timedelta(hours=at)).timestamp()) for at in range(96)]
    return json.dumps(
        {
            "utc_offset_seconds": 0,
            "hourly_units": {"snowfall": "cm"},
            "hourly": {"time": hours, "snowfall": [0.0] * 4 + [1.5] * 8 + [0.0] * 84},
        }
    )


def by_address(mailbox: Mailbox, emails: list[str]) -> list[EmailMessage]:
    letters = {str(letter["To"]): letter for letter in mailbox.letters}
    return [letters[email] for email in emails]


def text_of(letter: EmailMessage) -> str:
    part = letter.get_body(("plain",))
    assert part is not None
    text: str = part.get_content()
    return text


def link_in(text: str) -> str:
    """The path of the last link of a text."""
    parts = urlsplit(re.findall(r"https?://\S+/clear/\S+", text)[-1])
    return f"{parts.path}?{parts.query}"


def neglected(client: FlaskClient, staff: dict[str, str]) -> list[str]:
    answer = client.get("/api/v1/volunteers/boston/neglected", headers=staff)
    return [each["asset"]["code"] for each in answer.json["items"]]


def cared(app: Flask) -> list[tuple[str, str]]:
    with app.app_context(), transaction() as session:
        rows = session.execute(
            sa.select(Asset.code, Care.action).join(Asset, Asset.id == Care.asset_id)
        )
        return [(row.code, row.action) for row in rows]
