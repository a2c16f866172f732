"""The shapes of what people change about themselves, on the wire."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields

from accounts.rules import Display
from accounts.schemas import LinkIn, Name
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


class NewContactIn(LinkIn):
    """The new address or number."""


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
