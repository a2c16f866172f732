"""Tables of places: jurisdictions, their areas, their addresses, remembered geocodings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class Jurisdiction(Base):
    """A city, or any other body that answers for streets. Everything belongs to one."""

    __tablename__ = "jurisdictions"

    id: Mapped[int] = mapped_column(sa.SmallInteger, sa.Identity(), primary_key=True)
    code: Mapped[str] = mapped_column(unique=True, comment="What people and URLs call it")
    names: Mapped[dict[str, Any]] = mapped_column(comment="locale → name")
    locales: Mapped[list[str]] = mapped_column(comment="Languages spoken to people, best first")
    default_locale: Mapped[str]
    country: Mapped[str] = mapped_column(comment="ISO 3166-1 alpha-2")
    subdivision: Mapped[str | None] = mapped_column(comment="For regional public holidays")
    time_zone: Mapped[str] = mapped_column(comment="IANA name")
    boundary: Mapped[dict[str, Any]] = mapped_column(comment="GeoJSON geometry, WGS 84")
    boundary_buffer_m: Mapped[float] = mapped_column(server_default=sa.text("0"))
    contact: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"), comment="Public e-mail, phone and page of the city"
    )
    policy: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"),
        comment="Choices of the city folder: quiet hours, extra holidays, defaults of services",
    )
    version: Mapped[int] = mapped_column(
        server_default=sa.text("1"), comment="Moves when anything of the city folder changes"
    )
    updated_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class Area(Base):
    """A polygon of a layer (districts, wards…), for routing and for statistics."""

    __tablename__ = "areas"
    __table_args__ = (sa.UniqueConstraint("jurisdiction_id", "layer", "code"),)

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    layer: Mapped[str]
    code: Mapped[str]
    names: Mapped[dict[str, Any]] = mapped_column(comment="locale → name")
    geometry: Mapped[dict[str, Any]] = mapped_column(comment="GeoJSON polygon, WGS 84")


class Address(Base):
    """A house number with its position: the offline gazetteer."""

    __tablename__ = "addresses"
    __table_args__ = (
        sa.Index("ix_addresses_cell", "jurisdiction_id", "cell"),
        sa.Index("ix_addresses_street_key", "jurisdiction_id", "street_key", "number"),
        sa.Index("ix_addresses_search", "search", postgresql_using="gin"),
        # Open311's `address_id`.
        sa.Index(
            "ix_addresses_code",
            "jurisdiction_id",
            "code",
            postgresql_where=sa.text("code IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    code: Mapped[str | None] = mapped_column(comment="The city's own id of the address or street")
    number: Mapped[int | None]
    suffix: Mapped[str] = mapped_column(server_default=sa.text("''"), comment="bis, ter, A…")
    street: Mapped[str]
    street_key: Mapped[str] = mapped_column(comment="street, folded: core.text.fold")
    postcode: Mapped[str | None]
    locality: Mapped[str | None]
    lat: Mapped[float]
    lon: Mapped[float]
    cell: Mapped[int] = mapped_column(sa.BigInteger, comment="H3 cell of resolution 15")
    search: Mapped[Any] = mapped_column(
        postgresql.TSVECTOR,
        sa.Computed("to_tsvector('simple', street_key)", persisted=True),
        comment="Words of the street, folded",
    )


class GeocodeCache(Base):
    """What an on-line geocoder answered, kept for a while, so that it is asked once."""

    __tablename__ = "geocode_cache"

    key: Mapped[str] = mapped_column(primary_key=True, comment="Digest of direction and question")
    answer: Mapped[dict[str, Any] | None] = mapped_column(comment="null: it knew nothing")
    asked_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
