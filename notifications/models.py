"""Tables of telling: deliveries, team digests, web push subscriptions, webhook endpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, one_of
from core.ids import new_id
from notifications.vocabulary import Channel, DeliveryState, RecipientKind


class Delivery(Base):
    """One message about one event to one recipient over one channel, sent at most once."""

    __tablename__ = "deliveries"
    __table_args__ = (
        sa.UniqueConstraint("event_id", "recipient_kind", "recipient_id", "channel"),
        one_of("channel", Channel, "channel"),
        one_of("state", DeliveryState, "state"),
        one_of("recipient_kind", RecipientKind, "recipient_kind"),
        sa.Index(
            "ix_deliveries_due",
            "next_attempt_at",
            postgresql_where=sa.text("state IN ('pending', 'sending')"),
        ),
        sa.Index("ix_deliveries_dead", "channel", postgresql_where=sa.text("state = 'dead'")),
        sa.Index("ix_deliveries_report_id", "report_id"),
        sa.Index("ix_deliveries_recipient", "recipient_kind", "recipient_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    event_id: Mapped[int] = mapped_column(
        sa.BigInteger, comment="Of the outbox; kept when the event itself is cleared away"
    )
    event: Mapped[str] = mapped_column(comment="Name of the message, as the templates know it")
    jurisdiction_id: Mapped[int] = mapped_column(sa.SmallInteger)
    report_id: Mapped[UUID | None]
    recipient_kind: Mapped[str]
    recipient_id: Mapped[str] = mapped_column(comment="Id of the follower, team, person…")
    channel: Mapped[str]
    locale: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"), comment="Ids and codes the text needs; no words"
    )
    state: Mapped[str] = mapped_column(server_default=sa.text("'pending'"))
    attempts: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("0"))
    created_at: Mapped[datetime]
    next_attempt_at: Mapped[datetime] = mapped_column(
        comment="When pending: not before this; when sending: the end of the lease"
    )
    sent_at: Mapped[datetime | None]
    last_fault: Mapped[str | None] = mapped_column(comment="Fault class and code; never an address")
    provider_id: Mapped[str | None]


class DigestRun(Base):
    """A digest that a team was sent for a window, so that a restart does not repeat it."""

    __tablename__ = "digest_runs"
    __table_args__ = (sa.UniqueConstraint("team_id", "window_end"),)

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(sa.ForeignKey("teams.id", ondelete="CASCADE"))
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]


class PushSubscription(Base):
    """A browser that asked to be told, for one report or for a person's reports."""

    __tablename__ = "push_subscriptions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    follower_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("followers.id", ondelete="CASCADE"), index=True
    )
    person_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("people.id", ondelete="CASCADE"), index=True
    )
    endpoint: Mapped[str] = mapped_column(unique=True)
    keys: Mapped[dict[str, Any]] = mapped_column(comment="p256dh and auth of the browser")
    created_at: Mapped[datetime]
    gone_at: Mapped[datetime | None]


class WebhookEndpoint(Base):
    """A server of somebody else's that is told of events, signed (Standard Webhooks)."""

    __tablename__ = "webhook_endpoints"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE"), index=True
    )
    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(comment="Names of events; empty: all of them")
    secret_version: Mapped[int] = mapped_column(
        sa.SmallInteger,
        server_default=sa.text("1"),
        comment="The secret is HMAC(SECRET_KEY, id, version): never stored",
    )
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
