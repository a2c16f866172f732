"""A model of words from nothing but a catalogue: what a city has before it has a past. Pure.

Naive Bayes over what the catalogue says of each service, in all its languages at once: people do
not always write in the language of their telephone. Complete in itself, in plain Python, so that a
process can make it when it is first asked.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence

from core.text import fold
from reports.words.examples import Example
from reports.words.grams import grams_of, words_of
from reports.words.model import WordModel, inverse_frequency, weighed

#: Smoothing, in texts; small, because a keyword stands once.
SMOOTHING = 0.05

#: What a difference of log chances counts for: pieces of a text are anything but independent. Tried
#: on the invented past of the demo city (docs/accuracy.md).
SHARE = 1.0

_FRENCH = """
    à au aux avec c ce ces cette d dans de depuis des devant du elle en est et être il ils j je l la
    le les leur lui m ma mais me mes moi mon n ne nous on ou par pas plus pour qu que qui s sa se
    ses son sont sur t un une vous y
"""
_ENGLISH = """
    a about am an and are as at be been by for from has have here i in is it its my not of on or
    our so that the their there they this to us was we were will with you your
"""

#: Small words of French and English, folded. In a catalogue each stands in a few sentences by
#: chance: one service named "… in the street" would take whatever happens in a street. A city's
#: own past says what they are worth, so what is learnt from it keeps them.
_SMALL_WORDS = frozenset(fold(_FRENCH).split()) | frozenset(_ENGLISH.split())


def of_texts(texts: Sequence[Example]) -> WordModel:
    """The model of a catalogue's texts (`examples.of_catalogue`).

    Raises:
        ValueError: there are none.
    """
    if not texts:
        raise ValueError("a catalogue without a word")
    grams = [grams_of(_telling(text.text)) for text in texts]
    holding = Counter(gram for each in grams for gram in each)
    idf = {gram: inverse_frequency(len(texts), count) for gram, count in holding.items()}
    sums: dict[str, defaultdict[str, float]] = {}
    for text, counts in zip(texts, grams, strict=True):
        sum_of = sums.setdefault(text.label, defaultdict(float))
        for gram, value in weighed(counts, idf).items():
            sum_of[gram] += value * text.weight
    labels = tuple(sorted(sums))
    totals = [sum(sums[label].values()) + SMOOTHING * len(idf) for label in labels]
    rows = {}
    for gram, rarity in idf.items():
        logs = [
            math.log((sums[label].get(gram, 0.0) + SMOOTHING) / total)
            for label, total in zip(labels, totals, strict=True)
        ]
        mean = sum(logs) / len(logs)
        rows[gram] = (rarity, array("f", (SHARE * (log - mean) for log in logs)))
    even = -math.log(len(labels))
    return WordModel(
        labels=labels,
        bias=(0.0,) * len(labels),
        prior=(even,) * len(labels),
        rows=rows,
        small_words=_SMALL_WORDS,
        record={"source": "catalogue", "texts": len(texts), "labels": len(labels)},
    )


def _telling(text: str) -> str:
    """The text without its small words, unless it has no others."""
    words = words_of(text)
    return " ".join([word for word in words if word not in _SMALL_WORDS] or words)
