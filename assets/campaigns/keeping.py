"""Making and changing campaigns: what is refused, what a coordinator must look at first.

Every function works in the caller's transaction. `take` locks the row; the view holds `If-Match`
against its version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.adoption import addressing
from assets.adoption.addressing import UnknownAreaError
from assets.adoption.errors import NotAdoptableError
from assets.campaigns.errors import (
    CampaignOverError,
    TriggerError,
    WindowError,
    WordsError,
)
from assets.campaigns.models import Campaign
from assets.campaigns.reaching import (
    Reach,
    area_of,
    confirmation,
    confirmed_number,
    doubt_of,
    reach,
)
from assets.campaigns.rules import SMS_TEXT, next_due, unknown_placeholders
from assets.campaigns.vocabulary import CampaignState, Repeat, Trigger
from assets.care.doing import UnknownActionError
from assets.care.rules import action_of, actions_of
from assets.kinds import KindEntry, kinds_of
from assets.rules import Season
from assets.weather.rules import Awaited, AwaitedAlert
from assets.weather.vocabulary import Measure, Severity
from core.errors import NotFoundError
from core.i18n import LANGUAGES
from core.text import clean
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef

#: So many names of areas are offered to somebody who named one that there is not.
_OFFERED = 50


@dataclass(frozen=True, slots=True)
class Wish:
    """A campaign as a coordinator wants it; the fields are those of `Campaign`.

    Attributes:
        kind: its code.
        action: None: the first thing that is done for the kind.
    """

    kind: str
    name: str
    starts_on: date
    ends_on: date
    words: Mapping[str, Mapping[str, str]]
    trigger: Trigger = Trigger.HAND
    awaited: Mapping[str, Any] = field(default_factory=dict)
    area: tuple[str, str] | None = None
    season: Mapping[str, str] | None = None
    action: str | None = None
    cool_down_h: int = 24
    follow_up_h: int | None = 6


@dataclass(frozen=True, slots=True)
class Agreement:
    """What says that a coordinator has looked.

    Attributes:
        limit: more recipients than that are confirmed.
        given: `confirm`, as the refusal before had it.
        secret: what confirmations are derived with.
    """

    limit: int
    secret: str
    given: str | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a coordinator should know and may leave as it is; `code` is stable."""

    code: str
    language: str | None = None
    length: int | None = None


def create(
    session: Session,
    place: JurisdictionRef,
    wish: Wish,
    person_id: UUID,
    agreement: Agreement,
    *,
    now: datetime,
) -> Campaign:
    """Enter a campaign.

    Raises:
        UnknownKindError, NotAdoptableError, UnknownAreaError, UnknownActionError, WindowError,
        WordsError, TriggerError: it cannot be.
        ConfirmationNeededError: it would reach nobody, or very many.
    """
    kind = check(session, place, wish, now=now)
    found = reach(session, place, kind_id=kind.id, area=wish.area)
    confirmed = agree(found, None, about(place, kind.id, wish.area), agreement)
    campaign = Campaign(
        jurisdiction_id=place.id,
        state=CampaignState.ACTIVE.value,
        version=1,
        confirmed=confirmed,
        created_by=person_id,
        created_at=now,
        updated_at=now,
    )
    _write(campaign, place, wish, kind, now)
    session.add(campaign)
    session.flush()
    return campaign


def change(
    session: Session, campaign: Campaign, wish: Wish, agreement: Agreement, *, now: datetime
) -> Campaign:
    """Change a campaign that was taken; what went out stays as it was.

    Raises:
        CampaignOverError
        And what `create` raises.
    """
    if campaign.state == CampaignState.ENDED:
        raise CampaignOverError
    place = jurisdictions.by_id(session, campaign.jurisdiction_id)
    kind = check(session, place, wish, now=now)
    is_elsewhere = (kind.id, wish.area) != (campaign.kind_id, area_of(campaign))
    before = None if is_elsewhere else campaign.confirmed
    found = reach(session, place, kind_id=kind.id, area=wish.area)
    confirmed = agree(found, before, about(place, kind.id, wish.area), agreement)
    campaign.confirmed = before if confirmed is None else confirmed
    _write(campaign, place, wish, kind, now)
    _touch(campaign, now)
    session.flush()
    return campaign


def set_state(
    session: Session,
    campaign: Campaign,
    state: CampaignState,
    agreement: Agreement,
    *,
    now: datetime,
) -> Campaign:
    """Pause a campaign that was taken, let it go on, or end it for good.

    Raises:
        CampaignOverError: it was ended.
        ConfirmationNeededError: going on, it would reach nobody, or very many.
    """
    if campaign.state == CampaignState.ENDED:
        if state is CampaignState.ENDED:
            return campaign
        raise CampaignOverError
    if state is CampaignState.ACTIVE and campaign.state != CampaignState.ACTIVE:
        place = jurisdictions.by_id(session, campaign.jurisdiction_id)
        area = area_of(campaign)
        found = reach(session, place, kind_id=campaign.kind_id, area=area)
        confirmed = agree(
            found, campaign.confirmed, about(place, campaign.kind_id, area), agreement
        )
        campaign.confirmed = campaign.confirmed if confirmed is None else confirmed
        campaign.next_at = due_next(campaign, place, now)
        campaign.held_because = None
    campaign.state = state.value
    _touch(campaign, now)
    session.flush()
    return campaign


def end_what_is_over(session: Session, *, now: datetime) -> int:
    """End the campaigns whose last day has passed in their city; how many."""
    count = 0
    for place in jurisdictions.all_of_them(session):
        ended = session.execute(
            sa.update(Campaign)
            .where(
                Campaign.jurisdiction_id == place.id,
                Campaign.state != CampaignState.ENDED.value,
                Campaign.ends_on < now.astimezone(place.time_zone).date(),
            )
            .values(state=CampaignState.ENDED.value, version=Campaign.version + 1, updated_at=now)
            .returning(Campaign.id)
            .execution_options(synchronize_session=False)
        )
        count += len(ended.all())
    return count


def take(session: Session, campaign_id: UUID) -> Campaign:
    """The campaign, locked until the end of the transaction.

    Raises:
        NotFoundError
    """
    campaign = session.scalar(
        sa.select(Campaign)
        .where(Campaign.id == campaign_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if campaign is None:
        raise NotFoundError
    return campaign


def check(session: Session, place: JurisdictionRef, wish: Wish, *, now: datetime) -> KindEntry:
    """See that a campaign can be as it is wanted; its kind. Raises as `create` does."""
    kind = kinds_of(session, place.id).kind(wish.kind)
    if not kind.is_adoptable:
        raise NotAdoptableError
    if wish.area is not None and not addressing.has_area(place, wish.area):
        known = sorted(f"{ref.layer}:{ref.code}" for ref in place.areas.refs)
        raise UnknownAreaError(field="area", areas=known[:_OFFERED])
    today = now.astimezone(place.time_zone).date()
    if wish.starts_on > wish.ends_on or wish.ends_on < today:
        raise WindowError(field="ends_on")
    _season(wish)
    if wish.action is not None:
        action = action_of(kind.care, wish.action)
        if action is None or action.is_problem:
            codes = [each.code for each in actions_of(kind.care) if not each.is_problem]
            raise UnknownActionError(f"One of: {', '.join(codes)}.", field="action", actions=codes)
    _check_words(wish.words)
    awaited_of(wish.trigger, wish.awaited)
    if wish.trigger is Trigger.CALENDAR and _due(wish, place, now) is None:
        raise TriggerError("The calendar never sets it off in its window.", field="awaited")
    return kind


def remarks(wish: Wish, *, has_forecast: bool, has_alerts: bool) -> list[Remark]:
    """What a coordinator should know of a campaign that can be."""
    found = [
        Remark("too_long_for_sms", language, len(own["text"]))
        for language, own in sorted(wish.words.items())
        if len(own["text"]) > SMS_TEXT
    ]
    found += [
        Remark("language_missing", language) for language in LANGUAGES if language not in wish.words
    ]
    if wish.trigger is not Trigger.WEATHER:
        found += [
            Remark("no_weather_to_tell", language)
            for language, own in sorted(wish.words.items())
            if any("{weather}" in own[part] for part in ("subject", "text"))
        ]
    else:
        awaited = awaited_of(wish.trigger, wish.awaited)
        is_alert = isinstance(awaited, AwaitedAlert)
        if not (has_alerts if is_alert else has_forecast):
            found.append(Remark("nobody_asked_about_weather"))
    return found


def awaited_of(trigger: Trigger, stored: Mapping[str, Any]) -> Awaited | AwaitedAlert | None:
    """What of the weather sets a campaign off; None for other triggers.

    Raises:
        TriggerError: it is not said, or not whole.
    """
    if trigger is Trigger.HAND:
        return None
    if trigger is Trigger.CALENDAR:
        _calendar(stored)
        return None
    thresholds = stored.get("thresholds")
    if thresholds:
        return Awaited(
            {Measure(name): float(value) for name, value in thresholds.items()},
            int(stored.get("within_h", 24)),
        )
    if "severity" in stored or stored.get("events"):
        return AwaitedAlert(
            tuple(stored.get("events", ())),
            Severity(stored.get("severity", Severity.MODERATE.value)),
        )
    raise TriggerError("Say what of the weather sets it off.", field="awaited")


def wish_of(session: Session, campaign: Campaign) -> Wish:
    """A campaign as it is wanted now: what a change begins with."""
    return Wish(
        kind=kinds_of(session, campaign.jurisdiction_id).by_id[campaign.kind_id].code,
        name=campaign.name,
        starts_on=campaign.starts_on,
        ends_on=campaign.ends_on,
        words=campaign.words,
        trigger=Trigger(campaign.trigger),
        awaited=campaign.awaited,
        area=area_of(campaign),
        season=campaign.season,
        action=campaign.action,
        cool_down_h=campaign.cool_down_h,
        follow_up_h=campaign.follow_up_h,
    )


def agree(found: Reach, confirmed: int | None, meant: str, agreement: Agreement) -> int | None:
    """The number that is confirmed by this call; None: nothing had to be.

    Raises:
        ConfirmationNeededError
    """
    doubt = doubt_of(found, limit=agreement.limit, confirmed=confirmed)
    if doubt is None:
        return None
    number = confirmed_number(doubt, found, meant, agreement.given, secret=agreement.secret)
    if number is None:
        raise confirmation(doubt, found, meant, secret=agreement.secret)
    return number


def about(place: JurisdictionRef, kind_id: int, area: tuple[str, str] | None) -> str:
    """What a confirmation is for: another area or kind has other people."""
    return f"{place.id}|{kind_id}|{':'.join(area) if area else ''}"


def due_next(campaign: Campaign, place: JurisdictionRef, after: datetime) -> datetime | None:
    """When the calendar sets a campaign off next."""
    if campaign.trigger != Trigger.CALENDAR:
        return None
    first, repeat = _calendar(campaign.awaited)
    return next_due(
        first,
        repeat,
        after,
        zone=place.time_zone,
        window=(campaign.starts_on, campaign.ends_on),
        season=Season.of(campaign.season),
    )


def _due(wish: Wish, place: JurisdictionRef, after: datetime) -> datetime | None:
    first, repeat = _calendar(wish.awaited)
    return next_due(
        first,
        repeat,
        after,
        zone=place.time_zone,
        window=(wish.starts_on, wish.ends_on),
        season=_season(wish),
    )


def _calendar(stored: Mapping[str, Any]) -> tuple[datetime, Repeat]:
    try:
        first = datetime.fromisoformat(stored["at"])
        repeat = Repeat(stored.get("repeat", Repeat.ONCE.value))
    except (KeyError, TypeError, ValueError) as error:
        raise TriggerError("Say at which local day and time.", field="awaited") from error
    if first.tzinfo is not None:
        raise TriggerError("Say the time by the city's clock, without a zone.", field="awaited")
    return first, repeat


def _season(wish: Wish) -> Season | None:
    try:
        return Season.of(dict(wish.season) if wish.season else None)
    except (KeyError, ValueError) as error:
        raise WindowError("The season is from a day to a day, as 11-15.", field="season") from error


def _check_words(words: Mapping[str, Mapping[str, str]]) -> None:
    if not words:
        raise WordsError("Say something, in one language at least.", field="words")
    for language, own in words.items():
        if language not in LANGUAGES:
            spoken = " and ".join(LANGUAGES)
            raise WordsError(f"Letters are written in {spoken}.", field=f"words.{language}")
        for part in ("subject", "text"):
            text = own.get(part, "")
            if not text.strip():
                raise WordsError("There are no words.", field=f"words.{language}.{part}")
            unknown = _unique(unknown_placeholders(text))
            if unknown:
                raise WordsError(
                    f"There is no placeholder {', '.join(unknown)}.",
                    field=f"words.{language}.{part}",
                    placeholders=unknown,
                )


def _unique(names: Iterable[str]) -> Sequence[str]:
    return list(dict.fromkeys(names))


def _write(
    campaign: Campaign, place: JurisdictionRef, wish: Wish, kind: KindEntry, now: datetime
) -> None:
    campaign.kind_id = kind.id
    campaign.area_layer, campaign.area_code = wish.area or (None, None)
    campaign.name = " ".join(clean(wish.name).split())
    campaign.starts_on, campaign.ends_on = wish.starts_on, wish.ends_on
    campaign.season = dict(wish.season) if wish.season else None
    campaign.words = {
        language: {
            "subject": " ".join(clean(own["subject"]).split()),
            "text": clean(own["text"]).strip(),
        }
        for language, own in wish.words.items()
    }
    usual = next(each.code for each in actions_of(kind.care) if not each.is_problem)
    campaign.action = wish.action or usual
    campaign.trigger = wish.trigger.value
    campaign.awaited = dict(wish.awaited) if wish.trigger is not Trigger.HAND else {}
    campaign.cool_down_h, campaign.follow_up_h = wish.cool_down_h, wish.follow_up_h
    campaign.next_at = due_next(campaign, place, now)


def _touch(campaign: Campaign, now: datetime) -> None:
    campaign.version += 1
    campaign.updated_at = now
