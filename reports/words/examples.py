"""Texts with what was meant by them, made ready to learn from and to be judged by. Pure.

Forms fill in a sentence when somebody writes nothing, and some people send one text ten times.
Both would make any figure look better than what a new text can expect, and both are taken out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from core.text import fold

#: A text that stands so often under so many different labels was written by a form.
PLACEHOLDER_TEXTS, PLACEHOLDER_LABELS = 20, 5

#: Labels of fewer texts than this cannot be learnt or judged by themselves.
FEWEST = 10

#: The label of everything that is too rare to have its own.
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Example:
    """A text and what was meant. `weight`: how many ordinary ones it counts for."""

    text: str
    label: str
    at: datetime | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Examples:
    """What is left to learn from, and what was taken out.

    Attributes:
        real: in the order they came; each text once, with the label it had first.
        placeholders: folded texts that stand for no text.
    """

    real: tuple[Example, ...]
    placeholders: frozenset[str]
    rows: int
    empty: int
    placeheld: int
    repeated: int

    def counted(self) -> dict[str, int]:
        """For a record: what was taken out, and what is left."""
        return {
            "rows": self.rows,
            "without_text": self.empty,
            "placeholder": self.placeheld,
            "repeated": self.repeated,
            "real": len(self.real),
        }


def sift(examples: Sequence[Example]) -> Examples:
    """Take out empty texts, placeholders and repeats."""
    folded = [fold(example.text) for example in examples]
    times = Counter(folded)
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for text, example in zip(folded, examples, strict=True):
        if times[text] >= PLACEHOLDER_TEXTS:
            labels[text].add(example.label)
    placeholders = frozenset(
        text for text, found in labels.items() if text and len(found) >= PLACEHOLDER_LABELS
    )
    real: dict[str, Example] = {}
    for text, example in zip(folded, examples, strict=True):
        if text and text not in placeholders:
            real.setdefault(text, example)
    empty = times[""]
    placeheld = sum(times[text] for text in placeholders)
    return Examples(
        real=tuple(real.values()),
        placeholders=placeholders,
        rows=len(examples),
        empty=empty,
        placeheld=placeheld,
        repeated=len(examples) - empty - placeheld - len(real),
    )


def common_labels(examples: Sequence[Example], fewest: int = FEWEST) -> frozenset[str]:
    """The labels that have texts enough."""
    counts = Counter(example.label for example in examples)
    return frozenset(label for label, count in counts.items() if count >= fewest)


def with_other(examples: Sequence[Example], labels: Collection[str]) -> list[Example]:
    """The same with every other label called `OTHER`."""
    return [
        example if example.label in labels else replace(example, label=OTHER)
        for example in examples
    ]


def of_catalogue(
    code: str,
    names: Mapping[str, str],
    descriptions: Mapping[str, str],
    keywords: Mapping[str, Sequence[Any]],
) -> list[Example]:
    """What a catalogue says of a service, as texts: its name, its sentence, each keyword.

    A text for each language. The name stands twice, alone and with everything else: people often
    write just that.
    """
    texts: list[Example] = []
    for locale in dict.fromkeys((*names, *descriptions, *keywords)):
        name = names.get(locale, "")
        words = [str(word) for word in keywords.get(locale, ())]
        whole = ". ".join([name, descriptions.get(locale, ""), *words])
        texts += [Example(text, code) for text in (name, whole, *words) if fold(text)]
    return texts
