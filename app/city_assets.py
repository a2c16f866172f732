"""The assets of a city folder: its kinds, and the files that it ships of them, read and checked.

In the folder every row must be right; files that are not are brought by `flask assets import`,
which puts single rows aside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import city_files
from app.city_files import Document, Findings
from app.city_places import Places
from assets.importing.judging import IGNORED, LONGEST_CODE
from assets.importing.mapping import type_of
from assets.loading import AssetSpec, KindSpec, attribute_error
from assets.register import PROVISIONAL
from core.text import clean


@dataclass(frozen=True, slots=True)
class ShippedAssets:
    """The kinds of a folder, and by the code of each the assets that the folder ships."""

    kinds: tuple[KindSpec, ...]
    assets: Mapping[str, Sequence[AssetSpec]]


class Assets:
    """Reads the kinds of assets and their files."""

    def __init__(self, folder: Path, places: Places, findings: Findings) -> None:
        self.folder = folder
        self.places = places
        self.findings = findings

    def read(
        self,
        document: Document,
        loaded: Mapping[str, Any],
        *,
        teams: Collection[str] | None,
        services: Collection[str] | None,
    ) -> ShippedAssets:
        """What the folder says of assets; faults are noted.

        Args:
            teams, services: codes that kinds may name; None when they are not known.
        """
        kinds = loaded["kinds"]
        city_files.note_repeats(document, "kinds", [kind["code"] for kind in kinds], self.findings)
        specs: list[KindSpec] = []
        assets: dict[str, Sequence[AssetSpec]] = {}
        for index, kind in enumerate(kinds):
            owner = kind.get("owner_team")
            if teams is not None and owner is not None and owner not in teams:
                line = document.line(("kinds", index, "owner_team"))
                self.findings.fault(document.file, line, f"there is no team “{owner}”")
            for place, code in enumerate(kind["services"]):
                if services is not None and code not in services:
                    line = document.line(("kinds", index, "services", place))
                    self.findings.fault(document.file, line, f"there is no service “{code}”")
            self._note_codes_twice(document, index, kind)
            specs.append(_kind(kind))
            assets[kind["code"]] = self._asset_files(document, index, kind)
        return ShippedAssets(tuple(specs), assets)

    def _note_codes_twice(self, document: Document, index: int, kind: Mapping[str, Any]) -> None:
        for key, items in (
            ("attributes", kind["attributes"]),
            ("care", kind["care"].get("actions", ())),
        ):
            seen: set[str] = set()
            for item in items:
                if item["code"] in seen:
                    line = document.line(("kinds", index, key))
                    reason = f"the code “{item['code']}” stands in `{key}` twice"
                    self.findings.fault(document.file, line, reason)
                seen.add(item["code"])

    def _asset_files(
        self, document: Document, index: int, kind: Mapping[str, Any]
    ) -> list[AssetSpec]:
        declared = {attribute["code"] for attribute in kind["attributes"]}
        for key in ("files", "imports"):
            for place, given in enumerate(kind[key]):
                for code in sorted(set(given["attributes"]) - declared):
                    line = document.line(("kinds", index, key, place, "attributes"))
                    self.findings.fault(document.file, line, f"the kind has no attribute “{code}”")
        seen: set[str] = set()
        found: list[AssetSpec] = []
        for place, given in enumerate(kind["files"]):
            path = ("kinds", index, "files", place, "path")
            if not city_files.holds(self.folder, document, path, given["path"], self.findings):
                continue
            specs = self._assets(given, kind)
            repeated: list[int] = []
            for spec in specs:
                if spec.code in seen:
                    repeated.append(spec.line)
                seen.add(spec.code)
            reason = f"the code of this {kind['code']} stands in the file twice"
            self.findings.many(given["path"], repeated, reason)
            found += specs
        return found

    def _assets(self, given: Mapping[str, Any], kind: Mapping[str, Any]) -> list[AssetSpec]:
        """The assets of a file; noted are rows without code, of no state, with odd attributes."""
        file = given["path"]
        kept, lon, lat = self._rows(given)
        column = given["code"]
        codeless = [row.line for row in kept if not row.values[column].strip()]
        self.findings.many(file, codeless, f"“{column}” is empty")
        odd = [
            row.line
            for row in kept
            if len(row.values[column]) > LONGEST_CODE or row.values[column].startswith(PROVISIONAL)
        ]
        self.findings.many(file, odd, f"“{column}” is not a code that can be kept")
        if "states" in given and "state" in given:
            for value, lines in _by(kept, lambda row: row.values[given["state"]]).items():
                if value not in given["states"]:
                    reason = f"`states` does not say what “{value}” means"
                    self.findings.many(file, lines, reason)
        attributes = _kind(kind).attributes
        wrong: dict[str, list[int]] = {}
        specs: list[AssetSpec] = []
        for row, x, y in zip(kept, lon.tolist(), lat.tolist(), strict=True):
            state: str | None = None
            if "state" in given:
                said = row.values[given["state"]]
                state = given.get("states", {}).get(said, said)
                if state == IGNORED:
                    continue
            values = {
                code: clean(row.values[name]).strip()
                for code, name in given["attributes"].items()
                if row.values[name].strip()
            }
            error = attribute_error(attributes, values)
            if error is not None:
                reason = f"“{values[error[0]][:80]}” does not do as “{error[0]}”: {error[1]}"
                wrong.setdefault(reason, []).append(row.line)
                continue
            code = clean(row.values[column]).strip()
            specs.append(AssetSpec(file, row.line, code, y, x, state, values))
        for reason, lines in wrong.items():
            self.findings.many(file, lines, reason)
        return specs

    def _rows(self, given: Mapping[str, Any]) -> tuple[list[city_files.Row], Any, Any]:
        """Rows with a usable position, and their longitudes and latitudes."""
        file, wanted = given["path"], [given["code"], *given["attributes"].values()]
        if "state" in given:
            wanted.append(given["state"])
        if type_of(file) == "csv":
            columns = [*wanted, given["lat"], given["lon"]]
            rows = city_files.read_csv(
                self.folder, file, columns, given["delimiter"], self.findings
            )
            return self.places.positions(file, rows, given["lon"], given["lat"], given["crs"])
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
        return self.places.positions(file, rows, "lon", "lat", city_files.WGS84)


def _kind(kind: Mapping[str, Any]) -> KindSpec:
    adoption = {key: value for key, value in kind["adoption"].items() if key != "limit"}
    if "limit" in kind["adoption"]:
        adoption["limit_per_volunteer"] = kind["adoption"]["limit"]
    care: dict[str, Any] = {}
    if kind["care"].get("actions"):
        care["actions"] = [
            {
                "code": action["code"],
                "names": action["name"],
                "unit": action.get("unit", {}),
                "is_problem": action["problem"],
            }
            for action in kind["care"]["actions"]
        ]
    if "every_days" in kind["care"]:
        care["every_days"] = kind["care"]["every_days"]
    season = kind.get("season")
    return KindSpec(
        code=kind["code"],
        names=kind["name"],
        icon=kind.get("icon"),
        attributes=[
            {
                "code": attribute["code"],
                "datatype": attribute["datatype"],
                "names": attribute["name"],
                "values": [
                    {"key": key, "names": names}
                    for key, names in attribute.get("values", {}).items()
                ],
            }
            for attribute in kind["attributes"]
        ],
        is_adoptable=kind["adoptable"],
        adoption=adoption,
        care=care,
        corrections=({"confirmations": kind["confirmations"]} if "confirmations" in kind else {}),
        season=season and {"from": season["start"], "to": season["end"]},
        owner_team=kind.get("owner_team"),
        services=kind["services"],
        link_radius_m=kind["link_radius_m"],
        match_radius_m=kind["match_radius_m"],
        files=[*kind["files"], *kind["imports"]],
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _by(
    rows: Sequence[city_files.Row], key: Callable[[city_files.Row], str]
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row.line)
    return found
