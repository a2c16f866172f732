"""Campaigns over the API, for those who coordinate volunteers.

A write locks the campaign, holds `If-Match` against its version and answers with it as it is then.
What would reach nobody or very many is refused with a `confirm` that lets the same call through.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, current_app, request
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import audit
from accounts.access import allow, current_actor, current_person_id, permission
from accounts.audit import Action, Subject
from accounts.rules import Permission
from assets.campaigns import keeping, queries, reaching, sending
from assets.campaigns.keeping import Agreement, Remark, Wish
from assets.campaigns.models import Campaign
from assets.campaigns.reaching import Reach
from assets.campaigns.schemas import (
    CampaignAnswerListOut,
    CampaignAnswersQuery,
    CampaignChangeIn,
    CampaignIn,
    CampaignListOut,
    CampaignOut,
    CampaignPreviewOut,
    CampaignRoundListOut,
    CampaignRoundOut,
    CampaignsQuery,
    CampaignStateIn,
    ConfirmCampaignIn,
    WeatherOut,
    campaign_document,
    example_document,
    look_document,
    remark_document,
    round_document,
    said_document,
    wish_from,
)
from assets.campaigns.wording import label, words_for
from assets.kinds import KindEntry, kinds_of
from assets.weather import watching
from core.api import check_version
from core.clock import utc_now
from core.db import db, reading
from core.errors import NotFoundError
from core.i18n import asked_for, language_of
from core.idempotency import once
from geo import jurisdictions
from geo.errors import UnknownJurisdictionError
from geo.jurisdictions import JurisdictionRef
from reports.schemas import PageQuery
from reports.viewing import KEY_PARAMETER, MATCH_PARAMETER, answer, caller

blueprint = Blueprint(
    "campaigns", __name__, description="Campaigns: telling adopters when it matters."
)

_COORDINATE = permission(Permission.COORDINATE_VOLUNTEERS)
_HEADERS = [KEY_PARAMETER, MATCH_PARAMETER]
_CAMPAIGN, _LIST, _PREVIEW = CampaignOut(), CampaignListOut(), CampaignPreviewOut()
_ROUND, _ROUNDS, _SAID, _WEATHER = (
    CampaignRoundOut(),
    CampaignRoundListOut(),
    CampaignAnswerListOut(),
    WeatherOut(),
)

#: Letters that a preview shows.
EXAMPLES = 3

_NOT_THERE = "There is none where the caller coordinates."


@blueprint.route("/campaigns", methods=["POST"])
@allow(_COORDINATE)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.arguments(CampaignIn)
@blueprint.response(201, CampaignOut)
@blueprint.alt_response(404, description="The caller does not coordinate there.")
@blueprint.alt_response(409, description="`confirmation_needed`: it would reach nobody, or many.")
def create_campaign(payload: dict[str, Any]) -> Response:
    """Make a campaign. Without a trigger it goes out by hand only.

    With `trigger.calendar` it goes out at a time, once or again and again; with `trigger.forecast`
    or `trigger.alert` when the weather is so. It goes out by itself from now on.
    """
    session, now = db.session(), utc_now()
    place = _coordinated(session, payload["jurisdiction"])
    wish = wish_from(payload)
    campaign = keeping.create(
        session, place, wish, current_person_id(), _agreement(payload.get("confirm")), now=now
    )
    _enter(session, campaign, "created", now)
    return _answer(session, campaign, status=201)


@blueprint.route("/campaigns", methods=["GET"])
@allow(_COORDINATE)
@blueprint.arguments(CampaignsQuery, location="query")
@blueprint.response(200, CampaignListOut)
@blueprint.alt_response(404, description="The caller does not coordinate there.")
def list_campaigns(query: dict[str, Any]) -> Response:
    """Campaigns of the cities where the caller coordinates, the latest first."""
    with reading() as session:
        if "jurisdiction" in query:
            places = [_coordinated(session, query["jurisdiction"])]
        else:
            places = [each for each in jurisdictions.all_of_them(session) if _may(each.id)]
        page = queries.of_places(
            session,
            [each.id for each in places],
            state=query.get("state"),
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
        items = [_document(session, each) for each in page.items]
        return answer(_LIST, {"items": items, "next": page.next}, is_private=True)


@blueprint.route("/campaigns/preview", methods=["POST"])
@allow(_COORDINATE)
@blueprint.arguments(CampaignIn)
@blueprint.response(200, CampaignPreviewOut)
@blueprint.alt_response(404, description="The caller does not coordinate there.")
def preview_new_campaign(payload: dict[str, Any]) -> Response:
    """What a campaign would do if it were made and went out now; nothing is stored."""
    now = utc_now()
    with reading() as session:
        place = _coordinated(session, payload["jurisdiction"])
        wish = wish_from(payload)
        kind = keeping.check(session, place, wish, now=now)
        return _preview(session, place, kind, wish, None, now)


@blueprint.route("/campaigns/<uuid:campaign_id>", methods=["GET"])
@allow(_COORDINATE)
@blueprint.response(200, CampaignOut)
@blueprint.alt_response(404, description=_NOT_THERE)
def get_campaign(campaign_id: UUID) -> Response:
    """One campaign, with what its coordinator should know."""
    with reading() as session:
        return _answer(session, _found(session, campaign_id))


@blueprint.route("/campaigns/<uuid:campaign_id>", methods=["PATCH"])
@allow(_COORDINATE)
@once(caller)
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(CampaignChangeIn)
@blueprint.response(200, CampaignOut)
@blueprint.alt_response(404, description=_NOT_THERE)
@blueprint.alt_response(409, description="It is over; or `confirmation_needed`.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def change_campaign(payload: dict[str, Any], campaign_id: UUID) -> Response:
    """Change a campaign; what went out stays as it was."""
    session, now = db.session(), utc_now()
    campaign = _taken(session, campaign_id)
    wish = wish_from(payload, keeping.wish_of(session, campaign))
    keeping.change(session, campaign, wish, _agreement(payload.get("confirm")), now=now)
    _enter(session, campaign, "changed", now)
    return _answer(session, campaign)


@blueprint.route("/campaigns/<uuid:campaign_id>/state", methods=["POST"])
@allow(_COORDINATE)
@once(caller)
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(CampaignStateIn)
@blueprint.response(200, CampaignOut)
@blueprint.alt_response(404, description=_NOT_THERE)
@blueprint.alt_response(409, description="It is over; or `confirmation_needed`.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def set_campaign_state(payload: dict[str, Any], campaign_id: UUID) -> Response:
    """Pause a campaign, let it go on, or end it for good."""
    session, now = db.session(), utc_now()
    campaign = _taken(session, campaign_id)
    keeping.set_state(
        session, campaign, payload["state"], _agreement(payload.get("confirm")), now=now
    )
    _enter(session, campaign, payload["state"].value, now)
    return _answer(session, campaign)


@blueprint.route("/campaigns/<uuid:campaign_id>/preview", methods=["GET"])
@allow(_COORDINATE)
@blueprint.response(200, CampaignPreviewOut)
@blueprint.alt_response(404, description=_NOT_THERE)
def preview_campaign(campaign_id: UUID) -> Response:
    """To how many it would be sent now, about how many assets, and three of the letters."""
    with reading() as session:
        campaign = _found(session, campaign_id)
        place = jurisdictions.by_id(session, campaign.jurisdiction_id)
        kind = kinds_of(session, place.id).by_id[campaign.kind_id]
        wish = keeping.wish_of(session, campaign)
        return _preview(session, place, kind, wish, campaign.confirmed, utc_now())


@blueprint.route("/campaigns/<uuid:campaign_id>/rounds", methods=["POST"])
@allow(_COORDINATE)
@once(caller)
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(ConfirmCampaignIn)
@blueprint.response(201, CampaignRoundOut)
@blueprint.alt_response(404, description=_NOT_THERE)
@blueprint.alt_response(
    409, description="Nobody to tell, paused, over, too soon; or `confirmation_needed`."
)
@blueprint.alt_response(412, description="Somebody changed it since.")
def send_campaign(payload: dict[str, Any], campaign_id: UUID) -> Response:
    """Send it now, whatever else sets it off; each adopter gets one letter."""
    session, now = db.session(), utc_now()
    campaign = _taken(session, campaign_id)
    made = sending.by_hand(
        session, campaign, current_person_id(), _agreement(payload.get("confirm")), now=now
    )
    audit.record(
        session,
        current_actor(),
        Action.VOLUNTEERS_ADDRESSED,
        Subject("campaign", campaign.id, campaign.jurisdiction_id),
        now=now,
        data={"round": str(made.id), "recipients": made.recipients},
    )
    document = round_document(queries.Sent(made, {"none": made.assets}))
    return answer(_ROUND, document, status=201, is_private=True)


@blueprint.route("/campaigns/<uuid:campaign_id>/rounds", methods=["GET"])
@allow(_COORDINATE)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, CampaignRoundListOut)
@blueprint.alt_response(404, description=_NOT_THERE)
def list_rounds(query: dict[str, Any], campaign_id: UUID) -> Response:
    """When it went out, to how many, and what was answered so far; the latest first."""
    with reading() as session:
        campaign = _found(session, campaign_id)
        page = queries.rounds(
            session, campaign.id, cursor=query.get("cursor"), limit=query["limit"]
        )
        items = [round_document(each) for each in page.items]
        return answer(_ROUNDS, {"items": items, "next": page.next}, is_private=True)


@blueprint.route("/campaigns/<uuid:campaign_id>/answers", methods=["GET"])
@allow(_COORDINATE)
@blueprint.arguments(CampaignAnswersQuery, location="query")
@blueprint.response(200, CampaignAnswerListOut)
@blueprint.alt_response(404, description=_NOT_THERE)
def list_campaign_answers(query: dict[str, Any], campaign_id: UUID) -> Response:
    """What was said asset by asset; with `answer=help` those that need somebody."""
    with reading() as session:
        campaign = _found(session, campaign_id)
        page = queries.answers(
            session,
            campaign.id,
            round_id=query.get("round"),
            answer=query.get("answer"),
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
        locale = query.get("locale") or asked_for(request.accept_languages)
        items = [said_document(each, locale) for each in page.items]
        return answer(_SAID, {"items": items, "next": page.next}, is_private=True)


@blueprint.route("/volunteers/<jurisdiction>/weather", methods=["GET"])
@allow(_COORDINATE)
@blueprint.response(200, WeatherOut)
@blueprint.alt_response(404, description="The caller does not coordinate there.")
def get_weather(jurisdiction: str) -> Response:
    """Who is asked about the city's weather, when they answered last, and what fails."""
    with reading() as session:
        place = _coordinated(session, jurisdiction)
        looks = watching.looks(session, place.id)
        items = [look_document(each) for each in looks]
        return answer(_WEATHER, {"items": items}, is_private=True)


def _preview(
    session: Session,
    place: JurisdictionRef,
    kind: KindEntry,
    wish: Wish,
    confirmed: int | None,
    now: datetime,
) -> Response:
    found = reaching.reach(session, place, kind_id=kind.id, area=wish.area)
    agreement = _agreement(None)
    doubt = reaching.doubt_of(found, limit=agreement.limit, confirmed=confirmed)
    confirm = None
    if doubt is not None:
        meant = keeping.about(place, kind.id, wish.area)
        refusal = reaching.confirmation(doubt, found, meant, secret=agreement.secret)
        confirm = refusal.extra["confirm"]
    document = {
        "recipients": found.recipients,
        "assets": len(found.adopters),
        "by_email": found.by_email,
        "by_sms": found.recipients - found.by_email,
        "examples": _examples(place, kind, wish, found, now),
        "remarks": [remark_document(each) for each in _remarks(wish)],
        "needs": doubt,
        "confirm": confirm,
    }
    return answer(_PREVIEW, document, is_private=True)


def _examples(
    place: JurisdictionRef, kind: KindEntry, wish: Wish, found: Reach, now: datetime
) -> list[dict[str, Any]]:
    """What some recipients would read: in each language, and of several assets if somebody has."""
    by_person: dict[UUID, list[Any]] = {}
    for each in found.adopters:
        by_person.setdefault(each.person_id, []).append(each)
    chosen: dict[tuple[str, bool], list[Any]] = {}
    for own in by_person.values():
        lang = language_of(own[0].locale or place.default_locale)
        chosen.setdefault((lang, len(own) > 1), own)
    examples = []
    day = now.astimezone(place.time_zone).date()
    for (lang, _), own in list(chosen.items())[:EXAMPLES]:
        labels = [
            label(kind.names, each.code, each.name, lang, place.default_locale) for each in own
        ]
        words = words_for(wish.words, labels, {}, place, lang, day)
        examples.append(example_document(lang, words, labels))
    return examples


def _found(session: Session, campaign_id: UUID) -> Campaign:
    campaign = session.get(Campaign, campaign_id)
    if campaign is None or not _may(campaign.jurisdiction_id):
        raise NotFoundError
    return campaign


def _taken(session: Session, campaign_id: UUID) -> Campaign:
    campaign = keeping.take(session, campaign_id)
    if not _may(campaign.jurisdiction_id):
        raise NotFoundError
    check_version(campaign.version)
    return campaign


def _coordinated(session: Session, code: str) -> JurisdictionRef:
    """The city of that code, where the actor coordinates volunteers.

    Raises:
        NotFoundError
    """
    try:
        place = jurisdictions.by_code(session, code)
    except UnknownJurisdictionError:
        raise NotFoundError from None
    if not _may(place.id):
        raise NotFoundError
    return place


def _may(place_id: int) -> bool:
    return current_actor().may(Permission.COORDINATE_VOLUNTEERS, place_id, None)


def _agreement(given: str | None) -> Agreement:
    settings = current_app.extensions["settings"]
    return Agreement(
        limit=settings.campaign_confirm_above,
        secret=current_app.config["SECRET_KEY"],
        given=given,
    )


def _remarks(wish: Wish) -> list[Remark]:
    settings = current_app.extensions["settings"]
    return keeping.remarks(
        wish,
        has_forecast=bool(settings.weather_forecast_url),
        has_alerts=bool(settings.weather_alerts_url),
    )


def _document(session: Session, campaign: Campaign) -> Mapping[str, Any]:
    place = jurisdictions.by_id(session, campaign.jurisdiction_id)
    kind = kinds_of(session, place.id).by_id[campaign.kind_id]
    return campaign_document(campaign, place, kind, _remarks(keeping.wish_of(session, campaign)))


def _answer(session: Session, campaign: Campaign, *, status: int = 200) -> Response:
    return answer(
        _CAMPAIGN,
        _document(session, campaign),
        status=status,
        version=campaign.version,
        is_private=True,
    )


def _enter(session: Session, campaign: Campaign, what: str, now: datetime) -> None:
    audit.record(
        session,
        current_actor(),
        Action.CAMPAIGN_CHANGED,
        Subject("campaign", campaign.id, campaign.jurisdiction_id),
        now=now,
        data={"what": what},
    )
