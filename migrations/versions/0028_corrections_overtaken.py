"""corrections that the register overtook

Revision: 0028
Follows: 0027
"""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_STATES = "'open', 'accepted', 'rejected', 'withdrawn'"
_DECIDERS = "'staff', 'confirmations', 'proposer'"


def upgrade() -> None:
    _allow(f"{_STATES}, 'overtaken'", f"{_DECIDERS}, 'register'")


def downgrade() -> None:
    op.execute(
        "UPDATE corrections SET state = 'withdrawn', decided_how = 'proposer', reason = NULL"
        " WHERE state = 'overtaken'"
    )
    _allow(_STATES, _DECIDERS)


def _allow(states: str, deciders: str) -> None:
    for name, column, values in (
        ("ck_corrections_state", "state", states),
        ("ck_corrections_decided_how", "decided_how", deciders),
    ):
        op.drop_constraint(op.f(name), "corrections", type_="check")
        op.create_check_constraint(op.f(name), "corrections", f"{column} IN ({values})")
