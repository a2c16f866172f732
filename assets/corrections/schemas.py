"""Payloads of corrections."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from assets.corrections.queries import COLUMNS, Listed
from assets.corrections.vocabulary import State, What
from core.api import Schema, Text
from core.i18n import pick
from reports.field_types import BoxField
from reports.schemas import PageQuery

MAX_NOTE = 1000
MAX_REASON = 500


class _CorrectionIn(Schema):
    lat = fields.Float(allow_none=True, validate=ma.validate.Range(min=-90, max=90))
    lon = fields.Float(allow_none=True, validate=ma.validate.Range(min=-180, max=180))
    attributes = fields.Dict(
        keys=fields.String(), values=fields.Raw(allow_none=True), load_default=dict
    )
    note = Text(allow_none=True, max_length=MAX_NOTE, metadata={"description": "For staff alone."})

    @ma.validates_schema
    def _position_is_whole(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if (data.get("lat") is None) != (data.get("lon") is None):
            missing = "lat" if data.get("lat") is None else "lon"
            raise ma.ValidationError("A position needs both lat and lon.", missing)


class AssetCorrectionIn(_CorrectionIn):
    """What is wrong with an asset of the register."""

    what = fields.Enum(
        What,
        by_value=True,
        required=True,
        validate=ma.validate.NoneOf([What.MISSING], error="Missing ones: POST /corrections."),
        metadata={"description": "gone, moved (with lat, lon), attribute (with attributes)"},
    )


class MissingAssetIn(_CorrectionIn):
    """An asset that the register does not know."""

    kind = Text(required=True, max_length=100)
    jurisdiction = Text(allow_none=True, max_length=100)


class CorrectionDecisionIn(Schema):
    """What becomes of it."""

    accept = fields.Boolean(required=True)
    reason = Text(
        allow_none=True,
        max_length=MAX_REASON,
        metadata={"description": "Told to the proposer; needed to reject."},
    )

    @ma.validates_schema
    def _rejection_has_a_reason(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if data.get("accept") is False and not (data.get("reason") or "").strip():
            raise ma.ValidationError("Say why, for the proposer.", "reason")


class CorrectionsQuery(PageQuery):
    """Which corrections; without a state, those that are open."""

    jurisdiction = Text(max_length=100)
    bbox = BoxField(metadata={"description": "west,south,east,north"})
    kind = Text(max_length=100)
    asset = fields.UUID()
    state = fields.Enum(State, by_value=True, load_default=State.OPEN)


class CorrectionsFileQuery(Schema):
    """Which file."""

    format = fields.String(load_default="geojson", validate=ma.validate.OneOf(["geojson", "csv"]))
    jurisdiction = Text(max_length=100)
    kind = Text(max_length=100)


class CorrectionOut(Schema):
    """A correction; note, photo, proposer and reason are for the proposer and staff alone."""

    id = fields.UUID(required=True)
    what = fields.String(required=True)
    kind = fields.String(required=True)
    kind_name = fields.String(required=True)
    jurisdiction = fields.String(required=True)
    asset_id = fields.UUID(required=True, allow_none=True)
    asset_code = fields.String(required=True, allow_none=True)
    lat = fields.Float(required=True)
    lon = fields.Float(required=True)
    attributes = fields.Dict(required=True)
    confirmations = fields.Integer(required=True)
    needed = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "So many confirmations accept it; null: staff decide."},
    )
    state = fields.String(required=True)
    proposed_at = fields.AwareDateTime(required=True)
    decided_at = fields.AwareDateTime(required=True, allow_none=True)
    decided_how = fields.String(required=True, allow_none=True)
    asset_version = fields.Integer(
        required=True, allow_none=True, metadata={"description": "The version it became."}
    )
    is_joined = fields.Boolean(
        metadata={"description": "Somebody had proposed the same; yours confirms it."}
    )
    reason = fields.String(allow_none=True)
    note = fields.String(allow_none=True)
    photo_id = fields.UUID(allow_none=True)
    person_id = fields.UUID()


class CorrectionFeatureOut(Schema):
    """A correction as GeoJSON."""

    type = fields.String(required=True)
    id = fields.UUID(required=True)
    geometry = fields.Dict(required=True)
    properties = fields.Dict(required=True)


class CorrectionsFileOut(Schema):
    """Open corrections as GeoJSON; as CSV the same in columns."""

    type = fields.String(required=True)
    features = fields.List(fields.Nested(CorrectionFeatureOut), required=True)


class CorrectionsOut(Schema):
    """A page of corrections."""

    items = fields.List(fields.Nested(CorrectionOut), required=True)
    next = fields.String(required=True, allow_none=True)


def document(
    listed: Listed, locale: str | None, *, is_private: bool, is_staff: bool = False
) -> dict[str, Any]:
    """A correction as `CorrectionOut` says it.

    Args:
        is_private: for its proposer or staff.
    """
    row, place = listed.correction, listed.place
    told = {
        **{
            name: getattr(row, name)
            for name in (
                "id",
                "what",
                "asset_id",
                "lat",
                "lon",
                "attributes",
                "confirmations",
                "state",
                "proposed_at",
                "decided_at",
                "decided_how",
                "asset_version",
            )
        },
        "kind": listed.kind.code,
        "kind_name": pick(listed.kind.names, locale or place.default_locale, place.default_locale),
        "jurisdiction": place.code,
        "asset_code": listed.asset_code,
        "needed": listed.kind.corrections.confirmations,
    }
    if is_private:
        told |= {"reason": row.reason, "note": row.note, "photo_id": row.photo_id}
    if is_staff:
        told["person_id"] = row.person_id
    return told


def file_row(listed: Listed) -> dict[str, Any]:
    """A row of the file for the city's GIS, in the order of `COLUMNS`."""
    row = listed.correction
    values = {
        "id": str(row.id),
        "what": row.what,
        "kind": listed.kind.code,
        "asset": listed.asset_code,
        "asset_id": str(row.asset_id) if row.asset_id else None,
        "lat": row.lat,
        "lon": row.lon,
        "attributes": row.attributes,
        "note": row.note,
        "confirmations": row.confirmations,
        "proposed_at": row.proposed_at,
        "jurisdiction": listed.place.code,
    }
    return {name: values[name] for name in COLUMNS}
