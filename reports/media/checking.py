"""Is this a photo we take? Answered in the request from the first bytes, without decoding.

Neither the name nor the declared type is asked: an HTML page called `photo.jpg` is an HTML page.
JPEG, PNG and WebP headers are read by Pillow, which decodes nothing until told to; HEIC's by the
few lines below, so that the native decoder only ever runs in a worker.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from core.errors import DomainError, InvalidError

MAX_PHOTOS = 5
MAX_BYTES = 10 * 1024 * 1024
MAX_PIXELS = 40_000_000

#: No photo has a side longer than this; a JPEG cannot.
_MAX_SIDE = 65_500


class MediaType(enum.StrEnum):
    """The kinds of photo that are taken."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
    HEIC = "image/heic"


_PILLOW_FORMATS = {MediaType.JPEG: "JPEG", MediaType.PNG: "PNG", MediaType.WEBP: "WEBP"}

#: Brands of ISO/IEC 23008-12 that hold still images coded with HEVC.
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

#: Whatever Pillow raises for a header that is not what it says.
HEADER_FAULTS = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error)


class TooLargeError(DomainError):
    """A file has more bytes than are taken."""

    status = 413
    code = "too_large"
    title = "This is larger than what is taken"


class BinaryStream(Protocol):
    """What a photo is read from: an open file, an upload of Werkzeug's."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position."""


@dataclass(frozen=True, slots=True)
class CheckedPhoto:
    """A file that is a photo by its header. `digest`: SHA-256 of its bytes."""

    stream: BinaryStream
    media_type: MediaType
    size_bytes: int
    width: int
    height: int
    digest: bytes


def check_photos(streams: Sequence[BinaryStream], *, already: int = 0) -> list[CheckedPhoto]:
    """The photos of a request, each checked by its header; their streams stand at the start.

    Args:
        streams: files as sent, in the order in which they were sent.
        already: how many photos the report has.

    Raises:
        InvalidError: too many; or one is empty, no photo, damaged, or of too many pixels.
        TooLargeError: one has more than `MAX_BYTES`.
        Both name the file: field `photos.0` is the first.
    """
    if already + len(streams) > MAX_PHOTOS:
        raise InvalidError(f"A report takes at most {MAX_PHOTOS} photos.", field="photos")
    return [_check(stream, f"photos.{index}") for index, stream in enumerate(streams)]


def _check(stream: BinaryStream, field: str) -> CheckedPhoto:
    size_bytes, digest = _measure(stream, field)
    stream.seek(0)
    media_type = media_type_of(stream.read(32))
    if media_type is None:
        raise InvalidError("This is not a JPEG, PNG, WebP or HEIC photo.", field=field)
    stream.seek(0)
    try:
        if media_type is MediaType.HEIC:
            width, height = heic_dimensions(stream.read(MAX_BYTES))
        else:
            width, height = _pillow_dimensions(stream, media_type)
    except HEADER_FAULTS as error:
        raise InvalidError("The header of this photo is damaged.", field=field) from error
    finally:
        stream.seek(0)
    if not 0 < width <= _MAX_SIDE or not 0 < height <= _MAX_SIDE:
        raise InvalidError("The header of this photo is damaged.", field=field)
    if width * height > MAX_PIXELS:
        raise InvalidError(
            f"This photo has {width} × {height} pixels; 40 million are taken.", field=field
        )
    return CheckedPhoto(stream, media_type, size_bytes, width, height, digest)


def _measure(stream: BinaryStream, field: str) -> tuple[int, bytes]:
    stream.seek(0)
    size, digest = 0, hashlib.sha256()
    while block := stream.read(256 * 1024):
        size += len(block)
        if size > MAX_BYTES:
            raise TooLargeError("A photo may have 10 MB at most.", field=field)
        digest.update(block)
    if size == 0:
        raise InvalidError("This file is empty.", field=field)
    return size, digest.digest()


def media_type_of(head: bytes) -> MediaType | None:
    """The kind of photo that begins with these (at least 32) bytes; None for anything else."""
    if head.startswith(b"\xff\xd8\xff"):
        return MediaType.JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return MediaType.PNG
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return MediaType.WEBP
    if head[4:8] == b"ftyp":
        end = min(struct.unpack(">I", head[:4])[0], len(head))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
        # AVIF says mif1 too, and is coded in another way.
        if brands & _HEIC_BRANDS and not brands & {b"avif", b"avis"}:
            return MediaType.HEIC
    return None


def _pillow_dimensions(stream: BinaryStream, media_type: MediaType) -> tuple[int, int]:
    # Not before somebody sends a photo.
    from PIL import Image

    # The dimensions are held against `MAX_PIXELS`; Pillow's own limit would only add a warning.
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(_as_file(stream), formats=[_PILLOW_FORMATS[media_type]]) as image:
        return image.size


def _as_file(stream: BinaryStream) -> IO[bytes]:
    return stream  # type: ignore[return-value]


def heic_dimensions(content: bytes) -> tuple[int, int]:
    """Width and height of a HEIC file: the largest `ispe` of its `meta` box.

    A phone's photo is a grid of tiles, each with a size of its own; the whole is the largest. What
    is decoded counts, so a crop (`clap`) is not looked at.

    Raises:
        ValueError: there is none (ISO/IEC 14496-12, 4.2; 23008-12, 6.5.3).
    """
    sizes: list[tuple[int, int]] = []
    for kind, start, end in _boxes(content, 0, len(content)):
        if kind != b"meta":
            continue
        for inner, at, until in _boxes(content, start + 4, end):
            if inner != b"iprp":
                continue
            for holder, first, last in _boxes(content, at, until):
                if holder != b"ipco":
                    continue
                sizes += [
                    struct.unpack(">II", content[begin + 4 : begin + 12])
                    for name, begin, _ in _boxes(content, first, last)
                    if name == b"ispe"
                ]
    if not sizes:
        raise ValueError("no image in this file")
    return max(sizes, key=lambda size: size[0] * size[1])


def _boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Boxes between two positions: type, where their content begins, where it ends."""
    while start + 8 <= end:
        size, kind = struct.unpack(">I4s", content[start : start + 8])
        begin = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", content[begin : begin + 8])
            begin += 8
        elif size == 0:
            size = end - start
        if size < begin - start or start + size > end:
            return
        yield kind, begin, start + size
        start += size
