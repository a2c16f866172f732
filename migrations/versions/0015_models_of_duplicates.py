"""models of duplicates, and per service from which likelihood on they act

Nothing is thrown away that cannot be learnt again, but for the choices of a city folder, which the
next load of it brings back.

Revision: 0015
Follows: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "services",
        sa.Column(
            "duplicate_join_at",
            sa.Float(),
            nullable=True,
            comment="Joined without asking from that likelihood on; null: as the model says",
        ),
    )
    op.add_column(
        "services",
        sa.Column(
            "duplicate_suggest_at",
            sa.Float(),
            nullable=True,
            comment="Shown to staff from that likelihood on; null: as the model says",
        ),
    )
    op.create_table(
        "duplicate_models",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="Counts up within the jurisdiction"
        ),
        sa.Column(
            "model",
            postgresql.JSONB(none_as_null=True),
            nullable=False,
            comment="reports.duplicates.model, as_data()",
        ),
        sa.Column(
            "record",
            postgresql.JSONB(none_as_null=True),
            nullable=False,
            comment="What it was trained on, when, and how good it was on the last part of the time",
        ),
        sa.Column("trained_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duplicate_models")),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_duplicate_models_jurisdiction_id_jurisdictions"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "jurisdiction_id", "version", name=op.f("uq_duplicate_models_jurisdiction_id_version")
        ),
    )
    op.create_index(
        "uq_duplicate_models_active",
        "duplicate_models",
        ["jurisdiction_id"],
        unique=True,
        postgresql_where=sa.text("is_active"),
    )


def downgrade() -> None:
    op.drop_table("duplicate_models")
    op.drop_column("services", "duplicate_suggest_at")
    op.drop_column("services", "duplicate_join_at")
