"""A city's boundary, areas and addresses, brought into the database from what its folder says.

Reads no file: `app.city` has read the folder and hands over plain values that remember their line.
Loading the same twice changes nothing, not even the version; what changed moves it, so that every
process reads the city again. Everything happens in the caller's transaction, all or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.changes import Changes, assign
from core.text import clean
from geo.address_text import street_key
from geo.areas import Boundary, Polygon, PolygonError
from geo.cells import cell_of
from geo.measures import Point
from geo.models import Area, Jurisdiction

#: Nothing of a city lies farther outside its boundary than this; what does is in another
#: projection, or has its coordinates swapped.
FAR_AWAY_M = 5_000.0

#: A load that would delete more than this share of the addresses is taken for a broken file.
MAX_LOSS = 0.5
#: Fewer addresses than this may go without asking.
_FEW = 100

_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class JurisdictionSpec:
    """A jurisdiction as its folder describes it; the fields are those of `geo.models`.

    Attributes:
        names: locale → name.
        locales: best first; `default_locale` is one of them.
        boundary: GeoJSON geometry, WGS 84.
    """

    code: str
    names: Mapping[str, str]
    locales: Sequence[str]
    default_locale: str
    country: str
    time_zone: str
    boundary: Mapping[str, Any]
    boundary_buffer_m: float = 0.0
    subdivision: str | None = None
    contact: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AreaSpec:
    """An area of a layer. `line` is where its file says so, for messages."""

    layer: str
    code: str
    names: Mapping[str, str]
    geometry: Mapping[str, Any]
    line: int = 0


@dataclass(frozen=True, slots=True)
class AddressSpec:
    """A house number with its position. `geo.address_text.house_number` reads `2bis`.

    Attributes:
        suffix: bis, ter, A…; empty if none.
        code: the city's own id of the address or of its street.
        line: where its file says so, for messages.
    """

    number: int | None
    street: str
    lat: float
    lon: float
    suffix: str = ""
    code: str | None = None
    postcode: str | None = None
    locality: str | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about one or several lines of a file that a person should know."""

    lines: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did, and what was odd about it."""

    changes: Changes
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedJurisdiction(Loaded):
    """The same for the jurisdiction itself, whose id everything else is loaded under."""

    id: int = 0


class LoadingError(ValueError):
    """What a folder says cannot be loaded. Each fault names its lines; nothing was changed."""

    def __init__(self, faults: Sequence[Notice]) -> None:
        super().__init__("; ".join(fault.reason for fault in faults))
        self.faults = tuple(faults)


def load_jurisdiction(session: Session, spec: JurisdictionSpec) -> LoadedJurisdiction:
    """Make the jurisdiction what `spec` says, and hold it against other loads of the same city.

    Raises:
        LoadingError: a field is not what it should be.
    """
    polygon = _checked(spec)
    _one_at_a_time(session, spec.code)
    values = {
        "names": dict(spec.names),
        "locales": list(spec.locales),
        "default_locale": spec.default_locale,
        "country": spec.country,
        "subdivision": spec.subdivision,
        "time_zone": spec.time_zone,
        "boundary": polygon.geojson(),
        "boundary_buffer_m": float(spec.boundary_buffer_m),
        "contact": dict(spec.contact),
        "policy": dict(spec.policy),
    }
    warnings = _repair_notice((), "the boundary", polygon)
    row = session.scalar(sa.select(Jurisdiction).where(Jurisdiction.code == spec.code))
    if row is None:
        row = Jurisdiction(code=spec.code, **values)
        session.add(row)
        session.flush()
        return LoadedJurisdiction(Changes(created=1), warnings, row.id)
    if not assign(row, values):
        return LoadedJurisdiction(Changes(unchanged=1), warnings, row.id)
    session.flush()
    touch(session, row.id)
    return LoadedJurisdiction(Changes(updated=1), warnings, row.id)


def load_areas(session: Session, jurisdiction_id: int, specs: Sequence[AreaSpec]) -> Loaded:
    """Make the jurisdiction's areas those of `specs`; ids of areas that stay are kept.

    Raises:
        LoadingError: an area is no polygon, lies far away, or its code repeats in its layer.
    """
    boundary = _boundary(session, jurisdiction_id)
    faults: list[Notice] = []
    warnings: list[Notice] = []
    wanted: dict[tuple[str, str], dict[str, Any]] = {}
    for spec in specs:
        what = f"area “{spec.code}” of layer “{spec.layer}”"
        try:
            polygon = Polygon.read(spec.geometry)
        except PolygonError as error:
            faults.append(Notice((spec.line,), f"{what}: {error}"))
            continue
        key = (spec.layer, spec.code)
        if key in wanted:
            faults.append(Notice((spec.line,), f"{what} is there twice"))
        elif boundary.distance_of_polygon_m(polygon) > FAR_AWAY_M:
            faults.append(Notice((spec.line,), f"{what} lies more than 5 km outside the boundary"))
        warnings.extend(_repair_notice((spec.line,), what, polygon))
        wanted[key] = {"names": dict(spec.names), "geometry": polygon.geojson()}
    if faults:
        raise LoadingError(faults)
    rows = {
        (area.layer, area.code): area
        for area in session.scalars(sa.select(Area).where(Area.jurisdiction_id == jurisdiction_id))
    }
    created = updated = 0
    for key, values in wanted.items():
        row = rows.get(key)
        if row is None:
            layer, code = key
            session.add(Area(jurisdiction_id=jurisdiction_id, layer=layer, code=code, **values))
            created += 1
        elif assign(row, values):
            updated += 1
    gone = [row for key, row in rows.items() if key not in wanted]
    for row in gone:
        session.delete(row)
    session.flush()
    changes = Changes(created, updated, len(gone), len(wanted) - created - updated)
    if changes:
        touch(session, jurisdiction_id)
    return Loaded(changes, tuple(warnings))


def load_addresses(
    session: Session,
    jurisdiction_id: int,
    specs: Sequence[AddressSpec],
    *,
    allow_loss: bool = False,
) -> Loaded:
    """Make the jurisdiction's addresses those of `specs`: one COPY and three set-based statements.

    Addresses outside the boundary and its margin are loaded, with a warning.

    Raises:
        LoadingError: an address lies more than 5 km outside, has no street or no valid position,
            or more than half of the known ones would go and `allow_loss` is not set.
    """
    rows, warnings = _address_rows(_boundary(session, jurisdiction_id), specs)
    _copy(session, rows)
    parameters = {"jurisdiction_id": jurisdiction_id}
    found = session.execute(_COMPARE, parameters).one()
    if not allow_loss and found.before > _FEW and found.gone > found.before * MAX_LOSS:
        reason = f"{found.gone} of {found.before} known addresses would go; is the file whole?"
        raise LoadingError([Notice((), reason)])
    if found.updated:
        session.execute(_UPDATE, parameters)
    if found.created or found.gone:
        session.execute(_REPLACE, parameters)
        # What was inserted waits in the full-text index's list of pending entries, which every
        # search reads whole until the next vacuum: 15 ms instead of one for a fresh city.
        session.execute(sa.text("SELECT gin_clean_pending_list('ix_addresses_search')"))
        session.execute(sa.text("ANALYZE addresses"))
    unchanged = len(rows) - found.created - found.updated
    changes = Changes(found.created, found.updated, found.gone, unchanged)
    if changes:
        touch(session, jurisdiction_id)
    return Loaded(changes, warnings)


def touch(session: Session, jurisdiction_id: int) -> None:
    """Move the version of a jurisdiction, so that every process reads the city again."""
    session.execute(
        sa.update(Jurisdiction)
        .where(Jurisdiction.id == jurisdiction_id)
        .values(version=Jurisdiction.version + 1, updated_at=sa.func.clock_timestamp())
        .execution_options(synchronize_session="fetch")
    )


# -- jurisdiction and areas ------------------------------------------------------------------------


def _checked(spec: JurisdictionSpec) -> Polygon:
    """The boundary of a jurisdiction whose other fields are right."""
    faults: list[str] = []
    if not _CODE.fullmatch(spec.code):
        faults.append(f"code “{spec.code}” must be small letters, digits and single hyphens")
    if not _COUNTRY.fullmatch(spec.country):
        faults.append(f"country “{spec.country}” must be two capital letters (ISO 3166-1)")
    if spec.default_locale not in spec.locales:
        faults.append(f"default_locale “{spec.default_locale}” is not among the locales")
    if not spec.names.get(spec.default_locale):
        faults.append(f"there is no name in the default locale “{spec.default_locale}”")
    if not 0 <= spec.boundary_buffer_m <= FAR_AWAY_M:
        faults.append(f"boundary_buffer_m must be from 0 to {FAR_AWAY_M:.0f}")
    try:
        ZoneInfo(spec.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        faults.append(f"“{spec.time_zone}” is no time zone")
    try:
        polygon = Polygon.read(spec.boundary)
    except PolygonError as error:
        faults.append(f"the boundary: {error}")
        polygon = None
    if faults or polygon is None:
        raise LoadingError([Notice((), fault) for fault in faults])
    return polygon


def _one_at_a_time(session: Session, code: str) -> None:
    """Let a second load of the same city wait for the first, even if its row is not there yet."""
    session.execute(
        sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"load jurisdiction {code}")))
    )


def _boundary(session: Session, jurisdiction_id: int) -> Boundary:
    row = session.execute(
        sa.select(Jurisdiction.boundary, Jurisdiction.boundary_buffer_m).where(
            Jurisdiction.id == jurisdiction_id
        )
    ).one()
    return Boundary(row.boundary, row.boundary_buffer_m)


def _repair_notice(lines: tuple[int, ...], what: str, polygon: Polygon) -> tuple[Notice, ...]:
    if not polygon.repaired:
        return ()
    return (Notice(lines, f"{what} was repaired ({polygon.repaired})"),)


# -- addresses -------------------------------------------------------------------------------------

_COLUMNS = "code, number, suffix, street, street_key, postcode, locality, lat, lon, cell"

_AddressRow = tuple[
    str | None, int | None, str, str, str, str | None, str | None, float, float, int
]

# What makes an address the same one as before, as one text that a hash join can use. A number that
# stands twice in a street (16 of Montpellier's do) is told apart by its turn, in a stable order.
_NUMBERED = """
    SELECT {columns}, concat_ws(
        chr(31), street_key, coalesce(number, -1), suffix, coalesce(postcode, ''),
        coalesce(locality, ''), row_number() OVER (
            PARTITION BY street_key, number, suffix, postcode, locality
            ORDER BY code, lat, lon, street
        )
    ) AS identity
    FROM {table}
"""
_STORED = _NUMBERED.format(
    columns=f"id, {_COLUMNS}", table="addresses WHERE jurisdiction_id = :jurisdiction_id"
)
_INCOMING = _NUMBERED.format(columns=_COLUMNS, table="incoming_addresses")
_BOTH = f"WITH old AS MATERIALIZED ({_STORED}), new AS MATERIALIZED ({_INCOMING})"
_DIFFERENT = """
    (old.code, old.street, old.lat, old.lon, old.cell)
    IS DISTINCT FROM (new.code, new.street, new.lat, new.lon, new.cell)
"""
_COMPARE = sa.text(
    f"""
    {_BOTH}
    SELECT
        count(*) FILTER (WHERE old.identity IS NULL) AS created,
        count(*) FILTER (WHERE old.identity = new.identity AND {_DIFFERENT}) AS updated,
        count(*) FILTER (WHERE new.identity IS NULL) AS gone,
        count(old.identity) AS before
    FROM old FULL JOIN new ON old.identity = new.identity
    """
)
_UPDATE = sa.text(
    f"""
    {_BOTH}
    UPDATE addresses AS stored
    SET code = new.code, street = new.street, lat = new.lat, lon = new.lon, cell = new.cell
    FROM old JOIN new ON old.identity = new.identity
    WHERE stored.id = old.id AND {_DIFFERENT}
    """
)
_REPLACE = sa.text(
    f"""
    {_BOTH}, gone AS (
        DELETE FROM addresses WHERE id IN (
            SELECT old.id FROM old LEFT JOIN new ON old.identity = new.identity
            WHERE new.identity IS NULL
        )
    )
    INSERT INTO addresses (jurisdiction_id, {_COLUMNS})
    SELECT :jurisdiction_id, {", ".join(f"new.{name}" for name in _COLUMNS.split(", "))}
    FROM new LEFT JOIN old ON old.identity = new.identity
    WHERE old.identity IS NULL
    -- Neighbours lie together on disk, as they are read together.
    ORDER BY new.cell, new.identity
    """
)


def _address_rows(
    boundary: Boundary, specs: Sequence[AddressSpec]
) -> tuple[list[_AddressRow], tuple[Notice, ...]]:
    """The rows to store, each once, and what is odd about them."""
    keys: dict[str, tuple[str, str]] = {}
    rows: dict[_AddressRow, Point] = {}
    lines: list[int] = []
    bad_positions: list[int] = []
    nameless: list[int] = []
    repeated: list[int] = []
    for spec in specs:
        if spec.street not in keys:
            street = " ".join(clean(spec.street).split())
            keys[spec.street] = (street, street_key(street))
        street, key = keys[spec.street]
        if not key:
            nameless.append(spec.line)
            continue
        try:
            point = Point(spec.lat, spec.lon)
        except ValueError:
            bad_positions.append(spec.line)
            continue
        row = (
            spec.code,
            spec.number,
            spec.suffix,
            street,
            key,
            spec.postcode,
            spec.locality,
            point.lat,
            point.lon,
            cell_of(point),
        )
        if row in rows:
            repeated.append(spec.line)
            continue
        rows[row] = point
        lines.append(spec.line)
    points = list(rows.values())
    away = boundary.distances_m(points)
    far = [line for line, metres in zip(lines, away, strict=True) if metres > FAR_AWAY_M]
    outside = [
        line
        for line, metres in zip(lines, away, strict=True)
        if boundary.buffer_m < metres <= FAR_AWAY_M
    ]
    faults = _notices(
        ("an address needs the name of a street", nameless),
        ("the position is not in degrees of WGS 84", bad_positions),
        ("the address lies more than 5 km outside the boundary", far),
    )
    if faults:
        raise LoadingError(faults)
    return list(rows), _notices(
        ("the address lies outside the boundary", outside),
        ("the same address at the same position is there before", repeated),
    )


def _notices(*found: tuple[str, list[int]]) -> tuple[Notice, ...]:
    return tuple(Notice(tuple(lines), reason) for reason, lines in found if lines)


def _copy(session: Session, rows: Sequence[_AddressRow]) -> None:
    """Fill the temporary table `incoming_addresses` with the rows."""
    # An earlier load of the same transaction may have left one; two cities may share a transaction.
    session.execute(sa.text("DROP TABLE IF EXISTS incoming_addresses"))
    session.execute(
        sa.text(
            "CREATE TEMPORARY TABLE incoming_addresses ON COMMIT DROP AS "
            f"SELECT {_COLUMNS} FROM addresses WITH NO DATA"
        )
    )
    driver: Any = session.connection().connection.driver_connection
    with driver.cursor() as cursor, cursor.copy("COPY incoming_addresses FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    session.execute(sa.text("ANALYZE incoming_addresses"))
