"""Reads of adoption: one's own, an asset's adopters as everybody sees them, history, names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.actors import Scope
from accounts.models import Person
from accounts.naming import public_name
from accounts.rules import Display
from assets import queries as register_queries
from assets.adoption.models import Adoption, AdoptionEntry, AdoptionWait, Handover
from assets.adoption.vocabulary import WAITS, HandoverState
from assets.kinds import KindEntry, kinds_of
from assets.models import Asset
from assets.paging import latest_first
from assets.queries import Filters, Found
from core.pagination import Page
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point

#: So many free ones are offered to somebody who came too late, within a walk of them.
NEAREST_FREE = 3
NEAREST_FREE_M = 2_000.0


@dataclass(frozen=True, slots=True)
class AssetRef:
    """As much of an asset as a volunteer needs to find it."""

    id: UUID
    code: str
    kind: KindEntry
    place: JurisdictionRef
    point: Point
    state: str


@dataclass(frozen=True, slots=True)
class Held:
    """An adoption with its asset, for its adopter or a coordinator."""

    adoption: Adoption
    asset: AssetRef
    handover: Handover | None = None


@dataclass(frozen=True, slots=True)
class Waited:
    """A row of a waiting list with its asset."""

    wait: AdoptionWait
    asset: AssetRef
    position: int


@dataclass(frozen=True, slots=True)
class Shown:
    """An adopter of an asset as everybody sees them."""

    since: datetime
    adopter: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Public:
    """Who looks after an asset, and whether there is room."""

    asset: AssetRef
    capacity: int
    is_adoptable: bool
    adopters: Sequence[Shown]
    waiting: int


def shown(session: Session, asset_ids: Collection[UUID]) -> Mapping[UUID, Sequence[Shown]]:
    """By asset: its adopters as everybody sees them; those that nobody looks after are left out."""
    rows = session.execute(
        sa.select(
            Adoption.asset_id,
            Adoption.begun_at,
            Adoption.shows_name,
            Adoption.name,
            Person.name.label("person_name"),
            Person.display,
        )
        .outerjoin(Person, Person.id == Adoption.person_id)
        .where(Adoption.asset_id.in_(list(asset_ids)), Adoption.ended_at.is_(None))
        .order_by(Adoption.slot)
    )
    found: dict[UUID, list[Shown]] = {}
    for row in rows:
        adopter = None
        if row.shows_name and row.display is not None:
            adopter = public_name(row.person_name, Display(row.display))
        found.setdefault(row.asset_id, []).append(Shown(row.begun_at, adopter, row.name))
    return found


def public(session: Session, asset_id: UUID) -> Public | None:
    """Who looks after an asset; None: there is no such asset."""
    asset = session.get(Asset, asset_id)
    if asset is None:
        return None
    ref = refer(session, [asset])[asset.id]
    waiting = session.scalar(
        sa.select(sa.func.count())
        .select_from(AdoptionWait)
        .where(AdoptionWait.asset_id == asset_id, _WAITING)
    )
    return Public(
        asset=ref,
        capacity=ref.kind.adoption.capacity,
        is_adoptable=ref.kind.is_adoptable and ref.kind.is_active,
        adopters=shown(session, [asset_id]).get(asset_id, ()),
        waiting=waiting or 0,
    )


def standing(session: Session, asset_id: UUID, person_id: UUID) -> tuple[bool, AdoptionWait | None]:
    """Whether somebody looks after an asset, and their place on its waiting list."""
    holds = sa.exists().where(
        Adoption.asset_id == asset_id,
        Adoption.person_id == person_id,
        Adoption.ended_at.is_(None),
    )
    wait = session.scalar(
        sa.select(AdoptionWait).where(
            AdoptionWait.asset_id == asset_id, AdoptionWait.person_id == person_id, _WAITING
        )
    )
    return bool(session.scalar(sa.select(holds))), wait


def nearest_free(session: Session, asset_id: UUID) -> list[Found]:
    """The nearest assets of the same kind that can be adopted now."""
    asset = session.get(Asset, asset_id)
    if asset is None:
        return []
    ref = refer(session, [asset])[asset.id]
    return register_queries.nearest(
        session,
        Filters(
            places=(ref.place,),
            near=ref.point,
            radius_m=NEAREST_FREE_M,
            kinds=(ref.kind.code,),
            adopted=False,
        ),
        most=NEAREST_FREE,
    )


def of_person(
    session: Session, person_id: UUID, *, ended: bool, cursor: str | None, limit: int
) -> Page[Held]:
    """Somebody's adoptions, the latest first: those that hold, or those that have ended.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    over = Adoption.ended_at.is_not(None) if ended else Adoption.ended_at.is_(None)
    query = sa.select(Adoption).where(Adoption.person_id == person_id, over)
    return _page(session, query, cursor, limit)


def waits_of(session: Session, person_id: UUID) -> list[Waited]:
    """Where somebody waits, or is offered a place."""
    line = sa.func.row_number().over(
        partition_by=AdoptionWait.asset_id, order_by=(AdoptionWait.since, AdoptionWait.id)
    )
    mine = sa.select(AdoptionWait.asset_id).where(AdoptionWait.person_id == person_id, _WAITING)
    ranked = (
        sa.select(AdoptionWait.id, line.label("position"))
        .where(AdoptionWait.asset_id.in_(mine), _WAITING)
        .subquery()
    )
    rows = session.execute(
        sa.select(AdoptionWait, ranked.c.position, Asset)
        .join(ranked, ranked.c.id == AdoptionWait.id)
        .join(Asset, Asset.id == AdoptionWait.asset_id)
        .where(AdoptionWait.person_id == person_id)
        .order_by(AdoptionWait.id)
    ).all()
    refs = refer(session, [row.Asset for row in rows])
    return [Waited(row.AdoptionWait, refs[row.Asset.id], row.position) for row in rows]


def names_waiting(session: Session, scope: Scope, *, cursor: str | None, limit: int) -> Page[Held]:
    """Names that wait to be approved where somebody coordinates.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    query = sa.select(Adoption).where(
        Adoption.name_wanted.is_not(None),
        Adoption.ended_at.is_(None),
        Adoption.jurisdiction_id.in_(scope.jurisdiction_ids),
    )
    return _page(session, query, cursor, limit)


def held(session: Session, adoption: Adoption) -> Held:
    """One adoption with its asset."""
    return _held(session, [adoption])[0]


def history_of(session: Session, asset_id: UUID) -> Sequence[tuple[AdoptionEntry, Adoption]]:
    """Everything that happened to the adoptions of an asset, the oldest first."""
    rows = session.execute(
        sa.select(AdoptionEntry, Adoption)
        .join(Adoption, Adoption.id == AdoptionEntry.adoption_id)
        .where(Adoption.asset_id == asset_id)
        .order_by(AdoptionEntry.id)
    )
    return [(row[0], row[1]) for row in rows]


def refer(session: Session, assets: Collection[Asset]) -> dict[UUID, AssetRef]:
    """What volunteers need of these assets."""
    return {
        asset.id: AssetRef(
            id=asset.id,
            code=asset.code,
            kind=kinds_of(session, asset.jurisdiction_id).by_id[asset.kind_id],
            place=jurisdictions.by_id(session, asset.jurisdiction_id),
            point=Point(asset.lat, asset.lon),
            state=asset.state,
        )
        for asset in assets
    }


_WAITING = AdoptionWait.state.in_([state.value for state in WAITS])


def _page(
    session: Session, query: sa.Select[Adoption], cursor: str | None, limit: int
) -> Page[Held]:
    page = latest_first(session, query, Adoption.id, cursor=cursor, limit=limit)
    return Page(_held(session, [row.Adoption for row in page.items]), page.next)


def _held(session: Session, adoptions: Sequence[Adoption]) -> list[Held]:
    ids = {adoption.asset_id for adoption in adoptions}
    assets = session.scalars(sa.select(Asset).where(Asset.id.in_(ids))).all() if ids else []
    refs = refer(session, assets)
    handovers: dict[UUID, Handover] = {}
    if adoptions:
        for handover in session.scalars(
            sa.select(Handover).where(
                Handover.adoption_id.in_([adoption.id for adoption in adoptions]),
                Handover.state == HandoverState.OFFERED.value,
            )
        ):
            handovers[handover.adoption_id] = handover
    return [
        Held(adoption, refs[adoption.asset_id], handovers.get(adoption.id))
        for adoption in adoptions
    ]
