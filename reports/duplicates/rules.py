"""Does a report repeat another one? The question, its answer, and the first rule. Pure.

`reports.duplicates` finds the candidates, a judge decides, `reports.triage` carries it out. A judge
is anything that satisfies `DuplicateJudge`: another rule, or a model that was measured, takes the
place of `FirstRule` without a change elsewhere.

The first rule: services of one family, still open, nearer than the service's radius and no older
than the service's days. What a person said comes before any rule.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from geo.measures import Point, distance_m

#: As many as staff and citizens are shown, and as are stored with the decision.
SHOWN = 5

#: A reporter's "the same as that one" is believed within so many radii of the service, and at
#: least so many metres: people pick from a map and are not exact, but a report from another
#: quarter is a slip of the finger, which staff should look at.
BELIEVED_RADII = 5.0
BELIEVED_M = 200.0

#: How much of the score nearness makes; the rest is how recent the candidate is.
_WEIGHT_OF_DISTANCE = 0.7


class Outcome(enum.StrEnum):
    """What follows from a comparison."""

    JOINED = "joined"
    SUGGESTED = "suggested"
    APART = "apart"


@dataclass(frozen=True, slots=True)
class Search:
    """Where a judge wants candidates from.

    Attributes:
        service_ids: services whose reports may be meant.
        radius_m: how far away they may be.
        since, until: when they may have come in; both ends included.
        closed_since: closed ones are wanted too if they were closed after this; None: only open.
    """

    service_ids: tuple[int, ...]
    radius_m: float
    since: datetime
    until: datetime
    closed_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What the catalogue says of a service, as far as duplicates are concerned.

    Attributes:
        family: services of one family may be duplicates of one another; `service_ids` are they.
        radius_m, days: how far away and how long ago another report of it may be.
        join_at, suggest_at: the scores from which a report is joined by itself, or shown to staff
            as a likely one; None: those of the model.
        pairs: services of other families that people confuse with this one, as history shows.
    """

    family: str
    service_ids: tuple[int, ...]
    radius_m: float
    days: float
    join_at: float | None = None
    suggest_at: float | None = None
    pairs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Features:
    """The report that may repeat another one.

    Attributes:
        text: what the reporter wrote.
        accuracy_m: how far the position may be off, as the phone said.
        street, number: of the address, as `geo.address_text.street_and_number` reads it.
        photo_hashes: difference hashes of its photos, 64 bits each.
        has_time: false where the source knows the day only, and the time of day is made up.
        wave: reports of the same service in the jurisdiction in the six hours before it.
        source: where it came from, as reports have it.
    """

    id: UUID
    service_id: int
    requested_at: datetime
    point: Point | None
    scope: Scope
    address: str | None = None
    asset_id: UUID | None = None
    same_as: UUID | None = None
    text: str = ""
    accuracy_m: float | None = None
    street: str | None = None
    number: str | None = None
    photo_hashes: tuple[int, ...] = ()
    has_time: bool = True
    wave: int = 0
    source: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A report that may be meant: nobody's duplicate; open, or closed a short while ago.

    Attributes:
        closed_at: when it was closed; None while it is open.
        joined: how many duplicates it has.
        text, accuracy_m, street, number, photo_hashes: as in `Features`.
    """

    id: UUID
    service_id: int
    requested_at: datetime
    point: Point | None
    address: str | None = None
    asset_id: UUID | None = None
    text: str = ""
    accuracy_m: float | None = None
    street: str | None = None
    number: str | None = None
    photo_hashes: tuple[int, ...] = ()
    closed_at: datetime | None = None
    joined: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, as a code and its numbers; words are made of it in the reader's language."""

    code: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """As it is stored."""
        return {"code": self.code, **self.numbers}


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its score from 0 to 1, higher is likelier, and the reasons for it."""

    candidate: Candidate
    score: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a judge decided, and the candidates it saw, best first."""

    outcome: Outcome
    parent_id: UUID | None = None
    score: float | None = None
    reasons: tuple[Reason, ...] = ()
    ranked: tuple[Ranked, ...] = ()

    def as_data(self, judge: str) -> dict[str, Any] | None:
        """As it is stored with the report; None when there was nothing to compare with."""
        if self.outcome is Outcome.APART and not self.ranked:
            return None
        return {
            "judge": judge,
            "outcome": self.outcome.value,
            "parent_id": self.parent_id and str(self.parent_id),
            "score": self.score,
            "reasons": [reason.as_data() for reason in self.reasons],
            "candidates": [
                {
                    "id": str(ranked.candidate.id),
                    "score": ranked.score,
                    "reasons": [reason.as_data() for reason in ranked.reasons],
                }
                for ranked in self.ranked[:SHOWN]
            ],
        }


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What people said of this report and others."""

    same: Collection[UUID] = frozenset()
    not_same: Collection[UUID] = frozenset()


class DuplicateJudge(Protocol):
    """Decides whether a report repeats one of its candidates."""

    @property
    def name(self) -> str:
        """Which judge, and which version of it; stored with what it decided."""

    def search(self, report: Features) -> Search:
        """Where it wants candidates from. Nobody looks outside this."""

    def reach_m(self, scope: Scope) -> float:
        """The largest radius it ever searches with for that family: what locks must cover."""

    def confused(self, service_id: int) -> Sequence[int]:
        """Services of other families that people mix up with that one, as far as it knows."""

    def rank(self, report: Features, candidates: Sequence[Candidate]) -> list[Ranked]:
        """The candidates that may be meant, best first."""

    def decide(
        self, report: Features, candidates: Sequence[Candidate], verdicts: Verdicts
    ) -> Decision:
        """What should happen to the report."""


class FirstRule:
    """Same family, open, near and recent enough."""

    name = "first-rule/1"

    def search(self, report: Features) -> Search:
        """The family within the service's radius and days.

        Reports that came in up to as long after it are found too, because the pipeline does not
        keep their order.
        """
        days = timedelta(days=report.scope.days)
        return Search(
            service_ids=report.scope.service_ids,
            radius_m=report.scope.radius_m,
            since=report.requested_at - days,
            until=report.requested_at + days,
        )

    def reach_m(self, scope: Scope) -> float:
        """The service's radius: the rule never looks farther."""
        return scope.radius_m

    def confused(self, service_id: int) -> Sequence[int]:
        """None: it has learned nothing."""
        del service_id
        return ()

    def rank(self, report: Features, candidates: Sequence[Candidate]) -> list[Ranked]:
        """Those within reach, by nearness and age."""
        search = self.search(report)
        ranked = []
        for candidate in candidates:
            if (
                candidate.id == report.id
                or candidate.service_id not in search.service_ids
                or candidate.closed_at is not None
                or not search.since <= candidate.requested_at <= search.until
                or report.point is None
                or candidate.point is None
            ):
                continue
            metres = distance_m(report.point, candidate.point)
            if metres <= search.radius_m:
                ranked.append(_ranked(report, candidate, metres))
        return sorted(ranked, key=_best_first)

    def decide(
        self, report: Features, candidates: Sequence[Candidate], verdicts: Verdicts
    ) -> Decision:
        """Joined to the best candidate; a person's word goes first."""
        # Staff may have said both of one pair at different times of a family of reports; who
        # keeps apart errs on the safe side.
        allowed = [item for item in candidates if item.id not in verdicts.not_same]
        ranked = tuple(self.rank(report, allowed))
        meant = named_candidate(report, allowed, verdicts)
        if meant is not None:
            return as_named(report, meant, ranked)
        if not ranked:
            return Decision(Outcome.APART)
        best = ranked[0]
        return Decision(Outcome.JOINED, best.candidate.id, best.score, best.reasons, ranked)


def named_candidate(
    report: Features, candidates: Sequence[Candidate], verdicts: Verdicts
) -> Candidate | None:
    """The candidate that a person named as the same."""
    named = {*verdicts.same, *([report.same_as] if report.same_as else [])}
    return next((item for item in candidates if item.id in named), None)


def as_named(report: Features, meant: Candidate, ranked: tuple[Ranked, ...]) -> Decision:
    """What follows from a person's word: joined, or shown to staff where the two lie far apart."""
    said = Reason("reporter_said")
    if report.point is None or meant.point is None:
        return Decision(Outcome.JOINED, meant.id, 1.0, (said,), ranked)
    metres = distance_m(report.point, meant.point)
    reasons = (said, Reason("distance", {"m": round(metres, 1)}))
    if metres <= max(BELIEVED_M, BELIEVED_RADII * report.scope.radius_m):
        return Decision(Outcome.JOINED, meant.id, 1.0, reasons, ranked)
    far = Ranked(meant, 0.0, reasons)
    others = tuple(item for item in ranked if item.candidate.id != meant.id)
    return Decision(Outcome.SUGGESTED, meant.id, 0.0, reasons, (far, *others))


def _ranked(report: Features, candidate: Candidate, metres: float) -> Ranked:
    apart = abs(report.requested_at - candidate.requested_at)
    nearness = 1.0 - metres / report.scope.radius_m if report.scope.radius_m else 1.0
    recency = 1.0 - apart / timedelta(days=report.scope.days) if report.scope.days else 1.0
    score = _WEIGHT_OF_DISTANCE * nearness + (1.0 - _WEIGHT_OF_DISTANCE) * recency
    reasons = [
        Reason("distance", {"m": round(metres, 1)}),
        Reason("elapsed", {"minutes": round(apart.total_seconds() / 60)}),
    ]
    is_same_service = report.service_id == candidate.service_id
    reasons.append(Reason("same_service" if is_same_service else "same_family"))
    if report.asset_id is not None and report.asset_id == candidate.asset_id:
        reasons.append(Reason("same_asset"))
    if report.address is not None and report.address == candidate.address:
        reasons.append(Reason("same_address"))
    return Ranked(candidate, round(score, 4), tuple(reasons))


def _best_first(ranked: Ranked) -> tuple[float, datetime, str]:
    return (-ranked.score, ranked.candidate.requested_at, str(ranked.candidate.id))
