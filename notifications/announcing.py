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

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Invitation, Person, SignInChallenge
from assets import events as asset_events
from assets.adoption import events as adoption_events
from assets.campaigns import events as campaign_events
from assets.care import events as care_events
from assets.corrections import events as correction_events
from assets.helping import events as help_events
from core.i18n import language_of
from core.outbox import Event
from geo import jurisdictions
from notifications import copying
from notifications import events as own_events
from notifications.audience import (
    Origin,
    Recipient,
    browsers_of,
    concerns,
    only_first,
    origins_of,
    recipients_of,
    told_the_contrary,
)
from notifications.models import WebhookEndpoint
from notifications.queueing import delivery_row, queue
from notifications.rules import (
    OF_VOLUNTEERS,
    is_pushed,
    occasion_of,
    occasions_of,
    quiet_of,
    send_from,
    ways,
)
from notifications.vocabulary import Channel, Occasion, RecipientKind, Role
from notifications.volunteers import to_volunteers
from reports import events as report_events

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
    asset_events.ADDED,
    asset_events.CHANGED,
    asset_events.RELOCATED,
    asset_events.REMOVED,
    asset_events.RETURNED,
    asset_events.IMPORTED,
    adoption_events.BEGUN,
    adoption_events.RENEWED,
    adoption_events.ENDED,
    adoption_events.REMINDED,
    adoption_events.NAMED,
    adoption_events.OFFERED,
    adoption_events.HANDOVER_OFFERED,
    adoption_events.HANDOVER_ANSWERED,
    correction_events.CORRECTION_PROPOSED,
    correction_events.CORRECTION_DECIDED,
    care_events.CARE_LOGGED,
    care_events.CARE_CALLED,
    care_events.CARE_ANSWERED,
    care_events.VOLUNTEERS_WRITTEN,
    campaign_events.CAMPAIGN_SENT,
    campaign_events.CAMPAIGN_FOLLOWED_UP,
    campaign_events.CAMPAIGN_HELD,
    campaign_events.CAMPAIGN_ANSWERED,
    help_events.HELP_ASKED,
    help_events.HELP_ANSWERED,
)

#: Besides, what accounts tell one person and no other system.
PRIVATE = frozenset(
    {
        "account.changed",
        "sign_in.asked",
        "contact.asked",
        "invitation.sent",
        "report.followed",
        "webhook.pinged",
        "adoption.reminded",
        "adoption.named",
        "adoption.offered",
        "handover.offered",
        "handover.answered",
        "volunteers.addressed",
        "help.asked",
    }
)

#: Told to those who have no report to hear of.
_NOT_OF_REPORTS = (
    Occasion.SIGN_IN,
    Occasion.CONTACT_PROOF,
    Occasion.INVITATION,
    Occasion.ACCOUNT_CHANGED,
    *OF_VOLUNTEERS,
)


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
        *_to_holders(session, heard, now, channels),
        *(copying.to_copies(session, heard, now) if Channel.EMAIL in channels else ()),
        *to_volunteers(session, heard, now, channels),
        *_to_endpoints(session, heard, now, channels),
    ]
    return queue(session, rows, now=now)


def _to_people(
    session: Session, events: Sequence[Event], now: datetime, channels: Collection[Channel]
) -> Iterator[dict[str, Any]]:
    """What those who follow the reports hear."""
    told = [
        (event, occasion)
        for event in events
        for occasion in occasions_of(event.name, event.data)
        if occasion not in _NOT_OF_REPORTS and event.subject_id
    ]
    told = only_first(session, told)
    origins = origins_of(session, [event for event, _ in told])
    told = [
        (event, occasion)
        for event, occasion in told
        if occasion is not Occasion.NOTE or origins.get(event.id, Origin()).has_public_words
    ]
    if not told:
        return
    recipients = recipients_of(session, told)
    misled = told_the_contrary(session, told)
    browsers = (
        browsers_of(session, [one for some in recipients.values() for one in some])
        if Channel.PUSH in channels and any(is_pushed(o, Role.REPORTER) for _, o in told)
        else {}
    )
    for event, occasion in told:
        assert event.subject_id is not None
        origin = origins.get(event.id, Origin())
        taken: set[object] = set()
        before = misled.get((event.id, occasion))
        concerned = [
            one
            for one in recipients.get(event.subject_id, ())
            if concerns(event, occasion, one, origin)
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
                if not _is_for(before, RecipientKind.FOLLOWER, one.id, channel):
                    continue
                yield _row(
                    session, event, occasion, RecipientKind.FOLLOWER, one.id, channel, one, now
                )
            if not is_pushed(occasion, one.role):
                continue
            for browser_id in browsers.get(one.id, ()):
                if browser_id not in taken and _is_for(
                    before, RecipientKind.BROWSER, browser_id, Channel.PUSH
                ):
                    taken.add(browser_id)
                    yield _row(
                        session, event, occasion, RecipientKind.BROWSER, browser_id, Channel.PUSH,
                        one, now,
                    )  # fmt: skip


def _is_for(
    misled: Collection[tuple[str, str, str]] | None,
    kind: RecipientKind,
    recipient_id: UUID,
    channel: Channel,
) -> bool:
    """Whether a message that only those get who were told the contrary is for them too."""
    return misled is None or (kind.value, str(recipient_id), channel.value) in misled


def _row(
    session: Session,
    event: Event,
    occasion: Occasion,
    kind: RecipientKind,
    recipient_id: UUID,
    channel: Channel,
    recipient: Recipient,
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


def _to_holders(
    session: Session, events: Sequence[Event], now: datetime, channels: Collection[Channel]
) -> Iterator[dict[str, Any]]:
    """Those whose account was changed: where they are reached, or were until that very change."""
    changed = [
        event for event in events if occasion_of(event.name, event.data) is Occasion.ACCOUNT_CHANGED
    ]
    if not changed:
        return
    people = {
        row.id: row
        for row in session.execute(
            sa.select(Person.id, Person.email, Person.phone, Person.locale).where(
                Person.id.in_({event.subject_id for event in changed})
            )
        )
    }
    proofs = {
        str(row.id): row
        for row in session.execute(
            sa.select(
                SignInChallenge.id, SignInChallenge.old_email, SignInChallenge.old_phone
            ).where(SignInChallenge.id.in_(_proofs_of(changed)))
        )
    }
    for event in changed:
        person = people.get(event.subject_id)
        if person is None:
            continue
        before = proofs.get(str(event.data.get("challenge_id")))
        email, phone = (
            (person.email, person.phone) if before is None else (before.old_email, before.old_phone)
        )
        # Whoever took one of them over must not be the only one who hears of it.
        ways_there = ((Channel.EMAIL, email), (Channel.SMS, phone))
        for channel, address in ways_there:
            if address is not None and channel in channels:
                yield delivery_row(
                    event,
                    Occasion.ACCOUNT_CHANGED.value,
                    RecipientKind.PERSON,
                    person.id,
                    channel,
                    language_of(person.locale),
                    now=now,
                    send_at=now,
                )


def _proofs_of(changed: Sequence[Event]) -> set[str]:
    return {event.data["challenge_id"] for event in changed if "challenge_id" in event.data}


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
