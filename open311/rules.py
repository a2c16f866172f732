"""What the client of other systems decides, without any input or output. Pure.

1. `fault_of_http` says whose fault an answer is, and whether the request may have been taken.
2. `delay_s`, `Circuit` and `token_delay_s` say when something is tried again.
3. `found_among` finds a request whose answer was lost.
4. `judge` says what a status of another system changes here, if anything.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.text import fold
from geo.measures import Point, distance_m
from open311.answers import ForeignRequest
from open311.translating import status_meant
from reports.vocabulary import Status


class Fault(enum.StrEnum):
    """What a failed call means for the request that it carried."""

    #: Surely not taken; the same again later.
    TRY_AGAIN = "try_again"
    #: Perhaps taken: nothing is sent again before somebody has looked.
    LOST = "lost"
    #: Refused for what it says: a person has to see it.
    PERSON = "person"


class ForwardingState(enum.StrEnum):
    """Where the forwarding of a report to another system stands."""

    WAITING = "waiting"
    SENT = "sent"
    STUCK = "stuck"
    CANCELLED = "cancelled"


class AttemptOutcome(enum.StrEnum):
    """What became of one sending. Without an outcome nobody knows."""

    TAKEN = "taken"
    REFUSED = "refused"
    NOT_TAKEN = "not_taken"
    #: The answer was lost; the request was found there later.
    FOUND = "found"
    #: The answer was lost; the request is not there.
    ABSENT = "absent"


class ListStyle(enum.StrEnum):
    """How another system is asked for the present state of requests."""

    IDS = "ids"
    SINGLE = "single"
    UPDATED = "updated"
    NONE = "none"


# -- faults and patience --------------------------------------------------------------------------

#: Sendings after which a person has to look. With the delays below about three days.
MAX_FAILURES = 20

_FIRST_DELAY_S, _LONGEST_DELAY_S = 30.0, 6 * 3600.0
_FIRST_TOKEN_DELAY_S, _LONGEST_TOKEN_DELAY_S = 60.0, 3600.0

#: Failures in a row after which an endpoint is left alone for a while.
CIRCUIT_OPENS_AFTER = 5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 60.0, 1800.0


def fault_of_http(status: int) -> Fault | None:
    """Whose fault a status is; None for success.

    A 5xx may come after the request was stored (a gateway's always may), so it counts as lost. A
    redirect is not followed: where it leads is for whoever wrote the address.
    """
    if 200 <= status < 300:
        return None
    if status in (425, 429):
        return Fault.TRY_AGAIN
    if status >= 500 or status == 408:
        return Fault.LOST
    return Fault.PERSON


def delay_s(failures: int, jitter: float, *, asked_s: int | None = None) -> float:
    """Seconds until the next try after so many failures; never sooner than we were asked to.

    Args:
        jitter: 0 to 1; spreads those that failed together.
    """
    grown = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(failures - 1, 16))
    return max(grown * (0.75 + 0.5 * jitter), min(float(asked_s or 0), _LONGEST_DELAY_S))


def token_delay_s(age: timedelta) -> float:
    """Seconds until a token of that age is asked about again: a quarter of that, in bounds."""
    return max(_FIRST_TOKEN_DELAY_S, min(age.total_seconds() / 4, _LONGEST_TOKEN_DELAY_S))


@dataclass(frozen=True, slots=True)
class Circuit:
    """How an endpoint does: failures in a row, and until when it is left alone."""

    failures: int = 0
    open_until: datetime | None = None

    @property
    def is_tried(self) -> bool:
        """Whether one call only should find out if the endpoint is back."""
        return self.failures >= CIRCUIT_OPENS_AFTER

    def after(self, *, is_well: bool, now: datetime, asked_s: int | None = None) -> Circuit:
        """As it is after a call that the endpoint answered (or did not, or asked for patience)."""
        if is_well:
            pause = None if not asked_s else now + timedelta(seconds=min(asked_s, _LONGEST_PAUSE_S))
            return Circuit(0, pause)
        failures = self.failures + 1
        if failures < CIRCUIT_OPENS_AFTER:
            return replace(self, failures=failures)
        beyond = min(failures - CIRCUIT_OPENS_AFTER, 16)
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**beyond)
        return Circuit(failures, now + timedelta(seconds=pause_s))


# -- looking for what was sent --------------------------------------------------------------------

#: Clocks of two systems, and the time from sending to storing, differ by less than this.
CLOCK_SLACK = timedelta(minutes=15)

#: Another system may show a place rounded to a block.
SAME_PLACE_M = 250.0

#: Without words to compare, the place must be the same nearly to the letter.
SAME_SPOT_M = 60.0

#: Words that are shorter (folded) may well be said twice of two problems.
_TELLING = 20

#: Systems that cut descriptions leave at least so much.
_CUT = 80


@dataclass(frozen=True, slots=True)
class Sending:
    """What was sent, as far as it is found again."""

    service_code: str
    description: str
    point: Point | None
    since: datetime
    until: datetime


def found_among(
    sent: Sending, shown: Iterable[ForeignRequest], *, taken: Collection[str]
) -> str | None:
    """The id under which another system took what was sent; None when it is not there.

    Args:
        taken: ids that are known to stand for other reports.
    """
    fitting = [
        one for one in shown if one.id is not None and one.id not in taken and _fits(sent, one)
    ]
    if not fitting:
        return None
    first = min(fitting, key=lambda one: (one.requested_at or sent.until, str(one.id)))
    return first.id


def _fits(sent: Sending, shown: ForeignRequest) -> bool:
    if shown.requested_at is not None and not (
        sent.since - CLOCK_SLACK <= shown.requested_at <= sent.until + CLOCK_SLACK
    ):
        return False
    if shown.service_code is not None and shown.service_code != sent.service_code:
        return False
    gap_m = distance_m(sent.point, shown.point) if sent.point and shown.point else None
    ours, theirs = fold(sent.description), fold(shown.description or "")
    if not theirs:
        # One that keeps words to itself is known by its service and its very place.
        return shown.service_code is not None and gap_m is not None and gap_m <= SAME_SPOT_M
    if not _same_words(ours, theirs):
        return False
    if gap_m is None:
        return len(ours) >= _TELLING or shown.requested_at is not None
    return gap_m <= SAME_PLACE_M


def _same_words(ours: str, theirs: str) -> bool:
    return (
        ours == theirs
        or (len(theirs) >= _CUT and ours.startswith(theirs))
        or (len(ours) >= _TELLING and ours in theirs)
    )


# -- what comes back ------------------------------------------------------------------------------


class Because(enum.StrEnum):
    """Why a status of another system changes something here, or nothing."""

    NEWS = "news"
    SAME = "same"
    OLDER = "older"
    MISSING = "missing"
    UNKNOWN = "unknown"
    NOT_THEIRS = "not_theirs"
    DUPLICATE_THERE = "duplicate_there"
    NO_WAY = "no_way"


@dataclass(frozen=True, slots=True)
class Ours:
    """How a report stands here.

    Attributes:
        changed_at: when it last moved by anybody's hand but that other system's.
        is_theirs: whether its team is still the one that lives there.
    """

    status: Status
    changed_at: datetime
    is_theirs: bool


@dataclass(frozen=True, slots=True)
class Theirs:
    """How it stands there: their word, and since when if they say so."""

    status: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Known:
    """What we knew of it there: the word last seen, their time of it, and when we looked."""

    status: str | None
    at: datetime | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a report is to move; None with the reason why it stays."""

    to: Status | None
    because: Because


#: Words that say no more than "open": of a report that is open they are no news.
_OPEN = frozenset(
    {"open", "opened", "new", "received", "submitted", "registered", "created", "confirmed"}
)
_DUPLICATE = frozenset({"duplicate", "duplicated"})


#: Two machines whose clocks are kept differ by less. A time that lies farther ahead of ours is a
#: broken clock's: believed, it would outdo every later one.
TRUSTED_AHEAD = timedelta(minutes=2)


def believed(at: datetime | None, now: datetime) -> datetime | None:
    """A time that another system says; None, as if it said none, for one that cannot be yet."""
    return None if at is None or at > now + TRUSTED_AHEAD else at


def judge(
    ours: Ours, theirs: Theirs, known: Known, meanings: Mapping[str, str] | None = None
) -> Verdict:
    """What their status means for the report: only what is newer than our last change moves it.

    A time that they do not say lies after our last look, if their word has changed since.

    Args:
        meanings: the endpoint's own words → ours, from the city folder.
    """
    word = _plain(theirs.status or "")
    if not word:
        return Verdict(None, Because.MISSING)
    if not ours.is_theirs:
        return Verdict(None, Because.NOT_THEIRS)
    own = {_plain(key): value for key, value in (meanings or {}).items()}.get(word)
    meant = Status(own) if own else (Status.TRIAGED if word in _OPEN else status_meant(word))
    if meant is Status.DUPLICATE or (own is None and word in _DUPLICATE):
        is_new = word != _plain(known.status or "")
        return Verdict(None, Because.DUPLICATE_THERE if is_new else Because.SAME)
    if meant is None:
        return Verdict(None, Because.UNKNOWN)
    to = _destination(ours.status, meant)
    if to is None:
        return Verdict(None, Because.SAME)
    at = theirs.at
    if word == _plain(known.status or "") and (
        # Open before and open now: whatever moved their clock, it was not the status.
        meant.is_open or at is None or (known.at is not None and at <= known.at)
    ):
        return Verdict(None, Because.SAME)
    if at is None:
        at = known.seen_at
    # They speak in whole seconds: within our own second nobody can tell who was first.
    if at <= ours.changed_at.replace(microsecond=0) or (known.at is not None and at < known.at):
        return Verdict(None, Because.OLDER)
    if ours.status is Status.DUPLICATE or (ours.status, to) in _NO_WAY:
        return Verdict(None, Because.NO_WAY)
    return Verdict(to, Because.NEWS)


#: What is over by another road is not moved across by another system.
_NO_WAY = frozenset(
    {
        (Status.REJECTED, Status.RESOLVED),
        (Status.RESOLVED, Status.REJECTED),
        (Status.CLOSED, Status.REJECTED),
    }
)


def disagrees(ours: Ours, theirs: Theirs, meanings: Mapping[str, str] | None = None) -> bool:
    """Whether it is over there and open here: Open311 has no way to tell them."""
    word = _plain(theirs.status or "")
    own = {_plain(key): value for key, value in (meanings or {}).items()}.get(word)
    meant = Status(own) if own else (None if word in _OPEN else status_meant(word))
    return ours.is_theirs and ours.status.is_open and meant is not None and not meant.is_open


def _destination(before: Status, meant: Status) -> Status | None:
    """Where a report goes that they say is so; None when it stands there already."""
    if meant is Status.CLOSED:
        # Only time and the reporter close here; their work is done.
        meant = Status.RESOLVED
    if not meant.is_open:
        if meant is Status.RESOLVED and before in (Status.RESOLVED, Status.CLOSED):
            return None
        return None if meant is before else meant
    if not before.is_open and before is not Status.DUPLICATE:
        return Status.REOPENED
    if meant in (Status.RECEIVED, Status.TRIAGED, Status.REOPENED) or meant is before:
        return None
    return meant


def _plain(word: str) -> str:
    return re.sub(r"[\W_]+", "_", word.strip().lower()).strip("_")
