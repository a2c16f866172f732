"""The form of a report on its way in, and of the catalogue on its way out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
from marshmallow import fields

from accounts.rules import Display
from accounts.schemas import Email, Name
from core.api import Schema, Text
from core.text import clean
from geo.measures import Point
from reports.contacts import Contact
from reports.field_types import ReviewOut, UsualTimeOut
from reports.submission import Draft
from reports.unknown_senders import Proof
from reports.vocabulary import Source

#: Longest description, as Open311 clients expect it.
MAX_DESCRIPTION = 4000

_LOCALE = re.compile("^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?$")


class ContactIn(Schema):
    """How the reporter can be told. Everything is optional, and nothing is ever shown."""

    email = Email(
        allow_none=True,
        metadata={"description": "Where news of the report goes.", "example": "a@example.org"},
    )
    phone = Text(
        allow_none=True, max_length=40, metadata={"description": "National or international form."}
    )
    locale = fields.String(
        allow_none=True,
        validate=ma.validate.Regexp(_LOCALE, error="This is not a language tag such as fr."),
        metadata={
            "description": "Language of the messages: fr or en. Unless it is said, that of"
            " `Accept-Language`, else the city's."
        },
    )
    name = Name()

    @ma.pre_load
    def _trim(self, data: Any, **_kwargs: Any) -> Any:
        """Phones like to put a space after an address that they completed."""
        if isinstance(data, dict) and isinstance(data.get("email"), str):
            return {**data, "email": data["email"].strip() or None}
        return data


class WorkIn(Schema):
    """A proof of work: `GET /reports/challenge` says what is asked."""

    challenge = Text(required=True, min_length=1, max_length=100)
    nonce = Text(
        required=True,
        min_length=1,
        max_length=64,
        metadata={
            "description": "SHA-256 of `challenge:nonce` begins with `difficulty` zero bits."
        },
    )


class ReportIn(Schema):
    """A report. Say what (`service_code`) and where (`lat` and `lon`, or `address`)."""

    id = fields.UUID(
        allow_none=True,
        metadata={"description": "Made by the client, so that a retry is not a second report."},
    )
    jurisdiction = Text(allow_none=True, max_length=100)
    service_code = Text(required=True, min_length=1, max_length=100)
    lat = fields.Float(
        allow_none=True, metadata={"description": "Degrees, WGS 84.", "example": 43.6109}
    )
    lon = fields.Float(
        allow_none=True, metadata={"description": "Degrees, WGS 84.", "example": 3.8772}
    )
    accuracy_m = fields.Float(
        allow_none=True,
        validate=ma.validate.Range(min=0, max=100_000),
        metadata={"description": "Accuracy of the position, metres."},
    )
    address = Text(allow_none=True, max_length=300)
    description = Text(allow_none=True, max_length=MAX_DESCRIPTION)
    attributes = fields.Dict(
        keys=fields.String(),
        values=fields.Raw(allow_none=True),
        allow_none=True,
        metadata={"description": "Answers to the service's questions, by code."},
    )
    contact = fields.Nested(ContactIn, allow_none=True)
    display = fields.Enum(
        Display,
        by_value=True,
        allow_none=True,
        metadata={
            "description": "How much of the name everybody sees. Unless it is said, what the"
            " signed-in person chose for all their reports; else nothing."
        },
    )
    occurred_at = fields.AwareDateTime(
        allow_none=True,
        default_timezone=UTC,
        metadata={"description": "When it was seen, if not now. Without a zone it is UTC."},
    )
    asset_id = fields.UUID(allow_none=True)
    same_as = fields.UUID(
        allow_none=True, metadata={"description": "An open report that this one repeats."}
    )
    not_same_as = fields.List(fields.UUID(), allow_none=True, validate=ma.validate.Length(max=20))
    source = fields.Enum(Source, by_value=True, allow_none=True)
    on_behalf = fields.Boolean(
        load_default=False, metadata={"description": "Staff: filed for a citizen who called."}
    )
    locale = fields.String(
        allow_none=True,
        validate=ma.validate.Regexp(_LOCALE, error="This is not a language tag such as fr."),
    )
    website = Text(
        allow_none=True,
        max_length=500,
        metadata={
            "description": "Leave it empty: a form shows it to nobody, programs fill it. A report"
            " with it is taken, and held for review."
        },
    )
    proof = fields.Nested(
        WorkIn,
        allow_none=True,
        metadata={
            "description": "Where the city asks people who do not sign in for a proof of work."
            " The header `X-Proof-Of-Work: challenge:nonce` does the same."
        },
    )

    @ma.validates_schema
    def _position_is_whole(self, data: dict[str, Any], **_kwargs: Any) -> None:
        lat, lon = data.get("lat"), data.get("lon")
        if (lat is None) != (lon is None):
            missing = "lat" if lat is None else "lon"
            raise ma.ValidationError("A position needs both lat and lon.", missing)
        if lat is None or lon is None:
            return
        errors = {}
        if not -90 <= lat <= 90:
            errors["lat"] = ["A latitude lies between -90 and 90 degrees."]
        if not -180 <= lon <= 180:
            errors["lon"] = ["A longitude lies between -180 and 180 degrees."]
        if errors:
            raise ma.ValidationError(errors)

    @ma.post_load
    def _draft(self, data: dict[str, Any], **_kwargs: Any) -> Draft:
        contact = data.get("contact")
        return Draft(
            service_code=data["service_code"],
            jurisdiction=data.get("jurisdiction") or None,
            id=data.get("id"),
            point=Point(data["lat"], data["lon"]) if data.get("lat") is not None else None,
            accuracy_m=data.get("accuracy_m"),
            address=_said(data.get("address")),
            description=clean(data.get("description") or "").strip(),
            attributes=data.get("attributes") or {},
            contact=None if contact is None else _contact(contact),
            display=data.get("display"),
            occurred_at=_in_utc(data.get("occurred_at")),
            asset_id=data.get("asset_id"),
            same_as=data.get("same_as"),
            not_same_as=tuple(dict.fromkeys(data.get("not_same_as") or ())),
            source=data.get("source"),
            is_on_behalf=data["on_behalf"],
            locale=data.get("locale"),
            is_trap_filled=bool(_said(data.get("website"))),
            proof=data.get("proof") and Proof(**data["proof"]),
        )


class SubmittedOut(Schema):
    """What the sender of a report is told."""

    id = fields.UUID(required=True)
    number = fields.Integer(required=True, metadata={"description": "What people call it."})
    jurisdiction = fields.String(required=True)
    service_code = fields.String(required=True)
    status = fields.String(required=True)
    visibility = fields.String(
        required=True, metadata={"description": "`held`: shown to the public after a review."}
    )
    review = fields.Nested(
        ReviewOut,
        required=True,
        allow_none=True,
        metadata={"description": "What was found in the words; null where nothing was."},
    )
    requested_at = fields.AwareDateTime(required=True)
    tracking_token = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Opens the reporter's side. Null when sent again by another."},
    )
    tracking_url = fields.String(required=True, allow_none=True)
    usual_time = fields.Nested(UsualTimeOut, required=True, allow_none=True)


class ServicesQuery(Schema):
    """Which catalogue, in which language."""

    jurisdiction = Text(max_length=100)
    lat = fields.Float(validate=ma.validate.Range(min=-90, max=90))
    lon = fields.Float(validate=ma.validate.Range(min=-180, max=180))
    locale = fields.String(validate=ma.validate.Regexp(_LOCALE))


class ValueOut(Schema):
    """A value to choose from."""

    key = fields.String(required=True)
    name = fields.String(required=True)


class AttributeOut(Schema):
    """A question that the service asks."""

    code = fields.String(required=True)
    datatype = fields.String(required=True)
    required = fields.Boolean(required=True)
    order = fields.Integer(required=True)
    description = fields.String(required=True)
    values = fields.List(fields.Nested(ValueOut), required=True)


class EmergencyOut(Schema):
    """What to do instead of filing."""

    phone = fields.String(required=True)
    text = fields.String(required=True)


class ProposalsQuery(ServicesQuery):
    """What somebody wrote, and where."""

    text = Text(required=True, max_length=MAX_DESCRIPTION)


class ProposalOut(Schema):
    """A service that the words may mean."""

    service_code = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    group_name = fields.String(required=True)
    confidence = fields.Float(
        required=True, metadata={"description": "0 to 1: so often it is right."}
    )
    emergency = fields.Nested(EmergencyOut, required=True, allow_none=True)


class ProposalListOut(Schema):
    """At most three, likeliest first; none when nothing is sure."""

    items = fields.List(fields.Nested(ProposalOut), required=True)
    next = fields.String(required=True, allow_none=True)


class ServiceOut(Schema):
    """A service of the catalogue, in the reader's language."""

    code = fields.String(required=True)
    jurisdiction = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    group = fields.String(required=True)
    group_name = fields.String(required=True)
    keywords = fields.List(fields.String(), required=True)
    type = fields.String(required=True, metadata={"description": "realtime, batch or blackbox"})
    duplicate_radius_m = fields.Float(required=True)
    attributes = fields.List(fields.Nested(AttributeOut), required=True)
    emergency = fields.Nested(EmergencyOut, required=True, allow_none=True)
    usual_time = fields.Nested(UsualTimeOut, required=True, allow_none=True)
    is_moderated = fields.Boolean(required=True)


class ServiceListOut(Schema):
    """The catalogue, in the city's order."""

    items = fields.List(fields.Nested(ServiceOut), required=True)
    next = fields.String(required=True, allow_none=True)


class JurisdictionOut(Schema):
    """A city that this installation serves."""

    code = fields.String(required=True)
    name = fields.String(required=True)
    locales = fields.List(fields.String(), required=True)
    time_zone = fields.String(required=True)
    bbox = fields.List(
        fields.Float(), required=True, metadata={"description": "west, south, east, north"}
    )
    contact = fields.Dict(required=True)


class JurisdictionListOut(Schema):
    """The cities that this installation serves."""

    items = fields.List(fields.Nested(JurisdictionOut), required=True)
    next = fields.String(required=True, allow_none=True)


def _said(text: str | None) -> str | None:
    words = clean(text or "").strip()
    return words or None


def _contact(data: dict[str, Any]) -> Contact:
    return Contact(
        email=data.get("email"),
        phone=_said(data.get("phone")),
        name=data.get("name"),
        locale=data.get("locale"),
    )


def _in_utc(moment: datetime | None) -> datetime | None:
    try:
        return moment and moment.astimezone(UTC)
    except OverflowError as error:
        # The first hours of year 1 and the last of 9999 have no equal in UTC.
        raise ma.ValidationError("That is out of all time.", "occurred_at") from error
