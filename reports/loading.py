"""The catalogue of services and the routing rules of a city folder, brought into the database.

Reads no file: `app.city` has read and checked the folder. A service that left the folder and that
requests still name becomes inactive: it is listed no more, and its requests keep their service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.changes import Changes, assign
from reports import numbering
from reports.models import RoutingRule, Service, ServiceRequest
from reports.routing.rules import Rule
from reports.vocabulary import Recurrence, ServiceKind

#: For so many days after its repair a problem that is told again is the same one coming back.
RECURRENCE_DAYS = 30

#: From 5 people on a report is of high priority, from 20 on urgent.
EVIDENCE_PRIORITY = ((5, 1), (20, 2))


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service of a city folder; the fields are those of `reports.models.Service`.

    Attributes:
        keywords: locale → words that people use for it.
        attributes: the service definition, in order; each has `code`, `datatype`, `required`,
            `variable` (false: it informs and takes no answer), `order`, `descriptions` (locale →
            text) and `values` (list of `key` and `names`).
        service_level: `{hours, clock}` or `{working_days}`, with `cut_off` "HH:MM"; empty: none.
        retention: `contacts_days` and `photos_days`; what is not said is the default.
        duplicate_join_at, duplicate_suggest_at: from which likelihood on a report is joined without
            asking, or shown to staff; None: as the model says.
        recurrence, recurrence_days: what becomes of a problem that is told again after its repair.
        evidence_priority: pairs of how many people tell of it and how urgent that makes it.
        volunteers_resolve: whoever looks after the asset may say that it is done.
        emergency: `{phone, text: locale → words}`, for what must not be filed.
    """

    code: str
    group: str
    group_names: Mapping[str, str]
    names: Mapping[str, str]
    descriptions: Mapping[str, str]
    keywords: Mapping[str, Sequence[str]]
    kind: ServiceKind
    attributes: Sequence[Mapping[str, Any]]
    family: str
    duplicate_radius_m: float
    duplicate_days: float
    service_level: Mapping[str, Any]
    reopen_days: int
    close_after_days: int
    volunteers_resolve: bool = False
    public_precision: str = "exact"
    moderation: str = "none"
    retention: Mapping[str, int] = field(default_factory=dict)
    emergency: Mapping[str, Any] | None = None
    recurrence: Recurrence = Recurrence.NEW
    recurrence_days: int = RECURRENCE_DAYS
    evidence_priority: Sequence[tuple[int, int]] = EVIDENCE_PRIORITY
    duplicate_join_at: float | None = None
    duplicate_suggest_at: float | None = None


def load_services(session: Session, jurisdiction_id: int, specs: Sequence[ServiceSpec]) -> Changes:
    """Make the jurisdiction's catalogue that of `specs`, in the caller's transaction."""
    numbering.ensure(session, jurisdiction_id)
    rows = {
        service.code: service
        for service in session.scalars(
            sa.select(Service).where(Service.jurisdiction_id == jurisdiction_id)
        )
    }
    created = updated = unchanged = 0
    for position, spec in enumerate(specs, start=1):
        values = _columns(spec, position)
        row = rows.pop(spec.code, None)
        if row is None:
            session.add(Service(jurisdiction_id=jurisdiction_id, code=spec.code, **values))
            created += 1
        elif assign(row, values):
            updated += 1
        else:
            unchanged += 1
    retired = _retire(session, list(rows.values()))
    session.flush()
    return Changes(created, updated, retired, unchanged)


def add_services(session: Session, jurisdiction_id: int, specs: Sequence[ServiceSpec]) -> None:
    """Put services at the end of the catalogue and leave the others alone.

    In the caller's transaction, who also moves the version of the jurisdiction.
    """
    numbering.ensure(session, jurisdiction_id)
    last = session.scalar(
        sa.select(sa.func.max(Service.position)).where(Service.jurisdiction_id == jurisdiction_id)
    )
    session.add_all(
        Service(jurisdiction_id=jurisdiction_id, code=spec.code, **_columns(spec, position))
        for position, spec in enumerate(specs, start=(last or 0) + 1)
    )
    session.flush()


def load_routing_rules(session: Session, jurisdiction_id: int, rules: Sequence[Rule]) -> Changes:
    """Make the jurisdiction's routing rules those of `rules`, in the caller's transaction.

    Rules are stored anew as soon as one of them, or their order, is different: what they decided
    is kept with each request, not here.
    """
    rows = session.scalars(
        sa.select(RoutingRule)
        .where(RoutingRule.jurisdiction_id == jurisdiction_id)
        .order_by(RoutingRule.position)
    ).all()
    before = {row.rule["code"]: (row.position, row.text, row.rule) for row in rows}
    after = {
        rule.code: (position, rule.text, rule.as_data())
        for position, rule in enumerate(rules, start=1)
    }
    unchanged = sum(before.get(code) == value for code, value in after.items())
    if before != after:
        session.execute(
            sa.delete(RoutingRule).where(RoutingRule.jurisdiction_id == jurisdiction_id)
        )
        session.add_all(
            RoutingRule(jurisdiction_id=jurisdiction_id, position=position, text=text, rule=rule)
            for position, text, rule in after.values()
        )
    session.flush()
    return Changes(
        created=len(after.keys() - before.keys()),
        updated=len(after) - unchanged - len(after.keys() - before.keys()),
        retired=len(before.keys() - after.keys()),
        unchanged=unchanged,
    )


def teams_in_use(session: Session, jurisdiction_id: int) -> set[int]:
    """Ids of teams that requests are or were routed to."""
    found = session.scalars(
        sa.select(ServiceRequest.team_id)
        .where(
            ServiceRequest.jurisdiction_id == jurisdiction_id,
            ServiceRequest.team_id.is_not(None),
        )
        .distinct()
    )
    return {team_id for team_id in found if team_id is not None}


def _columns(spec: ServiceSpec, position: int) -> dict[str, Any]:
    return {
        "group": spec.group,
        "group_names": dict(spec.group_names),
        "names": dict(spec.names),
        "descriptions": dict(spec.descriptions),
        "keywords": {locale: list(words) for locale, words in spec.keywords.items()},
        "kind": spec.kind.value,
        "position": position,
        "attributes": [dict(attribute) for attribute in spec.attributes],
        "family": spec.family,
        "duplicate_radius_m": spec.duplicate_radius_m,
        "duplicate_days": spec.duplicate_days,
        "duplicate_join_at": spec.duplicate_join_at,
        "duplicate_suggest_at": spec.duplicate_suggest_at,
        "recurrence": spec.recurrence.value,
        "recurrence_days": spec.recurrence_days,
        "evidence_priority": [list(step) for step in spec.evidence_priority],
        "service_level": dict(spec.service_level),
        "reopen_days": spec.reopen_days,
        "close_after_days": spec.close_after_days,
        "volunteers_resolve": spec.volunteers_resolve,
        "public_precision": spec.public_precision,
        "moderation": spec.moderation,
        "retention": dict(spec.retention),
        "emergency": None if spec.emergency is None else dict(spec.emergency),
        "is_active": True,
    }


def _retire(session: Session, services: Sequence[Service]) -> int:
    """Take services out of the catalogue; those without any request are deleted."""
    retired = 0
    for service in services:
        is_used = session.scalar(
            sa.select(sa.exists().where(ServiceRequest.service_id == service.id))
        )
        if not is_used:
            session.delete(service)
            retired += 1
        elif service.is_active:
            service.is_active = False
            retired += 1
    return retired
