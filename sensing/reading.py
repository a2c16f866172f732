"""From the bytes that a phone sent to columns of numbers, within bounded memory.

What is read: CSV with a header, or JSON, either compressed by gzip or not; which of them is seen
from the bytes, not from what the sender calls them. CSV is unpacked and read block by block, so
that a file which expands a thousandfold is refused while it streams. What the columns mean is
`sensing.checking`'s business.

Arrow is loaded at the first trip, by whoever reads one.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import DomainError
from core.json_objects import SaidTwiceError, said_once
from sensing.traces import Mark

if TYPE_CHECKING:
    from sensing.arrays import Series

#: As sent.
MOST_BYTES = 20 * 1024 * 1024

#: Unpacked: three million samples in CSV of usual precision.
MOST_TEXT = 240 * 1024 * 1024

#: JSON is read whole, and becomes several times its size in Python's objects.
MOST_JSON = MOST_BYTES
MOST_JSON_ROWS = 250_000

#: Four hours at 200 a second, and a little, as `sensing.checking` has it.
MOST_ROWS = int(4 * 3600 * 200 * 1.05)

#: Lists in a document of columns: one for each, and as many that are not read.
_MOST_LISTS = 1000

_BLOCK = 4 * 1024 * 1024
_GZIP = b"\x1f\x8b"

#: What is read, and what else phones call it.
COLUMNS = (
    *("t", "lat", "lon", "speed_ms", "ax", "ay", "az"),
    *("gx", "gy", "gz", "bearing_deg", "accuracy_m"),
)
OTHER_NAMES: Mapping[str, str] = {
    "time": "t",
    "timestamp": "t",
    "latitude": "lat",
    "longitude": "lon",
    "lng": "lon",
    "speed": "speed_ms",
    "accelx": "ax",
    "accely": "ay",
    "accelz": "az",
    "bearing": "bearing_deg",
    "gpsaccuracy": "accuracy_m",
    "accuracy": "accuracy_m",
}

#: Where a sample in JSON names its time.
_TIME = re.compile(rb'"(?:t|time|timestamp)"\s*:', re.IGNORECASE)

#: What stands for nothing in a column of numbers.
_NOTHING = ["", "nan", "NaN", "NAN", "null", "NULL", "None", "NA", "-"]


class UploadError(DomainError):
    """The bytes are no file of samples."""

    status = 422
    code = "trip_unreadable"
    title = "This is not a trip that can be read"


class NotGzipError(UploadError):
    """It says gzip, or begins as such, and is not."""

    code = "trip_not_gzip"
    title = "The file is not gzip, or broken off"


class TooLargeError(UploadError):
    """More bytes, or samples, than a trip of four hours has."""

    status = 413
    code = "trip_too_large"
    title = "The trip is too large"


class PartTooLargeError(TooLargeError):
    """More bytes than a part of a trip may have."""

    code = "trip_part_too_large"
    title = "The part of the trip is too large"


@dataclass(frozen=True, slots=True)
class Sent:
    """What was in the file.

    Attributes:
        columns: (n,) each, under the names of `COLUMNS`; NaN is unknown.
        said: members of a JSON document beside the samples.
        marks: what was odd about the file.
    """

    columns: Mapping[str, Series]
    said: Mapping[str, Any] = field(default_factory=dict)
    marks: frozenset[Mark] = frozenset()


def read(body: bytes, *, is_gzip: bool = False) -> Sent:
    """The samples of a file.

    Args:
        is_gzip: whether its sender said so.

    Raises:
        UploadError: one of its kinds.
    """
    if not body.strip():
        raise UploadError("The file is empty.")
    if body[:2] == _GZIP:
        blocks = _inflated(body)
    elif is_gzip:
        raise NotGzipError("It does not begin as gzip does.")
    else:
        blocks = (body[at : at + _BLOCK] for at in range(0, len(body), _BLOCK))
    first = next(blocks, b"")
    if first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        return _json(first, blocks)
    return _csv(first, blocks)


def _inflated(body: bytes) -> Iterator[bytes]:
    """Blocks of the text, unpacked one at a time.

    Raises:
        NotGzipError, TooLargeError
    """
    rest, total = body, 0
    while rest:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            try:
                block = member.decompress(rest, _BLOCK)
            except zlib.error as error:
                raise NotGzipError(f"It cannot be unpacked: {error}.") from error
            rest = member.unconsumed_tail
            total += len(block)
            if total > MOST_TEXT:
                raise TooLargeError(f"Unpacked it has more than {MOST_TEXT >> 20} MB.")
            if block:
                yield block
            elif not member.eof and not rest:
                raise NotGzipError("It ends in the middle.")
        # Files may be made of several, one after the other; zeros at the end mean nothing.
        rest = member.unused_data.lstrip(b"\0")


# -- CSV ------------------------------------------------------------------------------------------


def _csv(first: bytes, blocks: Iterator[bytes]) -> Sent:
    """The samples of lines as long as the header; others are counted and left out.

    Raises:
        UploadError: most lines are others, so that the header is not theirs.
    """
    import numpy as np

    names: list[str] | None = None
    parts: list[dict[str, Series]] = []
    rows = left_out = 0
    for text in _whole_lines(first, blocks):
        lines = text
        if names is None:
            header, _, lines = text.partition(b"\n")
            names = _header(header)
        if not lines.strip():
            continue
        part, others = _parsed(lines, names)
        rows += len(part["t"])
        left_out += others
        if rows + left_out > MOST_ROWS:
            raise TooLargeError("More samples than four hours at 200 a second.")
        parts.append(part)
    if left_out > rows:
        raise UploadError(
            f"{left_out} of {rows + left_out} lines have not the {len(names or [])} columns that"
            " the header names."
        )
    kept = [name for name in names or [] if name in COLUMNS]
    marks = frozenset({Mark.BAD_LINES}) if left_out else frozenset()
    if not parts:
        return Sent({name: np.zeros(0) for name in kept})
    answer = {}
    for name in kept:
        # One column after the other, so that the parts of a column go when they are joined.
        answer[name] = np.concatenate([part.pop(name) for part in parts])
    return Sent(answer, marks=marks)


def _whole_lines(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks cut at the ends of lines."""
    left = first.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_cut = b"\n" in left
    for block in blocks:
        if not is_cut and len(left) > 65_536:
            raise UploadError("Its first line is no header of columns.", field="t")
        whole, end, rest = block.rpartition(b"\n")
        if end:
            yield left + whole + end
            left, is_cut = rest, True
        else:
            left += block
            if len(left) > 2 * _BLOCK:
                raise UploadError("It has lines of several megabytes.")
    if left:
        yield left


def _header(line: bytes) -> list[str]:
    """Our names of the columns of a header, others as they are.

    Raises:
        UploadError: no text, or a name twice.
    """
    try:
        given = [name.strip().strip('"').lower() for name in line.decode().split(",")]
    except UnicodeDecodeError as error:
        raise UploadError("It is neither CSV, JSON nor gzip.") from error
    names = [OTHER_NAMES.get(name, name) for name in given]
    known = [name for name in names if name in COLUMNS]
    if "t" not in known:
        raise UploadError(
            "The first line must name the columns: t,lat,lon,speed_ms,ax,ay,az.", field="t"
        )
    for name in known:
        if known.count(name) > 1:
            raise UploadError(f"Two columns are called {name}.", field=name)
    # What is not read needs a name of its own.
    return [name if name in COLUMNS else f"_{place}" for place, name in enumerate(names)]


def _parsed(lines: bytes, names: list[str]) -> tuple[dict[str, Series], int]:
    """The columns of lines, and how many lines were of another length."""
    import pyarrow as pa
    from pyarrow import csv

    kept = [name for name in names if name in COLUMNS]
    lines, left_out = _closed(lines)

    def leave_out(_row: Any) -> str:
        nonlocal left_out
        left_out += 1
        return "skip"

    try:
        table = csv.read_csv(
            pa.BufferReader(lines),
            # Threads of its own would outlive the request, and count for nothing in a block.
            read_options=csv.ReadOptions(
                column_names=names, use_threads=False, block_size=len(lines) + 1
            ),
            parse_options=csv.ParseOptions(invalid_row_handler=leave_out),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(kept, pa.float64()),
                include_columns=kept,
                null_values=_NOTHING,
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _fault(str(error), names) from error
    return {name: table.column(name).to_numpy() for name in kept}, left_out


def _closed(lines: bytes) -> tuple[bytes, int]:
    """Lines without those in which a quotation mark is not closed, and how many those were.

    Arrow takes all that follows such a mark, to the end of the file, for one line.
    """
    if b'"' not in lines:
        return lines, 0
    every = lines.split(b"\n")
    closed = [line for line in every if line.count(b'"') % 2 == 0]
    return b"\n".join(closed), len(every) - len(closed)


def _fault(said: str, names: list[str]) -> UploadError:
    """Which column is at fault, of what Arrow says: `In CSV column #2: … invalid value 'x'`."""
    place = said.partition("column #")[2].partition(":")[0]
    if place.isdecimal() and int(place) < len(names):
        name = names[int(place)]
        return UploadError(f"The column {name} holds what is no number.", field=name)
    return UploadError("Its lines are no CSV of numbers.")


# -- JSON -----------------------------------------------------------------------------------------


def _json(first: bytes, blocks: Iterator[bytes]) -> Sent:
    """`{"samples": {"t": […], …}}`, or a list of samples, each `{"t": …}`."""
    text = bytearray(first)
    for block in blocks:
        text += block
        if len(text) > MOST_JSON:
            raise TooLargeError("JSON can have 20 MB; send more as CSV.")
    _refuse_crowd(text)
    try:
        document = json.loads(bytes(text), object_pairs_hook=said_once)
    except SaidTwiceError as error:
        # Of two consents, neither is known to be meant.
        name = error.name[:80]
        raise UploadError(f"{name} stands twice in one object.", field=name) from error
    except (ValueError, RecursionError) as error:
        raise UploadError("It is no JSON.") from error
    said: Mapping[str, Any] = {}
    samples = document
    if isinstance(document, dict) and "samples" in document:
        said = {name: value for name, value in document.items() if name != "samples"}
        samples = document["samples"]
    if isinstance(samples, list):
        samples = _turned(samples)
    if not isinstance(samples, dict):
        raise UploadError("`samples` must be columns, or a list of samples.", field="samples")
    columns: dict[str, Series] = {}
    for given, values in samples.items():
        name = OTHER_NAMES.get(str(given).lower(), str(given).lower())
        if name not in COLUMNS:
            continue
        if name in columns:
            raise UploadError(f"Two columns are called {name}.", field=f"samples.{name}")
        columns[name] = _numbers(name, values)
    if "t" not in columns:
        raise UploadError("There is no column t.", field="samples.t")
    if len({len(values) for values in columns.values()}) > 1:
        raise UploadError("The columns are not of the same length.", field="samples")
    return Sent(columns, said)


def _refuse_crowd(text: bytearray) -> None:
    """Refuse what would become more objects than a trip has, before they are made.

    Each takes hundreds of bytes. A sample names its time once: where objects are many and times are
    not, something else stands where numbers should.

    Raises:
        TooLargeError: samples.
        UploadError: lists or objects in the place of numbers.
    """
    if text.count(b"[") > _MOST_LISTS:
        raise UploadError(
            "Lists stand where numbers should: a column is one list of numbers, a sample an object"
            " of numbers.",
            field="samples",
        )
    if text.count(b"{") > MOST_JSON_ROWS:
        if sum(1 for _ in _TIME.finditer(text)) > MOST_JSON_ROWS:
            raise TooLargeError(f"More than {MOST_JSON_ROWS} samples in JSON; send them as CSV.")
        raise UploadError(
            "Objects stand where numbers should: a column is one list of numbers, a sample an"
            " object of numbers.",
            field="samples",
        )


def _turned(samples: list[Any]) -> dict[str, list[Any]]:
    """Columns of a list of samples."""
    if not samples:
        return {name: [] for name in ("t", "ax", "ay", "az")}
    if not all(isinstance(sample, dict) for sample in samples):
        raise UploadError("Each sample must be an object with t, ax, ay, az.", field="samples")
    names = dict.fromkeys(name for sample in samples for name in sample)
    if len(names) > 100:
        raise UploadError("The samples have too many different members.", field="samples")
    return {name: [sample.get(name) for sample in samples] for name in names}


def _numbers(name: str, values: Any) -> Series:
    import numpy as np

    if not isinstance(values, list):
        raise UploadError(f"The column {name} is no list.", field=f"samples.{name}")
    other = next((each for each in values if isinstance(each, (list, dict, bool))), None)
    if other is not None:
        kind = {list: "a list", dict: "an object", bool: "true or false"}[type(other)]
        raise UploadError(
            f"The column {name} holds {kind} where a number should stand.",
            field=f"samples.{name}",
        )
    try:
        # Nothing stands for a number that is not known.
        found: Series = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UploadError(
            f"The column {name} holds what is no number.", field=f"samples.{name}"
        ) from error
    return found
