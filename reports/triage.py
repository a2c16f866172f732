"""Triage: is it new, who repairs it, until when. Whole batches, in one transaction each.

1. Lock the reports, then the neighbourhoods they lie in (advisory locks, in order), so that two
   workers never look past one another: of two reports of one pothole the second sees the first.
2. Fetch, with one statement each: candidates that may lead, those that citizens named, and what
   people have said of pairs.
3. Ask the rules in the order of arrival, those of this batch leading one another too: the judge
   of duplicates, then the routing rules, then the calendar.
4. Store with one statement for the reports, one for their parents, one for the history, one for
   each kind of event.

So a batch costs the same number of statements whatever its size. Doing it again does nothing:
`triaged_at` says that it was done. Staff empty it when they change a report's service or place;
then the report is routed again, never joined by itself, and never taken from the team that a
person chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.outbox import Event, Happening, after, emit_many
from geo.measures import Point
from reports import duplicates, events, history, joining, routing
from reports.catalogue import Catalogue, ServiceEntry, catalogue_of
from reports.duplicate_rules import (
    Candidate,
    Decision,
    DuplicateJudge,
    Features,
    Outcome,
    Search,
    Verdicts,
)
from reports.history import SYSTEM, Entry
from reports.routing import BY_PERSON, BY_RULE, RoutingPlan
from reports.vocabulary import OPEN_STATUSES, HistoryKind, Status, Visibility

#: No degree of latitude is shorter (at the equator it is 110,574 m).
SHORTEST_LATITUDE_DEGREE_M = 110_560.0

_NOTHING_SAID = Verdicts()


@dataclass(frozen=True, slots=True)
class Triaged:
    """What became of a batch."""

    routed: int = 0
    joined: int = 0
    suggested: int = 0


@dataclass(slots=True)
class _Case:
    """One report of the batch and what was decided about it so far."""

    row: Any
    at: datetime
    catalogue: Catalogue
    service: ServiceEntry
    table: RoutingPlan
    features: Features
    decision: Decision
    status: Status
    team_id: int | None
    priority: int
    due_at: datetime | None
    routed_by: str | None
    explanation: Mapping[str, Any] | None
    parent_id: UUID | None = None

    @property
    def is_first(self) -> bool:
        """Whether it has never been triaged."""
        return bool(self.row.status == Status.RECEIVED)

    @property
    def may_lead(self) -> bool:
        """Whether reports that come later can be joined to it."""
        return self.parent_id is None and bool(self.row.visibility != Visibility.HIDDEN)


def triage(
    session: Session,
    report_ids: Sequence[UUID],
    *,
    now: datetime,
    causes: Mapping[UUID, Event] | None = None,
    judge: DuplicateJudge = duplicates.JUDGE,
    times: Mapping[UUID, datetime] | None = None,
) -> Triaged:
    """Triage those of these reports that wait for it, in the caller's transaction.

    Args:
        causes: the event that asked for each report, as far as known.
        times: when each is triaged, where that is not `now`: a past that is replayed.
    """
    cases = _cases(session, report_ids, now, times or {})
    if not cases:
        return Triaged()
    _find_duplicates(session, cases, judge)
    for case in cases:
        if case.parent_id is None:
            _route(case)
    by_id = {case.row.id: case for case in cases}
    outside = _teams_of_parents(session, cases, by_id)
    for case in cases:
        if case.parent_id is not None:
            leader = by_id.get(case.parent_id)
            case.team_id = leader.team_id if leader else outside[case.parent_id]
    _store(session, cases, judge)
    _write_history(session, cases, now)
    _tell(session, cases, causes or {})
    return Triaged(
        routed=sum(case.parent_id is None for case in cases),
        joined=sum(case.parent_id is not None for case in cases),
        suggested=sum(case.decision.outcome is Outcome.SUGGESTED for case in cases),
    )


def _cases(
    session: Session,
    report_ids: Sequence[UUID],
    now: datetime,
    times: Mapping[UUID, datetime],
) -> list[_Case]:
    """The open reports among these that wait for triage, locked, in the order of arrival.

    Those that were finished before anybody looked are marked as looked at and left alone.
    """
    rows = session.execute(_TO_TRIAGE, {"ids": list(report_ids)}).all()
    cases = []
    for row in sorted(rows, key=lambda row: (row.requested_at, row.id)):
        catalogue = catalogue_of(session, row.jurisdiction_id)
        service = catalogue.by_id[row.service_id]
        features = Features(
            id=row.id,
            service_id=row.service_id,
            requested_at=row.requested_at,
            point=None if row.lat is None else Point(row.lat, row.lon),
            scope=duplicates.scope_of(service, catalogue),
            address=row.address,
            asset_id=row.asset_id,
            same_as=row.same_as,
        )
        cases.append(
            _Case(
                row=row,
                at=times.get(row.id, now),
                catalogue=catalogue,
                service=service,
                table=routing.plan(session, catalogue),
                features=features,
                decision=Decision(Outcome.APART),
                status=Status(row.status),
                team_id=row.team_id,
                priority=row.priority,
                due_at=row.due_at,
                routed_by=row.routed_by,
                explanation=row.routing,
            )
        )
    return cases


def _find_duplicates(session: Session, cases: Sequence[_Case], judge: DuplicateJudge) -> None:
    placed = [case for case in cases if case.features.point is not None]
    duplicates.take_locks(
        session,
        (
            key
            for case in placed
            if case.features.point is not None
            for key in duplicates.lock_keys(
                case.catalogue, case.service, case.features.point, judge
            )
        ),
    )
    questions = [
        duplicates.Question(
            case.row.jurisdiction_id, case.features.point, judge.search(case.features)
        )
        for case in placed
        if case.features.point is not None
    ]
    near = dict(
        zip(
            (case.row.id for case in placed),
            duplicates.candidates(session, questions),
            strict=True,
        )
    )
    said = duplicates.verdicts_on(session, [case.row.id for case in cases])
    meant = duplicates.named(
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
    cases: Sequence[_Case],
    near: Mapping[UUID, list[Candidate]],
    meant: Mapping[UUID, Candidate],
    said: Mapping[UUID, Verdicts],
    gone: set[UUID],
    judge: DuplicateJudge,
) -> None:
    """Ask about each report in the order of arrival; those of the batch may lead later ones."""
    leaders: list[_Case] = []
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
    case: _Case,
    leaders: Sequence[_Case],
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
    case: _Case,
    candidates: dict[UUID, Candidate],
    leaders: Sequence[_Case],
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


def _may_be_joined(case: _Case) -> bool:
    """Only on arrival: what staff have had in hand is joined by staff alone."""
    return case.is_first and case.routed_by != BY_PERSON and not case.row.has_children


def _as_candidate(case: _Case) -> Candidate:
    return Candidate(
        id=case.row.id,
        service_id=case.row.service_id,
        requested_at=case.row.requested_at,
        point=case.features.point,
        address=case.row.address,
        asset_id=case.row.asset_id,
    )


def _route(case: _Case) -> None:
    row = case.row
    found = routing.decide(
        case.table,
        routing.facts_of(
            case.table,
            case.service,
            source=row.source,
            areas=row.areas,
            attributes=row.attributes,
            description=row.description,
        ),
    )
    if case.routed_by != BY_PERSON:
        case.team_id = found.team_id
        case.routed_by = BY_RULE if found.team_id is not None else None
        case.explanation = found.explanation
        case.priority = row.priority if found.priority is None else found.priority
    if row.held_since is None:
        # The clock of a held report stands still; it is put right when the hold ends.
        case.due_at = routing.due_for(
            case.table,
            case.service,
            found,
            team_id=case.team_id,
            requested_at=row.requested_at,
            priority=case.priority,
        )
    if case.is_first and case.team_id is not None:
        case.status = Status.TRIAGED


def _teams_of_parents(
    session: Session, cases: Sequence[_Case], by_id: Mapping[UUID, _Case]
) -> dict[UUID, int | None]:
    """Give parents outside the batch a new version, because they gained a report; their teams."""
    outside: dict[UUID, datetime] = {}
    for case in cases:
        parent_id = case.parent_id
        if parent_id is not None and parent_id not in by_id:
            outside[parent_id] = max(case.at, outside.get(parent_id, case.at))
    if not outside:
        return {}
    ids = sorted(outside)
    rows = session.execute(_PARENTS, {"ids": ids, "times": [outside[id_] for id_ in ids]})
    return {row.id: row.team_id for row in rows}


def _store(session: Session, cases: Sequence[_Case], judge: DuplicateJudge) -> None:
    joined = {case.row.id for case in cases if case.parent_id is not None}
    session.execute(
        _STORE,
        {
            "times": [case.at for case in cases],
            "ids": [case.row.id for case in cases],
            "statuses": [
                (Status.DUPLICATE if case.row.id in joined else case.status).value for case in cases
            ],
            "teams": [case.team_id for case in cases],
            "priorities": [case.priority for case in cases],
            "dues": [None if case.row.id in joined else case.due_at for case in cases],
            "routed_by": [case.routed_by for case in cases],
            "routing": [case.explanation and dict(case.explanation) for case in cases],
            "parents": [case.parent_id for case in cases],
            "duplicate": [case.decision.as_data(judge.name) for case in cases],
        },
    )


def _write_history(session: Session, cases: Sequence[_Case], now: datetime) -> None:
    entries: list[Entry] = []
    for case in cases:
        row, before = case.row, Status(case.row.status)
        if case.parent_id is not None:
            data = joining.joined_data(
                case.parent_id, joining.state_of(row), case.decision.reasons, case.decision.score
            )
            entries.append(
                Entry(row.id, HistoryKind.JOINED, SYSTEM, before, Status.DUPLICATE, data, case.at)
            )
            continue
        is_new_team = row.team_id != case.team_id or case.is_first
        if case.routed_by != BY_PERSON and is_new_team:
            data = {**(case.explanation or {}), "team_id": case.team_id}
            if not case.is_first:
                data["from_team_id"] = row.team_id
            entries.append(Entry(row.id, HistoryKind.ROUTED, SYSTEM, data=data, at=case.at))
        if case.status is not before:
            entries.append(
                Entry(row.id, HistoryKind.STATUS, SYSTEM, before, case.status, at=case.at)
            )
        elif case.due_at != row.due_at:
            data = {
                "from_due_at": row.due_at and row.due_at.isoformat(),
                "due_at": case.due_at and case.due_at.isoformat(),
            }
            entries.append(Entry(row.id, HistoryKind.DUE_CHANGED, SYSTEM, data=data, at=case.at))
    history.append(session, entries, now=now)


def _tell(session: Session, cases: Sequence[_Case], causes: Mapping[UUID, Event]) -> None:
    def happening(case: _Case, **data: Any) -> Happening:
        return after(causes.get(case.row.id), case.row.id, case.row.jurisdiction_id, **data)

    routed = [case for case in cases if case.parent_id is None and case.is_first]
    again = [
        case
        for case in cases
        if case.parent_id is None and not case.is_first and case.team_id != case.row.team_id
    ]
    joined = [case for case in cases if case.parent_id is not None]
    emit_many(session, events.TRIAGED, [happening(case) for case in routed])
    emit_many(session, events.REROUTED, [happening(case) for case in again])
    emit_many(
        session,
        events.JOINED,
        [happening(case, parent_id=str(case.parent_id)) for case in joined],
    )


_OPEN = ", ".join(f"'{status}'" for status in OPEN_STATUSES)

_TO_TRIAGE = sa.text(
    f"""
    SELECT id, jurisdiction_id, service_id, source, status, visibility, priority, description,
           attributes, lat, lon, address, areas, asset_id, team_id, assignee_id, routed_by,
           routing, duplicate, same_as, not_same_as, requested_at, triaged_at, due_at, held_since,
           resolved_at, closed_at,
           EXISTS (SELECT FROM service_requests AS c WHERE c.parent_id = r.id) AS has_children
      FROM service_requests AS r
     WHERE id = ANY (:ids ::uuid[]) AND triaged_at IS NULL AND parent_id IS NULL
       AND located_at IS NOT NULL AND status IN ({_OPEN})
     ORDER BY id
       FOR UPDATE OF r
    """
)

_LEADERS = sa.text(
    f"""
    SELECT id FROM service_requests
     WHERE id = ANY (:ids ::uuid[]) AND parent_id IS NULL AND status IN ({_OPEN})
     ORDER BY id
       FOR NO KEY UPDATE
    """
)

_PARENTS = sa.text(
    """
    UPDATE service_requests AS r SET version = r.version + 1, updated_at = f.at
      FROM unnest(:ids ::uuid[], :times ::timestamptz[]) AS f(id, at)
     WHERE r.id = f.id
    RETURNING r.id, r.team_id
    """
)

_STORE = sa.text(
    """
    UPDATE service_requests AS r
       SET status = f.status, team_id = f.team_id, priority = f.priority, due_at = f.due_at,
           routed_by = f.routed_by, routing = f.routing, parent_id = f.parent_id,
           duplicate = f.duplicate, triaged_at = f.at, updated_at = f.at, version = r.version + 1
      FROM unnest(
               :ids ::uuid[], :statuses ::text[], :teams ::integer[], :priorities ::smallint[],
               :dues ::timestamptz[], :routed_by ::text[], :routing ::jsonb[], :parents ::uuid[],
               :duplicate ::jsonb[], :times ::timestamptz[]
           ) AS f(
               id, status, team_id, priority, due_at, routed_by, routing, parent_id, duplicate, at
           )
     WHERE r.id = f.id
    """
).bindparams(
    sa.bindparam("routing", type_=postgresql.ARRAY(postgresql.JSONB(none_as_null=True))),
    sa.bindparam("duplicate", type_=postgresql.ARRAY(postgresql.JSONB(none_as_null=True))),
)
