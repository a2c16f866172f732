"""Runs the pipeline in the process of a test, step by step or to the end."""

from __future__ import annotations

from flask import Flask
from sqlalchemy.orm import Session

from core import outbox
from core.outbox import EventName, Happening
from reports.models import ServiceRequest
from workers import pipeline


def run_pipeline(app: Flask) -> int:
    """Everything that waits, and what follows from it; how many events there were."""
    with app.app_context():
        return pipeline.drain()


def happened(session: Session, name: EventName, *reports: ServiceRequest) -> None:
    """Emit an event for each of these reports, as the service that caused it would have."""
    outbox.emit_many(
        session, name, [Happening(report.id, report.jurisdiction_id) for report in reports]
    )
    session.commit()
