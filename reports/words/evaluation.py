"""What a model of words would have said of texts whose meaning is known, in production code.

Texts are sifted first: with the placeholder and the repeats in them, every figure would look
better. Where a file knows no times, or few texts, folds are repeated; else the past judges the
future, season by season.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from core.text import fold
from reports.words import prior, training
from reports.words.examples import Example, Examples, common_labels, sift, with_other
from reports.words.model import Guess, WordModel
from reports.words.scoring import Score, score

FOLDS = 5

#: Learns from some texts and guesses others.
Way = Callable[[Sequence[Example], Sequence[str]], list[list[Guess]]]


def learn(examples: Sequence[Example], *, fewest: int) -> tuple[WordModel, Examples]:
    """The model of texts of a city that no folder describes: common labels, and `other`.

    With too few texts to calibrate by, what the texts say themselves stands for a catalogue.
    """
    sifted = sift(examples)
    kept = with_other(sifted.real, common_labels(sifted.real, fewest))
    try:
        model = training.fit(kept, placeholders=sifted.placeholders, record=sifted.counted())
    except ValueError:
        model = prior.of_texts(kept)
    return model, sifted


def guess_all(model: WordModel, texts: Sequence[str]) -> list[list[Guess]]:
    """The ranked guesses of each text."""
    return [model.ranked(text) for text in texts]


def by_model(learnt: Sequence[Example], texts: Sequence[str]) -> list[list[Guess]]:
    """The way of production."""
    return guess_all(training.fit(learnt), texts)


def by_majority(learnt: Sequence[Example], texts: Sequence[str]) -> list[list[Guess]]:
    """A baseline: what is usual, whatever was written."""
    return [_usual(learnt)] * len(texts)


def by_label_words(learnt: Sequence[Example], texts: Sequence[str]) -> list[list[Guess]]:
    """A baseline: the words of a label's name, looked for in the text; else what is usual."""
    usual = _usual(learnt)
    words = {guess.label: set(fold(guess.label).split()) for guess in usual}
    found = []
    for text in texts:
        said = set(fold(text).split())
        hits = sorted(usual, key=lambda guess: -len(words[guess.label] & said))
        found.append([Guess(guess.label, usual[at].confidence) for at, guess in enumerate(hits)])
    return found


def repeated_folds(examples: Sequence[Example], way: Way, *, repeats: int, seed: int = 0) -> Score:
    """Judged by texts that were left out, each as often as there are repeats.

    Each text counts once in the intervals' width: repeats make a figure steadier, not surer.
    """
    guesses: list[list[Guess]] = []
    meant: list[str] = []
    for turn in range(repeats):
        for learnt, judged in _folds(examples, random.Random(seed + turn)):
            guesses += way(learnt, [example.text for example in judged])
            meant += [example.label for example in judged]
    whole = score(guesses, meant)
    return whole.of_texts(len(examples))


def rolling(examples: Sequence[Example], way: Way, *, windows: int) -> list[tuple[str, Score]]:
    """Judged in time order: each window by what came before it, the first half only learnt from."""
    dated = sorted((each for each in examples if each.at), key=lambda each: str(each.at))
    start = len(dated) // 2
    found = []
    for number in range(windows):
        begin = start + (len(dated) - start) * number // windows
        end = start + (len(dated) - start) * (number + 1) // windows
        judged = dated[begin:end]
        if not judged:
            continue
        guesses = way(dated[:begin], [example.text for example in judged])
        period = f"{judged[0].at:%Y-%m} to {judged[-1].at:%Y-%m}"
        found.append((period, score(guesses, [example.label for example in judged])))
    return found


def _folds(
    examples: Sequence[Example], chance: random.Random
) -> Iterator[tuple[list[Example], list[Example]]]:
    """The texts in folds that have each label's share; no label's texts all in one."""
    by_label: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_label[example.label].append(example)
    folds: list[list[Example]] = [[] for _ in range(FOLDS)]
    at = 0
    for label in sorted(by_label):
        texts = by_label[label]
        chance.shuffle(texts)
        for example in texts:
            folds[at % FOLDS].append(example)
            at += 1
    for number in range(FOLDS):
        learnt = [each for other, fold_ in enumerate(folds) if other != number for each in fold_]
        yield learnt, folds[number]


def _usual(learnt: Sequence[Example]) -> list[Guess]:
    counts = Counter(example.label for example in learnt)
    total = sum(counts.values())
    return [Guess(label, count / total) for label, count in counts.most_common()]
