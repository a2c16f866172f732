"""How much what phones felt counts for a request, beside the people who tell of it.

In the caller's transaction. Joined requests count where they lead.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports.duplicates import evidence
from reports.models import ServiceRequest
from sensing.acting.models import DefectCase
from sensing.acting.vocabulary import CaseState


def leader_of(session: Session, case: DefectCase) -> ServiceRequest:
    """The request that a case is about now, locked: of one that was joined, the one that leads."""
    parent_id = session.scalar(
        sa.select(ServiceRequest.parent_id).where(ServiceRequest.id == case.report_id)
    )
    return session.get_one(
        ServiceRequest, parent_id or case.report_id, with_for_update=True, populate_existing=True
    )


def weigh(session: Session, report_ids: Collection[UUID], *, now: datetime) -> None:
    """Count the trips anew that speak for these requests, or for those that they repeat."""
    if not report_ids:
        return
    asked = {"ids": sorted(report_ids), "open": CaseState.OPEN.value}
    changed = session.scalars(_COUNT, asked).all()
    evidence.weigh(session, changed, now=now)
    for id_ in changed:
        # Plain SQL has changed it, beside what the session remembers.
        session.get(ServiceRequest, id_, populate_existing=True)


# A request that is joined counts nothing itself: its cases speak for the one that leads.
_COUNT = sa.text(
    """
    WITH named AS (
        SELECT id, parent_id FROM service_requests WHERE id = ANY (:ids ::uuid[])
    ), concerned AS (
        SELECT id FROM named UNION SELECT parent_id FROM named WHERE parent_id IS NOT NULL
    ), counted AS (
        SELECT c.id, coalesce(sum(k.witnesses), 0)::integer AS witnesses
          FROM concerned AS c
          LEFT JOIN service_requests AS r
                 ON (r.id = c.id AND r.parent_id IS NULL) OR r.parent_id = c.id
          LEFT JOIN defect_cases AS k ON k.report_id = r.id AND k.state = :open
         GROUP BY c.id
    )
    UPDATE service_requests AS r SET sensed_by = counted.witnesses
      FROM counted
     WHERE r.id = counted.id AND r.sensed_by <> counted.witnesses
    RETURNING r.id
    """
)
