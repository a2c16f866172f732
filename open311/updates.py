"""Service request updates: the extension that FixMyStreet and open311-adapter speak.

`listed` tells what happened in a window of time: changes of status and public words, one update
each. `receive` takes one from another system:

* from the key of the city's staff for that work, it moves the report and says its words to
  everybody, as if it had been done on the staff's side;
* from the key that filed the request, it adds its words to the report, and "not fixed" reopens it
  within the service's days; that citizens' system does not close the city's work.

Photos come along as files or as addresses. Those of the system that filed the request are the
reporter's, wherever they lie; of the staff's system a file is its photo, and an address is noted
for staff: what is fetched later counts as the reporter's, and this one is not.

The same `update_id` of the same sender for the same request is stored once; sent again it gets the
first answer. Many systems count the updates of each request from one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts import audit
from accounts.actors import Actor
from accounts.audit import Action, Subject
from accounts.rules import Permission
from core.errors import ForbiddenError, NotFoundError
from open311 import awaiting, reading
from open311.formats import words
from open311.models import ReceivedUpdate
from open311.translating import (
    State,
    extended_state_of,
    moment,
    state_meant,
    state_of,
    status_meant,
)
from reports import changing, conversation, lifecycle, media, remarks
from reports.catalogue import Catalogue, service_of
from reports.changing import Words
from reports.history import Author
from reports.media import StagedPhoto
from reports.models import HistoryEntry, Note, ServiceRequest
from reports.queries import PUBLIC_KINDS
from reports.rules import Facts, check_move, may_reopen
from reports.vocabulary import HistoryKind, NoteKind, Status, Visibility

_R = ServiceRequest

#: What somebody says who only wants to say that it is over.
_CLOSED_WITHOUT_WORDS = "Closed by the system that works on it."


class NotYoursError(ForbiddenError):
    """The key neither filed the request nor is of the staff that works on it."""

    code = "not_yours"
    title = "This key may not update this service request"


@dataclass(frozen=True, slots=True)
class Window:
    """Which updates: from, until (not included), of which requests, which part of the list."""

    since: datetime | None
    until: datetime | None
    report_ids: Sequence[UUID] | None
    is_newest_first: bool
    skip: int
    size: int


def listed(
    session: Session, catalogue: Catalogue, window: Window, *, is_extended: bool
) -> list[dict[str, Any]]:
    """The updates of the window; one statement."""
    said = (
        sa.select(sa.func.string_agg(Note.body, "\n"))
        .where(
            Note.history_id == HistoryEntry.id,
            Note.report_id == HistoryEntry.report_id,
            Note.kind == NoteKind.PUBLIC.value,
        )
        .correlate(HistoryEntry)
        .scalar_subquery()
    )
    earlier = sa.orm.aliased(HistoryEntry)
    status = (
        sa.select(earlier.to_status)
        .where(
            earlier.report_id == HistoryEntry.report_id,
            earlier.id <= HistoryEntry.id,
            earlier.to_status.is_not(None),
        )
        .order_by(earlier.id.desc())
        .limit(1)
        .correlate(HistoryEntry)
        .scalar_subquery()
    )
    hidden = [entry.id for entry in catalogue.services if not reading.is_shown(entry)]
    statement = (
        sa.select(
            HistoryEntry.id,
            HistoryEntry.report_id,
            HistoryEntry.at,
            said.label("said"),
            sa.func.coalesce(HistoryEntry.to_status, status).label("status"),
        )
        .join(_R, _R.id == HistoryEntry.report_id)
        .where(
            _R.jurisdiction_id == catalogue.place.id,
            _R.visibility == Visibility.PUBLIC.value,
            HistoryEntry.kind.in_([kind.value for kind in PUBLIC_KINDS]),
            # Its receipt is the request itself, and no update of it.
            sa.or_(HistoryEntry.kind != HistoryKind.STATUS, HistoryEntry.from_status.is_not(None)),
            sa.or_(HistoryEntry.to_status.is_not(None), said.is_not(None)),
        )
        .limit(window.size)
        .offset(window.skip)
    )
    if hidden:
        statement = statement.where(_R.service_id.not_in(hidden))
    if window.report_ids is not None:
        statement = statement.where(_R.id.in_(window.report_ids))
    if window.since is not None:
        statement = statement.where(HistoryEntry.at >= window.since)
    if window.until is not None:
        statement = statement.where(HistoryEntry.at < window.until)
    order = (HistoryEntry.at, HistoryEntry.id)
    if window.is_newest_first:
        order = tuple(column.desc() for column in order)  # type: ignore[assignment]
    rows = session.execute(statement.order_by(*order))
    return [_document(row, is_extended=is_extended) for row in rows]


@dataclass(frozen=True, slots=True)
class Sent:
    """An update as it was sent, checked for form.

    Attributes:
        photos: that came as files, staged.
        links: addresses of photos.
    """

    report_id: UUID
    update_id: str | None
    status: str | None
    description: str | None
    photos: Sequence[StagedPhoto] = ()
    links: Sequence[str] = ()


def receive(session: Session, update: Sent, actor: Actor, *, now: datetime) -> str:
    """Store an update, or find it; our id of it, in the caller's transaction.

    Raises:
        NotFoundError: there is no such request, or not for this key.
        NotYoursError: the key has nothing to do with it.
        ConflictError, InvalidError: the life cycle does not allow the move, or the report has no
            room for more photos.
    """
    assert actor.person_id is not None
    before = _claim(session, update, actor.person_id, now)
    if before is not None:
        return before
    report = changing.lock_all(session, {update.report_id}).get(update.report_id)
    if report is None:
        raise NotFoundError("service_request_id: there is no such service request")
    if actor.may(Permission.WORK_REPORTS, report.jurisdiction_id, report.team_id):
        history_id = _by_staff(session, report, update, actor, now)
    elif report.submitted_by == actor.person_id:
        history_id = _by_sender(session, report, update, now)
    elif report.visibility != Visibility.PUBLIC:
        raise NotFoundError("service_request_id: there is no such service request")
    else:
        raise NotYoursError
    session.flush()
    if update.update_id is not None:
        session.execute(
            sa.update(ReceivedUpdate)
            .where(
                ReceivedUpdate.person_id == actor.person_id,
                ReceivedUpdate.report_id == update.report_id,
                ReceivedUpdate.update_id == update.update_id,
            )
            .values(history_id=history_id)
            .execution_options(synchronize_session=False)
        )
    return _id_of(history_id, update)


def _claim(session: Session, update: Sent, person_id: UUID, now: datetime) -> str | None:
    """Take the sender's id; what was answered under it before, if it was. Waits for a first one
    that is still being stored.
    """
    if update.update_id is None:
        return None
    claimed = session.scalar(
        postgresql.insert(ReceivedUpdate)
        .from_select(
            ["person_id", "update_id", "report_id", "created_at"],
            sa.select(
                sa.literal(person_id),
                sa.literal(update.update_id),
                _R.id,
                sa.literal(now),
            ).where(_R.id == update.report_id),
        )
        .on_conflict_do_nothing()
        .returning(ReceivedUpdate.id)
    )
    if claimed is not None:
        return None
    row = session.execute(
        sa.select(ReceivedUpdate.history_id).where(
            ReceivedUpdate.person_id == person_id,
            ReceivedUpdate.report_id == update.report_id,
            ReceivedUpdate.update_id == update.update_id,
        )
    ).one_or_none()
    return None if row is None else _id_of(row.history_id, update)


def _id_of(history_id: int | None, update: Sent) -> str:
    """What the list of updates calls it; the sender's own where nothing came of it."""
    return str(history_id) if history_id is not None else update.update_id or "0"


def _by_staff(
    session: Session, report: ServiceRequest, update: Sent, actor: Actor, now: datetime
) -> int | None:
    """Move the report where the update says, and say its words to everybody."""
    by = changing.author_of(actor)
    spoken = Words(public_note=update.description)
    wanted = _wanted(report, update.status)
    history_id = None
    if wanted is not None:
        if wanted is Status.REJECTED and spoken.public_note is None:
            spoken = Words(public_note=_CLOSED_WITHOUT_WORDS)
        history_id = lifecycle.move(session, report, wanted, by=by, now=now, words=spoken)
    elif not spoken.is_empty:
        history_id = remarks.comment(session, report, spoken, by=by, now=now)
    if update.photos:
        media.check_room(session, report, len(update.photos))
        _add_photos(session, report, update, by, now)
        changing.touch(report, now)
        session.flush()
    _await(session, report, update, by, now)
    if history_id is not None or update.photos or update.links:
        audit.record(
            session,
            actor,
            Action.REPORT_CHANGED,
            Subject("report", report.id, report.jurisdiction_id),
            now=now,
            data={
                "what": "open311_update",
                "version": report.version,
                "history": [] if history_id is None else [history_id],
            },
        )
    return history_id


def _wanted(report: ServiceRequest, word: str | None) -> Status | None:
    """Where the report is to go; None where it stands there already, or nobody knows the word.

    `open` of an open report says nothing new, and `closed` of one that is over neither.
    """
    state, meant = state_meant(word), status_meant(word)
    present = Status(report.status)
    if state is None or meant is None or present is Status.DUPLICATE:
        return None
    if present is meant or (state is State.CLOSED and not present.is_open):
        return None
    plain = (word or "").strip().lower()
    if state is State.OPEN and not present.is_open:
        return Status.REOPENED
    if plain in ("open", "opened") or meant is Status.REOPENED:
        return None
    return meant


def _by_sender(session: Session, report: ServiceRequest, update: Sent, now: datetime) -> int | None:
    """What the citizens' system that filed the request has to add."""
    is_back = state_meant(update.status) is State.OPEN and report.status in (
        Status.RESOLVED,
        Status.CLOSED,
    )
    if is_back and may_reopen(report.resolved_at, service_of(session, report).reopen_days, now):
        check_move(
            Status(report.status), Status.REOPENED, conversation.REPORTER.kind,
            Facts(is_window_open=True),
        )  # fmt: skip
        conversation.not_fixed(session, report, update.description, now=now)
        history_id = session.scalar(
            sa.select(sa.func.max(HistoryEntry.id)).where(HistoryEntry.report_id == report.id)
        )
        if update.photos:
            conversation.add(session, report, None, photos=len(update.photos), now=now)
    elif update.description is not None or update.photos:
        history_id = conversation.add(
            session, report, update.description, photos=len(update.photos), now=now
        )
    elif update.links:
        # Beside words they are held against the report's room when they have come: an address
        # too many must not cost the words.
        history_id = conversation.add(session, report, None, photos=len(update.links), now=now)
    else:
        return None
    _add_photos(session, report, update, conversation.REPORTER, now)
    _await(session, report, update, conversation.REPORTER, now)
    return history_id


def _add_photos(
    session: Session, report: ServiceRequest, update: Sent, by: Author, now: datetime
) -> None:
    media.insert_staged(
        session, report.id, update.photos, by=by, jurisdiction_id=report.jurisdiction_id, now=now
    )


def _await(
    session: Session, report: ServiceRequest, update: Sent, by: Author, now: datetime
) -> None:
    if update.links:
        awaiting.keep(session, report.id, report.jurisdiction_id, update.links, by=by.kind, now=now)


def _document(row: Any, *, is_extended: bool) -> dict[str, Any]:
    return {
        "update_id": str(row.id),
        "service_request_id": str(row.report_id),
        "status": extended_state_of(row.status) if is_extended else state_of(row.status).value,
        "external_status_code": row.status,
        "updated_datetime": moment(row.at),
        "description": words(row.said),
        "media_url": None,
    }
