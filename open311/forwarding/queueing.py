"""What is to be handed over, taken up again, or not any more.

In the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core import outbox
from core.outbox import Happening
from open311 import events
from open311.downstream import endpoints
from open311.downstream_models import DownstreamTeam, Forwarding
from open311.forwarding.attempts import close_attempts, has_open_attempt
from open311.forwarding.notes import tell_staff
from open311.rules import AttemptOutcome, ForwardingState
from open311.telling import Note
from reports import changing
from reports.models import ServiceRequest

#: Forwardings of one claim. Each may take as long as a call may (`client.TIMEOUT_S`).
BATCH = 8


def enqueue(session: Session, reports: Mapping[UUID, bool], *, now: datetime) -> list[UUID]:
    """Queue the forwarding of reports whose team lives in another system; ids of the new ones.

    In the caller's transaction; doing it again adds nothing.

    Args:
        reports: ids → whether the report was routed just now: then what was stuck or had left is
            taken up again. Somebody's taking it in hand is no reason to send again.
    """
    rows = session.execute(
        sa.select(ServiceRequest.id, DownstreamTeam.endpoint_id)
        .outerjoin(DownstreamTeam, DownstreamTeam.team_id == ServiceRequest.team_id)
        .where(ServiceRequest.id.in_(list(reports)))
        .order_by(ServiceRequest.id)
    ).all()
    _leave(session, {row.id: row.endpoint_id for row in rows}, now)
    active = endpoints(session, {row.endpoint_id for row in rows if row.endpoint_id is not None})
    wanted = [row for row in rows if row.endpoint_id in active]
    if not wanted:
        return []
    statement = postgresql.insert(Forwarding).values(
        [
            {
                "report_id": row.id,
                "endpoint_id": row.endpoint_id,
                "next_attempt_at": now,
                "created_at": now,
            }
            for row in wanted
        ]
    )
    queued = set(
        session.scalars(
            statement.on_conflict_do_nothing(index_elements=["report_id", "endpoint_id"]).returning(
                Forwarding.id
            )
        )
    )
    queued |= _resume(session, [row for row in wanted if reports[row.id]], now)
    ids = sorted(queued)
    outbox.emit_many(
        session,
        events.FORWARDING_QUEUED,
        [
            Happening(
                None,
                None,
                {"forwarding_ids": [str(each) for each in ids[at : at + BATCH]]},
            )
            for at in range(0, len(ids), BATCH)
        ],
    )
    return ids


def retry(
    session: Session,
    report_ids: Collection[UUID] | None,
    *,
    now: datetime,
    is_surely_absent: bool = False,
    only: UUID | None = None,
) -> list[UUID]:
    """Take up again what waits for a person: of those reports, or all; ids of the forwardings.

    Args:
        only: of those, the one with that id.
        is_surely_absent: somebody asked there: they do not have it. Else what was lost is looked
            for again before it is sent.
    """
    statement = (
        sa.select(Forwarding)
        .where(Forwarding.state == ForwardingState.STUCK.value)
        .order_by(Forwarding.id)
        .with_for_update()
    )
    if report_ids is not None:
        statement = statement.where(Forwarding.report_id.in_(list(report_ids)))
    if only is not None:
        statement = statement.where(Forwarding.id == only)
    rows = session.scalars(statement).all()
    if is_surely_absent:
        close_attempts(session, [row.id for row in rows], AttemptOutcome.ABSENT, now)
    for row in rows:
        row.state = ForwardingState.WAITING.value
        row.failures, row.next_attempt_at = 0, now
        if row.token is not None:
            # Its patience begins anew; without the token it is sent anew.
            row.token_at, row.token = (None, None) if is_surely_absent else (now, row.token)
    session.flush()
    return [row.id for row in rows]


def _resume(session: Session, rows: Sequence[Any], now: datetime) -> set[UUID]:
    """Take up again what was stuck or had left, of reports that were routed just now."""
    if not rows:
        return set()
    stopped = session.scalars(
        sa.select(Forwarding)
        .where(
            sa.tuple_(Forwarding.report_id, Forwarding.endpoint_id).in_(
                [(row.id, row.endpoint_id) for row in rows]
            ),
            Forwarding.state.in_([ForwardingState.STUCK.value, ForwardingState.CANCELLED.value]),
        )
        .order_by(Forwarding.id)
        .with_for_update()
    ).all()
    again = set()
    for forwarding in stopped:
        if forwarding.sent_at is not None and forwarding.token is None:
            forwarding.state = ForwardingState.SENT.value
            continue
        forwarding.state = ForwardingState.WAITING.value
        forwarding.failures, forwarding.next_attempt_at = 0, now
        again.add(forwarding.id)
    session.flush()
    return again


def _leave(session: Session, present: Mapping[UUID, int | None], now: datetime) -> None:
    """Stop the forwardings of reports to systems where their team does not live any more."""
    left = session.scalars(
        sa.select(Forwarding)
        .where(
            Forwarding.report_id.in_(list(present)),
            Forwarding.state != ForwardingState.CANCELLED.value,
        )
        .order_by(Forwarding.id)
    ).all()
    left = [row for row in left if present[row.report_id] != row.endpoint_id]
    if not left:
        return
    reports = changing.lock_all(session, {row.report_id for row in left})
    known = endpoints(session, {row.endpoint_id for row in left})
    for forwarding in left:
        endpoint = known.get(forwarding.endpoint_id)
        is_there = forwarding.sent_at is not None or has_open_attempt(session, forwarding.id)
        forwarding.state = ForwardingState.CANCELLED.value
        if is_there and endpoint is not None and (report := reports.get(forwarding.report_id)):
            tell_staff(
                session, report, endpoint, Note.LEFT, now, forwarding.remote_id or forwarding.token
            )
    session.flush()
