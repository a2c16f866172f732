"""Tables of the kernel: the outbox, its dead letters, and answers kept for clients that retry."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class OutboxEvent(Base):
    """Something that happened and that workers must react to. Carries ids, never words.

    Life: pending (`waiting` null) → relayed (`waiting` lists the reactions still to run) → done
    (`waiting` empty, `done_at` set). A reaction that keeps failing moves to `dead_letters` and
    leaves `waiting`.
    """

    __tablename__ = "outbox_events"
    __table_args__ = (
        sa.Index("ix_outbox_events_pending", "id", postgresql_where=sa.text("relayed_at IS NULL")),
        sa.Index(
            "ix_outbox_events_unfinished",
            "relayed_at",
            postgresql_where=sa.text("relayed_at IS NOT NULL AND done_at IS NULL"),
        ),
        sa.Index(
            "ix_outbox_events_done", "done_at", postgresql_where=sa.text("done_at IS NOT NULL")
        ),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(comment="A past participle: report.submitted")
    subject_id: Mapped[UUID | None] = mapped_column(comment="The thing it happened to")
    jurisdiction_id: Mapped[int | None] = mapped_column(sa.SmallInteger)
    data: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"), comment="Further ids and codes; no personal data"
    )
    request_id: Mapped[str | None] = mapped_column(comment="Of the request that caused it")
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    waiting: Mapped[list[str] | None] = mapped_column(
        postgresql.ARRAY(sa.Text()), comment="Reactions that have not run yet; null: not relayed"
    )
    relayed_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("0"))
    done_at: Mapped[datetime | None]


class DeadLetter(Base):
    """A reaction that failed too often, with its error, until an operator retries or drops it."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        sa.UniqueConstraint("event_id", "reaction"),
        sa.Index("ix_dead_letters_open", "id", postgresql_where=sa.text("settled_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    event_id: Mapped[int] = mapped_column(
        sa.BigInteger, sa.ForeignKey("outbox_events.id", ondelete="CASCADE")
    )
    reaction: Mapped[str]
    error: Mapped[str] = mapped_column(comment="Class and place of the error; no values of rows")
    failed_at: Mapped[datetime]
    settled_at: Mapped[datetime | None] = mapped_column(comment="Retried or dropped by an operator")


class KeptAnswer(Base):
    """The answer to a write under an `Idempotency-Key`, to give again to whoever repeats it.

    Kept for a day. It may hold what the answer held, so who erases a person erases the answers
    about their reports too: `core.idempotency.forget`.
    """

    __tablename__ = "kept_answers"

    digest: Mapped[bytes] = mapped_column(
        primary_key=True, comment="SHA-256 of caller, method, path and key"
    )
    payload_digest: Mapped[bytes] = mapped_column(comment="SHA-256 of what was sent")
    subject_id: Mapped[UUID | None] = mapped_column(comment="The thing that was written to")
    status: Mapped[int | None] = mapped_column(sa.SmallInteger, comment="null: being worked on")
    headers: Mapped[dict[str, Any]] = mapped_column(server_default=sa.text("'{}'::jsonb"))
    body: Mapped[str] = mapped_column(server_default=sa.text("''"))
    created_at: Mapped[datetime] = mapped_column(index=True)
