"""What of a row is an asset: code, position, state and attributes; or why it is none.

Positions are brought to WGS 84 and judged against the city, some thousand at a time. A row that
is wrong is put aside alone. Where most rows are wrong in one way, the file is: it is in metres,
its latitudes and longitudes are swapped, it is another city's; `verdict` says which.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from assets.importing.faults import BadRow, FileError, RowReason
from assets.importing.mapping import CODE_NAMES, FileMapping, named
from assets.importing.reading import WGS84, OpenFile, RawRow
from assets.kinds import KindEntry
from assets.register import PROVISIONAL, search_words
from assets.vocabulary import AssetState
from core.text import clean
from geo.jurisdictions import JurisdictionRef
from geo.loading import FAR_AWAY_M
from geo.measures import Point
from reports.attributes import check

#: Rows that are judged together.
BATCH = 2_000

#: A file of which so large a share is wrong in one way is wrong as a whole.
MOST_WRONG = 0.5

LONGEST_CODE = 100

#: What a state column may say to leave a row out.
IGNORED = "ignored"

#: Reference systems that files in metres are usually in, by country; tried when nobody says.
_USUAL_CRS: Mapping[str, Sequence[str]] = {
    "FR": (
        "EPSG:2154",
        *(f"EPSG:{code}" for code in range(3942, 3951)),
        "EPSG:27572",
        "EPSG:3857",
    ),
    "BE": ("EPSG:31370", "EPSG:3812", "EPSG:3857"),
    "CH": ("EPSG:2056", "EPSG:21781", "EPSG:3857"),
    "DE": ("EPSG:25832", "EPSG:25833", "EPSG:3857"),
    "NL": ("EPSG:28992", "EPSG:3857"),
    "GB": ("EPSG:27700", "EPSG:3857"),
    "US": ("EPSG:3857", "EPSG:2249", "EPSG:26986", "EPSG:5070"),
}
_NAMES_OF_CRS = {
    "EPSG:2154": "Lambert-93",
    "EPSG:27572": "Lambert II étendu",
    "EPSG:3857": "Web Mercator",
}


@dataclass(frozen=True, slots=True)
class Incoming:
    """An asset as the city's file says it.

    Attributes:
        state: None where the file does not say.
        words: what it is found by.
    """

    file: str
    line: int
    code: str
    point: Point
    state: AssetState | None
    attributes: Mapping[str, Any]
    words: str


@dataclass(slots=True)
class Tally:
    """What became of the rows of a file so far.

    Attributes:
        samples: positions of rows that are not in degrees, to recognise their reference system.
        worst_m: how far outside the farthest lies.
    """

    total: int = 0
    ignored: int = 0
    reasons: Counter[RowReason] = field(default_factory=Counter)
    first: dict[RowReason, BadRow] = field(default_factory=dict)
    samples: list[tuple[float, float]] = field(default_factory=list)
    worst_m: float = 0.0

    def put_aside(self, bad: BadRow) -> BadRow:
        """Count a row that was put aside."""
        self.reasons[bad.reason] += 1
        self.first.setdefault(bad.reason, bad)
        return bad


class Judge:
    """Judges the rows of one file.

    Raises:
        FileError: a column that the mapping names is not there, or the reference system is none.
    """

    def __init__(
        self, file: OpenFile, kind: KindEntry, mapping: FileMapping, place: JurisdictionRef
    ) -> None:
        self.file = file
        self.kind = kind
        self.mapping = mapping
        self.place = place
        self.tally = Tally()
        self.crs = mapping.crs or file.crs or WGS84
        self._to_degrees = _transformer(self.crs, file.name)
        self._is_geographic = _is_geographic(self.crs)
        self._columns = (
            _Columns.of(file.name, file.columns, kind, mapping) if file.columns else None
        )
        self._seen: dict[str, int] = {}

    def judged(self) -> Iterator[Incoming | BadRow]:
        """Every row of the file, as an asset or put aside.

        Raises:
            FileError: the file breaks off.
        """
        rows = iter(self.file.rows)
        while batch := list(islice(rows, BATCH)):
            yield from self._batch(batch)

    def verdict(self) -> None:
        """Whether the file, read to its end, is to be believed.

        Raises:
            FileError: there is nothing in it, or most of it is wrong.
        """
        tally, name = self.tally, self.file.name
        if not tally.total:
            raise FileError("empty", name, "there is a header and not one row")
        for reason, count in tally.reasons.most_common():
            if count > tally.total * MOST_WRONG:
                first = tally.first[reason]
                raise FileError(reason.value, name, self._as_a_whole(reason), line=first.line)
        wrong = sum(tally.reasons.values())
        if wrong > tally.total * MOST_WRONG:
            reason = tally.reasons.most_common(1)[0][0]
            raise FileError(
                "mostly_wrong",
                name,
                f"{wrong} of {tally.total} rows cannot be used, most often because "
                f"{tally.first[reason].detail}",
                line=tally.first[reason].line,
            )

    def _batch(self, batch: Sequence[RawRow | BadRow]) -> Iterator[Incoming | BadRow]:
        self.tally.total += len(batch)
        made: list[tuple[RawRow, _Facts]] = []
        points: list[tuple[float, float]] = []
        for row in batch:
            if isinstance(row, BadRow):
                yield self.tally.put_aside(row)
                continue
            facts = self._facts(row)
            if facts is None:
                self.tally.ignored += 1
                continue
            if isinstance(facts, BadRow):
                yield self.tally.put_aside(facts)
                continue
            place = self._position(row, facts.code)
            if isinstance(place, BadRow):
                yield self.tally.put_aside(place)
                continue
            made.append((row, facts))
            points.append(place)
        for (row, facts), position in zip(made, self._placed(points), strict=True):
            yield self._asset(row, facts, position)

    def _facts(self, row: RawRow) -> _Facts | BadRow | None:
        """Code, state and attributes; None of a row that the mapping leaves out."""
        columns = self._columns or _Columns.of(
            self.file.name, tuple(row.values), self.kind, self.mapping
        )
        code = clean(_plain(row.values.get(columns.code))).strip()

        def bad(reason: RowReason, detail: str) -> BadRow:
            shown = code[:LONGEST_CODE] or None
            return BadRow(self.file.name, row.line, shown, reason, clean(detail))

        if not code:
            return bad(RowReason.NO_CODE, f"“{columns.code}” is empty")
        if len(code) > LONGEST_CODE or code.startswith(PROVISIONAL):
            return bad(RowReason.NO_CODE, f"“{columns.code}” is not a code that can be kept")
        if code in self._seen:
            detail = f"the code “{code}” stands in line {self._seen[code]} already"
            return bad(RowReason.DUPLICATE_CODE, detail)
        state: AssetState | None = None
        if columns.state is not None:
            said = _plain(row.values.get(columns.state)).strip()
            meant = self.mapping.states.get(said, said if said in list(AssetState) else None)
            if meant == IGNORED:
                return None
            if meant is None:
                return bad(
                    RowReason.UNKNOWN_STATE, f"`states` does not say what “{said[:80]}” means"
                )
            state = AssetState(meant)
        said_of = {code_: row.values.get(column) for code_, column in columns.attributes.items()}
        checked = check(self.kind.attributes, {k: _answer(v) for k, v in said_of.items()})
        if checked.errors:
            which, messages = next(iter(checked.errors.items()))
            shown = _plain(said_of[which])[:80]
            detail = f"“{shown}” does not do as “{which}”: {messages[0]}"
            return bad(RowReason.BAD_ATTRIBUTE, detail)
        self._seen[code] = row.line
        return _Facts(code, state, checked.values)

    def _position(self, row: RawRow, code: str) -> tuple[float, float] | BadRow:
        def bad(reason: RowReason, detail: str) -> BadRow:
            return BadRow(self.file.name, row.line, code, reason, clean(detail))

        if _plain(row.x).strip() == "" or _plain(row.y).strip() == "":
            return bad(RowReason.NO_POSITION, "the position is empty")
        try:
            x, y = _number(row.x), _number(row.y)
        except ValueError:
            shown = f"({_plain(row.x)[:30]}, {_plain(row.y)[:30]})"
            return bad(RowReason.NOT_A_NUMBER, f"the position {shown} is not two numbers")
        is_degrees = abs(x) <= 180 and abs(y) <= 90
        if self._is_geographic:
            if is_degrees:
                return x, y
            if abs(x) <= 90 and abs(y) <= 180:
                detail = f"latitude and longitude are swapped: ({x:g}, {y:g})"
                return bad(RowReason.SWAPPED, detail)
            if len(self.tally.samples) < 100:
                self.tally.samples.append((x, y))
            detail = f"the position is in metres, not in degrees ({x:.0f}, {y:.0f})"
            return bad(RowReason.NOT_DEGREES, detail)
        if is_degrees:
            detail = f"the position is in degrees ({x:g}, {y:g}), but `crs` says {self.crs}"
            return bad(RowReason.NOT_METRES, detail)
        return x, y

    def _placed(self, points: Sequence[tuple[float, float]]) -> list[_Placed]:
        """Those positions in degrees, with how far outside the city they lie."""
        if not points:
            return []
        degrees = list(points)
        if self._to_degrees is not None:
            east, north = self._to_degrees.transform([x for x, _ in points], [y for _, y in points])
            degrees = list(zip(east, north, strict=True))
        usable = [
            Point(round(lat, 7), round(lon, 7))
            if math.isfinite(lat) and math.isfinite(lon) and abs(lat) <= 90 and abs(lon) <= 180
            else None
            for lon, lat in degrees
        ]
        known = [point for point in usable if point is not None]
        away = iter(self.place.boundary.distances_m(known) if known else [])
        placed = [_Placed(point, math.inf if point is None else next(away)) for point in usable]
        far = [item.point for item in placed if item.point is not None and item.away_m > FAR_AWAY_M]
        turned = [Point(point.lon, point.lat) for point in far if abs(point.lon) <= 90]
        inside = iter(self.place.boundary.distances_m(turned) if turned else [])
        swapped = {point: next(inside) <= FAR_AWAY_M for point in far if abs(point.lon) <= 90}
        return [
            _Placed(item.point, item.away_m, item.point in swapped and swapped[item.point])
            for item in placed
        ]

    def _asset(self, row: RawRow, facts: _Facts, place: _Placed) -> Incoming | BadRow:
        def bad(reason: RowReason, detail: str) -> BadRow:
            # The code is free for a row that does better.
            self._seen.pop(facts.code, None)
            return self.tally.put_aside(
                BadRow(self.file.name, row.line, facts.code, reason, detail)
            )

        if place.point is None:
            return bad(RowReason.FAR_OUTSIDE, f"the position is not one of {self.crs}")
        if place.is_swapped:
            return bad(
                RowReason.SWAPPED,
                f"latitude and longitude are swapped: ({place.point.lat:g}, {place.point.lon:g})",
            )
        if place.away_m > FAR_AWAY_M:
            self.tally.worst_m = max(self.tally.worst_m, place.away_m)
            return bad(
                RowReason.FAR_OUTSIDE,
                f"the position lies {place.away_m / 1000:,.1f} km outside the city",
            )
        return Incoming(
            file=self.file.name,
            line=row.line,
            code=facts.code,
            point=place.point,
            state=facts.state,
            attributes=facts.attributes,
            words=search_words(facts.code, facts.attributes),
        )

    def _as_a_whole(self, reason: RowReason) -> str:
        first = self.tally.first[reason].detail
        match reason:
            case RowReason.NOT_DEGREES:
                return f"the coordinates are in metres, not in degrees: {self._recognised()}"
            case RowReason.SWAPPED:
                return "latitude and longitude are swapped"
            case RowReason.FAR_OUTSIDE:
                return (
                    "the positions lie more than 5 km outside the city, up to "
                    f"{self.tally.worst_m / 1000:,.1f} km: is it another city's file?"
                )
            case RowReason.DUPLICATE_CODE:
                return f"most codes stand there twice ({first}): is it the right column?"
            case _:
                return first

    def _recognised(self) -> str:
        """Which reference system puts them into the city."""
        samples = self.tally.samples
        zone = int((self.place.boundary.box.centre().lon + 180) // 6) + 1
        utm = f"EPSG:{326 if self.place.boundary.box.centre().lat >= 0 else 327}{zone:02d}"
        for crs in (*_USUAL_CRS.get(self.place.country, ("EPSG:3857",)), utm):
            transformer = _transformer(crs, self.file.name)
            if transformer is None:
                continue
            east, north = transformer.transform([x for x, _ in samples], [y for _, y in samples])
            points = [
                Point(lat, lon)
                for lon, lat in zip(east, north, strict=True)
                if math.isfinite(lat) and abs(lat) <= 90 and abs(lon) <= 180
            ]
            away = self.place.boundary.distances_m(points) if points else []
            if sum(metres <= FAR_AWAY_M for metres in away) > len(samples) * MOST_WRONG:
                name = _NAMES_OF_CRS.get(crs)
                shown = f"{name} ({crs})" if name else crs
                return f"they are {shown}; say so in the mapping with `crs: {crs}`"
        x, y = samples[0]
        return (
            f"({x:.0f}, {y:.0f}); say which reference system it is in the mapping with `crs`, "
            "for example EPSG:2154"
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    code: str
    state: AssetState | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Placed:
    point: Point | None
    away_m: float
    is_swapped: bool = False


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which columns hold what."""

    code: str
    state: str | None
    attributes: Mapping[str, str]

    @classmethod
    def of(
        cls, name: str, columns: Sequence[str], kind: KindEntry, mapping: FileMapping
    ) -> _Columns:
        """As the mapping names them, else by their usual names.

        Raises:
            FileError: a column that is named is not there.
        """
        code = named(columns, mapping.code, CODE_NAMES)
        named_ones = [*mapping.attributes.values()]
        if mapping.state is not None:
            named_ones.append(mapping.state)
        missing = [column for column in named_ones if column not in columns]
        if code is None:
            missing.insert(0, mapping.code or "id")
        if missing:
            raise FileError(
                "wrong_columns",
                name,
                f"there is no column “{missing[0]}”; there are: {', '.join(columns)}",
                line=1,
            )
        assert code is not None
        known = {definition.code for definition in kind.attributes}
        strange = sorted(set(mapping.attributes) - known)
        if strange:
            raise FileError(
                "wrong_columns", name, f"the kind {kind.code} has no attribute “{strange[0]}”"
            )
        attributes = mapping.attributes
        if not attributes:
            lowered = {column.lower(): column for column in columns}
            attributes = {
                each: lowered[each.lower()]
                for each in sorted(known)
                if each.lower() in lowered and lowered[each.lower()] != code
            }
        return cls(code, mapping.state, attributes)


def read_all(
    file: OpenFile, kind: KindEntry, mapping: FileMapping, place: JurisdictionRef
) -> Iterable[Incoming | BadRow]:
    """Every row of a file judged, and at the end the file itself; raises `FileError`."""
    judge = Judge(file, kind, mapping, place)
    yield from judge.judged()
    judge.verdict()


def _plain(value: Any) -> str:
    """A value as text; whole numbers without the point that tables of floats give them."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _answer(value: Any) -> Any:
    """A value as the check of attributes takes it."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


_NUMBER = re.compile(r"\s*[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?\s*")


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("no number")
    if isinstance(value, str):
        # Half of Europe writes a comma for the point.
        if not _NUMBER.fullmatch(value):
            raise ValueError("no number")
        value = value.replace(",", ".")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _transformer(crs: str, name: str) -> Any:
    """From that system, east before north, to longitude and latitude; None of degrees."""
    if crs == WGS84:
        return None
    # Only imports need it, and it brings the projections of the world.
    import pyproj

    try:
        return pyproj.Transformer.from_crs(crs, WGS84, always_xy=True)
    except pyproj.exceptions.CRSError:
        raise FileError(
            "unknown_crs", name, f"“{crs}” is no reference system that PROJ knows"
        ) from None


def _is_geographic(crs: str) -> bool:
    if crs == WGS84:
        return True
    import pyproj

    return bool(pyproj.CRS.from_user_input(crs).is_geographic)
