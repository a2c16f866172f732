"""When two proposals say the same, and when enough people have. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assets.corrections.vocabulary import Overtaken, What
from assets.rules import CorrectionRules
from geo.measures import Point, distance_m

#: Telephones place things within so much; two people who stand before one thing agree so far.
SAME_PLACE_M = 10.0

#: A thing that stands so near is the very one, not a missing one beside it.
KNOWN_WITHIN_M = 3.0

#: Less than this is the telephone's doing, not the asset's.
LEAST_MOVE_M = 1.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody says of an asset, or of one that the register does not know.

    Attributes:
        subject: the asset's id, or the kind's where the asset is missing.
    """

    what: What
    subject: object
    point: Point | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def says_the_same(one: Claim, other: Claim) -> bool:
    """Whether two claims are about the same thing and want the same."""
    if one.what is not other.what or one.subject != other.subject:
        return False
    if one.what in (What.MISSING, What.MOVED):
        if one.point is None or other.point is None:
            return False
        return distance_m(one.point, other.point) <= SAME_PLACE_M
    return one.what is What.GONE or one.attributes == other.attributes


def overtaken(
    claim: Claim, *, is_there: bool, point: Point, attributes: Mapping[str, Any]
) -> Overtaken | None:
    """Why there is nothing left to decide about a claim, now that its asset is so; None: there is.

    Of one that is missing, the asset is the nearest that stands there now.
    """
    if claim.what is What.GONE:
        return None if is_there else Overtaken.SO_ALREADY
    if not is_there:
        return None if claim.what is What.MISSING else Overtaken.ASSET_GONE
    if claim.what is What.ATTRIBUTE:
        is_so = all(
            attributes.get(code) == value for code, value in claim.attributes.items()
        ) and bool(claim.attributes)
        return Overtaken.SO_ALREADY if is_so else None
    within_m = KNOWN_WITHIN_M if claim.what is What.MISSING else LEAST_MOVE_M
    is_so = claim.point is not None and distance_m(claim.point, point) <= within_m
    return Overtaken.SO_ALREADY if is_so else None


def is_enough(confirmations: int, rules: CorrectionRules) -> bool:
    """Whether so many people beside the proposer make it true without staff."""
    return rules.confirmations is not None and confirmations >= rules.confirmations
