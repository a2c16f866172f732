"""Before a report is sent: what would be said of it, and the work that a city may ask for.

Nothing here is stored.
"""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response, current_app, jsonify, request
from flask_smorest import Blueprint
from marshmallow import fields
from sqlalchemy.orm import Session

from accounts.access import EVERYONE, allow, current_actor
from core.api import Schema, Text
from core.clock import utc_now
from core.db import reading
from core.errors import DomainError
from core.i18n import LANGUAGES, asked_for
from core.text import clean
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point
from reports import attributes, reviewing, unknown_senders
from reports.catalogue import ServiceEntry, catalogue_of
from reports.intake_schemas import MAX_DESCRIPTION
from reports.intake_views import gate
from reports.personal_data import findings

blueprint = Blueprint(
    "checks", __name__, description="What would become of a report, before it is sent."
)


class CheckIn(Schema):
    """As much of a report as there is by now."""

    jurisdiction = Text(allow_none=True, max_length=100)
    service_code = Text(allow_none=True, max_length=100)
    lat = fields.Float(allow_none=True, validate=ma.validate.Range(min=-90, max=90))
    lon = fields.Float(allow_none=True, validate=ma.validate.Range(min=-180, max=180))
    description = Text(allow_none=True, max_length=MAX_DESCRIPTION)
    attributes = fields.Dict(
        keys=fields.String(), values=fields.Raw(allow_none=True), allow_none=True
    )
    locale = fields.String(
        allow_none=True, validate=ma.validate.Regexp("^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?$")
    )


class FindingOut(Schema):
    """A part of the description that may point to somebody."""

    kind = fields.String(required=True, metadata={"description": "phone, email, plate or name"})
    start = fields.Integer(
        required=True, metadata={"description": "Of its first character in `description`."}
    )
    end = fields.Integer(required=True, metadata={"description": "Behind its last."})
    text = fields.String(required=True)


class CheckOut(Schema):
    """What would become of it."""

    description = fields.String(
        required=True,
        metadata={
            "description": "As it would be stored; positions count its characters (code points)."
        },
    )
    findings = fields.List(fields.Nested(FindingOut), required=True)
    visibility = fields.String(required=True, metadata={"description": "public or held"})
    message = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What to tell the citizen, in their language; null: nothing."},
    )
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        required=True,
        metadata={"description": "What would be refused, by field; empty when nothing would be."},
    )
    proof_of_work = fields.Boolean(
        required=True,
        metadata={"description": "Whether this sender would have to solve a challenge."},
    )


class ChallengeOut(Schema):
    """Work to do before a report is sent."""

    challenge = fields.String(required=True)
    difficulty = fields.Integer(
        required=True,
        metadata={"description": "Zero bits that SHA-256 of `challenge:nonce` must begin with."},
    )
    algorithm = fields.String(required=True, metadata={"description": "sha-256"})
    expires_at = fields.AwareDateTime(required=True)


@blueprint.route("/reports/check", methods=["POST"])
@allow(EVERYONE)
@blueprint.arguments(CheckIn)
@blueprint.response(200, CheckOut)
def check_report(payload: dict[str, Any]) -> Response:
    """Say before a report is sent what would be refused, and what would be held and why."""
    text = clean(payload.get("description") or "").strip()
    errors: dict[str, list[str]] = {}
    with reading() as session:
        place = _place(session, payload, errors)
        service = _service(session, place, payload, errors)
    moderation = service.moderation if service is not None else "none"
    country = place.country if place is not None else "FR"
    judged = reviewing.judge(text, country, moderation=moderation)
    locale = _locale(payload, place)
    is_unknown = not current_actor().is_signed_in
    response = jsonify(
        description=text,
        findings=[
            {
                "kind": each.kind.value,
                "start": each.start,
                "end": each.end,
                "text": text[each.start : each.end],
            }
            for each in findings(text, country)
        ],
        visibility=judged.visibility.value,
        message=reviewing.advice(
            judged.kinds,
            is_moderated=moderation == "before_publication",
            locale=locale,
            default=place.default_locale if place is not None else locale,
        ),
        errors=errors,
        proof_of_work=is_unknown
        and place is not None
        and place.policy.get("anonymous") == "proof_of_work",
    )
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.route("/reports/challenge", methods=["GET"])
@allow(EVERYONE)
@blueprint.response(200, ChallengeOut)
def get_challenge() -> Response:
    """A challenge to solve for one report, where the city asks that of people who do not sign in.

    Its work grows with the number of challenges that the same network asked for lately.
    """
    response = jsonify(unknown_senders.document(gate(None).challenge(utc_now())))
    response.headers["Cache-Control"] = "no-store"
    return response


def _place(
    session: Session, payload: dict[str, Any], errors: dict[str, list[str]]
) -> JurisdictionRef | None:
    lat, lon = payload.get("lat"), payload.get("lon")
    if (lat is None) != (lon is None):
        errors["lat" if lat is None else "lon"] = ["A position needs both lat and lon."]
    point = Point(lat, lon) if lat is not None and lon is not None else None
    default = current_app.config["DEFAULT_JURISDICTION"]
    code = payload.get("jurisdiction") or None
    try:
        return jurisdictions.resolve(session, code=code, point=point, default=default)
    except DomainError as error:
        errors[error.field or "jurisdiction"] = [error.detail]
    try:
        # The words can be looked at all the same.
        return jurisdictions.resolve(session, code=code, default=default)
    except DomainError:
        return None


def _service(
    session: Session,
    place: JurisdictionRef | None,
    payload: dict[str, Any],
    errors: dict[str, list[str]],
) -> ServiceEntry | None:
    """The service that is meant; its questions are looked at when answers came along."""
    if place is None or not payload.get("service_code"):
        return None
    try:
        service = catalogue_of(session, place.id).service(payload["service_code"])
    except DomainError as error:
        errors["service_code"] = [error.detail]
        return None
    if service.emergency is not None:
        errors["service_code"] = [f"This is an emergency: call {service.emergency['phone']}."]
    elif payload.get("attributes") is not None:
        checked = attributes.check(service.attributes, payload["attributes"])
        errors.update({f"attributes.{code}": list(said) for code, said in checked.errors.items()})
    return service


def _locale(payload: dict[str, Any], place: JurisdictionRef | None) -> str:
    asked = payload.get("locale")
    if asked:
        return str(asked).split("-")[0].lower()
    own = place.default_locale if place is not None else LANGUAGES[0]
    offered = [own, *(each for each in LANGUAGES if each != own)]
    return asked_for(request.accept_languages, offered) or own
