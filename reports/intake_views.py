"""Intake over JSON and multipart, and the catalogue that a report chooses from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import audit
from accounts.access import EVERYONE, allow, current_actor
from accounts.audit import Action, Subject
from core.api import PayloadError, load
from core.clock import utc_now
from core.db import reading, single_write, transaction
from core.errors import InvalidError, NotFoundError
from core.i18n import LANGUAGES, asked_for, pick
from core.limits import DEVICE_HEADER, Allowance, hold_place, limited
from core.links import track_url
from geo import jurisdictions
from geo.cells import cell_of
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point
from reports import media, submission
from reports.attributes import AttributeDefinition
from reports.catalogue import Catalogue, ServiceEntry, catalogue_of
from reports.forecast import foreseeing, telling
from reports.forecast.foreseeing import Forecast
from reports.history import Author
from reports.intake_schemas import (
    JurisdictionListOut,
    ProposalListOut,
    ProposalsQuery,
    ReportIn,
    ServiceListOut,
    ServiceOut,
    ServicesQuery,
    SubmittedOut,
)
from reports.submission import Caller, Draft, Submitted
from reports.unknown_senders import Gate, Proof
from reports.vocabulary import ActorKind
from reports.words import proposing

blueprint = Blueprint("intake", __name__, description="What can be reported, and reporting it.")

#: Longest idempotency key; a UUID has 36 characters.
MAX_KEY = 200

_REPORT_IN = ReportIn()

#: Multipart fields whose text is JSON: objects and lists have no other form there.
_JSON_FIELDS = frozenset({"attributes", "contact", "not_same_as", "proof"})

#: Where a client may put its proof of work, beside the field `proof`.
PROOF_HEADER = "X-Proof-Of-Work"

#: "The same place" for the limit of reports: of the H3 resolutions this one's edge, 28.7 m on
#: average, is nearest to 25 m (the next finer one has 10.8 m).
PLACE_RESOLUTION = 11

#: What the API document shows.
EXAMPLE = {
    "service_code": "pothole",
    "lat": 43.6086,
    "lon": 3.8797,
    "accuracy_m": 8,
    "description": "A deep hole before the pharmacy; cyclists swerve.",
    "contact": {"email": "camille@example.org", "locale": "fr"},
    "display": "first",
}


def _place_of_body() -> str | None:
    """What and where the report in hand is about; None for photos, whose body is read later."""
    if not request.is_json:
        return None
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        return None
    try:
        point = Point(float(body["lat"]), float(body["lon"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return _same_place(point, str(body.get("service_code")))


def _same_place(point: Point, service_code: str) -> str | None:
    """Names the reports of one kind at one place; None for a place that there is not."""
    if not (-90 <= point.lat <= 90 and -180 <= point.lon <= 180):
        return None
    return f"{cell_of(point, PLACE_RESOLUTION):x}|{service_code[:100]}"


@blueprint.route("/reports", methods=["POST"])
@blueprint.doc(
    summary="Report a problem",
    description=(
        "As JSON, or as multipart with the same fields and up to five photos in `photos`; in "
        "multipart `attributes`, `contact` and `not_same_as` are JSON texts, or the whole report "
        "is one JSON part `report`. Sent again under the same `id` or `Idempotency-Key`, it is "
        "the same report."
    ),
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": ReportIn, "example": EXAMPLE},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "report": {"type": "string", "contentMediaType": "application/json"},
                        "photos": {
                            "type": "array",
                            "maxItems": media.MAX_PHOTOS,
                            "items": {
                                "type": "string",
                                "contentMediaType": "application/octet-stream",
                            },
                        },
                    },
                }
            },
        },
    },
    # Said here rather than by decorators: each of those would wrap the hottest view once more.
    responses={
        409: {"description": "The id or key stands for something else."},
        415: {"description": "Neither JSON nor multipart."},
        403: {"description": "The sender is blocked in that city; says whom to ask."},
        422: {
            "description": "A field is not as it should be; or `proof_needed`: the city asks people"
            " who do not sign in for a proof of work, and a fresh `challenge` comes along."
        },
    },
    parameters=[
        {
            "in": "header",
            "name": "Idempotency-Key",
            "schema": {"type": "string", "maxLength": MAX_KEY},
        },
        {
            "in": "header",
            "name": PROOF_HEADER,
            "schema": {"type": "string"},
            "description": "`challenge:nonce`, where the city asks for a proof of work.",
        },
        {
            "in": "header",
            "name": DEVICE_HEADER,
            "schema": {"type": "string", "format": "uuid"},
            "description": "A UUID that the app drew at random: counted beside the address.",
        },
    ],
)
@blueprint.response(201, SubmittedOut, description="Received; the pipeline takes over.")
@allow(EVERYONE)
@limited(Allowance.INTAKE, place=_place_of_body)
def submit_report() -> ResponseReturnValue:
    """Take a report."""
    draft: Draft = load(_REPORT_IN, _payload())
    if not request.is_json and draft.point is not None:
        place = _same_place(draft.point, draft.service_code)
        if place is not None:
            hold_place(place)
    # Asking for files makes Werkzeug parse a form; JSON has none.
    files = [] if request.is_json else request.files.getlist("photos")
    photos = media.check_photos([file.stream for file in files])
    caller = Caller(
        actor=current_actor(),
        address=request.remote_addr or "",
        idempotency_key=_idempotency_key(),
        language=asked_for(request.accept_languages),
    )
    storage = current_app.extensions["storage"]
    staged = media.stage(storage, photos) if photos else []
    now = utc_now()
    with transaction() if staged else single_write() as session:
        submitted = submission.submit(
            session,
            draft,
            caller,
            now=now,
            secret=current_app.config["SECRET_KEY"],
            default_jurisdiction=current_app.config["DEFAULT_JURISDICTION"],
            assets=current_app.extensions.get("asset_facts"),
            content_digests=[photo.digest for photo in photos],
            gate=gate(draft.proof),
        )
        if staged and not submitted.is_replay:
            # Photos come with a transaction, and so with a session.
            assert isinstance(session, Session)
            media.insert_staged(
                session,
                submitted.id,
                staged,
                by=Author(ActorKind.REPORTER),
                jurisdiction_id=submitted.jurisdiction.id,
                now=now,
            )
        if submission.is_by_staff(draft) and not submitted.is_replay:
            # Who is signed in has a session already, and so a transaction.
            audit.record(
                session,
                caller.actor,
                Action.REPORT_CHANGED,
                Subject("report", submitted.id, submitted.jurisdiction.id),
                now=now,
                data={"what": "submit_report"},
            )
        usual = foreseeing.foresee(
            session, submitted.jurisdiction, submitted.service.id, at=submitted.requested_at
        )
    return _answer(submitted, telling.document(usual, caller.language or draft.locale))


@blueprint.route("/services", methods=["GET"])
@blueprint.arguments(ServicesQuery, location="query")
@blueprint.response(200, ServiceListOut)
@allow(EVERYONE)
def list_services(query: dict[str, Any]) -> ResponseReturnValue:
    """The catalogue of a city: by code, by position, or the only one there is."""
    catalogue = _catalogue(query)
    locale = _locale(query, catalogue.place)
    usual = _usual(catalogue)
    items = [_service(entry, catalogue.place, locale, usual) for entry in catalogue.offered()]
    return _cacheable({"items": items, "next": None}, catalogue.place, locale)


@blueprint.route("/services/suggestions", methods=["GET"])
@blueprint.arguments(ProposalsQuery, location="query")
@blueprint.response(200, ProposalListOut)
@allow(EVERYONE)
def suggest_services(query: dict[str, Any]) -> ResponseReturnValue:
    """Which services the words may mean, to propose before a report is filed.

    Addresses of pages are written down in many places on the way: what somebody wrote is better
    sent by POST.
    """
    return _proposals(query)


@blueprint.route("/services/suggestions", methods=["POST"])
@blueprint.arguments(ProposalsQuery)
@blueprint.response(200, ProposalListOut)
@allow(EVERYONE)
@limited(Allowance.READ)
def suggest_services_for(payload: dict[str, Any]) -> ResponseReturnValue:
    """The same; the words are neither stored nor logged."""
    return _proposals(payload)


def _proposals(query: dict[str, Any]) -> Response:
    with reading() as session:
        catalogue = _catalogue(query)
        proposed = proposing.propose(session, catalogue, query["text"])
    place = catalogue.place
    locale = _locale(query, place)

    def say(texts: Any) -> str:
        return pick(texts, locale, place.default_locale)

    items = [
        {
            "service_code": each.service.code,
            "name": say(each.service.names),
            "description": say(each.service.descriptions),
            "group_name": say(each.service.group_names),
            "confidence": each.confidence,
            "emergency": _emergency(each.service, say),
        }
        for each in proposed
    ]
    response = jsonify(items=items, next=None)
    response.vary.add("Accept-Language")
    response.headers["Cache-Control"] = "private, no-store"
    return response


@blueprint.route("/services/<code>", methods=["GET"])
@blueprint.arguments(ServicesQuery, location="query")
@blueprint.response(200, ServiceOut)
@allow(EVERYONE)
def get_service(query: dict[str, Any], code: str) -> ResponseReturnValue:
    """One service, with the questions it asks."""
    catalogue = _catalogue(query)
    entry = catalogue.by_code.get(code)
    if entry is None or not entry.is_active:
        raise NotFoundError(f"There is no service {code!r} in {catalogue.place.code}.")
    locale = _locale(query, catalogue.place)
    document = _service(entry, catalogue.place, locale, _usual(catalogue))
    return _cacheable(document, catalogue.place, locale)


@blueprint.route("/jurisdictions", methods=["GET"])
@blueprint.response(200, JurisdictionListOut)
@allow(EVERYONE)
def list_jurisdictions() -> ResponseReturnValue:
    """The cities that this installation serves."""
    with reading() as session:
        places = jurisdictions.all_of_them(session)
    items = [
        {
            "code": place.code,
            "name": place.name(_locale({}, place)),
            "locales": list(place.locales),
            "time_zone": place.time_zone.key,
            "bbox": _bbox(place),
            "contact": dict(place.contact),
        }
        for place in places
    ]
    return jsonify(items=items, next=None)


def gate(proof: Proof | None) -> Gate:
    """What stands before whoever makes this request without signing in."""
    header = request.headers.get(PROOF_HEADER)
    secret: str = current_app.config["SECRET_KEY"]
    return Gate(
        tally=current_app.extensions["tally"],
        secret=secret,
        address=request.remote_addr or "",
        proof=Proof.from_header(header) if proof is None and header is not None else proof,
    )


def _payload() -> Any:
    """The report as sent, in one form for JSON and multipart."""
    if request.mimetype != "multipart/form-data":
        return request.get_json()
    form = request.form
    if "report" in form:
        return _parsed("report", form["report"])
    payload: dict[str, Any] = {}
    for name, text in form.items():
        if text == "":
            continue
        payload[name] = _parsed(name, text) if name in _JSON_FIELDS else text
    return payload


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PayloadError({name: ["It must be JSON."]}) from error


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY:
        raise InvalidError(
            f"The Idempotency-Key must have 1 to {MAX_KEY} characters.", field="Idempotency-Key"
        )
    return key


def _answer(submitted: Submitted, usual: dict[str, Any] | None) -> Response:
    token = submitted.tracking_token
    response = jsonify(
        id=str(submitted.id),
        number=submitted.number,
        jurisdiction=submitted.jurisdiction.code,
        service_code=submitted.service.code,
        status=submitted.status.value,
        visibility=submitted.visibility.value,
        review=submitted.review,
        requested_at=_instant(submitted.requested_at),
        tracking_token=token,
        tracking_url=token and track_url(current_app.config["BASE_URL"], submitted.id, token),
        usual_time=usual,
    )
    response.status_code = 201
    response.headers["Location"] = f"/api/v1/reports/{submitted.id}"
    response.headers["Cache-Control"] = "no-store"
    if submitted.is_replay:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _instant(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _catalogue(query: dict[str, Any]) -> Catalogue:
    lat, lon = query.get("lat"), query.get("lon")
    if (lat is None) != (lon is None):
        raise InvalidError(
            "A position needs both lat and lon.", field="lat" if lat is None else "lon"
        )
    with reading() as session:
        place = jurisdictions.resolve(
            session,
            code=query.get("jurisdiction"),
            point=None if lat is None or lon is None else Point(lat, lon),
            default=current_app.config["DEFAULT_JURISDICTION"],
        )
        return catalogue_of(session, place.id)


def _locale(query: dict[str, Any], place: JurisdictionRef) -> str:
    """The language asked for, in the query or by the browser, else the city's own."""
    asked = query.get("locale")
    if asked:
        return str(asked).split("-")[0].lower()
    offered = [place.default_locale, *(each for each in LANGUAGES if each != place.default_locale)]
    return asked_for(request.accept_languages, offered) or place.default_locale


def _emergency(entry: ServiceEntry, say: Any) -> dict[str, Any] | None:
    """What to do instead of filing."""
    if entry.emergency is None:
        return None
    return {"phone": entry.emergency["phone"], "text": say(entry.emergency.get("text", {}))}


def _usual(catalogue: Catalogue) -> Mapping[int, Forecast]:
    """How long reports of each service take, all over the city, now."""
    now = utc_now()
    with reading() as session:
        found = {
            entry.id: foreseeing.foresee(session, catalogue.place, entry.id, at=now)
            for entry in catalogue.offered()
        }
    return {id_: forecast for id_, forecast in found.items() if forecast is not None}


def _service(
    entry: ServiceEntry, place: JurisdictionRef, locale: str, usual: Mapping[int, Forecast]
) -> dict[str, Any]:
    def say(texts: Any) -> str:
        return pick(texts, locale, place.default_locale)

    return {
        "code": entry.code,
        "jurisdiction": place.code,
        "name": say(entry.names),
        "description": say(entry.descriptions),
        "group": entry.group,
        "group_name": say(entry.group_names),
        "keywords": list(entry.keywords.get(locale, ())),
        "type": entry.kind.value,
        "duplicate_radius_m": entry.duplicate_radius_m,
        "attributes": [_question(each, say) for each in entry.attributes],
        "emergency": _emergency(entry, say),
        "usual_time": telling.document(usual.get(entry.id), locale),
        "is_moderated": entry.moderation != "none",
    }


def _question(definition: AttributeDefinition, say: Any) -> dict[str, Any]:
    return {
        "code": definition.code,
        "datatype": definition.datatype.value,
        "required": definition.is_required,
        "order": definition.order,
        "description": say(definition.descriptions),
        "values": [{"key": each.key, "name": say(each.names)} for each in definition.values],
    }


def _bbox(place: JurisdictionRef) -> list[float]:
    box = place.boundary.box
    return [round(edge, 6) for edge in (box.west, box.south, box.east, box.north)]


def _cacheable(document: Any, place: JurisdictionRef, locale: str) -> Response:
    """The document with an ETag that moves with the city folder."""
    response = jsonify(document)
    response.vary.add("Accept-Language")
    response.headers["Cache-Control"] = "public, max-age=60"
    response.set_etag(f"{place.code}-{place.version}-{locale}", weak=True)
    response.make_conditional(request)
    return response
