"""The relay: takes pending events from the outbox and hands their ids to the broker.

The only way from a committed change to a task. It loops:

1. Ask the broker how much waits in each queue. What has no room stays in the database.
2. Claim pending events in a transaction of its own, and commit.
3. Publish them, grouped by reaction, some hundred ids to a message.
4. What cannot be published is given back at once. What is claimed and lost (the relay was killed,
   the broker forgot) is given back by the sweeper.

It polls (docs/adr/0002-the-relay-polls.md): a short query on a small partial index, at once again
after a full claim, soon after any, ten times a second when nothing happens. Several relays may
run: claims skip what another one holds.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import FrameType
from typing import TypeVar

import redis
import sqlalchemy as sa
import structlog
from celery import Celery
from flask import Flask
from kombu.exceptions import OperationalError

from core import outbox
from core.clock import utc_now
from core.db import db, reading, transaction
from workers.queues import BATCH_OF, QUEUE_OF, QUEUES, REACTIONS

log = structlog.get_logger()

#: Messages that may wait in a queue. Few, so that the broker can lose little and a message that
#: waits is not taken for lost; enough to keep every worker busy between two looks.
ROOM = 32

#: Events of one claim.
CLAIM = 400

#: How soon to look again: after nothing; after something, since one step leads to the next.
IDLE_S = 0.1
BUSY_S = 0.02

#: How many looks after the last find are soon.
BUSY_LOOKS = 25

#: In a flood, of so many events a look, the next look waits until a batch has come together: many
#: at once cost the workers, and so the web beside them, much less than a few at a time.
FLOOD, FLOOD_S = 10, 0.5

#: After a failure the wait doubles from the first to the second.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Round:
    """What one look did. `is_full`: there is probably more."""

    events: int = 0
    messages: int = 0
    is_full: bool = False


class Relay:
    """Looks and publishes; `run` does so until told to stop."""

    def __init__(self, app: Flask, celery: Celery, client: redis.Redis) -> None:
        self._app = app
        self._celery = celery
        self._redis = client
        self._stop = threading.Event()

    def run(self) -> None:
        """Relay until `stop`. A database or broker that is away is waited for."""
        wait_s, busy = 0.0, 0
        failures = 0
        while not self._stop.wait(wait_s):
            try:
                done = self.round()
            except (sa.exc.SQLAlchemyError, redis.RedisError, OperationalError, OSError) as error:
                failures += 1
                wait_s = min(FIRST_WAIT_S * 2 ** (failures - 1), LONGEST_WAIT_S)
                log.warning("relay.waiting", error=type(error).__name__, wait_s=wait_s)
                continue
            if failures:
                log.info("relay.back", failures=failures)
                failures = 0
            busy = BUSY_LOOKS if done.events else max(busy - 1, 0)
            wait_s = _wait_after(done, busy)
        log.info("relay.stopped")

    def stop(self) -> None:
        """End after the round in hand."""
        self._stop.set()

    def round(self) -> Round:
        """Look once and publish what is found."""
        if not self._is_anything_pending():
            return Round()
        room = self._room()
        leaving = [
            name
            for name, reactions in REACTIONS.items()
            if any(room[QUEUE_OF[reaction]] <= 0 for reaction in reactions)
        ]
        with self._app.app_context(), transaction() as session:
            claimed = outbox.claim_pending(
                session, REACTIONS, now=utc_now(), limit=CLAIM, leaving=leaving
            )
        if not claimed:
            return Round()
        left = {event_id for event_id, _, reactions in claimed if reactions}
        messages = 0
        try:
            # Reaction by reaction: two workers then seldom want the same events at a time.
            for reaction, event_ids in _by_reaction(claimed).items():
                for batch in _batches(event_ids, BATCH_OF[reaction]):
                    self._celery.send_task(
                        f"pipeline.{reaction}", args=[batch], queue=QUEUE_OF[reaction]
                    )
                    messages += 1
            left.clear()
        finally:
            if left:
                self._give_back(left)
        return Round(len(claimed), messages, is_full=len(claimed) == CLAIM)

    def _is_anything_pending(self) -> bool:
        with self._app.app_context(), reading() as session:
            return outbox.is_anything_pending(session)

    def _room(self) -> Mapping[str, int]:
        with self._redis.pipeline(transaction=False) as pipe:
            for queue in QUEUES:
                pipe.llen(queue)
            return {
                queue: ROOM - int(length)
                for queue, length in zip(QUEUES, pipe.execute(), strict=True)
            }

    def _give_back(self, event_ids: Iterable[int]) -> None:
        # Some may have been published: they run twice, which does no harm.
        with self._app.app_context(), transaction() as session:
            outbox.give_back(session, event_ids)


def run(database_url: str, broker_url: str, redis_url: str) -> None:
    """Relay between this database and this broker until SIGTERM or SIGINT."""
    from workers.celery_app import new_celery

    app = Flask("relay")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=database_url,
        SQLALCHEMY_ENGINE_OPTIONS={
            "pool_size": 1,
            "max_overflow": 0,
            "connect_args": {
                "connect_timeout": 5,
                "application_name": "riverain relay",
                "options": "-c timezone=utc -c lock_timeout=15s -c statement_timeout=60s"
                " -c idle_in_transaction_session_timeout=120s",
            },
        },
    )
    db.init_app(app)
    client = redis.Redis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=5)
    relay = Relay(app, new_celery(broker_url, redis_url), client)

    def stop(_number: int, _frame: FrameType | None) -> None:
        relay.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("relay.started")
    with client:
        relay.run()


def _wait_after(done: Round, busy: int) -> float:
    """How long until the next look, in seconds."""
    if done.is_full:
        return 0.0
    if done.events >= FLOOD:
        return FLOOD_S
    return BUSY_S if busy else IDLE_S


def _by_reaction(claimed: Iterable[tuple[int, str, list[str]]]) -> dict[str, list[int]]:
    """The ids for each reaction, in the order of the table of queues."""
    found: dict[str, list[int]] = {reaction: [] for reaction in QUEUE_OF}
    for event_id, _, reactions in claimed:
        for reaction in reactions:
            # A reaction of an earlier version that nobody knows any more waits for an operator.
            if reaction in found:
                found[reaction].append(event_id)
    return {reaction: ids for reaction, ids in found.items() if ids}


def _batches(ids: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(ids)
    while batch := list(islice(rest, size)):
        yield batch
