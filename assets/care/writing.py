"""A coordinator writes to the adopters of a kind, of an area, or of the whole city."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from assets.adoption.addressing import Aim, adopters
from assets.care import events
from assets.care.models import VolunteerMessage
from core.errors import ConflictError
from core.outbox import emit
from core.text import clean
from geo import jurisdictions
from geo.measures import Box


class NobodyToTellError(ConflictError):
    """Nobody looks after such an asset there."""

    code = "nobody_to_tell"
    title = "There is nobody to write to"


@dataclass(frozen=True, slots=True)
class Letter:
    """What is written, and of what assets the adopters are meant.

    Attributes:
        area: layer and code.
    """

    subject: str
    text: str
    kind_id: int | None = None
    box: Box | None = None
    area: tuple[str, str] | None = None


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
        area_layer=letter.area[0] if letter.area else None,
        area_code=letter.area[1] if letter.area else None,
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
    area = None
    if message.area_layer is not None and message.area_code is not None:
        area = (message.area_layer, message.area_code)
    aim = Aim(message.kind_id, area, None if message.box is None else Box(*message.box))
    place = jurisdictions.by_id(session, message.jurisdiction_id)
    return list(dict.fromkeys(each.person_id for each in adopters(session, place, aim)))
