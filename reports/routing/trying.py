"""What a change of rules would move: the same reports by the rules of now and by others.

Reads nothing: it is given the facts, and compares two decisions of `reports.routing.deciding`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reports.routing import deciding
from reports.routing.deciding import Facts, RoutingPlan

#: Examples kept of each move: enough to look at, few enough to read.
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Tried:
    """A report that rules are tried on.

    Attributes:
        name: how a person finds it: its number, or its id in a file.
        team: the team that it went to, where that is compared with instead of other rules.
        is_persons: a person said where it goes, so no rule would move it.
    """

    name: str
    facts: Facts
    team: str | None = None
    is_persons: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """Reports that would go from one team to another; None is nobody."""

    before: str | None
    after: str | None
    count: int
    examples: Sequence[str]
    #: The rules that would send them there, by how many.
    rules: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying rules.

    Attributes:
        persons: reports that stay where a person put them; they are no part of the moves.
        before, after: how many reports each team has now, and would have.
        urgency: how many would get another priority or another service level by a rule.
    """

    total: int
    persons: int
    moves: Sequence[Move]
    before: Mapping[str | None, int]
    after: Mapping[str | None, int]
    urgency: int

    @property
    def moved(self) -> int:
        """How many reports would go elsewhere."""
        return sum(move.count for move in self.moves)


def compare(tried: Iterable[Tried], now: RoutingPlan | None, new: RoutingPlan) -> Trial:
    """The reports by the plan of now and by the new one; without the former, by their own teams."""
    total = persons = urgency = 0
    examples: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
    rules: dict[tuple[str | None, str | None], Counter[str]] = defaultdict(Counter)
    counts: Counter[tuple[str | None, str | None]] = Counter()
    for one in tried:
        total += 1
        if one.is_persons:
            persons += 1
            continue
        after = deciding.decide(new, one.facts)
        team = after.explanation.get("team")
        before = one.team
        if now is not None:
            was = deciding.decide(now, one.facts)
            before = was.explanation.get("team")
            urgency += (was.priority, was.service_level) != (after.priority, after.service_level)
        counts[before, team] += 1
        if before != team:
            rules[before, team][str(after.explanation["rule"])] += 1
            if len(examples[before, team]) < EXAMPLES:
                examples[before, team].append(one.name)
    moves = [
        Move(pair[0], pair[1], count, tuple(examples[pair]), dict(rules[pair].most_common(3)))
        for pair, count in counts.most_common()
        if pair[0] != pair[1]
    ]
    old: Counter[str | None] = Counter()
    fresh: Counter[str | None] = Counter()
    for (left, right), count in counts.items():
        old[left] += count
        fresh[right] += count
    return Trial(total, persons, moves, old, fresh, urgency)
