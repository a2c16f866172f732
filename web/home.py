"""The first page: what runs here, which cities it serves, where to go next. And a team's queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from flask import current_app
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from accounts.access import EVERYONE, allow
from core.clock import utc_now
from core.db import reading
from core.errors import NotFoundError
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from reports.models import Service, ServiceRequest
from web.pages import blueprint, page


@dataclass(frozen=True, slots=True)
class Installation:
    """What the pages say about this installation.

    Attributes:
        mail_folder: where messages are written when no mail server is set; None when one is.
        is_development: whether this is somebody's own machine, and hints for trying are welcome.
    """

    mail_folder: str | None
    is_development: bool


@dataclass(frozen=True, slots=True)
class CityLine:
    """A city on the first page, with what happened there since midnight, its own time."""

    place: JurisdictionRef
    services: int
    received_today: int
    resolved_today: int


@blueprint.get("/")
@allow(EVERYONE)
def home() -> ResponseReturnValue:
    """What runs here."""
    now = utc_now()
    with reading() as session:
        places = jurisdictions.all_of_them(session)
        cities = [_city(session, place, now) for place in places]
        default = current_app.config["DEFAULT_JURISDICTION"]
        cities.sort(key=lambda city: (city.place.code != default, -city.services, city.place.code))
        example = _example(session, [city.place for city in cities])
    return page(
        "home.html",
        cities=cities,
        example=example,
        installation=current_app.extensions["installation"],
        base_url=current_app.config["BASE_URL"],
    )


@blueprint.get("/staff/queues/<team>")
@allow(EVERYONE)
def queue(team: str) -> ResponseReturnValue:
    """Where a digest leads: how to read the queue. The work itself is shown to staff only."""
    if len(team) > 80:
        raise NotFoundError
    return page("queue.html", team=team, base_url=current_app.config["BASE_URL"])


def _city(session: Session, place: JurisdictionRef, now: datetime) -> CityLine:
    """Counted along indexes from midnight on, so that a million old reports cost nothing."""
    midnight = now.astimezone(place.time_zone).replace(hour=0, minute=0, second=0, microsecond=0)
    here = ServiceRequest.jurisdiction_id == place.id
    received, resolved, services = session.execute(
        sa.select(
            sa.select(sa.func.count())
            .where(here, ServiceRequest.requested_at >= midnight)
            .scalar_subquery(),
            sa.select(sa.func.count())
            .where(
                here,
                ServiceRequest.updated_at >= midnight,
                ServiceRequest.resolved_at >= midnight,
            )
            .scalar_subquery(),
            sa.select(sa.func.count())
            .where(Service.jurisdiction_id == place.id, Service.is_active)
            .scalar_subquery(),
        )
    ).one()
    return CityLine(place, services, received, resolved)


@dataclass(frozen=True, slots=True)
class Example:
    """A report that a newcomer could file: a service that asks nothing, in the first city."""

    service_code: str
    lat: float
    lon: float


def _example(session: Session, places: Sequence[JurisdictionRef]) -> Example | None:
    for place in places:
        center = place.policy.get("center")
        code = session.scalar(
            sa.select(Service.code)
            .where(
                Service.jurisdiction_id == place.id,
                Service.is_active,
                Service.emergency.is_(None),
                sa.func.jsonb_array_length(Service.attributes) == 0,
            )
            .order_by(Service.position, Service.id)
            .limit(1)
        )
        if center and code:
            return Example(code, center["lat"], center["lon"])
    return None
