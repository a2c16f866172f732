"""volunteers hear of reports at their assets, and answer

Revision: 0023
Follows: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_KINDS = (
    "'status', 'located', 'routed', 'assigned', 'joined', 'unjoined', 'service_changed', 'moved',"
    " 'commented', 'asked', 'answered', 'added', 'photo_added', 'photo_dropped', 'due_changed',"
    " 'withdrawn', 'visibility_changed', 'redacted', 'anonymised', 'suggestion_refused',"
    " 'suggestion_taken_back', 'recurred', 'priority_changed', 'asset_linked'"
)

_ACTORS = "'reporter', 'staff', 'system', 'citizen', 'machine'"

_FORGETTABLE = "'reporter', 'citizen'"


def upgrade() -> None:
    op.add_column(
        "services",
        sa.Column(
            "volunteers_resolve",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="Whoever looks after the asset may say that it is done",
        ),
    )
    op.create_table(
        "help_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("adoption_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False, comment="The adopter"),
        sa.Column(
            "distance_m",
            sa.Double(),
            nullable=True,
            comment="How far the report is from the asset; null: it is about that very asset",
        ),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "has_resolved",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="The answer resolved the report; else it was a proposal",
        ),
        sa.Column(
            "note_id", sa.Uuid(), nullable=True, comment="What they said to the team: notes.id"
        ),
        sa.Column("care_id", sa.Uuid(), nullable=True, comment="What they did, with its photo"),
        sa.Column(
            "photo_id", sa.Uuid(), nullable=True, comment="Sent with a word that the city is needed"
        ),
        sa.CheckConstraint(
            "state IN ('open', 'done', 'needs_city', 'withdrawn')",
            name=op.f("ck_help_requests_state"),
        ),
        sa.CheckConstraint(
            "(state IN ('done', 'needs_city')) = (answered_at IS NOT NULL)",
            name=op.f("ck_help_requests_answered"),
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_help_requests_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["report_id"], ["service_requests.id"], name=op.f("fk_help_requests_report_id")
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"],
            ["assets.id"],
            name=op.f("fk_help_requests_asset_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["adoption_id"],
            ["adoptions.id"],
            name=op.f("fk_help_requests_adoption_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["care_id"],
            ["care_entries.id"],
            name=op.f("fk_help_requests_care_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["photo_id"],
            ["asset_photos.id"],
            name=op.f("fk_help_requests_photo_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_help_requests")),
        sa.UniqueConstraint(
            "report_id", "adoption_id", name=op.f("uq_help_requests_report_id_adoption_id")
        ),
    )
    # Two answers at once: whatever the program does, a report has one.
    op.create_index(
        "uq_help_requests_answered",
        "help_requests",
        ["report_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('done', 'needs_city')"),
    )
    op.create_index("ix_help_requests_person_id", "help_requests", ["person_id", "id"])
    op.create_index("ix_help_requests_asset_id", "help_requests", ["asset_id"])
    op.create_index("ix_help_requests_adoption_id", "help_requests", ["adoption_id"])
    _allow(
        f"{_KINDS}, 'volunteer_answered'",
        f"{_ACTORS}, 'volunteer'",
        f"{_FORGETTABLE}, 'volunteer'",
    )


def downgrade() -> None:
    # What the older version cannot name becomes a citizen's plain remark.
    op.drop_constraint(op.f("ck_history_actor_kind"), "history", type_="check")
    op.drop_constraint(op.f("ck_history_kind"), "history", type_="check")
    op.execute("DROP TRIGGER history_may_only_forget ON history")
    op.execute("UPDATE history SET kind = 'commented' WHERE kind = 'volunteer_answered'")
    op.execute("UPDATE history SET actor_kind = 'citizen' WHERE actor_kind = 'volunteer'")
    op.execute("UPDATE notes SET author_kind = 'citizen' WHERE author_kind = 'volunteer'")
    op.create_check_constraint(op.f("ck_history_kind"), "history", f"kind IN ({_KINDS})")
    op.create_check_constraint(
        op.f("ck_history_actor_kind"), "history", f"actor_kind IN ({_ACTORS})"
    )
    op.execute("UPDATE redactions SET by_kind = 'citizen' WHERE by_kind = 'volunteer'")
    op.drop_constraint(op.f("ck_redactions_by_kind"), "redactions", type_="check")
    op.create_check_constraint(
        op.f("ck_redactions_by_kind"), "redactions", f"by_kind IN ({_ACTORS})"
    )
    _let_forget(_FORGETTABLE)
    op.drop_table("help_requests")
    op.drop_column("services", "volunteers_resolve")


def _allow(kinds: str, actors: str, forgettable: str) -> None:
    for table, name, column, values in (
        ("history", "ck_history_kind", "kind", kinds),
        ("history", "ck_history_actor_kind", "actor_kind", actors),
        ("redactions", "ck_redactions_by_kind", "by_kind", actors),
    ):
        op.drop_constraint(op.f(name), table, type_="check")
        op.create_check_constraint(op.f(name), table, f"{column} IN ({values})")
    op.execute("DROP TRIGGER history_may_only_forget ON history")
    _let_forget(forgettable)


def _let_forget(actors: str) -> None:
    """The history stays as it was written, but for the ids of these people."""
    op.execute(
        f"""
        CREATE TRIGGER history_may_only_forget BEFORE UPDATE ON history FOR EACH ROW
        WHEN (NOT (
            (NEW.actor_id IS NULL AND OLD.actor_kind IN ({actors})
             AND to_jsonb(OLD) - 'actor_id' = to_jsonb(NEW) - 'actor_id')
            OR
            (NEW.data = OLD.data - '{{lat,lon,from_lat,from_lon}}'::text[]
             AND to_jsonb(OLD) - 'data' = to_jsonb(NEW) - 'data')
        ))
        EXECUTE FUNCTION refuse_change()
        """
    )
