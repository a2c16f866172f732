"""tokens of Open311's batch services, updates that other systems sent, changes by time

Revision: 0010
Follows: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "open311_tokens",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["report_id"], ["service_requests.id"], name=op.f("fk_open311_tokens_report_id")
        ),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_open311_tokens")),
        sa.UniqueConstraint("report_id", name=op.f("uq_open311_tokens_report_id")),
    )
    op.create_table(
        "open311_received_updates",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False, comment="Whose key it was sent with"),
        sa.Column("update_id", sa.Text(), nullable=False, comment="The sender's own id of it"),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column(
            "history_id",
            sa.BigInteger(),
            nullable=True,
            comment="What it became; null: nothing in it was news",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["report_id"],
            ["service_requests.id"],
            name=op.f("fk_open311_received_updates_report_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_open311_received_updates")),
        sa.UniqueConstraint(
            "person_id", "update_id", name=op.f("uq_open311_received_updates_person_id")
        ),
    )
    op.create_index(
        op.f("ix_open311_received_updates_report_id"), "open311_received_updates", ["report_id"]
    )
    # Changes of a window of time, for those who ask what is new.
    op.create_index("ix_history_at", "history", ["at", "id"])
    # Open311's `address_id`.
    op.create_index(
        "ix_addresses_code",
        "addresses",
        ["jurisdiction_id", "code"],
        postgresql_where=sa.text("code IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_addresses_code", table_name="addresses")
    op.drop_index("ix_history_at", table_name="history")
    op.drop_table("open311_received_updates")
    op.drop_table("open311_tokens")
