"""Putting right what a report says: its service, its place, whether the public sees it.

Works on a locked report, in the caller's transaction; see `reports.changing`. Another service or
place sends the report through the pipeline again.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from core.errors import ConflictError, InvalidError
from geo import jurisdictions
from geo.cells import cell_of
from geo.measures import Point
from reports import changing, events, history
from reports.catalogue import catalogue_of
from reports.changing import SILENCE, Words
from reports.history import Author, Entry
from reports.models import ServiceRequest
from reports.rules import check_open
from reports.vocabulary import HistoryKind, PlaceSource, Status, Visibility


def change_service(
    session: Session, report: ServiceRequest, code: str, *, by: Author, now: datetime
) -> int:
    """Make it a report of another service; triage routes and dates it again. The entry's id.

    A team that a person chose is kept. Answers to questions that the new service does not ask go;
    the history says which.

    Raises:
        UnknownServiceError
        ConflictError: it is of that service already, or over.
    """
    check_open(Status(report.status))
    service = catalogue_of(session, report.jurisdiction_id).service(code)
    if service.emergency is not None:
        raise InvalidError("An emergency is called, not filed.", field="service_code")
    if service.id == report.service_id:
        raise ConflictError("It is of that service already.")
    asked = {definition.code for definition in service.attributes}
    details = {
        "from_service_id": report.service_id,
        "service_id": service.id,
        "dropped_attributes": sorted(set(report.attributes) - asked),
    }
    report.service_id = service.id
    report.attributes = {code: value for code, value in report.attributes.items() if code in asked}
    report.triaged_at = None
    changing.touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session,
        [Entry(report.id, HistoryKind.SERVICE_CHANGED, by, data=details)],
        now=now,
    )
    changing.tell(session, report, events.SERVICE_CHANGED, history_id=entry_id)
    return entry_id


def change_place(
    session: Session, report: ServiceRequest, point: Point, *, by: Author, now: datetime
) -> int:
    """Put it elsewhere. Returns the id of the history entry.

    The pipeline finds its address and areas, and its team too unless a person chose that.

    Raises:
        OutsideJurisdictionError: the position is not of the report's jurisdiction.
        ConflictError: it is over, or joined to another one.
    """
    check_open(Status(report.status))
    place = jurisdictions.by_id(session, report.jurisdiction_id)
    jurisdictions.resolve(session, code=place.code, point=point)
    details = {"from_lat": report.lat, "from_lon": report.lon, "lat": point.lat, "lon": point.lon}
    report.lat, report.lon, report.cell = point.lat, point.lon, cell_of(point)
    report.place_source = PlaceSource.STAFF.value
    report.accuracy_m = None
    report.address = report.address_id = report.postcode = None
    report.areas = None
    report.located_at = None
    report.triaged_at = None
    changing.touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session, [Entry(report.id, HistoryKind.MOVED, by, data=details)], now=now
    )
    changing.tell(session, report, events.MOVED, history_id=entry_id)
    return entry_id


def show(
    session: Session,
    report: ServiceRequest,
    visibility: Visibility,
    *,
    by: Author,
    now: datetime,
    words: Words = SILENCE,
) -> int:
    """Let the public see it, or not. Returns the id of the history entry.

    Raises:
        ConflictError: it is so already.
    """
    if report.visibility == visibility:
        raise ConflictError(f"It is {visibility} already.", field="visibility")
    details = {"from": report.visibility, "to": visibility.value}
    report.visibility = visibility.value
    changing.touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session, [Entry(report.id, HistoryKind.VISIBILITY_CHANGED, by, data=details)], now=now
    )
    changing.keep_words(session, report, words, by, entry_id, now)
    return entry_id
