"""Tables of weather: when each city was looked at, and the events that were foreseen."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from assets.weather.vocabulary import Source
from core.db import Base, one_of


class WeatherLook(Base):
    """When somebody was last asked about a city's weather, and what came of it."""

    __tablename__ = "weather_looks"
    __table_args__ = (one_of("source", Source, "source"),)

    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE"), primary_key=True
    )
    source: Mapped[str] = mapped_column(primary_key=True)
    next_look_at: Mapped[datetime] = mapped_column(comment="Not before; moved when it is claimed")
    answered_at: Mapped[datetime | None] = mapped_column(comment="The last good answer")
    failed_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(
        server_default=sa.text("0"), comment="Since the last good answer"
    )
    fault: Mapped[str | None] = mapped_column(comment="Code of the last failure; never an address")


class WeatherEvent(Base):
    """Something of the weather that was foreseen, as a span of time that may still move."""

    __tablename__ = "weather_events"
    __table_args__ = (
        sa.Index("ix_weather_events_known", "jurisdiction_id", "sort", "ends_at"),
        sa.CheckConstraint("starts_at <= ends_at", name="span"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    sort: Mapped[str] = mapped_column(comment="What was measured, or: alert")
    starts_at: Mapped[datetime] = mapped_column(comment="As it was first foreseen")
    ends_at: Mapped[datetime] = mapped_column(comment="As it was last foreseen")
    identifiers: Mapped[list[str]] = mapped_column(
        server_default=sa.text("'{}'::text[]"), comment="Of CAP: the chain of messages"
    )
    seen_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None] = mapped_column(comment="Taken back by who had alerted")
