"""Tables of what is shown of roads: sums of roughness, and how much of each area is known."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base


class RoadRoughness(Base):
    """What the trips of one month estimated along one direction through one packet.

    Integers that are only added up, so that the order of trips changes nothing; no row names one.
    """

    __tablename__ = "road_roughness"

    packet: Mapped[int] = mapped_column(
        sa.BigInteger, primary_key=True, autoincrement=False, comment="H3 cell of resolution 10"
    )
    octant: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    month: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="Months since January 1970, UTC"
    )
    trips: Mapped[int]
    length_dm: Mapped[int] = mapped_column(sa.BigInteger, comment="Driven, tenths of a metre")
    weighted: Mapped[int] = mapped_column(
        sa.BigInteger, comment="Sum of length_dm times the index in mm/km"
    )


class AreaCoverage(Base):
    """How much of an area was driven over in the window, as of the last count."""

    __tablename__ = "area_coverage"
    __table_args__ = (
        sa.UniqueConstraint(
            "jurisdiction_id",
            "area_id",
            postgresql_nulls_not_distinct=True,
            name="uq_area_coverage_area",
        ),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    area_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("areas.id", ondelete="CASCADE"), comment="null: the whole city"
    )
    street_cells: Mapped[int] = mapped_column(
        comment="H3 cells of resolution 11 with an address or an asset"
    )
    driven_cells: Mapped[int] = mapped_column(comment="Of those, driven over in the window")
    passes: Mapped[int] = mapped_column(
        sa.BigInteger, comment="Trips through street cells, summed over the cells"
    )
    defects: Mapped[int] = mapped_column(comment="Believed in now")
    reports: Mapped[int] = mapped_column(comment="What people reported in the window, of any kind")
    road_reports: Mapped[int] = mapped_column(comment="Of those, about the surface of roads")
    from_day: Mapped[int] = mapped_column(comment="First of the window, since 1970-01-01 UTC")
    counted_at: Mapped[datetime]
