"""Forms of reports on their way out, and of what staff, reporters and followers send."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import marshmallow as ma
from marshmallow import fields

from core.api import STORABLE, Schema, Text
from core.pagination import DEFAULT_LIMIT, MAX_LIMIT
from core.text import clean
from geo.measures import Box, BoxError, CoordinateError, Point
from reports.listing import Sort
from reports.vocabulary import OPEN_STATUSES, Status, Visibility

#: As long as a description may be.
MAX_WORDS = 4000

#: A circle wider than this is no neighbourhood; ask for a box.
MAX_RADIUS_M = 50_000


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
    q = Text(
        max_length=200,
        metadata={"description": "Staff: beginnings of words; `#1234` is a number."},
    )

    @ma.validates_schema
    def _circle_is_whole(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if ("near" in data) != ("radius_m" in data):
            missing = "radius_m" if "near" in data else "near"
            raise ma.ValidationError("A circle needs both near and radius_m.", missing)


class QueueQuery(PageQuery):
    """Which page of a queue."""

    jurisdiction = Text(max_length=100)


class SimilarQuery(LocaleQuery):
    """What is about to be reported, and where."""

    jurisdiction = Text(max_length=100)
    service_code = Text(required=True, max_length=100)
    lat = fields.Float(required=True, validate=ma.validate.Range(min=-90, max=90))
    lon = fields.Float(required=True, validate=ma.validate.Range(min=-180, max=180))
    description = Words()


class TokenQuery(LocaleQuery):
    """The tracking token, for those who cannot send a header."""

    token = Text(max_length=100)


class TokenPageQuery(PageQuery):
    """Which page, for the holder of a tracking token."""

    token = Text(max_length=100)


# -- out ------------------------------------------------------------------------------------------


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
        required=True, metadata={"description": "Other reports that tell the same."}
    )
    followers = fields.Integer(
        required=True, metadata={"description": "People who said that it concerns them too."}
    )
    photos = fields.List(fields.Nested(PhotoOut), required=True)
    occurred_at = Instant(required=True, allow_none=True)
    requested_at = Instant(required=True)
    updated_at = Instant(required=True)
    due_at = Instant(required=True, allow_none=True)
    resolved_at = Instant(required=True, allow_none=True)
    closed_at = Instant(required=True, allow_none=True)


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
    address_given = fields.String(allow_none=True)
    words = fields.List(fields.Nested(WordsOut))
    question = fields.Nested(WordsOut, allow_none=True)
    is_told = fields.Boolean()
    may = fields.Nested(MayOut)
    reopening_ends_at = Instant(allow_none=True)


class AssigneeOut(Schema):
    """The person who has it in hand."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, allow_none=True)


class ContactOut(Schema):
    """How the reporter can be reached."""

    name = fields.String(required=True, allow_none=True)
    email = fields.String(required=True, allow_none=True)
    phone = fields.String(required=True, allow_none=True)
    locale = fields.String(required=True)
    is_told = fields.Boolean(required=True)


class StaffListedOut(ReportOut):
    """A report as the staff sees it in a list."""

    public_lat = fields.Float(allow_none=True)
    public_lon = fields.Float(allow_none=True)
    version = fields.Integer(metadata={"description": "The ETag."})
    visibility = fields.String()
    display = fields.String()
    source = fields.String()
    priority = fields.Integer()
    attributes = fields.Dict()
    accuracy_m = fields.Float(allow_none=True)
    place_source = fields.String()
    address_given = fields.String(allow_none=True)
    needs_place = fields.Boolean()
    asset_id = fields.UUID(allow_none=True)
    assignee = fields.Nested(AssigneeOut, allow_none=True)
    routed_by = fields.String(allow_none=True, metadata={"description": "rule or person"})
    routing = fields.Dict(
        allow_none=True, metadata={"description": "Why it is with this team: the rule."}
    )
    duplicate = fields.Dict(
        allow_none=True, metadata={"description": "What it repeats or may repeat, and why."}
    )
    same_as = fields.UUID(allow_none=True)
    not_same_as = fields.List(fields.UUID())
    located_at = Instant(allow_none=True)
    triaged_at = Instant(allow_none=True)
    held_since = Instant(allow_none=True)
    is_overdue = fields.Boolean()
    locale = fields.String(allow_none=True)


class StaffReportOut(StaffListedOut):
    """A report as the staff sees it; `contact` only for those who may read it."""

    may_move_to = fields.List(fields.String())
    question = fields.Nested(WordsOut, allow_none=True)
    contact = fields.Nested(ContactOut, allow_none=True)
    has_contact = fields.Boolean()


class AnyReportOut(StaffReportOut, OwnReportOut):
    """A report; how much of it depends on who asks. What is not for the reader is missing."""


class ReportListOut(Schema):
    """One page of reports. More fields for staff. It can be short and still have a next one."""

    items = fields.List(fields.Nested(StaffListedOut), required=True)
    next = fields.String(required=True, allow_none=True)


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


class SimilarOut(Schema):
    """An open report that may tell the same."""

    report = fields.Nested(ReportOut, required=True)
    score = fields.Float(required=True, metadata={"description": "0 to 1; higher is likelier."})
    distance_m = fields.Float(required=True, allow_none=True)
    reasons = fields.List(fields.Dict(), required=True)
    followers = fields.Integer(required=True)


class SimilarListOut(Schema):
    """Open reports that this may repeat, best first."""

    items = fields.List(fields.Nested(SimilarOut), required=True)
    next = fields.String(required=True, allow_none=True)


class QueueOut(Schema):
    """What waits in a queue; `needs-place` and `unrouted` belong to no team."""

    queue = fields.String(required=True)
    jurisdiction = fields.String(required=True)
    team = fields.Nested(NamedOut, required=True, allow_none=True)
    open = fields.Integer(required=True)
    overdue = fields.Integer(required=True)
    unassigned = fields.Integer(required=True)
    on_hold = fields.Integer(required=True)
    oldest_due_at = Instant(required=True, allow_none=True)


class QueueListOut(Schema):
    """The queues that the caller may see."""

    items = fields.List(fields.Nested(QueueOut), required=True)
    next = fields.String(required=True, allow_none=True)


# -- in -------------------------------------------------------------------------------------------


class StatusIn(Schema):
    """Where it moves, and what is said with it."""

    status = fields.Enum(Status, by_value=True, required=True)
    note = Words(allow_none=True, metadata={"description": "For the staff only."})
    public_note = Words(allow_none=True, metadata={"description": "For everybody."})
    reason = fields.String(
        allow_none=True,
        validate=ma.validate.Regexp("^[a-z_]{1,40}$"),
        metadata={"description": "A code. Of a rejection: not_ours, planned, other…"},
    )


class AssignmentIn(Schema):
    """To whom. A person who is null is taken off it."""

    team = Text(max_length=100, metadata={"description": "Code of a team of this city."})
    person = Text(
        allow_none=True,
        max_length=254,
        metadata={"description": "`me`, an id or an e-mail address of the staff."},
    )
    taken = fields.Boolean(
        load_default=True,
        metadata={"description": "false: only routed there, nobody has taken it yet."},
    )
    note = Words(allow_none=True)
    public_note = Words(allow_none=True)

    @ma.validates_schema
    def _names_somebody(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if "team" not in data and "person" not in data:
            raise ma.ValidationError("Say to whom: team, person or both.", "team")


class CommentIn(Schema):
    """Words without a change."""

    note = Words(allow_none=True, metadata={"description": "For the staff only."})
    public_note = Words(allow_none=True, metadata={"description": "For everybody."})


class DuplicateOfIn(Schema):
    """The report that this one repeats."""

    report = fields.Raw(
        required=True,
        metadata={"description": "Its id or its number.", "oneOf": [{"type": "string"}]},
    )

    @ma.validates("report")
    def _is_a_name(self, value: Any, **_kwargs: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (str, int)) or len(str(value)) > 40:
            raise ma.ValidationError("It must be the id or the number of a report.")


class ServiceIn(Schema):
    """What it is a report of."""

    service_code = Text(required=True, min_length=1, max_length=100)


class PlaceIn(Schema):
    """Where it is."""

    lat = fields.Float(required=True, validate=ma.validate.Range(min=-90, max=90))
    lon = fields.Float(required=True, validate=ma.validate.Range(min=-180, max=180))


class QuestionIn(Schema):
    """What the team wants to know of the reporter."""

    question = Words(required=True)
    hold = fields.Boolean(
        load_default=False, metadata={"description": "The clock stops until the answer."}
    )


class VisibilityIn(Schema):
    """Whether the public sees it."""

    visibility = fields.Enum(Visibility, by_value=True, required=True)
    note = Words(allow_none=True)


class AdditionIn(Schema):
    """Words of the reporter; photos come beside them, as multipart."""

    text = Words(allow_none=True)


class AnswerIn(Schema):
    """The reporter's answer to the team."""

    text = Words(required=True)


class FollowerIn(Schema):
    """Who wants to be told. Signed in, nothing is needed."""

    email = fields.Email(allow_none=True, validate=ma.validate.Length(max=254))
    name = Text(allow_none=True, max_length=200)
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
