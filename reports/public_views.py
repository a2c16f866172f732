"""The public's and the reporter's side of reports, beside intake.

Anybody reads what is public; staff read more of their own work from the same addresses; the holder
of a tracking token reads and does what is the reporter's. What a reader may not see looks missing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, current_app
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts.access import EVERYONE, TOKEN, allow, current_actor
from accounts.actors import Actor, Scope
from accounts.rules import Permission
from core.api import load
from core.clock import utc_now
from core.db import db, reading
from core.errors import ForbiddenError, InvalidError, NotFoundError, NotSignedInError
from core.i18n import spoken
from core.idempotency import once
from core.limits import Allowance, limited
from geo import jurisdictions
from geo.measures import Point, distance_m
from reports import conversation, listing, media, own, queries, showing
from reports.catalogue import catalogue_of
from reports.conversation import REPORTER, Wish
from reports.duplicates import finding
from reports.duplicates.rules import Features
from reports.listing import Filters
from reports.media import StagedPhoto
from reports.models import ServiceRequest
from reports.public_schemas import (
    AdditionIn,
    AnswerIn,
    AnyReportOut,
    ConfirmIn,
    FollowerIn,
    FollowingOut,
    LeaveQuery,
    OwnReportOut,
    SimilarListOut,
    SimilarQuery,
    TokenPageQuery,
    TokenQuery,
)
from reports.queries import Found, Reader
from reports.schemas import HistoryOut, ReportOut, ReportsQuery
from reports.staff_schemas import ReportListOut, StaffReportOut
from reports.viewing import (
    KEY_PARAMETER,
    TRACKING_PARAMETER,
    answer,
    caller,
    enter_read,
    listed,
    look,
    reread,
    secret,
    sent_fields,
    sent_photos,
    staff_document,
    tracking_token,
    usual_time,
)
from reports.vocabulary import NoteKind, Visibility

blueprint = Blueprint(
    "reports", __name__, description="Reports: find them, follow them, and the reporter's own."
)

#: So many reports are shown to somebody who is about to tell the same.
MOST_SIMILAR = 10

#: Filters that only those may use who see the staff's side.
_STAFF_FILTERS = (
    "team",
    "assignee",
    "overdue",
    "needs_place",
    "may_repeat",
    "visibility",
    "q",
)

_PUBLIC, _OWN, _STAFF = ReportOut(), OwnReportOut(), StaffReportOut()
_HISTORY, _SIMILAR, _FOLLOWING = HistoryOut(), SimilarListOut(), FollowingOut()
_ADDITION_IN = AdditionIn()


@blueprint.route("/reports", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(ReportsQuery, location="query")
@blueprint.response(200, ReportListOut)
def list_reports(query: dict[str, Any]) -> Response:
    """Reports by place, service, status, time and area; for staff, those of their own work.

    A page can hold fewer than `limit` and still have a `next`: go on until `next` is null.
    """
    actor = current_actor()
    is_staff = actor.is_staff and query.get("view") != "public"
    if not is_staff and any(name in query for name in _STAFF_FILTERS):
        raise ForbiddenError if actor.is_signed_in else NotSignedInError
    now = utc_now()
    with reading() as session:
        page = listing.page(
            session,
            _filters(session, query, actor, now),
            scope=actor.scope(Permission.READ_REPORTS) if is_staff else None,
            sort=query["sort"],
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
        reader = look(query)
        items = [
            showing.staff(item, reader, now=now) if is_staff else showing.public(item, reader)
            for item in page.items
        ]
    response = listed(items, page.next)
    response.vary.update(("Accept-Language", "Authorization"))
    response.headers["Cache-Control"] = "private, no-store" if is_staff else "no-cache"
    return response


@blueprint.route("/reports/similar", methods=["GET"])
@allow(EVERYONE)
@blueprint.arguments(SimilarQuery, location="query")
@blueprint.response(200, SimilarListOut)
def list_similar(query: dict[str, Any]) -> Response:
    """Open reports that a new one may repeat, best first, before it is sent."""
    point = Point(query["lat"], query["lon"])
    reader = look(query)
    with reading() as session:
        place = jurisdictions.resolve(
            session,
            code=query.get("jurisdiction"),
            point=point,
            default=current_app.config["DEFAULT_JURISDICTION"],
        )
        catalogue = catalogue_of(session, place.id)
        service = catalogue.service(query["service_code"])
        judge = finding.judge_of(session, catalogue)
        ranked = finding.similar(
            session,
            catalogue,
            Features(
                id=UUID(int=0),
                service_id=service.id,
                requested_at=utc_now(),
                point=point,
                scope=finding.scope_of(service, catalogue, judge),
                text=query.get("description") or "",
                asset_id=query.get("asset_id"),
                accuracy_m=query.get("accuracy_m"),
            ),
            judge,
        )
        found = queries.several(session, [item.candidate.id for item in ranked])
        items = [
            _similar(item, found[item.candidate.id], point, reader)
            for item in ranked
            if item.candidate.id in found
        ][:MOST_SIMILAR]
    return answer(_SIMILAR, {"items": items, "next": None})


@blueprint.route("/reports/<uuid:report_id>", methods=["GET"])
@allow(EVERYONE)
@blueprint.doc(parameters=[TRACKING_PARAMETER])
@blueprint.arguments(TokenQuery, location="query")
@blueprint.response(200, AnyReportOut)
@blueprint.alt_response(404, description="There is none, or not for this reader.")
def get_report(query: dict[str, Any], report_id: UUID) -> Response:
    """One report: as the public sees it, its reporter (with the token or signed in), the staff."""
    token = tracking_token(query)
    now = utc_now()
    actor = current_actor()
    with reading() as session:
        reader = _reader_of(session, report_id, token, actor)
        found = queries.one(session, report_id, only_public_photos=reader is Reader.PUBLIC)
        if found is None:
            raise NotFoundError
        if reader is Reader.REPORTER:
            return _own(session, found, token or "", query, now)
        if reader is Reader.PUBLIC:
            reader_look = look(query)
            document = showing.public(found, reader_look)
            document["usual_time"] = usual_time(session, found, reader_look, now)
            return answer(_PUBLIC, document)
        document = staff_document(session, found, actor, look(query), now)
    if document["contact"] is not None:
        enter_read(actor, found, now)
    return answer(_STAFF, document, version=found.row.version, is_private=True)


@blueprint.route("/reports/<uuid:report_id>/history", methods=["GET"])
@allow(EVERYONE)
@blueprint.doc(parameters=[TRACKING_PARAMETER])
@blueprint.arguments(TokenPageQuery, location="query")
@blueprint.response(200, HistoryOut)
@blueprint.alt_response(404, description="There is none, or not for this reader.")
def get_history(query: dict[str, Any], report_id: UUID) -> Response:
    """What happened to a report, oldest first: what became of it, and for staff everything."""
    with reading() as session:
        reader = _reader_of(session, report_id, tracking_token(query), current_actor())
        page = queries.history(
            session, report_id, reader, cursor=query.get("cursor"), limit=query["limit"]
        )
    items = [showing.step(entry, reader) for entry in page.items]
    return answer(
        _HISTORY,
        {"items": items, "next": page.next},
        is_private=reader is not Reader.PUBLIC,
    )


# -- the reporter ---------------------------------------------------------------------------------


@blueprint.route("/reports/<uuid:report_id>/additions", methods=["POST"])
@allow(TOKEN)
@blueprint.doc(
    parameters=[TRACKING_PARAMETER, KEY_PARAMETER],
    requestBody={
        "content": {
            "application/json": {"schema": AdditionIn},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string"},
                        "photos": {
                            "type": "array",
                            "items": {
                                "type": "string",
                                "contentMediaType": "application/octet-stream",
                            },
                        },
                    },
                }
            },
        }
    },
)
@blueprint.arguments(TokenQuery, location="query")
@blueprint.response(201, OwnReportOut)
@blueprint.alt_response(404, description="There is none, or it is not the caller's own.")
@blueprint.alt_response(409, description="The report is over.")
def add_to_report(query: dict[str, Any], report_id: UUID) -> Response:
    """Add words or photos to one's own report."""
    fields = load(_ADDITION_IN, sent_fields())
    token = tracking_token(query)
    person_id = current_actor().person_id
    with reading() as session:
        # Strangers do not get to leave files here.
        if not conversation.is_reporter(session, report_id, token, person_id, secret=secret()):
            raise NotFoundError
    return _add(query, report_id, fields.get("text"), sent_photos())


@once(caller)
def _add(
    query: dict[str, Any], report_id: UUID, text: str | None, staged: list[StagedPhoto]
) -> Response:
    session, now = db.session(), utc_now()
    report = _own_report(session, query, report_id)
    conversation.add(session, report, text, photos=len(staged), now=now)
    media.insert_staged(
        session,
        report.id,
        staged,
        by=REPORTER,
        jurisdiction_id=report.jurisdiction_id,
        now=now,
    )
    return _own_changed(session, report, query, now, status=201)


@blueprint.route("/reports/<uuid:report_id>/answer", methods=["POST"])
@allow(TOKEN)
@once(caller)
@blueprint.doc(parameters=[TRACKING_PARAMETER, KEY_PARAMETER])
@blueprint.arguments(TokenQuery, location="query")
@blueprint.arguments(AnswerIn)
@blueprint.response(201, OwnReportOut)
@blueprint.alt_response(404, description="There is none, or it is not the caller's own.")
@blueprint.alt_response(409, description="Nothing waits for an answer.")
def answer_question(query: dict[str, Any], payload: dict[str, Any], report_id: UUID) -> Response:
    """Answer what the team asked; a report that was on hold for it goes on."""
    session, now = db.session(), utc_now()
    report = _own_report(session, query, report_id)
    conversation.answer(session, report, payload["text"], now=now)
    return _own_changed(session, report, query, now, status=201)


@blueprint.route("/reports/<uuid:report_id>/withdrawal", methods=["POST"])
@allow(TOKEN)
@once(caller)
@blueprint.doc(parameters=[TRACKING_PARAMETER, KEY_PARAMETER])
@blueprint.arguments(TokenQuery, location="query")
@blueprint.arguments(AdditionIn, required=False)
@blueprint.response(200, OwnReportOut)
@blueprint.alt_response(404, description="There is none, or it is not the caller's own.")
@blueprint.alt_response(409, description="It is over already.")
def withdraw_report(query: dict[str, Any], payload: dict[str, Any], report_id: UUID) -> Response:
    """Take one's report back. Where others told the same or follow, it stays open for them."""
    session, now = db.session(), utc_now()
    report = _own_report(session, query, report_id)
    conversation.withdraw(session, report, payload.get("text"), now=now)
    return _own_changed(session, report, query, now)


@blueprint.route("/reports/<uuid:report_id>/not-fixed", methods=["POST"])
@allow(TOKEN)
@once(caller)
@blueprint.doc(parameters=[TRACKING_PARAMETER, KEY_PARAMETER])
@blueprint.arguments(TokenQuery, location="query")
@blueprint.arguments(AdditionIn, required=False)
@blueprint.response(200, OwnReportOut)
@blueprint.alt_response(404, description="There is none, or it is not the caller's own.")
@blueprint.alt_response(409, description="It is not resolved, or that was too long ago.")
def say_not_fixed(query: dict[str, Any], payload: dict[str, Any], report_id: UUID) -> Response:
    """Say that what was called resolved is not; reopens it within the service's days."""
    session, now = db.session(), utc_now()
    report = _own_report(session, query, report_id)
    conversation.not_fixed(session, report, payload.get("text"), now=now)
    return _own_changed(session, report, query, now)


# -- followers ------------------------------------------------------------------------------------


@blueprint.route("/reports/<uuid:report_id>/followers", methods=["POST"])
@allow(EVERYONE)
@limited(Allowance.INTAKE)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.arguments(FollowerIn, required=False)
@blueprint.response(202, FollowingOut)
@blueprint.alt_response(404, description="There is none that the public may see.")
def follow_report(payload: dict[str, Any], report_id: UUID) -> Response:
    """Say "me too": signed in at once, else after confirming the address by the mailed link."""
    session, actor = db.session(), current_actor()
    report = conversation.seen_by_all(session, report_id)
    place = jurisdictions.by_id(session, report.jurisdiction_id)
    email = payload.get("email")
    wish = Wish(
        locale=spoken(payload.get("locale"), actor.locale, look({}).locale) or place.default_locale,
        email=actor.email if actor.is_signed_in else email,
        name=payload.get("name") or actor.name,
        person_id=actor.person_id,
    )
    _, state = conversation.follow(session, report, wish, now=utc_now())
    document = {"status": state.value, "report_id": report.parent_id or report.id}
    return answer(_FOLLOWING, document, status=202, is_private=True)


@blueprint.route("/reports/<uuid:report_id>/followers", methods=["DELETE"])
@allow(TOKEN)
@once(caller)
@blueprint.arguments(LeaveQuery, location="query")
@blueprint.response(204)
@blueprint.alt_response(404, description="Nobody follows by that token.")
def leave_report(query: dict[str, Any], report_id: UUID) -> Response:
    """Be told no more: by the link of a message (`follower` and `token`), or signed in."""
    session, now, actor = db.session(), utc_now(), current_actor()
    if "follower" in query:
        conversation.leave(session, query["follower"], query.get("token"), secret=secret(), now=now)
    elif actor.person_id is not None:
        report = session.get(ServiceRequest, report_id)
        if report is None:
            raise NotFoundError
        conversation.leave_as(session, report, actor.person_id, now=now)
    else:
        raise NotSignedInError("Send follower and token, or sign in.")
    return Response(status=204)


@blueprint.route("/followers/<uuid:follower_id>/confirmation", methods=["POST"])
@allow(TOKEN)
@once(caller)
@blueprint.doc(parameters=[KEY_PARAMETER])
@blueprint.arguments(ConfirmIn)
@blueprint.response(200, FollowingOut)
@blueprint.alt_response(404, description="Nobody follows by that token.")
def confirm_follower(payload: dict[str, Any], follower_id: UUID) -> Response:
    """Say that the address is one's own, with the token of the mailed link."""
    follower = conversation.confirm(
        db.session(), follower_id, payload["token"], secret=secret(), now=utc_now()
    )
    return answer(
        _FOLLOWING,
        {"status": "following", "report_id": follower.report_id},
        is_private=True,
    )


# -- what they share ------------------------------------------------------------------------------


def _filters(session: Session, query: dict[str, Any], actor: Actor, now: datetime) -> Filters:
    cities = _jurisdiction_ids(session, query, actor)
    team_ids = None
    if "team" in query:
        teams = queries.teams_called(session, query["team"], cities)
        team_ids = tuple(team.id for team in teams)
    return Filters(
        jurisdiction_ids=cities,
        box=query.get("bbox"),
        near=query.get("near"),
        radius_m=query.get("radius_m", 0.0),
        service_codes=query.get("service_code", ()),
        group=query.get("group"),
        statuses=query.get("status", ()),
        since=query.get("since"),
        until=query.get("until"),
        updated_since=query.get("updated_since"),
        area=query.get("area"),
        team_ids=team_ids,
        assignee_id=_assignee(query, actor),
        overdue_at=now if query.get("overdue") else None,
        text=query.get("q"),
        needs_place=bool(query.get("needs_place")),
        may_repeat=bool(query.get("may_repeat")),
        visibility=query.get("visibility"),
    )


def _jurisdiction_ids(session: Session, query: dict[str, Any], actor: Actor) -> tuple[int, ...]:
    """The city that is meant; none in particular where a place or the staff's scope says it."""
    if query.get("jurisdiction"):
        return (jurisdictions.by_code(session, query["jurisdiction"]).id,)
    default = current_app.config["DEFAULT_JURISDICTION"]
    if default is None or actor.is_staff or "bbox" in query or "near" in query:
        return ()
    return (jurisdictions.by_code(session, default).id,)


def _assignee(query: dict[str, Any], actor: Actor) -> UUID | None:
    named = query.get("assignee")
    if named is None:
        return None
    if named == "me":
        return actor.person_id
    try:
        return UUID(named)
    except ValueError:
        raise InvalidError("It must be `me` or the id of a person.", field="assignee") from None


def _reader_of(session: Session, report_id: UUID, token: str | None, actor: Actor) -> Reader:
    """As whom somebody reads a report.

    Raises:
        NotFoundError: there is none that they may see; a wrong token sees nothing at all.
    """
    if token is not None:
        if conversation.holds_link(session, report_id, token, secret=secret()):
            return Reader.REPORTER
        raise NotFoundError
    seen = queries.belonging(session, report_id)
    if seen is None:
        raise NotFoundError
    scope: Scope = actor.scope(Permission.READ_REPORTS)
    if scope.covers(seen.jurisdiction_id, seen.team_id):
        return Reader.STAFF
    if actor.person_id is not None and own.is_reporter(session, report_id, actor.person_id):
        return Reader.REPORTER
    if seen.visibility != Visibility.PUBLIC:
        raise NotFoundError
    return Reader.PUBLIC


def _own_report(session: Session, query: dict[str, Any], report_id: UUID) -> ServiceRequest:
    return conversation.take_as_reporter(
        session,
        report_id,
        tracking_token(query),
        secret=secret(),
        person_id=current_actor().person_id,
    )


def _own_changed(
    session: Session,
    report: ServiceRequest,
    query: dict[str, Any],
    now: datetime,
    *,
    status: int = 200,
) -> Response:
    session.flush()
    found = reread(session, report.id)
    return _own(session, found, tracking_token(query) or "", query, now, status=status)


def _own(
    session: Session,
    found: Found,
    token: str,
    query: dict[str, Any],
    now: datetime,
    *,
    status: int = 200,
) -> Response:
    report_id = found.row.id
    kinds = [NoteKind.PUBLIC, NoteKind.QUESTION, NoteKind.ANSWER, NoteKind.ADDITION]
    document = showing.own(
        found,
        look(query),
        token=token,
        notes=queries.notes_of(session, report_id, kinds),
        photos=queries.photo_states(session, report_id),
        contact=queries.reporter_of(session, report_id),
        is_asked=conversation.is_asked(session, report_id),
        now=now,
    )
    document["usual_time"] = usual_time(session, found, look(query), now)
    return answer(_OWN, document, status=status, version=found.row.version, is_private=True)


def _similar(ranked: Any, found: Found, point: Point, reader: showing.Look) -> dict[str, Any]:
    """A candidate as the public may see it: no more of the place than the map says."""
    shown = found.public_point
    is_rounded = found.service.public_precision == "block"
    reasons = [reason.as_data() for reason in ranked.reasons]
    return {
        "report": showing.public(found, reader),
        "score": round(ranked.score, 1 if is_rounded else 3),
        "distance_m": shown and round(distance_m(point, shown), 1),
        "reasons": [{"code": reason["code"]} for reason in reasons] if is_rounded else reasons,
        "because": None
        if is_rounded
        else showing.because({"reasons": reasons}, reader, found.place),
        "followers": found.followers,
        "people": found.people,
    }
