"""Who has a report in hand: giving it to a team, to a person, or to both, and taking it back.

Works on a locked report, in the caller's transaction, see `reports.changing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.actors import Actor
from accounts.models import Person, RoleGrant, Team
from accounts.rules import PERMISSIONS, Permission
from core.errors import InvalidError
from reports import events, history
from reports.catalogue import service_of
from reports.changing import SILENCE, Words, author_of, keep_words, tell, touch
from reports.history import Entry
from reports.models import ServiceRequest
from reports.promises import due_by_level, promised_at, set_due
from reports.routing import deciding
from reports.rules import check_open
from reports.vocabulary import HistoryKind, Status

#: Statuses from which being given to somebody means that it is taken.
_TAKEN_FROM = (Status.RECEIVED, Status.TRIAGED, Status.REOPENED)


class UnknownTeamError(InvalidError):
    """No team at work in the jurisdiction has that code."""

    code = "unknown_team"
    title = "There is no such team here"


class UnknownPersonError(InvalidError):
    """Nobody who may work on this report goes by that name."""

    code = "unknown_person"
    title = "Nobody who may work on this report goes by that name"


@dataclass(frozen=True, slots=True)
class Assignment:
    """To whom a report is given.

    Attributes:
        team: code of the team; None leaves the team as it is.
        person: "me", an id or an e-mail address; None leaves the person, unless `nobody`.
        nobody: take it from the person who has it.
        is_taken: whether the team has it in hand; else it is only routed there.
    """

    team: str | None = None
    person: str | None = None
    nobody: bool = False
    is_taken: bool = True


def assign(
    session: Session,
    report: ServiceRequest,
    given: Assignment,
    *,
    actor: Actor,
    now: datetime,
    words: Words = SILENCE,
) -> int:
    """Give a locked report to a team, a person or both. Returns the id of the history entry.

    What is taken becomes `assigned`; a change of team alone that nobody took yet is a re-routing
    and becomes `triaged`. A person's routing is final: the rules do not touch it again.

    Raises:
        UnknownTeamError, UnknownPersonError
        FinishedError: the report is over.
    """
    by = author_of(actor)
    before = Status(report.status)
    check_open(before)
    team = _team(session, report, given.team)
    is_other_team = team is not None and team.id != report.team_id
    person_id = report.assignee_id
    if is_other_team or given.nobody:
        person_id = None
    if given.person is not None:
        team_id = team.id if team is not None else report.team_id
        person_id = _person(session, report, team_id, given.person, actor)
    details: dict[str, Any] = {
        "from_team_id": report.team_id,
        "team_id": team.id if team is not None else report.team_id,
        "from_person_id": report.assignee_id and str(report.assignee_id),
        "person_id": person_id and str(person_id),
    }
    report.assignee_id = person_id
    if team is not None:
        # Whoever names the team that has it has chosen it, too.
        report.routed_by = deciding.BY_PERSON
    if is_other_team:
        assert team is not None
        report.team_id = team.id
        report.routing = {"by": "person", "person_id": by.id and str(by.id)}
        report.triaged_at = report.triaged_at or now
        if report.held_since is None:
            # Another team has other hours: the same promise, by its calendar.
            start, service = promised_at(session, report), service_of(session, report)
            details |= set_due(report, due_by_level(session, report, service, start))
    after = before
    if before in (*_TAKEN_FROM, Status.ASSIGNED):
        is_held = person_id is not None or (given.is_taken and not given.nobody)
        after = Status.ASSIGNED if is_held else Status.TRIAGED
        if after is Status.TRIAGED and report.team_id is None:
            after = before
    report.status = after.value
    touch(report, now)
    session.flush()
    [entry_id] = history.append(
        session,
        [
            Entry(
                report.id,
                HistoryKind.ROUTED if is_other_team else HistoryKind.ASSIGNED,
                by,
                before if after is not before else None,
                after if after is not before else None,
                details,
            )
        ],
        now=now,
    )
    keep_words(session, report, words, by, entry_id, now)
    if is_other_team:
        tell(session, report, events.REROUTED, history_id=entry_id)
    if after is Status.ASSIGNED:
        tell(session, report, events.ASSIGNED, history_id=entry_id)
    if after is not before:
        tell(
            session,
            report,
            events.STATUS_CHANGED,
            history_id=entry_id,
            **{"from": before.value, "to": after.value},
        )
    return entry_id


def _team(session: Session, report: ServiceRequest, code: str | None) -> Team | None:
    if code is None:
        return None
    team = session.scalar(
        sa.select(Team).where(
            Team.jurisdiction_id == report.jurisdiction_id, Team.code == code, Team.is_active
        )
    )
    if team is None:
        raise UnknownTeamError(f"There is no team {code!r} here.", field="team")
    return team


def _person(
    session: Session, report: ServiceRequest, team_id: int | None, named: str, actor: Actor
) -> UUID:
    """The id of somebody who may work on the report once it is that team's."""
    who: sa.ColumnElement[bool]
    if named == "me":
        who = Person.id == actor.person_id
    elif "@" in named:
        who = Person.email == named.strip().lower()
    else:
        try:
            who = Person.id == UUID(named)
        except ValueError:
            raise UnknownPersonError(field="person") from None
    working = [role.value for role, may in PERMISSIONS.items() if Permission.WORK_REPORTS in may]
    found = session.scalar(
        sa.select(Person.id)
        .join(RoleGrant, RoleGrant.person_id == Person.id)
        .where(
            who,
            Person.is_active,
            RoleGrant.jurisdiction_id == report.jurisdiction_id,
            RoleGrant.role.in_(working),
            sa.or_(RoleGrant.team_id.is_(None), RoleGrant.team_id == team_id),
        )
        .limit(1)
    )
    if found is None:
        raise UnknownPersonError(field="person")
    return found
