"""The rows of triage: the batch that waits, locked, and what was decided about it, stored.

Decides nothing: `reports.triage` does, and `reports.telling_apart`. Each function costs the same
number of statements whatever the size of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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
from reports.vocabulary import OPEN_STATUSES, HistoryKind, Status, Visibility


@dataclass(slots=True)
class Case:
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
    assignee_id: UUID | None = None
    parent_id: UUID | None = None

    @property
    def is_first(self) -> bool:
        """Whether it has never been triaged."""
        return bool(self.row.status == Status.RECEIVED)

    @property
    def is_free(self) -> bool:
        """Whether rules may say who has it: no person chose its team or the one who has it."""
        by_rule = (self.row.routing or {}).get("person_id")
        in_hand = self.row.assignee_id is not None and str(self.row.assignee_id) != by_rule
        return bool(self.row.routed_by != BY_PERSON) and not in_hand

    @property
    def may_lead(self) -> bool:
        """Whether reports that come later can be joined to it."""
        return self.parent_id is None and bool(self.row.visibility != Visibility.HIDDEN)


def waiting_cases(
    session: Session,
    report_ids: Sequence[UUID],
    now: datetime,
    times: Mapping[UUID, datetime],
) -> list[Case]:
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
            scope=finding.scope_of(service, catalogue),
            address=row.address,
            asset_id=row.asset_id,
            same_as=row.same_as,
        )
        cases.append(
            Case(
                row=row,
                at=times.get(row.id, now),
                catalogue=catalogue,
                service=service,
                table=deciding.plan(session, catalogue),
                features=features,
                decision=Decision(Outcome.APART),
                status=Status(row.status),
                team_id=row.team_id,
                priority=row.priority,
                due_at=row.due_at,
                routed_by=row.routed_by,
                explanation=row.routing,
                assignee_id=row.assignee_id,
            )
        )
    return cases


def teams_of_parents(
    session: Session, cases: Sequence[Case], by_id: Mapping[UUID, Case]
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


def store(session: Session, cases: Sequence[Case], judge: DuplicateJudge) -> None:
    """Store what was decided, with one statement."""
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
            "duplicate": [case.decision.as_data(judge.name) for case in cases],
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
       SET status = f.status, team_id = f.team_id, assignee_id = f.assignee_id,
           priority = f.priority, due_at = f.due_at, routed_by = f.routed_by, routing = f.routing,
           parent_id = f.parent_id, duplicate = f.duplicate, triaged_at = f.at, updated_at = f.at,
           version = r.version + 1
      FROM unnest(
               :ids ::uuid[], :statuses ::text[], :teams ::integer[], :assignees ::uuid[],
               :priorities ::smallint[], :dues ::timestamptz[], :routed_by ::text[],
               :routing ::jsonb[], :parents ::uuid[], :duplicate ::jsonb[], :times ::timestamptz[]
           ) AS f(
               id, status, team_id, assignee_id, priority, due_at, routed_by, routing, parent_id,
               duplicate, at
           )
     WHERE r.id = f.id
    """
).bindparams(
    sa.bindparam("routing", type_=postgresql.ARRAY(postgresql.JSONB(none_as_null=True))),
    sa.bindparam("duplicate", type_=postgresql.ARRAY(postgresql.JSONB(none_as_null=True))),
)
