"""Staged bytes become photos that anybody may see: decoded, cleaned, encoded anew, stored.

What leaves this module has been through the decoder and the encoder: no EXIF, no position, no
comment, no colour profile, nothing that hid in the file. A photo's own position is kept in two
columns that only propose where the pin could be.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from PIL import ExifTags, Image, ImageCms, ImageOps
from sqlalchemy.orm import Session

from core.outbox import Happening, emit_many
from reports import events, history
from reports.history import SYSTEM, Author, Entry
from reports.media.checking import HEADER_FAULTS, MAX_PIXELS, MediaType, media_type_of
from reports.media.likeness import likeness_of
from reports.media.staging import cleaned_key, forget, staged_key
from reports.models import Photo, ServiceRequest
from reports.storage import MissingFileError, Storage
from reports.vocabulary import ActorKind, HistoryKind, PhotoState

#: Longest side of what is shown: enough to read a plate on a lamp post, 0.5 to 1 MB as JPEG.
FULL_PX = 2560
THUMB_PX = 400

#: The dimensions are held against `MAX_PIXELS` before any pixel is decoded; Pillow's own limit is
#: higher and would only add a warning.
Image.MAX_IMAGE_PIXELS = None

_QUALITY = 85
_THUMB_QUALITY = 80

#: Threads of a worker decode in turn: one photo of 40 megapixels may need some 400 MB for a moment.
_ONE_AT_A_TIME = threading.Lock()

#: Whatever a decoder raises for bytes that are not what their header said. `RuntimeError` is
#: libheif's, `ArithmeticError` a division by a zero that the file brought along.
_UNDECODABLE = (
    *HEADER_FAULTS,
    RuntimeError,
    ArithmeticError,
    AttributeError,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, slots=True)
class WaitingPhoto:
    """A photo that waits to be cleaned."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class CleanedPhoto:
    """A photo whose clean sizes are stored.

    Attributes:
        position: (lat, lon) of its EXIF, WGS 84.
        likeness: see `reports.media.likeness`.
    """

    id: UUID
    name: str
    size_bytes: int
    width: int
    height: int
    position: tuple[float, float] | None
    likeness: int | None = None


@dataclass(frozen=True, slots=True)
class DroppedPhoto:
    """A photo that cannot be shown. `reason`: `undecodable`, `too_many_pixels` or `lost`."""

    id: UUID
    name: str
    reason: str


Outcome = CleanedPhoto | DroppedPhoto


@dataclass(frozen=True, slots=True)
class _Decoded:
    image: Image.Image
    position: tuple[float, float] | None


class _TooManyPixelsError(ValueError):
    """The header that intake read said otherwise."""


def waiting(session: Session, photo_ids: Sequence[UUID]) -> list[WaitingPhoto]:
    """Those of the photos that still wait to be cleaned."""
    rows = session.execute(
        sa.select(Photo.id, Photo.storage_name).where(
            Photo.id.in_(photo_ids),
            Photo.state == PhotoState.STAGED.value,
            Photo.storage_name.is_not(None),
        )
    )
    return [WaitingPhoto(row.id, row.storage_name) for row in rows]


def clean(storage: Storage, photo: WaitingPhoto) -> Outcome:
    """Decode, clean and store one photo; call it while no transaction is open.

    Twice is harmless: the same bytes go to the same keys.

    Raises:
        StorageAwayError: try again later.
    """
    try:
        sent = storage.get(staged_key(photo.name))
    except MissingFileError:
        # Another worker was faster, and `record` will find the row done; or it is really lost.
        return DroppedPhoto(photo.id, photo.name, "lost")
    try:
        with _ONE_AT_A_TIME:
            decoded = _decode(sent)
        full = _encode(decoded.image, FULL_PX, _QUALITY)
        thumb = _encode(decoded.image, THUMB_PX, _THUMB_QUALITY)
    except _TooManyPixelsError:
        return DroppedPhoto(photo.id, photo.name, "too_many_pixels")
    except _UNDECODABLE:
        return DroppedPhoto(photo.id, photo.name, "undecodable")
    for size, content in (("full", full), ("thumb", thumb)):
        storage.put(
            cleaned_key(photo.name, size), io.BytesIO(content.getvalue()), MediaType.JPEG.value
        )
    # It was brought to its size before it was encoded.
    width, height = decoded.image.size
    return CleanedPhoto(
        photo.id,
        photo.name,
        full.getbuffer().nbytes,
        width,
        height,
        decoded.position,
        likeness_of(decoded.image),
    )


def record(session: Session, outcomes: Sequence[Outcome], *, now: datetime) -> None:
    """Store what became of photos, in the caller's transaction; those already done are left out.

    A photo that can be seen, or will never be, is a change of its report: history, version and,
    for one that was dropped, the event `photo.dropped` so that its reporter hears of it. One that
    can be compared is `photo.cleaned`: its report may have been triaged without it.
    """
    by_id = {outcome.id: outcome for outcome in outcomes}
    rows = session.execute(
        sa.select(Photo.id, Photo.report_id, Photo.added_by, ServiceRequest.jurisdiction_id)
        .join(ServiceRequest, ServiceRequest.id == Photo.report_id)
        .where(Photo.id.in_(by_id), Photo.state == PhotoState.STAGED.value)
        .order_by(Photo.report_id, Photo.id)
        .with_for_update(of=[ServiceRequest, Photo])
    ).all()
    entries: list[Entry] = []
    dropped: list[Happening] = []
    comparable: list[Happening] = []
    for row in rows:
        outcome = by_id[row.id]
        session.execute(
            sa.update(Photo).where(Photo.id == row.id).values(processed_at=now, **_values(outcome))
        )
        data: dict[str, Any] = {"photo_id": str(row.id)}
        if isinstance(outcome, CleanedPhoto):
            by = Author(ActorKind(row.added_by))
            entries.append(Entry(row.report_id, HistoryKind.PHOTO_ADDED, by, data=data))
            if outcome.likeness is not None:
                comparable.append(Happening(row.report_id, row.jurisdiction_id, data))
        else:
            data["reason"] = outcome.reason
            entries.append(Entry(row.report_id, HistoryKind.PHOTO_DROPPED, SYSTEM, data=data))
            dropped.append(Happening(row.report_id, row.jurisdiction_id, data))
    if not rows:
        return
    session.execute(
        sa.update(ServiceRequest)
        .where(ServiceRequest.id.in_({row.report_id for row in rows}))
        .values(version=ServiceRequest.version + 1, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    history.append(session, entries, now=now)
    emit_many(session, events.PHOTO_DROPPED, dropped)
    emit_many(session, events.PHOTO_CLEANED, comparable)


def discard(storage: Storage, outcomes: Sequence[Outcome]) -> None:
    """Forget the bytes as sent, once `record` is committed. What a kill leaves is swept later."""
    forget(storage, [outcome.name for outcome in outcomes])


def _values(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, DroppedPhoto):
        return {"state": PhotoState.DROPPED.value, "dropped_because": outcome.reason}
    lat, lon = outcome.position or (None, None)
    return {
        "state": PhotoState.READY.value,
        "media_type": MediaType.JPEG.value,
        "size_bytes": outcome.size_bytes,
        "width": outcome.width,
        "height": outcome.height,
        "gps_lat": lat,
        "gps_lon": lon,
        "likeness": outcome.likeness,
    }


def _decode(sent: bytes) -> _Decoded:
    """Upright pixels in sRGB on white, no larger than needed, and the position in the EXIF."""
    media_type = media_type_of(sent[:32])
    if media_type is None:
        raise ValueError("not a photo")
    image = _opened(sent, media_type)
    if image.width * image.height > MAX_PIXELS:
        raise _TooManyPixelsError
    if media_type is MediaType.JPEG:
        # The decoder itself halves until just above what is needed: a 40-megapixel photo then
        # takes 30 MB of memory instead of 120.
        image.draft("RGB", _fitted(image.size, FULL_PX))
    image.load()
    position = _position(image)
    exif, profile = image.info.get("exif"), image.info.get("icc_profile")
    image = _of_eight_bits(image)
    # Before colours and transparency: each of those copies every pixel.
    image.thumbnail((FULL_PX, FULL_PX), Image.Resampling.LANCZOS)
    image = _in_srgb(image, profile)
    image.info = {"exif": exif} if exif else {}
    ImageOps.exif_transpose(image, in_place=True)
    return _Decoded(image, position)


def _opened(sent: bytes, media_type: MediaType) -> Image.Image:
    if media_type is MediaType.HEIC:
        # Only workers that meet a HEIC photo load its decoder.
        import pillow_heif

        heif = pillow_heif.open_heif(sent, convert_hdr_to_8bit=True)
        if heif.size[0] * heif.size[1] > MAX_PIXELS:
            raise _TooManyPixelsError
        converted: Image.Image = heif.to_pillow()
        return converted
    return Image.open(io.BytesIO(sent), formats=[media_type.name])


def _of_eight_bits(image: Image.Image) -> Image.Image:
    """The image with eight bits to a channel and no palette, its transparency as a channel."""
    if image.mode.startswith("I") or image.mode == "F":
        # Sixteen bits of grey; `convert` alone would clip at 255.
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.mode == "PA" else "RGB")
    return image.convert("L") if image.mode == "1" else image


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image as sRGB; transparent parts become white."""
    if image.mode in ("RGBA", "LA", "RGBa", "La"):
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image).convert("RGB")
    if profile:
        image = _through_profile(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        converted = ImageCms.profileToProfile(
            image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        # A broken or unfitting profile is no reason to lose the photo; colours may be a shade off.
        return image
    return image if converted is None else converted


def _encode(image: Image.Image, longest_px: int, quality: int) -> io.BytesIO:
    copy = image.copy()
    copy.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    # The encoder writes what it finds there (a JPEG comment, for one).
    copy.info = {}
    content = io.BytesIO()
    copy.save(content, "JPEG", quality=quality, progressive=True, optimize=True)
    return content


def _fitted(size: tuple[int, int], longest_px: int) -> tuple[int, int]:
    """The size with its longest side at most so long."""
    factor = min(1.0, longest_px / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _position(image: Image.Image) -> tuple[float, float] | None:
    """Where the photo says it was taken; None when it says nothing usable."""
    try:
        gps = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
        lat = _degrees(gps[ExifTags.GPS.GPSLatitude], gps[ExifTags.GPS.GPSLatitudeRef], "S")
        lon = _degrees(gps[ExifTags.GPS.GPSLongitude], gps[ExifTags.GPS.GPSLongitudeRef], "W")
    except _UNDECODABLE:
        return None
    if not (math.isfinite(lat) and math.isfinite(lon)) or abs(lat) > 90 or abs(lon) > 180:
        return None
    # 0, 0 is what a phone writes that does not know.
    return None if lat == 0 and lon == 0 else (lat, lon)


def _degrees(parts: Sequence[Any], reference: str, negative: str) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    return -value if reference.strip("\0 ").upper() == negative else value
