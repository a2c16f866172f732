"""What is known of cases: which requests have one, and what to show of those of a defect.

Reads only, and loads none of the arithmetic: nearly every request has no case.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from reports.models import Service, ServiceRequest
from reports.vocabulary import Visibility
from sensing.acting.models import DefectCase
from sensing.acting.vocabulary import CaseState


@dataclass(frozen=True, slots=True)
class PublicCase:
    """What everybody may know of the case of a defect.

    Attributes:
        number, status: of the request about it; None where that is not public, or shows no exact
            place, which the defect would give away.
    """

    defect_id: UUID
    state: CaseState
    number: int | None = None
    report_id: UUID | None = None
    status: str | None = None


def are_any(session: Session, report_ids: Collection[UUID]) -> bool:
    """Whether one of these requests, or one joined to them, is about a defect."""
    if not report_ids:
        return False
    ids = list(report_ids)
    own = sa.select(DefectCase.id).where(DefectCase.report_id.in_(ids))
    joined = (
        sa.select(DefectCase.id)
        .join(ServiceRequest, ServiceRequest.id == DefectCase.report_id)
        .where(ServiceRequest.parent_id.in_(ids))
    )
    return bool(session.scalar(sa.select(sa.or_(sa.exists(own), sa.exists(joined)))))


def of_defects(session: Session, defect_ids: Collection[UUID]) -> Mapping[UUID, PublicCase]:
    """By defect: its latest case; one statement."""
    if not defect_ids:
        return {}
    own, leader = aliased(ServiceRequest), aliased(ServiceRequest)
    is_shown = sa.and_(
        leader.visibility == Visibility.PUBLIC.value, Service.public_precision == "exact"
    )
    rows = session.execute(
        sa.select(
            DefectCase.defect_id,
            DefectCase.state,
            leader.id,
            leader.number,
            leader.status,
            is_shown.label("is_shown"),
        )
        .join(own, own.id == DefectCase.report_id)
        .join(leader, leader.id == sa.func.coalesce(own.parent_id, own.id))
        .join(Service, Service.id == leader.service_id)
        .where(DefectCase.defect_id.in_(list(defect_ids)))
        .order_by(DefectCase.opened_at, DefectCase.id)
    )
    return {
        row.defect_id: PublicCase(
            row.defect_id, CaseState(row.state), row.number, row.id, row.status
        )
        if row.is_shown
        else PublicCase(row.defect_id, CaseState(row.state))
        for row in rows
    }
