"""versions of routing rules

Revision: 0016
Follows: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# What is in force becomes the first version, as if the folder had just been loaded.
_FIRST = """
    INSERT INTO routing_rule_versions (jurisdiction_id, version, text, origin, created_at)
    SELECT jurisdiction_id, 1, string_agg(text, E'\\n\\n' ORDER BY position) || E'\\n', 'folder',
           now()
      FROM routing_rules
     GROUP BY jurisdiction_id
"""


def upgrade() -> None:
    op.create_table(
        "routing_rule_versions",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column(
            "version",
            sa.Integer(),
            nullable=False,
            comment="From 1, without gaps; the ETag of the rules",
        ),
        sa.Column("text", sa.Text(), nullable=False, comment="The whole text, comments and all"),
        sa.Column(
            "origin",
            sa.Text(),
            nullable=False,
            comment="Who had the last word: the folder or a manager",
        ),
        sa.Column("by_id", sa.Uuid(), nullable=True, comment="null: the command line"),
        sa.Column(
            "restored", sa.Integer(), nullable=True, comment="The version whose text came back"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "origin IN ('folder', 'manager')", name=op.f("ck_routing_rule_versions_origin")
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_routing_rule_versions_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_rule_versions")),
        sa.UniqueConstraint(
            "jurisdiction_id",
            "version",
            name=op.f("uq_routing_rule_versions_jurisdiction_id_version"),
        ),
    )
    op.execute(_FIRST)


def downgrade() -> None:
    op.drop_table("routing_rule_versions")
