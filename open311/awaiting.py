"""Addresses of photos that wait to be fetched: kept with the report, claimed by a worker.

`open311.fetching` fetches them. It knows how photos are decoded, which is large, and most processes
only ask what is awaited.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core import outbox
from open311 import events
from open311.models import LinkedPhoto
from reports.vocabulary import ActorKind

#: Photos of one claim, and how long they are ours.
BATCH = 5
LEASE = timedelta(seconds=150)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A photo that is to be fetched."""

    id: int
    report_id: UUID
    url: str
    claims: int


def keep(
    session: Session,
    report_id: UUID,
    jurisdiction_id: int,
    links: Sequence[str],
    *,
    by: ActorKind,
    now: datetime,
) -> None:
    """Remember what is to be fetched and emit `photo.linked`, in the caller's transaction."""
    rows = [
        LinkedPhoto(
            report_id=report_id, url=link, added_by=by.value, next_attempt_at=now, created_at=now
        )
        for link in links
    ]
    session.add_all(rows)
    session.flush()
    outbox.emit(
        session,
        events.PHOTO_LINKED,
        report_id,
        jurisdiction_id=jurisdiction_id,
        link_ids=[row.id for row in rows],
    )


def awaited(session: Session, report_ids: Collection[UUID]) -> set[UUID]:
    """Those of the reports that still wait for a photo from elsewhere."""
    return set(
        session.scalars(
            sa.select(LinkedPhoto.report_id).where(LinkedPhoto.report_id.in_(list(report_ids)))
        )
    )


def claim(
    session: Session, *, now: datetime, ids: Collection[int] | None = None, limit: int = BATCH
) -> list[Wanted]:
    """Take photos that are due, oldest first; nobody else gets them until the lease ends."""
    due = (
        sa.select(LinkedPhoto)
        .where(LinkedPhoto.next_attempt_at <= now)
        .order_by(LinkedPhoto.next_attempt_at, LinkedPhoto.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if ids is not None:
        due = due.where(LinkedPhoto.id.in_(list(ids)))
    rows = session.scalars(due).all()
    for row in rows:
        row.claims += 1
        row.next_attempt_at = now + LEASE
    session.flush()
    return [Wanted(row.id, row.report_id, row.url, row.claims) for row in rows]
