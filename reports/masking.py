"""Taking what points to a person out of a text: their own words, or what a simple rule finds. Pure.

`mask` knows whom it looks for and finds them however they are written; `mask_found` takes out what
`reports.personal_data` finds of anybody. What is taken out leaves a mark, so that a reader sees
that something stood there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import phonenumbers

from reports.personal_data import findings

#: Stands where something was taken out; the same in every language.
MARK = "[…]"

#: A word of a name that is shorter is looked for only as part of the whole name: "Le", "Da".
_SHORTEST_NAME = 3

_BETWEEN_DIGITS = r"[\s.()/\-\u00a0\u2010-\u2015]{0,3}"


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What names one person."""

    names: frozenset[str] = frozenset()
    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to look for."""
        return not (self.names or self.emails or self.phones)

    @classmethod
    def of(
        cls,
        names: Iterable[str | None] = (),
        emails: Iterable[str | None] = (),
        phones: Iterable[str | None] = (),
    ) -> Identifiers:
        """Those that are known, without the ones that are not."""
        return cls(
            frozenset(" ".join(name.split()) for name in names if name and name.strip()),
            frozenset(email for email in emails if email),
            frozenset(phone for phone in phones if phone),
        )

    @property
    def exact(self) -> Identifiers:
        """What belongs to nobody else: without the names, which others bear too."""
        return Identifiers(emails=self.emails, phones=self.phones)


def mask(text: str, who: Identifiers) -> str:
    """The text without that person: addresses and numbers in any spelling, names in any case.

    A single word of a name is taken for the name only where it is capitalised, so that M. Pont
    does not take the bridge along.
    """
    if not text or who.is_empty:
        return text
    spans = [*_contacts(text, who), *_names(text, who.names)]
    return _without(text, spans)


def mask_found(text: str, country: str) -> str:
    """The text without the contact details, plates and names that the rule finds in it."""
    return _without(text, [(found.start, found.end) for found in findings(text, country)])


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in sorted(spans):
        if end <= at:
            continue
        if start >= at:
            parts += [text[at:start], MARK]
        at = end
    return "".join([*parts, text[at:]]) if at else text


def _contacts(text: str, who: Identifiers) -> list[tuple[int, int]]:
    plain = _plain(text)
    found: list[tuple[int, int]] = []
    for email in who.emails:
        pattern = rf"(?<![\w.+-]){re.escape(_plain(email))}(?![\w-])"
        found += [match.span() for match in re.finditer(pattern, plain)]
    for phone in who.phones:
        found += [match.span() for match in re.finditer(_number(phone), text)]
    return found


def _number(phone: str) -> str:
    """The pattern of a number with or without its country, with whatever between its digits."""
    try:
        number = phonenumbers.parse(phone, None)
    except phonenumbers.NumberParseException:
        return rf"(?<!\d){re.escape(phone)}(?!\d)"
    country = _BETWEEN_DIGITS.join(str(number.country_code))
    national = _BETWEEN_DIGITS.join(phonenumbers.national_significant_number(number))
    prefix = rf"(?:(?:\+|00){_BETWEEN_DIGITS}{country}{_BETWEEN_DIGITS}(?:\(?0\)?)?|{country}|0)?"
    return rf"(?<!\d){prefix}{_BETWEEN_DIGITS}{national}(?!\d)"


def _names(text: str, names: Iterable[str]) -> list[tuple[int, int]]:
    plain = _plain(text)
    found: list[tuple[int, int]] = []
    for name in names:
        words = [re.escape(word) for word in _plain(name).split()]
        for order in (words, words[::-1]):
            whole = r"[\s,]+".join(order)
            found += [match.span() for match in re.finditer(rf"(?<!\w){whole}(?!\w)", plain)]
        for word in words:
            if len(word) < _SHORTEST_NAME:
                continue
            found += [
                match.span()
                for match in re.finditer(rf"(?<!\w){word}(?!\w)", plain)
                if text[match.start()].isupper()
            ]
    return found


def _plain(text: str) -> str:
    """The text without accents, in lower case, with as many characters as before."""
    return "".join([_bare(letter) for letter in text])


def _bare(letter: str) -> str:
    if letter.isascii():
        return letter.lower()
    return unicodedata.normalize("NFD", letter)[0].lower()[0]
