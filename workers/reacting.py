"""How a reaction runs: exactly once for each event in effect, whatever comes in twice or dies.

`in_transaction` is for work that is the database's alone: events are locked, worked on as one set
and marked as done in one transaction. `outside` is for work that waits for somebody else's server:
nothing is open while it waits.

One event that cannot be worked on never holds up the others of its batch: the batch is halved
until it stands alone, and it alone counts a failure (`core.outbox.fail`). A database that is away,
or that chose us as the victim of a deadlock, is nobody's fault: the batch is tried again, and what
still fails then comes back by the sweeper without a count.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
import structlog
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy.orm import Session

from core import outbox
from core.clock import utc_now
from core.db import transaction
from core.outbox import Event

log = structlog.get_logger()

Thing = TypeVar("Thing")
Outcome = TypeVar("Outcome")

#: What came of a batch, in numbers, for its line in the log.
Counts = Mapping[str, int]

#: Waits before a batch is tried again after a fault of nobody's: a deadlock is over at once, a
#: restarted database within seconds. After that the sweeper takes over.
_PATIENCE_S = (0.05, 0.2, 1.0, 3.0)

#: SQLSTATE classes and codes of faults of nobody's (PostgreSQL, appendix A): connection, no
#: resources, an operator's intervention; serialization, deadlock, lock not available in time.
_TRANSIENT_CLASSES = ("08", "53", "57P")
_TRANSIENT_CODES = frozenset({"40001", "40P01", "55P03"})

#: Request ids of a batch that its log line names; the rest are found by event.
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Work:
    """What was done outside a transaction: how to record it, and what is left to do after."""

    record: Callable[[Session], Counts]
    afterwards: Callable[[], None] = lambda: None


def in_transaction(
    reaction: str,
    event_ids: Sequence[int],
    handle: Callable[[Session, Sequence[Event]], Counts],
) -> None:
    """Let `handle` work on those of the events that wait for `reaction`, all in one transaction."""

    def once(ids: Sequence[int]) -> None:
        with _batch(reaction) as line, transaction() as session:
            events = outbox.take(session, reaction, ids)
            line.of(events)
            if events:
                line.counts = handle(session, events)
                outbox.finish(session, reaction, [event.id for event in events], now=utc_now())

    _isolating(reaction, list(event_ids), once, counts_failures=True)


def outside(
    reaction: str, event_ids: Sequence[int], work: Callable[[Sequence[Event]], Work]
) -> None:
    """Let `work` do what waits for others, then record it and mark the events as done.

    An attempt is counted before it begins, so that an event whose work kills its worker does not
    kill workers for ever.
    """

    def once(ids: Sequence[int]) -> None:
        with _batch(reaction) as line:
            with transaction() as session:
                events = [
                    event
                    for event in outbox.take(session, reaction, ids)
                    if not outbox.fail(
                        session, reaction, event.id, "it never came back", now=utc_now()
                    )
                ]
            line.of(events)
            if not events:
                return
            done = work(events)
            with transaction() as session:
                outbox.take(session, reaction, [event.id for event in events])
                line.counts = done.record(session)
                outbox.finish(session, reaction, [event.id for event in events], now=utc_now())
            done.afterwards()

    _isolating(reaction, list(event_ids), once, counts_failures=False)


def is_transient(error: BaseException) -> bool:
    """Whether trying the same again may well succeed, because nobody's data is at fault."""
    if isinstance(error, sa.exc.TimeoutError):
        return True
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # No answer at all: the connection broke, or could not be made.
        return error.connection_invalidated or isinstance(
            error, sa.exc.OperationalError | sa.exc.InterfaceError
        )
    return state in _TRANSIENT_CODES or state.startswith(_TRANSIENT_CLASSES)


class _Line:
    """The log line of one batch, as it comes together."""

    def __init__(self) -> None:
        self.events = 0
        self.counts: Counts = {}

    def of(self, events: Sequence[Event]) -> None:
        """Name the requests that these events came from."""
        self.events = len(events)
        requests = list(dict.fromkeys(event.request_id for event in events if event.request_id))
        if len(requests) == 1:
            structlog.contextvars.bind_contextvars(request_id=requests[0])
        elif requests:
            structlog.contextvars.bind_contextvars(request_ids=requests[:_NAMED])


@contextmanager
def _batch(reaction: str) -> Iterator[_Line]:
    """Bind what every log line of a batch says, and write one at its end."""
    started = time.perf_counter()
    line = _Line()
    with structlog.contextvars.bound_contextvars(reaction=reaction):
        try:
            yield line
            if line.events:
                log.info(
                    "pipeline.batch",
                    events=line.events,
                    ms=round((time.perf_counter() - started) * 1000, 1),
                    **line.counts,
                )
        finally:
            structlog.contextvars.unbind_contextvars("request_id", "request_ids")


def _isolating(
    reaction: str,
    ids: list[int],
    once: Callable[[Sequence[int]], None],
    *,
    counts_failures: bool,
) -> None:
    """Run a batch; halve it when it fails, until the one that fails stands alone."""
    error = _patiently(once, ids)
    if error is None:
        return
    if is_transient(error):
        log.warning(
            "pipeline.given_up_for_now",
            reaction=reaction,
            events=len(ids),
            error=place_of(error),
        )
    elif len(ids) > 1:
        middle = len(ids) // 2
        _isolating(reaction, ids[:middle], once, counts_failures=counts_failures)
        _isolating(reaction, ids[middle:], once, counts_failures=counts_failures)
    else:
        log.error(
            "pipeline.failed",
            reaction=reaction,
            event_id=ids[0],
            error=place_of(error),
            # Without the error's own words: those of a database quote the row.
            stack="".join(traceback.format_tb(error.__traceback__)),
        )
        if counts_failures:
            with transaction() as session:
                if outbox.take(session, reaction, ids):
                    outbox.fail(session, reaction, ids[0], place_of(error), now=utc_now())


def _patiently(once: Callable[[Sequence[int]], None], ids: Sequence[int]) -> Exception | None:
    """Run a batch, again after faults of nobody's; the error it ends with, if any.

    Raises:
        SoftTimeLimitExceeded: there is no time to find out which event takes so long.
    """
    for wait_s in (*_PATIENCE_S, None):
        try:
            once(ids)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one event does, the others go on
            if wait_s is None or not is_transient(error):
                return error
            time.sleep(wait_s)
        else:
            return None
    return None


def each_alone(
    failing: str,
    things: Iterable[Thing],
    work: Callable[[Thing], Outcome],
    *,
    named: Callable[[Thing], str] | None = None,
) -> list[Outcome | None]:
    """What came of each; None of one that failed, which stops no other.

    Args:
        failing: the name of the line in the log that says so.
        named: what that line calls the thing.

    Raises:
        SoftTimeLimitExceeded: there is no time left for the others.
    """
    outcomes: list[Outcome | None] = []
    for thing in things:
        try:
            outcomes.append(work(thing))
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one does, the others go on
            name = {"subject": named(thing)} if named is not None else {}
            log.error(failing, error=place_of(error), is_transient=is_transient(error), **name)
            outcomes.append(None)
    return outcomes


def place_of(error: BaseException) -> str:
    """Class and place of an error, for a dead letter: never its text, which may quote a row."""
    cause = getattr(error, "orig", None) or error
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(cause).__name__
    return f"{type(cause).__name__} at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
