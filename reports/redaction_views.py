"""Redacting a report: by its staff, its reporter with the tracking link, or from their account.

What was redacted and what stood there is read by auditors only, and every reading is recorded.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import fields
from sqlalchemy.orm import Session

from accounts.access import TOKEN, allow, current_actor, permission
from accounts.rules import Permission
from core.api import Schema, Text, check_version
from core.clock import utc_now
from core.db import db, transaction
from core.errors import NotFoundError
from core.idempotency import once
from core.limits import Allowance, limited
from reports import changing, conversation, own, queries, redaction
from reports.changing import author_of
from reports.conversation import REPORTER
from reports.field_types import Instant, Words
from reports.history import Author
from reports.models import ServiceRequest
from reports.public_schemas import TokenQuery
from reports.redaction import Wish
from reports.viewing import (
    KEY_PARAMETER,
    MATCH_PARAMETER,
    TRACKING_PARAMETER,
    answer,
    caller,
    secret,
    tracking_token,
)
from reports.vocabulary import RedactedPart

blueprint = Blueprint("redactions", __name__, description="Taking words and photos out of reports.")

_AUDIT = permission(Permission.READ_AUDIT)


class RedactionIn(Schema):
    """What is to go. Without `text` it is taken out and `[…]` marks where it stood."""

    part = fields.Enum(RedactedPart, by_value=True, required=True)
    key = Text(
        max_length=100,
        allow_none=True,
        metadata={"description": "Id of the note or photo; code of the answer."},
    )
    text = Words(allow_none=True, metadata={"description": "The new words."})


class RedactionDoneOut(Schema):
    """That it is done."""

    id = fields.UUID(required=True)
    report_id = fields.UUID(required=True)
    part = fields.String(required=True)
    key = fields.String(required=True, allow_none=True)
    version = fields.Integer(required=True, metadata={"description": "Of the report, its ETag."})


class RedactionOut(Schema):
    """What was redacted, for auditors."""

    id = fields.UUID(required=True)
    at = Instant(required=True)
    part = fields.String(required=True)
    key = fields.String(required=True, allow_none=True)
    before = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "null for a photo, and once the report's people are forgotten."},
    )
    by = fields.String(required=True)
    by_id = fields.UUID(required=True, allow_none=True)


class RedactionListOut(Schema):
    """Every redaction of a report; there are too few for pages."""

    items = fields.List(fields.Nested(RedactionOut), required=True)
    next = fields.String(required=True, allow_none=True)


_DONE, _LIST = RedactionDoneOut(), RedactionListOut()


@blueprint.route("/reports/<uuid:report_id>/redactions", methods=["POST"])
@allow(TOKEN)
@limited(Allowance.WRITE)
@once(caller)
@blueprint.doc(parameters=[TRACKING_PARAMETER, KEY_PARAMETER, MATCH_PARAMETER])
@blueprint.arguments(TokenQuery, location="query")
@blueprint.arguments(RedactionIn)
@blueprint.response(201, RedactionDoneOut)
@blueprint.alt_response(403, description="The reporter did not say that, or it may only be read.")
@blueprint.alt_response(404, description="There is none, or no such part of it.")
@blueprint.alt_response(412, description="Somebody changed it since.")
def redact(query: dict[str, Any], payload: dict[str, Any], report_id: UUID) -> Response:
    """Take something out of a report, or put it in other words.

    Staff who work on the report may redact every part of it. Its reporter, by the tracking token
    or signed in, may redact the description, the address, answers, and the words and photos that
    they sent themselves. What stood there is kept for auditors for a while.
    """
    session, now = db.session(), utc_now()
    report, by = _taken(session, report_id, tracking_token(query))
    wish = Wish(payload["part"], payload.get("key"), payload.get("text") or None)
    redaction_id = redaction.redact(session, report, wish, by=by, now=now)
    if by != REPORTER:
        redaction.record(session, current_actor(), report, redaction_id, wish, now=now)
    done = {
        "id": redaction_id,
        "report_id": report.id,
        "part": wish.part.value,
        "key": wish.key,
        "version": report.version,
    }
    return answer(_DONE, done, status=201, version=report.version, is_private=True)


@blueprint.route("/reports/<uuid:report_id>/redactions", methods=["GET"])
@allow(_AUDIT)
@blueprint.response(200, RedactionListOut)
@blueprint.alt_response(404, description="There is none in one's scope.")
def list_redactions(report_id: UUID) -> Response:
    """What was redacted of a report and what stood there. For auditors; the reading is recorded."""
    actor = current_actor()
    with transaction() as session:
        report = session.get(ServiceRequest, report_id)
        if report is None or not actor.may(
            Permission.READ_AUDIT, report.jurisdiction_id, report.team_id
        ):
            raise NotFoundError
        items = [
            {
                "id": row.id,
                "at": row.at,
                "part": row.subject,
                "key": row.subject_key,
                "before": row.before,
                "by": row.by_kind,
                "by_id": row.by_id,
            }
            for row in redaction.of_report(session, report, actor, now=utc_now())
        ]
    return answer(_LIST, {"items": items, "next": None}, is_private=True)


def _taken(session: Session, report_id: UUID, token: str | None) -> tuple[ServiceRequest, Author]:
    """The report, locked, and as whom the caller redacts it.

    Raises:
        NotFoundError: there is none that is theirs.
        ForbiddenError: staff who may read it and no more.
    """
    actor, me = current_actor(), current_actor().person_id
    seen = queries.belonging(session, report_id)
    works_here = seen is not None and actor.may(
        Permission.WORK_REPORTS, seen.jurisdiction_id, seen.team_id
    )
    # Staff who reported something themselves act as staff, unless they show the link.
    is_own = me is not None and not works_here and own.is_reporter(session, report_id, me)
    if token is not None or is_own:
        report = conversation.take_as_reporter(
            session, report_id, token, secret=secret(), person_id=me
        )
        by = REPORTER
    else:
        report = changing.take(session, actor, report_id, Permission.WORK_REPORTS)
        by = author_of(actor)
    check_version(report.version)
    return report, by
