"""answers kept for clients that retry; withdrawals and visibility in the history

Revision: 0002
Follows: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OPEN = "'received', 'triaged', 'assigned', 'in_progress', 'on_hold', 'reopened'"
_KINDS_BEFORE = (
    "'status', 'located', 'routed', 'assigned', 'joined', 'unjoined', 'service_changed', 'moved', "
    "'commented', 'asked', 'answered', 'added', 'photo_added', 'photo_dropped', 'due_changed'"
)


def upgrade() -> None:
    op.create_table(
        "kept_answers",
        sa.Column(
            "digest",
            sa.LargeBinary(),
            nullable=False,
            comment="SHA-256 of caller, method, path and key",
        ),
        sa.Column(
            "payload_digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of what was sent"
        ),
        sa.Column("subject_id", sa.Uuid(), nullable=True, comment="The thing that was written to"),
        sa.Column("status", sa.SmallInteger(), nullable=True, comment="null: being worked on"),
        sa.Column(
            "headers",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("body", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_kept_answers")),
    )
    op.create_index(op.f("ix_kept_answers_created_at"), "kept_answers", ["created_at"])
    op.create_index(
        "ix_service_requests_unplaced",
        "service_requests",
        ["jurisdiction_id", "due_at", "id"],
        postgresql_where=sa.text(f"status IN ({_OPEN}) AND cell IS NULL"),
    )
    _allow_kinds(f"{_KINDS_BEFORE}, 'withdrawn', 'visibility_changed'")


def downgrade() -> None:
    _allow_kinds(_KINDS_BEFORE)
    op.drop_index("ix_service_requests_unplaced", table_name="service_requests")
    op.drop_index(op.f("ix_kept_answers_created_at"), table_name="kept_answers")
    op.drop_table("kept_answers")


def _allow_kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_history_kind"), "history", type_="check")
    op.create_check_constraint(op.f("ck_history_kind"), "history", f"kind IN ({kinds})")
