"""A model of words: what it is, how it scores a text, and which words made it. Pure.

One row of weights for each piece of text, one column for each label, and a bias: plain arithmetic,
whatever it was fitted with. A text is

    x = (1 + ln tf) · idf of each known piece, words and parts brought to length 1 each,

and the confidences are softmax(W x + b). Term weights after Salton and Buckley, "Term-weighting
approaches in automatic text retrieval", IPM 24(5), 1988.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.text import fold
from reports.words.grams import PART, WORD, grams_of, parts_of, sealed, words_of

#: Weights are stored as whole numbers of thousandths.
SCALE = 1000

#: The form of the stored document; another one is trained anew.
FORM = 1


@dataclass(frozen=True, slots=True)
class Guess:
    """A label and how likely it is, 0 to 1."""

    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Counted:
    """A word of the text and what it adds to the score of a label; negative: it speaks against."""

    word: str
    weight: float


@dataclass(frozen=True, slots=True)
class WordModel:
    """What was learnt of the words.

    Attributes:
        bias: of each label.
        prior: log of how often each label was meant, for a text that says nothing.
        rows: for each known piece its idf and its weight for each label.
        placeholders: folded texts that stand for no text.
        small_words: folded words that it has left out; a text is not strange for having them.
        record: what it was trained on, and how good it was there.
    """

    labels: tuple[str, ...]
    bias: tuple[float, ...]
    prior: tuple[float, ...]
    rows: Mapping[str, tuple[float, array[float]]] = field(repr=False)
    placeholders: frozenset[str] = field(default=frozenset(), repr=False)
    small_words: frozenset[str] = field(default=frozenset(), repr=False)
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def ranked(self, text: str) -> list[Guess]:
        """Every label, likeliest first. A text that says nothing gets what is usual."""
        scores = self._scores(text)
        if scores is None:
            scores = list(self.prior)
        chances = softmax(scores)
        order = sorted(range(len(chances)), key=lambda each: (-chances[each], each))
        return [Guess(self.labels[each], chances[each]) for each in order]

    def share_known(self, text: str) -> float:
        """Which share of the words it has seen, 0 to 1; 0 for what stands for no text.

        The small words that it has left out do not count, unless there are no others.
        """
        if fold(text) in self.placeholders:
            return 0.0
        words = words_of(text)
        words = [word for word in words if word not in self.small_words] or words
        known = self._rows_of(text)
        seen = sum(f"{WORD}{word}" in known for word in words)
        return seen / len(words) if words else 0.0

    def explain(self, text: str, label: str) -> list[Counted]:
        """Which words speak for a label rather than for the others, the weightiest first."""
        column = self.labels.index(label)
        by_word: defaultdict[str, float] = defaultdict(float)
        owners: defaultdict[str, list[str]] = defaultdict(list)
        for word in dict.fromkeys(words_of(text)):
            for part in parts_of(word):
                owners[part].append(word)
        rows = self._rows_of(text)
        for gram, value in self._values(text).items():
            weights = rows[gram][1]
            said = value * (weights[column] - sum(weights) / len(weights))
            names = [gram[1:]] if gram[0] == WORD else owners[gram]
            for name in names:
                by_word[name] += said / len(names)
        found = [Counted(word, weight) for word, weight in by_word.items()]
        return sorted(found, key=lambda each: (-abs(each.weight), each.word))

    def to_data(self) -> dict[str, Any]:
        """As it is stored, without its record."""
        return {
            "form": FORM,
            "labels": list(self.labels),
            "bias": [_whole(each) for each in self.bias],
            "prior": [_whole(each) for each in self.prior],
            "placeholders": sorted(self.placeholders),
            "grams": list(self.rows),
            "rows": [
                [_whole(idf), *(_whole(weight) for weight in weights)]
                for idf, weights in self.rows.values()
            ],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any], record: Mapping[str, Any]) -> WordModel:
        """The model of a stored document.

        Raises:
            ValueError: it has another form, and must be trained anew.
        """
        if data.get("form") != FORM:
            raise ValueError(f"form {data.get('form')!r} of a model of words, not {FORM}")
        rows = {
            gram: (row[0] / SCALE, array("f", (weight / SCALE for weight in row[1:])))
            for gram, row in zip(data["grams"], data["rows"], strict=True)
        }
        return cls(
            labels=tuple(data["labels"]),
            bias=tuple(each / SCALE for each in data["bias"]),
            prior=tuple(each / SCALE for each in data["prior"]),
            rows=rows,
            placeholders=frozenset(data["placeholders"]),
            record=record,
        )

    def _scores(self, text: str) -> list[float] | None:
        """The score of each label; None for a text that says nothing to this model."""
        if fold(text) in self.placeholders:
            return None
        rows = self._rows_of(text)
        if not rows:
            return None
        scores = list(self.bias)
        for gram, value in self._values(text).items():
            for column, weight in enumerate(rows[gram][1]):
                scores[column] += value * weight
        return scores

    def _values(self, text: str) -> dict[str, float]:
        idf = {gram: row[0] for gram, row in self._rows_of(text).items()}
        return weighed(grams_of(text), idf)

    def _rows_of(self, text: str) -> dict[str, tuple[float, array[float]]]:
        """The rows of the pieces of a text that are known, sealed or not."""
        found = {}
        for gram in grams_of(text):
            row = self.rows.get(gram)
            if row is None and gram[0] == WORD:
                row = self.rows.get(sealed(gram))
            if row is not None:
                found[gram] = row
        return found


def weighed(grams: Mapping[str, int], idf: Mapping[str, float]) -> dict[str, float]:
    """The value of each piece that has an idf; words and parts brought to length 1 each."""
    raw = {
        gram: (1.0 + math.log(count)) * idf[gram] for gram, count in grams.items() if gram in idf
    }
    lengths = {WORD: 0.0, PART: 0.0}
    for gram, value in raw.items():
        lengths[gram[0]] += value * value
    norms = {kind: math.sqrt(total) or 1.0 for kind, total in lengths.items()}
    return {gram: value / norms[gram[0]] for gram, value in raw.items()}


def softmax(scores: Sequence[float]) -> list[float]:
    """Scores as chances that sum to 1."""
    top = max(scores)
    raised = [math.exp(score - top) for score in scores]
    total = sum(raised)
    return [each / total for each in raised]


def inverse_frequency(texts: int, holding: int) -> float:
    """The idf of a piece that so many of the texts hold, never below 1."""
    return math.log((1 + texts) / (1 + holding)) + 1.0


def _whole(value: float) -> int:
    return round(value * SCALE)
