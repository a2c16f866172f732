"""The assets of a city folder: checked when the city is loaded, not loaded with it.

A kind is described in `assets.yaml`; its files are read to see that they can be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from app import city_files
from app.city_files import Document, Findings
from app.city_places import Places


class Assets:
    """Checks the kinds of assets and their files."""

    def __init__(self, folder: Path, places: Places, findings: Findings) -> None:
        self.folder = folder
        self.places = places
        self.findings = findings

    def counts(
        self,
        document: Document,
        loaded: Mapping[str, Any],
        *,
        teams: Collection[str] | None,
        services: Collection[str] | None,
    ) -> dict[str, int]:
        """How many assets each kind has.

        Args:
            teams, services: codes that kinds may name; None when they are not known.
        """
        kinds = loaded["kinds"]
        city_files.note_repeats(document, "kinds", [kind["code"] for kind in kinds], self.findings)
        counts: dict[str, int] = {}
        for index, kind in enumerate(kinds):
            owner = kind.get("owner_team")
            if teams is not None and owner is not None and owner not in teams:
                line = document.line(("kinds", index, "owner_team"))
                self.findings.fault(document.file, line, f"there is no team “{owner}”")
            for place, code in enumerate(kind["services"]):
                if services is not None and code not in services:
                    line = document.line(("kinds", index, "services", place))
                    self.findings.fault(document.file, line, f"there is no service “{code}”")
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
                self.findings.fault(document.file, line, f"the kind has no attribute “{code}”")
            if not city_files.holds(self.folder, document, path, given["path"], self.findings):
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
        kept, _, _ = self.places.positions(
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


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _by(
    rows: Sequence[city_files.Row], key: Callable[[city_files.Row], str]
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row.line)
    return found
