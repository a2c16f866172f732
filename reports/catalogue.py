"""The catalogue of services as every request needs it: in memory, refreshed by version.

`geo.jurisdictions` gives one object per version of a jurisdiction and looks for a new version at
most once a second; a catalogue read for another object is read again. Reading one costs two
statements, using it none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from core.db import Executor
from core.errors import InvalidError
from core.kept import Kept
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from reports.attributes import AttributeDefinition, definitions_of
from reports.models import RoutingRule, Service, ServiceRequest
from reports.vocabulary import Recurrence, ServiceKind


class UnknownServiceError(InvalidError):
    """No service of the jurisdiction has that code."""

    code = "unknown_service"
    title = "There is no such service here"


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service of the catalogue; the fields are those of `reports.models.Service`."""

    id: int
    jurisdiction_id: int
    code: str
    group: str
    group_names: Mapping[str, str]
    names: Mapping[str, str]
    descriptions: Mapping[str, str]
    keywords: Mapping[str, Sequence[str]]
    kind: ServiceKind
    attributes: tuple[AttributeDefinition, ...]
    family: str
    duplicate_radius_m: float
    duplicate_days: float
    duplicate_join_at: float | None
    duplicate_suggest_at: float | None
    recurrence: Recurrence
    recurrence_days: int
    evidence_priority: tuple[tuple[int, int], ...]
    service_level: Mapping[str, Any]
    reopen_days: int
    close_after_days: int
    volunteers_resolve: bool
    public_precision: str
    moderation: str
    emergency: Mapping[str, Any] | None
    retention: Mapping[str, Any]
    is_active: bool


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A routing rule in force: its place in the order, its words, its parsed form."""

    id: int
    position: int
    text: str
    rule: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The services and routing rules of one jurisdiction, at one version."""

    place: JurisdictionRef = field(repr=False)
    services: tuple[ServiceEntry, ...]
    rules: tuple[StoredRule, ...]
    by_code: Mapping[str, ServiceEntry] = field(repr=False)
    by_id: Mapping[int, ServiceEntry] = field(repr=False)

    def offered(self) -> list[ServiceEntry]:
        """The services that can be asked for now, in the order of the catalogue."""
        return [service for service in self.services if service.is_active]

    def service(self, code: str) -> ServiceEntry:
        """The active service of that code.

        Raises:
            UnknownServiceError: there is none.
        """
        entry = self.by_code.get(code)
        if entry is None or not entry.is_active:
            raise UnknownServiceError(f"There is no service {code!r} here.", field="service_code")
        return entry

    def family_ids(self, family: str) -> list[int]:
        """Ids of the services that can be duplicates of one another."""
        return [service.id for service in self.services if service.family == family]


_kept: Kept[Catalogue] = Kept()


def catalogue_of(session: Executor, jurisdiction_id: int) -> Catalogue:
    """The catalogue of a jurisdiction, at most a second behind the database."""
    place = jurisdictions.by_id(session, jurisdiction_id)
    return _kept.get(jurisdiction_id, place, lambda: _read(session, place))


def service_of(session: Executor, report: ServiceRequest) -> ServiceEntry:
    """The service of a report, as its catalogue has it."""
    return catalogue_of(session, report.jurisdiction_id).by_id[report.service_id]


def forget() -> None:
    """Drop what is kept in memory; for tests, whose database goes back in time."""
    _kept.forget()


def _read(session: Executor, place: JurisdictionRef) -> Catalogue:
    columns = Service.__table__.c
    rows = session.execute(
        sa.select(*columns)
        .where(columns.jurisdiction_id == place.id)
        .order_by(columns.position, columns.id)
    ).mappings()
    services = tuple(_entry(dict(row)) for row in rows)
    rules = tuple(
        StoredRule(*row)
        for row in session.execute(
            sa.select(RoutingRule.id, RoutingRule.position, RoutingRule.text, RoutingRule.rule)
            .where(RoutingRule.jurisdiction_id == place.id)
            .order_by(RoutingRule.position)
        )
    )
    return Catalogue(
        place=place,
        services=services,
        rules=rules,
        by_code={service.code: service for service in services},
        by_id={service.id: service for service in services},
    )


def _entry(row: Mapping[str, Any]) -> ServiceEntry:
    values = {name: row[name] for name in row if name != "position"}
    values["kind"] = ServiceKind(row["kind"])
    values["attributes"] = definitions_of(row["attributes"])
    values["recurrence"] = Recurrence(row["recurrence"])
    values["evidence_priority"] = tuple(
        (people, level) for people, level in values["evidence_priority"]
    )
    return ServiceEntry(**values)
