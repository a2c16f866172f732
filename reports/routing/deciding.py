"""Which team gets a report, why, and until when.

1. `plan` reads a jurisdiction's rules, teams and calendars once per version of the city.
2. `decide` is the rule itself, without any input or output: the first rule whose conditions all
   hold wins; the answer says which, why, and which would have been next.
3. `due_for` says until when, by the calendar of the team.

`reports.triage` stores the answer. A team that a person chose is final: no rule ever takes a report
from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Team
from core.db import Executor
from core.kept import Kept
from core.text import fold
from geo.jurisdictions import JurisdictionRef
from reports.catalogue import Catalogue, ServiceEntry
from reports.routing.rules import (
    DURING,
    HOLIDAYS,
    OUTSIDE,
    WEEKDAYS,
    Comparison,
    Condition,
    Rule,
    Subject,
    from_data,
    without_addresses,
)
from reports.service_levels import RestlessError, ServiceLevel, WorkCalendar, due_at

#: `routed_by` of a report that a rule sent; a person is final.
BY_RULE, BY_PERSON = "rule", "person"


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules may look at.

    Attributes:
        areas: pairs of layer and code.
        words: folded, between two spaces.
        owner: code of the team that owns the asset the report is about.
        is_working: whether it came in the city's office hours.
        days: the weekday on which it came, and `holidays` on a public holiday or a closed day.
        day_of_year: that day as "MM-DD".
    """

    service_code: str
    group: str
    source: str
    areas: frozenset[tuple[str, str]] = frozenset()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""
    owner: str | None = None
    is_working: bool = True
    days: frozenset[str] = frozenset()
    day_of_year: str = ""


@dataclass(frozen=True, slots=True)
class RoutingPlan:
    """The rules of a jurisdiction with the teams they name, at one version of the city."""

    rules: tuple[Rule, ...]
    teams: Mapping[str, int]
    calendars: Mapping[int, WorkCalendar]
    usual: WorkCalendar
    areas: Mapping[int, tuple[str, str]] = field(default_factory=dict)

    @property
    def people(self) -> frozenset[str]:
        """The addresses of those whom a rule gives reports to."""
        return frozenset(rule.person for rule in self.rules if rule.person)

    @property
    def asks_owners(self) -> bool:
        """Whether a rule looks at the owner of an asset."""
        return any(
            condition.subject is Subject.OWNER
            for rule in self.rules
            for condition in rule.conditions
        )

    def copies_of(self, code: str) -> tuple[str, ...]:
        """Codes of teams and addresses that the rule of that code tells of its reports."""
        return next((rule.copies for rule in self.rules if rule.code == code), ())

    def calendar_of(self, team_id: int | None) -> WorkCalendar:
        """When that team works; usual office hours where there is no team."""
        return self.usual if team_id is None else self.calendars.get(team_id, self.usual)


@dataclass(frozen=True, slots=True)
class Routing:
    """Where a report goes. `explanation` is what is stored: codes and the city's own words.

    Attributes:
        person: the address of the member of staff whom the rule gives it to, if any.
    """

    team_id: int | None
    priority: int | None
    service_level: ServiceLevel | None
    explanation: Mapping[str, Any]
    person: str | None = None


class AssetOwners(Protocol):
    """What routing asks of the register of assets; `create_app` binds who answers."""

    def owners(self, session: Executor, asset_ids: Collection[UUID]) -> Mapping[UUID, str]:
        """The code of the team that owns each of these assets, where one does."""


_kept: Kept[RoutingPlan] = Kept()


def plan(session: Session, catalogue: Catalogue) -> RoutingPlan:
    """The routing plan of a catalogue; one statement when the city changed, else none."""
    return _kept.get(catalogue.place.id, catalogue, lambda: _read(session, catalogue))


def decide(table: RoutingPlan, facts: Facts) -> Routing:
    """The first rule that fits, with its explanation.

    A rule whose team is gone does not fit: the next one does. Without any, the report has no team
    and stands in the queue of reports that nobody has.
    """
    fitting = _fitting(table, facts)
    first = next(fitting, None)
    if first is None:
        return Routing(None, None, None, {"rule": None, "why": [], "next": None})
    rule, why = first
    second = next(fitting, None)
    explanation = {
        "rule": rule.code,
        "position": rule.line,
        # Addresses stay in the rules: what stands with a report is kept for ever.
        "text": without_addresses(rule.text),
        "team": rule.team,
        "why": why,
        "priority": rule.priority,
        "tags": list(rule.tags),
        **({"copies": len(rule.copies)} if rule.copies else {}),
        "next": second
        and {"rule": second[0].code, "position": second[0].line, "team": second[0].team},
    }
    level = rule.due and ServiceLevel.from_data(rule.due.as_service_level())
    return Routing(table.teams[rule.team], rule.priority, level or None, explanation, rule.person)


def due_for(
    table: RoutingPlan,
    service: ServiceEntry,
    routing: Routing,
    *,
    team_id: int | None,
    requested_at: datetime,
    priority: int,
) -> datetime | None:
    """When the report is due: by its rule if that says so, else by its service and priority."""
    calendar = table.calendar_of(team_id)
    try:
        if routing.service_level is not None:
            return due_at(routing.service_level, requested_at, calendar)
        level = ServiceLevel.from_data(service.service_level)
        return None if level is None else due_at(level, requested_at, calendar, priority=priority)
    except RestlessError:
        # A team that never works promises nothing; the city folder's check warns about it.
        return None


def facts_of(
    table: RoutingPlan,
    service: ServiceEntry,
    *,
    source: str,
    areas: Sequence[int] | None,
    attributes: Mapping[str, Any],
    description: str,
    requested_at: datetime,
    owner: str | None = None,
) -> Facts:
    """What rules may look at of a stored report."""
    is_working, days, day_of_year = time_facts(table.usual, requested_at)
    return Facts(
        service_code=service.code,
        group=service.group,
        source=source,
        areas=frozenset(table.areas[id_] for id_ in areas or () if id_ in table.areas),
        attributes=attributes,
        words=f" {fold(description)} ",
        owner=owner,
        is_working=is_working,
        days=days,
        day_of_year=day_of_year,
    )


def time_facts(calendar: WorkCalendar, at: datetime) -> tuple[bool, frozenset[str], str]:
    """Of an instant: whether it lies in working hours, which days it is, and its "MM-DD"."""
    day = calendar.local_day(at)
    is_working = any(opens <= at < closes for opens, closes in calendar.stretches(day))
    days = {WEEKDAYS[day.weekday()]}
    if day in calendar.holidays:
        days.add(HOLIDAYS)
    return is_working, frozenset(days), f"{day:%m-%d}"


def forget() -> None:
    """Drop what is kept in memory; for tests, whose database goes back in time."""
    _kept.forget()


def closed_days_of(place: JurisdictionRef) -> frozenset[date]:
    """The days on which the city itself is closed, beside public holidays."""
    days = place.policy.get("closed_days") or ()
    return frozenset(date.fromisoformat(day["date"]) for day in days)


def _read(session: Session, catalogue: Catalogue) -> RoutingPlan:
    place = catalogue.place
    closed = closed_days_of(place)

    def calendar(data: Mapping[str, Any]) -> WorkCalendar:
        return WorkCalendar.from_data(
            data,
            time_zone=place.time_zone.key,
            country=place.country,
            subdivision=place.subdivision,
            closed_days=closed,
        )

    teams = session.execute(
        sa.select(Team.id, Team.code, Team.calendar, Team.is_active).where(
            Team.jurisdiction_id == place.id
        )
    ).all()
    return RoutingPlan(
        rules=tuple(
            from_data(stored.rule, text=stored.text, line=stored.position)
            for stored in catalogue.rules
        ),
        teams={team.code: team.id for team in teams if team.is_active},
        calendars={team.id: calendar(team.calendar) for team in teams},
        usual=calendar({}),
        areas={area.id: (area.layer, area.code) for area in place.areas.refs},
    )


def _fitting(table: RoutingPlan, facts: Facts) -> Iterator[tuple[Rule, list[dict[str, Any]]]]:
    """The rules that fit, in order, each with what made it fit."""
    for rule in table.rules:
        if rule.team in table.teams:
            why = _why(rule, facts)
            if why is not None:
                yield rule, why


def _why(rule: Rule, facts: Facts) -> list[dict[str, Any]] | None:
    """What made every condition hold; None when one does not."""
    reasons = []
    for condition in rule.conditions:
        matched = _matched(condition, facts)
        if bool(matched) is condition.negated:
            return None
        reasons.append(
            {
                "subject": condition.subject.value,
                **({"key": condition.key} if condition.key else {}),
                **({"not": True} if condition.negated else {}),
                "values": matched or list(condition.values),
            }
        )
    return reasons


def _matched(condition: Condition, facts: Facts) -> list[str]:
    """Those of the condition's values that hold."""
    match condition.subject:
        case Subject.SERVICE:
            return [value for value in condition.values if value == facts.service_code]
        case Subject.GROUP:
            return [value for value in condition.values if value == facts.group]
        case Subject.SOURCE:
            return [value for value in condition.values if value == facts.source]
        case Subject.AREA:
            return [value for value in condition.values if (condition.key, value) in facts.areas]
        case Subject.OWNER:
            return [value for value in condition.values if value == facts.owner]
        case Subject.HOURS:
            wanted = DURING if facts.is_working else OUTSIDE
            return [value for value in condition.values if value == wanted]
        case Subject.SEASON:
            first, last = condition.values
            inside = (
                first <= facts.day_of_year <= last
                if first <= last
                # From November to March: over the turn of the year.
                else facts.day_of_year >= first or facts.day_of_year <= last
            )
            return list(condition.values) if inside else []
        case Subject.DAY:
            return [value for value in condition.values if value in facts.days]
        case Subject.WORDS:
            return [value for value in condition.values if f" {fold(value)} " in facts.words]
        case Subject.ATTRIBUTE:
            return _matched_attribute(condition, facts.attributes.get(condition.key))


def _matched_attribute(condition: Condition, answer: Any) -> list[str]:
    if answer is None:
        return []
    if condition.comparison is Comparison.IS:
        answers = {str(item) for item in (answer if isinstance(answer, list) else [answer])}
        return [value for value in condition.values if value in answers]
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return []
    limit = float(condition.values[0])
    is_within = answer >= limit if condition.comparison is Comparison.AT_LEAST else answer <= limit
    return [condition.values[0]] if is_within else []
