"""Polygons: repaired, buffered, and asked whole batches of positions."""

from __future__ import annotations

import random
from typing import Any

import pytest
import shapely
import shapely.geometry

from geo.areas import AreaIndex, AreaRef, AreaShape, Boundary, Polygon, PolygonError, union_of
from geo.measures import Point, destination, distance_m
from tests.geo.cities import geometries, shared_file, square


def area(code: str, geometry: dict[str, Any], layer: str = "wards", id_: int = 1) -> AreaShape:
    return AreaShape(AreaRef(id_, layer, code, {"en": code}), geometry)


def codes(found: tuple[AreaRef, ...]) -> list[str]:
    return [ref.code for ref in found]


WEST, EAST = square(3.80, 43.60, 3.85, 43.65), square(3.85, 43.60, 3.90, 43.65)
#: A bow tie: its ring crosses itself.
BOW_TIE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}


def test_a_position_lies_in_its_areas_of_every_layer() -> None:
    index = AreaIndex(
        [area("west", WEST), area("east", EAST), area("all", square(3.7, 43.5, 4, 43.7), "city")]
    )
    found = index.containing(
        [Point(43.62, 3.82), Point(43.62, 3.87), Point(43.55, 3.8), Point(0, 0)]
    )
    assert [codes(each) for each in found] == [["all", "west"], ["all", "east"], ["all"], []]


def test_an_edge_belongs_to_both_neighbours() -> None:
    index = AreaIndex([area("west", WEST), area("east", EAST)])
    assert codes(index.containing([Point(43.62, 3.85)])[0]) == ["east", "west"]


def test_no_areas_and_no_positions_are_no_trouble() -> None:
    assert AreaIndex([]).containing([Point(1, 1)]) == [()]
    assert AreaIndex([area("west", WEST)]).containing([]) == []


def test_a_position_in_the_margin_belongs_to_the_nearest_area() -> None:
    index = AreaIndex([area("west", WEST), area("east", EAST)], snap_m=50)
    edge = Point(43.62, 3.90)
    near, far = destination(edge, 90, 40), destination(edge, 90, 60)
    assert [codes(each) for each in index.containing([near, far])] == [["east"], []]


def test_a_polygon_whose_ring_crosses_itself_is_repaired_and_said() -> None:
    index = AreaIndex([area("tie", BOW_TIE)])
    assert index.warnings == ["area wards/tie was repaired: Self-intersection[0.5 0.5]"]
    assert codes(index.containing([Point(0.5, 0.9)])[0]) == ["tie"]
    stored = Polygon.read(BOW_TIE).geojson()
    assert Polygon.read(stored).repaired == ""


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        ({"type": "Point", "coordinates": [1, 2]}, "is needed, not 'Point'"),
        ({}, "is needed, not None"),
        ({"type": "Polygon", "coordinates": []}, "empty"),
        ({"type": "Polygon", "coordinates": [["x"]]}, "cannot be read"),
        (square(769000, 6282000, 770000, 6283000), "not degrees of WGS 84"),
        (
            {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0], [1, 1], [0, 0]]]},
            "encloses nothing",
        ),
    ],
)
def test_what_is_no_polygon_on_the_globe_is_refused(geometry: dict[str, Any], reason: str) -> None:
    with pytest.raises(PolygonError, match=reason):
        Polygon.read(geometry)


@pytest.mark.parametrize("heading", [0, 45, 90, 135, 180, 270, 300])
def test_the_margin_of_a_boundary_is_measured_in_metres(heading: float) -> None:
    boundary = Boundary(square(3.80, 43.55, 3.95, 43.65), buffer_m=50)
    centre = Point(43.60, 3.875)
    outside = [destination(centre, heading, metres) for metres in range(0, 12_000, 10)]
    for point, away in zip(outside, boundary.distances_m(outside), strict=True):
        if away < 49.5:
            assert boundary.contains(point)
        if away > 50.5:
            assert not boundary.contains(point)


def test_the_distance_outside_is_that_to_the_nearest_edge() -> None:
    boundary = Boundary(square(3.80, 43.55, 3.95, 43.65))
    edge = Point(43.60, 3.95)
    inside, outside = destination(edge, 270, 100), destination(edge, 90, 6000)
    assert boundary.distances_m([inside, outside]) == pytest.approx([0, 6000], rel=2e-3)


def test_a_boundary_across_the_antimeridian() -> None:
    east, west = square(177, -20, 180, -15), square(-180, -20, -178, -15)
    geometry = {
        "type": "MultiPolygon",
        "coordinates": [east["coordinates"], west["coordinates"]],
    }
    boundary = Boundary(geometry, buffer_m=100)
    inside = [Point(-17, 179.9), Point(-17, -179.9), Point(-17, 180), Point(-17, -180)]
    assert boundary.contains_each([*inside, Point(-17, 0), Point(-17, -177)]) == [
        True, True, True, True, False, False,
    ]  # fmt: skip


def test_the_outline_of_wards_is_one_polygon() -> None:
    outline = union_of([WEST, EAST])
    assert outline["type"] == "Polygon"
    assert Boundary(outline).contains(Point(43.62, 3.85))
    with pytest.raises(PolygonError, match="no polygon"):
        union_of([])


def test_in_montpellier_every_position_inside_lies_in_one_quarter() -> None:
    boundary = Boundary(
        geometries(shared_file("montpellier", "LimiteCommune.geojson"))[0][1], buffer_m=50
    )
    quarters = AreaIndex(
        area(f"{properties['QUARTMNO']}-{number}", geometry, id_=number)
        for number, (properties, geometry) in enumerate(
            geometries(shared_file("montpellier", "Quartiers.geojson"))
        )
    )
    comedie, sea = Point(43.6086, 3.8797), Point(43.5, 3.9)
    assert boundary.contains_each([comedie, sea]) == [True, False]
    assert [len(found) for found in quarters.containing([comedie, sea])] == [1, 0]
    # The AREA that the file itself states, from the national projection.
    assert boundary.area_m2 == pytest.approx(48_200_184, rel=2e-3)
    chance = random.Random(1)
    box = boundary.box
    points = [
        Point(chance.uniform(box.south, box.north), chance.uniform(box.west, box.east))
        for _ in range(2000)
    ]
    inside = [
        point for point, away in zip(points, boundary.distances_m(points), strict=True) if away == 0
    ]
    assert len(inside) > 500
    found = [len(areas) for areas in quarters.containing(inside)]
    assert set(found) == {1}


def test_boston_answers_as_the_exact_geometry_does() -> None:
    wards = geometries(shared_file("boundaries", "boston_wards.geojson"))
    index = AreaIndex(
        area(str(properties["WARD"]), geometry, id_=properties["WARD"])
        for properties, geometry in wards
    )
    boundary = Boundary(union_of(geometry for _, geometry in wards))
    shapes = {
        str(properties["WARD"]): shapely.geometry.shape(geometry) for properties, geometry in wards
    }
    chance = random.Random(2)
    points = [
        Point(chance.uniform(42.23, 42.40), chance.uniform(-71.19, -70.99)) for _ in range(500)
    ]
    for point, found in zip(points, index.containing(points), strict=True):
        exact = [
            code
            for code, shape in shapes.items()
            if shapely.intersects_xy(shape, point.lon, point.lat)
        ]
        assert sorted(codes(found)) == sorted(exact)
        assert boundary.contains(point) == bool(exact)


def test_the_flat_map_of_a_city_is_true() -> None:
    boundary = Boundary(square(3.80, 43.55, 3.95, 43.65))
    corner, beyond = Point(43.65, 3.95), Point(43.68, 3.99)
    assert boundary.distances_m([beyond])[0] == pytest.approx(distance_m(corner, beyond), rel=2e-3)
