"""Many trips fused: which places are defects, and how much we believe it. Pure.

1. Belief is the log-odds of a defect: what hits and passes say (`sensing.tallies`), by measured
   rates of hits and of false alarms.
2. Defects are the places where belief is greatest within 20 m and one direction of travel. That
   depends on their surroundings alone, so a part of the map gives the same as the whole.

What a defect is, `sensing.classifying` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from geo.measures import Point, degree_lengths_m, wrapped
from sensing.arrays import Flags, Indices, Series
from sensing.grid import APART_M, OCTANTS, Plane, middles_of
from sensing.tallies import (
    AGE_DAY,
    AGE_UNIT,
    HALF_LIFE_DAYS,
    NOT_SUMMED,
    TOTAL,
    WEIGHT_UNIT,
    Evidence,
    Rows,
    Totals,
    joined,
    totals,
)

#: What a trip changed may change who is best two cells on: those are looked at again, too.
WIDER_M = 40.0


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
    away = _away_m(near, touched, 4 * APART_M)
    # At the rim of what was taken, better neighbours may be missing: only the inner ones count.
    inner = near["cell"][away <= 1.5 * APART_M]
    return _found(near[np.isfinite(away)], today, rates, among=inner)


def widened(touched: Indices, totals: Totals) -> Indices:
    """The cells, and those within `WIDER_M` of them in which anything was felt; sorted."""
    felt = totals[(totals["weak"] > 0) | (totals["strong"] > 0)]
    if not len(felt):
        return np.unique(touched)
    is_near = np.isfinite(_away_m(felt, touched, WIDER_M))
    wider: Indices = np.union1d(touched, felt["cell"][is_near])
    return wider


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
    both = joined([rows, rows], TOTAL)
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
        if name not in NOT_SUMMED
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


def _is_best(pooled: _Pooled, belief: Series, kept: Indices) -> Flags:
    """Which candidates have none that is better within `APART_M` and one direction of travel."""
    flat = Plane.about(float(pooled.lat_deg[kept[0]]), float(pooled.lon_deg[kept[0]]))
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


def _away_m(rows: Totals, cells: Indices, within_m: float) -> Series:
    """(n,): metres from each row to the nearest of the cells; infinite beyond `within_m`."""
    middles = middles_of(cells)
    flat = Plane.about(*middles[0])
    away: Series
    away, _ = cKDTree(flat.metres(*middles.T)).query(
        flat.metres(rows["lat"], rows["lon"]), distance_upper_bound=within_m
    )
    return away


def _in_felt_cell(rows: Totals) -> Flags:
    """(n,): whether the cell of a row was felt, in whatever octant. Nowhere else is a defect."""
    cells, places = np.unique(rows["cell"], return_inverse=True)
    felt = np.zeros(len(cells), dtype=bool)
    felt[places[(rows["weak"] > 0) | (rows["strong"] > 0)]] = True
    answer: Flags = felt[places]
    return answer
