"""The nightly forecasts of closing, city by city, each in a transaction of its own."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from core.db import reading, transaction
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from reports.forecast import foreseeing
from reports.models import ClosingForecast

#: The hour of a city's own night in which its forecasts are computed.
NIGHT_HOUR = 3


def recompute_due(now: datetime) -> int:
    """Compute the forecasts of cities where it is night, or that have none; how many changed."""
    with reading() as session:
        known = set(session.scalars(sa.select(ClosingForecast.jurisdiction_id).distinct()))
        due = [
            place
            for place in jurisdictions.all_of_them(session)
            if place.id not in known or now.astimezone(place.time_zone).hour == NIGHT_HOUR
        ]
    return sum(recompute(place, now) for place in due)


def recompute(place: JurisdictionRef, now: datetime) -> bool:
    """Compute one city's forecasts; every process reads them when the city's version moves."""
    # Loading knows polygons, which the couriers have no use for.
    from geo.loading import touch

    with transaction() as session:
        is_changed = foreseeing.recompute(session, place, now=now)
        if is_changed:
            touch(session, place.id)
    return is_changed
