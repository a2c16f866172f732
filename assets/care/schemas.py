"""Payloads of care."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from assets.adoption.schemas import AssetRefOut, asset_document
from assets.care.queries import Logged, Neglected, action_name
from core.api import Schema, Text
from core.i18n import pick
from reports.field_types import AreaField, BoxField
from reports.schemas import LocaleQuery

MAX_NOTE = 1000
MAX_SUBJECT = 120
MAX_TEXT = 4000

#: A list of what is neglected is worked through, not paged.
MOST_NEGLECTED = 1000


class CareIn(Schema):
    """What somebody did; who is who is signed in."""

    action = Text(
        required=True,
        max_length=100,
        metadata={"description": "Of the kind's `care.actions`; else checked, cleaned, …"},
    )
    at = fields.AwareDateTime(allow_none=True, metadata={"description": "When; else now."})
    minutes = fields.Integer(
        allow_none=True, strict=True, validate=ma.validate.Range(min=0, max=1440)
    )
    quantity = fields.Float(
        allow_none=True,
        validate=ma.validate.Range(min=0, max=1_000_000),
        metadata={"description": "In the unit of the action: bags, litres."},
    )
    note = Text(
        allow_none=True, max_length=MAX_NOTE, metadata={"description": "For coordinators alone."}
    )


class CareOut(Schema):
    """Something that was done for an asset; minutes, note and photo are the doer's and staff's."""

    id = fields.UUID(required=True)
    asset = fields.Nested(AssetRefOut, required=True)
    action = fields.String(required=True)
    action_name = fields.String(required=True)
    is_problem = fields.Boolean(required=True)
    at = fields.AwareDateTime(required=True)
    quantity = fields.Float(required=True, allow_none=True)
    minutes = fields.Integer(allow_none=True)
    note = fields.String(allow_none=True)
    photo_id = fields.UUID(allow_none=True)


class CareListOut(Schema):
    """A page of what was done."""

    items = fields.List(fields.Nested(CareOut), required=True)
    next = fields.String(required=True, allow_none=True)


class OwnCareOut(CareListOut):
    """What one did, and what it comes to; nobody is compared with anybody."""

    minutes = fields.Integer(required=True, metadata={"description": "Of everything."})
    entries = fields.Integer(required=True)
    streak = fields.Integer(
        required=True,
        metadata={"description": "Spans of the kind's days in a row, up to the present one."},
    )


class CareCallOut(Schema):
    """Somebody's word that an asset needs care."""

    id = fields.UUID(required=True)
    asset_id = fields.UUID(required=True)
    state = fields.String(required=True)
    called_at = fields.AwareDateTime(required=True)


class NeglectedQuery(LocaleQuery):
    """Of which kind."""

    kind = Text(max_length=100)


class NeglectedOneOut(Schema):
    """An adopted asset that nobody has cared for in a while."""

    asset = fields.Nested(AssetRefOut, required=True)
    adoption = fields.UUID(required=True)
    since = fields.AwareDateTime(
        required=True, metadata={"description": "The last care, or when it was adopted."}
    )
    is_called = fields.Boolean(
        required=True, metadata={"description": "A passer-by said that it needs care."}
    )


class NeglectedOut(Schema):
    """What is neglected, the longest first."""

    items = fields.List(fields.Nested(NeglectedOneOut), required=True)


class HoursQuery(Schema):
    """Which time; else the last year."""

    since = fields.AwareDateTime()
    until = fields.AwareDateTime()


class VolunteerMessageIn(Schema):
    """What is written, and to the adopters of which assets."""

    jurisdiction = Text(required=True, max_length=100)
    subject = Text(required=True, min_length=1, max_length=MAX_SUBJECT)
    text = Text(required=True, min_length=1, max_length=MAX_TEXT)
    kind = Text(allow_none=True, max_length=100)
    bbox = BoxField(
        allow_none=True, metadata={"description": "west,south,east,north; else the whole city"}
    )
    area = AreaField(
        allow_none=True,
        metadata={"description": "layer:code of an area of the city", "example": "wards:3"},
    )


class VolunteerMessageOut(Schema):
    """A message that is on its way."""

    id = fields.UUID(required=True)
    recipients = fields.Integer(required=True)


def care_document(logged: Logged, locale: str | None, *, is_private: bool) -> dict[str, Any]:
    """A care as `CareOut` says it."""
    care, asset = logged.care, logged.asset
    default = asset.place.default_locale
    told = {
        "id": care.id,
        "asset": asset_document(asset, locale),
        "action": care.action,
        "action_name": pick(action_name(asset.kind, care.action), locale or default, default),
        "is_problem": care.is_problem,
        "at": care.at,
        "quantity": care.quantity,
    }
    if is_private:
        told |= {"minutes": care.minutes, "note": care.note, "photo_id": care.photo_id}
    return told


def neglected_document(one: Neglected, locale: str | None) -> dict[str, Any]:
    """A neglected asset as `NeglectedOneOut` says it."""
    return {
        "asset": asset_document(one.asset, locale),
        "adoption": one.adoption_id,
        "since": one.since,
        "is_called": one.is_called,
    }
