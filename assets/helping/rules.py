"""Who is asked about a report, and for how long a link answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

#: A link in a letter answers for so long; whoever is signed in answers as long as it is open.
LINK_FOR = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Adopter:
    """Somebody who looks after an asset at or near a report.

    Attributes:
        distance_m: of the report from the asset; None: the report is about that very asset.
    """

    adoption_id: UUID
    person_id: UUID
    asset_id: UUID
    distance_m: float | None = None


def asked(found: Sequence[Adopter]) -> list[Adopter]:
    """Those of the adopters at or near a report who are asked: of the very asset that it is about,
    else of those near; of several assets of one person the nearest."""
    there = [one for one in found if one.distance_m is None]
    chosen: dict[UUID, Adopter] = {}
    for one in sorted(there or found, key=lambda one: (one.distance_m or 0.0, one.adoption_id)):
        chosen.setdefault(one.person_id, one)
    return list(chosen.values())


def is_link_over(asked_at: datetime, now: datetime) -> bool:
    """Whether a link is too old to answer."""
    return now > asked_at + LINK_FOR
