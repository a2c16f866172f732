"""One second of vertical acceleration about a peak, and what can be told of its form. Pure.

Windows are (k, 50) at 50 Hz, m/s², the peak in the middle. Nothing here can see how long the
recording was that a window was cut from: clips of a data set may be as long as their label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from sensing.arrays import Indices, Series, Vectors

#: Samples in a window: one second at 50 Hz.
WIDTH = 50

RATE_HZ = 50.0

#: Two running means of this many samples make the triangle, a quarter of a second wide at half
#: height, under which the energy of a bump is gathered.
_GATHERED = 13

#: Bands of the window's spectrum, in lines of 1 Hz: body bounce, pitch, seat, wheel hop, surface.
_BANDS = ((1, 2), (2, 3), (3, 4), (4, 5), (5, 7), (7, 9), (9, 12), (12, 16), (16, 20), (20, 26))

_LAGS = (2, 4, 6, 8, 11, 14)
_SHARES = (10, 25, 50, 75, 90)

#: Names of the columns of `features`, in their order; stored with the weights.
FEATURES = (
    *(f"size_{share}" for share in _SHARES),
    *("up", "down", "deviation", "up_to_down", "jerk_deviation", "jerk_peak", "snap_deviation"),
    *("jerk_to_size", "snap_to_jerk"),
    *(f"band_{low}_{high}" for low, high in _BANDS),
    *(f"part_{low}_{high}" for low, high in _BANDS),
    *("centre_hz", "spread_hz", "peakedness", "skewness", "turn", "turn_size", "concentration"),
    *("before", "after", "after_to_before", "crossings", "middle_sign", "outside"),
    *(f"echo_{lag}" for lag in _LAGS),
    *("wide", "wider"),
)


def energy(strength: Series) -> Series:
    """The root of the energy gathered about each sample: one smooth peak for each bump."""
    square = strength * strength
    gathered = uniform_filter1d(square, _GATHERED, mode="nearest")
    answer: Series = np.sqrt(np.maximum(uniform_filter1d(gathered, _GATHERED, mode="nearest"), 0.0))
    return answer


def crop(clip: Series, shift: int = 0) -> Series:
    """(50,): the second of a clip about its strongest place, mirrored where the clip is too short.

    Args:
        clip: (n,) m/s² at 50 Hz, gravity or not.
        shift: cut so many samples later; for training, so that the place need not be exact.
    """
    if len(clip) == 0:
        return np.zeros(WIDTH)
    middle = int(np.argmax(energy(clip - np.median(clip))))
    mirrored: Series = np.pad(clip, WIDTH, mode="symmetric")
    first = middle + shift + WIDTH // 2
    return mirrored[first : first + WIDTH]


def around(values: Series, peaks: Indices, width: int = WIDTH) -> Vectors:
    """(k, width): what is about each peak, mirrored at the ends."""
    wanted = (np.asarray(peaks) - width // 2)[:, None] + np.arange(width)
    # Mirrored again and again, where the whole is shorter than the window.
    wanted %= 2 * len(values)
    cut: Vectors = values[np.minimum(wanted, 2 * len(values) - 1 - wanted)]
    return cut


def features(cut: Vectors) -> Vectors:
    """(k, len(FEATURES)) of windows (k, 50): sizes as logarithms, forms as ratios."""
    felt = _without_median(cut)
    size = np.abs(felt)
    half = WIDTH // 2
    ordered = np.sort(size, axis=1)
    columns: list[Series] = [np.log(ordered[:, share * WIDTH // 100] + 0.02) for share in _SHARES]
    up, down = np.log(felt.max(1) + 0.05), np.log(-felt.min(1) + 0.05)
    deviation = np.log(felt.std(1) + 0.02)
    jerk = np.diff(felt, axis=1)
    jerk_deviation = np.log(jerk.std(1) + 0.02)
    snap = np.log(np.diff(jerk, axis=1).std(1) + 0.02)
    columns += [up, down, deviation, up - down, jerk_deviation]
    columns += [np.log(np.abs(jerk).max(1) + 0.02), snap]
    columns += [jerk_deviation - deviation, snap - jerk_deviation]
    centred = felt - felt.mean(1, keepdims=True)
    power = np.abs(np.fft.rfft(centred * np.hanning(WIDTH), axis=1)) ** 2
    total = power.sum(1) + 1e-6
    bands = [power[:, low:high].sum(1) for low, high in _BANDS]
    columns += [np.log(band + 1e-3) for band in bands]
    columns += [np.log(band / total + 1e-3) for band in bands]
    lines = np.arange(power.shape[1])
    columns += [power @ lines / total, np.sqrt(power @ lines**2 / total)]
    variance = (felt**2).mean(1)
    columns.append(np.log((felt**4).mean(1) / (variance**2 + 1e-9) + 1e-9))
    columns.append((felt**3).mean(1) / (variance**1.5 + 1e-9))
    turn = (felt.argmax(1) - felt.argmin(1)) / WIDTH
    columns += [turn, np.abs(turn)]
    outside = np.concatenate([size[:, : half - 13], size[:, half + 14 :]], axis=1)
    inside = size[:, half - 6 : half + 7]
    columns.append(np.log(inside.mean(1) + 0.02) - np.log(outside.mean(1) + 0.02))
    before = np.log(size[:, : half - 6].std(1) + 0.02)
    after = np.log(size[:, half + 7 :].std(1) + 0.02)
    columns += [before, after, after - before]
    columns.append((np.diff(np.sign(centred), axis=1) != 0).mean(1))
    columns.append(np.sign(felt[:, half]))
    columns.append(np.log(np.sqrt((outside**2).mean(1)) + 0.02))
    power_of_all = (centred**2).sum(1) + 1e-9
    columns += [(centred[:, lag:] * centred[:, :-lag]).sum(1) / power_of_all for lag in _LAGS]
    largest = size.max(1, keepdims=True)
    columns += [(size > 0.5 * largest).mean(1), (size > 0.25 * largest).mean(1)]
    return np.stack(columns, axis=1)


@dataclass(frozen=True, slots=True)
class Kernels:
    """Random convolutions (ROCKET: Dempster, Petitjean and Webb, DMKD 34, 2020).

    Each slides a short pattern, its taps `dilation` samples apart, over a window mirrored at its
    ends. What is kept of it is how much of the window answers above a bias, and how strongly.

    Attributes:
        taps: (kernels,) tuples of weights.
        dilations, biases: (kernels,).
        matrix: (50, kernels * 50): all of them at all places, as one product.
    """

    taps: tuple[tuple[float, ...], ...]
    dilations: tuple[int, ...]
    biases: tuple[float, ...]
    matrix: NDArray[np.float32]

    @classmethod
    def of(
        cls, taps: Sequence[Sequence[float]], dilations: Sequence[int], biases: Sequence[float]
    ) -> Kernels:
        """Kernels by their numbers."""
        matrix = np.zeros((WIDTH, len(taps), WIDTH))
        place = np.arange(WIDTH)
        for kernel, (weights, dilation) in enumerate(zip(taps, dilations, strict=True)):
            first = (len(weights) - 1) * dilation // 2
            for tap, weight in enumerate(weights):
                met = np.abs(place + tap * dilation - first)
                met = np.where(met >= WIDTH, 2 * (WIDTH - 1) - met, met)
                np.add.at(matrix[:, kernel, :], (met, place), weight)
        return cls(
            tuple(tuple(map(float, weights)) for weights in taps),
            tuple(map(int, dilations)),
            tuple(map(float, biases)),
            matrix.reshape(WIDTH, -1).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.taps)

    def features(self, cut: Vectors) -> Vectors:
        """(k, 3 * kernels) of windows (k, 50): shares above the bias, energies, largest answers."""
        felt = _without_median(cut).astype(np.float32)
        bias = np.array(self.biases, dtype=np.float32)[:, None]
        parts = []
        # So many windows at a time keep the answers in the processor's cache.
        for first in range(0, len(felt), 64):
            answer = (felt[first : first + 64] @ self.matrix).reshape(-1, len(self), WIDTH)
            energy_of = np.einsum("kij,kij->ki", answer, answer) / WIDTH
            largest = np.maximum(answer.max(axis=2), 0.0)
            above = (answer > bias).mean(axis=2)
            parts.append([above, np.log(energy_of + 0.01), np.log(largest + 0.1)])
        if not parts:
            return np.zeros((0, 3 * len(self)))
        joined: Vectors = np.concatenate(
            [np.concatenate(part, axis=1) for part in parts], dtype=np.float64
        )
        return joined


def felt_s(cut: Vectors) -> Series:
    """(k,) seconds during which a bump was felt at a quarter of its peak or more, without pauses.

    One hole is felt by two axles: where those are apart, this is the width of the first to the
    last of the two.
    """
    size = np.abs(_without_median(cut))
    above = size > 0.25 * size.max(axis=1, keepdims=True)
    any_above = above.any(axis=1)
    first = above.argmax(axis=1)
    last = WIDTH - 1 - above[:, ::-1].argmax(axis=1)
    seconds: Series = np.where(any_above, (last - first + 1) / RATE_HZ, 0.0)
    return seconds


def symmetry(cut: Vectors) -> Series:
    """(k,) -1 where a bump began downwards (a hole), 1 where it began upwards (a hump).

    The size of the first swing beyond two fifths of the peak, as a share of the peak.
    """
    felt = _without_median(cut)
    largest = np.maximum(np.abs(felt).max(axis=1, keepdims=True), 1e-9)
    share = felt / largest
    first = (np.abs(share) > 0.4).argmax(axis=1)
    # The swing that begins there ends where the sign changes: its extreme is the answer.
    rows = np.arange(len(felt))
    sign = np.sign(share[rows, first])
    later = np.arange(WIDTH)[None, :] >= first[:, None]
    ended = np.cumsum(later & (np.sign(share) != sign[:, None]), axis=1) > 0
    swing = np.where(later & ~ended, np.abs(share), 0.0).max(axis=1)
    answer: Series = sign * swing
    return answer


def _without_median(cut: Vectors) -> Vectors:
    ordered = np.sort(cut, axis=1)
    middle = cut.shape[1] // 2
    felt: Vectors = cut - 0.5 * (ordered[:, middle - 1] + ordered[:, middle])[:, None]
    return felt
