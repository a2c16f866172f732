"""Adopting an asset, and letting it go.

Fifty people who press at once wait for one another at the asset's row, a few milliseconds each;
the first has it, the others are told that it is taken. Who claims is the actor and nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.actors import Actor
from accounts.rules import Permission
from assets.adoption import holding
from assets.adoption.errors import (
    OF_REFUSAL,
    ForeignAssetError,
    NotYoursError,
)
from assets.adoption.keeping import want_name
from assets.adoption.models import Adoption
from assets.adoption.rules import refusal
from assets.adoption.vocabulary import EndReason, Refusal
from assets.kinds import KindEntry
from assets.models import Asset
from assets.register import kind_of
from core.errors import NotFoundError
from geo import jurisdictions


@dataclass(frozen=True, slots=True)
class Wish:
    """What an adopter may say beside which asset.

    Attributes:
        name: for the asset; everybody reads it once somebody approved it.
        shows_name: whether everybody may read the adopter's public name.
        jurisdiction: code of the city that the client believes to be in.
    """

    name: str | None = None
    shows_name: bool = False
    jurisdiction: str | None = None


def adopt(
    session: Session, person_id: UUID, asset_id: UUID, wish: Wish, *, now: datetime
) -> Adoption:
    """Adopt an asset, in the caller's transaction.

    Raises:
        NotVerifiedError, NotFoundError
        ForeignAssetError: it stands in another city than `wish.jurisdiction`.
        NotAdoptableError, NotThereError, YoursAlreadyError, LimitReachedError, AdoptedError
    """
    holding.check_person(session, person_id)
    kind = _kind(session, asset_id, wish.jurisdiction)
    holding.lock_volunteer(session, person_id, kind)
    asset = holding.lock(session, asset_id)
    present = holding.present(session, asset, kind, person_id)
    refused = refusal(present, kind.adoption)
    if refused is not None:
        raise refusal_of(refused, kind)
    adoption = holding.begin(
        session,
        asset,
        kind,
        person_id,
        slots=set(present.slots),
        shows_name=wish.shows_name,
        now=now,
    )
    if wish.name:
        want_name(session, adoption, wish.name, now=now)
    return adoption


def release(session: Session, person_id: UUID, asset_id: UUID, *, now: datetime) -> None:
    """Let an asset go.

    Raises:
        NotYoursError
    """
    own(session, asset_id, person_id)
    asset = holding.lock(session, asset_id)
    adoption = own(session, asset_id, person_id)
    holding.end(session, adoption, asset, EndReason.RELEASED, actor_id=person_id, now=now)


def release_by_link(session: Session, adoption: Adoption, *, now: datetime) -> None:
    """Let an asset go, by the link of a letter, which `keeping.of_link` has checked."""
    asset = holding.lock(session, adoption.asset_id)
    session.refresh(adoption)
    if adoption.ended_at is None:
        holding.end(
            session,
            adoption,
            asset,
            EndReason.RELEASED,
            actor_id=adoption.person_id,
            now=now,
        )


def end_by_staff(
    session: Session, actor: Actor, adoption_id: UUID, reason: str, *, now: datetime
) -> Adoption:
    """End somebody's adoption; the reason is told to them.

    Raises:
        NotFoundError: there is none that holds, or not where the actor coordinates.
    """
    adoption = seen_by(session, actor, adoption_id)
    asset = holding.lock(session, adoption.asset_id)
    session.refresh(adoption)
    if adoption.ended_at is not None:
        raise NotFoundError
    adoption.end_note = reason
    holding.end(session, adoption, asset, EndReason.BY_STAFF, actor_id=actor.person_id, now=now)
    return adoption


def own(session: Session, asset_id: UUID, person_id: UUID) -> Adoption:
    """Somebody's adoption of an asset that holds now.

    Raises:
        NotYoursError
    """
    adoption = session.scalar(
        sa.select(Adoption)
        .where(
            Adoption.asset_id == asset_id,
            Adoption.person_id == person_id,
            Adoption.ended_at.is_(None),
        )
        .execution_options(populate_existing=True)
    )
    if adoption is None:
        raise NotYoursError
    return adoption


def seen_by(session: Session, actor: Actor, adoption_id: UUID) -> Adoption:
    """An adoption where the actor coordinates volunteers.

    Raises:
        NotFoundError
    """
    adoption = session.get(Adoption, adoption_id)
    if adoption is None or not actor.may(
        Permission.COORDINATE_VOLUNTEERS, adoption.jurisdiction_id, None
    ):
        raise NotFoundError
    return adoption


def refusal_of(refused: Refusal, kind: KindEntry) -> Exception:
    """The error that says it."""
    if refused is Refusal.LIMIT_REACHED:
        limit = kind.adoption.limit_per_volunteer
        return OF_REFUSAL[refused](f"One volunteer looks after {limit} at most.", limit=limit)
    return OF_REFUSAL[refused]()


def _kind(session: Session, asset_id: UUID, jurisdiction: str | None) -> KindEntry:
    asset = session.get(Asset, asset_id)
    if asset is None:
        raise NotFoundError
    if jurisdiction is not None:
        place = jurisdictions.by_id(session, asset.jurisdiction_id)
        if place.code != jurisdiction:
            raise ForeignAssetError(
                f"This asset stands in {place.code!r}, not in {jurisdiction!r}.",
                field="jurisdiction",
                jurisdiction=place.code,
            )
    return kind_of(session, asset)
