"""The folder of the real Boston of 2011, made from its published 311 cases and its boundaries.

It exists to replay that history through intake and pipeline. It does not ship: nobody stated the
licence of the boundaries. Services, teams and rules are read off the cases and nothing is learned:
a service is a case type, a team is a queue, and a rule sends a type to the queue that most of its
cases went to. So its agreement with the city's own routing is an upper bound of such a table, not
a measure of it; `flask evaluate routing` measures.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import shapely
import shapely.geometry
from ruamel.yaml import YAML

from core.text import fold

_CASES = "boston311/cases.csv.gz"
_SERVICES = "services/boston_2011_services.csv"
_WARDS = "boundaries/boston_wards.geojson"
_NEIGHBORHOODS = "boundaries/boston_neighborhoods_bpda.geojson"

#: Cases on a bridge or a pier lie a little outside the wards.
BUFFER_M = 250

#: Two cases of one type this close and this recent may be one.
DUPLICATES = {"radius_m": 20, "days": 7}

_FRONT_DESK = "front-desk"


class DataMissingError(Exception):
    """The folder does not hold the files that a city is to be made from."""


@dataclass(frozen=True, slots=True)
class _Case:
    type: str
    reason: str
    department: str
    queue: str


def build(data: Path, out: Path) -> dict[str, int]:
    """Write the folder to `out`; how many there are of each part.

    Raises:
        DataMissingError: a file is not there.
    """
    missing = [
        name for name in (_CASES, _SERVICES, _WARDS, _NEIGHBORHOODS) if not (data / name).is_file()
    ]
    if missing:
        raise DataMissingError(f"{data} does not hold {', '.join(missing)}")
    cases = _read_cases(data / _CASES)
    levels = _service_levels(data / _SERVICES)
    wards = _areas(data / _WARDS, lambda p: (f"ward-{p['WARD']}", f"Ward {p['WARD']}"))
    neighborhoods = _areas(data / _NEIGHBORHOODS, lambda p: (code_of(p["name"]), p["name"]))
    (out / "areas").mkdir(parents=True, exist_ok=True)
    boundary = shapely.union_all([shape for _, _, shape in wards])
    _write_areas(out / "areas/wards.geojson", wards)
    _write_areas(out / "areas/neighborhoods.geojson", neighborhoods)
    _write_areas(out / "areas/boundary.geojson", [("boston", "Boston", boundary)])
    services = _services(cases, levels)
    teams = _teams(cases)
    _write_yaml(out / "city.yaml", _city())
    _write_yaml(out / "services.yaml", services)
    _write_yaml(out / "teams.yaml", teams)
    rules = _rules(cases)
    (out / "routing.rules").write_text(rules, encoding="utf-8")
    return {
        "wards": len(wards),
        "neighborhoods": len(neighborhoods),
        "services": len(services["services"]),
        "teams": len(teams["teams"]),
        "rules": rules.count("\nrule ") + 1,
    }


def code_of(name: str) -> str:
    """The code of a case type, queue or neighborhood."""
    return fold(name).replace(" ", "-")[:80].strip("-")


def _read_cases(path: Path) -> list[_Case]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [
            _Case(_tidy(row["type"]), _tidy(row["reason"]), row["department"], row["queue"])
            for row in csv.DictReader(file)
        ]


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _service_levels(path: Path) -> dict[str, float]:
    """Case type → hours, of the row with the most cases."""
    found: dict[str, tuple[int, float]] = {}
    for row in csv.DictReader(StringIO(path.read_text(encoding="utf-8"))):
        if row["median_sla_hours"]:
            candidate = (int(row["n_cases"]), float(row["median_sla_hours"]))
            name = _tidy(row["type"])
            found[name] = max(found.get(name, (0, 0.0)), candidate)
    return {name: hours for name, (_, hours) in found.items() if hours >= 1}


# Places


def _areas(
    path: Path, name: Callable[[Mapping[str, Any]], tuple[str, str]]
) -> list[tuple[str, str, Any]]:
    """Code, name and repaired polygon of each feature."""
    found = []
    for feature in json.loads(path.read_text(encoding="utf-8"))["features"]:
        code, label = name(feature["properties"])
        shape = shapely.make_valid(shapely.geometry.shape(feature["geometry"]))
        found.append((code, label, _polygons(shapely.set_precision(shape, 1e-6))))
    return found


def _polygons(shape: Any) -> Any:
    """Without the stray lines and points that a repair can leave."""
    parts = [part for part in shapely.get_parts(shape) if part.geom_type.endswith("Polygon")]
    return shapely.union_all(parts)


def _write_areas(path: Path, areas: Iterable[tuple[str, str, Any]]) -> None:
    features = [
        json.dumps(
            {
                "type": "Feature",
                "properties": {"code": code, "name": name},
                "geometry": shapely.geometry.mapping(shape),
            }
        )
        for code, name, shape in areas
    ]
    body = ",\n".join(features)
    path.write_text(f'{{"type": "FeatureCollection", "features": [\n{body}\n]}}\n', "utf-8")


# Work


def _city() -> dict[str, Any]:
    layers = [("wards", "Wards"), ("neighborhoods", "Neighborhoods")]
    return {
        "format": 1,
        "code": "boston",
        "name": {"en": "Boston"},
        "country": "US",
        "subdivision": "MA",
        "time_zone": "America/New_York",
        "locales": ["en"],
        "default_locale": "en",
        "center": {"lat": 42.3605, "lon": -71.0580},
        "boundary": {"file": "areas/boundary.geojson", "buffer_m": BUFFER_M},
        "areas": [
            {
                "layer": layer,
                "name": {"en": name},
                "file": f"areas/{layer}.geojson",
                "code": "code",
                "label": "name",
            }
            for layer, name in layers
        ],
        "policy": {"duplicates": DUPLICATES},
    }


def _services(cases: Sequence[_Case], levels: Mapping[str, float]) -> dict[str, Any]:
    reason_of = _majority((case.type, case.reason) for case in cases)
    services: list[dict[str, Any]] = []
    for name in sorted(reason_of, key=lambda name: (reason_of[name], name)):
        service: dict[str, Any] = {
            "code": code_of(name),
            "group": code_of(reason_of[name]),
            "name": {"en": name},
            "description": {"en": f"{name} ({reason_of[name]})."},
            "keywords": {"en": sorted(set(re.findall(r"[a-z]{3,}", name.lower())))},
        }
        if name in levels:
            service["service_level"] = {"hours": levels[name], "clock": "calendar"}
        services.append(service)
    groups = {code_of(reason): {"en": reason} for reason in sorted(set(reason_of.values()))}
    return {"groups": groups, "services": services}


def _teams(cases: Sequence[_Case]) -> dict[str, Any]:
    department_of = _majority((case.queue, case.department) for case in cases)
    days = ("monday", "tuesday", "wednesday", "thursday", "friday")
    teams = [
        {
            "code": code_of(queue),
            "name": {"en": queue},
            "agency": department_of[queue],
            "calendar": "office",
            "digest": "off",
        }
        for queue in sorted(department_of)
    ]
    teams.append({"code": _FRONT_DESK, "name": {"en": "Front desk"}, "digest": "off"})
    return {"calendars": {"office": {day: ["08:00-17:00"] for day in days}}, "teams": teams}


def _rules(cases: Sequence[_Case]) -> str:
    """One rule for each queue that most cases of some type went to."""
    types_of: dict[str, list[str]] = defaultdict(list)
    for name, queue in _majority((case.type, case.queue) for case in cases).items():
        types_of[queue].append(code_of(name))
    rules = []
    for queue in sorted(types_of):
        services = ",\n               ".join(sorted(types_of[queue]))
        team = code_of(queue)
        rules.append(f"rule {team}\n  when service {services}\n  then team {team}\n")
    return "\n".join(rules) + f"\notherwise team {_FRONT_DESK}\n"


def _majority(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each first, its most frequent second; of equals the one first in the alphabet."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for first, second in pairs:
        counts[first][second] += 1
    return {
        first: min(found, key=lambda second: (-found[second], second))
        for first, found in counts.items()
    }


def _write_yaml(path: Path, data: Mapping[str, Any]) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = 100
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(data, file)
