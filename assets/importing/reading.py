"""Files of assets, read row by row as they stand: CSV, GeoJSON, GeoPackage; gzipped or not.

Knows formats, encodings and line numbers; does not know what an asset is. Nothing is held in
memory but the row in hand. A GeoPackage is an SQLite database whose geometries are WKB behind a
short header (OGC 12-128r18, section 2.1.3): the forty lines below read its points, where GDAL
would bring sixty megabytes.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import json
import re
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from assets.importing.faults import BadRow, FileError, RowReason
from assets.importing.mapping import LAT_NAMES, LON_NAMES, FileMapping, named, type_of

#: The reference system of a file that says nothing: degrees, as GeoJSON prescribes (RFC 7946 §4).
WGS84 = "EPSG:4326"

#: Characters read at a time of a GeoJSON file, and the most that one feature may have.
_CHUNK = 1 << 16
_LONGEST_FEATURE = 1 << 24

#: A field of a table is no longer than this.
_LONGEST_FIELD = 1 << 20

#: Names of this reference system, as the old `crs` member of GeoJSON writes it.
_DEGREES = ("CRS84", "EPSG::4326", "EPSG:4326")


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as the file has it.

    Attributes:
        line: of a table; of a GeoJSON file the line on which the feature begins; of a GeoPackage
            the id of the feature.
        x, y: east and north, in the reference system of the file; text of a table.
    """

    line: int
    values: Mapping[str, Any]
    x: Any
    y: Any


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that is being read.

    Attributes:
        columns: names of the columns or properties; None where only the rows show them.
        crs: the reference system that the file itself states.
        rows: can be gone through once; raises `FileError` where the file breaks off.
    """

    name: str
    columns: tuple[str, ...] | None
    crs: str | None
    rows: Iterator[RawRow | BadRow]


@contextlib.contextmanager
def opened(path: Path, mapping: FileMapping) -> Iterator[OpenFile]:
    """The file, open for reading.

    Raises:
        FileError: it is empty, cut short, of another format, in another encoding, or without the
            columns of a position.
    """
    name = path.name
    type_ = type_of(name)
    if not type_:
        raise FileError(
            "unknown_format", name, "this is no .csv, .geojson or .gpkg file (.csv.gz will do)"
        )
    if not path.stat().st_size:
        raise FileError("empty", name, "the file is empty")
    with contextlib.ExitStack() as stack:
        if type_ == "gpkg":
            yield _geopackage(stack, path, mapping)
            return
        text = stack.enter_context(_text(path, mapping.encoding))
        try:
            yield _table(text, name, path, mapping) if type_ == "csv" else _geojson(text, path)
        except UnicodeDecodeError:
            raise _not_decodable(path, mapping.encoding) from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _broken_gzip(name, error) from None


@contextlib.contextmanager
def _text(path: Path, encoding: str | None) -> Iterator[IO[str]]:
    try:
        codec = codecs.lookup(encoding or "utf-8-sig").name
    except LookupError:
        raise FileError(
            "unknown_encoding", path.name, f"“{encoding}” is no encoding that is known"
        ) from None
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as start:
        try:
            head = start.read(2)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _broken_gzip(path.name, error) from None
    if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and encoding is None:
        raise FileError(
            "wrong_encoding",
            path.name,
            "the file is UTF-16: save it as UTF-8, or say `encoding: utf-16`",
            line=1,
        )
    if not head:
        raise FileError("empty", path.name, "the file is empty")
    with opener(path, "rt", encoding=codec, newline="") as file:
        yield file


def _broken_gzip(name: str, error: Exception) -> FileError:
    if isinstance(error, gzip.BadGzipFile):
        return FileError(
            "unknown_format", name, "the name ends in .gz, but this is not a gzip file"
        )
    return FileError("cut_short", name, "the compressed file is cut short: copy it again")


def _not_decodable(path: Path, encoding: str | None) -> FileError:
    """Says on which line, and how it probably reads."""
    decoder = codecs.getincrementaldecoder(encoding or "utf-8")
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    found, word = 0, ""
    with opener(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                decoder().decode(line, final=True)
            except UnicodeDecodeError as error:
                near = line[max(0, error.start - 12) : error.start + 12]
                word = near.decode("cp1252", errors="replace").strip()
                found = number
                break
    told = f"“{encoding}”" if encoding else "UTF-8"
    return FileError(
        "wrong_encoding",
        path.name,
        f"the file is not {told}; it is probably Latin-1, where this reads “{word}”: "
        "save it as UTF-8, or say `encoding: latin-1`",
        line=found,
    )


# -- tables ----------------------------------------------------------------------------------------


def _table(text: IO[str], name: str, path: Path, mapping: FileMapping) -> OpenFile:
    csv.field_size_limit(_LONGEST_FIELD)
    first = text.readline()
    if not first.strip():
        raise FileError("empty", name, "the file has no header", line=1)
    if "\0" in first:
        raise FileError("unknown_format", name, "this is not a text file", line=1)
    delimiter = mapping.delimiter or max(",;\t|", key=first.count)
    header = [column.strip() for column in next(csv.reader([first], delimiter=delimiter))]
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise FileError(
            "wrong_columns", name, f"the column “{repeated[0]}” stands twice in the header", line=1
        )
    lat = named(header, mapping.lat, LAT_NAMES)
    lon = named(header, mapping.lon, LON_NAMES)
    for column, wanted, usual in ((lat, mapping.lat, "lat"), (lon, mapping.lon, "lon")):
        if column is None:
            there = ", ".join(header)
            raise FileError(
                "wrong_columns",
                name,
                f"there is no column “{wanted or usual}”; there are: {there}",
                line=1,
            )
    assert lat is not None
    assert lon is not None
    return OpenFile(
        name, tuple(header), None, _table_rows(text, name, path, header, delimiter, lat, lon)
    )


def _table_rows(
    text: IO[str],
    name: str,
    path: Path,
    header: list[str],
    delimiter: str,
    lat: str,
    lon: str,
) -> Iterator[RawRow | BadRow]:
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    width = len(header)
    narrow: BadRow | None = None
    start = 1
    try:
        for values in reader:
            line, start = start + 1, reader.line_num + 1
            if narrow is not None:
                yield narrow
                narrow = None
            if not values:
                continue
            if len(values) != width:
                detail = f"the row has {len(values)} columns and the header {width}"
                bad = BadRow(name, line, None, RowReason.WRONG_WIDTH, detail)
                if len(values) < width:
                    # The last row of a file that was cut in the middle looks like this.
                    narrow = bad
                else:
                    yield bad
                continue
            row = dict(zip(header, values, strict=True))
            yield RawRow(line, row, row[lon], row[lat])
    except csv.Error as error:
        if "end of data" in str(error):
            raise FileError(
                "cut_short", name, "a quoted field does not end: the file is cut short", line=start
            ) from None
        raise FileError("not_csv", name, f"not valid CSV: {error}", line=start) from None
    if narrow is not None:
        if not _ends_with_line(path):
            raise FileError(
                "cut_short",
                name,
                "the file ends in the middle of a row: it is cut short",
                line=narrow.line,
            )
        yield narrow


def _ends_with_line(path: Path) -> bool:
    if path.name.lower().endswith(".gz"):
        # A gzip file knows its own length and sum: it is whole if it could be read.
        return True
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) in b"\r\n"


# -- GeoJSON ---------------------------------------------------------------------------------------


def _geojson(text: IO[str], path: Path) -> OpenFile:
    window = _Window(text, path.name)
    head = window.until_features()
    stated = re.search(r'"crs"\s*:\s*\{.*?"name"\s*:\s*"([^"]*)"', head, re.DOTALL)
    crs = _stated_crs(path.name, stated.group(1)) if stated else None
    return OpenFile(path.name, None, crs, _features(window, path.name))


def _stated_crs(name: str, stated: str) -> str:
    if stated.endswith(_DEGREES):
        return WGS84
    code = re.search(r"EPSG:{1,2}(\d{4,6})$", stated)
    if code is None:
        raise FileError(
            "unknown_crs", name, f"the file says its coordinates are “{stated}”: say which `crs`"
        )
    return f"EPSG:{code.group(1)}"


class _Window:
    """A stretch of a long text, with the number of its first line."""

    def __init__(self, text: IO[str], name: str) -> None:
        self._text = text
        self._name = name
        self._decoder = json.JSONDecoder()
        self.buffer = ""
        self.line = 1
        self.is_over = False

    def more(self) -> bool:
        """Read on; False at the end of the file."""
        chunk = self._text.read(_CHUNK)
        self.buffer += chunk
        self.is_over = not chunk
        return bool(chunk)

    def drop(self, count: int) -> None:
        """Leave so many characters behind."""
        self.line += self.buffer.count("\n", 0, count)
        self.buffer = self.buffer[count:]

    def until_features(self) -> str:
        """What stands before the list of features, which comes next."""
        while True:
            found = re.search(r'"features"\s*:\s*\[', self.buffer)
            if found is not None:
                head = self.buffer[: found.start()]
                self.drop(found.end())
                return head
            if not self.more():
                break
        if not self.buffer.strip():
            raise FileError("empty", self._name, "the file is empty")
        if self.buffer.lstrip()[:1] != "{" or not self.buffer.rstrip().endswith("}"):
            cut = self.buffer.lstrip()[:1] in ("{", "[")
            raise FileError(
                "cut_short" if cut else "not_json",
                self._name,
                "the file ends too early: it is cut short" if cut else "this is not JSON",
                line=1,
            )
        raise FileError(
            "not_geojson", self._name, "this is not a GeoJSON FeatureCollection", line=1
        )

    def next_feature(self) -> Any:
        """The next feature; None behind the last one."""
        while True:
            blank = re.match(r"[\s,]*", self.buffer)
            self.drop(blank.end() if blank else 0)
            if self.buffer[:1] == "]":
                return None
            if self.buffer:
                try:
                    feature, end = self._decoder.raw_decode(self.buffer)
                except json.JSONDecodeError as error:
                    # Broken in the middle of what is there, and not for want of the rest.
                    is_broken = error.pos < len(self.buffer) - 200 and self.is_over
                    if len(self.buffer) > _LONGEST_FEATURE or is_broken:
                        line = self.line + self.buffer.count("\n", 0, error.pos)
                        raise FileError(
                            "not_json", self._name, f"not JSON: {error.msg}", line=line
                        ) from None
                else:
                    return _Placed(feature, end)
            if not self.more():
                raise FileError(
                    "cut_short",
                    self._name,
                    "the file ends too early: it is cut short",
                    line=self.line,
                )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A decoded feature and how many characters it took."""

    feature: Any
    length: int


def _features(window: _Window, name: str) -> Iterator[RawRow | BadRow]:
    while (placed := window.next_feature()) is not None:
        line = window.line
        window.drop(placed.length)
        item = placed.feature
        properties = item.get("properties") if isinstance(item, dict) else None
        values = dict(properties) if isinstance(properties, dict) else {}
        if isinstance(item, dict) and "id" in item:
            values.setdefault("id", item["id"])
        geometry = item.get("geometry") if isinstance(item, dict) else None
        position = _geojson_point(geometry)
        if position is None:
            what = geometry.get("type") if isinstance(geometry, dict) else "no geometry"
            detail = f"the feature is not a point ({what})"
            yield BadRow(name, line, _text_of(values.get("id")), RowReason.NOT_A_POINT, detail)
            continue
        yield RawRow(line, values, *position)


def _geojson_point(geometry: Any) -> tuple[Any, Any] | None:
    if not isinstance(geometry, dict):
        return None
    coordinates = geometry.get("coordinates")
    if geometry.get("type") == "MultiPoint" and isinstance(coordinates, list):
        coordinates = coordinates[0] if len(coordinates) == 1 else None
    elif geometry.get("type") != "Point":
        return None
    if not isinstance(coordinates, list) or len(coordinates) < 2:
        return None
    return coordinates[0], coordinates[1]


def _text_of(value: Any) -> str | None:
    return None if value is None else str(value)[:200]


# -- GeoPackage ------------------------------------------------------------------------------------

_TABLES = """
    SELECT c.table_name, g.column_name, s.organization, s.organization_coordsys_id
      FROM gpkg_contents AS c
      JOIN gpkg_geometry_columns AS g ON g.table_name = c.table_name
      LEFT JOIN gpkg_spatial_ref_sys AS s ON s.srs_id = g.srs_id
     WHERE c.data_type = 'features' ORDER BY 1
"""

#: Bytes of the envelope, by its code in the flags (table 6 of the standard).
_ENVELOPES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}


def _geopackage(stack: contextlib.ExitStack, path: Path, mapping: FileMapping) -> OpenFile:
    name = path.name
    connection = stack.enter_context(
        contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True))
    )
    connection.row_factory = sqlite3.Row
    try:
        tables = connection.execute(_TABLES).fetchall()
    except sqlite3.DatabaseError as error:
        raise _damaged(name, error) from None
    by_name = {table["table_name"]: table for table in tables}
    if mapping.layer is not None and mapping.layer not in by_name:
        raise FileError(
            "wrong_columns",
            name,
            f"there is no layer “{mapping.layer}”; there are: {', '.join(by_name) or 'none'}",
        )
    if mapping.layer is None and len(tables) != 1:
        raise FileError(
            "wrong_columns",
            name,
            f"say which `layer` holds them: {', '.join(by_name)}"
            if tables
            else "the GeoPackage holds no features",
        )
    table = by_name[mapping.layer] if mapping.layer is not None else tables[0]
    crs = None
    if (table["organization"] or "").upper() == "EPSG":
        crs = f"EPSG:{table['organization_coordsys_id']}"
    quoted = table["table_name"].replace('"', '""')
    try:
        cursor = connection.execute(f'SELECT rowid AS "_line", * FROM "{quoted}" ORDER BY rowid')
    except sqlite3.DatabaseError as error:
        raise _damaged(name, error) from None
    columns = tuple(item[0] for item in cursor.description if item[0] != "_line")
    return OpenFile(name, columns, crs, _package_rows(cursor, name, table["column_name"]))


def _package_rows(cursor: sqlite3.Cursor, name: str, geometry: str) -> Iterator[RawRow | BadRow]:
    try:
        for row in cursor:
            values = {key: row[key] for key in row.keys() if key not in ("_line", geometry)}  # noqa: SIM118
            line = int(row["_line"])
            try:
                position = _package_point(row[geometry])
            except (struct.error, ValueError, KeyError, TypeError, IndexError):
                position = None
            if position is None:
                detail = "the feature has no point as its geometry"
                yield BadRow(name, line, None, RowReason.NOT_A_POINT, detail)
                continue
            yield RawRow(line, values, *position)
    except sqlite3.DatabaseError as error:
        raise _damaged(name, error) from None


def _package_point(blob: bytes) -> tuple[float, float] | None:
    """The position in a geometry of a GeoPackage; None when it is no single point."""
    if blob[:2] != b"GP" or blob[3] & 0b10000:
        return None
    at = 8 + _ENVELOPES[blob[3] >> 1 & 0b111]
    return _wkb_point(blob, at)


def _wkb_point(blob: bytes, at: int) -> tuple[float, float] | None:
    """Well-known binary (OGC 06-103r4, section 8.2): a point, or a collection of just one."""
    order = "<" if blob[at] else ">"
    (kind,) = struct.unpack_from(f"{order}I", blob, at + 1)
    # Thousands, or high bits in an older dialect, say that there are heights.
    match (kind & 0x0FFFFFFF) % 1000:
        case 1:
            x, y = struct.unpack_from(f"{order}2d", blob, at + 5)
            return x, y
        case 4:
            (count,) = struct.unpack_from(f"{order}I", blob, at + 5)
            return _wkb_point(blob, at + 9) if count == 1 else None
        case _:
            return None


def _damaged(name: str, error: sqlite3.DatabaseError) -> FileError:
    if "no such table" in str(error):
        return FileError("unknown_format", name, "this is an SQLite file, but no GeoPackage")
    if "not a database" in str(error):
        return FileError("unknown_format", name, "this is not a GeoPackage")
    return FileError("cut_short", name, f"the GeoPackage is damaged or cut short ({error})")
