"""What an adopter says of a report: they did it, or it needs the city. One answer counts.

1. By link: `of_link` says whose letter it was. Signed in: `of_person` finds what they are asked.
2. `answer` locks the report, which everybody who answers must hold, and looks again.
3. Done: it is logged as care; the report is resolved where its service lets volunteers, by the
   ordinary life cycle. Elsewhere, and where the team holds it, the word is a proposal: an entry of
   the history that the team reads. Needs the city: likewise, without care.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets import photos
from assets.adoption import holding
from assets.adoption.errors import LinkOverError
from assets.adoption.models import Adoption
from assets.care import doing
from assets.care.doing import Done
from assets.care.rules import usual_action
from assets.helping import asking, events
from assets.helping.errors import AnsweredAlreadyError, NotAskedError
from assets.helping.models import HelpRequest
from assets.helping.rules import is_link_over
from assets.helping.vocabulary import ANSWERED, Answer, HelpState
from assets.models import Asset
from assets.register import kind_of
from core.errors import NotFoundError
from core.outbox import emit
from core.text import clean
from core.tokens import Purpose, matches
from reports import changing, history, lifecycle
from reports.catalogue import ServiceEntry, service_of
from reports.history import Author, Entry
from reports.media.staging import StagedPhoto
from reports.models import ServiceRequest
from reports.rules import check_open, destinations
from reports.vocabulary import ActorKind, HistoryKind, NoteKind, Status


@dataclass(frozen=True, slots=True)
class Said:
    """What an adopter answers.

    Attributes:
        note: for the team; never shown to the public.
        action: what was done, one of the kind's; None: what is usual for the kind.
        minutes: how long it took.
        photos: staged; the first is kept.
    """

    answer: Answer
    note: str | None = None
    action: str | None = None
    minutes: int | None = None
    photos: Sequence[StagedPhoto] = ()


def of_link(
    session: Session, help_id: UUID, token: str, *, secret: str, now: datetime
) -> HelpRequest:
    """The request for help whose letter carried that token, answered or not.

    Raises:
        NotFoundError: it is no such token.
        LinkOverError: it is too old, or the adoption has ended.
    """
    found = session.get(HelpRequest, help_id, populate_existing=True)
    if found is None:
        raise NotFoundError
    adoption = session.get_one(Adoption, found.adoption_id, populate_existing=True)
    versions = range(1, adoption.token_version + 1)
    if not any(matches(secret, Purpose.HELP, help_id, each, token) for each in versions):
        raise NotFoundError
    if adoption.ended_at is not None or is_link_over(found.asked_at, now):
        raise LinkOverError
    return found


def of_person(session: Session, report_id: UUID, person_id: UUID, *, now: datetime) -> HelpRequest:
    """What somebody who is signed in is asked about a report, which is locked from then on.

    Whoever came to look after the asset after the report was made may answer as well.

    Raises:
        NotAskedError: they look after nothing there, or there is no such report.
        AnsweredAlreadyError
    """
    if report_id not in changing.lock_all(session, [report_id]):
        raise NotAskedError
    asking.ask(session, [report_id], now=now, but=person_id)
    mine = (
        sa.select(HelpRequest)
        .join(Adoption, Adoption.id == HelpRequest.adoption_id)
        .where(
            HelpRequest.report_id == report_id,
            HelpRequest.person_id == person_id,
            Adoption.ended_at.is_(None),
        )
        .order_by(HelpRequest.asked_at.desc(), HelpRequest.id)
        .execution_options(populate_existing=True)
    )
    found = session.scalars(mine).all()
    for each in found:
        if each.state == HelpState.OPEN:
            return each
    if any(each.state in ANSWERED for each in found) or (
        _is_answered(session, report_id) and _holds_there(session, report_id, person_id)
    ):
        raise AnsweredAlreadyError
    raise NotAskedError


def answer(session: Session, help_id: UUID, said: Said, *, now: datetime) -> HelpRequest:
    """Take an adopter's answer, in the caller's transaction.

    Raises:
        NotAskedError: the report turned out to be about something else, or the adoption ended.
        AnsweredAlreadyError: by themselves, or by another adopter.
        DuplicateMoveError, FinishedError: the report is over, or joined to another one.
        NotVerifiedError, NotThereError, UnknownActionError: of care.
    """
    asked = session.get(HelpRequest, help_id)
    if asked is None:
        raise NotAskedError
    report = changing.lock_all(session, [asked.report_id])[asked.report_id]
    session.refresh(asked)
    if _is_answered(session, report.id):
        raise AnsweredAlreadyError
    adoption = session.get_one(Adoption, asked.adoption_id, populate_existing=True)
    if asked.state != HelpState.OPEN or adoption.ended_at is not None:
        raise NotAskedError
    check_open(Status(report.status))
    # Whoever lost their verified contact answers no more than they may care.
    holding.check_person(session, asked.person_id)
    note = clean(said.note).strip() if said.note else ""
    photo_id = photos.insert(
        session,
        said.photos,
        person_id=asked.person_id,
        jurisdiction_id=asked.jurisdiction_id,
        now=now,
    )
    if said.answer is Answer.DONE:
        asked.care_id = _cared(session, asked, said, note, photo_id, now)
    else:
        asked.photo_id = photo_id
    by = Author(ActorKind.VOLUNTEER, asked.person_id)
    entry_id, asked.has_resolved = _enter(session, report, asked, said.answer, by, now)
    if note:
        asked.note_id = history.add_note(
            session, report.id, NoteKind.INTERNAL, note, by=by, history_id=entry_id, now=now
        )
    asked.state, asked.answered_at = HelpState(said.answer.value).value, now
    session.flush()
    emit(
        session,
        events.HELP_ANSWERED,
        asked.id,
        jurisdiction_id=asked.jurisdiction_id,
        help_id=str(asked.id),
        report_id=str(report.id),
        asset_id=str(asked.asset_id),
        answer=said.answer.value,
        resolved=asked.has_resolved,
    )
    return asked


def is_open(session: Session, asked: HelpRequest) -> bool:
    """Whether an answer still counts: nobody has given one, and the report is open."""
    report = session.get_one(ServiceRequest, asked.report_id)
    return (
        asked.state == HelpState.OPEN
        and Status(report.status).is_open
        and not _is_answered(session, asked.report_id)
    )


def may_resolve(service: ServiceEntry, status: str) -> bool:
    """Whether "I did it" resolves a report of that service and status; else it is a proposal."""
    may = Status.RESOLVED in destinations(Status(status), ActorKind.VOLUNTEER)
    return may and service.volunteers_resolve


def _enter(
    session: Session,
    report: ServiceRequest,
    asked: HelpRequest,
    said: Answer,
    by: Author,
    now: datetime,
) -> tuple[int, bool]:
    """Resolve the report or tell the team: the entry of the history, and whether it is resolved."""
    details = {"answer": said.value, "help_id": str(asked.id), "asset_id": str(asked.asset_id)}
    if said is Answer.DONE and may_resolve(service_of(session, report), report.status):
        entry_id = lifecycle.move(session, report, Status.RESOLVED, by=by, now=now, data=details)
        return entry_id, True
    changing.touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session,
        [Entry(report.id, HistoryKind.VOLUNTEER_ANSWERED, by, data=details)],
        now=now,
    )
    return entry_id, False


def _cared(
    session: Session,
    asked: HelpRequest,
    said: Said,
    note: str,
    photo_id: UUID | None,
    now: datetime,
) -> UUID:
    """Log what was done."""
    asset = session.get_one(Asset, asked.asset_id)
    action = said.action or usual_action(kind_of(session, asset).care).code
    done = Done(action, minutes=said.minutes, note=note or None)
    care = doing.log(session, asked.person_id, asset.id, done, now=now)
    care.photo_id = photo_id
    session.flush()
    return care.id


def _is_answered(session: Session, report_id: UUID) -> bool:
    return bool(
        session.scalar(
            sa.select(
                sa.exists().where(
                    HelpRequest.report_id == report_id, HelpRequest.answered_at.is_not(None)
                )
            )
        )
    )


def _holds_there(session: Session, report_id: UUID, person_id: UUID) -> bool:
    """Whether they look after the very asset that a report is about."""
    return bool(
        session.scalar(
            sa.select(
                sa.exists().where(
                    ServiceRequest.id == report_id,
                    Adoption.asset_id == ServiceRequest.asset_id,
                    Adoption.person_id == person_id,
                    Adoption.ended_at.is_(None),
                )
            )
        )
    )
