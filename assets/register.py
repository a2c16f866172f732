"""Entering and changing single assets: by staff, or by an accepted correction.

Every change goes the same way, in the caller's transaction:

1. `take` locks the row; the view holds `If-Match` against its version.
2. `change` (or `create`) checks the position and the attributes, writes the row and its next
   version with its origin, and emits what happened. Who adopted the asset, who follows a report
   about it, and other systems hear of it from the event.

Imports write many at once and have their own way: `assets.importing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.people import find_team
from assets import events
from assets.kinds import KindEntry, kinds_of
from assets.models import Asset, AssetVersion
from assets.rules import merged_attributes
from assets.vocabulary import AssetState, Origin, Part
from core.errors import ConflictError, InvalidError, NotFoundError
from core.ids import new_id
from core.outbox import emit
from core.text import clean, fold
from geo import jurisdictions
from geo.cells import cell_of
from geo.measures import Point
from reports.attributes import check

#: Begins the code of an asset that the city has not given one yet: no city's codes begin so.
PROVISIONAL = "+"


class CodeTakenError(ConflictError):
    """Another asset of the kind has that code."""

    code = "code_taken"
    title = "Another asset of this kind has that code"


class AssetAttributesError(InvalidError):
    """Some attributes do not fit the kind."""

    code = "invalid_attributes"
    title = "Some attributes do not fit this kind of asset"


@dataclass(frozen=True, slots=True)
class NewAsset:
    """An asset about to be entered. Without a code it gets a provisional one."""

    point: Point
    code: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    state: AssetState = AssetState.IN_SERVICE
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What is said of an asset; None leaves a thing as it is.

    Attributes:
        attributes: those that are said, an empty value takes one away; others stay.
        owner: code of a team, "" for the kind's.
    """

    point: Point | None = None
    state: AssetState | None = None
    attributes: Mapping[str, Any] | None = None
    code: str | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """Who says it: the origin, the person, and the correction that was accepted, if one was."""

    origin: Origin
    person_id: UUID | None = None
    correction_id: UUID | None = None


def kind_of(session: Session, asset: Asset) -> KindEntry:
    """The kind of an asset."""
    return kinds_of(session, asset.jurisdiction_id).by_id[asset.kind_id]


def team_of(asset: Asset, kind: KindEntry) -> int | None:
    """The team that looks after an asset: its own, else its kind's."""
    return asset.owner_team_id if asset.owner_team_id is not None else kind.owner_team_id


def take(session: Session, asset_id: UUID) -> Asset:
    """The asset as it is now, locked until the transaction ends.

    Raises:
        NotFoundError: there is none.
    """
    asset = session.scalar(
        sa.select(Asset)
        .where(Asset.id == asset_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if asset is None:
        raise NotFoundError
    return asset


def create(session: Session, kind: KindEntry, new: NewAsset, *, by: Said, now: datetime) -> Asset:
    """Enter an asset, in the caller's transaction.

    Raises:
        OutsideJurisdictionError: it stands outside the city.
        AssetAttributesError, CodeTakenError
    """
    place = jurisdictions.by_id(session, kind.jurisdiction_id)
    jurisdictions.resolve(session, code=place.code, point=new.point)
    attributes = checked(kind, new.attributes)
    id_ = new_id()
    code = clean(new.code).strip() if new.code else ""
    asset = Asset(
        id=id_,
        jurisdiction_id=kind.jurisdiction_id,
        kind_id=kind.id,
        code=code or PROVISIONAL + id_.hex[-12:],
        lat=new.point.lat,
        lon=new.point.lon,
        cell=cell_of(new.point),
        attributes=attributes,
        state=new.state.value,
        owner_team_id=_owner(session, kind.jurisdiction_id, new.owner),
        version=1,
        since=now,
        created_at=now,
        adopters=0,
    )
    _refuse_taken(session, kind, asset.code, id_)
    _index(asset)
    session.add(asset)
    session.flush()
    _append(session, asset, [Part.CREATED], by, now)
    _tell(session, events.ADDED, asset, by)
    return asset


def change(
    session: Session, asset: Asset, change: Change, *, by: Said, now: datetime
) -> tuple[Part, ...]:
    """Make a locked asset what is said of it. Returns what is different; nothing may be.

    Raises:
        OutsideJurisdictionError: it would stand outside the city.
        AssetAttributesError, CodeTakenError
    """
    kind = kind_of(session, asset)
    was_there = AssetState(asset.state).is_there
    changed = [
        part
        for part, is_changed in (
            (Part.PLACE, _move(session, asset, change.point)),
            (Part.STATE, _set_state(asset, change.state)),
            (Part.ATTRIBUTES, _set_attributes(asset, kind, change.attributes)),
            (Part.CODE, _set_code(session, asset, kind, change.code)),
            (Part.OWNER, _set_owner(session, asset, change.owner)),
        )
        if is_changed
    ]
    if not changed:
        return ()
    _index(asset)
    asset.version += 1
    asset.since = now
    session.flush()
    _append(session, asset, changed, by, now)
    is_there = AssetState(asset.state).is_there
    if was_there != is_there:
        _tell(session, events.RETURNED if is_there else events.REMOVED, asset, by)
    elif Part.PLACE in changed:
        _tell(session, events.RELOCATED, asset, by)
    else:
        _tell(session, events.CHANGED, asset, by)
    return tuple(changed)


def search_words(code: str, attributes: Mapping[str, Any]) -> str:
    """The folded words under which an asset is found: its code, what its attributes say."""
    values: list[str] = [code]
    for value in attributes.values():
        values += [str(item) for item in value] if isinstance(value, list) else [str(value)]
    return fold(" ".join(values))


def checked(kind: KindEntry, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes as the kind stores them.

    Raises:
        AssetAttributesError: some do not fit.
    """
    checked = check(kind.attributes, attributes)
    if checked.errors:
        raise AssetAttributesError(
            "Some attributes do not fit this kind of asset; see errors.",
            errors={
                f"attributes.{code}": (
                    list(messages)
                    if code in {definition.code for definition in kind.attributes}
                    else ["The kind has no such attribute."]
                )
                for code, messages in checked.errors.items()
            },
        )
    return dict(checked.values)


def _move(session: Session, asset: Asset, point: Point | None) -> bool:
    if point is None or (point.lat, point.lon) == (asset.lat, asset.lon):
        return False
    place = jurisdictions.by_id(session, asset.jurisdiction_id)
    jurisdictions.resolve(session, code=place.code, point=point)
    asset.lat, asset.lon, asset.cell = point.lat, point.lon, cell_of(point)
    return True


def _set_state(asset: Asset, state: AssetState | None) -> bool:
    if state is None or asset.state == state:
        return False
    asset.state = state.value
    return True


def _set_attributes(asset: Asset, kind: KindEntry, said: Mapping[str, Any] | None) -> bool:
    if said is None:
        return False
    merged = merged_attributes(asset.attributes, checked(kind, said), said)
    if merged == asset.attributes:
        return False
    asset.attributes = merged
    return True


def _set_code(session: Session, asset: Asset, kind: KindEntry, code: str | None) -> bool:
    code = clean(code).strip() if code else ""
    if not code or code == asset.code:
        return False
    _refuse_taken(session, kind, code, asset.id)
    asset.code = code
    return True


def _set_owner(session: Session, asset: Asset, owner: str | None) -> bool:
    if owner is None:
        return False
    team_id = _owner(session, asset.jurisdiction_id, owner)
    if team_id == asset.owner_team_id:
        return False
    asset.owner_team_id = team_id
    return True


def _owner(session: Session, jurisdiction_id: int, code: str | None) -> int | None:
    return find_team(session, jurisdiction_id, code).id if code else None


def _refuse_taken(session: Session, kind: KindEntry, code: str, asset_id: UUID) -> None:
    # Whoever enters the same code at once waits here, and then finds it taken.
    session.execute(
        sa.select(sa.func.pg_advisory_xact_lock(kind.id, sa.func.hashtext(f"asset code {code}")))
    )
    taken = session.scalar(
        sa.select(Asset.id).where(
            Asset.kind_id == kind.id, Asset.code == code, Asset.id != asset_id
        )
    )
    if taken is not None:
        raise CodeTakenError(f"{code!r} stands for another one.", field="code", id=str(taken))


def _index(asset: Asset) -> None:
    words = search_words(asset.code, asset.attributes)
    asset.search = sa.func.to_tsvector("simple", words)


def _append(session: Session, asset: Asset, changed: list[Part], by: Said, now: datetime) -> None:
    session.add(
        AssetVersion(
            asset_id=asset.id,
            version=asset.version,
            at=now,
            origin=by.origin.value,
            actor_id=by.person_id,
            correction_id=by.correction_id,
            changed=[part.value for part in changed],
            code=asset.code,
            lat=asset.lat,
            lon=asset.lon,
            attributes=asset.attributes,
            state=asset.state,
            owner_team_id=asset.owner_team_id,
        )
    )
    session.flush()


def _tell(session: Session, name: Any, asset: Asset, by: Said) -> None:
    emit(
        session,
        name,
        asset.id,
        jurisdiction_id=asset.jurisdiction_id,
        version=asset.version,
        state=asset.state,
        origin=by.origin.value,
        adopters=asset.adopters,
    )
