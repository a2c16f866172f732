"""The same thing under another code: new ones matched to old ones that stand where they did. Pure.

A city that numbers its hydrants anew has not moved a single one. Of all pairs within a distance
the nearest is taken first, and neither of the two is taken again: one to one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from geo.measures import Point, degree_lengths_m, distance_m

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Placed(Generic[Key]):
    """Something at a position."""

    key: Key
    point: Point


def match_one_to_one(
    old: Sequence[Placed[Key]], new: Sequence[Placed[int]], radius_m: float
) -> list[tuple[Key, int]]:
    """Pairs `(old, new)` within the radius, nearest pairs first; in order of `new` among equals."""
    if not old or not new or radius_m <= 0:
        return []
    near = _Squares(old, radius_m)
    pairs = sorted(
        (round(distance_m(item.point, other.point), 3), place, other.key, item.key)
        for place, other in enumerate(new)
        for item in near.about(other.point)
        if distance_m(item.point, other.point) <= radius_m
    )
    matched: list[tuple[Key, int]] = []
    taken_old: set[Key] = set()
    taken_new: set[int] = set()
    for _, _, new_key, old_key in pairs:
        if old_key not in taken_old and new_key not in taken_new:
            taken_old.add(old_key)
            taken_new.add(new_key)
            matched.append((old_key, new_key))
    return matched


class _Squares(Generic[Key]):
    """Positions by squares of at least the radius: what is near lies in one of nine."""

    def __init__(self, items: Sequence[Placed[Key]], radius_m: float) -> None:
        # Degrees of longitude are shortest where the farthest from the equator stands.
        farthest = max(abs(item.point.lat) for item in items)
        across_m = max(degree_lengths_m(min(farthest + 0.01, 89.9))[1], 1.0)
        self._high = radius_m * 1.001 / 110_560.0
        self._wide = radius_m * 1.001 / across_m
        self._squares: dict[tuple[int, int], list[Placed[Key]]] = {}
        for item in items:
            self._squares.setdefault(self._square(item.point), []).append(item)

    def about(self, point: Point) -> Iterator[Placed[Key]]:
        row, column = self._square(point)
        for up in (-1, 0, 1):
            for right in (-1, 0, 1):
                yield from self._squares.get((row + up, column + right), ())

    def _square(self, point: Point) -> tuple[int, int]:
        return math.floor(point.lat / self._high), math.floor(point.lon / self._wide)
