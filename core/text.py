"""Text as it is stored: clean enough for every output, and folded for search.

Not for display: what people wrote is shown as `clean` leaves it, never folded.
"""

from __future__ import annotations

import re
import unicodedata

#: Characters that XML 1.0 (section 2.2) forbids, and the C1 controls that it discourages. One of
#: them in a stored report would make every later XML list that contains it ill-formed.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

#: Every way to end a line, the line of mainframes (U+0085) and Unicode's own included.
_LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")

#: Letters that Unicode does not decompose and that people type without.
_LETTERS = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "\u0131": "i"})

_BETWEEN_WORDS = re.compile(r"[\W_]+")


def clean(text: str) -> str:
    """The text in NFC with `\\n` line ends and without characters that are illegal in XML.

    Applied once, on the way in. Tabs and line ends stay; applying it twice changes nothing.
    """
    without = _ILLEGAL.sub("", _LINE_ENDS.sub("\n", text))
    return unicodedata.normalize("NFC", without)


def fold(text: str) -> str:
    """The words of the text in lower case, without accents and punctuation, one space between.

    What search columns store and what a search term is turned into before it is compared; the
    database has no `unaccent`. Folding twice changes nothing.
    """
    if text.isascii():
        return _BETWEEN_WORDS.sub(" ", text.lower()).strip()
    lowered = unicodedata.normalize("NFKD", text.casefold()).casefold().translate(_LETTERS)
    apart = unicodedata.normalize("NFKD", lowered)
    bare = "".join([letter for letter in apart if not unicodedata.combining(letter)])
    return _BETWEEN_WORDS.sub(" ", bare).strip()
