"""A rule table learned from past cases: service by area, with back-off. Pure.

1. For each service the history says what tells its teams apart: nothing, the area of one layer, the
   source, or both. Each shape is tried as it would have been used: on the later parts of the
   history with only what came before, recent cases counting more or not. The simplest shape wins
   unless another is better by more than chance would give.
2. Within a shape, what a few cases say is drawn towards what the wider group says (back-off:
   service × area × source → service × area → service), so that one odd case makes no rule.
3. Of the answers a minimal list of rules is made: an area needs a rule where its team is not the
   service's, a service where it is not its group's, a group where it is not everybody's; rules of
   one team are one where they say the same of the same areas.
4. Each rule bears in a comment how many cases it would have got and how many of them really went
   to its team, of all and of the last weeks.

The text that comes out is read by `reports.routing.grammar` like any other: a manager reads it,
changes it and accepts it. It decides nothing by itself.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reports.routing.past import Past

#: How many cases of the wider group weigh as much as what the narrower one says by itself.
PRIOR = 3.0

#: After so many days a case counts half, where habits last and where they change.
HALF_LIVES = (60.0, 20.0)

#: The same for what a group or everybody does.
HABIT_DAYS = 30.0

#: Parts of the history that are predicted from what came before, the newest ones.
FOLDS, PARTS = 5, 10

#: A finer shape must send so many standard errors of more cases right.
MARGIN = 1.0

#: The stretch whose accuracy is told apart, so that a change of habit is seen.
RECENT = timedelta(days=30)

#: Cases of an area that a rule of its own needs, in the weights of the learner.
LEAST_WEIGHT = 1.5

#: And so many standard errors by which its team must be ahead of the one that the wider rule names.
CLEAR = 1.0

#: A service of which such a share goes to one team needs no finer shape.
SETTLED = 0.99

#: The longest line of services or areas in a rule.
_WIDTH = 92


@dataclass(frozen=True, slots=True)
class Shape:
    """What tells the teams of a service apart."""

    layer: str | None = None
    by_source: bool = False
    half_life_days: float = HALF_LIVES[0]

    def key(self, case: Past) -> tuple[str, str]:
        """Area and source of a case, as far as this shape looks at them."""
        area = case.areas.get(self.layer, "") if self.layer else ""
        return area, case.source if self.by_source else ""


@dataclass(frozen=True, slots=True)
class LearnedRule:
    """One rule of the table; without services and groups it is `otherwise`.

    Attributes:
        cases, right: how many it would have got, and how many of these went to its team.
        recent, recent_right: the same of the last weeks of the history.
    """

    team: str
    services: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    layer: str = ""
    areas: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    cases: int = 0
    right: int = 0
    recent: int = 0
    recent_right: int = 0

    def fits(self, case: Past) -> bool:
        """Whether all its conditions hold."""
        return (
            (not self.services or case.service in self.services)
            and (not self.groups or case.group in self.groups)
            and (not self.areas or case.areas.get(self.layer) in self.areas)
            and (not self.sources or case.source in self.sources)
        )


@dataclass(frozen=True, slots=True)
class LearnedTable:
    """The rules in their order, the last one being `otherwise`, and where they come from."""

    rules: tuple[LearnedRule, ...]
    shapes: Mapping[str, Shape]
    first_at: datetime
    last_at: datetime
    cases: int


def learn(cases: Sequence[Past]) -> LearnedTable:
    """The rule table of a history; only cases that went to a team are looked at.

    Raises:
        ValueError: none did.
    """
    routed = sorted((case for case in cases if case.team), key=lambda case: (case.at, case.id))
    if not routed:
        raise ValueError("no case of the history went to a team")
    end = routed[-1].at
    layers = sorted({layer for case in routed for layer in case.areas})
    of_service = _grouped(routed, lambda case: case.service)
    shapes = {
        service: _best_shape(own, layers, routed[0].at, end) for service, own in of_service.items()
    }
    answers = {service: _Answers(own, shapes[service], end) for service, own in of_service.items()}
    rules = _counted(_minimal(routed, of_service, answers, end), routed)
    return LearnedTable(tuple(rules), shapes, routed[0].at, end, len(routed))


def as_text(table: LearnedTable) -> str:
    """The table as routing rules, with support and accuracy beside each."""
    right = sum(rule.right for rule in table.rules)
    days = f"{table.first_at:%Y-%m-%d} to {table.last_at:%Y-%m-%d}"
    lines = [
        f"# Learned from {table.cases} cases of {days}.",
        f"# {_share(right, table.cases)} of them went to the team that these rules name.",
        "# Read them, change what is wrong, and accept them: nothing is used before that.",
    ]
    names = Counter[str]()
    for rule in table.rules:
        lines += ["", f"# {_support(rule)}"]
        if rule is table.rules[-1]:
            lines.append(f"otherwise team {rule.team}")
            continue
        names[rule.team] += 1
        count = names[rule.team]
        lines.append(f"rule {rule.team}{'' if count == 1 else f'-{count}'}")
        conditions = [
            *_condition("service", rule.services),
            *_condition("group", rule.groups),
            *_condition(f"in {rule.layer}:", rule.areas),
            *_condition("source", rule.sources),
        ]
        lines += ["  when " + conditions[0], *("   and " + each for each in conditions[1:])]
        lines.append(f"  then team {rule.team}")
    return "\n".join(lines) + "\n"


# What tells the teams of a service apart

#: Team → how much its cases weigh.
_Weights = dict[str, float]


class _Answers:
    """Which team each area and source of one service gets, by what its cases say."""

    def __init__(self, cases: Sequence[Past], shape: Shape, now: datetime) -> None:
        self.shape = shape
        whole: _Weights = defaultdict(float)
        by_area: dict[str, _Weights] = defaultdict(lambda: defaultdict(float))
        by_key: dict[tuple[str, str], _Weights] = defaultdict(lambda: defaultdict(float))
        for case in cases:
            weight = _weight(case, now, shape.half_life_days)
            area, source = shape.key(case)
            whole[case.team] += weight
            by_area[area][case.team] += weight
            by_key[area, source][case.team] += weight
        all_of_it = _shares(whole, {})
        # Without an area the service's own habits with such cases come first.
        bare = _shares(by_area.pop("", {}), all_of_it) if shape.layer else all_of_it
        self.default = _best(bare)
        self.teams: dict[tuple[str, str], str] = {}
        area_shares = {"": bare}
        for area, counts in by_area.items():
            area_shares[area] = _shares(counts, all_of_it)
            if _is_clear(counts, area_shares[area], self.default):
                self.teams[area, ""] = _best(area_shares[area])
        if shape.by_source:
            for (area, source), counts in by_key.items():
                if shape.layer and not area:
                    # Too few, and a rule on the source alone would catch those with an area too.
                    continue
                shares = _shares(counts, area_shares[area])
                if _is_clear(counts, shares, self.teams.get((area, ""), self.default)):
                    self.teams[area, source] = _best(shares)

    def team(self, case: Past) -> str:
        area, source = self.shape.key(case)
        by_area = self.teams.get((area, ""), self.default)
        return self.teams.get((area, source), by_area)


def _weight(case: Past, now: datetime, half_life_days: float) -> float:
    days = (now - case.at) / timedelta(days=1)
    return math.pow(0.5, max(days, 0.0) / half_life_days)


def _shares(counts: Mapping[str, float], wider: Mapping[str, float]) -> dict[str, float]:
    """The shares of teams, drawn towards those of the wider group."""
    prior = PRIOR if wider else 0.0
    total = sum(counts.values()) + prior
    if not total:
        return dict(wider)
    teams = counts.keys() | wider.keys()
    return {team: (counts.get(team, 0.0) + prior * wider.get(team, 0.0)) / total for team in teams}


def _best(shares: Mapping[str, float]) -> str:
    """The team with the largest share; of equals the first in the alphabet."""
    return min(shares, key=lambda team: (-shares[team], team))


def _is_clear(counts: Mapping[str, float], shares: Mapping[str, float], wider: str) -> bool:
    """Whether the best team is ahead of the wider rule's by more than chance."""
    total, first, second = sum(counts.values()), shares[_best(shares)], shares.get(wider, 0.0)
    ahead = (first - second) * total
    return total >= LEAST_WEIGHT and ahead > CLEAR * math.sqrt(total * (first + second) / 4)


def _best_shape(
    cases: Sequence[Past], layers: Sequence[str], start: datetime, end: datetime
) -> Shape:
    """The simplest shape that is not worse than another by more than chance."""
    most = max(Counter(case.team for case in cases).values())
    if most >= SETTLED * len(cases):
        return Shape()
    length = (end - start) / PARTS
    folds = []
    for part in range(PARTS - FOLDS, PARTS):
        cut = start + part * length
        after = cut + length if part + 1 < PARTS else end + timedelta(seconds=1)
        before = [case for case in cases if case.at < cut]
        now = [case for case in cases if cut <= case.at < after]
        if before and now:
            folds.append((before, now, cut))
    if not folds:
        return Shape()
    total = sum(len(now) for _, now, _ in folds)
    best, best_right = Shape(), -1.0
    for shape in _shapes(cases, layers):
        right = sum(
            sum(answers.team(case) == case.team for case in now)
            for before, now, cut in folds
            for answers in (_Answers(before, shape, cut),)
        )
        if best_right < 0:
            best, best_right = shape, right
            continue
        share = max(right / total, 1e-9)
        chance = MARGIN * math.sqrt(total * share * (1 - share))
        same_places = (shape.layer, shape.by_source) == (best.layer, best.by_source)
        if right > best_right + (chance / 2 if same_places else min(chance, total * 0.02)):
            best, best_right = shape, right
    return best


def _shapes(cases: Sequence[Past], layers: Sequence[str]) -> Iterator[Shape]:
    """From simple to fine: coarse layers before fine ones."""
    codes = {layer: len({case.areas.get(layer) for case in cases}) for layer in layers}
    ordered = sorted((layer for layer in layers if codes[layer] > 1), key=lambda each: codes[each])
    has_sources = len({case.source for case in cases}) > 1
    for half_life in HALF_LIVES:
        yield Shape(half_life_days=half_life)
    for layer in ordered:
        for half_life in HALF_LIVES:
            yield Shape(layer, half_life_days=half_life)
    if has_sources:
        for layer_or_none in (None, *ordered):
            for half_life in HALF_LIVES:
                yield Shape(layer_or_none, by_source=True, half_life_days=half_life)


# From answers to rules


def _minimal(
    routed: Sequence[Past],
    of_service: Mapping[str, Sequence[Past]],
    answers: Mapping[str, _Answers],
    now: datetime,
) -> list[LearnedRule]:
    """The rules, the special ones first."""
    default_of = {service: found.default for service, found in answers.items()}
    everybody = _most(routed, now)
    group_of = {service: own[-1].group for service, own in of_service.items()}
    group_default = {
        group: _most(own, now)
        for group, own in _grouped(routed, lambda case: case.group).items()
        if group
    }
    rules = [*_exceptions(answers, default_of, with_source=True)]
    rules += _exceptions(answers, default_of, with_source=False)
    own_team = {
        service: team
        for service, team in default_of.items()
        if team != group_default.get(group_of[service], everybody)
    }
    rules += [LearnedRule(team, services=names) for team, names in _by_team(own_team)]
    differing = {group: team for group, team in group_default.items() if team != everybody}
    rules += [LearnedRule(team, groups=names) for team, names in _by_team(differing)]
    return [*rules, LearnedRule(everybody)]


def _exceptions(
    answers: Mapping[str, _Answers], default_of: Mapping[str, str], *, with_source: bool
) -> Iterator[LearnedRule]:
    """The areas and sources whose team is not what the next wider rule says."""
    wanted: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for service, found in answers.items():
        layer = found.shape.layer or ""
        for (area, source), team in found.teams.items():
            if bool(source) is not with_source:
                continue
            wider = (
                found.teams.get((area, ""), default_of[service]) if source else default_of[service]
            )
            if team != wider:
                wanted[team, layer, service, source].add(area)
    # Services that have one team in the same areas share a rule, and so do their sources.
    services_of: dict[tuple[str, str, tuple[str, ...], str], set[str]] = defaultdict(set)
    for (team, layer, service, source), areas in wanted.items():
        services_of[team, layer, tuple(sorted(areas - {""})), source].add(service)
    sources_of: dict[tuple[str, str, tuple[str, ...], tuple[str, ...]], set[str]] = defaultdict(set)
    for (team, layer, codes, source), services in services_of.items():
        sources_of[team, layer, codes, tuple(sorted(services))].add(source)
    for (team, layer, codes, names), sources in sorted(sources_of.items()):
        yield LearnedRule(team, names, (), layer, codes, tuple(sorted(sources - {""})))


def _by_team(team_of: Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
    names: dict[str, list[str]] = defaultdict(list)
    for name, team in team_of.items():
        names[team].append(name)
    return [(team, tuple(sorted(names[team]))) for team in sorted(names)]


def _most(cases: Iterable[Past], now: datetime) -> str:
    counts: dict[str, float] = defaultdict(float)
    for case in cases:
        counts[case.team] += _weight(case, now, HABIT_DAYS)
    return _best(counts)


def _grouped(cases: Iterable[Past], key: Callable[[Past], str]) -> dict[str, list[Past]]:
    found: dict[str, list[Past]] = defaultdict(list)
    for case in cases:
        found[key(case)].append(case)
    return found


def _counted(rules: Sequence[LearnedRule], routed: Sequence[Past]) -> list[LearnedRule]:
    """The rules with what each would have got; those that would get nothing are left out."""
    since = routed[-1].at - RECENT
    counts = [[0, 0, 0, 0] for _ in rules]
    for case in routed:
        index = next(place for place, rule in enumerate(rules) if rule.fits(case))
        is_right, is_recent = case.team == rules[index].team, case.at >= since
        for place, holds in enumerate((True, is_right, is_recent, is_recent and is_right)):
            counts[index][place] += holds
    kept = []
    for index, (rule, (got, right, recent, recent_right)) in enumerate(
        zip(rules, counts, strict=True)
    ):
        if got or index == len(rules) - 1:
            kept.append(
                replace(rule, cases=got, right=right, recent=recent, recent_right=recent_right)
            )
    return kept


# Words


def _support(rule: LearnedRule) -> str:
    if not rule.cases:
        return "no case of the history came this far"
    cases = "1 case" if rule.cases == 1 else f"{rule.cases} cases"
    text = f"{cases}, {_share(rule.right, rule.cases)} went there"
    if rule.recent:
        text += f"; in the last {RECENT.days} days {_share(rule.recent_right, rule.recent)}"
        text += f" of {rule.recent}"
    return text


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _condition(word: str, values: Sequence[str]) -> list[str]:
    """A condition, broken into lines that can be read; nothing where there are no values."""
    if not values:
        return []
    lines, line = [], word
    for place, value in enumerate(values):
        piece = value + ("," if place + 1 < len(values) else "")
        if len(line) + len(piece) + 8 > _WIDTH:
            lines.append(line)
            line = "   "
        line += " " + piece
    lines.append(line)
    return ["\n       ".join(lines)]
