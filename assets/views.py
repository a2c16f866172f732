"""The register over the API: everybody reads, staff who keep it enter and change assets.

`GET assets` answers GeoJSON. A write locks the asset, holds `If-Match` against its version and
answers with the asset as it is then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from flask import Response, current_app, jsonify
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import audit
from accounts.access import EVERYONE, allow, current_actor, permission
from accounts.actors import Actor
from accounts.audit import Action, Subject
from accounts.rules import Permission
from assets import queries, register, showing
from assets.kinds import kinds_of
from assets.models import Asset
from assets.queries import MOST_IN_BOX, Filters, Found
from assets.register import Change, NewAsset, Said
from assets.schemas import (
    AssetCollectionOut,
    AssetIn,
    AssetOut,
    AssetsQuery,
    KindsOut,
    KindsQuery,
    NewAssetIn,
    VersionsOut,
    VersionsQuery,
)
from assets.vocabulary import AssetState, Origin, Part
from core.api import check_version, entity_tag
from core.clock import utc_now
from core.db import db, reading
from core.errors import ForbiddenError, NotFoundError
from core.idempotency import once
from core.pagination import BadCursorError, pack, unpack
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.measures import Box, Point
from reports import queries as report_queries
from reports import showing as report_showing
from reports.showing import Look
from reports.viewing import KEY_PARAMETER, MATCH_PARAMETER, answer, caller, look

blueprint = Blueprint("assets", __name__, description="The register of the city's street assets.")

#: Media type of GeoJSON (RFC 7946, section 12).
GEOJSON = "application/geo+json"

#: Assets of a page when the client does not say.
PAGE = 500

#: What stands this far outside of its city is still found in a box there: imports take 5 km.
MARGIN_DEG = 0.2

#: Versions and open reports that an asset shows of itself.
SHOWN = 20

_MANAGE = permission(Permission.MANAGE_ASSETS)
_HEADERS = [KEY_PARAMETER, MATCH_PARAMETER]
_VERSIONS, _KINDS = VersionsOut(), KindsOut()


@blueprint.route("/assets", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(AssetsQuery, location="query")
@blueprint.response(200, AssetCollectionOut, content_type=GEOJSON)
def list_assets(query: dict[str, Any]) -> Response:
    """Assets by place, kind, state and words, as GeoJSON; clusters where a box holds too many.

    A page can hold fewer than `limit` and still have a `next`: go on until `next` is null. With
    `nearest` there is one page, nearest first.
    """
    reader = look(query)
    with reading() as session:
        filters = _filters(session, query)
        if "near" in query:
            return _near(session, filters, query, reader)
        is_clustering = _may_cluster(query)
        limit = query.get("limit", MOST_IN_BOX if is_clustering else PAGE)
        page = queries.written(session, filters, cursor=query.get("cursor"), limit=limit)
        if is_clustering and page.next is not None:
            counted = queries.clusters(session, filters)
            return _geojson(
                showing.collection(
                    [showing.cluster(each) for each in counted],
                    None,
                    clustered=True,
                    total=sum(each.count for each in counted),
                )
            )
        kinds = {
            kind.id: (kind, place)
            for place in filters.places
            for kind in kinds_of(session, place.id).offered()
        }
        owners = {kinds[row.kind_id][0].owner_team_id for row in page.items}
        owners |= {row.owner_team_id for row in page.items}
        teams = queries.teams(session, {id_ for id_ in owners if id_ is not None})
        texts = showing.written(page.items, kinds, reader, teams)
    following = current_app.json.dumps(page.next)
    return _described(
        current_app.response_class(
            f'{{"type": "FeatureCollection", "features": [{", ".join(texts)}],'
            f' "next": {following}, "clustered": false}}\n'
        )
    )


def _near(session: Session, filters: Filters, query: dict[str, Any], reader: Look) -> Response:
    """A page of those within a circle, or the nearest ones, with their distances."""
    found: Sequence[Found]
    following = None
    if "nearest" in query:
        found = queries.nearest(session, filters, most=query["nearest"])
    else:
        page = queries.page(
            session, filters, cursor=query.get("cursor"), limit=query.get("limit", PAGE)
        )
        found, following = page.items, page.next
    teams = queries.teams(session, _team_ids(found))
    features = [showing.feature(each, reader, teams) for each in found]
    return _geojson(showing.collection(features, following, clustered=False))


@blueprint.route("/assets/<uuid:asset_id>", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(KindsQuery(only=("locale",)), location="query")
@blueprint.response(200, AssetOut, content_type=GEOJSON)
@blueprint.alt_response(404, description="There is none.")
def get_asset(query: dict[str, Any], asset_id: UUID) -> Response:
    """One asset with its latest versions and the open reports about it."""
    with reading() as session:
        return _asset(session, asset_id, look(query))


@blueprint.route("/assets/<uuid:asset_id>/versions", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(VersionsQuery, location="query")
@blueprint.response(200, VersionsOut)
@blueprint.alt_response(404, description="There is none.")
def list_versions(query: dict[str, Any], asset_id: UUID) -> Response:
    """What an asset was before, the latest first, and who said so."""
    limit: int = query["limit"]
    with reading() as session:
        found = _found(session, asset_id)
        items = queries.versions(
            session, asset_id, before=_before(query.get("cursor")), limit=limit + 1
        )
        is_staff = _may_manage(current_actor(), found)
    following = pack(items[limit - 1].version) if len(items) > limit else None
    shown = [showing.version(item, is_staff=is_staff) for item in items[:limit]]
    return answer(_VERSIONS, {"items": shown, "next": following}, is_private=is_staff)


@blueprint.route("/asset-kinds", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(KindsQuery, location="query")
@blueprint.response(200, KindsOut)
def list_kinds(query: dict[str, Any]) -> Response:
    """The kinds of assets: attributes, services, how they are adopted and cared for."""
    reader = look(query)
    with reading() as session:
        items = [
            showing.kind(entry, place, reader)
            for place in _places(session, query.get("jurisdiction"))
            for entry in kinds_of(session, place.id).offered()
        ]
    return answer(_KINDS, {"items": items, "next": None})


# -- staff -----------------------------------------------------------------------------------------


@blueprint.route("/assets", methods=["POST"])
@allow(_MANAGE)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.arguments(NewAssetIn)
@blueprint.response(201, AssetOut, content_type=GEOJSON)
@blueprint.alt_response(409, description="Another asset of the kind has that code.")
def create_asset(payload: dict[str, Any]) -> Response:
    """Enter an asset; without a code it gets a provisional one."""
    session, actor, now = db.session(), current_actor(), utc_now()
    point = Point(payload["lat"], payload["lon"])
    place = jurisdictions.resolve(
        session,
        code=payload.get("jurisdiction"),
        point=point,
        default=current_app.config["DEFAULT_JURISDICTION"],
    )
    kind = kinds_of(session, place.id).kind(payload["kind"])
    if not actor.may(Permission.MANAGE_ASSETS, place.id, kind.owner_team_id):
        raise ForbiddenError
    new = NewAsset(
        point,
        code=payload.get("code"),
        attributes=payload.get("attributes", {}),
        state=payload.get("state", AssetState.IN_SERVICE),
        owner=payload.get("owner"),
    )
    asset = register.create(session, kind, new, by=Said(Origin.STAFF, actor.person_id), now=now)
    _enter(session, actor, asset, (Part.CREATED,))
    return _asset(session, asset.id, look({}), status=201)


@blueprint.route("/assets/<uuid:asset_id>", methods=["PATCH"])
@allow(_MANAGE)
@once(caller)
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(AssetIn)
@blueprint.response(200, AssetOut, content_type=GEOJSON)
@blueprint.alt_response(404, description="There is none, or it is not of one's own city or team.")
@blueprint.alt_response(409, description="Another asset of the kind has that code.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def change_asset(payload: dict[str, Any], asset_id: UUID) -> Response:
    """Change the state, attributes, position, code or owner of an asset; its next version."""
    session, actor, now = db.session(), current_actor(), utc_now()
    asset = register.take(session, asset_id)
    team_id = register.team_of(asset, register.kind_of(session, asset))
    if not actor.may(Permission.MANAGE_ASSETS, asset.jurisdiction_id, team_id):
        # What is another city's to keep looks missing to its staff, as everything does.
        raise NotFoundError
    check_version(asset.version)
    change = Change(
        point=Point(payload["lat"], payload["lon"]) if "lat" in payload else None,
        state=payload.get("state"),
        attributes=payload.get("attributes"),
        code=payload.get("code"),
        owner=payload.get("owner"),
    )
    changed = register.change(
        session, asset, change, by=Said(Origin.STAFF, actor.person_id), now=now
    )
    if changed:
        _enter(session, actor, asset, changed)
    return _asset(session, asset.id, look({}))


# -- what they share -------------------------------------------------------------------------------


def _filters(session: Session, query: dict[str, Any]) -> Filters:
    places = _places(session, query.get("jurisdiction"))
    box = query.get("bbox")
    if box is not None:
        places = [place for place in places if _is_near(place, box)]
    return Filters(
        places=tuple(places),
        box=box,
        near=query.get("near"),
        radius_m=query.get("radius_m", 0.0),
        kinds=query.get("kind", ()),
        states=query.get("state", ()),
        adopted=query.get("adopted"),
        text=query.get("q") or None,
        code=query.get("code"),
    )


def _is_near(place: JurisdictionRef, box: Box) -> bool:
    bounds = place.boundary.box
    return box.intersects(
        Box(
            max(bounds.west - MARGIN_DEG, -180.0),
            max(bounds.south - MARGIN_DEG, -90.0),
            min(bounds.east + MARGIN_DEG, 180.0),
            min(bounds.north + MARGIN_DEG, 90.0),
        )
    )


def _places(session: Session, code: str | None) -> list[JurisdictionRef]:
    """The city of that code, else all."""
    if code is not None:
        return [jurisdictions.by_code(session, code)]
    return list(jurisdictions.all_of_them(session))


def _may_cluster(query: dict[str, Any]) -> bool:
    if "bbox" not in query or "near" in query or "cursor" in query:
        return False
    asked: str = query.get("cluster", "never" if "limit" in query else "auto")
    return asked == "auto"


def _team_ids(found: Iterable[Found]) -> set[int]:
    return {item.team_id for item in found if item.team_id is not None}


def _found(session: Session, asset_id: UUID) -> Found:
    found = queries.one(session, asset_id)
    if found is None:
        raise NotFoundError
    return found


def _may_manage(actor: Actor, found: Found) -> bool:
    return actor.may(Permission.MANAGE_ASSETS, found.place.id, found.team_id)


def _asset(session: Session, asset_id: UUID, reader: Look, *, status: int = 200) -> Response:
    """The asset as a whole, for its present reader."""
    found = _found(session, asset_id)
    is_staff = _may_manage(current_actor(), found)
    document = showing.feature(found, reader, queries.teams(session, _team_ids([found])))
    document["versions"] = [
        showing.version(item, is_staff=is_staff)
        for item in queries.versions(session, asset_id, limit=SHOWN)
    ]
    open_ids, past = queries.reports_of(session, asset_id, most=SHOWN)
    reports = report_queries.several(session, open_ids)
    document["open_reports"] = [
        report_showing.public(reports[id_], reader) for id_ in open_ids if id_ in reports
    ]
    document["past_reports"] = past
    response = _geojson(document, is_private=is_staff)
    response.status_code = status
    response.headers["ETag"] = entity_tag(found.version)
    return response


def _enter(session: Session, actor: Actor, asset: Asset, changed: Sequence[Part]) -> None:
    audit.record(
        session,
        actor,
        Action.ASSET_CHANGED,
        Subject("asset", asset.id, asset.jurisdiction_id),
        now=utc_now(),
        data={"version": asset.version, "changed": [part.value for part in changed]},
    )


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    (version,) = unpack(cursor, 1)
    if type(version) is not int or not 0 < version < 1 << 31:
        raise BadCursorError(field="cursor")
    return version


def _geojson(document: dict[str, Any], *, is_private: bool = False) -> Response:
    return _described(jsonify(document), is_private=is_private)


def _described(response: Response, *, is_private: bool = False) -> Response:
    """The response with the headers of GeoJSON."""
    response.mimetype = GEOJSON
    response.vary.update(("Accept-Language", "Authorization"))
    response.headers["Cache-Control"] = "private, no-store" if is_private else "no-cache"
    return response
