"""Which reports of a batch repeat another one: the judging in `reports.triage`.

Fetches what the judge of `reports.duplicates.rules` needs and asks it in the order of arrival, the
reports of the batch leading one another too. Stores nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports.duplicates import finding
from reports.duplicates.finding import Leader, Neighbourhoods
from reports.duplicates.recurring import Fate, fate_of, same_spot
from reports.duplicates.rules import (
    Candidate,
    Decision,
    Features,
    Outcome,
    Reason,
    Search,
    Verdicts,
)
from reports.routing.deciding import BY_PERSON
from reports.triage_rows import Case
from reports.vocabulary import Recurrence, Source, Status

#: No degree of latitude is shorter (at the equator it is 110,574 m).
SHORTEST_LATITUDE_DEGREE_M = 110_560.0

_NOTHING_SAID = Verdicts()


@dataclass(slots=True)
class _Known:
    """What was read about the batch before anybody is asked."""

    near: dict[UUID, list[Leader]]
    meant: dict[UUID, Leader]
    said: Mapping[UUID, Verdicts]
    #: As they are now, of those that were locked; None of one that leads no more.
    held: dict[UUID, Leader | None] = field(default_factory=dict)

    def as_now(self, leader: Leader) -> Leader | None:
        """The leader as it stands, as far as it was locked."""
        return self.held.get(leader.id, leader)


@dataclass(slots=True)
class _Course:
    """What was decided of the batch so far, in the order of arrival."""

    leaders: list[Case] = field(default_factory=list)
    followed: dict[UUID, UUID] = field(default_factory=dict)
    joined: Counter[UUID] = field(default_factory=Counter)
    reopened: set[UUID] = field(default_factory=set)


def find_duplicates(session: Session, cases: Sequence[Case]) -> None:
    """Decide of each case, in the order of arrival, whether it repeats another report.

    Sets `decision`, `parent_id`, `reopens` and `recurs_id`; locks the neighbourhoods, and the
    parents outside the batch.
    """
    _lock_neighbourhoods(session, cases)
    known = _look(session, cases)
    while True:
        _judge_all(cases, known)
        own = {case.row.id for case in cases}
        chosen = {case.parent_id for case in cases if case.parent_id is not None}
        new = sorted(chosen - own - known.held.keys())
        if not new:
            return
        stand = _hold(session, new)
        seen = {leader.id: leader for some in known.near.values() for leader in some}
        seen |= {leader.id: leader for leader in known.meant.values()}
        changed = False
        for id_ in new:
            before, now = seen[id_], stand.get(id_)
            known.held[id_] = (
                None
                if now is None
                else replace(before, closed_at=now.over_at, is_repaired=now.is_repaired)
            )
            changed = changed or known.held[id_] != before
        # Nearly always: nobody was closed or joined between being found and being locked.
        if not changed:
            return


def _lock_neighbourhoods(session: Session, cases: Sequence[Case]) -> None:
    around: dict[tuple[int, str], Neighbourhoods] = {}
    keys: list[int] = []
    for case in cases:
        place = (case.row.jurisdiction_id, case.judge.name)
        if place not in around:
            around[place] = Neighbourhoods(case.catalogue, case.judge)
        keys += around[place].keys(case.features)
    finding.take_locks(session, keys)


def _look(session: Session, cases: Sequence[Case]) -> _Known:
    """Candidates, verdicts and those that people named: one statement each."""
    questions = {
        case.row.id: question
        for case in cases
        if (
            question := finding.question_of(
                case.row.jurisdiction_id, case.features, _search_of(case)
            )
        )
    }
    found = finding.candidates(session, list(questions.values()))
    near = dict(zip(questions, found, strict=True))
    pictured = {
        leader.id: leader
        for case in cases
        if case.features.photo_hashes
        for leader in near.get(case.row.id, ())
    }
    if pictured:
        shown = finding.with_photos(session, pictured.values())
        near = {
            id_: [shown.get(leader.id, leader) for leader in some] for id_, some in near.items()
        }
    said = finding.verdicts_on(session, [case.row.id for case in cases])
    meant = finding.named(
        session,
        sorted(
            {
                *(case.row.same_as for case in cases if case.row.same_as is not None),
                *(id_ for case in cases for id_ in case.row.not_same_as or ()),
                *(id_ for each in said.values() for id_ in (*each.same, *each.not_same)),
            }
        ),
    )
    return _Known(near, meant, said)


def _search_of(case: Case) -> Search:
    """Where the judge looks, and for what was repaired as long ago as may be opened again."""
    search = case.judge.search(case.features)
    service = case.catalogue.by_id[case.features.service_id]
    if search.closed_since is None or service.recurrence is not Recurrence.REOPEN:
        return search
    since = case.row.requested_at - timedelta(days=service.recurrence_days)
    return replace(search, closed_since=min(search.closed_since, since))


def _hold(session: Session, ids: Sequence[UUID]) -> dict[UUID, _Standing]:
    """Lock those of these reports that still lead; how they stand."""
    return {
        row.id: _Standing(row.over_at, row.is_repaired)
        for row in session.execute(_LEADERS, {"ids": list(ids)})
    }


@dataclass(frozen=True, slots=True)
class _Standing:
    over_at: datetime | None
    is_repaired: bool


def _judge_all(cases: Sequence[Case], known: _Known) -> None:
    """Ask about each report in the order of arrival; those of the batch may lead later ones."""
    course = _Course()
    for case in cases:
        case.parent_id = case.recurs_id = None
        case.reopens = False
        candidates = _candidates_of(case, course, known, case.judge.search(case.features))
        features, verdicts = _what_was_said(case, candidates, course, known)
        decision = case.judge.decide(features, list(candidates.values()), verdicts)
        decision = _come_back(case, decision, candidates, verdicts)
        if decision.outcome is Outcome.JOINED and decision.parent_id is not None:
            decision = _carried_out(case, decision, candidates[decision.parent_id], course)
        case.decision = decision
        if decision.outcome is Outcome.JOINED and decision.parent_id is not None:
            case.parent_id = course.followed[case.row.id] = decision.parent_id
            course.joined[decision.parent_id] += 1
        elif case.may_lead:
            course.leaders.append(case)


def _come_back(
    case: Case, decision: Decision, candidates: Mapping[UUID, Candidate], verdicts: Verdicts
) -> Decision:
    """The decision, or that what was repaired at this very spot has come back.

    What is open goes first: who was found to repeat it, or may, does not open another one.
    """
    asked = candidates.get(decision.parent_id) if decision.parent_id else None
    if asked is not None and (asked.closed_at is None or decision.outcome is Outcome.JOINED):
        return decision
    if not _may_be_joined(case) or case.row.source == Source.IMPORT:
        return decision
    told_at = case.row.requested_at
    came: tuple[datetime, Candidate, tuple[Reason, ...]] | None = None
    for item in candidates.values():
        why = () if item.id in verdicts.not_same else same_spot(case.features, item)
        if not why:
            continue
        over_at = item.closed_at
        if over_at is None:
            return decision
        if came is not None and over_at <= came[0]:
            continue
        service = case.catalogue.by_id[item.service_id]
        fate = fate_of(
            told_at,
            over_at,
            is_repaired=not isinstance(item, Leader) or item.is_repaired,
            recurrence=service.recurrence,
            days=service.recurrence_days,
        )
        if fate in (Fate.REOPENS, Fate.RECURS):
            came = (over_at, item, (*why, Reason("closed", {"days": (told_at - over_at).days})))
    if came is None:
        return decision
    _, item, reasons = came
    score = next((each.score for each in decision.ranked if each.candidate.id == item.id), None)
    return Decision(Outcome.JOINED, item.id, score, reasons, decision.ranked)


def _carried_out(case: Case, decision: Decision, parent: Candidate, course: _Course) -> Decision:
    """What becomes of a report that was found to repeat that one."""
    if not _may_be_joined(case):
        return replace(decision, outcome=Outcome.SUGGESTED)
    over_at = None if parent.id in course.reopened else parent.closed_at
    service = case.catalogue.by_id[parent.service_id]
    # Nobody opens anything again in a past that is replayed: it went as its city recorded it.
    is_past = case.row.source == Source.IMPORT
    fate = fate_of(
        case.row.requested_at,
        over_at,
        is_repaired=not isinstance(parent, Leader) or parent.is_repaired,
        recurrence=Recurrence.NEW if is_past else service.recurrence,
        days=service.recurrence_days,
    )
    if fate is Fate.SUGGESTED:
        return replace(decision, outcome=Outcome.SUGGESTED)
    if fate is Fate.APART:
        return replace(decision, outcome=Outcome.APART, parent_id=None)
    if fate is Fate.RECURS:
        case.recurs_id = parent.id
        return replace(decision, outcome=Outcome.APART, parent_id=None)
    if fate is Fate.REOPENS:
        course.reopened.add(parent.id)
        case.reopens = True
    return decision


def _candidates_of(
    case: Case, course: _Course, known: _Known, search: Search
) -> dict[UUID, Candidate]:
    """Those that were found in the database, and those that lead in this batch."""
    found: dict[UUID, Candidate] = {}
    for leader in known.near.get(case.row.id, ()):
        now = known.as_now(leader)
        if now is not None:
            more = course.joined.get(now.id, 0)
            found[now.id] = replace(now, joined=now.joined + more) if more else now
    here = case.features
    if here.point is None:
        return found
    services = set(search.service_ids)
    north_deg = (search.radius_m + finding.WIDEST_ACCURACY_M) / SHORTEST_LATITUDE_DEGREE_M
    for mate in course.leaders:
        there = mate.features
        if there.point is None or mate.row.service_id not in services:
            continue
        # Of a whole batch most lie elsewhere: the judge measures those that do not.
        if (
            abs(there.point.lat - here.point.lat) <= north_deg
            or (here.asset_id is not None and here.asset_id == there.asset_id)
            or (
                here.number is not None
                and (here.street, here.number) == (there.street, there.number)
            )
        ):
            found[mate.row.id] = _as_candidate(mate, course)
    return found


def _what_was_said(
    case: Case, candidates: dict[UUID, Candidate], course: _Course, known: _Known
) -> tuple[Features, Verdicts]:
    """What people said of this report; those that they named become candidates."""
    verdicts = known.said.get(case.row.id, _NOTHING_SAID)
    refused = {*verdicts.not_same, *(case.row.not_same_as or ())}
    by_id = {mate.row.id: mate for mate in course.leaders}
    features = case.features
    for wished in [features.same_as, *verdicts.same]:
        if wished is None:
            continue
        # Of a duplicate that was named, its parent is meant; in this batch or outside.
        mate = by_id.get(course.followed.get(wished, wished))
        stored = known.meant.get(wished)
        named: Candidate | None = stored and known.as_now(stored)
        if mate is not None:
            named = _as_candidate(mate, course)
        if named is None or named.id == case.row.id:
            continue
        candidates[named.id] = named
        if wished == features.same_as:
            features = replace(features, same_as=named.id)
        else:
            verdicts = replace(verdicts, same={*verdicts.same, named.id})
    # Who says no to a duplicate says it of the problem that it tells, unless that was named.
    leading = {course.followed.get(id_, id_) for id_ in refused}
    leading |= {known.meant[id_].id for id_ in refused if id_ in known.meant}
    leading -= {*verdicts.same, features.same_as}
    return features, replace(verdicts, not_same=refused | leading)


def _may_be_joined(case: Case) -> bool:
    """Only on arrival: what staff have had in hand is joined by staff alone."""
    return case.is_first and case.routed_by != BY_PERSON and not case.row.has_children


def _as_candidate(case: Case, course: _Course) -> Candidate:
    features = case.features
    return Candidate(
        id=features.id,
        service_id=features.service_id,
        requested_at=features.requested_at,
        point=features.point,
        address=features.address,
        asset_id=features.asset_id,
        text=features.text,
        accuracy_m=features.accuracy_m,
        street=features.street,
        number=features.number,
        photo_hashes=features.photo_hashes,
        joined=case.row.joined_count + course.joined.get(features.id, 0),
    )


_LEADERS = sa.text(
    f"""
    SELECT id, coalesce(resolved_at, closed_at) AS over_at,
           resolved_at IS NOT NULL AND status <> '{Status.REJECTED}' AS is_repaired
      FROM service_requests
     WHERE id = ANY (:ids ::uuid[]) AND parent_id IS NULL
     ORDER BY id
       FOR NO KEY UPDATE
    """
)
