"""What becomes of a report that its reporter took back: it is closed once nobody else tells of it.

Asked when a reporter leaves (`reports.conversation`) and when reports are separated
(`reports.separating`). Works on a locked report, in the caller's transaction. Who tells of a report
is counted in `reports.duplicates.evidence`, nowhere else.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from reports import lifecycle
from reports.duplicates import evidence
from reports.history import Author
from reports.models import ServiceRequest
from reports.vocabulary import ActorKind, Status

#: Why a report was closed by its own reporter.
WITHDRAWN = "withdrawn"

_REPORTER = Author(ActorKind.REPORTER)


def close_if_untold(session: Session, report: ServiceRequest, *, now: datetime) -> int | None:
    """Close an open report that was taken back and that nobody tells of; the history entry's id.

    None where it stays: nobody took it back, it is over or joined, or others tell the same, or
    follow it, or phones felt it.
    """
    if report.withdrawn_at is None or not Status(report.status).is_open or report.sensed_by:
        return None
    if evidence.told(session, [report.id])[report.id].people:
        return None
    return lifecycle.move(session, report, Status.CLOSED, by=_REPORTER, now=now, reason=WITHDRAWN)
