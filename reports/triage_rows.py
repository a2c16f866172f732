"""The rows of triage: the batch that waits, locked, and what was decided about it, stored.

Decides nothing: `reports.triage` does, and `reports.telling_apart`. Each function costs the same
number of statements whatever the size of the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.outbox import Event, Happening, after, emit_many
from geo.measures import Point
from reports import events, history
from reports.catalogue import Catalogue, ServiceEntry, catalogue_of
from reports.duplicates import finding, joining
from reports.duplicates.rules import Decision, DuplicateJudge, Features, Outcome
from reports.history import SYSTEM, Entry
from reports.routing import deciding
from reports.routing.deciding import BY_PERSON, RoutingPlan
from reports.vocabulary import (
    OPEN_STATUSES,
    ActorKind,
    HistoryKind,
    PhotoState,
    Source,
    Status,
    Visibility,
)


@dataclass(slots=True)
class Case:
    """One report of the batch and what was decided about it so far."""

    row: Any
    at: datetime
    catalogue: Catalogue
    service: ServiceEntry
    table: RoutingPlan
    judge: DuplicateJudge
    features: Features
    decision: Decision
    status: Status
    team_id: int | None
    priority: int
    due_at: datetime | None
    routed_by: str | None
    explanation: Mapping[str, Any] | None
    assignee_id: UUID | None = None
    parent_id: UUID | None = None
    #: The repaired report whose problem has come back, where this one stands for itself.
    recurs_id: UUID | None = None
    #: Its parent is over and is opened again for it.
    reopens: bool = False

    @property
    def is_first(self) -> bool:
        """Whether it has never been triaged."""
        return bool(self.row.status == Status.RECEIVED)

    @property
    def is_free(self) -> bool:
        """Whether rules may say who has it: no person chose its team, and nobody took it."""
        row = self.row
        by_rule = (row.routing or {}).get("person_id")
        in_hand = row.assignee_id is not None and str(row.assignee_id) != by_rule
        # A team took it, nobody by name; what a rule gave to a person is assigned, too.
        status = row.held_from or row.status
        is_taken = status == Status.IN_PROGRESS or (
            status == Status.ASSIGNED and row.assignee_id is None
        )
        return bool(row.routed_by != BY_PERSON) and not in_hand and not is_taken

    @property
    def may_lead(self) -> bool:
        """Whether reports that come later can be joined to it."""
        return self.parent_id is None and bool(self.row.visibility != Visibility.HIDDEN)


def waiting_cases(
    session: Session,
    report_ids: Sequence[UUID],
    now: datetime,
    times: Mapping[UUID, datetime],
    judge: DuplicateJudge | None,
) -> list[Case]:
    """The open reports among these that wait for triage, locked, in the order of arrival.

    Those that were finished before anybody looked are marked as looked at and left alone.
    """
    rows = session.execute(_TO_TRIAGE, {"ids": list(report_ids)}).all()
    cases = []
    for row in sorted(rows, key=lambda row: (row.requested_at, row.id)):
        catalogue = catalogue_of(session, row.jurisdiction_id)
        service = catalogue.by_id[row.service_id]
        decider = judge or finding.judge_of(session, catalogue)
        cases.append(
            Case(
                row=row,
                at=times.get(row.id, now),
                catalogue=catalogue,
                service=service,
                table=deciding.plan(session, catalogue),
                judge=decider,
                features=features_of(row, service, catalogue, decider),
                decision=Decision(Outcome.APART),
                status=Status(row.status),
                team_id=row.team_id,
                priority=row.priority_base,
                due_at=row.due_at,
                routed_by=row.routed_by,
                explanation=row.routing,
                assignee_id=row.assignee_id,
            )
        )
    return cases


def features_of(
    row: Any, service: ServiceEntry, catalogue: Catalogue, judge: DuplicateJudge
) -> Features:
    """What a judge of duplicates sees of a report, by a row of `COMPARED` columns."""
    return Features(
        id=row.id,
        service_id=row.service_id,
        requested_at=row.requested_at,
        point=None if row.lat is None else Point(row.lat, row.lon),
        scope=finding.scope_of(service, catalogue, judge),
        address=row.address,
        asset_id=row.asset_id,
        same_as=row.same_as,
        text=row.description[: finding.TEXT_LENGTH],
        accuracy_m=row.accuracy_m,
        street=row.address_street,
        number=row.address_number,
        photo_hashes=tuple(finding.unsigned(bits) for bits in row.photo_hashes or ()),
        has_time=_has_time(row, catalogue),
        wave=row.wave,
        source=row.source,
    )


def teams_of_parents(
    session: Session, cases: Sequence[Case], by_id: Mapping[UUID, Case]
) -> dict[UUID, int | None]:
    """Give parents outside the batch a new version, because they gained a report; their teams."""
    outside: dict[UUID, datetime] = {}
    gained = joins(cases)
    for case in cases:
        parent_id = case.parent_id
        if parent_id is not None and parent_id not in by_id:
            outside[parent_id] = max(case.at, outside.get(parent_id, case.at))
    if not outside:
        return {}
    ids = sorted(outside)
    rows = session.execute(
        _PARENTS,
        {
            "ids": ids,
            "times": [outside[id_] for id_ in ids],
            "joins": [gained[id_] for id_ in ids],
        },
    )
    return {row.id: row.team_id for row in rows}


def joins(cases: Sequence[Case]) -> Counter[UUID]:
    """How many reports of the batch each parent gains."""
    return Counter(case.parent_id for case in cases if case.parent_id is not None)


def store(session: Session, cases: Sequence[Case]) -> None:
    """Store what was decided, with one statement."""
    gained = joins(cases)
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
            "assignees": [case.assignee_id for case in cases],
            "priorities": [case.priority for case in cases],
            "dues": [None if case.row.id in joined else case.due_at for case in cases],
            "routed_by": [case.routed_by for case in cases],
            "routing": [case.explanation and dict(case.explanation) for case in cases],
            "parents": [case.parent_id for case in cases],
            "duplicate": [case.decision.as_data(case.judge.name) for case in cases],
            "suggested": [
                case.decision.parent_id if case.decision.outcome is Outcome.SUGGESTED else None
                for case in cases
            ],
            "recurs": [case.recurs_id or case.row.recurs_id for case in cases],
            "joins": [gained[case.row.id] for case in cases],
        },
    )


def remember_said(session: Session, cases: Sequence[Case]) -> None:
    """Keep as labels what reporters said of their reports and others; staff's word stands."""
    said = [
        (case, other_id, is_same)
        for case in cases
        if case.is_first
        for other_id, is_same in (
            *([(case.row.same_as, True)] if case.row.same_as is not None else []),
            *((other_id, False) for other_id in case.row.not_same_as or ()),
        )
    ]
    if said:
        session.execute(
            _SAID,
            {
                "ids": [case.row.id for case, _, _ in said],
                "others": [other_id for _, other_id, _ in said],
                "same": [is_same for _, _, is_same in said],
                "times": [case.row.requested_at for case, _, _ in said],
            },
        )


def write_history(session: Session, cases: Sequence[Case], now: datetime) -> None:
    """Append what happened to each report."""
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
        if case.recurs_id is not None:
            data = {"recurs_id": str(case.recurs_id)}
            entries.append(Entry(row.id, HistoryKind.RECURRED, SYSTEM, data=data, at=case.at))
        is_elsewhere = (row.team_id, row.assignee_id) != (case.team_id, case.assignee_id)
        if case.is_free and (is_elsewhere or case.is_first):
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


def tell(session: Session, cases: Sequence[Case], causes: Mapping[UUID, Event]) -> None:
    """Emit what was decided: triaged, re-routed or joined."""

    def happening(case: Case, **data: Any) -> Happening:
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
    given = [
        case
        for case in cases
        if case.parent_id is None
        and case.assignee_id is not None
        and case.assignee_id != case.row.assignee_id
    ]
    emit_many(session, events.ASSIGNED, [happening(case) for case in given])
    emit_many(
        session,
        events.JOINED,
        [happening(case, parent_id=str(case.parent_id)) for case in joined],
    )


def _has_time(row: Any, catalogue: Catalogue) -> bool:
    """Whether the time of day is known: past cases of some cities have dates alone."""
    local = row.requested_at.astimezone(catalogue.place.time_zone)
    return bool(row.source != Source.IMPORT or local.time() != time())


_OPEN = ", ".join(f"'{status}'" for status in OPEN_STATUSES)


#: So many reports of one kind in six hours are a wave; more do not make it a larger one.
MOST_IN_A_WAVE = 500

#: What `features_of` reads. A subquery cannot be left to the planner's taste here: the limit makes
#: it read no more of the index than is counted.
COMPARED = f"""
    r.id, r.jurisdiction_id, r.service_id, r.source, r.status, r.visibility, r.description, r.lat,
    r.lon, r.address, r.address_street, r.address_number, r.asset_id, r.accuracy_m, r.place_source,
    r.same_as, r.not_same_as, r.requested_at,
    (
        SELECT array_agg(p.likeness ORDER BY p.created_at, p.id) FROM photos AS p
         WHERE p.report_id = r.id AND p.state = '{PhotoState.READY}' AND p.likeness IS NOT NULL
    ) AS photo_hashes,
    (
        SELECT count(*) FROM (
            SELECT FROM service_requests AS w
             WHERE w.service_id = r.service_id AND w.id <> r.id
               AND w.requested_at BETWEEN r.requested_at - interval '6 hours' AND r.requested_at
             LIMIT {MOST_IN_A_WAVE}
        ) AS told
    ) AS wave,
    r.joined_count, r.joined_count > 0 AS has_children
"""

_TO_TRIAGE = sa.text(
    f"""
    SELECT {COMPARED}, r.priority, r.priority_base, r.priority_by, r.attributes, r.areas,
           r.team_id, r.assignee_id, r.routed_by, r.routing, r.duplicate, r.recurs_id,
           r.triaged_at, r.due_at, r.held_since, r.resolved_at, r.closed_at,
           CASE WHEN r.status = '{Status.ON_HOLD}' THEN (
               SELECT h.from_status FROM history AS h
                WHERE h.report_id = r.id AND h.to_status = '{Status.ON_HOLD}'
                ORDER BY h.id DESC LIMIT 1
           ) END AS held_from
      FROM service_requests AS r
     WHERE r.id = ANY (:ids ::uuid[]) AND r.triaged_at IS NULL AND r.parent_id IS NULL
       AND r.located_at IS NOT NULL AND r.status IN ({_OPEN})
     ORDER BY r.id
       FOR UPDATE OF r
    """
)


_PARENTS = sa.text(
    """
    UPDATE service_requests AS r
       SET version = r.version + 1, updated_at = f.at, joined_count = r.joined_count + f.joins
      FROM unnest(:ids ::uuid[], :times ::timestamptz[], :joins ::integer[]) AS f(id, at, joins)
     WHERE r.id = f.id
    RETURNING r.id, r.team_id
    """
)


_SAID = sa.text(
    f"""
    INSERT INTO pair_verdicts (report_id, other_id, is_same, said_by, said_at)
    SELECT f.id, f.other_id, f.is_same, '{ActorKind.REPORTER}', f.at
      FROM unnest(:ids ::uuid[], :others ::uuid[], :same ::boolean[], :times ::timestamptz[])
           AS f(id, other_id, is_same, at)
    ON CONFLICT (report_id, other_id) DO NOTHING
    """
)

_STORE = sa.text(
    """
    UPDATE service_requests AS r
       SET status = f.status, team_id = f.team_id, assignee_id = f.assignee_id, due_at = f.due_at,
           routed_by = f.routed_by, routing = f.routing, parent_id = f.parent_id,
           duplicate = f.duplicate, suggested_id = f.suggested_id, recurs_id = f.recurs_id,
           joined_count = r.joined_count + f.joins,
           priority_base = f.priority,
           priority = CASE
               WHEN r.priority_by IS NULL THEN f.priority
               WHEN r.priority_by = 'person' THEN r.priority
               ELSE greatest(r.priority, f.priority)
           END,
           triaged_at = f.at, updated_at = f.at, version = r.version + 1
      FROM unnest(
               :ids ::uuid[], :statuses ::text[], :teams ::integer[], :assignees ::uuid[],
               :priorities ::smallint[], :dues ::timestamptz[], :routed_by ::text[],
               :routing ::jsonb[], :parents ::uuid[], :duplicate ::jsonb[], :times ::timestamptz[],
               :suggested ::uuid[], :recurs ::uuid[], :joins ::integer[]
           ) AS f(
               id, status, team_id, assignee_id, priority, due_at, routed_by, routing, parent_id,
               duplicate, at, suggested_id, recurs_id, joins
           )
     WHERE r.id = f.id
    """
).bindparams(
    sa.bindparam("routing", type_=postgresql.ARRAY(postgresql.JSONB(none_as_null=True))),
    sa.bindparam("duplicate", type_=postgresql.ARRAY(postgresql.JSONB(none_as_null=True))),
)
