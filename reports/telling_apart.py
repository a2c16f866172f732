"""Which reports of a batch repeat another one: the judging in `reports.triage`.

Fetches what the judge of `reports.duplicates.rules` needs and asks it in the order of arrival, the
reports of the batch leading one another too. Stores nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports.duplicates import finding
from reports.duplicates.rules import Candidate, DuplicateJudge, Features, Outcome, Search, Verdicts
from reports.routing.deciding import BY_PERSON
from reports.triage_rows import Case
from reports.vocabulary import OPEN_STATUSES

#: No degree of latitude is shorter (at the equator it is 110,574 m).
SHORTEST_LATITUDE_DEGREE_M = 110_560.0

_NOTHING_SAID = Verdicts()


def find_duplicates(session: Session, cases: Sequence[Case], judge: DuplicateJudge) -> None:
    """Decide of each case, in the order of arrival, whether it repeats another report.

    Sets `decision` and `parent_id`; locks the neighbourhoods, and the parents outside the batch.
    """
    placed = [case for case in cases if case.features.point is not None]
    finding.take_locks(
        session,
        (
            key
            for case in placed
            if case.features.point is not None
            for key in finding.lock_keys(case.catalogue, case.service, case.features.point, judge)
        ),
    )
    questions = [
        finding.Question(case.row.jurisdiction_id, case.features.point, judge.search(case.features))
        for case in placed
        if case.features.point is not None
    ]
    near = dict(
        zip(
            (case.row.id for case in placed),
            finding.candidates(session, questions),
            strict=True,
        )
    )
    said = finding.verdicts_on(session, [case.row.id for case in cases])
    meant = finding.named(
        session,
        sorted(
            {
                *(case.row.same_as for case in cases if case.row.same_as is not None),
                *(id_ for verdicts in said.values() for id_ in verdicts.same),
            }
        ),
    )
    held: set[UUID] = set()
    gone: set[UUID] = set()
    while True:
        _judge_all(cases, near, meant, said, gone, judge)
        own = {case.row.id for case in cases}
        chosen = {case.parent_id for case in cases if case.parent_id is not None} - own - held
        lead = set(session.scalars(_LEADERS, {"ids": sorted(chosen)})) if chosen else set()
        held |= lead
        gone |= chosen - lead
        # Nearly always: nobody was closed or joined between being found and being locked.
        if chosen == lead:
            return


def _judge_all(
    cases: Sequence[Case],
    near: Mapping[UUID, list[Candidate]],
    meant: Mapping[UUID, Candidate],
    said: Mapping[UUID, Verdicts],
    gone: set[UUID],
    judge: DuplicateJudge,
) -> None:
    """Ask about each report in the order of arrival; those of the batch may lead later ones."""
    leaders: list[Case] = []
    followed: dict[UUID, UUID] = {}
    for case in cases:
        case.parent_id = None
        candidates = _candidates_of(case, leaders, near, gone, judge.search(case.features))
        features, verdicts = _what_was_said(case, candidates, leaders, meant, said, gone, followed)
        decision = judge.decide(features, list(candidates.values()), verdicts)
        if decision.outcome is Outcome.JOINED and not _may_be_joined(case):
            decision = replace(decision, outcome=Outcome.SUGGESTED)
        case.decision = decision
        if decision.outcome is Outcome.JOINED and decision.parent_id is not None:
            case.parent_id = followed[case.row.id] = decision.parent_id
        elif case.may_lead:
            leaders.append(case)


def _candidates_of(
    case: Case,
    leaders: Sequence[Case],
    near: Mapping[UUID, list[Candidate]],
    gone: set[UUID],
    search: Search,
) -> dict[UUID, Candidate]:
    """Those that were found in the database, and those that lead in this batch."""
    found = {
        candidate.id: candidate
        for candidate in near.get(case.row.id, ())
        if candidate.id not in gone
    }
    here = case.features.point
    if here is None:
        return found
    family = set(case.features.scope.service_ids)
    north_deg = search.radius_m / SHORTEST_LATITUDE_DEGREE_M
    for leader in leaders:
        there = leader.features.point
        # Of a whole batch most lie elsewhere: the judge measures those that do not.
        if (
            there is not None
            and leader.row.service_id in family
            and abs(there.lat - here.lat) <= north_deg
        ):
            found[leader.row.id] = _as_candidate(leader)
    return found


def _what_was_said(
    case: Case,
    candidates: dict[UUID, Candidate],
    leaders: Sequence[Case],
    meant: Mapping[UUID, Candidate],
    said: Mapping[UUID, Verdicts],
    gone: set[UUID],
    followed: Mapping[UUID, UUID],
) -> tuple[Features, Verdicts]:
    """What people said of this report; those that they named become candidates."""
    verdicts = said.get(case.row.id, _NOTHING_SAID)
    if case.row.not_same_as:
        verdicts = replace(verdicts, not_same={*verdicts.not_same, *case.row.not_same_as})
    by_id = {leader.row.id: leader for leader in leaders}
    features = case.features
    for wished in [features.same_as, *verdicts.same]:
        if wished is None:
            continue
        # Of a duplicate that was named, its parent is meant; in this batch or outside.
        mate = by_id.get(followed.get(wished, wished))
        named = _as_candidate(mate) if mate else meant.get(wished)
        if named is None or named.id in gone or named.id == case.row.id:
            continue
        candidates[named.id] = named
        if wished == features.same_as:
            features = replace(features, same_as=named.id)
        else:
            verdicts = replace(verdicts, same={*verdicts.same, named.id})
    return features, verdicts


def _may_be_joined(case: Case) -> bool:
    """Only on arrival: what staff have had in hand is joined by staff alone."""
    return case.is_first and case.routed_by != BY_PERSON and not case.row.has_children


def _as_candidate(case: Case) -> Candidate:
    return Candidate(
        id=case.row.id,
        service_id=case.row.service_id,
        requested_at=case.row.requested_at,
        point=case.features.point,
        address=case.row.address,
        asset_id=case.row.asset_id,
    )


_OPEN = ", ".join(f"'{status}'" for status in OPEN_STATUSES)

_LEADERS = sa.text(
    f"""
    SELECT id FROM service_requests
     WHERE id = ANY (:ids ::uuid[]) AND parent_id IS NULL AND status IN ({_OPEN})
     ORDER BY id
       FOR NO KEY UPDATE
    """
)
