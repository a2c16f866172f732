"""Taking words, answers and photos out of a report, by staff or by whoever wrote them.

Everything that is shown, sent or exported afterwards has the new words: they replace the old ones
where those stood. What stood there is kept in `redactions`, for auditors only, until the report's
people are forgotten (`reports.retention`) or its reporter is erased. The history says that
something was redacted, by whom and where, never what. New words of the reporter are looked at like
those of a new report, and may send it back to review (`reports.reviewing.hold_unread`).

A photo is out of sight at once; its files lie in the private storage for the days of
`retention_rules.REDACTED_PHOTO_DAYS`, in which a mistake can be put right, and are then deleted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts import audit
from accounts.actors import Actor
from accounts.audit import Action, Subject
from core import idempotency
from core.errors import ForbiddenError, InvalidError, NotFoundError
from core.ids import new_id
from reports import changing, history, reviewing
from reports.catalogue import service_of
from reports.history import Author, Entry
from reports.locating import search_text
from reports.masking import MARK
from reports.media import deleting
from reports.models import Note, Photo, Redaction, ServiceRequest
from reports.vocabulary import ActorKind, HistoryKind, PhotoState, RedactedPart

#: What of a report's words everybody sees; new words of its reporter may have to be read first.
_SHOWN_TO_ALL = (RedactedPart.DESCRIPTION, RedactedPart.ADDRESS)

#: Answers of these kinds can be put into other words; the others can only go.
_FREE_TEXT = frozenset({"string", "text"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be redacted.

    Attributes:
        key: which note or photo (its id), which answer (its code).
        text: the new words; None takes them out and leaves a mark.
    """

    part: RedactedPart
    key: str | None = None
    text: str | None = None


class NotOneOfYoursError(ForbiddenError):
    """A reporter redacts what they said themselves."""

    code = "not_your_words"
    title = "These are not your own words"


def redact(
    session: Session, report: ServiceRequest, wish: Wish, *, by: Author, now: datetime
) -> UUID:
    """Redact a part of a locked report, in the caller's transaction; the redaction's id.

    Raises:
        NotFoundError: there is no such part.
        InvalidError: it cannot be put into those words.
        NotOneOfYoursError: the reporter may not, because somebody else said it.
    """
    before = _PARTS[wish.part](session, report, wish, by, now)
    changing.touch(report, now)
    session.flush()
    redaction_id = new_id()
    session.execute(
        sa.insert(Redaction).values(
            id=redaction_id,
            report_id=report.id,
            subject=wish.part.value,
            subject_key=wish.key,
            before=before,
            by_kind=by.kind.value,
            by_id=by.id,
            at=now,
        )
    )
    data: dict[str, Any] = {"part": wish.part.value, "redaction_id": str(redaction_id)}
    if wish.key is not None:
        data["key"] = wish.key
    history.append(session, [Entry(report.id, HistoryKind.REDACTED, by, data=data)], now=now)
    if by.kind is ActorKind.REPORTER and wish.part in _SHOWN_TO_ALL:
        reviewing.hold_unread(session, report, wish.text, now=now)
    session.execute(
        _SEARCH,
        {
            "id": report.id,
            "words": search_text(
                report.number, report.description, report.address, report.address_given
            ),
        },
    )
    idempotency.forget(session, report.id)
    return redaction_id


def record(
    session: Session,
    actor: Actor,
    report: ServiceRequest,
    redaction_id: UUID,
    wish: Wish,
    *,
    now: datetime,
) -> None:
    """Enter a redaction by staff in the audit log."""
    audit.record(
        session,
        actor,
        Action.REPORT_REDACTED,
        Subject("report", report.id, report.jurisdiction_id),
        now=now,
        data={"redaction_id": str(redaction_id), "part": wish.part.value},
    )


def of_report(
    session: Session, report: ServiceRequest, actor: Actor, *, now: datetime
) -> list[Redaction]:
    """What was redacted of a report and what stood there, oldest first; the reading is recorded."""
    rows = session.scalars(
        sa.select(Redaction)
        .where(Redaction.report_id == report.id)
        .order_by(Redaction.at, Redaction.id)
    ).all()
    audit.record(
        session,
        actor,
        Action.REDACTION_READ,
        Subject("report", report.id, report.jurisdiction_id),
        now=now,
        data={"redactions": len(rows)},
    )
    return list(rows)


def _description(
    _session: Session, report: ServiceRequest, wish: Wish, _by: Author, _now: datetime
) -> str:
    _no_key(wish)
    before, report.description = report.description, wish.text or MARK
    return before


def _address(
    _session: Session, report: ServiceRequest, wish: Wish, _by: Author, _now: datetime
) -> str:
    """Both as it was written and as the gazetteer knows it. The position is another matter."""
    _no_key(wish)
    said = [text for text in (report.address_given, report.address) if text]
    if not said:
        raise NotFoundError("It has no address.")
    report.address_given = None
    # A mark, not nothing: an empty address is looked up again.
    report.address = wish.text or MARK
    report.address_id = report.address_street = report.address_number = None
    return "\n".join(dict.fromkeys(said))


def _attribute(
    session: Session, report: ServiceRequest, wish: Wish, _by: Author, _now: datetime
) -> str:
    code = wish.key
    if code is None or code not in report.attributes:
        raise NotFoundError("It has no such answer; `key` is the code of a question.")
    kinds = {each.code: each.datatype for each in service_of(session, report).attributes}
    is_free = kinds.get(code) in _FREE_TEXT
    if wish.text is not None and not is_free:
        raise InvalidError("This answer is chosen from a list or a number: it can only go.",
                           field="text")  # fmt: skip
    answers = dict(report.attributes)
    before = answers.pop(code)
    if is_free:
        answers[code] = wish.text or MARK
    report.attributes = answers
    return before if isinstance(before, str) else json.dumps(before, ensure_ascii=False)


def _note(session: Session, report: ServiceRequest, wish: Wish, by: Author, now: datetime) -> str:
    note = session.get(Note, _id(wish), with_for_update=True)
    if note is None or note.report_id != report.id:
        raise NotFoundError("It has no such note.")
    _check_own(note.author_kind, by)
    before, note.body = note.body, wish.text or MARK
    note.redacted_at = now
    return before


def _photo(session: Session, report: ServiceRequest, wish: Wish, by: Author, now: datetime) -> None:
    if wish.text is not None:
        raise InvalidError("A photo cannot be put into words.", field="text")
    photo = session.get(Photo, _id(wish), with_for_update=True)
    if photo is None or photo.report_id != report.id or photo.state == PhotoState.DROPPED:
        raise NotFoundError("It has no such photo.")
    _check_own(photo.added_by, by)
    deleting.hide(session, [photo.id], deleting.Reason.REDACTED, now=now)
    session.expire(photo)


_PARTS = {
    RedactedPart.DESCRIPTION: _description,
    RedactedPart.ADDRESS: _address,
    RedactedPart.ATTRIBUTE: _attribute,
    RedactedPart.NOTE: _note,
    RedactedPart.PHOTO: _photo,
}


def _check_own(author_kind: str, by: Author) -> None:
    if by.kind is ActorKind.REPORTER and author_kind != ActorKind.REPORTER:
        raise NotOneOfYoursError


def _no_key(wish: Wish) -> None:
    if wish.key is not None:
        raise InvalidError("Only answers, notes and photos have a key.", field="key")


def _id(wish: Wish) -> UUID:
    try:
        return UUID(wish.key or "")
    except ValueError:
        raise InvalidError("It must be the id of a note or a photo.", field="key") from None


_SEARCH = sa.text(
    "UPDATE service_requests SET search = to_tsvector('simple', :words) WHERE id = :id"
    " AND search IS NOT NULL"
)
