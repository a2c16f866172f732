"""What is counted of the road, and adds up: rows by day and totals. Pure.

Raw traces are deleted, so what is kept must be enough for ever, and must name nobody:

1. Streets are cut into H3 cells of resolution 12 (19 m from middle to middle). For each cell,
   octant of heading and day one row counts the trips that passed (`PASSES`) and how many of them
   felt a bump weakly or strongly, with sums that give the place of the bumps. No row names a trip
   or a device.
2. All of it is integers, and adding is all that happens to it: trips may arrive in any order, and
   the rows are the same to the last digit. A defect found later knows the passes before it.
3. What is read at every trip is one row for each cell and octant, the sum over the days
   (`TOTAL`), so that a year of driving costs no more than a day of it. Evidence halves in weight
   with age: instead of shrinking what is old, what is new is written larger, in integers again.
   A repair takes most of the weight of the days before it; that needs the rows by day.

It does not store: the caller adds rows up, in SQL or in `Evidence`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sensing.arrays import Flags, Indices, Series
from sensing.grid import APART_M, OCTANTS, REACH_M, Plane, middles_of, packets_about, packets_of

#: Weights of positions are 1/variance in these parts of 1/m², lengths are in centimetres.
WEIGHT_UNIT = 10_000

#: Evidence loses half its weight in this time: streets change, and so do cars.
HALF_LIFE_DAYS = 270.0

#: What is left of the evidence of the days before a repair.
KEPT_AT_REPAIR = 0.05

#: Where the bumps were, how hard and of what form: in rows and in totals the same.
_FELT = (
    ("weight", np.int64),
    ("north", np.int64),
    ("east", np.int64),
    ("square", np.int64),
    ("severity", np.int64),
    ("shaped", np.int32),
    ("width", np.int64),
    ("symmetry", np.int64),
)

#: One row: all integers, so that sums do not depend on their order.
ROW = np.dtype(
    [
        ("cell", np.int64),
        ("octant", np.int8),
        ("day", np.int32),
        ("passes", np.int32),
        ("weak", np.int32),
        ("strong", np.int32),
        *_FELT,
    ]
)

#: What identifies a row, and what is added up.
KEY = ("cell", "octant", "day")
SUMS = tuple(name for name in ROW.names or () if name not in KEY)

Rows = NDArray[np.void]

#: One row of totals: aged counts are in parts of `AGE_UNIT` at `AGE_DAY`; days are of hits.
TOTAL = np.dtype(
    [
        ("cell", np.int64),
        ("octant", np.int8),
        ("passes", np.int32),
        ("weak", np.int32),
        ("strong", np.int32),
        ("aged_passes", np.int64),
        ("aged_weak", np.int64),
        ("aged_strong", np.int64),
        *_FELT,
        ("first_day", np.int32),
        ("last_day", np.int32),
        ("lat", np.float64),
        ("lon", np.float64),
    ]
)

Totals = NDArray[np.void]

#: Totals are added up but for these; the middle of the cell is the same in all.
NOT_SUMMED = frozenset({"cell", "octant", "first_day", "last_day", "lat", "lon"})

#: A pass on this day (2026-01-01) weighs so many parts; `HALF_LIFE_DAYS` later twice as many.
AGE_DAY, AGE_UNIT = 20_454, 1 << 16

#: The first and last day of a hit where there was none.
_NEVER_FIRST, _NEVER_LAST = np.iinfo(np.int32).max, -1


def added(parts: Iterable[Rows]) -> Rows:
    """One row for each key, the sums of all; sorted by key."""
    rows = joined(list(parts))
    if not len(rows):
        return rows
    rows = _sorted(rows)
    if not (~_differs(rows)).any():
        return rows
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = _differs(rows)
    starts = np.flatnonzero(fresh)
    answer = rows[starts].copy()
    for name in SUMS:
        answer[name] = np.add.reduceat(rows[name], starts)
    return answer


def totals(rows: Rows, repaired: Mapping[tuple[int, int], int] | None = None) -> Totals:
    """Rows by day, summed over the days; sorted by cell and octant.

    Args:
        rows: in any order; whole keys or parts of them.
        repaired: the day a defect's (cell, octant) was repaired: of what was felt there and around
            until then almost nothing is left, and no place or form.
    """
    answer = np.zeros(len(rows), dtype=TOTAL)
    if not len(rows):
        return answer
    kept = _kept_at_repairs(rows, dict(repaired or {}))
    grown = np.exp2((rows["day"].astype(np.float64) - AGE_DAY) / HALF_LIFE_DAYS) * AGE_UNIT
    weight = np.maximum(1, np.round(grown * kept)).astype(np.int64)
    whole = kept == 1.0
    for name in ("cell", "octant"):
        answer[name] = rows[name]
    for name in SUMS:
        answer[name] = np.where(whole, rows[name], 0)
    for name in ("passes", "weak", "strong"):
        answer[f"aged_{name}"] = rows[name] * weight
    is_hit = whole & (rows["weak"] + rows["strong"] > 0)
    answer["first_day"] = np.where(is_hit, rows["day"], _NEVER_FIRST)
    answer["last_day"] = np.where(is_hit, rows["day"], _NEVER_LAST)
    middles = middles_of(rows["cell"])
    answer["lat"], answer["lon"] = middles[:, 0], middles[:, 1]
    return summed([answer])


def summed(parts: Iterable[Totals]) -> Totals:
    """One row for each cell and octant, of all totals; sorted by them."""
    rows = joined(list(parts), TOTAL)
    rows = rows[np.lexsort((rows["octant"], rows["cell"]))]
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = (np.diff(rows["cell"]) != 0) | (np.diff(rows["octant"]) != 0)
    if fresh.all():
        return rows
    starts = np.flatnonzero(fresh)
    answer: Totals = rows[starts]
    for name in TOTAL.names or ():
        if name not in NOT_SUMMED:
            answer[name] = np.add.reduceat(rows[name], starts)
    answer["first_day"] = np.minimum.reduceat(rows["first_day"], starts)
    answer["last_day"] = np.maximum.reduceat(rows["last_day"], starts)
    return answer


class Evidence:
    """Rows and totals in memory, by packet. For evaluations, simulations and benchmarks.

    Production keeps the same rows in two tables, with the packet as a column to find them by.
    """

    #: A packet is added up when so many trips have come to it: reading adds up what is left.
    PARTS = 32

    def __init__(self, *, keeps_days: bool = True) -> None:
        """Without the rows by day there is less to keep, and no repair."""
        self._days: dict[int, list[Rows]] = {}
        self._totals: dict[int, Totals] = {}
        self._keeps_days = keeps_days
        self._repaired: dict[tuple[int, int], int] = {}

    def add(self, rows: Rows) -> None:
        """Add a trip's sightings."""
        for packet, part in by_packet(totals(rows, self._repaired)):
            known = self._totals.get(packet)
            self._totals[packet] = part if known is None else summed([known, part])
        if self._keeps_days:
            for packet, part in by_packet(rows):
                parts = self._days.setdefault(packet, [])
                parts.append(part)
                if len(parts) >= self.PARTS:
                    parts[:] = [added(parts)]

    def repair(self, cell: int, octant: int, day: int) -> None:
        """A defect was repaired on a day: what was felt there before counts no more."""
        self._repaired[cell, octant] = day
        for packet in packets_about(np.array([cell])):
            if packet in self._days:
                self._totals[packet] = totals(added(self._days[packet]), self._repaired)

    def near(self, cells: Indices) -> Totals:
        """The totals of the packets of the cells and of those about them; sorted."""
        found = (self._totals.get(packet) for packet in packets_about(cells))
        return summed(part for part in found if part is not None)

    def all(self) -> Rows:
        """Every row by day; sorted by key."""
        return added(part for parts in self._days.values() for part in parts)

    def everywhere(self) -> Totals:
        """All totals; sorted by cell and octant."""
        return summed(self._totals.values())

    def __len__(self) -> int:
        return sum(map(len, self._totals.values()))


def by_packet(rows: Rows) -> Iterator[tuple[int, Rows]]:
    """The rows of each packet, in the order they have."""
    packets = packets_of(rows["cell"])
    order = np.argsort(packets, kind="stable")
    rows, packets = rows[order], packets[order]
    starts = np.flatnonzero(np.diff(packets, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield int(packets[start]), rows[start:end]


def joined(parts: list[Rows], kind: np.dtype[np.void] = ROW) -> Rows:
    """All in one: `np.concatenate` would compare the fields of every part anew."""
    rows = np.empty(sum(map(len, parts)), dtype=kind)
    first = 0
    for part in parts:
        rows[first : first + len(part)] = part
        first += len(part)
    return rows


def _kept_at_repairs(rows: Rows, repaired: Mapping[tuple[int, int], int]) -> Series:
    """What repairs leave of each row: those of the defect's direction within reach of it."""
    kept = np.ones(len(rows))
    if not repaired:
        return kept
    cells, places = np.unique(rows["cell"], return_inverse=True)
    middles = middles_of(cells)
    flat = Plane.about(*middles[0])
    tree = cKDTree(flat.metres(*middles.T))
    for (cell, octant), day in sorted(repaired.items()):
        middle = flat.metres(*middles_of(np.array([cell])).T)[0]
        near = np.zeros(len(cells), dtype=bool)
        near[tree.query_ball_point(middle, APART_M + REACH_M)] = True
        # A defect stands for its octant and the next one; one more to each side for bends.
        turned = (rows["octant"].astype(np.int64) - octant + 1) % OCTANTS
        until = near[places] & (turned <= 3) & (rows["day"] <= day)
        kept[until] = KEPT_AT_REPAIR
    return kept


def _differs(rows: Rows) -> Flags:
    """(n - 1,): whether a row has another key than the one before."""
    answer: Flags = (
        (np.diff(rows["cell"]) != 0) | (np.diff(rows["octant"]) != 0) | (np.diff(rows["day"]) != 0)
    )
    return answer


def _sorted(rows: Rows) -> Rows:
    return rows[np.lexsort((rows["day"], rows["octant"], rows["cell"]))]
