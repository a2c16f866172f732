"""What `teams.yaml` of a city folder may say of other systems in which its teams live."""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection, Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields

from app.city_fields import Code, Coded, Schema, Text, one_of, whole
from app.city_files import Document, Findings
from core.outgoing import OutgoingRefusedError, check_url
from open311.downstream import EndpointSpec, ServiceMap
from open311.rules import ListStyle
from reports.vocabulary import Status


class ServiceMapIn(Schema):
    code = Text(required=True)
    attributes = Coded(Text())
    values = Coded(Coded(Text(), free_keys=True), load_default=dict)
    fixed = Coded(Text(longest=500), free_keys=True, load_default=dict)


class ServiceEntry(fields.Field[ServiceMap]):
    """Their code of a service; or a mapping that says more."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> ServiceMap:
        if isinstance(value, dict):
            return ServiceMap(**ServiceMapIn().load(value))
        if isinstance(value, int):
            raise ma.ValidationError("is a number: put it in quotes")
        return ServiceMap(Text().deserialize(value))


class DownstreamIn(Schema):
    """One other system."""

    url = fields.String(required=True)
    jurisdiction_id = Text()
    key = Code()
    format = one_of("json", "xml", load_default="json")
    list = one_of(*(style.value for style in ListStyle), load_default=ListStyle.IDS.value)
    services = Coded(ServiceEntry(), load_default=dict)
    default_service = Text()
    statuses = Coded(one_of(*(status.value for status in Status)), free_keys=True)
    updates = fields.Boolean(load_default=False)
    notes = one_of("public", "internal", load_default="public")
    poll_minutes = whole(1, 1440, load_default=5)
    overlap_minutes = whole(0, 1440, load_default=15)
    batch_size = whole(1, 200, load_default=50)
    token_hours = whole(1, 8760, load_default=72)
    settle_minutes = whole(1, 1440, load_default=3)
    time_zone = fields.String(load_default="UTC")
    held = fields.Boolean(load_default=False)
    idempotent = fields.Boolean(load_default=False)
    key_for_reading = fields.Boolean(load_default=False)
    extensions = fields.Boolean(load_default=False)

    @ma.validates("url")
    def _check_url(self, value: str, **_: Any) -> None:
        try:
            check_url(value)
        except OutgoingRefusedError as error:
            raise ma.ValidationError(f"is not an address that is called ({error})") from None
        if "?" in value or "#" in value:
            raise ma.ValidationError("ends before “?”: what comes there is added at each call")
        if value.rstrip("/").endswith((".json", ".xml")):
            raise ma.ValidationError("is the address of the endpoint, up to “/v2”")

    @ma.validates("time_zone")
    def _check_time_zone(self, value: str, **_: Any) -> None:
        if value not in zoneinfo.available_timezones():
            raise ma.ValidationError(f"“{value}” is not a time zone such as Europe/Paris")


def endpoint_specs(loaded: Mapping[str, Any]) -> list[EndpointSpec]:
    """The other systems of `teams.yaml`, as they are loaded."""
    return [
        EndpointSpec(
            **{
                **given,
                "code": code,
                "url": given["url"].rstrip("/"),
                "list": ListStyle(given["list"]),
            }
        )
        for code, given in loaded["downstream"].items()
    ]


def check(
    loaded: Mapping[str, Any],
    document: Document,
    services: Collection[str] | None,
    findings: Findings,
) -> None:
    """Note what teams and endpoints say of each other, and of services, that does not hold.

    Args:
        services: codes; None where the catalogue could not be read.
    """
    endpoints = loaded["downstream"]
    for index, team in enumerate(loaded["teams"]):
        if "downstream" in team and team["downstream"] not in endpoints:
            line = document.line(("teams", index, "downstream"))
            reason = f"there is no downstream “{team['downstream']}” in this file"
            findings.fault(document.file, line, reason)
    used = {team.get("downstream") for team in loaded["teams"]}
    for code, endpoint in endpoints.items():
        if code not in used:
            line = document.line(("downstream", code))
            findings.warn(document.file, line, f"no team lives in “{code}”")
        for service in endpoint["services"]:
            if services is not None and service not in services:
                line = document.line(("downstream", code, "services", service))
                findings.fault(document.file, line, f"there is no service “{service}”")
