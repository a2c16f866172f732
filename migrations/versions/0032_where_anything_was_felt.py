"""the cells in which anything was felt, by packet: one in sixteen

Revision: 0032
Follows: 0031
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Trips wait while it is made: a second for a million rows.
    op.create_index(
        "ix_road_totals_felt",
        "road_totals",
        ["packet", "cell"],
        postgresql_where=sa.text("weak > 0 OR strong > 0"),
    )


def downgrade() -> None:
    op.drop_index("ix_road_totals_felt", "road_totals")
