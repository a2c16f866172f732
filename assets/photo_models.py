"""The table of photos that people send with a correction or a care."""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, one_of
from core.ids import new_id


class PhotoState(enum.StrEnum):
    """Where a photo stands."""

    STAGED = "staged"
    READY = "ready"
    DROPPED = "dropped"  # could not be decoded
    FORGOTTEN = "forgotten"  # its files are deleted, or soon will be


class AssetPhoto(Base):
    """A photo; the person who sent it and the staff who need it see it, nobody else."""

    __tablename__ = "asset_photos"
    __table_args__ = (
        one_of("state", PhotoState, "state"),
        sa.Index("ix_asset_photos_person_id", "person_id"),
        sa.Index(
            "ix_asset_photos_kept",
            "created_at",
            postgresql_where=sa.text("storage_name IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    person_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(server_default=sa.text("'staged'"))
    storage_name: Mapped[str | None] = mapped_column(
        comment="Random; names the files. null: they are deleted"
    )
    created_at: Mapped[datetime]
