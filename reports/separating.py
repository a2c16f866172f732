"""Separating reports, and what follows for both of what happened while they were joined.

`reports.duplicates.joining.unjoin` puts back what joining changed. Here the rest is caught up, so
that both stand as if they had never been one:

1. A leader that was open again only because of those that have left is over again, as it was.
   It stays open once anybody else had to do with it since: a report joined to it after that, a
   follower, a word or a hand of the team. Who heard that it was open hears that it is not.
2. A report whose reporter took it back meanwhile, and of which nobody else tells, is closed.
3. A report that was on hold for an answer which came meanwhile goes on.

Works on locked reports, in the caller's transaction; see `reports.changing`.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports import lifecycle, own, withdrawing
from reports.duplicates import joining
from reports.history import SYSTEM, Author
from reports.models import HistoryEntry, ServiceRequest
from reports.vocabulary import ActorKind, HistoryKind, Status


def separate(session: Session, child: ServiceRequest, *, by: Author, now: datetime) -> int:
    """Let a duplicate stand for itself again; the id of the history entry.

    Raises:
        NotJoinedError: it is no duplicate.
    """
    leader_id = child.parent_id
    entry_id = joining.unjoin(session, child, by=by, now=now)
    leader = session.get_one(ServiceRequest, leader_id)
    reopening = _idle_reopening(session, leader)
    if reopening is not None:
        lifecycle.take_back_reopening(session, leader, reopening, by=by, now=now)
    for report in (child, leader):
        withdrawing.close_if_untold(session, report, now=now)
    if child.status == Status.ON_HOLD and child.id not in own.asked(session, [child.id]):
        lifecycle.resume_after_answer(session, child, by=SYSTEM, now=now)
    return entry_id


def _idle_reopening(session: Session, leader: ServiceRequest) -> HistoryEntry | None:
    """The entry of its reopening by a duplicate, if nothing else keeps the leader open."""
    if leader.status != Status.REOPENED:
        return None
    reopening = session.scalars(
        sa.select(HistoryEntry)
        .where(
            HistoryEntry.report_id == leader.id,
            HistoryEntry.kind == HistoryKind.STATUS.value,
            HistoryEntry.to_status == Status.REOPENED.value,
        )
        .order_by(HistoryEntry.id.desc())
        .limit(1)
    ).one_or_none()
    # What an older version reopened, or a person for a reason of their own, stays as it is.
    if reopening is None or not {"duplicate_id", "before"} <= reopening.data.keys():
        return None
    is_kept_open = session.execute(
        _KEPT_OPEN,
        {
            "id": leader.id,
            "entry": reopening.id,
            "since": reopening.at,
            "cause": reopening.data["duplicate_id"],
        },
    ).scalar_one()
    return None if is_kept_open else reopening


# Its priority follows the evidence by itself. Everything else that is said of it in its history is
# somebody's doing; what the system writes beside is what phones felt, or follows from a person's
# change.
_KEPT_OPEN = sa.text(
    f"""
    SELECT EXISTS (
               SELECT FROM history AS h
                WHERE h.report_id = :id AND h.id > :entry
                  AND NOT (h.kind = '{HistoryKind.PRIORITY_CHANGED}'
                           AND h.actor_kind = '{ActorKind.SYSTEM}')
           ) OR EXISTS (
               SELECT FROM service_requests AS r
                WHERE r.parent_id = :id
                  AND (r.id = CAST(:cause AS uuid) OR EXISTS (
                      SELECT FROM history AS h
                       WHERE h.report_id = r.id AND h.kind = '{HistoryKind.JOINED}'
                         AND h.id > :entry))
           ) OR EXISTS (
               SELECT FROM followers AS f
                WHERE f.report_id = :id AND NOT f.is_reporter
                  AND f.confirmed_at > :since AND f.left_at IS NULL
           )
    """
)
