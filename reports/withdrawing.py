"""What becomes of a report that its reporter took back: it is closed once nobody else tells of it.

Asked when a reporter leaves (`reports.conversation`) and when reports are separated
(`reports.separating`). Works on a locked report, in the caller's transaction. Who tells of a report
is counted in `reports.duplicates.evidence`, nowhere else.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports import lifecycle
from reports.duplicates import evidence
from reports.history import Author
from reports.models import HistoryEntry, ServiceRequest
from reports.vocabulary import ActorKind, HistoryKind, Status

#: Why a report was closed by its own reporter.
WITHDRAWN = "withdrawn"

_REPORTER = Author(ActorKind.REPORTER)


def close_if_untold(session: Session, report: ServiceRequest, *, now: datetime) -> int | None:
    """Close an open report that was taken back and that nobody tells of; the history entry's id.

    None where it stays: nobody took it back, it is over or joined, or others tell the same, or
    follow it, or phones felt it, or staff opened it again although it had been taken back.
    """
    if report.withdrawn_at is None or not Status(report.status).is_open or report.sensed_by:
        return None
    if evidence.told(session, [report.id])[report.id].people or _was_opened_since(session, report):
        return None
    return lifecycle.move(session, report, Status.CLOSED, by=_REPORTER, now=now, reason=WITHDRAWN)


def _was_opened_since(session: Session, report: ServiceRequest) -> bool:
    """Whether staff opened it again after its reporter had taken it back: they have a reason."""
    reopening = sa.exists().where(
        HistoryEntry.report_id == report.id,
        HistoryEntry.kind == HistoryKind.STATUS.value,
        HistoryEntry.to_status == Status.REOPENED.value,
        HistoryEntry.actor_kind.in_([ActorKind.STAFF.value, ActorKind.MACHINE.value]),
        HistoryEntry.at > report.withdrawn_at,
    )
    return bool(session.scalar(sa.select(reopening)))
