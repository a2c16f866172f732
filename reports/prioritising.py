"""How urgent a report is, when a person says so: final until a person takes it back.

Works on a locked report, in the caller's transaction; see `reports.changing`. What rules and
evidence make of it stands in `reports.routing` and `reports.duplicates.evidence`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from reports import changing, history
from reports.duplicates import evidence
from reports.history import Author, Entry
from reports.models import ServiceRequest
from reports.rules import check_open
from reports.vocabulary import HistoryKind, PriorityBy, Status


def set_priority(
    session: Session, report: ServiceRequest, priority: int | None, *, by: Author, now: datetime
) -> int:
    """Make it so urgent; None: as rules and evidence say. The id of the history entry.

    A due date that people were told stays.

    Raises:
        DuplicateMoveError, FinishedError: it is joined to another one, or over.
    """
    check_open(Status(report.status))
    before = report.priority
    report.priority = report.priority_base if priority is None else priority
    report.priority_by = None if priority is None else PriorityBy.PERSON.value
    changing.touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session,
        [
            Entry(
                report.id,
                HistoryKind.PRIORITY_CHANGED,
                by,
                data={"from": before, "to": report.priority},
            )
        ],
        now=now,
    )
    if priority is None:
        evidence.weigh(session, [report.id], now=now)
        session.refresh(report)
    return entry_id
