"""an audit entry knows its seal, instead of being ordered by its transaction

Transaction ids begin anew when a dump is restored into another cluster, so nothing may hang on
their order. What waits to be sealed is what has no seal; a seal is given once.

Revision: 0006
Follows: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _let_edit()
    op.drop_index("ix_audit_entries_order", table_name="audit_entries")
    op.drop_column("audit_entries", "transaction_id")
    op.add_column(
        "audit_entries",
        sa.Column(
            "seal_id", sa.BigInteger(), nullable=True, comment="null: waits for the next seal"
        ),
    )
    op.create_foreign_key(
        op.f("fk_audit_entries_seal_id"), "audit_entries", "audit_seals", ["seal_id"], ["id"]
    )
    # Serves both: what waits (seal_id IS NULL, by id) and the entries of one seal.
    op.create_index("ix_audit_entries_seal", "audit_entries", ["seal_id", "id"])
    op.drop_column("audit_seals", "last_transaction_id")
    op.drop_column("audit_seals", "last_entry_id")
    op.add_column(
        "audit_seals",
        sa.Column(
            "key_mark",
            sa.LargeBinary(),
            nullable=False,
            comment="Which SECRET_KEY it was made with: a digest that tells nothing of the key",
        ),
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON audit_entries"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_edit_audit()"
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_edit_audit()"
    )
    op.execute(
        """
        CREATE TRIGGER sealed_once BEFORE UPDATE ON audit_entries FOR EACH ROW
        WHEN (OLD.seal_id IS NOT NULL OR NEW.seal_id IS NULL
              OR to_jsonb(OLD) - 'seal_id' IS DISTINCT FROM to_jsonb(NEW) - 'seal_id')
        EXECUTE FUNCTION refuse_to_edit_audit()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER sealed_once ON audit_entries")
    _let_edit()
    # The chain of before cannot be made of this one; the entries stay and are sealed anew.
    op.drop_constraint(op.f("fk_audit_entries_seal_id"), "audit_entries", type_="foreignkey")
    op.execute("DELETE FROM audit_seals")
    op.drop_column("audit_seals", "key_mark")
    op.add_column("audit_seals", sa.Column("last_entry_id", sa.BigInteger(), nullable=False))
    op.add_column("audit_seals", sa.Column("last_transaction_id", sa.BigInteger(), nullable=False))
    op.drop_index("ix_audit_entries_seal", table_name="audit_entries")
    op.drop_column("audit_entries", "seal_id")
    op.add_column(
        "audit_entries",
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            nullable=False,
            comment="Order of sealing: a transaction that is over gets no further entries",
        ),
    )
    op.create_index("ix_audit_entries_order", "audit_entries", ["transaction_id", "id"])
    for table in ("audit_entries", "audit_seals"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_edit_audit()"
        )


def _let_edit() -> None:
    for table in ("audit_entries", "audit_seals"):
        op.execute(f"DROP TRIGGER append_only ON {table}")
