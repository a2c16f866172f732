"""Has the city what its routing rules name? Services, groups, areas, teams, attributes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from core.text import fold
from reports.routing.faults import FaultCode, RuleFault, Value, fault_at
from reports.routing.rules import Comparison, Condition, Rule, Subject


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
            faults.append(fault_at(rule.team_place, rule.team, FaultCode.UNKNOWN_TEAM))
        if rule.person and names.people is not None and rule.person not in names.people:
            faults.append(fault_at(rule.person_place, rule.person, FaultCode.UNKNOWN_PERSON))
        faults.extend(
            fault_at(place, copy, FaultCode.UNKNOWN_COPY)
            for copy, place in zip(rule.copies, rule.copy_places, strict=True)
            if "@" not in copy and copy not in names.teams
        )
        for condition in rule.conditions:
            faults.extend(_check_condition(condition, rule, names))
    return sorted(faults, key=lambda fault: (fault.line, fault.column))


def _unknown(
    condition: Condition, known: Collection[str], code: FaultCode, /, **values: Value
) -> list[RuleFault]:
    return [
        fault_at(place, word, code, **values)
        for word, place in condition.words()
        if word not in known
    ]


def _check_condition(condition: Condition, rule: Rule, names: Vocabulary) -> list[RuleFault]:
    match condition.subject:
        case Subject.SERVICE:
            return _unknown(condition, names.services, FaultCode.UNKNOWN_SERVICE)
        case Subject.GROUP:
            return _unknown(condition, names.groups, FaultCode.UNKNOWN_GROUP)
        case Subject.SOURCE:
            known = tuple(sorted(names.sources))
            return _unknown(condition, names.sources, FaultCode.UNKNOWN_SOURCE, known=known)
        case Subject.OWNER:
            return _unknown(condition, names.teams, FaultCode.UNKNOWN_TEAM)
        case Subject.HOURS | Subject.SEASON | Subject.DAY:
            return []
        case Subject.WORDS:
            return [
                fault_at(place, '""', FaultCode.NO_WORD)
                for word, place in condition.words()
                if not fold(word)
            ]
        case Subject.AREA:
            return _check_area(condition, names)
        case Subject.ATTRIBUTE:
            return _check_attribute(condition, rule, names)


def _check_area(condition: Condition, names: Vocabulary) -> list[RuleFault]:
    if condition.key not in names.areas:
        known = tuple(sorted(names.areas))
        place = condition.places[0]
        return [fault_at(place, condition.key, FaultCode.UNKNOWN_LAYER, known=known)]
    areas = names.areas[condition.key]
    return _unknown(condition, areas, FaultCode.UNKNOWN_AREA, layer=condition.key)


def _check_attribute(condition: Condition, rule: Rule, names: Vocabulary) -> list[RuleFault]:
    services = _services_of(rule, names)
    having = [code for code in services if condition.key in names.services[code]]
    place = condition.places[0]
    if not having:
        return [fault_at(place, condition.key, FaultCode.UNKNOWN_ATTRIBUTE)]
    lacking = sorted(set(services) - set(having))
    if lacking and _is_named(rule):
        return [fault_at(place, condition.key, FaultCode.UNSHARED_ATTRIBUTE, service=lacking[0])]
    attributes = [names.services[code][condition.key] for code in having]
    if condition.comparison is not Comparison.IS:
        if any(datatype != "number" for datatype, _ in attributes):
            return [fault_at(place, condition.key, FaultCode.NOT_A_NUMBER)]
        return []
    closed = [set(values) for _, values in attributes if values]
    if len(closed) < len(attributes):
        return []
    known: set[str] = set().union(*closed)
    return _unknown(condition, known, FaultCode.UNKNOWN_VALUE, known=tuple(sorted(known)))


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
