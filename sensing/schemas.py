"""Forms of the uploads: keys of devices, trips, their parts, and what became of them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from core.api import Schema
from sensing.uploading import MOST_PARTS
from sensing.vocabulary import TripState

_COLUMN = {"description": "One number for each sample; null is unknown."}


class DeviceKeyOut(Schema):
    """A fresh key: it is told once."""

    key = fields.String(
        required=True, metadata={"description": "For `Authorization: Bearer`; 256 random bits."}
    )
    expires_on = fields.Date(required=True)


_ID = {"description": "Made by the phone: sent again, it is the same trip."}
_RESEARCH = {
    "description": "true: its driver lets research keep the trace, without its ends, its device and"
    " its times. Whatever is neither true nor false is refused."
}


class ConsentField(fields.Boolean):
    """JSON's true and false, and null, which consents to nothing; no other word is a yes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_none=True, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class TripQuery(Schema):
    """What stands beside the samples."""

    id = fields.UUID(metadata=_ID)
    # All is text in a query. One word each, and how Python writes it; "yes" may be anybody's guess.
    research = fields.Boolean(
        truthy={"true", "True", "1"}, falsy={"false", "False", "0"}, metadata=_RESEARCH
    )


class ColumnsIn(Schema):
    """The samples of a trip, a list for each column, all of the same length."""

    t = fields.List(
        fields.Float(allow_none=True),
        required=True,
        metadata={"description": "Seconds since 1970-01-01 UTC, with fractions."},
    )
    ax = fields.List(
        fields.Float(allow_none=True),
        required=True,
        metadata={"description": "m/s² with gravity, in the phone's own axes."},
    )
    ay = fields.List(fields.Float(allow_none=True), required=True, metadata=_COLUMN)
    az = fields.List(fields.Float(allow_none=True), required=True, metadata=_COLUMN)
    lat = fields.List(fields.Float(allow_none=True), metadata=_COLUMN)
    lon = fields.List(fields.Float(allow_none=True), metadata=_COLUMN)
    speed_ms = fields.List(fields.Float(allow_none=True), metadata=_COLUMN)
    gx = fields.List(fields.Float(allow_none=True), metadata={"description": "Gyroscope, rad/s."})
    gy = fields.List(fields.Float(allow_none=True), metadata=_COLUMN)
    gz = fields.List(fields.Float(allow_none=True), metadata=_COLUMN)
    bearing = fields.List(fields.Float(allow_none=True), metadata=_COLUMN)
    accuracy_m = fields.List(fields.Float(allow_none=True), metadata=_COLUMN)


class TripIn(Schema):
    """A trip as JSON."""

    id = fields.UUID(allow_none=True, metadata=_ID)
    research = ConsentField(metadata=_RESEARCH)
    samples = fields.Nested(ColumnsIn, required=True)


class CompletionIn(Schema):
    """That all parts of a trip were sent."""

    parts = fields.Integer(
        required=True,
        strict=True,
        validate=ma.validate.Range(min=1, max=MOST_PARTS),
        metadata={"description": "How many there are, from 1 on."},
    )
    research = ConsentField(metadata=_RESEARCH)


class TextsOut(Schema):
    """A sentence in both languages."""

    en = fields.String(required=True)
    fr = fields.String(required=True)


class NoteOut(Schema):
    """Something odd about a trip."""

    code = fields.String(required=True)
    texts = fields.Nested(TextsOut, required=True)


class PartOut(Schema):
    """A part that is there."""

    number = fields.Integer(required=True)
    size = fields.Integer(required=True, metadata={"description": "Bytes."})


class TripOut(Schema):
    """What became of a trip."""

    id = fields.UUID(required=True)
    state = fields.String(
        required=True, validate=ma.validate.OneOf([state.value for state in TripState])
    )
    texts = fields.Nested(TextsOut, required=True)
    marks = fields.List(fields.Nested(NoteOut), required=True)
    reason = fields.Nested(NoteOut, allow_none=True, required=True)
    bumps = fields.Integer(
        allow_none=True,
        required=True,
        metadata={"description": "How many it felt; null until it is analysed."},
    )
    parts = fields.List(
        fields.Nested(PartOut),
        required=True,
        metadata={"description": "Those that are there, while it comes in parts."},
    )
