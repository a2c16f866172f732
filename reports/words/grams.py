"""A text as the pieces that a model weighs: words, pairs of words, and parts of words. Pure.

Letters are folded (no accents, no case), so that *éclairage* and *ECLAIRAGE* are one word in both
languages. Parts of words let a word that was mistyped, bent or joined to another still count for
most of what it is: *lampadaires*, *lampadère* and *lampadaire* share most of theirs.

Numbers all become one sign: a house number or a telephone number says nothing about the kind of
problem and must not stay behind in a model.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from core.text import fold

#: What is read of a text. The 4,000 characters of the longest would weigh hardly more than these.
MAX_WORDS = 300

#: Lengths of the parts of words, their borders counted: three letters to five, tried against two to
#: five and three to six (docs/accuracy.md).
SHORTEST_PART, LONGEST_PART = 3, 5

#: What stands for every number, and for the border of a word in its parts.
NUMBER, BORDER = "0", "_"

#: The two kinds of pieces are brought to the same length each, so that a long word with its many
#: parts does not drown the words.
WORD, PART = "w", "p"

_DIGITS = re.compile(r"\d+")


def words_of(text: str) -> list[str]:
    """The folded words of a text, numbers made alike."""
    return [_DIGITS.sub(NUMBER, word) for word in fold(text).split()[:MAX_WORDS]]


def grams_of(text: str) -> Mapping[str, int]:
    """The pieces of a text and how often each occurs. The first letter says which kind it is."""
    words = words_of(text)
    found = Counter(f"{WORD}{word}" for word in words)
    found.update(f"{WORD}{first} {second}" for first, second in itertools.pairwise(words))
    for word, count in Counter(words).items():
        for part in parts_of(word):
            found[part] += count
    return found


def parts_of(word: str) -> Iterator[str]:
    """The parts of one word, with its borders: `_tro`, `trou`, `rou_`…"""
    framed = f"{BORDER}{word}{BORDER}"
    for length in range(SHORTEST_PART, LONGEST_PART + 1):
        if length >= len(framed):
            yield f"{PART}{framed}"
            return
        for start in range(len(framed) - length + 1):
            yield f"{PART}{framed[start : start + length]}"


def sealed(gram: str) -> str:
    """A piece as a model keeps it that nobody should read there: its kind and a short digest."""
    digest = hashlib.blake2b(gram.encode(), digest_size=5).hexdigest()
    return f"{gram[0]}#{digest}"
