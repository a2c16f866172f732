"""How good guesses are: shares of hits with their intervals, and whether confidences hold. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.words.model import Guess

#: Standard normal quantile of a 95 % interval.
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """A share of texts, with its 95 % interval (Wilson, JASA 22, 1927)."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share itself; 0 of none."""
        return self.hits / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Between which shares the true one lies, 95 times in 100."""
        if not self.of:
            return 0.0, 1.0
        middle = self.value + _Z * _Z / (2 * self.of)
        half = _Z * math.sqrt(
            self.value * (1 - self.value) / self.of + _Z * _Z / (4 * self.of * self.of)
        )
        below = 1 + _Z * _Z / self.of
        return (middle - half) / below, (middle + half) / below

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f} [{low:.3f}, {high:.3f}]"


@dataclass(frozen=True, slots=True)
class Bin:
    """Texts whose first guess had a confidence in one range: what was said, what was true."""

    texts: int
    said: float
    true: float


@dataclass(frozen=True, slots=True)
class Score:
    """What came of guesses about texts whose meaning is known."""

    first: Share
    among_three: Share
    log_loss: float
    bins: tuple[Bin, ...]

    def of_texts(self, texts: int) -> Score:
        """The same of fewer texts, each judged several times: no surer than those are many."""

        def once(share: Share) -> Share:
            return Share(round(share.value * texts), texts)

        return replace(self, first=once(self.first), among_three=once(self.among_three))

    @property
    def calibration_error(self) -> float:
        """Mean distance of what was said from what was true, over the bins."""
        texts = sum(each.texts for each in self.bins)
        return sum(each.texts * abs(each.said - each.true) for each in self.bins) / max(texts, 1)


def score(guesses: Sequence[Sequence[Guess]], meant: Sequence[str], bins: int = 10) -> Score:
    """Judge ranked guesses by what was meant."""
    first = among = 0
    loss = 0.0
    ranges: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for ranked, label in zip(guesses, meant, strict=True):
        is_first = bool(ranked) and ranked[0].label == label
        first += is_first
        among += any(each.label == label for each in ranked[:3])
        chance = next((each.confidence for each in ranked if each.label == label), 0.0)
        loss -= math.log(max(chance, 1e-6))
        if ranked:
            said = ranked[0].confidence
            ranges[min(int(said * bins), bins - 1)].append((said, is_first))
    return Score(
        first=Share(first, len(meant)),
        among_three=Share(among, len(meant)),
        log_loss=loss / max(len(meant), 1),
        bins=tuple(
            Bin(
                len(each),
                sum(said for said, _ in each) / len(each),
                sum(is_true for _, is_true in each) / len(each),
            )
            for each in ranges
            if each
        ),
    )
