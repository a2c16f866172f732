"""How good decisions about duplicates were, measured by what staff said. Pure.

The same measures as outside checks use: precision, recall and F1 of the flag, precision where a
given share of the duplicates is found, and how often the parent that staff named is among the
first candidates. Labels are incomplete: a pair that staff did not call one may be one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

#: Resamplings for an interval, and its two ends.
SAMPLES = 400
_LOW, _HIGH = 0.025, 0.975


@dataclass(frozen=True, slots=True)
class Scored:
    """A decision beside its label.

    Attributes:
        rank: place of the named parent among the candidates, from 0; None: not among them.
        is_named: staff named a parent that had come in before.
    """

    score: float
    is_flagged: bool
    is_duplicate: bool
    has_parent: bool
    is_named: bool
    rank: int | None


@dataclass(frozen=True, slots=True)
class Interval:
    """A measure with its 95 % bootstrap interval; None where there is nothing to measure."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.2f}–{self.high:.2f})"


Measure = Callable[[Sequence[Scored]], float | None]


def precision(items: Sequence[Scored]) -> float | None:
    """Of those flagged, the share that staff called duplicates."""
    flagged = [item for item in items if item.is_flagged]
    return sum(item.is_duplicate for item in flagged) / len(flagged) if flagged else None


def recall(items: Sequence[Scored]) -> float | None:
    """Of the duplicates, the share that was flagged."""
    duplicates = [item for item in items if item.is_duplicate]
    return sum(item.is_flagged for item in duplicates) / len(duplicates) if duplicates else None


def f1(items: Sequence[Scored]) -> float | None:
    """The harmonic mean of the two."""
    hits = sum(item.is_flagged and item.is_duplicate for item in items)
    both = sum(item.is_flagged for item in items) + sum(item.is_duplicate for item in items)
    return 2 * hits / both if both else None


def precision_at(share: float, *, named_only: bool = False) -> Measure:
    """Precision where, by falling score, that share of the duplicates is found."""

    def measure(items: Sequence[Scored]) -> float | None:
        if named_only:
            items = [item for item in items if not item.is_duplicate or item.has_parent]
        wanted = share * sum(item.is_duplicate for item in items)
        if not wanted:
            return None
        hits = 0
        for count, item in enumerate(sorted(items, key=lambda item: -item.score), 1):
            hits += item.is_duplicate
            if hits >= wanted:
                return hits / count
        return None

    return measure


def found_among(first: int) -> Measure:
    """How often the named parent is among so many first candidates."""

    def measure(items: Sequence[Scored]) -> float | None:
        named = [item for item in items if item.is_named]
        hits = sum(item.rank is not None and item.rank < first for item in named)
        return hits / len(named) if named else None

    return measure


MEASURES: Mapping[str, Measure] = {
    "parent among first 1": found_among(1),
    "first 3": found_among(3),
    "first 5": found_among(5),
    "precision": precision,
    "recall": recall,
    "F1": f1,
    "precision at recall .3": precision_at(0.3),
    "precision at recall .5, parent named": precision_at(0.5, named_only=True),
}


def bootstrap(items: Sequence[Scored], measure: Measure, samples: int = SAMPLES) -> Interval:
    """The measure, and the interval in which it lies for 95 % of samples drawn from the items."""
    value = measure(items)
    if value is None or not samples:
        return Interval(value)
    # Those that are neither flagged nor duplicates hardly move a measure, but are most of all.
    draw = random.Random(311)
    drawn = sorted(
        each
        for _ in range(samples)
        if (each := measure(draw.choices(items, k=len(items)))) is not None
    )
    return Interval(value, drawn[int(_LOW * len(drawn))], drawn[int(_HIGH * len(drawn))])


def curve(items: Sequence[Scored]) -> list[tuple[float, float]]:
    """Recall and precision at every score, by falling score."""
    total = sum(item.is_duplicate for item in items)
    ordered = sorted(items, key=lambda item: -item.score)
    points, hits = [], 0
    for count, item in enumerate(ordered, 1):
        hits += item.is_duplicate
        is_last = count == len(ordered) or ordered[count].score < item.score
        if is_last and item.score > 0 and total:
            points.append((hits / total, hits / count))
    return points


def reliability(items: Sequence[Scored], bins: int = 10) -> list[tuple[float, float, int]]:
    """Per band of scores: their mean, the share of duplicates, and how many there are."""
    bands: list[list[Scored]] = [[] for _ in range(bins)]
    for item in items:
        if item.score > 0:
            bands[min(bins - 1, int(item.score * bins))].append(item)
    return [
        (
            sum(item.score for item in band) / len(band),
            sum(item.is_duplicate for item in band) / len(band),
            len(band),
        )
        for band in bands
        if band
    ]
