"""What citizens do with a report that is there: its reporter by the tracking link, its followers.

The reporter adds words, answers the team's question, withdraws, says that it is not fixed.
Somebody who says "me too" follows, confirms the address, leaves. Whoever acts shows a token of
`core.tokens` or is signed in; a wrong token finds nothing, like a missing report.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core import outbox
from core.errors import ConflictError, InvalidError, NotFoundError
from core.ids import new_id
from core.tokens import Purpose, matches
from reports import changing, events, history, lifecycle, media, own, reviewing, withdrawing
from reports.duplicates import evidence
from reports.history import Author, Entry
from reports.models import Follower, HistoryEntry, Note, ServiceRequest
from reports.rules import Facts, FinishedError, check_move, takes_words
from reports.vocabulary import ActorKind, HistoryKind, NoteKind, Status, Visibility

#: The reporter, whoever holds the link. Who that is stands with the followers, erasable.
REPORTER = Author(ActorKind.REPORTER)

#: So often somebody may add words; beyond, it is no report any more but a flood.
MOST_ADDITIONS = 50

#: Whoever asks again to follow gets another mail only after this, so that nobody's mailbox can
#: be filled by a stranger.
ASK_AGAIN_AFTER = timedelta(minutes=10)

#: One address is asked to confirm so often in an hour, whatever reports are named: a stranger must
#: not fill somebody's mailbox.
MOST_ASKED_AN_HOUR = 5


class NoQuestionError(ConflictError):
    """Nothing was asked, or it was answered already."""

    code = "no_question"
    title = "The team asked nothing that waits for an answer"


class TooManyAdditionsError(ConflictError):
    """Enough was said by this link."""

    code = "too_many_additions"
    title = "Nothing more can be added to this report"


class Following(enum.StrEnum):
    """What came of asking to be told."""

    FOLLOWING = "following"
    ASKED = "confirmation_sent"


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody's wish to be told of a report: by e-mail, or as a signed-in person."""

    locale: str
    email: str | None = None
    name: str | None = None
    person_id: UUID | None = None


def holds_link(session: Session, report_id: UUID, token: str | None, *, secret: str) -> bool:
    """Whether that is the report's tracking token; as slow for a report that is not there."""
    version = session.scalar(
        sa.select(ServiceRequest.token_version).where(ServiceRequest.id == report_id)
    )
    is_right = matches(secret, Purpose.TRACK, report_id, version or 1, token)
    return version is not None and is_right


def is_reporter(
    session: Session, report_id: UUID, token: str | None, person_id: UUID | None, *, secret: str
) -> bool:
    """Whether somebody acts as the reporter: by the link's token if one was sent, else signed in.

    A wrong token is wrong, whoever sends it.
    """
    if token is not None or person_id is None:
        return holds_link(session, report_id, token, secret=secret)
    return own.is_reporter(session, report_id, person_id)


def take_as_reporter(
    session: Session,
    report_id: UUID,
    token: str | None,
    *,
    secret: str,
    person_id: UUID | None = None,
) -> ServiceRequest:
    """The report, locked, for its reporter: see `is_reporter`.

    Raises:
        NotFoundError: there is none, or not for them.
    """
    if not is_reporter(session, report_id, token, person_id, secret=secret):
        raise NotFoundError
    parent_id = session.scalar(
        sa.select(ServiceRequest.parent_id).where(ServiceRequest.id == report_id)
    )
    # With its parent, in the order in which joining locks the two.
    report = changing.lock_all(session, {report_id, parent_id or report_id}).get(report_id)
    if report is None:
        raise NotFoundError
    return report


def add(
    session: Session, report: ServiceRequest, text: str | None, *, photos: int, now: datetime
) -> int | None:
    """Add the reporter's words; the history entry's id, None where only photos came.

    Args:
        photos: how many come with it; the caller stores them.

    Raises:
        InvalidError: neither words nor photos.
        FinishedError: it is over for good.
        TooManyAdditionsError
    """
    if not text and not photos:
        raise InvalidError("Say something or send a photo.", field="text")
    if not takes_words(Status(report.status)):
        raise FinishedError
    if photos:
        media.check_room(session, report, photos)
        # The words are for the team alone; photos are for everybody.
        reviewing.hold_unread(session, report, None, has_photos=True, now=now)
    changing.touch(report, now)
    session.flush()
    if not text:
        return None
    _count_additions(session, report)
    entry_id, note_id = _say(session, report, HistoryKind.ADDED, NoteKind.ADDITION, text, now)
    _emit(session, report, events.ADDED_TO, history_id=entry_id, note_id=str(note_id))
    return entry_id


def answer(session: Session, report: ServiceRequest, text: str, *, now: datetime) -> int:
    """Answer the question that waits; what was held for it goes on. The history entry's id.

    Raises:
        NoQuestionError
    """
    if not is_asked(session, report.id) or not takes_words(Status(report.status)):
        raise NoQuestionError
    changing.touch(report, now)
    session.flush()
    entry_id, note_id = _say(session, report, HistoryKind.ANSWERED, NoteKind.ANSWER, text, now)
    _emit(session, report, events.ANSWERED, history_id=entry_id, note_id=str(note_id))
    lifecycle.resume_after_answer(session, report, by=history.SYSTEM, now=now)
    return entry_id


def is_asked(session: Session, report_id: UUID) -> bool:
    """Whether the team's last question still waits for an answer."""
    last = session.scalar(
        sa.select(HistoryEntry.kind)
        .where(
            HistoryEntry.report_id == report_id,
            HistoryEntry.kind.in_([HistoryKind.ASKED.value, HistoryKind.ANSWERED.value]),
        )
        .order_by(HistoryEntry.id.desc())
        .limit(1)
    )
    return last == HistoryKind.ASKED


def withdraw(session: Session, report: ServiceRequest, text: str | None, *, now: datetime) -> bool:
    """Take the report back. True when that closes it; a second time changes nothing.

    Where others said the same or follow it, it stays what it is and only its reporter leaves: the
    problem is still theirs. So does a duplicate; the report it repeats is closed where its own
    reporter had left before and nobody is left.

    Raises:
        MoveError: it is over already.
    """
    status = Status(report.status)
    if not (status.is_open or status is Status.DUPLICATE):
        check_move(status, Status.CLOSED, ActorKind.REPORTER, Facts())
    if report.withdrawn_at is not None:
        return False
    report.withdrawn_at = now
    session.flush()
    entry_id = withdrawing.close_if_untold(session, report, now=now)
    if entry_id is not None:
        _keep(session, report, NoteKind.ADDITION, text, entry_id, now)
        return True
    session.execute(
        sa.update(Follower)
        .where(Follower.report_id == report.id, Follower.is_reporter, _is_there())
        .values(left_at=now)
        .execution_options(synchronize_session=False)
    )
    changing.touch(report, now)
    session.flush()
    _say(session, report, HistoryKind.WITHDRAWN, NoteKind.ADDITION, text, now)
    evidence.weigh(session, [report.id], now=now)
    session.refresh(report)
    if report.parent_id is not None:
        parent = session.get_one(ServiceRequest, report.parent_id, populate_existing=True)
        withdrawing.close_if_untold(session, parent, now=now)
    return False


def not_fixed(
    session: Session, report: ServiceRequest, text: str | None, *, now: datetime
) -> ServiceRequest:
    """Reopen what was called resolved; of a duplicate, its parent. The report that was reopened.

    Who had taken the report back tells of it again.

    Raises:
        MoveError: it is not resolved.
        WindowClosedError: too late.
    """
    if report.withdrawn_at is not None:
        report.withdrawn_at = None
        session.flush()
        evidence.weigh(session, [report.id], now=now)
        session.refresh(report)
    if report.parent_id is None:
        entry_id = lifecycle.move(session, report, Status.REOPENED, by=REPORTER, now=now)
        _keep(session, report, NoteKind.ADDITION, text, entry_id, now)
        return report
    parent = session.get_one(ServiceRequest, report.parent_id, populate_existing=True)
    lifecycle.move(
        session,
        parent,
        Status.REOPENED,
        by=REPORTER,
        now=now,
        data={"duplicate_id": str(report.id)},
    )
    if text:
        # The words stay with the one who said them: the parent's reporter is somebody else.
        changing.touch(report, now)
        session.flush()
        _say(session, report, HistoryKind.ADDED, NoteKind.ADDITION, text, now)
    return parent


def follow(
    session: Session, report: ServiceRequest, wish: Wish, *, now: datetime
) -> tuple[UUID, Following]:
    """Ask to be told of a report; an address must be confirmed by the link that is mailed to it.

    Of a duplicate, its parent is followed: that is where something happens. The answer never tells
    whether an address followed already.

    Raises:
        InvalidError: neither an e-mail address nor somebody signed in.
    """
    root_id = report.parent_id or report.id
    if wish.email is None and wish.person_id is None:
        raise InvalidError("Say where news should go.", field="email")
    mine = (
        Follower.email == wish.email
        if wish.email is not None
        else Follower.person_id == wish.person_id
    )
    if wish.email is None:
        # No unique key holds apart those who have no address: the report's lock does.
        changing.lock_all(session, {root_id})
    there = sa.exists().where(Follower.report_id == root_id, mine)
    if not session.scalar(sa.select(there)):
        session.execute(
            postgresql.insert(Follower)
            .values(
                id=new_id(),
                report_id=root_id,
                is_reporter=False,
                person_id=wish.person_id,
                name=wish.name,
                email=wish.email,
                locale=wish.locale,
                confirmed_at=now if wish.person_id is not None else None,
                # Of an earlier time, so that the first wish is not taken for a repeated one.
                created_at=now - ASK_AGAIN_AFTER,
            )
            .on_conflict_do_nothing()
        )
        # Long over and without people: whoever comes now is forgotten at the next run.
        session.execute(
            sa.update(ServiceRequest)
            .where(ServiceRequest.id == root_id, ServiceRequest.anonymised_at.is_not(None))
            .values(anonymised_at=None)
            .execution_options(synchronize_session=False)
        )
    follower = session.scalars(
        sa.select(Follower)
        .where(Follower.report_id == root_id, mine)
        .order_by(Follower.created_at)
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    if wish.person_id is not None:
        # Their address was proved when they signed in. A row of somebody else, who once gave that
        # address, stays theirs: the news go there anyway.
        follower.person_id = follower.person_id or wish.person_id
        follower.confirmed_at = follower.confirmed_at or now
        follower.left_at = None
        session.flush()
        _tell_again(session, follower)
        evidence.weigh(session, [root_id], now=now)
        return follower.id, Following.FOLLOWING
    # Reporters are told without confirming; once they left, they come back as everybody does.
    is_told = follower.left_at is None and (follower.is_reporter or follower.confirmed_at)
    # A reporter's row is as old as the report, until they ask.
    has_asked = not (follower.left_at and follower.is_reporter) or (
        follower.created_at >= follower.left_at
    )
    if is_told or (has_asked and now - follower.created_at < ASK_AGAIN_AFTER):
        return follower.id, Following.ASKED
    if _asked_lately(session, wish.email, now) >= MOST_ASKED_AN_HOUR:
        return follower.id, Following.ASKED
    follower.confirmed_at = None
    if not follower.is_reporter:
        # A reporter hears nothing before the answer, either: that they left stays.
        follower.left_at = None
    follower.created_at = now
    session.flush()
    outbox.emit(
        session,
        events.FOLLOWED,
        root_id,
        jurisdiction_id=report.jurisdiction_id,
        follower_id=str(follower.id),
    )
    return follower.id, Following.ASKED


def follower_of(
    session: Session, follower_id: UUID, purpose: Purpose, token: str | None, *, secret: str
) -> Follower:
    """The follower whose link that is, for a page to show.

    Raises:
        NotFoundError: there is none, or the token is not its own.
    """
    follower = session.get(Follower, follower_id)
    version = follower.token_version if follower is not None else 1
    is_right = matches(secret, purpose, follower_id, version, token)
    if follower is None or not is_right:
        raise NotFoundError
    return follower


def confirm(
    session: Session, follower_id: UUID, token: str | None, *, secret: str, now: datetime
) -> Follower:
    """Say that the address is one's own; a second time changes nothing.

    Raises:
        NotFoundError: there is no such follower, or the token is not its own.
    """
    follower = follower_of(session, follower_id, Purpose.CONFIRM, token, secret=secret)
    follower.confirmed_at = follower.confirmed_at or now
    follower.left_at = None
    session.flush()
    _tell_again(session, follower)
    evidence.weigh(session, [follower.report_id], now=now)
    return follower


def leave(
    session: Session, follower_id: UUID, token: str | None, *, secret: str, now: datetime
) -> Follower:
    """Be told no more; a second time changes nothing.

    Raises:
        NotFoundError: there is no such follower, or the token is not its own.
    """
    follower = follower_of(session, follower_id, Purpose.LEAVE, token, secret=secret)
    follower.left_at = follower.left_at or now
    session.flush()
    evidence.weigh(session, [follower.report_id], now=now)
    return follower


def leave_as(session: Session, report: ServiceRequest, person_id: UUID, *, now: datetime) -> None:
    """End what a signed-in person follows of a report and of what it repeats.

    Raises:
        NotFoundError: they do not follow it.
    """
    left = session.execute(
        sa.update(Follower)
        .where(
            Follower.report_id.in_([report.id, report.parent_id or report.id]),
            own.theirs(session, person_id),
            _is_there(),
        )
        .values(left_at=now)
        .returning(Follower.id)
        .execution_options(synchronize_session=False)
    ).all()
    if not left:
        raise NotFoundError
    evidence.weigh(session, {report.id, report.parent_id or report.id}, now=now)


def seen_by_all(session: Session, report_id: UUID) -> ServiceRequest:
    """A report that the public may see.

    Raises:
        NotFoundError: there is none, or it is held back or hidden.
    """
    report = session.get(ServiceRequest, report_id)
    if report is None or report.visibility != Visibility.PUBLIC:
        raise NotFoundError
    return report


def _tell_again(session: Session, follower: Follower) -> None:
    """A reporter who had taken the report back, and follows it again, tells of it again."""
    if follower.is_reporter:
        session.execute(
            sa.update(ServiceRequest)
            .where(
                ServiceRequest.id == follower.report_id, ServiceRequest.withdrawn_at.is_not(None)
            )
            .values(withdrawn_at=None)
            .execution_options(synchronize_session=False)
        )


def _is_there() -> sa.ColumnElement[bool]:
    return Follower.left_at.is_(None)


def _asked_lately(session: Session, email: str | None, now: datetime) -> int:
    """How many mails this address got in the last hour that it has not answered."""
    asked = session.scalar(
        sa.select(sa.func.count())
        .select_from(Follower)
        .where(
            Follower.email == email,
            Follower.confirmed_at.is_(None),
            Follower.created_at > now - timedelta(hours=1),
            # Rows that were made and never mailed are dated back by this.
            Follower.created_at != now - ASK_AGAIN_AFTER,
        )
    )
    return asked or 0


def _count_additions(session: Session, report: ServiceRequest) -> None:
    said = session.scalar(
        sa.select(sa.func.count())
        .select_from(Note)
        .where(Note.report_id == report.id, Note.kind == NoteKind.ADDITION.value)
    )
    if (said or 0) >= MOST_ADDITIONS:
        raise TooManyAdditionsError


def _say(
    session: Session,
    report: ServiceRequest,
    kind: HistoryKind,
    note_kind: NoteKind,
    text: str | None,
    now: datetime,
) -> tuple[int, UUID | None]:
    [entry_id] = history.append(session, [Entry(report.id, kind, REPORTER)], now=now)
    return entry_id, _keep(session, report, note_kind, text, entry_id, now)


def _keep(
    session: Session,
    report: ServiceRequest,
    kind: NoteKind,
    text: str | None,
    entry_id: int,
    now: datetime,
) -> UUID | None:
    if not text:
        return None
    return history.add_note(
        session, report.id, kind, text, by=REPORTER, history_id=entry_id, now=now
    )


def _emit(session: Session, report: ServiceRequest, name: outbox.EventName, **data: object) -> None:
    outbox.emit(session, name, report.id, jurisdiction_id=report.jurisdiction_id, **data)
