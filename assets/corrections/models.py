"""Tables of corrections: proposals, and who confirms them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assets.corrections.vocabulary import DecidedBy, State, What
from core.db import Base, one_of
from core.ids import new_id

_OPEN = sa.text("state = 'open'")


class Correction(Base):
    """Somebody's word that the register is wrong."""

    __tablename__ = "corrections"
    __table_args__ = (
        one_of("what", What, "what"),
        one_of("state", State, "state"),
        one_of("decided_how", DecidedBy, "decided_how"),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name="lat"),
        sa.CheckConstraint("lon BETWEEN -180 AND 180", name="lon"),
        sa.CheckConstraint("asset_id IS NOT NULL OR what = 'missing'", name="asset_id"),
        sa.CheckConstraint("(state = 'open') = (decided_at IS NULL)", name="decided"),
        sa.Index("ix_corrections_open", "jurisdiction_id", "id", postgresql_where=_OPEN),
        sa.Index("ix_corrections_asset_id", "asset_id", "id"),
        sa.Index("ix_corrections_missing", "kind_id", "cell", postgresql_where=_OPEN),
        sa.Index("ix_corrections_person_id", "person_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    kind_id: Mapped[int] = mapped_column(sa.ForeignKey("asset_kinds.id", ondelete="CASCADE"))
    asset_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("assets.id", ondelete="CASCADE"),
        comment="Of a missing one: the asset that was entered when it was accepted",
    )
    what: Mapped[str]
    lat: Mapped[float] = mapped_column(comment="Where it is said to be; else where it stands")
    lon: Mapped[float]
    cell: Mapped[int] = mapped_column(sa.BigInteger, comment="H3 cell of resolution 15")
    attributes: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"), comment="As they are said to be"
    )
    note: Mapped[str | None] = mapped_column(comment="For staff alone")
    photo_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("asset_photos.id", ondelete="SET NULL")
    )
    person_id: Mapped[UUID] = mapped_column(comment="The proposer")
    confirmations: Mapped[int] = mapped_column(server_default=sa.text("0"))
    state: Mapped[str] = mapped_column(server_default=sa.text("'open'"))
    proposed_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_how: Mapped[str | None]
    decided_by: Mapped[UUID | None] = mapped_column(comment="The member of the staff")
    reason: Mapped[str | None] = mapped_column(comment="Told to the proposer")
    asset_version: Mapped[int | None] = mapped_column(comment="The version it became")


class CorrectionConfirmation(Base):
    """Somebody else says the same."""

    __tablename__ = "correction_confirmations"
    __table_args__ = (sa.Index("ix_correction_confirmations_person_id", "person_id"),)

    correction_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("corrections.id", ondelete="CASCADE"), primary_key=True
    )
    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
