"""an index of dead messages, so that they can be counted with every look at the metrics

Revision: 0033
Follows: 0032
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Messages wait while it is made: a second for a million rows.
    op.create_index(
        "ix_deliveries_dead",
        "deliveries",
        ["channel"],
        postgresql_where=sa.text("state = 'dead'"),
    )


def downgrade() -> None:
    op.drop_index("ix_deliveries_dead", "deliveries")
