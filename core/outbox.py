"""The only door from features to workers.

1. A service calls `emit` or `emit_many` in the caller's transaction: what is not committed is
   never sent, what is committed is always sent.
2. The relay claims pending events, writes which reactions wait for them, and hands their ids to
   Celery.
3. A task locks its events with `take`, works, and calls `finish` in the same transaction, so a
   message that arrives twice finds nothing to do.
4. The sweeper gives back to the relay what was relayed and not finished in time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.models import DeadLetter, OutboxEvent

#: A reaction that failed this often is put aside for an operator.
MAX_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class EventName:
    """A kind of event: its name and what it says, for the catalogue of events."""

    name: str
    meaning: str

    def __str__(self) -> str:
        return self.name


#: Every kind of event that the features declared, by name.
CATALOGUE: dict[str, EventName] = {}


def declare(name: str, meaning: str) -> EventName:
    """A new kind of event, entered in the catalogue. Called once, at import, by its feature."""
    event = EventName(name, meaning)
    CATALOGUE[name] = event
    return event


@dataclass(frozen=True, slots=True)
class Happening:
    """One event about to be emitted: ids and codes only.

    Attributes:
        request_id: of the request that caused it, when one batch works for many; else that of the
            request or task in hand.
    """

    subject_id: UUID | None
    jurisdiction_id: int | None
    data: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event as a reaction sees it."""

    id: int
    name: str
    subject_id: UUID | None
    jurisdiction_id: int | None
    data: Mapping[str, Any]
    request_id: str | None
    created_at: datetime


def after(
    cause: Event | None, subject_id: UUID | None, jurisdiction_id: int | None, **data: Any
) -> Happening:
    """What follows from an event: under the same request id, and told to nobody if that was."""
    if cause is None:
        return Happening(subject_id, jurisdiction_id, data)
    if cause.data.get("quiet"):
        data["quiet"] = True
    return Happening(subject_id, jurisdiction_id, data, cause.request_id)


def emit(
    session: Session,
    name: EventName,
    subject_id: UUID | None,
    *,
    jurisdiction_id: int | None = None,
    **data: Any,
) -> None:
    """Record that something happened, in the caller's transaction."""
    emit_many(session, name, [Happening(subject_id, jurisdiction_id, data)])


def emit_many(session: Session, name: EventName, happenings: Sequence[Happening]) -> None:
    """Record many events of one kind with one statement, in the caller's transaction."""
    if not happenings:
        return
    request_id = current_request_id()
    session.execute(
        _EMIT,
        {
            "name": name.name,
            # One text: an array of texts is quoted letter by letter by the driver.
            "happenings": json.dumps(
                [
                    {
                        "subject_id": happening.subject_id and str(happening.subject_id),
                        "jurisdiction_id": happening.jurisdiction_id,
                        "data": dict(happening.data),
                        "request_id": happening.request_id or request_id,
                    }
                    for happening in happenings
                ]
            ),
        },
    )


def current_request_id() -> str | None:
    """The id of the request or task in hand, as logging knows it."""
    value = structlog.contextvars.get_contextvars().get("request_id")
    return None if value is None else str(value)


def withdraw(session: Session, subject_ids: Sequence[UUID]) -> None:
    """Take back what this very transaction has emitted about these subjects: nobody reacts to it.

    For a past that is replayed. What others emitted stays: rows of one transaction share the
    instant of its beginning.
    """
    session.execute(
        sa.delete(OutboxEvent).where(
            OutboxEvent.relayed_at.is_(None),
            OutboxEvent.created_at == sa.func.now(),
            OutboxEvent.subject_id.in_(list(subject_ids)),
        )
    )


def is_anything_pending(session: Session) -> bool:
    """Whether there is anything to claim; much cheaper than finding out by claiming."""
    return bool(session.scalar(_IS_ANYTHING_PENDING))


def claim_pending(
    session: Session,
    reactions: Mapping[str, Sequence[str]],
    *,
    now: datetime,
    limit: int,
    leaving: Sequence[str] = (),
) -> list[tuple[int, str, list[str]]]:
    """Mark up to `limit` pending events as relayed: `(id, name, reactions)`, oldest first.

    An event without a reaction is done at once.

    Args:
        leaving: names of events to leave pending, because nobody has room for them.
    """
    rows = session.execute(
        _CLAIM,
        {
            "reactions": json.dumps({name: list(names) for name, names in reactions.items()}),
            "leaving": list(leaving),
            "limit": limit,
            "now": now,
        },
    )
    return sorted((row.id, row.name, list(row.waiting or [])) for row in rows)


# The table of reactions as one value: as a CASE it was a hundred, and to write those down took the
# relay longer than everything else it does.
_CLAIM = sa.text(
    """
    WITH pending AS (
        SELECT id, coalesce(
                   waiting,
                   ARRAY(SELECT jsonb_array_elements_text(CAST(:reactions AS jsonb) -> name))
               ) AS waiting
          FROM outbox_events
         WHERE relayed_at IS NULL AND name <> ALL (CAST(:leaving AS text[]))
         ORDER BY id
         LIMIT :limit
           FOR UPDATE SKIP LOCKED
    )
    UPDATE outbox_events AS e
       SET waiting = p.waiting, relayed_at = :now,
           done_at = CASE WHEN cardinality(p.waiting) = 0 THEN CAST(:now AS timestamptz) END
      FROM pending AS p
     WHERE e.id = p.id
    RETURNING e.id, e.name, e.waiting
    """
)


def give_back(session: Session, event_ids: Iterable[int]) -> int:
    """Let the relay send unfinished events again. Returns how many."""
    result = session.execute(
        sa.update(OutboxEvent)
        .where(OutboxEvent.id.in_(list(event_ids)), OutboxEvent.done_at.is_(None))
        .values(relayed_at=None)
        .returning(OutboxEvent.id)
    )
    return len(result.all())


def stalled(session: Session, *, relayed_before: datetime, limit: int) -> list[int]:
    """Ids of events that were relayed before that instant and are not done."""
    return list(
        session.scalars(
            sa.select(OutboxEvent.id)
            .where(OutboxEvent.done_at.is_(None), OutboxEvent.relayed_at < relayed_before)
            .order_by(OutboxEvent.relayed_at)
            .limit(limit)
        )
    )


def take(session: Session, reaction: str, event_ids: Sequence[int]) -> list[Event]:
    """Lock those events that still wait for `reaction`, oldest first.

    Waits while another worker has one of them for another reaction, and then leaves out what is
    done: delivery is at least once, the effect is once. All lock in one order, so nobody waits in
    a circle.
    """
    rows = session.execute(
        sa.select(
            OutboxEvent.id,
            OutboxEvent.name,
            OutboxEvent.subject_id,
            OutboxEvent.jurisdiction_id,
            OutboxEvent.data,
            OutboxEvent.request_id,
            OutboxEvent.created_at,
        )
        .where(
            OutboxEvent.id.in_(list(event_ids)),
            OutboxEvent.done_at.is_(None),
            OutboxEvent.waiting.contains([reaction]),
        )
        .order_by(OutboxEvent.id)
        .with_for_update()
    )
    return [Event(*row) for row in rows]


def finish(session: Session, reaction: str, event_ids: Sequence[int], *, now: datetime) -> None:
    """Record, in the reaction's own transaction, that it has run for these events."""
    if not event_ids:
        return
    left = sa.func.array_remove(OutboxEvent.waiting, reaction)
    session.execute(
        sa.update(OutboxEvent)
        .where(OutboxEvent.id.in_(list(event_ids)))
        .values(
            waiting=left,
            done_at=sa.case((sa.func.cardinality(left) == 0, now), else_=OutboxEvent.done_at),
        )
    )


def fail(session: Session, reaction: str, event_id: int, error: str, *, now: datetime) -> bool:
    """Count a failure of one event; after `MAX_ATTEMPTS` put it aside. True when put aside.

    Until then the event stays unfinished and the sweeper gives it back.
    """
    attempts = session.scalar(
        sa.update(OutboxEvent)
        .where(OutboxEvent.id == event_id)
        .values(attempts=OutboxEvent.attempts + 1)
        .returning(OutboxEvent.attempts)
    )
    if attempts is None or attempts < MAX_ATTEMPTS:
        return False
    session.execute(
        postgresql.insert(DeadLetter)
        .values(event_id=event_id, reaction=reaction, error=error, failed_at=now)
        .on_conflict_do_update(
            index_elements=["event_id", "reaction"],
            set_={"error": error, "failed_at": now, "settled_at": None},
        )
    )
    finish(session, reaction, [event_id], now=now)
    return True


def retry_dead(session: Session, letter_ids: Sequence[int] | None, *, now: datetime) -> int:
    """Let reactions that were put aside run again; all of them when no id is given."""
    letters = sa.select(DeadLetter.id, DeadLetter.event_id, DeadLetter.reaction).where(
        DeadLetter.settled_at.is_(None)
    )
    if letter_ids is not None:
        letters = letters.where(DeadLetter.id.in_(list(letter_ids)))
    found = session.execute(letters.with_for_update()).all()
    for letter in found:
        session.execute(
            sa.update(OutboxEvent)
            .where(OutboxEvent.id == letter.event_id)
            .values(
                waiting=sa.func.array_append(
                    sa.func.array_remove(OutboxEvent.waiting, letter.reaction), letter.reaction
                ),
                relayed_at=None,
                done_at=None,
                attempts=0,
            )
        )
    session.execute(
        sa.update(DeadLetter)
        .where(DeadLetter.id.in_([letter.id for letter in found]))
        .values(settled_at=now)
    )
    return len(found)


_IS_ANYTHING_PENDING = sa.text("SELECT EXISTS (SELECT FROM outbox_events WHERE relayed_at IS NULL)")

_EMIT = sa.text(
    """
    INSERT INTO outbox_events (name, subject_id, jurisdiction_id, data, request_id)
    SELECT :name, subject_id, jurisdiction_id, data, request_id
      FROM ROWS FROM (
               json_to_recordset(CAST(:happenings AS json))
               AS (subject_id uuid, jurisdiction_id smallint, data jsonb, request_id text)
           ) WITH ORDINALITY AS happening(subject_id, jurisdiction_id, data, request_id, position)
     ORDER BY position
    """
)
