"""What of a report each reader sees: the public, its reporter, the staff.

Takes what `reports.queries` found and gives plain documents, in the reader's language, for the
schemas of `reports.schemas`. The public never sees contact data, internal words, answers to the
service's questions (a number plate can be among them) or more of the place than the service
publishes. It decides nothing about who the reader is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.naming import public_name
from accounts.rules import Display
from core.i18n import pick
from core.links import report_url
from geo.jurisdictions import JurisdictionRef
from reports.duplicates.wording import sentence
from reports.media import photo_document
from reports.queries import Contact, Found, Queue, Reader, Step, Suggestion
from reports.routing import wording
from reports.rules import (
    destinations,
    may_reopen,
    public_address,
    reopening_ends_at,
    takes_words,
)
from reports.vocabulary import ActorKind, NoteKind, Status, Visibility


@dataclass(frozen=True, slots=True)
class Look:
    """How documents are written: the reader's language, the address of this installation."""

    locale: str | None
    base_url: str

    def say(self, texts: Any, place: JurisdictionRef) -> str:
        """One of several languages."""
        return pick(texts, self.locale or place.default_locale, place.default_locale)


def public(found: Found, look: Look) -> dict[str, Any]:
    """What everybody sees."""
    row, point = found.row, found.public_point
    return {
        **_common(found, look),
        "lat": point and round(point.lat, 6),
        "lon": point and round(point.lon, 6),
        "is_rounded": found.service.public_precision == "block",
        "address": public_address(row.address, found.service.public_precision),
        "photos": [photo_document(look.base_url, photo) for photo in found.photos],
    }


def own(
    found: Found,
    look: Look,
    *,
    token: str,
    notes: Sequence[Any],
    photos: Sequence[Any],
    contact: Contact | None,
    is_asked: bool,
    now: datetime,
) -> dict[str, Any]:
    """What the reporter sees with the tracking link: the whole report, as they wrote it."""
    row = found.row
    fixed_at = _fixed_at(row)
    ready = {photo.id: photo_document(look.base_url, photo, token) for photo in found.photos}
    return {
        **_common(found, look),
        **_exact(found),
        "photos": list(ready.values()),
        "photo_states": [
            {
                "id": photo.id,
                "state": photo.state,
                "dropped_because": photo.dropped_because,
                "created_at": photo.created_at,
            }
            for photo in photos
        ],
        "attributes": row.attributes,
        "visibility": row.visibility,
        "review": row.review,
        "address_given": row.address_given,
        "words": [_note(note) for note in notes],
        "question": _open_question(notes) if is_asked else None,
        "is_told": contact is not None and contact.is_told,
        "may": _may(found, is_asked=is_asked, now=now),
        "reopening_ends_at": fixed_at and reopening_ends_at(fixed_at, found.led_by.reopen_days),
    }


def mine(found: Found, look: Look, *, is_asked: bool, now: datetime) -> dict[str, Any]:
    """What the reporter sees of it in the list of their own."""
    row = found.row
    return {
        **_common(found, look),
        **_exact(found),
        "photos": [photo_document(look.base_url, photo) for photo in found.photos],
        "visibility": row.visibility,
        "may": _may(found, is_asked=is_asked, now=now),
        "links": {
            "self": f"{look.base_url}/api/v1/reports/{row.id}",
            "page": report_url(look.base_url, found.place.code, row.number),
        },
    }


def staff(found: Found, look: Look, *, now: datetime) -> dict[str, Any]:
    """What the staff sees in a list: everything but words between people and contact data."""
    row, point = found.row, found.public_point
    return {
        **_common(found, look),
        **_exact(found),
        "parent": _parent(row, sees_hidden=True),
        "public_lat": point and round(point.lat, 6),
        "public_lon": point and round(point.lon, 6),
        "photos": [photo_document(look.base_url, photo) for photo in found.photos],
        "version": row.version,
        "visibility": row.visibility,
        "review": row.review,
        "display": row.display,
        "source": row.source,
        "priority": row.priority,
        "priority_by": row.priority_by,
        "attributes": row.attributes,
        "accuracy_m": row.accuracy_m,
        "place_source": row.place_source,
        "address_given": row.address_given,
        "needs_place": row.cell is None,
        "asset_id": row.asset_id,
        "asset_because": row.asset_link,
        "assignee": row.assignee_id and {"id": row.assignee_id, "name": row.assignee_name},
        "routed_by": row.routed_by,
        "routing": row.routing,
        "routed_because": wording.sentence(row.routing, look.locale or found.place.default_locale),
        "duplicate": row.duplicate,
        "duplicate_because": because(row.duplicate, look, found.place),
        "may_repeat": row.suggested_id,
        "recurs": row.recurs_id,
        "same_as": row.same_as,
        "not_same_as": row.not_same_as or [],
        "located_at": row.located_at,
        "triaged_at": row.triaged_at,
        "held_since": row.held_since,
        "is_overdue": _is_overdue(row, now),
        "locale": row.locale,
    }


def staff_whole(
    found: Found,
    look: Look,
    *,
    contact: Contact | None,
    may_read_contact: bool,
    question: Any | None,
    suggestions: Sequence[Suggestion],
    now: datetime,
) -> dict[str, Any]:
    """What the staff sees of one report; contact data only for those who may read it."""
    return {
        **staff(found, look, now=now),
        "suggestions": [suggestion(item, look, found.place) for item in suggestions],
        "may_move_to": destinations(Status(found.row.status), ActorKind.STAFF),
        "question": question and _note(question),
        "contact": _contact(contact) if may_read_contact and contact is not None else None,
        "has_contact": contact is not None
        and (contact.email is not None or contact.phone is not None),
    }


def because(decision: Any, look: Look, place: JurisdictionRef) -> str | None:
    """Why a report was found to repeat another one, in one line; None where nothing was said."""
    reasons = (decision or {}).get("reasons")
    return sentence(reasons, look.locale or place.default_locale) if reasons else None


def suggestion(item: Suggestion, look: Look, place: JurisdictionRef) -> dict[str, Any]:
    """A report that another one may repeat, as staff are asked about it."""
    return {
        "id": item.id,
        "number": item.number,
        "status": item.status,
        "requested_at": item.requested_at,
        "people": item.people,
        "score": item.score,
        "reasons": list(item.reasons),
        "because": because({"reasons": item.reasons}, look, place),
    }


def step(entry: Step, reader: Reader) -> dict[str, Any]:
    """One entry of a history."""
    row = entry.row
    document: dict[str, Any] = {
        "id": row.id,
        "at": row.at,
        "kind": row.kind,
        "from_status": row.from_status,
        "to_status": row.to_status,
        "by": row.actor_kind,
        "reason": row.data.get("reason"),
        "words": [_note(note) for note in entry.notes],
    }
    if reader is Reader.STAFF:
        document["actor"] = row.actor_id and {"id": row.actor_id, "name": row.actor_name}
        document["data"] = row.data
    return document


def queue(waiting: Queue, look: Look, place: JurisdictionRef) -> dict[str, Any]:
    """A queue with what waits in it."""
    return {
        "queue": waiting.name,
        "jurisdiction": place.code,
        "team": waiting.team
        and {"code": waiting.team.code, "name": look.say(waiting.team.names, place)},
        "open": waiting.open,
        "overdue": waiting.overdue,
        "unassigned": waiting.unassigned,
        "on_hold": waiting.on_hold,
        "oldest_due_at": waiting.oldest_due_at,
    }


def _common(found: Found, look: Look) -> dict[str, Any]:
    row, place, service = found.row, found.place, found.service
    refs = {ref.id: ref for ref in place.areas.refs} if row.areas else {}
    return {
        "id": row.id,
        "number": row.number,
        "jurisdiction": place.code,
        "service_code": service.code,
        "service_name": look.say(service.names, place),
        "group": service.group,
        "group_name": look.say(service.group_names, place),
        "status": row.status,
        "description": row.description,
        "areas": [
            {"layer": ref.layer, "code": ref.code, "name": look.say(ref.names, place)}
            for ref in (refs.get(id_) for id_ in row.areas or ())
            if ref is not None
        ],
        "distance_m": found.distance_m,
        "reporter_name": public_name(row.reporter_name, Display(row.display)),
        "team": row.team_code
        and {
            "code": row.team_code,
            "name": look.say(row.team_names, place),
            "agency": row.team_agency,
        },
        "parent": _parent(row, sees_hidden=False),
        "duplicates": found.duplicates,
        "followers": found.followers,
        "people": found.people,
        "occurred_at": row.occurred_at,
        "requested_at": row.requested_at,
        "updated_at": row.updated_at,
        "due_at": row.due_at,
        "resolved_at": row.resolved_at,
        "closed_at": row.closed_at,
    }


def _may(found: Found, *, is_asked: bool, now: datetime) -> dict[str, bool]:
    """What the reporter can do now."""
    status = Status(found.row.status)
    return {
        "add": takes_words(status),
        "answer": is_asked and takes_words(status),
        "withdraw": (status.is_open or status is Status.DUPLICATE)
        and found.row.withdrawn_at is None,
        "say_not_fixed": _work_status(found.row) in (Status.RESOLVED, Status.CLOSED)
        and may_reopen(_fixed_at(found.row), found.led_by.reopen_days, now),
    }


def _work_status(row: Any) -> Status:
    """Where the work stands: on the report that this one was joined to, if it was."""
    return Status(row.status if row.parent_id is None else row.parent_status)


def _fixed_at(row: Any) -> datetime | None:
    """When the problem was resolved, there too."""
    at: datetime | None = row.resolved_at if row.parent_id is None else row.parent_resolved_at
    return at


def _exact(found: Found) -> dict[str, Any]:
    row = found.row
    return {"lat": row.lat, "lon": row.lon, "is_rounded": False, "address": row.address}


def _parent(row: Any, *, sees_hidden: bool) -> dict[str, Any] | None:
    """What it repeats; of a parent that the reader does not see, only that there is one."""
    if row.parent_id is None:
        return None
    if row.parent_visibility != Visibility.PUBLIC and not sees_hidden:
        return {"id": None, "number": None, "status": row.parent_status}
    return {"id": row.parent_id, "number": row.parent_number, "status": row.parent_status}


def _is_overdue(row: Any, now: datetime) -> bool:
    return (
        row.due_at is not None
        and Status(row.status).is_open
        and row.due_at < (row.held_since or now)
    )


def _note(note: Any) -> dict[str, Any]:
    return {"id": note.id, "kind": note.kind, "text": note.body, "created_at": note.created_at}


def _open_question(notes: Sequence[Any]) -> dict[str, Any] | None:
    asked = [note for note in notes if note.kind == NoteKind.QUESTION]
    return _note(asked[-1]) if asked else None


def _contact(contact: Contact) -> dict[str, Any]:
    return {
        "name": contact.name,
        "email": contact.email,
        "phone": contact.phone,
        "locale": contact.locale,
        "is_told": contact.is_told,
    }
