"""Polygons: the boundary of a jurisdiction, its areas, and which of them a position lies in.

Held in memory, immutable, built once per version of a jurisdiction (`geo.jurisdictions` keeps
them). Everything is laid on a flat map in metres about the jurisdiction, so that "within 50 m of
the boundary" is a plain distance. Positions come and go as `Point`, polygons as GeoJSON in WGS 84.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import shapely
import shapely.geometry
from shapely.geometry.base import BaseGeometry

from geo.measures import Box, Point, degree_lengths_m

Array = npt.NDArray[np.float64]

#: Decimals of stored coordinates: a centimetre. Files carry fifteen and would be twice the size.
STORED_DECIMALS = 7


class PolygonError(ValueError):
    """A geometry that is no polygon on the globe. The message says why."""


@dataclass(frozen=True, slots=True)
class AreaRef:
    """An area that a position lies in."""

    id: int
    layer: str
    code: str
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AreaShape:
    """An area with its GeoJSON geometry, to build an index from."""

    ref: AreaRef
    geometry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Polygon:
    """A valid polygon or multipolygon in degrees, and what was repaired in it, if anything."""

    shape: BaseGeometry
    repaired: str = ""

    @classmethod
    def read(cls, geometry: Mapping[str, Any]) -> Self:
        """The polygon of a GeoJSON geometry, repaired if its rings cross.

        Raises:
            PolygonError: no polygon, empty, or its coordinates are no degrees.
        """
        kind = geometry.get("type")
        if kind not in ("Polygon", "MultiPolygon"):
            raise PolygonError(f"a Polygon or MultiPolygon is needed, not {kind!r}")
        try:
            shape = shapely.force_2d(shapely.geometry.shape(dict(geometry)))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise PolygonError(f"its coordinates cannot be read ({error})") from error
        if shape.is_empty:
            raise PolygonError("it is empty")
        west, south, east, north = shape.bounds
        try:
            Box(west, south, east, north)
        except ValueError as error:
            # The usual cause is a national projection: metres instead of degrees.
            raise PolygonError(f"its coordinates are not degrees of WGS 84: {error}") from error
        if shape.is_valid:
            return cls(shape)
        fault = shapely.is_valid_reason(shape)
        # Keeps what the rings enclose and drops lines and points left over.
        repaired = shapely.make_valid(shape, method="structure", keep_collapsed=False)
        if repaired.is_empty or repaired.geom_type not in ("Polygon", "MultiPolygon"):
            raise PolygonError(f"it encloses nothing ({fault})")
        return cls(repaired, fault)

    def geojson(self) -> dict[str, Any]:
        """The GeoJSON geometry as it is stored: coordinates rounded to a centimetre."""
        return {
            "type": self.shape.geom_type,
            "coordinates": _rounded(shapely.geometry.mapping(self.shape)["coordinates"]),
        }


def union_of(geometries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The GeoJSON outline of all the polygons together: the boundary of a city known by its wards.

    Raises:
        PolygonError: one of them is no polygon, or there is none.
    """
    shapes = [Polygon.read(geometry).shape for geometry in geometries]
    if not shapes:
        raise PolygonError("there is no polygon")
    # On a grid of centimetres, slivers between neighbours that were digitised apart close.
    joined = shapely.union_all(shapes, grid_size=10**-STORED_DECIMALS)
    return Polygon(joined).geojson()


class FlatMap:
    """A map in metres about a position, for polygons and distances in a jurisdiction.

    Equirectangular: true to 0.2 % in a city, to some percent at the edges of a country; exact
    enough for a buffer of metres. It unfolds the antimeridian for what is narrower than the globe.
    """

    __slots__ = ("_lat", "_lat_m", "_lon", "_lon_m")

    def __init__(self, lat: float, lon: float) -> None:
        self._lat, self._lon = lat, lon
        self._lat_m, self._lon_m = degree_lengths_m(lat)

    @classmethod
    def about(cls, shape: BaseGeometry) -> Self:
        """A map about the middle parallel of a shape and the meridian of its first corner."""
        _, south, _, north = shape.bounds
        return cls((south + north) / 2, float(shapely.get_coordinates(shape)[0][0]))

    def positions(self, points: Sequence[Point]) -> tuple[Array, Array]:
        """East and north of positions, in metres: two arrays of floats."""
        lons = np.fromiter((point.lon for point in points), float, len(points))
        lats = np.fromiter((point.lat for point in points), float, len(points))
        return self._flat(lons, lats)

    def laid(self, shape: BaseGeometry) -> BaseGeometry:
        """The shape on the map."""

        def flat(coordinates: Array) -> Array:
            return np.column_stack(self._flat(coordinates[:, 0], coordinates[:, 1]))

        return shapely.transform(shape, flat)

    def _flat(self, lons: Array, lats: Array) -> tuple[Array, Array]:
        east = (lons - self._lon + 180.0) % 360.0 - 180.0
        return east * self._lon_m, (lats - self._lat) * self._lat_m


class Boundary:
    """Where a jurisdiction ends, with a margin in metres around it that still belongs to it."""

    __slots__ = ("_flat", "_margin", "_shape", "area_m2", "box", "buffer_m")

    def __init__(self, geometry: Mapping[str, Any], buffer_m: float = 0.0) -> None:
        shape = Polygon.read(geometry).shape
        self.buffer_m = buffer_m
        self._flat = FlatMap.about(shape)
        self._shape = self._flat.laid(shape)
        self._margin = self._shape.buffer(buffer_m) if buffer_m else self._shape
        shapely.prepare(self._shape)
        shapely.prepare(self._margin)
        self.area_m2 = float(self._shape.area)
        self.box = Box(*shape.bounds)

    def contains(self, point: Point) -> bool:
        """Whether the position lies inside or at most the buffer outside."""
        return self.contains_each([point])[0]

    def contains_each(self, points: Sequence[Point]) -> list[bool]:
        east, north = self._flat.positions(points)
        inside: list[bool] = shapely.intersects_xy(self._margin, east, north).tolist()
        return inside

    def distances_m(self, points: Sequence[Point]) -> list[float]:
        """How far each position lies outside the boundary itself; 0 inside."""
        east, north = self._flat.positions(points)
        distances = np.zeros(len(points))
        # Being inside is quick to tell from the prepared polygon; a distance walks every edge.
        outside = ~shapely.intersects_xy(self._shape, east, north)
        distances[outside] = shapely.distance(
            self._shape, shapely.points(east[outside], north[outside])
        )
        listed: list[float] = distances.tolist()
        return listed

    def distance_of_polygon_m(self, polygon: Polygon) -> float:
        """How far the nearest corner of a polygon lies outside the boundary; 0 if they touch."""
        return float(shapely.distance(self._shape, self._flat.laid(polygon.shape)))


class AreaIndex:
    """Which areas positions lie in: microseconds a position, whole batches at once."""

    __slots__ = ("_flat", "_refs", "_shapes", "_snap_m", "_tree", "warnings")

    def __init__(self, shapes: Iterable[AreaShape], *, snap_m: float = 0.0) -> None:
        """Index the areas.

        Args:
            shapes: the areas of one jurisdiction, all layers.
            snap_m: a position in no area of a layer belongs to that layer's nearest area within
                this distance, so that the margin around a city has its districts too.

        Raises:
            PolygonError: a geometry is none; the message names the area.
        """
        self._snap_m = snap_m
        self._refs: list[AreaRef] = []
        #: What had to be repaired, one sentence each.
        self.warnings: list[str] = []
        polygons: list[BaseGeometry] = []
        for area in sorted(shapes, key=lambda area: (area.ref.layer, area.ref.code)):
            try:
                polygon = Polygon.read(area.geometry)
            except PolygonError as error:
                raise PolygonError(f"area {area.ref.layer}/{area.ref.code}: {error}") from error
            if polygon.repaired:
                self.warnings.append(
                    f"area {area.ref.layer}/{area.ref.code} was repaired: {polygon.repaired}"
                )
            self._refs.append(area.ref)
            polygons.append(polygon.shape)
        self._flat = FlatMap.about(polygons[0]) if polygons else FlatMap(0.0, 0.0)
        self._shapes = np.array([self._flat.laid(shape) for shape in polygons], dtype=object)
        shapely.prepare(self._shapes)
        self._tree = shapely.STRtree(self._shapes)

    def __len__(self) -> int:
        return len(self._refs)

    @property
    def refs(self) -> Sequence[AreaRef]:
        """Every area, by layer and code."""
        return self._refs

    def containing(self, points: Sequence[Point]) -> list[tuple[AreaRef, ...]]:
        """The areas that each position lies in, edges included, by layer and code."""
        found: list[list[int]] = [[] for _ in points]
        if not self._refs or not points:
            return [() for _ in points]
        places = shapely.points(*self._flat.positions(points))
        which, area = self._tree.query(places)
        # The prepared side is the polygon, which the tree's own predicate would not use.
        hits = shapely.intersects(self._shapes[area], places[which])
        for point_index, area_index in zip(which[hits], area[hits], strict=True):
            found[int(point_index)].append(int(area_index))
        if self._snap_m:
            self._snap(places, found)
        return [tuple(self._refs[index] for index in sorted(indexes)) for indexes in found]

    def _snap(self, places: npt.NDArray[Any], found: list[list[int]]) -> None:
        """Add the nearest area of each layer that a position lies in no area of."""
        layers = {ref.layer for ref in self._refs}
        short = [
            index
            for index, areas in enumerate(found)
            if len({self._refs[area].layer for area in areas}) < len(layers)
        ]
        if not short:
            return
        which, area = self._tree.query(places[short], predicate="dwithin", distance=self._snap_m)
        nearest: dict[tuple[int, str], tuple[float, int]] = {}
        distances = shapely.distance(self._shapes[area], places[short][which])
        for position, index, distance in zip(which, area, distances, strict=True):
            point_index, area_index = short[int(position)], int(index)
            key = (point_index, self._refs[area_index].layer)
            nearest[key] = min(nearest.get(key, (float("inf"), 0)), (float(distance), area_index))
        for (point_index, layer), (_, area_index) in nearest.items():
            if layer not in {self._refs[known].layer for known in found[point_index]}:
                found[point_index].append(area_index)


def _rounded(coordinates: Any) -> Any:
    if isinstance(coordinates, (int, float)):
        return round(float(coordinates), STORED_DECIMALS)
    return [_rounded(inner) for inner in coordinates]
