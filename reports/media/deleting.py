"""Photos that must go: out of sight at once, then out of the storage, so that a kill loses nothing.

    with transaction() as session:
        deleting.hide(session, photo_ids, Reason.RETENTION)   # nobody sees them from here
    with reading() as session:
        waiting = deleting.waiting(session, now=now)           # whatever earlier runs left, too
    deleting.delete(storage, waiting)                          # files; twice is harmless
    with transaction() as session:
        deleting.settle(session, waiting)                      # the rows forget their files

A hidden photo keeps the name of its files until they are gone: that name is the list of what is
still to do. The row itself stays, because the history speaks of it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports.media.showing import Size
from reports.media.staging import cleaned_key, staged_key
from reports.models import Photo
from reports.retention_rules import REDACTED_PHOTO_DAYS
from reports.storage import Storage
from reports.vocabulary import PhotoState


class Reason(enum.StrEnum):
    """Why a photo went, as its row says."""

    REDACTED = "redacted"
    RETENTION = "retention"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class HiddenPhoto:
    """A photo that nobody sees any more and whose files are still there."""

    id: UUID
    name: str


def hide(session: Session, photo_ids: Sequence[UUID], reason: Reason, *, now: datetime) -> None:
    """Take photos out of everybody's sight, in the caller's transaction.

    What was redacted earlier changes to the new reason: it need not wait its days any more.
    """
    if photo_ids:
        session.execute(
            sa.update(Photo)
            .where(Photo.id.in_(list(photo_ids)))
            .values(
                state=PhotoState.DROPPED.value,
                dropped_because=reason.value,
                processed_at=now,
                gps_lat=None,
                gps_lon=None,
            )
            .execution_options(synchronize_session=False)
        )


def waiting(session: Session, *, now: datetime, limit: int = 200) -> list[HiddenPhoto]:
    """Hidden photos whose files are to be deleted now; redacted ones after their days."""
    is_ripe = sa.or_(
        Photo.dropped_because.in_([Reason.RETENTION.value, Reason.ERASED.value]),
        sa.and_(
            Photo.dropped_because == Reason.REDACTED.value,
            Photo.processed_at <= now - timedelta(days=REDACTED_PHOTO_DAYS),
        ),
    )
    rows = session.execute(
        sa.select(Photo.id, Photo.storage_name)
        .where(
            Photo.state == PhotoState.DROPPED.value,
            Photo.storage_name.is_not(None),
            is_ripe,
        )
        .order_by(Photo.id)
        .limit(limit)
    )
    return [HiddenPhoto(row.id, row.storage_name) for row in rows]


def delete(storage: Storage, photos: Sequence[HiddenPhoto]) -> None:
    """Delete every file of the photos: as sent, and in each size.

    Raises:
        StorageAwayError: try again later; the rows still know what is left.
    """
    for photo in photos:
        storage.delete(staged_key(photo.name))
        for size in Size:
            storage.delete(cleaned_key(photo.name, size.value))


def settle(session: Session, photos: Sequence[HiddenPhoto]) -> None:
    """Forget the names of files that are deleted."""
    if photos:
        session.execute(
            sa.update(Photo)
            .where(Photo.id.in_([photo.id for photo in photos]))
            .values(storage_name=None)
            .execution_options(synchronize_session=False)
        )
