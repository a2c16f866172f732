"""Correcting the register over the API.

Everybody reads what is open, without who said it; whoever is signed in proposes and confirms; those
who keep the register decide, and take the open ones to the city's GIS.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any
from uuid import UUID

from flask import Response, current_app, jsonify, request
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import audit
from accounts.access import EVERYONE, SIGNED_IN, allow, current_actor, current_person_id, permission
from accounts.audit import Action, Subject
from accounts.rules import Permission
from assets import photos, spreadsheet
from assets.adoption import holding
from assets.corrections import deciding, proposing, queries
from assets.corrections.models import Correction
from assets.corrections.proposing import Proposal, Proposed
from assets.corrections.queries import COLUMNS, Filters
from assets.corrections.schemas import (
    AssetCorrectionIn,
    CorrectionDecisionIn,
    CorrectionOut,
    CorrectionsFileOut,
    CorrectionsFileQuery,
    CorrectionsOut,
    CorrectionsQuery,
    MissingAssetIn,
    document,
    file_row,
)
from assets.corrections.vocabulary import DecidedBy, What
from core.api import load
from core.clock import utc_now
from core.db import db, reading, transaction
from core.errors import NotFoundError
from core.i18n import asked_for
from core.idempotency import once
from core.limits import Allowance, limited
from geo import jurisdictions
from geo.measures import Point
from reports.media.showing import Size
from reports.media.staging import StagedPhoto
from reports.schemas import PageQuery
from reports.storage import MissingFileError
from reports.viewing import KEY_PARAMETER, answer, caller, sent_fields, sent_photos

blueprint = Blueprint(
    "corrections", __name__, description="Corrections: say that the register is wrong."
)

_ONE, _MANY = CorrectionOut(), CorrectionsOut()
_ASSET_IN, _MISSING_IN = AssetCorrectionIn(), MissingAssetIn()

_GEOJSON = "application/geo+json"
_TEXT = {"type": "string"}


def _with_photo(schema: Any) -> dict[str, Any]:
    """For the API document: the same as JSON, or as a form with a photo."""
    photo = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {
        "content": {
            "application/json": {"schema": schema},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"photos": {"type": "array", "maxItems": 1, "items": photo}},
                }
            },
        }
    }


@blueprint.route("/assets/<uuid:asset_id>/corrections", methods=["POST"])
@allow(SIGNED_IN)
@limited(Allowance.INTAKE)
@blueprint.doc(parameters=[KEY_PARAMETER], requestBody=_with_photo(AssetCorrectionIn))
@blueprint.response(201, CorrectionOut)
@blueprint.alt_response(
    200, schema=CorrectionOut, description="Somebody had proposed the same: this confirms it."
)
@blueprint.alt_response(404, description="There is no such asset.")
@blueprint.alt_response(409, description="The register says so already.")
def correct_asset(asset_id: UUID) -> Response:
    """Say that an asset is gone, has moved, or that an attribute is wrong; with a photo if need be.

    As JSON, or as a form with the same fields (`attributes` as a JSON text) and one photo in
    `photos`.
    """
    sent = load(_ASSET_IN, _sent())
    return _propose(_proposal(sent["what"], sent, asset_id=asset_id), sent_photos())


@blueprint.route("/corrections", methods=["POST"])
@allow(SIGNED_IN)
@limited(Allowance.INTAKE)
@blueprint.doc(parameters=[KEY_PARAMETER], requestBody=_with_photo(MissingAssetIn))
@blueprint.response(201, CorrectionOut)
@blueprint.alt_response(
    200, schema=CorrectionOut, description="Somebody had proposed the same: this confirms it."
)
@blueprint.alt_response(409, description="The register knows it already.")
def propose_missing() -> Response:
    """Say that there is an asset which the register does not know."""
    sent = load(_MISSING_IN, _sent())
    return _propose(_proposal(What.MISSING, sent), sent_photos())


@blueprint.route("/corrections", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(CorrectionsQuery, location="query")
@blueprint.response(200, CorrectionsOut)
def list_corrections(query: dict[str, Any]) -> Response:
    """Corrections, the latest first, without who proposed them."""
    with reading() as session:
        filters = Filters(
            state=query["state"],
            jurisdiction_id=_place(session, query.get("jurisdiction")),
            kind=query.get("kind"),
            asset_id=query.get("asset"),
            box=query.get("bbox"),
        )
        page = queries.page(session, filters, cursor=query.get("cursor"), limit=query["limit"])
        locale = query.get("locale") or _locale()
        items = [document(each, locale, is_private=False) for each in page.items]
        return answer(_MANY, {"items": items, "next": page.next})


@blueprint.route("/me/corrections", methods=["GET"])
@allow(SIGNED_IN)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, CorrectionsOut)
def list_own_corrections(query: dict[str, Any]) -> Response:
    """What the caller proposed and what became of it, the latest first."""
    with reading() as session:
        filters = Filters(state=None, person_id=current_person_id())
        page = queries.page(session, filters, cursor=query.get("cursor"), limit=query["limit"])
        locale = query.get("locale") or _locale()
        items = [document(each, locale, is_private=True) for each in page.items]
        return answer(_MANY, {"items": items, "next": page.next}, is_private=True)


@blueprint.route("/corrections/<uuid:correction_id>", methods=["GET"])
@allow(EVERYONE)
@blueprint.response(200, CorrectionOut)
@blueprint.alt_response(404, description="There is none.")
def get_correction(correction_id: UUID) -> Response:
    """One correction; for its proposer and for staff with note, photo and reason."""
    with reading() as session:
        correction = session.get(Correction, correction_id)
        if correction is None:
            raise NotFoundError
        return _answer(session, correction)


@blueprint.route("/corrections/<uuid:correction_id>/confirmations", methods=["POST"])
@allow(SIGNED_IN)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.response(200, CorrectionOut)
@blueprint.alt_response(404, description="There is none.")
@blueprint.alt_response(409, description="It is one's own, or decided.")
def confirm_correction(correction_id: UUID) -> Response:
    """Say the same; twice is once. Where the kind of asset says so, enough people accept it."""
    session, now = db.session(), utc_now()
    holding.check_person(session, current_person_id())
    correction = deciding.lock(session, correction_id)
    deciding.confirm(session, correction, current_person_id(), now=now)
    return _answer(session, correction)


@blueprint.route("/corrections/<uuid:correction_id>", methods=["DELETE"])
@allow(SIGNED_IN)
@blueprint.response(204)
@blueprint.alt_response(404, description="There is none of the caller's.")
@blueprint.alt_response(409, description="It is decided.")
def withdraw_correction(correction_id: UUID) -> None:
    """Take back what one proposed."""
    with transaction() as session:
        found = session.get(Correction, correction_id)
        if found is None or found.person_id != current_person_id():
            raise NotFoundError
        deciding.withdraw(session, deciding.lock(session, correction_id), now=utc_now())


@blueprint.route("/corrections/<uuid:correction_id>/decision", methods=["POST"])
@allow(permission(Permission.MANAGE_ASSETS))
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.arguments(CorrectionDecisionIn)
@blueprint.response(200, CorrectionOut)
@blueprint.alt_response(404, description="There is none where the caller keeps the register.")
@blueprint.alt_response(409, description="It is decided.")
def decide_correction(payload: dict[str, Any], correction_id: UUID) -> Response:
    """Accept it, which makes the asset's next version, or reject it; the proposer is told."""
    session, now, actor = db.session(), utc_now(), current_actor()
    correction = deciding.for_staff(session, actor, correction_id)
    reason: str = payload.get("reason") or ""
    if payload["accept"]:
        deciding.accept(
            session,
            correction,
            how=DecidedBy.STAFF,
            by=actor.person_id,
            reason=reason or None,
            now=now,
        )
    else:
        deciding.reject(session, correction, by=actor.person_id, reason=reason, now=now)
    audit.record(
        session,
        actor,
        Action.CORRECTION_DECIDED,
        Subject("correction", correction.id, correction.jurisdiction_id),
        now=now,
        data={"decision": correction.state},
    )
    return _answer(session, correction)


@blueprint.route("/corrections/file", methods=["GET"])
@allow(permission(Permission.MANAGE_ASSETS))
@blueprint.arguments(CorrectionsFileQuery, location="query")
@blueprint.response(200, CorrectionsFileOut, content_type=_GEOJSON)
@blueprint.doc(responses={200: {"content": {"text/csv": {"schema": _TEXT}}}})
def get_corrections_file(query: dict[str, Any]) -> Response:
    """The open corrections for the city's GIS, as GeoJSON or CSV; those the caller may decide."""
    with reading() as session:
        filters = Filters(
            jurisdiction_id=_place(session, query.get("jurisdiction")),
            kind=query.get("kind"),
            scope=current_actor().scope(Permission.MANAGE_ASSETS),
        )
        rows = [file_row(each) for each in queries.all_open(session, filters)]
    if query["format"] == "csv":
        cells = [
            [
                json.dumps(value, ensure_ascii=False) if name == "attributes" else value
                for name, value in row.items()
            ]
            for row in rows
        ]
        response = Response(
            spreadsheet.table(COLUMNS, cells), content_type=spreadsheet.CONTENT_TYPE
        )
    else:
        features = [
            {
                "type": "Feature",
                "id": row["id"],
                "geometry": {"type": "Point", "coordinates": [row["lon"], row["lat"]]},
                "properties": {name: row[name] for name in row if name not in _PLACE},
            }
            for row in rows
        ]
        response = jsonify(type="FeatureCollection", features=features)
        response.content_type = _GEOJSON
    name = f"corrections.{query['format']}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-store"
    return response


@blueprint.route("/asset-photos/<uuid:photo_id>/<size>.jpg", methods=["GET"])
@allow(SIGNED_IN)
@blueprint.response(200, {"format": "binary", "type": "string"}, content_type="image/jpeg")
@blueprint.alt_response(404, description="There is none that the caller may see.")
def get_asset_photo(photo_id: UUID, size: str) -> Response:
    """A photo of a correction or a care, cleaned, `full` or `thumb`: for its sender and staff."""
    try:
        wanted = Size(size)
    except ValueError:
        raise NotFoundError from None
    with reading() as session:
        key = photos.key_for(session, current_actor(), photo_id, wanted)
    try:
        body = current_app.extensions["storage"].get(key)
    except MissingFileError:
        raise NotFoundError from None
    response = Response(body, mimetype="image/jpeg")
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


#: Said by the geometry of a feature, and by its id.
_PLACE = frozenset({"id", "lat", "lon"})


@once(caller)
def _propose(proposal: Proposal, staged: list[StagedPhoto]) -> Response:
    session, now, person_id = db.session(), utc_now(), current_person_id()
    proposed: Proposed = proposing.propose(
        session,
        person_id,
        proposal,
        default_jurisdiction=current_app.config["DEFAULT_JURISDICTION"],
        now=now,
    )
    correction = proposed.correction
    if not proposed.is_joined:
        correction.photo_id = photos.insert(
            session,
            staged,
            person_id=person_id,
            jurisdiction_id=correction.jurisdiction_id,
            now=now,
        )
        session.flush()
    return _answer(
        session,
        correction,
        status=200 if proposed.is_joined else 201,
        is_joined=proposed.is_joined,
    )


def _proposal(what: What, sent: dict[str, Any], *, asset_id: UUID | None = None) -> Proposal:
    lat, lon = sent.get("lat"), sent.get("lon")
    return Proposal(
        what=what,
        asset_id=asset_id,
        kind=sent.get("kind"),
        jurisdiction=sent.get("jurisdiction"),
        point=Point(lat, lon) if lat is not None and lon is not None else None,
        attributes=sent["attributes"],
        note=sent.get("note"),
    )


def _sent() -> Any:
    """The fields of the request; in a form `attributes` is a JSON text."""
    fields = sent_fields()
    text = fields.get("attributes") if isinstance(fields, dict) else None
    if isinstance(text, str):
        # Where it is none, the schema says so.
        with contextlib.suppress(ValueError):
            fields = {**fields, "attributes": json.loads(text)}
    return fields


def _answer(
    session: Session, correction: Correction, *, status: int = 200, **more: Any
) -> Response:
    actor = current_actor()
    is_staff = actor.holds(Permission.MANAGE_ASSETS) and deciding.may_decide(
        session, actor, correction
    )
    is_own = actor.person_id is not None and actor.person_id == correction.person_id
    told = document(
        queries.one(session, correction),
        _locale(),
        is_private=is_staff or is_own,
        is_staff=is_staff,
    )
    return answer(_ONE, {**told, **more}, status=status, is_private=is_staff or is_own)


def _place(session: Session, code: str | None) -> int | None:
    return jurisdictions.by_code(session, code).id if code else None


def _locale() -> str | None:
    return asked_for(request.accept_languages)
