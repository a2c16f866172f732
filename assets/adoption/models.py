"""Tables of adoption: adoptions, their history, waiting lists, hand-overs.

People are named by id, without a foreign key: what is forgotten of a person leaves an id without
a name, and the history stands (`assets.people_data`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assets.adoption.vocabulary import WAITS, EndReason, Entry, HandoverState, WaitState
from core.db import Base, one_of
from core.ids import new_id

_ACTIVE = sa.text("ended_at IS NULL")
_WAITS = sa.text("state IN ({})".format(", ".join(f"'{state}'" for state in WAITS)))


class Adoption(Base):
    """Somebody looks, or looked, after one asset."""

    __tablename__ = "adoptions"
    __table_args__ = (
        # The guard: whatever the program does, a slot has one adopter and a person one slot.
        sa.Index("uq_adoptions_slot", "asset_id", "slot", unique=True, postgresql_where=_ACTIVE),
        sa.Index(
            "uq_adoptions_person", "asset_id", "person_id", unique=True, postgresql_where=_ACTIVE
        ),
        sa.Index("ix_adoptions_person_id", "person_id", "id"),
        sa.Index("ix_adoptions_asset_id", "asset_id", "id"),
        sa.Index("ix_adoptions_kind_id", "kind_id", postgresql_where=_ACTIVE),
        sa.Index("ix_adoptions_due", "next_step_at", postgresql_where=_ACTIVE),
        sa.Index(
            "ix_adoptions_name_wanted",
            "jurisdiction_id",
            "id",
            postgresql_where=sa.text("name_wanted IS NOT NULL AND ended_at IS NULL"),
        ),
        one_of("ended_because", EndReason, "ended_because"),
        sa.CheckConstraint("slot >= 1", name="slot"),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_because IS NULL)", name="ended"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    kind_id: Mapped[int] = mapped_column(sa.ForeignKey("asset_kinds.id", ondelete="CASCADE"))
    asset_id: Mapped[UUID] = mapped_column(sa.ForeignKey("assets.id", ondelete="CASCADE"))
    person_id: Mapped[UUID]
    slot: Mapped[int] = mapped_column(
        sa.SmallInteger, comment="1 up to the capacity of the kind; one adopter each"
    )
    begun_at: Mapped[datetime]
    until: Mapped[datetime] = mapped_column(comment="The end of the term, unless it is renewed")
    renewed_at: Mapped[datetime | None]
    reminded: Mapped[int] = mapped_column(
        sa.SmallInteger, server_default=sa.text("0"), comment="Reminders of this term"
    )
    nudged: Mapped[int] = mapped_column(
        sa.SmallInteger, server_default=sa.text("0"), comment="Unanswered nudges of this term"
    )
    nudged_at: Mapped[datetime | None]
    next_step_at: Mapped[datetime] = mapped_column(
        comment="When the next reminder, nudge or lapse is due: assets.adoption.rules.next_step"
    )
    shows_name: Mapped[bool] = mapped_column(
        server_default=sa.false(), comment="The public may read the adopter's public name"
    )
    name: Mapped[str | None] = mapped_column(comment="Of the asset, approved: everybody reads it")
    name_wanted: Mapped[str | None] = mapped_column(comment="Waits to be approved")
    name_reason: Mapped[str | None] = mapped_column(comment="Why the last one was refused")
    token_version: Mapped[int] = mapped_column(server_default=sa.text("1"))
    ended_at: Mapped[datetime | None]
    ended_because: Mapped[str | None]
    end_note: Mapped[str | None] = mapped_column(comment="In the words of staff who ended it")


class AdoptionEntry(Base):
    """One thing that happened to an adoption. Appended, never edited; ids and codes only."""

    __tablename__ = "adoption_history"
    __table_args__ = (
        one_of("entry", Entry, "entry"),
        sa.Index("ix_adoption_history_adoption_id", "adoption_id", "id"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    adoption_id: Mapped[UUID] = mapped_column(sa.ForeignKey("adoptions.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    entry: Mapped[str]
    actor_id: Mapped[UUID | None] = mapped_column(comment="null: the clock")
    data: Mapped[dict[str, Any]] = mapped_column(server_default=sa.text("'{}'::jsonb"))


class AdoptionWait(Base):
    """Somebody waits, or waited, for a place at an asset."""

    __tablename__ = "adoption_waits"
    __table_args__ = (
        one_of("state", WaitState, "state"),
        sa.Index(
            "uq_adoption_waits_person",
            "asset_id",
            "person_id",
            unique=True,
            postgresql_where=_WAITS,
        ),
        sa.Index("ix_adoption_waits_asset_id", "asset_id", "id", postgresql_where=_WAITS),
        sa.Index("ix_adoption_waits_person_id", "person_id"),
        sa.Index(
            "ix_adoption_waits_offered",
            "offered_until",
            postgresql_where=sa.text("state = 'offered'"),
        ),
        sa.CheckConstraint("state <> 'offered' OR offered_until IS NOT NULL", name="offered_until"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    asset_id: Mapped[UUID] = mapped_column(sa.ForeignKey("assets.id", ondelete="CASCADE"))
    person_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(server_default=sa.text("'waiting'"))
    since: Mapped[datetime]
    offered_at: Mapped[datetime | None]
    offered_until: Mapped[datetime | None] = mapped_column(
        comment="The place is kept for them until then"
    )
    settled_at: Mapped[datetime | None]


class Handover(Base):
    """An adopter offers their asset to somebody, whom only their address names."""

    __tablename__ = "adoption_handovers"
    __table_args__ = (
        one_of("state", HandoverState, "state"),
        sa.Index(
            "uq_adoption_handovers_open",
            "adoption_id",
            unique=True,
            postgresql_where=sa.text("state = 'offered'"),
        ),
        sa.Index("ix_adoption_handovers_email", "email"),
        sa.CheckConstraint("(state = 'offered') = (email IS NOT NULL)", name="email"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    adoption_id: Mapped[UUID] = mapped_column(sa.ForeignKey("adoptions.id", ondelete="CASCADE"))
    email: Mapped[str | None] = mapped_column(
        comment="In normal form; forgotten as soon as it is answered"
    )
    state: Mapped[str] = mapped_column(server_default=sa.text("'offered'"))
    locale: Mapped[str] = mapped_column(comment="Of the letter: the adopter's")
    offered_at: Mapped[datetime]
    until: Mapped[datetime]
    settled_at: Mapped[datetime | None]
