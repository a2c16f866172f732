"""The detectors and the fusion judged on labelled trips and clips that they did not learn from.

For commands: `flask evaluate bumps` without `--out`, and the record of `flask sensing train`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from geo.measures import degree_lengths_m
from sensing import clustering, evaluation, grid, sighting, signal, tallies, training
from sensing.arrays import Indices, Series, Vectors
from sensing.evaluation import Interval
from sensing.learned import POTHOLE, PeakWeights
from sensing.traces import Analysis, Detector
from sensing.training import Clip, LabelledTrip

#: A defect is right within this of a labelled place.
WITHIN_M = 20.0


@dataclass(frozen=True, slots=True)
class JudgedClips:
    """How well clips were told apart by what was learnt from others."""

    count: int
    accuracy: Interval
    pothole_area: Interval
    commonest: float


def clips(known: Sequence[Clip], *, repeats: int) -> JudgedClips:
    """Five folds, several times; the interval is over clips drawn with replacement."""
    labels = [clip.label or "" for clip in known]
    names = sorted(set(labels))
    true = np.array([names.index(label) for label in labels])

    def fit_and_score(inside: Indices, outside: Indices) -> Vectors:
        fitted = training.fit_windows([known[k] for k in inside])
        return training.clip_probabilities(fitted, [known[k] for k in outside])

    runs = evaluation.out_of_fold(labels, fit_and_score, width=len(names), repeats=repeats)
    right = np.mean([scores.argmax(axis=1) == true for scores in runs], axis=0)
    is_pothole = true == names.index(POTHOLE) if POTHOLE in names else true == 0
    column = names.index(POTHOLE) if POTHOLE in names else 0

    def area(picked: Indices) -> float:
        return float(
            np.mean(
                [
                    evaluation.area_under_curve(scores[picked, column], is_pothole[picked])
                    for scores in runs
                ]
            )
        )

    return JudgedClips(
        count=len(known),
        accuracy=_drawn(len(known), lambda picked: float(right[picked].mean())),
        pothole_area=_drawn(len(known), area, draws=200),
        commonest=max(labels.count(name) for name in names) / len(labels),
    )


def trips(known: Sequence[LabelledTrip]) -> Iterator[str]:
    """Lines: one trip left out at a time, and all of them fused."""
    yield f"{len(known)} trips, {sum(len(each.pressed_s) for each in known)} presses"
    learnt = left_out(known)
    for within in (1.0, 2.0):
        spans = [
            (_driven(each), training.above(each.analysis, fitted.threshold), each.pressed_s)
            for each, fitted in zip(known, learnt, strict=True)
        ]
        chance = evaluation.chance_f1(spans, within)
        found = evaluation.resampled_f1(spans, within)
        yield f"  one pass, ±{within:.0f} s, left out: F1 {found}; chance {chance:.3f}"
    thresholds = ", ".join(f"{fitted.threshold:.2f}" for fitted in learnt)
    yield f"  thresholds learnt without each: {thresholds} m/s²"
    for name, precision, recall, count, chance in fused(known, learnt):
        yield (
            f"  fused, {name}: {count} defects, precision {precision}, recall {recall};"
            f" chance precision {chance:.3f}"
        )


def left_out(known: Sequence[LabelledTrip]) -> list[PeakWeights]:
    """For each trip what the others teach; for a single one, what it teaches itself."""
    if len(known) < 2:
        return [training.fit_peaks(known)]
    return [training.fit_peaks([other for other in known if other is not each]) for each in known]


def fused(
    known: Sequence[LabelledTrip], learnt: Sequence[PeakWeights]
) -> Iterator[tuple[str, Interval, Interval, int, float]]:
    """Precision and recall of the defects of all trips, within 20 m of the presses of all.

    Each trip's bumps are judged by what the others teach. For each least number of trips.
    """
    evidence = tallies.Evidence()
    for each, fitted in zip(known, learnt, strict=True):
        evidence.add(sighting.sightings(judged_by(each.analysis, fitted)))
    places = np.concatenate([_places(each, each.pressed_s) for each in known])
    driven = np.concatenate([_places(each, _driven(each)) for each in known])
    origin = driven[0]
    chance = float(
        evaluation.near(_metres(driven, origin), _metres(places, origin), WITHIN_M).mean()
    )
    today = grid.day_of(max(float(each.trip.t_s[-1]) for each in known))
    for fewest in (1, 2, 3):
        defects = clustering.defects(evidence.all(), today=today, fewest_hits=fewest)
        found = np.array([[defect.point.lat, defect.point.lon] for defect in defects])
        found = _metres(found.reshape(-1, 2), origin)
        labelled = _metres(places, origin)
        yield (
            f"felt by {fewest} or more",
            evaluation.share(evaluation.near(found, labelled, WITHIN_M)),
            evaluation.share(evaluation.near(labelled, found, WITHIN_M)),
            len(defects),
            chance,
        )


def judged_by(analysis: Analysis, fitted: PeakWeights) -> Analysis:
    """The same bumps with the confidences of other weights."""
    bumps = []
    for bump in analysis.bumps:
        logit = fitted.bias + fitted.weight * np.log(max(bump.peak_ms2, 1e-3))
        detectors = bump.detectors - {Detector.LEARNED}
        if bump.peak_ms2 >= fitted.threshold:
            detectors |= {Detector.LEARNED}
        confidence = float(1.0 / (1.0 + np.exp(-logit)))
        bumps.append(dataclasses.replace(bump, confidence=confidence, detectors=detectors))
    return dataclasses.replace(analysis, bumps=tuple(bumps))


def _driven(each: LabelledTrip) -> Series:
    return each.trip.t_s[~(each.trip.speed_ms < signal.MOVING_MS)]


def _places(each: LabelledTrip, t_s: Series) -> Vectors:
    lat = np.interp(t_s, each.trip.t_s, each.trip.lat_deg)
    return np.stack([lat, np.interp(t_s, each.trip.t_s, each.trip.lon_deg)], axis=1)


def _metres(places: Vectors, origin: Series) -> Vectors:
    metres: Vectors = (places - origin) * np.array(degree_lengths_m(float(origin[0])))
    return metres


def _drawn(count: int, figure: Callable[[Indices], float], *, draws: int = 1000) -> Interval:
    everything = np.arange(count)
    drawn = np.random.default_rng(evaluation.SEED)
    values = [figure(drawn.integers(0, count, count)) for _ in range(draws)]
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(figure(everything), float(low), float(high))
