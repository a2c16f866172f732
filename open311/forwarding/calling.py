"""Making the calls: outside any transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from open311.answers import ForeignRequest
from open311.client import Failure, Remote, seconds
from open311.downstream import Endpoint
from open311.forwarding.jobs import Absent, Job, Outcome, Pending, Result, Taken, Unclear
from open311.rules import CLOCK_SLACK, Fault, ListStyle, Sending, found_among
from reports.vocabulary import ServiceKind

#: When no further call of a batch is begun, long before `claiming.LEASE` ends.
PATIENCE_S = 30.0


def carry_out(
    jobs: Sequence[Job],
    remote_of: Callable[[Endpoint], Remote | None],
    *,
    now: datetime,
    patience_s: float = PATIENCE_S,
) -> list[Outcome]:
    """Make the calls, one after the other; what came of each. Outside any transaction.

    Of an endpoint that does not answer, the rest of the batch is given back untried.

    Args:
        remote_of: the line to an endpoint; None while its key is not set.
    """
    stop_at = time.monotonic() + patience_s
    silent: set[int] = set()
    remotes: dict[int, Remote | None] = {}
    kinds: dict[int, dict[str, str | None]] = {}
    outcomes: list[Outcome] = []
    try:
        for job in jobs:
            at = job.endpoint.id
            if time.monotonic() > stop_at or at in silent:
                outcomes.append(Outcome(job, None))
                continue
            if at not in remotes:
                remotes[at] = remote_of(job.endpoint)
            remote = remotes[at]
            result: Result
            if remote is None:
                result = Failure(Fault.TRY_AGAIN, f"no key {job.endpoint.spec.key}")
            else:
                result = _step(job, remote, kinds.setdefault(at, {}), now)
            if isinstance(result, Failure) and result.is_silence:
                silent.add(at)
            outcomes.append(Outcome(job, result))
    finally:
        for remote in remotes.values():
            if remote is not None:
                remote.close()
    return outcomes


def _step(job: Job, remote: Remote, kinds: dict[str, str | None], now: datetime) -> Result:
    if job.token is not None:
        found = remote.token(job.token)
        if isinstance(found, Failure):
            return found
        return Pending() if found is None else Taken(found)
    if job.lost is not None:
        return _look_up(job, job.lost, remote, kinds, now)
    answer = remote.post_request(job.fields, name=job.name)
    return answer if isinstance(answer, Failure) else _taken_as(answer)


def _taken_as(answer: ForeignRequest) -> Taken:
    return Taken(answer.id, None if answer.id is not None else answer.token)


def _look_up(
    job: Job, lost: Sending, remote: Remote, kinds: dict[str, str | None], now: datetime
) -> Result:
    """Look in their list for what was sent and never answered."""
    spec = job.endpoint.spec
    if spec.list is ListStyle.NONE:
        return Absent() if spec.idempotent else Unclear("no list")
    window = [
        ("start_date", seconds(lost.since - CLOCK_SLACK)),
        ("end_date", seconds(now + CLOCK_SLACK)),
    ]
    shown = remote.requests([("service_code", lost.service_code), *window], is_paged=True)
    if isinstance(shown, Failure) and shown.fault is Fault.PERSON:
        # Some know no windows, or none that ends tomorrow; the newest are what is looked for.
        shown = remote.requests([])
    if isinstance(shown, Failure):
        return Unclear(shown.reason) if shown.fault is Fault.PERSON else shown
    # Until now: it may have been stored long after it was sent.
    found = found_among(replace(lost, until=now), shown, taken=job.taken)
    if found is not None:
        return Taken(found)
    if spec.idempotent:
        return Absent()
    if not kinds:
        listed = remote.services()
        if isinstance(listed, Failure):
            return Unclear(listed.reason) if listed.fault is Fault.PERSON else listed
        kinds.update({service.code: service.kind for service in listed})
    kind = kinds.get(lost.service_code)
    if kind in (ServiceKind.BATCH, ServiceKind.BLACKBOX):
        return Unclear(str(kind))
    return Absent()
