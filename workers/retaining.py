"""A run of retention over all features: people, photos, and what is left of those who did not come.

`run` is called by the beat (`workers.sweeper`) and by `flask retention run`. Every batch is a
transaction of its own and files are deleted outside; wherever it is killed, the next run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from accounts import audit
from accounts.audit import SYSTEM, Action, Subject
from accounts.models import ApiKey, Block, Identity, Person, RoleGrant, SignInSession
from assets.adoption.models import Adoption, AdoptionWait
from assets.care.models import Care
from assets.corrections.models import Correction
from core.db import reading, transaction
from core.models import DeadLetter
from geo import jurisdictions
from notifications import people_data as notifications
from notifications.models import Delivery
from notifications.vocabulary import DeliveryState
from open311 import people_data as open311
from reports import retention
from reports.media import deleting
from reports.models import Follower
from reports.storage import Storage

log = structlog.get_logger()

#: Texts of errors that nobody looked at.
ERRORS_KEPT = timedelta(days=90)

#: An account without role, key, session and report is kept so long after it was made.
ACCOUNTS_KEPT = timedelta(days=365)

#: Stands where the text of an error was.
FORGOTTEN = "(forgotten)"

#: Rows of one clean-up transaction.
CLEANED = 2000

_UNSETTLED = (DeliveryState.PENDING, DeliveryState.SENDING)

#: A task may run for longer; what is left is done at the next beat.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """What a run did in a jurisdiction."""

    jurisdiction: str
    anonymised: int
    photos_hidden: int


def run(
    storage: Storage,
    *,
    now: datetime,
    only: int | None = None,
    by: str = SYSTEM,
    patience_s: float | None = PATIENCE_S,
    is_forced: bool = False,
) -> list[Run]:
    """Forget what is due, jurisdiction by jurisdiction; what was done in each.

    Args:
        only: the id of one jurisdiction.
        patience_s: no further batch is begun after so long; None: until nothing is left.
        is_forced: record a run even where there was nothing to do.
    """
    stop_at = None if patience_s is None else time.monotonic() + patience_s
    with reading() as session:
        places = [
            (place.id, place.code)
            for place in jurisdictions.all_of_them(session)
            if only in (None, place.id)
        ]
    done = []
    for place_id, code in places:
        with transaction() as session:
            if not is_forced and not retention.is_due(session, place_id, now=now):
                continue
            run_id = retention.begin(session, place_id, now=now)
        # Of what is due at the beginning, each batch is asked once: what somebody holds is skipped.
        people = _batches(partial(_forget, run_id=run_id, place_id=place_id, now=now), stop_at)
        photos = _batches(
            partial(retention.hide_photos, run_id=run_id, jurisdiction_id=place_id, now=now),
            stop_at,
        )
        with transaction() as session:
            audit.record(
                session,
                by,
                Action.RETENTION_RAN,
                Subject("retention_run", run_id, place_id),
                now=now,
                data={"reports": people, "reports_with_photos": photos},
            )
        log.info("retention.ran", jurisdiction=code, reports=people, photos=photos)
        done.append(Run(code, people, photos))
    delete_files(storage, now=now, stop_at=stop_at)
    return done


def delete_files(storage: Storage, *, now: datetime, stop_at: float | None = None) -> int:
    """Delete the files of photos that nobody sees any more; how many photos."""
    count = 0
    while stop_at is None or time.monotonic() < stop_at:
        with reading() as session:
            photos = deleting.waiting(session, now=now)
        if not photos:
            break
        deleting.delete(storage, photos)
        with transaction() as session:
            deleting.settle(session, photos)
        count += len(photos)
    if count:
        log.info("retention.photos_deleted", photos=count)
    return count


def forget_deliveries(session: Session, *, now: datetime, limit: int = CLEANED) -> int:
    """Forget some messages that were settled long ago; how many."""
    settled = [state.value for state in DeliveryState if state not in _UNSETTLED]
    old = (
        sa.select(Delivery.id)
        .where(
            Delivery.state.in_(settled),
            Delivery.created_at < now - notifications.DELIVERIES_KEPT,
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return _count(session, sa.delete(Delivery).where(Delivery.id.in_(old.scalar_subquery())))


def forget_errors(session: Session, *, now: datetime, limit: int = CLEANED) -> int:
    """Forget what went wrong, not that it did, where nobody looked for a long time; how many."""
    old = (
        sa.select(DeadLetter.id)
        .where(DeadLetter.failed_at < now - ERRORS_KEPT, DeadLetter.error != FORGOTTEN)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    change = sa.update(DeadLetter).where(DeadLetter.id.in_(old.scalar_subquery()))
    return _count(session, change.values(error=FORGOTTEN))


def forget_accounts(session: Session, *, now: datetime, limit: int = CLEANED) -> int:
    """Forget accounts that nobody uses: no role, key, session or report for so long; how many.

    Sessions stay a while after their end, so that somebody who comes now and then has one.
    """
    used = [
        sa.exists().where(column == Person.id)
        for column in (
            RoleGrant.person_id,
            ApiKey.person_id,
            SignInSession.person_id,
            Identity.person_id,
            Block.person_id,
            Follower.person_id,
            Adoption.person_id,
            AdoptionWait.person_id,
            Correction.person_id,
            Care.person_id,
        )
    ]
    old = (
        sa.select(Person.id)
        .where(Person.created_at < now - ACCOUNTS_KEPT, *(~each for each in used))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return _count(session, sa.delete(Person).where(Person.id.in_(old.scalar_subquery())))


def _count(session: Session, change: Any) -> int:
    result = session.execute(change.execution_options(synchronize_session=False))
    count: int = result.rowcount  # type: ignore[attr-defined]
    return count


def _forget(session: Session, run_id: int, place_id: int, now: datetime) -> Sequence[UUID]:
    ids = retention.forget_people(session, run_id, place_id, now=now)
    notifications.forget_reports(session, ids)
    open311.forget_reports(session, ids)
    return ids


def _batches(step: Callable[[Session], Sequence[UUID]], stop_at: float | None) -> int:
    total = 0
    while stop_at is None or time.monotonic() < stop_at:
        with transaction() as session:
            count = len(step(session))
        if not count:
            break
        total += count
    return total
