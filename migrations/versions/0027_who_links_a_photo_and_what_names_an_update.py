"""photos by address of staff too, and an update's id beside its request's

Revision: 0027
Follows: 0026
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "open311_linked_photos",
        sa.Column(
            "added_by",
            sa.Text(),
            server_default=sa.text("'reporter'"),
            nullable=False,
            comment="reporter, staff or machine: an ActorKind",
        ),
    )
    _name_by("person_id", "report_id", "update_id")
    # The request stood before the id, in one text.
    op.execute(
        "UPDATE open311_received_updates SET update_id = substr(update_id, 38)"
        " WHERE starts_with(update_id, report_id || '/')"
    )


def downgrade() -> None:
    op.execute("UPDATE open311_received_updates SET update_id = report_id || '/' || update_id")
    _name_by("person_id", "update_id")
    op.drop_column("open311_linked_photos", "added_by")


def _name_by(*columns: str) -> None:
    name = op.f("uq_open311_received_updates_person_id")
    op.drop_constraint(name, "open311_received_updates", type_="unique")
    op.create_unique_constraint(name, "open311_received_updates", list(columns))
