"""Past cases of a city's 311 system, read from its CSV file. Reads; knows no database.

A file comes from another system and years ago: a row that cannot be understood is put aside with
its line and the reason, and the others are read. Only a file that is no such file at all stops.
What is only decided about, not kept, is read with more patience (`read_to_decide`): an answer is
owed for every row, whatever is missing in it.

Times are the city's own clock unless they say otherwise. `fallback_location` marks the point that
the other system writes when it knows none (Boston's is its city hall): such a case has an address
at most, and no position.
"""

from __future__ import annotations

import csv
import enum
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from core.text import clean
from geo.measures import Point

#: Without these there is nothing to replay.
NEEDED = ("id", "opened_at", "closed_at", "type", "address", "lat", "lon", "fallback_location")

#: Without these there is nothing to decide about.
NEEDED_TO_DECIDE = ("id", "opened_at", "type")

#: With these it can be said how far our routes and wards are those of the city.
COMPARED = ("reason", "department", "queue", "ward")

#: The parts of a city that a case lies in, as the other system found them from its position.
AREAS = ("ward", "precinct", "pwd_district", "neighborhood")

#: How it came in, and until when its city meant to be done: learned from, never looked at by what
#: decides.
LEARNED = ("source", "due_at")

#: What was said, where a city has it and may pass it on.
WORDS = "description"
LONGEST_WORDS = 4000

_YES = frozenset({"1", "true", "yes", "y"})
_NO = frozenset({"", "0", "false", "no", "n"})

_GZIP = b"\x1f\x8b"


class CaseFileError(ValueError):
    """This file does not hold past cases. The message is one sentence for the operator."""


class Fault(enum.StrEnum):
    """What can be wrong with a row."""

    COLUMNS = "columns"
    ENCODING = "encoding"
    ID = "id"
    REPEATED_ID = "repeated id"
    DATE = "date"
    ORDER = "closed before opened"
    POSITION = "position"
    SERVICE = "unknown service"
    REFUSED = "refused by intake"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out: where it stands, what is wrong, in words."""

    line: int
    id: str
    fault: Fault
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class PastCase:
    """A case as the other system recorded it. What its city decided is only compared with."""

    line: int
    id: str
    opened_at: datetime
    closed_at: datetime | None
    type: str
    address: str | None
    point: Point | None
    description: str = ""
    reason: str = ""
    department: str = ""
    queue: str = ""
    ward: str = ""
    source: str = ""
    due_at: datetime | None = None
    areas: tuple[tuple[str, str], ...] = ()


def until(cases: Sequence[PastCase], now: datetime) -> list[PastCase]:
    """The same cases as if the last thing that happened in them lay less than a week back.

    Moved by whole weeks, so that a Monday stays a Monday: for a demonstration, whose past should
    not grow old.
    """
    last = max((case.closed_at or case.opened_at for case in cases), default=now)
    moved = (now - last) // timedelta(weeks=1) * timedelta(weeks=1)
    return [
        replace(
            case,
            opened_at=case.opened_at + moved,
            closed_at=case.closed_at and case.closed_at + moved,
            due_at=case.due_at and case.due_at + moved,
        )
        for case in cases
    ]


@dataclass(frozen=True, slots=True)
class ToldCase:
    """What somebody wrote, and the kind of problem that it was filed as; "" where none is said."""

    id: str
    text: str
    label: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class CaseFile:
    """What a file holds: the cases in its order, the rows left out, the names of its columns."""

    cases: Sequence[PastCase]
    bad: Sequence[BadRow]
    columns: frozenset[str]

    def ids(self) -> list[str]:
        """The id of each row in the order of the file, of those that were put aside too."""
        rows: list[PastCase | BadRow] = [*self.cases, *self.bad]
        return [row.id for row in sorted(rows, key=lambda row: row.line)]


class _RowError(ValueError):
    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault


def read(path: Path, zone: ZoneInfo, *, now: datetime) -> CaseFile:
    """The cases of a CSV file, compressed or not, of a city in that time zone.

    Raises:
        CaseFileError: it cannot be read as such a file.
    """
    return _read(path, zone, now, NEEDED, is_patient=False)


def read_to_decide(path: Path, zone: ZoneInfo, *, now: datetime) -> CaseFile:
    """The same for a file whose cases are decided about: other columns than these few may lack.

    A closing or position that cannot be read is none, a text of another encoding is read as far
    as it goes. Rows without an id, a type or a day are still put aside.

    Raises:
        CaseFileError: it cannot be read as such a file.
    """
    return _read(path, zone, now, NEEDED_TO_DECIDE, is_patient=True)


def _read(
    path: Path, zone: ZoneInfo, now: datetime, needed: Sequence[str], *, is_patient: bool
) -> CaseFile:
    cases: list[PastCase] = []
    bad: list[BadRow] = []
    lines: dict[str, int] = {}
    try:
        rows = _rows(path)
        header = [name.strip() for name in next(rows, (0, []))[1]]
        missing = [name for name in needed if name not in header]
        if missing:
            raise CaseFileError(
                f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
                f"the first line must name at least {', '.join(needed)}."
            )
        column_of_id = header.index("id")
        for line, fields in rows:
            if not fields:
                continue
            id_ = _readable(fields[column_of_id]).strip()[:80] if column_of_id < len(fields) else ""
            try:
                row = _named(header, fields, is_patient=is_patient)
                id_ = row["id"][:80]
                if is_patient:
                    _make_good(row, zone, now)
                case = _case(line, row, zone, now)
                if case.id in lines:
                    raise _RowError(
                        Fault.REPEATED_ID, f"line {lines[case.id]} has a case of this id already"
                    )
            except _RowError as error:
                bad.append(BadRow(line, id_, error.fault, str(error)))
                continue
            lines[case.id] = line
            cases.append(case)
    except (OSError, EOFError, zlib.error) as error:
        raise CaseFileError(f"{path} cannot be read to its end: {error}.") from error
    return CaseFile(cases, bad, frozenset(header))


#: Under which names files have what somebody wrote, what it was filed as, and when: the first that
#: is there.
_TOLD = {
    "id": ("id", "ID"),
    "text": (WORDS, "Description"),
    "label": ("type", "Title"),
    "at": ("opened_at", "Date Created"),
}


def told(path: Path, zone: ZoneInfo, *, with_labels: bool = True) -> list[ToldCase]:
    """What people wrote, of a file that needs neither places nor dates: every row of it.

    Args:
        with_labels: False reads no label at all, whether the file has one or not.

    Raises:
        CaseFileError: it cannot be read as such a file.
    """
    found: list[ToldCase] = []
    try:
        rows = _rows(path)
        header = [name.strip() for name in next(rows, (0, []))[1]]
        at = {
            part: next((header.index(name) for name in names if name in header), None)
            for part, names in _TOLD.items()
        }
        for part in ("id", "text", "label") if with_labels else ("id", "text"):
            if at[part] is None:
                raise CaseFileError(f"{path} lacks the column {' or '.join(_TOLD[part])}.")

        def value(fields: Sequence[str], part: str) -> str:
            index = at[part]
            if index is None or index >= len(fields):
                return ""
            return clean(_readable(fields[index])).strip()[:LONGEST_WORDS]

        for _, fields in rows:
            if not fields:
                continue
            found.append(
                ToldCase(
                    id=value(fields, "id"),
                    text=value(fields, "text"),
                    label=" ".join(value(fields, "label").split()) if with_labels else "",
                    at=_told_at(value(fields, "at"), zone),
                )
            )
    except (OSError, EOFError, zlib.error) as error:
        raise CaseFileError(f"{path} cannot be read to its end: {error}.") from error
    return found


def _told_at(text: str, zone: ZoneInfo) -> datetime | None:
    """An instant as files have it, or seconds of Unix time; None of what is neither."""
    try:
        if text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        return _instant("at", text, zone)
    except (ValueError, OverflowError, OSError):
        return None


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row; undecodable bytes are kept as lone surrogates."""
    with path.open("rb") as raw:
        start = raw.read(2)
        raw.seek(0)
        binary = gzip.GzipFile(fileobj=raw) if start == _GZIP else raw
        text = io.TextIOWrapper(binary, "utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text)
        line = 1
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # The reader goes on with the next row; this one has the wrong number of fields.
                fields = [str(error)]
            yield line, fields
            line = reader.line_num + 1


def _readable(text: str) -> str:
    """The text with a mark for each byte that was none of UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _named(header: Sequence[str], fields: Sequence[str], *, is_patient: bool) -> dict[str, str]:
    if len(fields) != len(header):
        raise _RowError(Fault.COLUMNS, f"it has {len(fields)} fields, not {len(header)}")
    row = dict(zip(header, (field.strip() for field in fields), strict=True))
    for name in dict.fromkeys((*NEEDED, *COMPARED, *AREAS, *LEARNED, WORDS)):
        value = row.get(name, "")
        if value.isascii() and value.isprintable():
            continue
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            if not is_patient:
                raise _RowError(Fault.ENCODING, f"{name} is not UTF-8")
            row[name] = value = _readable(value)
        if value != clean(value):
            row[name] = clean(value)
    return row


def _make_good(row: dict[str, str], zone: ZoneInfo, now: datetime) -> None:
    """Blank what cannot be read in the parts that a row can do without, columns that lack too."""
    for name in NEEDED:
        row.setdefault(name, "")
    try:
        _point(row)
    except _RowError:
        row["lat"] = row["lon"] = row["fallback_location"] = ""
    if not row["closed_at"]:
        return
    try:
        # As late as the text can mean, in the hour that the clock shows twice.
        closed_at = _instant("closed_at", row["closed_at"], zone, fold=1)
        opened_at = _instant("opened_at", row["opened_at"], zone)
    except _RowError:
        row["closed_at"] = ""
        return
    if closed_at > now:
        row["closed_at"] = ""
    elif closed_at < opened_at:
        # A day without its hour, or two clocks: over at once, whenever that was.
        row["closed_at"] = row["opened_at"]


def _case(line: int, row: Mapping[str, str], zone: ZoneInfo, now: datetime) -> PastCase:
    if not row["id"]:
        raise _RowError(Fault.ID, "it has no id")
    if not row["type"]:
        raise _RowError(Fault.SERVICE, "it has no type")
    opened_at = _instant("opened_at", row["opened_at"], zone)
    if opened_at > now:
        raise _RowError(Fault.DATE, f"opened_at is in the future: {row['opened_at']}")
    closed_at = None
    if row["closed_at"]:
        closed_at = _instant("closed_at", row["closed_at"], zone)
        if closed_at < opened_at:
            # In the hour that the clock shows twice, the second one may be meant.
            closed_at = _instant("closed_at", row["closed_at"], zone, fold=1)
        if closed_at < opened_at:
            raise _RowError(Fault.ORDER, f"closed {row['closed_at']}, opened {row['opened_at']}")
        if closed_at > now:
            raise _RowError(Fault.DATE, f"closed_at is in the future: {row['closed_at']}")
    return PastCase(
        line=line,
        id=row["id"],
        opened_at=opened_at,
        closed_at=closed_at,
        type=" ".join(row["type"].split()),
        address=" ".join(row["address"].split()) or None,
        point=_point(row),
        description=row.get(WORDS, "")[:LONGEST_WORDS],
        source=row.get("source", ""),
        due_at=_due(row.get("due_at", ""), zone),
        areas=tuple((name, row[name]) for name in AREAS if row.get(name)),
        **{name: row.get(name, "") for name in COMPARED},
    )


def _due(text: str, zone: ZoneInfo) -> datetime | None:
    """When it was due; None where the file does not say it in a way that can be read."""
    try:
        return _instant("due_at", text, zone) if text else None
    except _RowError:
        return None


def _instant(name: str, text: str, zone: ZoneInfo, *, fold: int = 0) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise _RowError(Fault.DATE, f"{name} is no date: {text!r}") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone, fold=fold)
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise _RowError(Fault.DATE, f"{name} is no date: {text!r}") from None


def _point(row: Mapping[str, str]) -> Point | None:
    """The position; None where there is none, or only a stand-in."""
    fallback = row["fallback_location"].lower()
    if fallback not in _YES | _NO:
        raise _RowError(Fault.POSITION, f"fallback_location is neither 0 nor 1: {fallback!r}")
    if fallback in _YES or not (row["lat"] or row["lon"]):
        return None
    try:
        return Point(float(row["lat"]), float(row["lon"]))
    except ValueError:
        raise _RowError(
            Fault.POSITION, f"no position on the globe: {row['lat']!r}, {row['lon']!r}"
        ) from None
