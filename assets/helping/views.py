"""Helping over the API: what an adopter is asked and answers, what the team reads of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint

from accounts.access import SIGNED_IN, allow, current_actor, current_person_id, permission
from accounts.rules import Permission
from assets.helping import answering, queries
from assets.helping.answering import Said
from assets.helping.schemas import (
    HelpRequestsOut,
    VolunteerAnswerIn,
    VolunteerAnswerOut,
    VolunteerAnswersOut,
    answered_document,
    help_document,
)
from assets.helping.vocabulary import Answer
from core.api import load
from core.clock import utc_now
from core.db import db, reading
from core.idempotency import once
from core.limits import Allowance, limited
from reports import changing
from reports.models import ServiceRequest
from reports.schemas import PageQuery
from reports.viewing import (
    KEY_PARAMETER,
    answer,
    caller,
    look,
    sent_fields,
    sent_photos,
)

blueprint = Blueprint(
    "helping", __name__, description="Reports at or near assets that volunteers look after."
)

_IN, _OUT, _LIST, _SHOWN = (
    VolunteerAnswerIn(),
    VolunteerAnswerOut(),
    HelpRequestsOut(),
    VolunteerAnswersOut(),
)

_PHOTO = {"type": "string", "contentMediaType": "application/octet-stream"}


@blueprint.route("/me/help-requests", methods=["GET"])
@allow(SIGNED_IN)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, HelpRequestsOut)
def list_help_requests(query: dict[str, Any]) -> Response:
    """Open reports at or near assets that the caller looks after, which nobody has answered."""
    reader = look(query)
    with reading() as session:
        page = queries.of_person(
            session, current_person_id(), cursor=query.get("cursor"), limit=query["limit"]
        )
        items = [help_document(each, reader) for each in page.items]
        return answer(_LIST, {"items": items, "next": page.next}, is_private=True)


@blueprint.route("/reports/<uuid:report_id>/volunteer-answer", methods=["POST"])
@allow(SIGNED_IN)
@limited(Allowance.INTAKE)
@blueprint.doc(
    parameters=[KEY_PARAMETER],
    requestBody={
        "content": {
            "application/json": {"schema": VolunteerAnswerIn},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"photos": {"type": "array", "maxItems": 1, "items": _PHOTO}},
                }
            },
        }
    },
)
@blueprint.response(201, VolunteerAnswerOut)
@blueprint.alt_response(404, description="It is not about an asset that the caller looks after.")
@blueprint.alt_response(
    409, description="`answered_already`, or the report is over (`report_finished`)."
)
def answer_report(report_id: UUID) -> Response:
    """Say as an adopter that one did it, or that it needs the city. The first answer counts.

    Where the service lets volunteers, `done` resolves the report; else it is a proposal to the
    team. As JSON, or as a form with the same fields and one photo in `photos`.
    """
    sent = load(_IN, sent_fields(numbers=("minutes",)))
    with reading() as session:
        # Nobody keeps files here for what is not theirs to answer.
        queries.check_concerned(session, report_id, current_person_id())
    said = Said(
        sent["answer"],
        note=sent.get("note"),
        action=sent.get("action"),
        minutes=sent.get("minutes"),
    )
    return _answer(report_id, said, sent_photos())


@blueprint.route("/reports/<uuid:report_id>/volunteer-answers", methods=["GET"])
@allow(permission(Permission.READ_REPORTS))
@blueprint.response(200, VolunteerAnswersOut)
@blueprint.alt_response(404, description="There is none, or it is not of one's own work.")
def list_answers(report_id: UUID) -> Response:
    """The adopters to whom a report was put, and what they said, for the team."""
    with reading() as session:
        changing.permitted(
            session.get(ServiceRequest, report_id), current_actor(), Permission.READ_REPORTS
        )
        locale = look({}).locale
        items = [answered_document(each, locale) for each in queries.of_report(session, report_id)]
        return answer(_SHOWN, {"items": items}, is_private=True)


@once(caller)
def _answer(report_id: UUID, said: Said, staged: Any) -> Response:
    session, now = db.session(), utc_now()
    asked = answering.of_person(session, report_id, current_person_id(), now=now)
    answering.answer(session, asked.id, replace(said, photos=tuple(staged)), now=now)
    report = session.get_one(ServiceRequest, report_id, populate_existing=True)
    document = {
        "id": asked.id,
        "report": report_id,
        "answer": Answer(asked.state),
        "answered_at": asked.answered_at,
        "has_resolved": asked.has_resolved,
        "status": report.status,
        "care": asked.care_id,
    }
    return answer(_OUT, document, status=201, is_private=True)
