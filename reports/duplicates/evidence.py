"""How many people tell of a problem, and how urgent that makes it.

Evidence is who made the report and those that were joined to it, and everybody who confirmed "me
too" on one of them. It counts people, not reports: who tells of one thing twenty times, and
follows it besides, is one. Two are the same by their account, their e-mail address or their phone
number. Who left none of them cannot be told from another and counts each time; nothing is stored
to tell such people apart.

A reporter who took the report back tells of nothing any more and does not count; whoever said "me
too" on it does. Who only wants no more messages of the own report has still told of it, and counts.

Every number of people that anybody is shown is this one. For the priority, what sensors felt counts
for so many people more (`sensed_by`); they are never shown as people.

The service says from how many people on a report is at least so urgent (`evidence_priority`). That
goes as it came: when reports are separated or people leave, the rules' own priority is back. What
a person has set stays. A due date once promised is not moved by it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports import history
from reports.history import SYSTEM, Entry
from reports.vocabulary import HistoryKind, PriorityBy


@dataclass(frozen=True, slots=True)
class Told:
    """Who tells of a problem: by the report that leads and those joined to it.

    Attributes:
        duplicates: how many reports tell it beside one, also those that were taken back since.
        followers: how many people said "me too", each counted once.
        people: how many tell of it, each counted once: reporters who have not taken it back, and
            those who said "me too".
    """

    duplicates: int
    followers: int
    people: int


def told(session: Session, ids: Collection[UUID]) -> dict[UUID, Told]:
    """The evidence of each of these reports, of a duplicate that of its leader; one statement."""
    if not ids:
        return {}
    return {
        row.id: Told(row.reports - 1, row.followers, row.people)
        for row in session.execute(_TOLD, {"ids": sorted(ids)})
    }


def weigh(
    session: Session, ids: Collection[UUID], *, now: datetime, has_grown: bool = False
) -> int:
    """Give leading reports the priority that their evidence asks for; how many changed.

    In the caller's transaction, two statements for any number. Twice changes nothing.

    Args:
        ids: the reports, or some that are joined to them.
        has_grown: nothing was taken from their evidence. What is as urgent as it can be is not
            counted again then: a wave has thousands, and each of its reports asks.
    """
    if not ids:
        return 0
    rows = session.execute(_WEIGH, {"ids": sorted(ids), "now": now, "has_grown": has_grown}).all()
    history.append(
        session,
        [
            Entry(
                row.id,
                HistoryKind.PRIORITY_CHANGED,
                SYSTEM,
                data={
                    "from": row.before,
                    "to": row.after,
                    "people": row.people,
                    **({"sensed_by": row.sensed_by} if row.sensed_by else {}),
                },
            )
            for row in rows
        ],
        now=now,
    )
    return len(rows)


def _alike(label: str) -> str:
    """The least label among the voices that share an account, an address or a number with one."""
    return f"""least({label},
                   CASE WHEN person_id IS NOT NULL
                        THEN min({label}) OVER (PARTITION BY root, person_id) END,
                   CASE WHEN email IS NOT NULL
                        THEN min({label}) OVER (PARTITION BY root, email) END,
                   CASE WHEN phone IS NOT NULL
                        THEN min({label}) OVER (PARTITION BY root, phone) END)"""


# Of the reports in `asked (root)`. Voices are labelled with the least of those they share something
# with, and once more with the labels: so who signed in, and once left the address of the account
# and once a number beside it, is one. Longer chains would need more rounds, and are not met.
_COUNTED = f"""
    telling AS (
        SELECT a.root, r.id AS report_id, r.withdrawn_at
          FROM asked AS a JOIN service_requests AS r ON r.id = a.root
        UNION ALL
        SELECT a.root, r.id, r.withdrawn_at
          FROM asked AS a JOIN service_requests AS r ON r.parent_id = a.root
    ), voices AS (
        SELECT t.root, t.report_id, f.person_id, f.email, f.phone, false AS is_follower,
               t.withdrawn_at IS NULL AS tells
          FROM telling AS t
          LEFT JOIN followers AS f ON f.report_id = t.report_id AND f.is_reporter
        UNION ALL
        SELECT t.root, t.report_id, f.person_id, f.email, f.phone, true, true
          FROM telling AS t
          JOIN followers AS f ON f.report_id = t.report_id AND NOT f.is_reporter
           AND f.confirmed_at IS NOT NULL AND f.left_at IS NULL
    ), labelled AS (
        SELECT *, row_number() OVER () AS own FROM voices
    ), alike AS (
        SELECT *, {_alike("own")} AS first FROM labelled
    ), known AS (
        SELECT root, report_id, is_follower, tells, {_alike("first")} AS person FROM alike
    ), counted AS (
        SELECT root, count(DISTINCT report_id) AS reports,
               count(DISTINCT person) FILTER (WHERE is_follower) AS followers,
               count(DISTINCT person) FILTER (WHERE tells) AS people
          FROM known GROUP BY root
    )
"""

_TOLD = sa.text(
    f"""
    WITH named AS (
        SELECT r.id, coalesce(r.parent_id, r.id) AS root
          FROM service_requests AS r WHERE r.id = ANY (:ids ::uuid[])
    ), asked AS (SELECT DISTINCT root FROM named), {_COUNTED}
    SELECT n.id, c.reports, c.followers, c.people
      FROM named AS n JOIN counted AS c ON c.root = n.root
    """
)

# What is as urgent by its rules as evidence could make it is not counted at all.
_WEIGH = sa.text(
    f"""
    WITH asked AS (
        SELECT r.id AS root, r.priority AS before, r.priority_base, r.sensed_by,
               s.evidence_priority AS steps
          FROM service_requests AS r
          JOIN services AS s ON s.id = r.service_id
         CROSS JOIN LATERAL (
               SELECT max((step ->> 1)::integer) AS priority
                 FROM jsonb_array_elements(s.evidence_priority) AS step
         ) AS highest
         WHERE r.id IN (SELECT coalesce(named.parent_id, named.id)
                          FROM service_requests AS named WHERE named.id = ANY (:ids ::uuid[]))
           AND r.parent_id IS NULL
           AND r.priority_by IS DISTINCT FROM '{PriorityBy.PERSON}'
           AND (r.priority <> r.priority_base OR r.priority < highest.priority)
           AND (NOT :has_grown OR r.priority < highest.priority)
    ), {_COUNTED}, weighed AS (
        SELECT a.root, a.before, a.priority_base, c.people, a.sensed_by,
               greatest(a.priority_base, (
                   SELECT max((step ->> 1)::integer) FROM jsonb_array_elements(a.steps) AS step
                    WHERE (step ->> 0)::integer <= c.people + a.sensed_by
               )) AS after
          FROM asked AS a JOIN counted AS c ON c.root = a.root
    )
    UPDATE service_requests AS r
       SET priority = w.after, version = r.version + 1, updated_at = greatest(r.updated_at, :now),
           priority_by = CASE WHEN w.after > w.priority_base THEN '{PriorityBy.EVIDENCE}' END
      FROM weighed AS w
     WHERE r.id = w.root AND r.priority <> w.after
    RETURNING r.id, w.before, w.after, w.people, w.sensed_by
    """
)
