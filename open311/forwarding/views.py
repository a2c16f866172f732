"""What staff see of reports that go to other systems, and do about what waits for a person.

Like every write of the staff: the report is locked, `If-Match` is held against its version, and
the change is entered in the audit log. The ETag is the report's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, request
from flask_smorest import Blueprint
from sqlalchemy.orm import Session

from accounts import audit
from accounts.access import allow, current_actor, permission
from accounts.audit import Action, Subject
from accounts.rules import Permission
from core.api import check_version
from core.clock import utc_now
from core.db import db, reading
from core.idempotency import once
from geo import jurisdictions
from open311.forwarding import taking_over
from open311.forwarding.schemas import (
    ForwardingListOut,
    ForwardingOut,
    ForwardingQuery,
    RetryIn,
    SettlementIn,
)
from open311.forwarding.taking_over import Seen
from open311.rules import ForwardingState
from reports import changing
from reports.changing import author_of
from reports.models import ServiceRequest
from reports.viewing import KEY_PARAMETER, MATCH_PARAMETER, answer, caller

blueprint = Blueprint(
    "forwardings", __name__, description="Reports on their way to other systems, for staff."
)

_READ = permission(Permission.READ_REPORTS)
_WORK = permission(Permission.WORK_REPORTS)

_HEADERS = [KEY_PARAMETER, MATCH_PARAMETER]

_ONE, _LIST = ForwardingOut(), ForwardingListOut()


def _read_again(session: Session) -> None:
    """Before a kept answer is given again: is the report still of their work?"""
    report_id = (request.view_args or {})["report_id"]
    changing.permitted(
        session.get(ServiceRequest, report_id), current_actor(), Permission.WORK_REPORTS
    )


_once = once(caller, repeated=_read_again)


@blueprint.route("/forwardings", methods=["GET"])
@allow(_READ)
@blueprint.arguments(ForwardingQuery, location="query")
@blueprint.response(200, ForwardingListOut)
def list_forwardings(query: dict[str, Any]) -> Response:
    """What waits for a person (or for its turn) in one's scope, the oldest first."""
    scope = current_actor().scope(Permission.READ_REPORTS)
    with reading() as session:
        city = None
        if query.get("jurisdiction"):
            city = jurisdictions.by_code(session, query["jurisdiction"]).id
        page = taking_over.page(
            session,
            scope,
            state=query["state"],
            jurisdiction_id=city,
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
        document = {"items": _documents(page.items), "next": page.next}
    return answer(_LIST, document, is_private=True)


@blueprint.route("/reports/<uuid:report_id>/forwardings", methods=["GET"])
@allow(_READ)
@blueprint.response(200, ForwardingListOut)
def forwardings_of_report(report_id: UUID) -> Response:
    """Where a report was sent, each attempt, and what is known of it there."""
    with reading() as session:
        report = changing.permitted(
            session.get(ServiceRequest, report_id), current_actor(), Permission.READ_REPORTS
        )
        document = {"items": _documents(taking_over.of_report(session, report.id)), "next": None}
        return answer(_LIST, document, version=report.version, is_private=True)


@blueprint.route(
    "/reports/<uuid:report_id>/forwardings/<uuid:forwarding_id>/retry", methods=["POST"]
)
@allow(_WORK)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(RetryIn)
@blueprint.response(200, ForwardingOut)
@blueprint.alt_response(409, description="It does not wait for a person.")
@blueprint.alt_response(412, description="Somebody changed the report since.")
def retry_forwarding(payload: dict[str, Any], report_id: UUID, forwarding_id: UUID) -> Response:
    """Send again what waits for a person; what was lost is looked for there first."""
    session, now = db.session(), utc_now()
    report = _taken(session, report_id)
    taking_over.again(
        session,
        report,
        forwarding_id,
        is_surely_absent=payload["surely_absent"],
        by=author_of(current_actor()),
        now=now,
    )
    return _changed(session, report, forwarding_id, "retry_forwarding", now)


@blueprint.route(
    "/reports/<uuid:report_id>/forwardings/<uuid:forwarding_id>/by-hand", methods=["POST"]
)
@allow(_WORK)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.response(200, ForwardingOut)
@blueprint.alt_response(409, description="It does not wait to be sent.")
@blueprint.alt_response(412, description="Somebody changed the report since.")
def give_forwarding_to_person(report_id: UUID, forwarding_id: UUID) -> Response:
    """Keep it from being sent: a person takes care of it."""
    session, now = db.session(), utc_now()
    report = _taken(session, report_id)
    taking_over.give_to_person(
        session, report, forwarding_id, by=author_of(current_actor()), now=now
    )
    return _changed(session, report, forwarding_id, "give_forwarding_to_person", now)


@blueprint.route(
    "/reports/<uuid:report_id>/forwardings/<uuid:forwarding_id>/settlement", methods=["POST"]
)
@allow(_WORK)
@_once
@blueprint.doc(parameters=_HEADERS)
@blueprint.arguments(SettlementIn)
@blueprint.response(200, ForwardingOut)
@blueprint.alt_response(409, description="It does not wait for a person.")
@blueprint.alt_response(412, description="Somebody changed the report since.")
def settle_forwarding(payload: dict[str, Any], report_id: UUID, forwarding_id: UUID) -> Response:
    """Say that they have it, and as which number, or that it was passed on in another way."""
    session, now = db.session(), utc_now()
    report = _taken(session, report_id)
    taking_over.settle(
        session,
        report,
        forwarding_id,
        remote_id=payload["remote_id"],
        by=author_of(current_actor()),
        now=now,
    )
    return _changed(session, report, forwarding_id, "settle_forwarding", now)


def _taken(session: Session, report_id: UUID) -> ServiceRequest:
    """The report, locked, if the caller works on it and has read its present version."""
    report = changing.take(session, current_actor(), report_id, Permission.WORK_REPORTS)
    check_version(report.version)
    return report


def _changed(
    session: Session, report: ServiceRequest, forwarding_id: UUID, what: str, now: datetime
) -> Response:
    session.flush()
    audit.record(
        session,
        current_actor(),
        Action.REPORT_CHANGED,
        Subject("report", report.id, report.jurisdiction_id),
        now=now,
        data={
            "what": what,
            "forwarding": str(forwarding_id),
            "version": report.version,
            "contact": False,
        },
    )
    seen = taking_over.of_report(session, report.id)
    [document] = _documents([one for one in seen if one.row.id == forwarding_id])
    return answer(_ONE, document, version=report.version, is_private=True)


def _documents(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    return [
        {
            **one.row._mapping,
            "next_attempt_at": one.row.next_attempt_at
            if one.row.state == ForwardingState.WAITING.value
            else None,
            "attempts": one.attempts,
        }
        for one in seen
    ]
