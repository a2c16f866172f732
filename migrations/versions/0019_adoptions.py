"""adoptions, their history, waiting lists and hand-overs

Revision: 0019
Follows: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_KINDS = ("follower", "team", "person", "webhook", "challenge", "browser", "invitation", "copy")


def upgrade() -> None:
    op.create_table(
        "adoption_waits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("offered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "offered_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="The place is kept for them until then",
        ),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state <> 'offered' OR offered_until IS NOT NULL",
            name=op.f("ck_adoption_waits_offered_until"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'offered', 'accepted', 'expired', 'left')",
            name=op.f("ck_adoption_waits_state"),
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_adoption_waits_asset_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_adoption_waits_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adoption_waits")),
    )
    op.create_index(
        "ix_adoption_waits_asset_id",
        "adoption_waits",
        ["asset_id", "id"],
        postgresql_where=sa.text("state IN ('waiting', 'offered')"),
    )
    op.create_index(
        "ix_adoption_waits_offered",
        "adoption_waits",
        ["offered_until"],
        postgresql_where=sa.text("state = 'offered'"),
    )
    op.create_index("ix_adoption_waits_person_id", "adoption_waits", ["person_id"])
    op.create_index(
        "uq_adoption_waits_person",
        "adoption_waits",
        ["asset_id", "person_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('waiting', 'offered')"),
    )
    op.create_table(
        "adoptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column(
            "slot",
            sa.SmallInteger(),
            nullable=False,
            comment="1 up to the capacity of the kind; one adopter each",
        ),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="The end of the term, unless it is renewed",
        ),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "reminded",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Reminders of this term",
        ),
        sa.Column(
            "nudged",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Unanswered nudges of this term",
        ),
        sa.Column("nudged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "next_step_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the next reminder, nudge or lapse is due: assets.adoption.rules.next_step",
        ),
        sa.Column(
            "shows_name",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="The public may read the adopter's public name",
        ),
        sa.Column(
            "name", sa.Text(), nullable=True, comment="Of the asset, approved: everybody reads it"
        ),
        sa.Column("name_wanted", sa.Text(), nullable=True, comment="Waits to be approved"),
        sa.Column("name_reason", sa.Text(), nullable=True, comment="Why the last one was refused"),
        sa.Column("token_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_because", sa.Text(), nullable=True),
        sa.Column(
            "end_note", sa.Text(), nullable=True, comment="In the words of staff who ended it"
        ),
        sa.CheckConstraint(
            "ended_because IN ('released', 'lapsed', 'handed_over', 'by_staff', 'erased')",
            name=op.f("ck_adoptions_ended_because"),
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (ended_because IS NULL)", name=op.f("ck_adoptions_ended")
        ),
        sa.CheckConstraint("slot >= 1", name=op.f("ck_adoptions_slot")),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name=op.f("fk_adoptions_asset_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_adoptions_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["kind_id"], ["asset_kinds.id"], name=op.f("fk_adoptions_kind_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adoptions")),
    )
    op.create_index("ix_adoptions_asset_id", "adoptions", ["asset_id", "id"])
    op.create_index(
        "ix_adoptions_due",
        "adoptions",
        ["next_step_at"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "ix_adoptions_kind_id",
        "adoptions",
        ["kind_id"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "ix_adoptions_name_wanted",
        "adoptions",
        ["jurisdiction_id", "id"],
        postgresql_where=sa.text("name_wanted IS NOT NULL AND ended_at IS NULL"),
    )
    op.create_index("ix_adoptions_person_id", "adoptions", ["person_id", "id"])
    op.create_index(
        "uq_adoptions_person",
        "adoptions",
        ["asset_id", "person_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "uq_adoptions_slot",
        "adoptions",
        ["asset_id", "slot"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "adoption_handovers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("adoption_id", sa.Uuid(), nullable=False),
        sa.Column(
            "email",
            sa.Text(),
            nullable=True,
            comment="In normal form; forgotten as soon as it is answered",
        ),
        sa.Column("state", sa.Text(), server_default=sa.text("'offered'"), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False, comment="Of the letter: the adopter's"),
        sa.Column("offered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'offered') = (email IS NOT NULL)", name=op.f("ck_adoption_handovers_email")
        ),
        sa.CheckConstraint(
            "state IN ('offered', 'accepted', 'refused', 'withdrawn', 'expired')",
            name=op.f("ck_adoption_handovers_state"),
        ),
        sa.ForeignKeyConstraint(
            ["adoption_id"],
            ["adoptions.id"],
            name=op.f("fk_adoption_handovers_adoption_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adoption_handovers")),
    )
    op.create_index("ix_adoption_handovers_email", "adoption_handovers", ["email"])
    op.create_index(
        "uq_adoption_handovers_open",
        "adoption_handovers",
        ["adoption_id"],
        unique=True,
        postgresql_where=sa.text("state = 'offered'"),
    )
    op.create_table(
        "adoption_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("adoption_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True, comment="null: the clock"),
        sa.Column(
            "data",
            postgresql.JSONB(none_as_null=True),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "entry IN ('begun', 'renewed', 'reminded', 'nudged', 'ended', 'name_proposed', 'name_approved', 'name_refused', 'handover_offered', 'handover_refused', 'handover_withdrawn', 'handover_expired')",
            name=op.f("ck_adoption_history_entry"),
        ),
        sa.ForeignKeyConstraint(
            ["adoption_id"],
            ["adoptions.id"],
            name=op.f("fk_adoption_history_adoption_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adoption_history")),
    )
    op.create_index("ix_adoption_history_adoption_id", "adoption_history", ["adoption_id", "id"])
    _allow_kinds((*_KINDS, "handover"))


def downgrade() -> None:
    op.execute("DELETE FROM deliveries WHERE recipient_kind = 'handover'")
    _allow_kinds(_KINDS)
    op.drop_table("adoption_history")
    op.drop_table("adoption_handovers")
    op.drop_table("adoptions")
    op.drop_table("adoption_waits")


def _allow_kinds(kinds: tuple[str, ...]) -> None:
    name = op.f("ck_deliveries_recipient_kind")
    op.drop_constraint(name, "deliveries", type_="check")
    allowed = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(name, "deliveries", f"recipient_kind IN ({allowed})")
