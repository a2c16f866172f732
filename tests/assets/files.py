"""Files of assets as cities write them, made for tests: CSV, GeoJSON, GeoPackage."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from geo.measures import Point, destination
from tests.factories import COMEDIE

#: Code, position.
Row = tuple[str, Point]


def around(count: int, *, first: int = 1, step_m: float = 40.0) -> list[Row]:
    """So many assets in a row to the east of the Comédie."""
    return [
        (str(number), rounded(destination(COMEDIE, 90.0, step_m * number)))
        for number in range(first, first + count)
    ]


def rounded(point: Point) -> Point:
    return Point(round(point.lat, 6), round(point.lon, 6))


def csv_file(path: Path, rows: Iterable[Sequence[object]], *, header: str = "id,lat,lon") -> Path:
    lines = [header, *(",".join(str(value) for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def positions(rows: Iterable[Row]) -> list[tuple[str, float, float]]:
    """Rows as `csv_file` takes them."""
    return [(code, point.lat, point.lon) for code, point in rows]


def geojson_file(path: Path, rows: Iterable[Row], **members: Any) -> Path:
    features = [
        {
            "type": "Feature",
            "properties": {"id": code, "name": f"n° {code}"},
            "geometry": {"type": "Point", "coordinates": point.lon_lat},
        }
        for code, point in rows
    ]
    document = {"type": "FeatureCollection", **members, "features": features}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def geopackage(
    path: Path,
    rows: Iterable[tuple[str, float, float]],
    *,
    epsg: int = 4326,
    layer: str = "hydrants",
    has_envelope: bool = False,
) -> Path:
    """A GeoPackage with the tables that the standard demands and one layer of points (x, y)."""
    with sqlite3.connect(path) as database:
        database.executescript(
            f"""
            CREATE TABLE IF NOT EXISTS gpkg_spatial_ref_sys (
                srs_name TEXT, srs_id INTEGER PRIMARY KEY, organization TEXT,
                organization_coordsys_id INTEGER, definition TEXT);
            CREATE TABLE IF NOT EXISTS gpkg_contents (
                table_name TEXT PRIMARY KEY, data_type TEXT, identifier TEXT, srs_id INTEGER);
            CREATE TABLE IF NOT EXISTS gpkg_geometry_columns (
                table_name TEXT, column_name TEXT, geometry_type_name TEXT, srs_id INTEGER,
                z TINYINT, m TINYINT);
            INSERT OR IGNORE INTO gpkg_spatial_ref_sys VALUES ('s', {epsg}, 'EPSG', {epsg}, '');
            INSERT INTO gpkg_contents VALUES ('{layer}', 'features', '{layer}', {epsg});
            INSERT INTO gpkg_geometry_columns VALUES ('{layer}', 'geom', 'POINT', {epsg}, 0, 0);
            CREATE TABLE "{layer}" (fid INTEGER PRIMARY KEY, geom BLOB, id TEXT, name TEXT);
            """
        )
        database.executemany(
            f'INSERT INTO "{layer}" (geom, id, name) VALUES (?, ?, ?)',
            [
                (_blob(x, y, epsg, has_envelope=has_envelope), code, f"n° {code}")
                for code, x, y in rows
            ],
        )
    database.close()
    return path


def _blob(x: float, y: float, epsg: int, *, has_envelope: bool) -> bytes:
    flags = 0b00000011 if has_envelope else 0b00000001
    envelope = struct.pack("<4d", x, x, y, y) if has_envelope else b""
    point = struct.pack("<BI2d", 1, 1, x, y)
    return b"GP" + struct.pack("<BBi", 0, flags, epsg) + envelope + point
