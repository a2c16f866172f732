"""The table of requests for help: adopters, asked about reports."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assets.helping.vocabulary import ANSWERED, HelpState
from core.db import Base, one_of
from core.ids import new_id

_ANSWERED = "state IN ({})".format(", ".join(f"'{state}'" for state in ANSWERED))


class HelpRequest(Base):
    """An adopter is asked about a report at or near their asset."""

    __tablename__ = "help_requests"
    __table_args__ = (
        one_of("state", HelpState, "state"),
        sa.CheckConstraint(f"({_ANSWERED}) = (answered_at IS NOT NULL)", name="answered"),
        sa.UniqueConstraint("report_id", "adoption_id"),
        # Two answers at once: whatever the program does, a report has one.
        sa.Index(
            "uq_help_requests_answered",
            "report_id",
            unique=True,
            postgresql_where=sa.text(_ANSWERED),
        ),
        sa.Index("ix_help_requests_person_id", "person_id", "id"),
        sa.Index("ix_help_requests_asset_id", "asset_id"),
        sa.Index("ix_help_requests_adoption_id", "adoption_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"))
    asset_id: Mapped[UUID] = mapped_column(sa.ForeignKey("assets.id", ondelete="CASCADE"))
    adoption_id: Mapped[UUID] = mapped_column(sa.ForeignKey("adoptions.id", ondelete="CASCADE"))
    person_id: Mapped[UUID] = mapped_column(comment="The adopter")
    distance_m: Mapped[float | None] = mapped_column(
        comment="How far the report is from the asset; null: it is about that very asset"
    )
    asked_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(server_default=sa.text("'open'"))
    answered_at: Mapped[datetime | None]
    has_resolved: Mapped[bool] = mapped_column(
        server_default=sa.false(), comment="The answer resolved the report; else it was a proposal"
    )
    note_id: Mapped[UUID | None] = mapped_column(comment="What they said to the team: notes.id")
    care_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("care_entries.id", ondelete="SET NULL"),
        comment="What they did, with its photo",
    )
    photo_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("asset_photos.id", ondelete="SET NULL"),
        comment="Sent with a word that the city is needed",
    )
