"""letters to those whom a routing rule tells of its reports

Revision: 0018
Follows: 0017
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_KINDS = ("follower", "team", "person", "webhook", "challenge", "browser", "invitation")


def upgrade() -> None:
    _allow_kinds((*_KINDS, "copy"))


def downgrade() -> None:
    op.execute("DELETE FROM deliveries WHERE recipient_kind = 'copy'")
    _allow_kinds(_KINDS)


def _allow_kinds(kinds: tuple[str, ...]) -> None:
    name = op.f("ck_deliveries_recipient_kind")
    op.drop_constraint(name, "deliveries", type_="check")
    allowed = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(name, "deliveries", f"recipient_kind IN ({allowed})")
