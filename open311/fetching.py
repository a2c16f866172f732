"""Photos that come as addresses (`media_url`): fetched later, and then photos like all others.

    awaiting.keep(session, report_id, …, links, now=now)     # with the report, in its transaction
    with transaction() as session:
        wanted = awaiting.claim(session, now=now, ids=…)     # ours until the lease ends
    outcomes = fetch(wanted, line, storage)                  # outside any transaction
    with transaction() as session:
        record(session, outcomes, now=now)

1. Somebody else chose the address, so it is called through `core.outgoing` only, each redirect
   anew: what lies in a network of ours is refused, and refused for good.
2. What comes is held to what is asked of an upload (a photo by its own bytes, its size, its
   pixels), staged, and cleaned by the same task before anybody sees it.
3. Whatever else fails is tried again after a growing wait. At the end staff read in the report's
   history which photo is missing and why.
"""

from __future__ import annotations

import io
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urljoin

import structlog
from sqlalchemy.orm import Session

from core.errors import DomainError
from core.outgoing import Allowance, Answer, Outgoing, OutgoingError, OutgoingRefusedError
from geo import jurisdictions
from open311.awaiting import Wanted
from open311.models import LinkedPhoto
from open311.rules import delay_s
from open311.telling import Note, note
from reports import changing, media, remarks, reviewing
from reports.changing import Words
from reports.history import SYSTEM, Author
from reports.media import MAX_BYTES, StagedPhoto, TooLargeError, TooManyPhotosError
from reports.models import ServiceRequest
from reports.storage import Storage, StorageAwayError
from reports.vocabulary import ActorKind

log = structlog.get_logger()

#: How long each photo of a claim may take, and when no further one is begun: what is begun by then
#: has ended before the lease of `awaiting` has.
TIMEOUT_S = 15.0
PATIENCE_S = 30.0

#: Moved from http to https, then to where the files lie, and once more.
_REDIRECTS = 3

#: Tries after which staff are told. With the delays of `rules.delay_s` some four hours.
MAX_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Refused:
    """It will not be fetched, however often it is tried. `reason`: a code."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not be fetched this time. `reason`: a kind of failure."""

    reason: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; `result` is None when its turn did not come."""

    wanted: Wanted
    result: StagedPhoto | Refused | Failed | None


def open_line(allow: Allowance) -> Outgoing:
    """What photos are fetched through; close it after a batch."""
    # One byte more tells a photo that is too large from one that just fits.
    return Outgoing(allow=allow, timeout_s=TIMEOUT_S, max_bytes=MAX_BYTES + 1)


def fetch(
    wanted: Sequence[Wanted],
    line: Outgoing,
    storage: Storage,
    *,
    patience_s: float = PATIENCE_S,
) -> list[Outcome]:
    """Fetch photos, one after the other, and stage what came. Outside any transaction."""
    stop_at = time.monotonic() + patience_s
    return [
        Outcome(one, _staged(one.url, line, storage) if time.monotonic() < stop_at else None)
        for one in wanted
    ]


def record(
    session: Session,
    outcomes: Sequence[Outcome],
    *,
    now: datetime,
    jitter: Callable[[], float] = random.random,
) -> Counter[str]:
    """Note what came of them, in the caller's transaction; counts by what it was.

    What a worker brings whose lease has run out is left to whoever has it now; its staged bytes go
    with those that no row waits for.
    """
    counts: Counter[str] = Counter()
    reports = changing.lock_all(session, {outcome.wanted.report_id for outcome in outcomes})
    for outcome in sorted(outcomes, key=lambda one: one.wanted.id):
        row = session.get(
            LinkedPhoto, outcome.wanted.id, with_for_update=True, populate_existing=True
        )
        if row is None or row.claims != outcome.wanted.claims:
            counts["late"] += 1
            continue
        report = reports[row.report_id]
        match outcome.result:
            case StagedPhoto():
                counts[_added(session, row, report, outcome.result, now)] += 1
            case Refused(reason):
                counts["refused"] += 1
                _give_up(session, row, report, reason, now)
            case Failed(reason, asked_s):
                counts["failed"] += 1
                row.failures += 1
                if row.failures >= MAX_FAILURES:
                    _give_up(session, row, report, reason, now)
                else:
                    wait_s = delay_s(row.failures, jitter(), asked_s=asked_s)
                    row.next_attempt_at = now + timedelta(seconds=wait_s)
            case None:
                counts["untried"] += 1
                row.next_attempt_at = now
    session.flush()
    return counts


def _added(
    session: Session, row: LinkedPhoto, report: ServiceRequest, photo: StagedPhoto, now: datetime
) -> str:
    try:
        media.check_room(session, report, 1)
    except TooManyPhotosError as error:
        _give_up(session, row, report, error.code, now)
        return "refused"
    by = ActorKind(row.added_by)
    if by is ActorKind.REPORTER:
        # Somebody may have published the report while its photo was still on the way.
        reviewing.hold_unread(session, report, None, has_photos=True, now=now)
    media.insert_staged(
        session,
        report.id,
        [photo],
        by=Author(by),
        jurisdiction_id=report.jurisdiction_id,
        now=now,
    )
    session.delete(row)
    return "fetched"


def _give_up(
    session: Session, row: LinkedPhoto, report: ServiceRequest, reason: str, now: datetime
) -> None:
    place = jurisdictions.by_id(session, report.jurisdiction_id)
    said = note(Note.NOT_FETCHED, place.default_locale, row.url, reason)
    remarks.comment(session, report, Words(note=said), by=SYSTEM, now=now)
    log.warning("photo.not_fetched", report_id=str(report.id), reason=reason)
    session.delete(row)


def _staged(url: str, line: Outgoing, storage: Storage) -> StagedPhoto | Refused | Failed:
    answer = _answered(url, line)
    if not isinstance(answer, Answer):
        return answer
    promised = answer.headers.get("content-length", "")
    if promised.isascii() and promised.isdigit() and len(answer.body) < int(promised):
        # More than is read at most is too large; less is a line that broke.
        return Refused(TooLargeError.code) if len(answer.body) > MAX_BYTES else Failed("broken")
    try:
        checked = media.check_photos([io.BytesIO(answer.body)])
    except TooLargeError as error:
        return Refused(error.code)
    except DomainError:
        return Refused("no_photo")
    try:
        [staged] = media.stage(storage, checked)
    except StorageAwayError as error:
        return Failed(error.code)
    return staged


def _answered(url: str, line: Outgoing) -> Answer | Refused | Failed:
    """What lies at that address, wherever it moved to."""
    for _ in range(_REDIRECTS + 1):
        try:
            answer = line.request("GET", url, headers={"Accept": "image/*"})
        except OutgoingRefusedError as error:
            return Refused(str(error))
        except OutgoingError as error:
            return Failed(str(error))
        if answer.status == 200:
            return answer
        moved_to = answer.headers.get("location")
        if not (300 <= answer.status < 400 and moved_to):
            return Failed(f"http {answer.status}", answer.retry_after_s)
        try:
            url = urljoin(url, moved_to)
        except ValueError:
            return Refused("malformed")
    return Refused("too_many_redirects")
