"""Which photos of a report may be seen, by whom, and where their bytes lie."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from core.links import photo_url
from reports.media.staging import cleaned_key
from reports.models import Photo, ServiceRequest
from reports.vocabulary import PhotoState, Visibility

#: Ids as one value: a statement of fifty values is read anew each time.
_IDS = ARRAY(sa.Uuid())


class Size(enum.StrEnum):
    """The sizes that a cleaned photo is kept in: longest side 2560 and 400 pixels."""

    FULL = "full"
    THUMB = "thumb"


@dataclass(frozen=True, slots=True)
class ShownPhoto:
    """A cleaned photo about to be served, and what decides who may see it."""

    key: str
    is_public: bool
    report_id: UUID
    jurisdiction_id: int
    team_id: int | None
    token_version: int


def find_shown(session: Session, photo_id: UUID, size: Size) -> ShownPhoto:
    """A cleaned photo in one size.

    Raises:
        NotFoundError: there is none, or it is not clean yet.
    """
    row = session.execute(
        sa.select(
            Photo.storage_name,
            Photo.is_public,
            ServiceRequest.id,
            ServiceRequest.visibility,
            ServiceRequest.jurisdiction_id,
            ServiceRequest.team_id,
            ServiceRequest.token_version,
        )
        .join(ServiceRequest, ServiceRequest.id == Photo.report_id)
        .where(
            Photo.id == photo_id,
            Photo.state == PhotoState.READY.value,
            Photo.storage_name.is_not(None),
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError
    return ShownPhoto(
        key=cleaned_key(row.storage_name, size.value),
        is_public=row.is_public and row.visibility == Visibility.PUBLIC.value,
        report_id=row.id,
        jurisdiction_id=row.jurisdiction_id,
        team_id=row.team_id,
        token_version=row.token_version,
    )


def photos_of(
    session: Session, report_ids: Sequence[UUID], *, only_public: bool
) -> dict[UUID, list[Photo]]:
    """The photos of reports that can be seen, in the order they were added; one statement."""
    query = (
        sa.select(Photo)
        .where(
            Photo.report_id == sa.any_(sa.literal(list(report_ids), _IDS)),
            Photo.state == PhotoState.READY.value,
        )
        .order_by(Photo.report_id, Photo.created_at, Photo.id)
    )
    if only_public:
        query = query.where(Photo.is_public)
    found: dict[UUID, list[Photo]] = {}
    for photo in session.scalars(query):
        found.setdefault(photo.report_id, []).append(photo)
    return found


def photo_document(base_url: str, photo: Photo, token: str | None = None) -> dict[str, Any]:
    """A cleaned photo as the API says it: `id, url, thumbnail_url, width, height, created_at`.

    With the tracking token its holder sees photos that are not public.
    """
    return {
        "id": photo.id,
        "url": photo_url(base_url, photo.id, Size.FULL, token),
        "thumbnail_url": photo_url(base_url, photo.id, Size.THUMB, token),
        "width": photo.width,
        "height": photo.height,
        "created_at": photo.created_at,
    }
