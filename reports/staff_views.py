"""The staff's side of reports: queues, and everything that is done to a report.

Each write locks the report, holds `If-Match` against its version, and answers with the report as
it is then. Who may not read a report finds nothing; who may only read it is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response, current_app
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts.access import allow, current_actor, permission
from accounts.rules import Permission
from core.api import check_version
from core.clock import utc_now
from core.db import db, reading
from core.errors import InvalidError, NotFoundError
from core.idempotency import once
from geo import jurisdictions
from geo.measures import Point
from reports import (
    asset_linking,
    assignment,
    changing,
    correction,
    lifecycle,
    listing,
    media,
    queries,
    remarks,
    separating,
    showing,
)
from reports.assignment import Assignment
from reports.changing import Words, author_of
from reports.duplicates import joining
from reports.listing import Filters, Sort
from reports.media import StagedPhoto
from reports.models import ServiceRequest
from reports.queries import NEEDS_PLACE, REVIEW, UNROUTED
from reports.schemas import LocaleQuery
from reports.staff_schemas import (
    AssetLinkIn,
    AssignmentIn,
    CommentIn,
    DuplicateOfIn,
    PlaceIn,
    QuestionIn,
    QueueListOut,
    QueueQuery,
    ReportListOut,
    ServiceIn,
    StaffReportOut,
    StatusIn,
    VisibilityIn,
)
from reports.viewing import (
    KEY_PARAMETER,
    MATCH_PARAMETER,
    answer,
    caller,
    changed,
    listed,
    look,
    read_again,
    sent_photos,
)
from reports.vocabulary import OPEN_STATUSES, Visibility

blueprint = Blueprint("staff", __name__, description="The staff's work on reports.")

_READ = permission(Permission.READ_REPORTS)
_WORK = permission(Permission.WORK_REPORTS)
_TRIAGE = permission(Permission.TRIAGE_REPORTS)

_HEADERS = [KEY_PARAMETER, MATCH_PARAMETER]

#: An answer that is kept shows what somebody may read no more, and is a read like any other.
_once = once(caller, repeated=read_again)

_QUEUES = QueueListOut()


@blueprint.route("/queues", methods=["GET"])
@allow(_READ)
@blueprint.arguments(LocaleQuery, location="query")
@blueprint.response(200, QueueListOut)
def list_queues(query: dict[str, Any]) -> Response:
    """What is waiting: for each team in one's scope, without a place or team, for review."""
    scope = current_actor().scope(Permission.READ_REPORTS)
    reader = look(query)
    with reading() as session:
        items = [
            showing.queue(waiting, reader, jurisdictions.by_id(session, waiting.jurisdiction_id))
            for waiting in queries.queues(session, scope, now=utc_now())
        ]
    return answer(_QUEUES, {"items": items, "next": None}, is_private=True)


@blueprint.route("/queues/<team>/reports", methods=["GET"])
@allow(_READ)
@blueprint.arguments(QueueQuery, location="query")
@blueprint.response(200, ReportListOut)
@blueprint.alt_response(404, description="There is no such queue in one's scope.")
def list_queue(query: dict[str, Any], team: str) -> Response:
    """Open reports of a team, of `needs-place`, `unrouted` or `review`: oldest due first."""
    scope = current_actor().scope(Permission.READ_REPORTS)
    now = utc_now()
    with reading() as session:
        cities: tuple[int, ...] = ()
        if query.get("jurisdiction"):
            cities = (jurisdictions.by_code(session, query["jurisdiction"]).id,)
        page = listing.page(
            session,
            replace(_queue(session, team, cities), may_repeat=query.get("may_repeat", False)),
            scope=scope,
            sort=Sort.DUE,
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
        reader = look(query)
        items = [showing.staff(item, reader, now=now) for item in page.items]
    response = listed(items, page.next)
    response.headers["Cache-Control"] = "private, no-store"
    return response


@blueprint.route("/reports/<uuid:report_id>/status", methods=["POST"])
@allow(_WORK)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(StatusIn)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="The life cycle does not allow it.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def move_report(payload: dict[str, Any], report_id: UUID) -> Response:
    """Move a report to another status. A rejection needs a `public_note`."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report = _taken(session, report_id, Permission.WORK_REPORTS)
    lifecycle.move(
        session,
        report,
        payload["status"],
        by=author_of(actor),
        now=now,
        words=_words(payload),
        reason=payload.get("reason"),
    )
    return changed(session, report, actor, now)


@blueprint.route("/reports/<uuid:report_id>/assignment", methods=["POST"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(AssignmentIn)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="The report is over.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def assign_report(payload: dict[str, Any], report_id: UUID) -> Response:
    """Give a report to a team, a person or both. With `taken: false` it is only routed there."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report = _taken(session, report_id, Permission.TRIAGE_REPORTS)
    given = Assignment(
        team=payload.get("team"),
        person=payload.get("person"),
        nobody="person" in payload and payload["person"] is None,
        is_taken=payload["taken"],
    )
    assignment.assign(session, report, given, actor=actor, now=now, words=_words(payload))
    return changed(session, report, actor, now)


@blueprint.route("/reports/<uuid:report_id>/comments", methods=["POST"])
@allow(_WORK)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(CommentIn)
@blueprint.response(201, StaffReportOut)
@blueprint.alt_response(412, description="Somebody changed it since.")
def comment_on_report(payload: dict[str, Any], report_id: UUID) -> Response:
    """Leave words: `note` for the staff, `public_note` for everybody."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report = _taken(session, report_id, Permission.WORK_REPORTS)
    remarks.comment(session, report, _words(payload), by=author_of(actor), now=now)
    return changed(session, report, actor, now, status=201)


@blueprint.route("/reports/<uuid:report_id>/question", methods=["POST"])
@allow(_WORK)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(QuestionIn)
@blueprint.response(201, StaffReportOut)
@blueprint.alt_response(409, description="The report is over.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def ask_reporter(payload: dict[str, Any], report_id: UUID) -> Response:
    """Ask the reporter something; with `hold` the clock stops until the answer."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report = _taken(session, report_id, Permission.WORK_REPORTS)
    remarks.ask(
        session,
        report,
        payload["question"],
        hold=payload["hold"],
        by=author_of(actor),
        now=now,
    )
    return changed(session, report, actor, now, status=201)


@blueprint.route("/reports/<uuid:report_id>/duplicate-of", methods=["POST"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(DuplicateOfIn)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="These two cannot be joined.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def join_report(payload: dict[str, Any], report_id: UUID) -> Response:
    """Say that a report repeats another one, which its followers then follow."""
    session, actor, now = db.session(), current_actor(), utc_now()
    seen = queries.belonging(session, report_id)
    if seen is None:
        raise NotFoundError
    parent_id = queries.find_id(session, seen.jurisdiction_id, str(payload["report"]))
    child = _taken(session, report_id, Permission.TRIAGE_REPORTS, beside=parent_id)
    parent = session.get(ServiceRequest, parent_id) if parent_id is not None else None
    try:
        parent = changing.permitted(parent, actor, Permission.TRIAGE_REPORTS)
    except NotFoundError:
        raise InvalidError("There is no such report.", field="report") from None
    joining.join(session, child, parent, by=author_of(actor), now=now)
    return changed(session, child, actor, now)


@blueprint.route("/reports/<uuid:report_id>/duplicate-of", methods=["DELETE"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="It is not joined to another one.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def separate_report(report_id: UUID) -> Response:
    """Let a duplicate stand for itself again, as it was."""
    session, actor, now = db.session(), current_actor(), utc_now()
    seen = queries.belonging(session, report_id)
    report = _taken(session, report_id, Permission.TRIAGE_REPORTS, beside=seen and seen.parent_id)
    separating.separate(session, report, by=author_of(actor), now=now)
    return changed(session, report, actor, now)


@blueprint.route("/reports/<uuid:report_id>/service", methods=["POST"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(ServiceIn)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="It is of that service already, or over.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def change_service(payload: dict[str, Any], report_id: UUID) -> Response:
    """Make it a report of another service; the rules route it again unless a person did."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report = _taken(session, report_id, Permission.TRIAGE_REPORTS)
    correction.change_service(
        session, report, payload["service_code"], by=author_of(actor), now=now
    )
    return changed(session, report, actor, now)


@blueprint.route("/reports/<uuid:report_id>/place", methods=["POST"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(PlaceIn)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="The report is over.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def change_place(payload: dict[str, Any], report_id: UUID) -> Response:
    """Put a report where it is; address, areas and team follow, unless a person chose the team."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report = _taken(session, report_id, Permission.TRIAGE_REPORTS)
    point = Point(payload["lat"], payload["lon"])
    correction.change_place(session, report, point, by=author_of(actor), now=now)
    return changed(session, report, actor, now)


@blueprint.route("/reports/<uuid:report_id>/asset", methods=["POST"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(AssetLinkIn)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="It is so already, or the report is over.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def choose_asset(payload: dict[str, Any], report_id: UUID) -> Response:
    """Say which asset a report is about, or none; it is not linked by itself any more."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report = _taken(session, report_id, Permission.TRIAGE_REPORTS)
    asset_linking.choose(
        session,
        report,
        payload["asset_id"],
        by=author_of(actor),
        now=now,
        assets=current_app.extensions["asset_facts"],
    )
    return changed(session, report, actor, now)


@blueprint.route("/reports/<uuid:report_id>/asset", methods=["DELETE"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="Nobody has said which asset it is about, or it is over.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def withdraw_asset(report_id: UUID) -> Response:
    """Take back what a person said of the asset: it is looked for again by itself."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report = _taken(session, report_id, Permission.TRIAGE_REPORTS)
    asset_linking.release(session, report, by=author_of(actor), now=now)
    return changed(session, report, actor, now)


@blueprint.route("/reports/<uuid:report_id>/visibility", methods=["POST"])
@allow(_TRIAGE)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(VisibilityIn)
@blueprint.response(200, StaffReportOut)
@blueprint.alt_response(409, description="It is so already.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def change_visibility(payload: dict[str, Any], report_id: UUID) -> Response:
    """Publish a report that waits for it, hold it back, or hide it from the public."""
    session, actor, now = db.session(), current_actor(), utc_now()
    report = _taken(session, report_id, Permission.TRIAGE_REPORTS)
    correction.show(
        session,
        report,
        payload["visibility"],
        by=author_of(actor),
        now=now,
        words=_words(payload),
    )
    return changed(session, report, actor, now)


@blueprint.route("/reports/<uuid:report_id>/photos", methods=["POST"])
@allow(_WORK)
@blueprint.doc(
    parameters=_HEADERS,
    requestBody={
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["photos"],
                    "properties": {
                        "photos": {
                            "type": "array",
                            "maxItems": media.MAX_PHOTOS,
                            "items": {
                                "type": "string",
                                "contentMediaType": "application/octet-stream",
                            },
                        }
                    },
                }
            }
        },
    },
)
@blueprint.response(201, StaffReportOut)
@blueprint.alt_response(412, description="Somebody changed it since.")
def add_photos(report_id: UUID) -> Response:
    """Add photos to a report; they can be seen once they are cleaned."""
    with reading() as session:
        # Nobody keeps files here for a report that is not theirs.
        changing.permitted(
            session.get(ServiceRequest, report_id), current_actor(), Permission.WORK_REPORTS
        )
    staged = sent_photos()
    if not staged:
        raise InvalidError("Send at least one photo.", field="photos")
    return _add_photos(report_id, staged)


@_once
def _add_photos(report_id: UUID, staged: list[StagedPhoto]) -> Response:
    session, actor, now = db.session(), current_actor(), utc_now()
    report = _taken(session, report_id, Permission.WORK_REPORTS)
    media.check_room(session, report, len(staged))
    media.insert_staged(
        session,
        report.id,
        staged,
        by=author_of(actor),
        jurisdiction_id=report.jurisdiction_id,
        now=now,
    )
    changing.touch(report, now)
    return changed(session, report, actor, now, status=201)


def _taken(
    session: Session, report_id: UUID, needed: Permission, *, beside: UUID | None = None
) -> ServiceRequest:
    """The report, locked, if the caller may do that to it and has read its present version."""
    report = changing.take(session, current_actor(), report_id, needed, beside=beside)
    check_version(report.version)
    return report


def _words(payload: dict[str, Any]) -> Words:
    return Words(note=payload.get("note"), public_note=payload.get("public_note"))


def _queue(session: Session, name: str, cities: tuple[int, ...]) -> Filters:
    """What a queue holds.

    Raises:
        NotFoundError: there is no such queue in the caller's scope.
    """
    scope = current_actor().scope(Permission.READ_REPORTS)
    if name == REVIEW and scope.jurisdiction_ids:
        return Filters(jurisdiction_ids=cities, visibility=Visibility.HELD, statuses=OPEN_STATUSES)
    if name in (NEEDS_PLACE, UNROUTED, REVIEW):
        if not scope.jurisdiction_ids:
            raise NotFoundError
        return Filters(
            jurisdiction_ids=cities,
            needs_place=name == NEEDS_PLACE,
            is_unrouted=name == UNROUTED,
        )
    teams = [
        team
        for team in queries.teams_called(session, [name], cities)
        if scope.covers(team.jurisdiction_id, team.id)
    ]
    if not teams:
        raise NotFoundError
    return Filters(
        jurisdiction_ids=tuple(sorted({team.jurisdiction_id for team in teams})),
        team_ids=tuple(team.id for team in teams),
        statuses=OPEN_STATUSES,
    )
