"""A small made-up town and the real Montpellier, to load in tests of places."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from geo.address_text import house_number
from geo.loading import AddressSpec, JurisdictionSpec

#: Real data of cities; it is not part of the project everywhere.
SHARED = Path(__file__).parents[3] / "shared" / "data"


def square(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def town(code: str = "bourg", **changes: Any) -> JurisdictionSpec:
    values: dict[str, Any] = {
        "code": code,
        "names": {"fr": "Le Bourg", "en": "The Borough"},
        "locales": ["fr", "en"],
        "default_locale": "fr",
        "country": "FR",
        "time_zone": "Europe/Paris",
        "boundary": square(3.80, 43.55, 3.95, 43.65),
        "boundary_buffer_m": 50.0,
    }
    return JurisdictionSpec(**(values | changes))


def house(
    number: int | None, street: str, lat: float = 43.61, lon: float = 3.87, **others: Any
) -> AddressSpec:
    return AddressSpec(number=number, street=street, lat=lat, lon=lon, **others)


def shared_file(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.is_file():
        pytest.skip(f"the real data of {'/'.join(parts)} is not here")
    return path


def geometries(path: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Properties and geometry of each feature."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return [(each["properties"], each["geometry"]) for each in document["features"]]


def montpellier() -> JurisdictionSpec:
    boundary = geometries(shared_file("montpellier", "LimiteCommune.geojson"))[0][1]
    return town("montpellier", boundary=boundary)


def montpellier_addresses() -> list[AddressSpec]:
    path = shared_file("montpellier", "adresses.csv")
    with path.open(encoding="utf-8", newline="") as lines:
        specs = []
        for line, row in enumerate(csv.DictReader(lines), start=2):
            number, suffix = house_number(row["num"])
            specs.append(
                AddressSpec(
                    number=number,
                    suffix=suffix,
                    street=row["voie"],
                    lat=float(row["lat"]),
                    lon=float(row["lon"]),
                    code=row["code_voie"],
                    locality="Montpellier",
                    line=line,
                )
            )
        return specs
