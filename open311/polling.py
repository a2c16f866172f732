"""What other systems tell of the reports they were handed: by asking them, and by their webhook.

    with transaction() as session:
        rounds = claim(session, now=now)           # endpoints that are due, and what to ask of them
    for one in rounds:
        heard = ask(one, remote, now=now)          # outside any transaction
        apply_all(…)                               # in transactions of its own, see the workers

1. Steps (`servicerequestupdates`) are read first, because they bring words; the window begins a
   little before the end of the last one, so that what was stored late is not missed. The same step
   is taken once, by its id or a digest of what it says.
2. Then the present status of what is followed, in batches of ids, one by one, or what was changed
   since the last time: as the endpoint likes it.
3. `rules.judge` holds each status against what we know: only what is newer than our last change
   moves the report. What is missing or unknown changes nothing and is logged.
4. The window moves on only when everything in it was taken in; otherwise it is read again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.errors import DomainError
from open311.answers import ForeignRequest, ForeignUpdate
from open311.client import Failure, Remote, seconds
from open311.downstream import Endpoint, endpoints
from open311.downstream_models import (
    DownstreamEndpoint,
    DownstreamTeam,
    DownstreamUpdate,
    Forwarding,
)
from open311.forwarding.notes import tell_staff, without_people
from open311.rules import (
    Because,
    ForwardingState,
    Known,
    ListStyle,
    Ours,
    Theirs,
    believed,
    disagrees,
    judge,
)
from open311.telling import Note, note
from reports import changing, lifecycle, remarks
from reports.changing import SILENCE, Words
from reports.history import Author
from reports.models import HistoryEntry, ServiceRequest
from reports.vocabulary import OPEN_STATUSES, ActorKind, Status

log = structlog.get_logger()

#: Whoever moves a report because another system said so.
MACHINE = Author(ActorKind.MACHINE)

#: What an entry of the history says that came from another system: the endpoint's id.
FROM = "downstream_id"

#: Requests whose status is asked in one round of an endpoint; the rest follows in the next.
FOLLOWED = 1000

#: Closed reports are still followed so long: it may be reopened there.
FOLLOWED_CLOSED = timedelta(days=30)

#: A round is ours for so long; asking stops before that.
LEASE = timedelta(minutes=5)
PATIENCE_S = 30.0

#: The widest window that is asked at once; after a long absence several follow one another.
_WINDOW = timedelta(days=1)

#: Words of theirs that are kept.
_WORDS = 4000

#: As much of a status of theirs as is looked at.
_WORD = 80


@dataclass(frozen=True, slots=True)
class Followed:
    """A request of theirs that is a report of ours."""

    forwarding_id: UUID
    remote_id: str


@dataclass(frozen=True, slots=True)
class Round:
    """What an endpoint is asked this time.

    Attributes:
        is_cut: whether the window ends before the present: the next follows at once.
    """

    endpoint: Endpoint
    followed: tuple[Followed, ...]
    since: datetime
    until: datetime
    is_cut: bool = False


@dataclass(slots=True)
class Heard:
    """What it answered.

    Attributes:
        results: of each call, for the circuit.
        is_whole: whether everything of the window was read.
    """

    updates: list[ForeignUpdate] = field(default_factory=list)
    requests: list[ForeignRequest] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    results: list[Failure | None] = field(default_factory=list)
    is_whole: bool = True


def claim(session: Session, *, now: datetime, limit: int = 1) -> list[Round]:
    """Take endpoints that are due; nobody else asks them until the lease ends."""
    rows = session.scalars(
        sa.select(DownstreamEndpoint)
        .where(
            DownstreamEndpoint.is_active,
            sa.or_(
                DownstreamEndpoint.next_poll_at.is_(None), DownstreamEndpoint.next_poll_at <= now
            ),
            sa.or_(DownstreamEndpoint.open_until.is_(None), DownstreamEndpoint.open_until <= now),
        )
        .order_by(DownstreamEndpoint.next_poll_at.nulls_first(), DownstreamEndpoint.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    known = endpoints(session, {row.id for row in rows})
    rounds = []
    for row in rows:
        endpoint = known[row.id]
        followed = _followed(session, endpoint, now)
        since = row.updates_until or _first_sent(session, row.id) or now
        since -= timedelta(minutes=endpoint.spec.overlap_minutes)
        row.next_poll_at = now + LEASE
        has_window = endpoint.spec.updates or endpoint.spec.list is ListStyle.UPDATED
        until = min(now, since + _WINDOW) if has_window else now
        rounds.append(Round(endpoint, followed, since, until, is_cut=until < now))
    session.flush()
    return rounds


def ask(one: Round, remote: Remote, *, patience_s: float = PATIENCE_S) -> Heard:
    """Ask the endpoint everything; what it answered. Outside any transaction."""
    stop_at = time.monotonic() + patience_s
    heard = Heard()
    if not one.followed and not one.endpoint.spec.updates:
        return heard
    if one.endpoint.spec.updates:
        steps = remote.updates(one.since, one.until)
        heard.results.append(steps if isinstance(steps, Failure) else None)
        if isinstance(steps, Failure):
            heard.is_whole = False
            if steps.is_silence:
                return heard
        else:
            heard.updates = sorted(
                steps, key=lambda step: (step.updated_at or one.until, step.id or "")
            )
    match one.endpoint.spec.list:
        case ListStyle.IDS:
            _ask_in_batches(one, remote, heard, stop_at)
        case ListStyle.SINGLE:
            _ask_singly(one, remote, heard, stop_at)
        case ListStyle.UPDATED:
            _ask_for_changes(one, remote, heard)
        case ListStyle.NONE:
            pass
    return heard


def finish(session: Session, one: Round, *, is_whole: bool, now: datetime) -> None:
    """Note that a round is over, in the caller's transaction, and when the next is due."""
    row = session.get(
        DownstreamEndpoint, one.endpoint.id, with_for_update=True, populate_existing=True
    )
    if row is None:
        return
    if is_whole and (row.updates_until is None or row.updates_until < one.until):
        row.updates_until = one.until
    pause = timedelta(minutes=one.endpoint.spec.poll_minutes)
    row.next_poll_at = now if is_whole and one.is_cut else now + pause
    session.flush()


# -- taking in ------------------------------------------------------------------------------------


def take_update(session: Session, endpoint: Endpoint, step: ForeignUpdate, *, now: datetime) -> str:
    """Take in one step, once, in the caller's transaction; what came of it, in a word.

    `unknown_request` where it is about none of ours: on a list that tells of everybody's requests
    that is the rule.
    """
    if step.request_id is None:
        return "unknown_request"
    outcome = "unknown_request"
    for forwarding, report in _locked(session, endpoint, step.request_id):
        outcome = _take_once(session, endpoint, forwarding, report, step, now)
    return outcome


def news_among(
    session: Session, endpoint: Endpoint, found: Sequence[ForeignRequest], *, now: datetime
) -> list[ForeignRequest]:
    """Those requests whose status has to be held against ours; two statements for all the others.

    What says the same as at the last look is no news, unless it is over there and open here.
    """
    rows = session.execute(
        sa.select(
            Forwarding.remote_id,
            Forwarding.remote_status,
            Forwarding.remote_at,
            ServiceRequest.status,
        )
        .join(ServiceRequest, ServiceRequest.id == Forwarding.report_id)
        .where(
            Forwarding.endpoint_id == endpoint.id,
            Forwarding.remote_id.in_([one.id for one in found if one.id is not None]),
        )
    ).all()
    known: dict[str, list[Any]] = {}
    for row in rows:
        known.setdefault(row.remote_id, []).append(row)
    fresh: list[ForeignRequest] = []
    same: list[ForeignRequest] = []
    for one in found:
        theirs = _theirs(endpoint, one, now)
        is_same = all(
            theirs == Theirs(row.remote_status, row.remote_at)
            and theirs.at is not None
            and not disagrees(Ours(Status(row.status), now, True), theirs, endpoint.spec.statuses)
            for row in known.get(one.id or "", ())
        )
        (same if is_same else fresh).append(one)
    if same:
        session.execute(
            sa.update(Forwarding)
            .where(
                Forwarding.endpoint_id == endpoint.id,
                Forwarding.remote_id.in_([one.id for one in same]),
            )
            .values(checked_at=now, missing_since=None)
            .execution_options(synchronize_session=False)
        )
    return fresh


def take_status(
    session: Session, endpoint: Endpoint, found: ForeignRequest, *, now: datetime
) -> str:
    """Take in the present status of a request, in the caller's transaction; as `take_update`."""
    if found.id is None:
        return "unknown_request"
    outcome = "unknown_request"
    for forwarding, report in _locked(session, endpoint, found.id):
        outcome, _ = _take(
            session,
            endpoint,
            forwarding,
            report,
            _theirs(endpoint, found, now),
            found.notes,
            None,
            now,
        )
        forwarding.checked_at = now
        if outcome != Because.MISSING:
            forwarding.missing_since = None
        elif forwarding.missing_since is None:
            forwarding.missing_since = now
            _log_missing(endpoint, found.id)
    session.flush()
    return outcome


def note_missing(
    session: Session, endpoint: Endpoint, remote_ids: Collection[str], *, now: datetime
) -> None:
    """They do not show these: nothing changes, and it is asked again in its turn.

    It is logged when it begins, not at every look.
    """
    if not remote_ids:
        return
    theirs = (
        Forwarding.endpoint_id == endpoint.id,
        Forwarding.remote_id.in_(sorted(remote_ids)),
    )
    known = set(
        session.scalars(
            sa.select(Forwarding.remote_id).where(*theirs, Forwarding.missing_since.is_not(None))
        )
    )
    session.execute(
        sa.update(Forwarding)
        .where(*theirs)
        .values(checked_at=now, missing_since=sa.func.coalesce(Forwarding.missing_since, now))
        .execution_options(synchronize_session=False)
    )
    for remote_id in sorted(set(remote_ids) - known):
        _log_missing(endpoint, remote_id)


def _log_missing(endpoint: Endpoint, remote_id: str) -> None:
    log.warning(
        "downstream.status_ignored",
        endpoint=endpoint.name,
        remote_id=remote_id,
        because=Because.MISSING.value,
    )


def _take_once(
    session: Session,
    endpoint: Endpoint,
    forwarding: Forwarding,
    report: ServiceRequest,
    step: ForeignUpdate,
    now: datetime,
) -> str:
    row_id = session.scalar(
        postgresql.insert(DownstreamUpdate)
        .values(
            endpoint_id=endpoint.id,
            update_id=_name_of(step, forwarding),
            forwarding_id=forwarding.id,
            created_at=now,
        )
        .on_conflict_do_nothing()
        .returning(DownstreamUpdate.id)
    )
    if row_id is None:
        return "repeated"
    outcome, history_id = _take(
        session,
        endpoint,
        forwarding,
        report,
        Theirs(step.status, believed(step.updated_at, now)),
        step.description,
        step.media_url,
        now,
    )
    if history_id is None and forwarding.state == ForwardingState.SENT.value:
        # No move, but words: they are news by themselves.
        words = _words(session, endpoint, report, step.description, step.media_url)
        if not words.is_empty:
            history_id = remarks.comment(session, report, words, by=MACHINE, now=now)
            outcome = "said"
    session.execute(
        sa.update(DownstreamUpdate)
        .where(DownstreamUpdate.id == row_id)
        .values(history_id=history_id)
        .execution_options(synchronize_session=False)
    )
    session.flush()
    return outcome


def _take(
    session: Session,
    endpoint: Endpoint,
    forwarding: Forwarding,
    report: ServiceRequest,
    theirs: Theirs,
    said: str | None,
    media_url: str | None,
    now: datetime,
) -> tuple[str, int | None]:
    """Hold a status against ours and let it move the report; what came of it, and the entry."""
    ours = _ours(session, endpoint, forwarding, report)
    known_at = believed(forwarding.remote_at, now)
    known = Known(
        forwarding.remote_status,
        known_at,
        forwarding.checked_at or forwarding.sent_at or forwarding.created_at,
    )
    meanings = endpoint.spec.statuses
    verdict = judge(ours, theirs, known, meanings)
    history_id = None
    because = verdict.because
    if verdict.to is not None:
        try:
            history_id = _move(session, endpoint, report, verdict.to, said, media_url, now)
        except DomainError:
            because = Because.NO_WAY
    elif because is Because.DUPLICATE_THERE:
        said = without_people(session, report.id, said or "")
        history_id = tell_staff(session, report, endpoint, Note.DUPLICATE, now, said)
    elif (
        because in (Because.OLDER, Because.SAME)
        and disagrees(ours, theirs, meanings)
        and (forwarding.told_at is None or forwarding.told_at < ours.changed_at)
    ):
        forwarding.told_at = now
        tell_staff(session, report, endpoint, Note.DISAGREES, now, theirs.status)
    word = (theirs.status or "")[:_WORD]
    is_ignored = because in (Because.UNKNOWN, Because.NO_WAY, Because.NOT_THEIRS)
    if is_ignored and word != forwarding.remote_status:
        log.warning(
            "downstream.status_ignored",
            endpoint=endpoint.name,
            forwarding_id=str(forwarding.id),
            status=word,
            because=because.value,
        )
    is_later = theirs.at is not None and (known_at is None or theirs.at >= known_at)
    if theirs.status is not None and (theirs.at is None or is_later):
        forwarding.remote_status = word
    if is_later:
        forwarding.remote_at = theirs.at
    return because.value, history_id


def _move(
    session: Session,
    endpoint: Endpoint,
    report: ServiceRequest,
    to: Status,
    said: str | None,
    media_url: str | None,
    now: datetime,
) -> int:
    words = _words(session, endpoint, report, said, media_url)
    if to is Status.REJECTED and not words.public_note:
        # The public is always told why; these words are the last resort.
        standard = note(Note.REJECTED, endpoint.locale, endpoint.spec.code)
        words = Words(note=words.note, public_note=standard)
    return lifecycle.move(
        session, report, to, by=MACHINE, now=now, words=words, data={FROM: endpoint.id}
    )


def _words(
    session: Session,
    endpoint: Endpoint,
    report: ServiceRequest,
    said: str | None,
    media_url: str | None,
) -> Words:
    """What they say, without contact data of the report's people, which it may bring back."""
    photo = None
    if media_url:
        photo = note(Note.PHOTO, endpoint.locale, endpoint.spec.code, media_url)
    spoken = (said or "")[:_WORDS] or None
    if spoken:
        spoken = without_people(session, report.id, spoken)
    if endpoint.spec.notes == "public":
        return Words(note=photo, public_note=spoken)
    kept = "\n".join(line for line in (spoken, photo) if line)
    return Words(note=kept) if kept else SILENCE


def _theirs(endpoint: Endpoint, found: ForeignRequest, now: datetime) -> Theirs:
    word = (endpoint.spec.extensions and found.extended_status) or found.status
    return Theirs(word and word[:_WORD], believed(found.updated_at, now))


def _ours(
    session: Session, endpoint: Endpoint, forwarding: Forwarding, report: ServiceRequest
) -> Ours:
    """How the report stands, and when anybody but that system moved it last."""
    changed_at = session.scalar(
        sa.select(sa.func.max(HistoryEntry.at)).where(
            HistoryEntry.report_id == report.id,
            HistoryEntry.to_status.is_not(None),
            sa.func.coalesce(HistoryEntry.data[FROM].as_string(), "") != str(endpoint.id),
        )
    )
    lives_at = session.scalar(
        sa.select(DownstreamTeam.endpoint_id).where(DownstreamTeam.team_id == report.team_id)
    )
    return Ours(
        Status(report.status),
        changed_at or report.requested_at,
        lives_at == endpoint.id and forwarding.state == ForwardingState.SENT.value,
    )


def _locked(
    session: Session, endpoint: Endpoint, remote_id: str
) -> Iterable[tuple[Forwarding, ServiceRequest]]:
    """The forwardings that became a request of theirs, with their reports, locked."""
    ids = {
        row.report_id: row.id
        for row in session.execute(
            sa.select(Forwarding.id, Forwarding.report_id).where(
                Forwarding.endpoint_id == endpoint.id, Forwarding.remote_id == remote_id
            )
        )
    }
    reports = changing.lock_all(session, ids)
    found = []
    for report_id, report in reports.items():
        forwarding = session.get(
            Forwarding, ids[report_id], with_for_update=True, populate_existing=True
        )
        if forwarding is not None:
            found.append((forwarding, report))
    return found


def _name_of(step: ForeignUpdate, forwarding: Forwarding) -> str:
    """Its id among theirs; of a step without one, a digest of what it says."""
    if step.id is not None:
        # Two reports of ours may be one request of theirs, and each is told.
        return f"{step.id[:200]}@{forwarding.id}"
    said = "\n".join(
        (
            step.status or "",
            seconds(step.updated_at) if step.updated_at else "",
            step.description or "",
            step.media_url or "",
        )
    )
    return f"{hashlib.sha256(said.encode()).hexdigest()}@{forwarding.id}"


# -- asking ---------------------------------------------------------------------------------------


def _followed(session: Session, endpoint: Endpoint, now: datetime) -> tuple[Followed, ...]:
    """Whose status is asked this time: those not asked for the longest first."""
    rows = session.execute(
        sa.select(Forwarding.id, Forwarding.remote_id)
        .join(ServiceRequest, ServiceRequest.id == Forwarding.report_id)
        .where(
            Forwarding.endpoint_id == endpoint.id,
            Forwarding.state == ForwardingState.SENT.value,
            Forwarding.remote_id.is_not(None),
            sa.or_(
                ServiceRequest.status.in_([status.value for status in OPEN_STATUSES]),
                ServiceRequest.updated_at > now - FOLLOWED_CLOSED,
            ),
        )
        .order_by(Forwarding.checked_at.nulls_first(), Forwarding.id)
        .limit(FOLLOWED)
    )
    return tuple(Followed(row.id, row.remote_id) for row in rows)


def _first_sent(session: Session, endpoint_id: int) -> datetime | None:
    return session.scalar(
        sa.select(sa.func.min(Forwarding.sent_at)).where(Forwarding.endpoint_id == endpoint_id)
    )


def _ask_in_batches(one: Round, remote: Remote, heard: Heard, stop_at: float) -> None:
    """`service_request_id=1,2,3`: what the standard offers for following many."""
    ids = list(dict.fromkeys(followed.remote_id for followed in one.followed))
    size = one.endpoint.spec.batch_size
    for at in range(0, len(ids), size):
        if time.monotonic() > stop_at:
            return
        some = ids[at : at + size]
        found = remote.requests([("service_request_id", ",".join(some))])
        heard.results.append(found if isinstance(found, Failure) else None)
        if isinstance(found, Failure):
            if found.is_silence:
                return
            if found.reason == "http 404":
                # Some say so when none is there, some when one is not.
                _ask_one_by_one(some, remote, heard, stop_at)
            continue
        _sort(found, some, heard)


def _ask_singly(one: Round, remote: Remote, heard: Heard, stop_at: float) -> None:
    ids = list(dict.fromkeys(followed.remote_id for followed in one.followed))
    _ask_one_by_one(ids, remote, heard, stop_at)


def _ask_one_by_one(ids: Sequence[str], remote: Remote, heard: Heard, stop_at: float) -> None:
    for remote_id in ids:
        if time.monotonic() > stop_at:
            return
        found = remote.request(remote_id)
        heard.results.append(found if isinstance(found, Failure) else None)
        if isinstance(found, Failure):
            if found.is_silence:
                return
        else:
            _sort([found] if found is not None else [], [remote_id], heard)


def _ask_for_changes(one: Round, remote: Remote, heard: Heard) -> None:
    """`updated_after`: what peers offer beyond the standard; one call for everything."""
    window = [("updated_after", seconds(one.since)), ("updated_before", seconds(one.until))]
    found = remote.requests(window, is_paged=True)
    heard.results.append(found if isinstance(found, Failure) else None)
    if isinstance(found, Failure):
        heard.is_whole = False
        return
    ours = {followed.remote_id for followed in one.followed}
    heard.requests += [request for request in found if request.id in ours]


def _sort(found: Sequence[ForeignRequest], asked: Sequence[str], heard: Heard) -> None:
    """What was asked for and came, and what did not; what else came is not looked at."""
    by_id = {request.id: request for request in found if request.id is not None}
    if len(found) == 1 and len(asked) == 1 and found[0].id is None:
        by_id = {asked[0]: replace(found[0], id=asked[0])}
    heard.requests += [by_id[each] for each in asked if each in by_id]
    heard.missing += [each for each in asked if each not in by_id]
