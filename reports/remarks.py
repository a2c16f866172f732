"""What staff say about a report without moving it: comments, and questions to its reporter.

Works on a locked report, in the caller's transaction; see `reports.changing`.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import InvalidError
from reports import changing, events, history, lifecycle
from reports.changing import Words
from reports.history import Author, Entry
from reports.models import ServiceRequest
from reports.rules import check_open
from reports.vocabulary import HistoryKind, NoteKind, Status


def comment(
    session: Session, report: ServiceRequest, words: Words, *, by: Author, now: datetime
) -> int:
    """Leave words without moving anything. Returns the id of the history entry.

    Raises:
        InvalidError: nothing is said.
    """
    if words.is_empty:
        raise InvalidError("Say something: note or public_note.", field="note")
    changing.touch(report, now)
    session.flush()
    [entry_id] = history.append(session, [Entry(report.id, HistoryKind.COMMENTED, by)], now=now)
    for note_id in changing.keep_words(session, report, words, by, entry_id, now):
        changing.tell(session, report, events.COMMENTED, note_id=str(note_id), history_id=entry_id)
    return entry_id


def ask(
    session: Session,
    report: ServiceRequest,
    question: str,
    *,
    hold: bool,
    by: Author,
    now: datetime,
) -> UUID:
    """Ask the reporter something; with `hold` the clock stops until the answer. The note's id.

    Raises:
        FinishedError: the report is over.
    """
    check_open(Status(report.status))
    if hold and report.status != Status.ON_HOLD:
        lifecycle.move(
            session, report, Status.ON_HOLD, by=by, now=now, reason=lifecycle.HELD_FOR_ANSWER
        )
    changing.touch(report, now)
    session.flush()
    [entry_id] = history.append(session, [Entry(report.id, HistoryKind.ASKED, by)], now=now)
    note_id = history.add_note(
        session, report.id, NoteKind.QUESTION, question, by=by, history_id=entry_id, now=now
    )
    changing.tell(session, report, events.QUESTION_ASKED, note_id=str(note_id), history_id=entry_id)
    return note_id
