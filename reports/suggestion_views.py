"""What staff are asked about duplicates, their answer in one click, and how urgent a report is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts.access import allow, current_actor, permission
from accounts.actors import Actor
from accounts.rules import Permission
from core.api import check_version
from core.clock import utc_now
from core.db import db, reading
from core.idempotency import once
from geo import jurisdictions
from reports import changing, listing, prioritising, queries, showing, suggesting
from reports.changing import author_of
from reports.listing import Filters, Sort
from reports.models import ServiceRequest
from reports.routing.rules import PRIORITIES
from reports.staff_schemas import (
    PriorityIn,
    StaffReportOut,
    SuggestedListOut,
    SuggestionIn,
    SuggestionsQuery,
)
from reports.viewing import (
    KEY_PARAMETER,
    MATCH_PARAMETER,
    caller,
    changed,
    listed,
    look,
    read_again,
)

blueprint = Blueprint(
    "suggestions", __name__, description="Reports that may be duplicates: the staff's word on them."
)

_READ = permission(Permission.READ_REPORTS)
_TRIAGE = permission(Permission.TRIAGE_REPORTS)

_HEADERS = [KEY_PARAMETER, MATCH_PARAMETER]

_once = once(caller, repeated=read_again)


@blueprint.route("/suggestions", methods=["GET"])
@allow(_READ)
@blueprint.arguments(SuggestionsQuery, location="query")
@blueprint.response(200, SuggestedListOut)
def list_suggestions(query: dict[str, Any]) -> Response:
    """Open reports of one's scope that may repeat others, with those; oldest due first."""
    now = utc_now()
    with reading() as session:
        cities: tuple[int, ...] = ()
        if query.get("jurisdiction"):
            cities = (jurisdictions.by_code(session, query["jurisdiction"]).id,)
        team_ids = None
        if "team" in query:
            teams = queries.teams_called(session, query["team"], cities)
            team_ids = tuple(team.id for team in teams)
        page = listing.page(
            session,
            Filters(jurisdiction_ids=cities, team_ids=team_ids, may_repeat=True),
            scope=current_actor().scope(Permission.READ_REPORTS),
            sort=Sort.DUE,
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
        suggested = queries.suggestions_of(session, [item.row for item in page.items])
        reader = look(query)
        items = [
            {
                **showing.staff(item, reader, now=now),
                "suggestions": [
                    showing.suggestion(each, reader, item.place)
                    for each in suggested.get(item.row.id, ())
                ],
            }
            for item in page.items
        ]
    response = listed(items, page.next)
    response.headers["Cache-Control"] = "private, no-store"
    return response


@blueprint.route("/reports/<uuid:report_id>/suggestions/<uuid:other_id>", methods=["POST"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(SuggestionIn)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="These two cannot be joined.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def answer_suggestion(payload: dict[str, Any], report_id: UUID, other_id: UUID) -> Response:
    """Say whether the two tell the same: true joins them, false keeps them apart."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report, other = _both(session, actor, report_id, other_id)
    say = suggesting.say_same if payload["same"] else suggesting.say_another
    say(session, report, other, by=author_of(actor), now=now)
    return changed(session, report, actor, now)


@blueprint.route("/reports/<uuid:report_id>/suggestions/<uuid:other_id>", methods=["DELETE"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="Nobody said anything of these two.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def take_answer_back(report_id: UUID, other_id: UUID) -> Response:
    """Take back what was said of the two: they are separated, and the suggestion is there again.

    What the judge or a reporter joined is separated and kept apart.
    """
    session, actor, now = db.session(), current_actor(), utc_now()
    report, other = _both(session, actor, report_id, other_id)
    suggesting.take_back(session, report, other, by=author_of(actor), now=now)
    return changed(session, report, actor, now)


@blueprint.route("/reports/<uuid:report_id>/priority", methods=["POST"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(PriorityIn)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="The report is over.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def set_priority(payload: dict[str, Any], report_id: UUID) -> Response:
    """Say how urgent it is, whatever rules and evidence say; null leaves it to them again."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report = changing.take(session, actor, report_id, Permission.TRIAGE_REPORTS)
    check_version(report.version)
    word = payload["priority"]
    prioritising.set_priority(
        session, report, None if word is None else PRIORITIES[word], by=author_of(actor), now=now
    )
    return changed(session, report, actor, now)


def _both(
    session: Session, actor: Actor, report_id: UUID, other_id: UUID
) -> tuple[ServiceRequest, ServiceRequest]:
    """Both reports, locked; the caller may triage both and has read the first as it is."""
    both = changing.take_both(session, actor, report_id, other_id, Permission.TRIAGE_REPORTS)
    check_version(both[0].version)
    return both
