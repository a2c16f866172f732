"""other systems in which teams live, what is forwarded to them, what they tell

Revision: 0011
Follows: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "downstream_endpoints",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column(
            "config",
            postgresql.JSONB(),
            nullable=False,
            comment="See open311.downstream; no secret",
        ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="In a row; many open the circuit",
        ),
        sa.Column(
            "open_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Left alone until then",
        ),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "last_fault",
            sa.Text(),
            nullable=True,
            comment="A kind of failure, no words of theirs",
        ),
        sa.Column(
            "next_poll_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="null: as soon as may be",
        ),
        sa.Column(
            "updates_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Steps and changes before that instant were read",
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_downstream_endpoints_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_downstream_endpoints")),
        sa.UniqueConstraint(
            "jurisdiction_id", "code", name=op.f("uq_downstream_endpoints_jurisdiction_id_code")
        ),
    )
    op.create_table(
        "downstream_teams",
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["team_id"],
            ["teams.id"],
            name=op.f("fk_downstream_teams_team_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["downstream_endpoints.id"],
            name=op.f("fk_downstream_teams_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("team_id", name=op.f("pk_downstream_teams")),
    )
    op.create_index(op.f("ix_downstream_teams_endpoint_id"), "downstream_teams", ["endpoint_id"])
    op.create_table(
        "forwardings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claims", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="In a row",
        ),
        sa.Column(
            "last_fault",
            sa.Text(),
            nullable=True,
            comment="A kind of failure, no words of theirs",
        ),
        sa.Column("token", sa.Text(), nullable=True, comment="What a batch service answered with"),
        sa.Column("token_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("remote_id", sa.Text(), nullable=True, comment="Their service_request_id"),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "checked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its status was last asked",
        ),
        sa.Column("remote_status", sa.Text(), nullable=True, comment="Their word, as last seen"),
        sa.Column(
            "remote_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Since when, by their clock",
        ),
        sa.Column(
            "told_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When staff were told that it is over there and open here",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'sent', 'stuck', 'cancelled')",
            name=op.f("ck_forwardings_state"),
        ),
        sa.ForeignKeyConstraint(
            ["report_id"], ["service_requests.id"], name=op.f("fk_forwardings_report_id")
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["downstream_endpoints.id"], name=op.f("fk_forwardings_endpoint_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forwardings")),
        sa.UniqueConstraint(
            "report_id", "endpoint_id", name=op.f("uq_forwardings_report_id_endpoint_id")
        ),
    )
    op.create_index(
        "ix_forwardings_waiting",
        "forwardings",
        ["next_attempt_at"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_forwardings_stuck",
        "forwardings",
        ["endpoint_id"],
        postgresql_where=sa.text("state = 'stuck'"),
    )
    op.create_index(
        "ix_forwardings_remote",
        "forwardings",
        ["endpoint_id", "remote_id"],
        postgresql_where=sa.text("remote_id IS NOT NULL"),
    )
    op.create_index(
        "ix_forwardings_checked",
        "forwardings",
        ["endpoint_id", "checked_at"],
        postgresql_where=sa.text("state = 'sent' AND remote_id IS NOT NULL"),
    )
    op.create_table(
        "forwarding_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("forwarding_id", sa.Uuid(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column(
            "fault",
            sa.Text(),
            nullable=True,
            comment="A kind of failure, no words of theirs",
        ),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN ('taken', 'refused', 'not_taken', 'found', 'absent')",
            name=op.f("ck_forwarding_attempts_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["forwarding_id"],
            ["forwardings.id"],
            name=op.f("fk_forwarding_attempts_forwarding_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forwarding_attempts")),
    )
    op.create_index(
        "ix_forwarding_attempts_forwarding_id", "forwarding_attempts", ["forwarding_id"]
    )
    op.create_table(
        "downstream_updates",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("endpoint_id", sa.Integer(), nullable=False),
        sa.Column(
            "update_id", sa.Text(), nullable=False, comment="Theirs, or a digest of what it says"
        ),
        sa.Column("forwarding_id", sa.Uuid(), nullable=False),
        sa.Column(
            "history_id",
            sa.BigInteger(),
            nullable=True,
            comment="What it became; null: nothing in it was news",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["downstream_endpoints.id"],
            name=op.f("fk_downstream_updates_endpoint_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["forwarding_id"],
            ["forwardings.id"],
            name=op.f("fk_downstream_updates_forwarding_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_downstream_updates")),
        sa.UniqueConstraint(
            "endpoint_id", "update_id", name=op.f("uq_downstream_updates_endpoint_id_update_id")
        ),
    )
    op.create_index(
        op.f("ix_downstream_updates_forwarding_id"), "downstream_updates", ["forwarding_id"]
    )


def downgrade() -> None:
    op.drop_table("downstream_updates")
    op.drop_table("forwarding_attempts")
    op.drop_table("forwardings")
    op.drop_table("downstream_teams")
    op.drop_table("downstream_endpoints")
