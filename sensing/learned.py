"""The learned detector: weights as plain numbers, applied to peaks and to windows of one second.

The weights stand in a JSON file with the record of their training (`sensing.training` writes it);
no library of machine learning is needed to apply them.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensing import windows
from sensing.arrays import Flags, Series, Vectors
from sensing.windows import Kernels

WEIGHTS = Path(__file__).parent / "weights" / "bumps-1.json"

#: The layout of the file. Another one is refused, not guessed at.
FORMAT = 1

#: The classes of González et al., IEEE T-ITS 18(11), 2017, that the windows are told apart by.
POTHOLE, ROADS = "potholes", frozenset({"regular_road", "worn_out_road"})

#: How much the features count by themselves, and beside their waves.
LINEAR_SHARE, LINEAR_TO_WAVES = 0.3, 8.0

#: At fewer samples a second than the peaks were learnt at, most bumps fall between two samples.
LEARNT_AT_HZ = 5.0


class WeightsError(ValueError):
    """A file of weights that this version cannot use."""


@dataclass(frozen=True, slots=True)
class PeakWeights:
    """A logistic regression on the logarithm of a peak: `bias + weight · ln(peak in m/s²)`."""

    bias: float
    weight: float
    threshold: float


@dataclass(frozen=True, slots=True)
class WindowWeights:
    """A logistic regression of several classes on the features and on waves of their sums.

    The waves are random Fourier features (Rahimi and Recht, NIPS 2007): a linear model of them is
    close to one with a Gaussian kernel, and stays a table of numbers.

    Attributes:
        classes: names, in the order of the columns of `weights`.
        kernels: whose answers are features too, after those of `windows.features`.
        mean, scale: (features,) taken off and divided by.
        frequencies: (features, waves). phases: (waves,).
        weights: (features + waves, classes). bias: (classes,).
        threshold: share of what is no plain road from which a window is a bump.
    """

    classes: tuple[str, ...]
    kernels: Kernels
    mean: Series
    scale: Series
    frequencies: Vectors
    phases: Series
    weights: Vectors
    bias: Series
    threshold: float

    def probabilities(self, cut: Vectors) -> Vectors:
        """(k, classes) of windows (k, 50)."""
        standard = standardised(columns_of(cut, self.kernels), self.mean, self.scale)
        logits = expanded(standard, self.frequencies, self.phases) @ self.weights + self.bias
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        answer: Vectors = shares / shares.sum(axis=1, keepdims=True)
        return answer


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything that was learnt, and how."""

    version: str
    peaks: PeakWeights
    windows: WindowWeights
    record: dict[str, Any]


def untrained() -> Weights:
    """Weights that call nothing a bump: to find the candidates that others are learnt from."""
    count = len(windows.FEATURES)
    nothing = np.zeros((count, 1))
    return Weights(
        version="untrained",
        peaks=PeakWeights(bias=0.0, weight=0.0, threshold=np.inf),
        windows=WindowWeights(
            classes=("regular_road",),
            kernels=Kernels.of([], [], []),
            mean=np.zeros(count),
            scale=np.ones(count),
            frequencies=nothing,
            phases=np.zeros(1),
            weights=np.zeros((count + 1, 1)),
            bias=np.zeros(1),
            threshold=np.inf,
        ),
        record={},
    )


def read(path: Path) -> Weights:
    """The weights of a file.

    Raises:
        WeightsError: it is of another layout, or its numbers do not fit the features of today.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise WeightsError(f"{path.name}: format {told['format']} instead of {FORMAT}")
        window = told["windows"]
        if tuple(window["features"]) != windows.FEATURES:
            raise WeightsError(f"{path.name}: other features than this version computes")
        weights = Weights(
            version=str(told["version"]),
            peaks=PeakWeights(**{key: float(value) for key, value in told["peaks"].items()}),
            windows=WindowWeights(
                classes=tuple(window["classes"]),
                kernels=Kernels.of(
                    window["kernels"]["taps"],
                    window["kernels"]["dilations"],
                    window["kernels"]["biases"],
                ),
                mean=np.array(window["mean"], dtype=float),
                scale=np.array(window["scale"], dtype=float),
                frequencies=np.array(window["frequencies"], dtype=float),
                phases=np.array(window["phases"], dtype=float),
                weights=np.array(window["weights"], dtype=float),
                bias=np.array(window["bias"], dtype=float),
                threshold=float(window["threshold"]),
            ),
            record=dict(told["record"]),
        )
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path.name}: not a file of weights ({error})") from error
    kernels, waves = len(weights.windows.kernels), len(weights.windows.phases)
    rows = len(windows.FEATURES) + 3 * kernels + waves
    shape = (rows, len(weights.windows.classes))
    if weights.windows.weights.shape != shape:
        raise WeightsError(f"{path.name}: weights of another shape than {shape}")
    return weights


@functools.cache
def in_force() -> Weights:
    """The weights that ship with this version."""
    return read(WEIGHTS)


def columns_of(cut: Vectors, kernels: Kernels) -> Vectors:
    """(k, features): everything that is told of windows (k, 50)."""
    return np.concatenate([windows.features(cut), kernels.features(cut)], axis=1)


def standardised(columns: Vectors, mean: Series, scale: Series) -> Vectors:
    """Features as shares of their usual deviation; what is beyond five is no further away."""
    return np.clip((columns - mean) / scale, -5.0, 5.0)


def expanded(standard: Vectors, frequencies: Vectors, phases: Series) -> Vectors:
    """(k, features + waves): the features, held back, beside their waves."""
    waves = np.cos(standard @ frequencies + phases) * (LINEAR_TO_WAVES * np.sqrt(2 / len(phases)))
    return np.concatenate([LINEAR_SHARE * standard, waves], axis=1)


def judge_peaks(fitted: PeakWeights, peak_ms2: Series, rate_hz: float) -> tuple[Series, Flags]:
    """Confidence of peaks at a low rate, and which of them the detector calls bumps."""
    logit = fitted.bias + fitted.weight * np.log(np.maximum(peak_ms2, 1e-3))
    confidence: Series = 1.0 / (1.0 + np.exp(-logit))
    is_bump: Flags = peak_ms2 >= fitted.threshold
    if rate_hz < LEARNT_AT_HZ:
        confidence = confidence * (rate_hz / LEARNT_AT_HZ)
    return confidence, is_bump


def judge_windows(fitted: WindowWeights, cut: Vectors) -> tuple[Series, Flags]:
    """Confidence that windows (k, 50) are no plain road, and which the detector calls bumps."""
    shares = fitted.probabilities(cut)
    plain = [index for index, name in enumerate(fitted.classes) if name in ROADS]
    confidence: Series = 1.0 - shares[:, plain].sum(axis=1)
    is_bump: Flags = confidence >= fitted.threshold
    return confidence, is_bump
