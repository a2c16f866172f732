"""Which asset a report is about: named, found by itself, corrected by staff."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.models import AuditEntry
from accounts.rules import Role
from assets.facts import Facts
from assets.models import Asset, AssetKind
from assets.vocabulary import AssetState
from core.clock import utc_now
from core.ids import new_id
from core.models import OutboxEvent
from geo import jurisdictions
from geo.measures import Point, destination
from geo.models import Jurisdiction
from reports import asset_linking, correction
from reports.asset_linking import Placed
from reports.history import Author
from reports.models import HistoryEntry, Service, ServiceRequest
from reports.triage import triage
from reports.vocabulary import ActorKind, HistoryKind, PlaceSource, Status
from tests.factories import (
    COMEDIE,
    new_asset,
    new_asset_kind,
    new_jurisdiction,
    new_report,
    new_service,
    new_staff,
    stored,
)
from tests.statements import count_statements


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def service(session: Session, city: Jurisdiction) -> Service:
    return new_service(session, city, code="hydrant-damaged")


@pytest.fixture
def kind(session: Session, city: Jurisdiction) -> AssetKind:
    return new_asset_kind(
        session, city, code="hydrant", services=["hydrant-damaged"], link_radius_m=30.0
    )


def at(metres: float) -> Point:
    return destination(COMEDIE, 90.0, metres)


def link(session: Session, *reports: ServiceRequest) -> int:
    session.flush()
    jurisdictions.forget()
    done = asset_linking.link(
        session, [report.id for report in reports], now=utc_now(), finder=Facts()
    )
    session.expire_all()
    return done


def entries(session: Session, report: ServiceRequest) -> list[Any]:
    return list(
        session.scalars(
            sa.select(HistoryEntry)
            .where(
                HistoryEntry.report_id == report.id,
                HistoryEntry.kind == HistoryKind.ASSET_LINKED.value,
            )
            .order_by(HistoryEntry.id)
        )
    )


def test_a_report_is_linked_to_the_nearest_fitting_one_with_its_reason(
    session: Session, city: Jurisdiction, service: Service, kind: AssetKind
) -> None:
    new_asset(session, kind, point=at(25))
    nearest = new_asset(session, kind, point=at(12))
    new_asset(session, new_asset_kind(session, city), point=at(1))
    new_asset(session, kind, point=at(2), state=AssetState.REMOVED)
    report = new_report(session, service, triaged_at=None)
    assert link(session, report) == 1
    assert report.asset_id == nearest.id
    assert report.asset_link == {
        "by": "nearest",
        "kind": "hydrant",
        "distance_m": 12.0,
        "radius_m": 30.0,
    }
    [entry] = entries(session, report)
    assert entry.data["distance_m"] == 12.0
    assert link(session, report) == 0
    assert len(entries(session, report)) == 1


def test_beyond_the_radius_and_of_other_services_nothing_is_linked(
    session: Session, city: Jurisdiction, service: Service, kind: AssetKind
) -> None:
    new_asset(session, kind, point=at(30.2))
    far = new_report(session, service, triaged_at=None)
    other = new_report(session, new_service(session, city), at=at(30), triaged_at=None)
    nowhere = new_report(session, service, at=None, triaged_at=None)
    assert link(session, far, other, nowhere) == 0
    assert far.asset_id is None


def test_a_batch_costs_the_same_statements_however_large(
    session: Session, service: Service, kind: AssetKind
) -> None:
    new_asset(session, kind, point=at(3))
    sent = []
    for count in (1, 20):
        ids = [new_report(session, service, triaged_at=None).id for _ in range(count)]
        session.flush()
        with count_statements() as statements:
            done = asset_linking.link(session, ids, now=utc_now(), finder=Facts())
        assert done == count
        sent.append([text.split()[0] for text in statements if "jurisdictions" not in text])
    assert sent[1] == sent[0][-len(sent[1]) :]


def test_what_the_reporter_named_is_kept(
    session: Session, service: Service, kind: AssetKind
) -> None:
    named = new_asset(session, kind, point=at(25))
    new_asset(session, kind, point=at(1))
    report = new_report(session, service, asset_id=named.id, triaged_at=None)
    assert link(session, report) == 0
    assert (report.asset_id, report.asset_link) == (named.id, None)


def test_a_report_that_moves_is_linked_anew(
    session: Session, service: Service, kind: AssetKind
) -> None:
    here, there = (new_asset(session, kind, point=at(metres)) for metres in (2, 400))
    report = new_report(session, service, status=Status.TRIAGED, triaged_at=None)
    link(session, report)
    assert report.asset_id == here.id
    for metres, found in ((402, there.id), (800, None)):
        correction.change_place(
            session, report, at(metres), by=Author(ActorKind.STAFF), now=utc_now()
        )
        link(session, report)
        assert report.asset_id == found
    assert report.asset_link is None
    assert [entry.data["asset_id"] for entry in entries(session, report)] == [
        str(here.id),
        str(there.id),
        None,
    ]


def test_reports_of_one_asset_are_joined_or_suggested(
    session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    service = new_service(session, city, code="hydrant-damaged", duplicate_radius_m=40.0)
    new_asset(session, kind, point=at(10))
    reports = [
        new_report(
            session,
            service,
            at=at(metres),
            triaged_at=None,
            place_source=PlaceSource.PIN.value,
            description="La bouche fuit",
        )
        for metres in (0, 20)
    ]
    for report in reports:
        link(session, report)
        triage(session, [report.id], now=utc_now())
        session.expire_all()
    explanation = reports[1].duplicate or {}
    assert "same_asset" in str(explanation)


# -- staff -----------------------------------------------------------------------------------------


def choose(
    client: FlaskClient, report: ServiceRequest, asset_id: Any, headers: dict[str, str]
) -> Any:
    return client.post(
        f"/api/v1/reports/{report.id}/asset",
        json={"asset_id": asset_id and str(asset_id)},
        headers=headers,
    )


def test_staff_correct_the_asset_and_nothing_overrides_them(
    client: FlaskClient, session: Session, city: Jurisdiction, service: Service, kind: AssetKind
) -> None:
    near, other = (new_asset(session, kind, point=at(metres)) for metres in (2, 20))
    report = new_report(session, service, status=Status.TRIAGED, triaged_at=None)
    link(session, report)
    staff = new_staff(session, city, Role.AGENT)
    shown = client.get(f"/api/v1/reports/{report.id}", headers=staff.headers).json
    assert shown["asset_id"] == str(near.id)
    assert shown["asset_because"]["by"] == "nearest"
    answer = choose(client, report, other.id, staff.headers)
    assert answer.status_code == 200, answer.json
    assert answer.json["asset_id"] == str(other.id)
    assert answer.json["asset_because"] == {"by": "person"}
    assert link(session, report) == 0
    assert choose(client, report, other.id, staff.headers).status_code == 409
    assert choose(client, report, None, staff.headers).json["asset_id"] is None
    # None is a person's word as well.
    assert link(session, report) == 0
    assert report.asset_id is None
    names = session.scalars(sa.select(OutboxEvent.name).where(OutboxEvent.subject_id == report.id))
    assert list(names).count("report.asset_chosen") == 2
    assert report.triaged_at is None


def test_what_staff_said_can_be_taken_back_and_is_looked_for_again(
    client: FlaskClient, session: Session, city: Jurisdiction, service: Service, kind: AssetKind
) -> None:
    near, other = (new_asset(session, kind, point=at(metres)) for metres in (2, 20))
    report = new_report(session, service, status=Status.TRIAGED, triaged_at=None)
    link(session, report)
    staff = new_staff(session, city, Role.AGENT)
    path = f"/api/v1/reports/{report.id}/asset"
    assert client.delete(path, headers=staff.headers).status_code == 409
    tag = choose(client, report, other.id, staff.headers).headers["ETag"]
    stale = client.delete(path, headers={**staff.headers, "If-Match": '"1"'})
    assert stale.status_code == 412
    back = client.delete(path, headers={**staff.headers, "If-Match": tag})
    assert (back.status_code, back.json["asset_id"]) == (200, None)
    assert link(session, report) == 1
    assert (report.asset_id, (report.asset_link or {})["by"]) == (near.id, "nearest")
    audited = stored(session, AuditEntry, action="report.changed")
    assert [each.data["what"] for each in audited] == ["choose_asset", "withdraw_asset"]


def test_reports_that_staff_say_are_of_one_asset_are_told_to_be_alike(
    client: FlaskClient, session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    service = new_service(session, city, code="hydrant-damaged", duplicate_radius_m=60.0)
    right, wrong = new_asset(session, kind, point=at(50)), new_asset(session, kind, point=at(1))
    first = new_report(
        session, service, at=at(52), triaged_at=None, place_source=PlaceSource.PIN.value
    )
    second = new_report(
        session, service, at=at(2), triaged_at=None, place_source=PlaceSource.PIN.value
    )
    for report in (first, second):
        link(session, report)
    assert (first.asset_id, second.asset_id) == (right.id, wrong.id)
    staff = new_staff(session, city, Role.AGENT)
    assert choose(client, second, right.id, staff.headers).status_code == 200
    for report in (first, second):
        # Nothing that runs by itself overrides what a person said.
        link(session, report)
        triage(session, [report.id], now=utc_now())
        session.expire_all()
    assert second.asset_id == right.id
    assert "same_asset" in str(second.duplicate)


def test_staff_cannot_choose_what_is_not_there(
    client: FlaskClient, session: Session, city: Jurisdiction, service: Service, kind: AssetKind
) -> None:
    foreign = new_asset(session, new_asset_kind(session, new_jurisdiction(session)))
    gone = new_asset(session, kind, state=AssetState.REMOVED)
    report = new_report(session, service, status=Status.TRIAGED)
    staff = new_staff(session, city, Role.AGENT)
    for asset_id in (foreign.id, gone.id, new_id()):
        answer = choose(client, report, asset_id, staff.headers)
        assert answer.status_code == 422
        assert answer.json["errors"] == {"asset_id": ["There is no such asset here."]}
    over = new_report(session, service, status=Status.CLOSED)
    assert choose(client, over, None, staff.headers).status_code == 409


def test_a_report_names_an_asset_of_its_own_city_and_stands_where_that_stands(
    client: FlaskClient, session: Session, city: Jurisdiction, service: Service, kind: AssetKind
) -> None:
    asset: Asset = new_asset(session, kind, point=at(77))
    body = {
        "jurisdiction": city.code,
        "service_code": "hydrant-damaged",
        "asset_id": str(asset.id),
        "description": "Elle fuit",
    }
    answer = client.post("/api/v1/reports", json=body)
    assert answer.status_code == 201, answer.json
    report = session.get_one(ServiceRequest, answer.json["id"])
    assert (report.asset_id, report.lat, report.place_source) == (asset.id, asset.lat, "asset")
    foreign = new_asset(session, new_asset_kind(session, new_jurisdiction(session)))
    answer = client.post("/api/v1/reports", json={**body, "asset_id": str(foreign.id)})
    assert answer.status_code == 422
    assert "asset_id" in answer.json["errors"]


def test_the_nearest_of_several_kinds_is_taken(
    session: Session, city: Jurisdiction, kind: AssetKind
) -> None:
    valve = new_asset_kind(
        session, city, code="valve", services=["hydrant-damaged"], link_radius_m=5.0
    )
    near = new_asset(session, valve, point=at(4))
    hydrant = new_asset(session, kind, point=at(6))
    session.flush()
    jurisdictions.forget()
    asked = [
        Placed(new_id(), city.id, "hydrant-damaged", COMEDIE),
        Placed(new_id(), city.id, "hydrant-damaged", at(12)),
        Placed(new_id(), city.id, "another", COMEDIE),
    ]
    found = Facts().nearest_fitting(session, asked)
    assert {key: each.asset_id for key, each in found.items()} == {
        asked[0].report_id: near.id,
        asked[1].report_id: hydrant.id,
    }
