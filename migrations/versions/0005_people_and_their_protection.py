"""second factors, invitations, blocks, redactions, retention, the audit log

Revision: 0005
Follows: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KINDS_BEFORE = (
    "'status', 'located', 'routed', 'assigned', 'joined', 'unjoined', 'service_changed', 'moved', "
    "'commented', 'asked', 'answered', 'added', 'photo_added', 'photo_dropped', 'due_changed', "
    "'withdrawn', 'visibility_changed'"
)

#: Conditions on columns that older tables gain.
_CHECKS = (
    ("people", "display", "display IN ('full', 'first', 'anonymous')"),
    ("role_grants", "origin", "origin IN ('local', 'oidc')"),
    (
        "sign_in_sessions",
        "way",
        "way IN ('password', 'link', 'code', 'oidc', 'invitation')",
    ),
    ("sign_in_challenges", "purpose", "purpose IN ('sign_in', 'contact')"),
    ("sign_in_challenges", "one_contact", "num_nonnulls(email, phone) = 1"),
    (
        "sign_in_challenges",
        "contact_has_person",
        "(purpose = 'contact') = (person_id IS NOT NULL)",
    ),
)


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            nullable=False,
            comment="Order of sealing: a transaction that is over gets no further entries",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False, comment="A verb of `accounts.audit.Action`"),
        sa.Column("subject_kind", sa.Text(), nullable=True),
        sa.Column("subject_id", sa.Text(), nullable=True),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=True),
        sa.Column(
            "data",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="Ids, codes and counts; never words",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_actor", "audit_entries", ["actor_id", "id"], unique=False)
    op.create_index(
        "ix_audit_entries_order", "audit_entries", ["transaction_id", "id"], unique=False
    )
    op.create_index(
        "ix_audit_entries_subject", "audit_entries", ["subject_kind", "subject_id"], unique=False
    )
    op.create_table(
        "audit_seals",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("last_entry_id", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column(
            "hash",
            sa.LargeBinary(),
            nullable=False,
            comment="HMAC-SHA-256 over the seal before and its entries",
        ),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_seals")),
    )
    op.create_table(
        "sign_in_failures",
        sa.Column(
            "subject", sa.LargeBinary(), nullable=False, comment="Keyed digest of the address"
        ),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_sign_in_failures")),
    )
    op.create_index(
        op.f("ix_sign_in_failures_last_at"), "sign_in_failures", ["last_at"], unique=False
    )
    op.create_table(
        "blocks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=True, comment="null: everywhere"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("network", postgresql.CIDR(), nullable=True),
        sa.Column(
            "digest",
            sa.LargeBinary(),
            nullable=True,
            comment="Keyed digest of an address or number",
        ),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="A code or a few words; nothing personal"
        ),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('network', 'email', 'phone', 'person')", name=op.f("ck_blocks_kind")
        ),
        sa.CheckConstraint(
            "num_nonnulls(network, digest, person_id) = 1", name=op.f("ck_blocks_one_subject")
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_blocks_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["people.id"], name=op.f("fk_blocks_person_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocks")),
    )
    op.create_index(
        "ix_blocks_in_force",
        "blocks",
        ["kind"],
        unique=False,
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_table(
        "identities",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_identities_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["people.id"], name=op.f("fk_identities_person_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_identities_issuer_subject")),
    )
    op.create_index(op.f("ix_identities_person_id"), "identities", ["person_id"], unique=False)
    op.create_table(
        "retention_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("anonymised", sa.Integer(), nullable=False),
        sa.Column("photos_deleted", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_retention_runs_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_runs")),
    )
    op.create_index(
        "ix_retention_runs_at", "retention_runs", ["jurisdiction_id", "at"], unique=False
    )
    op.create_table(
        "second_factors",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "confirmed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="null: being set up, not in force",
        ),
        sa.Column(
            "last_step",
            sa.BigInteger(),
            nullable=True,
            comment="Time step of the last code that was taken: none is taken twice",
        ),
        sa.Column(
            "recovery_used",
            postgresql.ARRAY(sa.SmallInteger()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Numbers of the recovery codes that were used",
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["people.id"],
            name=op.f("fk_second_factors_person_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "invitations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="Lower case"),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("jurisdiction_id", sa.SmallInteger(), nullable=False),
        sa.Column("team_id", sa.Integer(), nullable=True),
        sa.Column("invited_by", sa.Uuid(), nullable=True, comment="A person; null: the operator"),
        sa.Column(
            "version",
            sa.SmallInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="Sent again = the next version",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('viewer', 'agent', 'manager', 'admin', 'coordinator', 'auditor', 'citizen')",
            name=op.f("ck_invitations_role"),
        ),
        sa.ForeignKeyConstraint(
            ["jurisdiction_id"],
            ["jurisdictions.id"],
            name=op.f("fk_invitations_jurisdiction_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["team_id"], ["teams.id"], name=op.f("fk_invitations_team_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
    )
    op.create_index(op.f("ix_invitations_email"), "invitations", ["email"], unique=False)
    op.create_table(
        "redactions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column(
            "subject_key",
            sa.Text(),
            nullable=True,
            comment="Which note or photo (its id), which answer (its code)",
        ),
        sa.Column("before", sa.Text(), nullable=True, comment="null once the person was erased"),
        sa.Column("by_kind", sa.Text(), nullable=False),
        sa.Column("by_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "by_kind IN ('reporter', 'staff', 'system', 'citizen', 'machine')",
            name=op.f("ck_redactions_by_kind"),
        ),
        sa.CheckConstraint(
            "subject IN ('description', 'address', 'attribute', 'note', 'photo')",
            name=op.f("ck_redactions_subject"),
        ),
        sa.ForeignKeyConstraint(
            ["report_id"], ["service_requests.id"], name=op.f("fk_redactions_report_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redactions")),
    )
    op.create_index("ix_redactions_report_id", "redactions", ["report_id", "at"], unique=False)
    op.add_column(
        "api_keys",
        sa.Column(
            "scopes",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="Permissions it is limited to; null: all that its person may do",
        ),
    )
    op.add_column(
        "people",
        sa.Column(
            "display",
            sa.Text(),
            server_default=sa.text("'anonymous'"),
            nullable=False,
            comment="How the public sees the name",
        ),
    )
    op.add_column(
        "people", sa.Column("password_changed_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "role_grants",
        sa.Column("origin", sa.Text(), server_default=sa.text("'local'"), nullable=False),
    )
    op.add_column(
        "service_requests",
        sa.Column(
            "review",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="Why it is or was held for review: kinds of findings, never their words",
        ),
    )
    op.add_column(
        "service_requests",
        sa.Column(
            "anonymised_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Its people were removed",
        ),
    )
    op.add_column(
        "service_requests",
        sa.Column("photos_deleted_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index(
        "ix_service_requests_kept_contacts",
        "service_requests",
        ["closed_at"],
        unique=False,
        postgresql_where=sa.text("closed_at IS NOT NULL AND anonymised_at IS NULL"),
    )
    op.create_index(
        "ix_service_requests_kept_photos",
        "service_requests",
        ["closed_at"],
        unique=False,
        postgresql_where=sa.text("closed_at IS NOT NULL AND photos_deleted_at IS NULL"),
    )
    op.add_column(
        "services",
        sa.Column(
            "retention",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="Days after closing: contacts_days (anonymise), photos_days (delete photos)",
        ),
    )
    op.add_column(
        "sign_in_challenges",
        sa.Column("purpose", sa.Text(), server_default=sa.text("'sign_in'"), nullable=False),
    )
    op.add_column(
        "sign_in_challenges", sa.Column("phone", sa.Text(), nullable=True, comment="E.164")
    )
    op.add_column(
        "sign_in_challenges",
        sa.Column(
            "person_id", sa.Uuid(), nullable=True, comment="Whose contact it becomes when proved"
        ),
    )
    op.alter_column(
        "sign_in_challenges", "email", existing_type=sa.TEXT(), nullable=True, comment="Lower case"
    )
    op.create_index(
        op.f("ix_sign_in_challenges_person_id"), "sign_in_challenges", ["person_id"], unique=False
    )
    op.create_index(
        op.f("ix_sign_in_challenges_phone"), "sign_in_challenges", ["phone"], unique=False
    )
    op.create_foreign_key(
        op.f("fk_sign_in_challenges_person_id"),
        "sign_in_challenges",
        "people",
        ["person_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.add_column(
        "sign_in_sessions",
        sa.Column("way", sa.Text(), server_default=sa.text("'link'"), nullable=False),
    )
    op.add_column(
        "sign_in_sessions",
        sa.Column(
            "has_second_factor", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
    )
    op.add_column(
        "sign_in_sessions",
        sa.Column(
            "is_browser",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Its token travels in a cookie",
        ),
    )
    op.add_column(
        "sign_in_sessions",
        sa.Column("agent", sa.Text(), nullable=True, comment="Kind of device: 'Firefox, Linux'"),
    )
    op.add_column(
        "sign_in_sessions", sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True)
    )
    for table, name, condition in _CHECKS:
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)
    _allow_kinds(f"{_KINDS_BEFORE}, 'redacted', 'anonymised'")
    # Not even our own defects edit the audit log; who empties it must drop this first.
    op.execute(
        """
        CREATE FUNCTION refuse_to_edit_audit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the audit log is appended to, never edited';
        END
        $$
        """
    )
    for table in ("audit_entries", "audit_seals"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_edit_audit()"
        )


def downgrade() -> None:
    op.execute("DELETE FROM history WHERE kind IN ('redacted', 'anonymised')")
    op.execute("DELETE FROM sign_in_challenges WHERE email IS NULL")
    _allow_kinds(_KINDS_BEFORE)
    for table, name, _ in _CHECKS:
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    op.drop_column("sign_in_sessions", "last_seen_at")
    op.drop_column("sign_in_sessions", "agent")
    op.drop_column("sign_in_sessions", "is_browser")
    op.drop_column("sign_in_sessions", "has_second_factor")
    op.drop_column("sign_in_sessions", "way")
    op.drop_constraint(
        op.f("fk_sign_in_challenges_person_id"), "sign_in_challenges", type_="foreignkey"
    )
    op.drop_index(op.f("ix_sign_in_challenges_phone"), table_name="sign_in_challenges")
    op.drop_index(op.f("ix_sign_in_challenges_person_id"), table_name="sign_in_challenges")
    op.alter_column(
        "sign_in_challenges",
        "email",
        existing_type=sa.TEXT(),
        nullable=False,
        comment=None,
        existing_comment="Lower case",
    )
    op.drop_column("sign_in_challenges", "person_id")
    op.drop_column("sign_in_challenges", "phone")
    op.drop_column("sign_in_challenges", "purpose")
    op.drop_column("services", "retention")
    op.drop_index(
        "ix_service_requests_kept_photos",
        table_name="service_requests",
        postgresql_where=sa.text("closed_at IS NOT NULL AND photos_deleted_at IS NULL"),
    )
    op.drop_index(
        "ix_service_requests_kept_contacts",
        table_name="service_requests",
        postgresql_where=sa.text("closed_at IS NOT NULL AND anonymised_at IS NULL"),
    )
    op.drop_column("service_requests", "photos_deleted_at")
    op.drop_column("service_requests", "anonymised_at")
    op.drop_column("service_requests", "review")
    op.drop_column("role_grants", "origin")
    op.drop_column("people", "password_changed_at")
    op.drop_column("people", "display")
    op.drop_column("api_keys", "scopes")
    op.drop_index("ix_redactions_report_id", table_name="redactions")
    op.drop_table("redactions")
    op.drop_index(op.f("ix_invitations_email"), table_name="invitations")
    op.drop_table("invitations")
    op.drop_table("second_factors")
    op.drop_index("ix_retention_runs_at", table_name="retention_runs")
    op.drop_table("retention_runs")
    op.drop_index(op.f("ix_identities_person_id"), table_name="identities")
    op.drop_table("identities")
    op.drop_index(
        "ix_blocks_in_force", table_name="blocks", postgresql_where=sa.text("lifted_at IS NULL")
    )
    op.drop_table("blocks")
    op.drop_index(op.f("ix_sign_in_failures_last_at"), table_name="sign_in_failures")
    op.drop_table("sign_in_failures")
    op.drop_table("audit_seals")
    op.drop_index("ix_audit_entries_subject", table_name="audit_entries")
    op.drop_index("ix_audit_entries_order", table_name="audit_entries")
    op.drop_index("ix_audit_entries_actor", table_name="audit_entries")
    op.drop_table("audit_entries")
    op.execute("DROP FUNCTION refuse_to_edit_audit()")


def _allow_kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_history_kind"), "history", type_="check")
    op.create_check_constraint(op.f("ck_history_kind"), "history", f"kind IN ({kinds})")
