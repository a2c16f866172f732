"""The language of `routing.rules`: from text to typed rules, and what is wrong with them.

A city writes who gets which report as a list of rules. The first whose conditions all hold wins,
`otherwise` catches the rest:

    rule danger-on-the-road
      when service pothole, manhole
       and attribute danger is yes
       and in districts: old-town, harbour
      then team on-call
       and priority urgent
       and due in 4 hours

    otherwise team front-desk

1. The text is cut into statements: each begins on a line that starts with `rule` or `otherwise`.
   So one broken rule does not hide the faults of the next.
2. Each statement is parsed by the grammar below into a `Rule`.
3. `check` compares names with what the city has: services, groups, areas, teams, attributes.

Pure: it reads no file and no database, and it does not decide where a report goes.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import lark

GRAMMAR = r"""
    rule: "rule" CODE "when" condition ("and" condition)* "then" actions
    otherwise: "otherwise" actions

    ?condition: test | negation
    negation: "not" test
    ?test: service | group | area | attribute | words | source
    service: "service" codes
    group: "group" codes
    area: "in" CODE ":" codes
    attribute: "attribute" CODE ( is | at_least | at_most )
    is: "is" codes
    at_least: "at" "least" NUMBER
    at_most: "at" "most" NUMBER
    words: "words" TEXT ("," TEXT)*
    source: "source" codes

    actions: action ("and" action)*
    ?action: team | priority | due | tag
    team: "team" CODE
    priority: "priority" CODE
    due: "due" "in" NUMBER working? UNIT
    working: "working"
    tag: "tag" codes

    codes: (CODE | TEXT) ("," (CODE | TEXT))*

    UNIT: "hours" | "hour" | "days" | "day"
    NUMBER: /\d+(\.\d+)?/
    CODE: /\w[\w.-]*/
    TEXT: /"[^"\n]*"/

    COMMENT: /#[^\n]*/
    %import common.WS
    %ignore WS
    %ignore COMMENT
"""

#: How urgent a word of the `priority` action is; 0 is what a report has without one.
PRIORITIES: Mapping[str, int] = {"low": -1, "normal": 0, "high": 1, "urgent": 2}

#: How to speak of what the grammar expected.
_EXPECTED = {
    "CODE": "a name",
    "TEXT": 'words in "quotes"',
    "NUMBER": "a number",
    "UNIT": "hours or days",
    "COMMA": "a comma",
    "COLON": "a colon",
    "$END": "the end of the rule",
}

_STATEMENT = re.compile(r"(rule|otherwise)\b")


class Subject(enum.StrEnum):
    """What a condition looks at."""

    SERVICE = "service"
    GROUP = "group"
    AREA = "area"
    ATTRIBUTE = "attribute"
    WORDS = "words"
    SOURCE = "source"


class Comparison(enum.StrEnum):
    """How a condition compares."""

    IS = "is"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"


class Clock(enum.StrEnum):
    """Which hours count towards a due date."""

    CALENDAR = "calendar"
    WORKING = "working"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a word stands in the text; both count from one."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold: any of `values` is enough.

    Attributes:
        key: the layer of an area condition, the code of an attribute condition, else empty.
        places: where each value stands, and first of all the key if there is one.
    """

    subject: Subject
    values: tuple[str, ...]
    key: str = ""
    comparison: Comparison = Comparison.IS
    negated: bool = False
    places: tuple[Place, ...] = field(default=(), compare=False, repr=False)

    def words(self) -> Iterator[tuple[str, Place]]:
        """Each value with its place."""
        places = self.places[1:] if self.key else self.places
        return zip(self.values, places, strict=True)


@dataclass(frozen=True, slots=True)
class DueIn:
    """A service level that a rule sets: an amount of hours or days on one of the clocks."""

    amount: float
    unit: str
    clock: Clock

    def as_service_level(self) -> dict[str, Any]:
        """The same in the words of a service's `service_level`."""
        if self.unit == "days" and self.clock is Clock.WORKING:
            return {"working_days": self.amount}
        hours = self.amount * 24 if self.unit == "days" else self.amount
        return {"hours": hours, "clock": self.clock.value}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: when all conditions hold, the actions apply. `otherwise` has no conditions.

    Attributes:
        priority: see `PRIORITIES`; None leaves it as it is.
        text: the statement as a person wrote it, without surrounding comments.
    """

    code: str
    conditions: tuple[Condition, ...]
    team: str
    priority: int | None = None
    due: DueIn | None = None
    tags: tuple[str, ...] = ()
    line: int = 0
    text: str = ""
    team_place: Place = field(default=Place(0, 0), compare=False, repr=False)

    def as_data(self) -> dict[str, Any]:
        """The rule as JSON, to be stored; `from_data` reads it back."""
        return {
            "code": self.code,
            "conditions": [
                {
                    "subject": condition.subject.value,
                    "key": condition.key,
                    "comparison": condition.comparison.value,
                    "values": list(condition.values),
                    "negated": condition.negated,
                }
                for condition in self.conditions
            ],
            "team": self.team,
            "priority": self.priority,
            "due": (
                None
                if self.due is None
                else {
                    "amount": self.due.amount,
                    "unit": self.due.unit,
                    "clock": self.due.clock.value,
                }
            ),
            "tags": list(self.tags),
        }


#: The code of the last rule, which every file ends with.
OTHERWISE = "otherwise"


@dataclass(frozen=True, slots=True)
class RuleFault:
    """What is wrong, where, and at which word."""

    line: int
    column: int
    word: str
    reason: str


class RuleSyntaxError(Exception):
    """The text is not a list of rules; `faults` has every statement that is broken."""

    def __init__(self, faults: Sequence[RuleFault]) -> None:
        super().__init__(f"{len(faults)} faults, first in line {faults[0].line}")
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that rules may use.

    Attributes:
        services: service code → its attributes, attribute code → (datatype, allowed values).
        areas: layer → codes.
    """

    services: Mapping[str, Mapping[str, tuple[str, Collection[str]]]]
    groups: Collection[str]
    areas: Mapping[str, Collection[str]]
    teams: Collection[str]
    sources: Collection[str]


def parse(text: str) -> tuple[Rule, ...]:
    """The rules in their order; the last one is `otherwise`.

    Raises:
        RuleSyntaxError: a statement is broken, a code is used twice, or `otherwise` is missing or
            not the last.
    """
    faults: list[RuleFault] = []
    rules: list[Rule] = []
    last_line = text.count("\n") + 1
    broken_otherwise = False
    for line, statement in _statements(text):
        kind = _STATEMENT.match(statement)
        if kind is None:
            word = statement.split()[0]
            faults.append(RuleFault(line, 1, word, "a rule begins with “rule” or “otherwise”"))
            continue
        try:
            rules.append(_parse_statement(kind[1], line, statement))
        except RuleSyntaxError as error:
            faults.extend(error.faults)
            broken_otherwise = broken_otherwise or kind[1] == OTHERWISE
    faults.extend(_repeated(rules))
    ends = [index for index, rule in enumerate(rules) if not rule.conditions]
    if not ends and not broken_otherwise:
        reason = "the last line must be “otherwise team …”, so that every report reaches someone"
        faults.append(RuleFault(last_line, 1, "", reason))
    faults.extend(
        RuleFault(rules[index + 1].line, 1, rules[index + 1].code, "nothing comes after otherwise")
        for index in ends
        if index + 1 < len(rules)
    )
    if faults:
        raise RuleSyntaxError(sorted(faults, key=lambda fault: (fault.line, fault.column)))
    return tuple(rules)


def from_data(data: Mapping[str, Any], *, text: str = "", line: int = 0) -> Rule:
    """The rule that `Rule.as_data` wrote."""
    due = data.get("due")
    return Rule(
        code=data["code"],
        conditions=tuple(
            Condition(
                subject=Subject(item["subject"]),
                key=item["key"],
                comparison=Comparison(item["comparison"]),
                values=tuple(item["values"]),
                negated=item["negated"],
            )
            for item in data["conditions"]
        ),
        team=data["team"],
        priority=data["priority"],
        due=None if due is None else DueIn(due["amount"], due["unit"], Clock(due["clock"])),
        tags=tuple(data["tags"]),
        line=line,
        text=text,
    )


def check(rules: Sequence[Rule], names: Vocabulary) -> list[RuleFault]:
    """Every name in the rules that the city does not have, in the order of the text."""
    faults: list[RuleFault] = []
    for rule in rules:
        if rule.team not in names.teams:
            faults.append(_fault(rule.team_place, rule.team, "there is no team of this code"))
        for condition in rule.conditions:
            faults.extend(_check_condition(condition, rule, names))
    return sorted(faults, key=lambda fault: (fault.line, fault.column))


# Names


def _fault(place: Place, word: str, reason: str) -> RuleFault:
    return RuleFault(place.line, place.column, word, reason)


def _unknown(condition: Condition, known: Collection[str], reason: str) -> list[RuleFault]:
    return [_fault(place, word, reason) for word, place in condition.words() if word not in known]


def _check_condition(condition: Condition, rule: Rule, names: Vocabulary) -> list[RuleFault]:
    match condition.subject:
        case Subject.SERVICE:
            return _unknown(condition, names.services, "there is no service of this code")
        case Subject.GROUP:
            return _unknown(condition, names.groups, "there is no group of services of this code")
        case Subject.SOURCE:
            known = ", ".join(sorted(names.sources))
            return _unknown(condition, names.sources, f"there is no such source; use {known}")
        case Subject.WORDS:
            return [
                _fault(place, '""', "there is no word between the quotes")
                for word, place in condition.words()
                if not word.strip()
            ]
        case Subject.AREA:
            return _check_area(condition, names)
        case Subject.ATTRIBUTE:
            return _check_attribute(condition, rule, names)


def _check_area(condition: Condition, names: Vocabulary) -> list[RuleFault]:
    if condition.key not in names.areas:
        known = ", ".join(sorted(names.areas)) or "none"
        reason = f"there is no layer of areas of this code; there are: {known}"
        return [_fault(condition.places[0], condition.key, reason)]
    reason = f"the layer {condition.key} has no area of this code"
    return _unknown(condition, names.areas[condition.key], reason)


def _check_attribute(condition: Condition, rule: Rule, names: Vocabulary) -> list[RuleFault]:
    services = _services_of(rule, names)
    having = [code for code in services if condition.key in names.services[code]]
    place = condition.places[0]
    if not having:
        return [_fault(place, condition.key, "no service of this rule has this attribute")]
    lacking = sorted(set(services) - set(having))
    if lacking and _is_named(rule):
        reason = f"the service {lacking[0]} has no such attribute: give it a rule of its own"
        return [_fault(place, condition.key, reason)]
    attributes = [names.services[code][condition.key] for code in having]
    if condition.comparison is not Comparison.IS:
        if any(datatype != "number" for datatype, _ in attributes):
            return [_fault(place, condition.key, "only a number can be at least or at most")]
        return []
    closed = [set(values) for _, values in attributes if values]
    if len(closed) < len(attributes):
        return []
    known: set[str] = set().union(*closed)
    reason = f"the attribute has no such value; it has {', '.join(sorted(known))}"
    return _unknown(condition, known, reason)


def _is_named(rule: Rule) -> bool:
    return any(
        condition.subject is Subject.SERVICE and not condition.negated
        for condition in rule.conditions
    )


def _services_of(rule: Rule, names: Vocabulary) -> list[str]:
    """Known services that the rule names; all of them when it names none."""
    named = [
        value
        for condition in rule.conditions
        if condition.subject is Subject.SERVICE and not condition.negated
        for value in condition.values
    ]
    return [code for code in named if code in names.services] if named else list(names.services)


# Text


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with the number of its first line."""
    first, lines = 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.split("#", 1)[0] if '"' not in line else line
        if _STATEMENT.match(line) or (not lines and bare.strip()):
            if lines:
                yield first, _trimmed(lines)
            first, lines = number, [line]
        elif lines:
            lines.append(line)
    if lines:
        yield first, _trimmed(lines)


def _trimmed(lines: list[str]) -> str:
    """Without the comments and empty lines that follow, which belong to the next statement."""
    end = len(lines)
    while end and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return "\n".join(lines[:end])


def _repeated(rules: Sequence[Rule]) -> Iterator[RuleFault]:
    seen: dict[str, int] = {}
    for rule in rules:
        if rule.code in seen:
            reason = f"a rule of this name stands in line {seen[rule.code]} already"
            yield RuleFault(rule.line, 1, rule.code, reason)
        seen.setdefault(rule.code, rule.line)


@functools.cache
def _parser(kind: str) -> lark.Lark:
    return lark.Lark(GRAMMAR, parser="lalr", start=kind, maybe_placeholders=True)


def _parse_statement(kind: str, line: int, statement: str) -> Rule:
    # The parser counts lines from the start of what it gets: empty lines put it right.
    try:
        tree = _parser(kind).parse("\n" * (line - 1) + statement)
    except lark.UnexpectedToken as error:
        raise RuleSyntaxError([_syntax_fault(error, line, statement)]) from None
    except lark.UnexpectedCharacters as error:
        reason = "this character means nothing here"
        raise RuleSyntaxError([RuleFault(error.line, error.column, error.char, reason)]) from None
    return _Reader(line, statement).read(tree)


def _syntax_fault(error: lark.UnexpectedToken, line: int, statement: str) -> RuleFault:
    expected = sorted({_EXPECTED.get(name, name.lower()) for name in error.accepts or ()})
    wanted = f"expected {' or '.join(expected)}"
    if error.token.type == "$END":
        last = line + statement.count("\n")
        return RuleFault(last, len(statement.splitlines()[-1]) + 1, "", f"{wanted}; it ends here")
    return RuleFault(error.line, error.column, str(error.token), wanted)


def _place(token: lark.Token) -> Place:
    return Place(token.line or 0, token.column or 0)


def _unquoted(token: lark.Token) -> str:
    return str(token)[1:-1] if token.type == "TEXT" else str(token)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes a `Rule` of the tree of one statement."""

    line: int
    text: str

    def read(self, tree: lark.Tree[lark.Token]) -> Rule:
        if tree.data == OTHERWISE:
            code, conditions = OTHERWISE, tuple[Condition, ...]()
        else:
            code = str(tree.children[0])
            conditions = tuple(self._condition(_tree(child)) for child in tree.children[1:-1])
        actions = _tree(tree.children[-1])
        faults: list[RuleFault] = []
        found: dict[str, Any] = {}
        for node in map(_tree, actions.children):
            name = str(node.data)
            first = _first_token(node)
            if name in found:
                faults.append(_fault(_place(first), str(first), f"a second “{name}”"))
                continue
            try:
                found[name] = getattr(self, f"_{name}")(node)
            except ValueError as error:
                faults.append(_fault(_place(first), str(first), str(error)))
        if "team" not in found and not faults:
            faults.append(RuleFault(self.line, 1, code, "the rule names no team"))
        if faults:
            raise RuleSyntaxError(faults)
        team, team_place = found["team"]
        return Rule(
            code=code,
            conditions=conditions,
            team=team,
            priority=found.get("priority"),
            due=found.get("due"),
            tags=found.get("tag", ()),
            line=self.line,
            text=self.text,
            team_place=team_place,
        )

    def _condition(self, node: lark.Tree[lark.Token]) -> Condition:
        negated = node.data == "negation"
        if negated:
            node = _tree(node.children[0])
        subject = Subject(str(node.data))
        key, comparison = "", Comparison.IS
        tokens = list(node.scan_values(lambda child: isinstance(child, lark.Token)))
        places = tuple(_place(token) for token in tokens)
        if subject in (Subject.AREA, Subject.ATTRIBUTE):
            key = str(tokens.pop(0))
        if subject is Subject.ATTRIBUTE:
            comparison = Comparison(str(_tree(node.children[1]).data))
        values = tuple(_unquoted(token) for token in tokens)
        return Condition(subject, values, key, comparison, negated, places)

    def _team(self, node: lark.Tree[lark.Token]) -> tuple[str, Place]:
        token = _first_token(node)
        return str(token), _place(token)

    def _priority(self, node: lark.Tree[lark.Token]) -> int:
        word = str(_first_token(node))
        if word not in PRIORITIES:
            raise ValueError(f"a priority is one of {', '.join(PRIORITIES)}")
        return PRIORITIES[word]

    def _due(self, node: lark.Tree[lark.Token]) -> DueIn:
        amount = float(_first_token(node))
        if not 0 < amount <= 10_000:
            raise ValueError("the time must be more than 0 and at most 10000")
        working = any(isinstance(child, lark.Tree) for child in node.children)
        unit = "days" if str(node.children[-1]).startswith("day") else "hours"
        whole = int(amount) if amount.is_integer() else amount
        return DueIn(whole, unit, Clock.WORKING if working else Clock.CALENDAR)

    def _tag(self, node: lark.Tree[lark.Token]) -> tuple[str, ...]:
        tokens = node.scan_values(lambda child: isinstance(child, lark.Token))
        return tuple(_unquoted(token) for token in tokens)


def _tree(child: Any) -> lark.Tree[lark.Token]:
    if not isinstance(child, lark.Tree):
        raise TypeError(f"expected a tree, got {child!r}")
    return child


def _first_token(node: lark.Tree[lark.Token]) -> lark.Token:
    return next(node.scan_values(lambda child: isinstance(child, lark.Token)))
