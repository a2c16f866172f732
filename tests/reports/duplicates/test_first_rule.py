"""The first rule of duplicates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from geo.measures import Point
from reports.duplicates.rules import (
    Candidate,
    Features,
    FirstRule,
    Outcome,
    Scope,
    Verdicts,
)
from tests.factories import COMEDIE

NOW = datetime(2026, 3, 11, 9, tzinfo=UTC)
SCOPE = Scope("chaussee", (1, 2), radius_m=20.0, days=30.0)
METRE_DEG = 1 / 111_200


def north(metres: float) -> Point:
    return Point(COMEDIE.lat + metres * METRE_DEG, COMEDIE.lon)


def report(**values: Any) -> Features:
    return Features(
        **{"id": UUID(int=9), "service_id": 1, "requested_at": NOW, "point": COMEDIE,
           "scope": SCOPE, **values}
    )  # fmt: skip


def candidate(number: int, metres: float = 5.0, **values: Any) -> Candidate:
    return Candidate(
        **{"id": UUID(int=number), "service_id": 1, "requested_at": NOW - timedelta(hours=2),
           "point": north(metres), **values}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (candidate(1), Outcome.JOINED),
        (candidate(1, metres=19.5), Outcome.JOINED),
        (candidate(1, metres=21), Outcome.APART),
        (candidate(1, service_id=2), Outcome.JOINED),
        (candidate(1, service_id=3), Outcome.APART),
        (candidate(1, requested_at=NOW - timedelta(days=29)), Outcome.JOINED),
        (candidate(1, requested_at=NOW - timedelta(days=31)), Outcome.APART),
    ],
)
def test_near_recent_and_of_one_family_is_the_same(given: Candidate, expected: Outcome) -> None:
    assert FirstRule().decide(report(), [given], Verdicts()).outcome is expected


def test_the_nearest_leads_and_the_reasons_say_why() -> None:
    decision = FirstRule().decide(report(), [candidate(1, 15), candidate(2, 4)], Verdicts())
    assert decision.parent_id == UUID(int=2)
    codes = {reason.code: reason.numbers for reason in decision.reasons}
    assert codes["distance"]["m"] == pytest.approx(4, abs=0.1)
    assert codes["elapsed"] == {"minutes": 120}
    assert [ranked.candidate.id.int for ranked in decision.ranked] == [2, 1]


def test_what_a_person_said_goes_before_the_rule() -> None:
    near, far = candidate(1, 4), candidate(2, 150)
    said_no = FirstRule().decide(report(), [near], Verdicts(not_same={near.id}))
    assert said_no.outcome is Outcome.APART
    said_yes = FirstRule().decide(report(same_as=far.id), [near, far], Verdicts())
    assert (said_yes.outcome, said_yes.parent_id) == (Outcome.JOINED, far.id)
    assert said_yes.reasons[0].code == "reporter_said"


def test_a_report_in_another_quarter_is_only_suggested_whoever_says_so() -> None:
    far = candidate(2, 2000)
    decision = FirstRule().decide(report(same_as=far.id), [far], Verdicts())
    assert (decision.outcome, decision.parent_id) == (Outcome.SUGGESTED, far.id)


def test_without_a_place_nothing_is_guessed() -> None:
    assert FirstRule().decide(report(point=None), [candidate(1)], Verdicts()).outcome is (
        Outcome.APART
    )
