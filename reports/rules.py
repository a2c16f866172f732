"""The life of a service request as one table, and what the public sees of one. Pure.

`MOVES` says which status follows which and by whose hand; `check_move` holds a wish against it.
`duplicate` stands in no row: a request becomes one only by joining and leaves it only by
un-joining (`reports.duplicates.joining`), which put the status back that it had before.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.errors import ConflictError, InvalidError
from geo.cells import rounded
from geo.measures import Point
from reports.vocabulary import ActorKind, Status

#: Resolution of the cells that a place is rounded to where a service says "block": two people in
#: one cell become one position. An edge is about 76 m.
BLOCK_RESOLUTION = 10


class MoveError(ConflictError):
    """The life cycle knows no such step for this person."""

    code = "move_not_allowed"
    title = "A report in this status cannot be moved there"


class DuplicateMoveError(ConflictError):
    """A duplicate has no status of its own to move."""

    code = "is_duplicate"
    title = "This report is joined to another one; move that one, or separate them"


class OnlyByJoiningError(ConflictError):
    """`duplicate` needs to know of what."""

    code = "only_by_joining"
    title = "A report becomes a duplicate by joining it to another one"


class NoTeamError(ConflictError):
    """Routed is only what a team answers for."""

    code = "no_team"
    title = "No team answers for this report yet"


class WindowClosedError(ConflictError):
    """Too late to say that it is not fixed; a new report is the way."""

    code = "reopening_closed"
    title = "It is too late to reopen this report; file a new one"


class VolunteersMayNotError(ConflictError):
    """The service leaves it to the city to say that something is done."""

    code = "volunteers_may_not_resolve"
    title = "The city itself says when a report of this service is resolved"


class FinishedError(ConflictError):
    """Nobody works on a report that is over."""

    code = "report_finished"
    title = "This report is over; reopen it first"


class Reason(enum.StrEnum):
    """Why a request was rejected, for statistics and messages; the public note says it in words."""

    NOT_OURS = "not_ours"
    PRIVATE_PROPERTY = "private_property"
    NOTHING_FOUND = "nothing_found"
    TOO_VAGUE = "too_vague"
    PLANNED = "planned"
    NO_DEFECT = "no_defect"
    ABUSE = "abuse"
    OTHER = "other"


class Need(enum.StrEnum):
    """What must be given, or be so, for a step."""

    TEAM = "team"
    PUBLIC_NOTE = "public_note"
    OPEN_WINDOW = "open_window"
    VOLUNTEERS = "volunteers"


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the life cycle: who may take it and what it needs."""

    by: frozenset[ActorKind]
    needs: frozenset[Need] = frozenset()


_STAFF = frozenset({ActorKind.STAFF, ActorKind.MACHINE})
_SYSTEM = frozenset({ActorKind.SYSTEM})
_REPORTER = frozenset({ActorKind.REPORTER})
_VOLUNTEER = frozenset({ActorKind.VOLUNTEER})

_work = Step(_STAFF)
#: Whoever looks after the asset may have done it, where the service lets volunteers say so. What
#: is on hold waits for somebody's answer, and is the team's to settle.
_resolve = Step(_STAFF | _VOLUNTEER, frozenset({Need.VOLUNTEERS}))
_work_or_answer = Step(_STAFF | _SYSTEM)
_route = Step(_STAFF | _SYSTEM, frozenset({Need.TEAM}))
_reject = Step(_STAFF, frozenset({Need.PUBLIC_NOTE}))
_withdraw = Step(_REPORTER)
_close = Step(_STAFF | _SYSTEM)
_reopen = Step(_STAFF)
#: The system does when somebody else tells of the same again, within the days of recurrence.
_not_fixed = Step(_STAFF | _REPORTER | _SYSTEM, frozenset({Need.OPEN_WINDOW}))

#: The life cycle: from → to → who and on which condition. What is not here is not allowed.
#: A held report goes on by itself where its question was answered; staff may move it anywhere.
MOVES: Mapping[Status, Mapping[Status, Step]] = {
    Status.RECEIVED: {
        Status.TRIAGED: _route,
        Status.ASSIGNED: _work,
        Status.IN_PROGRESS: _work,
        Status.ON_HOLD: _work,
        Status.RESOLVED: _resolve,
        Status.REJECTED: _reject,
        Status.CLOSED: _withdraw,
    },
    Status.TRIAGED: {
        Status.ASSIGNED: _work,
        Status.IN_PROGRESS: _work,
        Status.ON_HOLD: _work,
        Status.RESOLVED: _resolve,
        Status.REJECTED: _reject,
        Status.CLOSED: _withdraw,
    },
    Status.ASSIGNED: {
        Status.TRIAGED: _route,
        Status.IN_PROGRESS: _work,
        Status.ON_HOLD: _work,
        Status.RESOLVED: _resolve,
        Status.REJECTED: _reject,
        Status.CLOSED: _withdraw,
    },
    Status.IN_PROGRESS: {
        Status.TRIAGED: _route,
        Status.ASSIGNED: _work,
        Status.ON_HOLD: _work,
        Status.RESOLVED: _resolve,
        Status.REJECTED: _reject,
        Status.CLOSED: _withdraw,
    },
    Status.ON_HOLD: {
        Status.RECEIVED: Step(_SYSTEM),
        Status.TRIAGED: _route,
        Status.ASSIGNED: _work_or_answer,
        Status.IN_PROGRESS: _work_or_answer,
        Status.REOPENED: Step(_SYSTEM),
        Status.RESOLVED: _work,
        Status.REJECTED: _reject,
        Status.CLOSED: _withdraw,
    },
    Status.REOPENED: {
        Status.TRIAGED: _route,
        Status.ASSIGNED: _work,
        Status.IN_PROGRESS: _work,
        Status.ON_HOLD: _work,
        Status.RESOLVED: _resolve,
        Status.REJECTED: _reject,
        Status.CLOSED: _withdraw,
    },
    Status.RESOLVED: {
        Status.CLOSED: _close,
        Status.REOPENED: _not_fixed,
    },
    Status.CLOSED: {Status.REOPENED: _not_fixed},
    Status.REJECTED: {Status.REOPENED: _reopen},
    Status.DUPLICATE: {},
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a step may depend on, besides who takes it."""

    has_team: bool = False
    has_public_note: bool = False
    is_window_open: bool = False
    may_volunteers_resolve: bool = False


def destinations(before: Status, by: ActorKind) -> list[Status]:
    """Where somebody may move a request that stands there, in the order of the life cycle."""
    return [after for after, step in MOVES[before].items() if by in step.by]


def check_move(before: Status, after: Status, by: ActorKind, facts: Facts) -> None:
    """Hold a move against the life cycle.

    Raises:
        DuplicateMoveError, OnlyByJoiningError: one of the two is `duplicate`.
        MoveError: the table has no such row for them.
        NoTeamError: nobody answers for it yet.
        WindowClosedError: the reporter says so too late.
        VolunteersMayNotError: a volunteer says so, and the service does not let them.
        InvalidError: the public is not told why.
    """
    if before is Status.DUPLICATE:
        raise DuplicateMoveError
    if after is Status.DUPLICATE:
        raise OnlyByJoiningError
    step = MOVES[before].get(after)
    if step is None or by not in step.by:
        allowed = destinations(before, by)
        raise MoveError(
            f"From {before} it can go to: {', '.join(allowed) or 'nowhere'}; not to {after}.",
            allowed=allowed,
        )
    if Need.TEAM in step.needs and not facts.has_team:
        raise NoTeamError
    if Need.PUBLIC_NOTE in step.needs and not facts.has_public_note:
        raise InvalidError("Say why, for the reporter to read.", field="public_note")
    # Staff reopen whenever they find that it was closed wrongly.
    if Need.OPEN_WINDOW in step.needs and by is ActorKind.REPORTER and not facts.is_window_open:
        raise WindowClosedError
    if Need.VOLUNTEERS in step.needs and by in _VOLUNTEER and not facts.may_volunteers_resolve:
        raise VolunteersMayNotError


def check_open(status: Status) -> None:
    """Hold a change that is not a move, such as an assignment, against the status.

    Raises:
        DuplicateMoveError: it is joined to another one, where the work is done.
        FinishedError: it is over.
    """
    if status is Status.DUPLICATE:
        raise DuplicateMoveError
    if not status.is_open:
        raise FinishedError


def rejection_reason(code: str | None) -> Reason:
    """The reason of that code; `other` where only words are given.

    Raises:
        InvalidError: there is no such reason.
    """
    try:
        return Reason(code or Reason.OTHER)
    except ValueError:
        raise InvalidError(f"One of: {', '.join(Reason)}.", field="reason") from None


def reopening_ends_at(resolved_at: datetime, reopen_days: int) -> datetime:
    """The instant until which the reporter may say that it is not fixed."""
    return resolved_at + timedelta(days=reopen_days)


def may_reopen(resolved_at: datetime | None, reopen_days: int, now: datetime) -> bool:
    """Whether the reporter may still say that it is not fixed.

    What was closed without ever having been resolved was withdrawn, and stays so.
    """
    return resolved_at is not None and now <= reopening_ends_at(resolved_at, reopen_days)


def takes_words(status: Status) -> bool:
    """Whether the reporter may still add to it: not once it is over for good."""
    return status not in (Status.CLOSED, Status.REJECTED)


def public_point(point: Point, precision: str) -> Point:
    """Where the public sees it: there, or the middle of a block where the service says so."""
    return rounded(point, BLOCK_RESOLUTION) if precision == "block" else point


#: A house number in front of a street: `12`, `12 bis`, `12B`, `12-14`.
_HOUSE_NUMBER = re.compile(
    r"^\s*\d+(?:\s*[-/]\s*\d+)?\s*(?:(?:bis|ter|quater|[A-Za-z])\b)?\s*,?\s+(?=\S)", re.IGNORECASE
)


def public_address(address: str | None, precision: str) -> str | None:
    """The address as the public sees it: of a block, the street without the house number."""
    if address is None or precision != "block":
        return address
    # Where the number does not stand in front it cannot be told from the rest of the address.
    street, found = _HOUSE_NUMBER.subn("", address, count=1)
    return street if found else None
