"""The language of `routing.rules`: from text to typed rules, or what is wrong with it.

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
2. Each statement is parsed by the grammar below into a `Rule` of `reports.routing.rules`.

Whether the city has what a rule names is compared in `reports.routing.names`.

Pure: it reads no file and no database, and it does not decide where a report goes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lark

from reports.routing.faults import Expected, FaultCode, RuleFault, Value, fault_at, fault_of
from reports.routing.rules import (
    HOLIDAYS,
    MONTHS,
    OTHERWISE,
    PRIORITIES,
    WEEKDAYS,
    Clock,
    Comparison,
    Condition,
    DueIn,
    Place,
    Rule,
    Subject,
)

_SENTENCES = r"""
    rule: "rule" CODE "when" condition ("and" condition)* "then" actions
    otherwise: "otherwise" actions

    ?condition: test | negation
    negation: "not" test
    ?test: service | group | area | attribute | words | source | owner | hours | season | day
    service: "service" codes
    group: "group" codes
    area: "in" CODE ":" codes
    attribute: "attribute" CODE ( is | at_least | at_most )
    is: "is" codes
    at_least: "at" "least" NUMBER
    at_most: "at" "most" NUMBER
    words: "words" TEXT ("," TEXT)*
    source: "source" codes
    owner: "asset" "owner" codes
    hours: (DURING | OUTSIDE) "working" "hours"
    season: "from" NUMBER CODE "to" NUMBER CODE
    day: "on" codes

    actions: action ("and" action)*
    ?action: team | person | priority | due | tag | copy
    team: "team" CODE
    person: "person" EMAIL
    copy: "copy" "to" (CODE | EMAIL) ("," (CODE | EMAIL))*
    priority: "priority" CODE
    due: "due" "in" NUMBER working? UNIT
    working: "working"
    tag: "tag" codes

    codes: (CODE | TEXT) ("," (CODE | TEXT))*

    DURING: /during(?![\w.@+'-])/
    OUTSIDE: /outside(?![\w.@+'-])/
    UNIT: /(hours?|days?)(?![\w.@+'-])/
    NUMBER: /\d+(\.\d+)?/
    CODE: /\w[\w.-]*/
    EMAIL.2: /[\w.+'-]+@[\w-]+(\.[\w-]+)+/
    TEXT: /"[^"\n]*"/

    COMMENT: /#[^\n]*/
    %import common.WS
    %ignore WS
    %ignore COMMENT
"""


def _of_whole_words(sentences: str) -> str:
    """The same grammar, in which `"group"` is that word and not the beginning of another.

    A lexer that takes a keyword wherever its letters stand reads `groups x` as `group s x`.
    """
    words = sorted(set(_KEYWORD.findall(sentences)))
    # Not `\b`: a code may go on with a dot or a hyphen, an address with a few signs more.
    terminals = (f"    _{word.upper()}.3: /{word}(?![\\w.@+'-])/\n" for word in words)
    return _KEYWORD.sub(lambda match: f"_{match[1].upper()}", sentences) + "".join(terminals)


#: A word of the language, as the sentences quote it.
_KEYWORD = re.compile(r'"([a-z]+)"')

GRAMMAR = _of_whole_words(_SENTENCES)


_STATEMENT = re.compile(r"(rule|otherwise)(?![\w.@+'-])")

#: Of a due date, in hours or days: longer than any service level.
_LONGEST_TIME = 10_000


class RuleSyntaxError(Exception):
    """The text is not a list of rules; `faults` has every statement that is broken."""

    def __init__(self, faults: Sequence[RuleFault]) -> None:
        super().__init__(f"{len(faults)} faults, first in line {faults[0].line}")
        self.faults = tuple(faults)


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
            place = Place(line, statement.index(word) + 1)
            faults.append(fault_at(place, word, FaultCode.STRANGE_BEGINNING))
            continue
        try:
            rules.append(_parse_statement(kind[1], line, statement))
        except RuleSyntaxError as error:
            faults.extend(error.faults)
            broken_otherwise = broken_otherwise or kind[1] == OTHERWISE
    faults.extend(_repeated(rules))
    ends = [index for index, rule in enumerate(rules) if not rule.conditions]
    if not ends and not broken_otherwise:
        faults.append(fault_at(Place(last_line, 1), "", FaultCode.NO_OTHERWISE))
    faults.extend(
        fault_of(rules[index + 1], FaultCode.AFTER_OTHERWISE)
        for index in ends
        if index + 1 < len(rules)
    )
    if faults:
        raise RuleSyntaxError(sorted(faults, key=lambda fault: (fault.line, fault.column)))
    return tuple(rules)


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
            yield fault_of(rule, FaultCode.REPEATED_NAME, line=seen[rule.code])
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
        place = Place(error.line, error.column)
        fault = fault_at(place, error.char, FaultCode.STRANGE_CHARACTER)
        raise RuleSyntaxError([fault]) from None
    return _Reader(line, statement).read(tree)


def _syntax_fault(error: lark.UnexpectedToken, line: int, statement: str) -> RuleFault:
    expected = Expected(tuple(sorted(_spelled(name) for name in error.accepts or ())))
    if error.token.type == "$END":
        place = Place(line + statement.count("\n"), len(statement.splitlines()[-1]) + 1)
        return fault_at(place, "", FaultCode.UNEXPECTED_END, expected=expected)
    place = Place(error.line, error.column)
    return fault_at(place, str(error.token), FaultCode.UNEXPECTED_WORD, expected=expected)


def _spelled(terminal: str) -> str:
    """A keyword as it is written; any other terminal by its name in the grammar."""
    is_keyword = terminal.startswith("_") or terminal in ("DURING", "OUTSIDE")
    return terminal.strip("_").lower() if is_keyword else terminal


def _place(token: lark.Token) -> Place:
    return Place(token.line or 0, token.column or 0)


def _fault(token: lark.Token, code: FaultCode, /, **values: Value) -> RuleFault:
    return fault_at(_place(token), str(token), code, **values)


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
            place = Place(self.line, 1)
        else:
            name = _token(tree.children[0])
            code, place = str(name), _place(name)
            conditions = tuple(self._condition(_tree(child)) for child in tree.children[1:-1])
        actions = _tree(tree.children[-1])
        faults: list[RuleFault] = []
        found: dict[str, Any] = {}
        for node in map(_tree, actions.children):
            action = str(node.data)
            first = _first_token(node)
            if action in found:
                faults.append(_fault(first, FaultCode.REPEATED_ACTION, action=action))
                continue
            try:
                found[action] = getattr(self, f"_{action}")(node)
            except RuleSyntaxError as error:
                faults.extend(error.faults)
        if "team" not in found and not faults:
            faults.append(fault_at(place, code, FaultCode.NO_TEAM))
        if faults:
            raise RuleSyntaxError(faults)
        team, team_place = found["team"]
        person, person_place = found.get("person", (None, Place(0, 0)))
        copies, copy_places = found.get("copy", ((), ()))
        return Rule(
            code=code,
            conditions=conditions,
            team=team,
            priority=found.get("priority"),
            due=found.get("due"),
            tags=found.get("tag", ()),
            person=person,
            copies=copies,
            line=self.line,
            text=self.text,
            place=place,
            team_place=team_place,
            person_place=person_place,
            copy_places=copy_places,
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
        if subject is Subject.SEASON:
            values = (_day_of_year(*tokens[:2]), _day_of_year(*tokens[2:]))
            places = (places[0], places[2])
        if subject is Subject.DAY:
            _check_days(tokens)
        return Condition(subject, values, key, comparison, negated, places)

    def _team(self, node: lark.Tree[lark.Token]) -> tuple[str, Place]:
        token = _first_token(node)
        return str(token), _place(token)

    def _person(self, node: lark.Tree[lark.Token]) -> tuple[str, Place]:
        token = _first_token(node)
        return str(token).lower(), _place(token)

    def _copy(self, node: lark.Tree[lark.Token]) -> tuple[tuple[str, ...], tuple[Place, ...]]:
        tokens = list(node.scan_values(lambda child: isinstance(child, lark.Token)))
        names = (str(token).lower() if "@" in token else str(token) for token in tokens)
        return tuple(names), tuple(_place(token) for token in tokens)

    def _priority(self, node: lark.Tree[lark.Token]) -> int:
        word = _first_token(node)
        if str(word) not in PRIORITIES:
            fault = _fault(word, FaultCode.STRANGE_PRIORITY, known=tuple(PRIORITIES))
            raise RuleSyntaxError([fault])
        return PRIORITIES[str(word)]

    def _due(self, node: lark.Tree[lark.Token]) -> DueIn:
        word = _first_token(node)
        amount = float(word)
        if not 0 < amount <= _LONGEST_TIME:
            raise RuleSyntaxError([_fault(word, FaultCode.STRANGE_TIME, most=_LONGEST_TIME)])
        working = any(isinstance(child, lark.Tree) for child in node.children)
        unit = "days" if str(node.children[-1]).startswith("day") else "hours"
        whole = int(amount) if amount.is_integer() else amount
        return DueIn(whole, unit, Clock.WORKING if working else Clock.CALENDAR)

    def _tag(self, node: lark.Tree[lark.Token]) -> tuple[str, ...]:
        tokens = node.scan_values(lambda child: isinstance(child, lark.Token))
        return tuple(_unquoted(token) for token in tokens)


def _day_of_year(day: lark.Token, month: lark.Token) -> str:
    """A day as "MM-DD", which compares as it comes in the year.

    Raises:
        RuleSyntaxError: there is no such month, or it has no such day.
    """
    name = str(month).lower()[:3]
    if name not in MONTHS:
        raise RuleSyntaxError([_fault(month, FaultCode.STRANGE_MONTH, known=tuple(MONTHS))])
    if not str(day).isdigit() or not 1 <= int(day) <= MONTHS[name]:
        fault = _fault(day, FaultCode.STRANGE_DATE, month=name, last=MONTHS[name])
        raise RuleSyntaxError([fault])
    return f"{list(MONTHS).index(name) + 1:02}-{int(day):02}"


def _check_days(tokens: Sequence[lark.Token]) -> None:
    known = (*WEEKDAYS, HOLIDAYS)
    faults = [
        _fault(token, FaultCode.STRANGE_DAY, known=known) for token in tokens if token not in known
    ]
    if faults:
        raise RuleSyntaxError(faults)


def _tree(child: Any) -> lark.Tree[lark.Token]:
    if not isinstance(child, lark.Tree):
        raise TypeError(f"expected a tree, got {child!r}")
    return child


def _token(child: Any) -> lark.Token:
    if not isinstance(child, lark.Token):
        raise TypeError(f"expected a token, got {child!r}")
    return child


def _first_token(node: lark.Tree[lark.Token]) -> lark.Token:
    return next(node.scan_values(lambda child: isinstance(child, lark.Token)))
