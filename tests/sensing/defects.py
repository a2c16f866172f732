"""Road defects as fusing leaves them, and what the tests of cases share."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo import jurisdictions
from geo.cells import cell_of, parent_of
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point
from geo.models import Jurisdiction
from reports.models import Service
from sensing.acting.models import DefectCase
from sensing.fusing import defect_id
from sensing.models import RoadDefect, RoadSighting
from tests.factories import COMEDIE, WEDNESDAY, new_jurisdiction, new_service

#: The day of WEDNESDAY, and the days before it, since 1970-01-01.
TODAY = (WEDNESDAY.date() - date(1970, 1, 1)).days

SECRET = "a key of these tests"
BASE_URL = "https://ville.example"


def new_road_city(
    session: Session, *, service: dict[str, Any] | None = None, **policy: Any
) -> tuple[JurisdictionRef, Service]:
    """A city that opens requests for defects, and their service."""
    city = new_jurisdiction(session, policy={"road_defects": {"service": "nid-de-poule", **policy}})
    made = new_service(session, city, code="nid-de-poule", **(service or {}))
    return place_of(session, city), made


def place_of(session: Session, city: Jurisdiction) -> JurisdictionRef:
    jurisdictions.forget()
    return jurisdictions.by_id(session, city.id)


def new_defect(
    session: Session,
    place: JurisdictionRef,
    *,
    point: Point = COMEDIE,
    octant: int = 0,
    **values: Any,
) -> RoadDefect:
    """A hole that 14 of 17 trips felt: actionable by its form."""
    cell = cell_of(point, 12)
    defect = RoadDefect(
        **{
            "id": defect_id(cell, octant),
            "jurisdiction_id": place.id,
            "cell": cell,
            "packet": parent_of(cell, 10),
            "octant": octant,
            "place_cell": cell_of(point),
            "lat": point.lat,
            "lon": point.lon,
            "error_m": 3.0,
            "heading_deg": octant * 45.0,
            "belief": 0.97,
            "severity": 5.2,
            "hits": 14,
            "passes": 17,
            "first_day": TODAY - 20,
            "last_day": TODAY - 1,
            "width_m": 3.8,
            "symmetry": -0.7,
            "updated_on": WEDNESDAY.date(),
            **values,
        }
    )
    session.add(defect)
    session.flush()
    return defect


def drive_over(
    session: Session, case: DefectCase | RoadDefect, day: int, **counts: int
) -> RoadSighting:
    """What the trips of a day felt there."""
    figures = dict.fromkeys(
        (
            *("passes", "weak", "strong", "weight", "north", "east", "square"),
            *("severity", "shaped", "width", "symmetry"),
        ),
        0,
    )
    row = RoadSighting(
        packet=case.packet, cell=case.cell, octant=case.octant, day=day, **figures | counts
    )
    session.add(row)
    session.flush()
    return row


def cases_of(session: Session) -> list[DefectCase]:
    return list(session.scalars(sa.select(DefectCase).order_by(DefectCase.opened_at)))


def case_of(session: Session, defect: RoadDefect | UUID) -> DefectCase:
    id_ = defect if isinstance(defect, UUID) else defect.id
    return session.scalars(sa.select(DefectCase).where(DefectCase.defect_id == id_)).one()


def at(day: int, hour: int = 2) -> datetime:
    """An instant of a count of days."""
    return datetime.fromtimestamp(day * 86_400 + hour * 3600, UTC)
