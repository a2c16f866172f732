"""Appending to the history of requests. There is no function here that edits it."""

from __future__ import annotations

import json
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
    """One thing that happened, about to be appended. `data` holds codes, ids and numbers only.

    Attributes:
        at: when it happened, if that is not now: a past that is replayed.
    """

    report_id: UUID
    kind: HistoryKind
    by: Author
    from_status: Status | None = None
    to_status: Status | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None


def append(session: Session, entries: Sequence[Entry], *, now: datetime) -> list[int]:
    """Append entries with one statement, in the caller's transaction; their ids in that order."""
    if not entries:
        return []
    ids = session.scalars(
        _APPEND,
        {
            "reports": [entry.report_id for entry in entries],
            "instants": [entry.at or now for entry in entries],
            "kinds": [entry.kind.value for entry in entries],
            "befores": [entry.from_status and entry.from_status.value for entry in entries],
            "afters": [entry.to_status and entry.to_status.value for entry in entries],
            "actor_kinds": [entry.by.kind.value for entry in entries],
            "actors": [entry.by.id for entry in entries],
            "data": [json.dumps(dict(entry.data)) for entry in entries],
        },
    )
    # The identity counts up in the order in which the rows are inserted.
    return sorted(ids)


def appended(session: Session, report_id: UUID, *, at: datetime) -> list[int]:
    """The ids of what was appended about a report at that very instant."""
    return list(
        session.scalars(
            sa.select(HistoryEntry.id)
            .where(HistoryEntry.report_id == report_id, HistoryEntry.at == at)
            .order_by(HistoryEntry.id)
        )
    )


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


# The ORM would make a statement for every change of shape between neighbours: with a status and
# without, with an actor and without.
_APPEND = sa.text(
    """
    INSERT INTO history (report_id, at, kind, from_status, to_status, actor_kind, actor_id, data)
    SELECT report_id, at, kind, from_status, to_status, actor_kind, actor_id, data::jsonb
      FROM unnest(
               :reports ::uuid[], :instants ::timestamptz[], :kinds ::text[], :befores ::text[],
               :afters ::text[], :actor_kinds ::text[], :actors ::uuid[], :data ::text[]
           ) WITH ORDINALITY AS entry(
               report_id, at, kind, from_status, to_status, actor_kind, actor_id, data, position
           )
     ORDER BY position
    RETURNING id
    """
)
