"""Locating: addresses, areas and positions from what the house knows itself."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from core.clock import utc_now
from core.models import OutboxEvent
from core.text import fold
from geo.cells import cell_of
from geo.geocoding import Place
from geo.measures import Point
from geo.models import Address, Jurisdiction
from reports import locating
from reports.models import HistoryEntry, ServiceRequest
from reports.vocabulary import PlaceSource
from tests.factories import (
    COMEDIE,
    new_area,
    new_jurisdiction,
    new_report,
    new_service,
    stored,
)
from tests.statements import count_statements


def new_address(session: Session, city: Jurisdiction, number: int, street: str, at: Point) -> None:
    session.add(
        Address(
            jurisdiction_id=city.id, number=number, suffix="", street=street,
            street_key=fold(street).replace("rue ", "r "), lat=at.lat, lon=at.lon, cell=cell_of(at),
        )
    )  # fmt: skip
    session.flush()


def unlocated(session: Session, city: Jurisdiction, **values: object) -> ServiceRequest:
    service = new_service(session, city)
    return new_report(
        session,
        service,
        **{"address": None, "located_at": None, "search": None, **values},  # type: ignore[arg-type]
    )


def test_a_position_gets_its_address_and_its_areas(session: Session) -> None:
    city = new_jurisdiction(session)
    area = new_area(session, city)
    new_address(session, city, 12, "Rue Foch", COMEDIE)
    report = unlocated(session, city)
    assert locating.locate(session, [report.id], now=utc_now()).placed == 1
    session.refresh(report)
    assert (report.address, report.areas) == ("12 Rue Foch", [area.id])
    assert "foch" in report.search
    assert [e.kind for e in stored(session, HistoryEntry, report_id=report.id)][-1] == "located"
    assert [e.name for e in stored(session, OutboxEvent)] == ["report.located"]


def test_locating_again_changes_nothing(session: Session) -> None:
    city = new_jurisdiction(session)
    report = unlocated(session, city)
    locating.locate(session, [report.id], now=utc_now())
    session.refresh(report)
    version = report.version
    assert locating.locate(session, [report.id], now=utc_now()).placed == 0
    session.refresh(report)
    assert report.version == version
    assert len(stored(session, OutboxEvent)) == 1


def test_an_address_gets_its_position(session: Session) -> None:
    city = new_jurisdiction(session)
    new_address(session, city, 12, "Rue Foch", COMEDIE)
    report = unlocated(session, city, at=None, address_given="12 rue Foch")
    locating.locate(session, [report.id], now=utc_now())
    session.refresh(report)
    assert (report.lat, report.lon) == (COMEDIE.lat, COMEDIE.lon)
    assert report.place_source == PlaceSource.ADDRESS


def test_what_nobody_can_place_goes_on_and_keeps_its_words(session: Session) -> None:
    city = new_jurisdiction(session)
    # Known, but outside the city: a slip of the address file must not move a report there.
    new_address(session, city, 1, "Rue Lointaine", Point(COMEDIE.lat + 3, COMEDIE.lon))
    reports = [
        unlocated(session, city, at=None, address_given="près du grand chêne"),
        unlocated(session, city, at=None, address_given="1 rue Lointaine"),
    ]
    done = locating.locate(
        session, [report.id for report in reports], now=utc_now(), is_asked_online=True
    )
    assert done.unplaced == 2
    for report in reports:
        session.refresh(report)
        assert (report.cell, report.located_at is None) == (None, False)
    names = [event.name for event in stored(session, OutboxEvent)]
    assert names == ["report.located"] * 2 + ["report.unplaced"] * 2


def test_a_geocoders_answer_places_a_report_once_and_has_it_triaged_again(
    session: Session,
) -> None:
    city = new_jurisdiction(session)
    report = unlocated(session, city, at=None, address_given="près du grand chêne")
    locating.locate(session, [report.id], now=utc_now())
    lost = locating.unplaced(session, None, since=utc_now() - timedelta(days=1), limit=5)
    assert [item.id for item in lost] == [report.id]
    answer = Place(COMEDIE, "Le Grand Chêne", "ban", 10.0, 0.9)
    assert locating.place_by_geocoder(session, report.id, answer, now=utc_now())
    assert not locating.place_by_geocoder(session, report.id, answer, now=utc_now())
    session.refresh(report)
    assert (report.address, report.triaged_at) == ("Le Grand Chêne", None)
    outside = Place(Point(10, 10), "Ailleurs", "ban", 10.0, 0.9)
    other = unlocated(session, city, at=None, address_given="ailleurs")
    locating.locate(session, [other.id], now=utc_now())
    assert not locating.place_by_geocoder(session, other.id, outside, now=utc_now())


def test_a_batch_costs_the_same_number_of_statements_whatever_its_size(session: Session) -> None:
    city = new_jurisdiction(session)
    costs = []
    locating.locate(session, [unlocated(session, city).id], now=utc_now())
    for size in (2, 40):
        ids = [unlocated(session, city).id for _ in range(size)]
        session.flush()
        with count_statements() as seen:
            locating.locate(session, ids, now=utc_now())
        costs.append(len(seen))
    assert costs[0] == costs[1]
