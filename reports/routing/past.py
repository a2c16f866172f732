"""Past cases as what rules look at: codes instead of another system's words. Pure.

A file of cases names services, teams and areas in words of its own. `CodeBook` gives each a code
that a rule can bear, one code for one name, and gives the name back. Where a case lacks an area
that others of its file have, `AreaMemory` takes that of the cases around it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from core.text import fold
from geo.cells import cell_of, parent_of
from geo.measures import Point
from reports.case_files import PastCase
from reports.vocabulary import Source

#: What other systems call the ways in which reports reach them.
_SOURCES: Mapping[str, Source] = {
    "constituent call": Source.PHONE,
    "call": Source.PHONE,
    "employee generated": Source.STAFF,
    "self service": Source.WEB,
    "citizens connect app": Source.APP,
    "mobile": Source.APP,
    "walk in": Source.COUNTER,
    "letter": Source.COUNTER,
}

#: Edges of about 175 m and of about 1.2 km: the cases around a place, from near to far.
_AROUND = (9, 7)

#: "Ward 3", "03" and "3" are one area, so are "1C" and "01c"; "South End" is none of these.
_NUMBERED = re.compile(r"(?:[a-z]+ )?0*(\d+ ?[a-z]?)")


@dataclass(frozen=True, slots=True)
class Past:
    """A past case in codes; `team` and `due_at` are what its city decided."""

    id: str
    service: str
    group: str
    source: str
    at: datetime
    point: Point | None
    areas: Mapping[str, str]
    description: str = ""
    team: str = ""
    due_at: datetime | None = None


@dataclass(slots=True)
class CodeBook:
    """One code for one name, in both directions."""

    _codes: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def code(self, name: str) -> str:
        """The code of that name: always the same one, and no other name's."""
        known = self._codes.get(name)
        if known is not None:
            return known
        base = fold(name).replace(" ", "-")[:70].strip("-") or "none"
        code, count = base, 1
        while code in self._names:
            count += 1
            code = f"{base}-{count}"
        self._codes[name], self._names[code] = code, name
        return code

    def name(self, code: str) -> str:
        """The name that got this code; the code itself where none did."""
        return self._names.get(code, code)


@dataclass(slots=True)
class CodeBooks:
    """The code books of services, groups and teams of one file."""

    services: CodeBook = field(default_factory=CodeBook)
    groups: CodeBook = field(default_factory=CodeBook)
    teams: CodeBook = field(default_factory=CodeBook)

    def past(self, case: PastCase) -> Past:
        """The case in codes."""
        return Past(
            id=case.id,
            service=self.services.code(case.type),
            group=self.groups.code(case.reason) if case.reason else "",
            source=source_of(case.source),
            at=case.opened_at,
            point=case.point,
            areas={layer: area_code(name) for layer, name in case.areas},
            description=case.description,
            team=self.teams.code(case.queue) if case.queue else "",
            due_at=case.due_at,
        )


def source_of(name: str) -> str:
    """The way in that another system's word stands for; `import` where it says nothing to us."""
    folded = fold(name)
    own = {source.value for source in Source}
    return _SOURCES.get(folded, folded if folded in own else Source.IMPORT).strip()


def area_code(name: str) -> str:
    """The code of an area: its number without words and noughts, or its name."""
    folded = fold(name)
    numbered = _NUMBERED.fullmatch(folded)
    code = numbered.group(1) if numbered else folded
    return code.replace(" ", "-")


class AreaMemory:
    """Which areas the cases of each neighbourhood lay in: for those whose record lacks them."""

    def __init__(self, cases: Iterable[Past]) -> None:
        counts: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        for case in cases:
            if case.point is None:
                continue
            for cell in _cells(case.point):
                for layer, code in case.areas.items():
                    counts[layer, cell][code] += 1
        self.layers = sorted({layer for layer, _ in counts})
        self._codes = {
            key: max(sorted(found), key=found.__getitem__) for key, found in counts.items()
        }

    def completed(self, case: Past) -> Past:
        """The case with the areas that its record lacks, as far as its position tells."""
        lacking = [layer for layer in self.layers if layer not in case.areas]
        if case.point is None or not lacking:
            return case
        areas = dict(case.areas)
        for layer in lacking:
            for cell in _cells(case.point):
                if (layer, cell) in self._codes:
                    areas[layer] = self._codes[layer, cell]
                    break
        return replace(case, areas=areas)


def _cells(point: Point) -> Sequence[int]:
    cell = cell_of(point)
    return [parent_of(cell, resolution) for resolution in _AROUND]
