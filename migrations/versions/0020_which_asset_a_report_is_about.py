"""why a report is about an asset, and what is reported of one

Revision: 0020
Follows: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_KINDS = (
    "'status', 'located', 'routed', 'assigned', 'joined', 'unjoined', 'service_changed', 'moved',"
    " 'commented', 'asked', 'answered', 'added', 'photo_added', 'photo_dropped', 'due_changed',"
    " 'withdrawn', 'visibility_changed', 'redacted', 'anonymised', 'suggestion_refused',"
    " 'suggestion_taken_back', 'recurred', 'priority_changed'"
)


def upgrade() -> None:
    op.add_column(
        "service_requests",
        sa.Column(
            "asset_link",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment=(
                "Why that asset: by nearest (distance_m, radius_m, kind) or person; null: reporter"
            ),
        ),
    )
    op.create_index(
        "ix_service_requests_asset",
        "service_requests",
        ["asset_id", "requested_at"],
        postgresql_where=sa.text("asset_id IS NOT NULL"),
    )
    _allow(f"{_KINDS}, 'asset_linked'")


def downgrade() -> None:
    # What was linked by itself was never said by anybody.
    op.execute("UPDATE service_requests SET asset_id = NULL WHERE asset_link ->> 'by' = 'nearest'")
    op.execute("DELETE FROM history WHERE kind = 'asset_linked'")
    _allow(_KINDS)
    op.drop_index("ix_service_requests_asset", table_name="service_requests")
    op.drop_column("service_requests", "asset_link")


def _allow(kinds: str) -> None:
    name = op.f("ck_history_kind")
    op.drop_constraint(name, "history", type_="check")
    op.create_check_constraint(name, "history", f"kind IN ({kinds})")
