"""Forms of what the road tells: which defects and segments, each as GeoJSON, and coverage."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from core.api import Schema, Text
from geo.measures import Box
from reports.field_types import BoxField, Instant, ListField
from reports.schemas import LocaleQuery
from sensing.acting.vocabulary import CaseState
from sensing.seeing.vocabulary import Knowledge
from sensing.vocabulary import Verdict

#: A page of defects; a map of a quarter shows a few hundred.
MOST_DEFECTS, DEFECTS = 1_000, 500

#: The widest box that segments are shown of: a city with its suburbs.
WIDEST_DEG = 0.5

_FRACTION = ma.validate.Range(min=0, max=1)


class VerdictsField(ListField):
    """Verdicts with commas between."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        names = super()._deserialize(value, attr, data, **kwargs)
        unknown = [name for name in names if name not in list(Verdict)]
        if unknown:
            raise ma.ValidationError(f"{unknown[0]!r} is no verdict; one of: {', '.join(Verdict)}.")
        return tuple(dict.fromkeys(Verdict(name) for name in names))


class DefectsQuery(Schema):
    """Which defects."""

    jurisdiction = Text(max_length=100)
    bbox = BoxField(metadata={"description": "west,south,east,north", "example": "3.8,43.5,4,43.7"})
    verdict = VerdictsField(metadata={"description": "One, or several with commas."})
    belief_from = fields.Float(validate=_FRACTION, load_default=0.0)
    severity_from = fields.Float(validate=ma.validate.Range(min=0, max=10), load_default=0.0)
    limit = fields.Integer(
        validate=ma.validate.Range(min=1, max=MOST_DEFECTS), load_default=DEFECTS
    )
    cursor = Text(max_length=400, metadata={"description": "`next` of the page before."})


class SegmentsQuery(Schema):
    """Which segments."""

    bbox = BoxField(
        required=True,
        metadata={
            "description": f"west,south,east,north; at most {WIDEST_DEG} degrees to a side",
            "example": "3.85,43.6,3.9,43.63",
        },
    )
    limit = fields.Integer(
        validate=ma.validate.Range(min=1, max=MOST_DEFECTS), load_default=DEFECTS
    )
    cursor = Text(max_length=400, metadata={"description": "`next` of the page before."})

    @ma.validates("bbox")
    def _check_bbox(self, box: Box, **_: Any) -> None:
        width = (box.east - box.west) % 360.0
        if width > WIDEST_DEG or box.north - box.south > WIDEST_DEG:
            raise ma.ValidationError(f"At most {WIDEST_DEG} degrees to a side.")


class CoverageQuery(LocaleQuery):
    """Of which city and layer."""

    jurisdiction = Text(max_length=100)
    layer = Text(
        max_length=100, metadata={"description": "Code of a layer of areas; without it, all."}
    )


class PointOut(Schema):
    """A GeoJSON point: longitude, latitude."""

    type = fields.String(required=True)
    coordinates = fields.List(fields.Float(), required=True)


class PolygonOut(Schema):
    """A GeoJSON polygon."""

    type = fields.String(required=True)
    coordinates = fields.List(fields.List(fields.List(fields.Float())), required=True)


class DefectReportOut(Schema):
    """The request about a defect."""

    id = fields.UUID(required=True)
    number = fields.Integer(required=True)
    status = fields.String(required=True)
    url = fields.String(required=True)


class DefectPropertiesOut(Schema):
    """What phones felt, as an estimate."""

    jurisdiction = fields.String(required=True)
    verdict = fields.Enum(
        Verdict,
        by_value=True,
        required=True,
        metadata={
            "description": "actionable: to be mended; harmless: a hump, a joint, a rail; unknown"
        },
    )
    probability = fields.Float(
        required=True, allow_none=True, metadata={"description": "That it should be mended."}
    )
    belief = fields.Float(
        required=True, metadata={"description": "0 to 1: that something is there."}
    )
    severity = fields.Float(
        required=True, metadata={"description": "0 to 10; 5 is what a driver remarks on."}
    )
    hits = fields.Integer(required=True, metadata={"description": "Trips that felt it."})
    passes = fields.Integer(
        required=True, metadata={"description": "Trips that drove over it, these too."}
    )
    first_felt = fields.Date(required=True)
    last_felt = fields.Date(required=True)
    error_m = fields.Float(
        required=True, metadata={"description": "Standard error of the position along one axis."}
    )
    heading_deg = fields.Float(
        required=True, metadata={"description": "Which way the cars drove, from north."}
    )
    is_present = fields.Boolean(
        required=True, metadata={"description": "false: not believed in any more."}
    )
    is_estimate = fields.Boolean(required=True)
    state = fields.Enum(
        CaseState,
        by_value=True,
        required=True,
        allow_none=True,
        metadata={"description": "Where the city stands with it; null: it was not told."},
    )
    report = fields.Nested(
        DefectReportOut,
        required=True,
        allow_none=True,
        metadata={"description": "The request about it, if that is public."},
    )
    evidence_url = fields.String(required=True, metadata={"description": "A picture (SVG)."})


class DefectOut(Schema):
    """A road defect as a GeoJSON feature."""

    type = fields.String(required=True)
    id = fields.UUID(required=True)
    geometry = fields.Nested(PointOut, required=True)
    properties = fields.Nested(DefectPropertiesOut, required=True)


class DefectCollectionOut(Schema):
    """A page of road defects."""

    type = fields.String(required=True)
    features = fields.List(fields.Nested(DefectOut), required=True)
    next = fields.String(required=True, allow_none=True)


class RoughnessOut(Schema):
    """An estimate of the International Roughness Index: phones feel their own cars' springs."""

    index_m_km = fields.Float(required=True)
    error_m_km = fields.Float(
        required=True, metadata={"description": "Standard error, if the cars were different ones."}
    )
    trips = fields.Integer(required=True)
    driven_m = fields.Float(required=True)
    is_estimate = fields.Boolean(required=True)


class SegmentPropertiesOut(Schema):
    """What is known of the way through one cell in one direction."""

    cell = fields.String(required=True, metadata={"description": "H3, resolution 10."})
    heading_deg = fields.Integer(required=True, metadata={"description": "To 22.5° on each side."})
    passes = fields.Integer(required=True, metadata={"description": "Trips of the last 365 days."})
    days = fields.Integer(required=True, metadata={"description": "On which they came."})
    last_driven = fields.Date(required=True)
    roughness = fields.Nested(
        RoughnessOut,
        required=True,
        allow_none=True,
        metadata={"description": "null: not enough trips, or too slow, or too few samples."},
    )


class SegmentOut(Schema):
    """A segment as a GeoJSON feature: the cell, about 130 m across."""

    type = fields.String(required=True)
    id = fields.String(required=True)
    geometry = fields.Nested(PolygonOut, required=True)
    properties = fields.Nested(SegmentPropertiesOut, required=True)


class SegmentCollectionOut(Schema):
    """A page of segments."""

    type = fields.String(required=True)
    features = fields.List(fields.Nested(SegmentOut), required=True)
    next = fields.String(required=True, allow_none=True)


class CoveredAreaOut(Schema):
    """An area of the city."""

    layer = fields.String(required=True)
    code = fields.String(required=True)
    name = fields.String(required=True)


class CoveredOut(Schema):
    """How much of an area phones know, beside what people reported there."""

    area = fields.Nested(
        CoveredAreaOut,
        required=True,
        allow_none=True,
        metadata={"description": "null: the whole city."},
    )
    knowledge = fields.Enum(
        Knowledge,
        by_value=True,
        required=True,
        metadata={"description": "unknown: nobody drove there. Never: the roads are good."},
    )
    street_cells = fields.Integer(
        required=True,
        metadata={"description": "H3 cells of resolution 11 with an address or an asset."},
    )
    driven_cells = fields.Integer(required=True, allow_none=True)
    share = fields.Float(
        required=True, allow_none=True, metadata={"description": "Driven of all; null: unknown."}
    )
    passes = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "Trips through street cells, summed over the cells: no count of trips."
        },
    )
    defects = fields.Integer(required=True)
    reports = fields.Integer(
        required=True, metadata={"description": "What people reported in the same days."}
    )
    road_reports = fields.Integer(
        required=True, metadata={"description": "Of those, about the surface of roads."}
    )


class CoverageOut(Schema):
    """Where phones drove and where nobody did."""

    jurisdiction = fields.String(required=True)
    window_days = fields.Integer(required=True)
    since = fields.Date(required=True, allow_none=True)
    counted_at = Instant(
        required=True, allow_none=True, metadata={"description": "null: not counted yet."}
    )
    whole = fields.Nested(CoveredOut, required=True)
    items = fields.List(fields.Nested(CoveredOut), required=True)
    next = fields.String(required=True, allow_none=True)
