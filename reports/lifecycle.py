"""What is done to a report after intake: moved, assigned, commented on, asked about, re-routed.

Every change of staff, reporter or beat goes the same way:

1. `take` locks the row and says whether this person may change it; the view holds `If-Match`
   against the version of the locked row.
2. One of the functions below asks the rules, changes the row, appends to the history, keeps the
   words beside it and emits the event, all in the caller's transaction.

A refused change raises before anything is written. Giving a report to somebody stands in
`reports.assignment`, joining and separating in `reports.joining`, what the reporter does in
`reports.conversation`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.actors import Actor
from accounts.rules import Permission
from core import outbox
from core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from geo import jurisdictions
from geo.cells import cell_of
from geo.measures import Point
from reports import events, history, routing
from reports.catalogue import ServiceEntry, catalogue_of
from reports.history import Author, Entry
from reports.models import HistoryEntry, Photo, Service, ServiceRequest
from reports.rules import Facts, Reason, check_move, check_open, may_reopen, rejection_reason
from reports.service_levels import RestlessError, ServiceLevel, due_at, resume
from reports.vocabulary import (
    ActorKind,
    HistoryKind,
    NoteKind,
    PhotoState,
    PlaceSource,
    Status,
    Visibility,
)

#: Why a report is on hold when its reporter was asked something: an answer lets it go on.
HELD_FOR_ANSWER = "question"

#: So many photos a report can have, whoever adds them.
MOST_PHOTOS = 20


class TooManyPhotosError(ConflictError):
    """Enough can be seen."""

    code = "too_many_photos"
    title = "No more photos can be added to this report"


@dataclass(frozen=True, slots=True)
class Words:
    """What staff say with a change: to their own, and to everybody."""

    note: str | None = None
    public_note: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return not self.note and not self.public_note


SILENCE = Words()


def author_of(actor: Actor) -> Author:
    """How the history names somebody of the staff, or a machine that acts for them."""
    kind = ActorKind.MACHINE if actor.api_key_id is not None else ActorKind.STAFF
    return Author(kind, actor.person_id)


def lock_all(session: Session, ids: Collection[UUID]) -> dict[UUID, ServiceRequest]:
    """Several reports as they are now, locked in the order in which everybody locks them."""
    rows = session.scalars(
        sa.select(ServiceRequest)
        .where(ServiceRequest.id.in_(list(ids)))
        .order_by(ServiceRequest.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows}


def take(
    session: Session,
    actor: Actor,
    report_id: UUID,
    needed: Permission,
    *,
    beside: UUID | None = None,
) -> ServiceRequest:
    """The report, locked, for somebody who may do that to it.

    Args:
        beside: another report that the change concerns, locked with it.

    Raises:
        NotFoundError: there is none, or it is not of this person's work.
        ForbiddenError: they may read it and no more.
    """
    locked = lock_all(session, {report_id, beside or report_id})
    return permitted(locked.get(report_id), actor, needed)


def permitted(report: ServiceRequest | None, actor: Actor, needed: Permission) -> ServiceRequest:
    """The report, if this person may do that to it; raises what `take` raises."""
    if report is None or not _may(actor, Permission.READ_REPORTS, report):
        raise NotFoundError
    if not _may(actor, needed, report):
        raise ForbiddenError
    return report


def move(
    session: Session,
    report: ServiceRequest,
    after: Status,
    *,
    by: Author,
    now: datetime,
    words: Words = SILENCE,
    reason: Reason | str | None = None,
    data: Mapping[str, Any] | None = None,
) -> int:
    """Move a locked report to another status. Returns the id of the history entry.

    Raises:
        ConflictError: the life cycle does not allow it; see `reports.rules.check_move`.
        InvalidError: the public is not told why.
    """
    before = Status(report.status)
    service = service_of(session, report)
    check_move(
        before,
        after,
        by.kind,
        Facts(
            has_team=report.team_id is not None,
            has_public_note=bool(words.public_note),
            is_window_open=may_reopen(report.resolved_at, service.reopen_days, now),
        ),
    )
    details = dict(data or {})
    if after is Status.REJECTED:
        reason = rejection_reason(reason)
    if reason is not None:
        details["reason"] = str(reason)
    if before is Status.ON_HOLD:
        details |= _resume_clock(session, report, now)
    if after is Status.REOPENED and before is not Status.ON_HOLD:
        # The first promise is over: it is due as if it had come in now.
        details |= set_due(report, due_by_level(session, report, service, now))
    if after is Status.ASSIGNED and report.team_id is None and report.assignee_id is None:
        # Somebody takes what no team answers for.
        report.assignee_id = by.id
        details["person_id"] = by.id and str(by.id)
    _set_status(report, after, now)
    touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session,
        [Entry(report.id, HistoryKind.STATUS, by, before, after, details)],
        now=now,
    )
    keep_words(session, report, words, by, entry_id, now)
    tell(
        session,
        report,
        events.STATUS_CHANGED,
        history_id=entry_id,
        **{"from": before.value, "to": after.value},
    )
    if after is Status.ASSIGNED:
        tell(session, report, events.ASSIGNED, history_id=entry_id)
    return entry_id


def resume_after_answer(
    session: Session, report: ServiceRequest, *, by: Author, now: datetime
) -> bool:
    """Let a report go on that was on hold for an answer. True when it was."""
    if report.status != Status.ON_HOLD:
        return False
    held = session.execute(
        sa.select(HistoryEntry.from_status, HistoryEntry.data)
        .where(HistoryEntry.report_id == report.id, HistoryEntry.to_status == Status.ON_HOLD.value)
        .order_by(HistoryEntry.id.desc())
        .limit(1)
    ).one_or_none()
    if held is None or held.data.get("reason") != HELD_FOR_ANSWER:
        return False
    move(session, report, Status(held.from_status), by=by, now=now)
    return True


def comment(
    session: Session, report: ServiceRequest, words: Words, *, by: Author, now: datetime
) -> int:
    """Leave words without moving anything. Returns the id of the history entry.

    Raises:
        InvalidError: nothing is said.
    """
    if words.is_empty:
        raise InvalidError("Say something: note or public_note.", field="note")
    touch(report, now)
    session.flush()
    [entry_id] = history.append(session, [Entry(report.id, HistoryKind.COMMENTED, by)], now=now)
    for note_id in keep_words(session, report, words, by, entry_id, now):
        tell(session, report, events.COMMENTED, note_id=str(note_id), history_id=entry_id)
    return entry_id


def ask(
    session: Session,
    report: ServiceRequest,
    question: str,
    *,
    hold: bool,
    by: Author,
    now: datetime,
) -> UUID:
    """Ask the reporter something; with `hold` the clock stops until the answer. The note's id.

    Raises:
        FinishedError: the report is over.
    """
    check_open(Status(report.status))
    if hold and report.status != Status.ON_HOLD:
        move(session, report, Status.ON_HOLD, by=by, now=now, reason=HELD_FOR_ANSWER)
    touch(report, now)
    session.flush()
    [entry_id] = history.append(session, [Entry(report.id, HistoryKind.ASKED, by)], now=now)
    note_id = history.add_note(
        session, report.id, NoteKind.QUESTION, question, by=by, history_id=entry_id, now=now
    )
    tell(session, report, events.QUESTION_ASKED, note_id=str(note_id), history_id=entry_id)
    return note_id


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
    touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session,
        [Entry(report.id, HistoryKind.SERVICE_CHANGED, by, data=details)],
        now=now,
    )
    tell(session, report, events.SERVICE_CHANGED, history_id=entry_id)
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
    report.address = None
    report.areas = None
    report.located_at = None
    report.triaged_at = None
    touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session, [Entry(report.id, HistoryKind.MOVED, by, data=details)], now=now
    )
    tell(session, report, events.MOVED, history_id=entry_id)
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
    touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session, [Entry(report.id, HistoryKind.VISIBILITY_CHANGED, by, data=details)], now=now
    )
    keep_words(session, report, words, by, entry_id, now)
    return entry_id


def check_room_for_photos(session: Session, report: ServiceRequest, coming: int) -> None:
    """Hold photos that come later against how many a report may have.

    Raises:
        TooManyPhotosError
    """
    there = session.scalar(
        sa.select(sa.func.count())
        .select_from(Photo)
        .where(Photo.report_id == report.id, Photo.state != PhotoState.DROPPED.value)
    )
    if (there or 0) + coming > MOST_PHOTOS:
        raise TooManyPhotosError(f"A report has room for {MOST_PHOTOS} photos.")


def close_resolved(session: Session, *, now: datetime, limit: int = 500) -> int:
    """Close what was resolved longer ago than its service waits; called by the beat until 0.

    Set-based and in the caller's transaction. What somebody else holds at the moment is left for
    the next time.
    """
    waited = sa.func.make_interval(0, 0, 0, Service.close_after_days)
    rows = session.execute(
        sa.select(ServiceRequest.id, ServiceRequest.jurisdiction_id)
        .join(Service, Service.id == ServiceRequest.service_id)
        .where(
            ServiceRequest.status == Status.RESOLVED.value,
            ServiceRequest.resolved_at <= sa.literal(now) - waited,
        )
        .order_by(ServiceRequest.resolved_at)
        .limit(limit)
        .with_for_update(of=ServiceRequest, skip_locked=True)
    ).all()
    if not rows:
        return 0
    session.execute(
        sa.update(ServiceRequest)
        .where(ServiceRequest.id.in_([row.id for row in rows]))
        .values(
            status=Status.CLOSED.value,
            closed_at=now,
            updated_at=now,
            version=ServiceRequest.version + 1,
        )
        .execution_options(synchronize_session=False)
    )
    entry_ids = history.append(
        session,
        [
            Entry(row.id, HistoryKind.STATUS, history.SYSTEM, Status.RESOLVED, Status.CLOSED)
            for row in rows
        ],
        now=now,
    )
    outbox.emit_many(
        session,
        events.STATUS_CHANGED,
        [
            outbox.Happening(
                row.id,
                row.jurisdiction_id,
                {"history_id": entry_id, "from": Status.RESOLVED, "to": Status.CLOSED},
            )
            for row, entry_id in zip(rows, entry_ids, strict=True)
        ],
    )
    return len(rows)


def touch(report: ServiceRequest, now: datetime) -> None:
    """Give a changed report its next version, which is its ETag."""
    report.version += 1
    report.updated_at = now


def _may(actor: Actor, needed: Permission, report: ServiceRequest) -> bool:
    return actor.may(needed, report.jurisdiction_id, report.team_id)


def service_of(session: Session, report: ServiceRequest) -> ServiceEntry:
    """The service of a report, as its catalogue has it."""
    return catalogue_of(session, report.jurisdiction_id).by_id[report.service_id]


def _set_status(report: ServiceRequest, after: Status, now: datetime) -> None:
    report.status = after.value
    report.held_since = now if after is Status.ON_HOLD else None
    if after is Status.RESOLVED:
        report.resolved_at = now
    elif after in (Status.CLOSED, Status.REJECTED):
        report.closed_at = now
    elif after.is_open:
        report.resolved_at = None
        report.closed_at = None


def _resume_clock(session: Session, report: ServiceRequest, now: datetime) -> dict[str, Any]:
    """Put the due date off by the time on hold. What the history keeps of it."""
    if report.due_at is None or report.held_since is None:
        return {}
    catalogue = catalogue_of(session, report.jurisdiction_id)
    level = ServiceLevel.from_data(catalogue.by_id[report.service_id].service_level)
    calendar = None
    if level is not None and not level.runs_always:
        calendar = routing.plan(session, catalogue).calendar_of(report.team_id)
    try:
        later = resume(report.due_at, report.held_since, now, calendar)
    except RestlessError:
        later = resume(report.due_at, report.held_since, now, None)
    return set_due(report, later)


def promised_at(session: Session, report: ServiceRequest) -> datetime:
    """From when the promise counts: the receipt, or the last reopening."""
    reopened_at = session.scalar(
        sa.select(sa.func.max(HistoryEntry.at)).where(
            HistoryEntry.report_id == report.id,
            HistoryEntry.to_status == Status.REOPENED.value,
        )
    )
    return reopened_at or report.requested_at


def due_by_level(
    session: Session, report: ServiceRequest, service: ServiceEntry, start: datetime
) -> datetime | None:
    """When it is due by the service's own level on its team's calendar, counted from `start`."""
    level = ServiceLevel.from_data(service.service_level)
    if level is None:
        return report.due_at
    plan = routing.plan(session, catalogue_of(session, report.jurisdiction_id))
    try:
        return due_at(level, start, plan.calendar_of(report.team_id), priority=report.priority)
    except RestlessError:
        return report.due_at


def set_due(report: ServiceRequest, due: datetime | None) -> dict[str, Any]:
    """Give a report that due date; what its history should keep of the change."""
    if due == report.due_at:
        return {}
    before, report.due_at = report.due_at, due
    return {
        "from_due_at": before and before.isoformat(),
        "due_at": due and due.isoformat(),
    }


def keep_words(
    session: Session,
    report: ServiceRequest,
    words: Words,
    by: Author,
    entry_id: int,
    now: datetime,
) -> list[UUID]:
    """Keep what was said beside the history entry; the ids of the notes."""
    said = ((NoteKind.PUBLIC, words.public_note), (NoteKind.INTERNAL, words.note))
    return [
        history.add_note(session, report.id, kind, body, by=by, history_id=entry_id, now=now)
        for kind, body in said
        if body
    ]


def tell(session: Session, report: ServiceRequest, name: outbox.EventName, **data: Any) -> None:
    """Emit an event about a report."""
    outbox.emit(session, name, report.id, jurisdiction_id=report.jurisdiction_id, **data)
