"""How good detections are: matched with labels, with intervals, beside chance. Pure.

For commands and tests; nothing of it runs where trips are analysed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sensing.arrays import Flags, Indices, Series, Vectors

#: Draws of an interval; the same every time.
DRAWS, SEED = 1000, 0


@dataclass(frozen=True, slots=True)
class Counted:
    """Detections of one trip against its labels."""

    matched: int
    detected: int
    labelled: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the range of 95 % about it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def matched(detected_s: Series, labelled_s: Series, within_s: float) -> Counted:
    """The most pairs of a detection and a label no further apart, each used once."""
    detected, labelled = np.sort(detected_s), np.sort(labelled_s)
    i = j = pairs = 0
    # On a line, the earliest that can be paired always may be: no other choice gives more.
    while i < len(detected) and j < len(labelled):
        if abs(detected[i] - labelled[j]) <= within_s:
            pairs, i, j = pairs + 1, i + 1, j + 1
        elif detected[i] < labelled[j]:
            i += 1
        else:
            j += 1
    return Counted(pairs, len(detected), len(labelled))


def f1(counts: Sequence[Counted]) -> float:
    """The harmonic mean of precision and recall over all trips; 0 where there is nothing."""
    total = sum(each.detected + each.labelled for each in counts)
    return 2 * sum(each.matched for each in counts) / total if total else 0.0


def chance_f1(
    spans: Sequence[tuple[Series, Series, Series]], within_s: float, *, draws: int = 200
) -> float:
    """F1 of as many detections at times drawn from the driving.

    Args:
        spans: for each trip: times when it drove, detections, labels.
    """
    drawn = np.random.default_rng(SEED)
    scores = []
    for _ in range(draws):
        counts = []
        for driven, detected, labelled in spans:
            at = drawn.choice(driven, size=min(len(detected), len(driven)), replace=False)
            counts.append(matched(at, labelled, within_s))
        scores.append(f1(counts))
    return float(np.mean(scores))


def resampled_f1(
    spans: Sequence[tuple[Series, Series, Series]], within_s: float, *, block_s: float = 60.0
) -> Interval:
    """F1 with an interval, by drawing minutes of driving with replacement."""
    counts: list[Counted] = []
    for driven, detected, labelled in spans:
        edges = np.arange(driven[0], driven[-1] + block_s, block_s)
        for low, high in itertools.pairwise(edges.tolist()):
            here = detected[(detected >= low) & (detected < high)]
            there = labelled[(labelled >= low) & (labelled < high)]
            counts.append(matched(here, there, within_s))
    value = f1([matched(detected, labelled, within_s) for _, detected, labelled in spans])
    drawn = np.random.default_rng(SEED)
    picks = drawn.integers(0, len(counts), size=(DRAWS, len(counts)))
    low, high = np.percentile([f1([counts[k] for k in row]) for row in picks], [2.5, 97.5])
    return Interval(value, float(low), float(high))


def near(places: Vectors, others: Vectors, within_m: float) -> Flags:
    """(n,): which of the places (n, 2) in metres have one of the others within reach."""
    if not len(places) or not len(others):
        return np.zeros(len(places), dtype=bool)
    away = np.hypot(*(places[:, None, :] - others[None, :, :]).transpose(2, 0, 1))
    is_near: Flags = away.min(axis=1) <= within_m
    return is_near


def share(flags: Flags) -> Interval:
    """The share of true ones, with Wilson's interval (1927)."""
    count = len(flags)
    if not count:
        return Interval(0.0, 0.0, 1.0)
    p, z = float(np.mean(flags)), 1.96
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * float(np.sqrt(p * (1 - p) / count + (z / (2 * count)) ** 2))
    return Interval(p, max(0.0, middle - half), min(1.0, middle + half))


def area_under_curve(scores: Series, is_true: Flags) -> float:
    """Probability that a true one scores above a false one; ties count half."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    _, first, counts = np.unique(ordered, return_index=True, return_counts=True)
    ranks = np.repeat(first + (counts + 1) / 2.0, counts)
    true = is_true[order]
    positive = int(true.sum())
    negative = len(true) - positive
    if not positive or not negative:
        return 0.5
    return float((ranks[true].sum() - positive * (positive + 1) / 2) / (positive * negative))


def folds(labels: Sequence[str], count: int, seed: int) -> Indices:
    """(n,): the fold of each, with every label spread evenly."""
    drawn = np.random.default_rng(seed)
    fold = np.zeros(len(labels), dtype=np.int64)
    names = np.array(labels)
    for name in sorted(set(labels)):
        places = drawn.permutation(np.flatnonzero(names == name))
        fold[places] = (np.arange(len(places)) + drawn.integers(count)) % count
    return fold


def out_of_fold(
    labels: Sequence[str],
    fit_and_score: Callable[[Indices, Indices], Vectors],
    *,
    width: int,
    repeats: int = 5,
    count: int = 5,
) -> list[Vectors]:
    """For each repeat the scores (n, width) of everything, learnt without its own fold."""
    answer = []
    for repeat in range(repeats):
        fold = folds(labels, count, repeat)
        scores = np.zeros((len(labels), width))
        for each in range(count):
            inside, outside = np.flatnonzero(fold != each), np.flatnonzero(fold == each)
            scores[outside] = fit_and_score(inside, outside)
        answer.append(scores)
    return answer
