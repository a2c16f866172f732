"""Whom an event concerns: those who follow a report or a duplicate of it, and their browsers.

Reads for many events at once; the number of statements does not grow with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts.models import Person
from core.outbox import Event
from notifications.models import Delivery, PushSubscription
from notifications.rules import ONCE_PER_REPORT, OVER, OWN_REPORT_ONLY
from notifications.vocabulary import DeliveryState, Occasion, Role
from reports.models import Follower, HistoryEntry, Note, ServiceRequest
from reports.vocabulary import ActorKind, NoteKind


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who follows a report, as far as choosing channels needs it.

    Attributes:
        has_left: a reporter who wanted no more messages and asks for them again.
    """

    id: UUID
    report_id: UUID
    lead_id: UUID
    is_reporter: bool
    is_confirmed: bool
    person_id: UUID | None
    email: str | None
    phone: str | None
    locale: str
    has_left: bool = False

    @property
    def role(self) -> Role:
        """What they are to the report."""
        return Role.REPORTER if self.is_reporter else Role.FOLLOWER


@dataclass(frozen=True, slots=True)
class Origin:
    """Who caused an event, and whether there are words in it that the public may read."""

    actor_kind: str | None = None
    actor_id: UUID | None = None
    has_public_words: bool = False
    #: Whose reporter acted, where a report did it to the one that it repeats.
    report_id: UUID | None = None


def concerns(event: Event, occasion: Occasion, one: Recipient, origin: Origin) -> bool:
    """Whether somebody who follows hears of this event."""
    if occasion is Occasion.CONFIRM:
        is_told = not one.has_left if one.is_reporter else one.is_confirmed
        return str(one.id) == str(event.data.get("follower_id")) and not is_told
    if one.has_left or not (one.is_confirmed or one.is_reporter):
        return False
    if one.report_id != event.subject_id and occasion in OWN_REPORT_ONLY:
        return False
    if occasion is Occasion.NOT_OVER and one.is_reporter and one.report_id == event.subject_id:
        # Hears that it is followed on its own again.
        return False
    # Nobody is told of what they have just done themselves; that a report arrived is the answer
    # to it, and comes without an origin.
    if origin.actor_id is not None and origin.actor_id == one.person_id:
        return False
    # Who told of it again hears that their report was joined; that it opened the other is the same
    # news.
    by_report = origin.report_id is not None or origin.actor_kind == ActorKind.REPORTER
    return not (
        by_report and one.is_reporter and one.report_id == (origin.report_id or event.subject_id)
    )


def only_first(
    session: Session, told: list[tuple[Event, Occasion]]
) -> list[tuple[Event, Occasion]]:
    """Without what is told once in the life of a report and has been told."""
    once = {event.subject_id for event, occasion in told if occasion in ONCE_PER_REPORT}
    if not once:
        return told
    before = {
        (row.report_id, row.event): row.event_id
        for row in session.execute(
            sa.select(
                Delivery.report_id, Delivery.event, sa.func.min(Delivery.event_id).label("event_id")
            )
            .where(
                Delivery.report_id.in_(once),
                Delivery.event.in_([occasion.value for occasion in ONCE_PER_REPORT]),
            )
            .group_by(Delivery.report_id, Delivery.event)
        )
    }
    kept = []
    for event, occasion in sorted(told, key=lambda pair: pair[0].id):
        if occasion in ONCE_PER_REPORT:
            # The same event announced again is let through: the database knows who was told.
            first = before.setdefault((event.subject_id, occasion.value), event.id)
            if first != event.id:
                continue
        kept.append((event, occasion))
    return kept


#: Deliveries of which the recipient knows, or does in a moment.
_HEARD = (DeliveryState.SENDING.value, DeliveryState.SENT.value)

#: Who was told something: kind of recipient, recipient, channel.
Told = set[tuple[str, str, str]]


def told_the_contrary(
    session: Session, told: Sequence[tuple[Event, Occasion]]
) -> dict[tuple[int, Occasion], Told]:
    """Of what only those hear who were told the contrary: who they are, by event and occasion.

    What was not sent yet is not sent any more: see `notifications.rendering`.
    """
    return _told_of_reopening(session, told) | _told_it_was_over(session, told)


def _told_of_reopening(
    session: Session, told: Sequence[tuple[Event, Occasion]]
) -> dict[tuple[int, Occasion], Told]:
    """Who had heard of the reopenings that these events take back."""
    taken_back = {
        event.data["takes_back"]: (event.id, occasion)
        for event, occasion in told
        if occasion is Occasion.NOT_REOPENED
    }
    if not taken_back:
        return {}
    entry = Delivery.data["history_id"].as_integer()
    rows = session.execute(
        sa.select(
            entry.label("entry"), Delivery.recipient_kind, Delivery.recipient_id, Delivery.channel
        ).where(
            Delivery.report_id.in_({event.subject_id for event, _ in told}),
            Delivery.event == Occasion.REOPENED.value,
            Delivery.state.in_(_HEARD),
        )
    )
    found: dict[tuple[int, Occasion], Told] = {key: set() for key in taken_back.values()}
    for row in rows:
        if row.entry in taken_back:
            found[taken_back[row.entry]].add((row.recipient_kind, row.recipient_id, row.channel))
    return found


def _told_it_was_over(
    session: Session, told: Sequence[tuple[Event, Occasion]]
) -> dict[tuple[int, Occasion], Told]:
    """Whose last news of the report that these were separated from was that it is over."""
    leaders = {
        (event.id, occasion): _uuid(event.data.get("parent_id"))
        for event, occasion in told
        if occasion is Occasion.NOT_OVER
    }
    if not leaders:
        return {}
    recipient = (Delivery.recipient_kind, Delivery.recipient_id, Delivery.channel)
    rows = session.execute(
        sa.select(Delivery.report_id, Delivery.event, *recipient)
        .where(
            Delivery.report_id.in_(set(leaders.values())),
            Delivery.event.in_([each.value for each in (*OVER, Occasion.REOPENED)]),
            Delivery.state.in_(_HEARD),
        )
        .ext(postgresql.distinct_on(Delivery.report_id, *recipient))
        .order_by(Delivery.report_id, *recipient, Delivery.event_id.desc())
    ).all()
    return {
        key: {
            (row.recipient_kind, row.recipient_id, row.channel)
            for row in rows
            if row.report_id == leader_id and row.event in OVER
        }
        for key, leader_id in leaders.items()
    }


def origins_of(session: Session, events: Sequence[Event]) -> dict[int, Origin]:
    """For each event whose data names a history entry or a note: its actor, and public words."""
    history_ids = {_number(event.data.get("history_id")) for event in events} - {None}
    note_ids = {_uuid(event.data.get("note_id")) for event in events} - {None}
    if not history_ids and not note_ids:
        return {}
    entries = {
        row.id: row
        for row in session.execute(
            sa.select(
                HistoryEntry.id,
                HistoryEntry.actor_kind,
                HistoryEntry.actor_id,
                HistoryEntry.data["duplicate_id"].as_string().label("duplicate_id"),
            ).where(HistoryEntry.id.in_(history_ids))
        )
    }
    notes = session.execute(
        sa.select(Note.id, Note.history_id, Note.kind, Note.author_kind, Note.author_id).where(
            sa.or_(Note.id.in_(note_ids), Note.history_id.in_(history_ids)),
            Note.redacted_at.is_(None),
        )
    ).all()
    by_note = {row.id: row for row in notes}
    public = {row.history_id for row in notes if row.kind == NoteKind.PUBLIC}
    found: dict[int, Origin] = {}
    for event in events:
        history_id = _number(event.data.get("history_id"))
        note = by_note.get(_uuid(event.data.get("note_id")))
        entry = entries.get(history_id)
        if entry is not None:
            kind, actor = entry.actor_kind, entry.actor_id
        elif note is not None:
            kind, actor = note.author_kind, note.author_id
        else:
            continue
        # Where an event names its words, those of its neighbours are another event's.
        if "note_id" in event.data:
            words = note is not None and note.kind == NoteKind.PUBLIC
        else:
            words = history_id is not None and history_id in public
        found[event.id] = Origin(kind, actor, words, _uuid(entry and entry.duplicate_id))
    return found


def recipients_of(
    session: Session, told: Sequence[tuple[Event, Occasion]]
) -> dict[UUID, list[Recipient]]:
    """By report: who follows it, or a report that was joined to it."""
    own = {event.subject_id for event, _ in told if event.subject_id}
    asking = {
        follower_id
        for event, occasion in told
        if occasion is Occasion.CONFIRM and (follower_id := _uuid(event.data.get("follower_id")))
    }
    leading = {e.subject_id for e, occasion in told if occasion not in OWN_REPORT_ONLY}
    members = sa.select(
        sa.func.unnest(sa.bindparam("own", list(own), postgresql.ARRAY(sa.Uuid()))).label("id")
    ).cte("own")
    group = sa.select(members.c.id, members.c.id.label("lead_id"))
    if leading:
        group_of = sa.select(ServiceRequest.id, ServiceRequest.parent_id).where(
            ServiceRequest.parent_id
            == sa.func.any(sa.bindparam("leading", list(leading), postgresql.ARRAY(sa.Uuid())))
        )
        concerned = group.union_all(group_of).subquery("concerned")
    else:
        concerned = group.subquery("concerned")
    rows = session.execute(
        sa.select(
            Follower.id,
            Follower.report_id,
            concerned.c.lead_id,
            Follower.is_reporter,
            Follower.confirmed_at.is_not(None).label("is_confirmed"),
            Follower.person_id,
            sa.func.coalesce(Follower.email, Person.email).label("email"),
            sa.func.coalesce(Follower.phone, Person.phone).label("phone"),
            Follower.locale,
            Follower.left_at.is_not(None).label("has_left"),
        )
        .join(concerned, concerned.c.id == Follower.report_id)
        .outerjoin(Person, Person.id == Follower.person_id)
        .where(
            sa.or_(
                Follower.left_at.is_(None),
                sa.and_(Follower.is_reporter, Follower.id.in_(asking)),
            )
        )
    )
    found: dict[UUID, list[Recipient]] = defaultdict(list)
    for row in rows:
        found[row.lead_id].append(Recipient(*row))
    return found


def browsers_of(session: Session, recipients: Sequence[Recipient]) -> dict[UUID, list[UUID]]:
    """By follower: the browsers that asked for this report or for all reports of the person."""
    by_person: dict[UUID, list[UUID]] = defaultdict(list)
    for one in recipients:
        if one.person_id is not None:
            by_person[one.person_id].append(one.id)
    rows = session.execute(
        sa.select(
            PushSubscription.id, PushSubscription.follower_id, PushSubscription.person_id
        ).where(
            PushSubscription.gone_at.is_(None),
            sa.or_(
                PushSubscription.follower_id.in_({one.id for one in recipients}),
                PushSubscription.person_id.in_(by_person),
            ),
        )
    )
    found: dict[UUID, list[UUID]] = defaultdict(list)
    for row in rows:
        if row.follower_id is not None:
            found[row.follower_id].append(row.id)
        for follower_id in by_person.get(row.person_id, ()):
            found[follower_id].append(row.id)
    return found


def _uuid(value: object) -> UUID | None:
    return UUID(value) if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
