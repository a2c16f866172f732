"""Reading the audit log: the newest entries first, of somebody, of something, since an instant.

An auditor reads what concerns the jurisdictions where they are one. Entries without a jurisdiction
(somebody signed in, a person's own factor) are the operator's, at the command line.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import AuditEntry, Person


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries; None leaves a thing open.

    Attributes:
        jurisdiction_ids: only what concerns these; None: everything.
        subject: kind and id, as the entry names them.
        before: only entries with a lower id: the next page.
    """

    jurisdiction_ids: Collection[int] | None = None
    actor_id: UUID | None = None
    subject: tuple[str, str] | None = None
    action: str | None = None
    since: datetime | None = None
    before: int | None = None


def entries(session: Session, wanted: Wanted, *, limit: int) -> Sequence[Any]:
    """Entries with the present name of who did it, newest first."""
    statement = (
        sa.select(
            AuditEntry.id,
            AuditEntry.at,
            AuditEntry.actor_kind,
            AuditEntry.actor_id,
            Person.email.label("actor_email"),
            Person.name.label("actor_name"),
            AuditEntry.api_key_id,
            AuditEntry.action,
            AuditEntry.subject_kind,
            AuditEntry.subject_id,
            AuditEntry.jurisdiction_id,
            AuditEntry.data,
            AuditEntry.seal_id,
        )
        .outerjoin(Person, Person.id == AuditEntry.actor_id)
        .order_by(AuditEntry.id.desc())
        .limit(limit)
    )
    if wanted.jurisdiction_ids is not None:
        statement = statement.where(AuditEntry.jurisdiction_id.in_(wanted.jurisdiction_ids))
    if wanted.actor_id is not None:
        statement = statement.where(AuditEntry.actor_id == wanted.actor_id)
    if wanted.subject is not None:
        kind, name = wanted.subject
        statement = statement.where(AuditEntry.subject_kind == kind, AuditEntry.subject_id == name)
    if wanted.action is not None:
        statement = statement.where(AuditEntry.action == wanted.action)
    if wanted.since is not None:
        statement = statement.where(AuditEntry.at >= wanted.since)
    if wanted.before is not None:
        statement = statement.where(AuditEntry.id < wanted.before)
    return session.execute(statement).all()


def parse_subject(text: str) -> tuple[str, str] | None:
    """`report:0189…` as kind and id; None when it is not written so."""
    kind, colon, name = text.partition(":")
    return (kind, name) if kind and colon and name else None
