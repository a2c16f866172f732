"""what was said of a pair of reports, found from either of them

Revision: 0031
Follows: 0030
"""

from __future__ import annotations

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # One line for each answer of a person: made in an instant.
    op.create_index("ix_pair_verdicts_other_id", "pair_verdicts", ["other_id"])


def downgrade() -> None:
    op.drop_index("ix_pair_verdicts_other_id", "pair_verdicts")
