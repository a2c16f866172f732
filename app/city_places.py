"""The places of a city folder: its boundary, its areas, its addresses, and any other positions.

The boundary is read first; everything after it is judged by how far outside it lies.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
import shapely.geometry
from numpy.typing import NDArray
from shapely.validation import explain_validity

from app import city_files
from app.city_files import Document, Feature, Findings
from geo.address_text import house_number
from geo.loading import FAR_AWAY_M, AddressSpec, AreaSpec

Points = NDArray[np.float64]


class Ground:
    """Where the city lies, to judge positions against; distances in metres."""

    def __init__(self, boundary: Any, buffer_m: float, lat: float, lon: float) -> None:
        self._project = pyproj.Transformer.from_crs(
            city_files.WGS84,
            f"+proj=aeqd +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m",
            always_xy=True,
        )
        self._shape = shapely.transform(boundary, self._metres).buffer(buffer_m)
        shapely.prepare(self._shape)

    def _metres(self, points: Points) -> Points:
        x, y = self._project.transform(points[:, 0], points[:, 1])
        return np.column_stack([x, y])

    def distances_m(self, lon: Points, lat: Points) -> Points:
        """How far each point lies outside the boundary and its buffer; 0 inside."""
        points = shapely.points(self._metres(np.column_stack([lon, lat])))
        result = np.zeros(len(points))
        outside = ~shapely.contains(self._shape, points)
        result[outside] = shapely.distance(self._shape, points[outside])
        return np.nan_to_num(result, nan=np.inf)

    def distance_m(self, geometry: Any) -> float:
        """How far a geometry lies outside; 0 when it touches."""
        moved = shapely.transform(geometry, self._metres)
        if not np.isfinite(shapely.get_coordinates(moved)).all():
            return float("inf")
        return float(shapely.distance(self._shape, moved))


class Places:
    """Reads what has a position; notes faults and warnings in `findings`."""

    def __init__(self, folder: Path, findings: Findings) -> None:
        self.folder = folder
        self.findings = findings
        self.ground: Ground | None = None

    def boundary(self, city: Mapping[str, Any], document: Document) -> Any:
        """The polygon inside which reports are taken; None after a fault."""
        given, center = city["boundary"], city["center"]
        if not self._holds(document, ("boundary", "file"), given["file"]):
            return None
        features = city_files.read_geojson(self.folder, given["file"], given["crs"], self.findings)
        polygons = [
            feature.geometry for feature in features if self._is_polygon(given["file"], feature)
        ]
        if not polygons or len(polygons) < len(features):
            return None
        boundary = shapely.union_all(polygons)
        point = shapely.Point(center["lon"], center["lat"])
        if not boundary.contains(point):
            swapped = boundary.contains(shapely.Point(center["lat"], center["lon"]))
            reason = (
                "latitude and longitude are swapped: the center lies inside once they are turned"
                if swapped
                else f"the center ({center['lat']}, {center['lon']}) of city.yaml is not inside"
            )
            self.findings.fault(given["file"], features[0].line, reason)
            return None
        self.ground = Ground(boundary, given["buffer_m"], center["lat"], center["lon"])
        return boundary

    def _is_polygon(self, file: str, feature: Feature) -> bool:
        shape = feature.geometry
        if shape.geom_type not in ("Polygon", "MultiPolygon"):
            reason = f"feature {feature.ordinal} is a {shape.geom_type}, not a polygon"
        elif not shape.is_valid:
            reason = (
                f"the polygon of feature {feature.ordinal} is broken: {explain_validity(shape)}"
            )
        else:
            return True
        self.findings.fault(file, feature.line, reason)
        return False

    def areas(self, city: Mapping[str, Any], document: Document) -> list[AreaSpec]:
        """The areas of every layer."""
        specs: list[AreaSpec] = []
        layers = Counter(layer["layer"] for layer in city["areas"])
        for index, layer in enumerate(city["areas"]):
            if layers[layer["layer"]] > 1:
                line = document.line(("areas", index, "layer"))
                self.findings.fault(
                    document.file, line, f"the layer “{layer['layer']}” stands here twice"
                )
            if not self._holds(document, ("areas", index, "file"), layer["file"]):
                continue
            features = city_files.read_geojson(
                self.folder, layer["file"], layer["crs"], self.findings
            )
            specs.extend(self._layer(layer, features, city["locales"]))
        return specs

    def _layer(
        self, layer: Mapping[str, Any], features: Sequence[Feature], locales: Sequence[str]
    ) -> list[AreaSpec]:
        file = layer["file"]
        label = layer["label"]
        labels = label if isinstance(label, dict) else dict.fromkeys(locales, label)
        specs: list[AreaSpec] = []
        seen: dict[str, int] = {}
        for feature in features:
            missing = [
                name
                for name in (layer["code"], *labels.values())
                if feature.properties.get(name) in (None, "")
            ]
            if missing:
                reason = f"feature {feature.ordinal} has no property “{missing[0]}”"
                self.findings.fault(file, feature.line, reason)
                continue
            code = str(feature.properties[layer["code"]])
            if code in seen:
                reason = f"the area “{code}” stands in line {seen[code]} already"
                self.findings.fault(file, feature.line, reason)
            seen.setdefault(code, feature.line)
            if not self._is_polygon(file, feature) or not self._is_near(file, feature):
                continue
            names = {locale: str(feature.properties[name]) for locale, name in labels.items()}
            geometry = shapely.geometry.mapping(feature.geometry)
            specs.append(AreaSpec(layer["layer"], code, names, as_json(geometry), feature.line))
        return specs

    def _is_near(self, file: str, feature: Feature) -> bool:
        if self.ground is None:
            return True
        distance = self.ground.distance_m(feature.geometry)
        if distance <= FAR_AWAY_M:
            return True
        turned = shapely.transform(feature.geometry, lambda points: points[:, ::-1])
        reason = f"feature {feature.ordinal} lies {_far(distance)} outside the boundary"
        if self.ground.distance_m(turned) <= FAR_AWAY_M:
            reason += ": latitude and longitude are swapped"
        self.findings.fault(file, feature.line, reason)
        return False

    def addresses(self, city: Mapping[str, Any], document: Document) -> list[AddressSpec]:
        """The house numbers."""
        given = city.get("addresses")
        if given is None or not self._holds(document, ("addresses", "file"), given["file"]):
            return []
        file, columns = given["file"], given["columns"]
        rows = city_files.read_csv(
            self.folder, file, tuple(columns.values()), given["delimiter"], self.findings
        )
        kept, lon, lat = self.positions(file, rows, columns["lon"], columns["lat"], given["crs"])
        specs: list[AddressSpec] = []
        nameless: list[int] = []
        unnumbered: list[int] = []
        repeated: list[int] = []
        seen: set[tuple[str, int | None, str, str | None]] = set()
        for row, x, y in zip(kept, lon.tolist(), lat.tolist(), strict=True):
            values = {key: row.values[column].strip() for key, column in columns.items()}
            if not values["street"]:
                nameless.append(row.line)
                continue
            number, suffix = house_number(values["number"] + values.get("suffix", ""))
            # "0" is how some files write that there is none.
            if number is None and values["number"].strip("0 "):
                unnumbered.append(row.line)
                continue
            postcode = values.get("postcode") or given.get("postcode")
            spec = AddressSpec(
                number=number,
                suffix=suffix,
                street=values["street"],
                code=values.get("code") or None,
                postcode=postcode,
                locality=values.get("locality") or given.get("locality"),
                lat=y,
                lon=x,
                line=row.line,
            )
            key = (spec.street, spec.number, spec.suffix, postcode)
            if key in seen:
                repeated.append(row.line)
            seen.add(key)
            specs.append(spec)
        self.findings.many(file, nameless, "the street is missing")
        self.findings.many(file, unnumbered, "the house number has no number")
        reason = "the same house number again"
        self.findings.many(file, repeated, reason, warn=True)
        return specs

    def positions(
        self, file: str, rows: Sequence[city_files.Row], x_column: str, y_column: str, crs: str
    ) -> tuple[list[city_files.Row], Points, Points]:
        """Rows with a usable position, and their longitudes and latitudes; notes the others."""
        kept: list[city_files.Row] = []
        found: list[tuple[float, float]] = []
        unreadable: list[int] = []
        for row in rows:
            try:
                pair = float(row.values[x_column]), float(row.values[y_column])
                if not (math.isfinite(pair[0]) and math.isfinite(pair[1])):
                    raise ValueError("not finite")
            except ValueError:
                unreadable.append(row.line)
                continue
            kept.append(row)
            found.append(pair)
        columns = f"“{x_column}” or “{y_column}”"
        self.findings.many(file, unreadable, f"{columns} is not a number")
        points = np.array(found, dtype=np.float64).reshape(-1, 2)
        if not len(points):
            return [], points[:, 0], points[:, 1]
        wrong = [
            (row.line, problem)
            for row, (x, y) in zip(kept, found, strict=True)
            if (problem := city_files.wrong_units(x, y, crs)) is not None
        ]
        if wrong:
            self.findings.many(file, [line for line, _ in wrong], wrong[0][1])
            return [], points[:0, 0], points[:0, 1]
        lon, lat = points[:, 0], points[:, 1]
        if crs != city_files.WGS84:
            lon, lat = city_files.transformer(crs).transform(lon, lat)
            lon, lat = np.round(lon, 7), np.round(lat, 7)
        self._judge(file, kept, lon, lat)
        return kept, lon, lat

    def _judge(self, file: str, rows: Sequence[city_files.Row], lon: Points, lat: Points) -> None:
        """Note positions outside the boundary: near ones as warnings, far ones as faults."""
        if self.ground is None:
            return
        distances = self.ground.distances_m(lon, lat)
        far = distances > FAR_AWAY_M
        near = (distances > 0) & ~far
        if far.any():
            lines = [row.line for row, is_far in zip(rows, far, strict=True) if is_far]
            worst = _far(float(distances[far].max()))
            reason = f"the position lies more than 5 km outside the boundary, up to {worst}"
            inside_turned = self.ground.distances_m(lat[far], lon[far]) <= FAR_AWAY_M
            if inside_turned.mean() > 0.5:
                reason = "latitude and longitude are swapped"
            self.findings.many(file, lines, reason)
        if near.any():
            lines = [row.line for row, is_near in zip(rows, near, strict=True) if is_near]
            worst = _far(float(distances[near].max()))
            reason = f"the position lies outside the boundary, up to {worst}; loaded all the same"
            self.findings.many(file, lines, reason, warn=True)

    def _holds(self, document: Document, path: city_files.Path_, name: str) -> bool:
        return city_files.holds(self.folder, document, path, name, self.findings)


def as_json(geometry: Any) -> dict[str, Any]:
    """A GeoJSON geometry with lists for tuples, as the database gives it back."""

    def listed(value: Any) -> Any:
        return [listed(item) for item in value] if isinstance(value, tuple | list) else value

    return {"type": geometry["type"], "coordinates": listed(geometry["coordinates"])}


def _far(distance_m: float) -> str:
    return f"{distance_m:.0f} m" if distance_m < 1_000 else f"{distance_m / 1_000:,.1f} km"
