"""A trip comes in: whole, or in parts that may stop and go on. What may be kept of it is kept.

1. `prepared`: the bytes are read and checked, the ends are cut off, and the rest is written as
   Parquet. Only that is ever stored: where somebody set off never reaches a disk.
2. `receive`: in a transaction, the trip's row and `trip.received`.

Parts are kept until all are there, and hold the ends of the trip. They are sealed with a key made
from the phone's: without its next call nobody opens them (AES-256-GCM, NIST SP 800-38D).

A trip has the id that its phone made, so that sending it again changes nothing. Files are written
before the transaction that knows them; what a broken request leaves is taken away after a day.
"""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.errors import ConflictError, DomainError, NotFoundError
from core.outbox import emit
from core.tokens import key_for
from geo.measures import Box
from reports.storage import MissingFileError, Storage
from sensing import devices, events, keeping, reading
from sensing.devices import Device
from sensing.models import StoredTrip, TripPart
from sensing.reading import MOST_BYTES, Sent
from sensing.traces import Mark
from sensing.vocabulary import TripState

if TYPE_CHECKING:
    from sensing.arrays import Series

#: A part is at most so large, and a trip has at most so many.
MOST_PART_BYTES, MOST_PARTS = 5 * 1024 * 1024, 200

#: What came of a trip can be asked for so long, and sending it again changes nothing.
TRIPS_KEPT = timedelta(days=30)

#: A trip whose parts do not all come is forgotten.
PARTS_KEPT = timedelta(days=2)

#: A file that no row knows after so long was left by a request that failed.
STALE_AFTER = timedelta(days=1)

_GZIP = b"\x1f\x8b"
_NONCE_BYTES = 12


class TripTakenError(ConflictError):
    """Another device sent a trip under that id: what became of it is not told."""

    code = "trip_id_taken"
    title = "This id cannot be used"


class TripDiffersError(ConflictError):
    """The id, or the number of the part, stands for something else already."""

    code = "trip_differs"
    title = "Something else was sent under this name before"


class TripStateError(ConflictError):
    """The trip is not one that parts can be added to, or the other way round."""

    code = "trip_state"
    title = "The trip is in a state that does not allow this"


class PartsMissingError(ConflictError):
    """The trip is not whole yet."""

    code = "trip_parts_missing"
    title = "Parts of the trip are missing"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A trip as it may be kept.

    Attributes:
        content: Parquet; None where nothing of the trip is kept.
        day: when it was driven, UTC.
    """

    content: bytes | None
    day: date
    marks: frozenset[Mark]


@dataclass(frozen=True, slots=True)
class Part:
    """One part that is there."""

    number: int
    size: int
    storage_name: str


@dataclass(frozen=True, slots=True)
class Upload:
    """Which trip a request is about, and whose."""

    device: Device
    given: UUID

    @property
    def id(self) -> UUID:
        """Under which id it is stored."""
        return devices.trip_id(self.device.secret, self.given)

    @property
    def holder(self) -> bytes:
        return self.device.holder(self.id)

    def content(self, body: bytes) -> bytes:
        """A digest by which the same bytes are known again.

        A gzip tells in its header when it was made (RFC 1952, 2.3): a phone that packs the same
        trip again sends the same.
        """
        same = body[:4] + body[8:] if body.startswith(_GZIP) else body
        digest = hashlib.sha256(same).hexdigest()
        return key_for(self.device.secret, "trip.content", digest, str(self.id))[:16]


def prepared(sent: Sent, *, boxes: Sequence[Box], now: datetime) -> Prepared:
    """What may be kept of the samples that a phone sent. Needs no transaction.

    Args:
        boxes: of the cities here, to know latitude from longitude by.

    Raises:
        sensing.checking.TripError: no trip can be made of them.
    """
    from sensing import checking, trimming

    trip = checking.checked(
        sent.columns, now_s=now.timestamp(), here=_where_it_would_be(sent.columns, boxes)
    )
    trip = replace(trip, marks=trip.marks | sent.marks)
    day = datetime.fromtimestamp(float(trip.t_s[0]), UTC).date()
    if not trip.is_believed:
        return Prepared(None, day, trip.marks)
    kept = trimming.trimmed(trip)
    if kept is None:
        return Prepared(None, day, trip.marks | {Mark.TOO_SHORT})
    return Prepared(keeping.written(kept), day, trip.marks)


def find(session: Session, upload: Upload) -> StoredTrip | None:
    """The trip, if it is known.

    Raises:
        TripTakenError: another device sent one under that id.
    """
    stored = session.get(StoredTrip, upload.id, populate_existing=True)
    if stored is not None and not secrets.compare_digest(stored.holder, upload.holder):
        raise TripTakenError
    return stored


def found(session: Session, upload: Upload) -> StoredTrip:
    """The trip of this device.

    Raises:
        NotFoundError: there is none, or it is another device's.
    """
    try:
        stored = find(session, upload)
    except TripTakenError as error:
        raise NotFoundError from error
    if stored is None:
        raise NotFoundError
    return stored


def repeated(session: Session, upload: Upload, content: bytes) -> StoredTrip | None:
    """The trip, if these very bytes were sent as one before.

    Raises:
        TripTakenError, TripDiffersError
        TripStateError: it is coming in parts.
    """
    stored = find(session, upload)
    if stored is None:
        return None
    if stored.content is None:
        raise TripStateError("This trip is coming in parts: send the rest, and complete it.")
    if not secrets.compare_digest(stored.content, content):
        raise TripDiffersError("A trip with this id and other samples was sent before.")
    return stored


def staged(storage: Storage, made: Prepared) -> str | None:
    """Write what may be kept, before the transaction; the name of the file.

    Raises:
        StorageAwayError
    """
    if made.content is None:
        return None
    name = secrets.token_hex(16)
    storage.put(keeping.key_of(keeping.WAITING, name), io.BytesIO(made.content), keeping.MEDIA_TYPE)
    return name


def receive(
    session: Session,
    upload: Upload,
    made: Prepared,
    *,
    content: bytes,
    storage_name: str | None,
    is_research: bool,
    now: datetime,
) -> bool:
    """Store a trip that came whole; False when the same request was faster a moment ago."""
    values = _values(upload, made, content, storage_name)
    new = session.scalar(
        postgresql.insert(StoredTrip)
        .values(
            id=upload.id,
            holder=upload.holder,
            is_research=is_research,
            received_on=now.date(),
            **values,
        )
        .on_conflict_do_nothing()
        .returning(StoredTrip.id)
    )
    if new is None:
        return False
    if storage_name is not None:
        emit(session, events.TRIP_RECEIVED, upload.id)
    return True


# -- parts ----------------------------------------------------------------------------------------


def staged_part(storage: Storage, upload: Upload, number: int, body: bytes) -> str:
    """Write a part, sealed, before the transaction; the name of the file.

    Raises:
        StorageAwayError
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(upload.device.seal(upload.id)).encrypt(nonce, body, str(number).encode())
    name = secrets.token_hex(16)
    storage.put(
        keeping.key_of(keeping.PARTS, name),
        io.BytesIO(nonce + sealed),
        "application/octet-stream",
    )
    return name


def known_part(session: Session, upload: Upload, number: int, content: bytes) -> bool:
    """Whether this very part is there already.

    Raises:
        TripTakenError, TripDiffersError
        TripStateError: the trip is complete.
    """
    stored = find(session, upload)
    if stored is None:
        return False
    part = session.get(TripPart, (upload.id, number))
    if part is not None:
        if secrets.compare_digest(part.content, content):
            return True
        raise TripDiffersError(f"Part {number} was sent before, with other bytes.")
    if stored.state != TripState.UPLOADING:
        raise TripStateError("This trip is complete: no part can be added.")
    return False


def receive_part(
    session: Session,
    upload: Upload,
    number: int,
    *,
    content: bytes,
    size: int,
    storage_name: str,
    now: datetime,
) -> bool:
    """Store a part; False when it is there already.

    Raises:
        TripTakenError, TripDiffersError, TripStateError
        sensing.reading.TooLargeError: with it the trip would be.
    """
    session.execute(
        postgresql.insert(StoredTrip)
        .values(
            id=upload.id,
            holder=upload.holder,
            state=TripState.UPLOADING.value,
            received_on=now.date(),
        )
        .on_conflict_do_nothing()
    )
    # Parts of one trip wait for each other, so that together they are not too large.
    session.execute(sa.select(StoredTrip.id).where(StoredTrip.id == upload.id).with_for_update())
    if known_part(session, upload, number, content):
        return False
    there = sum(part.size for part in parts(session, upload))
    if there + size > MOST_BYTES:
        raise reading.TooLargeError(f"Its parts have more than {MOST_BYTES >> 20} MB together.")
    session.add(
        TripPart(
            trip_id=upload.id,
            number=number,
            content=content,
            size=size,
            storage_name=storage_name,
        )
    )
    session.flush()
    return True


def parts(session: Session, upload: Upload) -> list[Part]:
    """The parts that are there, in order."""
    rows = session.execute(
        sa.select(TripPart.number, TripPart.size, TripPart.storage_name)
        .where(TripPart.trip_id == upload.id)
        .order_by(TripPart.number)
    )
    return [Part(row.number, row.size, row.storage_name) for row in rows]


def whole(session: Session, upload: Upload, count: int) -> list[Part] | None:
    """The parts of a trip that has so many; None when it was completed before.

    Raises:
        NotFoundError
        PartsMissingError: names them.
        TripStateError: there are more.
    """
    stored = found(session, upload)
    if stored.state != TripState.UPLOADING:
        return None
    there = parts(session, upload)
    missing = sorted(set(range(1, count + 1)) - {part.number for part in there})
    if missing:
        raise PartsMissingError(f"Missing: {', '.join(map(str, missing[:20]))}.", missing=missing)
    if len(there) > count:
        raise TripStateError(f"{len(there)} parts were sent, not {count}.")
    return there


def joined(storage: Storage, upload: Upload, there: Sequence[Part]) -> bytes:
    """The bytes of all parts, opened and in order.

    Raises:
        StorageAwayError
        PartsMissingError: of what was stored something is lost; it must be sent anew.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    opener = AESGCM(upload.device.seal(upload.id))
    body = bytearray()
    for part in there:
        try:
            sealed = storage.get(keeping.key_of(keeping.PARTS, part.storage_name))
            body += opener.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], str(part.number).encode()
            )
        except (MissingFileError, InvalidTag) as error:
            raise PartsMissingError(
                f"Part {part.number} cannot be read: send the trip under another id.",
                missing=[part.number],
            ) from error
    return bytes(body)


def complete(
    session: Session,
    upload: Upload,
    made: Prepared,
    *,
    content: bytes,
    storage_name: str | None,
    is_research: bool,
    now: datetime,
) -> bool:
    """Let the trip whose parts are all there be received; False when it was done before."""
    stored = _uploading(session, upload)
    if stored is None:
        return False
    for name, value in _values(upload, made, content, storage_name).items():
        setattr(stored, name, value)
    stored.is_research = is_research
    stored.received_on = now.date()
    session.execute(sa.delete(TripPart).where(TripPart.trip_id == upload.id))
    session.flush()
    if storage_name is not None:
        emit(session, events.TRIP_RECEIVED, upload.id)
    return True


def refuse(session: Session, upload: Upload, error: DomainError, *, content: bytes) -> None:
    """Let a trip whose parts make no trip end so."""
    stored = _uploading(session, upload)
    if stored is None:
        return
    stored.state, stored.reason, stored.content = TripState.REFUSED.value, error.code, content
    session.execute(sa.delete(TripPart).where(TripPart.trip_id == upload.id))
    session.flush()


def forget_parts(storage: Storage, there: Sequence[Part]) -> None:
    """Delete the files of parts; after the transaction."""
    for part in there:
        storage.delete(keeping.key_of(keeping.PARTS, part.storage_name))


# -- forgetting -----------------------------------------------------------------------------------


def forget_old(session: Session, *, today: date) -> int:
    """Delete trips whose time is over; how many. Their files are stale then."""
    gone = session.scalars(
        sa.delete(StoredTrip)
        .where(
            sa.or_(
                StoredTrip.received_on < today - TRIPS_KEPT,
                sa.and_(
                    StoredTrip.state == TripState.UPLOADING.value,
                    StoredTrip.received_on < today - PARTS_KEPT,
                ),
            )
        )
        .returning(StoredTrip.id)
    )
    return len(gone.all())


def orphans(session: Session, keys: Sequence[str]) -> list[str]:
    """Those of the keys of files that no trip and no part knows."""
    names = [key.rpartition("/")[2] for key in keys]
    wanted = set(
        session.scalars(
            sa.select(StoredTrip.storage_name).where(StoredTrip.storage_name.in_(names))
        )
    )
    wanted |= set(
        session.scalars(sa.select(TripPart.storage_name).where(TripPart.storage_name.in_(names)))
    )
    return [key for key, name in zip(keys, names, strict=True) if name not in wanted]


def _values(
    upload: Upload, made: Prepared, content: bytes, storage_name: str | None
) -> dict[str, object]:
    """What a trip that is whole says; the link to its device's day only while it waits."""
    if storage_name is None:
        return {
            "state": TripState.MARKED.value,
            "marks": sorted(mark.value for mark in made.marks),
            "content": content,
        }
    return {
        "state": TripState.RECEIVED.value,
        "marks": sorted(mark.value for mark in made.marks),
        "content": content,
        "storage_name": storage_name,
        "day": made.day,
        "day_id": upload.device.day_id(made.day),
        "day_key": upload.device.day_key(made.day),
    }


def _uploading(session: Session, upload: Upload) -> StoredTrip | None:
    return session.scalar(
        sa.select(StoredTrip)
        .where(StoredTrip.id == upload.id, StoredTrip.state == TripState.UPLOADING.value)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _where_it_would_be(columns: Mapping[str, Series], boxes: Sequence[Box]) -> Box | None:
    """The city in which the positions would lie if they were the other way round, if one."""
    import numpy as np

    lat, lon = columns.get("lat"), columns.get("lon")
    if lat is None or lon is None:
        return None
    known = np.isfinite(lat) & np.isfinite(lon)
    if not known.any():
        return None
    middle_lat, middle_lon = float(np.median(lat[known])), float(np.median(lon[known]))
    if any(_holds(box, middle_lat, middle_lon) for box in boxes):
        return None
    return next((box for box in boxes if _holds(box, middle_lon, middle_lat)), None)


def _holds(box: Box, lat: float, lon: float) -> bool:
    return box.south <= lat <= box.north and any(
        part.west <= lon <= part.east for part in box.parts()
    )
