"""The shapes of webhooks and push subscriptions on the wire."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields

from core.api import Schema, Text
from core.pagination import DEFAULT_LIMIT, MAX_LIMIT
from notifications.subscribing import OFFERED

#: Browsers give 65 bytes and 16 bytes in base64url.
_KEY = ma.validate.Regexp(r"^[A-Za-z0-9_=+/-]+$", error="Not base64url.")


class WebhookIn(Schema):
    """A new endpoint."""

    jurisdiction = Text(
        max_length=100,
        metadata={"description": "Needed by somebody who manages several."},
    )
    url = Text(
        required=True,
        min_length=1,
        max_length=2000,
        metadata={"format": "uri", "example": "https://hooks.example.org/riverain"},
    )
    events = fields.List(
        fields.String(validate=ma.validate.OneOf(OFFERED)),
        load_default=list,
        validate=ma.validate.Length(max=len(OFFERED)),
        metadata={"description": "Names of events; none: every event, those of the future too."},
    )


class WebhookOut(Schema):
    """An endpoint; its key is shown once, when it is made."""

    id = fields.UUID(required=True)
    jurisdiction = fields.String(required=True)
    url = fields.String(required=True)
    events = fields.List(fields.String(), required=True)
    created_at = fields.AwareDateTime(required=True)
    failing_since = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Every call since then has failed; after five days it is off."},
    )
    disabled_at = fields.AwareDateTime(required=True, allow_none=True)


class WebhookSecretOut(WebhookOut):
    """An endpoint with its key, which is not shown again."""

    secret = fields.String(
        required=True,
        metadata={
            "description": "Check calls with it as standardwebhooks.com says.",
            "example": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        },
    )


class WebhooksOut(Schema):
    """A page of endpoints."""

    items = fields.List(fields.Nested(WebhookOut), required=True)
    next = fields.String(required=True, allow_none=True)


class WebhooksQuery(Schema):
    """Which page."""

    cursor = Text(max_length=200)
    limit = fields.Integer(
        load_default=DEFAULT_LIMIT, validate=ma.validate.Range(min=1, max=MAX_LIMIT)
    )


class PushKeys(Schema):
    """What the browser's `PushSubscription.toJSON()` says under `keys`."""

    p256dh = Text(required=True, min_length=80, max_length=120, validate=_KEY)
    auth = Text(required=True, min_length=16, max_length=40, validate=_KEY)


class PushIn(Schema):
    """A browser that wants to be told."""

    endpoint = Text(
        required=True,
        min_length=1,
        max_length=2000,
        metadata={"format": "uri", "example": "https://push.example.net/send/abc"},
    )
    keys = fields.Nested(PushKeys, required=True)
    expirationTime = fields.Raw(  # noqa: N815
        allow_none=True,
        load_default=None,
        metadata={"description": "Part of what browsers send; not used."},
    )
    report_id = fields.UUID(
        metadata={
            "description": "The report to tell of; none: all that the signed-in person follows."
        }
    )
    tracking_token = Text(max_length=100, metadata={"description": "Of that report."})


class PushOut(Schema):
    """A subscription; who knows its id can end it."""

    id = fields.UUID(required=True)


class PushKeyOut(Schema):
    """What `pushManager.subscribe` takes as `applicationServerKey`."""

    public_key = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "base64url; null: web push is not set up here."},
    )
