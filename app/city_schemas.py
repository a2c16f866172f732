"""What the YAML files of a city folder may say: every key, its type and its bounds.

Schemas see one file at a time. What two files must agree on (teams named by rules, files named by
keys) is checked by `app.city_reading`. `docs/city-folder.md` explains the keys to people.
"""

from __future__ import annotations

import difflib
import itertools
import zoneinfo
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import holidays
import marshmallow as ma
from marshmallow import fields, validate

from accounts.models import DigestChoice
from app.city_downstream import DownstreamIn
from app.city_fields import (
    LOCALE,
    Clock,
    Code,
    Coded,
    Crs,
    MonthDay,
    Period,
    Schema,
    Text,
    Translated,
    number,
    one_of,
    whole,
)
from app.city_files import Document, Findings
from app.city_sign_in import SignInIn
from assets.importing.mapping import type_of
from reports.loading import RECURRENCE_DAYS
from reports.routing.rules import PRIORITIES
from reports.vocabulary import Recurrence, ServiceKind
from sensing.policy import BELIEF, FEWEST_SHOWN, SEVERITY, TRIPS, TRIPS_PER_PERSON
from sensing.vocabulary import KnownAs

#: The version of the format that this code reads.
FORMAT = 1

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DATATYPES = ("string", "number", "datetime", "text", "singlevaluelist", "multivaluelist")
LIST_DATATYPES = ("singlevaluelist", "multivaluelist")
ASSET_STATES = ("in_service", "out_of_order", "removed", "moved", "ignored")


# city.yaml


class ContactIn(Schema):
    name = Translated()
    email = fields.Email()
    phone = Text(longest=40)
    url = fields.Url()


class CenterIn(Schema):
    lat = number(-90, 90, required=True)
    lon = number(-180, 180, required=True)


class BoundaryIn(Schema):
    file = Text(required=True)
    crs = Crs(load_default="EPSG:4326")
    buffer_m = number(0, 5_000, load_default=0.0)


class LayerIn(Schema):
    layer = Code(required=True)
    name = Translated(required=True)
    file = Text(required=True)
    crs = Crs(load_default="EPSG:4326")
    code = Text(required=True)
    label = fields.Raw(required=True)

    @ma.validates("label")
    def _check_label(self, value: Any, **_: Any) -> None:
        names = value.values() if isinstance(value, dict) and value else [value]
        if not all(isinstance(name, str) and name for name in names):
            raise ma.ValidationError("is the name of a property, or one for each language")


class AddressColumnsIn(Schema):
    number = Text(required=True)
    suffix = Text()
    street = Text(required=True)
    code = Text()
    postcode = Text()
    locality = Text()
    lat = Text(required=True)
    lon = Text(required=True)


class AddressesIn(Schema):
    file = Text(required=True)
    crs = Crs(load_default="EPSG:4326")
    delimiter = fields.String(load_default=",", validate=validate.Length(equal=1))
    columns = fields.Nested(AddressColumnsIn, required=True)
    locality = Text()
    postcode = Text()


class QuietHoursIn(Schema):
    start = Clock(required=True, data_key="from")
    end = Clock(required=True, data_key="to")


class DuplicatesIn(Schema):
    radius_m = number(1, 1_000, load_default=30.0)
    days = number(0.01, 730, load_default=30.0)
    join_at = number(0, 2)
    suggest_at = number(0, 2)


class EvidenceStepIn(Schema):
    people = whole(2, 10_000, required=True)
    priority = one_of(*(word for word, level in PRIORITIES.items() if level > 0), required=True)


class RetentionIn(Schema):
    contacts_days = whole(1, 36_500)
    photos_days = whole(1, 36_500)


class RoadDefectsIn(Schema):
    service = Code(required=True)
    attributes = fields.Dict(keys=fields.String(), load_default=dict)
    belief = number(0.5, 1, load_default=BELIEF)
    severity = number(0, 10, load_default=SEVERITY)
    trips = whole(FEWEST_SHOWN, 10_000, load_default=TRIPS)
    trips_per_person = whole(1, 10_000, load_default=TRIPS_PER_PERSON)
    known_as = fields.Dict(keys=Code(), values=one_of(*KnownAs), load_default=dict)


class PolicyIn(Schema):
    quiet_hours = fields.Nested(QuietHoursIn, allow_none=True)
    duplicates = fields.Nested(DuplicatesIn, load_default=lambda: {"radius_m": 30.0, "days": 30.0})
    moderation = one_of("none", "before_publication", load_default="none")
    anonymous = one_of("open", "proof_of_work", load_default="open")
    public_precision = one_of("exact", "block", load_default="exact")
    recurrence = one_of(*Recurrence, load_default=Recurrence.NEW.value)
    recurrence_days = whole(0, 730, load_default=RECURRENCE_DAYS)
    evidence_priority = fields.List(fields.Nested(EvidenceStepIn))
    reopen_days = whole(0, 730, load_default=14)
    close_after_days = whole(0, 730, load_default=14)
    retention = fields.Nested(RetentionIn)
    sign_in = fields.Nested(SignInIn)
    road_defects = fields.Nested(RoadDefectsIn)


class CityIn(Schema):
    """`city.yaml`."""

    format = fields.Integer(required=True, strict=True)
    code = Code(required=True)
    name = Translated(required=True)
    country = fields.String(required=True)
    subdivision = fields.String()
    time_zone = fields.String(required=True)
    locales = fields.List(fields.String(), required=True, validate=validate.Length(min=1))
    default_locale = fields.String()
    contact = fields.Nested(ContactIn, load_default=dict)
    center = fields.Nested(CenterIn, required=True)
    boundary = fields.Nested(BoundaryIn, required=True)
    areas = fields.List(fields.Nested(LayerIn), load_default=list)
    addresses = fields.Nested(AddressesIn)
    closed_days = Text()
    policy = fields.Nested(PolicyIn, load_default=lambda: PolicyIn().load({}))

    @ma.validates("format")
    def _check_format(self, value: int, **_: Any) -> None:
        if value != FORMAT:
            raise ma.ValidationError(f"this version reads format {FORMAT}, not {value}")

    @ma.validates("time_zone")
    def _check_time_zone(self, value: str, **_: Any) -> None:
        if value not in zoneinfo.available_timezones():
            raise ma.ValidationError(f"“{value}” is not a time zone such as Europe/Paris")

    @ma.validates("locales")
    def _check_locales(self, value: list[str], **_: Any) -> None:
        for locale in value:
            if not LOCALE.fullmatch(locale):
                raise ma.ValidationError(f"“{locale}” is not a language code such as fr or en")
        if len(set(value)) < len(value):
            raise ma.ValidationError("a language stands here twice")

    @ma.validates("country")
    def _check_country(self, value: str, **_: Any) -> None:
        if value not in holidays.list_supported_countries(include_aliases=False):
            raise ma.ValidationError(
                f"“{value}” is not a two-letter country whose public holidays are known"
            )

    @ma.validates_schema
    def _check_agreement(self, data: Mapping[str, Any], **_: Any) -> None:
        regions = holidays.list_supported_countries(include_aliases=False)
        region = data.get("subdivision")
        if region is not None and region not in regions.get(data.get("country", ""), ()):
            raise ma.ValidationError("is not a region of the country", "subdivision")
        if "default_locale" in data and data["default_locale"] not in data["locales"]:
            raise ma.ValidationError("is not one of the locales", "default_locale")


# services.yaml


class ServiceLevelIn(Schema):
    hours = number(0.25, 87_600)
    working_days = number(1, 3_650)
    clock = one_of("calendar", "working")
    cut_off = Clock()
    to_the_hour = fields.Boolean()

    @ma.validates_schema
    def _check_choice(self, data: Mapping[str, Any], **_: Any) -> None:
        if ("hours" in data) == ("working_days" in data):
            raise ma.ValidationError("give either hours or working_days")
        if "working_days" in data and data.get("clock") == "calendar":
            raise ma.ValidationError("working days are on the working clock", "clock")
        if "hours" in data and "clock" not in data:
            raise ma.ValidationError("say calendar or working", "clock")
        if "hours" in data and data.get("to_the_hour"):
            raise ma.ValidationError("hours are to the hour anyhow", "to_the_hour")


class AttributeIn(Schema):
    code = Code(required=True)
    datatype = one_of(*DATATYPES, required=True)
    required = fields.Boolean(load_default=False)
    variable = fields.Boolean(load_default=True)
    description = Translated(required=True)
    datatype_description = Translated()
    values = Coded(Translated(), free_keys=True)

    @ma.validates_schema
    def _check_values(self, data: Mapping[str, Any], **_: Any) -> None:
        if data["required"] and not data["variable"]:
            raise ma.ValidationError("what only informs cannot be required", "required")
        is_list = data["datatype"] in LIST_DATATYPES
        if is_list and not data.get("values"):
            raise ma.ValidationError("a list needs at least one value", "values")
        if not is_list and "values" in data:
            raise ma.ValidationError(f"a {data['datatype']} has no values", "values")


class EmergencyIn(Schema):
    phone = Text(required=True, longest=40)
    text = Translated(Text(longest=500), required=True)


class ServiceIn(Schema):
    code = Code(required=True)
    group = Code(required=True)
    name = Translated(required=True)
    description = Translated(Text(longest=500), required=True)
    keywords = Translated(fields.List(Text(longest=60)))
    type = one_of(*(kind.value for kind in ServiceKind), load_default="realtime")
    family = Code()
    duplicate_radius_m = number(1, 1_000)
    duplicate_days = number(0.01, 730)
    duplicate_join_at = number(0, 2)
    duplicate_suggest_at = number(0, 2)
    recurrence = one_of(*Recurrence)
    recurrence_days = whole(0, 730)
    evidence_priority = fields.List(fields.Nested(EvidenceStepIn))
    service_level = fields.Nested(ServiceLevelIn)
    reopen_days = whole(0, 730)
    close_after_days = whole(0, 730)
    volunteers_resolve = fields.Boolean(load_default=False)
    public_precision = one_of("exact", "block")
    moderation = one_of("none", "before_publication")
    retention = fields.Nested(RetentionIn)
    emergency = fields.Nested(EmergencyIn)
    attributes = fields.List(fields.Nested(AttributeIn), load_default=list)

    @ma.validates_schema
    def _check_emergency(self, data: Mapping[str, Any], **_: Any) -> None:
        if "emergency" in data and data["attributes"]:
            raise ma.ValidationError("an emergency cannot be filed: it has none", "attributes")


class ServicesIn(Schema):
    """`services.yaml`."""

    groups = Coded(Translated(), required=True)
    services = fields.List(fields.Nested(ServiceIn), required=True, validate=validate.Length(min=1))


# teams.yaml


class CalendarIn(Schema):
    monday = fields.List(Period())
    tuesday = fields.List(Period())
    wednesday = fields.List(Period())
    thursday = fields.List(Period())
    friday = fields.List(Period())
    saturday = fields.List(Period())
    sunday = fields.List(Period())
    works_on_holidays = fields.Boolean(load_default=False)

    @ma.validates_schema
    def _check_periods(self, data: Mapping[str, Any], **_: Any) -> None:
        periods = {day: data[day] for day in WEEKDAYS if data.get(day)}
        if not periods:
            raise ma.ValidationError("the calendar has no working hours")
        for day, spans in periods.items():
            ordered = all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
            if not ordered:
                raise ma.ValidationError("periods overlap or are out of order", day)


class TeamIn(Schema):
    code = Code(required=True)
    name = Translated(required=True)
    agency = Text()
    email = fields.Email()
    locale = fields.String(validate=validate.Regexp(LOCALE.pattern + r"\Z"))
    calendar = Code()
    digest = one_of(*(choice.value for choice in DigestChoice), load_default="daily")
    downstream = Code()


class TeamsIn(Schema):
    """`teams.yaml`."""

    calendars = Coded(fields.Nested(CalendarIn), load_default=dict)
    downstream = Coded(fields.Nested(DownstreamIn), load_default=dict)
    teams = fields.List(fields.Nested(TeamIn), required=True, validate=validate.Length(min=1))


# assets.yaml


class AssetAttributeIn(Schema):
    code = Code(required=True)
    datatype = one_of(*DATATYPES, required=True)
    name = Translated(required=True)
    values = Coded(Translated(), free_keys=True)


class AssetColumnsIn(Schema):
    """How a file of assets is written."""

    crs = Crs(load_default="EPSG:4326")
    delimiter = fields.String(load_default=",", validate=validate.Length(equal=1))
    code = Text(required=True)
    lat = Text()
    lon = Text()
    attributes = Coded(Text(), load_default=dict)
    state = Text()
    states = Coded(one_of(*ASSET_STATES), free_keys=True)


class AssetFileIn(AssetColumnsIn):
    """A file that the folder ships."""

    path = Text(required=True)

    @ma.validates("path")
    def _check_path(self, value: str, **_: Any) -> None:
        if type_of(value) not in ("csv", "geojson"):
            raise ma.ValidationError("a folder ships .csv and .geojson files, gzipped or not")

    @ma.validates_schema
    def _check_position(self, data: Mapping[str, Any], **_: Any) -> None:
        is_table = type_of(data["path"]) == "csv"
        if is_table and not ("lat" in data and "lon" in data):
            raise ma.ValidationError("a table needs the columns lat and lon")
        if not is_table and ("lat" in data or "lon" in data):
            raise ma.ValidationError("GeoJSON has its own positions: leave lat and lon out")


class AssetImportIn(AssetColumnsIn):
    """A file that `flask assets import` brings; `path` is its name, to know it by."""

    crs = Crs()
    delimiter = fields.String(validate=validate.Length(equal=1))
    encoding = Text(longest=40)
    path = Text()
    layer = Text()


class AdoptionIn(Schema):
    capacity = whole(1, 50)
    term_days = whole(1, 3_650)
    limit = whole(1, 1_000)
    reminder_days = fields.List(whole(0, 365), validate=validate.Length(max=5))
    nudges = whole(1, 20)
    nudge_days = whole(1, 365)


class CareActionIn(Schema):
    code = Code(required=True)
    name = Translated(required=True)
    unit = Translated(Text(longest=40))
    problem = fields.Boolean(load_default=False)


class CareIn(Schema):
    every_days = whole(1, 3_650)
    actions = fields.List(fields.Nested(CareActionIn), load_default=list)


class SeasonIn(Schema):
    start = MonthDay(required=True, data_key="from")
    end = MonthDay(required=True, data_key="to")


class AssetKindIn(Schema):
    code = Code(required=True)
    name = Translated(required=True)
    icon = Code()
    adoptable = fields.Boolean(load_default=False)
    adoption = fields.Nested(AdoptionIn, load_default=dict)
    care = fields.Nested(CareIn, load_default=dict)
    confirmations = whole(1, 100)
    season = fields.Nested(SeasonIn)
    owner_team = Code()
    services = fields.List(Code(), load_default=list)
    link_radius_m = number(1, 500, load_default=25.0)
    match_radius_m = number(0, 100, load_default=5.0)
    attributes = fields.List(fields.Nested(AssetAttributeIn), load_default=list)
    files = fields.List(fields.Nested(AssetFileIn), load_default=list)
    imports = fields.List(fields.Nested(AssetImportIn), load_default=list)

    @ma.validates_schema
    def _check_adoption(self, data: Mapping[str, Any], **_: Any) -> None:
        if data["adoption"] and not data["adoptable"]:
            raise ma.ValidationError("nobody can adopt one: say adoptable: true", "adoption")


class AssetsIn(Schema):
    """`assets.yaml`."""

    kinds = fields.List(fields.Nested(AssetKindIn), required=True)


# closed days


def parse_date(text: str) -> date:
    """The day of an ISO date.

    Raises:
        ValueError: it is not one.
    """
    return date.fromisoformat(text.strip())


# From errors to faults


def load(schema: Schema, document: Document, findings: Findings) -> dict[str, Any] | None:
    """What the document says, checked; None after faults, all of which are noted."""
    try:
        loaded: dict[str, Any] = schema.load(document.data)
    except ma.ValidationError as error:
        for path, message in _flat(error.messages, ()):
            reason = _sentence(schema, path, message)
            findings.fault(document.file, document.line(path), reason)
        return None
    return loaded


def _flat(messages: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _flat(inner, path if key == "_schema" else (*path, key))
    elif isinstance(messages, list):
        for message in messages:
            yield from _flat(message, path)
    else:
        yield path, str(messages)


def _sentence(schema: Schema, path: tuple[Any, ...], message: str) -> str:
    name = ".".join(str(part) for part in path if isinstance(part, str)) or "the file"
    key = str(path[-1]) if path else ""
    match message:
        case "Unknown field.":
            close = difflib.get_close_matches(key, _keys_at(schema, path[:-1]), n=1)
            hint = f": did you mean “{close[0]}”?" if close else ""
            return f"unknown key “{key}”{hint}"
        case "Missing data for required field.":
            return f"“{key}” is missing"
        case "Field may not be null.":
            return f"“{name}” has no value"
        case _:
            words = message[:1].lower() + message[1:] if message else message
            return f"“{name}” {words.rstrip('.')}" if path else words.rstrip(".")


def _keys_at(schema: ma.Schema, path: tuple[Any, ...]) -> list[str]:
    """The keys that may stand at that path of a document."""
    here: Any = schema
    for part in path:
        if isinstance(here, ma.Schema):
            by_key = {field.data_key or name: field for name, field in here.fields.items()}
            here = by_key.get(str(part))
        elif isinstance(here, fields.List | Coded):
            here = here.inner
        if isinstance(here, fields.Nested):
            here = here.schema
    if not isinstance(here, ma.Schema):
        return []
    return [field.data_key or name for name, field in here.fields.items()]
