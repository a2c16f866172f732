"""cases of defects, roughness of streets, coverage of areas

Revision: 0025
Follows: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_STATES = "'open', 'repaired', 'confirmed', 'dismissed'"


def upgrade() -> None:
    op.add_column(
        "service_requests",
        sa.Column(
            "sensed_by",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="How many people what sensors felt counts for",
        ),
    )
    op.add_column(
        "road_defects",
        sa.Column(
            "verdict",
            sa.Text(),
            nullable=True,
            comment="To be mended, harmless or unknown; null: not judged yet",
        ),
    )
    op.add_column(
        "road_defects",
        sa.Column(
            "probability", sa.Double(), nullable=True, comment="That it should be mended, if judged"
        ),
    )
    op.add_column(
        "road_defects",
        sa.Column(
            "acted_version",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="The version that was last looked at for whether to tell the city",
        ),
    )
    op.create_index(
        "ix_road_defects_unacted",
        "road_defects",
        ["jurisdiction_id", "id"],
        postgresql_where=sa.text("acted_version < version"),
    )
    op.create_table(
        "defect_cases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column(
            "defect_id",
            sa.Uuid(),
            nullable=False,
            comment="The defect as it is called now: it may pass to a neighbouring cell",
        ),
        sa.Column("packet", sa.BigInteger(), nullable=False),
        sa.Column(
            "cell",
            sa.BigInteger(),
            nullable=False,
            comment="H3 cell of resolution 12 in which a repair is verified",
        ),
        sa.Column("octant", sa.SmallInteger(), nullable=False),
        sa.Column(
            "place_cell", sa.BigInteger(), nullable=False, comment="H3 cell of resolution 15"
        ),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column(
            "is_opened",
            sa.Boolean(),
            nullable=False,
            comment="The request came from it; false: a citizen's, which it strengthens",
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "hits",
            sa.Integer(),
            nullable=False,
            comment="Trips that felt it, as of the last change",
        ),
        sa.Column(
            "said_hits",
            sa.Integer(),
            nullable=False,
            comment="Of those, how many the team was told of",
        ),
        sa.Column(
            "witnesses",
            sa.Integer(),
            nullable=False,
            comment="How many people the trips count for",
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was dismissed",
        ),
        sa.Column("repaired_day", sa.Integer(), nullable=True, comment="Since 1970-01-01 UTC"),
        sa.Column(
            "checked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When later trips were last asked",
        ),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"state IN ({_STATES})", name=op.f("ck_defect_cases_state")),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_defect_cases_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["report_id"], ["service_requests.id"], name=op.f("fk_defect_cases_report_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_defect_cases")),
    )
    op.create_index(
        "uq_defect_cases_live",
        "defect_cases",
        ["defect_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('open', 'repaired')"),
    )
    op.create_index("ix_defect_cases_place", "defect_cases", ["jurisdiction_id", "place_cell"])
    op.create_index("ix_defect_cases_report_id", "defect_cases", ["report_id"])
    op.create_index(
        "ix_defect_cases_repaired",
        "defect_cases",
        ["checked_at"],
        postgresql_where=sa.text("state = 'repaired'"),
    )
    op.create_index(
        "ix_defect_cases_confirmed",
        "defect_cases",
        ["confirmed_at"],
        postgresql_where=sa.text("confirmed_at IS NOT NULL"),
    )
    op.create_table(
        "defect_rounds",
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column(
            "day", sa.Date(), nullable=False, comment="The last on which its defects were acted on"
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_defect_rounds_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("jurisdiction_id", name=op.f("pk_defect_rounds")),
    )
    op.create_table(
        "road_roughness",
        sa.Column(
            "packet",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="H3 cell of resolution 10",
        ),
        sa.Column("octant", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "month",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Months since January 1970, UTC",
        ),
        sa.Column("trips", sa.Integer(), nullable=False),
        sa.Column(
            "length_dm", sa.BigInteger(), nullable=False, comment="Driven, tenths of a metre"
        ),
        sa.Column(
            "weighted",
            sa.BigInteger(),
            nullable=False,
            comment="Sum of length_dm times the index in mm/km",
        ),
        sa.PrimaryKeyConstraint("packet", "octant", "month", name=op.f("pk_road_roughness")),
    )
    op.create_table(
        "area_coverage",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("area_id", sa.Integer(), nullable=True, comment="null: the whole city"),
        sa.Column(
            "street_cells",
            sa.Integer(),
            nullable=False,
            comment="H3 cells of resolution 11 with an address or an asset",
        ),
        sa.Column(
            "driven_cells",
            sa.Integer(),
            nullable=False,
            comment="Of those, driven over in the window",
        ),
        sa.Column(
            "passes",
            sa.BigInteger(),
            nullable=False,
            comment="Trips through street cells, summed over the cells",
        ),
        sa.Column("defects", sa.Integer(), nullable=False, comment="Believed in now"),
        sa.Column(
            "reports",
            sa.Integer(),
            nullable=False,
            comment="What people reported in the window, of any kind",
        ),
        sa.Column(
            "road_reports",
            sa.Integer(),
            nullable=False,
            comment="Of those, about the surface of roads",
        ),
        sa.Column(
            "from_day",
            sa.Integer(),
            nullable=False,
            comment="First of the window, since 1970-01-01 UTC",
        ),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["area_id"],
            ["areas.id"],
            name=op.f("fk_area_coverage_area_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_area_coverage_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_area_coverage")),
        sa.UniqueConstraint(
            "jurisdiction_id",
            "area_id",
            name="uq_area_coverage_area",
            postgresql_nulls_not_distinct=True,
        ),
    )


def downgrade() -> None:
    op.drop_table("area_coverage")
    op.drop_table("road_roughness")
    op.drop_table("defect_rounds")
    op.drop_table("defect_cases")
    op.drop_index("ix_road_defects_unacted", table_name="road_defects")
    op.drop_column("road_defects", "acted_version")
    op.drop_column("road_defects", "probability")
    op.drop_column("road_defects", "verdict")
    op.drop_column("service_requests", "sensed_by")
