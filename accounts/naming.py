"""Names of people: what is taken, what everybody may see, what is the first name. Pure.

A name is somebody's own; nearly everything is let through. Refused is what is no name (controls,
links, pictures), what reads otherwise than it is written (bidirectional and invisible characters,
letters of two alphabets in one word), and, where everybody sees it, the name of the city.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Iterable

from accounts.rules import Display
from core.text import fold

#: Longest name. The longest that registries of civil status have to write stay below.
NAME_MAX = 100

#: More marks on one letter are no accent of any language, but ink over the lines around.
_MARKS_MAX = 3

#: Signs that stand in names: hyphens, apostrophes, dots of initials, the middle dot of Catalan,
#: the nakaguro of Japanese.
_SIGNS = frozenset("-.,'&()\u00b7\u2010\u2011\u2019\u02bc\u2018\u30fb")

#: Joiners are spelling in Persian and in the scripts of India, and invisible anywhere else.
_JOINERS = frozenset("\u200c\u200d")
_JOINED_SCRIPTS = frozenset(
    [
        "ARABIC",
        "SYRIAC",
        "DEVANAGARI",
        "BENGALI",
        "GURMUKHI",
        "GUJARATI",
        "ORIYA",
        "TAMIL",
        "TELUGU",
        "KANNADA",
        "MALAYALAM",
        "SINHALA",
        "KHMER",
        "MYANMAR",
    ]
)

#: Alphabets whose letters look alike: in one word they are a disguise (UTS 39, section 5.2).
_ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})

#: What stands in front of a name and is none.
_TITLES = frozenset(
    [
        "m",
        "mm",
        "mr",
        "mrs",
        "ms",
        "miss",
        "mx",
        "mme",
        "mmes",
        "mlle",
        "monsieur",
        "madame",
        "mademoiselle",
        "dr",
        "doc",
        "docteur",
        "doctor",
        "pr",
        "prof",
        "professeur",
        "professor",
        "me",
        "maitre",
        "sir",
        "dame",
        "lord",
        "lady",
        "rev",
        "pere",
        "soeur",
        "abbe",
    ]
)

#: "M. et Mme".
_COUPLED = frozenset({"et", "and", ""})

#: Scripts that write family and given name without a space; the family name stands first.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")

#: Words that an office is called by, beside the name of its city.
_OFFICE = frozenset(
    [
        "ville",
        "commune",
        "mairie",
        "metropole",
        "agglomeration",
        "municipalite",
        "prefecture",
        "police",
        "city",
        "town",
        "council",
        "municipality",
        "hall",
        "borough",
        "office",
        "officiel",
        "officielle",
        "official",
        "service",
        "services",
        "equipe",
        "team",
        "departement",
        "department",
        "support",
        "admin",
        "administrator",
        "administrateur",
        "moderateur",
        "moderator",
        "staff",
        "riverain",
    ]
)
_BETWEEN = frozenset(["de", "du", "des", "d", "la", "le", "les", "l", "of", "the", "et", "and"])

#: Letters of other alphabets by the Latin one that they look like (UTS 39, confusables.txt).
_LOOKS_LIKE = str.maketrans(
    {
        "а": "a", "в": "b", "с": "c", "ԁ": "d", "е": "e", "һ": "h", "і": "i", "ј": "j", "к": "k",
        "ӏ": "l", "м": "m", "н": "h", "о": "o", "р": "p", "ԛ": "q", "ѕ": "s", "т": "t", "у": "y",
        "ѵ": "v", "ԝ": "w", "х": "x", "α": "a", "β": "b", "ε": "e", "η": "n", "ι": "i", "κ": "k",
        "ν": "v", "ο": "o", "ρ": "p", "τ": "t", "υ": "u", "χ": "x", "γ": "y", "ո": "n", "օ": "o",
        "ս": "u", "ѡ": "w", "ɑ": "a", "ɡ": "g", "ı": "i", "ɩ": "i", "0": "o", "1": "l",
    }
)  # fmt: skip

_CAPITALS = re.compile(r"[^\W\d_]{2,}(?:[-'\u2019][^\W\d_]+)*")


class NameFault(enum.StrEnum):
    """Why a name is refused."""

    TOO_LONG = "too_long"
    NO_LETTERS = "no_letters"
    INVISIBLE = "invisible_characters"
    NOT_OF_A_NAME = "not_of_a_name"
    MIXED_ALPHABETS = "mixed_alphabets"


def normal_name(text: str) -> str:
    """The name as it is stored: composed (NFC), with single spaces within and none around.

    Line ends and tabs are no spaces: they stay, and `name_fault` refuses them.
    """
    composed = unicodedata.normalize("NFC", text)
    return re.sub(r"[ \u00a0\u2000-\u200a\u202f\u205f\u3000]+", " ", composed).strip(" ")


def name_fault(name: str) -> NameFault | None:
    """Why a normal form (`normal_name`) will not do as a name; None when it does."""
    if len(name) > NAME_MAX:
        return NameFault.TOO_LONG
    marks = 0
    for at, letter in enumerate(name):
        category = unicodedata.category(letter)
        if category[0] == "C" and not _is_spelling(name, at):
            return NameFault.INVISIBLE
        if category in ("Zl", "Zp"):
            return NameFault.INVISIBLE
        if category[0] in "SP" and letter not in _SIGNS:
            return NameFault.NOT_OF_A_NAME
        marks = marks + 1 if category[0] == "M" else 0
        if marks > _MARKS_MAX:
            return NameFault.NOT_OF_A_NAME
    if not any(letter.isalpha() for letter in name):
        return NameFault.NO_LETTERS
    if any(len(_scripts(word) & _ALIKE) > 1 for word in re.split(r"[\s\-.,'\u2019]+", name)):
        return NameFault.MIXED_ALPHABETS
    return None


def poses_as(name: str, offices: Iterable[str]) -> bool:
    """Whether everybody would take that name for an office rather than for a person.

    That is: it looks like one of `offices` (the city, its teams), with or without words such as
    "Mairie de", or consists of such words alone. "Camille Paris" is somebody; "Ville de Paris" and
    "PARIS" are not.
    """
    words = _looks(name)
    bare = words - _OFFICE - _BETWEEN
    if not bare:
        return bool(words & _OFFICE)
    for office in offices:
        theirs = _looks(office) - _BETWEEN
        if theirs and (bare == theirs - _OFFICE or words - _BETWEEN == theirs):
            return True
    return False


def public_name(name: str | None, display: Display) -> str | None:
    """The name as its owner chose to show it; None of somebody who stays anonymous.

    A name that would not be taken today (`name_fault`) is shown to nobody: those
    of imported cases were never asked about.
    """
    shown = normal_name(name or "")
    if not shown or display is Display.ANONYMOUS or name_fault(shown) is not None:
        return None
    return first_name(shown) if display is Display.FIRST else shown


def first_name(name: str) -> str | None:
    """What of a name may stand for it without the family name; None where that cannot be told.

    "Dr. Camille Durand" and "DURAND Camille" are Camille. Of "Mme Durand" and of a name that is
    written without a space, nothing is sure not to be the family name. One word alone is what
    somebody calls themselves.
    """
    after_comma = name.partition(",")[2].split()
    words = after_comma or name.split()
    untitled = [word for word in words if fold(word) not in _TITLES | _COUPLED]
    if not untitled:
        return None
    is_titled = len(untitled) < len(words)
    if _scripts(untitled[0]) & set(_UNSPACED):
        return untitled[-1] if len(untitled) > 1 else None
    if len(untitled) == 1:
        return None if is_titled and not after_comma else untitled[0]
    given = [word for word in untitled if not _is_capitals(word)]
    # All in capitals, or none: the order is all there is to go by.
    return (given or untitled)[0]


def _is_spelling(name: str, at: int) -> bool:
    """Whether the invisible character there is a joiner between letters that need it."""
    if name[at] not in _JOINERS or not 0 < at < len(name) - 1:
        return False
    return bool(_scripts(name[at - 1]) & _JOINED_SCRIPTS) and bool(
        _scripts(name[at + 1]) & _JOINED_SCRIPTS
    )


def _scripts(word: str) -> set[str]:
    """The scripts of a word's letters, by the first word of their Unicode names."""
    found = set()
    for letter in word:
        if unicodedata.category(letter)[0] in "LM":
            script = unicodedata.name(letter, "").partition(" ")[0]
            if script not in ("COMBINING", "MODIFIER"):
                found.add(script)
    return found


def _is_capitals(word: str) -> bool:
    return word == word.upper() != word.lower() and _CAPITALS.fullmatch(word) is not None


def _looks(text: str) -> set[str]:
    """The words of a text as they look: folded, with letters of other alphabets as Latin ones."""
    return set(fold(fold(text).translate(_LOOKS_LIKE)).split())
