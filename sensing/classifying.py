"""What a fused place is: to be mended, or part of the street. Pure.

No labelled data exist for this in public. The forms below were measured on `sensing.simulation`,
and how well they tell kinds apart is known only there (docs/sensing.md). What helps besides: how
many passes feel it (what lies across the street is met by all, a hole by those who do not avoid
it), how long it has been the same (humps do not grow), and what the city's own register says lies
there (a speed hump, a crossing on a table, rails).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sensing.clustering import Defect
from sensing.vocabulary import KnownAs, Verdict


@dataclass(frozen=True, slots=True)
class Nearby:
    """An asset of the register near a defect."""

    known_as: KnownAs
    distance_m: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a defect is taken for, and why.

    Attributes:
        probability: that it should be mended, by the evidence alone.
        reasons: what counted, weightiest first, as (name, log-odds).
    """

    verdict: Verdict
    probability: float
    reasons: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Normal:
    """Mean and standard deviation of something."""

    mean: float
    deviation: float

    def log_likelihood(self, value: float) -> float:
        """Without the constant that all have in common; never beyond three deviations."""
        away = min(3.0, abs(value - self.mean) / self.deviation)
        return -0.5 * away * away - math.log(self.deviation)


#: Means over the hits of defects of the simulation (seeds 100 to 119; tests compute them anew):
#: what is to be mended begins downwards and is short, a hump begins upwards and is long.
SYMMETRY = {
    Verdict.ACTIONABLE: Normal(-0.72, 0.25),
    Verdict.HARMLESS: Normal(0.62, 0.30),
}
WIDTH_M = {
    Verdict.ACTIONABLE: Normal(3.8, 1.2),
    Verdict.HARMLESS: Normal(6.6, 1.8),
}

#: Share of the passes that feel it: holes are met by about two passes of three.
SHARE = {
    Verdict.ACTIONABLE: Normal(0.60, 0.22),
    Verdict.HARMLESS: Normal(0.85, 0.20),
}

#: Before anything is known, two places of three that cars feel are to be mended: a street has more
#: defects than humps, and most harmless things are too small to be believed at all.
PRIOR = math.log(2.0)

#: No single trait says more than this: a simulation made it.
MOST = 2.5

#: Positions of the register and of phones differ by some metres.
ASSET_REACH_M = 15.0

#: What an asset within reach says, at no distance; less further away.
BY_ASSET = {
    KnownAs.SPEED_HUMP: -4.0,
    KnownAs.CROSSING: -1.2,
    KnownAs.RAIL: -2.5,
    # A casting may have sunk: knowing that one is there says little.
    KnownAs.MANHOLE: -0.4,
}

#: A place felt alike for longer than a winter, by most passes, was built so.
STEADY_DAYS, STEADY = 270, -0.8

#: From which probabilities on a verdict is given.
SURE_ACTIONABLE, SURE_HARMLESS = 0.6, 0.3


def judge(defect: Defect, nearby: Sequence[Nearby] = ()) -> Judgement:
    """Whether a defect should be mended, by what is known of it and of what lies near it.

    Without form (phones at low rates) and register the answer is `unknown`, unless the share of the
    passes speaks for itself.
    """
    reasons: list[tuple[str, float]] = []
    if defect.symmetry is not None:
        reasons.append(("symmetry", _said_by(SYMMETRY, defect.symmetry)))
    if defect.width_m is not None:
        reasons.append(("width", _said_by(WIDTH_M, defect.width_m)))
    if defect.passes >= 5:
        reasons.append(("share", _said_by(SHARE, defect.share)))
    if defect.last_day - defect.first_day >= STEADY_DAYS and defect.share >= 0.8:
        reasons.append(("steady", STEADY))
    for asset in nearby:
        if asset.distance_m <= ASSET_REACH_M:
            near = 1.0 - 0.5 * asset.distance_m / ASSET_REACH_M
            reasons.append((asset.known_as.value, BY_ASSET[asset.known_as] * near))
    log_odds = PRIOR + sum(value for _, value in reasons)
    probability = 1.0 / (1.0 + math.exp(-log_odds))
    if not reasons:
        verdict = Verdict.UNKNOWN
    elif probability >= SURE_ACTIONABLE:
        verdict = Verdict.ACTIONABLE
    elif probability <= SURE_HARMLESS:
        verdict = Verdict.HARMLESS
    else:
        verdict = Verdict.UNKNOWN
    reasons.sort(key=lambda reason: (-abs(reason[1]), reason[0]))
    return Judgement(verdict, probability, tuple(reasons))


def _said_by(table: dict[Verdict, Normal], value: float) -> float:
    said = table[Verdict.ACTIONABLE].log_likelihood(value)
    said -= table[Verdict.HARMLESS].log_likelihood(value)
    return max(-MOST, min(MOST, said))
