"""What every change of a report shares: the lock, who may, the version, the words, the event.

Every change of staff, reporter or beat goes the same way:

1. `take` locks the row and says whether this person may change it; the view holds `If-Match`
   against the version of the locked row.
2. A function of the use case asks the rules, changes the row and calls `touch`, appends to the
   history, keeps the words beside it (`keep_words`) and emits the event (`tell`), all in the
   caller's transaction.

A refused change raises before anything is written. The use cases: moving to another status in
`reports.lifecycle`, giving to somebody in `reports.assignment`, comments and questions in
`reports.remarks`, service, place and visibility in `reports.correction`, joining in
`reports.duplicates.joining`, separating in `reports.separating`, what the reporter does in
`reports.conversation`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.actors import Actor
from accounts.rules import Permission
from core import outbox
from core.errors import ForbiddenError, NotFoundError
from reports import history
from reports.history import Author
from reports.models import ServiceRequest
from reports.vocabulary import ActorKind, NoteKind


@dataclass(frozen=True, slots=True)
class Words:
    """What staff say with a change: to their own, and to everybody."""

    note: str | None = None
    public_note: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return not self.note and not self.public_note


SILENCE = Words()


def author_of(actor: Actor) -> Author:
    """How the history names somebody of the staff, or a machine that acts for them."""
    kind = ActorKind.MACHINE if actor.api_key_id is not None else ActorKind.STAFF
    return Author(kind, actor.person_id)


def lock_all(session: Session, ids: Collection[UUID]) -> dict[UUID, ServiceRequest]:
    """Several reports as they are now, locked in the order in which everybody locks them."""
    rows = session.scalars(
        sa.select(ServiceRequest)
        .where(ServiceRequest.id.in_(list(ids)))
        .order_by(ServiceRequest.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in rows}


def take(
    session: Session,
    actor: Actor,
    report_id: UUID,
    needed: Permission,
    *,
    beside: UUID | None = None,
) -> ServiceRequest:
    """The report, locked, for somebody who may do that to it.

    Args:
        beside: another report that the change concerns, locked with it.

    Raises:
        NotFoundError: there is none, or it is not of this person's work.
        ForbiddenError: they may read it and no more.
    """
    locked = lock_all(session, {report_id, beside or report_id})
    return permitted(locked.get(report_id), actor, needed)


def take_both(
    session: Session, actor: Actor, report_id: UUID, other_id: UUID, needed: Permission
) -> tuple[ServiceRequest, ServiceRequest]:
    """Two reports of one city, locked, for somebody who may do that to both.

    Raises:
        NotFoundError, ForbiddenError: as `take`, of either.
    """
    locked = lock_all(session, {report_id, other_id})
    report, other = permitted(locked.get(report_id), actor, needed), locked.get(other_id)
    if other is None or other.jurisdiction_id != report.jurisdiction_id:
        raise NotFoundError
    return report, permitted(other, actor, needed)


def permitted(report: ServiceRequest | None, actor: Actor, needed: Permission) -> ServiceRequest:
    """The report, if this person may do that to it; raises what `take` raises."""
    if report is None or not _may(actor, Permission.READ_REPORTS, report):
        raise NotFoundError
    if not _may(actor, needed, report):
        raise ForbiddenError
    return report


def touch(report: ServiceRequest, now: datetime) -> None:
    """Give a changed report its next version, which is its ETag."""
    report.version += 1
    report.updated_at = now


def keep_words(
    session: Session,
    report: ServiceRequest,
    words: Words,
    by: Author,
    entry_id: int,
    now: datetime,
) -> list[UUID]:
    """Keep what was said beside the history entry; the ids of the notes."""
    said = ((NoteKind.PUBLIC, words.public_note), (NoteKind.INTERNAL, words.note))
    return [
        history.add_note(session, report.id, kind, body, by=by, history_id=entry_id, now=now)
        for kind, body in said
        if body
    ]


def tell(session: Session, report: ServiceRequest, name: outbox.EventName, **data: Any) -> None:
    """Emit an event about a report."""
    outbox.emit(session, name, report.id, jurisdiction_id=report.jurisdiction_id, **data)


def _may(actor: Actor, needed: Permission, report: ServiceRequest) -> bool:
    return actor.may(needed, report.jurisdiction_id, report.team_id)
