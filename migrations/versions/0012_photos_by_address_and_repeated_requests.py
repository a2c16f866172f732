"""photos that come as addresses, requests sent twice, ids of addresses, words of other systems

Revision: 0012
Follows: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "open311_filed_contents",
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="HMAC of key and parameters"),
        # Claimed before the request itself is written, so without a foreign key.
        sa.Column("report_id", sa.Uuid(), nullable=False, comment="Written before the request is"),
        sa.Column("filed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_open311_filed_contents")),
    )
    op.create_index(
        op.f("ix_open311_filed_contents_report_id"), "open311_filed_contents", ["report_id"]
    )
    op.create_index(
        op.f("ix_open311_filed_contents_filed_at"), "open311_filed_contents", ["filed_at"]
    )
    op.create_table(
        "open311_linked_photos",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="While a worker fetches it, the end of its lease",
        ),
        sa.Column("claims", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["report_id"], ["service_requests.id"], name=op.f("fk_open311_linked_photos_report_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_open311_linked_photos")),
    )
    op.create_index(
        op.f("ix_open311_linked_photos_report_id"), "open311_linked_photos", ["report_id"]
    )
    op.create_index(
        op.f("ix_open311_linked_photos_next_attempt_at"),
        "open311_linked_photos",
        ["next_attempt_at"],
    )
    op.add_column(
        "forwardings",
        sa.Column(
            "last_words",
            sa.Text(),
            nullable=True,
            comment="What they said to it, without the contact data of the report's people",
        ),
    )
    op.add_column(
        "forwardings",
        sa.Column(
            "missing_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="They do not show it, or no status of it; logged once",
        ),
    )
    # Reports that were located before have neither: nothing but the label of their address was
    # kept, and a label may stand for several addresses.
    op.add_column(
        "service_requests",
        sa.Column(
            "address_id",
            sa.Text(),
            nullable=True,
            comment="The city's own id of that address, as Open311 takes it",
        ),
    )
    op.add_column(
        "service_requests",
        sa.Column("postcode", sa.Text(), nullable=True, comment="Of that address"),
    )


def downgrade() -> None:
    op.drop_column("service_requests", "postcode")
    op.drop_column("service_requests", "address_id")
    op.drop_column("forwardings", "missing_since")
    op.drop_column("forwardings", "last_words")
    op.drop_table("open311_linked_photos")
    op.drop_table("open311_filed_contents")
