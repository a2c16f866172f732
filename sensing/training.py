"""Learning the detector's weights from labelled trips and clips. For commands: needs scikit-learn.

What is learnt is applied by `sensing.learned` with the very same features. Nothing here may see
how long a clip was (`sensing.windows.crop`), nor anything of a clip or trip that it is judged by.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensing import evaluation, learned, signal, windows
from sensing.arrays import Flags, Series, Vectors
from sensing.learned import PeakWeights, Weights, WindowWeights
from sensing.traces import Analysis, Trip

#: Each clip is learnt from at these shifts, in samples, and judged at the same: the place of a peak
#: is not known to a twentieth of a second.
SHIFTS = (-4, 0, 4)

#: Inverse pull of the weights to none, narrowness of the Gaussian kernel, number of its waves, and
#: number of convolutions; tried in docs/accuracy.md.
COST, NARROWNESS, WAVES, KERNELS = 0.05, 0.0005, 200, 160

#: A press within this time of a peak is its label. People press from 2 s before to 1.5 s after.
PRESSED_WITHIN_S = 1.5

#: Thresholds that are tried, m/s².
THRESHOLDS = np.arange(3.0, 8.001, 0.05)

#: A threshold is judged with its neighbours within this: one more or fewer is chance.
SMOOTHED_MS2 = 0.4

SEED = 0


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording of one event: (n,) m/s² at 50 Hz, and what it was, if that is known."""

    name: str
    values: Series
    label: str | None


@dataclass(frozen=True, slots=True)
class LabelledTrip:
    """A trip, its analysis, and when somebody in the car pressed the button, (k,) seconds."""

    name: str
    trip: Trip
    analysis: Analysis
    pressed_s: Series


def fit_windows(clips: Sequence[Clip], *, threshold: float = 0.5) -> WindowWeights:
    """Weights that tell the labels of clips apart.

    Raises:
        ValueError: fewer than two labels.
    """
    from sklearn.linear_model import LogisticRegression

    labels = [clip.label or "" for clip in clips]
    classes = tuple(sorted(set(labels)))
    if len(classes) < 2:
        raise ValueError("clips of at least two labels are needed")
    drawn = np.random.default_rng(SEED)
    kernels = drawn_kernels(drawn)
    columns = np.concatenate([learned.columns_of(_cuts(clips, shift), kernels) for shift in SHIFTS])
    mean, scale = columns.mean(axis=0), columns.std(axis=0) + 1e-6
    frequencies = drawn.normal(size=(columns.shape[1], WAVES)) * np.sqrt(2 * NARROWNESS)
    phases = drawn.uniform(0.0, 2 * np.pi, WAVES)
    standard = learned.standardised(columns, mean, scale)
    model = LogisticRegression(C=COST, max_iter=1000)
    # Every label counts by its clips: that is how often it is asked for in the same survey.
    model.fit(learned.expanded(standard, frequencies, phases), np.tile(labels, len(SHIFTS)))
    weights, bias = model.coef_.T, model.intercept_
    if len(classes) == 2:
        weights, bias = np.hstack([-weights / 2, weights / 2]), np.append(-bias / 2, bias / 2)
    return WindowWeights(
        classes, kernels, mean, scale, frequencies, phases, weights, bias, threshold
    )


def drawn_kernels(drawn: np.random.Generator) -> windows.Kernels:
    """Kernels as ROCKET draws them: 5, 7 or 9 taps of mean 0, dilations to the window's width.

    Their numbers are rounded here already, so that those learnt with are those stored.
    """
    taps, dilations, biases = [], [], []
    for _ in range(KERNELS):
        count = int(drawn.choice([5, 7, 9]))
        weights = drawn.normal(size=count)
        weights -= weights.mean()
        taps.append(np.round(weights / np.linalg.norm(weights), 5).tolist())
        widest = np.log2((windows.WIDTH - 1) / (count - 1))
        dilations.append(max(1, int(2 ** drawn.uniform(0.0, widest))))
        biases.append(round(float(drawn.normal(scale=0.7)), 5))
    return windows.Kernels.of(taps, dilations, biases)


def clip_probabilities(fitted: WindowWeights, clips: Sequence[Clip]) -> Vectors:
    """(clips, classes): the mean over the shifts."""
    shares: Vectors = np.mean(
        [fitted.probabilities(_cuts(clips, shift)) for shift in SHIFTS], axis=0
    )
    return shares


def fit_peaks(trips: Sequence[LabelledTrip]) -> PeakWeights:
    """A threshold of peaks at low rates and a confidence for each, by presses of a button.

    The threshold is the best for F1 within ±1 s and ±2 s together, smoothed over its neighbours.
    """
    from sklearn.linear_model import LogisticRegression

    peaks, is_pressed = [], []
    for each in trips:
        sizes, at = peaks_of(each.analysis)
        peaks.append(sizes)
        is_pressed.append(_labelled(at, sizes, each.pressed_s))
    model = LogisticRegression(C=10.0)
    model.fit(np.log(np.concatenate(peaks))[:, None], np.concatenate(is_pressed))
    scores = np.array([score_at(trips, threshold) for threshold in THRESHOLDS])
    width = 2 * round(SMOOTHED_MS2 / (THRESHOLDS[1] - THRESHOLDS[0])) + 1
    smooth = np.convolve(np.pad(scores, width // 2, mode="edge"), np.ones(width) / width, "valid")
    return PeakWeights(
        bias=float(model.intercept_[0]),
        weight=float(model.coef_[0, 0]),
        threshold=round(float(THRESHOLDS[int(np.argmax(smooth))]), 2),
    )


def score_at(trips: Sequence[LabelledTrip], threshold: float) -> float:
    """The mean of F1 within ±1 s and ±2 s of the peaks above a threshold."""
    return float(
        np.mean(
            [
                evaluation.f1(
                    [
                        evaluation.matched(above(each.analysis, threshold), each.pressed_s, within)
                        for each in trips
                    ]
                )
                for within in (1.0, 2.0)
            ]
        )
    )


def above(analysis: Analysis, threshold: float) -> Series:
    """Times of the bumps with a peak of at least this."""
    return np.array([bump.t_s for bump in analysis.bumps if bump.peak_ms2 >= threshold])


def peaks_of(analysis: Analysis) -> tuple[Series, Series]:
    """Peaks and times of all candidates."""
    return (
        np.array([bump.peak_ms2 for bump in analysis.bumps]),
        np.array([bump.t_s for bump in analysis.bumps]),
    )


def analysed(name: str, trip: Trip, pressed_s: Series) -> LabelledTrip:
    """A trip with what it tells: its candidates do not depend on weights."""
    return LabelledTrip(name, trip, signal.analyse(trip, learned.untrained()), pressed_s)


def written(weights: Weights, path: Path) -> None:
    """Write a file of weights as plain numbers, with the record of their training."""
    window = weights.windows

    def plain(values: Series, digits: int = 5) -> Any:
        return np.round(values, digits).tolist()

    document = {
        "format": learned.FORMAT,
        "version": weights.version,
        "record": weights.record,
        "peaks": {
            "bias": round(weights.peaks.bias, 5),
            "weight": round(weights.peaks.weight, 5),
            "threshold": weights.peaks.threshold,
        },
        "windows": {
            "features": list(windows.FEATURES),
            "classes": list(window.classes),
            "threshold": window.threshold,
            "kernels": {
                "taps": window.kernels.taps,
                "dilations": window.kernels.dilations,
                "biases": window.kernels.biases,
            },
            "mean": plain(window.mean),
            "scale": plain(window.scale),
            "frequencies": plain(window.frequencies),
            "phases": plain(window.phases),
            "weights": plain(window.weights),
            "bias": plain(window.bias),
        },
    }
    text = json.dumps(document, separators=(",", ":")).replace('"windows":', '\n"windows":')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def _cuts(clips: Sequence[Clip], shift: int) -> Vectors:
    return np.stack([windows.crop(clip.values, shift) for clip in clips])


def _labelled(at: Series, sizes: Series, pressed_s: Series) -> Flags:
    """Of the peaks near each press the largest is what it meant."""
    flags = np.zeros(len(at), dtype=bool)
    for press in pressed_s:
        near = np.flatnonzero(np.abs(at - press) <= PRESSED_WITHIN_S)
        if len(near):
            flags[near[np.argmax(sizes[near])]] = True
    return flags
