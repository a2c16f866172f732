"""Who looks after what, for those who write to adopters: of a kind, in an area, in a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Person
from assets.adoption.models import Adoption
from assets.models import Asset
from assets.vocabulary import STATES_THERE
from core.errors import InvalidError
from geo.jurisdictions import JurisdictionRef
from geo.measures import Box, Point


class UnknownAreaError(InvalidError):
    """The city has no such area; `areas` names some that it has."""

    code = "unknown_area"
    title = "There is no such area here"


@dataclass(frozen=True, slots=True)
class Aim:
    """Which adopted assets are meant; None leaves a thing open.

    Attributes:
        area: layer and code.
    """

    kind_id: int | None = None
    area: tuple[str, str] | None = None
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Adopter:
    """Somebody who can be reached, and one asset that they look after."""

    adoption_id: UUID
    asset_id: UUID
    person_id: UUID
    kind_id: int
    code: str
    name: str | None
    point: Point
    locale: str | None
    has_email: bool
    has_phone: bool


def has_area(place: JurisdictionRef, area: tuple[str, str]) -> bool:
    """Whether the city has that area."""
    return any((ref.layer, ref.code) == area for ref in place.areas.refs)


def adopters(
    session: Session, place: JurisdictionRef, aim: Aim, *but: sa.ColumnElement[bool]
) -> list[Adopter]:
    """Everybody who can be reached and looks after such an asset that is there; one statement.

    In order of people and their assets.

    Args:
        but: further conditions, on `Adoption`, `Asset` and `Person`.
    """
    query = (
        sa.select(
            Adoption.id,
            Adoption.asset_id,
            Adoption.person_id,
            Adoption.kind_id,
            Adoption.name,
            Asset.code,
            Asset.lat,
            Asset.lon,
            Person.locale,
            Person.email.is_not(None).label("has_email"),
            Person.phone.is_not(None).label("has_phone"),
        )
        .join(Asset, Asset.id == Adoption.asset_id)
        .join(Person, Person.id == Adoption.person_id)
        .where(
            Adoption.jurisdiction_id == place.id,
            Adoption.ended_at.is_(None),
            Asset.state.in_([state.value for state in STATES_THERE]),
            Person.is_active,
            sa.or_(Person.email.is_not(None), Person.phone.is_not(None)),
            *but,
        )
        .order_by(Adoption.person_id, Asset.code, Adoption.id)
    )
    if aim.kind_id is not None:
        query = query.where(Adoption.kind_id == aim.kind_id)
    if aim.box is not None:
        inside = [
            sa.and_(
                Asset.lat.between(part.south, part.north), Asset.lon.between(part.west, part.east)
            )
            for part in aim.box.parts()
        ]
        query = query.where(sa.or_(*inside))
    found = [
        Adopter(
            row.id,
            row.asset_id,
            row.person_id,
            row.kind_id,
            row.code,
            row.name,
            Point(row.lat, row.lon),
            row.locale,
            row.has_email,
            row.has_phone,
        )
        for row in session.execute(query)
    ]
    return found if aim.area is None else _within(place, aim.area, found)


def _within(
    place: JurisdictionRef, area: tuple[str, str], found: Sequence[Adopter]
) -> list[Adopter]:
    areas = place.areas.containing([each.point for each in found])
    return [
        each
        for each, around in zip(found, areas, strict=True)
        if any((ref.layer, ref.code) == area for ref in around)
    ]
