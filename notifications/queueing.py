"""Deliveries into the queue: many rows with one statement, each message once.

Nobody gets one message twice over one channel: the database refuses the second row. What may go
out now is put into the outbox; what must wait for the morning is found by the beat.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.ids import new_id
from core.outbox import Event, Happening, emit_many
from notifications.events import DELIVERY_QUEUED
from notifications.vocabulary import Channel, RecipientKind

#: Deliveries that one `delivery.queued` event carries at most.
BATCH = 100

#: Nobody's jurisdiction: a sign-in that no city was named for.
NO_JURISDICTION = 0


def queue(session: Session, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> list[UUID]:
    """Insert deliveries that are not there yet and emit those that may go now; the ids of all."""
    if not rows:
        return []
    inserted = session.execute(
        _QUEUE, {"rows": json.dumps(list(rows), default=str, ensure_ascii=False)}
    ).all()
    due = sorted(row.id for row in inserted if row.next_attempt_at <= now)
    emit_many(
        session,
        DELIVERY_QUEUED,
        [
            Happening(None, None, {"delivery_ids": [str(each) for each in due[at : at + BATCH]]})
            for at in range(0, len(due), BATCH)
        ],
    )
    return [row.id for row in inserted]


def delivery_row(
    event: Event,
    name: str,
    kind: RecipientKind,
    recipient_id: object,
    channel: Channel,
    locale: str,
    *,
    now: datetime,
    send_at: datetime,
) -> dict[str, Any]:
    """The values of a delivery that nobody has tried yet."""
    return {
        "id": new_id(),
        "event_id": event.id,
        "event": name,
        "jurisdiction_id": event.jurisdiction_id or NO_JURISDICTION,
        "report_id": event.subject_id if event.name.startswith(("report.", "photo.")) else None,
        "recipient_kind": kind.value,
        "recipient_id": str(recipient_id),
        "channel": channel.value,
        "locale": locale,
        "data": dict(event.data),
        "created_at": now,
        "next_attempt_at": send_at,
    }


# All rows in one parameter: a parameter for each value costs the driver more than everything else
# that announcing does. Text, times and ids are told apart by the columns they go to.
_QUEUE = sa.text(
    """
    INSERT INTO deliveries (
        id, event_id, event, jurisdiction_id, report_id, recipient_kind, recipient_id, channel,
        locale, data, created_at, next_attempt_at
    )
    SELECT id, event_id, event, jurisdiction_id, report_id, recipient_kind, recipient_id, channel,
           locale, data, created_at, next_attempt_at
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS told(
           id uuid, event_id bigint, event text, jurisdiction_id smallint, report_id uuid,
           recipient_kind text, recipient_id text, channel text, locale text, data jsonb,
           created_at timestamptz, next_attempt_at timestamptz
      )
        ON CONFLICT DO NOTHING
    RETURNING id, next_attempt_at
    """
)
