"""Photos of corrections and care, by the same way as those of reports (`reports.media`).

1. In the request, before the transaction: checked and staged by `reports.media`.
2. In its transaction: `insert` stores a row and emits `asset_photo.staged`.
3. In a task: `waiting`, `reports.media.cleaning.clean`, `record`: no byte is shown that was not
   decoded and encoded anew, without EXIF and position.
4. `forget` hides photos; `ripe`, `reports.media.deleting.delete` and `settle` take their files
   away, after a year those of everybody.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.actors import Actor
from accounts.rules import Permission
from assets import events
from assets.photo_models import AssetPhoto, PhotoState
from core.errors import NotFoundError
from core.outbox import emit
from reports.media.showing import Size
from reports.media.staging import StagedPhoto, cleaned_key

if TYPE_CHECKING:
    from reports.media.cleaning import Outcome

#: What a photo was for is decided by then; whoever is on it need not be kept longer.
KEPT_FOR = timedelta(days=365)

_AT_A_TIME = 200


@dataclass(frozen=True, slots=True)
class Named:
    """A photo whose files are somewhere; `name` is random and names them."""

    id: UUID
    name: str


def insert(
    session: Session,
    staged: Sequence[StagedPhoto],
    *,
    person_id: UUID,
    jurisdiction_id: int,
    now: datetime,
) -> UUID | None:
    """Store the first of the staged photos, if there is one; its id."""
    if not staged:
        return None
    photo = AssetPhoto(
        jurisdiction_id=jurisdiction_id,
        person_id=person_id,
        state=PhotoState.STAGED.value,
        storage_name=staged[0].name,
        created_at=now,
    )
    session.add(photo)
    session.flush()
    emit(
        session,
        events.PHOTO_OF_ASSET_STAGED,
        photo.id,
        jurisdiction_id=jurisdiction_id,
        photo_id=str(photo.id),
    )
    return photo.id


def waiting(session: Session, ids: Collection[UUID]) -> list[Named]:
    """Those of the photos that still wait to be cleaned."""
    rows = session.execute(
        sa.select(AssetPhoto.id, AssetPhoto.storage_name).where(
            AssetPhoto.id.in_(list(ids)),
            AssetPhoto.state == PhotoState.STAGED.value,
            AssetPhoto.storage_name.is_not(None),
        )
    )
    return [Named(row.id, row.storage_name) for row in rows]


def record(session: Session, outcomes: Sequence[Outcome]) -> None:
    """Store what became of photos; those already done are left out."""
    for outcome in outcomes:
        is_ready = hasattr(outcome, "width")
        session.execute(
            sa.update(AssetPhoto)
            .where(AssetPhoto.id == outcome.id, AssetPhoto.state == PhotoState.STAGED.value)
            .values(state=(PhotoState.READY if is_ready else PhotoState.DROPPED).value)
            .execution_options(synchronize_session=False)
        )


def orphans(session: Session, names: Sequence[str]) -> list[str]:
    """Those of the names of staged files that no photo of an asset waits for."""
    wanted = set(
        session.scalars(
            sa.select(AssetPhoto.storage_name).where(
                AssetPhoto.storage_name.in_(names), AssetPhoto.state == PhotoState.STAGED.value
            )
        )
    )
    return [name for name in names if name not in wanted]


def key_for(session: Session, actor: Actor, photo_id: UUID, size: Size) -> str:
    """Where a cleaned photo lies that the actor may see: who sent it, and the city's staff.

    Raises:
        NotFoundError: there is none, or it is nothing to the actor.
    """
    photo = session.get(AssetPhoto, photo_id)
    if photo is None or photo.state != PhotoState.READY or photo.storage_name is None:
        raise NotFoundError
    needed = (Permission.MANAGE_ASSETS, Permission.COORDINATE_VOLUNTEERS)
    is_staff = any(actor.may(each, photo.jurisdiction_id, None) for each in needed)
    if actor.person_id != photo.person_id and not is_staff:
        raise NotFoundError
    return cleaned_key(photo.storage_name, size.value)


def forget(session: Session, which: sa.ColumnElement[bool]) -> int:
    """Hide photos; their files are deleted by `ripe` and what follows. How many."""
    result = session.execute(
        sa.update(AssetPhoto)
        .where(which, AssetPhoto.state != PhotoState.FORGOTTEN.value)
        .values(state=PhotoState.FORGOTTEN.value)
        .execution_options(synchronize_session=False)
    )
    count: int = result.rowcount  # type: ignore[attr-defined]
    return count


def ripe(session: Session, *, now: datetime) -> list[Named]:
    """Some photos whose files are to be deleted now: forgotten, or older than a year."""
    forget(session, AssetPhoto.created_at < now - KEPT_FOR)
    rows = session.execute(
        sa.select(AssetPhoto.id, AssetPhoto.storage_name)
        .where(AssetPhoto.state == PhotoState.FORGOTTEN.value, AssetPhoto.storage_name.is_not(None))
        .order_by(AssetPhoto.id)
        .limit(_AT_A_TIME)
    )
    return [Named(row.id, row.storage_name) for row in rows]


def settle(session: Session, photos: Sequence[Named]) -> None:
    """Forget the names of files that are deleted."""
    session.execute(
        sa.update(AssetPhoto)
        .where(AssetPhoto.id.in_([photo.id for photo in photos]))
        .values(storage_name=None)
        .execution_options(synchronize_session=False)
    )
