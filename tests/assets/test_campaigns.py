"""Campaigns: whom they reach, when they go out by themselves, what is answered, what is refused."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.models import AuditEntry
from accounts.people_data import Who
from accounts.rules import Role
from assets.adoption import claiming
from assets.campaigns import answering, keeping, sending
from assets.campaigns.models import (
    Campaign,
    CampaignAsk,
    CampaignLetter,
    CampaignRefusal,
    CampaignRound,
)
from assets.campaigns.rules import (
    ANSWERED_WITHIN,
    filled,
    is_on,
    may_follow,
    most_without_asking,
    next_due,
    unknown_placeholders,
)
from assets.campaigns.vocabulary import Answer, Repeat
from assets.care.models import Care, CareCall
from assets.models import Asset, AssetKind
from assets.people_data import erase, held
from assets.rules import Season
from assets.weather import watching
from assets.weather.models import WeatherEvent, WeatherLook
from assets.weather.providers import Outlook, Providers, WeatherAwayError, Where
from assets.weather.rules import (
    Alert,
    AlertArea,
    AlertInfo,
    Forecast,
    Hour,
    cancelled,
)
from assets.weather.vocabulary import Measure, Severity, Source
from core.clock import utc_now
from core.db import transaction
from core.models import OutboxEvent
from core.outbox import Event
from core.tokens import Purpose, token_for
from geo import jurisdictions
from geo.loading import touch
from geo.measures import Point
from geo.models import Jurisdiction
from notifications.announcing import announce
from notifications.channels.folder import FolderCarrier
from notifications.models import Delivery
from notifications.vocabulary import Channel
from tests.conftest import SECRET_KEY
from tests.factories import (
    COMEDIE,
    SignedIn,
    new_adoption,
    new_area,
    new_asset,
    new_asset_kind,
    new_campaign,
    new_citizen,
    new_jurisdiction,
    new_person,
    new_staff,
    square,
    stored,
)
from tests.notifications.conftest import letters, send_due
from workers import campaigning

#: A Tuesday, noon in Paris.
NOW = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

PARIS = ZoneInfo("Europe/Paris")

CARE = {
    "actions": [
        {"code": "leak", "names": {"fr": "Fuite", "en": "Leak"}, "is_problem": True},
        {"code": "cleared_snow", "names": {"fr": "Déneigée", "en": "Snow cleared"}},
    ],
    "every_days": 14,
}

SNOW = {"trigger": "weather", "awaited": {"thresholds": {"snowfall_cm": 5.0}, "within_h": 24}}


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def kind(session: Session, city: Jurisdiction) -> AssetKind:
    return new_asset_kind(session, city, names={"fr": "Borne", "en": "Hydrant"}, care=CARE)


@pytest.fixture
def coordinator(session: Session, city: Jurisdiction) -> SignedIn:
    return new_staff(session, city, Role.COORDINATOR, locale="en")


def body(city: Jurisdiction, of: AssetKind, **values: Any) -> dict[str, Any]:
    today = utc_now().date()
    return {
        "jurisdiction": city.code,
        "name": "Snow",
        "kind": of.code,
        "starts_on": str(today),
        "ends_on": str(today + timedelta(days=90)),
        "words": {
            "fr": {"subject": "Il va neiger", "text": "Dégagez {asset}, merci."},
            "en": {"subject": "Snow is coming", "text": "Please clear {asset}."},
        },
        **values,
    }


def make(client: FlaskClient, who: SignedIn, sent: dict[str, Any]) -> Any:
    return client.post("/api/v1/campaigns", json=sent, headers=who.headers)


def adopted(
    session: Session, kind: AssetKind, count: int = 1, locale: str = "en", **values: Any
) -> list[Any]:
    person = new_person(session, locale=locale)
    return [new_adoption(session, new_asset(session, kind, **values), person) for _ in range(count)]


def snow(now: datetime, *, starts_h: int = 6, lasts_h: int = 6, cm: float = 10.0) -> Forecast:
    """A forecast of three days: that much snow, from so many hours on."""
    first = now.replace(minute=0, second=0, microsecond=0)
    return Forecast(
        [
            Hour(
                first + HOUR * at,
                {
                    Measure.SNOWFALL_CM: cm / lasts_h if starts_h < at <= starts_h + lasts_h else 0,
                    Measure.COLD_C: -2.0,
                },
            )
            for at in range(73)
        ]
    )


def where(session: Session, city: Jurisdiction) -> Where:
    place = jurisdictions.by_id(session, city.id)
    return Where(place.code, COMEDIE, place.boundary)


def looked(session: Session, city: Jurisdiction, now: datetime) -> None:
    watching.claim(session, [city.id], list(Source), now=now)


def consider(
    session: Session,
    city: Jurisdiction,
    campaign: Campaign,
    outlook: Outlook,
    now: datetime,
    limit: int = 500,
) -> CampaignRound | None:
    looked(session, city, now)
    place = where(session, city)
    watching.take_back(session, city.id, cancelled(outlook.alerts or (), now), now=now)
    return sending.by_weather(session, campaign.id, outlook, place, limit=limit, now=now)


def heard(session: Session, *names: str) -> list[Event]:
    rows = session.scalars(sa.select(OutboxEvent).order_by(OutboxEvent.id)).all()
    return [
        Event(row.id, row.name, row.subject_id, row.jurisdiction_id, row.data, None, NOW)
        for row in rows
        if row.name in names
    ]


def tell(session: Session, outbox: Path, *names: str, now: datetime = NOW) -> list[str]:
    """The letters that these events made."""
    announce(session, heard(session, *names), now=now)
    before = set(outbox.glob("*.txt")) if outbox.exists() else set()
    send_due(session, dict.fromkeys(Channel, FolderCarrier(outbox)), now=now)
    return [path.read_text() for path in sorted(set(outbox.glob("*.txt")) - before)]


# -- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("Clear {asset} by {day}: {weather}", []),
        ("Dear {name}", ["name"]),
        ("{asset.__class__}", ["asset.__class__"]),
        ("{0}", ["0"]),
        ("{}", [""]),
        ("a { b", ["{"]),
        ("{{asset}}", ["{", "}"]),
    ],
)
def test_words_hold_known_placeholders_only(text: str, unknown: list[str]) -> None:
    assert unknown_placeholders(text) == unknown


def test_a_placeholder_without_a_value_leaves_no_hole() -> None:
    assert filled("Now {weather} in {city}.", {"city": "Boston"}) == "Now in Boston."
    for text, without in (
        ("{weather}. Please clear {city}.", "Please clear Boston."),
        ("It matters. {weather}! Go.", "It matters. Go."),
        ("Dégagez {city} : {weather}.", "Dégagez Boston."),
        ("Snow ({weather}) in {city}", "Snow in Boston"),
        ("{weather}", ""),
        ("Hello\n{weather}.\nGo to {city}.", "Hello\n\nGo to Boston."),
    ):
        assert filled(text, {"weather": "", "city": "Boston"}) == without
    # What is filled in is not filled in again.
    assert filled("{asset}", {"asset": "{city}", "city": "Boston"}) == "{city}"


@pytest.mark.parametrize(
    ("day", "on"),
    [
        (date(2026, 11, 20), True),
        (date(2026, 11, 19), False),
        (date(2027, 3, 31), True),
        (date(2027, 4, 1), False),
        (date(2027, 12, 1), False),
    ],
)
def test_a_campaign_is_on_in_its_window_and_season(day: date, on: bool) -> None:
    season = Season((11, 15), (3, 31))
    assert is_on(day, date(2026, 11, 20), date(2027, 11, 1), season) is on


@pytest.mark.parametrize(
    ("first", "repeat", "after", "due"),
    [
        ("2026-12-01T09:00", Repeat.ONCE, "2026-11-01T00:00Z", "2026-12-01T08:00Z"),
        ("2026-12-01T09:00", Repeat.ONCE, "2026-12-02T00:00Z", None),
        ("2026-12-01T09:00", Repeat.MONTHLY, "2026-12-02T00:00Z", "2027-01-01T08:00Z"),
        # April and summer are out of season; the window ends in the next December.
        ("2026-12-01T09:00", Repeat.MONTHLY, "2027-03-02T00:00Z", "2027-12-01T08:00Z"),
        ("2026-12-31T09:00", Repeat.MONTHLY, "2027-02-01T00:00Z", "2027-02-28T08:00Z"),
        ("2026-12-01T09:00", Repeat.WEEKLY, "2026-12-01T08:00:01Z", "2026-12-08T08:00Z"),
        ("2026-12-01T09:00", Repeat.YEARLY, "2026-12-02T00:00Z", "2027-12-01T08:00Z"),
        # The clock leaves 02:30 out on that night; it comes an hour later.
        ("2027-03-28T02:30", Repeat.ONCE, "2027-03-01T00:00Z", "2027-03-28T01:30Z"),
    ],
)
def test_the_calendar_knows_when_it_is_due_by_the_citys_clock(
    first: str, repeat: Repeat, after: str, due: str | None
) -> None:
    found = next_due(
        datetime.fromisoformat(first),
        repeat,
        datetime.fromisoformat(after),
        zone=PARIS,
        window=(date(2026, 11, 1), date(2027, 12, 31)),
        season=Season((11, 15), (3, 31)),
    )
    assert found == (datetime.fromisoformat(due) if due else None)


def test_a_confirmed_number_may_grow_a_little() -> None:
    assert most_without_asking(500, None) == 500
    assert most_without_asking(500, 600) == 720
    assert most_without_asking(500, 10) == 500


def test_what_is_clear_is_answered_for_good() -> None:
    assert may_follow(None, Answer.NOT_YET)
    assert may_follow(Answer.NOT_YET, Answer.CLEAR)
    assert may_follow(Answer.HELP, Answer.NOT_YET)
    assert not may_follow(Answer.NOT_YET, Answer.NOT_YET)
    assert not may_follow(Answer.CLEAR, Answer.HELP)


# -- making ---------------------------------------------------------------------------------------


def test_a_coordinator_makes_reads_changes_and_ends_a_campaign(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn,
) -> None:  # fmt: skip
    adopted(session, kind)
    sent = body(
        city, kind, trigger={"forecast": {"snowfall_cm": 5, "within_h": 12}},
        season={"from": "11-15", "to": "03-31"}, area=None,
    )  # fmt: skip
    made = make(client, coordinator, sent)
    assert made.status_code == 201, made.json
    assert made.json["action"] == "cleared_snow"
    assert made.json["trigger"] == {"forecast": {"snowfall_cm": 5.0, "within_h": 12}}
    assert made.json["remarks"] == [
        {"code": "nobody_asked_about_weather", "language": None, "length": None}
    ]
    url = f"/api/v1/campaigns/{made.json['id']}"
    read = client.get(url, headers=coordinator.headers)
    assert read.headers["ETag"] == made.headers["ETag"] == '"1"'
    changed = client.patch(
        url, json={"name": "Frost", "trigger": {"forecast": {"cold_c": -5}}},
        headers={**coordinator.headers, "If-Match": '"1"'},
    )  # fmt: skip
    assert (changed.status_code, changed.json["name"]) == (200, "Frost")
    assert changed.json["trigger"] == {"forecast": {"cold_c": -5.0, "within_h": 24}}
    assert changed.json["words"] == sent["words"]
    stale = client.patch(
        url, json={"name": "x"}, headers={**coordinator.headers, "If-Match": '"1"'}
    )
    assert stale.status_code == 412
    for state in ("paused", "active", "ended"):
        told = client.post(f"{url}/state", json={"state": state}, headers=coordinator.headers)
        assert (told.status_code, told.json["state"]) == (200, state)
    again = client.post(f"{url}/state", json={"state": "active"}, headers=coordinator.headers)
    assert (again.status_code, again.json["code"]) == (409, "campaign_over")
    assert len(stored(session, AuditEntry, action="campaign.changed")) == 5


def test_campaigns_are_listed_by_pages_and_state_to_those_who_coordinate_there(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn,
) -> None:  # fmt: skip
    for number in range(3):
        new_campaign(session, kind, name=str(number), state="paused" if number == 1 else "active")
    new_campaign(session, name="foreign")
    url = "/api/v1/campaigns"
    first = client.get(f"{url}?limit=2", headers=coordinator.headers).json
    rest = client.get(f"{url}?cursor={first['next']}", headers=coordinator.headers).json
    assert [each["name"] for each in first["items"] + rest["items"]] == ["2", "1", "0"]
    paused = client.get(f"{url}?state=paused", headers=coordinator.headers).json["items"]
    assert [each["name"] for each in paused] == ["1"]
    assert client.get(f"{url}?cursor=x", headers=coordinator.headers).status_code == 422
    citizen = new_citizen(session)
    assert client.get(url, headers=citizen.headers).status_code == 403
    other = new_staff(session, new_jurisdiction(session), Role.COORDINATOR)
    assert client.get(f"{url}?jurisdiction={city.code}", headers=other.headers).status_code == 404
    assert client.get(url, headers=other.headers).json["items"] == []


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"kind": "none"}, "unknown_kind"),
        ({"area": "wards:404"}, "unknown_area"),
        ({"area": "wards"}, "invalid"),
        ({"ends_on": "2020-01-01"}, "bad_window"),
        ({"starts_on": "2099-01-02", "ends_on": "2099-01-01"}, "bad_window"),
        ({"starts_on": "soon"}, "invalid"),
        ({"season": {"from": "02-30", "to": "03-01"}}, "bad_window"),
        ({"season": {"from": "13-01", "to": "03-01"}}, "invalid"),
        ({"words": {}}, "bad_words"),
        ({"words": {"en": {"subject": "Snow", "text": "  "}}}, "bad_words"),
        ({"words": {"en": {"subject": "", "text": "Snow"}}}, "invalid"),
        ({"words": {"en": {"subject": "Snow", "text": "Dear {name}"}}}, "bad_words"),
        ({"words": {"en": {"subject": "{snow", "text": "Snow"}}}, "bad_words"),
        ({"words": {"de": {"subject": "Schnee", "text": "Schnee"}}}, "invalid"),
        ({"action": "painted"}, "unknown_action"),
        ({"action": "leak"}, "unknown_action"),
        ({"trigger": {"forecast": {}}}, "invalid"),
        ({"trigger": {"forecast": {"within_h": 4}}}, "invalid"),
        ({"trigger": {"forecast": {"snowfall_cm": -1}}}, "invalid"),
        ({"trigger": {"forecast": {"hail_cm": 1}}}, "invalid"),
        ({"trigger": {"forecast": {"cold_c": 1}, "alert": {}}}, "invalid"),
        ({"trigger": {"calendar": {"at": "2020-01-01T09:00"}}}, "bad_trigger"),
        ({"trigger": {"calendar": {"repeat": "weekly"}}}, "invalid"),
        ({"trigger": {"calendar": {"at": "2099-01-01T09:00+01:00"}}}, "invalid"),
        ({"trigger": {"alert": {"severity": "Dire"}}}, "invalid"),
        ({"cool_down_h": -1}, "invalid"),
        ({"follow_up_h": 0}, "invalid"),
        ({"created_by": "me"}, "invalid"),
    ],
)
def test_what_cannot_be_a_campaign_is_refused_by_name(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn, values: dict[str, Any], code: str,
) -> None:  # fmt: skip
    adopted(session, kind)
    answer = make(client, coordinator, body(city, kind, **values))
    assert (answer.status_code, answer.json["code"]) == (422, code), answer.json
    assert stored(session, Campaign) == []
    if code == "bad_words" and "name" in str(values["words"]):
        assert answer.json["placeholders"] == ["name"]


def test_a_kind_that_nobody_can_adopt_has_no_campaigns(
    client: FlaskClient, session: Session, city: Jurisdiction, coordinator: SignedIn
) -> None:
    lamp = new_asset_kind(session, city, is_adoptable=False)
    answer = make(client, coordinator, body(city, lamp))
    assert (answer.status_code, answer.json["code"]) == (409, "not_adoptable")


def test_a_campaign_that_would_reach_nobody_is_confirmed_first(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn,
) -> None:  # fmt: skip
    sent = body(city, kind)
    asked = make(client, coordinator, sent)
    assert (asked.status_code, asked.json["code"]) == (409, "confirmation_needed")
    assert (asked.json["reason"], asked.json["recipients"]) == ("nobody", 0)
    assert stored(session, Campaign) == []
    for forged in ("0.AAAAAAAAAAAAAAAAAAAAAA", "x", "9" * 60, asked.json["confirm"][:-1]):
        assert make(client, coordinator, {**sent, "confirm": forged}).status_code == 409
    confirmed = make(client, coordinator, {**sent, "confirm": asked.json["confirm"]})
    assert confirmed.status_code == 201, confirmed.json
    # There is still nobody to send it to.
    url = f"/api/v1/campaigns/{confirmed.json['id']}/rounds"
    answer = client.post(url, json={}, headers=coordinator.headers)
    assert (answer.status_code, answer.json["code"]) == (409, "nobody_to_tell")


def test_more_than_the_set_number_is_confirmed_and_only_for_that_kind_and_area(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn, monkeypatch: pytest.MonkeyPatch, app: Flask,
) -> None:  # fmt: skip
    limit_to(app, monkeypatch, 2)
    for _ in range(3):
        adopted(session, kind)
    other = new_asset_kind(session, city, care=CARE)
    for _ in range(3):
        adopted(session, other)
    asked = make(client, coordinator, body(city, kind))
    assert (asked.json["reason"], asked.json["recipients"]) == ("too_many", 3)
    confirm = asked.json["confirm"]
    foreign = make(client, coordinator, body(city, other, confirm=confirm))
    assert foreign.status_code == 409
    made = make(client, coordinator, body(city, kind, confirm=confirm))
    assert (made.status_code, made.json["confirmed"]) == (201, 3)
    url = f"/api/v1/campaigns/{made.json['id']}"
    # What was confirmed once is not asked again …
    sent = client.post(f"{url}/rounds", json={}, headers=coordinator.headers)
    assert (sent.status_code, sent.json["recipients"]) == (201, 3)
    # … until it is for somebody else.
    changed = client.patch(url, json={"kind": other.code}, headers=coordinator.headers)
    assert (changed.status_code, changed.json["code"]) == (409, "confirmation_needed")


def limit_to(app: Flask, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    from dataclasses import replace

    settings = replace(app.extensions["settings"], campaign_confirm_above=limit)
    monkeypatch.setitem(app.extensions, "settings", settings)


def test_the_preview_counts_and_shows_letters_without_a_name(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn,
) -> None:  # fmt: skip
    adopted(session, kind, count=4)
    adopted(session, kind, locale="fr", code="B-7")
    texted = new_person(session, phone="+33612345678", name="Secret")
    texted.email = None
    new_adoption(session, new_asset(session, kind), texted)
    long = {"subject": "Neige", "text": "x" * 200}
    sent = body(city, kind, words={"fr": long})
    shown = client.post("/api/v1/campaigns/preview", json=sent, headers=coordinator.headers)
    assert shown.status_code == 200, shown.json
    assert (shown.json["recipients"], shown.json["assets"]) == (3, 6)
    assert (shown.json["by_email"], shown.json["by_sms"]) == (2, 1)
    assert [each["code"] for each in shown.json["remarks"]] == [
        "too_long_for_sms", "language_missing",
    ]  # fmt: skip
    assert "Secret" not in shown.text
    assert "@" not in shown.text
    assert stored(session, Campaign) == []
    # A campaign that is sent by hand knows no weather: no word of it, and no empty subject.
    sent = body(city, kind, words={"en": {"subject": "{weather}", "text": "{weather}. Clear it."}})
    dry = client.post("/api/v1/campaigns/preview", json=sent, headers=coordinator.headers).json
    assert {"code": "no_weather_to_tell", "language": "en", "length": None} in dry["remarks"]
    assert {each["text"] for each in dry["examples"]} == {"Clear it."}
    assert all(each["subject"] for each in dry["examples"])
    made = make(client, coordinator, body(city, kind)).json
    examples = client.get(
        f"/api/v1/campaigns/{made['id']}/preview", headers=coordinator.headers
    ).json["examples"]
    assert {each["language"] for each in examples} == {"fr", "en"}
    several = next(each for each in examples if len(each["assets"]) == 4)
    assert several["text"].startswith("Please clear Hydrant ")
    assert "… (+1)." in several["text"]


# -- reaching -------------------------------------------------------------------------------------


def test_a_campaign_reaches_those_of_its_kind_and_area_who_can_be_reached(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn,
) -> None:  # fmt: skip
    area = new_area(session, city, code="centre")
    touch(session, city.id)
    [inside] = adopted(session, kind)
    adopted(session, kind, point=Point(COMEDIE.lat + 0.05, COMEDIE.lon))
    adopted(session, new_asset_kind(session, city))
    [gone] = adopted(session, kind)
    session.get_one(Asset, gone.asset_id).state = "removed"
    [ended] = adopted(session, kind)
    claiming.release(session, ended.person_id, ended.asset_id, now=NOW)
    [silent] = adopted(session, kind)
    from accounts.models import Person

    session.get_one(Person, silent.person_id).is_active = False
    [left] = adopted(session, kind)
    session.add(CampaignRefusal(person_id=left.person_id, jurisdiction_id=city.id, at=NOW))
    session.flush()
    made = make(client, coordinator, body(city, kind, area=f"{area.layer}:centre"))
    assert made.json["area"] == "quartiers:centre"
    url = f"/api/v1/campaigns/{made.json['id']}/rounds"
    sent = client.post(url, json={}, headers=coordinator.headers)
    assert (sent.json["recipients"], sent.json["assets"]) == (1, 1)
    assert [each.person_id for each in stored(session, CampaignLetter)] == [inside.person_id]


def test_six_hydrants_are_one_letter_that_lists_them(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn, tmp_path: Path,
) -> None:  # fmt: skip
    adoptions = adopted(session, kind, count=6)
    [alone] = adopted(session, kind, locale="fr", code="B-7")
    made = make(client, coordinator, body(city, kind)).json
    url = f"/api/v1/campaigns/{made['id']}/rounds"
    sent = client.post(url, json={}, headers=coordinator.headers)
    assert (sent.json["recipients"], sent.json["assets"]) == (2, 7)
    told = tell(session, tmp_path, "campaign.sent")
    # Announced again, nothing is sent again.
    assert tell(session, tmp_path, "campaign.sent") == []
    assert len(told) == 2
    english, french = sorted(told, key=lambda text: "Il va neiger" in text)
    for adoption in adoptions:
        assert f"- Hydrant {session.get_one(Asset, adoption.asset_id).code}" in english
    assert "Snow is coming" in english
    assert "Dégagez Borne B-7, merci." in french
    letter = session.scalars(
        sa.select(CampaignLetter).where(CampaignLetter.person_id == alone.person_id)
    ).one()
    assert f"/leave-campaigns/{letter.id}/" in french
    # Within the cool-down it does not go out again.
    again = client.post(url, json={}, headers=coordinator.headers)
    assert (again.status_code, again.json["code"]) == (409, "cooling_down")
    listed = client.get(url, headers=coordinator.headers).json["items"]
    assert [(each["recipients"], each["answers"]) for each in listed] == [(2, {"none": 7})]
    assert stored(session, AuditEntry, action="volunteers.addressed")


def test_a_paused_campaign_and_one_before_its_time_do_not_go_out(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn, tmp_path: Path,
) -> None:  # fmt: skip
    adopted(session, kind)
    later = utc_now().date() + timedelta(days=3)
    for values, code in (
        ({"state": "paused"}, "campaign_paused"),
        ({"state": "ended"}, "campaign_over"),
        ({"starts_on": later}, "not_its_time"),
    ):
        campaign = new_campaign(session, kind, **values)
        url = f"/api/v1/campaigns/{campaign.id}/rounds"
        answer = client.post(url, json={}, headers=coordinator.headers)
        assert (answer.status_code, answer.json["code"]) == (409, code)
    # Paused while its letter waits: the letter is not sent.
    sent = new_campaign(session, kind)
    client.post(f"/api/v1/campaigns/{sent.id}/rounds", json={}, headers=coordinator.headers)
    client.post(
        f"/api/v1/campaigns/{sent.id}/state", json={"state": "paused"}, headers=coordinator.headers
    )
    assert tell(session, tmp_path, "campaign.sent") == []
    assert [each.state for each in stored(session, Delivery)] == ["gone"]


def test_texts_wait_for_the_morning(
    session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Path
) -> None:
    person = new_person(session, phone="+33612345678", locale="fr")
    person.email = None
    new_adoption(session, new_asset(session, kind, code="B-7"), person)
    campaign = new_campaign(session, kind, now=NOW, **SNOW)
    night = NOW.replace(hour=22)
    assert consider(session, city, campaign, Outlook(snow(night)), night) is not None
    assert tell(session, tmp_path, "campaign.sent", now=night) == []
    [delivery] = stored(session, Delivery)
    assert delivery.channel == "sms"
    morning = delivery.next_attempt_at
    assert morning.astimezone(PARIS).hour == 8
    send_due(session, dict.fromkeys(Channel, FolderCarrier(tmp_path)), now=morning)
    [text] = letters(tmp_path)
    assert "Il va neiger" in text


# -- weather --------------------------------------------------------------------------------------


def test_snow_is_told_once_however_its_forecast_moves(
    session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Path
) -> None:
    adopted(session, kind, code="H-1")
    campaign = new_campaign(session, kind, now=NOW, cool_down_h=0, **SNOW)
    assert consider(session, city, campaign, Outlook(snow(NOW, cm=4.9)), NOW) is None
    first = consider(session, city, campaign, Outlook(snow(NOW)), NOW)
    assert first is not None
    assert first.follow_up_at == NOW + HOUR * 18
    for passed_h, starts_h in ((1, 2), (2, 9), (5, 10), (9, 0)):
        now = NOW + HOUR * passed_h
        outlook = Outlook(snow(now, starts_h=starts_h, lasts_h=8))
        assert consider(session, city, campaign, outlook, now) is None
    assert len(stored(session, CampaignRound)) == 1
    # The question is asked after the snow, whenever that is.
    [made] = stored(session, CampaignRound)
    assert made.follow_up_at == NOW + HOUR * (9 + 8 + 6)
    [text] = tell(session, tmp_path, "campaign.sent")
    assert "Please clear Hydrant H-1." in text
    # Snow of the next week is another one.
    later = NOW + timedelta(days=6)
    assert consider(session, city, campaign, Outlook(snow(later)), later) is not None


def test_the_letter_says_what_is_foreseen(
    session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Path
) -> None:
    words = {
        "en": {"subject": "{weather}", "text": "{count} in {city} on {day}: {asset}"},
        "fr": {"subject": "{weather}", "text": "{count} à {city} {day} : {asset}"},
    }
    for locale in ("en", "fr"):
        adopted(session, kind, locale=locale, code=f"H-{locale}")
    campaign = new_campaign(session, kind, now=NOW, words=words, **SNOW)
    consider(session, city, campaign, Outlook(snow(NOW)), NOW)
    english, french = sorted(tell(session, tmp_path, "campaign.sent"), key=lambda t: "neige" in t)
    assert "10 cm of snow, from Tuesday 24 November, about 18:00" in english
    assert "1 in City on Tuesday 24 November: Hydrant H-en" in english
    assert "10 cm de neige, à partir de mardi 24 novembre vers 18 h" in french


def test_the_cool_down_holds_between_two_events(
    session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    adopted(session, kind)
    campaign = new_campaign(session, kind, now=NOW, cool_down_h=24 * 10, **SNOW)
    assert consider(session, city, campaign, Outlook(snow(NOW)), NOW) is not None
    later = NOW + timedelta(days=6)
    assert consider(session, city, campaign, Outlook(snow(later)), later) is None
    after = NOW + timedelta(days=11)
    assert consider(session, city, campaign, Outlook(snow(after)), after) is not None


def test_two_campaigns_for_one_snow_write_about_a_hydrant_once(
    session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    new_area(session, city, code="centre")
    touch(session, city.id)
    jurisdictions.forget()
    [inside] = adopted(session, kind)
    [outside] = adopted(session, kind, point=Point(COMEDIE.lat + 0.05, COMEDIE.lon))
    near = new_campaign(session, kind, now=NOW, area_layer="quartiers", area_code="centre", **SNOW)
    everywhere = new_campaign(session, kind, now=NOW, **SNOW)
    first = consider(session, city, near, Outlook(snow(NOW)), NOW)
    second = consider(session, city, everywhere, Outlook(snow(NOW)), NOW)
    assert first is not None
    assert second is not None
    asked = {ask.adoption_id: ask.event_key for ask in stored(session, CampaignAsk)}
    assert set(asked) == {inside.id, outside.id}
    assert len(set(asked.values())) == 1
    assert (first.recipients, second.recipients) == (1, 1)


def test_stale_and_short_forecasts_are_not_believed(
    session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    adopted(session, kind)
    campaign = new_campaign(session, kind, now=NOW, **SNOW)
    old = Outlook(snow(NOW - timedelta(days=3)))
    short = Outlook(Forecast(snow(NOW).hours[:12]))
    unknown = Outlook(Forecast([Hour(hour.at, {}) for hour in snow(NOW).hours]))
    for outlook in (old, short, unknown, Outlook(None)):
        assert consider(session, city, campaign, outlook, NOW) is None
    assert stored(session, WeatherEvent) == []


def alert(
    identifier: str, kind: str = "Alert", *, refers: str = "", at: datetime = NOW, **values: Any
) -> Alert:
    polygon = [
        Point(lat, lon)
        for lon, lat in square(values.pop("centre", COMEDIE), 0.05)["coordinates"][0]
    ]
    info = AlertInfo(
        event=values.pop("event", "Snow/Ice Warning"),
        severity=values.pop("severity", Severity.SEVERE),
        starts_at=values.pop("starts_at", at + HOUR * 3),
        expires_at=values.pop("expires_at", at + HOUR * 20),
        area=AlertArea([polygon]),
    )
    return Alert(
        identifier=identifier,
        kind=kind,
        status=values.pop("status", "Actual"),
        scope=values.pop("scope", "Public"),
        sent_at=at,
        references=frozenset(refers.split()),
        infos=[info],
    )


ALERT = {"trigger": "weather", "awaited": {"events": ["snow"], "severity": "Moderate"}}


@pytest.mark.parametrize("is_foreseen_first", [True, False])
def test_a_forecast_and_an_alert_of_one_snow_are_told_once(
    session: Session, city: Jurisdiction, kind: AssetKind, is_foreseen_first: bool
) -> None:
    adopted(session, kind)
    values = [SNOW, ALERT] if is_foreseen_first else [ALERT, SNOW]
    first, second = (new_campaign(session, kind, now=NOW, **each) for each in values)
    outlook = Outlook(snow(NOW), alerts=[alert("a")])
    assert consider(session, city, first, outlook, NOW) is not None
    assert consider(session, city, second, outlook, NOW) is None
    assert consider(session, city, second, outlook, NOW + HOUR) is None
    # Who has adopted since has heard of neither.
    adopted(session, kind, code="B-8")
    told = consider(session, city, second, outlook, NOW + HOUR * 2)
    assert told is not None
    assert told.recipients == 1


def test_a_forecast_and_an_alert_of_something_else_are_both_told(
    session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    adopted(session, kind)
    storm = {"trigger": "weather", "awaited": {"events": [], "severity": "Moderate"}}
    foreseen, warned = (new_campaign(session, kind, now=NOW, **each) for each in (SNOW, storm))
    outlook = Outlook(snow(NOW), alerts=[alert("a", event="Vigilance orange vent violent")])
    assert consider(session, city, foreseen, outlook, NOW) is not None
    assert consider(session, city, warned, outlook, NOW) is not None


def test_an_alert_is_told_once_with_its_updates(
    session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Path
) -> None:
    adopted(session, kind)
    campaign = new_campaign(session, kind, now=NOW, cool_down_h=0, **ALERT)
    first = consider(session, city, campaign, Outlook(alerts=[alert("a")]), NOW)
    assert first is not None
    later = NOW + HOUR * 15
    updated = alert("b", "Update", refers="a", at=later, expires_at=later + timedelta(days=2))
    assert consider(session, city, campaign, Outlook(alerts=[updated]), later) is None
    # The chain goes on long after the first message.
    last_at = NOW + timedelta(days=2)
    last = alert("c", "Update", refers="b", at=last_at)
    assert consider(session, city, campaign, Outlook(alerts=[last]), last_at) is None
    [event] = stored(session, WeatherEvent)
    assert event.identifiers == ["a", "b", "c"]
    [text] = tell(session, tmp_path, "campaign.sent")
    assert "Snow is coming" in text


@pytest.mark.parametrize(
    "values",
    [
        {"event": "Wind Warning"},
        {"severity": Severity.MINOR},
        {"status": "Exercise"},
        {"status": "Test"},
        {"scope": "Restricted"},
        {"expires_at": NOW - HOUR},
        {"at": NOW + HOUR * 3},
        {"centre": Point(48.85, 2.35)},
        {"kind": "Cancel"},
        {"kind": "Error"},
    ],
)
def test_an_alert_that_is_not_meant_sets_nothing_off(
    session: Session, city: Jurisdiction, kind: AssetKind, values: dict[str, Any]
) -> None:
    adopted(session, kind)
    campaign = new_campaign(session, kind, now=NOW, **ALERT)
    given = {**values}
    made = alert("a", given.pop("kind", "Alert"), **given)
    assert consider(session, city, campaign, Outlook(alerts=[made]), NOW) is None


def test_a_cancelled_alert_is_not_told_late_and_not_asked_about(
    session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Path
) -> None:
    adopted(session, kind)
    campaign = new_campaign(session, kind, now=NOW, **ALERT)
    made = consider(session, city, campaign, Outlook(alerts=[alert("a")]), NOW)
    assert made is not None
    cancel = alert("b", "Cancel", refers="a", at=NOW + HOUR)
    consider(session, city, campaign, Outlook(alerts=[cancel]), NOW + HOUR)
    assert tell(session, tmp_path, "campaign.sent") == []
    assert sending.follow_up(session, now=NOW + timedelta(days=2)) == 1
    assert heard(session, "campaign.followed_up") == []


def test_a_weather_campaign_over_the_number_stops_and_tells_its_coordinator(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn, tmp_path: Path, app: Flask, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for _ in range(3):
        adopted(session, kind)
    campaign = new_campaign(session, kind, now=NOW, created_by=coordinator.id, **SNOW)
    assert consider(session, city, campaign, Outlook(snow(NOW)), NOW, limit=2) is None
    assert (campaign.state, campaign.held_because) == ("paused", "too_many")
    assert stored(session, CampaignRound) == []
    [text] = tell(session, tmp_path, "campaign.held")
    assert "A campaign waits for you: Neige" in text
    # It goes on once its coordinator has looked at the number.
    limit_to(app, monkeypatch, 2)
    url = f"/api/v1/campaigns/{campaign.id}/state"
    asked = client.post(url, json={"state": "active"}, headers=coordinator.headers)
    assert asked.json["recipients"] == 3
    sent = {"state": "active", "confirm": asked.json["confirm"]}
    gone_on = client.post(url, json=sent, headers=coordinator.headers)
    assert (gone_on.json["state"], gone_on.json["held_because"]) == ("active", None)
    assert consider(session, city, campaign, Outlook(snow(NOW)), NOW, limit=2) is not None


def test_a_campaign_whose_area_is_gone_stops(
    session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    adopted(session, kind)
    campaign = new_campaign(
        session, kind, now=NOW, area_layer="quartiers", area_code="none", **SNOW
    )
    assert consider(session, city, campaign, Outlook(snow(NOW)), NOW) is None
    assert campaign.held_because == "area_gone"


# -- the beat -------------------------------------------------------------------------------------


class Sky:
    """A provider that says what the test says, and counts who asks."""

    def __init__(self, forecast: Forecast | None) -> None:
        self.says = forecast
        self.asked = 0

    def forecast(self, where: Where, /) -> Forecast:
        self.asked += 1
        if self.says is None:
            raise WeatherAwayError("timeout")
        return self.says


def test_beats_at_once_send_once(committed_db: Flask) -> None:
    jurisdictions.forget()
    now = utc_now()
    with committed_db.app_context(), transaction() as session:
        kind = new_asset_kind(session, care=CARE)
        for _ in range(5):
            adopted(session, kind, count=2)
        new_campaign(session, kind, **SNOW)
        new_campaign(session, kind, **SNOW)
    sky = Sky(snow(now))
    sent: list[int] = []

    def beat() -> None:
        with committed_db.app_context():
            sent.append(campaigning.look(Providers(forecast=sky), {}))

    threads = [threading.Thread(target=beat) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sky.asked == 1
    # The second campaign is about the same assets and the same snow.
    assert sum(sent) == 1
    with committed_db.app_context(), transaction() as session:
        assert len(session.scalars(sa.select(CampaignLetter)).all()) == 5
        assert len(session.scalars(sa.select(CampaignAsk)).all()) == 10


def test_looks_at_once_without_a_lease_send_once(committed_db: Flask) -> None:
    """The lease spares calls; that nothing is sent twice hangs on the rows alone."""
    jurisdictions.forget()
    now = utc_now()
    with committed_db.app_context(), transaction() as session:
        kind = new_asset_kind(session, care=CARE)
        adopted(session, kind)
        city_id = kind.jurisdiction_id
        campaign_id = new_campaign(session, kind, cool_down_h=0, **SNOW).id
        watching.claim(session, [city_id], [Source.FORECAST], now=now)
    sent: list[bool] = []

    def work() -> None:
        with committed_db.app_context(), transaction() as session:
            place = jurisdictions.by_id(session, city_id)
            made = sending.by_weather(
                session, campaign_id, Outlook(snow(now)),
                Where(place.code, COMEDIE, place.boundary), limit=500, now=now,
            )  # fmt: skip
            sent.append(made is not None)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent) == [False] * 7 + [True]


def test_weather_that_is_away_is_counted_and_asked_again(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn, app: Flask,
) -> None:  # fmt: skip
    adopted(session, kind)
    new_campaign(session, kind, **SNOW)
    sky = Sky(None)
    with app.app_context():
        for _ in range(2):
            assert campaigning.look(Providers(forecast=sky), {}) == 0
            again_after_a_while(session)
    url = f"/api/v1/volunteers/{city.code}/weather"
    [shown] = client.get(url, headers=coordinator.headers).json["items"]
    assert (shown["source"], shown["failures"], shown["fault"]) == ("forecast", 2, "timeout")
    measured = client.get("/metrics").text
    labels = f'jurisdiction="{city.code}",source="forecast"'
    assert f"riverain_weather_failures{{{labels}}} 2.0" in measured
    sky.says = snow(utc_now())
    with app.app_context():
        assert campaigning.look(Providers(forecast=sky), {}) == 1
    [shown] = client.get(url, headers=coordinator.headers).json["items"]
    assert (shown["failures"], shown["fault"]) == (0, None)
    assert sky.asked == 3


def again_after_a_while(session: Session) -> None:
    session.execute(sa.update(WeatherLook).values(next_look_at=utc_now() - HOUR))


def test_nobody_is_asked_where_no_campaign_waits(
    session: Session, kind: AssetKind, app: Flask
) -> None:
    new_campaign(session, kind)
    new_campaign(session, kind, **{**SNOW, "state": "paused"})
    new_campaign(session, kind, season={"from": "07-01", "to": "07-01"}, **SNOW)
    sky = Sky(snow(utc_now()))
    with app.app_context():
        assert campaigning.look(Providers(forecast=sky), {}) == 0
    assert sky.asked == 0


def test_the_calendar_sends_once_and_knows_the_next_time(session: Session, kind: AssetKind) -> None:
    adopted(session, kind)
    campaign = new_campaign(
        session, kind, now=NOW, trigger="calendar", next_at=NOW,
        awaited={"at": "2026-11-24T12:00:00", "repeat": "weekly"},
    )  # fmt: skip
    assert sending.due_by_calendar(session, now=NOW - HOUR) == []
    assert sending.due_by_calendar(session, now=NOW) == [campaign.id]
    made = sending.by_calendar(session, campaign.id, limit=500, now=NOW)
    assert made is not None
    assert sending.by_calendar(session, campaign.id, limit=500, now=NOW) is None
    assert campaign.next_at == NOW + timedelta(days=7)
    # Everything stood still for a day: that turn is left out.
    late = NOW + timedelta(days=8)
    assert sending.by_calendar(session, campaign.id, limit=500, now=late) is None
    assert campaign.next_at == NOW + timedelta(days=14)


def test_a_campaign_ends_with_its_window_by_the_citys_calendar(
    session: Session, kind: AssetKind
) -> None:
    campaign = new_campaign(session, kind, now=NOW, ends_on=date(2026, 11, 24))
    # Half past midnight in Paris, still the day before in UTC.
    assert keeping.end_what_is_over(session, now=datetime(2026, 11, 24, 22, 30, tzinfo=UTC)) == 0
    assert keeping.end_what_is_over(session, now=datetime(2026, 11, 24, 23, 30, tzinfo=UTC)) == 1
    session.refresh(campaign)
    assert campaign.state == "ended"


# -- answering ------------------------------------------------------------------------------------


def followed_up(
    session: Session, city: Jurisdiction, kind: AssetKind, count: int = 1
) -> tuple[CampaignRound, list[CampaignAsk]]:
    """A round by hand whose question has just been asked."""
    adoptions = adopted(session, kind, count=count)
    now = utc_now() - HOUR * 6
    coordinator = new_person(session)
    campaign = new_campaign(session, kind, action="cleared_snow", follow_up_h=6)
    agreement = keeping.Agreement(limit=500, secret=SECRET_KEY)
    made = sending.by_hand(session, campaign, coordinator.id, agreement, now=now)
    assert sending.follow_up(session, now=utc_now()) == 1
    assert sending.follow_up(session, now=utc_now()) == 0
    asks = stored(session, CampaignAsk)
    assert {ask.adoption_id for ask in asks} == {each.id for each in adoptions}
    return made, list(asks)


def clear_url(row_id: UUID, token: str | None = None) -> str:
    return f"/clear/{row_id}/{token or token_for(SECRET_KEY, Purpose.CLEAR, row_id, 1)}?lang=en"


def test_the_question_has_a_link_for_each_asset(
    session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Path
) -> None:
    _, asks = followed_up(session, city, kind, count=3)
    [text] = tell(session, tmp_path, "campaign.followed_up", now=utc_now())
    for ask in asks:
        assert f"/clear/{ask.id}/" in text
    assert f"/clear/{asks[0].letter_id}/" in text
    assert "Is it clear? Snow is coming" in text


def test_who_has_cared_since_is_not_asked(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Path
) -> None:
    _, asks = followed_up(session, city, kind, count=2)
    neighbour = new_citizen(session)
    for ask in asks:
        client.post(
            f"/api/v1/assets/{ask.asset_id}/care",
            json={"action": "cleared_snow"},
            headers=neighbour.headers,
        )
    assert tell(session, tmp_path, "campaign.followed_up", now=utc_now()) == []
    assert stored(session, Delivery) == []


def test_the_link_shows_and_only_its_button_logs_care(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    _, [ask] = followed_up(session, city, kind)
    url = clear_url(ask.id)
    for _ in range(2):
        assert "Is it clear?" in client.get(url).text
        assert client.head(url).status_code == 200
    assert stored(session, Care) == []
    assert client.post(url, data={"choice": "sell"}).status_code == 404
    assert client.post(url).status_code == 404
    said = client.post(url, data={"choice": "clear", "asset": str(ask.id)})
    assert "It is noted that you cared for it." in said.text
    [care] = stored(session, Care)
    assert (care.action, care.adoption_id) == ("cleared_snow", ask.adoption_id)
    # Used: it says so, and counts once.
    assert client.get(url).status_code == 410
    used = client.post(url, data={"choice": "clear"})
    assert (used.status_code, "does not work any more" in used.text) == (410, True)
    assert len(stored(session, Care)) == 1
    [event] = heard(session, "campaign.answered")
    assert event.data["answer"] == "clear"


def test_not_yet_can_be_followed_by_clear(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    _, [ask] = followed_up(session, city, kind)
    url = clear_url(ask.id)
    assert "come back to this page" in client.post(url, data={"choice": "not_yet"}).text
    assert "You said: not yet." in client.get(url).text
    assert client.post(url, data={"choice": "not_yet"}).status_code == 410
    assert client.post(url, data={"choice": "clear"}).status_code == 200
    assert [each.answer for each in stored(session, CampaignAsk)] == ["clear"]


def test_help_puts_the_asset_on_the_coordinators_list_and_does_not_call_its_adopter(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn,
) -> None:  # fmt: skip
    made, [ask] = followed_up(session, city, kind)
    said = client.post(clear_url(ask.id), data={"choice": "help"})
    assert "The coordinators see" in said.text
    assert [each.state for each in stored(session, CareCall)] == ["open"]
    assert heard(session, "care.called") == []
    neglected = client.get(
        f"/api/v1/volunteers/{city.code}/neglected", headers=coordinator.headers
    ).json["items"]
    assert [each["is_called"] for each in neglected] == [True]
    url = f"/api/v1/campaigns/{made.campaign_id}/answers"
    listed = client.get(f"{url}?answer=help", headers=coordinator.headers).json["items"]
    assert [each["asset"]["id"] for each in listed] == [str(ask.asset_id)]
    assert client.get(f"{url}?answer=clear", headers=coordinator.headers).json["items"] == []


def test_one_link_answers_for_all_of_a_letter_or_for_each(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn,
) -> None:  # fmt: skip
    made, asks = followed_up(session, city, kind, count=3)
    url = clear_url(asks[0].letter_id)
    assert client.get(url).text.count('value="not_yet"') == 3
    client.post(url, data={"choice": "not_yet", "asset": str(asks[0].id)})
    said = client.post(url, data={"choice": "clear", "asset": "all"})
    assert said.status_code == 200
    assert len(stored(session, Care)) == 3
    assert client.get(url).status_code == 410
    rounds = client.get(
        f"/api/v1/campaigns/{made.campaign_id}/rounds", headers=coordinator.headers
    ).json["items"]
    assert rounds[0]["answers"] == {"clear": 3}


def test_foreign_forged_and_late_links_answer_nothing(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    made, [ask] = followed_up(session, city, kind)
    _, others = followed_up_again(session, kind)
    token = token_for(SECRET_KEY, Purpose.CLEAR, ask.id, 1)
    leaving = token_for(SECRET_KEY, Purpose.LEAVE_CAMPAIGNS, ask.letter_id, 1)
    for url in (
        clear_url(others[0].id, token),
        clear_url(ask.id, "A" * 22),
        clear_url(ask.letter_id, leaving),
        clear_url(ask.letter_id, token),
    ):
        assert client.get(url).status_code == 404
        assert client.post(url, data={"choice": "clear"}).status_code == 404
    # The link of one asset does not answer for another.
    data = {"choice": "clear", "asset": str(others[0].id)}
    assert client.post(clear_url(ask.id), data=data).status_code == 404
    assert client.post(clear_url(ask.id), data={**data, "asset": "x"}).status_code == 404
    assert stored(session, Care) == []
    made.followed_up_at = utc_now() - ANSWERED_WITHIN - HOUR
    session.flush()
    assert client.get(clear_url(ask.id)).status_code == 410
    assert client.post(clear_url(ask.id), data={"choice": "clear"}).status_code == 410


def followed_up_again(session: Session, kind: AssetKind) -> tuple[CampaignRound, list[CampaignAsk]]:
    """The same for another city."""
    before = {ask.id for ask in stored(session, CampaignAsk)}
    other = new_asset_kind(session, care=CARE)
    adopted(session, other)
    campaign = new_campaign(session, other)
    agreement = keeping.Agreement(limit=500, secret=SECRET_KEY)
    made = sending.by_hand(session, campaign, new_person(session).id, agreement, now=utc_now())
    return made, [ask for ask in stored(session, CampaignAsk) if ask.id not in before]


def test_whoever_let_it_go_answers_no_more(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Path
) -> None:
    _, [ask] = followed_up(session, city, kind)
    letter = session.get_one(CampaignLetter, ask.letter_id)
    claiming.release(session, letter.person_id, ask.asset_id, now=utc_now())
    assert tell(session, tmp_path, "campaign.sent", "campaign.followed_up") == []
    assert client.get(clear_url(ask.id)).status_code == 410
    assert client.post(clear_url(ask.id), data={"choice": "clear"}).status_code == 410


# -- leaving and people ---------------------------------------------------------------------------


def refusals(session: Session) -> list[CampaignRefusal]:
    return list(session.scalars(sa.select(CampaignRefusal)))


def leave_url(letter_id: UUID) -> str:
    token = token_for(SECRET_KEY, Purpose.LEAVE_CAMPAIGNS, letter_id, 1)
    return f"/leave-campaigns/{letter_id}/{token}?lang=en"


def test_whoever_leaves_gets_no_more_campaigns_and_may_come_back(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Path
) -> None:
    _, [ask] = followed_up(session, city, kind)
    url = leave_url(ask.letter_id)
    assert "No more of these reminders?" in client.get(url).text
    assert refusals(session) == []
    assert client.get(url.replace("/leave-campaigns/", "/clear/")).status_code == 404
    # A mail program's one click (RFC 8058).
    clicked = client.post(url, data={"List-Unsubscribe": "One-Click"})
    assert (clicked.status_code, clicked.text) == (200, "")
    assert "You get no more reminders." in client.post(url, data={"choice": "leave"}).text
    assert len(refusals(session)) == 1
    # What was on its way is not sent.
    assert tell(session, tmp_path, "campaign.sent", "campaign.followed_up", now=utc_now()) == []
    assert "You get reminders again." in client.post(url, data={"choice": "again"}).text
    assert refusals(session) == []


def test_what_is_held_on_somebody_is_exported_and_erased(
    session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    made, [ask] = followed_up(session, city, kind)
    letter = session.get_one(CampaignLetter, ask.letter_id)
    answering.refuse(session, letter, now=NOW)
    who = Who(letter.person_id, None)
    documents = held(session, who).documents
    assert len(documents["campaign_letters"]) == len(documents["campaigns_refused"]) == 1
    counts = erase(session, who, utc_now()).counts
    assert counts["letters of campaigns"] == 1
    assert stored(session, CampaignLetter) == stored(session, CampaignAsk) == []
    assert refusals(session) == []
    session.refresh(made)
    assert made.recipients == 1


def test_letters_of_long_ago_are_forgotten_and_the_round_keeps_its_count(
    session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    made, _ = followed_up(session, city, kind)
    assert answering.forget_old(session, now=utc_now()) == 0
    assert answering.forget_old(session, now=utc_now() + timedelta(days=366)) == 1
    assert stored(session, CampaignAsk) == []
    session.refresh(made)
    assert (made.recipients, made.assets) == (1, 1)


def test_a_coordinator_writes_to_the_adopters_of_an_area_by_its_name(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind,
    coordinator: SignedIn,
) -> None:  # fmt: skip
    new_area(session, city, code="centre")
    touch(session, city.id)
    adopted(session, kind, count=2)
    adopted(session, kind, point=Point(COMEDIE.lat + 0.05, COMEDIE.lon))
    sent = {
        "jurisdiction": city.code, "subject": "Hello", "text": "Hello", "area": "quartiers:centre",
    }  # fmt: skip
    url = "/api/v1/volunteers/messages"
    answer = client.post(url, json=sent, headers=coordinator.headers)
    assert (answer.status_code, answer.json["recipients"]) == (201, 1)
    unknown = client.post(url, json={**sent, "area": "quartiers:404"}, headers=coordinator.headers)
    assert (unknown.status_code, unknown.json["code"]) == (422, "unknown_area")
