"""A city folder, read once from front to back, as the specifications that features load.

1. `city.yaml` first: it says in which languages names must be given and which files there are.
2. Then the other files. What one says about another is checked: teams and services named by
   rules, files named by keys, positions against the boundary.
3. All faults of all files are gathered; with one or more, nothing is returned.

Touches no database; `app.city` loads what comes out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
import shapely.geometry
from numpy.typing import NDArray
from shapely.validation import explain_validity

from accounts.loading import TeamSpec
from accounts.models import DigestChoice
from app import city_files, city_schemas
from app.city_files import Document, Fault, Feature, Findings
from geo.address_text import house_number
from geo.loading import FAR_AWAY_M, AddressSpec, AreaSpec, JurisdictionSpec
from reports import routing_grammar
from reports.loading import ServiceSpec
from reports.routing_grammar import Rule
from reports.vocabulary import ServiceKind, Source

_CITY, _SERVICES, _TEAMS = "city.yaml", "services.yaml", "teams.yaml"
_RULES, _ASSETS = "routing.rules", "assets.yaml"

#: The parts of a folder, in the order in which they are read.
PARTS = ("city", "boundary", "areas", "addresses", "teams", "services", "rules", "assets")

Points = NDArray[np.float64]


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
        asset_counts: how many assets of each kind the folder ships; they are not loaded with it.
        files: which file each part came from: boundary, addresses, and each layer of areas.
    """

    jurisdiction: JurisdictionSpec
    areas: tuple[AreaSpec, ...]
    addresses: tuple[AddressSpec, ...]
    teams: tuple[TeamSpec, ...]
    services: tuple[ServiceSpec, ...]
    rules: tuple[Rule, ...]
    asset_counts: Mapping[str, int]
    files: Mapping[str, str]
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


class _Ground:
    """Where the city lies, to judge positions against; distances in metres."""

    def __init__(self, boundary: Any, buffer_m: float, lat: float, lon: float) -> None:
        self._project = pyproj.Transformer.from_crs(
            city_files.WGS84,
            f"+proj=aeqd +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m",
            always_xy=True,
        )
        self._shape = shapely.transform(boundary, self._metres).buffer(buffer_m)
        shapely.prepare(self._shape)

    def _metres(self, points: Points) -> Points:
        x, y = self._project.transform(points[:, 0], points[:, 1])
        return np.column_stack([x, y])

    def distances_m(self, lon: Points, lat: Points) -> Points:
        """How far each point lies outside the boundary and its buffer; 0 inside."""
        points = shapely.points(self._metres(np.column_stack([lon, lat])))
        result = np.zeros(len(points))
        outside = ~shapely.contains(self._shape, points)
        result[outside] = shapely.distance(self._shape, points[outside])
        return np.nan_to_num(result, nan=np.inf)

    def distance_m(self, geometry: Any) -> float:
        """How far a geometry lies outside; 0 when it touches."""
        moved = shapely.transform(geometry, self._metres)
        if not np.isfinite(shapely.get_coordinates(moved)).all():
            return float("inf")
        return float(shapely.distance(self._shape, moved))


class _Reading:
    """One pass over a folder."""

    def __init__(self, folder: Path, step: Callable[[str], None]) -> None:
        self.folder = folder
        self.step = step
        self.findings = Findings()
        self.ground: _Ground | None = None

    def read(self) -> City:
        self.step("city")
        document = self._document(_CITY)
        said = document.data.get("locales") if document else None
        locales = (
            tuple(item for item in said if isinstance(item, str)) if isinstance(said, list) else ()
        )
        token = city_schemas.LOCALES.set(locales)
        try:
            return self._read(document)
        finally:
            city_schemas.LOCALES.reset(token)

    def _read(self, document: Document | None) -> City:
        city = city_schemas.load(city_schemas.CityIn(), document, self.findings) if document else {}
        boundary = None
        areas: list[AreaSpec] = []
        addresses: list[AddressSpec] = []
        closed_days: list[dict[str, str]] = []
        if city and document:
            self.step("boundary")
            boundary = self._boundary(city, document)
            self.step("areas")
            areas = self._areas(city, document)
            self.step("addresses")
            addresses = self._addresses(city, document)
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
        self.step("rules")
        rules = self._rules(services, areas, teams, is_complete=is_complete)
        self.step("assets")
        asset_counts = self._assets(services, teams, is_complete=is_complete)
        if self.findings.faults or city is None or boundary is None:
            raise CityFolderError(self.findings.faults, self.findings.warnings)
        return City(
            jurisdiction=_jurisdiction(city, boundary, closed_days),
            areas=tuple(areas),
            addresses=tuple(addresses),
            teams=tuple(teams),
            services=tuple(services),
            rules=rules,
            asset_counts=asset_counts,
            files=_files(city),
            warnings=tuple(sorted(set(self.findings.warnings))),
        )

    # Files

    def _document(self, name: str) -> Document | None:
        if not (self.folder / name).is_file():
            self.findings.fault(name, 0, "the folder has no such file")
            return None
        return city_files.read_yaml(self.folder, name, self.findings)

    def _loaded(
        self, name: str, schema: city_schemas.Schema
    ) -> tuple[Document, dict[str, Any]] | None:
        document = self._document(name)
        if document is None:
            return None
        loaded = city_schemas.load(schema, document, self.findings)
        return None if loaded is None else (document, loaded)

    def _exists(self, document: Document, path: city_files.Path_, name: str) -> bool:
        line = document.line(path)
        found = city_files.inside(self.folder, name, document.file, line, self.findings)
        return found is not None

    def _repeats(self, document: Document, key: str, codes: Sequence[str], what: str) -> None:
        first: dict[str, int] = {}
        for index, code in enumerate(codes):
            line = document.line((key, index, "code"))
            if code in first:
                reason = f"the {what} “{code}” stands in line {first[code]} already"
                self.findings.fault(document.file, line, reason)
            first.setdefault(code, line)

    # Places

    def _boundary(self, city: Mapping[str, Any], document: Document) -> Any:
        given, center = city["boundary"], city["center"]
        if not self._exists(document, ("boundary", "file"), given["file"]):
            return None
        features = city_files.read_geojson(self.folder, given["file"], given["crs"], self.findings)
        polygons = [
            feature.geometry for feature in features if self._is_polygon(given["file"], feature)
        ]
        if not polygons or len(polygons) < len(features):
            return None
        boundary = shapely.union_all(polygons)
        point = shapely.Point(center["lon"], center["lat"])
        if not boundary.contains(point):
            swapped = boundary.contains(shapely.Point(center["lat"], center["lon"]))
            reason = (
                "latitude and longitude are swapped: the center lies inside once they are turned"
                if swapped
                else f"the center ({center['lat']}, {center['lon']}) of {_CITY} is not inside"
            )
            self.findings.fault(given["file"], features[0].line, reason)
            return None
        self.ground = _Ground(boundary, given["buffer_m"], center["lat"], center["lon"])
        return boundary

    def _is_polygon(self, file: str, feature: Feature) -> bool:
        shape = feature.geometry
        if shape.geom_type not in ("Polygon", "MultiPolygon"):
            reason = f"feature {feature.ordinal} is a {shape.geom_type}, not a polygon"
        elif not shape.is_valid:
            reason = (
                f"the polygon of feature {feature.ordinal} is broken: {explain_validity(shape)}"
            )
        else:
            return True
        self.findings.fault(file, feature.line, reason)
        return False

    def _areas(self, city: Mapping[str, Any], document: Document) -> list[AreaSpec]:
        specs: list[AreaSpec] = []
        layers = Counter(layer["layer"] for layer in city["areas"])
        for index, layer in enumerate(city["areas"]):
            if layers[layer["layer"]] > 1:
                line = document.line(("areas", index, "layer"))
                self.findings.fault(_CITY, line, f"the layer “{layer['layer']}” stands here twice")
            if not self._exists(document, ("areas", index, "file"), layer["file"]):
                continue
            features = city_files.read_geojson(
                self.folder, layer["file"], layer["crs"], self.findings
            )
            specs.extend(self._layer(layer, features, city["locales"]))
        return specs

    def _layer(
        self, layer: Mapping[str, Any], features: Sequence[Feature], locales: Sequence[str]
    ) -> list[AreaSpec]:
        file = layer["file"]
        label = layer["label"]
        labels = label if isinstance(label, dict) else dict.fromkeys(locales, label)
        specs: list[AreaSpec] = []
        seen: dict[str, int] = {}
        for feature in features:
            missing = [
                name
                for name in (layer["code"], *labels.values())
                if feature.properties.get(name) in (None, "")
            ]
            if missing:
                reason = f"feature {feature.ordinal} has no property “{missing[0]}”"
                self.findings.fault(file, feature.line, reason)
                continue
            code = str(feature.properties[layer["code"]])
            if code in seen:
                reason = f"the area “{code}” stands in line {seen[code]} already"
                self.findings.fault(file, feature.line, reason)
            seen.setdefault(code, feature.line)
            if not self._is_polygon(file, feature) or not self._is_near(file, feature):
                continue
            names = {locale: str(feature.properties[name]) for locale, name in labels.items()}
            geometry = shapely.geometry.mapping(feature.geometry)
            specs.append(AreaSpec(layer["layer"], code, names, _as_json(geometry), feature.line))
        return specs

    def _is_near(self, file: str, feature: Feature) -> bool:
        if self.ground is None:
            return True
        distance = self.ground.distance_m(feature.geometry)
        if distance <= FAR_AWAY_M:
            return True
        turned = shapely.transform(feature.geometry, lambda points: points[:, ::-1])
        reason = f"feature {feature.ordinal} lies {_far(distance)} outside the boundary"
        if self.ground.distance_m(turned) <= FAR_AWAY_M:
            reason += ": latitude and longitude are swapped"
        self.findings.fault(file, feature.line, reason)
        return False

    def _addresses(self, city: Mapping[str, Any], document: Document) -> list[AddressSpec]:
        given = city.get("addresses")
        if given is None or not self._exists(document, ("addresses", "file"), given["file"]):
            return []
        file, columns = given["file"], given["columns"]
        rows = city_files.read_csv(
            self.folder, file, tuple(columns.values()), given["delimiter"], self.findings
        )
        kept, lon, lat = self._positions(file, rows, columns["lon"], columns["lat"], given["crs"])
        specs: list[AddressSpec] = []
        nameless: list[int] = []
        unnumbered: list[int] = []
        repeated: list[int] = []
        seen: set[tuple[str, int | None, str, str | None]] = set()
        for row, x, y in zip(kept, lon.tolist(), lat.tolist(), strict=True):
            values = {key: row.values[column].strip() for key, column in columns.items()}
            if not values["street"]:
                nameless.append(row.line)
                continue
            number, suffix = house_number(values["number"] + values.get("suffix", ""))
            # "0" is how some files write that there is none.
            if number is None and values["number"].strip("0 "):
                unnumbered.append(row.line)
                continue
            postcode = values.get("postcode") or given.get("postcode")
            spec = AddressSpec(
                number=number,
                suffix=suffix,
                street=values["street"],
                code=values.get("code") or None,
                postcode=postcode,
                locality=values.get("locality") or given.get("locality"),
                lat=y,
                lon=x,
                line=row.line,
            )
            key = (spec.street, spec.number, spec.suffix, postcode)
            if key in seen:
                repeated.append(row.line)
            seen.add(key)
            specs.append(spec)
        self.findings.many(file, nameless, "the street is missing")
        self.findings.many(file, unnumbered, "the house number has no number")
        reason = "the same house number again"
        self.findings.many(file, repeated, reason, warn=True)
        return specs

    def _positions(
        self, file: str, rows: Sequence[city_files.Row], x_column: str, y_column: str, crs: str
    ) -> tuple[list[city_files.Row], Points, Points]:
        """Rows with a usable position, and their longitudes and latitudes; notes the others."""
        kept: list[city_files.Row] = []
        found: list[tuple[float, float]] = []
        unreadable: list[int] = []
        for row in rows:
            try:
                pair = float(row.values[x_column]), float(row.values[y_column])
                if not (math.isfinite(pair[0]) and math.isfinite(pair[1])):
                    raise ValueError("not finite")
            except ValueError:
                unreadable.append(row.line)
                continue
            kept.append(row)
            found.append(pair)
        columns = f"“{x_column}” or “{y_column}”"
        self.findings.many(file, unreadable, f"{columns} is not a number")
        points = np.array(found, dtype=np.float64).reshape(-1, 2)
        if not len(points):
            return [], points[:, 0], points[:, 1]
        wrong = [
            (row.line, problem)
            for row, (x, y) in zip(kept, found, strict=True)
            if (problem := city_files.wrong_units(x, y, crs)) is not None
        ]
        if wrong:
            self.findings.many(file, [line for line, _ in wrong], wrong[0][1])
            return [], points[:0, 0], points[:0, 1]
        lon, lat = points[:, 0], points[:, 1]
        if crs != city_files.WGS84:
            lon, lat = city_files.transformer(crs).transform(lon, lat)
            lon, lat = np.round(lon, 7), np.round(lat, 7)
        self._judge(file, kept, lon, lat)
        return kept, lon, lat

    def _judge(self, file: str, rows: Sequence[city_files.Row], lon: Points, lat: Points) -> None:
        """Note positions outside the boundary: near ones as warnings, far ones as faults."""
        if self.ground is None:
            return
        distances = self.ground.distances_m(lon, lat)
        far = distances > FAR_AWAY_M
        near = (distances > 0) & ~far
        if far.any():
            lines = [row.line for row, is_far in zip(rows, far, strict=True) if is_far]
            worst = _far(float(distances[far].max()))
            reason = f"the position lies more than 5 km outside the boundary, up to {worst}"
            inside_turned = self.ground.distances_m(lat[far], lon[far]) <= FAR_AWAY_M
            if inside_turned.mean() > 0.5:
                reason = "latitude and longitude are swapped"
            self.findings.many(file, lines, reason)
        if near.any():
            lines = [row.line for row, is_near in zip(rows, near, strict=True) if is_near]
            worst = _far(float(distances[near].max()))
            reason = f"the position lies outside the boundary, up to {worst}; loaded all the same"
            self.findings.many(file, lines, reason, warn=True)

    def _closed_days(self, city: Mapping[str, Any], document: Document) -> list[dict[str, str]]:
        file = city.get("closed_days")
        if file is None or not self._exists(document, ("closed_days",), file):
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

    # Work

    def _teams(self, document: Document, loaded: Mapping[str, Any]) -> list[TeamSpec]:
        self._repeats(document, "teams", [team["code"] for team in loaded["teams"]], "team")
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
        self._repeats(document, "services", [service["code"] for service in services], "service")
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
    ) -> tuple[Rule, ...]:
        if not (self.folder / _RULES).is_file():
            self.findings.fault(_RULES, 0, "the folder has no such file")
            return ()
        text = city_files.read_text(self.folder, _RULES, self.findings)
        if text is None:
            return ()
        try:
            rules = routing_grammar.parse(text)
        except routing_grammar.RuleSyntaxError as error:
            self._note_rules(error.faults)
            return ()
        if is_complete:
            self._note_rules(routing_grammar.check(rules, _vocabulary(services, areas, teams)))
        return rules

    def _note_rules(self, faults: Sequence[routing_grammar.RuleFault]) -> None:
        for fault in faults:
            word = f"“{fault.word}”: " if fault.word else ""
            self.findings.fault(_RULES, fault.line, f"{word}{fault.reason}")

    # Assets

    def _assets(
        self, services: Sequence[ServiceSpec], teams: Sequence[TeamSpec], *, is_complete: bool
    ) -> dict[str, int]:
        if not (self.folder / _ASSETS).is_file():
            return {}
        loaded = self._loaded(_ASSETS, city_schemas.AssetsIn())
        if loaded is None:
            return {}
        document, assets = loaded
        self._repeats(document, "kinds", [kind["code"] for kind in assets["kinds"]], "kind")
        team_codes = {team.code for team in teams}
        service_codes = {service.code for service in services}
        counts: dict[str, int] = {}
        for index, kind in enumerate(assets["kinds"]):
            if is_complete:
                owner = kind.get("owner_team")
                if owner is not None and owner not in team_codes:
                    line = document.line(("kinds", index, "owner_team"))
                    self.findings.fault(_ASSETS, line, f"there is no team “{owner}”")
                for code in kind["services"]:
                    if code not in service_codes:
                        line = document.line(("kinds", index, "services"))
                        self.findings.fault(_ASSETS, line, f"there is no service “{code}”")
            counts[kind["code"]] = self._asset_files(document, index, kind)
        return counts

    def _asset_files(self, document: Document, index: int, kind: Mapping[str, Any]) -> int:
        declared = {attribute["code"] for attribute in kind["attributes"]}
        seen: dict[str, str] = {}
        total = 0
        for place, given in enumerate(kind["files"]):
            path = ("kinds", index, "files", place, "path")
            for code in sorted(set(given["attributes"]) - declared):
                line = document.line(("kinds", index, "files", place, "attributes"))
                self.findings.fault(_ASSETS, line, f"the kind has no attribute “{code}”")
            if not self._exists(document, path, given["path"]):
                continue
            codes = self._asset_codes(given)
            repeated: list[int] = []
            for code, line in codes:
                if code in seen:
                    repeated.append(line)
                seen[code] = given["path"]
            reason = f"the code of this {kind['code']} stands in the file twice"
            self.findings.many(given["path"], repeated, reason)
            total += len(codes)
        return total

    def _asset_codes(self, given: Mapping[str, Any]) -> list[tuple[str, int]]:
        """Code and line of each asset of a file whose position is usable."""
        file, wanted = given["path"], [given["code"], *given["attributes"].values()]
        if "state" in given:
            wanted.append(given["state"])
        if "lat" in given:
            columns = [*wanted, given["lat"], given["lon"]]
            rows = city_files.read_csv(
                self.folder, file, columns, given["delimiter"], self.findings
            )
        else:
            features = city_files.read_geojson(self.folder, file, given["crs"], self.findings)
            rows = []
            for feature in features:
                missing = [name for name in wanted if name not in feature.properties]
                if missing or feature.geometry.geom_type != "Point":
                    lacking = f"property “{missing[0]}”" if missing else "position"
                    reason = f"feature {feature.ordinal} has no {lacking}"
                    self.findings.fault(file, feature.line, reason)
                    continue
                values = {name: _text(feature.properties[name]) for name in wanted}
                values |= {"lon": str(feature.geometry.x), "lat": str(feature.geometry.y)}
                rows.append(city_files.Row(feature.line, values))
        crs = given["crs"] if "lat" in given else city_files.WGS84
        kept, _, _ = self._positions(
            file, rows, given.get("lon", "lon"), given.get("lat", "lat"), crs
        )
        codeless = [row.line for row in kept if not row.values[given["code"]].strip()]
        self.findings.many(file, codeless, f"“{given['code']}” is empty")
        if "states" in given:
            for state, lines in _by(kept, lambda row: row.values[given["state"]]).items():
                if state not in given["states"]:
                    reason = f"`states` does not say what “{state}” means"
                    self.findings.many(file, lines, reason)
        return [(row.values[given["code"]].strip(), row.line) for row in kept]


# From checked values to specifications


def _files(city: Mapping[str, Any]) -> dict[str, str]:
    files = {layer["layer"]: layer["file"] for layer in city["areas"]}
    files["boundary"] = city["boundary"]["file"]
    files["addresses"] = city["addresses"]["file"] if "addresses" in city else _CITY
    return files


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
        boundary=_as_json(shapely.geometry.mapping(boundary)),
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
        service_level=service.get("service_level", {}),
        reopen_days=service.get("reopen_days", policy["reopen_days"]),
        close_after_days=service.get("close_after_days", policy["close_after_days"]),
        public_precision=service.get("public_precision", policy["public_precision"]),
        moderation=service.get("moderation", policy["moderation"]),
        emergency=service.get("emergency"),
    )


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
) -> routing_grammar.Vocabulary:
    return routing_grammar.Vocabulary(
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


def _as_json(geometry: Any) -> dict[str, Any]:
    """A GeoJSON geometry with lists for tuples, as the database gives it back."""

    def listed(value: Any) -> Any:
        return [listed(item) for item in value] if isinstance(value, tuple | list) else value

    return {"type": geometry["type"], "coordinates": listed(geometry["coordinates"])}


def _far(distance_m: float) -> str:
    return f"{distance_m:.0f} m" if distance_m < 1_000 else f"{distance_m / 1_000:,.1f} km"


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _by(
    rows: Sequence[city_files.Row], key: Callable[[city_files.Row], str]
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row.line)
    return found
