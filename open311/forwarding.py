"""Handing reports over to the systems in which their teams live: nothing lost, nothing doubled.

    with transaction() as session:
        queued = enqueue(session, report_ids, now=now)          # the pipeline, after triage
    with transaction() as session:
        jobs = claim(session, now=now, base_url=…, ids=queued)  # ours until the lease ends
    outcomes = carry_out(jobs, remotes, …)                      # outside any transaction
    with transaction() as session:
        record(session, outcomes, now=now)

1. A sending is written down (`forwarding_attempts`) in the transaction that claims it, before it is
   made. While it has no outcome nobody knows whether the other system has the report.
2. So an answer that was lost, by them, by the line or by a worker that was killed, leaves an open
   attempt behind, and whoever claims the forwarding next does not send: it looks in their list for
   the service, the words and the place, within the window of the attempts.
3. Found: that is its id. Surely not there, once a request would have settled in their list: the
   attempt is closed and the report sent again. Where their list cannot tell (a batch or black-box
   service, no list), a person is asked.
4. A token is asked about until it has become an id, or its patience ends.
5. What they refuse for its content waits for a person, with their words in the report's history.
   Whatever else fails comes back after a growing wait; an endpoint that keeps failing is left alone
   (`rules.Circuit`), and what waits for it is not tried.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core import outbox
from core.links import photo_url
from core.outbox import Happening
from geo.measures import Point
from open311 import awaiting, events
from open311.answers import ForeignRequest
from open311.client import Failure, Remote, seconds
from open311.downstream import Endpoint, ServiceMap, endpoints
from open311.downstream_models import (
    DownstreamEndpoint,
    DownstreamTeam,
    Forwarding,
    ForwardingAttempt,
)
from open311.rules import (
    CLOCK_SLACK,
    MAX_FAILURES,
    AttemptOutcome,
    Circuit,
    Fault,
    ForwardingState,
    ListStyle,
    Sending,
    delay_s,
    found_among,
    token_delay_s,
)
from open311.telling import QUOTED, Note, note
from open311.translating import read_moment
from reports import anonymising, changing, remarks
from reports.attributes import AttributeDefinition, Datatype, definitions_of
from reports.changing import Words
from reports.history import SYSTEM, Author
from reports.masking import Identifiers, mask
from reports.models import Photo, Service, ServiceRequest
from reports.vocabulary import PhotoState, ServiceKind, Status, Visibility

log = structlog.get_logger()

#: Forwardings of one claim. Each may take as long as a call may (`client.TIMEOUT_S`).
BATCH = 8

#: How long claimed forwardings are ours, and when no further call of a batch is begun: what is
#: begun by then has ended before somebody else may take over.
LEASE = timedelta(seconds=180)
PATIENCE_S = 30.0

#: What waits for a review or a photo is looked at again after so long.
_REVIEW_PAUSE = timedelta(minutes=5)
_PHOTO_PAUSE = timedelta(seconds=20)

#: A photo that is not clean by then goes without.
_PHOTO_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Job:
    """One step of a claimed forwarding.

    Attributes:
        name: the same at every sending of it.
        token: ask what it has become; else `fields` are sent, or looked for when `lost` is set.
        taken: their ids of other reports.
    """

    id: UUID
    report_id: UUID
    endpoint: Endpoint
    claims: int
    failures: int
    attempt_id: int | None
    fields: tuple[tuple[str, str], ...] = ()
    lost: Sending | None = None
    token: str | None = None
    token_at: datetime | None = None
    taken: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The id of the forwarding, as it is sent along."""
        return str(self.id)


@dataclass(frozen=True, slots=True)
class Taken:
    """They have it: an id, a token, or neither of a service that is not followed."""

    remote_id: str | None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """What was sent is not in their list."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """Their list cannot tell whether they have it."""

    kind: str


@dataclass(frozen=True, slots=True)
class Pending:
    """The token has not become an id yet."""


Result = Taken | Absent | Unclear | Pending | Failure


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job; `result` is None when its turn did not come."""

    job: Job
    result: Result | None


# -- queueing -------------------------------------------------------------------------------------


def enqueue(session: Session, reports: Mapping[UUID, bool], *, now: datetime) -> list[UUID]:
    """Queue the forwarding of reports whose team lives in another system; ids of the new ones.

    In the caller's transaction; doing it again adds nothing.

    Args:
        reports: ids → whether the report was routed just now: then what was stuck or had left is
            taken up again. Somebody's taking it in hand is no reason to send again.
    """
    rows = session.execute(
        sa.select(ServiceRequest.id, DownstreamTeam.endpoint_id)
        .outerjoin(DownstreamTeam, DownstreamTeam.team_id == ServiceRequest.team_id)
        .where(ServiceRequest.id.in_(list(reports)))
        .order_by(ServiceRequest.id)
    ).all()
    _leave(session, {row.id: row.endpoint_id for row in rows}, now)
    active = endpoints(session, {row.endpoint_id for row in rows if row.endpoint_id is not None})
    wanted = [row for row in rows if row.endpoint_id in active]
    if not wanted:
        return []
    statement = postgresql.insert(Forwarding).values(
        [
            {
                "report_id": row.id,
                "endpoint_id": row.endpoint_id,
                "next_attempt_at": now,
                "created_at": now,
            }
            for row in wanted
        ]
    )
    queued = set(
        session.scalars(
            statement.on_conflict_do_nothing(index_elements=["report_id", "endpoint_id"]).returning(
                Forwarding.id
            )
        )
    )
    queued |= _resume(session, [row for row in wanted if reports[row.id]], now)
    ids = sorted(queued)
    outbox.emit_many(
        session,
        events.FORWARDING_QUEUED,
        [
            Happening(
                None,
                None,
                {"forwarding_ids": [str(each) for each in ids[at : at + BATCH]]},
            )
            for at in range(0, len(ids), BATCH)
        ],
    )
    return ids


def retry(
    session: Session,
    report_ids: Collection[UUID] | None,
    *,
    now: datetime,
    is_surely_absent: bool = False,
    only: UUID | None = None,
) -> list[UUID]:
    """Take up again what waits for a person: of those reports, or all; ids of the forwardings.

    Args:
        only: of those, the one with that id.
        is_surely_absent: somebody asked there: they do not have it. Else what was lost is looked
            for again before it is sent.
    """
    statement = (
        sa.select(Forwarding)
        .where(Forwarding.state == ForwardingState.STUCK.value)
        .order_by(Forwarding.id)
        .with_for_update()
    )
    if report_ids is not None:
        statement = statement.where(Forwarding.report_id.in_(list(report_ids)))
    if only is not None:
        statement = statement.where(Forwarding.id == only)
    rows = session.scalars(statement).all()
    if is_surely_absent:
        close_attempts(session, [row.id for row in rows], AttemptOutcome.ABSENT, now)
    for row in rows:
        row.state = ForwardingState.WAITING.value
        row.failures, row.next_attempt_at = 0, now
        if row.token is not None:
            # Its patience begins anew; without the token it is sent anew.
            row.token_at, row.token = (None, None) if is_surely_absent else (now, row.token)
    session.flush()
    return [row.id for row in rows]


def _resume(session: Session, rows: Sequence[Any], now: datetime) -> set[UUID]:
    """Take up again what was stuck or had left, of reports that were routed just now."""
    if not rows:
        return set()
    stopped = session.scalars(
        sa.select(Forwarding)
        .where(
            sa.tuple_(Forwarding.report_id, Forwarding.endpoint_id).in_(
                [(row.id, row.endpoint_id) for row in rows]
            ),
            Forwarding.state.in_([ForwardingState.STUCK.value, ForwardingState.CANCELLED.value]),
        )
        .order_by(Forwarding.id)
        .with_for_update()
    ).all()
    again = set()
    for forwarding in stopped:
        if forwarding.sent_at is not None and forwarding.token is None:
            forwarding.state = ForwardingState.SENT.value
            continue
        forwarding.state = ForwardingState.WAITING.value
        forwarding.failures, forwarding.next_attempt_at = 0, now
        again.add(forwarding.id)
    session.flush()
    return again


def _leave(session: Session, present: Mapping[UUID, int | None], now: datetime) -> None:
    """Stop the forwardings of reports to systems where their team does not live any more."""
    left = session.scalars(
        sa.select(Forwarding)
        .where(
            Forwarding.report_id.in_(list(present)),
            Forwarding.state != ForwardingState.CANCELLED.value,
        )
        .order_by(Forwarding.id)
    ).all()
    left = [row for row in left if present[row.report_id] != row.endpoint_id]
    if not left:
        return
    reports = changing.lock_all(session, {row.report_id for row in left})
    known = endpoints(session, {row.endpoint_id for row in left})
    for forwarding in left:
        endpoint = known.get(forwarding.endpoint_id)
        is_there = forwarding.sent_at is not None or _has_open_attempt(session, forwarding.id)
        forwarding.state = ForwardingState.CANCELLED.value
        if is_there and endpoint is not None and (report := reports.get(forwarding.report_id)):
            tell_staff(
                session, report, endpoint, Note.LEFT, now, forwarding.remote_id or forwarding.token
            )
    session.flush()


# -- claiming -------------------------------------------------------------------------------------


def claim(
    session: Session,
    *,
    now: datetime,
    base_url: str,
    ids: Collection[UUID] | None = None,
    limit: int = BATCH,
) -> list[Job]:
    """Take forwardings that are due, oldest first; nobody else gets them until the lease ends.

    What does not need the other system any more, or not yet, is settled here. Of an endpoint that
    has just failed often, one alone is taken to find out whether it is back.

    Args:
        base_url: of this installation, for the address of a photo.
    """
    due = (
        sa.select(Forwarding)
        .join(DownstreamEndpoint, DownstreamEndpoint.id == Forwarding.endpoint_id)
        .where(
            Forwarding.state == ForwardingState.WAITING.value,
            Forwarding.next_attempt_at <= now,
            DownstreamEndpoint.is_active,
            sa.or_(DownstreamEndpoint.open_until.is_(None), DownstreamEndpoint.open_until <= now),
        )
        .order_by(Forwarding.next_attempt_at, Forwarding.id)
        .limit(limit)
        .with_for_update(of=Forwarding, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if ids is not None:
        due = due.where(Forwarding.id.in_(list(ids)))
    rows = session.scalars(due).all()
    if not rows:
        return []
    known = endpoints(session, {row.endpoint_id for row in rows})
    circuits = _circuits(session, known)
    tried: set[int] = set()
    chosen = []
    for row in rows:
        if circuits[row.endpoint_id].is_tried:
            if row.endpoint_id in tried:
                continue
            tried.add(row.endpoint_id)
        chosen.append(row)
    facts = _facts(session, chosen)
    jobs = []
    for row in chosen:
        job = _prepare(session, row, known[row.endpoint_id], facts[row.report_id], now, base_url)
        if job is not None:
            jobs.append(job)
    session.flush()
    return jobs


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a report says at the moment it is handed over."""

    report: Any
    service_code: str
    questions: tuple[AttributeDefinition, ...]
    endpoint_id: int | None
    photo_id: UUID | None
    is_photo_awaited: bool


def _facts(session: Session, rows: Sequence[Forwarding]) -> dict[UUID, _Facts]:
    wanted = [row.report_id for row in rows]
    photos = session.execute(
        sa.select(Photo.report_id, Photo.id, Photo.state, Photo.is_public, Photo.created_at)
        .where(
            Photo.report_id.in_(wanted),
            Photo.state.in_([PhotoState.READY.value, PhotoState.STAGED.value]),
        )
        .order_by(Photo.created_at, Photo.id)
    ).all()
    shown: dict[UUID, UUID] = {}
    for photo in photos:
        if photo.state == PhotoState.READY.value and photo.is_public:
            shown.setdefault(photo.report_id, photo.id)
    coming = {p.report_id for p in photos if p.state == PhotoState.STAGED.value and p.is_public}
    coming |= awaiting.awaited(session, wanted)
    return {
        row.id: _Facts(
            row,
            row.service_code,
            definitions_of(row.questions),
            row.endpoint_id,
            shown.get(row.id),
            row.id in coming and row.id not in shown,
        )
        for row in session.execute(
            sa.select(
                ServiceRequest.id,
                ServiceRequest.status,
                ServiceRequest.visibility,
                ServiceRequest.description,
                ServiceRequest.attributes,
                ServiceRequest.lat,
                ServiceRequest.lon,
                ServiceRequest.address,
                ServiceRequest.address_given,
                ServiceRequest.requested_at,
                Service.code.label("service_code"),
                Service.attributes.label("questions"),
                DownstreamTeam.endpoint_id,
            )
            .join(Service, Service.id == ServiceRequest.service_id)
            .outerjoin(DownstreamTeam, DownstreamTeam.team_id == ServiceRequest.team_id)
            .where(ServiceRequest.id.in_(wanted))
        )
    }


def _prepare(
    session: Session,
    row: Forwarding,
    endpoint: Endpoint,
    facts: _Facts,
    now: datetime,
    base_url: str,
) -> Job | None:
    """The next step of a forwarding, written down; None where the other system is not needed."""
    report = facts.report
    opened = _open_attempts(session, row.id)
    job = Job(row.id, row.report_id, endpoint, row.claims + 1, row.failures, None)
    if row.token is not None:
        _lease(row, now)
        return replace(job, token=row.token, token_at=row.token_at or now)
    point = Point(report.lat, report.lon) if report.lat is not None else None
    service = endpoint.service(facts.service_code)
    if opened:
        _lease(row, now)
        first = min(attempt.begun_at for attempt in opened)
        last = max(attempt.begun_at for attempt in opened)
        code = service.code if service is not None else facts.service_code
        return replace(
            job,
            lost=Sending(code, report.description, point, first, last),
            taken=_taken(session, row),
        )
    if not Status(report.status).is_open or facts.endpoint_id != row.endpoint_id:
        row.state = ForwardingState.CANCELLED.value
        return None
    if report.visibility != Visibility.PUBLIC.value and not endpoint.spec.held:
        row.next_attempt_at = now + _REVIEW_PAUSE
        return None
    if facts.is_photo_awaited and now < report.requested_at + _PHOTO_PATIENCE:
        row.next_attempt_at = now + _PHOTO_PAUSE
        return None
    problem = None
    if service is None:
        problem = Note.UNKNOWN_SERVICE
    elif point is None and not (report.address or report.address_given):
        problem = Note.NO_PLACE
    if problem is not None or service is None:
        row.state, row.last_fault = ForwardingState.STUCK.value, (problem or Note.LOST).value
        locked = changing.lock_all(session, {row.report_id})[row.report_id]
        tell_staff(session, locked, endpoint, problem or Note.LOST, now)
        return None
    photo = None
    if facts.photo_id is not None and report.visibility == Visibility.PUBLIC.value:
        photo = photo_url(base_url, facts.photo_id)
    _lease(row, now)
    attempt = ForwardingAttempt(forwarding_id=row.id, begun_at=now)
    session.add(attempt)
    session.flush()
    return replace(
        job,
        attempt_id=attempt.id,
        fields=parameters(
            service,
            description=report.description,
            point=point,
            address=report.address or report.address_given,
            answers=report.attributes,
            questions=facts.questions,
            photo=photo,
        ),
    )


def parameters(
    service: ServiceMap,
    *,
    description: str,
    point: Point | None,
    address: str | None,
    answers: Mapping[str, Any],
    questions: Sequence[AttributeDefinition],
    photo: str | None,
) -> tuple[tuple[str, str], ...]:
    """A report in parameters of the standard, and in no other.

    No name, address or number of the reporter: whoever reported hears from us.
    """
    fields = [("service_code", service.code)]
    if point is not None:
        fields += [("lat", f"{point.lat:.7f}"), ("long", f"{point.lon:.7f}")]
    if address:
        fields.append(("address_string", address))
    if description:
        fields.append(("description", description))
    if photo:
        fields.append(("media_url", photo))
    for question in questions:
        code = question.code
        if service.attributes is not None:
            if code not in service.attributes:
                continue
            code = service.attributes[code]
        if question.code not in answers:
            continue
        given = answers[question.code]
        renamed = service.values.get(question.code, {})
        if question.datatype is Datatype.MULTIPLE:
            chosen = given if isinstance(given, list) else [given]
            fields += [(f"attribute[{code}][]", renamed.get(str(v), str(v))) for v in chosen]
        else:
            fields.append((f"attribute[{code}]", _answer(question, given, renamed)))
    fields += [(f"attribute[{code}]", value) for code, value in service.fixed.items()]
    return tuple(fields)


def _answer(question: AttributeDefinition, given: Any, renamed: Mapping[str, str]) -> str:
    if question.datatype is Datatype.DATETIME:
        try:
            return seconds(read_moment(str(given)))
        except ValueError:
            return str(given)
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    return renamed.get(str(given), str(given))


def _lease(row: Forwarding, now: datetime) -> None:
    row.claims += 1
    row.next_attempt_at = now + LEASE


def _open_attempts(session: Session, forwarding_id: UUID) -> Sequence[ForwardingAttempt]:
    return session.scalars(
        sa.select(ForwardingAttempt)
        .where(
            ForwardingAttempt.forwarding_id == forwarding_id, ForwardingAttempt.outcome.is_(None)
        )
        .order_by(ForwardingAttempt.id)
    ).all()


def _has_open_attempt(session: Session, forwarding_id: UUID) -> bool:
    return bool(_open_attempts(session, forwarding_id))


def _taken(session: Session, row: Forwarding) -> frozenset[str]:
    """Their ids that stand for other reports of ours, of the time in which this one was sent."""
    return frozenset(
        one
        for one in session.scalars(
            sa.select(Forwarding.remote_id).where(
                Forwarding.endpoint_id == row.endpoint_id,
                Forwarding.id != row.id,
                Forwarding.remote_id.is_not(None),
                Forwarding.sent_at >= row.created_at - CLOCK_SLACK - timedelta(days=1),
            )
        )
        if one is not None
    )


# -- calling --------------------------------------------------------------------------------------


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


# -- recording ------------------------------------------------------------------------------------


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
    _record_endpoints(session, outcomes, now)
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
            _close_attempt(self.session, self.job.attempt_id, outcome, self.now)
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
        _close_attempt(self.session, self.job.attempt_id, outcome, self.now, failure.reason)

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


def without_people(session: Session, report_id: UUID, said: str) -> str:
    """Words of another system without the contact data of the report's people."""
    known = anonymising.known_people(session, [report_id])
    return mask(said, known.get(report_id, Identifiers()))


def tell_staff(
    session: Session,
    report: ServiceRequest,
    endpoint: Endpoint,
    kind: Note,
    now: datetime,
    said: str | None = None,
    *,
    by: Author = SYSTEM,
) -> int:
    """Leave an internal note in the history of a locked report; the id of the entry."""
    text = note(kind, endpoint.locale, endpoint.spec.code, said)
    return remarks.comment(session, report, Words(note=text), by=by, now=now)


def _close_attempt(
    session: Session,
    attempt_id: int | None,
    outcome: AttemptOutcome | None,
    now: datetime,
    fault: str | None = None,
) -> None:
    session.execute(
        sa.update(ForwardingAttempt)
        .where(ForwardingAttempt.id == attempt_id)
        .values(outcome=outcome and outcome.value, ended_at=now, fault=fault)
        .execution_options(synchronize_session=False)
    )


def close_attempts(
    session: Session, forwarding_ids: Sequence[UUID], outcome: AttemptOutcome, now: datetime
) -> None:
    """Say what became of sendings whose answers were lost, in the caller's transaction."""
    session.execute(
        sa.update(ForwardingAttempt)
        .where(
            ForwardingAttempt.forwarding_id.in_(forwarding_ids),
            ForwardingAttempt.outcome.is_(None),
        )
        .values(outcome=outcome.value, ended_at=sa.func.coalesce(ForwardingAttempt.ended_at, now))
        .execution_options(synchronize_session=False)
    )


# -- endpoints ------------------------------------------------------------------------------------


def _circuits(session: Session, known: Collection[int]) -> dict[int, Circuit]:
    rows = session.execute(
        sa.select(
            DownstreamEndpoint.id, DownstreamEndpoint.failures, DownstreamEndpoint.open_until
        ).where(DownstreamEndpoint.id.in_(list(known)))
    )
    return {row.id: Circuit(row.failures, row.open_until) for row in rows}


def _record_endpoints(session: Session, outcomes: Sequence[Outcome], now: datetime) -> None:
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
