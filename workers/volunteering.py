"""What the beat asks for volunteers: reminders, waiting lists, hand-overs that nobody answered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog
from celery import shared_task
from sqlalchemy.orm import Session

from assets.adoption import passing, reminding, waiting
from core.clock import utc_now
from core.db import transaction

log = structlog.get_logger()

#: Transactions of one run for each kind of work; the rest follows with the next beat.
ROUNDS = 20


@shared_task(name="adoptions.keep")
def keep_adoptions() -> None:
    """Take what is due, in small transactions, each safe to run again."""
    for what, step in (
        ("adoptions.stepped", _remind),
        ("adoptions.handovers_ended", _expire),
        ("adoptions.lists_seen_to", _see_to_lists),
    ):
        count = _rounds(step, utc_now())
        if count:
            log.info(what, count=count)


def _remind(session: Session, now: datetime) -> int:
    return reminding.take_steps(session, now=now)


def _expire(session: Session, now: datetime) -> int:
    return passing.expire(session, now=now)


def _see_to_lists(session: Session, now: datetime) -> int:
    return waiting.see_to_lists(session, now=now)


def _rounds(step: Callable[[Session, datetime], int], now: datetime) -> int:
    total = 0
    for _ in range(ROUNDS):
        with transaction() as session:
            count = step(session, now)
        total += count
        if not count:
            break
    return total
