"""One round of a campaign: by hand, by the calendar, by the weather.

1. The campaign's row is locked, so that whoever comes second sees what the first has done.
2. What the round is for has a name (`event_key`); the database has one round of a name.
3. The round, its letters and the assets they are about are stored, and one event is emitted: who
   hears it over what, and when it may ring, is `notifications`' business.

A round that nobody asked for and that would reach more people than were agreed to is not sent: the
campaign pauses and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from assets.adoption import addressing
from assets.campaigns import events, keeping
from assets.campaigns.errors import (
    CampaignOverError,
    NotActiveError,
    NotItsTimeError,
    TooSoonError,
)
from assets.campaigns.keeping import Agreement
from assets.campaigns.models import Campaign, CampaignAsk, CampaignLetter, CampaignRound
from assets.campaigns.reaching import Reach, area_of, doubt_of, reach
from assets.campaigns.rules import LATE_AT_MOST, is_on
from assets.campaigns.vocabulary import CampaignState, Doubt, HeldBecause, Trigger
from assets.campaigns.wording import kept
from assets.care.writing import NobodyToTellError
from assets.kinds import kinds_of
from assets.rules import Season
from assets.weather import watching
from assets.weather.models import WeatherEvent
from assets.weather.providers import Outlook, Where, holding_in
from assets.weather.rules import (
    EVENT_AT_MOST,
    GAP,
    Awaited,
    AwaitedAlert,
    Foreseen,
    alerted,
    foreseen,
    in_force,
    is_same_weather,
)
from assets.weather.vocabulary import Source
from core.ids import new_id
from core.outbox import emit
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef

log = structlog.get_logger()

#: Campaigns of one run of the calendar; the rest follows with the next beat.
AT_A_TIME = 50


def by_hand(
    session: Session, campaign: Campaign, person_id: UUID, agreement: Agreement, *, now: datetime
) -> CampaignRound:
    """Send a campaign that was taken, now, because a coordinator wants it.

    Raises:
        CampaignOverError, NotActiveError, NotItsTimeError, TooSoonError
        NobodyToTellError: nobody looks after such an asset there.
        ConfirmationNeededError: it would be sent to very many.
    """
    place = jurisdictions.by_id(session, campaign.jurisdiction_id)
    if campaign.state == CampaignState.ENDED:
        raise CampaignOverError
    if campaign.state != CampaignState.ACTIVE:
        raise NotActiveError
    if not _is_on(campaign, place, now):
        raise NotItsTimeError
    again_at = _again_at(campaign)
    if again_at is not None and again_at > now:
        raise TooSoonError(again_at=again_at.isoformat())
    area = area_of(campaign)
    found = reach(session, place, kind_id=campaign.kind_id, area=area)
    if not found.recipients:
        raise NobodyToTellError
    meant = keeping.about(place, campaign.kind_id, area)
    confirmed = keeping.agree(found, campaign.confirmed, meant, agreement)
    if confirmed is not None:
        campaign.confirmed = confirmed
    round_id = new_id()
    made = _send(
        session, campaign, found, round_id, f"hand:{round_id}", Trigger.HAND,
        person_id=person_id, now=now,
    )  # fmt: skip
    assert made is not None
    return made


def due_by_calendar(session: Session, *, now: datetime) -> list[UUID]:
    """The campaigns that the calendar sets off now."""
    return list(
        session.scalars(
            sa.select(Campaign.id)
            .where(
                Campaign.state == CampaignState.ACTIVE.value,
                Campaign.next_at <= now,
            )
            .order_by(Campaign.next_at, Campaign.id)
            .limit(AT_A_TIME)
        )
    )


def by_calendar(
    session: Session, campaign_id: UUID, *, limit: int, now: datetime
) -> CampaignRound | None:
    """Send what is due, unless somebody else just did, and note when it is due next."""
    campaign = keeping.take(session, campaign_id)
    at = campaign.next_at
    if campaign.state != CampaignState.ACTIVE or at is None or at > now:
        return None
    place = jurisdictions.by_id(session, campaign.jurisdiction_id)
    campaign.next_at = keeping.due_next(campaign, place, now + timedelta(microseconds=1))
    session.flush()
    if now - at > LATE_AT_MOST:
        log.warning("campaigns.missed", campaign=str(campaign.id))
        return None
    key = f"calendar:{campaign.id}:{at.isoformat()}"
    return _by_itself(session, campaign, place, key, Trigger.CALENDAR, limit=limit, now=now)


def waiting_for_weather(session: Session, *, now: datetime) -> dict[int, list[UUID]]:
    """By city: the campaigns that the weather may set off today."""
    found: dict[int, list[UUID]] = {}
    for campaign in session.scalars(
        sa.select(Campaign)
        .where(
            Campaign.state == CampaignState.ACTIVE.value,
            Campaign.trigger == Trigger.WEATHER.value,
        )
        .order_by(Campaign.id)
    ):
        place = jurisdictions.by_id(session, campaign.jurisdiction_id)
        if _is_on(campaign, place, now):
            found.setdefault(place.id, []).append(campaign.id)
    return found


def by_weather(
    session: Session,
    campaign_id: UUID,
    outlook: Outlook,
    where: Where,
    *,
    limit: int,
    now: datetime,
) -> CampaignRound | None:
    """Send a campaign if what it awaits is foreseen and was not told yet."""
    campaign = keeping.take(session, campaign_id)
    place = jurisdictions.by_id(session, campaign.jurisdiction_id)
    if (
        campaign.state != CampaignState.ACTIVE
        or campaign.trigger != Trigger.WEATHER
        or not _is_on(campaign, place, now)
    ):
        return None
    awaited = keeping.awaited_of(Trigger.WEATHER, campaign.awaited)
    assert awaited is not None
    for found in _foreseen(outlook, where, awaited, now):
        event = watching.event_of(session, place.id, awaited.sort, found, now=now)
        key = f"weather:{event.id}"
        before = session.scalar(
            sa.select(CampaignRound).where(
                CampaignRound.campaign_id == campaign.id, CampaignRound.event_key == key
            )
        )
        if before is not None:
            if before.followed_up_at is None:
                # The snow takes longer than was said: so does the question.
                before.follow_up_at = _follow_up_at(campaign, before.sent_at, event)
                session.flush()
            continue
        again_at = _again_at(campaign)
        if again_at is not None and again_at > now:
            continue
        made = _by_itself(
            session, campaign, place, key, Trigger.WEATHER,
            limit=limit, now=now, event=event, found=found,
            told=_told_otherwise(session, event, found),
        )  # fmt: skip
        if made is not None or campaign.state != CampaignState.ACTIVE:
            return made
    return None


def sources_of(campaigns: list[Campaign]) -> set[Source]:
    """Who has to be asked for these campaigns."""
    return {
        Source.ALERTS
        if isinstance(keeping.awaited_of(Trigger.WEATHER, campaign.awaited), AwaitedAlert)
        else Source.FORECAST
        for campaign in campaigns
        if campaign.trigger == Trigger.WEATHER
    }


def follow_up(session: Session, *, now: datetime, limit: int = AT_A_TIME) -> int:
    """Ask whether it is clear, for the rounds whose time has come; how many rounds.

    What was taken back by who had warned is not asked about.
    """
    rounds = session.scalars(
        sa.select(CampaignRound)
        .where(CampaignRound.followed_up_at.is_(None), CampaignRound.follow_up_at <= now)
        .order_by(CampaignRound.follow_up_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    for made in rounds:
        made.followed_up_at = now
        if made.weather_event_id is not None:
            event = session.get_one(WeatherEvent, made.weather_event_id)
            if event.cancelled_at is not None:
                continue
        campaign = session.get_one(Campaign, made.campaign_id)
        emit(
            session,
            events.CAMPAIGN_FOLLOWED_UP,
            made.id,
            jurisdiction_id=campaign.jurisdiction_id,
            campaign_id=str(campaign.id),
            round_id=str(made.id),
        )
    session.flush()
    return len(rounds)


def _foreseen(
    outlook: Outlook, where: Where, awaited: Awaited | AwaitedAlert, now: datetime
) -> Iterator[Foreseen]:
    """What is awaited as far as it is foreseen: once, or once for each alert."""
    if isinstance(awaited, Awaited):
        found = None if outlook.forecast is None else foreseen(outlook.forecast, awaited, now)
        if found is not None:
            yield found
        return
    for alert in in_force(outlook.alerts or (), now):
        found = alerted(alert, holding_in(where, alert), awaited, now)
        if found is not None:
            yield found


def _told_otherwise(session: Session, event: WeatherEvent, found: Foreseen) -> list[str]:
    """What rounds were for that told of the same weather: by an alert, where it is foreseen now,
    or the other way round."""
    others = session.execute(
        sa.select(
            CampaignRound.event_key, WeatherEvent.sort, CampaignRound.foreseen["event"].astext
        )
        .join(WeatherEvent, WeatherEvent.id == CampaignRound.weather_event_id)
        .where(
            WeatherEvent.jurisdiction_id == event.jurisdiction_id,
            WeatherEvent.sort != event.sort,
            WeatherEvent.cancelled_at.is_(None),
            WeatherEvent.starts_at <= event.ends_at + GAP,
            WeatherEvent.ends_at >= event.starts_at - GAP,
            WeatherEvent.starts_at > event.starts_at - EVENT_AT_MOST,
            WeatherEvent.starts_at < event.starts_at + EVENT_AT_MOST,
        )
        .distinct()
    )
    return [
        key
        for key, sort, called in others
        if is_same_weather(event.sort, found.event, sort, called or "")
    ]


def _by_itself(
    session: Session,
    campaign: Campaign,
    place: JurisdictionRef,
    key: str,
    set_off_by: Trigger,
    *,
    limit: int,
    now: datetime,
    event: WeatherEvent | None = None,
    found: Foreseen | None = None,
    told: Sequence[str] = (),
) -> CampaignRound | None:
    area = area_of(campaign)
    if area is not None and not addressing.has_area(place, area):
        _hold(session, campaign, HeldBecause.AREA_GONE, now)
        return None
    kind = kinds_of(session, place.id).by_id[campaign.kind_id]
    if not kind.is_active or not kind.is_adoptable:
        _hold(session, campaign, HeldBecause.KIND_GONE, now)
        return None
    reached = reach(session, place, kind_id=campaign.kind_id, area=area, event_keys=[key, *told])
    if not reached.recipients:
        log.info("campaigns.nobody", campaign=str(campaign.id))
        return None
    if doubt_of(reached, limit=limit, confirmed=campaign.confirmed) is Doubt.TOO_MANY:
        _hold(session, campaign, HeldBecause.TOO_MANY, now)
        return None
    return _send(
        session, campaign, reached, new_id(), key, set_off_by, event=event, found=found, now=now
    )


def _hold(session: Session, campaign: Campaign, because: HeldBecause, now: datetime) -> None:
    campaign.state = CampaignState.PAUSED.value
    campaign.held_because = because.value
    campaign.version += 1
    campaign.updated_at = now
    session.flush()
    log.warning("campaigns.held", campaign=str(campaign.id), reason=because.value)
    emit(
        session,
        events.CAMPAIGN_HELD,
        campaign.id,
        jurisdiction_id=campaign.jurisdiction_id,
        campaign_id=str(campaign.id),
        reason=because.value,
    )


def _send(
    session: Session,
    campaign: Campaign,
    reached: Reach,
    round_id: UUID,
    key: str,
    set_off_by: Trigger,
    *,
    now: datetime,
    person_id: UUID | None = None,
    event: WeatherEvent | None = None,
    found: Foreseen | None = None,
) -> CampaignRound | None:
    """Store a round with its letters and emit it; None: it went out already."""
    people = reached.people
    stored = session.execute(
        postgresql.insert(CampaignRound)
        .values(
            id=round_id,
            campaign_id=campaign.id,
            event_key=key,
            set_off_by=set_off_by.value,
            weather_event_id=event.id if event is not None else None,
            foreseen=kept(found) if found is not None else {},
            person_id=person_id,
            sent_at=now,
            recipients=len(people),
            assets=len(reached.adopters),
            follow_up_at=_follow_up_at(campaign, now, event),
        )
        .on_conflict_do_nothing()
        .returning(CampaignRound.id)
    ).first()
    if stored is None:
        return None
    letters = {each: new_id() for each in people}
    session.execute(
        sa.insert(CampaignLetter),
        [
            {"id": letter_id, "round_id": round_id, "person_id": each}
            for each, letter_id in letters.items()
        ],
    )
    asks: list[dict[str, Any]] = [
        {
            "id": new_id(),
            "letter_id": letters[each.person_id],
            "event_key": key,
            "adoption_id": each.adoption_id,
            "asset_id": each.asset_id,
        }
        for each in reached.adopters
    ]
    session.execute(postgresql.insert(CampaignAsk).on_conflict_do_nothing(), asks)
    campaign.last_sent_at = now
    session.flush()
    emit(
        session,
        events.CAMPAIGN_SENT,
        round_id,
        jurisdiction_id=campaign.jurisdiction_id,
        campaign_id=str(campaign.id),
        round_id=str(round_id),
    )
    return session.get_one(CampaignRound, round_id)


def _follow_up_at(
    campaign: Campaign, sent_at: datetime, event: WeatherEvent | None
) -> datetime | None:
    """So long after the letter; of weather, after it is over."""
    if campaign.follow_up_h is None:
        return None
    since = sent_at if event is None else max(sent_at, event.ends_at)
    return since + timedelta(hours=campaign.follow_up_h)


def _again_at(campaign: Campaign) -> datetime | None:
    if campaign.last_sent_at is None:
        return None
    return campaign.last_sent_at + timedelta(hours=campaign.cool_down_h)


def _is_on(campaign: Campaign, place: JurisdictionRef, now: datetime) -> bool:
    day = now.astimezone(place.time_zone).date()
    return is_on(day, campaign.starts_on, campaign.ends_on, Season.of(campaign.season))
