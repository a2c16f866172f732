"""What happened to a report, in the order in which it happened, for its reporter or the public.

One list is made of the history and the words beside it. Internal notes, names of staff and reasons
of routing never reach it; the reporter's own words, questions and answers only for the reporter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Team
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point
from reports import media
from reports.duplicates import evidence
from reports.lifecycle import HELD_FOR_ANSWER
from reports.models import HistoryEntry, Note, Photo, Service, ServiceRequest
from reports.rules import may_reopen, public_address, public_point, reopening_ends_at, takes_words
from reports.vocabulary import ActorKind, HistoryKind, NoteKind, PhotoState, Status, Visibility

#: How far along each status is, of four steps: received, with a team, under way, settled.
PROGRESS: Mapping[Status, int] = {
    Status.RECEIVED: 1,
    Status.TRIAGED: 2,
    Status.ASSIGNED: 2,
    Status.ON_HOLD: 2,
    Status.REOPENED: 2,
    Status.DUPLICATE: 2,
    Status.IN_PROGRESS: 3,
    Status.RESOLVED: 4,
    Status.CLOSED: 4,
    Status.REJECTED: 4,
}

#: Kinds of words that the public reads, and those its reporter reads besides.
_PUBLIC_NOTES = frozenset({NoteKind.PUBLIC})
_REPORTERS_NOTES = _PUBLIC_NOTES | {NoteKind.QUESTION, NoteKind.ANSWER, NoteKind.ADDITION}

_PUBLIC_KINDS = frozenset({HistoryKind.JOINED, HistoryKind.UNJOINED})
_REPORTERS_KINDS = _PUBLIC_KINDS | {
    HistoryKind.ASKED,
    HistoryKind.ANSWERED,
    HistoryKind.ADDED,
    HistoryKind.PHOTO_ADDED,
    HistoryKind.PHOTO_DROPPED,
}


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of the story. `key` names its words in the catalogue, `words` are somebody's own."""

    at: datetime
    key: str
    words: str | None = None
    by_team: bool = True
    #: The number of the report that this one was joined to then.
    number: int | None = None


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Everything that the page of a report shows."""

    report: ServiceRequest
    place: JurisdictionRef
    service: Service
    team_names: Mapping[str, str] | None
    #: The report that this one was joined to, and where work on it stands.
    parent: ServiceRequest | None
    story: Sequence[Happened]
    photos: Sequence[Photo]
    photos_waiting: int
    followers: int
    #: How many told of the problem or said "me too", wherever the work on it is done.
    people: int
    address: str | None
    point: Point | None

    @property
    def status(self) -> Status:
        """Where it stands."""
        return Status(self.report.status)

    @property
    def work_status(self) -> Status:
        """Where the work stands: on the report that this one was joined to, if it was."""
        return Status(self.parent.status) if self.parent is not None else self.status

    @property
    def progress(self) -> int:
        """How far along it is, of 4."""
        return PROGRESS[self.work_status]

    @property
    def question(self) -> str | None:
        """What the team asked last and was not answered."""
        asked = None
        for step in self.story:
            if step.key == "asked":
                asked = step.words
            elif step.key == "answered":
                asked = None
        return asked if self.status.is_open else None

    @property
    def takes_words(self) -> bool:
        """Whether its reporter may still add to it."""
        return takes_words(self.status)

    @property
    def may_withdraw(self) -> bool:
        """Whether its reporter may take it back; of a duplicate, only they themselves leave."""
        is_there = self.status.is_open or self.status is Status.DUPLICATE
        return is_there and self.report.withdrawn_at is None

    def reopening_ends_at(self, now: datetime) -> datetime | None:
        """Until when its reporter may say that it is not fixed; None when that is not so."""
        resolved_at = (self.parent or self.report).resolved_at
        if self.work_status not in (Status.RESOLVED, Status.CLOSED) or resolved_at is None:
            return None
        if not may_reopen(resolved_at, self.service.reopen_days, now):
            return None
        return reopening_ends_at(resolved_at, self.service.reopen_days)


def for_reporter(session: Session, report_id: UUID) -> ReportPage | None:
    """The page of a report for whoever holds its tracking link."""
    report = session.get(ServiceRequest, report_id)
    return None if report is None else _page(session, report, is_reporter=True)


def for_public(session: Session, jurisdiction_code: str, number: int) -> ReportPage | None:
    """The page of a report for everybody; None when there is none that the public may see."""
    for place in jurisdictions.all_of_them(session):
        if place.code == jurisdiction_code:
            break
    else:
        return None
    report = session.scalar(
        sa.select(ServiceRequest).where(
            ServiceRequest.jurisdiction_id == place.id,
            ServiceRequest.number == number,
            ServiceRequest.visibility == Visibility.PUBLIC.value,
        )
    )
    return None if report is None else _page(session, report, is_reporter=False)


def _page(session: Session, report: ServiceRequest, *, is_reporter: bool) -> ReportPage:
    service = session.get_one(Service, report.service_id)
    team = session.get(Team, report.team_id) if report.team_id is not None else None
    parent = session.get(ServiceRequest, report.parent_id) if report.parent_id else None
    precision = "exact" if is_reporter else service.public_precision
    point = (
        Point(report.lat, report.lon) if report.lat is not None and report.lon is not None else None
    )
    address = report.address or (report.address_given if is_reporter else None)
    photos = media.photos_of(session, [report.id], only_public=not is_reporter)
    waiting = 0
    if is_reporter:
        waiting = session.scalars(
            sa.select(sa.func.count())
            .select_from(Photo)
            .where(Photo.report_id == report.id, Photo.state == PhotoState.STAGED.value)
        ).one()
    root_id = report.parent_id or report.id
    heard = evidence.told(session, [root_id])[root_id]
    return ReportPage(
        report=report,
        place=jurisdictions.by_id(session, report.jurisdiction_id),
        service=service,
        team_names=team.names if team is not None else None,
        parent=parent,
        story=_with_parent(session, report, parent, is_reporter=is_reporter),
        photos=photos.get(report.id, []),
        photos_waiting=waiting,
        followers=heard.followers,
        people=heard.people,
        address=public_address(address, precision),
        point=public_point(point, precision) if point is not None else None,
    )


def _with_parent(
    session: Session, report: ServiceRequest, parent: ServiceRequest | None, *, is_reporter: bool
) -> list[Happened]:
    """The story of a report and, from the moment it was joined, that of the one it repeats.

    Whom else that one was joined to or parted from, and that its reporter left, would read here as
    if it had happened to this report.
    """
    story = _story(session, report.id, is_reporter=is_reporter)
    if parent is None:
        return story
    joined_at = max((step.at for step in story if step.key == "joined"), default=None)
    # The leader may have been joined since to another one, and have taken it along.
    story = [
        replace(step, number=parent.number)
        if step.key == "joined" and step.at == joined_at
        else step
        for step in story
    ]
    later = _story(session, parent.id, is_reporter=False)
    story += [
        step
        for step in later
        if step.key not in _PARENTS_OWN and (joined_at is None or step.at > joined_at)
    ]
    return sorted(story, key=lambda step: step.at)


def _story(session: Session, report_id: UUID, *, is_reporter: bool) -> list[Happened]:
    entries = session.scalars(
        sa.select(HistoryEntry)
        .where(HistoryEntry.report_id == report_id)
        .order_by(HistoryEntry.at, HistoryEntry.id)
    ).all()
    shown = _REPORTERS_NOTES if is_reporter else _PUBLIC_NOTES
    notes = session.scalars(
        sa.select(Note)
        .where(
            Note.report_id == report_id,
            Note.kind.in_([kind.value for kind in shown]),
        )
        .order_by(Note.created_at, Note.id)
    ).all()
    words: dict[int, list[str]] = {}
    alone: list[Note] = []
    for note in notes:
        if note.history_id is None:
            alone.append(note)
        else:
            words.setdefault(note.history_id, []).append(note.body)
    numbers = _numbers_of_leaders(session, entries)
    story = [
        Happened(
            entry.at,
            key,
            "\n".join(words.get(entry.id, [])) or None,
            entry.actor_kind in (ActorKind.STAFF, ActorKind.MACHINE, ActorKind.SYSTEM),
            numbers.get(entry.id),
        )
        for entry in entries
        if (key := _key(entry, has_words=entry.id in words, is_reporter=is_reporter))
    ]
    story += [
        Happened(note.created_at, _NOTE_KEYS[NoteKind(note.kind)], note.body) for note in alone
    ]
    return sorted(story, key=lambda step: step.at)


def _numbers_of_leaders(session: Session, entries: Sequence[HistoryEntry]) -> dict[int, int]:
    """By entry of joining, the number of the report that this one was joined to then."""
    joined = {
        entry.id: UUID(entry.data["parent_id"])
        for entry in entries
        if entry.kind == HistoryKind.JOINED and entry.to_status == Status.DUPLICATE
    }
    if not joined:
        return {}
    rows = session.execute(
        sa.select(ServiceRequest.id, ServiceRequest.number).where(
            ServiceRequest.id.in_(sorted(set(joined.values())))
        )
    )
    numbers = {row.id: row.number for row in rows}
    return {entry_id: numbers[id_] for entry_id, id_ in joined.items() if id_ in numbers}


_PARENTS_OWN = frozenset({"joined", "unjoined", "withdrawn"})

_NOTE_KEYS = {
    NoteKind.PUBLIC: "commented",
    NoteKind.QUESTION: "asked",
    NoteKind.ANSWER: "answered",
    NoteKind.ADDITION: "added",
}


def _key(entry: HistoryEntry, *, has_words: bool, is_reporter: bool) -> str | None:
    """Which words of the catalogue tell an entry; None for one that is not told."""
    kind = HistoryKind(entry.kind)
    if kind is HistoryKind.WITHDRAWN:
        return "withdrawn"
    if kind is HistoryKind.JOINED:
        # Its own followers moved along with it: nothing happened to this report itself.
        return "joined" if entry.to_status == Status.DUPLICATE else None
    if entry.to_status is not None and kind is not HistoryKind.UNJOINED:
        return _status_key(entry)
    if kind in (_REPORTERS_KINDS if is_reporter else _PUBLIC_KINDS):
        return kind.value
    return "commented" if has_words else None


def _status_key(entry: HistoryEntry) -> str | None:
    status = Status(entry.to_status or "")
    by_reporter = entry.actor_kind == ActorKind.REPORTER
    data: Mapping[str, Any] = entry.data
    if status is Status.ON_HOLD and data.get("reason") == HELD_FOR_ANSWER:
        return None  # the question itself follows in the story
    if entry.from_status == Status.ON_HOLD and entry.actor_kind == ActorKind.SYSTEM:
        return None  # the answer that ended the hold stands there; the work was begun before
    if entry.from_status == Status.ON_HOLD and status is Status.IN_PROGRESS:
        return "resumed"
    if "takes_back" in data:
        return "not_reopened"
    if status is Status.CLOSED and by_reporter:
        return "withdrawn"
    if status is Status.REOPENED and by_reporter:
        return "not_fixed"
    return f"status_{status.value}"
