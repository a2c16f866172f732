"""What volunteers are told of assets: whom each event concerns, and the facts of each letter.

The same two halves as for reports, in one module because they share what they read:

1. `to_volunteers` turns events into deliveries; a batch costs a fixed number of statements.
2. `known` reads, at the last moment, what these deliveries need; `told` makes the facts of one, or
   says why it is not sent: what it says may have been overtaken while it waited.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from accounts.models import Person
from assets.adoption.models import Adoption, AdoptionWait, Handover
from assets.adoption.vocabulary import HandoverState, WaitState
from assets.care import writing
from assets.care.models import CareCall, VolunteerMessage
from assets.care.vocabulary import CallState
from assets.corrections.models import Correction
from assets.corrections.vocabulary import State
from assets.helping.models import HelpRequest
from assets.helping.vocabulary import Answer, HelpState
from assets.kinds import Kinds, kinds_of
from assets.models import Asset
from assets.vocabulary import AssetState
from core.i18n import language_of, pick
from core.outbox import Event
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from notifications import campaigning
from notifications.links import Links
from notifications.messages import Claimed
from notifications.queueing import delivery_row
from notifications.rules import (
    OF_CAMPAIGNS,
    OF_VOLUNTEERS,
    occasion_of,
    quiet_of,
    send_from,
    ways_to_volunteer,
)
from notifications.vocabulary import Channel, Occasion, RecipientKind
from notifications.wording import Facts, day_in
from reports.models import Service, ServiceRequest
from reports.rules import public_address
from reports.vocabulary import Status, Visibility

#: A row of one of the queries below; their columns are its attributes.
Record = Any

#: Occasions that every adopter of an asset hears.
_OF_ASSETS = frozenset({Occasion.ASSET_NEWS, Occasion.CARE_NEEDED})

#: Occasions whose recipient a row names: the adopter of an adoption.
_OF_ADOPTIONS = frozenset(
    {
        Occasion.ADOPTED,
        Occasion.ADOPTION_DUE,
        Occasion.ADOPTION_ENDED,
        Occasion.ADOPTION_NAMED,
        Occasion.HANDOVER_ANSWERED,
        Occasion.HELP_ASKED,
    }
)


@dataclass(frozen=True, slots=True)
class Known:
    """What a batch of letters to volunteers needs to know, by id."""

    assets: Mapping[UUID, Record] = field(default_factory=dict)
    kinds: Mapping[int, Kinds] = field(default_factory=dict)
    adoptions: Mapping[UUID, Record] = field(default_factory=dict)
    #: By asset and person: the adoptions that hold.
    holding: Mapping[tuple[UUID, UUID], Record] = field(default_factory=dict)
    waits: Mapping[UUID, Record] = field(default_factory=dict)
    corrections: Mapping[UUID, Record] = field(default_factory=dict)
    calls: Mapping[UUID, Record] = field(default_factory=dict)
    messages: Mapping[UUID, Record] = field(default_factory=dict)
    handovers: Mapping[UUID, Record] = field(default_factory=dict)
    helps: Mapping[UUID, Record] = field(default_factory=dict)
    people: Mapping[UUID, Record] = field(default_factory=dict)
    campaigns: campaigning.Known = field(default_factory=campaigning.Known)


@dataclass(frozen=True, slots=True)
class Told:
    """The facts of one message and where it goes."""

    facts: Facts
    email: str | None
    phone: str | None
    thread: str


def to_volunteers(
    session: Session, events: Sequence[Event], now: datetime, channels: Collection[Channel]
) -> Iterator[dict[str, Any]]:
    """Deliveries for those whom these events concern."""
    about: list[tuple[Event, Occasion]] = []
    for event in events:
        occasion = occasion_of(event.name, event.data)
        if occasion in OF_VOLUNTEERS and occasion is not None and event.jurisdiction_id:
            about.append((event, occasion))
    if not about:
        return
    concerned = _concerned(session, about)
    people = _people(session, {person_id for ids in concerned.values() for person_id in ids})
    for event, occasion in about:
        for person_id in concerned.get(event.id, ()):
            person = people.get(person_id)
            if person is None:
                continue
            for channel in ways_to_volunteer(
                has_email=bool(person.email), has_phone=bool(person.phone)
            ):
                if channel in channels:
                    yield _row(session, event, occasion, person_id, channel, person.locale, now)
    yield from _to_handed_over(session, about, now, channels)


def known(session: Session, claimed: Sequence[Claimed]) -> Known:
    """Read what these deliveries need, with half a dozen statements at most."""
    letters = [one for one in claimed if one.event in OF_VOLUNTEERS]
    if not letters:
        return Known()
    waits = _by_id(session, _WAIT, AdoptionWait.id, _ids(letters, "wait_id"))
    handovers = _by_id(session, _HANDOVER, Handover.id, _ids(letters, "handover_id"))
    adoptions = _by_id(session, _ADOPTION, Adoption.id, _ids(letters, "adoption_id"))
    asset_ids = _ids(letters, "asset_id")
    assets = _by_id(session, _ASSET, Asset.id, asset_ids)
    holding = {
        (row.asset_id, row.person_id): row
        for row in session.execute(
            _ADOPTION.where(Adoption.asset_id.in_(asset_ids), Adoption.ended_at.is_(None))
        )
    }
    person_ids = {
        UUID(one.recipient_id) for one in letters if one.recipient_kind is RecipientKind.PERSON
    }
    places = {one.jurisdiction_id for one in letters}
    return Known(
        assets=assets,
        kinds={place: kinds_of(session, place) for place in places},
        adoptions=adoptions,
        holding=holding,
        waits=waits,
        calls=_by_id(session, _CALL, CareCall.id, _ids(letters, "call_id")),
        messages=_by_id(session, _MESSAGE, VolunteerMessage.id, _ids(letters, "message_id")),
        corrections=_by_id(session, _CORRECTION, Correction.id, _ids(letters, "correction_id")),
        handovers=handovers,
        helps=_by_id(session, _HELP, HelpRequest.id, _ids(letters, "help_id")),
        people=_people(session, person_ids),
        campaigns=campaigning.known(session, letters),
    )


def told(known: Known, links: Links, place: JurisdictionRef, one: Claimed) -> Told | str:
    """The facts of one message, or why there is nothing to send any more, as a code."""
    occasion = Occasion(one.event)
    if occasion is Occasion.CORRECTION_DECIDED:
        return _corrected(known, links, place, one)
    if occasion is Occasion.VOLUNTEER_MESSAGE:
        return _written(known, links, one)
    if occasion in OF_CAMPAIGNS:
        return _of_campaign(known, links, place, one)
    asset = known.assets.get(_id(one, "asset_id"))
    if asset is None:
        return "no asset"
    if occasion is Occasion.HANDOVER:
        handover = known.handovers.get(UUID(one.recipient_id))
        if handover is None or handover.state != HandoverState.OFFERED:
            return "overtaken"
        name = _name(known, one)
        facts = Facts(
            city="",
            asset=_label(known, place, asset, name, one.locale),
            until=_day(place, one.locale, handover.until),
            link=links.handover(handover.id, one.locale),
        )
        return Told(facts, handover.email, None, f"asset-{asset.id}")
    person = known.people.get(UUID(one.recipient_id))
    if person is None:
        return "erased"
    facts_or_reason = _facts(known, links, place, one, occasion, asset, person.id)
    if isinstance(facts_or_reason, str):
        return facts_or_reason
    return Told(facts_or_reason, person.email, person.phone, f"asset-{asset.id}")


def _corrected(known: Known, links: Links, place: JurisdictionRef, one: Claimed) -> Told | str:
    """What the proposer of a correction hears; one that was missing may have no asset."""
    row = known.corrections.get(_id(one, "correction_id"))
    person = known.people.get(UUID(one.recipient_id))
    if row is None or person is None:
        return "erased"
    kind = known.kinds[row.jurisdiction_id].by_id[row.kind_id]
    label = pick(kind.names, one.locale, place.default_locale)
    decision = str(one.data.get("decision", ""))
    is_overtaken = decision == State.OVERTAKEN
    facts = Facts(
        city="",
        asset=f"{label} {row.code}" if row.code else label,
        turn=decision,
        # The reason of what was overtaken is a code.
        change=row.reason or "" if is_overtaken else "",
        note="" if is_overtaken else row.reason or "",
        link=links.asset(row.asset_id, one.locale) if row.asset_id else links.base_url,
    )
    return Told(facts, person.email, person.phone, f"correction-{row.id}")


def _written(known: Known, links: Links, one: Claimed) -> Told | str:
    """What a coordinator wrote."""
    message = known.messages.get(_id(one, "message_id"))
    person = known.people.get(UUID(one.recipient_id))
    if message is None or person is None:
        return "erased"
    facts = Facts(
        city="",
        turn=message.subject,
        note=message.text,
        link=links.own_adoptions(one.locale),
    )
    return Told(facts, person.email, person.phone, f"message-{message.id}")


def _of_campaign(known: Known, links: Links, place: JurisdictionRef, one: Claimed) -> Told | str:
    """What a campaign says, or asks."""
    person = known.people.get(UUID(one.recipient_id))
    if person is None:
        return "erased"
    kinds = known.kinds[one.jurisdiction_id]
    facts = campaigning.facts(known.campaigns, links, place, kinds, one)
    if isinstance(facts, str):
        return facts
    thread = f"campaign-{one.data.get('round_id') or one.data.get('campaign_id')}"
    return Told(facts, person.email, person.phone, thread)


def _facts(
    known: Known,
    links: Links,
    place: JurisdictionRef,
    one: Claimed,
    occasion: Occasion,
    asset: Record,
    person_id: UUID,
) -> Facts | str:
    locale = one.locale
    if occasion is Occasion.ADOPTION_OFFERED:
        wait = known.waits.get(_id(one, "wait_id"))
        if wait is None or wait.state != WaitState.OFFERED:
            return "overtaken"
        return Facts(
            city="",
            asset=_label(known, place, asset, None, locale),
            until=_day(place, locale, wait.offered_until),
            link=links.offer(wait.id, locale),
        )
    adoption: Record | None
    if occasion in _OF_ASSETS:
        adoption = known.holding.get((asset.id, person_id))
    else:
        adoption = known.adoptions.get(_id(one, "adoption_id"))
    if adoption is None or adoption.person_id != person_id:
        return "overtaken"
    label = _label(known, place, asset, adoption.name, locale)
    if occasion is Occasion.ADOPTION_ENDED:
        return Facts(
            city="",
            asset=label,
            turn=str(adoption.ended_because or ""),
            note=adoption.end_note or "",
            link=links.asset(asset.id, locale),
        )
    if occasion is Occasion.HANDOVER_ANSWERED:
        is_over = adoption.ended_at is not None
        return Facts(
            city="",
            asset=label,
            turn=str(one.data.get("answer", "")),
            link=links.asset(asset.id, locale)
            if is_over
            else links.adoption(adoption.id, adoption.token_version, locale),
        )
    if adoption.ended_at is not None:
        return "overtaken"
    facts = Facts(
        city="",
        asset=label,
        until=_day(place, locale, adoption.until),
        link=links.adoption(adoption.id, adoption.token_version, locale),
    )
    return _with_turn(known, links, facts, one, occasion, asset, adoption)


def _with_turn(
    known: Known,
    links: Links,
    facts: Facts,
    one: Claimed,
    occasion: Occasion,
    asset: Record,
    adoption: Record,
) -> Facts | str:
    """The same with what happened, as long as it is still so."""
    if occasion is Occasion.ADOPTION_DUE:
        if adoption.renewed_at is not None and adoption.renewed_at >= one.created_at:
            return "overtaken"
        return replace(facts, turn=str(one.data.get("step", "")))
    if occasion is Occasion.CARE_NEEDED:
        call = known.calls.get(_id(one, "call_id"))
        if call is None or call.state != CallState.OPEN:
            return "overtaken"
        link = links.care(call.id, adoption.id, adoption.token_version, one.locale)
        return replace(facts, link=link)
    if occasion is Occasion.HELP_ASKED:
        return _with_report(known, links, facts, one, adoption)
    if occasion is Occasion.ADOPTION_NAMED:
        decision = str(one.data.get("decision", ""))
        return replace(
            facts,
            turn=decision,
            asset_name=adoption.name or "",
            note=adoption.name_reason or "" if decision == "refused" else "",
        )
    if occasion is Occasion.ASSET_NEWS:
        turn = str(one.data.get("news", ""))
        is_there = AssetState(asset.state).is_there
        if is_there == (turn == "removed"):
            return "overtaken"
        return replace(facts, turn=turn)
    return facts


def _with_report(
    known: Known, links: Links, facts: Facts, one: Claimed, adoption: Record
) -> Facts | str:
    """The same with the report that an adopter is asked about, as far as everybody may read it: of
    one that is not public, only what it is about. Nothing of its reporter."""
    asked = known.helps.get(_id(one, "help_id"))
    if asked is None or asked.is_answered or asked.state != HelpState.OPEN:
        return "overtaken"
    if not Status(asked.status).is_open:
        return "overtaken"
    place = known.kinds[asked.jurisdiction_id].place
    is_public = asked.visibility == Visibility.PUBLIC
    address = public_address(asked.address, asked.public_precision) if is_public else None
    done, city = (
        links.help(asked.id, choice.value, adoption.token_version, one.locale) for choice in Answer
    )
    return replace(
        facts,
        number=asked.number,
        service=pick(asked.names, one.locale, place.default_locale),
        requested_on=_day(place, one.locale, asked.requested_at),
        address=address or "",
        quote=asked.description if is_public else "",
        turn="near" if asked.distance_m is not None else "at",
        link=done,
        other_link=city,
    )


def _concerned(session: Session, about: Sequence[tuple[Event, Occasion]]) -> dict[int, list[UUID]]:
    """By event: the people whom it concerns."""
    wanted: dict[str, set[UUID]] = {
        "adoption_id": set(),
        "wait_id": set(),
        "correction_id": set(),
    }
    asset_ids = set()
    for event, occasion in about:
        if occasion in _OF_ASSETS:
            asset_ids.add(_asset_of(event))
        for name, ids in wanted.items():
            if name in event.data:
                ids.add(UUID(str(event.data[name])))
    adopters = _persons(session, Adoption, wanted["adoption_id"])
    waiting = _persons(session, AdoptionWait, wanted["wait_id"])
    proposers = _persons(session, Correction, wanted["correction_id"])
    of_assets: dict[UUID, list[UUID]] = {}
    if asset_ids:
        for row in session.execute(
            sa.select(Adoption.asset_id, Adoption.person_id)
            .where(Adoption.asset_id.in_(asset_ids), Adoption.ended_at.is_(None))
            .order_by(Adoption.asset_id, Adoption.slot)
        ):
            of_assets.setdefault(row.asset_id, []).append(row.person_id)
    found: dict[int, list[UUID]] = {}
    of_campaigns = campaigning.concerned(session, about)
    for event, occasion in about:
        if occasion in OF_CAMPAIGNS:
            found[event.id] = of_campaigns.get(event.id, [])
        elif occasion in _OF_ASSETS:
            found[event.id] = of_assets.get(_asset_of(event), [])
        elif occasion is Occasion.VOLUNTEER_MESSAGE:
            message = session.get(VolunteerMessage, UUID(str(event.data["message_id"])))
            found[event.id] = writing.addressed(session, message) if message else []
        elif occasion is Occasion.ADOPTION_OFFERED:
            found[event.id] = _one(waiting, event, "wait_id")
        elif occasion is Occasion.CORRECTION_DECIDED:
            found[event.id] = _one(proposers, event, "correction_id")
        elif occasion in _OF_ADOPTIONS:
            found[event.id] = _one(adopters, event, "adoption_id")
    return found


def _asset_of(event: Event) -> UUID:
    """The asset that an event names, or is about."""
    named = event.data.get("asset_id")
    if named is not None:
        return UUID(str(named))
    assert event.subject_id is not None
    return event.subject_id


def _one(persons: Mapping[UUID, UUID], event: Event, name: str) -> list[UUID]:
    person_id = persons.get(UUID(str(event.data[name]))) if name in event.data else None
    return [] if person_id is None else [person_id]


def _persons(session: Session, model: Any, ids: Collection[UUID]) -> dict[UUID, UUID]:
    if not ids:
        return {}
    rows = session.execute(sa.select(model.id, model.person_id).where(model.id.in_(ids)))
    return {row.id: row.person_id for row in rows}


def _to_handed_over(
    session: Session,
    about: Sequence[tuple[Event, Occasion]],
    now: datetime,
    channels: Collection[Channel],
) -> Iterator[dict[str, Any]]:
    """Those to whom an asset is offered by its adopter."""
    offered = {
        event.subject_id: event for event, occasion in about if occasion is Occasion.HANDOVER
    }
    if not offered or Channel.EMAIL not in channels:
        return
    for row in session.execute(
        sa.select(Handover.id, Handover.locale).where(Handover.id.in_(offered))
    ):
        yield delivery_row(
            offered[row.id],
            Occasion.HANDOVER.value,
            RecipientKind.HANDOVER,
            row.id,
            Channel.EMAIL,
            language_of(row.locale),
            now=now,
            send_at=now,
        )


def _row(
    session: Session,
    event: Event,
    occasion: Occasion,
    person_id: UUID,
    channel: Channel,
    locale: str | None,
    now: datetime,
) -> dict[str, Any]:
    assert event.jurisdiction_id is not None
    place = jurisdictions.by_id(session, event.jurisdiction_id)
    quiet = quiet_of(channel, place.policy)
    row = delivery_row(
        event,
        occasion.value,
        RecipientKind.PERSON,
        person_id,
        channel,
        language_of(locale or place.default_locale),
        now=now,
        send_at=send_from(occasion, now, event.created_at, place.time_zone, quiet),
    )
    if occasion in _OF_ASSETS:
        row["data"] = {
            **row["data"],
            "asset_id": str(_asset_of(event)),
            "news": event.name.partition(".")[2],
        }
    return row


def _label(
    known: Known, place: JurisdictionRef, asset: Record, name: str | None, locale: str
) -> str:
    """What people call an asset: its kind, its code, the name it was given."""
    kind = known.kinds[asset.jurisdiction_id].by_id[asset.kind_id]
    words = f"{pick(kind.names, locale, place.default_locale)} {asset.code}"
    if name:
        words += f" « {name} »" if locale == "fr" else f" “{name}”"
    return words


def _name(known: Known, one: Claimed) -> str | None:
    adoption = known.adoptions.get(_id(one, "adoption_id"))
    return None if adoption is None else adoption.name


def _day(place: JurisdictionRef, locale: str, instant: datetime | None) -> str:
    if instant is None:
        return ""
    return day_in(locale, place.country, instant.astimezone(place.time_zone).date())


def _id(one: Claimed, name: str) -> UUID:
    value = one.data.get(name)
    return UUID(value) if isinstance(value, str) else UUID(int=0)


def _ids(letters: Sequence[Claimed], name: str) -> set[UUID]:
    return {UUID(str(one.data[name])) for one in letters if name in one.data}


def _by_id(session: Session, query: Any, column: Any, ids: Collection[UUID]) -> dict[UUID, Record]:
    if not ids:
        return {}
    return {row.id: row for row in session.execute(query.where(column.in_(ids)))}


def _people(session: Session, ids: Collection[UUID]) -> dict[UUID, Record]:
    return _by_id(session, _PERSON, Person.id, ids)


_PERSON = sa.select(Person.id, Person.email, Person.phone, Person.locale).where(Person.is_active)

_ASSET = sa.select(Asset.id, Asset.jurisdiction_id, Asset.kind_id, Asset.code, Asset.state)

_WAIT = sa.select(AdoptionWait.id, AdoptionWait.state, AdoptionWait.offered_until)

_HANDOVER = sa.select(Handover.id, Handover.state, Handover.email, Handover.until)

_CALL = sa.select(CareCall.id, CareCall.state)

_OTHER = aliased(HelpRequest)

_HELP = (
    sa.select(
        HelpRequest.id,
        HelpRequest.jurisdiction_id,
        HelpRequest.state,
        HelpRequest.distance_m,
        sa.exists()
        .where(_OTHER.report_id == HelpRequest.report_id, _OTHER.answered_at.is_not(None))
        .label("is_answered"),
        ServiceRequest.number,
        ServiceRequest.status,
        ServiceRequest.visibility,
        ServiceRequest.description,
        ServiceRequest.address,
        ServiceRequest.requested_at,
        Service.names,
        Service.public_precision,
    )
    .join(ServiceRequest, ServiceRequest.id == HelpRequest.report_id)
    .join(Service, Service.id == ServiceRequest.service_id)
)

_MESSAGE = sa.select(VolunteerMessage.id, VolunteerMessage.subject, VolunteerMessage.text)

_CORRECTION = sa.select(
    Correction.id,
    Correction.jurisdiction_id,
    Correction.kind_id,
    Correction.asset_id,
    Correction.reason,
    Asset.code,
).outerjoin(Asset, Asset.id == Correction.asset_id)

_ADOPTION = sa.select(
    Adoption.id,
    Adoption.asset_id,
    Adoption.person_id,
    Adoption.until,
    Adoption.renewed_at,
    Adoption.name,
    Adoption.name_reason,
    Adoption.token_version,
    Adoption.ended_at,
    Adoption.ended_because,
    Adoption.end_note,
)
