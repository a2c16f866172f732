"""The audit log on the wire."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields

from accounts.audit import Action
from accounts.audit.log import parse_subject
from core.api import Schema, Text
from core.pagination import DEFAULT_LIMIT, MAX_LIMIT


class AuditQuery(Schema):
    """Which entries, and which page of them."""

    jurisdiction = Text(
        max_length=64, metadata={"description": "One of those where the caller is an auditor."}
    )
    actor = fields.UUID(metadata={"description": "The id of a person."})
    subject = Text(
        max_length=200,
        metadata={"description": "Kind and id of what was read or changed: `report:0189…`."},
    )
    action = fields.Enum(Action, by_value=True)
    since = fields.AwareDateTime()
    cursor = Text(max_length=200)
    limit = fields.Integer(
        load_default=DEFAULT_LIMIT, validate=ma.validate.Range(min=1, max=MAX_LIMIT)
    )

    @ma.validates("subject")
    def _is_kind_and_id(self, value: str, **_kwargs: object) -> None:
        if parse_subject(value) is None:
            raise ma.ValidationError("It must be a kind and an id: report:0189…")


class AuditActorOut(Schema):
    """Who did it: a person by themselves or by a key, the operator, or the beat."""

    kind = fields.String(required=True)
    id = fields.UUID(required=True, allow_none=True)
    name = fields.String(
        required=True, allow_none=True, metadata={"description": "As it is today."}
    )
    api_key_id = fields.UUID(required=True, allow_none=True)


class AuditSubjectOut(Schema):
    """What it is about."""

    kind = fields.String(required=True)
    id = fields.String(required=True, allow_none=True)


class AuditEntryOut(Schema):
    """One entry; ids and codes only."""

    id = fields.Integer(required=True)
    at = fields.AwareDateTime(required=True)
    action = fields.String(required=True)
    actor = fields.Nested(AuditActorOut, required=True)
    subject = fields.Nested(AuditSubjectOut, required=True, allow_none=True)
    jurisdiction = fields.String(required=True)
    data = fields.Dict(required=True)
    is_sealed = fields.Boolean(
        required=True, metadata={"description": "Whether the hash chain holds it already."}
    )


class AuditListOut(Schema):
    """A page of entries, newest first."""

    items = fields.List(fields.Nested(AuditEntryOut), required=True)
    next = fields.String(required=True, allow_none=True)
