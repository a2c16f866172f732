"""Bytes as sent, kept in private until a worker has cleaned them; and the rows that wait for them.

The bytes are written before the transaction, so a rolled-back request leaves a file that no row
knows: `stale`, `orphans` and `forget` take those away after a day.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import IO, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.errors import ConflictError
from core.ids import new_id
from core.outbox import Happening, emit_many
from reports import events
from reports.history import Author
from reports.media.checking import CheckedPhoto
from reports.models import Photo, ServiceRequest
from reports.storage import Storage
from reports.vocabulary import PhotoState

#: Longer than any request or task lives.
_STALE_AFTER = timedelta(days=1)

#: So many keys are asked about with one statement.
_SWEPT_AT_ONCE = 500

_STAGED = "staged"
_CLEANED = "photos"

#: So many photos a report can have, whoever adds them.
MOST_PHOTOS = 20


class TooManyPhotosError(ConflictError):
    """Enough can be seen."""

    code = "too_many_photos"
    title = "No more photos can be added to this report"


@dataclass(frozen=True, slots=True)
class StagedPhoto:
    """A photo whose bytes are kept; `name` is random and names its files."""

    name: str
    media_type: str
    size_bytes: int


def staged_key(name: str) -> str:
    """Where the bytes as sent wait."""
    return f"{_STAGED}/{name[:2]}/{name}"


def cleaned_key(name: str, size: str) -> str:
    """Where the cleaned photo lies, in one of its sizes. Nobody can guess the name."""
    return f"{_CLEANED}/{name[:2]}/{name}/{size}.jpg"


def stage(storage: Storage, photos: Sequence[CheckedPhoto]) -> list[StagedPhoto]:
    """Keep the bytes of checked photos; call it before the transaction is opened.

    Raises:
        StorageAwayError: they cannot be kept now (503); nothing else was done.
    """
    staged = []
    for photo in photos:
        name = secrets.token_hex(16)
        photo.stream.seek(0)
        storage.put(staged_key(name), cast("IO[bytes]", photo.stream), photo.media_type.value)
        staged.append(StagedPhoto(name, photo.media_type.value, photo.size_bytes))
    return staged


def check_room(session: Session, report: ServiceRequest, coming: int) -> None:
    """Hold photos that come later against how many a report may have.

    Raises:
        TooManyPhotosError
    """
    there = session.scalar(
        sa.select(sa.func.count())
        .select_from(Photo)
        .where(Photo.report_id == report.id, Photo.state != PhotoState.DROPPED.value)
    )
    if (there or 0) + coming > MOST_PHOTOS:
        raise TooManyPhotosError(f"A report has room for {MOST_PHOTOS} photos.")


def insert_staged(
    session: Session,
    report_id: UUID,
    staged: Sequence[StagedPhoto],
    *,
    by: Author,
    jurisdiction_id: int,
    now: datetime,
    is_public: bool = True,
) -> list[UUID]:
    """Insert the rows of staged photos and emit `photo.staged` for each; their ids, in order.

    In the caller's transaction. The history says nothing of them before they can be seen.
    """
    if not staged:
        return []
    ids = [new_id() for _ in staged]
    session.execute(
        sa.insert(Photo),
        [
            {
                "id": photo_id,
                "report_id": report_id,
                "state": PhotoState.STAGED.value,
                "added_by": by.kind.value,
                "is_public": is_public,
                "storage_name": photo.name,
                "media_type": photo.media_type,
                "size_bytes": photo.size_bytes,
                "created_at": now,
            }
            for photo_id, photo in zip(ids, staged, strict=True)
        ],
    )
    session.execute(
        sa.update(ServiceRequest)
        .where(ServiceRequest.id == report_id, ServiceRequest.photos_deleted_at.is_not(None))
        .values(photos_deleted_at=None)
        .execution_options(synchronize_session=False)
    )
    emit_many(
        session,
        events.PHOTO_STAGED,
        [Happening(report_id, jurisdiction_id, {"photo_id": str(photo_id)}) for photo_id in ids],
    )
    return ids


def stale(storage: Storage, *, now: datetime) -> list[str]:
    """Names of staged files older than a day, some hundreds at once; no transaction needed."""
    keys = storage.older_than(_STAGED, now - _STALE_AFTER)
    return [key.rpartition("/")[2] for key in islice(keys, _SWEPT_AT_ONCE)]


def orphans(session: Session, names: Sequence[str]) -> list[str]:
    """Those of the names that no photo waits for."""
    wanted = set(
        session.scalars(
            sa.select(Photo.storage_name).where(
                Photo.storage_name.in_(names), Photo.state == PhotoState.STAGED.value
            )
        )
    )
    return [name for name in names if name not in wanted]


def forget(storage: Storage, names: Iterable[str]) -> None:
    """Delete staged files."""
    for name in names:
        storage.delete(staged_key(name))
