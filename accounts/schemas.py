"""The shapes of sign-in and of "who am I" on the wire."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from accounts.contact_rules import PHONE_MAX
from accounts.naming import NAME_MAX, NameFault, name_fault, normal_name
from accounts.rules import (
    EMAIL_MAX,
    PASSWORD_MAX,
    Display,
    Permission,
    Role,
    is_email,
    normal_email,
)
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


class Phone(Text):
    """A phone number as people write it; the service reads it with the jurisdiction's country."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"description": "National or international form.", **kwargs.pop("metadata", {})}
        super().__init__(max_length=PHONE_MAX, metadata=metadata, **kwargs)


class Name(Text):
    """What somebody is called, brought to its normal form; null and blank text are no name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=4 * NAME_MAX, allow_none=True, **kwargs)

    def deserialize(
        self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any
    ) -> Any:
        """The name in its normal form, or None."""
        is_blank = isinstance(value, str) and not normal_name(value)
        return super().deserialize(None if is_blank else value, attr, data, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        name = normal_name(super()._deserialize(value, attr, data, **kwargs))
        fault = name_fault(name)
        if fault is not None:
            raise ma.ValidationError(_NAME_FAULTS[fault])
        return name


_NAME_FAULTS = {
    NameFault.TOO_LONG: f"A name has at most {NAME_MAX} characters.",
    NameFault.NO_LETTERS: "A name has letters.",
    NameFault.INVISIBLE: "A name has no line ends and no invisible characters.",
    NameFault.NOT_OF_A_NAME: "A name has letters, spaces, hyphens, apostrophes and dots only.",
    NameFault.MIXED_ALPHABETS: "Write each word of a name in one alphabet.",
}


def check_one_contact(data: dict[str, Any]) -> None:
    """Refuse a payload without a contact, and one with two.

    Raises:
        ma.ValidationError
    """
    if "email" in data and "phone" in data:
        raise ma.ValidationError("Send an e-mail address or a phone number, not both.", "phone")
    if "email" not in data and "phone" not in data:
        raise ma.ValidationError("Send an e-mail address or a phone number.", "email")


class SignInIn(Schema):
    """One of: address and password, contact and code, challenge and token of a link."""

    email = Email(metadata={"example": "agent@ville.example"})
    phone = Phone(metadata={"example": "+33612345678"})
    jurisdiction = Text(
        max_length=64, metadata={"description": "Whose country a national number is of."}
    )
    password = Text(
        max_length=4 * PASSWORD_MAX,
        metadata={"format": "password", "example": "correct horse battery staple"},
    )
    code = Text(max_length=20, metadata={"description": "The six digits of a message; see /link."})
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
        if ways == ["code"]:
            check_one_contact(data)
            return
        needed = "challenge" if ways == ["token"] else "email"
        if needed not in data:
            raise ma.ValidationError("Missing data for required field.", needed)
        if "phone" in data:
            raise ma.ValidationError("A phone number goes with a code.", "phone")


class SessionOut(Schema):
    """A fresh session."""

    token = fields.String(
        required=True,
        metadata={"description": "Send it as `Authorization: Bearer <token>`. Shown only here."},
    )
    expires_at = fields.AwareDateTime(required=True)


class LinkIn(Schema):
    """Where to send a link and a code: an address or a number."""

    email = Email(metadata={"example": "agent@ville.example"})
    phone = Phone(metadata={"example": "06 12 34 56 78"})
    jurisdiction = Text(
        max_length=64, metadata={"description": "In whose name; needed by nobody with one city."}
    )

    @ma.validates_schema
    def _is_one_contact(self, data: dict[str, Any], **_kwargs: Any) -> None:
        check_one_contact(data)


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
    phone = fields.String(required=True, allow_none=True, metadata={"description": "E.164"})
    name = fields.String(required=True, allow_none=True)
    locale = fields.String(required=True, allow_none=True)
    display = fields.Enum(Display, by_value=True, required=True)
    public_name = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What everybody sees of the name, chosen so; null: nothing."},
    )
    known_by = fields.String(required=True, validate=ma.validate.OneOf(["session", "api_key"]))
    is_staff = fields.Boolean(required=True)
    roles = fields.List(fields.Nested(RoleOut), required=True)
