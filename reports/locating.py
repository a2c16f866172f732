"""Where a report is: its address, its areas, its position if only an address was given.

1. `locate` places whole batches from what the house knows itself: areas by polygon, addresses by
   the offline gazetteer. It never waits for anybody. What it cannot place goes on all the same,
   without a cell: staff see it in the queue "needs place".
2. For those, when there is somebody to ask, it says `report.unplaced`; the task that hears it
   asks an on-line geocoder, outside any transaction, and brings the answer to
   `place_by_geocoder`. The same for a position without a known address.

What staff move elsewhere (`reports.correction`) is located again: `located_at` is empty until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.outbox import Event, EventName, after, emit_many
from core.text import fold
from geo import gazetteer, geocoding, jurisdictions
from geo.address_text import street_and_number
from geo.cells import cell_of
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point
from reports import events, history
from reports.history import SYSTEM, Entry
from reports.models import ServiceRequest
from reports.vocabulary import OPEN_STATUSES, HistoryKind, PlaceSource

#: For so long a geocoder is asked again about a report that nobody could place.
ASKED_AGAIN_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Located:
    """What `locate` did with a batch: how many have a place, how many wait for one."""

    placed: int
    unplaced: int


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A report whose position (if there is none) or address an on-line geocoder may know."""

    id: UUID
    place: JurisdictionRef
    address_given: str
    point: Point | None


@dataclass(slots=True)
class _Found:
    """What is known of one report's place, while it is being worked out."""

    row: Any
    place: JurisdictionRef
    point: Point | None
    source: PlaceSource
    address: str | None = None
    #: What the gazetteer knows of that address beyond its label.
    match: gazetteer.AddressMatch | None = None
    postcode: str | None = None
    areas: tuple[int, ...] = ()

    def take(self, match: gazetteer.AddressMatch) -> None:
        """It is at that address."""
        self.address, self.match, self.postcode = match.label, match, match.postcode


def locate(
    session: Session,
    report_ids: Sequence[UUID],
    *,
    now: datetime,
    causes: Mapping[UUID, Event] | None = None,
    is_asked_online: bool = False,
    times: Mapping[UUID, datetime] | None = None,
) -> Located:
    """Place those of these reports that have not been placed, in the caller's transaction.

    Doing it again does nothing.

    Args:
        causes: the event that asked for each report, as far as known.
        is_asked_online: whether there is a geocoder to ask about what the house does not know.
        times: when each is placed, where that is not `now`: a past that is replayed.
    """
    rows = session.execute(_TO_LOCATE, {"ids": list(report_ids)}).all()
    if not rows:
        return Located(0, 0)
    found = [
        _Found(
            row=row,
            place=jurisdictions.by_id(session, row.jurisdiction_id),
            point=None if row.lat is None else Point(row.lat, row.lon),
            source=PlaceSource(row.place_source),
        )
        for row in rows
    ]
    _by_address(session, found)
    _addresses_and_areas(session, found)
    times = times or {}
    _store(session, found, now, times)
    history.append(session, [_entry(item, at=times.get(item.row.id)) for item in found], now=now)
    _tell(session, events.LOCATED, found, causes or {})
    if is_asked_online:
        lost = [item for item in found if _is_worth_asking(item)]
        _tell(session, events.UNPLACED, lost, causes or {})
    unplaced = sum(item.point is None for item in found)
    return Located(len(found) - unplaced, unplaced)


def unplaced(
    session: Session, report_ids: Sequence[UUID] | None = None, *, since: datetime, limit: int
) -> list[Unplaced]:
    """Open reports received since then without a position or without an address; oldest first."""
    lacks = sa.or_(
        sa.and_(ServiceRequest.cell.is_(None), ServiceRequest.address_given.is_not(None)),
        sa.and_(ServiceRequest.cell.is_not(None), ServiceRequest.address.is_(None)),
    )
    statement = sa.select(
        ServiceRequest.id,
        ServiceRequest.jurisdiction_id,
        ServiceRequest.address_given,
        ServiceRequest.lat,
        ServiceRequest.lon,
    ).where(
        lacks,
        ServiceRequest.located_at.is_not(None),
        ServiceRequest.status.in_([status.value for status in OPEN_STATUSES]),
        ServiceRequest.requested_at >= since,
    )
    if report_ids is not None:
        statement = statement.where(ServiceRequest.id.in_(list(report_ids)))
    rows = session.execute(statement.order_by(ServiceRequest.requested_at).limit(limit)).all()
    return [
        Unplaced(
            id=row.id,
            place=jurisdictions.by_id(session, row.jurisdiction_id),
            address_given=row.address_given or "",
            point=None if row.lat is None or row.lon is None else Point(row.lat, row.lon),
        )
        for row in rows
    ]


def place_by_geocoder(
    session: Session, report_id: UUID, answer: geocoding.Place, *, now: datetime
) -> bool:
    """Store what an on-line geocoder knew of a report, in the caller's transaction.

    A position makes triage look again, because the rules of the area have not been asked. False,
    and nothing is changed, when staff were faster or the answer lies outside the city.
    """
    row = session.execute(_ONE, {"id": report_id}).one_or_none()
    if row is None or row.located_at is None:
        return False
    place = jurisdictions.by_id(session, row.jurisdiction_id)
    label = answer.label
    if row.lat is not None:
        if row.address is not None:
            return False
        item = _Found(row, place, Point(row.lat, row.lon), PlaceSource(row.place_source), label)
    else:
        if not place.boundary.contains(answer.point):
            return False
        item = _Found(row, place, answer.point, PlaceSource.ADDRESS, label)
    item.postcode = answer.postcode
    _addresses_and_areas(session, [item])
    _store(session, [item], now, {})
    history.append(session, [_entry(item, geocoder=answer.source)], now=now)
    if row.lat is None:
        session.execute(
            sa.text("UPDATE service_requests SET triaged_at = NULL WHERE id = :id"),
            {"id": report_id},
        )
        _tell(session, events.LOCATED, [item], {})
    return True


def search_text(number: int, description: str, *addresses: str | None) -> str:
    """The folded words under which staff find a report."""
    return fold(" ".join([str(number), description, *(text for text in addresses if text)]))


def _is_worth_asking(item: _Found) -> bool:
    if item.point is None:
        return bool(item.row.address_given)
    return item.address is None


def _by_address(session: Session, found: Iterable[_Found]) -> None:
    """Positions of written addresses that the gazetteer is sure of, inside the city."""
    answers: dict[tuple[int, str], gazetteer.AddressMatch | None] = {}
    for item in found:
        text = item.row.address_given
        if item.point is not None or not text:
            continue
        key = (item.place.id, text)
        if key not in answers:
            matches = gazetteer.search(session, item.place.id, text, limit=1)
            answers[key] = matches[0] if matches else None
        match = answers[key]
        if match is None or match.confidence < geocoding.SURE_ENOUGH:
            continue
        if item.place.boundary.contains(match.point):
            item.point = match.point
            item.source = PlaceSource.ADDRESS
            item.take(match)


def _addresses_and_areas(session: Session, found: Sequence[_Found]) -> None:
    """The address and the areas of every position: one statement for each city in the batch."""
    by_city: dict[int, list[_Found]] = {}
    for item in found:
        if item.point is not None:
            by_city.setdefault(item.place.id, []).append(item)
    for city, items in by_city.items():
        points = [item.point for item in items if item.point is not None]
        inside = items[0].place.areas.containing(points)
        for item, areas in zip(items, inside, strict=True):
            item.areas = tuple(area.id for area in areas)
        unnamed = [item for item in items if item.address is None]
        at = [item.point for item in unnamed if item.point is not None]
        for item, match in zip(unnamed, gazetteer.reverse(session, city, at), strict=True):
            if match is not None:
                item.take(match)


def _store(
    session: Session, found: Sequence[_Found], now: datetime, times: Mapping[UUID, datetime]
) -> None:
    keys = [street_and_number(item.address) if item.address else (None, None) for item in found]
    session.execute(
        _STORE,
        {
            "times": [times.get(item.row.id, now) for item in found],
            "ids": [item.row.id for item in found],
            "lats": [item.point and item.point.lat for item in found],
            "lons": [item.point and item.point.lon for item in found],
            "cells": [item.point and cell_of(item.point) for item in found],
            "sources": [item.source.value for item in found],
            "addresses": [item.address for item in found],
            "streets": [street for street, _ in keys],
            "house_numbers": [number for _, number in keys],
            "codes": [item.match and item.match.code for item in found],
            "numbers": [item.match and item.match.number_text for item in found],
            "postcodes": [item.postcode for item in found],
            "areas": ["{" + ",".join(map(str, item.areas)) + "}" for item in found],
            "words": [
                search_text(
                    item.row.number, item.row.description, item.address, item.row.address_given
                )
                for item in found
            ],
        },
    )


def _entry(item: _Found, *, at: datetime | None = None, **data: Any) -> Entry:
    facts = {"place_source": item.source.value, "areas": list(item.areas), **data}
    if item.point is None:
        facts["needs_place"] = True
    return Entry(item.row.id, HistoryKind.LOCATED, SYSTEM, data=facts, at=at)


def _tell(
    session: Session,
    name: EventName,
    found: Sequence[_Found],
    causes: Mapping[UUID, Event],
) -> None:
    emit_many(
        session,
        name,
        [after(causes.get(item.row.id), item.row.id, item.place.id) for item in found],
    )


_COLUMNS = """
    SELECT id, jurisdiction_id, number, description, lat, lon, place_source, address_given, address,
           located_at
      FROM service_requests
"""

_TO_LOCATE = sa.text(
    f"{_COLUMNS} WHERE id = ANY (:ids ::uuid[]) AND located_at IS NULL ORDER BY id FOR UPDATE"
)

_ONE = sa.text(f"{_COLUMNS} WHERE id = :id FOR UPDATE")

# The city's file names houses, or streets of houses: where several share one id, the number makes
# it the house's own.
_STORE = sa.text(
    """
    UPDATE service_requests AS r
       SET lat = f.lat, lon = f.lon, cell = f.cell, place_source = f.source, address = f.address,
           address_id = CASE
               WHEN f.number <> '' AND EXISTS (
                   SELECT FROM addresses AS a
                    WHERE a.jurisdiction_id = r.jurisdiction_id AND a.code = f.code
                      AND concat(a.number, a.suffix) <> f.number
               ) THEN f.code || '-' || f.number
               WHEN f.number <> '' OR (
                   SELECT count(DISTINCT concat(a.number, a.suffix)) > 1
                          OR bool_or(a.number IS NULL)
                     FROM addresses AS a
                    WHERE a.jurisdiction_id = r.jurisdiction_id AND a.code = f.code
               ) THEN f.code
           END,
           postcode = f.postcode, address_street = f.street, address_number = f.house_number,
           areas = f.areas::integer[], located_at = f.at, updated_at = f.at,
           version = r.version + 1, search = to_tsvector('simple', f.words)
      FROM unnest(
               :ids ::uuid[], :lats ::float8[], :lons ::float8[], :cells ::bigint[],
               :sources ::text[], :addresses ::text[], :codes ::text[], :numbers ::text[],
               :postcodes ::text[], :areas ::text[], :words ::text[], :times ::timestamptz[],
               :streets ::text[], :house_numbers ::text[]
           ) AS f(
               id, lat, lon, cell, source, address, code, number, postcode, areas, words, at,
               street, house_number
           )
     WHERE r.id = f.id
    """
)
