"""Care: what is done, calls of passers-by, what coordinators see, the certificate."""

from __future__ import annotations

import csv
import io
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.cookies import PLAIN_NAME
from accounts.models import AuditEntry
from accounts.people_data import Who
from accounts.rules import Role
from assets.care import calling, doing
from assets.care.doing import Done
from assets.care.models import Care, CareCall, CareGate
from assets.care.rules import is_timely, neglected_before, streak
from assets.models import Asset, AssetKind
from assets.people_data import erase, held
from assets.rules import CareRules, Season
from assets.vocabulary import AssetState
from core.clock import utc_now
from core.db import transaction
from core.errors import DomainError
from core.models import OutboxEvent
from core.outbox import Event
from core.tokens import Purpose, token_for
from geo import jurisdictions
from geo.measures import Box, Point
from geo.models import Jurisdiction
from notifications.announcing import announce
from notifications.channels.folder import FolderCarrier
from notifications.vocabulary import Channel
from tests.conftest import SECRET_KEY
from tests.factories import (
    COMEDIE,
    SignedIn,
    new_adoption,
    new_asset,
    new_asset_kind,
    new_citizen,
    new_jurisdiction,
    new_person,
    new_staff,
    sign_in,
    stored,
)
from tests.notifications.conftest import LINKS, letters, send_due

#: A Tuesday in the hydrants' season.
NOW = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)

CARE = {
    "actions": [
        {
            "code": "cleared_snow",
            "names": {"fr": "Déneigée", "en": "Snow cleared"},
            "unit": {"fr": "seaux", "en": "buckets"},
        },
        {"code": "leak", "names": {"fr": "Fuite", "en": "Leak"}, "is_problem": True},
    ],
    "every_days": 14,
}


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def kind(session: Session, city: Jurisdiction) -> AssetKind:
    return new_asset_kind(
        session,
        city,
        names={"fr": "Borne", "en": "Hydrant"},
        care=CARE,
    )


@pytest.fixture
def asset(session: Session, kind: AssetKind) -> Asset:
    return new_asset(session, kind, code="H-1")


def log(client: FlaskClient, asset: Asset, who: SignedIn, **body: Any) -> Any:
    return client.post(f"/api/v1/assets/{asset.id}/care", json=body, headers=who.headers)


def call(client: FlaskClient, asset: Asset, **headers: Any) -> Any:
    return client.post(f"/api/v1/assets/{asset.id}/care-calls", **headers)


def heard(session: Session, *names: str) -> list[Event]:
    rows = session.scalars(sa.select(OutboxEvent).order_by(OutboxEvent.id)).all()
    return [
        Event(row.id, row.name, row.subject_id, row.jurisdiction_id, row.data, None, NOW)
        for row in rows
        if row.name in names
    ]


# -- rules ----------------------------------------------------------------------------------------

TODAY = date(2026, 11, 10)


@pytest.mark.parametrize(
    ("ago", "every", "length"),
    [
        ([], 7, 0),
        ([0], 7, 1),
        ([0, 1, 2], 7, 1),
        ([0, 8, 15], 7, 3),
        # The present span is not over: it breaks nothing yet.
        ([8, 15], 7, 2),
        ([15], 7, 0),
        ([0, 15], 7, 1),
        ([0, 1, 2], 1, 3),
        ([-1, 0], 1, 1),
        ([0, 8], None, 2),
    ],
)
def test_a_streak_counts_spans_in_a_row(ago: list[int], every: int | None, length: int) -> None:
    assert streak([TODAY - timedelta(days=each) for each in ago], every, TODAY) == length


def test_nothing_is_neglected_out_of_season_or_where_nobody_counts() -> None:
    winter = Season((11, 15), (3, 31))
    rules = CareRules(every_days=14)
    assert neglected_before(rules, winter, NOW, TODAY) is None
    assert neglected_before(CareRules(), None, NOW, TODAY) is None
    in_season = neglected_before(rules, winter, NOW, date(2026, 12, 1))
    assert in_season == NOW - timedelta(days=14)


@pytest.mark.parametrize(
    ("ago", "timely"),
    [
        (timedelta(), True),
        (timedelta(minutes=-5), True),
        (timedelta(minutes=-6), False),
        (timedelta(days=30), True),
        (timedelta(days=31), False),
    ],
)
def test_care_is_logged_in_time(ago: timedelta, timely: bool) -> None:
    assert is_timely(NOW - ago, NOW) is timely


# -- doing ----------------------------------------------------------------------------------------


def test_care_is_logged_with_time_minutes_and_quantity_for_the_adopter_and_a_neighbour(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana, neighbour = new_citizen(session, locale="en"), new_citizen(session)
    adoption = new_adoption(session, asset, ana.person)
    at = (utc_now() - timedelta(hours=3)).isoformat()
    made = log(
        client, asset, ana, action="cleared_snow", at=at, minutes=20, quantity=3.5, note="Ice"
    )
    assert made.status_code == 201, made.json
    assert made.json["minutes"] == 20
    assert log(client, asset, neighbour, action="cleared_snow").status_code == 201
    first, second = stored(session, Care)
    assert (first.adoption_id, second.adoption_id) == (adoption.id, None)
    assert first.person_id == ana.id
    listed = client.get(f"/api/v1/assets/{asset.id}/care").json["items"]
    assert [each["quantity"] for each in listed] == [None, 3.5]
    assert not {"minutes", "note", "photo_id", "person_id"} & set(listed[0])
    mine = client.get("/api/v1/me/care", headers=ana.headers).json
    assert (mine["entries"], mine["minutes"], mine["streak"]) == (1, 20, 1)
    assert [each["note"] for each in mine["items"]] == ["Ice"]


def test_what_cannot_be_logged_is_refused(
    client: FlaskClient, session: Session, kind: AssetKind, asset: Asset
) -> None:
    ana = new_citizen(session)
    removed = new_asset(session, kind, state=AssetState.REMOVED)
    late = (utc_now() - timedelta(days=40)).isoformat()
    for target, body, status, code in (
        (asset, {"action": "painted"}, 422, "unknown_action"),
        (asset, {"action": "leak", "at": late}, 422, "not_timely"),
        (asset, {"action": "leak", "minutes": 2000}, 422, "invalid"),
        (asset, {"action": "leak", "minutes": "9" * 5000}, 422, "invalid"),
        (asset, {"action": "leak", "quantity": -1}, 422, "invalid"),
        (asset, {"action": "leak", "person_id": str(ana.id)}, 422, "invalid"),
        (asset, {}, 422, "invalid"),
        (removed, {"action": "leak"}, 409, "asset_not_there"),
    ):
        answer = log(client, target, ana, **body)
        assert (answer.status_code, answer.json["code"]) == (status, code), body
    painted = log(client, asset, ana, action="painted")
    assert painted.json["actions"] == ["cleared_snow", "leak"]
    assert stored(session, Care) == []


def test_a_kind_that_names_no_action_has_the_usual_ones(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    asset = new_asset(session, new_asset_kind(session, city))
    made = log(client, asset, new_citizen(session), action="checked")
    assert made.status_code == 201
    assert made.json["action_name"] == "Contrôlé"


# -- calls ----------------------------------------------------------------------------------------


def test_a_passer_by_calls_once_an_hour_at_most_and_the_adopter_is_told(
    client: FlaskClient, session: Session, asset: Asset, tmp_path: Path
) -> None:
    ana = new_person(session, locale="en")
    adoption = new_adoption(session, asset, ana)
    made = call(client, asset)
    assert made.status_code == 201
    again = call(client, asset)
    assert (again.status_code, again.json["code"]) == (429, "called_lately")
    assert int(again.headers["Retry-After"]) > 0
    gate = session.get_one(CareGate, asset.id)
    gate.at -= timedelta(hours=1)
    session.flush()
    assert call(client, asset).status_code == 201
    announce(session, heard(session, "care.called")[:1], now=NOW)
    send_due(session, dict.fromkeys(Channel, FolderCarrier(tmp_path / "outbox")), now=NOW)
    [text] = letters(tmp_path / "outbox")
    assert "It needs you: Hydrant H-1" in text
    row = f"{made.json['id']}|{adoption.id}"
    token = token_for(LINKS.secret, Purpose.CARE, row, 1)
    assert f"/care/{made.json['id']}/{adoption.id}/{token}" in text


def test_a_hundred_calls_at_once_are_one(committed_db: Flask) -> None:
    jurisdictions.forget()
    with committed_db.app_context(), transaction() as session:
        asset_id = new_asset(session).id
    outcomes: list[str] = []

    def work() -> None:
        with committed_db.app_context():
            for _ in range(10):
                try:
                    with transaction() as session:
                        calling.call(session, asset_id, None, now=NOW)
                    outcomes.append("called")
                except DomainError as error:
                    outcomes.append(error.code)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["called"] + ["called_lately"] * 99
    with committed_db.app_context(), transaction() as session:
        assert len(session.scalars(sa.select(CareCall)).all()) == 1


def test_care_answers_a_call_and_a_problem_does_not(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana = new_citizen(session)
    call(client, asset)
    log(client, asset, ana, action="leak")
    assert [each.state for each in stored(session, CareCall)] == ["open"]
    log(client, asset, ana, action="cleared_snow")
    assert [each.state for each in stored(session, CareCall)] == ["cared"]


def test_only_the_adopter_says_that_it_was_a_false_alarm(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana, other = new_citizen(session), new_citizen(session)
    new_adoption(session, asset, ana.person)
    made = call(client, asset).json
    url = f"/api/v1/care-calls/{made['id']}/false-alarm"
    assert client.post(url, headers=other.headers).status_code == 404
    assert client.post(url, headers=ana.headers).json["state"] == "false_alarm"
    assert client.post(url, headers=ana.headers).status_code == 410
    assert len(heard(session, "care.answered")) == 1


def test_nobody_calls_for_what_nobody_can_look_after(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    lamp = new_asset(session, new_asset_kind(session, city, is_adoptable=False))
    assert call(client, lamp).json["code"] == "not_adoptable"
    removed = new_asset(session, kind, state=AssetState.REMOVED)
    assert call(client, removed).json["code"] == "asset_not_there"
    missing = client.post("/api/v1/assets/01890a5d-ac96-774b-bcce-b302099a8057/care-calls")
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("choice", "state", "said"),
    [("done", "cared", "It is noted"), ("false_alarm", "false_alarm", "Noted: a false alarm")],
)
def test_the_link_of_a_call_shows_and_its_buttons_act_once(
    client: FlaskClient, session: Session, asset: Asset, choice: str, state: str, said: str
) -> None:
    adoption = new_adoption(session, asset)
    other = new_adoption(session, new_asset(session, session.get_one(AssetKind, asset.kind_id)))
    made = call(client, asset).json
    row = f"{made['id']}|{adoption.id}"
    url = f"/care/{made['id']}/{adoption.id}/{token_for(SECRET_KEY, Purpose.CARE, row, 1)}?lang=en"
    assert "It needs care." in client.get(url).text
    assert [each.state for each in stored(session, CareCall)] == ["open"]
    assert client.post(url, data={"choice": "sell"}).status_code == 404
    assert said in client.post(url, data={"choice": choice}).text
    assert [each.state for each in stored(session, CareCall)] == [state]
    assert len(stored(session, Care)) == (1 if choice == "done" else 0)
    assert client.get(url).status_code == 410
    # The same token opens nobody else's.
    foreign = url.replace(str(adoption.id), str(other.id))
    assert client.get(foreign).status_code == 404


# -- coordinators ---------------------------------------------------------------------------------


def test_coordinators_see_what_is_neglected_and_what_was_called_in_vain(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    now = utc_now()
    ana = new_citizen(session)
    long_ago, lately, called, fresh, free = (new_asset(session, kind) for _ in range(5))
    for each, begun in ((long_ago, 60), (lately, 60), (called, 1), (fresh, 1)):
        new_adoption(session, each, ana.person, now=now - timedelta(days=begun))
    doing.log(session, ana.id, lately.id, Done("cleared_snow"), now=now - timedelta(days=2))
    doing.log(session, ana.id, long_ago.id, Done("leak"), now=now)
    calling.call(session, called.id, None, now=now)
    coordinator = new_staff(session, city, Role.COORDINATOR)
    url = f"/api/v1/volunteers/{city.code}/neglected"
    listed = client.get(url, headers=coordinator.headers).json["items"]
    assert [each["asset"]["id"] for each in listed] == [str(long_ago.id), str(called.id)]
    assert [each["is_called"] for each in listed] == [False, True]
    assert str(free.id) not in str(listed)
    assert client.get(f"{url}?kind=none", headers=coordinator.headers).json["items"] == []
    foreign = new_staff(session, new_jurisdiction(session), Role.COORDINATOR)
    assert client.get(url, headers=foreign.headers).status_code == 404
    assert client.get(url, headers=ana.headers).status_code == 403


def test_hours_leave_as_a_table_and_the_reading_is_audited(
    client: FlaskClient, session: Session, city: Jurisdiction, asset: Asset
) -> None:
    now = utc_now()
    ana = new_citizen(session, name="=Ana")
    new_adoption(session, asset, ana.person)
    done = Done("cleared_snow", minutes=25, quantity=2)
    doing.log(session, ana.id, asset.id, done, now=now)
    doing.log(session, ana.id, asset.id, done, now=now - timedelta(days=400))
    coordinator = new_staff(session, city, Role.COORDINATOR)
    url = f"/api/v1/volunteers/{city.code}/hours.csv"
    answer = client.get(url, headers=coordinator.headers)
    [row] = csv.DictReader(io.StringIO(answer.text))
    assert (row["name"], row["asset"], row["minutes"]) == ("'=Ana", "H-1", "25")
    assert (row["quantity"], row["adopter"]) == ("2.0", "yes")
    assert stored(session, AuditEntry, action="volunteers.read")
    early = (now - timedelta(days=500)).isoformat().replace("+00:00", "Z")
    both = client.get(f"{url}?since={early}", headers=coordinator.headers)
    assert len(both.text.splitlines()) == 3


def test_a_coordinator_writes_to_adopters_each_once(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Path
) -> None:
    ana, ben, far = (new_person(session, locale="en") for _ in range(3))
    for _ in range(3):
        new_adoption(session, new_asset(session, kind), ana)
    new_adoption(session, new_asset(session, new_asset_kind(session, city)), ben)
    new_adoption(session, new_asset(session, kind, point=Point(43.65, 3.9)), far)
    coordinator = new_staff(session, city, Role.COORDINATOR)
    box = Box.around(COMEDIE, 500)
    body = {
        "jurisdiction": city.code,
        "subject": "Meeting on Tuesday",
        "text": "At seven, in the fire station.",
        "kind": kind.code,
        "bbox": f"{box.west},{box.south},{box.east},{box.north}",
    }
    url = "/api/v1/volunteers/messages"
    sent = client.post(url, json=body, headers=coordinator.headers)
    assert (sent.status_code, sent.json["recipients"]) == (201, 1)
    [event] = heard(session, "volunteers.addressed")
    assert "Meeting" not in str(event.data)
    announce(session, [event], now=NOW)
    send_due(session, dict.fromkeys(Channel, FolderCarrier(tmp_path / "outbox")), now=NOW)
    [text] = letters(tmp_path / "outbox")
    assert ana.email is not None
    assert ana.email in text
    assert "At seven, in the fire station." in text
    nowhere = {**body, "bbox": "3.0,43.0,3.1,43.1"}
    nobody = client.post(url, json=nowhere, headers=coordinator.headers)
    assert (nobody.status_code, nobody.json["code"]) == (409, "nobody_to_tell")
    everybody = {name: body[name] for name in ("jurisdiction", "subject", "text")}
    assert client.post(url, json=everybody, headers=coordinator.headers).json["recipients"] == 3


# -- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "title"),
    [("fr", "Attestation de bénévolat"), ("en", "Certificate of volunteering")],
)
def test_the_certificate_is_a_page_that_says_what_one_did(
    client: FlaskClient, session: Session, asset: Asset, lang: str, title: str
) -> None:
    ana = new_person(session, name="Ana <Lopez>")
    client.set_cookie(PLAIN_NAME, sign_in(session, ana, is_browser=True))
    year = utc_now().year
    url = f"/my-care/certificate?year={year}&lang={lang}"
    assert client.get(url).status_code == 404
    done = Done("cleared_snow", minutes=90, quantity=4)
    doing.log(session, ana.id, asset.id, done, now=utc_now())
    shown = client.get(url)
    assert shown.status_code == 200
    assert title in shown.text
    assert "Ana &lt;Lopez&gt;" in shown.text
    assert ("1,5" if lang == "fr" else "1.5") in shown.text
    assert ("Déneigée" if lang == "fr" else "Snow cleared") in shown.text
    assert client.get(f"/my-care/certificate?year={year - 1}").status_code == 404
    mine = client.get(f"/my-care?lang={lang}")
    assert mine.status_code == 200
    assert f"certificate?year={year}" in mine.text


def test_the_certificate_is_nobody_elses(client: FlaskClient) -> None:
    assert client.get("/my-care/certificate").status_code == 303


# -- people ---------------------------------------------------------------------------------------


def test_erasing_somebody_keeps_what_was_done_without_their_words(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana = new_citizen(session)
    log(client, asset, ana, action="cleared_snow", note="My street")
    call(client, asset, headers=ana.headers)
    who = Who(ana.id, ana.person.email)
    documents = held(session, who).documents
    assert [each["note"] for each in documents["care"]] == ["My street"]
    assert len(documents["care_calls"]) == 1
    counts = erase(session, who, NOW).counts
    assert (counts["words of care"], counts["calls for care"]) == (1, 1)
    [care] = stored(session, Care)
    assert care.note is None
    assert [each.person_id for each in stored(session, CareCall)] == [None]
