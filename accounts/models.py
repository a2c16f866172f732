"""Tables of people: teams, staff and citizens with an account, their roles, sessions and keys."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from accounts.rules import Role
from core.db import Base, one_of
from core.ids import new_id


class DigestChoice(enum.StrEnum):
    """How often a team wants to be told of its work."""

    IMMEDIATELY = "immediately"
    HOURLY = "hourly"
    DAILY = "daily"
    OFF = "off"


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

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str | None] = mapped_column(unique=True, comment="Lower case")
    phone: Mapped[str | None] = mapped_column(unique=True, comment="E.164")
    name: Mapped[str | None]
    locale: Mapped[str | None]
    password_hash: Mapped[str | None] = mapped_column(comment="argon2id; null: no password")
    is_active: Mapped[bool] = mapped_column(server_default=sa.true())
    verified_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class RoleGrant(Base):
    """A role of a person in a jurisdiction; with a team, in that team's work only."""

    __tablename__ = "role_grants"
    __table_args__ = (
        one_of("role", Role, "role"),
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


class SignInSession(Base):
    """A signed-in session; the token itself is never stored."""

    __tablename__ = "sign_in_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    person_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("people.id", ondelete="CASCADE"), index=True
    )
    token_hash: Mapped[bytes] = mapped_column(unique=True, comment="SHA-256 of the bearer token")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]


class ApiKey(Base):
    """Machine access on behalf of a person; the key itself is shown once and never stored."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    person_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("people.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True, comment="SHA-256 of the key")
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SignInChallenge(Base):
    """A mailed link or code that proves an address; derived, single use, few tries."""

    __tablename__ = "sign_in_challenges"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(index=True)
    jurisdiction_id: Mapped[int | None] = mapped_column(
        sa.SmallInteger, sa.ForeignKey("jurisdictions.id", ondelete="CASCADE")
    )
    locale: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("0"))
    used_at: Mapped[datetime | None]
