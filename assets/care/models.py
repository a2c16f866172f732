"""Tables of care: what was done, calls of passers-by, messages of coordinators."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assets.care.vocabulary import CallState
from core.db import Base, one_of
from core.ids import new_id


class Care(Base):
    """Something that somebody did for an asset, and when."""

    __tablename__ = "care_entries"
    __table_args__ = (
        sa.CheckConstraint("minutes BETWEEN 0 AND 1440", name="minutes"),
        sa.CheckConstraint("quantity >= 0", name="quantity"),
        sa.Index("ix_care_entries_asset_id", "asset_id", "at"),
        sa.Index("ix_care_entries_person_id", "person_id", "at"),
        sa.Index("ix_care_entries_jurisdiction_id", "jurisdiction_id", "at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    kind_id: Mapped[int] = mapped_column(sa.ForeignKey("asset_kinds.id", ondelete="CASCADE"))
    asset_id: Mapped[UUID] = mapped_column(sa.ForeignKey("assets.id", ondelete="CASCADE"))
    person_id: Mapped[UUID]
    adoption_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("adoptions.id", ondelete="SET NULL"),
        comment="Of the adopter; null: a neighbour helped",
    )
    action: Mapped[str] = mapped_column(comment="Code of an action of the kind")
    is_problem: Mapped[bool] = mapped_column(
        server_default=sa.false(), comment="Something is wrong, rather than done"
    )
    at: Mapped[datetime] = mapped_column(comment="When it was done")
    minutes: Mapped[int | None] = mapped_column(sa.SmallInteger)
    quantity: Mapped[float | None] = mapped_column(comment="In the unit of the action")
    note: Mapped[str | None] = mapped_column(comment="For coordinators alone")
    photo_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("asset_photos.id", ondelete="SET NULL")
    )
    created_at: Mapped[datetime]


class CareGate(Base):
    """When an asset was last called for: the row is the guard of once an hour."""

    __tablename__ = "care_gates"

    asset_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True
    )
    at: Mapped[datetime]


class CareCall(Base):
    """Somebody's word that an asset needs care."""

    __tablename__ = "care_calls"
    __table_args__ = (
        one_of("state", CallState, "state"),
        sa.Index(
            "ix_care_calls_open", "asset_id", "id", postgresql_where=sa.text("state = 'open'")
        ),
        sa.Index(
            "ix_care_calls_person_id",
            "person_id",
            postgresql_where=sa.text("person_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    asset_id: Mapped[UUID] = mapped_column(sa.ForeignKey("assets.id", ondelete="CASCADE"))
    person_id: Mapped[UUID | None] = mapped_column(comment="null: somebody who did not sign in")
    called_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(server_default=sa.text("'open'"))
    answered_by: Mapped[UUID | None]
    answered_at: Mapped[datetime | None]


class VolunteerMessage(Base):
    """What a coordinator wrote to the adopters of a kind or an area."""

    __tablename__ = "volunteer_messages"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE"), index=True
    )
    kind_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("asset_kinds.id", ondelete="CASCADE"), comment="null: of every kind"
    )
    box: Mapped[list[Any] | None] = mapped_column(
        comment="west, south, east, north; null: the whole city"
    )
    area_layer: Mapped[str | None] = mapped_column(comment="null: no area was named")
    area_code: Mapped[str | None]
    subject: Mapped[str]
    text: Mapped[str]
    person_id: Mapped[UUID] = mapped_column(comment="The coordinator")
    at: Mapped[datetime]
