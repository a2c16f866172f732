"""How a city writes its files of a kind: which column is the code, where the position stands. Pure.

The same keys as under `files` in `assets.yaml` of the city folder (docs/city-folder.md). What is
left out is looked for under the names that cities use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: What columns are called where nobody says, best first; compared without capitals.
CODE_NAMES = (
    "code",
    "id",
    "ref",
    "reference",
    "asset_id",
    "facilityid",
    "gid",
    "fid",
    "objectid",
    "identifiant",
    "numero",
)
LAT_NAMES = ("lat", "latitude", "y", "point_y", "y_lat")
LON_NAMES = ("lon", "lng", "long", "longitude", "x", "point_x", "x_long")


@dataclass(frozen=True, slots=True)
class FileMapping:
    """How one file is to be read; None where the file itself shows it.

    Attributes:
        crs: reference system, such as EPSG:2154.
        code, lat, lon, state: names of columns.
        attributes: attribute of the kind → column.
        states: value of the state column → a state, or "ignored".
        layer: table of a GeoPackage that holds several.
        path: the file it is meant for, in the city folder.
    """

    crs: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    code: str | None = None
    lat: str | None = None
    lon: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    state: str | None = None
    states: Mapping[str, str] = field(default_factory=dict)
    layer: str | None = None
    path: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> FileMapping:
        """The mapping of these values.

        Raises:
            ValueError: a key is not known, or a value is not what it should be.
        """
        unknown = sorted(set(given) - set(cls.__slots__))
        if unknown:
            raise ValueError(
                f"unknown key “{unknown[0]}”; there are: {', '.join(sorted(cls.__slots__))}"
            )
        for key in ("attributes", "states"):
            pairs = given.get(key, {})
            if not isinstance(pairs, Mapping) or not all(
                isinstance(part, str) for pair in pairs.items() for part in pair
            ):
                raise ValueError(f"“{key}” must be a mapping of words to words")
        for key in set(given) - {"attributes", "states"}:
            if given[key] is not None and not isinstance(given[key], str):
                raise ValueError(f"“{key}” must be text")
        return cls(**given)


def named(columns: Sequence[str], wanted: str | None, usual: Sequence[str]) -> str | None:
    """The column of that name, or the one of a usual name; None when there is none."""
    if wanted is not None:
        return wanted if wanted in columns else None
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    return next((by_name[name] for name in usual if name in by_name), None)


def fitting(mappings: Sequence[Mapping[str, Any]], name: str) -> FileMapping:
    """The mapping for a file of that name: the one for its very name, else for its type."""
    known = [FileMapping.of(given) for given in mappings]
    for is_fitting in (_same_name, _same_type):
        for mapping in known:
            if mapping.path is not None and is_fitting(mapping.path, name):
                return mapping
    return FileMapping()


def type_of(name: str) -> str:
    """csv, geojson or gpkg, by the ending of a name; "" of any other."""
    plain = name.lower().removesuffix(".gz")
    for type_, endings in (
        ("csv", (".csv", ".tsv", ".txt")),
        ("geojson", (".geojson", ".json")),
        ("gpkg", (".gpkg",)),
    ):
        if plain.endswith(endings):
            return type_
    return ""


def _same_name(path: str, name: str) -> bool:
    return path.rpartition("/")[2].removesuffix(".gz") == name.removesuffix(".gz")


def _same_type(path: str, name: str) -> bool:
    return type_of(path) == type_of(name) != ""
