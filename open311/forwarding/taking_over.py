"""What staff see of forwardings and do to them: send again, keep from being sent, settle.

Reading is a constant number of statements. Each change works on a locked report and its locked
forwarding, in the caller's transaction, and leaves a note in the report's history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from accounts.actors import Scope
from core.errors import ConflictError, NotFoundError
from core.pagination import BadCursorError, Page, pack, unpack
from geo.models import Jurisdiction
from open311.downstream import Endpoint, endpoints
from open311.downstream_models import DownstreamEndpoint, Forwarding, ForwardingAttempt
from open311.forwarding import queueing
from open311.forwarding.attempts import close_attempts
from open311.forwarding.notes import tell_staff
from open311.rules import AttemptOutcome, ForwardingState
from open311.telling import Note
from reports.history import Author
from reports.models import ServiceRequest


class NotWaitingError(ConflictError):
    """Only what waits can be taken out of the machine's hands."""

    code = "forwarding_not_waiting"
    title = "This forwarding does not wait to be sent"


class NotStuckError(ConflictError):
    """Only what waits for a person can be sent again or settled by one."""

    code = "forwarding_not_stuck"
    title = "This forwarding does not wait for a person"


class EndpointGoneError(ConflictError):
    """The city's folder does not name that system any more."""

    code = "endpoint_gone"
    title = "That other system is not in use any more"


#: The fault of what somebody took out of the machine's hands.
BY_HAND = "by_hand"


@dataclass(frozen=True, slots=True)
class Seen:
    """A forwarding and its sendings, in their order."""

    row: Any
    attempts: Sequence[Any]


def of_report(session: Session, report_id: UUID) -> list[Seen]:
    """The forwardings of a report, the oldest first."""
    return _seen(
        session,
        _selected()
        .where(Forwarding.report_id == report_id)
        .order_by(Forwarding.created_at, Forwarding.id),
    )


def page(
    session: Session,
    scope: Scope,
    *,
    state: ForwardingState,
    jurisdiction_id: int | None,
    cursor: str | None,
    limit: int,
) -> Page[Seen]:
    """One page of the forwardings in that state, of somebody's scope; the oldest first.

    Raises:
        BadCursorError: the cursor is none of this list's.
    """
    statement = (
        _selected()
        .where(
            Forwarding.state == state.value,
            sa.or_(
                ServiceRequest.jurisdiction_id.in_(scope.jurisdiction_ids),
                ServiceRequest.team_id.in_(scope.team_ids),
            ),
        )
        .order_by(Forwarding.created_at, Forwarding.id)
        .limit(limit + 1)
    )
    if jurisdiction_id is not None:
        statement = statement.where(ServiceRequest.jurisdiction_id == jurisdiction_id)
    if cursor is not None:
        at, id_ = _key(cursor)
        last = sa.tuple_(sa.literal(at), sa.literal(id_))
        statement = statement.where(sa.tuple_(Forwarding.created_at, Forwarding.id) > last)
    found = _seen(session, statement)
    if len(found) <= limit:
        return Page(found, None)
    last_row = found[limit - 1].row
    return Page(found[:limit], pack(last_row.created_at.isoformat(), str(last_row.id)))


def again(
    session: Session,
    report: ServiceRequest,
    forwarding_id: UUID,
    *,
    is_surely_absent: bool,
    by: Author,
    now: datetime,
) -> None:
    """Let what waits for a person be sent again; what was lost is looked for first.

    Args:
        is_surely_absent: somebody asked there: they do not have it.

    Raises:
        NotFoundError, EndpointGoneError, NotStuckError
    """
    row, endpoint = _taken(session, report, forwarding_id)
    _check_stuck(row)
    queueing.retry(session, None, now=now, is_surely_absent=is_surely_absent, only=row.id)
    tell_staff(session, report, endpoint, Note.AGAIN, now, by=by)


def give_to_person(
    session: Session, report: ServiceRequest, forwarding_id: UUID, *, by: Author, now: datetime
) -> None:
    """Keep what waits from being sent: somebody passes it on in another way.

    What is on its way at this moment arrives all the same, and is noted then.

    Raises:
        NotFoundError, EndpointGoneError, NotWaitingError
    """
    row, endpoint = _taken(session, report, forwarding_id)
    if row.state != ForwardingState.WAITING.value:
        raise NotWaitingError(state=row.state)
    row.state, row.last_fault = ForwardingState.STUCK.value, BY_HAND
    session.flush()
    tell_staff(session, report, endpoint, Note.BY_HAND, now, by=by)


def settle(
    session: Session,
    report: ServiceRequest,
    forwarding_id: UUID,
    *,
    remote_id: str | None,
    by: Author,
    now: datetime,
) -> None:
    """Note what a person found out or did about what waited for one.

    Args:
        remote_id: the number under which they have it, which is followed from here on; None: it
            was passed on in another way, and nothing comes back.

    Raises:
        NotFoundError, EndpointGoneError, NotStuckError
    """
    row, endpoint = _taken(session, report, forwarding_id)
    _check_stuck(row)
    if remote_id is None:
        row.state = ForwardingState.CANCELLED.value
    else:
        close_attempts(session, [row.id], AttemptOutcome.FOUND, now)
        row.state, row.remote_id, row.token = ForwardingState.SENT.value, remote_id, None
        row.failures, row.last_fault, row.last_words = 0, None, None
        row.sent_at = row.sent_at or now
        row.checked_at, row.remote_status = now, "open"
    session.flush()
    kind = Note.SETTLED if remote_id is None else Note.KNOWN_AS
    tell_staff(session, report, endpoint, kind, now, remote_id, by=by)


def _taken(
    session: Session, report: ServiceRequest, forwarding_id: UUID
) -> tuple[Forwarding, Endpoint]:
    row = session.get(Forwarding, forwarding_id, with_for_update=True, populate_existing=True)
    if row is None or row.report_id != report.id:
        raise NotFoundError
    endpoint = endpoints(session, {row.endpoint_id}).get(row.endpoint_id)
    if endpoint is None:
        raise EndpointGoneError
    return row, endpoint


def _check_stuck(row: Forwarding) -> None:
    if row.state != ForwardingState.STUCK.value:
        raise NotStuckError(state=row.state)


def _selected() -> sa.Select[Any]:
    return (
        sa.select(
            *Forwarding.__table__.columns,
            ServiceRequest.number,
            Jurisdiction.code.label("jurisdiction"),
            DownstreamEndpoint.code.label("endpoint"),
        )
        .join(ServiceRequest, ServiceRequest.id == Forwarding.report_id)
        .join(Jurisdiction, Jurisdiction.id == ServiceRequest.jurisdiction_id)
        .join(DownstreamEndpoint, DownstreamEndpoint.id == Forwarding.endpoint_id)
    )


def _seen(session: Session, statement: sa.Select[Any]) -> list[Seen]:
    rows = session.execute(statement).all()
    if not rows:
        return []
    attempts: dict[UUID, list[Any]] = {}
    for attempt in session.execute(
        sa.select(
            ForwardingAttempt.forwarding_id,
            ForwardingAttempt.begun_at,
            ForwardingAttempt.ended_at,
            ForwardingAttempt.outcome,
            ForwardingAttempt.fault,
        )
        .where(ForwardingAttempt.forwarding_id.in_([row.id for row in rows]))
        .order_by(ForwardingAttempt.id)
    ):
        attempts.setdefault(attempt.forwarding_id, []).append(attempt)
    return [Seen(row, attempts.get(row.id, ())) for row in rows]


def _key(cursor: str) -> tuple[datetime, UUID]:
    at, id_ = unpack(cursor, 2)
    try:
        moment = datetime.fromisoformat(str(at))
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return moment, UUID(str(id_))
    except ValueError as error:
        raise BadCursorError(field="cursor") from error
