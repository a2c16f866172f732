"""Tables of campaigns: what they are, their rounds, who was written to, about what, the answers.

People are named by id, without a foreign key, as in `assets.adoption.models`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assets.campaigns.vocabulary import Answer, CampaignState, HeldBecause, Trigger
from core.db import Base, one_of
from core.ids import new_id


class Campaign(Base):
    """What adopters of a kind are told, when and where."""

    __tablename__ = "campaigns"
    __table_args__ = (
        one_of("trigger", Trigger, "trigger"),
        one_of("state", CampaignState, "state"),
        one_of("held_because", HeldBecause, "held_because"),
        sa.CheckConstraint("starts_on <= ends_on", name="window"),
        sa.CheckConstraint("(area_layer IS NULL) = (area_code IS NULL)", name="area"),
        sa.Index("ix_campaigns_jurisdiction_id", "jurisdiction_id", "id"),
        sa.Index(
            "ix_campaigns_due",
            "next_at",
            postgresql_where=sa.text("state = 'active' AND next_at IS NOT NULL"),
        ),
        sa.Index("ix_campaigns_on", "trigger", postgresql_where=sa.text("state = 'active'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    kind_id: Mapped[int] = mapped_column(sa.ForeignKey("asset_kinds.id", ondelete="CASCADE"))
    area_layer: Mapped[str | None] = mapped_column(comment="null: the whole city")
    area_code: Mapped[str | None]
    name: Mapped[str] = mapped_column(comment="For staff")
    starts_on: Mapped[date] = mapped_column(comment="By the city's calendar; both days included")
    ends_on: Mapped[date]
    season: Mapped[dict[str, Any] | None] = mapped_column(
        comment='{"from": "11-15", "to": "03-31"}; null: all of the window'
    )
    words: Mapped[dict[str, Any]] = mapped_column(comment="locale → {subject, text}")
    action: Mapped[str] = mapped_column(comment="Care that “it is clear” logs")
    trigger: Mapped[str]
    awaited: Mapped[dict[str, Any]] = mapped_column(
        comment="calendar: at, repeat; weather: thresholds and within_h, or events and severity"
    )
    cool_down_h: Mapped[int] = mapped_column(
        sa.SmallInteger, comment="Two rounds are at least so far apart"
    )
    follow_up_h: Mapped[int | None] = mapped_column(
        sa.SmallInteger, comment="“Is it clear?” so long after; null: nobody is asked"
    )
    confirmed: Mapped[int | None] = mapped_column(comment="To so many, a coordinator agreed")
    state: Mapped[str] = mapped_column(server_default=sa.text("'active'"))
    held_because: Mapped[str | None] = mapped_column(
        comment="It paused by itself and waits for its coordinator"
    )
    next_at: Mapped[datetime | None] = mapped_column(comment="Of the calendar: when it is due")
    last_sent_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=sa.text("1"), comment="The ETag")
    created_by: Mapped[UUID]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class CampaignRound(Base):
    """One time that a campaign went out."""

    __tablename__ = "campaign_rounds"
    __table_args__ = (
        # The guard: a campaign goes out once for one event, whoever notices it how often.
        sa.UniqueConstraint("campaign_id", "event_key"),
        one_of("set_off_by", Trigger, "set_off_by"),
        sa.Index(
            "ix_campaign_rounds_follow_up",
            "follow_up_at",
            postgresql_where=sa.text("followed_up_at IS NULL AND follow_up_at IS NOT NULL"),
        ),
        sa.Index(
            "ix_campaign_rounds_weather_event_id",
            "weather_event_id",
            postgresql_where=sa.text("weather_event_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    campaign_id: Mapped[UUID] = mapped_column(sa.ForeignKey("campaigns.id", ondelete="CASCADE"))
    event_key: Mapped[str] = mapped_column(
        comment="weather:<event>, calendar:<campaign>:<instant>, hand:<round>"
    )
    set_off_by: Mapped[str]
    weather_event_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("weather_events.id", ondelete="SET NULL")
    )
    foreseen: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"), comment="What the letter says of the weather"
    )
    person_id: Mapped[UUID | None] = mapped_column(comment="Who sent it by hand")
    sent_at: Mapped[datetime]
    recipients: Mapped[int]
    assets: Mapped[int]
    follow_up_at: Mapped[datetime | None]
    followed_up_at: Mapped[datetime | None]


class CampaignLetter(Base):
    """Somebody whom a round wrote to: one letter, however many assets are theirs."""

    __tablename__ = "campaign_letters"
    __table_args__ = (
        sa.UniqueConstraint("round_id", "person_id"),
        sa.Index("ix_campaign_letters_person_id", "person_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    round_id: Mapped[UUID] = mapped_column(sa.ForeignKey("campaign_rounds.id", ondelete="CASCADE"))
    person_id: Mapped[UUID]


class CampaignAsk(Base):
    """An asset that a letter is about, and what its adopter said of it."""

    __tablename__ = "campaign_asks"
    __table_args__ = (
        # Two campaigns for one event do not write about the same asset to the same adopter.
        sa.UniqueConstraint("event_key", "adoption_id"),
        one_of("answer", Answer, "answer"),
        sa.CheckConstraint("(answer IS NULL) = (answered_at IS NULL)", name="answered"),
        sa.Index("ix_campaign_asks_letter_id", "letter_id"),
        sa.Index("ix_campaign_asks_asset_id", "asset_id"),
        sa.Index("ix_campaign_asks_adoption_id", "adoption_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    letter_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("campaign_letters.id", ondelete="CASCADE")
    )
    event_key: Mapped[str] = mapped_column(comment="As of the round")
    adoption_id: Mapped[UUID] = mapped_column(sa.ForeignKey("adoptions.id", ondelete="CASCADE"))
    asset_id: Mapped[UUID] = mapped_column(sa.ForeignKey("assets.id", ondelete="CASCADE"))
    answer: Mapped[str | None]
    answered_at: Mapped[datetime | None]
    care_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("care_entries.id", ondelete="SET NULL"), comment="What “clear” logged"
    )


class CampaignRefusal(Base):
    """Somebody who wants no campaigns of a city any more."""

    __tablename__ = "campaign_refusals"

    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE"), primary_key=True
    )
    at: Mapped[datetime]
