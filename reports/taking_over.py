"""A newcomer that is older or better placed than the report it repeats takes the lead from it.

Part of `reports.triage`, between judging and storing; the rule is `reports.duplicates.leading`.
The pipeline does not keep the order of arrival: what waited for its place, for a worker or for
another system comes late. Nobody need know whose report was looked at first.

1. `settle` looks at those that were found to repeat another one. Who would lead it stands for
   itself instead, and the rest of the batch that was to be joined to that one joins the newcomer.
2. Of a leader in the batch that is all: nothing of it is stored yet. One outside is joined to the
   newcomer by `carry_out`, once that is stored, in the way of staff's own click
   (`reports.duplicates.joining`): it takes its duplicates along, and separating it brings them
   back.

A leader keeps its place where a person had a word in it: it was worked on, or the newcomer's
reporter chose it. So it does where the newcomer is of another service, because then another team
would get the work, or is not shown to the public while the leader is. Who leads a past that is
imported is as its city recorded it.

No deadlock comes of it: the leader is locked already, and of its duplicates only those are taken
that nobody holds. If one is held, the lead stays where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports.duplicates import joining
from reports.duplicates.leading import Hold, Standing, is_street_alone, leads, may_cede, why
from reports.duplicates.rules import Decision, Outcome, Reason
from reports.history import SYSTEM
from reports.models import ServiceRequest
from reports.triage_rows import Case
from reports.vocabulary import ActorKind, HistoryKind, Source, Status, Visibility


@dataclass(frozen=True, slots=True)
class Succession:
    """A report outside the batch that is to be joined to one in it.

    Attributes:
        found: the decision that found the two to be one.
    """

    former_id: UUID
    heir: Case
    found: Decision
    because: Reason


@dataclass(frozen=True, slots=True)
class _Leader:
    standing: Standing
    service_id: int
    is_public: bool
    may_cede: bool


def settle(session: Session, cases: Sequence[Case]) -> list[Succession]:
    """Let those lead that should; what is to be carried out once the batch is stored.

    Changes `parent_id` and `decision` of cases. Costs no statement where nobody may take over.
    """
    challengers: dict[UUID, list[Case]] = {}
    for case in cases:
        if case.parent_id is not None and _may_take_over(case):
            challengers.setdefault(case.parent_id, []).append(case)
    if not challengers:
        return []
    by_id = {case.row.id: case for case in cases}
    leaders = {id_: _of_batch(by_id[id_]) for id_ in challengers if id_ in by_id}
    leaders |= _outside(session, challengers, by_id.keys())
    successions = []
    for former_id, rivals in challengers.items():
        leader = leaders.get(former_id)
        heir = leader and leader.may_cede and _heir_of(leader, rivals)
        if not leader or not heir:
            continue
        found, because = heir.decision, why(_standing(heir.row), leader.standing)
        _crown(heir, former_id, cases)
        if former_id in by_id:
            _yield(by_id[former_id], heir, found, because)
        else:
            successions.append(Succession(former_id, heir, found, because))
    return successions


def carry_out(session: Session, successions: Sequence[Succession]) -> None:
    """Join the former leaders to those that lead now; after the batch was stored."""
    for item in successions:
        former = session.get_one(ServiceRequest, item.former_id, populate_existing=True)
        heir = session.get_one(ServiceRequest, item.heir.row.id, populate_existing=True)
        joining.join(
            session,
            former,
            heir,
            by=SYSTEM,
            now=item.heir.at,
            reasons=(*item.found.reasons, item.because),
            score=item.found.score,
            judge=item.heir.judge.name,
        )
        # What follows is plain SQL.
        session.expire(former)
        session.expire(heir)


def _may_take_over(case: Case) -> bool:
    is_chosen = any(reason.code == "reporter_said" for reason in case.decision.reasons)
    is_past = case.row.source == Source.IMPORT
    is_hidden = case.row.visibility == Visibility.HIDDEN
    return not (is_chosen or is_past or is_hidden or case.reopens)


def _heir_of(leader: _Leader, rivals: Sequence[Case]) -> Case | None:
    """Who leads that one, if anybody; of several the one that leads the others too."""
    heir, best = None, leader.standing
    for rival in rivals:
        if rival.row.service_id != leader.service_id:
            continue
        if leader.is_public and rival.row.visibility != Visibility.PUBLIC:
            continue
        standing = _standing(rival.row)
        if not leads(best, standing):
            heir, best = rival, standing
    return heir


def _crown(heir: Case, former_id: UUID, cases: Sequence[Case]) -> None:
    heir.parent_id = None
    heir.decision = replace(heir.decision, outcome=Outcome.APART, parent_id=None)
    for case in cases:
        if case.parent_id == former_id:
            case.parent_id = heir.row.id
            case.decision = replace(case.decision, parent_id=heir.row.id)


def _yield(former: Case, heir: Case, found: Decision, because: Reason) -> None:
    former.parent_id = heir.row.id
    former.decision = replace(
        found,
        outcome=Outcome.JOINED,
        parent_id=heir.row.id,
        reasons=(*found.reasons, because),
        ranked=former.decision.ranked,
    )


def _of_batch(case: Case) -> _Leader:
    row = case.row
    # Only what arrives: staff have looked at what is triaged again.
    is_new = case.is_first and case.is_free and not row.has_children and case.recurs_id is None
    is_public = row.visibility == Visibility.PUBLIC
    return _Leader(_standing(row), row.service_id, is_public, is_new)


def _outside(
    session: Session, challengers: Mapping[UUID, Sequence[Case]], batch: Collection[UUID]
) -> dict[UUID, _Leader]:
    """How the leaders stand that are locked already, where somebody may lead them.

    Their duplicates are locked here; who has one that somebody else holds does not cede.
    """
    asked = sorted(id_ for id_ in challengers if id_ not in batch)
    if not asked:
        return {}
    rows = session.execute(_STANDING, {"ids": asked}).all()
    ceding = [
        row.id
        for row in rows
        if may_cede(Hold(Status(row.status), row.is_assigned, row.is_touched))
        and any(not leads(_standing(row), _standing(case.row)) for case in challengers[row.id])
    ]
    free = Counter(session.scalars(_TAKE_ALONG, {"ids": ceding})) if ceding else Counter[UUID]()
    return {
        row.id: _Leader(
            _standing(row),
            row.service_id,
            row.visibility == Visibility.PUBLIC,
            free[row.id] == row.joined_count,
        )
        for row in rows
        if row.id in set(ceding)
    }


def _standing(row: sa.Row[tuple[object, ...]]) -> Standing:
    return Standing(
        told_at=row.requested_at,
        is_placed=row.lat is not None,
        accuracy_m=row.accuracy_m,
        id=row.id,
        is_street_alone=is_street_alone(row.place_source, row.address_number),
    )


#: Whose doing shows that somebody looks after a report already.
_OTHERS = ", ".join(
    f"'{kind}'" for kind in (ActorKind.STAFF, ActorKind.MACHINE, ActorKind.VOLUNTEER)
)

# That staff took the call says nothing yet; that they joined another to it does.
_STANDING = sa.text(
    f"""
    SELECT r.id, r.status, r.service_id, r.visibility, r.requested_at, r.lat, r.accuracy_m,
           r.place_source, r.address_number, r.joined_count,
           r.assignee_id IS NOT NULL AS is_assigned,
           EXISTS (
               SELECT FROM history AS h
                WHERE h.report_id = r.id
                  AND (h.kind IN ('{HistoryKind.COMMENTED}', '{HistoryKind.ASKED}')
                       OR h.actor_kind IN ({_OTHERS})
                          AND (h.kind <> '{HistoryKind.STATUS}' OR h.from_status IS NOT NULL))
           ) OR EXISTS (
               SELECT FROM service_requests AS joined
                WHERE joined.parent_id = r.id AND joined.duplicate ->> 'judge' IN ({_OTHERS})
           ) AS is_touched
      FROM service_requests AS r
     WHERE r.id = ANY (:ids ::uuid[]) AND r.parent_id IS NULL
    """
)

_TAKE_ALONG = sa.text(
    """
    SELECT parent_id FROM service_requests
     WHERE parent_id = ANY (:ids ::uuid[])
     ORDER BY id
       FOR NO KEY UPDATE SKIP LOCKED
    """
)
