"""What a city folder says of road defects, held against its services and kinds of assets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.city_files import Document, Findings
from reports import attributes
from reports.attributes import definitions_of
from reports.loading import ServiceSpec


def check(
    city: Mapping[str, Any],
    document: Document,
    services: Sequence[ServiceSpec],
    kinds: Collection[str],
    findings: Findings,
) -> None:
    """Note a service that there is not or that cannot be filed, answers that it does not take, and
    kinds of assets that there are not."""
    said = city["policy"].get("road_defects")
    if said is None:
        return
    path = ("policy", "road_defects")

    def fault(key: str, reason: str) -> None:
        findings.fault(document.file, document.line((*path, key)), reason)

    service = next((each for each in services if each.code == said["service"]), None)
    if service is None:
        fault("service", f"there is no service “{said['service']}”")
    elif service.emergency is not None:
        fault("service", f"“{said['service']}” is an emergency: it cannot be filed")
    else:
        checked = attributes.check(definitions_of(service.attributes), said["attributes"])
        for code, reasons in checked.errors.items():
            key = "attributes" if said["attributes"] else "service"
            fault(key, f"“{said['service']}” asks for “{code}”: {' '.join(reasons)}")
    for kind in said["known_as"]:
        if kind not in kinds:
            fault("known_as", f"there is no kind of asset “{kind}”")
