"""Appending to the history of requests. There is no function here that edits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.ids import new_id
from reports.models import HistoryEntry, Note
from reports.vocabulary import ActorKind, HistoryKind, NoteKind, Status


@dataclass(frozen=True, slots=True)
class Author:
    """Who did it: a kind, and an id where there is one."""

    kind: ActorKind
    id: UUID | None = None


#: The pipeline and the beat.
SYSTEM = Author(ActorKind.SYSTEM)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, about to be appended. `data` holds codes, ids and numbers only."""

    report_id: UUID
    kind: HistoryKind
    by: Author
    from_status: Status | None = None
    to_status: Status | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def append(session: Session, entries: Sequence[Entry], *, now: datetime) -> list[int]:
    """Append entries with one statement, in the caller's transaction; their ids in that order."""
    if not entries:
        return []
    result = session.scalars(
        sa.insert(HistoryEntry).returning(HistoryEntry.id, sort_by_parameter_order=True),
        [
            {
                "report_id": entry.report_id,
                "at": now,
                "kind": entry.kind.value,
                "from_status": entry.from_status and entry.from_status.value,
                "to_status": entry.to_status and entry.to_status.value,
                "actor_kind": entry.by.kind.value,
                "actor_id": entry.by.id,
                "data": dict(entry.data),
            }
            for entry in entries
        ],
    )
    return list(result)


def add_note(
    session: Session,
    report_id: UUID,
    kind: NoteKind,
    body: str,
    *,
    by: Author,
    history_id: int | None,
    now: datetime,
) -> UUID:
    """Keep somebody's words beside the history, so that they can go and the history can stay."""
    note_id = new_id()
    session.execute(
        sa.insert(Note).values(
            id=note_id,
            report_id=report_id,
            history_id=history_id,
            kind=kind.value,
            author_kind=by.kind.value,
            author_id=by.id,
            body=body,
            created_at=now,
        )
    )
    return note_id
