"""Follows what becomes of the requests about defects: repaired, refused, open again.

Reads the present state of the requests (an event may come late, or twice) and moves their cases by
the table of `sensing.acting.rules`. In the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from reports.models import ServiceRequest
from reports.vocabulary import Status
from sensing import fusing
from sensing.acting import weighing
from sensing.acting.models import DefectCase
from sensing.acting.rules import LIVE, fact_of, next_state
from sensing.acting.vocabulary import CaseState
from sensing.grid import day_of, packets_about
from sensing.holding import hold


def follow(session: Session, report_ids: Collection[UUID], *, now: datetime) -> int:
    """Bring the cases of these requests, and of those joined to them, up to date; how many moved.

    Requests without a case, nearly all, cost one statement.
    """
    if not report_ids:
        return 0
    own, leader = aliased(ServiceRequest), aliased(ServiceRequest)
    rows = session.execute(
        sa.select(DefectCase, leader.status, leader.resolved_at, leader.updated_at)
        .join(own, own.id == DefectCase.report_id)
        .join(leader, leader.id == sa.func.coalesce(own.parent_id, own.id))
        .where(sa.or_(own.id.in_(list(report_ids)), own.parent_id.in_(list(report_ids))))
        .order_by(DefectCase.id)
        .with_for_update(of=DefectCase)
        .execution_options(populate_existing=True)
    ).all()
    # All of them at once: who takes one after the other may wait for somebody who waits for them.
    hold(session, packets_about(np.array([case.cell for case, *_ in rows], dtype=np.int64)))
    moved = 0
    for case, status, resolved_at, updated_at in rows:
        fact = fact_of(Status(status), was_repaired=resolved_at is not None)
        after = None if fact is None else next_state(CaseState(case.state), fact)
        if after is not None and not _is_in_hand(session, case, after):
            enter(session, case, after, at=resolved_at or updated_at, now=now)
            moved += 1
    if rows:
        # A request that was joined, or stands for itself again, takes its trips along.
        concerned = {case.report_id for case, *_ in rows} | set(report_ids)
        weighing.weigh(session, concerned, now=now)
    return moved


def _is_in_hand(session: Session, case: DefectCase, after: CaseState) -> bool:
    """Whether a case would come to life again for a defect of which another is alive.

    A hole that came back after its repair has a request of its own; who opens the old one again
    has two, and the trips speak for the one that they speak for.
    """
    if CaseState(case.state) in LIVE or after not in LIVE:
        return False
    other = sa.select(DefectCase.id).where(
        DefectCase.defect_id == case.defect_id,
        DefectCase.id != case.id,
        DefectCase.state.in_([state.value for state in LIVE]),
    )
    return session.scalar(other.limit(1)) is not None


def enter(
    session: Session, case: DefectCase, state: CaseState, *, at: datetime, now: datetime
) -> None:
    """Move a locked case to a state, with what comes of that.

    Args:
        at: when what changed it happened; of a repair its day counts.
    """
    case.state = state.value
    case.repaired_day = case.confirmed_at = case.ended_at = case.checked_at = None
    match state:
        case CaseState.REPAIRED:
            case.repaired_day = day_of(at.astimezone(UTC).timestamp())
            session.flush()
            fusing.repaired(session, case.cell, case.octant, case.repaired_day, now=now)
        case CaseState.CONFIRMED:
            case.confirmed_at = now
        case CaseState.DISMISSED:
            case.ended_at = now
        case CaseState.OPEN:
            pass
    session.flush()
