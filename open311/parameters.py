"""The parameters of a call, from query and form alike. Pure.

An empty parameter is one that was not sent; one that nobody knows is not looked at. Whoever reads
them collects what is wrong and goes on, so that a client hears of everything at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from core.text import clean
from geo.measures import Box, BoxError, CoordinateError, Point
from open311.faults import Fault, Refusal, wrong
from open311.translating import read_moment

#: Answers to the questions of a service: `attribute[code]`, `attribute[code][]`; PHP writes numbers
#: between the last brackets.
_ATTRIBUTE = re.compile(r"attribute\[([^\]]{1,200})\](?:\[\d*\])?")

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})

#: Nothing that anybody sends as a number is longer.
_LONGEST_NUMBER = 40


@dataclass(frozen=True, slots=True)
class Parameters:
    """What was sent, and what is wrong with it so far.

    Attributes:
        values: name → everything that was sent under it, the form before the query.
    """

    values: Mapping[str, Sequence[str]]
    faults: list[Fault] = field(default_factory=list)

    @classmethod
    def of(cls, *sources: Iterable[tuple[str, str]]) -> Parameters:
        """Gather pairs of name and text; of the sources the first that says something counts."""
        values: dict[str, list[str]] = {}
        for source in sources:
            said: dict[str, list[str]] = {}
            for name, text in source:
                if text.strip():
                    said.setdefault(name.strip(), []).append(text)
            for name, texts in said.items():
                values.setdefault(name, texts)
        return cls(values)

    def refuse(self) -> None:
        """Stop here if anything is wrong.

        Raises:
            Refusal: with every fault so far.
        """
        if self.faults:
            raise Refusal(self.faults)

    def fault(self, description: str) -> None:
        """Note that something is wrong."""
        self.faults.append(wrong(description))

    def text(self, name: str) -> str | None:
        """One text, cleaned of what cannot be stored, without space about it."""
        return clean(self.values[name][0]).strip() or None if name in self.values else None

    def words(self, name: str, longest: int) -> str | None:
        """What somebody wrote, with its line breaks and its markup, as it stands."""
        if name not in self.values:
            return None
        text = clean(self.values[name][0])
        if len(text) > longest:
            self.fault(f"{name}: it has {len(text)} characters; at most {longest} are taken")
            return None
        return text or None

    def listed(self, name: str) -> tuple[str, ...]:
        """Values with commas between, or sent several times; each once."""
        parts = (
            clean(part).strip() for text in self.values.get(name, ()) for part in text.split(",")
        )
        return tuple(dict.fromkeys(part for part in parts if part))

    def number(self, name: str) -> float | None:
        """A finite number."""
        text = self.text(name)
        if text is None:
            return None
        try:
            if len(text) > _LONGEST_NUMBER or "_" in text:
                raise ValueError
            found = float(text)
        except ValueError:
            self.fault(f"{name}: {text[:_LONGEST_NUMBER]!r} is no number")
            return None
        if not -1e300 < found < 1e300:
            self.fault(f"{name}: {text!r} is no finite number")
            return None
        return found

    def whole(self, name: str, least: int, most: int) -> int | None:
        """A whole number within its bounds."""
        text = self.text(name)
        if text is None:
            return None
        digits = text.removeprefix("+")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 12):
            self.fault(f"{name}: it must be a whole number from {least} to {most}")
            return None
        if not least <= int(digits) <= most:
            self.fault(f"{name}: it must be a whole number from {least} to {most}")
            return None
        return int(digits)

    def flag(self, name: str) -> bool:
        """Whether something is asked for."""
        text = (self.text(name) or "false").lower()
        if text not in _TRUE | _FALSE:
            self.fault(f"{name}: it must be true or false")
        return text in _TRUE

    def moment(self, name: str) -> datetime | None:
        """An instant in W3C form."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return read_moment(text)
        except ValueError:
            self.fault(
                f"{name}: {text[:60]!r} is no date and time in W3C form, such as"
                " 2010-01-01T00:00:00Z"
            )
            return None

    def point(self) -> Point | None:
        """The position in `lat` and `long`; the one needs the other."""
        lat, lon = self.number("lat"), self.number("long")
        has_lat, has_lon = "lat" in self.values, "long" in self.values
        if has_lat != has_lon:
            there, missing = ("lat", "long") if has_lat else ("long", "lat")
            self.fault(f"{missing}: a position needs both lat and long; only {there} was sent")
        if lat is None or lon is None:
            return None
        try:
            return Point(lat, lon)
        except CoordinateError as error:
            name = "lat" if not -90 <= lat <= 90 else "long"
            self.fault(f"{name}: {error}")
            return None

    def box(self, name: str) -> Box | None:
        """A rectangle: west,south,east,north."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return Box.parse(text[:200])
        except (BoxError, CoordinateError) as error:
            self.fault(f"{name}: it must be west,south,east,north: {error}")
            return None

    def answers(self) -> dict[str, list[str]]:
        """The answers to a service's questions: code → what was chosen or written."""
        found: dict[str, list[str]] = {}
        for code, texts in self._answers():
            found.setdefault(code, []).extend(clean(text) for text in texts)
        return found

    def _answers(self) -> Iterator[tuple[str, Sequence[str]]]:
        for name, texts in self.values.items():
            matched = _ATTRIBUTE.fullmatch(name)
            if matched is not None:
                yield matched[1], texts
