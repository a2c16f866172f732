"""Whom a campaign would reach now, how many those are, and whether somebody must look first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.adoption import addressing
from assets.adoption.addressing import Adopter, Aim
from assets.adoption.models import Adoption
from assets.campaigns.errors import ConfirmationNeededError
from assets.campaigns.models import Campaign, CampaignAsk, CampaignRefusal
from assets.campaigns.rules import LEEWAY, most_without_asking
from assets.campaigns.vocabulary import Doubt
from core.tokens import Purpose, matches, token_for
from geo.jurisdictions import JurisdictionRef


@dataclass(frozen=True, slots=True)
class Reach:
    """Adopters and their assets, in order of people."""

    adopters: Sequence[Adopter]

    @property
    def people(self) -> list[UUID]:
        """Each once."""
        return list(dict.fromkeys(each.person_id for each in self.adopters))

    @property
    def recipients(self) -> int:
        return len(self.people)

    @property
    def by_email(self) -> int:
        """People who get a letter; the others get a text message."""
        return len({each.person_id for each in self.adopters if each.has_email})

    def of(self, person_id: UUID) -> list[Adopter]:
        """What one of them looks after."""
        return [each for each in self.adopters if each.person_id == person_id]


def reach(
    session: Session,
    place: JurisdictionRef,
    *,
    kind_id: int,
    area: tuple[str, str] | None,
    event_keys: Sequence[str] = (),
) -> Reach:
    """Everybody whom it concerns and who wants campaigns.

    Args:
        event_keys: without those who were written to about that asset for these already.
    """
    refused = sa.exists().where(
        CampaignRefusal.person_id == Adoption.person_id,
        CampaignRefusal.jurisdiction_id == place.id,
    )
    but = [sa.not_(refused)]
    if event_keys:
        asked = sa.exists().where(
            CampaignAsk.event_key.in_(event_keys), CampaignAsk.adoption_id == Adoption.id
        )
        but.append(sa.not_(asked))
    return Reach(addressing.adopters(session, place, Aim(kind_id, area), *but))


def area_of(campaign: Campaign) -> tuple[str, str] | None:
    """Layer and code of its area; None: the whole city."""
    if campaign.area_layer is None or campaign.area_code is None:
        return None
    return campaign.area_layer, campaign.area_code


def doubt_of(found: Reach, *, limit: int, confirmed: int | None) -> Doubt | None:
    """What somebody should look at before this goes out."""
    if found.recipients == 0:
        return None if confirmed is not None else Doubt.NOBODY
    if found.recipients > most_without_asking(limit, confirmed):
        return Doubt.TOO_MANY
    return None


def confirmation(doubt: Doubt, found: Reach, about: str, *, secret: str) -> ConfirmationNeededError:
    """The refusal that says how to confirm.

    Args:
        about: what is confirmed: of a new campaign its city, kind and area, else its id.
    """
    count = found.recipients
    token = token_for(secret, Purpose.CAMPAIGN, f"{about}|{doubt.value}", count)
    said = (
        "It would reach nobody now."
        if doubt is Doubt.NOBODY
        else f"It would be sent to {count} people."
    )
    return ConfirmationNeededError(
        f"{said} Send the same again with this `confirm` if that is meant.",
        reason=doubt.value,
        recipients=count,
        assets=len(found.adopters),
        confirm=f"{count}.{token}",
    )


def confirmed_number(
    doubt: Doubt, found: Reach, about: str, given: str | None, *, secret: str
) -> int | None:
    """The number that a confirmation is for; None: it is none, or the number has grown since."""
    count, _, token = (given or "").partition(".")
    if not count.isascii() or not count.isdecimal() or len(count) > 9:
        return None
    number = int(count)
    if not matches(secret, Purpose.CAMPAIGN, f"{about}|{doubt.value}", number, token):
        return None
    return number if found.recipients <= math.ceil(number * LEEWAY) else None
