"""Forms of the register: which assets, an asset as GeoJSON, what staff say of one."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from assets.queries import MOST_IN_BOX
from assets.vocabulary import AssetState, Origin, Part
from core.api import Schema, Text
from core.pagination import DEFAULT_LIMIT, MAX_LIMIT
from reports.field_types import BoxField, Instant, ListField, PointField
from reports.schemas import MAX_RADIUS_M, LocaleQuery, NamedOut, ReportOut

#: The nearest ones are few; whoever wants more asks for a circle.
MOST_NEAREST = 50

LONGEST_CODE = 100


class StatesField(ListField):
    """States with commas between."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        names = super()._deserialize(value, attr, data, **kwargs)
        unknown = [name for name in names if name not in list(AssetState)]
        if unknown:
            raise ma.ValidationError(
                f"{unknown[0]!r} is no state; one of: {', '.join(AssetState)}."
            )
        return tuple(dict.fromkeys(AssetState(name) for name in names))


class AssetsQuery(LocaleQuery):
    """Which assets; without a state, those that are there."""

    jurisdiction = Text(max_length=100)
    bbox = BoxField(metadata={"description": "west,south,east,north", "example": "3.8,43.5,4,43.7"})
    near = PointField(metadata={"description": "lat,lon; with radius_m or nearest"})
    radius_m = fields.Float(validate=ma.validate.Range(min=0, max=MAX_RADIUS_M))
    nearest = fields.Integer(
        validate=ma.validate.Range(min=1, max=MOST_NEAREST),
        metadata={
            "description": "So many, nearest first: within radius_m, or within five kilometres."
        },
    )
    kind = ListField(most=1000, metadata={"description": "One, or several with commas."})
    state = StatesField(most=200, metadata={"description": "One, or several with commas."})
    adopted = fields.Boolean(
        metadata={"description": "true: somebody looks after it; false: it can be adopted now."}
    )
    q = Text(
        max_length=200,
        metadata={"description": "Beginnings of words of its code and attributes."},
    )
    code = Text(
        max_length=LONGEST_CODE, metadata={"description": "The city's own, whole; `q` finds parts."}
    )
    cluster = fields.String(
        validate=ma.validate.OneOf(["auto", "never"]),
        metadata={
            "description": f"auto: a box that holds more than {MOST_IN_BOX} (or than `limit`, if"
            " one is given) is answered with counts by cell. The default where a bbox is given"
            " without limit and cursor."
        },
    )
    limit = fields.Integer(validate=ma.validate.Range(min=1, max=MOST_IN_BOX))
    cursor = Text(max_length=400, metadata={"description": "`next` of the page before."})

    @ma.validates_schema
    def _circle_is_whole(self, data: dict[str, Any], **_kwargs: Any) -> None:
        is_measured = "radius_m" in data or "nearest" in data
        if ("near" in data) != is_measured:
            missing = "radius_m" if "near" in data else "near"
            raise ma.ValidationError("A circle needs both near and radius_m.", missing)


class GeometryOut(Schema):
    """A GeoJSON point: longitude, latitude."""

    type = fields.String(required=True)
    coordinates = fields.List(fields.Float(), required=True)


class AssetPropertiesOut(Schema):
    """What is known of an asset."""

    code = fields.String(required=True, metadata={"description": "The city's own."})
    kind = fields.String(required=True)
    kind_name = fields.String(required=True)
    icon = fields.String(required=True, allow_none=True)
    jurisdiction = fields.String(required=True)
    state = fields.Enum(AssetState, by_value=True, required=True)
    attributes = fields.Dict(required=True)
    adoptable = fields.Boolean(required=True)
    adopted = fields.Boolean(required=True)
    free = fields.Boolean(required=True, metadata={"description": "Somebody may adopt it now."})
    owner = fields.Nested(
        NamedOut,
        required=True,
        allow_none=True,
        metadata={"description": "The team that looks after it."},
    )
    version = fields.Integer(required=True)
    since = Instant(required=True, metadata={"description": "When this version began."})
    distance_m = fields.Float(metadata={"description": "From `near`, if that was asked for."})


class AssetFeatureOut(Schema):
    """An asset in a list."""

    type = fields.String(required=True)
    id = fields.String(required=True)
    geometry = fields.Nested(GeometryOut, required=True)
    properties = fields.Nested(AssetPropertiesOut, required=True)


class ClusterPropertiesOut(Schema):
    """Assets that lie in one cell, counted."""

    cluster = fields.Boolean(required=True)
    cell = fields.String(required=True, metadata={"description": "H3 index."})
    count = fields.Integer(required=True)
    kinds = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class ClusterFeatureOut(Schema):
    """Many assets as one point."""

    type = fields.String(required=True)
    id = fields.String(required=True)
    geometry = fields.Nested(GeometryOut, required=True)
    properties = fields.Nested(ClusterPropertiesOut, required=True)


class AssetCollectionOut(Schema):
    """A page of assets. With `clustered` the features are clusters: ClusterFeatureOut."""

    type = fields.String(required=True)
    features = fields.List(fields.Nested(AssetFeatureOut), required=True)
    next = fields.String(required=True, allow_none=True)
    clustered = fields.Boolean(required=True)
    total = fields.Integer(metadata={"description": "Of clusters: how many assets they count."})


class VersionActorOut(Schema):
    """Who of the staff did it."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, allow_none=True)


class AssetVersionOut(Schema):
    """What an asset was from an instant on. The last three for staff only."""

    version = fields.Integer(required=True)
    at = Instant(required=True)
    origin = fields.Enum(Origin, by_value=True, required=True)
    changed = fields.List(fields.Enum(Part, by_value=True), required=True)
    code = fields.String(required=True)
    lat = fields.Float(required=True)
    lon = fields.Float(required=True)
    state = fields.Enum(AssetState, by_value=True, required=True)
    attributes = fields.Dict(required=True)
    actor = fields.Nested(VersionActorOut, allow_none=True)
    correction_id = fields.UUID(allow_none=True)
    import_id = fields.Integer(allow_none=True)


class AssetOut(AssetFeatureOut):
    """An asset with its latest versions and the open reports about it."""

    versions = fields.List(fields.Nested(AssetVersionOut), required=True)
    open_reports = fields.List(fields.Nested(ReportOut), required=True)
    past_reports = fields.Integer(
        required=True, metadata={"description": "How many public ones are over."}
    )


class VersionsQuery(Schema):
    """Which versions."""

    limit = fields.Integer(
        load_default=DEFAULT_LIMIT, validate=ma.validate.Range(min=1, max=MAX_LIMIT)
    )
    cursor = Text(max_length=400, metadata={"description": "`next` of the page before."})


class VersionsOut(Schema):
    """The versions of an asset, the latest first."""

    items = fields.List(fields.Nested(AssetVersionOut), required=True)
    next = fields.String(required=True, allow_none=True)


class AssetIn(Schema):
    """What staff say of an asset; what is left out stays."""

    lat = fields.Float(validate=ma.validate.Range(min=-90, max=90))
    lon = fields.Float(validate=ma.validate.Range(min=-180, max=180))
    state = fields.Enum(AssetState, by_value=True)
    attributes = fields.Dict(
        keys=Text(max_length=LONGEST_CODE),
        metadata={"description": "Those that are said; null takes one away, others stay."},
    )
    code = Text(min_length=1, max_length=LONGEST_CODE)
    owner = Text(
        max_length=100,
        metadata={"description": "Code of a team; empty: the one that its kind says."},
    )

    @ma.validates_schema
    def _position_is_whole(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if ("lat" in data) != ("lon" in data):
            missing = "lon" if "lat" in data else "lat"
            raise ma.ValidationError("A position needs both lat and lon.", missing)

    @ma.validates("code")
    def _code_is_no_provisional_one(self, value: str, **_kwargs: Any) -> None:
        if value.strip().startswith("+") or not value.strip():
            raise ma.ValidationError("Codes that begin with + are given by the register itself.")


class NewAssetIn(AssetIn):
    """An asset that staff enter."""

    jurisdiction = Text(max_length=100)
    kind = Text(required=True, max_length=100)
    lat = fields.Float(required=True, validate=ma.validate.Range(min=-90, max=90))
    lon = fields.Float(required=True, validate=ma.validate.Range(min=-180, max=180))


class ChoiceOut(Schema):
    """A value to choose from."""

    key = fields.String(required=True)
    name = fields.String(required=True)


class KindAttributeOut(NamedOut):
    """An attribute of a kind."""

    datatype = fields.String(required=True)
    values = fields.List(fields.Nested(ChoiceOut), required=True)


class KindAdoptionOut(Schema):
    """How assets of the kind are adopted."""

    capacity = fields.Integer(required=True)
    term_days = fields.Integer(required=True)
    limit_per_volunteer = fields.Integer(required=True)


class CareActionOut(NamedOut):
    """Something that adopters log."""

    unit = fields.String(
        required=True, allow_none=True, metadata={"description": "What its quantity counts."}
    )
    is_problem = fields.Boolean(required=True)


class SeasonOut(Schema):
    """Days of the year, month and day, both included."""

    start = fields.String(required=True, data_key="from", attribute="from")
    end = fields.String(required=True, data_key="to", attribute="to")


class KindOut(NamedOut):
    """A kind of asset."""

    icon = fields.String(required=True, allow_none=True)
    jurisdiction = fields.String(required=True)
    attributes = fields.List(fields.Nested(KindAttributeOut), required=True)
    services = fields.List(
        fields.String(), required=True, metadata={"description": "What can be reported of one."}
    )
    link_radius_m = fields.Float(required=True)
    adoptable = fields.Boolean(required=True)
    adoption = fields.Nested(KindAdoptionOut, required=True, allow_none=True)
    care = fields.List(fields.Nested(CareActionOut), required=True)
    season = fields.Nested(SeasonOut, required=True, allow_none=True)
    confirmations = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "So many people make a correction true; null: staff do."},
    )


class KindsQuery(LocaleQuery):
    """Of which city."""

    jurisdiction = Text(max_length=100)


class KindsOut(Schema):
    """Kinds in their order; all of them at once."""

    items = fields.List(fields.Nested(KindOut), required=True)
    next = fields.String(required=True, allow_none=True)
