"""From the token of a batch service to the request that it stands for."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from open311.models import RequestToken
from reports.models import ServiceRequest


def resolved(session: Session, token: str, jurisdiction_id: int | None) -> dict[str, Any] | None:
    """The `request` that a token leads to; None for one that nobody was given.

    Args:
        jurisdiction_id: of the only jurisdiction that is meant.
    """
    statement = (
        sa.select(RequestToken.report_id)
        .join(ServiceRequest, ServiceRequest.id == RequestToken.report_id)
        .where(RequestToken.token == token)
    )
    if jurisdiction_id is not None:
        statement = statement.where(ServiceRequest.jurisdiction_id == jurisdiction_id)
    report_id = session.scalar(statement)
    if report_id is None:
        return None
    return {"service_request_id": str(report_id), "token": token}
