"""The register, full: a box of five hundred, the nearest ones, a city in clusters.

Time is measured at the client, over HTTP. The floor is what those five hundred rows cost at least:
one statement that finds them by their ids, and their documents written as JSON, in one process
and without a server.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from bench import load
from bench.lists import always
from bench.system import Riverain
from core.ids import new_id
from geo.cells import cell_of
from geo.measures import Box, Point

#: The middle of the demo city, and of the measured box: in the fields, where the city's own lamps,
#: which would be counted too, do not stand.
MIDDLE = Point(43.6086, 3.8797)
CENTRE = Point(43.7586, 4.0297)

#: Kinds of the bench's own, and how far the city is strewn with them, in degrees.
KINDS = 8
HALF_DEG = 0.2

#: Assets that the measured box holds, give or take a few.
IN_BOX = 500

ROUNDS = 60


def fill(system: Riverain, *, assets: int, city: str = "montpellier") -> None:
    """Store so many assets of several kinds on a grid about the centre, a tenth of them gone."""
    with system.connect() as connection:
        row = connection.execute(
            b"SELECT id FROM jurisdictions WHERE code = %s", (city,)
        ).fetchone()
        assert row is not None
        place_id = row[0]
        kinds = [
            connection.execute(
                b"INSERT INTO asset_kinds (jurisdiction_id, code, names, position, is_adoptable,"
                b' link_radius_m) VALUES (%s, %s, \'{"fr": "Objet", "en": "Thing"}\', 99,'
                b" true, 25) RETURNING id",
                (place_id, f"bench-{number}"),
            ).fetchone()
            for number in range(KINDS)
        ]
        side = round(assets**0.5)
        step = 2 * HALF_DEG / side
        columns = (
            "id, jurisdiction_id, kind_id, code, lat, lon, cell, attributes, state, since,"
            " created_at, search"
        )
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY assets ({columns}) FROM STDIN".encode()) as copy,
        ):
            for number in range(assets):
                # A grid, walked in another order than it lies.
                spot = number * 7_919 % assets
                point = Point(
                    MIDDLE.lat - HALF_DEG + spot // side * step,
                    MIDDLE.lon - HALF_DEG + spot % side * step,
                )
                copy.write_row(
                    (
                        str(new_id()),
                        place_id,
                        kinds[number % KINDS][0],  # type: ignore[index]
                        str(number),
                        point.lat,
                        point.lon,
                        cell_of(point),
                        '{"type": "LANTERNE"}',
                        "removed" if number % 10 == 0 else "in_service",
                        "2026-01-01T00:00:00Z",
                        "2026-01-01T00:00:00Z",
                        f"'{number}'",
                    )
                )
        # Every process learns of the kinds.
        connection.execute(
            b"UPDATE jurisdictions SET version = version + 1, updated_at = clock_timestamp()"
            b" WHERE id = %s",
            (place_id,),
        )
        connection.execute(b"VACUUM (ANALYZE) assets")


def measure(system: Riverain, *, assets: int, seconds: float) -> dict[str, float]:
    """Median milliseconds of each question, by one client, and the box as a ratio to its floor."""
    reach = HALF_DEG * (IN_BOX / 0.9 / assets) ** 0.5
    box = f"{CENTRE.lon - reach},{CENTRE.lat - reach},{CENTRE.lon + reach},{CENTRE.lat + reach}"
    here = f"near={CENTRE.lat},{CENTRE.lon}"
    queries = {
        "box": f"bbox={box}",
        "box_of_a_kind": f"bbox={_twice(reach)}&kind=bench-1,bench-2",
        "free_in_box": f"bbox={box}&adopted=false",
        "radius": f"{here}&radius_m=200",
        "nearest": f"{here}&nearest=10",
        "words": f"bbox={box}&q=4242",
        "clusters_of_the_city": "bbox=3.6,43.4,4.1,43.8",
    }
    figures: dict[str, float] = {}
    for name, query in queries.items():
        path = f"/api/v1/assets?jurisdiction=montpellier&{query}"
        result = load.run(system.port, always(load.get(path)), clients=1, seconds=seconds)
        assert set(result.statuses) == {200}, (name, result.statuses)
        figures[f"{name}_median_ms"] = round(result.quantile_ms(0.5), 1)
    found, floor_ms = _floor(system, Box(*map(float, box.split(","))))
    figures["assets_in_box"] = float(found)
    figures["floor_ms"] = round(floor_ms, 2)
    figures["ratio"] = round(figures["box_median_ms"] / floor_ms, 2)
    return figures


def _twice(reach: float) -> str:
    reach *= 2
    return f"{CENTRE.lon - reach},{CENTRE.lat - reach},{CENTRE.lon + reach},{CENTRE.lat + reach}"


def _floor(system: Riverain, box: Box) -> tuple[int, float]:
    """How many assets the box holds, and the least that reading and writing them takes, in ms."""
    with system.connect() as connection:
        ids = [
            row[0]
            for row in connection.execute(
                b"SELECT id FROM assets WHERE state = 'in_service' AND lat BETWEEN %s AND %s"
                b" AND lon BETWEEN %s AND %s",
                (box.south, box.north, box.west, box.east),
            )
        ]
        taken: list[float] = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            rows = connection.execute(
                b"SELECT id, code, kind_id, lat, lon, attributes, state, version, since,"
                b" owner_team_id, adopters FROM assets WHERE id = ANY (%s)",
                (ids,),
            ).fetchall()
            json.dumps([_document(row) for row in rows], default=str)
            taken.append((time.perf_counter() - started) * 1000)
    return len(ids), statistics.median(taken)


def _document(row: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": str(row[0]),
        "geometry": {"type": "Point", "coordinates": [row[4], row[3]]},
        "properties": {
            "code": row[1],
            "kind": row[2],
            "attributes": row[5],
            "state": row[6],
            "version": row[7],
            "since": row[8].isoformat(),
            "owner": row[9],
            "adopted": row[10] > 0,
        },
    }
