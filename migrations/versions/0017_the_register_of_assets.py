"""the register of assets: kinds, assets, their versions, imports and the rows they put aside

Revision: 0017
Follows: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "asset_kinds",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column(
            "names",
            postgresql.JSONB(none_as_null=True),
            nullable=False,
            comment="locale → name of one of them",
        ),
        sa.Column("icon", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False, comment="Order in lists"),
        sa.Column(
            "attributes",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
            comment="code, datatype, names, values",
        ),
        sa.Column("is_adoptable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "adoption",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="assets.rules.AdoptionRules",
        ),
        sa.Column(
            "care",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="assets.rules.CareRules",
        ),
        sa.Column(
            "corrections",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="assets.rules.CorrectionRules",
        ),
        sa.Column(
            "season",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment='{"from": "11-15", "to": "03-31"}; null: the whole year',
        ),
        sa.Column(
            "owner_team_id", sa.Integer(), nullable=True, comment="Who looks after it for the city"
        ),
        sa.Column(
            "services",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
            comment="Codes of what can be reported of one",
        ),
        sa.Column(
            "link_radius_m",
            sa.Float(),
            nullable=False,
            comment="A report so near is about the nearest one",
        ),
        sa.Column(
            "match_radius_m",
            sa.Float(),
            server_default=sa.text("5"),
            nullable=False,
            comment="An import takes a new code so near a gone one for the same asset",
        ),
        sa.Column(
            "files",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
            comment="How the city writes its files of this kind: columns, reference system, states",
        ),
        sa.Column(
            "files_digest",
            sa.Text(),
            nullable=True,
            comment="SHA-256 of the assets that the city folder brought last",
        ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_asset_kinds_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["owner_team_id"],
            ["teams.id"],
            name=op.f("fk_asset_kinds_owner_team_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset_kinds")),
        sa.UniqueConstraint(
            "jurisdiction_id", "code", name=op.f("uq_asset_kinds_jurisdiction_id_code")
        ),
    )
    op.create_table(
        "assets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="The city's own; unique in the kind"),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=False, comment="H3 cell of resolution 15"),
        sa.Column(
            "attributes",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("state", sa.Text(), server_default=sa.text("'in_service'"), nullable=False),
        sa.Column("owner_team_id", sa.Integer(), nullable=True, comment="null: as the kind says"),
        sa.Column(
            "version", sa.Integer(), server_default=sa.text("1"), nullable=False, comment="The ETag"
        ),
        sa.Column(
            "since", sa.DateTime(timezone=True), nullable=False, comment="When this version began"
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When it was first heard of",
        ),
        sa.Column(
            "adopters",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="How many look after it now; kept by adoption, in its own transaction",
        ),
        sa.Column(
            "source_place",
            sa.Text(),
            nullable=True,
            comment="Where the city's file has it: lat,lon; null: it is not in the file",
        ),
        sa.Column(
            "source_state",
            sa.Text(),
            nullable=True,
            comment="The state that the city's file gives it; null: none",
        ),
        sa.Column(
            "source_attributes",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment="The attributes that the city's file gives it",
        ),
        sa.Column(
            "search",
            postgresql.TSVECTOR(),
            nullable=True,
            comment="Code and words of the attributes, folded",
        ),
        sa.CheckConstraint(
            "state IN ('in_service', 'out_of_order', 'removed', 'moved')",
            name=op.f("ck_assets_state"),
        ),
        sa.CheckConstraint("adopters >= 0", name=op.f("ck_assets_adopters")),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name=op.f("ck_assets_lat")),
        sa.CheckConstraint("lon BETWEEN -180 AND 180", name=op.f("ck_assets_lon")),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_assets_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["kind_id"], ["asset_kinds.id"], name=op.f("fk_assets_kind_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["owner_team_id"],
            ["teams.id"],
            name=op.f("fk_assets_owner_team_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assets")),
        sa.UniqueConstraint("kind_id", "code", name=op.f("uq_assets_kind_id_code")),
    )
    op.create_index(
        "ix_assets_adopted",
        "assets",
        ["kind_id", "cell", "id"],
        postgresql_where=sa.text("adopters > 0"),
    )
    op.create_index("ix_assets_kind", "assets", ["kind_id", "cell", "id"])
    op.create_index(
        "ix_assets_owner_team_id",
        "assets",
        ["owner_team_id"],
        postgresql_where=sa.text("owner_team_id IS NOT NULL"),
    )
    op.create_index("ix_assets_search", "assets", ["search"], postgresql_using="gin")
    op.create_index(
        "ix_assets_there",
        "assets",
        ["jurisdiction_id", "cell", "id"],
        postgresql_include=["kind_id", "lat", "lon"],
        postgresql_where=sa.text("state IN ('in_service', 'out_of_order')"),
    )
    op.create_table(
        "asset_import_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=False),
        sa.Column("begun_by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "files",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="Names, without their folders",
        ),
        sa.Column(
            "counts",
            postgresql.JSONB(none_as_null=True),
            nullable=False,
            comment="new, changed, moved, renamed, returned, gone, same, quarantined",
        ),
        sa.Column(
            "loss_reason",
            sa.Text(),
            nullable=True,
            comment="Why so many were allowed to vanish, in the operator's words",
        ),
        sa.CheckConstraint(
            "begun_by IN ('city_folder', 'command')", name=op.f("ck_asset_import_runs_begun_by")
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_asset_import_runs_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["kind_id"],
            ["asset_kinds.id"],
            name=op.f("fk_asset_import_runs_kind_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset_import_runs")),
    )
    op.create_index("ix_asset_import_runs_kind_id", "asset_import_runs", ["kind_id", "id"])
    op.create_table(
        "asset_versions",
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column(
            "actor_id",
            sa.Uuid(),
            nullable=True,
            comment="The member of the staff, or the proposer of the correction",
        ),
        sa.Column("correction_id", sa.Uuid(), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "changed", postgresql.ARRAY(sa.Text()), nullable=False, comment="assets.vocabulary.Part"
        ),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("attributes", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "owner_team_id", sa.Integer(), nullable=True, comment="As it was; the team may be gone"
        ),
        sa.CheckConstraint(
            "origin IN ('import', 'correction', 'staff')", name=op.f("ck_asset_versions_origin")
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_asset_versions_asset_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["asset_import_runs.id"],
            name=op.f("fk_asset_versions_run_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("asset_id", "version", name=op.f("pk_asset_versions")),
    )
    op.create_index(
        "ix_asset_versions_run_id",
        "asset_versions",
        ["run_id"],
        postgresql_where=sa.text("run_id IS NOT NULL"),
    )
    op.create_table(
        "asset_quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column(
            "line",
            sa.Integer(),
            nullable=False,
            comment="Of a table; the number of the feature else",
        ),
        sa.Column("code", sa.Text(), nullable=True, comment="Of the asset, where the row has one"),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=False,
            comment="Stable name: duplicate_code, far_outside …",
        ),
        sa.Column("detail", sa.Text(), nullable=False, comment="One sentence for a person"),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["asset_import_runs.id"],
            name=op.f("fk_asset_quarantine_run_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset_quarantine")),
    )
    op.create_index("ix_asset_quarantine_run_id", "asset_quarantine", ["run_id", "line"])


def downgrade() -> None:
    op.drop_table("asset_quarantine")
    op.drop_table("asset_versions")
    op.drop_table("asset_import_runs")
    op.drop_table("assets")
    op.drop_table("asset_kinds")
