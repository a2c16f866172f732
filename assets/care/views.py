"""Care over the API: what volunteers do, what passers-by call for, what coordinators see."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Response, request
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import audit
from accounts.access import EVERYONE, SIGNED_IN, allow, current_actor, current_person_id, permission
from accounts.audit import Action, Subject
from accounts.rules import Permission
from assets import photos, spreadsheet
from assets.adoption.addressing import UnknownAreaError, has_area
from assets.adoption.queries import refer
from assets.care import calling, doing, queries, writing
from assets.care.doing import Done
from assets.care.queries import HOURS_COLUMNS, Logged
from assets.care.schemas import (
    MOST_NEGLECTED,
    CareCallOut,
    CareIn,
    CareListOut,
    CareOut,
    HoursQuery,
    NeglectedOut,
    NeglectedQuery,
    OwnCareOut,
    VolunteerMessageIn,
    VolunteerMessageOut,
    care_document,
    neglected_document,
)
from assets.care.writing import Letter
from assets.kinds import kinds_of
from assets.models import Asset
from core.api import load
from core.clock import utc_now
from core.db import db, reading, transaction
from core.errors import NotFoundError
from core.i18n import asked_for
from core.idempotency import once
from core.limits import Allowance, limited
from geo import jurisdictions
from geo.errors import UnknownJurisdictionError
from geo.jurisdictions import JurisdictionRef
from reports.media.staging import StagedPhoto
from reports.schemas import PageQuery
from reports.viewing import KEY_PARAMETER, answer, caller, sent_fields, sent_photos

blueprint = Blueprint("care", __name__, description="Care: what is done for adopted assets.")

_CARE, _LIST, _OWN, _CALL = CareOut(), CareListOut(), OwnCareOut(), CareCallOut()
_NEGLECTED, _MESSAGE, _CARE_IN = NeglectedOut(), VolunteerMessageOut(), CareIn()

_COORDINATE = permission(Permission.COORDINATE_VOLUNTEERS)

#: Of hours, where the coordinator names no time.
A_YEAR = timedelta(days=365)

_PHOTO = {"type": "string", "contentMediaType": "application/octet-stream"}


@blueprint.route("/assets/<uuid:asset_id>/care", methods=["POST"])
@allow(SIGNED_IN)
@limited(Allowance.INTAKE)
@blueprint.doc(
    parameters=[KEY_PARAMETER],
    requestBody={
        "content": {
            "application/json": {"schema": CareIn},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"photos": {"type": "array", "maxItems": 1, "items": _PHOTO}},
                }
            },
        }
    },
)
@blueprint.response(201, CareOut)
@blueprint.alt_response(404, description="There is no such asset.")
@blueprint.alt_response(409, description="It is not there any more.")
def log_care(asset_id: UUID) -> Response:
    """Say what one did: as its adopter, or as a neighbour who helped. It answers open calls.

    As JSON, or as a form with the same fields and one photo in `photos`.
    """
    sent = load(_CARE_IN, sent_fields(numbers=("minutes",)))
    return _log(asset_id, Done(**sent), sent_photos())


@blueprint.route("/assets/<uuid:asset_id>/care", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, CareListOut)
@blueprint.alt_response(404, description="There is no such asset.")
def list_care(query: dict[str, Any], asset_id: UUID) -> Response:
    """What was done for an asset, the latest first, without who did it."""
    with reading() as session:
        if session.get(Asset, asset_id) is None:
            raise NotFoundError
        page = queries.of_asset(session, asset_id, cursor=query.get("cursor"), limit=query["limit"])
        locale = query.get("locale") or _locale()
        items = [care_document(each, locale, is_private=False) for each in page.items]
        return answer(_LIST, {"items": items, "next": page.next})


@blueprint.route("/me/care", methods=["GET"])
@allow(SIGNED_IN)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, OwnCareOut)
def list_own_care(query: dict[str, Any]) -> Response:
    """What the caller did, the latest first, and what it comes to."""
    with reading() as session:
        page = queries.of_person(
            session, current_person_id(), cursor=query.get("cursor"), limit=query["limit"]
        )
        tally = queries.tally(session, current_person_id(), now=utc_now())
        locale = query.get("locale") or _locale()
        document = {
            "items": [care_document(each, locale, is_private=True) for each in page.items],
            "next": page.next,
            "minutes": tally.minutes,
            "entries": tally.entries,
            "streak": tally.streak,
        }
        return answer(_OWN, document, is_private=True)


@blueprint.route("/assets/<uuid:asset_id>/care-calls", methods=["POST"])
@allow(EVERYONE)
@limited(Allowance.INTAKE)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.response(201, CareCallOut)
@blueprint.alt_response(404, description="There is no such asset.")
@blueprint.alt_response(409, description="It is not there, or nobody can adopt it.")
@blueprint.alt_response(429, description="Somebody said so within the hour: its adopter knows.")
def call_for_care(asset_id: UUID) -> Response:
    """Say in passing that an asset needs care; once an hour at most for one asset."""
    made = calling.call(db.session(), asset_id, current_actor().person_id, now=utc_now())
    return answer(_CALL, made, status=201)


@blueprint.route("/care-calls/<uuid:call_id>/false-alarm", methods=["POST"])
@allow(SIGNED_IN)
@blueprint.response(200, CareCallOut)
@blueprint.alt_response(404, description="The caller does not look after it.")
@blueprint.alt_response(410, description="It was answered.")
def say_false_alarm(call_id: UUID) -> Response:
    """Say as the adopter that nothing needs to be done."""
    with transaction() as session:
        made = calling.false_alarm(session, call_id, current_person_id(), now=utc_now())
        return answer(_CALL, made, is_private=True)


@blueprint.route("/volunteers/<jurisdiction>/neglected", methods=["GET"])
@allow(_COORDINATE)
@blueprint.arguments(NeglectedQuery, location="query")
@blueprint.response(200, NeglectedOut)
@blueprint.alt_response(404, description="The caller does not coordinate there.")
def list_neglected(query: dict[str, Any], jurisdiction: str) -> Response:
    """Adopted assets that were not cared for as often as their kind asks in its season, and those
    that somebody called for in vain; the longest first, at most a thousand."""
    with reading() as session:
        place = _coordinated(session, jurisdiction)
        found = queries.neglected(
            session, place.id, kind=query.get("kind"), now=utc_now(), limit=MOST_NEGLECTED
        )
        locale = query.get("locale") or _locale()
        items = [neglected_document(each, locale) for each in found]
        return answer(_NEGLECTED, {"items": items}, is_private=True)


@blueprint.route("/volunteers/<jurisdiction>/hours.csv", methods=["GET"])
@allow(_COORDINATE)
@blueprint.arguments(HoursQuery, location="query")
@blueprint.response(200, {"format": "binary", "type": "string"}, content_type="text/csv")
@blueprint.alt_response(404, description="The caller does not coordinate there.")
def export_hours(query: dict[str, Any], jurisdiction: str) -> Response:
    """Every care of a time with its volunteer and minutes, as CSV; that it was read is audited."""
    now = utc_now()
    until = query.get("until") or now
    since = query.get("since") or until - A_YEAR
    with transaction() as session:
        place = _coordinated(session, jurisdiction)
        rows = queries.hours(session, place.id, since=since, until=until)
        text = spreadsheet.table(HOURS_COLUMNS, rows)
        audit.record(
            session,
            current_actor(),
            Action.VOLUNTEERS_READ,
            Subject("jurisdiction", place.id, place.id),
            now=now,
        )
    response = Response(text, content_type=spreadsheet.CONTENT_TYPE)
    response.headers["Content-Disposition"] = 'attachment; filename="hours.csv"'
    response.headers["Cache-Control"] = "private, no-store"
    return response


@blueprint.route("/volunteers/messages", methods=["POST"])
@allow(_COORDINATE)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.arguments(VolunteerMessageIn)
@blueprint.response(201, VolunteerMessageOut)
@blueprint.alt_response(404, description="The caller does not coordinate there.")
@blueprint.alt_response(409, description="Nobody looks after such an asset there.")
def write_to_volunteers(payload: dict[str, Any]) -> Response:
    """Write to the adopters of a kind, of an area or box, or of the whole city; each once."""
    session, now, actor = db.session(), utc_now(), current_actor()
    place = _coordinated(session, payload["jurisdiction"])
    kind, area = payload.get("kind"), payload.get("area")
    if area is not None and not has_area(place, area):
        raise UnknownAreaError(field="area")
    letter = Letter(
        subject=payload["subject"],
        text=payload["text"],
        kind_id=kinds_of(session, place.id).kind(kind).id if kind else None,
        box=payload.get("bbox"),
        area=area,
    )
    message, count = writing.write(session, place.id, current_person_id(), letter, now=now)
    audit.record(
        session,
        actor,
        Action.VOLUNTEERS_ADDRESSED,
        Subject("volunteer_message", message.id, place.id),
        now=now,
        data={"recipients": count},
    )
    document = {"id": message.id, "recipients": count}
    return answer(_MESSAGE, document, status=201, is_private=True)


@once(caller)
def _log(asset_id: UUID, done: Done, staged: list[StagedPhoto]) -> Response:
    session, now = db.session(), utc_now()
    care = doing.log(session, current_person_id(), asset_id, done, now=now)
    care.photo_id = photos.insert(
        session,
        staged,
        person_id=current_person_id(),
        jurisdiction_id=care.jurisdiction_id,
        now=now,
    )
    session.flush()
    asset = session.get_one(Asset, asset_id)
    logged = Logged(care, refer(session, [asset])[asset_id])
    return answer(
        _CARE, care_document(logged, _locale(), is_private=True), status=201, is_private=True
    )


def _coordinated(session: Session, code: str) -> JurisdictionRef:
    """The city of that code, where the actor coordinates volunteers.

    Raises:
        NotFoundError
    """
    try:
        place = jurisdictions.by_code(session, code)
    except UnknownJurisdictionError:
        raise NotFoundError from None
    if not current_actor().may(Permission.COORDINATE_VOLUNTEERS, place.id, None):
        raise NotFoundError
    return place


def _locale() -> str | None:
    return asked_for(request.accept_languages)
