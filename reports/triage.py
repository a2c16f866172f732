"""Triage: is it new, who repairs it, until when. Whole batches, in one transaction each.

1. Lock the reports, then the neighbourhoods they lie in (advisory locks, in order), so that two
   workers never look past one another: of two reports of one pothole the second sees the first.
2. Fetch, with one statement each: candidates that may lead, those that citizens named, and what
   people have said of pairs.
3. Ask the rules in the order of arrival, those of this batch leading one another too: the judge
   of duplicates, then the routing rules, then the calendar. What repeats a report that is over
   opens it again or stands for itself, as the service says (`reports.duplicates.recurring`).
4. Of two that repeat one another the older or better placed leads (`reports.taking_over`).
5. Store with one statement for the reports, one for their parents, one for the history, one for
   each kind of event; then the evidence of the parents is weighed.

So a batch costs the same number of statements whatever its size, and a few more for each report
that hands the lead over. Doing it again does nothing:
`triaged_at` says that it was done. Staff empty it when they change a report's service or place;
then the report is routed again, never joined by itself, and never taken from the team that a
person chose, nor from somebody who has it in hand because a person said so.

What is fetched first and stored last stands in `reports.triage_rows`, who repeats whom in
`reports.telling_apart`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from core.outbox import Event
from reports import changing, lifecycle, taking_over, triage_rows
from reports.duplicates import evidence
from reports.duplicates.rules import DuplicateJudge, Outcome
from reports.history import SYSTEM
from reports.routing import deciding, people
from reports.routing.deciding import BY_RULE, AssetOwners
from reports.routing.people import Post
from reports.telling_apart import find_duplicates
from reports.triage_rows import Case
from reports.vocabulary import Status

#: Why a report was opened again by itself: somebody told the same after its repair.
RECURRED = "recurred"


@dataclass(frozen=True, slots=True)
class Triaged:
    """What became of a batch."""

    routed: int = 0
    joined: int = 0
    suggested: int = 0


def triage(
    session: Session,
    report_ids: Sequence[UUID],
    *,
    now: datetime,
    causes: Mapping[UUID, Event] | None = None,
    judge: DuplicateJudge | None = None,
    times: Mapping[UUID, datetime] | None = None,
    assets: AssetOwners | None = None,
) -> Triaged:
    """Triage those of these reports that wait for it, in the caller's transaction.

    Args:
        causes: the event that asked for each report, as far as known.
        judge: who decides about duplicates; None: the one in force in each city.
        times: when each is triaged, where that is not `now`: a past that is replayed.
        assets: who knows the owners of assets; None: nobody does.
    """
    cases = triage_rows.waiting_cases(session, report_ids, now, times or {}, judge)
    if not cases:
        return Triaged()
    find_duplicates(session, cases)
    successions = taking_over.settle(session, cases)
    _reopen(session, cases)
    routed = [case for case in cases if case.parent_id is None]
    owners = _owners(session, routed, assets)
    posts = _posts(session, routed)
    for case in routed:
        _route(case, owners.get(case.row.asset_id), posts.get(case.row.jurisdiction_id, {}))
    by_id = {case.row.id: case for case in cases}
    outside = triage_rows.teams_of_parents(session, cases, by_id)
    for case in cases:
        if case.parent_id is not None:
            leader = by_id.get(case.parent_id)
            case.team_id = leader.team_id if leader else outside[case.parent_id]
    triage_rows.store(session, cases)
    triage_rows.remember_said(session, cases)
    triage_rows.write_history(session, cases, now)
    _weigh(session, cases)
    triage_rows.tell(session, cases, causes or {})
    taking_over.carry_out(session, successions)
    return Triaged(
        routed=sum(case.parent_id is None for case in cases),
        joined=sum(case.parent_id is not None for case in cases),
        suggested=sum(case.decision.outcome is Outcome.SUGGESTED for case in cases),
    )


def _weigh(session: Session, cases: Sequence[Case]) -> None:
    """Count the evidence of those that gained reports, and of those that are triaged again."""
    now = max(case.at for case in cases)
    again = {case.row.id for case in cases if case.row.has_children}
    evidence.weigh(session, again, now=now)
    evidence.weigh(session, triage_rows.joins(cases).keys() - again, now=now, has_grown=True)


def _reopen(session: Session, cases: Sequence[Case]) -> None:
    """Open parents again whose problem has come back; each by the first report that says so."""
    causes: dict[UUID, Case] = {}
    for case in cases:
        if case.reopens and case.parent_id is not None:
            causes.setdefault(case.parent_id, case)
    if not causes:
        return
    for parent_id, parent in changing.lock_all(session, causes).items():
        case = causes[parent_id]
        lifecycle.move(
            session,
            parent,
            Status.REOPENED,
            by=SYSTEM,
            now=case.at,
            reason=RECURRED,
            data={"duplicate_id": str(case.row.id)},
        )
        # What follows is plain SQL.
        session.expire(parent)


def _owners(
    session: Session, cases: Sequence[Case], assets: AssetOwners | None
) -> Mapping[UUID, str]:
    """The teams that own the assets these reports are about, where a rule asks for it."""
    asked = {
        case.row.asset_id
        for case in cases
        if case.row.asset_id is not None and case.table.asks_owners
    }
    return assets.owners(session, asked) if assets is not None and asked else {}


def _posts(session: Session, cases: Sequence[Case]) -> Mapping[int, Mapping[str, list[Post]]]:
    """By jurisdiction: who stands behind the addresses that its rules name, if any."""
    named = {case.row.jurisdiction_id: case.table.people for case in cases if case.table.people}
    return {place_id: people.posts(session, place_id, named[place_id]) for place_id in named}


def _route(case: Case, owner: str | None, posts: Mapping[str, list[Post]]) -> None:
    row = case.row
    found = deciding.decide(
        case.table,
        deciding.facts_of(
            case.table,
            case.service,
            source=row.source,
            areas=row.areas,
            attributes=row.attributes,
            description=row.description,
            requested_at=row.requested_at,
            owner=owner,
        ),
    )
    if case.is_free:
        case.team_id = found.team_id
        case.routed_by = BY_RULE if found.team_id is not None else None
        case.assignee_id = people.person_for(posts, found.person, found.team_id)
        case.explanation = found.explanation
        if case.assignee_id is not None:
            case.explanation = {**found.explanation, "person_id": str(case.assignee_id)}
        if found.priority is not None:
            case.priority = found.priority
    if row.held_since is None:
        # The clock of a held report stands still; it is put right when the hold ends.
        case.due_at = deciding.due_for(
            case.table,
            case.service,
            found,
            team_id=case.team_id,
            requested_at=row.requested_at,
            priority=case.priority,
        )
    if case.is_first and case.team_id is not None:
        case.status = Status.TRIAGED
    if case.is_free and case.assignee_id != row.assignee_id:
        # What a rule gave to somebody, or took from them again.
        if case.assignee_id is None and case.status is Status.ASSIGNED:
            case.status = Status.TRIAGED
        elif case.status in (Status.TRIAGED, Status.REOPENED):
            case.status = Status.ASSIGNED
