"""What staff say of two reports that may tell the same, in one click, and taking it back.

In the caller's transaction, on rows that are locked already; see `reports.changing`. "Yes" joins
them (`reports.duplicates.joining`): the older leads, unless only the younger is well placed. When
one of them is over, the service says what becomes of a problem that comes back. "No" keeps the
suggestion from being made again. Both are remembered as labels.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from core.errors import ConflictError
from reports import changing, history, lifecycle, separating
from reports.catalogue import service_of
from reports.duplicates import joining, suggestions
from reports.duplicates.leading import Standing, is_street_alone, leads
from reports.duplicates.recurring import Fate, fate_of
from reports.history import Author, Entry
from reports.models import ServiceRequest
from reports.vocabulary import HistoryKind, Status


class NothingSaidError(ConflictError):
    """There is nothing to take back."""

    code = "nothing_said"
    title = "Nobody said anything of these two reports"


def say_same(
    session: Session, report: ServiceRequest, other: ServiceRequest, *, by: Author, now: datetime
) -> None:
    """A person says that the two tell the same.

    Raises:
        OneReportError, OtherJurisdictionError, AlreadyJoinedError, ParentIsDuplicateError,
        FinishedReportError: see `reports.duplicates.joining`.
    """
    fate = _fate(session, report, other)
    if fate is Fate.JOINS:
        child, parent = (report, other) if _leads(other, report) else (other, report)
        joining.join(session, child, parent, by=by, now=now)
        return
    joining.check(report, other, is_over=True)
    if fate is Fate.REOPENS:
        lifecycle.move(
            session,
            other,
            Status.REOPENED,
            by=by,
            now=now,
            data={"duplicate_id": str(report.id)},
        )
        joining.join(session, report, other, by=by, now=now)
        return
    joining.say_same(session, report, other.id, by=by, now=now)
    report.recurs_id = other.id
    report.suggested_id = None
    changing.touch(report, now)
    session.flush()
    history.append(
        session,
        [Entry(report.id, HistoryKind.RECURRED, by, data={"recurs_id": str(other.id)})],
        now=now,
    )


def say_another(
    session: Session, report: ServiceRequest, other: ServiceRequest, *, by: Author, now: datetime
) -> None:
    """A person says that the two tell different things.

    Raises:
        OneReportError, OtherJurisdictionError
        AlreadyJoinedError: they are joined; separating them says it.
    """
    if report.id == other.id:
        raise joining.OneReportError
    if report.jurisdiction_id != other.jurisdiction_id:
        raise joining.OtherJurisdictionError
    if other.id == report.parent_id or report.id == other.parent_id:
        raise joining.AlreadyJoinedError(parent_id=str(report.parent_id or other.parent_id))
    joining.say_apart(session, report, other.id, by=by, now=now)


def take_back(
    session: Session, report: ServiceRequest, other: ServiceRequest, *, by: Author, now: datetime
) -> None:
    """Make it as if nothing had been said of the two: separated, and the suggestion is back.

    What the judge or a reporter joined is separated and stays so: nobody of the staff had said
    anything that could be forgotten, and it would be joined again at once.

    Raises:
        NothingSaidError
    """
    was_joined, is_forgettable = False, True
    for child, leader in ((report, other), (other, report)):
        if child.parent_id == leader.id:
            was_joined = True
            is_forgettable = joining.staff_joined(session, child.id, leader.id)
            separating.separate(session, child, by=by, now=now)
    has_recurred = report.recurs_id is not None and report.recurs_id == other.id
    if has_recurred:
        report.recurs_id = None
        session.flush()
    forgotten = None
    if is_forgettable:
        if was_joined:
            joining.take_back(session, other, report.id, by=by, now=now)
        forgotten = joining.take_back(session, report, other.id, by=by, now=now)
    if forgotten is None and not was_joined:
        if not has_recurred:
            raise NothingSaidError
        changing.touch(report, now)
    session.flush()
    suggestions.renew(session, [report.id])
    session.refresh(report)


def _fate(session: Session, report: ServiceRequest, other: ServiceRequest) -> Fate:
    """What "the same" means for these two; with a person's word there is no "apart"."""
    if Status(other.status) is Status.DUPLICATE or other.parent_id is not None:
        return Fate.JOINS
    service = service_of(session, other)
    fate = fate_of(
        report.requested_at,
        other.resolved_at or other.closed_at,
        is_repaired=other.resolved_at is not None and other.status != Status.REJECTED,
        recurrence=service.recurrence,
        days=service.recurrence_days,
    )
    return fate if fate in (Fate.JOINS, Fate.REOPENS) else Fate.RECURS


def _leads(one: ServiceRequest, other: ServiceRequest) -> bool:
    return leads(_standing(one), _standing(other))


def _standing(report: ServiceRequest) -> Standing:
    return Standing(
        told_at=report.requested_at,
        is_placed=report.cell is not None,
        accuracy_m=report.accuracy_m,
        id=report.id,
        is_street_alone=is_street_alone(report.place_source, report.address_number),
    )
