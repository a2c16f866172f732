"""a challenge that changes a contact remembers where the account could be reached before

The word of it may be delayed by a mail server until the account has the old contact no more.

Revision: 0008
Follows: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("old_email", "old_phone"):
        op.add_column(
            "sign_in_challenges",
            sa.Column(
                name,
                sa.Text(),
                nullable=True,
                comment="Of the person when they asked: where word of it goes",
            ),
        )


def downgrade() -> None:
    op.drop_column("sign_in_challenges", "old_phone")
    op.drop_column("sign_in_challenges", "old_email")
