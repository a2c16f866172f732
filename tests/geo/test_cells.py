"""Covers that miss nothing, from the poles to the antimeridian."""

from __future__ import annotations

import itertools
import random

import h3.api.basic_int as h3
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geo import cells
from geo.cells import (
    EVERYWHERE,
    MAX_DISK_RANGES,
    POSITION_RESOLUTION,
    cell_of,
    centre_of,
    children_range,
    cover_box,
    cover_disk,
    lock_cells,
    lock_resolution,
    parent_of,
    resolution_of,
    rounded,
)
from geo.measures import Box, Point, destination, distance_m

points = st.builds(Point, lat=st.floats(-89, 89), lon=st.floats(-180, 180))
headings = st.floats(0, 360, exclude_max=True)
radii = st.one_of(st.floats(0, 1000), st.floats(0, 100_000), st.floats(0, 5_000_000))

MONTPELLIER = Point(43.6109, 3.8763)
#: A pentagon's centre, where hexagons are most distorted.
PENTAGON = centre_of(min(h3.get_pentagons(9)))


def holds(ranges: list[cells.Range], point: Point) -> bool:
    cell = cell_of(point)
    return any(low <= cell <= high for low, high in ranges)


@given(points)
def test_a_cell_fits_a_signed_64_bit_column(point: Point) -> None:
    cell = cell_of(point)
    assert 0 < cell < 2**63
    assert resolution_of(cell) == POSITION_RESOLUTION
    assert distance_m(point, centre_of(cell)) < 1


@given(points, st.integers(0, 15))
def test_descendants_lie_in_the_range_of_every_ancestor(point: Point, resolution: int) -> None:
    cell = cell_of(point)
    low, high = children_range(parent_of(cell, resolution))
    assert low <= cell <= high


@given(points, st.integers(0, 14))
def test_the_range_of_a_cell_holds_no_other_cells(point: Point, resolution: int) -> None:
    mine = cell_of(point, resolution)
    ranges = sorted(children_range(cell) for cell in h3.grid_disk(mine, 2))
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))


def test_the_range_ends_are_cells() -> None:
    low, high = children_range(cell_of(MONTPELLIER, 9))
    assert h3.is_valid_cell(low)
    assert h3.is_valid_cell(high)
    assert parent_of(low, 9) == parent_of(high, 9)


@given(points, headings, radii, st.floats(0, 1))
@example(PENTAGON, 10.0, 100.0, 1.0)
@example(PENTAGON, 200.0, 50_000.0, 1.0)
@example(Point(89, 180), 0.0, 300_000.0, 1.0)
@example(Point(-17, 180), 90.0, 500.0, 1.0)
def test_everything_within_the_radius_lies_in_the_cover(
    point: Point, heading: float, radius: float, part: float
) -> None:
    ranges = cover_disk(point, radius)
    assert len(ranges) <= MAX_DISK_RANGES
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))
    assert holds(ranges, point)
    assert holds(ranges, destination(point, heading, radius * part))


@pytest.mark.parametrize("radius", [5, 30, 100, 500, 5_000, 200_000])
@pytest.mark.parametrize("point", [MONTPELLIER, PENTAGON, Point(-89, 0), Point(0, 180)])
def test_no_position_of_a_dense_sample_is_missed(point: Point, radius: float) -> None:
    chance = random.Random(f"{point} {radius}")
    ranges = cover_disk(point, radius)
    for _ in range(500):
        there = destination(point, chance.uniform(0, 360), radius * chance.random() ** 0.5)
        assert holds(ranges, there)


@pytest.mark.parametrize("radius", [10, 30, 100, 300, 1000, 3000])
def test_a_cover_is_not_much_larger_than_the_disk(radius: float) -> None:
    chance = random.Random(radius)
    ranges = cover_disk(MONTPELLIER, radius)
    assert not any(
        holds(ranges, destination(MONTPELLIER, chance.uniform(0, 360), radius * 6))
        for _ in range(200)
    )


def test_a_disk_as_large_as_the_globe_is_everywhere() -> None:
    assert cover_disk(MONTPELLIER, 20_100_000) == [EVERYWHERE]


@pytest.mark.parametrize("radius", [-1, float("nan")])
def test_a_radius_that_is_none_is_refused(radius: float) -> None:
    with pytest.raises(ValueError, match="radius"):
        cover_disk(MONTPELLIER, radius)


boxes = st.builds(
    lambda west, width, south, north: Box(
        west, min(south, north), (west + width + 180) % 360 - 180, max(south, north)
    ),
    st.floats(-180, 180),
    st.one_of(st.floats(0.0001, 1), st.floats(1, 350)),
    st.floats(-89, 89),
    st.floats(-89, 89),
)
small_boxes = st.builds(
    lambda point, height, width: Box(
        point.lon,
        point.lat,
        (point.lon + width + 180) % 360 - 180,
        min(90.0, point.lat + height),
    ),
    points,
    st.floats(0, 0.5),
    st.floats(0, 0.5),
)


@given(st.one_of(boxes, small_boxes), st.floats(0, 1), st.floats(0, 1), st.integers(1, 40))
@example(Box(-180, -90, 180, 90), 0.5, 1.0, 24)
@example(Box(179, -20, -179, -15), 0.9, 0.1, 24)
def test_everything_in_the_box_lies_in_the_cover(
    box: Box, up: float, across: float, most: int
) -> None:
    ranges = cover_box(box, max_ranges=most)
    assert len(ranges) <= most
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))
    width = box.east - box.west + (360 if box.crosses_antimeridian else 0)
    lon = (box.west + width * across + 180) % 360 - 180
    inside = Point(min(box.north, box.south + (box.north - box.south) * up), lon)
    if box.contains(inside):
        assert holds(ranges, inside)
    for lat, edge in itertools.product((box.south, box.north), (box.west, box.east)):
        assert holds(ranges, Point(lat, edge))


def test_more_ranges_cover_a_box_more_closely() -> None:
    box = Box(3.8, 43.55, 3.95, 43.65)
    sizes = [sum(high - low for low, high in cover_box(box, max_ranges=n)) for n in (4, 16, 64)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[2]
    assert not holds(cover_box(box), Point(43.75, 3.87))


@given(points, headings, st.floats(0.1, 20_000), st.floats(0, 1))
@example(PENTAGON, 100.0, 500.0, 1.0)
def test_two_positions_within_the_radius_share_a_lock(
    point: Point, heading: float, radius: float, part: float
) -> None:
    other = destination(point, heading, radius * part * 0.999)
    resolution = lock_resolution(radius)
    mine, theirs = (lock_cells(place, radius, resolution) for place in (point, other))
    assert set(mine) & set(theirs)
    assert mine == sorted(mine)
    assert len(mine) <= 4


def test_positions_far_apart_share_no_lock() -> None:
    far = destination(MONTPELLIER, 45, 1000)
    resolution = lock_resolution(50)
    assert not set(lock_cells(MONTPELLIER, 50, resolution)) & set(lock_cells(far, 50, resolution))


def test_a_public_position_is_the_centre_of_its_cell() -> None:
    public = rounded(MONTPELLIER, 10)
    assert rounded(public, 10) == public
    assert 0 < distance_m(MONTPELLIER, public) < 90
    neighbour = destination(public, 30, 20)
    assert rounded(neighbour, 10) == public


def test_the_outline_of_a_cell_is_a_closed_ring_in_one_piece() -> None:
    ring = cells.outline(cell_of(Point(-17, 180), 5))
    assert ring[0] == ring[-1]
    assert max(lon for lon, _ in ring) - min(lon for lon, _ in ring) < 1
    assert cells.hex_id(cell_of(MONTPELLIER, 9)) == h3.int_to_str(cell_of(MONTPELLIER, 9))
