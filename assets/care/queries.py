"""Reads of care: an asset's, one's own with its streak, what is neglected, hours for the city."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.models import Person
from assets.adoption.models import Adoption
from assets.adoption.queries import AssetRef, refer
from assets.care.models import Care, CareCall
from assets.care.rules import action_of, neglected_before, streak
from assets.care.vocabulary import CallState
from assets.kinds import KindEntry, kinds_of
from assets.models import Asset
from assets.paging import latest_first
from assets.vocabulary import STATES_THERE
from core.pagination import Page
from geo import jurisdictions

#: Columns of the export of hours.
HOURS_COLUMNS = (
    "volunteer", "name", "kind", "asset", "action", "at", "minutes", "quantity", "adopter",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Logged:
    """One care with its asset."""

    care: Care
    asset: AssetRef


@dataclass(frozen=True, slots=True)
class Tally:
    """What one person has done: for the certificate, and to look back on; nobody is compared.

    Attributes:
        actions: by kind and action: how often, and the sum of the quantities.
        streak: spans of the kind's days in a row, of the best of their kinds.
    """

    entries: int
    minutes: int
    assets: int
    first: datetime | None
    last: datetime | None
    actions: Sequence[tuple[KindEntry, str, int, float]]
    streak: int


@dataclass(frozen=True, slots=True)
class Neglected:
    """An adopted asset that nobody has cared for in a while."""

    asset: AssetRef
    adoption_id: UUID
    since: datetime
    is_called: bool


def of_asset(session: Session, asset_id: UUID, *, cursor: str | None, limit: int) -> Page[Logged]:
    """What was done for an asset, the latest first.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    return _page(session, Care.asset_id == asset_id, cursor, limit)


def of_person(session: Session, person_id: UUID, *, cursor: str | None, limit: int) -> Page[Logged]:
    """What somebody did, the latest first.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    return _page(session, Care.person_id == person_id, cursor, limit)


def tally(
    session: Session,
    person_id: UUID,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    now: datetime,
) -> Tally:
    """What one person did in a time, summed up; problems seen count as entries too."""
    which = [Care.person_id == person_id]
    if since is not None:
        which.append(Care.at >= since)
    if until is not None:
        which.append(Care.at < until)
    total = session.execute(
        sa.select(
            sa.func.count().label("entries"),
            sa.func.coalesce(sa.func.sum(Care.minutes), 0).label("minutes"),
            sa.func.count(Care.asset_id.distinct()).label("assets"),
            sa.func.min(Care.at).label("first"),
            sa.func.max(Care.at).label("last"),
        ).where(*which)
    ).one()
    rows = session.execute(
        sa.select(
            Care.jurisdiction_id,
            Care.kind_id,
            Care.action,
            sa.func.count().label("times"),
            sa.func.coalesce(sa.func.sum(Care.quantity), 0.0).label("quantity"),
        )
        .where(*which)
        .group_by(Care.jurisdiction_id, Care.kind_id, Care.action)
        .order_by(sa.text("times DESC"), Care.kind_id, Care.action)
    ).all()
    return Tally(
        entries=total.entries,
        minutes=total.minutes,
        assets=total.assets,
        first=total.first,
        last=total.last,
        actions=[
            (
                kinds_of(session, row.jurisdiction_id).by_id[row.kind_id],
                row.action,
                row.times,
                row.quantity,
            )
            for row in rows
        ],
        streak=_streak(session, person_id, now),
    )


def neglected(
    session: Session, jurisdiction_id: int, *, kind: str | None, now: datetime, limit: int
) -> list[Neglected]:
    """Adopted assets that were not cared for as often as their kind asks in its season, or that a
    passer-by called for in vain; the longest first."""
    place = jurisdictions.by_id(session, jurisdiction_id)
    day = now.astimezone(place.time_zone).date()
    last = (
        sa.select(sa.func.max(Care.at))
        .where(Care.asset_id == Adoption.asset_id, sa.not_(Care.is_problem))
        .scalar_subquery()
    )
    called = sa.exists().where(
        CareCall.asset_id == Adoption.asset_id, CareCall.state == CallState.OPEN.value
    )
    since = sa.func.greatest(Adoption.begun_at, last)
    conditions: list[sa.ColumnElement[bool]] = []
    for each in kinds_of(session, jurisdiction_id).offered():
        if kind is not None and each.code != kind:
            continue
        before = neglected_before(each.care, each.season, now, day)
        is_late = called if before is None else sa.or_(called, since < before)
        conditions.append(sa.and_(Adoption.kind_id == each.id, is_late))
    if not conditions:
        return []
    rows = session.execute(
        sa.select(Adoption.id, Asset, since.label("cared_at"), called.label("is_called"))
        .join(Asset, Asset.id == Adoption.asset_id)
        .where(
            Adoption.jurisdiction_id == jurisdiction_id,
            Adoption.ended_at.is_(None),
            Asset.state.in_([state.value for state in STATES_THERE]),
            sa.or_(*conditions),
        )
        .order_by(sa.text("cared_at"), Adoption.id)
        .limit(limit)
    ).all()
    refs = refer(session, [row.Asset for row in rows])
    return [Neglected(refs[row.Asset.id], row.id, row.cared_at, row.is_called) for row in rows]


def hours(
    session: Session, jurisdiction_id: int, *, since: datetime, until: datetime
) -> Iterator[Sequence[Any]]:
    """Every care of a time for the city's report, in the order of `HOURS_COLUMNS`.

    A volunteer who was erased has an id and no name.
    """
    kinds: Mapping[int, KindEntry] = kinds_of(session, jurisdiction_id).by_id
    rows = session.execute(
        sa.select(Care, Person.name, Asset.code)
        .join(Asset, Asset.id == Care.asset_id)
        .outerjoin(Person, Person.id == Care.person_id)
        .where(Care.jurisdiction_id == jurisdiction_id, Care.at >= since, Care.at < until)
        .order_by(Care.at, Care.id)
    )
    for care, name, code in rows:
        yield (
            str(care.person_id),
            name,
            kinds[care.kind_id].code,
            code,
            care.action,
            care.at,
            care.minutes,
            care.quantity,
            "yes" if care.adoption_id else "no",
        )


def action_name(kind: KindEntry, code: str) -> Mapping[str, str]:
    """What an action is called; one that the kind no longer knows by its code."""
    action = action_of(kind.care, code)
    return action.names if action is not None else {"fr": code, "en": code}


def _streak(session: Session, person_id: UUID, now: datetime) -> int:
    days: dict[tuple[int, int], set[date]] = {}
    for row in session.execute(
        sa.select(Care.jurisdiction_id, Care.kind_id, Care.at).where(
            Care.person_id == person_id, sa.not_(Care.is_problem)
        )
    ):
        place = jurisdictions.by_id(session, row.jurisdiction_id)
        key = (row.jurisdiction_id, row.kind_id)
        days.setdefault(key, set()).add(row.at.astimezone(place.time_zone).date())
    best = 0
    for (place_id, kind_id), cared in days.items():
        zone = jurisdictions.by_id(session, place_id).time_zone
        every = kinds_of(session, place_id).by_id[kind_id].care.every_days
        best = max(best, streak(cared, every, now.astimezone(zone).date()))
    return best


def _page(
    session: Session, which: sa.ColumnElement[bool], cursor: str | None, limit: int
) -> Page[Logged]:
    query = sa.select(Care, Asset).join(Asset, Asset.id == Care.asset_id).where(which)
    rows = latest_first(session, query, Care.id, cursor=cursor, limit=limit)
    refs = refer(session, [row.Asset for row in rows.items])
    return Page([Logged(row.Care, refs[row.Asset.id]) for row in rows.items], rows.next)
