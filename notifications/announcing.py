"""Who hears of what happened: turns events into deliveries, many at once.

1. Each event becomes an occasion, or nothing (`rules.occasion_of`).
2. Everybody who follows a report, or a duplicate of it, is found with one statement; so are the
   browsers and the endpoints that asked. The number of statements does not grow with the events.
3. Nobody hears twice of one event over one channel: not by two rows with one address, which is
   sorted out here, nor by an announcement that runs again, which the database refuses.
4. What may go out now is put into the outbox; what must wait for the morning is found by the beat.

It writes no words and no addresses: those are read when the message is sent.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from accounts.models import Invitation, Person, SignInChallenge
from core.i18n import language_of
from core.ids import new_id
from core.outbox import Event, Happening, emit_many
from geo import jurisdictions
from notifications import events as own_events
from notifications.models import Delivery, PushSubscription, WebhookEndpoint
from notifications.rules import (
    ONCE_PER_REPORT,
    OWN_REPORT_ONLY,
    is_pushed,
    occasion_of,
    quiet_of,
    send_from,
    ways,
)
from notifications.vocabulary import Channel, Occasion, RecipientKind, Role
from reports import events as report_events
from reports.models import Follower, HistoryEntry, Note, ServiceRequest
from reports.vocabulary import ActorKind, NoteKind

#: Events that people or other systems may be told of; `announce` is the reaction to each.
HEARD = (
    report_events.SUBMITTED,
    report_events.TRIAGED,
    report_events.JOINED,
    report_events.UNJOINED,
    report_events.ASSIGNED,
    report_events.STATUS_CHANGED,
    report_events.REROUTED,
    report_events.QUESTION_ASKED,
    report_events.ANSWERED,
    report_events.ADDED_TO,
    report_events.COMMENTED,
    report_events.FOLLOWED,
    report_events.PHOTO_DROPPED,
    own_events.WEBHOOK_PINGED,
)

#: Besides, what accounts tell one person and no other system.
PRIVATE = frozenset(
    {"sign_in.asked", "contact.asked", "invitation.sent", "report.followed", "webhook.pinged"}
)

#: Told to those who have no report to hear of.
_NOT_OF_REPORTS = (Occasion.SIGN_IN, Occasion.CONTACT_PROOF, Occasion.INVITATION)

#: Deliveries that one `delivery.queued` event carries at most.
BATCH = 100

#: Nobody's jurisdiction: a sign-in that no city was named for.
NO_JURISDICTION = 0


@dataclass(frozen=True, slots=True)
class _Recipient:
    """Somebody who follows a report, as far as choosing channels needs it."""

    id: UUID
    report_id: UUID
    lead_id: UUID
    is_reporter: bool
    is_confirmed: bool
    person_id: UUID | None
    email: str | None
    phone: str | None
    locale: str

    @property
    def role(self) -> Role:
        return Role.REPORTER if self.is_reporter else Role.FOLLOWER


@dataclass(frozen=True, slots=True)
class _Origin:
    """Who caused an event, and whether there are words in it that the public may read."""

    actor_kind: str | None = None
    actor_id: UUID | None = None
    has_public_words: bool = False


def announce(
    session: Session,
    events: Sequence[Event],
    *,
    now: datetime,
    channels: Collection[Channel] = frozenset(Channel),
) -> list[UUID]:
    """Queue a delivery for everybody whom these events concern; the ids of the new ones.

    In the caller's transaction. Announcing the same events again adds nothing. An event whose
    data says `quiet` (an import of past cases) is told to nobody.

    Args:
        channels: those that are set up; nothing is queued for another.
    """
    heard = [event for event in events if not event.data.get("quiet")]
    rows = [
        *_to_people(session, heard, now, channels),
        *_to_challenged(session, heard, now, channels),
        *_to_invited(session, heard, now, channels),
        *_to_endpoints(session, heard, now, channels),
    ]
    return queue(session, rows, now=now)


def queue(session: Session, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> list[UUID]:
    """Insert deliveries that are not there yet and emit those that may go now; the ids of all."""
    if not rows:
        return []
    inserted = session.execute(
        _QUEUE, {"rows": json.dumps(list(rows), default=str, ensure_ascii=False)}
    ).all()
    due = sorted(row.id for row in inserted if row.next_attempt_at <= now)
    emit_many(
        session,
        own_events.DELIVERY_QUEUED,
        [
            Happening(None, None, {"delivery_ids": [str(each) for each in due[at : at + BATCH]]})
            for at in range(0, len(due), BATCH)
        ],
    )
    return [row.id for row in inserted]


def delivery_row(
    event: Event,
    name: str,
    kind: RecipientKind,
    recipient_id: object,
    channel: Channel,
    locale: str,
    *,
    now: datetime,
    send_at: datetime,
) -> dict[str, Any]:
    """The values of a delivery that nobody has tried yet."""
    return {
        "id": new_id(),
        "event_id": event.id,
        "event": name,
        "jurisdiction_id": event.jurisdiction_id or NO_JURISDICTION,
        "report_id": event.subject_id if event.name.startswith(("report.", "photo.")) else None,
        "recipient_kind": kind.value,
        "recipient_id": str(recipient_id),
        "channel": channel.value,
        "locale": locale,
        "data": dict(event.data),
        "created_at": now,
        "next_attempt_at": send_at,
    }


def _to_people(
    session: Session, events: Sequence[Event], now: datetime, channels: Collection[Channel]
) -> Iterator[dict[str, Any]]:
    """What those who follow the reports hear."""
    told: list[tuple[Event, Occasion]] = []
    for event in events:
        occasion = occasion_of(event.name, event.data)
        if occasion is not None and occasion not in _NOT_OF_REPORTS and event.subject_id:
            told.append((event, occasion))
    told = _only_first(session, told)
    origins = _origins(session, [event for event, _ in told])
    told = [
        (event, occasion)
        for event, occasion in told
        if occasion is not Occasion.NOTE or origins.get(event.id, _Origin()).has_public_words
    ]
    if not told:
        return
    recipients = _recipients(session, told)
    browsers = (
        _browsers(session, [one for some in recipients.values() for one in some])
        if Channel.PUSH in channels and any(is_pushed(o, Role.REPORTER) for _, o in told)
        else {}
    )
    for event, occasion in told:
        assert event.subject_id is not None
        origin = origins.get(event.id, _Origin())
        taken: set[object] = set()
        concerned = [
            one
            for one in recipients.get(event.subject_id, ())
            if _concerns(event, occasion, one, origin)
        ]
        # The reporter of this very report first, then other reporters: when two rows are one
        # person, the message they get is the one that says most.
        concerned.sort(key=lambda r: (not r.is_reporter, r.report_id != event.subject_id, r.id))
        for one in concerned:
            offered = ways(occasion, one.role, has_email=bool(one.email), has_phone=bool(one.phone))
            for channel in offered:
                address = one.email if channel is Channel.EMAIL else one.phone
                if channel not in channels or address in taken:
                    continue
                taken.add(address)
                yield _row(
                    session, event, occasion, RecipientKind.FOLLOWER, one.id, channel, one, now
                )
            if not is_pushed(occasion, one.role):
                continue
            for browser_id in browsers.get(one.id, ()):
                if browser_id not in taken:
                    taken.add(browser_id)
                    yield _row(
                        session, event, occasion, RecipientKind.BROWSER, browser_id, Channel.PUSH,
                        one, now,
                    )  # fmt: skip


def _row(
    session: Session,
    event: Event,
    occasion: Occasion,
    kind: RecipientKind,
    recipient_id: UUID,
    channel: Channel,
    recipient: _Recipient,
    now: datetime,
) -> dict[str, Any]:
    send_at = now
    if event.jurisdiction_id is not None:
        place = jurisdictions.by_id(session, event.jurisdiction_id)
        quiet = quiet_of(channel, place.policy)
        send_at = send_from(occasion, now, event.created_at, place.time_zone, quiet)
    return delivery_row(
        event,
        occasion.value,
        kind,
        recipient_id,
        channel,
        language_of(recipient.locale),
        now=now,
        send_at=send_at,
    )


def _concerns(event: Event, occasion: Occasion, one: _Recipient, origin: _Origin) -> bool:
    if occasion is Occasion.CONFIRM:
        return str(one.id) == str(event.data.get("follower_id")) and not (
            one.is_confirmed or one.is_reporter
        )
    if not (one.is_confirmed or one.is_reporter):
        return False
    if one.report_id != event.subject_id and occasion in OWN_REPORT_ONLY:
        return False
    # Nobody is told of what they have just done themselves; that a report arrived is the answer
    # to it, and comes without an origin.
    if origin.actor_id is not None and origin.actor_id == one.person_id:
        return False
    return not (
        origin.actor_kind == ActorKind.REPORTER
        and one.is_reporter
        and one.report_id == event.subject_id
    )


def _only_first(
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


def _origins(session: Session, events: Sequence[Event]) -> dict[int, _Origin]:
    """For each event whose data names a history entry or a note: its actor, and public words."""
    history_ids = {_number(event.data.get("history_id")) for event in events} - {None}
    note_ids = {_uuid(event.data.get("note_id")) for event in events} - {None}
    if not history_ids and not note_ids:
        return {}
    entries = {
        row.id: row
        for row in session.execute(
            sa.select(HistoryEntry.id, HistoryEntry.actor_kind, HistoryEntry.actor_id).where(
                HistoryEntry.id.in_(history_ids)
            )
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
    found: dict[int, _Origin] = {}
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
        found[event.id] = _Origin(kind, actor, words)
    return found


def _recipients(
    session: Session, told: Sequence[tuple[Event, Occasion]]
) -> dict[UUID, list[_Recipient]]:
    """By report: who follows it, or a report that was joined to it."""
    own = {event.subject_id for event, _ in told if event.subject_id}
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
        )
        .join(concerned, concerned.c.id == Follower.report_id)
        .outerjoin(Person, Person.id == Follower.person_id)
        .where(Follower.left_at.is_(None))
    )
    found: dict[UUID, list[_Recipient]] = defaultdict(list)
    for row in rows:
        found[row.lead_id].append(_Recipient(*row))
    return found


def _browsers(session: Session, recipients: Sequence[_Recipient]) -> dict[UUID, list[UUID]]:
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


def _to_challenged(
    session: Session, events: Sequence[Event], now: datetime, channels: Collection[Channel]
) -> Iterator[dict[str, Any]]:
    """Those who prove a contact: by a code sent there, and word of it to where they were before."""
    proofs = (Occasion.SIGN_IN, Occasion.CONTACT_PROOF)
    asked = {
        event.subject_id: (event, occasion)
        for event in events
        if (occasion := occasion_of(event.name, event.data)) in proofs
    }
    if not asked:
        return
    for challenge in session.scalars(
        sa.select(SignInChallenge).where(SignInChallenge.id.in_(asked))
    ):
        event, occasion = asked[challenge.id]
        told: list[tuple[Occasion, RecipientKind, object, Channel]] = []
        channel = Channel.EMAIL if challenge.email is not None else Channel.SMS
        told.append((occasion, RecipientKind.CHALLENGE, challenge.id, channel))
        before = (
            (Channel.EMAIL, challenge.old_email),
            (Channel.SMS, challenge.old_phone),
        )
        told += [
            (Occasion.CONTACT_CHANGE, RecipientKind.PERSON, challenge.person_id, old)
            for old, address in before
            if address is not None
        ]
        for message, kind, recipient_id, way in told:
            if way in channels:
                yield delivery_row(
                    event,
                    message.value,
                    kind,
                    recipient_id,
                    way,
                    language_of(challenge.locale),
                    now=now,
                    send_at=now,
                )


def _to_invited(
    session: Session, events: Sequence[Event], now: datetime, channels: Collection[Channel]
) -> Iterator[dict[str, Any]]:
    """Those to whom a role is offered."""
    sent = [event for event in events if occasion_of(event.name, event.data) is Occasion.INVITATION]
    if not sent or Channel.EMAIL not in channels:
        return
    rows = session.execute(
        sa.select(Invitation.id, Invitation.locale).where(
            Invitation.id.in_([event.subject_id for event in sent])
        )
    )
    locales = {row.id: row.locale for row in rows}
    for event in sent:
        if event.subject_id in locales:
            yield delivery_row(
                event,
                Occasion.INVITATION.value,
                RecipientKind.INVITATION,
                event.subject_id,
                Channel.EMAIL,
                language_of(locales[event.subject_id]),
                now=now,
                send_at=now,
            )


def _to_endpoints(
    session: Session, events: Sequence[Event], now: datetime, channels: Collection[Channel]
) -> Iterator[dict[str, Any]]:
    """Other systems that asked for these events."""
    if Channel.WEBHOOK not in channels:
        return
    public = [event for event in events if event.name not in PRIVATE and event.jurisdiction_id]
    pinged = {event.subject_id for event in events if event.name == "webhook.pinged"}
    if not public and not pinged:
        return
    endpoints = session.execute(
        sa.select(
            WebhookEndpoint.id, WebhookEndpoint.jurisdiction_id, WebhookEndpoint.events
        ).where(
            WebhookEndpoint.disabled_at.is_(None),
            sa.or_(
                WebhookEndpoint.jurisdiction_id.in_({event.jurisdiction_id for event in public}),
                WebhookEndpoint.id.in_(pinged),
            ),
        )
    ).all()
    for endpoint in endpoints:
        for event in events:
            wanted = (
                event.subject_id == endpoint.id
                if event.name == "webhook.pinged"
                else event.name not in PRIVATE
                and event.jurisdiction_id == endpoint.jurisdiction_id
                and (not endpoint.events or event.name in endpoint.events)
            )
            if wanted:
                yield delivery_row(
                    event,
                    event.name,
                    RecipientKind.WEBHOOK,
                    endpoint.id,
                    Channel.WEBHOOK,
                    "en",
                    now=now,
                    send_at=now,
                )


def _uuid(value: object) -> UUID | None:
    return UUID(value) if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


# All rows in one parameter: a parameter for each value costs the driver more than everything else
# that announcing does. Text, times and ids are told apart by the columns they go to.
_QUEUE = sa.text(
    """
    INSERT INTO deliveries (
        id, event_id, event, jurisdiction_id, report_id, recipient_kind, recipient_id, channel,
        locale, data, created_at, next_attempt_at
    )
    SELECT id, event_id, event, jurisdiction_id, report_id, recipient_kind, recipient_id, channel,
           locale, data, created_at, next_attempt_at
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS told(
           id uuid, event_id bigint, event text, jurisdiction_id smallint, report_id uuid,
           recipient_kind text, recipient_id text, channel text, locale text, data jsonb,
           created_at timestamptz, next_attempt_at timestamptz
      )
        ON CONFLICT DO NOTHING
    RETURNING id, next_attempt_at
    """
)
