"""Sendings that were written down before they were made: open ones have no outcome yet.

In the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from open311.downstream_models import ForwardingAttempt
from open311.rules import AttemptOutcome


def open_attempts(session: Session, forwarding_id: UUID) -> Sequence[ForwardingAttempt]:
    """Its sendings of which nobody knows what became of them, oldest first."""
    return session.scalars(
        sa.select(ForwardingAttempt)
        .where(
            ForwardingAttempt.forwarding_id == forwarding_id, ForwardingAttempt.outcome.is_(None)
        )
        .order_by(ForwardingAttempt.id)
    ).all()


def has_open_attempt(session: Session, forwarding_id: UUID) -> bool:
    """Whether it may be there although nobody told us so."""
    return bool(open_attempts(session, forwarding_id))


def close_attempt(
    session: Session,
    attempt_id: int | None,
    outcome: AttemptOutcome | None,
    now: datetime,
    fault: str | None = None,
) -> None:
    """Say what became of one sending; None: nobody knows yet."""
    session.execute(
        sa.update(ForwardingAttempt)
        .where(ForwardingAttempt.id == attempt_id)
        .values(outcome=outcome and outcome.value, ended_at=now, fault=fault)
        .execution_options(synchronize_session=False)
    )


def close_attempts(
    session: Session, forwarding_ids: Sequence[UUID], outcome: AttemptOutcome, now: datetime
) -> None:
    """Say what became of sendings whose answers were lost, in the caller's transaction."""
    session.execute(
        sa.update(ForwardingAttempt)
        .where(
            ForwardingAttempt.forwarding_id.in_(forwarding_ids),
            ForwardingAttempt.outcome.is_(None),
        )
        .values(outcome=outcome.value, ended_at=sa.func.coalesce(ForwardingAttempt.ended_at, now))
        .execution_options(synchronize_session=False)
    )
