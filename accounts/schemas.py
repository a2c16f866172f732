"""The shapes of sign-in and of "who am I" on the wire."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from accounts.rules import EMAIL_MAX, PASSWORD_MAX, Permission, Role, is_email, normal_email
from core.api import Schema, Text


class Email(Text):
    """An e-mail address, brought to its normal form."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"format": "email", **kwargs.pop("metadata", {})}
        super().__init__(max_length=EMAIL_MAX, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        email = normal_email(super()._deserialize(value, attr, data, **kwargs))
        if not is_email(email):
            raise ma.ValidationError("Not a valid email address.")
        return email


class SignInIn(Schema):
    """One of: address and password, address and mailed code, challenge and token of a link."""

    email = Email(metadata={"example": "agent@ville.example"})
    password = Text(
        max_length=4 * PASSWORD_MAX,
        metadata={"format": "password", "example": "correct horse battery staple"},
    )
    code = Text(
        max_length=20, metadata={"description": "The six digits of a mailed message; see /link."}
    )
    challenge = fields.UUID(
        metadata={"description": "From a mailed link: /sign-in/{challenge}/{token}."}
    )
    token = Text(max_length=100, metadata={"description": "From the same mailed link."})
    otp = Text(
        max_length=20,
        allow_none=True,
        metadata={
            "description": "One-time password of a second factor. Refused while none is set up."
        },
    )

    @ma.validates_schema
    def _is_one_way(self, data: dict[str, Any], **_kwargs: Any) -> None:
        ways = [name for name in ("password", "code", "token") if name in data]
        if len(ways) != 1:
            raise ma.ValidationError("Send exactly one of password, code and token.")
        needed = "challenge" if ways == ["token"] else "email"
        if needed not in data:
            raise ma.ValidationError("Missing data for required field.", needed)


class SessionOut(Schema):
    """A fresh session."""

    token = fields.String(
        required=True,
        metadata={"description": "Send it as `Authorization: Bearer <token>`. Shown only here."},
    )
    expires_at = fields.AwareDateTime(required=True)


class LinkIn(Schema):
    """Where to send a link and a code."""

    email = Email(required=True, metadata={"example": "agent@ville.example"})
    jurisdiction = Text(
        max_length=64, metadata={"description": "In whose name; needed by nobody with one city."}
    )


class LinkOut(Schema):
    """The same answer for every address, so that it tells nothing about it."""

    expires_in_s = fields.Integer(
        required=True, metadata={"description": "How long link and code will work, in seconds."}
    )


class RoleOut(Schema):
    """A role in a jurisdiction, or in one team of it."""

    role = fields.Enum(Role, by_value=True, required=True)
    jurisdiction = fields.String(required=True)
    team = fields.String(
        required=True, allow_none=True, metadata={"description": "null: all teams"}
    )
    permissions = fields.List(fields.Enum(Permission, by_value=True), required=True)


class MeOut(Schema):
    """Who the caller is, and what they may do where."""

    id = fields.UUID(required=True)
    email = fields.String(required=True, allow_none=True)
    name = fields.String(required=True, allow_none=True)
    locale = fields.String(required=True, allow_none=True)
    known_by = fields.String(required=True, validate=ma.validate.OneOf(["session", "api_key"]))
    is_staff = fields.Boolean(required=True)
    roles = fields.List(fields.Nested(RoleOut), required=True)
