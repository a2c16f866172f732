"""Forms of reports as the staff reads them, of its queues, and of what it sends."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from core.api import Schema, Text
from reports.field_types import Instant, ListField, ReviewOut, Words
from reports.routing.rules import PRIORITIES
from reports.schemas import NamedOut, PageQuery, ReportOut, WordsOut
from reports.vocabulary import Status, Visibility


class QueueQuery(PageQuery):
    """Which page of a queue."""

    jurisdiction = Text(max_length=100)
    may_repeat = fields.Boolean(metadata={"description": "Only what may be a duplicate."})


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
    review = fields.Nested(ReviewOut, allow_none=True)
    display = fields.String()
    source = fields.String()
    priority = fields.Integer()
    priority_by = fields.String(
        allow_none=True,
        metadata={"description": "evidence: many people told of it; person: final; null: rules"},
    )
    attributes = fields.Dict()
    accuracy_m = fields.Float(allow_none=True)
    place_source = fields.String()
    address_given = fields.String(allow_none=True)
    needs_place = fields.Boolean()
    asset_id = fields.UUID(allow_none=True)
    asset_because = fields.Dict(
        allow_none=True,
        metadata={
            "description": "Why that asset: `by` nearest (with distance_m, radius_m and kind) or"
            " person; null: its reporter named it, or it is about none."
        },
    )
    assignee = fields.Nested(AssigneeOut, allow_none=True)
    routed_by = fields.String(allow_none=True, metadata={"description": "rule or person"})
    routing = fields.Dict(
        allow_none=True, metadata={"description": "Why it is with this team: the rule."}
    )
    routed_because = fields.String(
        allow_none=True,
        metadata={"description": "The same in a sentence: which rule, why, and which was next."},
    )
    duplicate = fields.Dict(
        allow_none=True, metadata={"description": "What it repeats or may repeat, and why."}
    )
    duplicate_because = fields.String(
        allow_none=True, metadata={"description": "The reasons for that, in words."}
    )
    may_repeat = fields.UUID(
        allow_none=True, metadata={"description": "The likeliest report that it may repeat."}
    )
    recurs = fields.UUID(
        allow_none=True, metadata={"description": "The report of its last repair: it came back."}
    )
    same_as = fields.UUID(allow_none=True)
    not_same_as = fields.List(fields.UUID())
    located_at = Instant(allow_none=True)
    triaged_at = Instant(allow_none=True)
    held_since = Instant(allow_none=True)
    is_overdue = fields.Boolean()
    locale = fields.String(allow_none=True)


class SuggestionOut(Schema):
    """A report that another one may repeat."""

    id = fields.UUID(required=True)
    number = fields.Integer(required=True)
    status = fields.String(required=True)
    requested_at = Instant(required=True)
    people = fields.Integer(required=True)
    score = fields.Float(required=True, allow_none=True)
    reasons = fields.List(fields.Dict(), required=True)
    because = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The reasons in words.", "example": "same lamp, 4 m"},
    )


class ServiceHintOut(Schema):
    """A service that the words of a report clearly mean, other than the one it was filed as."""

    service_code = fields.String(required=True)
    name = fields.String(required=True)
    confidence = fields.Float(required=True)


class StaffReportOut(StaffListedOut):
    """A report as the staff sees it; `contact` only for those who may read it."""

    suggestions = fields.List(
        fields.Nested(SuggestionOut),
        metadata={"description": "What it may repeat, likeliest first."},
    )

    service_hint = fields.Nested(ServiceHintOut, allow_none=True)
    may_move_to = fields.List(fields.String())
    question = fields.Nested(WordsOut, allow_none=True)
    contact = fields.Nested(ContactOut, allow_none=True)
    has_contact = fields.Boolean()


class SuggestedOut(StaffListedOut):
    """A report that may repeat others, with those."""

    suggestions = fields.List(fields.Nested(SuggestionOut), required=True)


class SuggestedListOut(Schema):
    """One page of reports that may be duplicates, oldest due first."""

    items = fields.List(fields.Nested(SuggestedOut), required=True)
    next = fields.String(required=True, allow_none=True)


class SuggestionsQuery(PageQuery):
    """Whose reports that may be duplicates."""

    jurisdiction = Text(max_length=100)
    team = ListField(most=1000, metadata={"description": "Codes of teams."})


class SuggestionIn(Schema):
    """What somebody of the staff says of two reports."""

    same = fields.Boolean(
        required=True, metadata={"description": "true: they tell the same; false: they do not."}
    )


class PriorityIn(Schema):
    """How urgent it is."""

    priority = fields.String(
        required=True,
        allow_none=True,
        validate=ma.validate.OneOf(tuple(PRIORITIES)),
        metadata={"description": "low, normal, high or urgent; null: as rules and evidence say."},
    )


class ReportListOut(Schema):
    """One page of reports. More fields for staff. It can be short and still have a next one."""

    items = fields.List(fields.Nested(StaffListedOut), required=True)
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
        metadata={
            "description": "Its id or its number.",
            "oneOf": [{"type": "string"}, {"type": "integer"}],
        },
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


class AssetLinkIn(Schema):
    """Which asset it is about."""

    asset_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "null: it is about none."}
    )


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
