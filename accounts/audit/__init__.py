"""The audit log: who looked at personal data and who changed what, by ids alone.

`record` appends in the caller's transaction, so that what was rolled back left no entry and what
was committed has one. Entries hold ids, codes and counts, never words, names or addresses: the log
outlives the people in it. The database refuses to edit it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from accounts.actors import Actor
from accounts.models import AuditEntry
from core.db import Executor


class Action(enum.StrEnum):
    """What can stand in the log."""

    CONTACT_READ = "contact.read"
    REPORT_CHANGED = "report.changed"
    REPORT_REDACTED = "report.redacted"
    REDACTION_READ = "redaction.read"
    SIGNED_IN = "session.opened"
    SESSION_ENDED = "session.ended"
    SECOND_FACTOR_CHANGED = "second_factor.changed"
    PASSWORD_CHANGED = "password.changed"
    PERSON_CHANGED = "person.changed"
    PERSON_EXPORTED = "person.exported"
    PERSON_ERASED = "person.erased"
    ROLE_CHANGED = "role.changed"
    INVITATION_CHANGED = "invitation.changed"
    KEY_CHANGED = "key.changed"
    BLOCK_CHANGED = "block.changed"
    WEBHOOK_CHANGED = "webhook.changed"
    CITY_CHANGED = "city.changed"
    ASSET_CHANGED = "asset.changed"
    AUDIT_READ = "audit.read"
    VOLUNTEERS_READ = "volunteers.read"
    CAMPAIGN_CHANGED = "campaign.changed"
    VOLUNTEERS_ADDRESSED = "volunteers.addressed"
    CORRECTION_DECIDED = "correction.decided"
    ADOPTION_ENDED = "adoption.ended"
    RETENTION_RAN = "retention.ran"


@dataclass(frozen=True, slots=True)
class Subject:
    """What an entry is about.

    Attributes:
        kind: a table in the singular: report, person, session, key, invitation, block…
    """

    kind: str
    id: UUID | int | str
    jurisdiction_id: int | None = None


#: The operator at the command line, and the beat: nobody who signed in.
OPERATOR = "operator"
SYSTEM = "system"


def record(
    session: Executor,
    by: Actor | str,
    action: Action,
    subject: Subject | None = None,
    *,
    now: datetime,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append an entry in the caller's transaction.

    Args:
        by: who did it; `OPERATOR` or `SYSTEM` for those who do not sign in.
        data: ids, codes and counts that say what exactly.
    """
    actor = by if isinstance(by, Actor) else None
    session.execute(
        sa.insert(AuditEntry).values(
            at=now,
            actor_kind=_kind(by),
            actor_id=actor and actor.person_id,
            api_key_id=actor and actor.api_key_id,
            action=action.value,
            subject_kind=subject and subject.kind,
            subject_id=subject and str(subject.id),
            jurisdiction_id=subject and subject.jurisdiction_id,
            data=dict(data or {}),
        )
    )


def _kind(by: Actor | str) -> str:
    if not isinstance(by, Actor):
        return by
    if by.api_key_id is not None:
        return "key"
    return "person" if by.is_signed_in else "anonymous"
