"""Until when a report should be done, kept in step with what happens to it.

The rules of `reports.service_levels` count; here a report's own level, team and history are fetched
for them and the outcome is stored. The first due date is set by `reports.triage`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports.catalogue import ServiceEntry, catalogue_of
from reports.models import HistoryEntry, ServiceRequest
from reports.routing import deciding
from reports.service_levels import RestlessError, ServiceLevel, due_at, resume
from reports.vocabulary import HistoryKind, Status


def due_by_level(
    session: Session, report: ServiceRequest, service: ServiceEntry, start: datetime
) -> datetime | None:
    """When it is due by the service's own level on its team's calendar, counted from `start`."""
    level = ServiceLevel.from_data(service.service_level)
    if level is None:
        return report.due_at
    plan = deciding.plan(session, catalogue_of(session, report.jurisdiction_id))
    try:
        return due_at(level, start, plan.calendar_of(report.team_id), priority=report.priority)
    except RestlessError:
        return report.due_at


def promised_at(session: Session, report: ServiceRequest) -> datetime:
    """From when the promise counts: the receipt, or the last reopening."""
    reopened_at = session.scalar(
        sa.select(sa.func.max(HistoryEntry.at)).where(
            HistoryEntry.report_id == report.id,
            HistoryEntry.kind == HistoryKind.STATUS.value,
            HistoryEntry.to_status == Status.REOPENED.value,
        )
    )
    return reopened_at or report.requested_at


def put_off(session: Session, report: ServiceRequest, now: datetime) -> dict[str, Any]:
    """Put the due date off by the time on hold. What the history keeps of it."""
    if report.due_at is None or report.held_since is None:
        return {}
    catalogue = catalogue_of(session, report.jurisdiction_id)
    level = ServiceLevel.from_data(catalogue.by_id[report.service_id].service_level)
    calendar = None
    if level is not None and not level.runs_always:
        calendar = deciding.plan(session, catalogue).calendar_of(report.team_id)
    try:
        later = resume(report.due_at, report.held_since, now, calendar)
    except RestlessError:
        later = resume(report.due_at, report.held_since, now, None)
    return set_due(report, later)


def set_due(report: ServiceRequest, due: datetime | None) -> dict[str, Any]:
    """Give a report that due date; what its history should keep of the change."""
    if due == report.due_at:
        return {}
    before, report.due_at = report.due_at, due
    return {
        "from_due_at": before and before.isoformat(),
        "due_at": due and due.isoformat(),
    }
