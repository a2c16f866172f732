"""Keeping what staff are asked about up to date: a suggestion follows its report, or goes.

What a judge saw stands in `duplicate`, unchanged, as the record of its decision. Of the candidates
in it, `suggested_id` names the likeliest that still leads, is open, and was not refused. When that
one is joined to another, its leader takes its place; when it is over or refused, the next; when
none is left, nothing is asked any more.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports.vocabulary import OPEN_STATUSES, Visibility

_OPEN = ", ".join(f"'{status}'" for status in OPEN_STATUSES)


def follow(session: Session, ids: Collection[UUID]) -> None:
    """Look again at whatever names one of these reports, which were joined or are over."""
    if ids:
        session.execute(_NAMING, {"ids": sorted(ids)})


def renew(session: Session, ids: Collection[UUID]) -> None:
    """Look again at what is suggested of these reports themselves."""
    if ids:
        session.execute(_THEMSELVES, {"ids": sorted(ids)})


#: Of a report `r` and a candidate `meant` of `leader`: nobody said of either that it is another.
NOT_REFUSED = """NOT EXISTS (
    SELECT FROM pair_verdicts AS v
     WHERE NOT v.is_same
       AND (v.report_id = r.id AND v.other_id IN (meant.id, leader.id)
            OR v.other_id = r.id AND v.report_id IN (meant.id, leader.id))
)"""

_BEST = f"""
    UPDATE service_requests AS r
       SET suggested_id = CASE WHEN r.parent_id IS NULL AND r.status IN ({_OPEN}) THEN (
           SELECT leader.id
             FROM jsonb_array_elements(r.duplicate -> 'candidates')
                  WITH ORDINALITY AS seen(item, place)
             JOIN service_requests AS meant ON meant.id = (seen.item ->> 'id')::uuid
             JOIN service_requests AS leader ON leader.id = coalesce(meant.parent_id, meant.id)
            WHERE leader.id <> r.id
              AND leader.status IN ({_OPEN})
              AND leader.visibility <> '{Visibility.HIDDEN}'
              AND {NOT_REFUSED}
            ORDER BY seen.place
            LIMIT 1
       ) END
"""

_NAMING = sa.text(f"{_BEST} WHERE r.suggested_id = ANY (:ids ::uuid[])")

_THEMSELVES = sa.text(
    f"{_BEST} WHERE r.id = ANY (:ids ::uuid[]) AND r.duplicate ->> 'outcome' = 'suggested'"
)
