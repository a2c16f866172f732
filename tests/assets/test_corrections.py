"""Correcting the register: proposing, joining, confirming, deciding, the city's file."""

from __future__ import annotations

import csv
import io
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session

from accounts.models import AuditEntry
from accounts.people_data import Who
from accounts.rules import Role
from assets import photos
from assets.corrections import proposing
from assets.corrections.models import Correction, CorrectionConfirmation
from assets.corrections.proposing import Proposal
from assets.corrections.rules import Claim, is_enough, overtaken, says_the_same
from assets.corrections.vocabulary import What
from assets.models import Asset, AssetKind, AssetVersion
from assets.people_data import erase, held
from assets.photo_models import AssetPhoto
from assets.rules import CorrectionRules
from assets.vocabulary import AssetState
from core.db import transaction
from core.models import OutboxEvent
from core.outbox import Event
from geo import jurisdictions
from geo.measures import Point, destination
from geo.models import Jurisdiction
from notifications.announcing import announce
from notifications.channels.folder import FolderCarrier
from notifications.vocabulary import Channel
from reports.media import cleaning
from tests.factories import (
    COMEDIE,
    SignedIn,
    new_asset,
    new_asset_kind,
    new_citizen,
    new_jurisdiction,
    new_person,
    new_staff,
    new_team,
    stored,
)
from tests.notifications.conftest import LINKS, letters, send_due

NOW = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
CORRECTIONS = "/api/v1/corrections"


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def kind(session: Session, city: Jurisdiction) -> AssetKind:
    return new_asset_kind(session, city, corrections={"confirmations": 2})


@pytest.fixture
def asset(session: Session, kind: AssetKind) -> Asset:
    return new_asset(session, kind, code="H-1", attributes={"name": "Old"})


def at(metres: float, heading: float = 90.0) -> dict[str, float]:
    point = destination(COMEDIE, heading, metres)
    return {"lat": point.lat, "lon": point.lon}


def correct(client: FlaskClient, asset: Asset, who: SignedIn, what: str, **body: Any) -> Any:
    return client.post(
        f"/api/v1/assets/{asset.id}/corrections",
        json={"what": what, **body},
        headers=who.headers,
    )


def confirm(client: FlaskClient, correction: str, who: SignedIn) -> Any:
    return client.post(f"{CORRECTIONS}/{correction}/confirmations", headers=who.headers)


def decide(client: FlaskClient, correction: str, who: SignedIn, **body: Any) -> Any:
    return client.post(f"{CORRECTIONS}/{correction}/decision", json=body, headers=who.headers)


# -- rules ----------------------------------------------------------------------------------------

HERE = Point(43.6, 3.88)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Claim(What.GONE, 1), Claim(What.GONE, 1), True),
        (Claim(What.GONE, 1), Claim(What.GONE, 2), False),
        (Claim(What.GONE, 1), Claim(What.MOVED, 1, HERE), False),
        (Claim(What.MOVED, 1, HERE), Claim(What.MOVED, 1, destination(HERE, 0, 9)), True),
        (Claim(What.MOVED, 1, HERE), Claim(What.MOVED, 1, destination(HERE, 0, 11)), False),
        (Claim(What.MISSING, 1, HERE), Claim(What.MISSING, 1, HERE), True),
        (Claim(What.ATTRIBUTE, 1, HERE, {"a": 1}), Claim(What.ATTRIBUTE, 1, None, {"a": 1}), True),
        (Claim(What.ATTRIBUTE, 1, HERE, {"a": 1}), Claim(What.ATTRIBUTE, 1, HERE, {"a": 2}), False),
    ],
)
def test_what_says_the_same(one: Claim, other: Claim, same: bool) -> None:
    assert says_the_same(one, other) is same
    assert says_the_same(other, one) is same


@pytest.mark.parametrize(
    ("claim", "is_there", "point", "attributes", "why"),
    [
        (Claim(What.GONE, 1), False, HERE, {}, "so_already"),
        (Claim(What.GONE, 1), True, HERE, {}, None),
        (Claim(What.MOVED, 1, HERE), True, destination(HERE, 0, 0.9), {}, "so_already"),
        (Claim(What.MOVED, 1, HERE), True, destination(HERE, 0, 1.2), {}, None),
        (Claim(What.MOVED, 1, HERE), False, HERE, {}, "asset_gone"),
        (Claim(What.ATTRIBUTE, 1, HERE, {"a": 1}), True, HERE, {"a": 1, "b": 2}, "so_already"),
        (Claim(What.ATTRIBUTE, 1, HERE, {"a": 1}), True, HERE, {"a": 2}, None),
        (Claim(What.ATTRIBUTE, 1, HERE, {"a": 1}), False, HERE, {"a": 1}, "asset_gone"),
        (Claim(What.MISSING, 1, HERE), True, destination(HERE, 0, 2.5), {}, "so_already"),
        (Claim(What.MISSING, 1, HERE), True, destination(HERE, 0, 3.5), {}, None),
    ],
)
def test_what_the_register_overtook(
    claim: Claim, is_there: bool, point: Point, attributes: dict[str, Any], why: str | None
) -> None:
    assert overtaken(claim, is_there=is_there, point=point, attributes=attributes) == why


@pytest.mark.parametrize(
    ("confirmations", "needed", "enough"),
    [(0, None, False), (99, None, False), (1, 2, False), (2, 2, True), (0, 0, True)],
)
def test_when_enough_people_say_so(confirmations: int, needed: int | None, enough: bool) -> None:
    assert is_enough(confirmations, CorrectionRules(confirmations=needed)) is enough


# -- proposing ------------------------------------------------------------------------------------


def test_each_kind_of_correction_becomes_the_next_version_with_its_origin(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    ana, keeper = new_citizen(session), new_staff(session, city, Role.MANAGER)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("gone", {}),
        ("moved", at(25)),
        ("attribute", {"attributes": {"name": "New"}}),
        ("attribute", {"attributes": {"name": None}}),
    ]
    for what, body in cases:
        asset = new_asset(session, kind, attributes={"name": "Old"})
        made = correct(client, asset, ana, what, **body)
        assert made.status_code == 201, made.json
        assert session.get_one(Asset, asset.id).version == 1
        decided = decide(client, made.json["id"], keeper, accept=True)
        assert (decided.status_code, decided.json["state"]) == (200, "accepted")
        version = session.get_one(AssetVersion, (asset.id, 2))
        assert (version.version, version.origin) == (2, "correction")
        assert (version.actor_id, str(version.correction_id)) == (ana.id, made.json["id"])
        now = session.get_one(Asset, asset.id)
        if what == "gone":
            assert now.state == AssetState.REMOVED
        elif what == "moved":
            assert (now.lat, now.lon) == (body["lat"], body["lon"])
        else:
            new = body["attributes"]["name"]
            assert now.attributes == ({"name": new} if new else {})


def test_a_missing_one_is_entered_where_it_was_seen(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    ana, keeper = new_citizen(session), new_staff(session, city, Role.COORDINATOR)
    body = {"kind": kind.code, "jurisdiction": city.code, "attributes": {"name": "A"}, **at(0)}
    made = client.post(CORRECTIONS, json=body, headers=ana.headers)
    assert made.status_code == 201
    assert stored(session, Asset) == []
    decided = decide(client, made.json["id"], keeper, accept=True).json
    [asset] = stored(session, Asset)
    assert decided["asset_id"] == str(asset.id)
    assert (asset.attributes, asset.lat) == ({"name": "A"}, body["lat"])
    again = client.post(CORRECTIONS, json=body, headers=new_citizen(session).headers)
    assert (again.status_code, again.json["code"]) == (409, "known_already")
    assert again.json["id"] == str(asset.id)


def test_what_cannot_be_is_refused_by_its_reason(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind, asset: Asset
) -> None:
    ana = new_citizen(session)
    removed = new_asset(session, kind, state=AssetState.REMOVED)
    for what, body, target, status, code in (
        ("gone", {}, removed, 409, "nothing_to_correct"),
        ("moved", at(40), removed, 409, "asset_not_there"),
        ("moved", {}, asset, 422, "position_needed"),
        ("moved", at(0.5), asset, 409, "nothing_to_correct"),
        ("moved", {"lat": 43.6}, asset, 422, "invalid"),
        ("attribute", {"attributes": {"name": "Old"}}, asset, 409, "nothing_to_correct"),
        ("attribute", {"attributes": {"colour": "red"}}, asset, 422, "invalid_attributes"),
        ("missing", at(0), asset, 422, "invalid"),
        ("eaten", {}, asset, 422, "invalid"),
        ("gone", {"person_id": str(ana.id)}, asset, 422, "invalid"),
    ):
        answer = correct(client, target, ana, what, **body)
        assert (answer.status_code, answer.json["code"]) == (status, code), (what, body)
    far = {"kind": kind.code, "jurisdiction": city.code, "lat": 10.0, "lon": 10.0}
    assert client.post(CORRECTIONS, json=far, headers=ana.headers).status_code == 422
    unknown = {"kind": "no-such", "jurisdiction": city.code, **at(0)}
    refused = client.post(CORRECTIONS, json=unknown, headers=ana.headers)
    assert refused.json["code"] == "unknown_kind"
    unproved = correct(client, asset, new_citizen(session, verified_at=None), "gone")
    assert unproved.json["code"] == "not_verified"
    assert client.post(f"/api/v1/assets/{asset.id}/corrections", json={}).status_code == 401
    assert stored(session, Correction) == []


# -- joining and confirming -----------------------------------------------------------------------


def test_whoever_says_the_same_joins_and_enough_of_them_make_it_true(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana, ben, cleo = (new_citizen(session) for _ in range(3))
    first = correct(client, asset, ana, "moved", **at(30))
    mine = correct(client, asset, ana, "moved", **at(31))
    assert (mine.status_code, mine.json["confirmations"]) == (200, 0)
    second = correct(client, asset, ben, "moved", **at(33))
    assert second.status_code == 200
    assert second.json["is_joined"]
    assert second.json["id"] == first.json["id"]
    assert confirm(client, first.json["id"], ben).json["confirmations"] == 1
    own = confirm(client, first.json["id"], ana)
    assert (own.status_code, own.json["code"]) == (409, "own_correction")
    third = confirm(client, first.json["id"], cleo)
    assert (third.json["state"], third.json["decided_how"]) == ("accepted", "confirmations")
    assert session.get_one(Asset, asset.id).version == 2
    late = confirm(client, first.json["id"], new_citizen(session))
    assert (late.status_code, late.json["code"]) == (409, "decided_already")
    assert len(stored(session, Correction)) == 1


def test_where_the_kind_says_nothing_only_staff_decide(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    asset = new_asset(session, new_asset_kind(session, city))
    made = correct(client, asset, new_citizen(session), "gone").json
    for _ in range(5):
        answer = confirm(client, made["id"], new_citizen(session))
    assert (answer.json["state"], answer.json["confirmations"]) == ("open", 5)


def test_two_who_say_the_same_at_once_become_one(committed_db: Flask) -> None:
    jurisdictions.forget()
    with committed_db.app_context(), transaction() as session:
        city = new_jurisdiction(session)
        kind = new_asset_kind(session, city)
        people = [new_person(session).id for _ in range(8)]
        proposal = Proposal(What.MISSING, kind=kind.code, jurisdiction=city.code, point=COMEDIE)
    joined: list[bool] = []

    def work(number: int) -> None:
        with committed_db.app_context(), transaction() as session:
            done = proposing.propose(session, people[number], proposal, now=NOW)
            joined.append(done.is_joined)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(joined) == [False] + [True] * 7
    with committed_db.app_context(), transaction() as session:
        [row] = session.scalars(sa.select(Correction)).all()
        assert row.confirmations == 7
        assert len(session.scalars(sa.select(CorrectionConfirmation)).all()) == 7


# -- deciding -------------------------------------------------------------------------------------


def test_a_rejection_needs_a_reason_and_leaves_a_trace(
    client: FlaskClient, session: Session, city: Jurisdiction, asset: Asset
) -> None:
    ana, keeper = new_citizen(session), new_staff(session, city, Role.MANAGER)
    made = correct(client, asset, ana, "gone", note="Behind the school").json
    assert decide(client, made["id"], keeper, accept=False).status_code == 422
    assert decide(client, made["id"], ana, accept=True).status_code == 403
    foreign = new_staff(session, new_jurisdiction(session), Role.MANAGER)
    assert decide(client, made["id"], foreign, accept=True).status_code == 404
    done = decide(client, made["id"], keeper, accept=False, reason="It is there.")
    assert (done.json["state"], done.json["reason"]) == ("rejected", "It is there.")
    assert decide(client, made["id"], keeper, accept=True).json["code"] == "decided_already"
    assert session.get_one(Asset, asset.id).version == 1
    [entry] = stored(session, AuditEntry, action="correction.decided")
    assert entry.data == {"decision": "rejected"}
    [mine] = client.get("/api/v1/me/corrections", headers=ana.headers).json["items"]
    assert (mine["state"], mine["reason"]) == ("rejected", "It is there.")


def test_staff_of_the_team_that_owns_an_asset_decide_and_no_other_team(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    team, other = new_team(session, city), new_team(session, city)
    asset = new_asset(session, new_asset_kind(session, city, owner_team_id=team.id))
    made = correct(client, asset, new_citizen(session), "gone").json
    stranger = new_staff(session, city, Role.MANAGER, team=other)
    owner = new_staff(session, city, Role.MANAGER, team=team)
    url = f"{CORRECTIONS}/file"
    assert client.get(url, headers=stranger.headers).json["features"] == []
    assert len(client.get(url, headers=owner.headers).json["features"]) == 1
    assert decide(client, made["id"], stranger, accept=True).status_code == 404
    assert decide(client, made["id"], owner, accept=True).status_code == 200


def test_only_the_proposer_takes_it_back(
    client: FlaskClient, session: Session, asset: Asset
) -> None:
    ana = new_citizen(session)
    made = correct(client, asset, ana, "gone").json
    url = f"{CORRECTIONS}/{made['id']}"
    assert client.delete(url, headers=new_citizen(session).headers).status_code == 404
    assert client.delete(url, headers=ana.headers).status_code == 204
    assert client.delete(url, headers=ana.headers).status_code == 409
    assert client.get(url).json["state"] == "withdrawn"


def test_the_public_reads_what_is_open_without_who_said_it(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind, asset: Asset
) -> None:
    ana = new_citizen(session)
    made = correct(client, asset, ana, "gone", note="I live at no. 4").json
    other = correct(client, new_asset(session, kind), ana, "gone").json
    [public] = client.get(f"{CORRECTIONS}?asset={asset.id}").json["items"]
    assert public["id"] == made["id"]
    assert not {"note", "person_id", "photo_id", "reason"} & set(public)
    assert "note" not in client.get(f"{CORRECTIONS}/{made['id']}").json
    own = client.get(f"{CORRECTIONS}/{made['id']}", headers=ana.headers).json
    assert own["note"] == "I live at no. 4"
    page = client.get(f"{CORRECTIONS}?jurisdiction={city.code}&kind={kind.code}&limit=1").json
    assert [each["id"] for each in page["items"]] == [other["id"]]
    rest = client.get(f"{CORRECTIONS}?limit=1&cursor={page['next']}").json
    assert [each["id"] for each in rest["items"]] == [made["id"]]
    assert client.get(f"{CORRECTIONS}?bbox=0,0,1,1").json["items"] == []


def test_the_file_for_the_gis_has_what_is_open_and_no_formula(
    client: FlaskClient, session: Session, city: Jurisdiction, asset: Asset
) -> None:
    ana, keeper = new_citizen(session), new_staff(session, city, Role.MANAGER)
    made = correct(client, asset, ana, "moved", note="=HYPERLINK(1)", **at(25)).json
    answer = client.get(f"{CORRECTIONS}/file", headers=keeper.headers)
    assert answer.content_type == "application/geo+json"
    [feature] = answer.json["features"]
    assert feature["id"] == made["id"]
    assert feature["geometry"]["coordinates"] == [made["lon"], made["lat"]]
    assert feature["properties"]["asset"] == "H-1"
    text = client.get(f"{CORRECTIONS}/file?format=csv", headers=keeper.headers).text
    [row] = csv.DictReader(io.StringIO(text))
    assert row["note"] == "'=HYPERLINK(1)"
    assert row["proposed_at"].endswith("Z")
    decide(client, made["id"], keeper, accept=True)
    assert client.get(f"{CORRECTIONS}/file", headers=keeper.headers).json["features"] == []
    assert client.get(f"{CORRECTIONS}/file", headers=ana.headers).status_code == 403


# -- told -----------------------------------------------------------------------------------------


def test_the_proposer_is_told_and_nobody_of_what_they_took_back(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind, tmp_path: Any
) -> None:
    ana, keeper = new_citizen(session, locale="en"), new_staff(session, city, Role.MANAGER)
    accepted, rejected, withdrawn = (
        correct(client, new_asset(session, kind), ana, "gone").json["id"] for _ in range(3)
    )
    decide(client, accepted, keeper, accept=True)
    decide(client, rejected, keeper, accept=False, reason="It is behind the hedge.")
    client.delete(f"{CORRECTIONS}/{withdrawn}", headers=ana.headers)
    rows = session.scalars(
        sa.select(OutboxEvent).where(OutboxEvent.name == "correction.decided")
    ).all()
    heard = [
        Event(row.id, row.name, row.subject_id, row.jurisdiction_id, row.data, None, NOW)
        for row in rows
    ]
    assert [event.data["decision"] for event in heard] == ["accepted", "rejected", "withdrawn"]
    announce(session, heard, now=NOW)
    send_due(session, dict.fromkeys(Channel, FolderCarrier(tmp_path / "outbox")), now=NOW)
    texts = letters(tmp_path / "outbox")
    assert len(texts) == 2
    assert sum("You were right" in text for text in texts) == 1
    assert sum("It is behind the hedge." in text for text in texts) == 1
    assert all(f"{LINKS.base_url}/assets/" in text for text in texts)


# -- photos ---------------------------------------------------------------------------------------


def test_a_photo_is_cleaned_and_seen_by_its_sender_and_staff_alone(
    app: Flask, client: FlaskClient, session: Session, city: Jurisdiction, asset: Asset
) -> None:
    ana, keeper = new_citizen(session), new_staff(session, city, Role.MANAGER)
    picture = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    Image.new("RGB", (640, 480), "red").save(picture, "JPEG", exif=exif)
    picture.seek(0)
    made = client.post(
        f"/api/v1/assets/{asset.id}/corrections",
        data={
            "what": "attribute",
            "attributes": '{"name": "New"}',
            "photos": (picture, "a.jpg"),
        },
        content_type="multipart/form-data",
        headers=ana.headers,
    )
    assert made.status_code == 201, made.json
    url = f"/api/v1/asset-photos/{made.json['photo_id']}/full.jpg"
    assert client.get(url, headers=ana.headers).status_code == 404
    storage = app.extensions["storage"]
    [photo] = stored(session, AssetPhoto)
    [named] = photos.waiting(session, [photo.id])
    outcome = cleaning.clean(storage, cleaning.WaitingPhoto(named.id, named.name))
    photos.record(session, [outcome])
    for who in (ana, keeper):
        answer = client.get(url, headers=who.headers)
        assert answer.status_code == 200
        assert b"SecretCamera" not in answer.data
    assert client.get(url, headers=new_citizen(session).headers).status_code == 404
    assert client.get(url).status_code == 401
    assert photos.orphans(session, [named.name, "x"]) == [named.name, "x"]
    # Whoever is erased takes their photo and words along; the register keeps what was said of it.
    who_is = Who(ana.id, ana.person.email)
    assert len(held(session, who_is).files) == 1
    assert erase(session, who_is, NOW).counts["photos of assets"] == 1
    assert client.get(url, headers=keeper.headers).status_code == 404
    assert [each.name for each in photos.ripe(session, now=NOW)] == [named.name]
    photos.settle(session, photos.ripe(session, now=NOW))
    assert photos.ripe(session, now=NOW) == []
    assert len(stored(session, Correction)) == 1
