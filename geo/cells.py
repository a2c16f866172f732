"""H3 cells: the index of space. Pure.

Every stored position carries its cell of resolution 15 (half a metre) as a 64-bit integer. All
cells of that resolution that descend from one coarser cell lie in one contiguous range of
integers, so a plain B-tree answers "what is near" at every scale:

1. `cover_disk` and `cover_box` give a few ranges that surely contain every position asked for,
2. the query joins them with the indexed column,
3. the caller measures what came back: a cover is always a little too large.

A descendant may lie a little outside the hexagon of its ancestor, because seven hexagons do not
make one. `REACH` bounds by how much, and the covers allow for it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator

import h3.api.basic_int as h3

from geo.measures import Box, Point, chord_m, distance_m, in_space

#: Resolution of stored cells: the finest there is, edges of about 0.6 m.
POSITION_RESOLUTION = 15

#: Every position whose cell descends from a cell lies within this many average edge lengths (of
#: the cell's resolution) from its centre. The largest hexagon on the globe has a circumradius of
#: 1.105 average edges (all cells of resolutions 0 to 4 were measured); its farthest descendant
#: lies at 1.053 circumradii, the sum of √(3/7)·√7⁻ⁿ. Largest seen in 900,000 positions: 1.143.
REACH = 1.17

#: A disk is covered by at most this many ranges. Each costs one descent of the index.
MAX_DISK_RANGES = 12

#: Average length of the edge of a hexagon, in metres, by resolution.
_EDGE_M: list[float] = [h3.average_hexagon_edge_length(resolution, "m") for resolution in range(16)]

#: A disk is first tried at the finest resolution with edges longer than its radius over this.
_RADII_PER_EDGE = 2.5

#: A box wider than this is covered starting from the whole globe.
_WIDEST_LOCAL_BOX_DEG = 60.0

#: Slack, in metres and as a factor, for what floating point and the flattening of the globe do to
#: a comparison of a distance with the circumradius of a cell.
_SLACK_M, _SLACK = 0.01, 1.001

#: Bits of an H3 index (h3geo.org, "H3 cell indexing"): the resolution stands above the base cell
#: and 15 digits of three bits; a digit is 0 to 6, or 7 where the cell is coarser.
_RESOLUTION_SHIFT, _RESOLUTION_MASK = 52, 0xF << 52
_DIGIT_BITS, _HIGHEST_DIGIT = 3, 6
#: Fifteen digits, each of them the highest.
_ALL_SIXES = 0o666_666_666_666_666
_ALL_DIGITS = 0o777_777_777_777_777

Range = tuple[int, int]

#: Every cell of resolution 15 there is.
EVERYWHERE: Range = (0, (1 << 63) - 1)


def cell_of(point: Point, resolution: int = POSITION_RESOLUTION) -> int:
    """The cell that a position lies in, as an integer that fits a signed 64-bit column."""
    cell = int(h3.latlng_to_cell(point.lat, point.lon, resolution))
    # The highest bit of an H3 index is reserved and zero.
    assert 0 < cell < 1 << 63
    return cell


def centre_of(cell: int) -> Point:
    """The position in the middle of a cell."""
    lat, lon = h3.cell_to_latlng(cell)
    return Point(lat, lon)


def parent_of(cell: int, resolution: int) -> int:
    """The ancestor of a cell at a coarser resolution (or the cell itself)."""
    return int(h3.cell_to_parent(cell, resolution))


def resolution_of(cell: int) -> int:
    return (cell & _RESOLUTION_MASK) >> _RESOLUTION_SHIFT


def rounded(point: Point, resolution: int) -> Point:
    """The centre of the cell that a position lies in: a position fit to be published.

    Two people in one cell become one position; at resolution 10 that is about 76 m to a side.
    """
    return centre_of(cell_of(point, resolution))


def hex_id(cell: int) -> str:
    """The cell as H3 tools write it: 15 hexadecimal digits."""
    return str(h3.int_to_str(cell))


def outline(cell: int) -> list[list[float]]:
    """The closed GeoJSON ring `[[lon, lat], …]` of a cell.

    Across the antimeridian longitudes run on past 180, so that the ring stays in one piece.
    """
    corners = h3.cell_to_boundary(cell)
    first = corners[0][1]
    ring = [[lon + 360.0 * round((first - lon) / 360.0), lat] for lat, lon in corners]
    return [*ring, ring[0]]


def edge_m(resolution: int) -> float:
    """Average length of an edge at a resolution."""
    return _EDGE_M[resolution]


def children_range(cell: int) -> Range:
    """The lowest and highest integer of the cell's descendants of resolution 15, inclusive.

    No other cell of that resolution has an integer between them.
    """
    finer = _DIGIT_BITS * (POSITION_RESOLUTION - resolution_of(cell))
    low = (cell & ~_RESOLUTION_MASK) | (POSITION_RESOLUTION << _RESOLUTION_SHIFT)
    low &= ~((1 << finer) - 1)
    return low, low | (_ALL_SIXES & ((1 << finer) - 1))


def widened(ranges: Iterable[Range], resolution: int) -> list[Range]:
    """The ranges, grown to whole cells of a resolution; sorted, disjoint.

    Whether a position lies in them then depends on its cell of that resolution alone, which is
    what a reader may know who sees rounded positions.
    """
    # Digits of finer cells than asked for: at the low end all zero, at the high end all six.
    finer = (1 << (_DIGIT_BITS * (POSITION_RESOLUTION - resolution))) - 1
    grown: list[Range] = []
    for low, high in sorted(ranges):
        wide = (low & ~finer, (high & ~finer) | (_ALL_SIXES & finer))
        if grown and wide[0] <= _next(grown[-1][1]):
            grown[-1] = (grown[-1][0], max(grown[-1][1], wide[1]))
        else:
            grown.append(wide)
    return grown


def cover_disk(point: Point, radius_m: float, *, max_ranges: int = MAX_DISK_RANGES) -> list[Range]:
    """Ranges of cells that surely hold every position within the radius; sorted, disjoint.

    Raises:
        ValueError: the radius is negative or not a number.
    """
    if not radius_m >= 0:
        raise ValueError(f"radius {radius_m}")
    resolution = POSITION_RESOLUTION
    while resolution >= 0 and _EDGE_M[resolution] * _RADII_PER_EDGE < radius_m:
        resolution -= 1
    while resolution >= 0:
        ranges = merged(_cells_reaching(point, radius_m, resolution))
        if len(ranges) <= max_ranges:
            return ranges
        resolution -= 1
    return [EVERYWHERE]


def cover_box(box: Box, *, max_ranges: int = 24) -> list[Range]:
    """Ranges of cells that surely hold every position in the box; sorted, disjoint.

    It begins with the cells of a disk about the box and takes every cell apart that the edge of
    the box may cut, level by level, as long as that leaves no more than `max_ranges`.
    """
    inside: list[int] = []
    cut: list[int] = []
    _sort_out(_cells_about(box, max_ranges), box, inside, cut)
    ranges = merged([*inside, *cut])
    if len(ranges) > max_ranges:
        return [EVERYWHERE]
    while cut and resolution_of(cut[0]) < POSITION_RESOLUTION:
        finer: list[int] = []
        for cell in cut:
            _sort_out(h3.cell_to_children(cell), box, inside, finer)
        cut = finer
        finer_ranges = merged([*inside, *cut])
        if len(finer_ranges) > max_ranges:
            break
        ranges = finer_ranges
    return ranges


def lock_cells(point: Point, radius_m: float, resolution: int) -> list[int]:
    """Sorted cells of a resolution such that any two positions within the radius share one.

    Two transactions that each lock their own cells, in this order, cannot both miss the other's
    row, and cannot deadlock. The cells are those that a disk of half the radius may touch: the
    point half-way between two positions lies in both disks.

    Choose the resolution with `lock_resolution`, the same for everything that must meet.
    """
    half = radius_m / 2
    here = in_space(point.lat, point.lon)
    near = [
        cell
        for cell in _disk_of_cells(point, half, resolution)
        if math.dist(here, _centre_in_space(cell)) <= chord_m(half + _circumradius_m(cell))
    ]
    return sorted(near)


def lock_resolution(radius_m: float) -> int:
    """The finest resolution at which `lock_cells` gives few cells (one to four) for a radius."""
    for resolution in range(POSITION_RESOLUTION, 0, -1):
        if _EDGE_M[resolution] >= 2 * radius_m:
            return resolution
    return 0


def merged(cells: Iterable[int]) -> list[Range]:
    """The descendants of the cells as sorted ranges; ranges with no cell between become one."""
    ranges: list[Range] = []
    for low, high in sorted(children_range(cell) for cell in cells):
        if ranges and low <= _next(ranges[-1][1]):
            ranges[-1] = (ranges[-1][0], max(high, ranges[-1][1]))
        else:
            ranges.append((low, high))
    return ranges


def _next(high: int) -> int:
    """The integer after the last cell of a range, skipping those with a digit 7: no cell's."""
    # The highest descendant ends in a run of sixes; the next cell clears them and counts one up.
    unlike = (high ^ _ALL_SIXES) & _ALL_DIGITS
    # The lowest digit that is no six; beyond the fifteenth, the base cell counts up.
    lowest = (unlike & -unlike).bit_length() - 1 if unlike else _DIGIT_BITS * POSITION_RESOLUTION
    shift = lowest - lowest % _DIGIT_BITS
    return (high >> shift << shift) + (1 << shift)


def _cells_reaching(point: Point, radius_m: float, resolution: int) -> Iterator[int]:
    """Cells of a resolution that have a descendant within the radius, and a few more."""
    limit = chord_m((radius_m + REACH * _EDGE_M[resolution]) * _SLACK + _SLACK_M)
    here = in_space(point.lat, point.lon)
    for cell in _disk_of_cells(point, radius_m, resolution):
        if math.dist(here, _centre_in_space(cell)) <= limit:
            yield cell


def _cells_about(box: Box, max_ranges: int) -> list[int]:
    """Cells of one resolution, in few ranges, that hold every position in the box."""
    width = box.east - box.west + (360.0 if box.crosses_antimeridian else 0.0)
    if width < _WIDEST_LOCAL_BOX_DEG:
        centre = box.centre()
        # Within a quarter of the globe the corners are the positions farthest from the centre.
        radius_m = max(
            distance_m(centre, Point(lat, lon))
            for lat in (box.south, box.north)
            for lon in (box.west, box.east)
        )
        resolution = POSITION_RESOLUTION
        while resolution >= 0 and _EDGE_M[resolution] * _RADII_PER_EDGE < radius_m:
            resolution -= 1
        while resolution >= 0:
            cells = list(_cells_reaching(centre, radius_m, resolution))
            if len(cells) <= max_ranges:
                return cells
            resolution -= 1
    return list(h3.get_res0_cells())


def _disk_of_cells(point: Point, radius_m: float, resolution: int) -> list[int]:
    """All cells of a resolution with centres within the radius and `REACH`, and more."""
    # Rings of cells lie one and a half edges apart. The smallest hexagons have edges two thirds
    # of the average, so one average edge to a ring is surely enough.
    rings = int(radius_m / _EDGE_M[resolution] + REACH) + 1
    return list(h3.grid_disk(cell_of(point, resolution), rings))


# Reports of a city lie near each other, and each asks about some forty cells around it.
@functools.lru_cache(maxsize=1 << 14)
def _centre_in_space(cell: int) -> tuple[float, float, float]:
    return in_space(*h3.cell_to_latlng(cell))


@functools.lru_cache(maxsize=1 << 14)
def _circumradius_m(cell: int) -> float:
    centre = centre_of(cell)
    corners = h3.cell_to_boundary(cell)
    farthest = max(distance_m(centre, Point(lat, lon)) for lat, lon in corners)
    return farthest * _SLACK + _SLACK_M


def _sort_out(cells: Iterable[int], box: Box, inside: list[int], cut: list[int]) -> None:
    """Add each cell to those whose descendants are all in the box, or may partly be, or neither."""
    for cell in cells:
        bounds = Box.around(centre_of(cell), _EDGE_M[resolution_of(cell)] * REACH)
        if box.contains_box(bounds):
            inside.append(cell)
        elif box.intersects(bounds):
            cut.append(cell)
