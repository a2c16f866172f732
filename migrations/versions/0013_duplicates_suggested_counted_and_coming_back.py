"""what duplicates need: leaders that are over, addresses to compare, suggestions, evidence, likeness

One index of leaders by cell, one by address and one by asset take the place of the index of open
leaders. Each begins with the week in which the leader was over, 0 while it is open, so that a
search reads what is open and the last few weeks, however many years are stored.

Revision: 0013
Follows: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from geo.address_text import street_and_number

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_OPEN = "'received', 'triaged', 'assigned', 'in_progress', 'on_hold', 'reopened'"

_WEEK_OVER = (
    "coalesce((extract(epoch FROM coalesce(resolved_at, closed_at) AT TIME ZONE 'UTC')"
    " / 604800)::integer, 0)"
)

_KINDS = (
    "'status', 'located', 'routed', 'assigned', 'joined', 'unjoined', 'service_changed', 'moved',"
    " 'commented', 'asked', 'answered', 'added', 'photo_added', 'photo_dropped', 'due_changed',"
    " 'withdrawn', 'visibility_changed', 'redacted', 'anonymised'"
)

#: Leaders that were over longer ago than any service looks back are not compared any more.
_COMPARED = "parent_id IS NULL AND (closed_at IS NULL OR closed_at > now() - interval '2 years')"


def upgrade() -> None:
    op.add_column(
        "services",
        sa.Column(
            "recurrence",
            sa.Text(),
            server_default=sa.text("'new'"),
            nullable=False,
            comment="Told again after repair: reopen the first report, or a new one linked to it",
        ),
    )
    op.create_check_constraint(
        op.f("ck_services_recurrence"), "services", "recurrence IN ('reopen', 'new')"
    )
    op.add_column(
        "services",
        sa.Column(
            "recurrence_days",
            sa.SmallInteger(),
            server_default=sa.text("30"),
            nullable=False,
            comment="For so long after repair it is the same problem coming back",
        ),
    )
    op.add_column(
        "services",
        sa.Column(
            "evidence_priority",
            postgresql.JSONB(),
            server_default=sa.text("'[[5, 1], [20, 2]]'::jsonb"),
            nullable=False,
            comment="Pairs: so many people make it at least so urgent",
        ),
    )
    for column in (
        sa.Column(
            "address_street",
            sa.Text(),
            nullable=True,
            comment="Key of the address's street, for comparing only",
        ),
        sa.Column(
            "address_number",
            sa.Text(),
            nullable=True,
            comment="Key of the address's house number, for comparing only",
        ),
        sa.Column(
            "joined_count",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="How many reports are joined to it now",
        ),
        sa.Column(
            "suggested_id",
            sa.Uuid(),
            nullable=True,
            comment="The likeliest report that it may repeat, as staff are asked",
        ),
        sa.Column(
            "recurs_id",
            sa.Uuid(),
            nullable=True,
            comment="The same problem was repaired before: that report",
        ),
        sa.Column(
            "priority_base",
            sa.SmallInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="What the rules gave it, before evidence or a person changed it",
        ),
        sa.Column(
            "priority_by",
            sa.Text(),
            nullable=True,
            comment="null: the rules; evidence: many told of it; person: final",
        ),
    ):
        op.add_column("service_requests", column)
    op.create_check_constraint(
        op.f("ck_service_requests_priority_by"),
        "service_requests",
        "priority_by IN ('evidence', 'person')",
    )
    for name in ("suggested_id", "recurs_id"):
        op.create_foreign_key(
            op.f(f"fk_service_requests_{name}"),
            "service_requests",
            "service_requests",
            [name],
            ["id"],
        )
    op.add_column(
        "photos",
        sa.Column(
            "likeness",
            sa.BigInteger(),
            nullable=True,
            comment="Difference hash of the cleaned photo: alike photos differ in few bits",
        ),
    )
    op.drop_constraint(op.f("ck_history_kind"), "history", type_="check")
    op.create_check_constraint(
        op.f("ck_history_kind"),
        "history",
        f"kind IN ({_KINDS}, 'suggestion_refused', 'suggestion_taken_back', 'recurred',"
        " 'priority_changed')",
    )
    _fill()
    op.drop_index("ix_service_requests_leading_cell", "service_requests")
    op.create_index(
        "ix_service_requests_leading_cell",
        "service_requests",
        [sa.text(_WEEK_OVER), sa.text("(cell + 0)"), sa.text("(service_id + 0)")],
        postgresql_where=sa.text("parent_id IS NULL AND cell IS NOT NULL"),
    )
    op.create_index(
        "ix_service_requests_leading_address",
        "service_requests",
        [sa.text(_WEEK_OVER), "address_street", "address_number", sa.text("(service_id + 0)")],
        postgresql_where=sa.text("parent_id IS NULL AND address_number IS NOT NULL"),
    )
    op.create_index(
        "ix_service_requests_leading_asset",
        "service_requests",
        [sa.text(_WEEK_OVER), "asset_id", sa.text("(service_id + 0)")],
        postgresql_where=sa.text("parent_id IS NULL AND asset_id IS NOT NULL"),
    )
    op.create_index(
        "ix_service_requests_suggested",
        "service_requests",
        ["suggested_id"],
        postgresql_where=sa.text("suggested_id IS NOT NULL"),
    )
    op.create_index(
        "ix_service_requests_may_repeat",
        "service_requests",
        ["jurisdiction_id", "due_at", "id"],
        postgresql_where=sa.text("suggested_id IS NOT NULL"),
    )
    op.create_index(
        "ix_service_requests_recurs_id",
        "service_requests",
        ["recurs_id"],
        postgresql_where=sa.text("recurs_id IS NOT NULL"),
    )


def downgrade() -> None:
    for name in (
        "recurs_id",
        "may_repeat",
        "suggested",
        "leading_asset",
        "leading_address",
        "leading_cell",
    ):
        op.drop_index(f"ix_service_requests_{name}", "service_requests")
    op.create_index(
        "ix_service_requests_leading_cell",
        "service_requests",
        ["cell"],
        postgresql_where=sa.text(f"status IN ({_OPEN}) AND parent_id IS NULL"),
    )
    # The table that refuses deletion; what the older version cannot name becomes a plain remark.
    op.drop_constraint(op.f("ck_history_kind"), "history", type_="check")
    op.execute("DROP TRIGGER history_may_only_forget ON history")
    op.execute(
        "UPDATE history SET kind = 'commented' WHERE kind IN"
        " ('suggestion_refused', 'suggestion_taken_back', 'recurred', 'priority_changed')"
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
    op.create_check_constraint(op.f("ck_history_kind"), "history", f"kind IN ({_KINDS})")
    op.drop_column("photos", "likeness")
    for name in ("recurs_id", "suggested_id"):
        op.drop_constraint(
            op.f(f"fk_service_requests_{name}"), "service_requests", type_="foreignkey"
        )
    op.drop_constraint(op.f("ck_service_requests_priority_by"), "service_requests", type_="check")
    for name in (
        "priority_by",
        "priority_base",
        "recurs_id",
        "suggested_id",
        "joined_count",
        "address_number",
        "address_street",
    ):
        op.drop_column("service_requests", name)
    op.drop_constraint(op.f("ck_services_recurrence"), "services", type_="check")
    for name in ("evidence_priority", "recurrence_days", "recurrence"):
        op.drop_column("services", name)


def _fill() -> None:
    """Give what is stored already its counts, its base and its keys, a few statements for all."""
    op.execute("UPDATE service_requests SET priority_base = priority WHERE priority <> 0")
    op.execute(
        """
        UPDATE service_requests AS r SET joined_count = c.joined
          FROM (SELECT parent_id, count(*) AS joined FROM service_requests
                 WHERE parent_id IS NOT NULL GROUP BY parent_id) AS c
         WHERE r.id = c.parent_id
        """
    )
    op.execute(
        f"""
        UPDATE service_requests SET suggested_id = (duplicate ->> 'parent_id')::uuid
         WHERE status IN ({_OPEN}) AND parent_id IS NULL AND duplicate ->> 'outcome' = 'suggested'
           AND EXISTS (SELECT FROM service_requests AS p
                        WHERE p.id = (service_requests.duplicate ->> 'parent_id')::uuid
                          AND p.parent_id IS NULL AND p.status IN ({_OPEN}))
        """
    )
    connection = op.get_bind()
    addresses = connection.scalars(
        sa.text(
            "SELECT DISTINCT address FROM service_requests"
            f" WHERE address IS NOT NULL AND {_COMPARED}"
        )
    ).all()
    for start in range(0, len(addresses), 10_000):
        part = addresses[start : start + 10_000]
        keys = [street_and_number(address) for address in part]
        connection.execute(
            sa.text(
                f"""
                UPDATE service_requests AS r SET address_street = f.street,
                       address_number = f.number
                  FROM unnest(CAST(:addresses AS text[]), CAST(:streets AS text[]),
                              CAST(:numbers AS text[])) AS f(address, street, number)
                 WHERE r.address = f.address AND {_COMPARED}
                """
            ),
            {
                "addresses": list(part),
                "streets": [street for street, _ in keys],
                "numbers": [number for _, number in keys],
            },
        )
