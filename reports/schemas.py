"""Forms of reports that the public and the staff share: which ones, a report, its history.

What only the staff reads or sends stands in `reports.staff_schemas`, what citizens do in
`reports.public_schemas`, a new report in `reports.intake_schemas`.
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

import marshmallow as ma
from marshmallow import fields

from core.api import Schema, Text
from core.pagination import DEFAULT_LIMIT, MAX_LIMIT
from reports.field_types import (
    AreaField,
    BoxField,
    Instant,
    ListField,
    PointField,
    StatusesField,
    UsualTimeOut,
)
from reports.listing import Sort
from reports.vocabulary import Visibility

#: A circle wider than this is no neighbourhood; ask for a box.
MAX_RADIUS_M = 50_000


class LocaleQuery(Schema):
    """In which language names are written."""

    locale = fields.String(
        validate=ma.validate.Regexp("^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?$"),
        metadata={"description": "fr or en; else the browser's, else the city's."},
    )


class PageQuery(LocaleQuery):
    """Which page."""

    limit = fields.Integer(
        load_default=DEFAULT_LIMIT, validate=ma.validate.Range(min=1, max=MAX_LIMIT)
    )
    cursor = Text(max_length=400, metadata={"description": "`next` of the page before."})


class ReportsQuery(PageQuery):
    """Which reports. Without `sort` the newest come first."""

    jurisdiction = Text(max_length=100)
    bbox = BoxField(metadata={"description": "west,south,east,north", "example": "3.8,43.5,4,43.7"})
    near = PointField(metadata={"description": "lat,lon; with radius_m"})
    radius_m = fields.Float(validate=ma.validate.Range(min=0, max=MAX_RADIUS_M))
    service_code = ListField(most=2000, metadata={"description": "One, or several with commas."})
    group = Text(max_length=100)
    status = StatusesField(
        most=200, metadata={"description": "One or several with commas; `open`: all that are."}
    )
    since = fields.AwareDateTime(
        default_timezone=UTC, metadata={"description": "Received at or after."}
    )
    until = fields.AwareDateTime(default_timezone=UTC, metadata={"description": "Received before."})
    updated_since = fields.AwareDateTime(
        default_timezone=UTC, metadata={"description": "Changed at or after."}
    )
    area = AreaField(metadata={"description": "layer:code", "example": "quartiers:centre"})
    sort = fields.Enum(Sort, by_value=True, load_default=Sort.NEWEST)
    view = fields.String(
        validate=ma.validate.OneOf(["public", "staff"]),
        metadata={"description": "Staff see their own work in full unless they ask for `public`."},
    )
    team = ListField(most=1000, metadata={"description": "Staff: codes of teams."})
    assignee = Text(max_length=40, metadata={"description": "Staff: `me` or the id of a person."})
    overdue = fields.Boolean(metadata={"description": "Staff: past its due date."})
    needs_place = fields.Boolean(metadata={"description": "Staff: nobody knows where."})
    may_repeat = fields.Boolean(
        metadata={"description": "Staff: it may be a duplicate, and somebody should say."}
    )
    visibility = fields.Enum(
        Visibility,
        by_value=True,
        metadata={"description": "Staff: public, held (waits for review) or hidden."},
    )
    q = Text(
        max_length=200,
        metadata={"description": "Staff: beginnings of words; `#1234` is a number."},
    )

    @ma.validates_schema
    def _circle_is_whole(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if ("near" in data) != ("radius_m" in data):
            missing = "radius_m" if "near" in data else "near"
            raise ma.ValidationError("A circle needs both near and radius_m.", missing)


class NamedOut(Schema):
    """Something with a code and a name."""

    code = fields.String(required=True)
    name = fields.String(required=True)


class TeamOut(NamedOut):
    """The team that answers for it."""

    agency = fields.String(allow_none=True)


class AreaOut(NamedOut):
    """An area that it lies in."""

    layer = fields.String(required=True)


class ParentOut(Schema):
    """The report that it repeats."""

    id = fields.UUID(required=True, allow_none=True)
    number = fields.Integer(required=True, allow_none=True)
    status = fields.String(required=True)


class PhotoOut(Schema):
    """A photo that can be seen."""

    id = fields.UUID(required=True)
    url = fields.String(required=True)
    thumbnail_url = fields.String(required=True)
    width = fields.Integer(allow_none=True)
    height = fields.Integer(allow_none=True)
    created_at = Instant()


class WordsOut(Schema):
    """What somebody wrote."""

    id = fields.UUID(required=True)
    kind = fields.String(
        required=True, metadata={"description": "public, internal, question, answer or addition"}
    )
    text = fields.String(required=True)
    created_at = Instant(required=True)


class ReportOut(Schema):
    """A report as everybody sees it."""

    id = fields.UUID(required=True)
    number = fields.Integer(required=True)
    jurisdiction = fields.String(required=True)
    service_code = fields.String(required=True)
    service_name = fields.String(required=True)
    group = fields.String(required=True)
    group_name = fields.String(required=True)
    status = fields.String(required=True)
    description = fields.String(required=True)
    lat = fields.Float(required=True, allow_none=True)
    lon = fields.Float(required=True, allow_none=True)
    is_rounded = fields.Boolean(
        required=True, metadata={"description": "The place is that of the block, not the door."}
    )
    address = fields.String(required=True, allow_none=True)
    areas = fields.List(fields.Nested(AreaOut), required=True)
    distance_m = fields.Float(
        allow_none=True, metadata={"description": "From `near`, if that was asked for."}
    )
    reporter_name = fields.String(
        required=True, allow_none=True, metadata={"description": "As the reporter chose."}
    )
    team = fields.Nested(TeamOut, required=True, allow_none=True)
    parent = fields.Nested(ParentOut, required=True, allow_none=True)
    duplicates = fields.Integer(
        required=True,
        metadata={
            "description": "Other reports of the same problem, joined to it or with it to another;"
            " reports, not people."
        },
    )
    followers = fields.Integer(
        required=True,
        metadata={"description": "How many of those people said that it concerns them too."},
    )
    people = fields.Integer(
        required=True,
        metadata={
            "description": "How many people tell of the problem or said that it concerns them, each"
            " counted once as far as they left an account, an address or a number; of a duplicate,"
            " those of the report that it repeats too. Who took a report back is not counted."
        },
    )
    photos = fields.List(fields.Nested(PhotoOut), required=True)
    occurred_at = Instant(required=True, allow_none=True)
    requested_at = Instant(required=True)
    updated_at = Instant(required=True)
    due_at = Instant(required=True, allow_none=True)
    resolved_at = Instant(required=True, allow_none=True)
    usual_time = fields.Nested(
        UsualTimeOut,
        allow_none=True,
        metadata={"description": "Of one report, while it is open; lists leave it out."},
    )
    closed_at = Instant(required=True, allow_none=True)


class ActorOut(Schema):
    """Who of the staff did it."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, allow_none=True)


class StepOut(Schema):
    """One thing that happened. `actor` and `data` for staff only."""

    id = fields.Integer(required=True)
    at = Instant(required=True)
    kind = fields.String(required=True)
    from_status = fields.String(required=True, allow_none=True)
    to_status = fields.String(required=True, allow_none=True)
    by = fields.String(
        required=True, metadata={"description": "reporter, staff, system, citizen or machine"}
    )
    reason = fields.String(required=True, allow_none=True)
    words = fields.List(fields.Nested(WordsOut), required=True)
    actor = fields.Nested(ActorOut, allow_none=True)
    data = fields.Dict()


class HistoryOut(Schema):
    """What happened, oldest first."""

    items = fields.List(fields.Nested(StepOut), required=True)
    next = fields.String(required=True, allow_none=True)
