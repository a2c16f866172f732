"""Payloads of helping."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from assets.adoption.schemas import AssetRefOut, asset_document
from assets.helping.queries import Answered, Asked
from assets.helping.vocabulary import Answer, HelpState
from core.api import Schema, Text
from reports.rules import public_address
from reports.showing import Look

MAX_NOTE = 1000


class VolunteerAnswerIn(Schema):
    """What an adopter says of a report; who they are is who is signed in."""

    answer = fields.Enum(
        Answer,
        by_value=True,
        required=True,
        metadata={"description": "`done`: I did it; `needs_city`: it is the city's to do."},
    )
    note = Text(
        allow_none=True, max_length=MAX_NOTE, metadata={"description": "For the team alone."}
    )
    action = Text(
        allow_none=True,
        max_length=64,
        metadata={
            "description": "What was done, one of the kind's `care.actions`; else the usual one."
        },
    )
    minutes = fields.Integer(
        allow_none=True,
        strict=True,
        validate=ma.validate.Range(min=0, max=1440),
        metadata={"description": "How long it took."},
    )


class VolunteerAnswerOut(Schema):
    """What came of an answer."""

    id = fields.UUID(required=True, metadata={"description": "Of the request for help."})
    report = fields.UUID(required=True)
    answer = fields.Enum(Answer, by_value=True, required=True)
    answered_at = fields.AwareDateTime(required=True)
    has_resolved = fields.Boolean(
        required=True,
        metadata={"description": "The report is resolved; else the team has been told."},
    )
    status = fields.String(required=True, metadata={"description": "Of the report, now."})
    care = fields.UUID(
        required=True, allow_none=True, metadata={"description": "What was logged as done."}
    )


class HelpRequestOut(Schema):
    """A report at or near an asset that the caller looks after. Words and place only of what
    everybody may read."""

    id = fields.UUID(required=True)
    asset = fields.Nested(AssetRefOut, required=True)
    report = fields.UUID(required=True)
    number = fields.Integer(required=True)
    service_code = fields.String(required=True)
    service_name = fields.String(required=True)
    requested_at = fields.AwareDateTime(required=True)
    asked_at = fields.AwareDateTime(required=True)
    distance_m = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Of the report from the asset; null: it is about that asset."},
    )
    resolves = fields.Boolean(
        required=True,
        metadata={"description": "`done` resolves the report; else it is a proposal."},
    )
    description = fields.String(required=True, allow_none=True)
    address = fields.String(required=True, allow_none=True)


class HelpRequestsOut(Schema):
    """A page of what the caller is asked."""

    items = fields.List(fields.Nested(HelpRequestOut), required=True)
    next = fields.String(required=True, allow_none=True)


class AdopterOfReportOut(Schema):
    """The adopter who was asked."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, allow_none=True)


class VolunteerAnswerShownOut(Schema):
    """Whom a report was put to, and what they said."""

    id = fields.UUID(required=True)
    asset = fields.Nested(AssetRefOut, required=True)
    adopter = fields.Nested(AdopterOfReportOut, required=True)
    distance_m = fields.Float(required=True, allow_none=True)
    asked_at = fields.AwareDateTime(required=True)
    state = fields.Enum(HelpState, by_value=True, required=True)
    answered_at = fields.AwareDateTime(required=True, allow_none=True)
    has_resolved = fields.Boolean(required=True)
    note = fields.String(required=True, allow_none=True)
    minutes = fields.Integer(required=True, allow_none=True)
    photo_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "See `asset-photos`."}
    )


class VolunteerAnswersOut(Schema):
    """Everybody to whom a report was put, the first asked first."""

    items = fields.List(fields.Nested(VolunteerAnswerShownOut), required=True)


def help_document(asked: Asked, look: Look) -> dict[str, Any]:
    """A request for help as `HelpRequestOut` says it."""
    report, row, request = asked.report, asked.report.row, asked.request
    # How far it is would tell where it is.
    tells_place = asked.is_public and report.service.public_precision == "exact"
    return {
        "id": request.id,
        "asset": asset_document(asked.asset, look.locale),
        "report": row.id,
        "number": row.number,
        "service_code": report.service.code,
        "service_name": look.say(report.service.names, report.place),
        "requested_at": row.requested_at,
        "asked_at": request.asked_at,
        "distance_m": request.distance_m if tells_place else None,
        "resolves": asked.resolves,
        "description": row.description if asked.is_public else None,
        "address": public_address(row.address, report.service.public_precision)
        if asked.is_public
        else None,
    }


def answered_document(answered: Answered, locale: str | None) -> dict[str, Any]:
    """A request for help as `VolunteerAnswerShownOut` says it."""
    request = answered.request
    return {
        "id": request.id,
        "asset": asset_document(answered.asset, locale),
        "adopter": {"id": request.person_id, "name": answered.adopter},
        "distance_m": request.distance_m,
        "asked_at": request.asked_at,
        "state": HelpState(request.state),
        "answered_at": request.answered_at,
        "has_resolved": request.has_resolved,
        "note": answered.note,
        "minutes": answered.minutes,
        "photo_id": answered.photo_id,
    }
