"""How the other systems are: one that keeps failing is left alone for a while."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from open311.client import Failure
from open311.downstream_models import DownstreamEndpoint
from open311.forwarding.jobs import Outcome, Result
from open311.rules import Circuit, Fault

log = structlog.get_logger()


def circuits(session: Session, known: Collection[int]) -> dict[int, Circuit]:
    """Whether these endpoints are left alone, by their ids."""
    rows = session.execute(
        sa.select(
            DownstreamEndpoint.id, DownstreamEndpoint.failures, DownstreamEndpoint.open_until
        ).where(DownstreamEndpoint.id.in_(list(known)))
    )
    return {row.id: Circuit(row.failures, row.open_until) for row in rows}


def note_calls(session: Session, outcomes: Sequence[Outcome], now: datetime) -> None:
    """What the calls say of the endpoints themselves."""
    results: dict[int, list[Result]] = {}
    for outcome in outcomes:
        if outcome.result is not None:
            results.setdefault(outcome.job.endpoint.id, []).append(outcome.result)
    for endpoint_id in sorted(results):
        note_health(session, endpoint_id, results[endpoint_id], now=now)


def note_health(
    session: Session, endpoint_id: int, results: Sequence[object], *, now: datetime
) -> None:
    """Let the circuit of an endpoint know how its calls went, in the caller's transaction."""
    row = session.get(DownstreamEndpoint, endpoint_id, with_for_update=True, populate_existing=True)
    if row is None:
        return
    circuit = Circuit(row.failures, row.open_until)
    for result in results:
        failure = result if isinstance(result, Failure) else None
        is_well = failure is None or failure.fault is Fault.PERSON or failure.reason == "http 429"
        asked_s = failure.retry_after_s if failure is not None else None
        circuit = circuit.after(is_well=is_well, now=now, asked_s=asked_s)
        row.last_fault = None if failure is None else failure.reason
    if circuit.failures == 0:
        row.failing_since = None
    elif row.failing_since is None:
        row.failing_since = now
    if circuit.open_until is not None and circuit.open_until != row.open_until:
        log.warning(
            "downstream.left_alone",
            endpoint_id=endpoint_id,
            failures=circuit.failures,
            until=circuit.open_until.isoformat(),
        )
    row.failures, row.open_until = circuit.failures, circuit.open_until
