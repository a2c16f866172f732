"""What a report and those it may repeat have in common, as numbers for a model. Pure.

Everything is known at the moment of the decision: labels are no features, and whether a candidate
is closed counts only if it was closed by then. `compare` measures one report against all of its
candidates at once, because much of what tells is relative: the nearest, the oldest at its point,
how many lie there already. What the service, a pair of services or a source tell is looked up in
`Tables`, which a city's history fills; services that no history knows get the defaults.

Decides nothing: `reports.duplicates.model` weighs the numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import cos, log1p, radians

from core.text import fold
from geo.measures import Point, distance_m
from reports.duplicates.rules import Candidate, Features

#: Of one report and one candidate, in this order.
PAIR = (
    "distance",  # ln(1 + metres), less what the phones' accuracy explains
    "distance_scaled",  # the same less the service's usual one
    "point",  # the very same position
    "place",  # the same street and number, or the same address word for word
    "street",  # the same street
    "other_number",  # the same street, another number
    "elapsed",  # ln(1 + hours)
    "elapsed_scaled",  # the same less the service's usual one
    "closed",  # the candidate is closed
    "closed_days",  # ln(1 + days since then)
    "pair",  # log odds of the pair of services
    "same_service",
    "nearer",  # ln(1 + candidates of the same service that are nearer)
    "older",  # ln(1 + candidates at the candidate's point that are older than it)
    "newer",  # ln(1 + those that are newer)
    "burst",  # within the hour, where hours are known
)

#: Of one report and all of its candidates, in this order; counts are ln(1 + n), of its service.
CASE = (
    "same",  # log odds of the service: a second report at one point is a duplicate
    "source",  # log odds of the source
    "wave",  # reports of the service in the jurisdiction in the last hours
    "point_1d",  # candidates within 5 m, of the last day, with those joined to them
    "point_7d",
    "point_30d",
    "near_1d",  # within 50 m
    "near_7d",
    "open_point",
    "open_near",
    "closed_point",
    "candidates",
    # ln(1 + hours) since the newest open one of its service …
    "since_point",  # within 5 m
    "since_near",  # within 50 m
    "since_place",  # at the same street and number or the same address
    "since",  # anywhere in reach
)

_AT_POINT_M = 5.0
_NEAR_M = 50.0
_POINT_M = 2.0

#: Where there is none it is taken to be so long ago.
_LONG_SINCE_H = 24 * 75.0

#: More candidates than this are not looked at closely: those at the same place and the nearest.
CLOSELY = 40

#: Where a source knows the day only, two reports of one day are taken to be half a day apart: a
#: gap of nothing is no burst there.
_HALF_DAY_H = 12.0

#: Two positions of one address may be so much farther apart than others may be.
ADDRESS_BEYOND_M = 50.0

#: An accuracy up to this is what any phone has; half of what is beyond explains a distance.
_USUAL_ACCURACY_M = 10.0
_MOST_EXPLAINED_M = 50.0

#: Texts of fewer words than this say little, whether alike or not.
_FULL_WORDS = 6
#: Photos whose difference hashes differ in more bits are different photos.
ALIKE_BITS = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """A service as the tables know it: its folded name or code, and that of its group."""

    key: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """What history says of a service.

    Attributes:
        cases: how many reports of it were seen.
        same: log odds that a report with an open one at its point is a duplicate.
        distance, elapsed: usual ln(1 + m) and ln(1 + h) between duplicates and their parents.
    """

    cases: int
    same: float
    distance: float
    elapsed: float


@dataclass(frozen=True, slots=True)
class PairRow:
    """Log odds that a near report of one service is the parent of one of another; times seen."""

    odds: float
    seen: int


@dataclass(frozen=True, slots=True)
class Tables:
    """The inspectable part of a model: what services, pairs of services and sources tell.

    `pairs` goes from the service of the report to that of the candidate.
    """

    default: ServiceRow
    same_pair: float
    group_pair: float
    other_pair: float
    other_source: float
    services: Mapping[str, ServiceRow] = field(default_factory=dict)
    pairs: Mapping[str, Mapping[str, PairRow]] = field(default_factory=dict)
    sources: Mapping[str, float] = field(default_factory=dict)

    def pair_odds(self, report: Kind, candidate: Kind) -> float:
        """Log odds of a pair; of one never seen, by whether service or group are the same."""
        row = self.pairs.get(report.key, _NO_PAIRS).get(candidate.key)
        if row is not None:
            return row.odds
        if report.key == candidate.key:
            return self.same_pair
        if report.group and report.group == candidate.group:
            return self.group_pair
        return self.other_pair

    def confused(self, key: str) -> list[str]:
        """Other services that people confuse with that one, most often seen first."""
        seen = {
            other: row.seen
            for other, row in self.pairs.get(key, _NO_PAIRS).items()
            if other != key and row.seen
        }
        # Who takes one service for the other does it both ways.
        for other, rows in self.pairs.items():
            back = rows.get(key)
            if other != key and back is not None and back.seen:
                seen[other] = seen.get(other, 0) + back.seen
        return sorted(seen, key=lambda other: (-seen[other], other))


_NO_PAIRS: Mapping[str, PairRow] = {}
_UNKNOWN = Kind("")


@dataclass(slots=True)
class Pair:
    """One candidate as measured: `values` in the order of `PAIR`, and what is said of it."""

    candidate: Candidate
    metres: float
    hours: float
    is_same_place: bool
    is_same_asset: bool
    values: list[float]


@dataclass(frozen=True, slots=True)
class Compared:
    """A report and its candidates: `case` in the order of `CASE`."""

    pairs: list[Pair]
    case: list[float]


def compare(
    report: Features,
    candidates: Iterable[Candidate],
    kinds: Mapping[int, Kind],
    tables: Tables,
    reach_m: float,
) -> Compared:
    """Measure a report against its candidates, those out of reach left out.

    Farther than `reach_m` only the same asset counts, and a little farther the same address.
    """
    pairs = [
        pair
        for candidate in candidates
        if candidate.id != report.id and (pair := _measured(report, candidate, reach_m)) is not None
    ]
    case = _case(report, pairs, kinds, tables)
    if len(pairs) > CLOSELY:
        pairs.sort(key=_closeness)
        del pairs[CLOSELY:]
    _fill(report, pairs, kinds, tables)
    return Compared(pairs, case)


def leeway_m(accuracy_m: float | None, other_m: float | None = None) -> float:
    """Of a distance, what the accuracy of two positions explains beyond the usual."""
    beyond = max(0.0, (accuracy_m or 0.0) - _USUAL_ACCURACY_M) + max(
        0.0, (other_m or 0.0) - _USUAL_ACCURACY_M
    )
    return min(_MOST_EXPLAINED_M, beyond / 2)


def likeness_of_texts(one: str, other: str) -> tuple[float, float] | None:
    """How alike two texts are from 0 to 1, and how much that says; None where one is missing.

    Accents, case and the order of words do not matter.
    """
    if not one or not other:
        return None
    # Only where two reports meet that have words: most processes never compare any.
    from rapidfuzz.fuzz import token_set_ratio

    mine, theirs = _folded(one), _folded(other)
    words = min(mine.count(" "), theirs.count(" ")) + 1
    if not mine or not theirs:
        return None
    return token_set_ratio(mine, theirs) / 100.0, min(1.0, words / _FULL_WORDS)


# One text is compared with those of all candidates, and at a busy place these are the same again.
_folded = lru_cache(maxsize=512)(fold)


def bits_apart(ones: Sequence[int], others: Sequence[int]) -> int | None:
    """In how many bits the likest two photos differ; None where one side has none."""
    return min(
        (((one ^ other) & _64_BITS).bit_count() for one in ones for other in others), default=None
    )


_64_BITS = (1 << 64) - 1


def _measured(report: Features, candidate: Candidate, reach_m: float) -> Pair | None:
    is_same_asset = report.asset_id is not None and report.asset_id == candidate.asset_id
    is_same_place = _is_same_place(report, candidate)
    if report.point is None or candidate.point is None:
        if not (is_same_asset or is_same_place):
            return None
        metres = 0.0
    else:
        metres = distance_m(report.point, candidate.point)
    if metres > reach_m and not is_same_asset:
        beyond = leeway_m(report.accuracy_m, candidate.accuracy_m)
        if is_same_place:
            beyond = max(beyond, ADDRESS_BEYOND_M)
        if metres > reach_m + beyond:
            return None
    hours = abs((report.requested_at - candidate.requested_at).total_seconds()) / 3600.0
    if not report.has_time:
        hours = max(hours, _HALF_DAY_H)
    return Pair(candidate, metres, hours, is_same_place, is_same_asset, [])


def _is_same_place(report: Features, candidate: Candidate) -> bool:
    if report.street is not None and report.street == candidate.street:
        return report.number == candidate.number
    return report.address is not None and report.address == candidate.address


def _closeness(pair: Pair) -> tuple[bool, bool, float, float]:
    return (
        not (pair.is_same_place or pair.is_same_asset),
        pair.candidate.closed_at is not None,
        pair.metres,
        pair.hours,
    )


def _case(
    report: Features, pairs: Sequence[Pair], kinds: Mapping[int, Kind], tables: Tables
) -> list[float]:
    point_1d = point_7d = point_30d = near_1d = near_7d = 0
    open_point = open_near = closed_point = 0
    since_point = since_near = since_place = since = _LONG_SINCE_H
    for pair in pairs:
        candidate = pair.candidate
        if candidate.service_id != report.service_id:
            continue
        if candidate.closed_at is None:
            since = min(since, pair.hours)
            if pair.metres <= _AT_POINT_M:
                since_point = min(since_point, pair.hours)
            if pair.metres <= _NEAR_M:
                since_near = min(since_near, pair.hours)
            if pair.is_same_place:
                since_place = min(since_place, pair.hours)
        if pair.metres > _NEAR_M:
            continue
        count = 1 + candidate.joined
        is_open = candidate.closed_at is None
        if pair.hours <= 24:
            near_1d += count
        if pair.hours <= 168:
            near_7d += count
        open_near += is_open
        if pair.metres <= _AT_POINT_M:
            if pair.hours <= 24:
                point_1d += count
            if pair.hours <= 168:
                point_7d += count
            if pair.hours <= 720:
                point_30d += count
            if is_open:
                open_point += count
            else:
                closed_point += 1
    row = tables.services.get(kinds.get(report.service_id, _UNKNOWN).key, tables.default)
    return [
        row.same,
        tables.sources.get(report.source, tables.other_source),
        log1p(report.wave),
        log1p(point_1d),
        log1p(point_7d),
        log1p(point_30d),
        log1p(near_1d),
        log1p(near_7d),
        log1p(open_point),
        log1p(open_near),
        log1p(closed_point),
        log1p(len(pairs)),
        log1p(since_point),
        log1p(since_near),
        log1p(since_place),
        log1p(since),
    ]


def _fill(
    report: Features, pairs: Sequence[Pair], kinds: Mapping[int, Kind], tables: Tables
) -> None:
    """Give each pair its values."""
    kind = kinds.get(report.service_id, _UNKNOWN)
    row = tables.services.get(kind.key, tables.default)
    distances = sorted(
        pair.metres for pair in pairs if pair.candidate.service_id == report.service_id
    )
    at_points = _times_at_points(pairs)
    for pair in pairs:
        candidate = pair.candidate
        is_same_service = candidate.service_id == report.service_id
        other = kinds.get(candidate.service_id, _UNKNOWN)
        metres = max(0.0, pair.metres - leeway_m(report.accuracy_m, candidate.accuracy_m))
        distance, elapsed = log1p(metres), log1p(pair.hours)
        is_same_street = report.street is not None and report.street == candidate.street
        times = at_points.get(_spot(candidate.point), ())
        older = bisect_left(times, candidate.requested_at.timestamp())
        closed_days = 0.0
        if candidate.closed_at is not None:
            past = (report.requested_at - candidate.closed_at).total_seconds() / 86400
            closed_days = log1p(max(0.0, past))
        pair.values = [
            distance,
            distance - row.distance,
            float(metres <= _POINT_M),
            float(pair.is_same_place),
            float(is_same_street),
            float(is_same_street and report.number != candidate.number),
            elapsed,
            elapsed - row.elapsed,
            float(candidate.closed_at is not None),
            closed_days,
            tables.pair_odds(kind, other) if kind.key else _unnamed(tables, is_same_service),
            float(is_same_service),
            log1p(bisect_left(distances, pair.metres)),
            log1p(older),
            log1p(max(0, len(times) - older - 1)),
            float(report.has_time and pair.hours < 1),
        ]


def _unnamed(tables: Tables, is_same_service: bool) -> float:
    return tables.same_pair if is_same_service else tables.group_pair


def _times_at_points(pairs: Sequence[Pair]) -> dict[tuple[int, int], list[float]]:
    times: dict[tuple[int, int], list[float]] = {}
    for pair in pairs:
        if pair.candidate.point is not None:
            spot = _spot(pair.candidate.point)
            times.setdefault(spot, []).append(pair.candidate.requested_at.timestamp())
    for each in times.values():
        each.sort()
    return times


def _spot(point: Point | None) -> tuple[int, int]:
    """The square of about five metres in which a position lies."""
    if point is None:
        return (0, 0)
    return (
        round(point.lat * 22_000),
        round(point.lon * 22_000 * cos(radians(round(point.lat, 1)))),
    )
