"""Plain files of a city folder, read with the number of every line, and what is wrong with them.

Knows encodings, gzip, YAML, CSV, GeoJSON and reference systems; does not know what a city is.
Nothing here raises for a broken file: faults are gathered in a `Findings`, so that one run
lists them all.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
import shapely.geometry
from numpy.typing import NDArray
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

#: The reference system of a file that says nothing: degrees, as GeoJSON prescribes (RFC 7946 §4).
WGS84 = "EPSG:4326"

#: How many lines of one kind of fault are named before the rest is only counted.
EXAMPLES = 5

#: What "é" and its like become when UTF-8 is read as Latin-1 and written again.
_MOJIBAKE = re.compile("[ÃÂ][\x80-\xbf]")

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Something wrong in a file of the folder: where, and why, in one sentence."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"


@dataclass(slots=True)
class Findings:
    """What was found while reading: faults, which stop the load, and warnings, which do not."""

    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)

    def fault(self, file: str, line: int, reason: str) -> None:
        """Note something that stops the load."""
        self.faults.append(Fault(file, line, reason))

    def warn(self, file: str, line: int, reason: str) -> None:
        """Note something that a person should look at."""
        self.warnings.append(Fault(file, line, reason))

    def many(self, file: str, lines: Sequence[int], reason: str, *, warn: bool = False) -> None:
        """Note one reason for many lines: the first ones named, the rest counted."""
        if not lines:
            return
        if len(lines) == 1:
            text = reason
        else:
            named = ", ".join(str(line) for line in lines[:EXAMPLES])
            more = len(lines) - EXAMPLES
            tail = f" and {more} more" if more > 0 else ""
            text = f"{reason} ({len(lines)} rows: lines {named}{tail})"
        (self.warn if warn else self.fault)(file, lines[0], text)


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file as plain values, with the line of each."""

    file: str
    data: Any
    lines: Mapping[Path_, int]

    def line(self, path: Path_) -> int:
        """The line of the value at that path, or of what comes nearest above it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table, by column."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a GeoJSON file, in WGS 84."""

    line: int
    ordinal: int
    properties: Mapping[str, Any]
    geometry: Any


def holds(folder: Path, document: Document, path: Path_, name: str, findings: Findings) -> bool:
    """Whether the folder holds a file that the document names at that path; a fault if not."""
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        reason = f"“{name}” lies outside the city folder"
    elif not file.is_file():
        reason = f"there is no file “{name}” in the folder"
    else:
        return True
    findings.fault(document.file, document.line(path), reason)
    return False


def note_repeats(document: Document, key: str, codes: Sequence[str], findings: Findings) -> None:
    """A fault for every code that stands twice in the list under `key`."""
    first: dict[str, int] = {}
    for index, code in enumerate(codes):
        line = document.line((key, index, "code"))
        if code in first:
            reason = f"the code “{code}” stands in line {first[code]} already"
            findings.fault(document.file, line, reason)
        first.setdefault(code, line)


def read_text(folder: Path, name: str, findings: Findings) -> str | None:
    """The text of a file, gunzipped when its name ends in .gz; None after a fault."""
    raw = (folder / name).read_bytes()
    if name.endswith(".gz"):
        try:
            raw = gzip.decompress(raw)
        except EOFError:
            findings.fault(name, 0, "the compressed file is cut short: copy it again")
            return None
        except (gzip.BadGzipFile, zlib.error):
            findings.fault(name, 0, "the name ends in .gz, but this is not a gzip file")
            return None
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        findings.fault(name, 1, "the file is UTF-16: save it as UTF-8")
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        findings.fault(name, raw.count(b"\n", 0, error.start) + 1, _not_utf8(raw, error))
        return None
    if not text.strip():
        findings.fault(name, 0, "the file is empty")
        return None
    if "\x00" in text:
        findings.fault(name, text.count("\n", 0, text.index("\x00")) + 1, "there is a NUL byte")
        return None
    if (broken := _MOJIBAKE.search(text)) is not None:
        line = text.count("\n", 0, broken.start()) + 1
        word = text[broken.start() : broken.end()]
        findings.warn(name, line, f"“{word}” looks like an accent that was encoded twice")
    return text


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> str:
    start = raw.rfind(b"\n", 0, error.start) + 1
    word_start = max(raw.rfind(b" ", start, error.start) + 1, error.start - 20, start)
    word = raw[word_start : error.start + 12].decode("cp1252", errors="replace").split("\n")[0]
    return (
        f"the file is not UTF-8 (byte 0x{raw[error.start]:02x}); it is probably Latin-1, where "
        f"this reads “{word.strip()}”: save it as UTF-8"
    )


# YAML


def read_yaml(folder: Path, name: str, findings: Findings) -> Document | None:
    """A YAML file (1.2: `yes` and `no` are words); None after a fault."""
    text = read_text(folder, name, findings)
    if text is None:
        return None
    try:
        data = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join((error.problem or error.context or "not YAML").split())
        problem = problem.split(" with value")[0].split(" (original value")[0]
        findings.fault(name, mark.line + 1 if mark else 0, f"not valid YAML: {problem}")
        return None
    except (YAMLError, ValueError) as error:
        findings.fault(name, 0, f"not valid YAML: {str(error).splitlines()[0]}")
        return None
    if not isinstance(data, CommentedMap):
        findings.fault(name, 1, "the file must be a list of “key: value” lines")
        return None
    lines: dict[Path_, int] = {}
    return Document(name, _plain(data, (), lines), lines)


def _plain(node: Any, path: Path_, lines: dict[Path_, int]) -> Any:
    """The node without the parser's own types; fills the lines as it goes."""
    if isinstance(node, CommentedMap):
        for key in node:
            place = node.lc.data.get(key) if node.lc.data else None
            if place is not None:
                lines[*path, key] = place[0] + 1
        return {key: _plain(value, (*path, key), lines) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            lines[*path, index] = node.lc.item(index)[0] + 1
        return [_plain(value, (*path, index), lines) for index, value in enumerate(node)]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


# CSV


def read_csv(
    folder: Path, name: str, columns: Sequence[str], delimiter: str, findings: Findings
) -> list[Row]:
    """The rows of a table with a header; rows of another width are faults."""
    text = read_text(folder, name, findings)
    if text is None:
        return []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    ragged: list[int] = []
    try:
        header = [column.strip() for column in next(reader)]
        if not _has_columns(name, header, columns, findings):
            return []
        start = reader.line_num
        for values in reader:
            line, start = start + 1, reader.line_num
            if not values:
                continue
            if len(values) != len(header):
                ragged.append(line)
                continue
            rows.append(Row(line, dict(zip(header, values, strict=True))))
    except csv.Error as error:
        reason = "a quoted field does not end" if "end of data" in str(error) else str(error)
        findings.fault(name, reader.line_num, f"not valid CSV: {reason}")
        return []
    width = len(header)
    findings.many(name, ragged, f"the row does not have the {width} columns of the header")
    if not rows and not ragged:
        findings.fault(name, 1, "there is a header and not one row")
    return rows


def _has_columns(name: str, header: list[str], columns: Sequence[str], findings: Findings) -> bool:
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        findings.fault(name, 1, f"the column “{repeated[0]}” stands twice in the header")
    missing = [column for column in columns if column not in header]
    if len(header) == 1 and missing:
        for other in ";\t|,":
            if other in header[0]:
                shown = {"\t": "a tab"}.get(other, f"“{other}”")
                reason = f"columns are separated by {shown}: say so with `delimiter`"
                findings.fault(name, 1, reason)
                return False
    for column in missing:
        there = ", ".join(header)
        findings.fault(name, 1, f"there is no column “{column}”; there are: {there}")
    return not missing and not repeated


# GeoJSON


def read_geojson(folder: Path, name: str, crs: str, findings: Findings) -> list[Feature]:
    """The features of a GeoJSON file, brought to WGS 84; [] after a fault.

    Geometries are checked for their numbers (degrees or metres) here; whether a polygon is valid
    and lies in the city is for the caller.
    """
    text = read_text(folder, name, findings)
    if text is None:
        return []
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) - 1 or "Unterminated" in error.msg
        reason = "the file ends too early: it is cut short" if cut else f"not JSON: {error.msg}"
        findings.fault(name, error.lineno, reason)
        return []
    items = data.get("features") if isinstance(data, dict) else None
    if not isinstance(items, list):
        findings.fault(name, 1, "this is not a GeoJSON FeatureCollection")
        return []
    if not items:
        findings.fault(name, 1, "there is not one feature in the file")
        return []
    if not _is_same_crs(data.get("crs"), crs):
        said = data["crs"].get("properties", {}).get("name", "another reference system")
        findings.fault(name, 1, f"the file says its coordinates are {said}: give `crs` in the YAML")
        return []
    features = []
    for ordinal, (item, line) in enumerate(zip(items, _lines_of(text, items), strict=True), 1):
        feature = _feature(name, ordinal, line, item, findings)
        if feature is not None:
            features.append(feature)
    return _to_wgs84(_with_fitting_units(name, features, crs, findings), crs)


def _is_same_crs(stated: Any, crs: str) -> bool:
    """Whether the old `crs` member, when there is one, agrees with what the folder says."""
    if not isinstance(stated, dict):
        return True
    said = str(stated.get("properties", {}).get("name", ""))
    if said.endswith(("CRS84", "EPSG::4326", "EPSG:4326")):
        return crs == WGS84
    return crs != WGS84


def _feature(name: str, ordinal: int, line: int, item: Any, findings: Findings) -> Feature | None:
    try:
        geometry = shapely.geometry.shape(item["geometry"])
        properties = item["properties"] or {}
        coordinates = shapely.get_coordinates(geometry)
        if not len(coordinates) or not np.isfinite(coordinates).all():
            raise ValueError("no coordinates")
        if not isinstance(properties, dict):
            raise TypeError("properties")
    except (LookupError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError):
        findings.fault(name, line, f"feature {ordinal} has no usable geometry")
        return None
    return Feature(line, ordinal, properties, shapely.force_2d(geometry))


def _lines_of(text: str, items: Sequence[Any]) -> Iterator[int]:
    """The line on which each feature begins."""
    decoder = json.JSONDecoder()
    start = re.search(r'"features"\s*:\s*\[', text)
    position = start.end() if start else 0
    line, counted = 1, 0
    for _ in items:
        found = re.compile(r"[\s,]*").match(text, position)
        position = found.end() if found else position
        line += text.count("\n", counted, position)
        counted = position
        yield line
        try:
            position = decoder.raw_decode(text, position)[1]
        except json.JSONDecodeError:
            # "features" also stood somewhere else: the last known line is near enough.
            continue


def _with_fitting_units(
    name: str, features: Sequence[Feature], crs: str, findings: Findings
) -> list[Feature]:
    fitting: list[Feature] = []
    wrong: list[tuple[int, str]] = []
    for feature in features:
        x, y = shapely.get_coordinates(feature.geometry)[0]
        problem = wrong_units(float(x), float(y), crs)
        if problem is None:
            fitting.append(feature)
        else:
            wrong.append((feature.line, problem))
    if wrong:
        findings.many(name, [line for line, _ in wrong], wrong[0][1])
    return fitting


def wrong_units(x: float, y: float, crs: str) -> str | None:
    """What is wrong with a coordinate that is not in the units of its reference system."""
    is_degrees = abs(x) <= 180 and abs(y) <= 90
    if is_geographic(crs):
        if is_degrees:
            return None
        if abs(x) <= 90 and abs(y) <= 180:
            return f"no latitude is {y:g}; are latitude and longitude swapped? ({x:g}, {y:g})"
        return (
            f"the coordinates are in metres, not in degrees ({x:.0f}, {y:.0f}): "
            f"say which reference system it is with `crs`, for example EPSG:2154"
        )
    if is_degrees:
        return f"the coordinates are in degrees ({x:g}, {y:g}), but `crs` says {crs}"
    return None


def _to_wgs84(features: list[Feature], crs: str) -> list[Feature]:
    if crs == WGS84:
        return features

    def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
        lon, lat = transformer(crs).transform(points[:, 0], points[:, 1])
        return np.round(np.column_stack([lon, lat]), 7)

    return [
        Feature(
            feature.line,
            feature.ordinal,
            feature.properties,
            shapely.transform(feature.geometry, moved),
        )
        for feature in features
    ]


# Reference systems


def is_known_crs(crs: str) -> bool:
    """Whether the name, such as EPSG:2154, is a two-dimensional reference system."""
    try:
        return bool(pyproj.CRS.from_user_input(crs))
    except pyproj.exceptions.CRSError:
        return False


@cache
def is_geographic(crs: str) -> bool:
    """Whether coordinates of this system are degrees."""
    return bool(pyproj.CRS.from_user_input(crs).is_geographic)


@cache
def transformer(crs: str) -> pyproj.Transformer:
    """From that system, east before north, to longitude and latitude."""
    return pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
