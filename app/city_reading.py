"""A city folder, read once from front to back, as the specifications that features load.

1. `city.yaml` first: it says in which languages names must be given and which files there are.
2. Then the other files. What one says about another is checked: teams and services named by
   rules, files named by keys, positions against the boundary.
3. All faults of all files are gathered; with one or more, nothing is returned.

Touches no database; `app.city` loads what comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import shapely.geometry

from accounts.loading import TeamSpec
from accounts.models import DigestChoice
from app import city_downstream, city_fields, city_files, city_roads, city_schemas, city_sign_in
from app.city_assets import Assets, ShippedAssets
from app.city_files import Document, Fault, Findings
from app.city_places import Places, as_json
from geo.loading import AddressSpec, AreaSpec, JurisdictionSpec
from open311.downstream import EndpointSpec
from reports.loading import EVIDENCE_PRIORITY, ServiceSpec
from reports.routing import fault_wording, overlapping
from reports.routing.faults import RuleFault
from reports.routing.grammar import RuleSyntaxError, parse
from reports.routing.names import Vocabulary, check
from reports.routing.rules import PRIORITIES, Rule
from reports.vocabulary import Recurrence, ServiceKind, Source

_CITY, _SERVICES, _TEAMS = "city.yaml", "services.yaml", "teams.yaml"
_RULES, _ASSETS = "routing.rules", "assets.yaml"

#: What is said of a folder is for its operator, in English like every command.
_LANGUAGE = "en"

#: The parts of a folder, in the order in which they are read.
PARTS = ("city", "boundary", "areas", "addresses", "teams", "services", "rules", "assets")


class CityFolderError(Exception):
    """The folder cannot be loaded; `faults` says everything that is wrong with it."""

    def __init__(self, faults: Sequence[Fault], warnings: Sequence[Fault] = ()) -> None:
        self.faults = tuple(sorted(set(faults)))
        self.warnings = tuple(sorted(set(warnings)))
        super().__init__(f"{len(self.faults)} faults, the first: {self.faults[0]}")


@dataclass(frozen=True, slots=True)
class City:
    """All that a folder says of a city.

    Attributes:
        assets: kinds and the assets that the folder ships; None: it says nothing of them.
        addresses_file: the name of the file the addresses came from, for messages.
        endpoints: other systems in which teams live.
        downstream_of: code of a team → code of the endpoint it lives in.
        rules_text: the rules as they stand in the file, comments and all.
    """

    jurisdiction: JurisdictionSpec
    areas: tuple[AreaSpec, ...]
    addresses: tuple[AddressSpec, ...]
    teams: tuple[TeamSpec, ...]
    services: tuple[ServiceSpec, ...]
    rules: tuple[Rule, ...]
    rules_text: str
    assets: ShippedAssets | None
    addresses_file: str
    endpoints: tuple[EndpointSpec, ...] = ()
    downstream_of: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Fault, ...] = field(default=())


def read_city(folder: Path, step: Callable[[str], None] = lambda _: None) -> City:
    """The city that the folder describes.

    Args:
        step: called with the name of each part (see `PARTS`) as its reading begins.

    Raises:
        CityFolderError: something is wrong; every fault of every file is in it.
    """
    if not folder.is_dir():
        raise CityFolderError([Fault(str(folder), 0, "there is no such folder")])
    return _Reading(folder, step).read()


class _Reading:
    """One pass over a folder."""

    def __init__(self, folder: Path, step: Callable[[str], None]) -> None:
        self.folder = folder
        self.step = step
        self.findings = Findings()
        self.places = Places(folder, self.findings)

    def read(self) -> City:
        self.step("city")
        document = self._document(_CITY)
        said = document.data.get("locales") if document else None
        locales = (
            tuple(item for item in said if isinstance(item, str)) if isinstance(said, list) else ()
        )
        token = city_fields.LOCALES.set(locales)
        try:
            return self._read(document)
        finally:
            city_fields.LOCALES.reset(token)

    def _read(self, document: Document | None) -> City:
        city = city_schemas.load(city_schemas.CityIn(), document, self.findings) if document else {}
        boundary = None
        areas: list[AreaSpec] = []
        addresses: list[AddressSpec] = []
        closed_days: list[dict[str, str]] = []
        if city and document:
            self.step("boundary")
            boundary = self.places.boundary(city, document)
            self.step("areas")
            areas = self.places.areas(city, document)
            self.step("addresses")
            addresses = self.places.addresses(city, document)
            closed_days = self._closed_days(city, document)
        self.step("teams")
        teams_in = self._loaded(_TEAMS, city_schemas.TeamsIn())
        self.step("services")
        services_in = self._loaded(_SERVICES, city_schemas.ServicesIn())
        teams = self._teams(*teams_in) if teams_in else []
        services = (
            self._services(*services_in, (city or {}).get("policy", {})) if services_in else []
        )
        # Names cannot be judged against a file that could not be read.
        is_complete = bool(city and teams_in and services_in)
        if city and document and teams_in:
            city_sign_in.check_teams(city, document, {team.code for team in teams}, self.findings)
        if teams_in:
            city_downstream.check(
                teams_in[1],
                teams_in[0],
                {service.code for service in services} if services_in else None,
                self.findings,
            )
        self.step("rules")
        rules, rules_text = self._rules(services, areas, teams, is_complete=is_complete)
        self.step("assets")
        shipped: ShippedAssets | None = None
        assets_in = (
            self._loaded(_ASSETS, city_schemas.AssetsIn())
            if (self.folder / _ASSETS).is_file()
            else None
        )
        if assets_in:
            shipped = Assets(self.folder, self.places, self.findings).read(
                *assets_in,
                teams={team.code for team in teams} if is_complete else None,
                services={service.code for service in services} if is_complete else None,
            )
        if is_complete and city and document:
            kinds = {kind["code"] for kind in assets_in[1]["kinds"]} if assets_in else set()
            city_roads.check(city, document, services, kinds, self.findings)
        if self.findings.faults or city is None or boundary is None:
            raise CityFolderError(self.findings.faults, self.findings.warnings)
        return City(
            jurisdiction=_jurisdiction(city, boundary, closed_days),
            areas=tuple(areas),
            addresses=tuple(addresses),
            teams=tuple(teams),
            services=tuple(services),
            rules=rules,
            rules_text=rules_text,
            assets=shipped,
            addresses_file=city.get("addresses", {}).get("file", _CITY),
            endpoints=tuple(city_downstream.endpoint_specs(teams_in[1])) if teams_in else (),
            downstream_of={
                team["code"]: team["downstream"]
                for team in (teams_in[1]["teams"] if teams_in else ())
                if "downstream" in team
            },
            warnings=tuple(sorted(set(self.findings.warnings))),
        )

    # Files

    def _document(self, name: str) -> Document | None:
        if not (self.folder / name).is_file():
            self.findings.fault(name, 0, "the folder has no such file")
            return None
        return city_files.read_yaml(self.folder, name, self.findings)

    def _loaded(
        self, name: str, schema: city_fields.Schema
    ) -> tuple[Document, dict[str, Any]] | None:
        document = self._document(name)
        if document is None:
            return None
        loaded = city_schemas.load(schema, document, self.findings)
        return None if loaded is None else (document, loaded)

    # Parts

    def _closed_days(self, city: Mapping[str, Any], document: Document) -> list[dict[str, str]]:
        file = city.get("closed_days")
        if file is None or not city_files.holds(
            self.folder, document, ("closed_days",), file, self.findings
        ):
            return []
        columns = ["date", *(f"name_{locale}" for locale in city["locales"])]
        days: list[dict[str, str]] = []
        seen: dict[date, int] = {}
        for row in city_files.read_csv(self.folder, file, columns, ",", self.findings):
            try:
                day = city_schemas.parse_date(row.values["date"])
            except ValueError:
                reason = f"“{row.values['date']}” is not a date such as 2026-12-24"
                self.findings.fault(file, row.line, reason)
                continue
            if day in seen:
                reason = f"{day} stands in line {seen[day]} already"
                self.findings.fault(file, row.line, reason)
            seen.setdefault(day, row.line)
            names = {locale: row.values[f"name_{locale}"] for locale in city["locales"]}
            days.append({"date": day.isoformat(), **{f"name_{k}": v for k, v in names.items()}})
        return days

    def _teams(self, document: Document, loaded: Mapping[str, Any]) -> list[TeamSpec]:
        city_files.note_repeats(
            document, "teams", [team["code"] for team in loaded["teams"]], self.findings
        )
        specs = []
        for index, team in enumerate(loaded["teams"]):
            calendar = loaded["calendars"].get(team.get("calendar"), None)
            if "calendar" in team and calendar is None:
                line = document.line(("teams", index, "calendar"))
                reason = f"there is no calendar “{team['calendar']}” in this file"
                self.findings.fault(document.file, line, reason)
            specs.append(
                TeamSpec(
                    code=team["code"],
                    names=team["name"],
                    agency=team.get("agency"),
                    email=team["email"].lower() if "email" in team else None,
                    locale=team.get("locale"),
                    calendar=None if calendar is None else _calendar(calendar),
                    digest=DigestChoice(team["digest"]),
                )
            )
        return specs

    def _services(
        self, document: Document, loaded: Mapping[str, Any], policy: Mapping[str, Any]
    ) -> list[ServiceSpec]:
        services, groups = loaded["services"], loaded["groups"]
        city_files.note_repeats(
            document, "services", [service["code"] for service in services], self.findings
        )
        policy = policy or city_schemas.PolicyIn().load({})
        specs = []
        for index, service in enumerate(services):
            if service["group"] not in groups:
                line = document.line(("services", index, "group"))
                reason = f"there is no group “{service['group']}” in this file"
                self.findings.fault(document.file, line, reason)
                continue
            codes = Counter(attribute["code"] for attribute in service["attributes"])
            for place, attribute in enumerate(service["attributes"]):
                if codes[attribute["code"]] > 1:
                    line = document.line(("services", index, "attributes", place, "code"))
                    reason = f"the service has the attribute “{attribute['code']}” twice"
                    self.findings.fault(document.file, line, reason)
            specs.append(_service(service, groups, policy))
        unused = sorted(set(groups) - {service["group"] for service in services})
        for group in unused:
            line = document.line(("groups", group))
            self.findings.warn(document.file, line, f"no service is in the group “{group}”")
        return specs

    def _rules(
        self,
        services: Sequence[ServiceSpec],
        areas: Sequence[AreaSpec],
        teams: Sequence[TeamSpec],
        *,
        is_complete: bool,
    ) -> tuple[tuple[Rule, ...], str]:
        if not (self.folder / _RULES).is_file():
            self.findings.fault(_RULES, 0, "the folder has no such file")
            return (), ""
        text = city_files.read_text(self.folder, _RULES, self.findings)
        if text is None:
            return (), ""
        try:
            rules = parse(text)
        except RuleSyntaxError as error:
            self._note_rules(error.faults)
            return (), text
        if is_complete:
            self._note_rules(check(rules, _vocabulary(services, areas, teams)))
            group_of = {service.code: service.group for service in services}
            for warning in overlapping.warnings(rules, group_of):
                said = fault_wording.reason(warning, _LANGUAGE)
                self.findings.warn(_RULES, warning.line, f"“{warning.word}”: {said}")
        return rules, text

    def _note_rules(self, faults: Sequence[RuleFault]) -> None:
        for fault in faults:
            word = f"“{fault.word}”: " if fault.word else ""
            said = fault_wording.reason(fault, _LANGUAGE)
            self.findings.fault(_RULES, fault.line, f"{word}{said}")


# From checked values to specifications


def _jurisdiction(
    city: Mapping[str, Any], boundary: Any, closed_days: Sequence[Mapping[str, str]]
) -> JurisdictionSpec:
    policy = dict(city["policy"])
    quiet = policy.get("quiet_hours")
    if quiet is not None:
        policy["quiet_hours"] = {"from": quiet["start"], "to": quiet["end"]}
    policy["center"] = dict(city["center"])
    policy["closed_days"] = [
        {
            "date": day["date"],
            "names": {
                key.removeprefix("name_"): value for key, value in day.items() if key != "date"
            },
        }
        for day in closed_days
    ]
    policy["layers"] = {layer["layer"]: layer["name"] for layer in city["areas"]}
    return JurisdictionSpec(
        code=city["code"],
        names=city["name"],
        locales=list(city["locales"]),
        default_locale=city.get("default_locale", city["locales"][0]),
        country=city["country"],
        subdivision=city.get("subdivision"),
        time_zone=city["time_zone"],
        boundary=as_json(shapely.geometry.mapping(boundary)),
        boundary_buffer_m=city["boundary"]["buffer_m"],
        contact=dict(city["contact"]),
        policy=policy,
    )


def _calendar(calendar: Mapping[str, Any]) -> dict[str, Any]:
    hours = {day: calendar[day] for day in city_schemas.WEEKDAYS if calendar.get(day)}
    return {"hours": hours, "works_on_holidays": calendar["works_on_holidays"]}


def _service(
    service: Mapping[str, Any], groups: Mapping[str, Any], policy: Mapping[str, Any]
) -> ServiceSpec:
    return ServiceSpec(
        code=service["code"],
        group=service["group"],
        group_names=groups[service["group"]],
        names=service["name"],
        descriptions=service["description"],
        keywords=service.get("keywords", {}),
        kind=ServiceKind(service["type"]),
        attributes=[
            _attribute(attribute, order)
            for order, attribute in enumerate(service["attributes"], start=1)
        ],
        family=service.get("family", service["code"]),
        duplicate_radius_m=service.get("duplicate_radius_m", policy["duplicates"]["radius_m"]),
        duplicate_days=service.get("duplicate_days", policy["duplicates"]["days"]),
        duplicate_join_at=service.get("duplicate_join_at", policy["duplicates"].get("join_at")),
        duplicate_suggest_at=service.get(
            "duplicate_suggest_at", policy["duplicates"].get("suggest_at")
        ),
        recurrence=Recurrence(service.get("recurrence", policy["recurrence"])),
        recurrence_days=service.get("recurrence_days", policy["recurrence_days"]),
        evidence_priority=_evidence(
            service.get("evidence_priority", policy.get("evidence_priority"))
        ),
        service_level=service.get("service_level", {}),
        reopen_days=service.get("reopen_days", policy["reopen_days"]),
        close_after_days=service.get("close_after_days", policy["close_after_days"]),
        volunteers_resolve=service["volunteers_resolve"],
        public_precision=service.get("public_precision", policy["public_precision"]),
        moderation=service.get("moderation", policy["moderation"]),
        retention=policy.get("retention", {}) | service.get("retention", {}),
        emergency=service.get("emergency"),
    )


def _evidence(steps: Sequence[Mapping[str, Any]] | None) -> Sequence[tuple[int, int]]:
    """So many people, so urgent; an empty list says that evidence changes nothing."""
    if steps is None:
        return EVIDENCE_PRIORITY
    return sorted((step["people"], PRIORITIES[step["priority"]]) for step in steps)


def _attribute(attribute: Mapping[str, Any], order: int) -> dict[str, Any]:
    values = attribute.get("values", {})
    return {
        "code": attribute["code"],
        "datatype": attribute["datatype"],
        "required": attribute["required"],
        "variable": attribute["variable"],
        "order": order,
        "descriptions": attribute["description"],
        "datatype_descriptions": attribute.get("datatype_description", {}),
        "values": [{"key": key, "names": names} for key, names in values.items()],
    }


def _vocabulary(
    services: Sequence[ServiceSpec], areas: Sequence[AreaSpec], teams: Sequence[TeamSpec]
) -> Vocabulary:
    return Vocabulary(
        services={
            service.code: {
                attribute["code"]: (
                    attribute["datatype"],
                    [value["key"] for value in attribute["values"]],
                )
                for attribute in service.attributes
            }
            for service in services
        },
        groups={service.group for service in services},
        areas={
            layer: {area.code for area in areas if area.layer == layer}
            for layer in {area.layer for area in areas}
        },
        teams={team.code for team in teams},
        sources={source.value for source in Source},
    )
