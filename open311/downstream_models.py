"""What the client side keeps: other systems, what was forwarded to them, what they told."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, one_of
from core.ids import new_id
from open311.rules import AttemptOutcome, ForwardingState


class DownstreamEndpoint(Base):
    """Another system in which teams of a city live: where it is, and how it does."""

    __tablename__ = "downstream_endpoints"
    __table_args__ = (sa.UniqueConstraint("jurisdiction_id", "code"),)

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    code: Mapped[str]
    url: Mapped[str]
    config: Mapped[dict[str, Any]] = mapped_column(comment="See open311.downstream; no secret")
    is_active: Mapped[bool] = mapped_column(server_default=sa.true())
    failures: Mapped[int] = mapped_column(
        server_default=sa.text("0"), comment="In a row; many open the circuit"
    )
    open_until: Mapped[datetime | None] = mapped_column(comment="Left alone until then")
    failing_since: Mapped[datetime | None]
    last_fault: Mapped[str | None] = mapped_column(comment="A kind of failure, no words of theirs")
    next_poll_at: Mapped[datetime | None] = mapped_column(comment="null: as soon as may be")
    updates_until: Mapped[datetime | None] = mapped_column(
        comment="Steps and changes before that instant were read"
    )


class DownstreamTeam(Base):
    """Which team lives in which other system."""

    __tablename__ = "downstream_teams"

    team_id: Mapped[int] = mapped_column(
        sa.ForeignKey("teams.id", ondelete="CASCADE"), primary_key=True
    )
    endpoint_id: Mapped[int] = mapped_column(
        sa.ForeignKey("downstream_endpoints.id", ondelete="CASCADE"), index=True
    )


class Forwarding(Base):
    """A report on its way to another system, and what is known of it there.

    `next_attempt_at` is when the next step is due, and while a worker has it in hand the end of
    its lease; `claims` tells one lease from the next.
    """

    __tablename__ = "forwardings"
    __table_args__ = (
        sa.UniqueConstraint("report_id", "endpoint_id"),
        one_of("state", ForwardingState, "state"),
        sa.Index(
            "ix_forwardings_waiting",
            "next_attempt_at",
            postgresql_where=sa.text("state = 'waiting'"),
        ),
        sa.Index(
            "ix_forwardings_stuck", "endpoint_id", postgresql_where=sa.text("state = 'stuck'")
        ),
        sa.Index(
            "ix_forwardings_remote",
            "endpoint_id",
            "remote_id",
            postgresql_where=sa.text("remote_id IS NOT NULL"),
        ),
        sa.Index(
            "ix_forwardings_checked",
            "endpoint_id",
            "checked_at",
            postgresql_where=sa.text("state = 'sent' AND remote_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    report_id: Mapped[UUID] = mapped_column(sa.ForeignKey("service_requests.id"))
    endpoint_id: Mapped[int] = mapped_column(sa.ForeignKey("downstream_endpoints.id"))
    state: Mapped[str] = mapped_column(server_default=sa.text("'waiting'"))
    next_attempt_at: Mapped[datetime]
    claims: Mapped[int] = mapped_column(server_default=sa.text("0"))
    failures: Mapped[int] = mapped_column(server_default=sa.text("0"), comment="In a row")
    last_fault: Mapped[str | None] = mapped_column(comment="A kind of failure, no words of theirs")
    last_words: Mapped[str | None] = mapped_column(
        comment="What they said to it, without the contact data of the report's people"
    )
    token: Mapped[str | None] = mapped_column(comment="What a batch service answered with")
    token_at: Mapped[datetime | None]
    remote_id: Mapped[str | None] = mapped_column(comment="Their service_request_id")
    sent_at: Mapped[datetime | None]
    checked_at: Mapped[datetime | None] = mapped_column(comment="When its status was last asked")
    remote_status: Mapped[str | None] = mapped_column(comment="Their word, as last seen")
    remote_at: Mapped[datetime | None] = mapped_column(comment="Since when, by their clock")
    missing_since: Mapped[datetime | None] = mapped_column(
        comment="They do not show it, or no status of it; logged once"
    )
    told_at: Mapped[datetime | None] = mapped_column(
        comment="When staff were told that it is over there and open here"
    )
    created_at: Mapped[datetime]


class ForwardingAttempt(Base):
    """One sending, written down before it is made. While `outcome` is null nobody knows of it."""

    __tablename__ = "forwarding_attempts"
    __table_args__ = (
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN ({})".format(
                ", ".join(f"'{outcome}'" for outcome in AttemptOutcome)
            ),
            name="outcome",
        ),
        sa.Index("ix_forwarding_attempts_forwarding_id", "forwarding_id"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    forwarding_id: Mapped[UUID] = mapped_column(sa.ForeignKey("forwardings.id"))
    begun_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    fault: Mapped[str | None] = mapped_column(comment="A kind of failure, no words of theirs")


class DownstreamUpdate(Base):
    """A step that another system told of, so that the same one is taken once."""

    __tablename__ = "downstream_updates"
    __table_args__ = (sa.UniqueConstraint("endpoint_id", "update_id"),)

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(
        sa.ForeignKey("downstream_endpoints.id", ondelete="CASCADE")
    )
    update_id: Mapped[str] = mapped_column(comment="Theirs, or a digest of what it says")
    forwarding_id: Mapped[UUID] = mapped_column(sa.ForeignKey("forwardings.id"), index=True)
    history_id: Mapped[int | None] = mapped_column(
        sa.BigInteger, comment="What it became; null: nothing in it was news"
    )
    created_at: Mapped[datetime]
