"""recovery codes that can be made anew, and letters of invitation

New recovery codes must not change the shared secret of somebody's authenticator, so they have a
version of their own. A delivery can be addressed to an invitation.

Revision: 0007
Follows: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KINDS = ("follower", "team", "person", "webhook", "challenge", "browser")


def upgrade() -> None:
    op.add_column(
        "second_factors",
        sa.Column(
            "recovery_version",
            sa.SmallInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="New codes = the next version",
        ),
    )
    _allow_kinds((*_KINDS, "invitation"))


def downgrade() -> None:
    op.execute("DELETE FROM deliveries WHERE recipient_kind = 'invitation'")
    _allow_kinds(_KINDS)
    op.drop_column("second_factors", "recovery_version")


def _allow_kinds(kinds: tuple[str, ...]) -> None:
    name = op.f("ck_deliveries_recipient_kind")
    op.drop_constraint(name, "deliveries", type_="check")
    allowed = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(name, "deliveries", f"recipient_kind IN ({allowed})")
