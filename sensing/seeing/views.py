"""What the road tells, over the API: defects, their evidence, segments, and how little is known.

Everybody reads it. Answers carry an ETag of what they say, so that a map that asks again is told
that nothing changed.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, current_app, jsonify, request
from flask_smorest import Blueprint

from accounts.access import EVERYONE, allow
from core.clock import utc_now
from core.db import reading
from core.errors import NotFoundError
from core.i18n import language_of
from geo import jurisdictions
from reports.schemas import LocaleQuery
from reports.viewing import look
from sensing.acting import cases
from sensing.seeing import coverage, plot, queries, showing
from sensing.seeing.queries import Filters
from sensing.seeing.schemas import (
    CoverageOut,
    CoverageQuery,
    DefectCollectionOut,
    DefectOut,
    DefectsQuery,
    SegmentCollectionOut,
    SegmentsQuery,
)

blueprint = Blueprint("roads", __name__, description="What phones in cars felt of the roads.")

#: Media type of GeoJSON (RFC 7946, section 12).
GEOJSON = "application/geo+json"

SVG = "image/svg+xml"

#: Kept by caches for so long: defects change with every trip, coverage is counted each hour.
_KEPT_S, _COVERAGE_KEPT_S = 60, 600

#: The picture of a defect shows half a year.
_PLOT_DAYS = 7 * plot.MOST_WEEKS

#: A picture that is opened by itself runs nothing and loads nothing.
_PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@blueprint.route("/road-defects", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(DefectsQuery, location="query")
@blueprint.response(200, DefectCollectionOut, content_type=GEOJSON)
def list_defects(query: dict[str, Any]) -> Response:
    """Places that several trips felt, as GeoJSON: estimates, with belief and evidence.

    Nothing is shown that fewer than two trips felt, and no time finer than a day.
    """
    reader = look({})
    with reading() as session:
        code = query.get("jurisdiction")
        places = (
            [jurisdictions.by_code(session, code)]
            if code is not None
            else jurisdictions.all_of_them(session)
        )
        filters = Filters(
            places=places,
            box=query.get("bbox"),
            verdicts=query.get("verdict", ()),
            belief_from=query["belief_from"],
            severity_from=query["severity_from"],
        )
        page = queries.defects(session, filters, cursor=query.get("cursor"), limit=query["limit"])
        known = cases.of_defects(session, [row.id for row in page.items])
    by_id = {place.id: place for place in places}
    features = [
        showing.defect(row, by_id[row.jurisdiction_id], known, reader) for row in page.items
    ]
    return _answer(showing.collection(features, page.next), GEOJSON, _KEPT_S)


@blueprint.route("/road-defects/<uuid:defect_id>", methods=["GET"])
@allow(EVERYONE)
@blueprint.response(200, DefectOut, content_type=GEOJSON)
@blueprint.alt_response(404, description="There is none.")
def get_defect(defect_id: UUID) -> Response:
    """One defect; one that is not believed in any more says so."""
    with reading() as session:
        row = queries.one(session, defect_id)
        if row is None:
            raise NotFoundError
        place = jurisdictions.by_id(session, row.jurisdiction_id)
        known = cases.of_defects(session, [row.id])
    return _answer(showing.defect(row, place, known, look({})), GEOJSON, _KEPT_S)


@blueprint.route("/road-defects/<uuid:defect_id>/evidence.svg", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(LocaleQuery, location="query")
@blueprint.response(200, {"type": "string"}, content_type=SVG, description="A picture.")
@blueprint.alt_response(404, description="There is none.")
def draw_evidence(query: dict[str, Any], defect_id: UUID) -> Response:
    """The evidence of a defect as a picture: where it lies, and the trips week by week."""
    today = _today()
    with reading() as session:
        row = queries.one(session, defect_id)
        if row is None:
            raise NotFoundError
        place = jurisdictions.by_id(session, row.jurisdiction_id)
        weeks = queries.weeks(session, row, from_day=today - _PLOT_DAYS)
    language = language_of(look(query).locale or place.default_locale)
    response = Response(plot.drawn(showing.evidence(row, weeks), language), mimetype=SVG)
    response.headers["Content-Language"] = language
    response.headers["Content-Security-Policy"] = _PICTURE_POLICY
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return _kept(response, _KEPT_S)


@blueprint.route("/road-segments", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(SegmentsQuery, location="query")
@blueprint.response(200, SegmentCollectionOut, content_type=GEOJSON)
def list_segments(query: dict[str, Any]) -> Response:
    """How often each stretch was driven in the last year, and how rough phones estimate it to be.

    A segment is an H3 cell of resolution 10, about 130 m across, in one of eight directions: the
    city's data know no roads. One that is not in the answer is unknown: fewer than three trips
    came through. The roughness is an estimate.
    """
    now = utc_now()
    with reading() as session:
        page = queries.segments(
            session,
            query["bbox"],
            today=_today(),
            month=(now.year - 1970) * 12 + now.month - 1,
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
    features = [showing.segment(each) for each in page.items]
    return _answer(showing.collection(features, page.next), GEOJSON, _KEPT_S)


@blueprint.route("/road-coverage", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(CoverageQuery, location="query")
@blueprint.response(200, CoverageOut)
def get_coverage(query: dict[str, Any]) -> Response:
    """Where phones drove in the last 90 days and where nobody did, beside what people reported.

    Where nobody drove the roads are unknown, never good.
    """
    with reading() as session:
        place = jurisdictions.resolve(
            session,
            code=query.get("jurisdiction"),
            default=current_app.config["DEFAULT_JURISDICTION"],
        )
        known = coverage.of_city(session, place, query.get("layer"))
    return _answer(showing.coverage(known, look(query)), "application/json", _COVERAGE_KEPT_S)


def _today() -> int:
    return int(utc_now().timestamp() // 86_400)


def _answer(document: dict[str, Any], mimetype: str, kept_s: int) -> Response:
    response = jsonify(document)
    response.mimetype = mimetype
    return _kept(response, kept_s)


def _kept(response: Response, kept_s: int) -> Response:
    """The response with an ETag of what it says; 304 to who has it."""
    response.vary.add("Accept-Language")
    response.headers["Cache-Control"] = f"public, max-age={kept_s}"
    response.add_etag()
    response.make_conditional(request)
    return response
