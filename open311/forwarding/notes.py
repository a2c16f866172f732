"""What staff read of a forwarding in the history of its report."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from open311.downstream import Endpoint
from open311.telling import Note, note
from reports import anonymising, remarks
from reports.changing import Words
from reports.history import SYSTEM, Author
from reports.masking import Identifiers, mask
from reports.models import ServiceRequest


def without_people(session: Session, report_id: UUID, said: str) -> str:
    """Words of another system without the contact data of the report's people."""
    known = anonymising.known_people(session, [report_id])
    return mask(said, known.get(report_id, Identifiers()))


def tell_staff(
    session: Session,
    report: ServiceRequest,
    endpoint: Endpoint,
    kind: Note,
    now: datetime,
    said: str | None = None,
    *,
    by: Author = SYSTEM,
) -> int:
    """Leave an internal note in the history of a locked report; the id of the entry."""
    text = note(kind, endpoint.locale, endpoint.spec.code, said)
    return remarks.comment(session, report, Words(note=text), by=by, now=now)
