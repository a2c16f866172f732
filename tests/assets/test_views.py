"""The register over HTTP: lists, clusters, one asset, kinds, and what staff change."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.models import AuditEntry
from accounts.rules import Role
from assets import queries
from assets.models import Asset, AssetKind
from assets.schemas import AssetCollectionOut, AssetOut, ClusterFeatureOut, KindsOut, VersionsOut
from assets.vocabulary import AssetState
from core.models import OutboxEvent
from geo.measures import Box, Point, destination
from geo.models import Jurisdiction
from reports.vocabulary import Status, Visibility
from tests.factories import (
    COMEDIE,
    new_asset,
    new_asset_kind,
    new_jurisdiction,
    new_report,
    new_service,
    new_staff,
    new_team,
)
from tests.statements import count_statements


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def kind(session: Session, city: Jurisdiction) -> AssetKind:
    return new_asset_kind(session, city, code="hydrant")


def bbox(centre: Point = COMEDIE, radius_m: float = 1_000) -> str:
    box = Box.around(centre, radius_m)
    return f"{box.west},{box.south},{box.east},{box.north}"


def listed(client: FlaskClient, query: str = "") -> dict[str, Any]:
    answer = client.get(f"/api/v1/assets?{query}")
    assert answer.status_code == 200, answer.json
    document: dict[str, Any] = answer.get_json()
    return document


def ids(document: dict[str, Any]) -> list[str]:
    return [feature["id"] for feature in document["features"]]


def test_a_list_is_geojson_and_what_its_schema_says(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    team = new_team(session, city)
    kind = new_asset_kind(session, city, owner_team_id=team.id, icon="hydrant")
    asset = new_asset(session, kind, attributes={"name": "Comédie"})
    answer = client.get(f"/api/v1/assets?bbox={bbox()}&locale=en")
    assert answer.mimetype == "application/geo+json"
    [feature] = answer.json["features"]
    assert feature["id"] == str(asset.id)
    assert feature["geometry"] == {"type": "Point", "coordinates": [COMEDIE.lon, COMEDIE.lat]}
    assert feature["properties"] == {
        "code": asset.code,
        "kind": kind.code,
        "kind_name": kind.names["en"],
        "icon": "hydrant",
        "jurisdiction": city.code,
        "state": "in_service",
        "attributes": {"name": "Comédie"},
        "adoptable": True,
        "adopted": False,
        "free": True,
        "owner": {"code": team.code, "name": team.names["en"]},
        "version": 1,
        "since": "2026-03-11T09:00:00Z",
    }
    assert not AssetCollectionOut().validate(answer.get_json())
    assert (answer.json["next"], answer.json["clustered"]) == (None, False)


def test_a_list_says_of_an_asset_what_the_asset_itself_says(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    team = new_team(session, city, names={"fr": 'L’"eau"', "en": "Water"})
    kind = new_asset_kind(session, city, adoption={"capacity": 2}, icon="hydrant")
    never = new_asset_kind(session, city, is_adoptable=False, names={"fr": "Œil", "en": "Eye"})
    odd = 'a "quoted" \\ é 💧 </script>'
    new_asset(session, kind, code=odd, attributes={"name": odd, "n": 1.5, "l": ["a", None]})
    new_asset(session, kind, adopters=1, owner_team_id=team.id)
    new_asset(session, kind, adopters=2, state=AssetState.OUT_OF_ORDER)
    new_asset(session, never, state=AssetState.OUT_OF_ORDER)
    new_asset(session, kind, state=AssetState.MOVED)
    states = ",".join(AssetState)
    features = listed(client, f"bbox={bbox()}&state={states}&locale=fr")["features"]
    assert len(features) == 5
    for feature in features:
        whole = client.get(f"/api/v1/assets/{feature['id']}?locale=fr").json
        assert feature == {name: whole[name] for name in feature}


def test_a_list_costs_the_same_statements_however_long_it_is(
    client: FlaskClient, session: Session, kind: AssetKind
) -> None:
    numbers = []
    for count in (1, 30):
        for _ in range(count):
            new_asset(session, kind)
        listed(client, f"bbox={bbox()}")
        with count_statements() as sent:
            listed(client, f"bbox={bbox()}")
        numbers.append(len(sent))
    assert numbers[0] == numbers[1]
    assert len([text for text in sent if "FROM assets" in text]) == 1


def test_pages_near_nearest_and_filters(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    spots = [destination(COMEDIE, 90, 100 * number) for number in range(5)]
    made = [str(new_asset(session, kind, point=spot).id) for spot in spots]
    gone = str(new_asset(session, kind, state=AssetState.REMOVED).id)
    first = listed(client, f"bbox={bbox()}&limit=2")
    seen, cursor = ids(first), first["next"]
    while cursor:
        page = listed(client, f"bbox={bbox()}&limit=2&cursor={cursor}")
        seen, cursor = seen + ids(page), page["next"]
    assert sorted(seen) == sorted(made)
    here = f"near={COMEDIE.lat},{COMEDIE.lon}"
    assert set(ids(listed(client, f"{here}&radius_m=150"))) == set(made[:2])
    near = listed(client, f"{here}&nearest=3")
    assert ids(near) == made[:3]
    assert near["features"][1]["properties"]["distance_m"] == 100.0
    assert ids(listed(client, f"{here}&nearest=9&radius_m=150")) == made[:2]
    assert ids(listed(client, "state=removed")) == [gone]
    assert ids(listed(client, "kind=lamp")) == []
    assert len(ids(listed(client, f"jurisdiction={city.code}&kind=hydrant,lamp"))) == 5


def test_a_code_finds_the_one_that_has_it(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    found, longer = (new_asset(session, kind, code=code) for code in ("7", "77"))
    gone = new_asset(session, kind, code="8", state=AssetState.REMOVED)
    assert ids(listed(client, "code=7")) == [str(found.id)]
    assert ids(listed(client, f"code=7&kind={kind.code}&bbox={bbox()}")) == [str(found.id)]
    assert str(longer.id) in ids(listed(client, "q=7"))
    assert ids(listed(client, "code=8")) == []
    assert ids(listed(client, "code=8&state=removed")) == [str(gone.id)]
    assert client.get("/api/v1/assets?code=" + "7" * 101).status_code == 422


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("bbox=1,2,3", "bbox"),
        ("bbox=1,91,3,92", "bbox"),
        ("near=43.6,3.8", "radius_m"),
        ("radius_m=30", "near"),
        ("nearest=3", "near"),
        ("near=43.6,3.8&nearest=51", "nearest"),
        ("state=broken", "state"),
        ("limit=1001", "limit"),
        ("cluster=always", "cluster"),
        ("cursor=nonsense", "cursor"),
        ("jurisdiction=nowhere", "jurisdiction"),
    ],
)
def test_what_cannot_be_asked_is_told_by_its_field(
    client: FlaskClient, kind: AssetKind, query: str, field: str
) -> None:
    answer = client.get(f"/api/v1/assets?{query}")
    assert answer.status_code == 422, answer.json
    assert field in answer.json["errors"]


def test_a_box_that_holds_too_many_is_answered_with_clusters_unless_pages_are_asked_for(
    client: FlaskClient,
    session: Session,
    kind: AssetKind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(12):
        new_asset(session, kind, point=destination(COMEDIE, 30 * number, 60 * number))
    document = listed(client, f"bbox={bbox()}&cluster=auto&limit=11")
    assert document["clustered"]
    assert document["total"] == 12
    assert sum(feature["properties"]["count"] for feature in document["features"]) == 12
    for feature in document["features"]:
        assert not ClusterFeatureOut().validate(feature)
        assert set(feature["properties"]["kinds"]) == {"hydrant"}
    assert not listed(client, f"bbox={bbox()}&cluster=auto&limit=12")["clustered"]
    assert not listed(client, f"bbox={bbox()}&limit=11")["clustered"]
    assert not listed(client, f"bbox={bbox()}")["clustered"]
    monkeypatch.setattr("assets.views.MOST_IN_BOX", 11)
    assert listed(client, f"bbox={bbox()}")["clustered"]
    assert len(ids(listed(client, f"bbox={bbox()}&cluster=never"))) == 12


def test_an_asset_shows_its_versions_and_the_open_reports_about_it(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    asset = new_asset(session, kind)
    service = new_service(session, city)
    shown = new_report(session, service, status=Status.TRIAGED, asset_id=asset.id)
    new_report(session, service, status=Status.RESOLVED, asset_id=asset.id)
    new_report(session, service, asset_id=asset.id, visibility=Visibility.HELD.value)
    new_report(session, service)
    answer = client.get(f"/api/v1/assets/{asset.id}")
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"1"'
    assert [report["id"] for report in answer.json["open_reports"]] == [str(shown.id)]
    assert answer.json["past_reports"] == 1
    [version] = answer.json["versions"]
    assert (version["origin"], version["changed"]) == ("import", ["created"])
    assert "actor" not in version
    assert not AssetOut().validate(answer.get_json())
    assert client.get("/api/v1/assets/01890a5d-ac96-774b-bcce-b302099a8057").status_code == 404


def test_versions_are_paged_latest_first(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    asset = new_asset(session, kind)
    staff = new_staff(session, city, Role.COORDINATOR)
    for state in ("out_of_order", "in_service", "removed"):
        changed = client.patch(
            f"/api/v1/assets/{asset.id}", json={"state": state}, headers=staff.headers
        )
        assert changed.status_code == 200, changed.json
    url = f"/api/v1/assets/{asset.id}/versions"
    page = client.get(f"{url}?limit=3").get_json()
    assert [item["version"] for item in page["items"]] == [4, 3, 2]
    rest = client.get(f"{url}?limit=3&cursor={page['next']}").json
    assert [item["version"] for item in rest["items"]] == [1]
    assert rest["next"] is None
    assert not VersionsOut().validate(page)
    seen = client.get(url, headers=staff.headers).json["items"][0]
    assert seen["actor"] == {"id": str(staff.id), "name": staff.person.name}
    assert client.get(f"{url}?cursor=x").status_code == 422


def test_kinds_are_described_in_the_readers_language(
    client: FlaskClient, session: Session, city: Jurisdiction
) -> None:
    new_asset_kind(
        session,
        city,
        code="hydrant",
        adoption={"capacity": 2},
        season={"from": "11-15", "to": "04-01"},
        care={"actions": [{"code": "cleared", "names": {"fr": "Déneigée", "en": "Cleared"}}]},
        corrections={"confirmations": 3},
    )
    new_asset_kind(session, city, code="old", is_active=False)
    document = client.get(f"/api/v1/asset-kinds?jurisdiction={city.code}&locale=fr").get_json()
    [kind] = document["items"]
    assert (kind["code"], kind["name"]) == ("hydrant", "Objet hydrant")
    assert kind["adoption"]["capacity"] == 2
    assert kind["season"] == {"from": "11-15", "to": "04-01"}
    assert kind["care"] == [
        {"code": "cleared", "name": "Déneigée", "unit": None, "is_problem": False}
    ]
    assert kind["confirmations"] == 3
    assert not KindsOut().validate(document)


# -- staff -----------------------------------------------------------------------------------------


def test_staff_enter_an_asset(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    staff = new_staff(session, city, Role.MANAGER)
    body = {
        "jurisdiction": city.code,
        "kind": "hydrant",
        "lat": COMEDIE.lat,
        "lon": COMEDIE.lon,
        "code": "H-1",
        "attributes": {"name": "Comédie"},
    }
    key = {"Idempotency-Key": "one", **staff.headers}
    answer = client.post("/api/v1/assets", json=body, headers=key)
    assert answer.status_code == 201, answer.json
    again = client.post("/api/v1/assets", json=body, headers=key)
    assert again.json["id"] == answer.json["id"]
    taken = client.post("/api/v1/assets", json=body, headers=staff.headers)
    assert (taken.status_code, taken.json["code"]) == (409, "code_taken")
    del body["code"]
    provisional = client.post("/api/v1/assets", json=body, headers=staff.headers)
    assert provisional.json["properties"]["code"].startswith("+")
    assert provisional.json["versions"][0]["origin"] == "staff"
    names = session.scalars(sa.select(OutboxEvent.name)).all()
    assert names.count("asset.added") == 2
    found = listed(client, "q=comedie")
    assert answer.json["id"] in ids(found)


def test_staff_change_an_asset_under_its_version(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    asset = new_asset(session, kind, attributes={"name": "old"})
    team = new_team(session, city)
    staff = new_staff(session, city, Role.COORDINATOR)
    url = f"/api/v1/assets/{asset.id}"
    there = destination(COMEDIE, 90, 30)
    body = {
        "lat": there.lat,
        "lon": there.lon,
        "state": "out_of_order",
        "attributes": {"name": None},
        "owner": team.code,
    }
    stale = {"If-Match": '"7"', **staff.headers}
    assert client.patch(url, json=body, headers=stale).status_code == 412
    answer = client.patch(url, json=body, headers={"If-Match": '"1"', **staff.headers})
    assert answer.status_code == 200, answer.json
    assert answer.headers["ETag"] == '"2"'
    properties = answer.json["properties"]
    assert (properties["state"], properties["attributes"]) == ("out_of_order", {})
    assert properties["owner"]["code"] == team.code
    latest = answer.json["versions"][0]
    assert latest["changed"] == ["place", "state", "attributes", "owner"]
    # Saying the same again is no new version.
    assert client.patch(url, json=body, headers=staff.headers).headers["ETag"] == '"2"'
    [entry] = session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "asset.changed"))
    assert entry.data == {"version": 2, "changed": latest["changed"]}
    [event] = session.scalars(sa.select(OutboxEvent).where(OutboxEvent.name == "asset.moved"))
    assert event.data["origin"] == "staff"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"lat": 48.85, "lon": 2.35}, "lat"),
        ({"lat": 43.6}, "lon"),
        ({"attributes": {"height": 3}}, "attributes.height"),
        ({"state": "lost"}, "state"),
        ({"code": "+1"}, "code"),
        ({"code": ""}, "code"),
        ({"owner": "nobody"}, "team"),
        ({"adopters": 3}, "adopters"),
    ],
)
def test_a_change_that_cannot_be_leaves_no_trace(
    client: FlaskClient,
    session: Session,
    city: Jurisdiction,
    kind: AssetKind,
    body: dict[str, Any],
    field: str,
) -> None:
    asset_id = new_asset(session, kind).id
    staff = new_staff(session, city, Role.MANAGER)
    answer = client.patch(f"/api/v1/assets/{asset_id}", json=body, headers=staff.headers)
    assert answer.status_code in (404, 422), answer.json
    assert field in json.dumps(answer.json)
    assert session.get_one(Asset, asset_id).version == 1


def test_removing_and_returning_are_told(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    asset = new_asset(session, kind, adopters=1)
    staff = new_staff(session, city, Role.MANAGER)
    for state in ("removed", "in_service"):
        client.patch(f"/api/v1/assets/{asset.id}", json={"state": state}, headers=staff.headers)
    told = session.execute(
        sa.select(OutboxEvent.name, OutboxEvent.data["adopters"])
        .where(OutboxEvent.subject_id == asset.id)
        .order_by(OutboxEvent.id)
    ).all()
    assert [tuple(row) for row in told] == [("asset.removed", 1), ("asset.returned", 1)]


def test_only_those_who_keep_the_register_of_that_city_change_it(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    asset = new_asset(session, kind)
    team = new_team(session, city)
    own = new_asset(session, kind, owner_team_id=team.id)
    agent = new_staff(session, city, Role.AGENT)
    foreign = new_staff(session, new_jurisdiction(session), Role.ADMIN)
    of_team = new_staff(session, city, Role.COORDINATOR, team=team)
    body = {"state": "removed"}

    def changed(asset: Asset, headers: dict[str, str]) -> int:
        return client.patch(f"/api/v1/assets/{asset.id}", json=body, headers=headers).status_code

    assert changed(asset, {}) == 401
    assert changed(asset, agent.headers) == 403
    assert changed(asset, foreign.headers) == 404
    assert changed(asset, of_team.headers) == 404
    assert changed(own, of_team.headers) == 200


def test_a_box_of_another_city_asks_nothing_of_this_one(
    client: FlaskClient, session: Session, kind: AssetKind
) -> None:
    new_asset(session, kind)
    assert ids(listed(client, f"bbox={bbox(Point(48.85, 2.35))}")) == []
    assert queries.MOST_IN_BOX == 1_000
