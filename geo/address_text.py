"""How people write addresses, in France and in the United States: the words, not the places.

Pure. It takes an address apart (`parse`, `house_number`) and reduces the name of a street to a key
that does not depend on how it was written (`street_key`). Finding it is the gazetteer's work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from core.text import fold

#: Ways to write one word of a street name; the first is the key's. Groups follow the writing, not
#: the language: "st" is a saint in Montpellier and a street in Boston, and both are written out
#: as well, so all three share a key. Mapping both sides alike makes them meet.
_SPELLINGS = (
    # kinds of street
    "av ave avenue",
    "bd bld blvd boul boulevard",
    "st street saint",
    "rd road",
    "pl place",
    "imp impasse",
    "ch che chem chemin",
    "all allee allees",
    "rte route",
    "sq square",
    "crs cours",
    "ct court",
    "dr drive docteur",
    "ln lane",
    "pass passage",
    "fg fbg faubourg",
    "esp espl esplanade",
    "qu quai",
    "prom promenade",
    "res residence",
    "trav traverse",
    "carr carrefour",
    "rpt rondpoint",
    "pkwy parkway",
    "hwy highway",
    "ter terrace",
    "cir circle",
    "ctr center centre",
    "brg bridge",
    "r rue",
    # parts of names
    "ste sainte",
    "gal gl gen general",
    "mal marechal",
    "cdt commandant",
    "cne cpt capitaine captain",
    "col colonel",
    "pr prof professeur professor",
    "pdt president",
    "mgr monseigneur",
    "nd notredame",
    "mt mount",
    "ft fort",
    "n north nord",
    "s south sud",
    "e east est",
    "w west ouest",
    "8 huit",
    "11 onze",
    "14 quatorze",
)
_KEY_OF = {word: group.split()[0] for group in _SPELLINGS for word in group.split()}

#: Words that say what kind of street it is. Half the streets of a city share one, so they weigh
#: little, and finding a street never begins with them.
KIND_WORDS = frozenset(
    _KEY_OF.get(word, word)
    for line in (
        "av bd st rd pl imp ch all rte sq crs ct dr ln pass fg esp qu prom res trav carr rpt",
        "pkwy hwy ter cir ctr brg r plan cour parvis pont porte enclos descente way row",
    )
    for word in line.split()
)

#: Small words that people leave out or add.
_SMALL_WORDS = frozenset(
    [
        "d",
        "de",
        "des",
        "du",
        "l",
        "la",
        "le",
        "les",
        "a",
        "au",
        "aux",
        "et",
        "en",
        "sur",
        "of",
        "the",
        "and",
    ]
)

#: Suffixes of house numbers that are words.
_SUFFIX_WORDS = {"bis": "bis", "ter": "ter", "quater": "quater", "quinquies": "quinquies"}

_LEADING = re.compile(
    r"""^\W*(?:n\s*[°º]|no\.?|num(?:e|é)ro)?\s*
        (?P<number>\d{1,5})
        (?:\s?[-/]\s?\d{1,5})?                     # 31-33: the first stands for both
        (?:\s*(?P<suffix>bis|ter|quater|quinquies|[a-h])\b)?
        (?P<rest>(?=\W|$).*)$""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_TRAILING = re.compile(
    r"""^(?P<rest>.*?\w.*?)[\s,]+(?:n\s*[°º]|no\.?)?\s*
        (?P<number>\d{1,4})\s*(?P<suffix>bis|ter|quater|quinquies|[a-h])?\W*$""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_POSTCODE = re.compile(r"\b(\d{5})(?:-\d{4})?\b")
#: How people write that two streets cross, and the words that say so.
_CROSSING = re.compile(r"&|\bintersection\b|\bcorner\b|\bcarrefour\b|\bangle\b", re.IGNORECASE)
_CROSSED = frozenset({"intersection", "corner", "carr", "angle"})
_HOUSE_NUMBER = re.compile(r"^\D*?(\d{1,6})\s*-?\s*([^\W\d_]*)")


@dataclass(frozen=True, slots=True)
class AddressText:
    """An address as it was written, taken apart. Words are keys, as in `street_key`.

    Attributes:
        number: the house number, if one was found.
        suffix: bis, ter, A…; lower-case words, upper-case letters; empty if none.
        number_is_sure: false where the number may as well belong to the name ("8 mai 1945").
        street_words: of the first part, without the number. They may end in the words of a town,
            where no comma was written.
        place_words: of the other parts: district, town, country.
        postcode: five digits, if they were written.
    """

    number: int | None
    suffix: str
    number_is_sure: bool
    street_words: tuple[str, ...]
    place_words: tuple[str, ...]
    postcode: str | None


def words_of(text: str) -> tuple[str, ...]:
    """The words of a name, each in its one spelling, small ones left out."""
    folded = fold(text).replace("rond point", "rondpoint").replace("notre dame", "notredame")
    words = [_KEY_OF.get(word, word) for word in folded.split()]
    large = tuple(word for word in words if word not in _SMALL_WORDS)
    return large or tuple(words)


def street_key(street: str) -> str:
    """What all ways to write one street's name have in common: `Rue St-Roch` → `r st roch`.

    For comparing only. Both what is stored and what is asked go through it.
    """
    return " ".join(words_of(street))


def house_number(text: str) -> tuple[int | None, str]:
    """A house number as files have it, in number and suffix: `2bis` → `(2, "bis")`.

    Of a range the first number; `(None, "")` where there is none, which many files write as 0.
    """
    found = _HOUSE_NUMBER.match(text.strip())
    if found is None or int(found[1]) == 0:
        return None, ""
    return int(found[1]), _suffix(found[2])


def parse(text: str) -> AddressText:
    """Take a written address apart.

    It knows "12 bis rue de l'Aiguillerie, Montpellier", "12, Av. du Pont Juvénal", "Rue Émile Zola
    31, 34000 Montpellier" and "39 Lorraine St Roslindale".
    """
    number, rest = _leading_number(text)
    parts = [part for part in re.split(r"[,;\n]", rest) if fold(part)]
    postcode, parts = _postcode(parts)
    first, others = (parts[0], parts[1:]) if parts else ("", [])
    if number is None and others:
        # "Rue Émile Zola, 31": the number stands alone behind the comma.
        alone, behind = _leading_number(others[0])
        if alone is not None and not fold(behind):
            number, others = replace(alone, is_sure=True), others[1:]
    if number is None:
        trailing = _TRAILING.match(first)
        if trailing is not None:
            number = _Number(int(trailing["number"]), _suffix(trailing["suffix"]), is_sure=False)
            first = trailing["rest"]
    return AddressText(
        number=number.value if number else None,
        suffix=number.suffix if number else "",
        number_is_sure=number is not None and number.is_sure,
        street_words=tuple(dict.fromkeys(words_of(first))),
        place_words=tuple(dict.fromkeys(word for part in others for word in words_of(part))),
        postcode=postcode,
    )


def street_and_number(address: str) -> tuple[str | None, str | None]:
    """The keys of a street and of a house number, for comparing two addresses of one city.

    Two that name the same street share the first however it was written, the town behind a comma
    or not; of a crossing the order of its streets does not matter. None where nothing is named.
    """
    if _CROSSING.search(address):
        words = {word for word in words_of(_POSTCODE.sub(" ", address)) if word not in _CROSSED}
        return " ".join(sorted(words)) or None, None
    parsed = parse(address)
    number = None if parsed.number is None else f"{parsed.number}{parsed.suffix}"
    return " ".join(parsed.street_words) or None, number


@dataclass(frozen=True, slots=True)
class _Number:
    value: int
    suffix: str
    is_sure: bool


def _leading_number(text: str) -> tuple[_Number | None, str]:
    """The house number that the text begins with, and what follows it."""
    found = _LEADING.match(text)
    # Five digits are a postcode: "34000 Montpellier".
    if found is None or len(found["number"]) == 5:
        return None, text
    suffix, rest = found["suffix"] or "", found["rest"]
    words = words_of(rest.strip(" ,").split(",")[0])
    if len(suffix) == 1 and words and set(words) <= KIND_WORDS:
        # "3 A Street" is number 3 of A Street.
        suffix, rest = "", f"{suffix} {rest}"
        words = words_of(rest)
    is_sure = bool(words) and words[0] in KIND_WORDS
    return _Number(int(found["number"]), _suffix(suffix), is_sure), rest


def _postcode(parts: list[str]) -> tuple[str | None, list[str]]:
    """The first postcode in the parts of an address, and the parts without it."""
    for index, part in enumerate(parts):
        found = _POSTCODE.search(part)
        if found is not None:
            left = [*parts[:index], part.replace(found[0], " "), *parts[index + 1 :]]
            return found[1], [each for each in left if fold(each)]
    return None, parts


def _suffix(text: str | None) -> str:
    word = fold(text or "")
    return _SUFFIX_WORDS.get(word, word.upper())
