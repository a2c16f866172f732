"""Rules tried on the reports of a city, before anybody puts them in force. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Team
from core.text import fold
from reports.case_files import PastCase
from reports.catalogue import Catalogue, ServiceEntry
from reports.models import ServiceRequest
from reports.routing import deciding
from reports.routing.deciding import BY_PERSON, AssetOwners, RoutingPlan
from reports.routing.past import Past, source_of
from reports.routing.rules import Rule
from reports.routing.trying import Trial, Tried, compare

#: Reports that rules are tried on at most, the newest ones: an answer of a second or two.
MOST_REPORTS = 20_000


def with_rules(plan: RoutingPlan, rules: Sequence[Rule]) -> RoutingPlan:
    """The same city with other rules."""
    return replace(plan, rules=tuple(rules))


def on_reports(
    session: Session,
    catalogue: Catalogue,
    rules: Sequence[Rule],
    *,
    since: datetime,
    assets: AssetOwners | None = None,
    limit: int = MOST_REPORTS,
) -> Trial:
    """What the rules would move of the reports that came since."""
    plan = deciding.plan(session, catalogue)
    new = with_rules(plan, rules)
    columns = (
        ServiceRequest.number,
        ServiceRequest.service_id,
        ServiceRequest.source,
        ServiceRequest.areas,
        ServiceRequest.attributes,
        ServiceRequest.description,
        ServiceRequest.requested_at,
        ServiceRequest.routed_by,
        ServiceRequest.asset_id,
    )
    rows = session.execute(
        sa.select(*columns)
        .where(
            ServiceRequest.jurisdiction_id == catalogue.place.id,
            ServiceRequest.requested_at >= since,
            ServiceRequest.parent_id.is_(None),
        )
        .order_by(ServiceRequest.requested_at.desc(), ServiceRequest.id.desc())
        .limit(limit)
    ).all()
    asked = {row.asset_id for row in rows if row.asset_id is not None}
    knows = assets is not None and asked and (plan.asks_owners or new.asks_owners)
    owners = assets.owners(session, asked) if assets is not None and knows else {}
    tried = (
        Tried(
            name=str(row.number),
            facts=deciding.facts_of(
                plan,
                catalogue.by_id[row.service_id],
                source=row.source,
                areas=row.areas,
                attributes=row.attributes,
                description=row.description,
                requested_at=row.requested_at,
                owner=owners.get(row.asset_id),
            ),
            is_persons=row.routed_by == BY_PERSON,
        )
        for row in rows
    )
    return compare(tried, plan, new)


def on_cases(
    session: Session, catalogue: Catalogue, rules: Sequence[Rule], cases: Sequence[PastCase]
) -> tuple[Trial, int]:
    """What they would move of the cases of a file, and how many are of no service of the city."""
    plan = deciding.plan(session, catalogue)
    services = services_by_name(catalogue)
    known = [case for case in cases if fold(case.type) in services]
    tried = [
        Tried(case.id, facts_of_case(plan, catalogue, services[fold(case.type)], case))
        for case in known
    ]
    return compare(tried, plan, with_rules(plan, rules)), len(cases) - len(known)


def services_by_name(catalogue: Catalogue) -> dict[str, ServiceEntry]:
    """The services that can be asked for, by their names in every language and by their codes."""
    found: dict[str, ServiceEntry] = {}
    for service in catalogue.offered():
        for name in (service.code, *service.names.values()):
            found.setdefault(fold(name), service)
    return found


def facts_of_case(
    plan: RoutingPlan, catalogue: Catalogue, service: ServiceEntry, case: PastCase
) -> deciding.Facts:
    """What rules may look at of a past case in this city: its areas by polygon."""
    inside = catalogue.place.areas.containing([case.point])[0] if case.point is not None else ()
    return deciding.facts_of(
        plan,
        service,
        source=source_of(case.source),
        areas=[area.id for area in inside],
        attributes={},
        description=case.description,
        requested_at=case.opened_at,
    )


@dataclass(frozen=True, slots=True)
class CityHistory:
    """The cases of a file in the codes of a city, and the names that the city does not have."""

    cases: Sequence[Past]
    unknown_services: Sequence[str]
    unknown_teams: Sequence[str]


def history_of(session: Session, catalogue: Catalogue, cases: Sequence[PastCase]) -> CityHistory:
    """A file's cases as this city's rules see them: its services, teams, and areas by polygon.

    A team is known by its code or its name in any language. Cases of unknown services or teams are
    left out: a rule could not name them.
    """
    services = services_by_name(catalogue)
    teams: dict[str, str] = {}
    for code, names in session.execute(
        sa.select(Team.code, Team.names).where(
            Team.jurisdiction_id == catalogue.place.id, Team.is_active
        )
    ):
        for name in (code, *names.values()):
            teams.setdefault(fold(name), code)
    points = [case.point for case in cases if case.point is not None]
    inside = iter(catalogue.place.areas.containing(points))
    found: list[Past] = []
    strange_services: set[str] = set()
    strange_teams: set[str] = set()
    for case in cases:
        areas = next(inside) if case.point is not None else ()
        service, team = services.get(fold(case.type)), teams.get(fold(case.queue))
        if service is None:
            strange_services.add(case.type)
        if team is None and case.queue:
            strange_teams.add(case.queue)
        if service is not None and (team is not None or not case.queue):
            found.append(
                Past(
                    id=case.id,
                    service=service.code,
                    group=service.group,
                    source=source_of(case.source),
                    at=case.opened_at,
                    point=case.point,
                    # Of a position on an edge the first area by its code.
                    areas={area.layer: area.code for area in reversed(areas)},
                    description=case.description,
                    team=team or "",
                    due_at=case.due_at,
                )
            )
    return CityHistory(found, sorted(strange_services), sorted(strange_teams))


def days_before(now: datetime, days: int) -> datetime:
    """The instant so many days ago."""
    return now - timedelta(days=days)
