"""corrections of the register, who confirms them, and photos of assets

Revision: 0021
Follows: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "asset_photos",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'staged'"), nullable=False),
        sa.Column(
            "storage_name",
            sa.Text(),
            nullable=True,
            comment="Random; names the files. null: they are deleted",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('staged', 'ready', 'dropped', 'forgotten')",
            name=op.f("ck_asset_photos_state"),
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_asset_photos_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset_photos")),
    )
    op.create_index(
        "ix_asset_photos_kept",
        "asset_photos",
        ["created_at"],
        postgresql_where=sa.text("storage_name IS NOT NULL"),
    )
    op.create_index("ix_asset_photos_person_id", "asset_photos", ["person_id"])
    op.create_table(
        "corrections",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=False),
        sa.Column(
            "asset_id",
            sa.Uuid(),
            nullable=True,
            comment="Of a missing one: the asset that was entered when it was accepted",
        ),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column(
            "lat",
            sa.Double(),
            nullable=False,
            comment="Where it is said to be; else where it stands",
        ),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.Column("cell", sa.BigInteger(), nullable=False, comment="H3 cell of resolution 15"),
        sa.Column(
            "attributes",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="As they are said to be",
        ),
        sa.Column("note", sa.Text(), nullable=True, comment="For staff alone"),
        sa.Column("photo_id", sa.Uuid(), nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=False, comment="The proposer"),
        sa.Column("confirmations", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_how", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True, comment="The member of the staff"),
        sa.Column("reason", sa.Text(), nullable=True, comment="Told to the proposer"),
        sa.Column("asset_version", sa.Integer(), nullable=True, comment="The version it became"),
        sa.CheckConstraint(
            "(state = 'open') = (decided_at IS NULL)", name=op.f("ck_corrections_decided")
        ),
        sa.CheckConstraint(
            "asset_id IS NOT NULL OR what = 'missing'", name=op.f("ck_corrections_asset_id")
        ),
        sa.CheckConstraint(
            "decided_how IN ('staff', 'confirmations', 'proposer')",
            name=op.f("ck_corrections_decided_how"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'accepted', 'rejected', 'withdrawn')",
            name=op.f("ck_corrections_state"),
        ),
        sa.CheckConstraint(
            "what IN ('missing', 'gone', 'moved', 'attribute')", name=op.f("ck_corrections_what")
        ),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name=op.f("ck_corrections_lat")),
        sa.CheckConstraint("lon BETWEEN -180 AND 180", name=op.f("ck_corrections_lon")),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_corrections_asset_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_corrections_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["kind_id"], ["asset_kinds.id"], name=op.f("fk_corrections_kind_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["photo_id"],
            ["asset_photos.id"],
            name=op.f("fk_corrections_photo_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
    )
    op.create_index("ix_corrections_asset_id", "corrections", ["asset_id", "id"])
    op.create_index(
        "ix_corrections_missing",
        "corrections",
        ["kind_id", "cell"],
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "ix_corrections_open",
        "corrections",
        ["jurisdiction_id", "id"],
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index("ix_corrections_person_id", "corrections", ["person_id", "id"])
    op.create_table(
        "correction_confirmations",
        sa.Column("correction_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["correction_id"],
            ["corrections.id"],
            name=op.f("fk_correction_confirmations_correction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "correction_id", "person_id", name=op.f("pk_correction_confirmations")
        ),
    )
    op.create_index(
        "ix_correction_confirmations_person_id", "correction_confirmations", ["person_id"]
    )


def downgrade() -> None:
    op.drop_table("correction_confirmations")
    op.drop_table("corrections")
    op.drop_table("asset_photos")
