"""Joining a report to the one it repeats, and separating them again, exactly.

Joining loses nothing: the duplicate keeps its words, photos, reporter and history; its followers
are told what becomes of its parent, it counts as evidence there (`reports.duplicates.evidence`).
What it was before stands in the history entry, and `unjoin` puts that back.

There are no chains. Who leads others and is joined takes them along; the entry remembers whom, so
that they come back with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.errors import ConflictError
from core.outbox import emit
from reports import events, history
from reports.duplicates import evidence, suggestions
from reports.duplicates.rules import Reason
from reports.history import Author, Entry
from reports.models import HistoryEntry, PairVerdict, ServiceRequest
from reports.vocabulary import ActorKind, HistoryKind, Status


class OneReportError(ConflictError):
    """A report cannot repeat itself."""

    code = "same_report"
    title = "A report cannot be joined to itself"


class OtherJurisdictionError(ConflictError):
    """The two belong to different cities."""

    code = "other_jurisdiction"
    title = "Reports of different jurisdictions cannot be joined"


class AlreadyJoinedError(ConflictError):
    """It repeats another report already."""

    code = "already_joined"
    title = "This report is joined already; separate it first"


class ParentIsDuplicateError(ConflictError):
    """Only a report that stands for itself can lead; `parent_id` says which one that is."""

    code = "parent_is_duplicate"
    title = "That report repeats another one; join this to that one"


class FinishedReportError(ConflictError):
    """Nobody would be told anything any more."""

    code = "report_finished"
    title = "Only open reports can be joined"


class NotJoinedError(ConflictError):
    """It stands for itself."""

    code = "not_joined"
    title = "This report is not joined to another one"


#: What joining changes of a report, and separating puts back.
_STATE = (
    "status",
    "priority",
    "priority_base",
    "priority_by",
    "team_id",
    "assignee_id",
    "routed_by",
    "routing",
    "duplicate",
    "triaged_at",
    "due_at",
    "held_since",
    "resolved_at",
    "closed_at",
)
_INSTANTS = frozenset({"triaged_at", "due_at", "held_since", "resolved_at", "closed_at"})


def join(
    session: Session,
    child: ServiceRequest,
    parent: ServiceRequest,
    *,
    by: Author,
    now: datetime,
    reasons: Sequence[Reason] = (Reason("staff_said"),),
    score: float | None = None,
    judge: str | None = None,
) -> int:
    """Make `child` a duplicate of `parent`, in the caller's transaction; the history entry's id.

    Args:
        judge: which rule or model found it; None: whoever does it, who is remembered as having
            said so.

    Raises:
        OneReportError, OtherJurisdictionError, AlreadyJoinedError, ParentIsDuplicateError,
        FinishedReportError
    """
    _lock(session, child, parent)
    check(child, parent)
    followers = _children(session, child.id)
    before = state_of(child)
    child.status = Status.DUPLICATE.value
    child.parent_id = parent.id
    # The parent's team sees what it was told; nothing of its own is due any more.
    child.team_id = parent.team_id
    child.assignee_id = None
    child.due_at = None
    child.held_since = None
    child.triaged_at = child.triaged_at or now
    child.suggested_id = None
    parent.joined_count += 1 + child.joined_count
    child.joined_count = 0
    child.duplicate = {
        "judge": judge or by.kind.value,
        "outcome": "joined",
        "parent_id": str(parent.id),
        "score": score,
        "reasons": [reason.as_data() for reason in reasons],
        "candidates": [],
    }
    _touch(now, child, parent)
    session.flush()
    _move(session, followers, parent, now)
    entry = Entry(
        child.id,
        HistoryKind.JOINED,
        by,
        Status(before["status"]),
        Status.DUPLICATE,
        joined_data(parent.id, before, reasons, score) | {"moved": [str(id_) for id_ in followers]},
    )
    along = [
        Entry(
            id_,
            HistoryKind.JOINED,
            by,
            data={"parent_id": str(parent.id), "moved_with": str(child.id)},
        )
        for id_ in followers
    ]
    history_id = history.append(session, [entry, *along], now=now)[0]
    if judge is None:
        _say(session, child.id, parent.id, is_same=True, by=by, now=now)
    suggestions.follow(session, [child.id])
    _weigh(session, parent, now=now)
    emit(
        session,
        events.JOINED,
        child.id,
        jurisdiction_id=child.jurisdiction_id,
        parent_id=str(parent.id),
        history_id=history_id,
    )
    return history_id


def unjoin(session: Session, child: ServiceRequest, *, by: Author, now: datetime) -> int:
    """Let a duplicate stand for itself again, as it was; the id of the history entry.

    In the caller's transaction. Those that came along with it come back, unless they were separated
    or moved since. A report that had been joined on arrival is triaged now. What happened to the
    two meanwhile is caught up by `reports.separating`, which is what a person's click calls.

    Raises:
        NotJoinedError: it is no duplicate.
    """
    if child.parent_id is None:
        raise NotJoinedError
    parent = session.get_one(ServiceRequest, child.parent_id)
    _lock(session, child, parent)
    if child.parent_id != parent.id:
        raise NotJoinedError
    joined = _joining(session, child.id)
    child.parent_id = None
    # Its people may have been forgotten with its parent's: what comes now is looked at again.
    child.anonymised_at = None
    child.photos_deleted_at = None
    restored = _restored(joined["before"])
    if child.triaged_at is None:
        # Its place was found while it was joined: it is routed from there.
        del restored["triaged_at"]
    for name, value in restored.items():
        setattr(child, name, value)
    _touch(now, child, parent)
    session.flush()
    followers = _still_there(session, joined.get("moved", ()), parent.id)
    _move(session, followers, child, now)
    child.joined_count = len(followers)
    parent.joined_count -= 1 + len(followers)
    session.flush()
    back = [
        Entry(
            id_,
            HistoryKind.JOINED,
            by,
            data={"parent_id": str(child.id), "moved_with": str(child.id)},
        )
        for id_ in followers
    ]
    entry = Entry(
        child.id,
        HistoryKind.UNJOINED,
        by,
        Status.DUPLICATE,
        Status(child.status),
        {"parent_id": str(parent.id), "moved": [str(id_) for id_ in followers]},
    )
    history_id = history.append(session, [entry, *back], now=now)[0]
    _say(session, child.id, parent.id, is_same=False, by=by, now=now)
    suggestions.renew(session, [child.id])
    # What was asked about the child had followed it to its parent.
    suggestions.follow(session, [parent.id])
    _weigh(session, parent, child, now=now)
    emit(
        session,
        events.UNJOINED,
        child.id,
        jurisdiction_id=child.jurisdiction_id,
        parent_id=str(parent.id),
        history_id=history_id,
    )
    return history_id


def say_apart(
    session: Session, report: ServiceRequest, other_id: UUID, *, by: Author, now: datetime
) -> int:
    """Remember that a person looked at a suggestion and said no; it is not made again.

    In the caller's transaction; the id of the history entry.
    """
    _say(session, report.id, other_id, is_same=False, by=by, now=now)
    return _looked_again(session, report, other_id, HistoryKind.SUGGESTION_REFUSED, by, now)


def take_back(
    session: Session, report: ServiceRequest, other_id: UUID, *, by: Author, now: datetime
) -> int | None:
    """Forget what was said of two reports that stand apart; None when nothing was.

    In the caller's transaction; the id of the history entry. The suggestion is made again if the
    other still leads.
    """
    forgotten = session.scalar(
        sa.delete(PairVerdict)
        .where(PairVerdict.report_id == report.id, PairVerdict.other_id == other_id)
        .returning(PairVerdict.id)
    )
    if forgotten is None:
        return None
    return _looked_again(session, report, other_id, HistoryKind.SUGGESTION_TAKEN_BACK, by, now)


def staff_joined(session: Session, child_id: UUID, parent_id: UUID) -> bool:
    """Whether two reports that are joined are so by the word of staff or of their programs."""
    said = sa.exists().where(
        PairVerdict.report_id == child_id,
        PairVerdict.other_id == parent_id,
        PairVerdict.is_same,
        PairVerdict.said_by != ActorKind.REPORTER.value,
    )
    return bool(session.scalar(sa.select(said)))


def say_same(
    session: Session, report: ServiceRequest, other_id: UUID, *, by: Author, now: datetime
) -> None:
    """Remember that a person said that two reports tell the same; for one that is not joined."""
    _say(session, report.id, other_id, is_same=True, by=by, now=now)


def check(child: ServiceRequest, parent: ServiceRequest, *, is_over: bool = False) -> None:
    """Whether these two may be joined; raises what `join` raises.

    Args:
        is_over: the parent may be: it is opened again, or named by the other.
    """
    if child.id == parent.id:
        raise OneReportError
    if child.jurisdiction_id != parent.jurisdiction_id:
        raise OtherJurisdictionError
    if child.parent_id is not None:
        raise AlreadyJoinedError(parent_id=str(child.parent_id))
    if parent.parent_id is not None:
        raise ParentIsDuplicateError(parent_id=str(parent.parent_id))
    for report in (child,) if is_over else (child, parent):
        if not Status(report.status).is_open:
            raise FinishedReportError(f"Report {report.number} is {report.status}.")


def state_of(report: Any) -> dict[str, Any]:
    """What joining will change, as it is kept in the history. Takes a row or an object."""
    return {name: _plain(getattr(report, name)) for name in _STATE}


def joined_data(
    parent_id: UUID, before: Mapping[str, Any], reasons: Sequence[Reason], score: float | None
) -> dict[str, Any]:
    """The data of a history entry of joining."""
    return {
        "parent_id": str(parent_id),
        "score": score,
        "reasons": [reason.as_data() for reason in reasons],
        "before": dict(before),
    }


def _looked_again(
    session: Session,
    report: ServiceRequest,
    other_id: UUID,
    kind: HistoryKind,
    by: Author,
    now: datetime,
) -> int:
    _touch(now, report)
    session.flush()
    suggestions.renew(session, [report.id])
    session.expire(report, ["suggested_id"])
    [entry_id] = history.append(
        session, [Entry(report.id, kind, by, data={"other_id": str(other_id)})], now=now
    )
    return entry_id


def _weigh(session: Session, *reports: ServiceRequest, now: datetime) -> None:
    """Count the evidence of these again, and see what it made of them."""
    evidence.weigh(session, [report.id for report in reports], now=now)
    for report in reports:
        session.refresh(report)


def _lock(session: Session, child: ServiceRequest, parent: ServiceRequest) -> None:
    """Both rows as they are now, locked in the order of their ids, as everybody locks them.

    No stronger than triage has locked a leader already: whoever adds a follower at this moment
    holds its key, and would wait for us while we wait for them.
    """
    session.flush()
    ids = sorted({child.id, parent.id})
    session.scalars(
        sa.select(ServiceRequest)
        .where(ServiceRequest.id.in_(ids))
        .order_by(ServiceRequest.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()


def _children(session: Session, parent_id: UUID) -> list[UUID]:
    return list(
        session.scalars(
            sa.select(ServiceRequest.id)
            .where(ServiceRequest.parent_id == parent_id)
            .order_by(ServiceRequest.id)
            .with_for_update(key_share=True)
        )
    )


def _still_there(session: Session, ids: Sequence[str], parent_id: UUID) -> list[UUID]:
    if not ids:
        return []
    return list(
        session.scalars(
            sa.select(ServiceRequest.id)
            .where(
                ServiceRequest.id.in_([UUID(id_) for id_ in ids]),
                ServiceRequest.parent_id == parent_id,
            )
            .order_by(ServiceRequest.id)
            .with_for_update(key_share=True)
        )
    )


def _move(session: Session, ids: Sequence[UUID], parent: ServiceRequest, now: datetime) -> None:
    if ids:
        session.execute(
            sa.update(ServiceRequest)
            .where(ServiceRequest.id.in_(list(ids)))
            .values(
                parent_id=parent.id,
                team_id=parent.team_id,
                version=ServiceRequest.version + 1,
                updated_at=now,
            )
        )


def _joining(session: Session, report_id: UUID) -> Mapping[str, Any]:
    """The entry of the joining that is now undone. Those who only came along have an older one."""
    data: Mapping[str, Any] = session.scalars(
        sa.select(HistoryEntry.data)
        .where(
            HistoryEntry.report_id == report_id,
            HistoryEntry.kind == HistoryKind.JOINED.value,
            HistoryEntry.data.has_key("before"),
        )
        .order_by(HistoryEntry.id.desc())
        .limit(1)
    ).one()
    return data


def _restored(before: Mapping[str, Any]) -> dict[str, Any]:
    # What an older version joined has not all of them.
    values: dict[str, Any] = {name: before[name] for name in _STATE if name in before}
    for name in _INSTANTS:
        text = values.get(name)
        if text is not None:
            values[name] = datetime.fromisoformat(text)
    if values["assignee_id"] is not None:
        values["assignee_id"] = UUID(values["assignee_id"])
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _touch(now: datetime, *reports: ServiceRequest) -> None:
    for report in reports:
        report.version += 1
        report.updated_at = now


def _say(
    session: Session, report_id: UUID, other_id: UUID, *, is_same: bool, by: Author, now: datetime
) -> None:
    said = {"is_same": is_same, "said_by": by.kind.value, "actor_id": by.id, "said_at": now}
    session.execute(
        postgresql.insert(PairVerdict)
        .values(report_id=report_id, other_id=other_id, **said)
        .on_conflict_do_update(index_elements=["report_id", "other_id"], set_=said)
    )
