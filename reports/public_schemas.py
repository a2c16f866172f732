"""Forms of what citizens read and send: the reporter's own report, similar ones, following.

A page that serves everybody answers with `AnyReportOut`, which has the staff's fields too.
"""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields

from accounts.schemas import Email, Name
from core.api import Schema, Text
from reports.field_types import Instant, ReviewOut, Words
from reports.schemas import LocaleQuery, PageQuery, ReportOut, WordsOut
from reports.staff_schemas import StaffReportOut


class SimilarQuery(LocaleQuery):
    """What is about to be reported, and where."""

    jurisdiction = Text(max_length=100)
    service_code = Text(required=True, max_length=100)
    lat = fields.Float(required=True, validate=ma.validate.Range(min=-90, max=90))
    lon = fields.Float(required=True, validate=ma.validate.Range(min=-180, max=180))
    description = Words()
    asset_id = fields.UUID(metadata={"description": "What it is about, if that is known."})
    accuracy_m = fields.Float(
        validate=ma.validate.Range(min=0, max=100_000),
        metadata={"description": "Accuracy of the position, metres: a bad one is looked around."},
    )


class TokenQuery(LocaleQuery):
    """The tracking token, for those who cannot send a header."""

    token = Text(max_length=100)


class TokenPageQuery(PageQuery):
    """Which page, for the holder of a tracking token."""

    token = Text(max_length=100)


class PhotoStateOut(Schema):
    """Where a photo stands: staged, ready, or dropped and why."""

    id = fields.UUID(required=True)
    state = fields.String(required=True)
    dropped_because = fields.String(required=True, allow_none=True)
    created_at = Instant(required=True)


class MayOut(Schema):
    """What the reporter can do now."""

    add = fields.Boolean(required=True)
    answer = fields.Boolean(required=True)
    withdraw = fields.Boolean(required=True)
    say_not_fixed = fields.Boolean(required=True)


class OwnReportOut(ReportOut):
    """A report as its reporter sees it, with the tracking token."""

    photo_states = fields.List(fields.Nested(PhotoStateOut))
    attributes = fields.Dict()
    visibility = fields.String()
    review = fields.Nested(ReviewOut, allow_none=True)
    address_given = fields.String(allow_none=True)
    words = fields.List(fields.Nested(WordsOut))
    question = fields.Nested(WordsOut, allow_none=True)
    is_told = fields.Boolean()
    may = fields.Nested(MayOut)
    reopening_ends_at = Instant(allow_none=True)


class LinksOut(Schema):
    """Where it is found again."""

    self = fields.String(required=True, metadata={"description": "In this API; needs the session."})
    page = fields.String(required=True, metadata={"description": "What everybody sees of it."})


class MineOut(ReportOut):
    """One of the caller's own reports: the place as they gave it, and what they can do."""

    visibility = fields.String(required=True)
    may = fields.Nested(MayOut, required=True)
    links = fields.Nested(LinksOut, required=True)


class MineListOut(Schema):
    """A page of the caller's own reports."""

    items = fields.List(fields.Nested(MineOut), required=True)
    next = fields.String(required=True, allow_none=True)


class FollowedOut(Schema):
    """A report that the caller follows."""

    report = fields.Nested(ReportOut, required=True)
    since = Instant(required=True)


class FollowedListOut(Schema):
    """A page of the reports that the caller follows."""

    items = fields.List(fields.Nested(FollowedOut), required=True)
    next = fields.String(required=True, allow_none=True)


class AnyReportOut(StaffReportOut, OwnReportOut):
    """A report; how much of it depends on who asks. What is not for the reader is missing."""


class SimilarOut(Schema):
    """An open report that may tell the same."""

    report = fields.Nested(ReportOut, required=True)
    score = fields.Float(required=True, metadata={"description": "0 to 1; higher is likelier."})
    distance_m = fields.Float(required=True, allow_none=True)
    reasons = fields.List(fields.Dict(), required=True)
    because = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The reasons in words; null where no more than the block is told."
        },
    )
    followers = fields.Integer(required=True)
    people = fields.Integer(
        required=True, metadata={"description": "How many people tell of it or said “me too”."}
    )


class SimilarListOut(Schema):
    """Open reports that this may repeat, best first."""

    items = fields.List(fields.Nested(SimilarOut), required=True)
    next = fields.String(required=True, allow_none=True)


class AdditionIn(Schema):
    """Words of the reporter; photos come beside them, as multipart."""

    text = Words(allow_none=True)


class AnswerIn(Schema):
    """The reporter's answer to the team."""

    text = Words(required=True)


class FollowerIn(Schema):
    """Who wants to be told. Signed in, nothing is needed."""

    email = Email(allow_none=True)
    name = Name()
    locale = fields.String(
        allow_none=True, validate=ma.validate.Regexp("^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?$")
    )


class FollowingOut(Schema):
    """What came of it."""

    status = fields.String(
        required=True, metadata={"description": "following, or confirmation_sent"}
    )
    report_id = fields.UUID(
        required=True, metadata={"description": "Of a duplicate, the one that it repeats."}
    )


class LeaveQuery(Schema):
    """Which follower leaves, by the link that came with a message."""

    follower = fields.UUID()
    token = Text(max_length=100)


class ConfirmIn(Schema):
    """The token of the link that was mailed."""

    token = Text(required=True, max_length=100)
