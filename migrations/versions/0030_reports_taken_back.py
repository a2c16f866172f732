"""when a reporter took a report back

Revision: 0030
Follows: 0029
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "service_requests",
        sa.Column(
            "withdrawn_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Its reporter took it back, whatever became of it",
        ),
    )
    # The history has known it all along: of those that stayed open for others, and of those that
    # were closed by it. Who said afterwards that it is not fixed, or followed it again, tells of it
    # again. Priorities follow when their reports are weighed next.
    op.execute(
        """
        UPDATE service_requests AS r SET withdrawn_at = said.at
          FROM (SELECT report_id, max(at) AS at, bool_or(kind = 'status') AS closes FROM history
                 WHERE kind = 'withdrawn'
                    OR kind = 'status' AND to_status = 'closed' AND actor_kind = 'reporter'
                 GROUP BY report_id) AS said
         WHERE r.id = said.report_id
           AND NOT EXISTS (
               SELECT FROM history AS h
                WHERE h.report_id = r.id AND h.at > said.at AND h.kind = 'status'
                  AND h.to_status = 'reopened' AND h.actor_kind = 'reporter'
           )
           AND (said.closes OR NOT EXISTS (
               SELECT FROM followers AS f
                WHERE f.report_id = r.id AND f.is_reporter AND f.left_at IS NULL
           ))
        """
    )


def downgrade() -> None:
    op.drop_column("service_requests", "withdrawn_at")
