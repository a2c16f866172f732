"""indexes of the lists that staff read: a city's by due date, a team's, a person's

Revision: 0003
Follows: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OPEN = "'received', 'triaged', 'assigned', 'in_progress', 'on_hold', 'reopened'"


def upgrade() -> None:
    op.create_index(
        "ix_service_requests_due",
        "service_requests",
        ["jurisdiction_id", "due_at", "id"],
        postgresql_where=sa.text(f"status IN ({_OPEN})"),
    )
    op.create_index(
        "ix_service_requests_team",
        "service_requests",
        ["team_id", "requested_at", "id"],
        postgresql_where=sa.text("team_id IS NOT NULL"),
    )
    op.create_index(
        "ix_service_requests_assignee",
        "service_requests",
        ["assignee_id", "requested_at", "id"],
        postgresql_where=sa.text("assignee_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_service_requests_assignee", table_name="service_requests")
    op.drop_index("ix_service_requests_team", table_name="service_requests")
    op.drop_index("ix_service_requests_due", table_name="service_requests")
