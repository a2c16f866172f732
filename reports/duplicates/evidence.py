"""How many people tell of a problem, and how urgent that makes it.

Evidence is the report, those that were joined to it, everybody who confirmed "me too", and what
sensors felt, which counts for so many people (`sensed_by`). The service says from how many people
on a report is at least so urgent (`evidence_priority`). That goes as it came: when reports are
separated or people leave, the rules' own priority is back. What a person has set stays. A due date
once promised is not moved by it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports import history
from reports.history import SYSTEM, Entry
from reports.vocabulary import HistoryKind, PriorityBy


def weigh(session: Session, ids: Collection[UUID], *, now: datetime) -> int:
    """Give leading reports the priority that their evidence asks for; how many changed.

    In the caller's transaction, two statements for any number. Twice changes nothing.
    """
    if not ids:
        return 0
    rows = session.execute(_WEIGH, {"ids": sorted(ids), "now": now}).all()
    history.append(
        session,
        [
            Entry(
                row.id,
                HistoryKind.PRIORITY_CHANGED,
                SYSTEM,
                data={"from": row.before, "to": row.after, "people": row.people},
            )
            for row in rows
        ],
        now=now,
    )
    return len(rows)


# Followers are counted only where the reports alone are not enough for the highest step: a wave
# has thousands, and each of its reports asks.
_WEIGH = sa.text(
    f"""
    WITH counted AS (
        SELECT r.id, r.priority AS before, r.priority_base, s.evidence_priority AS steps,
               1 + r.joined_count + r.sensed_by + CASE
                   WHEN 1 + r.joined_count + r.sensed_by >= (
                       SELECT coalesce(max((step ->> 0)::integer), 0)
                         FROM jsonb_array_elements(s.evidence_priority) AS step
                   ) THEN 0
                   ELSE (
                       SELECT count(*) FROM followers AS f
                        WHERE f.report_id = r.id AND NOT f.is_reporter
                          AND f.confirmed_at IS NOT NULL AND f.left_at IS NULL
                   )
               END AS people
          FROM service_requests AS r JOIN services AS s ON s.id = r.service_id
         WHERE r.id = ANY (:ids ::uuid[]) AND r.parent_id IS NULL
           AND r.priority_by IS DISTINCT FROM '{PriorityBy.PERSON}'
    ), weighed AS (
        SELECT c.*, greatest(c.priority_base, (
                   SELECT max((step ->> 1)::integer) FROM jsonb_array_elements(c.steps) AS step
                    WHERE (step ->> 0)::integer <= c.people
               )) AS after
          FROM counted AS c
    )
    UPDATE service_requests AS r
       SET priority = w.after, version = r.version + 1, updated_at = greatest(r.updated_at, :now),
           priority_by = CASE WHEN w.after > w.priority_base THEN '{PriorityBy.EVIDENCE}' END
      FROM weighed AS w
     WHERE r.id = w.id AND r.priority <> w.after
    RETURNING r.id, w.before, w.after, w.people
    """
)
