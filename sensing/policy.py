"""What a city does about the defects that phones feel: `policy.road_defects` of its folder. Pure.

A city that says nothing has defects on its map and no service requests from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

#: What the folder leaves out. A belief of 0.9 is about three strong hits and no pass that felt
#: nothing; a severity of 2 is what passengers notice and drivers do not brake for.
BELIEF, SEVERITY, TRIPS = 0.9, 2.0, 3

#: Trips that weigh as much as one person who tells of it: people look, cars pass by themselves.
TRIPS_PER_PERSON = 5

#: Nothing that fewer trips felt or passed is shown to anybody outside.
FEWEST_SHOWN = 2


@dataclass(frozen=True, slots=True)
class RoadPolicy:
    """When a city's defects become service requests, and of which kind.

    Attributes:
        service: code of the service that is asked for.
        attributes: answers to what that service asks, as nobody is there to ask.
        belief, severity, trips: a defect below one of them is only watched.
        trips_per_person: so many trips count as one more person who tells of it.
        known_as: kinds of assets that cars feel and nobody should mend, by code; what they are, in
            the words of `sensing.vocabulary.KnownAs`.
    """

    service: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    belief: float = BELIEF
    severity: float = SEVERITY
    trips: int = TRIPS
    trips_per_person: int = TRIPS_PER_PERSON
    known_as: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: Mapping[str, Any]) -> Self | None:
        """As the policy of a jurisdiction says; None where it does not."""
        said = policy.get("road_defects")
        return None if said is None else cls(**said)

    def is_enough(self, *, belief: float, severity: float, hits: int) -> bool:
        """Whether the evidence of a defect is enough to send somebody."""
        return belief >= self.belief and severity >= self.severity and hits >= self.trips

    def witnesses(self, hits: int) -> int:
        """How many people the trips that felt it count for."""
        return hits // self.trips_per_person
