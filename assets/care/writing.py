"""A coordinator writes to the adopters of a kind, of an area, or of the whole city."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.adoption.models import Adoption
from assets.care import events
from assets.care.models import VolunteerMessage
from assets.models import Asset
from core.errors import ConflictError
from core.outbox import emit
from core.text import clean
from geo.measures import Box


class NobodyToTellError(ConflictError):
    """Nobody looks after such an asset there."""

    code = "nobody_to_tell"
    title = "There is nobody to write to"


@dataclass(frozen=True, slots=True)
class Letter:
    """What is written, and of what assets the adopters are meant."""

    subject: str
    text: str
    kind_id: int | None = None
    box: Box | None = None


def write(
    session: Session, jurisdiction_id: int, person_id: UUID, letter: Letter, *, now: datetime
) -> tuple[VolunteerMessage, int]:
    """Store a message; each adopter is told once, however many assets are theirs. To how many.

    Raises:
        NobodyToTellError
    """
    box = letter.box
    message = VolunteerMessage(
        jurisdiction_id=jurisdiction_id,
        kind_id=letter.kind_id,
        box=None if box is None else [box.west, box.south, box.east, box.north],
        subject=" ".join(clean(letter.subject).split()),
        text=clean(letter.text).strip(),
        person_id=person_id,
        at=now,
    )
    session.add(message)
    session.flush()
    count = len(addressed(session, message))
    if not count:
        raise NobodyToTellError
    emit(
        session,
        events.VOLUNTEERS_WRITTEN,
        message.id,
        jurisdiction_id=jurisdiction_id,
        message_id=str(message.id),
    )
    return message, count


def addressed(session: Session, message: VolunteerMessage) -> list[UUID]:
    """The people whom a message is for, as things are now."""
    query = (
        sa.select(Adoption.person_id)
        .distinct()
        .join(Asset, Asset.id == Adoption.asset_id)
        .where(Adoption.jurisdiction_id == message.jurisdiction_id, Adoption.ended_at.is_(None))
    )
    if message.kind_id is not None:
        query = query.where(Adoption.kind_id == message.kind_id)
    if message.box is not None:
        west, south, east, north = message.box
        query = query.where(Asset.lat.between(south, north), Asset.lon.between(west, east))
    return list(session.scalars(query))
