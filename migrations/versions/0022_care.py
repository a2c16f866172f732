"""care, calls of passers-by, and letters of coordinators

Revision: 0022
Follows: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "volunteer_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=True, comment="null: of every kind"),
        sa.Column(
            "box",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment="west, south, east, north; null: the whole city",
        ),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False, comment="The coordinator"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_volunteer_messages_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["kind_id"],
            ["asset_kinds.id"],
            name=op.f("fk_volunteer_messages_kind_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volunteer_messages")),
    )
    op.create_table(
        "care_calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column(
            "person_id", sa.Uuid(), nullable=True, comment="null: somebody who did not sign in"
        ),
        sa.Column("called_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("answered_by", sa.Uuid(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'cared', 'false_alarm')", name=op.f("ck_care_calls_state")
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_care_calls_asset_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_care_calls_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_care_calls")),
    )
    op.create_index(
        "ix_care_calls_open",
        "care_calls",
        ["asset_id", "id"],
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "ix_care_calls_person_id",
        "care_calls",
        ["person_id"],
        postgresql_where=sa.text("person_id IS NOT NULL"),
    )
    op.create_table(
        "care_gates",
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_care_gates_asset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("asset_id", name=op.f("pk_care_gates")),
    )
    op.create_table(
        "care_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column(
            "adoption_id",
            sa.Uuid(),
            nullable=True,
            comment="Of the adopter; null: a neighbour helped",
        ),
        sa.Column("action", sa.Text(), nullable=False, comment="Code of an action of the kind"),
        sa.Column(
            "is_problem",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Something is wrong, rather than done",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="When it was done"),
        sa.Column("minutes", sa.SmallInteger(), nullable=True),
        sa.Column("quantity", sa.Double(), nullable=True, comment="In the unit of the action"),
        sa.Column("note", sa.Text(), nullable=True, comment="For coordinators alone"),
        sa.Column("photo_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("minutes BETWEEN 0 AND 1440", name=op.f("ck_care_entries_minutes")),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_care_entries_quantity")),
        sa.ForeignKeyConstraint(
            ["adoption_id"],
            ["adoptions.id"],
            name=op.f("fk_care_entries_adoption_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_care_entries_asset_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_care_entries_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["kind_id"],
            ["asset_kinds.id"],
            name=op.f("fk_care_entries_kind_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["photo_id"],
            ["asset_photos.id"],
            name=op.f("fk_care_entries_photo_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_care_entries")),
    )
    op.create_index("ix_care_entries_asset_id", "care_entries", ["asset_id", "at"])
    op.create_index("ix_care_entries_jurisdiction_id", "care_entries", ["jurisdiction_id", "at"])
    op.create_index("ix_care_entries_person_id", "care_entries", ["person_id", "at"])


def downgrade() -> None:
    op.drop_table("care_entries")
    op.drop_table("care_gates")
    op.drop_table("care_calls")
    op.drop_table("volunteer_messages")
