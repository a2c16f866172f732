"""Tables of the road felt by phones: device keys, trips on their way, and what is left of them.

What passes through (`trips`, `trip_parts`, `device_days`) is gone within days; what stays
(`road_*`) holds no trip, no device and no time finer than a day.
"""

from __future__ import annotations

from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, one_of
from sensing.vocabulary import TripState


class DeviceKey(Base):
    """A phone's key, as a keyed digest. Nothing says whose it is, or which key it follows."""

    __tablename__ = "device_keys"

    digest: Mapped[bytes] = mapped_column(primary_key=True, comment="HMAC of the key")
    expires_on: Mapped[date] = mapped_column(index=True)


class StoredTrip(Base):
    """A trip that was sent: until it is analysed where its samples lie, then only what came of it.

    Neither the id that the phone made (it may hold a time) nor its key is stored: both rows of one
    phone look like those of two.
    """

    __tablename__ = "trips"
    __table_args__ = (
        one_of("state", TripState, "state"),
        # The link to the day's drives of a device lives no longer than the samples.
        sa.CheckConstraint(
            "state = 'received' OR (day_id IS NULL AND day_key IS NULL AND storage_name IS NULL)",
            name="forgotten",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, comment="From HMAC of the phone's id")
    holder: Mapped[bytes] = mapped_column(comment="HMAC of key and id: who may ask for this trip")
    state: Mapped[str]
    is_research: Mapped[bool] = mapped_column(server_default=sa.false())
    content: Mapped[bytes | None] = mapped_column(
        comment="HMAC of what was sent, to know it again; null: still coming in parts"
    )
    storage_name: Mapped[str | None] = mapped_column(comment="Of the samples; null once analysed")
    day_id: Mapped[bytes | None] = mapped_column(comment="Of the device's row in device_days")
    day_key: Mapped[bytes | None] = mapped_column(comment="What its cells there are digested with")
    day: Mapped[date | None] = mapped_column(comment="When it was driven; null once analysed")
    reason: Mapped[str | None] = mapped_column(comment="Code of why it was refused")
    marks: Mapped[list[str]] = mapped_column(
        postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]")
    )
    bumps: Mapped[int | None] = mapped_column(comment="null: not analysed")
    received_on: Mapped[date] = mapped_column(index=True)


class TripPart(Base):
    """A part of a trip that comes in parts: sealed with the phone's key until all are there."""

    __tablename__ = "trip_parts"

    trip_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("trips.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True)
    content: Mapped[bytes] = mapped_column(comment="HMAC of what was sent, to know it again")
    size: Mapped[int] = mapped_column(comment="Bytes, as sent")
    storage_name: Mapped[str]


class DeviceDay(Base):
    """Which cells one device's drives of one day have counted in, so that none counts twice.

    Its id changes with every day and cannot be made without the phone's key; its cells are digests
    under a key that is stored nowhere. Forgotten when the day after is over.
    """

    __tablename__ = "device_days"

    id: Mapped[bytes] = mapped_column(primary_key=True, comment="HMAC of the key and the day")
    cells: Mapped[bytes] = mapped_column(comment="Digests of 8 bytes, sorted")
    forget_on: Mapped[date] = mapped_column(index=True)


class ResearchTrace(Base):
    """A trace that its driver gave to research: without its ends, its times and its device."""

    __tablename__ = "research_traces"

    storage_name: Mapped[str] = mapped_column(primary_key=True, comment="Random")
    driven_on: Mapped[date] = mapped_column(comment="The first of the month")
    forget_on: Mapped[date] = mapped_column(index=True)


class RoadSighting(Base):
    """A row of `sensing.tallies.ROW`: what the trips of one day felt in one cell and octant."""

    __tablename__ = "road_sightings"

    packet: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    cell: Mapped[int] = mapped_column(
        sa.BigInteger, primary_key=True, autoincrement=False, comment="H3 cell of resolution 12"
    )
    octant: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="Since 1970-01-01 UTC"
    )
    passes: Mapped[int]
    weak: Mapped[int]
    strong: Mapped[int]
    weight: Mapped[int] = mapped_column(sa.BigInteger)
    north: Mapped[int] = mapped_column(sa.BigInteger)
    east: Mapped[int] = mapped_column(sa.BigInteger)
    square: Mapped[int] = mapped_column(sa.BigInteger)
    severity: Mapped[int] = mapped_column(sa.BigInteger)
    shaped: Mapped[int]
    width: Mapped[int] = mapped_column(sa.BigInteger)
    symmetry: Mapped[int] = mapped_column(sa.BigInteger)


class RoadTotal(Base):
    """A row of `sensing.tallies.TOTAL`: the same over all days, older ones weighing less."""

    __tablename__ = "road_totals"
    __table_args__ = (
        sa.Index(
            "ix_road_totals_felt",
            "packet",
            "cell",
            postgresql_where=sa.text("weak > 0 OR strong > 0"),
        ),
    )

    packet: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    cell: Mapped[int] = mapped_column(
        sa.BigInteger, primary_key=True, autoincrement=False, comment="H3 cell of resolution 12"
    )
    octant: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    passes: Mapped[int]
    weak: Mapped[int]
    strong: Mapped[int]
    aged_passes: Mapped[int] = mapped_column(sa.BigInteger)
    aged_weak: Mapped[int] = mapped_column(sa.BigInteger)
    aged_strong: Mapped[int] = mapped_column(sa.BigInteger)
    weight: Mapped[int] = mapped_column(sa.BigInteger)
    north: Mapped[int] = mapped_column(sa.BigInteger)
    east: Mapped[int] = mapped_column(sa.BigInteger)
    square: Mapped[int] = mapped_column(sa.BigInteger)
    severity: Mapped[int] = mapped_column(sa.BigInteger)
    shaped: Mapped[int]
    width: Mapped[int] = mapped_column(sa.BigInteger)
    symmetry: Mapped[int] = mapped_column(sa.BigInteger)
    first_day: Mapped[int] = mapped_column(comment="Of a hit, since 1970-01-01 UTC")
    last_day: Mapped[int]
    lat: Mapped[float] = mapped_column(comment="Middle of the cell")
    lon: Mapped[float]


class RoadRepair(Base):
    """The day a defect was repaired: what was felt there until then counts for almost nothing."""

    __tablename__ = "road_repairs"

    packet: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    cell: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    octant: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(comment="The latest, since 1970-01-01 UTC")


class RoadDefect(Base):
    """A place that several trips felt, as `sensing.clustering.Defect` tells it, or that was one."""

    __tablename__ = "road_defects"
    __table_args__ = (
        sa.UniqueConstraint("cell", "octant"),
        sa.CheckConstraint("belief BETWEEN 0 AND 1", name="belief"),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name="lat"),
        sa.CheckConstraint("lon BETWEEN -180 AND 180", name="lon"),
        sa.Index("ix_road_defects_packet", "packet"),
        sa.Index(
            "ix_road_defects_present",
            "jurisdiction_id",
            "place_cell",
            "id",
            postgresql_where=sa.text("is_present"),
        ),
        sa.Index(
            "ix_road_defects_unacted",
            "jurisdiction_id",
            "id",
            postgresql_where=sa.text("acted_version < version"),
        ),
    )

    id: Mapped[UUID] = mapped_column(
        primary_key=True, comment="Made from cell and octant: it tells no time"
    )
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    packet: Mapped[int] = mapped_column(sa.BigInteger)
    cell: Mapped[int] = mapped_column(sa.BigInteger, comment="H3 cell of resolution 12")
    octant: Mapped[int] = mapped_column(sa.SmallInteger)
    place_cell: Mapped[int] = mapped_column(sa.BigInteger, comment="H3 cell of resolution 15")
    lat: Mapped[float]
    lon: Mapped[float]
    error_m: Mapped[float]
    heading_deg: Mapped[float]
    belief: Mapped[float]
    severity: Mapped[float]
    hits: Mapped[int]
    passes: Mapped[int]
    first_day: Mapped[int] = mapped_column(comment="Of a hit, since 1970-01-01 UTC")
    last_day: Mapped[int]
    width_m: Mapped[float | None]
    symmetry: Mapped[float | None]
    is_present: Mapped[bool] = mapped_column(
        server_default=sa.true(), comment="false: not believed in any more"
    )
    succeeded_by: Mapped[UUID | None] = mapped_column(
        comment="Gone because evidence now points to that one, within 20 m"
    )
    version: Mapped[int] = mapped_column(server_default=sa.text("1"))
    updated_on: Mapped[date]
    verdict: Mapped[str | None] = mapped_column(
        comment="To be mended, harmless or unknown; null: not judged yet"
    )
    probability: Mapped[float | None] = mapped_column(comment="That it should be mended, if judged")
    acted_version: Mapped[int] = mapped_column(
        server_default=sa.text("0"),
        comment="The version that was last looked at for whether to tell the city",
    )
