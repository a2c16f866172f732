"""Tables of people: teams, people, roles, ways to sign in, keys, blocks, and the audit log."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from accounts.rules import BlockKind, Display, Role
from core.db import Base, one_of
from core.ids import new_id


class DigestChoice(enum.StrEnum):
    """How often a team wants to be told of its work."""

    IMMEDIATELY = "immediately"
    HOURLY = "hourly"
    DAILY = "daily"
    OFF = "off"


class SignInWay(enum.StrEnum):
    """How a session was opened."""

    PASSWORD = "password"
    LINK = "link"
    CODE = "code"
    OIDC = "oidc"
    INVITATION = "invitation"


class ChallengePurpose(enum.StrEnum):
    """What a mailed or texted proof is for."""

    SIGN_IN = "sign_in"
    CONTACT = "contact"


class GrantOrigin(enum.StrEnum):
    """Who keeps a role: Riverain itself, or the city's identity provider at every sign-in."""

    LOCAL = "local"
    OIDC = "oidc"


class Team(Base):
    """Those who repair: a queue of work, an address, working hours."""

    __tablename__ = "teams"
    __table_args__ = (
        sa.UniqueConstraint("jurisdiction_id", "code"),
        one_of("digest", DigestChoice, "digest"),
    )

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    code: Mapped[str]
    names: Mapped[dict[str, Any]] = mapped_column(comment="locale → name")
    agency: Mapped[str | None] = mapped_column(comment="The department it belongs to")
    email: Mapped[str | None]
    locale: Mapped[str | None] = mapped_column(comment="null: the jurisdiction's default")
    calendar: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"),
        comment="Working hours by weekday, extra closed days; see reports.service_levels",
    )
    digest: Mapped[str] = mapped_column(server_default=sa.text("'daily'"))
    is_active: Mapped[bool] = mapped_column(server_default=sa.true())


class Person(Base):
    """Somebody who can sign in."""

    __tablename__ = "people"
    __table_args__ = (one_of("display", Display, "display"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str | None] = mapped_column(unique=True, comment="Lower case")
    phone: Mapped[str | None] = mapped_column(unique=True, comment="E.164")
    name: Mapped[str | None]
    locale: Mapped[str | None]
    display: Mapped[str] = mapped_column(
        server_default=sa.text("'anonymous'"), comment="How the public sees the name"
    )
    password_hash: Mapped[str | None] = mapped_column(comment="argon2id; null: no password")
    password_changed_at: Mapped[datetime | None]
    is_active: Mapped[bool] = mapped_column(server_default=sa.true())
    verified_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class SecondFactor(Base):
    """A person's one-time passwords (RFC 6238) and recovery codes.

    The shared secret and the codes are derived from the key of the installation, this row's person
    and `version`, and stored nowhere; a new version makes new ones.
    """

    __tablename__ = "second_factors"

    person_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("people.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("1"))
    started_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None] = mapped_column(
        comment="null: being set up, not in force"
    )
    last_step: Mapped[int | None] = mapped_column(
        sa.BigInteger, comment="Time step of the last code that was taken: none is taken twice"
    )
    recovery_version: Mapped[int] = mapped_column(
        sa.SmallInteger, server_default=sa.text("1"), comment="New codes = the next version"
    )
    recovery_used: Mapped[list[int]] = mapped_column(
        postgresql.ARRAY(sa.SmallInteger()),
        server_default=sa.text("'{}'"),
        comment="Numbers of the recovery codes that were used",
    )


class SignInFailure(Base):
    """Failed sign-ins in a row at one address, whether or not anybody has it."""

    __tablename__ = "sign_in_failures"

    subject: Mapped[bytes] = mapped_column(primary_key=True, comment="Keyed digest of the address")
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(index=True)
    locked_until: Mapped[datetime | None]


class Identity(Base):
    """Who somebody is at a city's identity provider (OpenID Connect `iss` and `sub`)."""

    __tablename__ = "identities"
    __table_args__ = (sa.UniqueConstraint("issuer", "subject"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    person_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("people.id", ondelete="CASCADE"), index=True
    )
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    issuer: Mapped[str]
    subject: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]


class Invitation(Base):
    """A role offered by e-mail; the link in the message is derived, not stored."""

    __tablename__ = "invitations"
    __table_args__ = (one_of("role", Role, "role"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(index=True, comment="Lower case")
    name: Mapped[str | None]
    locale: Mapped[str | None]
    role: Mapped[str]
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    team_id: Mapped[int | None] = mapped_column(sa.ForeignKey("teams.id", ondelete="CASCADE"))
    invited_by: Mapped[UUID | None] = mapped_column(comment="A person; null: the operator")
    version: Mapped[int] = mapped_column(
        sa.SmallInteger, server_default=sa.text("1"), comment="Sent again = the next version"
    )
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class RoleGrant(Base):
    """A role of a person in a jurisdiction; with a team, in that team's work only."""

    __tablename__ = "role_grants"
    __table_args__ = (
        one_of("role", Role, "role"),
        one_of("origin", GrantOrigin, "origin"),
        sa.Index(
            "uq_role_grants_scope",
            "person_id",
            "role",
            "jurisdiction_id",
            "team_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id", ondelete="CASCADE"))
    role: Mapped[str]
    jurisdiction_id: Mapped[int] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    team_id: Mapped[int | None] = mapped_column(sa.ForeignKey("teams.id", ondelete="CASCADE"))
    origin: Mapped[str] = mapped_column(server_default=sa.text("'local'"))


class SignInSession(Base):
    """A signed-in session; the token itself is never stored."""

    __tablename__ = "sign_in_sessions"
    __table_args__ = (one_of("way", SignInWay, "way"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    person_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("people.id", ondelete="CASCADE"), index=True
    )
    token_hash: Mapped[bytes] = mapped_column(unique=True, comment="SHA-256 of the bearer token")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    way: Mapped[str] = mapped_column(server_default=sa.text("'link'"))
    has_second_factor: Mapped[bool] = mapped_column(server_default=sa.false())
    is_browser: Mapped[bool] = mapped_column(
        server_default=sa.false(), comment="Its token travels in a cookie"
    )
    agent: Mapped[str | None] = mapped_column(comment="Kind of device: 'Firefox, Linux'")
    last_seen_at: Mapped[datetime | None]


class ApiKey(Base):
    """Machine access on behalf of a person; the key itself is shown once and never stored."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    person_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("people.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    scopes: Mapped[list[str] | None] = mapped_column(
        comment="Permissions it is limited to; null: all that its person may do"
    )
    key_hash: Mapped[bytes] = mapped_column(unique=True, comment="SHA-256 of the key")
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SignInChallenge(Base):
    """A link or code, mailed or texted, that proves a contact; derived, single use, few tries."""

    __tablename__ = "sign_in_challenges"
    __table_args__ = (
        one_of("purpose", ChallengePurpose, "purpose"),
        sa.CheckConstraint("num_nonnulls(email, phone) = 1", name="one_contact"),
        sa.CheckConstraint(
            "(purpose = 'contact') = (person_id IS NOT NULL)", name="contact_has_person"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    purpose: Mapped[str] = mapped_column(server_default=sa.text("'sign_in'"))
    email: Mapped[str | None] = mapped_column(index=True, comment="Lower case")
    phone: Mapped[str | None] = mapped_column(index=True, comment="E.164")
    person_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("people.id", ondelete="CASCADE"),
        index=True,
        comment="Whose contact it becomes when proved",
    )
    old_email: Mapped[str | None] = mapped_column(
        comment="Of the person when they asked: where word of it goes"
    )
    old_phone: Mapped[str | None] = mapped_column(
        comment="Of the person when they asked: where word of it goes"
    )
    jurisdiction_id: Mapped[int | None] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    locale: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("0"))
    used_at: Mapped[datetime | None]


class Block(Base):
    """Somebody, or a network, that is kept from filing reports. Lifted, never deleted."""

    __tablename__ = "blocks"
    __table_args__ = (
        one_of("kind", BlockKind, "kind"),
        sa.CheckConstraint("num_nonnulls(network, digest, person_id) = 1", name="one_subject"),
        sa.Index("ix_blocks_in_force", "kind", postgresql_where=sa.text("lifted_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    jurisdiction_id: Mapped[int | None] = mapped_column(
        sa.SmallInteger,
        sa.ForeignKey("jurisdictions.id", ondelete="CASCADE"),
        comment="null: everywhere",
    )
    kind: Mapped[str]
    network: Mapped[Any | None] = mapped_column(postgresql.CIDR)
    digest: Mapped[bytes | None] = mapped_column(comment="Keyed digest of an address or number")
    person_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("people.id", ondelete="CASCADE"))
    reason: Mapped[str] = mapped_column(comment="A code or a few words; nothing personal")
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    lifted_at: Mapped[datetime | None]


class AuditEntry(Base):
    """Who looked at personal data or changed something, by ids alone. The database appends only."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        sa.Index("ix_audit_entries_seal", "seal_id", "id"),
        sa.Index("ix_audit_entries_subject", "subject_kind", "subject_id"),
        sa.Index("ix_audit_entries_actor", "actor_id", "id"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    api_key_id: Mapped[UUID | None]
    action: Mapped[str] = mapped_column(comment="A verb of `accounts.audit.Action`")
    subject_kind: Mapped[str | None]
    subject_id: Mapped[str | None]
    jurisdiction_id: Mapped[int | None] = mapped_column(sa.SmallInteger)
    data: Mapped[dict[str, Any]] = mapped_column(
        server_default=sa.text("'{}'::jsonb"), comment="Ids, codes and counts; never words"
    )
    seal_id: Mapped[int | None] = mapped_column(
        sa.BigInteger, sa.ForeignKey("audit_seals.id"), comment="null: waits for the next seal"
    )


class AuditSeal(Base):
    """A link of the hash chain over the audit log: its entries, and the seal before.

    Written by the beat, so that two who read at the same instant never wait for one another. See
    `accounts.audit.chain`.
    """

    __tablename__ = "audit_seals"

    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    entries: Mapped[int]
    hash: Mapped[bytes] = mapped_column(comment="HMAC-SHA-256 over the seal before and its entries")
    sealed_at: Mapped[datetime]
    key_mark: Mapped[bytes] = mapped_column(
        comment="Which SECRET_KEY it was made with: a digest that tells nothing of the key"
    )
