"""What the views of reports share: the reader's language and token, photos sent, answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response, current_app, jsonify, request
from sqlalchemy.orm import Session

from accounts import audit
from accounts.access import current_actor
from accounts.actors import Actor
from accounts.audit import Action, Subject
from accounts.rules import Permission
from core.api import entity_tag
from core.clock import utc_now
from core.db import transaction
from core.i18n import asked_for
from reports import changing, conversation, history, media, queries, showing
from reports.catalogue import catalogue_of
from reports.forecast import foreseeing, telling
from reports.media import StagedPhoto
from reports.models import ServiceRequest
from reports.queries import Found
from reports.showing import Look
from reports.staff_schemas import StaffReportOut
from reports.vocabulary import NoteKind, Status
from reports.words import proposing

TRACKING_HEADER = "X-Tracking-Token"

#: For the API document: where the tracking token goes.
TRACKING_PARAMETER = {
    "in": "header",
    "name": TRACKING_HEADER,
    "schema": {"type": "string"},
    "description": "The reporter's `tracking_token`; the query parameter `token` does the same.",
}

KEY_PARAMETER = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "maxLength": 200},
    "description": "Repeating a call under its key gives the first answer again, for 24 hours.",
}

MATCH_PARAMETER = {
    "in": "header",
    "name": "If-Match",
    "schema": {"type": "string"},
    "description": "The ETag that was read; 412 if somebody changed the report since.",
}

_STAFF_REPORT = StaffReportOut()


def look(query: Mapping[str, Any]) -> Look:
    """How this reader's documents are written."""
    asked = query.get("locale")
    locale = asked.split("-")[0].lower() if asked else None
    locale = locale or asked_for(request.accept_languages)
    return Look(locale=locale, base_url=current_app.config["BASE_URL"])


def secret() -> str:
    """The key that links are derived with."""
    key: str = current_app.config["SECRET_KEY"]
    return key


def tracking_token(query: Mapping[str, Any]) -> str | None:
    """The tracking token that came with the request."""
    return request.headers.get(TRACKING_HEADER) or query.get("token")


def caller() -> str:
    """Whose `Idempotency-Key` it is: a person's, a link's, or anybody's who knows it."""
    actor = current_actor()
    if actor.person_id is not None:
        return f"person|{actor.person_id}"
    return f"link|{tracking_token(request.args) or ''}"


def sent_photos() -> list[StagedPhoto]:
    """The photos of a multipart request, checked and staged; outside any transaction."""
    photos = media.check_photos([file.stream for file in request.files.getlist("photos")])
    return media.stage(current_app.extensions["storage"], photos) if photos else []


def sent_fields(*, numbers: Collection[str] = ()) -> Any:
    """The fields of a request that may be JSON, a form with photos, or empty.

    Args:
        numbers: fields of whole numbers, which may be sent as texts: a form has nothing else.
    """
    fields = _fields()
    if not isinstance(fields, dict):
        return fields
    return fields | {
        name: int(text)
        for name in numbers
        # More digits are no number that is meant; the schema says so.
        if isinstance(text := fields.get(name), str) and text.isdecimal() and len(text) < 10
    }


def _fields() -> Any:
    if request.mimetype in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return {name: text for name, text in request.form.items() if text != ""}
    if not request.get_data(cache=True):
        return {}
    return request.get_json()


def answer(
    schema: ma.Schema,
    document: Any,
    *,
    status: int = 200,
    version: int | None = None,
    is_private: bool = False,
) -> Response:
    """A document as a response; a private one is kept by no cache on the way."""
    response = jsonify(schema.dump(document))
    response.status_code = status
    response.vary.update(("Accept-Language", "Authorization", TRACKING_HEADER))
    if version is not None:
        response.headers["ETag"] = entity_tag(version)
    response.headers["Cache-Control"] = "private, no-store" if is_private else "no-cache"
    return response


def listed(items: Sequence[dict[str, Any]], following: str | None) -> Response:
    """A page of a list as a response, written without the schema that documents it.

    Half the time of a list of fifty went into copying its documents field by field. A test holds
    the documents to their schemas instead.
    """
    return jsonify(items=items, next=following)


def staff_document(
    session: Session, found: Found, actor: Actor, reader: Look, now: Any
) -> dict[str, Any]:
    """One report as this member of the staff sees it: three statements more."""
    row = found.row
    may_read = actor.may(Permission.READ_CONTACTS, row.jurisdiction_id, row.team_id)
    question = None
    if conversation.is_asked(session, row.id):
        question = queries.notes_of(session, row.id, [NoteKind.QUESTION])[-1]
    document = showing.staff_whole(
        found,
        reader,
        contact=queries.reporter_of(session, row.id),
        may_read_contact=may_read,
        question=question,
        suggestions=queries.suggestions_of(session, [row]).get(row.id, ()),
        now=now,
    )
    document["usual_time"] = usual_time(session, found, reader, now)
    document["service_hint"] = _service_hint(session, found, reader)
    return document


def _service_hint(session: Session, found: Found, reader: Look) -> dict[str, Any] | None:
    """Another service that the words clearly mean; None where they do not, or work is over."""
    if not Status(found.row.status).is_open:
        return None
    catalogue = catalogue_of(session, found.place.id)
    meant = proposing.hint(session, catalogue, found.row.description, found.service)
    if meant is None:
        return None
    return {
        "service_code": meant.service.code,
        "name": reader.say(meant.service.names, found.place),
        "confidence": meant.confidence,
    }


def changed(
    session: Session, report: ServiceRequest, actor: Actor, now: Any, *, status: int = 200
) -> Response:
    """The answer to a change by staff: the report as it is now, with its new version.

    The change is entered in the audit log, in the transaction that makes it.
    """
    session.flush()
    found = reread(session, report.id)
    document = staff_document(session, found, actor, look({}), now)
    audit.record(
        session,
        actor,
        Action.REPORT_CHANGED,
        Subject("report", report.id, report.jurisdiction_id),
        now=now,
        data={
            "what": _what(),
            "version": found.row.version,
            "history": history.appended(session, report.id, at=now),
            # The answer shows it, so this is the entry of a read as well.
            "contact": document["contact"] is not None,
        },
    )
    return answer(
        _STAFF_REPORT, document, status=status, version=found.row.version, is_private=True
    )


def enter_read(actor: Actor, found: Found, now: datetime) -> None:
    """Enter in the audit log that this member of the staff reads contact data.

    In a transaction of its own, committed before the answer leaves: without the entry there is no
    answer but 503. It takes no lock, so readers do not wait for one another.
    """
    row = found.row
    with transaction() as session:
        _record_read(session, actor, row.id, row.jurisdiction_id, now)


def read_again(session: Session) -> None:
    """Before a kept answer is given to the staff again.

    Raises:
        NotFoundError: the report is not of their work any more.
        ForbiddenError: they may not read contact data any more, which the answer may show.
    """
    report_id = (request.view_args or {})["report_id"]
    report = changing.permitted(
        session.get(ServiceRequest, report_id), current_actor(), Permission.READ_CONTACTS
    )
    _record_read(session, current_actor(), report.id, report.jurisdiction_id, utc_now())


def _record_read(
    session: Session, actor: Actor, report_id: UUID, jurisdiction_id: int, now: datetime
) -> None:
    audit.record(
        session,
        actor,
        Action.CONTACT_READ,
        Subject("report", report_id, jurisdiction_id),
        now=now,
        data={"what": _what()},
    )


def usual_time(
    session: Session, found: Found, reader: Look, now: datetime
) -> dict[str, Any] | None:
    """How long reports like this one take, while it is open; None where too little is known."""
    row, place = found.row, found.place
    if not Status(row.status if row.parent_id is None else row.parent_status).is_open:
        return None
    forecast = foreseeing.foresee(session, place, found.led_by.id, areas=row.areas or (), at=now)
    return telling.document(forecast, reader.locale or place.default_locale)


def _what() -> str:
    """The name of the operation, as the API document and the log call it."""
    return (request.endpoint or "").rpartition(".")[2]


def reread(session: Session, report_id: UUID) -> Found:
    """A report that is known to be there, with what is not public of it."""
    found = queries.one(session, report_id, only_public_photos=False)
    assert found is not None
    return found
