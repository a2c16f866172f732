"""The moves of a report from one status to another, by staff, reporter, volunteer or
beat.

Works on a locked report, in the caller's transaction; see `reports.changing`. What is allowed
stands in `reports.rules`; here the row, its due date, the history and the event follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core import outbox
from reports import changing, events, history, promises
from reports.catalogue import service_of
from reports.changing import SILENCE, Words
from reports.duplicates import suggestions
from reports.history import Author, Entry
from reports.models import HistoryEntry, Service, ServiceRequest
from reports.rules import Facts, Reason, check_move, may_reopen, rejection_reason
from reports.vocabulary import HistoryKind, Status

#: Why a report is on hold when its reporter was asked something: an answer lets it go on.
HELD_FOR_ANSWER = "question"

#: Why a report that was opened again is over again: what opened it tells of something else.
SEPARATED = "separated"

#: What the end of a report set, and a reopening takes from it.
_ENDS = ("due_at", "resolved_at", "closed_at")


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
            may_volunteers_resolve=service.volunteers_resolve,
        ),
    )
    details = dict(data or {})
    if after is Status.REJECTED:
        reason = rejection_reason(reason)
    if reason is not None:
        details["reason"] = str(reason)
    if before is Status.ON_HOLD:
        details |= promises.put_off(session, report, now)
    if after is Status.REOPENED and before is not Status.ON_HOLD:
        ends = {name: getattr(report, name) for name in _ENDS}
        details["before"] = {name: at and at.isoformat() for name, at in ends.items()}
        # The first promise is over: it is due as if it had come in now.
        details |= promises.set_due(report, promises.due_by_level(session, report, service, now))
    if after is Status.ASSIGNED and report.team_id is None and report.assignee_id is None:
        # Somebody takes what no team answers for.
        report.assignee_id = by.id
        details["person_id"] = by.id and str(by.id)
    _set_status(report, after, now)
    if not after.is_open:
        report.suggested_id = None
    changing.touch(report, now)
    session.flush()
    if not after.is_open:
        suggestions.follow(session, [report.id])
    [entry_id] = history.append(
        session,
        [Entry(report.id, HistoryKind.STATUS, by, before, after, details)],
        now=now,
    )
    changing.keep_words(session, report, words, by, entry_id, now)
    changing.tell(
        session,
        report,
        events.STATUS_CHANGED,
        history_id=entry_id,
        **{"from": before.value, "to": after.value},
    )
    if after is Status.ASSIGNED:
        changing.tell(session, report, events.ASSIGNED, history_id=entry_id)
    return entry_id


def take_back_reopening(
    session: Session,
    report: ServiceRequest,
    reopening: HistoryEntry,
    *,
    by: Author,
    now: datetime,
) -> int:
    """Put a locked report back as it was when that entry opened it; the id of the new entry.

    No move of the life cycle: like separating, which asks for it, it undoes one. Those whose people
    had been forgotten before are looked at again by retention.
    """
    after = Status(reopening.from_status or Status.CLOSED)
    report.status = after.value
    for name in _ENDS:
        text = reopening.data["before"][name]
        setattr(report, name, text and datetime.fromisoformat(text))
    report.held_since = report.suggested_id = None
    changing.touch(report, now)
    session.flush()
    suggestions.follow(session, [report.id])
    details = {"reason": SEPARATED, "takes_back": reopening.id}
    [entry_id] = history.append(
        session,
        [Entry(report.id, HistoryKind.STATUS, by, Status.REOPENED, after, details)],
        now=now,
    )
    changing.tell(
        session,
        report,
        events.STATUS_CHANGED,
        history_id=entry_id,
        takes_back=reopening.id,
        **{"from": Status.REOPENED.value, "to": after.value},
    )
    return entry_id


def resume_after_answer(
    session: Session, report: ServiceRequest, *, by: Author, now: datetime
) -> bool:
    """Let a report go on that was on hold for an answer. True when it was."""
    if report.status != Status.ON_HOLD:
        return False
    held = session.execute(
        sa.select(HistoryEntry.from_status, HistoryEntry.data)
        .where(
            HistoryEntry.report_id == report.id,
            # Separating leads back to a status; the move that led there first is meant.
            HistoryEntry.kind == HistoryKind.STATUS.value,
            HistoryEntry.to_status == Status.ON_HOLD.value,
        )
        .order_by(HistoryEntry.id.desc())
        .limit(1)
    ).one_or_none()
    if held is None or held.data.get("reason") != HELD_FOR_ANSWER:
        return False
    move(session, report, Status(held.from_status), by=by, now=now)
    return True


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
        # Whoever joins in from now on is forgotten when it is over again.
        report.anonymised_at = None
        report.photos_deleted_at = None
