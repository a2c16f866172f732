"""The shapes of sessions, second factors, passwords and keys on the wire."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from accounts.models import SignInWay
from accounts.rules import KEY_DAYS, KEY_DAYS_MAX, PASSWORD_MAX, Permission
from core.api import Schema, Text

#: Longest code that anybody types: a recovery code, with room for spaces.
_CODE_MAX = 30


def _password(**kwargs: Any) -> Text:
    # What is too long is refused by the rule, in words; this only bounds the work.
    return Text(max_length=4 * PASSWORD_MAX, metadata={"format": "password"}, **kwargs)


class HeldSessionOut(Schema):
    """A session of one's own."""

    id = fields.UUID(required=True)
    created_at = fields.AwareDateTime(required=True)
    last_seen_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "Known to about five minutes."}
    )
    expires_at = fields.AwareDateTime(required=True)
    way = fields.Enum(SignInWay, by_value=True, required=True)
    has_second_factor = fields.Boolean(required=True)
    is_browser = fields.Boolean(required=True)
    agent = fields.String(required=True, allow_none=True, metadata={"example": "Firefox, Linux"})
    is_current = fields.Boolean(required=True)


class HeldSessionsOut(Schema):
    """All open sessions of one person; there is never a next page."""

    items = fields.List(fields.Nested(HeldSessionOut), required=True)
    next = fields.String(required=True, allow_none=True)


class EndedOut(Schema):
    """How many sessions were ended."""

    ended = fields.Integer(required=True)


class PasswordIn(Schema):
    """Another password."""

    current = _password(allow_none=True)
    new = _password(required=True)


class ProofAgainIn(Schema):
    """The password, or a code of the authenticator app or a recovery code."""

    password = _password()
    code = Text(max_length=_CODE_MAX)

    @ma.validates_schema
    def _is_one(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if len(data) != 1:
            raise ma.ValidationError("Send exactly one of password and code.")


class FreshProofIn(Schema):
    """The password; needless in a session that was opened without one in the last 15 minutes."""

    password = _password()


class SecondFactorOut(Schema):
    """Where one's second factor stands."""

    is_on = fields.Boolean(required=True)
    confirmed_at = fields.AwareDateTime(required=True, allow_none=True)
    recovery_codes_left = fields.Integer(required=True)
    is_needed = fields.Boolean(
        required=True,
        metadata={"description": "Roles are withheld in this session until one is shown."},
    )


class SetupOut(Schema):
    """What an authenticator app needs. Shown only here."""

    uri = fields.String(required=True, metadata={"description": "For a QR code: otpauth://totp/…"})
    secret_base32 = fields.String(required=True, metadata={"description": "To type instead."})


class CodeIn(Schema):
    """A code of the authenticator app."""

    code = Text(required=True, max_length=_CODE_MAX)


class RecoveryCodesOut(Schema):
    """Ten codes, each good once in place of the app. Shown only here."""

    recovery_codes = fields.List(fields.String(), required=True)


class KeyIn(Schema):
    """A key to be made."""

    name = Text(
        required=True,
        max_length=100,
        validate=validate.Regexp(r"\S", error="Say what the key is for."),
    )
    scopes = fields.List(
        fields.Enum(Permission, by_value=True),
        allow_none=True,
        load_default=None,
        validate=validate.Length(max=len(Permission)),
        metadata={"description": "Permissions it is limited to; null: all that you may do."},
    )
    expires_in_days = fields.Integer(
        strict=True,
        load_default=KEY_DAYS,
        validate=validate.Range(min=1, max=KEY_DAYS_MAX),
    )


class KeyOut(Schema):
    """A key, without the key."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    scopes = fields.List(
        fields.String(), required=True, allow_none=True, metadata={"description": "null: all"}
    )
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True, allow_none=True)
    last_used_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "Known to about a minute."}
    )


class MadeKeyOut(KeyOut):
    """A fresh key."""

    key = fields.String(required=True, metadata={"description": "Shown only here."})


class KeysOut(Schema):
    """All valid keys of one person; there is never a next page."""

    items = fields.List(fields.Nested(KeyOut), required=True)
    next = fields.String(required=True, allow_none=True)
