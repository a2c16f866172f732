"""Has the city what its routing rules name? Services, groups, areas, teams, attributes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from core.text import fold
from reports.routing.rules import Comparison, Condition, Rule, RuleFault, Subject, fault_at


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that rules may use.

    Attributes:
        services: service code → its attributes, attribute code → (datatype, allowed values).
        areas: layer → codes.
        people: e-mail addresses of those who work on reports; None where nobody knows, as in a
            folder that no city was made of yet.
    """

    services: Mapping[str, Mapping[str, tuple[str, Collection[str]]]]
    groups: Collection[str]
    areas: Mapping[str, Collection[str]]
    teams: Collection[str]
    sources: Collection[str]
    people: Collection[str] | None = None


def check(rules: Sequence[Rule], names: Vocabulary) -> list[RuleFault]:
    """Every name in the rules that the city does not have, in the order of the text."""
    faults: list[RuleFault] = []
    for rule in rules:
        if rule.team not in names.teams:
            faults.append(fault_at(rule.team_place, rule.team, "there is no team of this code"))
        if rule.person and names.people is not None and rule.person not in names.people:
            reason = "nobody of that address works on reports here"
            faults.append(fault_at(rule.person_place, rule.person, reason))
        faults.extend(
            fault_at(place, copy, "there is no team of this code, and it is no e-mail address")
            for copy, place in zip(rule.copies, rule.copy_places, strict=True)
            if "@" not in copy and copy not in names.teams
        )
        for condition in rule.conditions:
            faults.extend(_check_condition(condition, rule, names))
    return sorted(faults, key=lambda fault: (fault.line, fault.column))


def _unknown(condition: Condition, known: Collection[str], reason: str) -> list[RuleFault]:
    return [fault_at(place, word, reason) for word, place in condition.words() if word not in known]


def _check_condition(condition: Condition, rule: Rule, names: Vocabulary) -> list[RuleFault]:
    match condition.subject:
        case Subject.SERVICE:
            return _unknown(condition, names.services, "there is no service of this code")
        case Subject.GROUP:
            return _unknown(condition, names.groups, "there is no group of services of this code")
        case Subject.SOURCE:
            known = ", ".join(sorted(names.sources))
            return _unknown(condition, names.sources, f"there is no such source; use {known}")
        case Subject.OWNER:
            return _unknown(condition, names.teams, "there is no team of this code")
        case Subject.HOURS | Subject.SEASON | Subject.DAY:
            return []
        case Subject.WORDS:
            return [
                fault_at(place, '""', "there is no word between the quotes")
                for word, place in condition.words()
                if not fold(word)
            ]
        case Subject.AREA:
            return _check_area(condition, names)
        case Subject.ATTRIBUTE:
            return _check_attribute(condition, rule, names)


def _check_area(condition: Condition, names: Vocabulary) -> list[RuleFault]:
    if condition.key not in names.areas:
        known = ", ".join(sorted(names.areas)) or "none"
        reason = f"there is no layer of areas of this code; there are: {known}"
        return [fault_at(condition.places[0], condition.key, reason)]
    reason = f"the layer {condition.key} has no area of this code"
    return _unknown(condition, names.areas[condition.key], reason)


def _check_attribute(condition: Condition, rule: Rule, names: Vocabulary) -> list[RuleFault]:
    services = _services_of(rule, names)
    having = [code for code in services if condition.key in names.services[code]]
    place = condition.places[0]
    if not having:
        return [fault_at(place, condition.key, "no service of this rule has this attribute")]
    lacking = sorted(set(services) - set(having))
    if lacking and _is_named(rule):
        reason = f"the service {lacking[0]} has no such attribute: give it a rule of its own"
        return [fault_at(place, condition.key, reason)]
    attributes = [names.services[code][condition.key] for code in having]
    if condition.comparison is not Comparison.IS:
        if any(datatype != "number" for datatype, _ in attributes):
            return [fault_at(place, condition.key, "only a number can be at least or at most")]
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
