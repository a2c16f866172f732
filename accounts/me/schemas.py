"""The shapes of what people change about themselves, on the wire."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from accounts.rules import Display
from accounts.schemas import Email, Name, Phone, check_one_contact
from core.api import Schema, Text
from core.i18n import LANGUAGES


class MeIn(Schema):
    """What is sent is changed, what is left out stays; null takes name or language away."""

    name = Name(metadata={"example": "Camille Durand"})
    locale = fields.String(
        allow_none=True,
        validate=ma.validate.OneOf(LANGUAGES),
        metadata={"description": "Language of messages."},
    )
    display = fields.Enum(
        Display,
        by_value=True,
        metadata={
            "description": "How much of the name everybody sees with new reports that do not say"
            " otherwise: full, first (the first name) or anonymous."
        },
    )


class NewContactIn(Schema):
    """The new address or number."""

    email = Email(metadata={"example": "camille@exemple.fr"})
    phone = Phone(metadata={"example": "06 12 34 56 78"})
    jurisdiction = Text(
        max_length=64, metadata={"description": "In whose name; needed by nobody with one city."}
    )

    @ma.validates_schema
    def _is_one_contact(self, data: dict[str, Any], **_kwargs: Any) -> None:
        check_one_contact(data)


class ContactAskedOut(Schema):
    """The same answer for every contact, so that it tells nothing about it."""

    challenge = fields.UUID(
        required=True, metadata={"description": "Send it back with the code: `/me/contacts/proof`."}
    )
    expires_in_s = fields.Integer(
        required=True, metadata={"description": "How long the code will work, in seconds."}
    )


class ProofIn(Schema):
    """The code that was sent to the new contact."""

    challenge = fields.UUID(required=True)
    code = Text(required=True, min_length=1, max_length=20, metadata={"example": "123 456"})
