"""What campaigns need of the workers: the calendar, the question afterwards, and the weather.

Whoever knows the weather is somebody else's server: cities are claimed, the server is asked with
nothing open, and each campaign is looked at in a transaction of its own. Two beats at once do it
once; one that fails is done by the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

import structlog
from celery import shared_task
from flask import current_app
from sqlalchemy.orm import Session

from assets.campaigns import answering, keeping, sending
from assets.weather import watching
from assets.weather.providers import Outlook, Providers, Where, geocodes_by_city, providers_of
from assets.weather.rules import cancelled
from assets.weather.vocabulary import Source
from core.clock import utc_now
from core.db import transaction
from geo import jurisdictions
from workers.reacting import each_alone

log = structlog.get_logger()

#: Transactions of one run for each kind of work; the rest follows with the next beat.
ROUNDS = 20

#: No further city is asked about after so long; its lease ends, and the next beat asks.
_LOOKING_S = 30.0


@shared_task(name="campaigns.keep")
def keep_campaigns() -> None:
    """End what is over, send what the calendar says, ask what is to be asked, forget the old."""
    limit = current_app.extensions["settings"].campaign_confirm_above
    with transaction() as session:
        ended = keeping.end_what_is_over(session, now=utc_now())
    with transaction() as session:
        due = sending.due_by_calendar(session, now=utc_now())
    sent = _gone_out(
        due, lambda session, each: sending.by_calendar(session, each, limit=limit, now=utc_now())
    )
    asked = 0
    for _ in range(ROUNDS):
        with transaction() as session:
            count = sending.follow_up(session, now=utc_now())
        asked += count
        if not count:
            break
    with transaction() as session:
        forgotten = answering.forget_old(session, now=utc_now())
    if ended or sent or asked or forgotten:
        log.info("campaigns.kept", ended=ended, sent=sent, asked=asked, forgotten=forgotten)


@shared_task(name="weather.look")
def look_at_weather() -> None:
    """Ask for the weather of every city whose campaigns wait for it."""
    settings = current_app.extensions["settings"]
    providers = providers_of(
        settings.weather_forecast_url,
        settings.weather_alerts_url,
        allow=settings.outgoing_allow,
        timeout_s=settings.weather_timeout_s,
    )
    look(providers, geocodes_by_city(settings.weather_alert_areas))


def look(providers: Providers, geocodes: dict[str, frozenset[str]]) -> int:
    """Claim the cities that are due, ask, and send what is to be sent; how many rounds."""
    sources = [
        source
        for source, provider in (
            (Source.FORECAST, providers.forecast),
            (Source.ALERTS, providers.alerts),
        )
        if provider is not None
    ]
    with transaction() as session:
        waiting = sending.waiting_for_weather(session, now=utc_now())
        due = watching.claim(session, list(waiting), sources, now=utc_now())
        places = [jurisdictions.by_id(session, place_id) for place_id in due]
    stop_at = time.monotonic() + _LOOKING_S
    sent = 0
    for place in places:
        if time.monotonic() >= stop_at:
            log.warning("weather.out_of_time", jurisdiction=place.code)
            break
        where = Where(
            place.code,
            place.boundary.box.centre(),
            place.boundary,
            geocodes.get(place.code, frozenset()),
        )
        outlook = providers.look(where)
        for fault in outlook.faults:
            log.warning(
                "weather.away",
                jurisdiction=place.code,
                source=fault.source.value,
                reason=fault.reason,
            )
        with transaction() as session:
            watching.note(session, place.id, outlook, now=utc_now())
            gone = cancelled(outlook.alerts or (), utc_now())
            watching.take_back(session, place.id, gone, now=utc_now())
        sent += _send(waiting[place.id], outlook, where)
    return sent


def _send(campaign_ids: list[UUID], outlook: Outlook, where: Where) -> int:
    limit = current_app.extensions["settings"].campaign_confirm_above
    count = _gone_out(
        campaign_ids,
        lambda session, each: sending.by_weather(
            session, each, outlook, where, limit=limit, now=utc_now()
        ),
    )
    if count:
        log.info("weather.sent", jurisdiction=where.code, campaigns=count)
    return count


def _gone_out(ids: list[UUID], send: Callable[[Session, UUID], object | None]) -> int:
    """How many of these campaigns went out, each in a transaction of its own."""

    def one(campaign_id: UUID) -> bool:
        with transaction() as session:
            return send(session, campaign_id) is not None

    return each_alone("campaigns.failed", ids, one, named=str).count(True)
