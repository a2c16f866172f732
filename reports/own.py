"""What belongs to somebody who is signed in: the reports they made, those they follow.

A report is its reporter's by the person in the reporter's row, or, while that row is nobody's, by
an address or a number in it that the person has proved. `claim` and `move` keep those rows with
their person when contacts change; `accounts.me.contacts` calls them (`Belongings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from accounts.contact_rules import ContactKind, ContactPoint
from accounts.models import Person
from core.pagination import BadCursorError, Page, pack, unpack
from reports.models import Follower, HistoryEntry, ServiceRequest
from reports.queries import Found, complete, selected
from reports.vocabulary import HistoryKind, Visibility


@dataclass(frozen=True, slots=True)
class Followed:
    """A report that somebody follows, and since when."""

    found: Found
    since: datetime


def is_reporter(session: Session, report_id: UUID, person_id: UUID) -> bool:
    """Whether that person made the report."""
    mine = sa.exists().where(
        Follower.report_id == report_id, Follower.is_reporter, theirs(session, person_id)
    )
    return bool(session.scalar(sa.select(mine)))


def reports_of(session: Session, person_id: UUID, *, cursor: str | None, limit: int) -> Page[Found]:
    """What somebody reported, the latest first, whoever else may see it.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    mine = sa.exists().where(
        Follower.report_id == ServiceRequest.id,
        Follower.is_reporter,
        theirs(session, person_id),
    )
    order = sa.tuple_(ServiceRequest.requested_at, ServiceRequest.id)
    query = selected().where(mine)
    if cursor is not None:
        query = query.where(order < sa.tuple_(*map(sa.literal, _unpacked(cursor, "reports"))))
    rows = session.execute(
        query.order_by(ServiceRequest.requested_at.desc(), ServiceRequest.id.desc()).limit(
            limit + 1
        )
    ).all()
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = pack("reports", rows[-1].requested_at.isoformat(), str(rows[-1].id))
    return Page(complete(session, rows, is_public=True), following)


def asked(session: Session, report_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the reports in which the team's last question waits for an answer."""
    last = (
        sa.select(sa.func.max(HistoryEntry.id))
        .where(
            HistoryEntry.report_id.in_(report_ids),
            HistoryEntry.kind.in_([HistoryKind.ASKED.value, HistoryKind.ANSWERED.value]),
        )
        .group_by(HistoryEntry.report_id)
    )
    return set(
        session.scalars(
            sa.select(HistoryEntry.report_id).where(
                HistoryEntry.id.in_(last), HistoryEntry.kind == HistoryKind.ASKED.value
            )
        )
    )


def followed_by(
    session: Session, person_id: UUID, *, cursor: str | None, limit: int
) -> Page[Followed]:
    """What somebody follows and the public may see, beside their own; the latest first.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    report = aliased(ServiceRequest)
    # One person may have two rows of one report, of an address and of a number.
    chosen = (
        sa.select(
            Follower.report_id,
            sa.func.min(Follower.created_at).label("since"),
        )
        .join(report, report.id == Follower.report_id)
        .where(
            theirs(session, person_id),
            Follower.is_reporter.is_(False),
            Follower.confirmed_at.is_not(None),
            Follower.left_at.is_(None),
            report.visibility == Visibility.PUBLIC.value,
        )
        .group_by(Follower.report_id)
        .subquery()
    )
    query = sa.select(chosen.c.report_id, chosen.c.since)
    if cursor is not None:
        query = query.where(
            sa.tuple_(chosen.c.since, chosen.c.report_id)
            < sa.tuple_(*map(sa.literal, _unpacked(cursor, "following")))
        )
    places = session.execute(
        query.order_by(chosen.c.since.desc(), chosen.c.report_id.desc()).limit(limit + 1)
    ).all()
    following = None
    if len(places) > limit:
        places = places[:limit]
        following = pack("following", places[-1].since.isoformat(), str(places[-1].report_id))
    rows = session.execute(
        selected().where(ServiceRequest.id.in_([place.report_id for place in places]))
    ).all()
    found = {item.row.id: item for item in complete(session, rows, is_public=True)}
    return Page([Followed(found[each.report_id], each.since) for each in places], following)


def claim(session: Session, person_id: UUID, contact: ContactPoint) -> None:
    """Note that every row under a contact that is nobody's yet is that person's."""
    session.execute(
        sa.update(Follower)
        .where(_column(contact.kind) == contact.value, Follower.person_id.is_(None))
        .values(person_id=person_id)
        .execution_options(synchronize_session=False)
    )


def move(session: Session, person_id: UUID, old: ContactPoint, new: ContactPoint | None) -> None:
    """Keep what a person had under the old contact under the new one; None: under none.

    Where the new contact has a row of that report already, the old row keeps the person alone:
    messages find their contact by the person, and go to each contact once.
    """
    column = _column(old.kind)
    value: Any = sa.null()
    if new is not None:
        other = aliased(Follower)
        is_there = sa.exists().where(
            other.report_id == Follower.report_id,
            (other.email if new.kind is ContactKind.EMAIL else other.phone) == new.value,
        )
        value = sa.case((is_there, sa.null()), else_=new.value)
    session.execute(
        sa.update(Follower)
        .where(column == old.value, Follower.person_id == person_id)
        .values({column: value})
        .execution_options(synchronize_session=False)
    )
    session.expire_all()


def theirs(session: Session, person_id: UUID) -> sa.ColumnElement[bool]:
    """The condition that a row of `followers` is that person's."""
    contacts = session.execute(
        sa.select(Person.email, Person.phone).where(
            Person.id == person_id, Person.is_active, Person.verified_at.is_not(None)
        )
    ).one_or_none()
    proved = [
        column == value
        for column, value in (
            (Follower.email, contacts and contacts.email),
            (Follower.phone, contacts and contacts.phone),
        )
        if value is not None
    ]
    mine = Follower.person_id == person_id
    return sa.or_(mine, *(sa.and_(Follower.person_id.is_(None), each) for each in proved))


def _column(kind: ContactKind) -> sa.orm.InstrumentedAttribute[str | None]:
    return Follower.email if kind is ContactKind.EMAIL else Follower.phone


def _unpacked(cursor: str, name: str) -> tuple[datetime, UUID]:
    kind, key, last = unpack(cursor, 3)
    if kind != name:
        raise BadCursorError(field="cursor")
    try:
        instant = datetime.fromisoformat(str(key))
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC), UUID(str(last))
    except ValueError as error:
        raise BadCursorError(field="cursor") from error
