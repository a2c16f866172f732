"""Many trips fused: what each place was felt by, and what that makes us believe. Pure.

Raw traces are deleted, so what is kept must be enough for ever, and must name nobody:

1. Streets are cut into H3 cells of resolution 12 (19 m from middle to middle). For each cell,
   octant of heading and day one row counts the trips that passed (`PASSES`) and how many of them
   felt a bump weakly or strongly, with sums that give the place of the bumps. No row names a trip
   or a device.
2. A trip counts once in a row, however often it went round. It passes, or feels, every cell whose
   middle is within reach of its way, or of its bump: 17 to 28 m, by the errors of its positions.
3. All of it is integers, and adding is all that happens to it: trips may arrive in any order, and
   the rows are the same to the last digit. A defect found later knows the passes before it.
4. What is read at every trip is one row for each cell and octant, the sum over the days
   (`TOTAL`), so that a year of driving costs no more than a day of it. Evidence halves in weight
   with age: instead of shrinking what is old, what is new is written larger, in integers again.
   A repair takes most of the weight of the days before it; that needs the rows by day.
5. Belief is the log-odds of a defect: what hits and passes say, by measured rates of hits and of
   false alarms.
6. Defects are the places where belief is greatest within 20 m and one direction of travel. That
   depends on their surroundings alone, so a part of the map gives the same as the whole.

It does not store (the caller adds rows up, in SQL or in `Evidence`) and does not say what a defect
is (`sensing.classifying`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import h3.api.basic_int as h3
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from geo.measures import Point, degree_lengths_m, wrapped
from sensing.arrays import Flags, Indices, Series, Vectors
from sensing.traces import Analysis, Bump, Detector, Track

#: Middles of neighbours are 19 m apart: about two standard errors of a position in a street.
RESOLUTION = 12

#: A trip passes, or feels, the cells whose middles are near: these metres and two standard errors
#: of its positions, within limits. No point is further than 11 m from the middle of its own cell.
REACH_BASE_M, REACH_M, FARTHEST_REACH_M = 8.0, 17.0, 28.0

#: Two defects are this far apart, or lie in different directions of travel.
APART_M = 20.0

#: What a trip changed may change who is best two cells on: those are looked at again, too.
WIDER_M = 40.0

OCTANTS = 8

#: A bump that the learned detector was at least this sure of counts as felt weakly, one that it
#: calls a bump as felt strongly. At low rates 0.085 is 4 m/s²; at high rates confidence says how
#: likely a window is no plain road.
WEAK_CONFIDENCE_LOW_RATE, WEAK_CONFIDENCE = 0.085, 0.3

WEAK, STRONG = 1, 2

#: Rows are stored and found by packets: the cells of this resolution, about 130 m wide.
PACKET_RESOLUTION = 10

#: Weights of positions are 1/variance in these parts of 1/m², lengths are in centimetres.
WEIGHT_UNIT = 10_000

#: Evidence loses half its weight in this time: streets change, and so do cars.
HALF_LIFE_DAYS = 270.0

#: What is left of the evidence of the days before a repair.
KEPT_AT_REPAIR = 0.05

#: One row: all integers, so that sums do not depend on their order.
ROW = np.dtype(
    [
        ("cell", np.int64),
        ("octant", np.int8),
        ("day", np.int32),
        ("passes", np.int32),
        ("weak", np.int32),
        ("strong", np.int32),
        ("weight", np.int64),
        ("north", np.int64),
        ("east", np.int64),
        ("square", np.int64),
        ("severity", np.int64),
        ("shaped", np.int32),
        ("width", np.int64),
        ("symmetry", np.int64),
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
        ("weight", np.int64),
        ("north", np.int64),
        ("east", np.int64),
        ("square", np.int64),
        ("severity", np.int64),
        ("shaped", np.int32),
        ("width", np.int64),
        ("symmetry", np.int64),
        ("first_day", np.int32),
        ("last_day", np.int32),
        ("lat", np.float64),
        ("lon", np.float64),
    ]
)

Totals = NDArray[np.void]

#: Totals are added up but for these; the middle of the cell is the same in all.
_NOT_SUMMED = frozenset({"cell", "octant", "first_day", "last_day", "lat", "lon"})

#: A pass on this day (2026-01-01) weighs so many parts; `HALF_LIFE_DAYS` later twice as many.
AGE_DAY, AGE_UNIT = 20_454, 1 << 16

#: The first and last day of a hit where there was none.
_NEVER_FIRST, _NEVER_LAST = np.iinfo(np.int32).max, -1


@dataclass(frozen=True, slots=True)
class Rates:
    """How often one pass feels a defect or a sound road, weakly or strongly.

    Measured in the cells within reach of a label, and in the others, of three laps of one car
    (docs/accuracy.md): with other phones and streets they are a beginning, not a truth. `prior` is
    the share of cells near a label there, 22 %, rounded down.
    """

    weak_at_defect: float = 0.16
    strong_at_defect: float = 0.55
    weak_elsewhere: float = 0.08
    strong_elsewhere: float = 0.08
    prior: float = 0.2

    @property
    def by_weak(self) -> float:
        return math.log(self.weak_at_defect / self.weak_elsewhere)

    @property
    def by_strong(self) -> float:
        return math.log(self.strong_at_defect / self.strong_elsewhere)

    @property
    def by_silence(self) -> float:
        """What one pass that felt nothing says: less than nothing."""
        at_defect = 1.0 - self.weak_at_defect - self.strong_at_defect
        elsewhere = 1.0 - self.weak_elsewhere - self.strong_elsewhere
        return math.log(at_defect / elsewhere)


RATES = Rates()

#: Nobody is ever surer than this, in log-odds (99.9 %): the rates themselves are not.
SUREST = 7.0

#: A place is a defect from this belief on, when at least so many trips felt it.
BELIEVED, FEWEST_HITS = 0.5, 2


@dataclass(frozen=True, slots=True)
class Defect:
    """A place that several trips felt.

    Attributes:
        cell, octant: the row it is called by; stable while its evidence is.
        point, error_m: its place, and the standard error of it along one axis.
        heading_deg: the middle of the directions in which it was felt.
        belief: 0 to 1.
        severity: 0 to 10, the mean of the hits.
        hits, passes: trips, all days, undiscounted; a hit is a pass too.
        first_day, last_day: of a hit, days since 1970-01-01 UTC.
        width_m, symmetry: means of what phones at high rates felt; None without any.
    """

    cell: int
    octant: int
    point: Point
    error_m: float
    heading_deg: float
    belief: float
    severity: float
    hits: int
    passes: int
    first_day: int
    last_day: int
    width_m: float | None
    symmetry: float | None

    @property
    def share(self) -> float:
        """Share of the passes that felt it."""
        return self.hits / self.passes if self.passes else 0.0


def day_of(t_s: float) -> int:
    """Days since 1970-01-01 UTC of a time in seconds."""
    return math.floor(t_s / 86_400)


def octant_of(heading_deg: Series) -> Indices:
    """0 for north (±22.5°), clockwise to 7 for north-west."""
    octants: Indices = np.round(np.asarray(heading_deg) / 45.0).astype(np.int64) % OCTANTS
    return octants


def sightings(analysis: Analysis, *, day: int | None = None) -> Rows:
    """What one trip adds: at most one row for each cell and octant, `passes` 1 in each.

    Args:
        analysis: of a trip; what is not believed has neither bumps nor track.
        day: to count it on; the day of its first place otherwise.
    """
    track = analysis.track
    if not len(track.t_s):
        return np.zeros(0, dtype=ROW)
    if day is None:
        day = day_of(float(track.t_s[0]))
    flat = _Plane.about(float(track.lat_deg[0]), float(track.lon_deg[0]))
    way = flat.metres(track.lat_deg, track.lon_deg)
    errors = 2.0 * float(np.median(track.error_m))
    reach_m = min(max(REACH_BASE_M + errors, REACH_M), FARTHEST_REACH_M)
    return _with_hits(flat, _passes(flat, way, track, day, reach_m), analysis, reach_m)


def added(parts: Iterable[Rows]) -> Rows:
    """One row for each key, the sums of all; sorted by key."""
    rows = _joined(list(parts))
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
    middles = _centres(rows["cell"])
    answer["lat"], answer["lon"] = middles[:, 0], middles[:, 1]
    return summed([answer])


def summed(parts: Iterable[Totals]) -> Totals:
    """One row for each cell and octant, of all totals; sorted by them."""
    rows = _joined(list(parts), TOTAL)
    rows = rows[np.lexsort((rows["octant"], rows["cell"]))]
    fresh = np.ones(len(rows), dtype=bool)
    fresh[1:] = (np.diff(rows["cell"]) != 0) | (np.diff(rows["octant"]) != 0)
    if fresh.all():
        return rows
    starts = np.flatnonzero(fresh)
    answer: Totals = rows[starts]
    for name in TOTAL.names or ():
        if name not in _NOT_SUMMED:
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
        for packet, part in _by_packet(totals(rows, self._repaired)):
            known = self._totals.get(packet)
            self._totals[packet] = part if known is None else summed([known, part])
        if self._keeps_days:
            for packet, part in _by_packet(rows):
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


def fuse(evidence: Evidence, rows: Rows, *, today: int, rates: Rates = RATES) -> list[Defect]:
    """Add a trip's sightings, and tell the defects that may have changed by it: those on its way.

    A defect that was there before and is not in the answer is none any more, if its cell is one of
    the trip's or next to one.
    """
    evidence.add(rows)
    return defects_on(np.unique(rows["cell"]), evidence.near(rows["cell"]), today, rates)


def defects_on(touched: Indices, near: Totals, today: int, rates: Rates = RATES) -> list[Defect]:
    """The defects in or next to cells that a trip touched.

    Args:
        touched: cells. near: the totals of `packets_about` them.
        today: the day to weigh age by.
    """
    near = near[_in_felt_cell(near)]
    if not len(near) or not len(touched):
        return []
    middles = _centres(touched)
    flat = _Plane.about(*middles[0])
    tree = cKDTree(flat.metres(*middles.T))
    away, _ = tree.query(flat.metres(near["lat"], near["lon"]), distance_upper_bound=4 * APART_M)
    # At the rim of what was taken, better neighbours may be missing: only the inner ones count.
    inner = near["cell"][away <= 1.5 * APART_M]
    return _found(near[np.isfinite(away)], today, rates, among=inner)


def widened(touched: Indices, totals: Totals) -> Indices:
    """The cells, and those within `WIDER_M` of them in which anything was felt; sorted."""
    felt = totals[(totals["weak"] > 0) | (totals["strong"] > 0)]
    if not len(felt):
        return np.unique(touched)
    middles = _centres(touched)
    flat = _Plane.about(*middles[0])
    away, _ = cKDTree(flat.metres(*middles.T)).query(
        flat.metres(felt["lat"], felt["lon"]), distance_upper_bound=WIDER_M
    )
    wider: Indices = np.union1d(touched, felt["cell"][np.isfinite(away)])
    return wider


def packets_of(cells: Indices) -> Indices:
    """The packet of each cell: its ancestor of resolution 10, 49 cells of ours.

    As `geo.cells.parent_of`, for many at once: the digits below are set to seven, the bits of the
    resolution to ten.
    """
    finer = 15 - PACKET_RESOLUTION
    packets: Indices = (
        (np.asarray(cells, dtype=np.int64) & ~np.int64(0xF << 52))
        | np.int64(PACKET_RESOLUTION << 52)
        | np.int64((1 << (3 * finer)) - 1)
    )
    return packets


def packets_about(cells: Indices) -> list[int]:
    """The packets of the cells and all next to them, sorted: what `defects` needs to see."""
    about: set[int] = set()
    for packet in np.unique(packets_of(cells)).tolist():
        about.update(h3.grid_disk(packet, 1))
    return sorted(about)


def defects(
    rows: Rows,
    *,
    today: int,
    repaired: Mapping[tuple[int, int], int] | None = None,
    rates: Rates = RATES,
    believed: float = BELIEVED,
    fewest_hits: int = FEWEST_HITS,
) -> list[Defect]:
    """The defects that rows tell of, surest first.

    Args:
        rows: in any order; whole keys or parts of them.
        today: the day to weigh age by, since 1970-01-01 UTC.
        repaired: the day a defect's (cell, octant) was repaired: what was felt there and around
            until then counts for almost nothing.
        believed, fewest_hits: what is less believed, or felt by fewer trips, is left out.
    """
    told = totals(rows, repaired)
    return _found(told[_in_felt_cell(told)], today, rates, believed, fewest_hits)


def odds(belief: float) -> float:
    """The log-odds of a belief."""
    return math.log(belief / (1.0 - belief))


def silence_needed(belief: float, *, until: float = 0.1, rates: Rates = RATES) -> int:
    """How many passes that feel nothing bring a belief down to `until`: "fixed", by silence."""
    return max(0, math.ceil((odds(belief) - odds(until)) / -rates.by_silence))


def _found(
    rows: Totals,
    today: int,
    rates: Rates,
    believed: float = BELIEVED,
    fewest_hits: int = FEWEST_HITS,
    *,
    among: Indices | None = None,
) -> list[Defect]:
    """As `defects`, of the totals of cells that were felt, summed and sorted.

    Args:
        among: tell of these cells only.
    """
    if not len(rows):
        return []
    pooled = _pooled(rows, today)
    belief = np.clip(
        math.log(rates.prior / (1.0 - rates.prior))
        + pooled.strong * rates.by_strong
        + pooled.weak * rates.by_weak
        + (pooled.passes - pooled.strong - pooled.weak) * rates.by_silence,
        -SUREST,
        SUREST,
    )
    floor = math.log(believed / (1.0 - believed))
    kept = np.flatnonzero((belief >= floor) & (pooled.hits >= fewest_hits))
    if not len(kept):
        return []
    kept = kept[_is_best(pooled, belief, kept)]
    if among is not None:
        kept = kept[np.isin(pooled.cell[kept], among)]
    order = np.lexsort((pooled.octant[kept], pooled.cell[kept], -belief[kept]))
    return [_defect(pooled, index, float(belief[index])) for index in kept[order].tolist()]


@dataclass(frozen=True, slots=True)
class _Pooled:
    """Evidence of a cell in two neighbouring octants, weighed by age; one entry for each pair.

    A street may run between two octants, and half of its trips then count in each.
    """

    cell: Indices
    octant: Indices
    passes: Series
    weak: Series
    strong: Series
    hits: Indices
    all_passes: Indices
    first_day: Indices
    last_day: Indices
    north_m: Series
    east_m: Series
    spread_m: Series
    weight: Series
    severity: Series
    width_m: Series
    symmetry: Series
    offset_octant: Series
    lat_deg: Series
    lon_deg: Series


def _pooled(rows: Totals, today: int) -> _Pooled:
    # Rows of pairs (o, o + 1): each row stands in two, its own and that of the octant before it.
    both = _joined([rows, rows], TOTAL)
    pair = np.concatenate([rows["octant"], (rows["octant"] - 1) % OCTANTS]).astype(np.int64)
    is_second = np.repeat([0.0, 1.0], len(rows))
    order = np.lexsort((is_second, pair, both["cell"]))
    both, pair, is_second = both[order], pair[order], is_second[order]
    fresh = np.ones(len(both), dtype=bool)
    fresh[1:] = (np.diff(both["cell"]) != 0) | (np.diff(pair) != 0)
    starts = np.flatnonzero(fresh)
    # Integers are summed as such: a float appears when all of them are together.
    sums = {
        name: np.add.reduceat(both[name].astype(np.int64), starts)
        for name in TOTAL.names or ()
        if name not in _NOT_SUMMED
    }
    # Old recordings, looked at as of their own days, would weigh less than one whole part: each of
    # their passes has been rounded up to that.
    unit = max(1.0, AGE_UNIT * 2.0 ** ((today - AGE_DAY) / HALF_LIFE_DAYS))
    hits = sums["weak"] + sums["strong"]
    counted = (both["weak"] + both["strong"]).astype(np.int64)
    felt = np.maximum(hits, 1)
    heavy = np.maximum(sums["weight"], 1)
    # Sums of weight times centimetres; to metres from the middle of the cell.
    north, east = sums["north"] / heavy / 100.0, sums["east"] / heavy / 100.0
    square = sums["square"] / heavy / 10_000.0
    shaped = np.maximum(sums["shaped"], 1)
    is_unshaped = sums["shaped"] == 0
    return _Pooled(
        cell=both["cell"][starts],
        octant=pair[starts],
        passes=sums["aged_passes"] / unit,
        weak=sums["aged_weak"] / unit,
        strong=sums["aged_strong"] / unit,
        hits=hits,
        all_passes=sums["passes"],
        first_day=np.minimum.reduceat(both["first_day"], starts).astype(np.int64),
        last_day=np.maximum.reduceat(both["last_day"], starts).astype(np.int64),
        north_m=north,
        east_m=east,
        spread_m=np.sqrt(np.maximum(square - north**2 - east**2, 0.0) / 2.0),
        weight=sums["weight"] / WEIGHT_UNIT,
        severity=sums["severity"] / felt / 1000.0,
        width_m=np.where(is_unshaped, np.nan, sums["width"] / shaped / 1000.0),
        symmetry=np.where(is_unshaped, np.nan, sums["symmetry"] / shaped / 1000.0),
        offset_octant=np.add.reduceat(counted * is_second, starts) / felt,
        lat_deg=both["lat"][starts],
        lon_deg=both["lon"][starts],
    )


def _kept_at_repairs(rows: Rows, repaired: Mapping[tuple[int, int], int]) -> Series:
    """What repairs leave of each row: those of the defect's direction within reach of it."""
    kept = np.ones(len(rows))
    if not repaired:
        return kept
    cells, places = np.unique(rows["cell"], return_inverse=True)
    middles = _centres(cells)
    flat = _Plane.about(*middles[0])
    tree = cKDTree(flat.metres(*middles.T))
    for (cell, octant), day in sorted(repaired.items()):
        middle = flat.metres(*_centres(np.array([cell])).T)[0]
        near = np.zeros(len(cells), dtype=bool)
        near[tree.query_ball_point(middle, APART_M + REACH_M)] = True
        # A defect stands for its octant and the next one; one more to each side for bends.
        turned = (rows["octant"].astype(np.int64) - octant + 1) % OCTANTS
        until = near[places] & (turned <= 3) & (rows["day"] <= day)
        kept[until] = KEPT_AT_REPAIR
    return kept


def _is_best(pooled: _Pooled, belief: Series, kept: Indices) -> Flags:
    """Which candidates have none that is better within `APART_M` and one direction of travel."""
    flat = _Plane.about(float(pooled.lat_deg[kept[0]]), float(pooled.lon_deg[kept[0]]))
    offset = np.stack([pooled.north_m[kept], pooled.east_m[kept]], axis=1)
    places = flat.metres(pooled.lat_deg[kept], pooled.lon_deg[kept]) + offset
    # Of places that are equally sure the one whose bumps lie next to its middle; rounded, because
    # the last digit of a logarithm is not the same everywhere.
    sure = np.round(belief[kept] + 0.02 * np.log(pooled.weight[kept] + 1e-9), 6)
    middle = np.round(np.hypot(offset[:, 0], offset[:, 1]), 6)
    rank = np.empty(len(kept), dtype=np.int64)
    rank[np.lexsort((pooled.octant[kept], pooled.cell[kept], middle, -sure))] = np.arange(len(kept))
    best = np.ones(len(kept), dtype=bool)
    pairs = cKDTree(places).query_pairs(APART_M, output_type="ndarray")
    if len(pairs):
        octant = pooled.octant[kept]
        turned = np.abs((octant[pairs[:, 0]] - octant[pairs[:, 1]] + 4) % OCTANTS - 4)
        pairs = pairs[turned <= 2]
        worse = np.where(rank[pairs[:, 0]] > rank[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
        best[worse] = False
    return best


def _defect(pooled: _Pooled, index: int, log_odds: float) -> Defect:
    north_m, east_m = degree_lengths_m(float(pooled.lat_deg[index]))
    hits = int(pooled.hits[index])
    single = 1.0 / math.sqrt(max(float(pooled.weight[index]), 1e-9))
    scatter = float(pooled.spread_m[index]) / math.sqrt(hits)
    octant = int(pooled.octant[index])
    width, symmetry = float(pooled.width_m[index]), float(pooled.symmetry[index])
    return Defect(
        cell=int(pooled.cell[index]),
        octant=octant,
        point=Point(
            float(pooled.lat_deg[index] + pooled.north_m[index] / north_m),
            wrapped(float(pooled.lon_deg[index] + pooled.east_m[index] / east_m)),
        ),
        error_m=max(single, scatter),
        heading_deg=(octant + float(pooled.offset_octant[index])) * 45.0 % 360.0,
        belief=1.0 / (1.0 + math.exp(-log_odds)),
        severity=float(pooled.severity[index]),
        hits=hits,
        passes=int(pooled.all_passes[index]),
        first_day=int(pooled.first_day[index]),
        last_day=int(pooled.last_day[index]),
        width_m=None if math.isnan(width) else width,
        symmetry=None if math.isnan(symmetry) else symmetry,
    )


@dataclass(frozen=True, slots=True)
class _Plane:
    """A flat map of a neighbourhood."""

    lat_deg: float
    lon_deg: float
    north_m: float
    east_m: float

    @classmethod
    def about(cls, lat_deg: float, lon_deg: float) -> _Plane:
        north_m, east_m = degree_lengths_m(float(lat_deg))
        return cls(float(lat_deg), float(lon_deg), north_m, east_m)

    def metres(self, lat_deg: Series, lon_deg: Series) -> Vectors:
        """(n, 2): metres north and east."""
        # Across the antimeridian the difference is taken the short way.
        east = (np.asarray(lon_deg) - self.lon_deg + 180.0) % 360.0 - 180.0
        return np.stack(
            [(np.asarray(lat_deg) - self.lat_deg) * self.north_m, east * self.east_m], axis=1
        )


def _passes(flat: _Plane, way: Vectors, track: Track, day: int, reach_m: float) -> Rows:
    """A row for each cell and octant within reach of the way, with one pass; sorted by them."""
    octants = octant_of(track.heading_deg)
    # Every second place, ten metres apart, is near enough to all cells within reach: the next ring
    # but one begins 22 m from it.
    own = [
        h3.latlng_to_cell(lat, lon, RESOLUTION)
        for lat, lon in zip(track.lat_deg[::2].tolist(), track.lon_deg[::2].tolist(), strict=True)
    ]
    about: set[int] = set()
    for cell in set(own):
        about.update(h3.grid_disk(cell, 2 if reach_m > 20.0 else 1))
    cells = np.array(sorted(about), dtype=np.int64)
    middles = flat.metres(*_centres(cells).T)
    near = cKDTree(middles).sparse_distance_matrix(cKDTree(way), reach_m, output_type="ndarray")
    nearest = np.full((len(cells), OCTANTS), np.inf)
    np.minimum.at(nearest, (near["i"], octants[near["j"]]), near["v"])
    # In a bend a trip passes a cell in two octants next to each other: it counts in the nearer, so
    # that nowhere one trip is taken for two.
    place, octant = np.nonzero(np.isfinite(nearest))
    before, after = np.roll(nearest, 1, axis=1), np.roll(nearest, -1, axis=1)
    ours = nearest[place, octant]
    single = (ours < before[place, octant]) & (ours <= after[place, octant])
    rows = np.zeros(int(single.sum()), dtype=ROW)
    rows["cell"], rows["octant"], rows["day"] = cells[place[single]], octant[single], day
    rows["passes"] = 1
    return rows


def _with_hits(flat: _Plane, rows: Rows, analysis: Analysis, reach_m: float) -> Rows:
    """The rows, with the trip's bumps in those within reach: in each row the nearest of the surest.

    A bump without a pass (its place is beyond the last of the track) is left out.
    """
    if not len(rows):
        return rows
    floor = WEAK_CONFIDENCE_LOW_RATE if analysis.is_low_rate else WEAK_CONFIDENCE
    bumps = [
        bump
        for bump in analysis.bumps
        if bump.heading_deg is not None and (_strength(bump) == STRONG or bump.confidence >= floor)
    ]
    if not bumps:
        return rows
    where = flat.metres(
        np.array([bump.point.lat for bump in bumps]), np.array([bump.point.lon for bump in bumps])
    )
    headings = octant_of(np.array([bump.heading_deg for bump in bumps]))
    middles = flat.metres(*_centres(rows["cell"]).T)
    # A row and a bump each: those that may belong together.
    near = cKDTree(middles).sparse_distance_matrix(cKDTree(where), reach_m, output_type="ndarray")
    turned = np.abs((rows["octant"][near["i"]] - headings[near["j"]] + 4) % OCTANTS - 4)
    near = near[turned <= 1]
    place, number = near["i"], near["j"]
    strong = np.array([_strength(bump) == STRONG for bump in bumps])
    order = np.lexsort((number, near["v"], ~strong[number], place))
    place, firsts = np.unique(place[order], return_index=True)
    best = order[firsts]
    number = number[best]
    offsets = np.round((where[number] - middles[place]) * 100.0).astype(np.int64)
    rows["strong"][place] = strong[number]
    rows["weak"][place] = ~strong[number]
    errors = np.maximum([bump.error_m for bump in bumps], 1.0)[number]
    weight = np.maximum(1, np.round(WEIGHT_UNIT / errors**2)).astype(np.int64)
    rows["weight"][place] = weight
    rows["north"][place], rows["east"][place] = (weight[:, None] * offsets).T
    rows["square"][place] = weight * (offsets**2).sum(axis=1)
    rows["severity"][place] = np.round([bump.severity * 1000 for bump in bumps])[number]
    forms = [
        (1.0, bump.width_m * 1000, bump.symmetry * 1000)
        if bump.width_m is not None and bump.symmetry is not None
        else (0.0, 0.0, 0.0)
        for bump in bumps
    ]
    for name, values in zip(("shaped", "width", "symmetry"), np.round(forms).T, strict=True):
        rows[name][place] = values[number]
    return rows


def _strength(bump: Bump) -> int:
    return STRONG if Detector.LEARNED in bump.detectors else WEAK


class _Middles:
    """Middles of the cells that were asked for last, sorted by cell.

    A trip asks for the same two thousand cells five times; arrays answer at once for all of them.
    """

    #: Then it begins anew: to put cells into longer arrays costs more than to ask H3 for them.
    MOST = 1 << 14

    def __init__(self) -> None:
        # Both at once, so that no thread sees the cells of one and the middles of another.
        self._known: tuple[Indices, Vectors] = (np.empty(0, np.int64), np.empty((0, 2)))

    def of(self, cells: Indices) -> Vectors:
        """(n, 2): latitude and longitude of each."""
        known, middles = self._known
        places = np.searchsorted(known, cells)
        is_known = np.append(known, -1)[places] == cells
        if not is_known.all():
            unknown = np.unique(cells[~is_known])
            if len(known) + len(unknown) > self.MOST:
                known, middles = known[:0], middles[:0]
                unknown = np.unique(cells)
            found = itertools.chain.from_iterable(map(h3.cell_to_latlng, unknown.tolist()))
            fresh = np.fromiter(found, np.float64, 2 * len(unknown)).reshape(-1, 2)
            places = np.searchsorted(known, unknown)
            known = np.insert(known, places, unknown)
            middles = np.insert(middles, places, fresh, axis=0)
            self._known = known, middles
            places = np.searchsorted(known, cells)
        answer: Vectors = middles[places]
        return answer


_centres = _Middles().of


def _differs(rows: Rows) -> Flags:
    """(n - 1,): whether a row has another key than the one before."""
    answer: Flags = (
        (np.diff(rows["cell"]) != 0) | (np.diff(rows["octant"]) != 0) | (np.diff(rows["day"]) != 0)
    )
    return answer


def _in_felt_cell(rows: Totals) -> Flags:
    """(n,): whether the cell of a row was felt, in whatever octant. Nowhere else is a defect."""
    cells, places = np.unique(rows["cell"], return_inverse=True)
    felt = np.zeros(len(cells), dtype=bool)
    felt[places[(rows["weak"] > 0) | (rows["strong"] > 0)]] = True
    answer: Flags = felt[places]
    return answer


def _by_packet(rows: Rows) -> Iterator[tuple[int, Rows]]:
    """The rows of each packet, in the order they have."""
    packets = packets_of(rows["cell"])
    order = np.argsort(packets, kind="stable")
    rows, packets = rows[order], packets[order]
    starts = np.flatnonzero(np.diff(packets, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield int(packets[start]), rows[start:end]


def _joined(parts: list[Rows], kind: np.dtype[np.void] = ROW) -> Rows:
    """All in one: `np.concatenate` would compare the fields of every part anew."""
    rows = np.empty(sum(map(len, parts)), dtype=kind)
    first = 0
    for part in parts:
        rows[first : first + len(part)] = part
        first += len(part)
    return rows


def _sorted(rows: Rows) -> Rows:
    return rows[np.lexsort((rows["day"], rows["octant"], rows["cell"]))]
