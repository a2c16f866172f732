"""Reading reports: one with what belongs to it, its history, its words, the queues of the teams.

Lists are in `reports.listing`. Each reading costs a constant number of statements; services,
cities and areas are in memory. Nothing here decides what of a report a reader sees:
`reports.showing` does.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from accounts.actors import Scope
from accounts.models import Person, Team
from core.pagination import BadCursorError, Page, pack, unpack
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point
from reports.catalogue import ServiceEntry, catalogue_of
from reports.duplicates import evidence
from reports.duplicates.suggestions import NOT_REFUSED
from reports.media import photos_of
from reports.models import Follower, HistoryEntry, Note, Photo, ServiceRequest
from reports.rules import public_point
from reports.vocabulary import (
    OPEN_STATUSES,
    HistoryKind,
    NoteKind,
    Status,
    Visibility,
)

_R = ServiceRequest

#: Written out, not bound, so that every plan can use the indexes of open reports.
IS_OPEN: sa.ColumnElement[bool] = sa.literal_column(
    "service_requests.status IN (" + ", ".join(f"'{status}'" for status in OPEN_STATUSES) + ")",
    sa.Boolean(),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A report as it was read, with what belongs to it. `row` has the columns of `_COLUMNS`.

    Attributes:
        led_by: the service of the report where the work is done: its parent, or itself.
        duplicates, followers, people: its evidence, see `reports.duplicates.evidence`.
    """

    row: Any
    place: JurisdictionRef
    service: ServiceEntry
    led_by: ServiceEntry
    duplicates: int
    followers: int
    people: int
    photos: Sequence[Photo]
    distance_m: float | None = None

    @property
    def point(self) -> Point | None:
        """Where it is."""
        return None if self.row.lat is None else Point(self.row.lat, self.row.lon)

    @property
    def public_point(self) -> Point | None:
        """Where the public sees it."""
        return self.point and public_point(self.point, self.service.public_precision)


_parent = aliased(ServiceRequest)


_COLUMNS = (
    *(
        column
        for column in _R.__table__.columns
        if column.name not in ("search", "content_hash", "caller_hash")
    ),
    Team.code.label("team_code"),
    Team.names.label("team_names"),
    Team.agency.label("team_agency"),
    Person.name.label("assignee_name"),
    _parent.number.label("parent_number"),
    _parent.status.label("parent_status"),
    _parent.visibility.label("parent_visibility"),
    _parent.resolved_at.label("parent_resolved_at"),
    _parent.service_id.label("parent_service_id"),
    sa.select(Follower.name)
    .where(Follower.report_id == _R.id, Follower.is_reporter)
    .limit(1)
    .scalar_subquery()
    .label("reporter_name"),
)


def one(session: Session, report_id: UUID, *, only_public_photos: bool) -> Found | None:
    """One report, whoever asks; the caller decides what they may see of it."""
    row = session.execute(selected().where(_R.id == report_id)).one_or_none()
    if row is None:
        return None
    return complete(session, [row], is_public=only_public_photos)[0]


def several(session: Session, ids: Sequence[UUID], *, is_public: bool = True) -> dict[UUID, Found]:
    """Those of these reports that the public may see, or all, with all photos, for staff."""
    query = selected().where(_R.id.in_(list(ids)))
    if is_public:
        query = query.where(_R.visibility == Visibility.PUBLIC.value)
    rows = session.execute(query).all()
    return {found.row.id: found for found in complete(session, rows, is_public=is_public)}


def belonging(session: Session, report_id: UUID) -> Any | None:
    """Whose a report is and who may see it: jurisdiction_id, team_id, visibility, parent_id."""
    return session.execute(
        sa.select(_R.jurisdiction_id, _R.team_id, _R.visibility, _R.parent_id).where(
            _R.id == report_id
        )
    ).one_or_none()


def find_id(session: Session, jurisdiction_id: int, named: str) -> UUID | None:
    """The id of the report that somebody calls by its id or, within a city, by its number."""
    named = named.strip().removeprefix("#")
    if named.isascii() and named.isdigit():
        if len(named) > 18:
            return None
        return session.scalar(
            sa.select(_R.id).where(_R.jurisdiction_id == jurisdiction_id, _R.number == int(named))
        )
    try:
        return UUID(named)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Contact:
    """How a reporter can be reached; for those who may read contact data."""

    name: str | None
    email: str | None
    phone: str | None
    locale: str
    is_told: bool


def reporter_of(session: Session, report_id: UUID) -> Contact | None:
    """Who told of it, if they said."""
    row = session.execute(
        sa.select(
            Follower.name,
            sa.func.coalesce(Follower.email, Person.email).label("email"),
            sa.func.coalesce(Follower.phone, Person.phone).label("phone"),
            Follower.locale,
            Follower.left_at,
        )
        .outerjoin(Person, Person.id == Follower.person_id)
        .where(Follower.report_id == report_id, Follower.is_reporter)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Contact(row.name, row.email, row.phone, row.locale, row.left_at is None)


def notes_of(session: Session, report_id: UUID, kinds: Sequence[NoteKind]) -> list[Any]:
    """The words of these kinds about a report, oldest first: id, kind, body, created_at."""
    return list(
        session.execute(
            sa.select(Note.id, Note.kind, Note.body, Note.created_at)
            .where(Note.report_id == report_id, Note.kind.in_([kind.value for kind in kinds]))
            .order_by(Note.created_at, Note.id)
        )
    )


def photo_states(session: Session, report_id: UUID) -> list[Any]:
    """Every photo of a report and where it stands: id, state, dropped_because, created_at."""
    return list(
        session.execute(
            sa.select(Photo.id, Photo.state, Photo.dropped_because, Photo.created_at)
            .where(Photo.report_id == report_id)
            .order_by(Photo.created_at, Photo.id)
        )
    )


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A report that another one may repeat, as it stands: of a duplicate, its parent."""

    id: UUID
    number: int
    status: str
    requested_at: datetime
    people: int
    score: float | None
    reasons: Sequence[Mapping[str, Any]]


def suggestions_of(session: Session, rows: Sequence[Any]) -> dict[UUID, list[Suggestion]]:
    """What these reports may repeat, likeliest first, by report; two statements.

    Nothing of reports that nobody is asked about. What was refused or is over is left out, unless
    it is what is suggested now: a problem may have come back.
    """
    asked = {row.id: row.duplicate or {} for row in rows if row.suggested_id is not None}
    if not asked:
        return {}
    found = session.execute(_SUGGESTED, {"ids": sorted(asked)}).all()
    counts = evidence.told(session, {row.id for row in found})
    suggested: dict[UUID, list[Suggestion]] = {id_: [] for id_ in asked}
    for row in found:
        seen = {item["id"]: item for item in asked[row.report_id].get("candidates", ())}
        item = seen.get(str(row.seen_id), {})
        if any(known.id == row.id for known in suggested[row.report_id]):
            continue
        suggested[row.report_id].append(
            Suggestion(
                id=row.id,
                number=row.number,
                status=row.status,
                requested_at=row.requested_at,
                people=counts[row.id].people,
                score=item.get("score"),
                reasons=item.get("reasons", ()),
            )
        )
    return suggested


_SUGGESTED = sa.text(
    f"""
    SELECT r.id AS report_id, seen.id AS seen_id, leader.id, leader.number, leader.status,
           leader.requested_at
      FROM service_requests AS r
     CROSS JOIN LATERAL (
           SELECT r.suggested_id AS id, 0 AS place
           UNION ALL
           SELECT (item.value ->> 'id')::uuid, item.place
             FROM jsonb_array_elements(r.duplicate -> 'candidates')
                  WITH ORDINALITY AS item(value, place)
     ) AS seen
      JOIN service_requests AS meant ON meant.id = seen.id
      JOIN service_requests AS leader ON leader.id = coalesce(meant.parent_id, meant.id)
     WHERE r.id = ANY (:ids ::uuid[]) AND leader.id <> r.id
       AND leader.visibility <> '{Visibility.HIDDEN}'
       AND (seen.place = 0 OR leader.status IN ({", ".join(f"'{s}'" for s in OPEN_STATUSES)}))
       AND {NOT_REFUSED}
     ORDER BY r.id, seen.place
    """
)


class Reader(enum.Enum):
    """For whom a history is read."""

    PUBLIC = "public"
    REPORTER = "reporter"
    STAFF = "staff"


#: What the public learns of: what became of a report, not who looked at what.
PUBLIC_KINDS = (
    HistoryKind.STATUS,
    HistoryKind.JOINED,
    HistoryKind.UNJOINED,
    HistoryKind.COMMENTED,
    HistoryKind.ASSIGNED,
    HistoryKind.ROUTED,
)


_WORDS_FOR: Mapping[Reader, tuple[NoteKind, ...]] = {
    Reader.PUBLIC: (NoteKind.PUBLIC,),
    Reader.REPORTER: (
        NoteKind.PUBLIC,
        NoteKind.QUESTION,
        NoteKind.ANSWER,
        NoteKind.ADDITION,
    ),
    Reader.STAFF: tuple(NoteKind),
}


_KINDS_FOR: Mapping[Reader, tuple[HistoryKind, ...]] = {
    Reader.PUBLIC: PUBLIC_KINDS,
    Reader.REPORTER: (
        *PUBLIC_KINDS,
        HistoryKind.ASKED,
        HistoryKind.ANSWERED,
        HistoryKind.ADDED,
        HistoryKind.PHOTO_ADDED,
        HistoryKind.PHOTO_DROPPED,
        HistoryKind.WITHDRAWN,
    ),
    Reader.STAFF: tuple(HistoryKind),
}


#: Steps that say something only by the status they lead to, or by words beside them.
_SILENT_ALONE = frozenset({HistoryKind.COMMENTED, HistoryKind.ASSIGNED, HistoryKind.ROUTED})


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a history with the words that belong to it."""

    row: Any
    notes: Sequence[Any]


def history(
    session: Session,
    report_id: UUID,
    reader: Reader,
    *,
    cursor: str | None = None,
    limit: int,
) -> Page[Step]:
    """What happened to a report, oldest first, as far as this reader is told; two statements."""
    query = (
        sa.select(
            HistoryEntry.id,
            HistoryEntry.at,
            HistoryEntry.kind,
            HistoryEntry.from_status,
            HistoryEntry.to_status,
            HistoryEntry.actor_kind,
            HistoryEntry.actor_id,
            HistoryEntry.data,
            Person.name.label("actor_name"),
        )
        .outerjoin(Person, Person.id == HistoryEntry.actor_id)
        .where(
            HistoryEntry.report_id == report_id,
            HistoryEntry.kind.in_([kind.value for kind in _KINDS_FOR[reader]]),
        )
        .order_by(HistoryEntry.id)
        .limit(limit + 1)
    )
    if cursor is not None:
        [last] = unpack(cursor, 1)
        if not isinstance(last, int) or not 0 <= last < 1 << 63:
            raise BadCursorError(field="cursor")
        query = query.where(HistoryEntry.id > last)
    rows = session.execute(query).all()
    following = pack(rows[limit - 1].id) if len(rows) > limit else None
    rows = rows[:limit]
    notes: dict[int, list[Any]] = {}
    for note in session.execute(
        sa.select(Note.id, Note.history_id, Note.kind, Note.body, Note.created_at)
        .where(
            Note.history_id.in_([row.id for row in rows]),
            Note.report_id == report_id,
            Note.kind.in_([kind.value for kind in _WORDS_FOR[reader]]),
        )
        .order_by(Note.created_at, Note.id)
    ):
        notes.setdefault(note.history_id, []).append(note)
    steps = [Step(row, notes.get(row.id, [])) for row in rows]
    if reader is not Reader.STAFF:
        steps = [
            step
            for step in steps
            if step.notes or step.row.to_status or step.row.kind not in _SILENT_ALONE
        ]
    return Page(steps, following)


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for a team. `team` has code, names and jurisdiction_id; None: a special queue."""

    name: str
    jurisdiction_id: int
    team: Any | None
    open: int
    overdue: int
    unassigned: int
    on_hold: int
    oldest_due_at: datetime | None


#: Queues that belong to no team: nobody knows where, nobody knows whose.
NEEDS_PLACE, UNROUTED = "needs-place", "unrouted"

#: Held back until somebody has read it, whichever team it is with.
REVIEW = "review"


def queues(session: Session, scope: Scope, *, now: datetime) -> list[Queue]:
    """What is waiting in every queue of the scope: two statements."""
    overdue = _R.due_at < sa.func.coalesce(_R.held_since, now)
    counts = (
        sa.func.count(_R.id).label("open"),
        sa.func.count(_R.id).filter(overdue).label("overdue"),
        sa.func.count(_R.id).filter(_R.assignee_id.is_(None)).label("unassigned"),
        sa.func.count(_R.id).filter(_R.status == Status.ON_HOLD.value).label("on_hold"),
        sa.func.min(_R.due_at).label("oldest_due_at"),
    )
    teams = session.execute(
        sa.select(Team.id, Team.jurisdiction_id, Team.code, Team.names, *counts)
        .outerjoin(_R, sa.and_(_R.team_id == Team.id, IS_OPEN))
        .where(
            sa.or_(Team.jurisdiction_id.in_(scope.jurisdiction_ids), Team.id.in_(scope.team_ids))
        )
        .group_by(Team.id)
        .having(sa.or_(Team.is_active, sa.func.count(_R.id) > 0))
        .order_by(Team.jurisdiction_id, Team.code)
    )
    found = [
        Queue(
            row.code,
            row.jurisdiction_id,
            row,
            row.open,
            row.overdue,
            row.unassigned,
            row.on_hold,
            row.oldest_due_at,
        )
        for row in teams
    ]
    if not scope.jurisdiction_ids:
        return found
    special = {
        (row.jurisdiction_id, row.name): row
        for row in session.execute(
            sa.union_all(
                *(
                    sa.select(_R.jurisdiction_id, sa.literal(name).label("name"), *counts)
                    .where(
                        _R.jurisdiction_id.in_(scope.jurisdiction_ids),
                        IS_OPEN,
                        condition,
                    )
                    .group_by(_R.jurisdiction_id)
                    for name, condition in (
                        (NEEDS_PLACE, _R.cell.is_(None)),
                        (UNROUTED, _R.team_id.is_(None)),
                        (REVIEW, _R.visibility == Visibility.HELD.value),
                    )
                )
            )
        )
    }
    for jurisdiction_id in sorted(scope.jurisdiction_ids):
        for name in (NEEDS_PLACE, UNROUTED, REVIEW):
            row = special.get((jurisdiction_id, name))
            found.append(
                Queue(
                    name,
                    jurisdiction_id,
                    None,
                    row.open if row else 0,
                    row.overdue if row else 0,
                    row.unassigned if row else 0,
                    row.on_hold if row else 0,
                    row.oldest_due_at if row else None,
                )
            )
    return found


def teams_called(
    session: Session, codes: Sequence[str], jurisdiction_ids: Sequence[int]
) -> list[Any]:
    """The teams of those codes, of these cities or of all: id, jurisdiction_id, code, names."""
    query = sa.select(Team.id, Team.jurisdiction_id, Team.code, Team.names).where(
        Team.code.in_(codes)
    )
    if jurisdiction_ids:
        query = query.where(Team.jurisdiction_id.in_(jurisdiction_ids))
    return list(session.execute(query.order_by(Team.id)))


def selected() -> sa.Select[Any]:
    """Every column of `Found.row`, to be narrowed and ordered."""
    return (
        sa.select(*_COLUMNS)
        .select_from(_R)
        .outerjoin(Team, Team.id == _R.team_id)
        .outerjoin(Person, Person.id == _R.assignee_id)
        .outerjoin(_parent, _parent.id == _R.parent_id)
    )


def complete(session: Session, rows: Sequence[Any], *, is_public: bool) -> list[Found]:
    """Rows with what belongs to them: two statements for any number of rows."""
    if not rows:
        return []
    ids = [row.id for row in rows]
    counts = evidence.told(session, ids)
    photos = photos_of(session, ids, only_public=is_public)
    return [
        Found(
            row=row,
            place=(catalogue := catalogue_of(session, row.jurisdiction_id)).place,
            service=catalogue.by_id[row.service_id],
            led_by=catalogue.by_id[row.parent_service_id or row.service_id],
            duplicates=counts[row.id].duplicates,
            followers=counts[row.id].followers,
            people=counts[row.id].people,
            photos=photos.get(row.id, ()),
        )
        for row in rows
    ]
