"""Tables of the register: kinds, assets, their versions, imports and the rows they put aside."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from assets.vocabulary import THERE_SQL, AssetState, Origin, RunKind
from core.db import Base, one_of
from core.ids import new_id

_THERE = sa.text(f"state IN ({THERE_SQL})")


class AssetKind(Base):
    """A kind of street asset, as the city folder describes it."""

    __tablename__ = "asset_kinds"
    __table_args__ = (sa.UniqueConstraint("jurisdiction_id", "code"),)

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    code: Mapped[str]
    names: Mapped[dict[str, Any]] = mapped_column(comment="locale → name of one of them")
    icon: Mapped[str | None]
    position: Mapped[int] = mapped_column(comment="Order in lists")
    attributes: Mapped[list[Any]] = mapped_column(
        server_default=sa.text("'[]'::jsonb"), comment="code, datatype, names, values"
    )
    is_adoptable: Mapped[bool] = mapped_column(server_default=sa.false())
    adoption: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"), comment="assets.rules.AdoptionRules"
    )
    care: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"), comment="assets.rules.CareRules"
    )
    corrections: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"), comment="assets.rules.CorrectionRules"
    )
    season: Mapped[dict[str, Any] | None] = mapped_column(
        comment='{"from": "11-15", "to": "03-31"}; null: the whole year'
    )
    owner_team_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("teams.id", ondelete="SET NULL"), comment="Who looks after it for the city"
    )
    services: Mapped[list[str]] = mapped_column(
        server_default=sa.text("'{}'::text[]"), comment="Codes of what can be reported of one"
    )
    link_radius_m: Mapped[float] = mapped_column(
        comment="A report so near is about the nearest one"
    )
    match_radius_m: Mapped[float] = mapped_column(
        server_default=sa.text("5"),
        comment="An import takes a new code so near a gone one for the same asset",
    )
    files: Mapped[list[Any]] = mapped_column(
        server_default=sa.text("'[]'::jsonb"),
        comment="How the city writes its files of this kind: columns, reference system, states",
    )
    files_digest: Mapped[str | None] = mapped_column(
        comment="SHA-256 of the assets that the city folder brought last"
    )
    is_active: Mapped[bool] = mapped_column(server_default=sa.true())


class Asset(Base):
    """One thing in the street, as it is now."""

    __tablename__ = "assets"
    __table_args__ = (
        sa.UniqueConstraint("kind_id", "code"),
        one_of("state", AssetState, "state"),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name="lat"),
        sa.CheckConstraint("lon BETWEEN -180 AND 180", name="lon"),
        sa.CheckConstraint("adopters >= 0", name="adopters"),
        # What is there, by place, and one kind whatever its state: in the order of lists.
        sa.Index(
            "ix_assets_there",
            "jurisdiction_id",
            "cell",
            "id",
            # Counted without a look at the table.
            postgresql_include=["kind_id", "lat", "lon"],
            postgresql_where=_THERE,
        ),
        sa.Index("ix_assets_kind", "kind_id", "cell", "id"),
        sa.Index(
            "ix_assets_adopted",
            "kind_id",
            "cell",
            "id",
            postgresql_where=sa.text("adopters > 0"),
        ),
        sa.Index(
            "ix_assets_owner_team_id",
            "owner_team_id",
            postgresql_where=sa.text("owner_team_id IS NOT NULL"),
        ),
        sa.Index("ix_assets_search", "search", postgresql_using="gin"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    kind_id: Mapped[int] = mapped_column(sa.ForeignKey("asset_kinds.id", ondelete="CASCADE"))
    code: Mapped[str] = mapped_column(comment="The city's own; unique in the kind")
    lat: Mapped[float]
    lon: Mapped[float]
    cell: Mapped[int] = mapped_column(sa.BigInteger, comment="H3 cell of resolution 15")
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=sa.text("'{}'::jsonb"))
    state: Mapped[str] = mapped_column(server_default=sa.text("'in_service'"))
    owner_team_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("teams.id", ondelete="SET NULL"), comment="null: as the kind says"
    )
    version: Mapped[int] = mapped_column(server_default=sa.text("1"), comment="The ETag")
    since: Mapped[datetime] = mapped_column(comment="When this version began")
    created_at: Mapped[datetime] = mapped_column(comment="When it was first heard of")
    adopters: Mapped[int] = mapped_column(
        sa.SmallInteger,
        server_default=sa.text("0"),
        comment="How many look after it now; kept by adoption, in its own transaction",
    )
    source_place: Mapped[str | None] = mapped_column(
        comment="Where the city's file has it: lat,lon; null: it is not in the file"
    )
    source_state: Mapped[str | None] = mapped_column(
        comment="The state that the city's file gives it; null: none"
    )
    source_attributes: Mapped[dict[str, Any] | None] = mapped_column(
        comment="The attributes that the city's file gives it"
    )
    search: Mapped[Any | None] = mapped_column(
        postgresql.TSVECTOR, comment="Code and words of the attributes, folded"
    )


class AssetCell(Base):
    """How many assets of a kind stand in one cell, and about where; counted by triggers.

    A whole city in clusters would else read every asset of it.
    """

    __tablename__ = "asset_cells"

    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE"), primary_key=True
    )
    prefix: Mapped[int] = mapped_column(
        sa.BigInteger,
        primary_key=True,
        comment="Of the H3 cells of resolution 15 in one of resolution 8: cell >> 21",
    )
    kind_id: Mapped[int] = mapped_column(
        sa.ForeignKey("asset_kinds.id", ondelete="CASCADE"), primary_key=True
    )
    count: Mapped[int] = mapped_column(comment="Of those that are there")
    lat: Mapped[float] = mapped_column(comment="Sum of their latitudes")
    lon: Mapped[float] = mapped_column(comment="Sum of their longitudes")


class AssetVersion(Base):
    """What an asset was from an instant on. Appended, never edited; the last one is the present."""

    __tablename__ = "asset_versions"
    __table_args__ = (
        one_of("origin", Origin, "origin"),
        sa.Index(
            "ix_asset_versions_run_id", "run_id", postgresql_where=sa.text("run_id IS NOT NULL")
        ),
    )

    asset_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    origin: Mapped[str]
    actor_id: Mapped[UUID | None] = mapped_column(
        comment="The member of the staff, or the proposer of the correction"
    )
    correction_id: Mapped[UUID | None]
    run_id: Mapped[int | None] = mapped_column(
        sa.BigInteger, sa.ForeignKey("asset_import_runs.id", ondelete="SET NULL")
    )
    changed: Mapped[list[str]] = mapped_column(comment="assets.vocabulary.Part")
    code: Mapped[str]
    lat: Mapped[float]
    lon: Mapped[float]
    attributes: Mapped[dict[str, Any]]
    state: Mapped[str]
    owner_team_id: Mapped[int | None] = mapped_column(comment="As it was; the team may be gone")


class AssetImportRun(Base):
    """One import of a kind that changed something, or put rows aside."""

    __tablename__ = "asset_import_runs"
    __table_args__ = (
        one_of("begun_by", RunKind, "begun_by"),
        sa.Index("ix_asset_import_runs_kind_id", "kind_id", "id"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    kind_id: Mapped[int] = mapped_column(sa.ForeignKey("asset_kinds.id", ondelete="CASCADE"))
    begun_by: Mapped[str]
    at: Mapped[datetime]
    files: Mapped[list[str]] = mapped_column(comment="Names, without their folders")
    counts: Mapped[dict[str, Any]] = mapped_column(
        comment="new, changed, moved, renamed, returned, gone, same, quarantined"
    )
    loss_reason: Mapped[str | None] = mapped_column(
        comment="Why so many were allowed to vanish, in the operator's words"
    )


class QuarantinedAsset(Base):
    """A row of a file that could not be brought in; of the last run of its kind only."""

    __tablename__ = "asset_quarantine"
    __table_args__ = (sa.Index("ix_asset_quarantine_run_id", "run_id", "line"),)

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    run_id: Mapped[int] = mapped_column(
        sa.BigInteger, sa.ForeignKey("asset_import_runs.id", ondelete="CASCADE")
    )
    file: Mapped[str]
    line: Mapped[int] = mapped_column(comment="Of a table; the number of the feature else")
    code: Mapped[str | None] = mapped_column(comment="Of the asset, where the row has one")
    reason: Mapped[str] = mapped_column(comment="Stable name: duplicate_code, far_outside …")
    detail: Mapped[str] = mapped_column(comment="One sentence for a person")
