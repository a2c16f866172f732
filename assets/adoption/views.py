"""Adopting over the API: for volunteers their own, for coordinators names and endings.

Who adopts, releases, waits or hands over is who is signed in; no body names a person.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response, current_app, request
from flask_smorest import Blueprint

from accounts import audit
from accounts.access import EVERYONE, SIGNED_IN, allow, current_actor, current_person_id, permission
from accounts.audit import Action, Subject
from accounts.rules import Permission
from assets.adoption import claiming, keeping, passing, queries, waiting
from assets.adoption.claiming import Wish
from assets.adoption.errors import AdoptedError
from assets.adoption.models import Adoption
from assets.adoption.schemas import (
    AdoptionChangeIn,
    AdoptionEndIn,
    AdoptionHistoryOut,
    AdoptionIn,
    AdoptionOut,
    AssetAdoptionOut,
    HandoverIn,
    HandoverOut,
    NameDecisionIn,
    OwnAdoptionsOut,
    OwnAdoptionsQuery,
    WaitOut,
    WantedNamesOut,
    adoption_document,
    asset_document,
    entry_document,
    public_document,
    wait_document,
)
from assets.models import Asset
from core.clock import utc_now
from core.db import db, reading, transaction
from core.errors import NotFoundError
from core.i18n import asked_for
from core.idempotency import once
from core.limits import Allowance, limited
from reports.schemas import PageQuery
from reports.viewing import KEY_PARAMETER, answer, caller

blueprint = Blueprint(
    "adoption", __name__, description="Adopt an asset, keep it, hand it over, wait for one."
)

_ADOPTION, _OWN, _PUBLIC, _WAIT = AdoptionOut(), OwnAdoptionsOut(), AssetAdoptionOut(), WaitOut()
_HANDOVER, _NAMES, _HISTORY = HandoverOut(), WantedNamesOut(), AdoptionHistoryOut()


def _offers_others(view: Callable[..., Response]) -> Callable[..., Response]:
    """Whoever comes too late is shown the waiting list and the nearest free ones, which are looked
    for when nobody is held up any more."""

    @functools.wraps(view)
    def offering(*args: Any, **kwargs: Any) -> Response:
        try:
            return view(*args, **kwargs)
        except AdoptedError as error:
            asset_id: UUID = kwargs["asset_id"]
            with reading() as session:
                free = queries.nearest_free(session, asset_id)
            base = current_app.config["BASE_URL"]
            error.extra |= {
                "waiting_list": f"{base}/api/v1/assets/{asset_id}/adoption/waiting",
                "nearest_free": [
                    {
                        "id": str(each.id),
                        "code": each.code,
                        "lat": each.point.lat,
                        "lon": each.point.lon,
                        "distance_m": round(each.distance_m or 0.0, 1),
                        "adopt": f"{base}/api/v1/assets/{each.id}/adoption",
                    }
                    for each in free
                ],
            }
            raise

    return offering


@blueprint.route("/assets/<uuid:asset_id>/adoption", methods=["GET"])
@allow(EVERYONE)
@blueprint.response(200, AssetAdoptionOut)
def get_adoption(asset_id: UUID) -> Response:
    """Who looks after an asset, by the names they chose to show, and whether there is room."""
    with reading() as session:
        found = queries.public(session, asset_id)
        if found is None:
            raise NotFoundError
        return answer(_PUBLIC, public_document(found))


@blueprint.route("/assets/<uuid:asset_id>/adoption", methods=["POST"])
@allow(SIGNED_IN)
@_offers_others
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.arguments(AdoptionIn, required=False)
@blueprint.response(201, AdoptionOut)
@blueprint.alt_response(404, description="There is no such asset.")
@blueprint.alt_response(
    409,
    description="Taken (`adopted`: the answer offers `waiting_list` and `nearest_free`),"
    " `yours_already`, `adoption_limit_reached`, `not_adoptable`, `asset_not_there`.",
)
def adopt_asset(payload: dict[str, Any], asset_id: UUID) -> Response:
    """Look after an asset. Whoever is offered a place from the waiting list takes it here too."""
    session = db.session()
    wish = Wish(
        name=payload.get("name"),
        shows_name=payload.get("shows_name", False),
        jurisdiction=payload.get("jurisdiction"),
    )
    adoption = claiming.adopt(session, current_person_id(), asset_id, wish, now=utc_now())
    return _answer(adoption, status=201)


@blueprint.route("/assets/<uuid:asset_id>/adoption", methods=["PATCH"])
@allow(SIGNED_IN)
@blueprint.arguments(AdoptionChangeIn)
@blueprint.response(200, AdoptionOut)
@blueprint.alt_response(404, description="The caller does not look after it.")
def change_adoption(payload: dict[str, Any], asset_id: UUID) -> Response:
    """Show one's name or not; give the asset another name, which somebody looks at first."""
    with transaction() as session:
        adoption = keeping.change(
            session,
            claiming.own(session, asset_id, current_person_id()),
            name=payload.get("name"),
            takes_name_away="name" in payload and not payload["name"],
            shows_name=payload.get("shows_name"),
            now=utc_now(),
        )
        return _answer(adoption)


@blueprint.route("/assets/<uuid:asset_id>/adoption", methods=["DELETE"])
@allow(SIGNED_IN)
@blueprint.response(204)
@blueprint.alt_response(404, description="The caller does not look after it.")
def release_asset(asset_id: UUID) -> None:
    """Let it go; the next in line is asked."""
    with transaction() as session:
        claiming.release(session, current_person_id(), asset_id, now=utc_now())


@blueprint.route("/assets/<uuid:asset_id>/adoption/renewal", methods=["POST"])
@allow(SIGNED_IN)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.response(200, AdoptionOut)
@blueprint.alt_response(404, description="The caller does not look after it.")
def renew_adoption(asset_id: UUID) -> Response:
    """Go on for another term from now."""
    session = db.session()
    adoption = claiming.own(session, asset_id, current_person_id())
    return _answer(keeping.renew(session, adoption, now=utc_now()))


@blueprint.route("/assets/<uuid:asset_id>/adoption/handover", methods=["POST"])
@allow(SIGNED_IN)
@limited(Allowance.SIGN_IN_LINK)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.arguments(HandoverIn)
@blueprint.response(201, HandoverOut)
@blueprint.alt_response(404, description="The caller does not look after it.")
@blueprint.alt_response(409, description="It is offered to somebody already.")
def offer_handover(payload: dict[str, Any], asset_id: UUID) -> Response:
    """Offer it to somebody, who gets a letter and accepts or not. Until then it stays yours."""
    handover = passing.offer(
        db.session(), current_person_id(), asset_id, payload["email"], now=utc_now()
    )
    return answer(_HANDOVER, handover, status=201, is_private=True)


@blueprint.route("/assets/<uuid:asset_id>/adoption/handover", methods=["DELETE"])
@allow(SIGNED_IN)
@blueprint.response(204)
@blueprint.alt_response(404, description="The caller offers it to nobody.")
def withdraw_handover(asset_id: UUID) -> None:
    """Offer it no more."""
    with transaction() as session:
        passing.withdraw(session, current_person_id(), asset_id, now=utc_now())


@blueprint.route("/handovers/<uuid:handover_id>/acceptance", methods=["POST"])
@allow(SIGNED_IN)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.response(201, AdoptionOut)
@blueprint.alt_response(404, description="None is offered to the caller's address.")
@blueprint.alt_response(409, description="The caller may not adopt it.")
@blueprint.alt_response(410, description="It was withdrawn, or is too late.")
def accept_handover(handover_id: UUID) -> Response:
    """Take an asset that is offered to one's address."""
    session, now = db.session(), utc_now()
    handover = passing.of_person(session, handover_id, current_person_id(), now=now)
    adoption = passing.accept(session, handover, locale=_locale(), now=now)
    return _answer(adoption, status=201)


@blueprint.route("/handovers/<uuid:handover_id>/refusal", methods=["POST"])
@allow(SIGNED_IN)
@blueprint.response(204)
@blueprint.alt_response(404, description="None is offered to the caller's address.")
@blueprint.alt_response(410, description="It was withdrawn, or is too late.")
def refuse_handover(handover_id: UUID) -> None:
    """Do not take it; the adopter is told."""
    with transaction() as session:
        now = utc_now()
        handover = passing.of_person(session, handover_id, current_person_id(), now=now)
        passing.refuse(session, handover, now=now)


@blueprint.route("/assets/<uuid:asset_id>/adoption/waiting", methods=["POST"])
@allow(SIGNED_IN)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.response(201, WaitOut)
@blueprint.alt_response(404, description="There is no such asset.")
@blueprint.alt_response(409, description="There is a free place, or nobody can adopt it.")
def join_waiting_list(asset_id: UUID) -> Response:
    """Wait for a place; a second time changes nothing."""
    session = db.session()
    wait = waiting.join(session, current_person_id(), asset_id, now=utc_now())
    asset = session.get_one(Asset, asset_id)
    waited = queries.Waited(
        wait, queries.refer(session, [asset])[asset_id], waiting.position(session, wait)
    )
    return answer(_WAIT, wait_document(waited, _locale()), status=201, is_private=True)


@blueprint.route("/assets/<uuid:asset_id>/adoption/waiting", methods=["DELETE"])
@allow(SIGNED_IN)
@blueprint.response(204)
@blueprint.alt_response(404, description="The caller does not wait for it.")
def leave_waiting_list(asset_id: UUID) -> None:
    """Wait no more, or decline the place that is offered."""
    with transaction() as session:
        waiting.leave(session, current_person_id(), asset_id, now=utc_now())


@blueprint.route("/me/adoptions", methods=["GET"])
@allow(SIGNED_IN)
@blueprint.arguments(OwnAdoptionsQuery, location="query")
@blueprint.response(200, OwnAdoptionsOut)
def list_own_adoptions(query: dict[str, Any]) -> Response:
    """What the caller looks after, the latest first, and where they wait."""
    person_id, locale = current_person_id(), query.get("locale") or _locale()
    with reading() as session:
        page = queries.of_person(
            session,
            person_id,
            ended=query["ended"],
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
        document = {
            "items": [adoption_document(each, locale) for each in page.items],
            "next": page.next,
            "waiting": [
                wait_document(each, locale) for each in queries.waits_of(session, person_id)
            ],
        }
        return answer(_OWN, document, is_private=True)


@blueprint.route("/assets/<uuid:asset_id>/adoption/history", methods=["GET"])
@allow(permission(Permission.COORDINATE_VOLUNTEERS))
@blueprint.response(200, AdoptionHistoryOut)
def get_adoption_history(asset_id: UUID) -> Response:
    """Everything that happened to the adoptions of an asset."""
    with reading() as session:
        asset = session.get(Asset, asset_id)
        if asset is None or not current_actor().may(
            Permission.COORDINATE_VOLUNTEERS, asset.jurisdiction_id, None
        ):
            raise NotFoundError
        rows = queries.history_of(session, asset_id)
        document = {"items": [entry_document(*row) for row in rows]}
        return answer(_HISTORY, document, is_private=True)


@blueprint.route("/adoptions/names", methods=["GET"])
@allow(permission(Permission.COORDINATE_VOLUNTEERS))
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, WantedNamesOut)
def list_names(query: dict[str, Any]) -> Response:
    """Names of assets that wait to be approved."""
    scope = current_actor().scope(Permission.COORDINATE_VOLUNTEERS)
    with reading() as session:
        page = queries.names_waiting(
            session, scope, cursor=query.get("cursor"), limit=query["limit"]
        )
        items = [
            {
                "id": each.adoption.id,
                "asset": asset_document(each.asset, _locale()),
                "name": each.adoption.name,
                "name_wanted": each.adoption.name_wanted,
            }
            for each in page.items
        ]
        return answer(_NAMES, {"items": items, "next": page.next}, is_private=True)


@blueprint.route("/adoptions/<uuid:adoption_id>/name", methods=["POST"])
@allow(permission(Permission.COORDINATE_VOLUNTEERS))
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.arguments(NameDecisionIn)
@blueprint.response(200, AdoptionOut)
@blueprint.alt_response(404, description="There is none where the caller coordinates.")
@blueprint.alt_response(409, description="No name waits.")
def decide_name(payload: dict[str, Any], adoption_id: UUID) -> Response:
    """Approve or refuse the name that an adopter gave; they are told."""
    session, now, actor = db.session(), utc_now(), current_actor()
    adoption = keeping.decide_name(
        session,
        claiming.seen_by(session, actor, adoption_id),
        approves=payload["approve"],
        reason=payload.get("reason"),
        actor_id=actor.person_id,
        now=now,
    )
    return _answer(adoption)


@blueprint.route("/adoptions/<uuid:adoption_id>/end", methods=["POST"])
@allow(permission(Permission.COORDINATE_VOLUNTEERS))
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.arguments(AdoptionEndIn)
@blueprint.response(200, AdoptionOut)
@blueprint.alt_response(404, description="There is none that holds where the caller coordinates.")
def end_adoption(payload: dict[str, Any], adoption_id: UUID) -> Response:
    """End somebody's adoption, with a reason that they are told; it is audited."""
    session, now, actor = db.session(), utc_now(), current_actor()
    adoption = claiming.end_by_staff(session, actor, adoption_id, payload["reason"], now=now)
    audit.record(
        session,
        actor,
        Action.ADOPTION_ENDED,
        Subject("adoption", adoption.id, adoption.jurisdiction_id),
        now=now,
    )
    return _answer(adoption)


def _locale() -> str | None:
    return asked_for(request.accept_languages)


def _answer(adoption: Adoption, *, status: int = 200) -> Response:
    found = queries.held(db.session(), adoption)
    return answer(_ADOPTION, adoption_document(found, _locale()), status=status, is_private=True)
