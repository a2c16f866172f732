"""the candidates of the duplicate search by cell alone, so that no other index looks as good

Revision: 0004
Follows: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OPEN = "'received', 'triaged', 'assigned', 'in_progress', 'on_hold', 'reopened'"


def upgrade() -> None:
    op.drop_index("ix_service_requests_open_cell", "service_requests")
    op.create_index(
        "ix_service_requests_leading_cell",
        "service_requests",
        ["cell"],
        postgresql_where=sa.text(f"status IN ({_OPEN}) AND parent_id IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_service_requests_leading_cell", "service_requests")
    op.create_index(
        "ix_service_requests_open_cell",
        "service_requests",
        ["jurisdiction_id", "cell"],
        postgresql_where=sa.text(f"status IN ({_OPEN}) AND cell IS NOT NULL"),
    )
