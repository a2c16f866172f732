"""followers without a name, a history that may forget who it was, photos that wait to be deleted

The history is appended and never edited, with two exceptions, which the database now knows: the id
of a citizen may become null, and the coordinates of an entry about a place may go. Both only take
away.

Revision: 0009
Follows: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_REACHABLE = "email IS NOT NULL OR phone IS NOT NULL OR person_id IS NOT NULL OR is_reporter"


def upgrade() -> None:
    op.add_column(
        "followers",
        sa.Column(
            "erased_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Name and contact were removed; the row stays to be counted",
        ),
    )
    op.drop_constraint(op.f("ck_followers_reachable"), "followers", type_="check")
    op.create_check_constraint(
        op.f("ck_followers_reachable"), "followers", f"{_REACHABLE} OR erased_at IS NOT NULL"
    )
    op.create_check_constraint(
        op.f("ck_followers_erased"),
        "followers",
        "erased_at IS NULL OR num_nonnulls(name, email, phone, person_id) = 0",
    )
    op.create_index(
        "ix_photos_to_delete",
        "photos",
        ["id"],
        postgresql_where=sa.text("state = 'dropped' AND storage_name IS NOT NULL"),
    )
    op.create_index(
        "ix_service_requests_submitted_by",
        "service_requests",
        ["submitted_by"],
        postgresql_where=sa.text("submitted_by IS NOT NULL"),
    )
    op.execute("DROP TRIGGER history_is_append_only ON history")
    op.execute(
        "CREATE TRIGGER history_is_append_only BEFORE DELETE ON history"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        """
        CREATE TRIGGER history_may_only_forget BEFORE UPDATE ON history FOR EACH ROW
        WHEN (NOT (
            (NEW.actor_id IS NULL AND OLD.actor_kind IN ('reporter', 'citizen')
             AND to_jsonb(OLD) - 'actor_id' = to_jsonb(NEW) - 'actor_id')
            OR
            (NEW.data = OLD.data - '{lat,lon,from_lat,from_lon}'::text[]
             AND to_jsonb(OLD) - 'data' = to_jsonb(NEW) - 'data')
        ))
        EXECUTE FUNCTION refuse_change()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER history_may_only_forget ON history")
    op.execute("DROP TRIGGER history_is_append_only ON history")
    op.execute(
        "CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE ON history"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.drop_index("ix_service_requests_submitted_by", table_name="service_requests")
    op.drop_index("ix_photos_to_delete", table_name="photos")
    op.drop_constraint(op.f("ck_followers_erased"), "followers", type_="check")
    op.drop_constraint(op.f("ck_followers_reachable"), "followers", type_="check")
    # Followers without a name satisfy the older condition only as those who left no address.
    op.execute("DELETE FROM followers WHERE erased_at IS NOT NULL AND NOT is_reporter")
    op.create_check_constraint(op.f("ck_followers_reachable"), "followers", _REACHABLE)
    op.drop_column("followers", "erased_at")
