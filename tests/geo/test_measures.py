"""Distances against the geodesic, boxes at every edge of the map."""

from __future__ import annotations

import itertools
import math

import pytest
from geopy.distance import geodesic
from hypothesis import given
from hypothesis import strategies as st

from geo.measures import (
    MEAN_RADIUS_M,
    Box,
    BoxError,
    LatitudeError,
    LongitudeError,
    Point,
    along,
    bearing_deg,
    chord_m,
    degree_lengths_m,
    destination,
    distance_m,
    exact_distance_m,
    midpoint,
)

points = st.builds(
    Point,
    lat=st.floats(-90, 90, allow_nan=False),
    lon=st.floats(-180, 180, allow_nan=False),
)
headings = st.floats(0, 360, exclude_max=True)

MONTPELLIER = Point(43.6109, 3.8763)


@pytest.mark.parametrize("lat", [90.0001, -91, 95, math.nan, math.inf, -math.inf])
def test_what_is_no_latitude_is_refused(lat: float) -> None:
    with pytest.raises(LatitudeError):
        Point(lat, 0)


@pytest.mark.parametrize("lon", [180.0001, -181, math.nan, math.inf])
def test_what_is_no_longitude_is_refused(lon: float) -> None:
    with pytest.raises(LongitudeError) as refused:
        Point(0, lon)
    assert isinstance(refused.value, ValueError)


def test_geojson_has_the_longitude_first() -> None:
    assert Point.from_lon_lat([3.8763, 43.6109, 27.0]) == MONTPELLIER
    assert MONTPELLIER.lon_lat == [3.8763, 43.6109]


@given(start=points, heading=headings, travelled=st.floats(0, 10_000))
def test_a_distance_in_a_city_is_right_to_a_millimetre(
    start: Point, heading: float, travelled: float
) -> None:
    end = destination(start, heading, travelled)
    measured = distance_m(start, end)
    # A coordinate in floating point is good for a few nanometres.
    assert abs(measured - travelled) < 0.001
    assert abs(measured - geodesic((start.lat, start.lon), (end.lat, end.lon)).m) < 0.001


@given(start=points, heading=headings, travelled=st.floats(10_000, 1_000_000))
def test_a_distance_across_a_country_is_right_to_a_ten_thousandth(
    start: Point, heading: float, travelled: float
) -> None:
    end = destination(start, heading, travelled)
    assert distance_m(start, end) == pytest.approx(travelled, rel=1e-4)


@given(a=points, b=points)
def test_the_exact_distance_is_the_geodesic_of_geopy(a: Point, b: Point) -> None:
    expected = geodesic((a.lat, a.lon), (b.lat, b.lon)).m
    assert exact_distance_m(a, b) == pytest.approx(expected, abs=1e-6)


def test_distance_at_the_antimeridian_and_the_pole() -> None:
    assert distance_m(Point(0, 179.9999), Point(0, -179.9999)) == pytest.approx(22.26, abs=0.01)
    assert distance_m(Point(90, 0), Point(90, 123)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("end", "bearing"),
    [(Point(44, 3.8763), 0), (Point(43, 3.8763), 180)],
)
def test_a_bearing_is_clockwise_from_north(end: Point, bearing: float) -> None:
    assert bearing_deg(MONTPELLIER, end) == pytest.approx(bearing)


def test_east_is_ninety_degrees_and_west_two_hundred_and_seventy() -> None:
    assert bearing_deg(Point(0, 0), Point(0, 1)) == pytest.approx(90)
    assert bearing_deg(Point(0, 0), Point(0, -1)) == pytest.approx(270)


@given(
    lat=st.floats(-70, 70),
    lon=st.floats(-180, 180),
    heading=headings,
    travelled=st.floats(1, 10_000),
)
def test_a_flat_map_of_a_neighbourhood_errs_little(
    lat: float, lon: float, heading: float, travelled: float
) -> None:
    start = Point(lat, lon)
    end = destination(start, heading, travelled)
    along_m, across_m = degree_lengths_m(lat)
    east = (end.lon - lon + 180) % 360 - 180
    flat = math.hypot((end.lat - lat) * along_m, east * across_m)
    assert flat == pytest.approx(travelled, rel=5e-3)


def test_a_midpoint_across_the_antimeridian() -> None:
    middle = midpoint([Point(1, 179.8), Point(3, -179.6)])
    assert middle.lat == pytest.approx(2)
    assert middle.lon == pytest.approx(-179.9)
    with pytest.raises(ValueError, match="no points"):
        midpoint([])


def test_a_line_is_walked_in_steps_that_include_both_ends() -> None:
    end = destination(MONTPELLIER, 90, 100)
    walked = list(along(MONTPELLIER, end, 30))
    assert len(walked) == 5
    assert walked[0] == MONTPELLIER
    assert distance_m(walked[-1], end) < 0.001
    assert all(distance_m(a, b) <= 30 for a, b in itertools.pairwise(walked))


# Boxes ------------------------------------------------------------------------------------------


def test_a_box_is_west_south_east_north() -> None:
    box = Box.parse("3.8, 43.55,3.95,43.65")
    assert box == Box(west=3.8, south=43.55, east=3.95, north=43.65)
    assert box.contains(MONTPELLIER)
    assert not box.contains(Point(43.7, 3.9))
    assert box.centre().lat == pytest.approx(43.6)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "0,10,1,5"])
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(BoxError):
        Box.parse(text)


@pytest.mark.parametrize("text", ["0,-91,1,0", "0,0,181,1", "nan,0,1,1", "0,0,1,inf"])
def test_a_box_has_edges_on_the_globe(text: str) -> None:
    with pytest.raises((LatitudeError, LongitudeError)):
        Box.parse(text)


def test_a_box_with_west_beyond_east_crosses_the_antimeridian() -> None:
    fiji = Box.parse("177,-20,-178,-15")
    assert fiji.crosses_antimeridian
    assert fiji.contains(Point(-17, 179))
    assert fiji.contains(Point(-17, -179))
    assert fiji.contains(Point(-17, 180))
    assert fiji.contains(Point(-17, -180))
    assert not fiji.contains(Point(-17, 0))
    assert fiji.centre().lon == pytest.approx(179.5)
    assert [part.contains(Point(-17, 179)) for part in fiji.parts()] == [True, False]
    assert fiji.intersects(Box(-179, -16, -170, -10))
    assert not fiji.intersects(Box(-177, -16, -170, -10))
    assert fiji.contains_box(Box(179, -18, -179, -16))
    assert not Box(170, -20, 180, -15).contains_box(fiji)


def test_the_two_names_of_the_antimeridian_are_one_line() -> None:
    assert Box(170, 0, 180, 10).contains(Point(5, -180))
    assert Box(170, 0, 180, 10).intersects(Box(-180, 0, -170, 10))


@given(
    start=points,
    heading=headings,
    radius=st.floats(0.1, 3_000_000),
    part=st.floats(0, 1),
)
def test_a_box_around_a_circle_holds_all_of_it(
    start: Point, heading: float, radius: float, part: float
) -> None:
    assert Box.around(start, radius).contains(destination(start, heading, radius * part))


def test_a_box_around_a_circle_is_tight() -> None:
    box = Box.around(MONTPELLIER, 1000)
    width = exact_distance_m(Point(MONTPELLIER.lat, box.west), Point(MONTPELLIER.lat, box.east))
    assert 2000 < width < 2015


@pytest.mark.parametrize("metres", [0.0, 1.0, 500.0, 100_000.0, 5_000_000.0])
def test_a_chord_is_what_a_distance_is_measured_by(metres: float) -> None:
    chord = chord_m(metres)

    radius = MEAN_RADIUS_M
    assert 2 * radius * math.asin(chord / (2 * radius)) == pytest.approx(metres)
    assert chord <= metres


def test_no_chord_is_longer_than_half_the_globe() -> None:
    assert chord_m(math.pi * MEAN_RADIUS_M) == math.inf
