"""Forms of forwardings as staff read them, and of what they say to them."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields

from core.api import Schema, Text
from open311.rules import AttemptOutcome, ForwardingState
from reports.field_types import Instant
from reports.schemas import PageQuery


class ForwardingQuery(PageQuery):
    """Which page of what waits."""

    jurisdiction = Text(max_length=100)
    state = fields.Enum(
        ForwardingState,
        by_value=True,
        load_default=ForwardingState.STUCK,
        validate=ma.validate.OneOf(
            [ForwardingState.STUCK, ForwardingState.WAITING],
            error="It must be stuck or waiting.",
        ),
        metadata={
            "description": "`stuck` waits for a person, `waiting` for its turn.",
            "enum": ["stuck", "waiting"],
        },
    )


class AttemptOut(Schema):
    """One sending."""

    begun_at = Instant(required=True)
    ended_at = Instant(required=True, allow_none=True)
    outcome = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": f"{', '.join(AttemptOutcome)}; null: nobody knows whether it was taken."
        },
    )
    fault = fields.String(
        required=True, allow_none=True, metadata={"description": "A kind of failure."}
    )


class ForwardingOut(Schema):
    """A report on its way to another system, and what is known of it there."""

    id = fields.UUID(required=True)
    report_id = fields.UUID(required=True)
    number = fields.Integer(required=True)
    jurisdiction = fields.String(required=True)
    endpoint = fields.String(required=True, metadata={"description": "As the folder names it."})
    state = fields.String(
        required=True,
        metadata={"description": f"{', '.join(ForwardingState)}. `stuck` waits for a person."},
    )
    attempts = fields.List(fields.Nested(AttemptOut), required=True)
    failures = fields.Integer(required=True, metadata={"description": "In a row."})
    last_fault = fields.String(required=True, allow_none=True)
    last_words = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What they said to it, without contact data."},
    )
    next_attempt_at = Instant(required=True, allow_none=True)
    token = fields.String(required=True, allow_none=True)
    remote_id = fields.String(
        required=True, allow_none=True, metadata={"description": "Their service_request_id."}
    )
    sent_at = Instant(required=True, allow_none=True)
    checked_at = Instant(required=True, allow_none=True)
    remote_status = fields.String(required=True, allow_none=True)
    remote_at = Instant(required=True, allow_none=True)
    missing_since = Instant(
        required=True, allow_none=True, metadata={"description": "They do not show it."}
    )
    created_at = Instant(required=True)


class ForwardingListOut(Schema):
    """Forwardings, the oldest first."""

    items = fields.List(fields.Nested(ForwardingOut), required=True)
    next = fields.String(required=True, allow_none=True)


class RetryIn(Schema):
    """How it is sent again."""

    surely_absent = fields.Boolean(
        load_default=False,
        metadata={
            "description": "Somebody asked there: they do not have it. Else it is looked for first."
        },
    )


class SettlementIn(Schema):
    """What a person found out or did."""

    remote_id = Text(
        min_length=1,
        max_length=200,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "The number under which they have it; it is followed from here on."
            " Without it, it was passed on in another way."
        },
    )
