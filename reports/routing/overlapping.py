"""Rules that never apply, and rules that get in one another's way. Pure.

1. A rule that contradicts itself fits no report.
2. A rule is unreachable when every report that it fits is caught by an earlier rule. Rules with
   several services or areas are looked at one by one, so that several earlier rules together count.
3. Two rules overlap when some reports fit both and neither is a special case of the other: which
   one gets those depends on the order alone, and that is easily an accident. A special case before
   the general rule is what an order is for, and is not told.

What a rule says of words or of numbers is compared as far as it can be from the text alone; where
nothing can be said for certain, nothing is said.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from core.text import fold
from reports.routing.faults import Earlier, FaultCode, RuleFault, Shared, fault_of
from reports.routing.rules import Comparison, Condition, Rule, Subject

#: Single cases of one rule that are looked at; of longer rules only the whole.
_MOST_CASES = 4_000

#: Subjects of which a report has one value only: two that differ exclude one another.
_SINGLE = (Subject.SERVICE, Subject.GROUP, Subject.SOURCE, Subject.OWNER, Subject.HOURS)

#: Of which the values of a condition may be looked at one by one.
_SPLIT = (*_SINGLE, Subject.AREA, Subject.WORDS)


def warnings(rules: Sequence[Rule], group_of: Mapping[str, str]) -> list[RuleFault]:
    """What a careful reader would remark on, in the order of the text.

    Args:
        group_of: service code → its group.
    """
    found: list[RuleFault] = []
    for index, rule in enumerate(rules):
        if _contradicts(rule, group_of):
            found.append(fault_of(rule, FaultCode.CONTRADICTS))
            continue
        earlier = rules[:index]
        catching = _catching(rule, earlier, group_of)
        if catching:
            named = Earlier(tuple((other.code, other.line) for other in catching))
            found.append(fault_of(rule, FaultCode.NEVER_APPLIES, rules=named))
            continue
        found.extend(
            fault_of(
                rule,
                FaultCode.OVERLAPS,
                rule=other.code,
                line=other.line,
                shared=_shared(other, rule),
            )
            for other in earlier
            if _overlap(other, rule, group_of) and not _same_actions(other, rule)
        )
    return found


def _contradicts(rule: Rule, group_of: Mapping[str, str]) -> bool:
    """Whether two conditions of the rule exclude one another for certain."""
    known = [*rule.conditions, *_groups(rule.conditions, group_of)]
    return any(
        _exclude(one, other)
        for one, other in itertools.combinations(known, 2)
        if (one.subject, one.key) == (other.subject, other.key)
        # Areas of a layer may overlap, and an attribute may have several values.
        and (
            one.subject in _SINGLE
            or one.negated is not other.negated
            or one.comparison is not other.comparison
        )
    )


def _catching(rule: Rule, earlier: Sequence[Rule], group_of: Mapping[str, str]) -> list[Rule]:
    """The earlier rules that leave nothing to this one; none if something is left."""
    if not rule.conditions:
        return []
    catching: list[Rule] = []
    for single in _cases(rule):
        first = next((other for other in earlier if _implies(single, other, group_of)), None)
        if first is None:
            return []
        if first not in catching:
            catching.append(first)
    return catching


def _cases(rule: Rule) -> Iterator[tuple[Condition, ...]]:
    """The conditions of a rule, one value of each that has several."""
    count = 1
    parts: list[list[Condition]] = []
    for condition in rule.conditions:
        if condition.subject in _SPLIT and not condition.negated:
            count *= len(condition.values)
            parts.append(
                [replace(condition, values=(value,), places=()) for value in condition.values]
            )
        else:
            parts.append([condition])
    return itertools.product(*parts) if count <= _MOST_CASES else iter([rule.conditions])


def _implies(given: Sequence[Condition], other: Rule, group_of: Mapping[str, str]) -> bool:
    """Whether a report of which `given` holds fits the other rule for certain."""
    known = [*given, *_groups(given, group_of)]
    return all(any(_follows(one, wanted) for one in known) for wanted in other.conditions)


def _groups(given: Iterable[Condition], group_of: Mapping[str, str]) -> Iterator[Condition]:
    """The groups that follow from the services named."""
    for condition in given:
        if condition.subject is Subject.SERVICE and not condition.negated:
            groups = {group_of.get(service, "") for service in condition.values}
            if "" not in groups:
                yield Condition(Subject.GROUP, tuple(sorted(groups)))


def _follows(given: Condition, wanted: Condition) -> bool:
    """Whether the wanted condition holds wherever the given one does."""
    if (given.subject, given.key) != (wanted.subject, wanted.key):
        return False
    if given.negated != wanted.negated:
        # Not of this value, because it is of another one: where there is one value only.
        apart = not set(given.values) & set(wanted.values)
        return wanted.negated and apart and given.subject in _SINGLE
    if given.negated:
        return given.comparison is wanted.comparison and _all_are(wanted, given)
    if given.comparison is not wanted.comparison:
        return False
    if given.comparison is Comparison.AT_LEAST:
        return float(given.values[0]) >= float(wanted.values[0])
    if given.comparison is Comparison.AT_MOST:
        return float(given.values[0]) <= float(wanted.values[0])
    return _all_are(given, wanted)


def _is_within(season: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one stretch of the year lies in the other; both may go over New Year."""
    (first, last), (other_first, other_last) = season, other
    if other_first <= other_last:
        return other_first <= first <= last <= other_last
    if first <= last:
        return first >= other_first or last <= other_last
    return first >= other_first and last <= other_last


def _all_are(given: Condition, wanted: Condition) -> bool:
    """Whether each value of the one condition is, or says, one of the other's."""
    if given.subject is Subject.SEASON:
        return _is_within(given.values, wanted.values)
    if given.subject is not Subject.WORDS:
        return set(given.values) <= set(wanted.values)
    # As they are looked for: folded, and whoever writes "gas leak" has written "leak".
    sought = [f" {fold(value)} " for value in wanted.values]
    return all(any(words in f" {fold(value)} " for words in sought) for value in given.values)


def _overlap(first: Rule, second: Rule, group_of: Mapping[str, str]) -> bool:
    """Whether some reports may fit both and neither is a special case of the other."""
    if not first.conditions or not second.conditions:
        return False
    # On what both name, one that asks more than the other is a special case of it.
    narrow, narrow_other = _narrowed(first, second), _narrowed(second, first)
    if _implies(narrow, second, group_of) or _implies(narrow_other, first, group_of):
        return False
    ours = [*first.conditions, *_groups(first.conditions, group_of)]
    theirs = [*second.conditions, *_groups(second.conditions, group_of)]
    # Something both speak of must be shared: rules of different things meet everywhere.
    shared = False
    for one, other in itertools.product(ours, theirs):
        if (one.subject, one.key) != (other.subject, other.key):
            continue
        if _exclude(one, other):
            return False
        shared = shared or one.subject in (Subject.SERVICE, Subject.GROUP)
    return shared


def _narrowed(rule: Rule, other: Rule) -> list[Condition]:
    """The conditions of a rule, of services, groups and sources only those the other names too."""
    named = {
        condition.subject: condition.values
        for condition in other.conditions
        if condition.subject in _SINGLE and not condition.negated
    }
    narrowed = []
    for condition in rule.conditions:
        common = tuple(
            value for value in condition.values if value in named.get(condition.subject, ())
        )
        if common and not condition.negated:
            condition = replace(condition, values=common, places=())
        narrowed.append(condition)
    return narrowed


def _exclude(one: Condition, other: Condition) -> bool:
    """Whether no report can fit both."""
    common = set(one.values) & set(other.values)
    if one.negated and other.negated:
        return False
    if one.negated or other.negated:
        bare, negated = (other, one) if one.negated else (one, other)
        return bare.comparison is Comparison.IS and _all_are(bare, negated)
    if Comparison.IS is one.comparison is other.comparison and one.subject in _SINGLE:
        return not common
    if {one.comparison, other.comparison} == {Comparison.AT_LEAST, Comparison.AT_MOST}:
        least, most = (one, other) if one.comparison is Comparison.AT_LEAST else (other, one)
        return float(least.values[0]) > float(most.values[0])
    # A position lies in one area of a layer, as a rule; two that overlap are the city's to know.
    return (
        one.subject in (Subject.AREA, Subject.ATTRIBUTE)
        and not common
        and (one.comparison is other.comparison)
    )


def _same_actions(one: Rule, other: Rule) -> bool:
    return (one.team, one.priority, one.due, one.person) == (
        other.team,
        other.priority,
        other.due,
        other.person,
    )


def _shared(one: Rule, other: Rule) -> Shared:
    """The services and areas that both name."""
    parts = []
    for first, second in itertools.product(one.conditions, other.conditions):
        if (first.subject, first.key) == (second.subject, second.key) and not (
            first.negated or second.negated
        ):
            common = tuple(value for value in first.values if value in second.values)
            if common:
                parts.append((first.subject, first.key, common))
    return Shared(tuple(parts))
