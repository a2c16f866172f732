"""models of which service words mean, and forecasts of closing

Both are computed from what is stored and can be computed again.

Revision: 0014
Follows: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "word_models",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column(
            "version",
            sa.Integer(),
            nullable=False,
            comment="Counts up within the jurisdiction",
        ),
        sa.Column(
            "model",
            postgresql.JSONB(none_as_null=True),
            nullable=False,
            comment="reports.words.model, to_data()",
        ),
        sa.Column(
            "record",
            postgresql.JSONB(none_as_null=True),
            nullable=False,
            comment="What it was trained on, when, and how good it was on texts left out",
        ),
        sa.Column("trained_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_word_models")),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_word_models_jurisdiction_id_jurisdictions"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "jurisdiction_id", "version", name=op.f("uq_word_models_jurisdiction_id_version")
        ),
    )
    op.create_index(
        "uq_word_models_active",
        "word_models",
        ["jurisdiction_id"],
        unique=True,
        postgresql_where=sa.text("is_active"),
    )
    op.create_table(
        "closing_forecasts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("area_id", sa.Integer(), nullable=True, comment="null: the whole city"),
        sa.Column("season", sa.Text(), nullable=True, comment="null: the whole year"),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Integer(), nullable=False),
        sa.Column("low_h", sa.Float(), nullable=True, comment="One in ten takes less"),
        sa.Column(
            "median_h",
            sa.Float(),
            nullable=True,
            comment="null: not half of them were closed",
        ),
        sa.Column("four_in_five_h", sa.Float(), nullable=True),
        sa.Column("high_h", sa.Float(), nullable=True, comment="One in ten takes more"),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closing_forecasts")),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_closing_forecasts_jurisdiction_id_jurisdictions"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["service_id"],
            ["services.id"],
            name=op.f("fk_closing_forecasts_service_id_services"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "service_id",
            "area_id",
            "season",
            name="uq_closing_forecasts_cell",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_closing_forecasts_jurisdiction", "closing_forecasts", ["jurisdiction_id"])


def downgrade() -> None:
    op.drop_table("closing_forecasts")
    op.drop_table("word_models")
