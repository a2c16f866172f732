"""The shapes of people administration and of invitations on the wire."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from marshmallow import fields, validate

from accounts.rules import PASSWORD_MAX, Role
from accounts.schemas import Email, Name
from core import pagination
from core.api import Schema, Text
from core.i18n import LANGUAGES

#: Everybody is a citizen: that role is neither given nor taken.
_GIVEN = [role for role in Role if role is not Role.CITIZEN]


def _role() -> fields.Field[Any]:
    return fields.Enum(
        Role,
        by_value=True,
        required=True,
        validate=validate.OneOf(_GIVEN, error="Everybody is a citizen already."),
        metadata={"enum": [str(role) for role in _GIVEN]},
    )


class PagedQuery(Schema):
    """Which page of a list."""

    cursor = Text(max_length=500)
    limit = fields.Integer(
        load_default=pagination.DEFAULT_LIMIT,
        validate=validate.Range(min=1, max=pagination.MAX_LIMIT),
    )


class PlacedRoleIn(Schema):
    """A role, and where it holds."""

    role = _role()
    jurisdiction = Text(
        max_length=64, metadata={"description": "Needed by those only who manage several."}
    )
    team = Text(max_length=80, metadata={"description": "Without one: the whole city."})


class HeldRoleOut(Schema):
    """A role that the caller manages."""

    id = fields.Integer(required=True)
    role = fields.Enum(Role, by_value=True, required=True)
    jurisdiction = fields.String(required=True)
    team = fields.String(
        required=True, allow_none=True, metadata={"description": "null: the whole city"}
    )


class PersonOut(Schema):
    """Somebody with a role where the caller manages people."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, allow_none=True)
    email = fields.String(required=True, allow_none=True)
    phone = fields.String(required=True, allow_none=True)
    locale = fields.String(required=True, allow_none=True)
    is_active = fields.Boolean(required=True)
    has_second_factor = fields.Boolean(required=True)
    roles = fields.List(fields.Nested(HeldRoleOut), required=True)


class PeopleOut(Schema):
    """A page of people."""

    items = fields.List(fields.Nested(PersonOut), required=True)
    next = fields.String(required=True, allow_none=True)


class InvitationIn(PlacedRoleIn):
    """Whom to invite to what."""

    email = Email(required=True, metadata={"example": "collegue@ville.example"})
    name = Name()
    locale = fields.String(allow_none=True, load_default=None, validate=validate.OneOf(LANGUAGES))


class InvitationOut(Schema):
    """An open invitation."""

    id = fields.UUID(required=True)
    email = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)
    locale = fields.String(required=True, allow_none=True)
    role = fields.Enum(Role, by_value=True, required=True)
    jurisdiction = fields.String(required=True)
    team = fields.String(
        required=True, allow_none=True, metadata={"description": "null: the whole city"}
    )
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True)


class InvitationsOut(Schema):
    """A page of open invitations."""

    items = fields.List(fields.Nested(InvitationOut), required=True)
    next = fields.String(required=True, allow_none=True)


class AcceptanceIn(Schema):
    """What the mailed link carries, and what a new account is to have."""

    token = Text(required=True, max_length=100)
    password = Text(
        max_length=4 * PASSWORD_MAX,
        allow_none=True,
        load_default=None,
        metadata={
            "format": "password",
            "description": "Not needed: a link can be mailed at each sign-in instead.",
        },
    )
    name = Name(load_default=None)
    otp = Text(
        max_length=30,
        allow_none=True,
        load_default=None,
        metadata={"description": "Of an account that has a second factor."},
    )


def after_of(query: dict[str, Any]) -> UUID | None:
    """The id after which a page begins.

    Raises:
        BadCursorError
    """
    cursor = query.get("cursor")
    if cursor is None:
        return None
    try:
        return UUID(pagination.unpack(cursor, 1)[0])
    except (ValueError, AttributeError, TypeError) as error:
        raise pagination.BadCursorError(field="cursor") from error
