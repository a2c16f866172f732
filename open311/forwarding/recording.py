"""Writing down what came of the calls."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from open311.client import Failure
from open311.downstream_models import DownstreamEndpoint, Forwarding, ForwardingAttempt
from open311.forwarding.attempts import close_attempt, close_attempts
from open311.forwarding.health import note_calls
from open311.forwarding.jobs import Absent, Job, Outcome, Pending, Result, Taken, Unclear
from open311.forwarding.notes import tell_staff, without_people
from open311.rules import (
    MAX_FAILURES,
    AttemptOutcome,
    Fault,
    ForwardingState,
    delay_s,
    token_delay_s,
)
from open311.telling import QUOTED, Note
from reports import changing
from reports.models import ServiceRequest
from reports.vocabulary import ServiceKind

log = structlog.get_logger()


def record(
    session: Session,
    outcomes: Sequence[Outcome],
    *,
    now: datetime,
    jitter: Callable[[], float] = random.random,
) -> Counter[str]:
    """Note what came of the jobs; counts by what it was.

    A late word of a worker whose lease has run out changes nothing, unless it is that the report
    was taken: that is true whoever has it in hand now.
    """
    counts: Counter[str] = Counter()
    reports = changing.lock_all(session, {outcome.job.report_id for outcome in outcomes})
    rows = {
        row.id: row
        for row in session.scalars(
            sa.select(Forwarding)
            .where(Forwarding.id.in_([outcome.job.id for outcome in outcomes]))
            .order_by(Forwarding.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    }
    for outcome in sorted(outcomes, key=lambda one: one.job.id):
        row, report = rows[outcome.job.id], reports[outcome.job.report_id]
        is_ours = row.claims == outcome.job.claims and row.state == ForwardingState.WAITING.value
        recorder = _Recorder(session, row, report, outcome.job, now, jitter)
        counts[recorder.note(outcome.result, is_ours=is_ours)] += 1
    note_calls(session, outcomes, now)
    session.flush()
    return counts


@dataclass(frozen=True, slots=True)
class _Recorder:
    """Writes down what came of one job."""

    session: Session
    row: Forwarding
    report: ServiceRequest
    job: Job
    now: datetime
    jitter: Callable[[], float] = field(repr=False)

    def note(self, result: Result | None, *, is_ours: bool) -> str:
        if isinstance(result, Taken):
            return self._taken(result)
        if not is_ours:
            # What is known of a sending is known, whoever has the forwarding now.
            if isinstance(result, Failure) and self.job.attempt_id is not None:
                self._end_attempt(result)
            return "late"
        match result:
            case None:
                return self._untried()
            case Pending():
                return self._pending()
            case Absent():
                return self._absent()
            case Unclear():
                return self._unclear(result)
            case Failure():
                return self._failed(result)

    def _taken(self, result: Taken) -> str:
        row = self.row
        was_looked_for = self.job.lost is not None
        if (
            was_looked_for
            and result.remote_id is not None
            and self._is_of_another(result.remote_id)
        ):
            # Two that are alike were lost together, and the other one was quicker: look again.
            row.next_attempt_at = self.now
            return "looked"
        outcome = AttemptOutcome.FOUND if was_looked_for else AttemptOutcome.TAKEN
        if self.job.attempt_id is not None:
            close_attempt(self.session, self.job.attempt_id, outcome, self.now)
        elif was_looked_for:
            close_attempts(self.session, [row.id], outcome, self.now)
        if row.sent_at is not None and row.token is None:
            if row.remote_id != result.remote_id:
                log.error("forwarding.taken_twice", forwarding_id=str(row.id))
            return "late"
        row.failures, row.last_fault, row.last_words = 0, None, None
        row.sent_at = row.sent_at or self.now
        has_left = row.state == ForwardingState.CANCELLED.value
        if has_left:
            # It went to another team while it was on its way.
            row.remote_id, row.token = result.remote_id, result.token
            self._tell(Note.LEFT, result.remote_id or result.token)
        elif result.remote_id is None and result.token is not None:
            row.state = ForwardingState.WAITING.value
            row.token, row.token_at = result.token, self.now
            row.next_attempt_at = self.now + timedelta(seconds=token_delay_s(timedelta()))
            return "token"
        else:
            row.state = ForwardingState.SENT.value
            row.remote_id, row.token = result.remote_id, None
            # Whatever is handed over begins there as open.
            row.checked_at, row.remote_status = self.now, "open"
            kind = Note.SENT if row.remote_id is not None else Note.SENT_UNFOLLOWED
            self._tell(kind, row.remote_id)
        return "sent"

    def _is_of_another(self, remote_id: str) -> bool:
        """Whether what was found stands for another report by now; no other finds it meanwhile."""
        self.session.get(DownstreamEndpoint, self.row.endpoint_id, with_for_update=True)
        self.session.flush()
        return bool(
            self.session.scalar(
                sa.select(
                    sa.exists().where(
                        Forwarding.endpoint_id == self.row.endpoint_id,
                        Forwarding.remote_id == remote_id,
                        Forwarding.id != self.row.id,
                    )
                )
            )
        )

    def _untried(self) -> str:
        """Its turn did not come: it was not sent, and that is known."""
        if self.job.attempt_id is not None:
            self.session.execute(
                sa.delete(ForwardingAttempt).where(ForwardingAttempt.id == self.job.attempt_id)
            )
        self.row.next_attempt_at = self.now
        return "untried"

    def _pending(self) -> str:
        age = self.now - (self.job.token_at or self.now)
        if age >= self.job.endpoint.token_patience:
            return self._stick(Note.TOKEN_EXPIRED, "token", self.job.token)
        self.row.failures = 0
        self.row.next_attempt_at = self.now + timedelta(seconds=token_delay_s(age))
        return "pending"

    def _absent(self) -> str:
        """Sent again, but not before a request that was stored late would be seen."""
        settled = self._settled_at()
        if self.now < settled:
            self.row.next_attempt_at = settled
            return "looked"
        close_attempts(self.session, [self.row.id], AttemptOutcome.ABSENT, self.now)
        self.row.next_attempt_at = self.now
        return "absent"

    def _unclear(self, result: Unclear) -> str:
        """A batch may come to light as long as tokens take; then, or else, a person has to ask."""
        lost = self.job.lost
        patience = self._settled_at()
        if result.kind == ServiceKind.BATCH and lost is not None:
            patience = lost.since + self.job.endpoint.token_patience
        if self.now < patience:
            wait_s = token_delay_s(self.now - (lost.since if lost else self.now))
            self.row.next_attempt_at = min(patience, self.now + timedelta(seconds=wait_s))
            return "looked"
        return self._stick(Note.LOST, result.kind, f"({result.kind})")

    def _settled_at(self) -> datetime:
        lost = self.job.lost
        return self.job.endpoint.settling + (lost.until if lost else self.now)

    def _failed(self, failure: Failure) -> str:
        row = self.row
        if self.job.attempt_id is not None:
            self._end_attempt(failure)
        words = self._cleaned(failure.said)
        row.last_fault, row.last_words = failure.reason, words
        if failure.fault is Fault.PERSON and self.job.lost is None:
            said = words or failure.reason
            return self._stick(Note.REFUSED, failure.reason, f"{failure.reason} – {said}")
        row.failures += 1
        if row.failures >= MAX_FAILURES:
            return self._stick(Note.GIVEN_UP, failure.reason, failure.reason)
        wait_s = delay_s(row.failures, self.jitter(), asked_s=failure.retry_after_s)
        row.next_attempt_at = self.now + timedelta(seconds=wait_s)
        log.info(
            "forwarding.failed",
            forwarding_id=str(row.id),
            endpoint=self.job.endpoint.name,
            fault=failure.fault.value,
            reason=failure.reason,
        )
        return failure.fault.value

    def _cleaned(self, said: str | None) -> str | None:
        """Their words, in which what we sent may come back, without the report's people."""
        if not said:
            return None
        return without_people(self.session, self.report.id, said)[:QUOTED]

    def _end_attempt(self, failure: Failure) -> None:
        """What a failed sending means; one whose answer was lost stays open."""
        outcome = {
            Fault.TRY_AGAIN: AttemptOutcome.NOT_TAKEN,
            Fault.PERSON: AttemptOutcome.REFUSED,
            Fault.LOST: None,
        }[failure.fault]
        close_attempt(self.session, self.job.attempt_id, outcome, self.now, failure.reason)

    def _stick(self, kind: Note, fault: str, said: str | None) -> str:
        self.row.state = ForwardingState.STUCK.value
        self.row.last_fault = fault
        log.warning(
            "forwarding.stuck",
            forwarding_id=str(self.row.id),
            endpoint=self.job.endpoint.name,
            reason=fault,
        )
        self._tell(kind, said)
        return "stuck"

    def _tell(self, kind: Note, said: str | None) -> None:
        tell_staff(self.session, self.report, self.job.endpoint, kind, self.now, said)
