"""What adopters are told by campaigns: whom a round concerns, and the words of each letter.

Whom it concerns is stored with the round, so that somebody who adopts an hour later is not written
to about what is over. What they read is made at the last moment: what they let go of meanwhile is
left out, and what was taken back or paused while it waited for the morning is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.adoption.models import Adoption
from assets.campaigns.answering import to_ask
from assets.campaigns.models import (
    Campaign,
    CampaignAsk,
    CampaignLetter,
    CampaignRefusal,
    CampaignRound,
)
from assets.campaigns.vocabulary import CampaignState
from assets.campaigns.wording import label, words_for
from assets.kinds import Kinds
from assets.models import Asset
from assets.weather.models import WeatherEvent
from core.outbox import Event
from geo.jurisdictions import JurisdictionRef
from notifications.links import Links
from notifications.messages import Claimed
from notifications.rules import OF_CAMPAIGNS
from notifications.vocabulary import Occasion
from notifications.wording import Facts

#: A row of one of the queries below; their columns are its attributes.
Record = Any


@dataclass(frozen=True, slots=True)
class Known:
    """What a batch of letters of campaigns needs to know."""

    rounds: Mapping[UUID, Record] = field(default_factory=dict)
    #: By round and person.
    letters: Mapping[tuple[UUID, UUID], UUID] = field(default_factory=dict)
    #: By letter: the assets that are still theirs.
    asks: Mapping[UUID, Sequence[Record]] = field(default_factory=dict)
    #: Ids of asks that wait for a word.
    waiting: frozenset[UUID] = frozenset()
    #: Person and city.
    refused: frozenset[tuple[UUID, int]] = frozenset()
    campaigns: Mapping[UUID, Record] = field(default_factory=dict)


def concerned(session: Session, about: Sequence[tuple[Event, Occasion]]) -> dict[int, list[UUID]]:
    """By event: the people whom it concerns; a statement for each kind of event."""
    sent = _rounds_of(about, Occasion.CAMPAIGN)
    asked = _rounds_of(about, Occasion.CAMPAIGN_FOLLOW_UP)
    held = {
        event.id: UUID(str(event.data["campaign_id"]))
        for event, occasion in about
        if occasion is Occasion.CAMPAIGN_HELD
    }
    found: dict[int, list[UUID]] = {}
    letters = sa.select(CampaignLetter.round_id, CampaignLetter.person_id)
    if sent:
        _gather(session, letters.where(CampaignLetter.round_id.in_(sent.values())), sent, found)
    if asked:
        waiting = to_ask().subquery()
        query = letters.where(
            CampaignLetter.round_id.in_(asked.values()),
            CampaignLetter.id.in_(sa.select(waiting.c.letter_id)),
        )
        _gather(session, query, asked, found)
    if held:
        query = sa.select(Campaign.id, Campaign.created_by).where(Campaign.id.in_(held.values()))
        _gather(session, query, held, found)
    return found


def known(session: Session, letters: Sequence[Claimed]) -> Known:
    """Read what these deliveries need; half a dozen statements."""
    ours = [one for one in letters if one.event in OF_CAMPAIGNS]
    if not ours:
        return Known()
    round_ids = {UUID(one.data["round_id"]) for one in ours if "round_id" in one.data}
    person_ids = {UUID(one.recipient_id) for one in ours}
    own = {
        (row.round_id, row.person_id): row.id
        for row in session.execute(
            sa.select(CampaignLetter.id, CampaignLetter.round_id, CampaignLetter.person_id).where(
                CampaignLetter.round_id.in_(round_ids), CampaignLetter.person_id.in_(person_ids)
            )
        )
    }
    asks: dict[UUID, list[Record]] = {}
    for row in session.execute(_ASK.where(CampaignAsk.letter_id.in_(own.values()))):
        asks.setdefault(row.letter_id, []).append(row)
    asking = {
        own[key]
        for one in ours
        if one.event == Occasion.CAMPAIGN_FOLLOW_UP
        and (key := (UUID(one.data["round_id"]), UUID(one.recipient_id))) in own
    }
    waiting = {row.id for row in session.execute(to_ask(asking))} if asking else set()
    return Known(
        rounds={
            row.id: row for row in session.execute(_ROUND.where(CampaignRound.id.in_(round_ids)))
        },
        letters=own,
        asks=asks,
        waiting=frozenset(waiting),
        refused=frozenset(
            (row.person_id, row.jurisdiction_id)
            for row in session.execute(
                sa.select(CampaignRefusal.person_id, CampaignRefusal.jurisdiction_id).where(
                    CampaignRefusal.person_id.in_(person_ids)
                )
            )
        ),
        campaigns={
            row.id: row
            for row in session.execute(
                sa.select(Campaign.id, Campaign.name, Campaign.held_because).where(
                    Campaign.id.in_({UUID(one.data["campaign_id"]) for one in ours})
                )
            )
        },
    )


def facts(
    known: Known, links: Links, place: JurisdictionRef, kinds: Kinds, one: Claimed
) -> Facts | str:
    """The facts of one message, or why there is nothing to send any more, as a code."""
    if one.event == Occasion.CAMPAIGN_HELD:
        return _held(known, links, one)
    person_id, round_id = UUID(one.recipient_id), UUID(one.data["round_id"])
    made, letter_id = known.rounds.get(round_id), known.letters.get((round_id, person_id))
    if made is None or letter_id is None:
        return "erased"
    if (person_id, place.id) in known.refused:
        return "left"
    if made.state == CampaignState.PAUSED or made.cancelled_at is not None:
        return "overtaken"
    asks = list(known.asks.get(letter_id, ()))
    is_asking = one.event == Occasion.CAMPAIGN_FOLLOW_UP
    if is_asking:
        asks = [ask for ask in asks if ask.id in known.waiting]
    if not asks:
        return "overtaken"
    lang = one.locale
    names = kinds.by_id[made.kind_id].names
    labels = [label(names, ask.code, ask.name, lang, place.default_locale) for ask in asks]
    day = one.created_at.astimezone(place.time_zone).date()
    words = words_for(made.words, labels, made.foreseen, place, lang, day)
    several = len(asks) > 1
    rows = [
        (name, links.clear(ask.id, lang) if is_asking else "")
        for name, ask in zip(labels, asks, strict=True)
    ]
    if not is_asking:
        link = links.own_adoptions(lang)
    else:
        link = links.clear(letter_id if several else asks[0].id, lang)
    return Facts(
        city="",
        asset="" if several else labels[0],
        own_assets=rows if several else (),
        turn=words.subject,
        note="" if is_asking else words.text,
        link=link,
        leave_url=links.leave_campaigns(letter_id, lang),
    )


def _held(known: Known, links: Links, one: Claimed) -> Facts | str:
    """What the coordinator reads whose campaign stopped."""
    campaign = known.campaigns.get(UUID(one.data["campaign_id"]))
    if campaign is None or campaign.held_because is None:
        return "overtaken"
    return Facts(
        city="",
        asset_name=campaign.name,
        turn=campaign.held_because,
        link=links.campaign(campaign.id),
    )


def _rounds_of(about: Sequence[tuple[Event, Occasion]], wanted: Occasion) -> dict[int, UUID]:
    return {
        event.id: UUID(str(event.data["round_id"]))
        for event, occasion in about
        if occasion is wanted
    }


def _gather(
    session: Session, query: Any, of_event: Mapping[int, UUID], found: dict[int, list[UUID]]
) -> None:
    """Read ids of rounds or campaigns with people, and put them down by event."""
    people: dict[UUID, list[UUID]] = {}
    for row_id, person_id in session.execute(query):
        people.setdefault(row_id, []).append(person_id)
    for event_id, row_id in of_event.items():
        found[event_id] = sorted(people.get(row_id, ()))


_ROUND = (
    sa.select(
        CampaignRound.id,
        CampaignRound.foreseen,
        Campaign.words,
        Campaign.state,
        Campaign.kind_id,
        WeatherEvent.cancelled_at,
    )
    .join(Campaign, Campaign.id == CampaignRound.campaign_id)
    .outerjoin(WeatherEvent, WeatherEvent.id == CampaignRound.weather_event_id)
)

_ASK = (
    sa.select(CampaignAsk.id, CampaignAsk.letter_id, Asset.code, Adoption.name)
    .join(Adoption, Adoption.id == CampaignAsk.adoption_id)
    .join(Asset, Asset.id == CampaignAsk.asset_id)
    .where(Adoption.ended_at.is_(None))
    .order_by(Asset.code, CampaignAsk.id)
)
