"""Types of fields in the forms of reports: words, instants, places, lists in a query, a review."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from core.api import STORABLE, Schema, Text
from core.text import clean
from geo.measures import Box, BoxError, CoordinateError, Point
from reports.vocabulary import OPEN_STATUSES, Status

#: As long as a description may be.
MAX_WORDS = 4000


class Words(Text):
    """What somebody writes: cleaned, trimmed, not empty when it is required."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_WORDS, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not STORABLE.match(text):
            # Before `clean`, which would take them out: whoever sends such a thing should know.
            raise ma.ValidationError("Control characters and broken Unicode cannot be stored.")
        text = clean(text).strip()
        if self.required and not text:
            raise ma.ValidationError("Say something.")
        return text


class BoxField(fields.String):
    """`west,south,east,north` in degrees."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return Box.parse(super()._deserialize(value, attr, data, **kwargs))
        except (BoxError, CoordinateError) as error:
            raise ma.ValidationError(f"It must be west,south,east,north: {error}.") from error


class PointField(fields.String):
    """`lat,lon` in degrees."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            text = super()._deserialize(value, attr, data, **kwargs)
            lat, lon = (float(part) for part in text.split(","))
            return Point(lat, lon)
        except ValueError as error:
            raise ma.ValidationError("It must be lat,lon in degrees.") from error


class ListField(fields.String):
    """Values with commas between."""

    def __init__(self, *, most: int = 50, **kwargs: Any) -> None:
        super().__init__(validate=ma.validate.Length(max=most), **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if "\0" in text:
            raise ma.ValidationError("Control characters cannot be stored.")
        return tuple(part.strip() for part in text.split(",") if part.strip())


class StatusesField(ListField):
    """Statuses with commas between; `open` stands for all that are."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        statuses: list[Status] = []
        for name in super()._deserialize(value, attr, data, **kwargs):
            if name == "open":
                statuses += OPEN_STATUSES
                continue
            try:
                statuses.append(Status(name))
            except ValueError:
                raise ma.ValidationError(
                    f"{name!r} is no status; one of: open, {', '.join(Status)}."
                ) from None
        return tuple(dict.fromkeys(statuses))


class AreaField(fields.String):
    """`layer:code` of an area."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        layer, colon, code = super()._deserialize(value, attr, data, **kwargs).partition(":")
        if not (layer and colon and code):
            raise ma.ValidationError("It must be layer:code.")
        return layer, code


class Instant(fields.AwareDateTime):
    """An instant as RFC 3339 in UTC, with a Z."""

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        text = super()._serialize(value, attr, obj, **kwargs)
        return text.replace("+00:00", "Z") if isinstance(text, str) else text


class UsualTimeOut(Schema):
    """How long reports of a kind take, from those that were closed and those that still wait.

    Nothing is promised; where too few cases are known, there is null instead.
    """

    text = fields.String(required=True, metadata={"description": "For people, in one sentence."})
    median_hours = fields.Float(required=True)
    low_hours = fields.Float(
        required=True, allow_none=True, metadata={"description": "One in ten takes less."}
    )
    four_in_five_hours = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Null: so many were never seen to be closed."},
    )
    high_hours = fields.Float(
        required=True, allow_none=True, metadata={"description": "One in ten takes more."}
    )
    cases = fields.Integer(required=True)


class ReviewOut(Schema):
    """Why somebody looks at a report before the public does."""

    kinds = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "phone, email, plate, name or honeypot"},
    )
    at = fields.String(required=True, metadata={"format": "date-time"})
