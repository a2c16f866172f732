"""How reactions run: once in effect, one by one when one of them is poisoned."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta

import psycopg
import pytest
import sqlalchemy as sa
import structlog
from celery.exceptions import SoftTimeLimitExceeded
from flask import Flask
from sqlalchemy.orm import Session

from core import outbox
from core.clock import utc_now
from core.db import transaction
from core.models import DeadLetter, OutboxEvent
from core.outbox import CATALOGUE, MAX_ATTEMPTS, Event, Happening
from reports import events
from tests.factories import stored
from workers import reacting
from workers.queues import BATCH_OF, QUEUE_OF, QUEUES, REACTIONS
from workers.reacting import Work, each_alone, in_transaction, outside


def emitted(session: Session, count: int) -> list[int]:
    """Ids of so many events that wait for one reaction."""
    outbox.emit_many(session, events.LOCATED, [Happening(None, 1, {"n": n}) for n in range(count)])
    claimed = outbox.claim_pending(session, {"report.located": ["try"]}, now=utc_now(), limit=1000)
    session.commit()
    return [event_id for event_id, _, _ in claimed]


def test_every_event_has_its_reactions_and_every_reaction_its_queue(app: Flask) -> None:
    assert set(REACTIONS) == set(CATALOGUE)
    used = {reaction for reactions in REACTIONS.values() for reaction in reactions}
    assert used == set(QUEUE_OF) == set(BATCH_OF)
    assert set(QUEUE_OF.values()) <= set(QUEUES)


def test_an_event_that_comes_twice_is_worked_on_once(app: Flask, session: Session) -> None:
    ids = emitted(session, 3)
    seen: list[int] = []

    def handle(_session: Session, taken: Sequence[Event]) -> dict[str, int]:
        seen.extend(event.id for event in taken)
        return {}

    with app.app_context():
        in_transaction("try", ids, handle)
        in_transaction("try", ids, handle)
    assert seen == ids
    assert all(event.done_at is not None for event in stored(session, OutboxEvent))


def test_a_poisoned_event_holds_up_nobody_and_ends_as_a_dead_letter(
    app: Flask, session: Session
) -> None:
    ids = emitted(session, 9)
    poisoned = ids[4]
    done: list[int] = []

    def handle(_session: Session, taken: Sequence[Event]) -> dict[str, int]:
        if poisoned in {event.id for event in taken}:
            raise ValueError("the words of a citizen, which no log may keep")
        done.extend(event.id for event in taken)
        return {}

    with app.app_context():
        in_transaction("try", ids, handle)
        assert sorted(done) == [event_id for event_id in ids if event_id != poisoned]
        for _ in range(MAX_ATTEMPTS - 1):
            assert stored(session, DeadLetter) == []
            in_transaction("try", [poisoned], handle)
    [letter] = stored(session, DeadLetter)
    assert (letter.event_id, letter.reaction) == (poisoned, "try")
    assert "citizen" not in letter.error
    assert letter.error.startswith("ValueError at ")
    assert all(event.done_at is not None for event in stored(session, OutboxEvent))

    assert outbox.retry_dead(session, None, now=utc_now()) == 1
    session.commit()
    assert outbox.claim_pending(session, {"report.located": ["try"]}, now=utc_now(), limit=5) == [
        (poisoned, "report.located", ["try"])
    ]


def test_a_deadlock_is_nobodys_fault(
    app: Flask, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reacting, "_PATIENCE_S", (0.0, 0.0))
    ids = emitted(session, 2)
    tries = []

    def handle(_session: Session, taken: Sequence[Event]) -> dict[str, int]:
        tries.append(len(taken))
        if len(tries) < 3:
            raise sa.exc.OperationalError("", {}, psycopg.errors.DeadlockDetected())
        return {}

    with app.app_context():
        in_transaction("try", ids, handle)
    assert tries == [2, 2, 2]
    assert [event.attempts for event in stored(session, OutboxEvent)] == [0, 0]


def test_work_outside_runs_without_a_lock_and_counts_before_it_begins(
    app: Flask, session: Session
) -> None:
    [event_id] = emitted(session, 1)
    attempts = []

    def work(_taken: Sequence[Event]) -> Work:
        attempts.append(stored(session, OutboxEvent)[0].attempts)
        if len(attempts) == 1:
            raise OSError("the worker died")
        return Work(record=lambda _session: {"sent": 1})

    with app.app_context():
        outside("try", [event_id], work)
        assert stored(session, OutboxEvent)[0].done_at is None
        outside("try", [event_id], work)
        outside("try", [event_id], work)
    assert attempts == [1, 2]
    assert stored(session, OutboxEvent)[0].done_at is not None


@pytest.mark.timeout(60)
def test_two_reactions_to_one_event_wait_for_each_other_and_both_run(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        outbox.emit_many(session, events.SUBMITTED, [Happening(None, 1) for _ in range(5)])
        claimed = outbox.claim_pending(
            session, {"report.submitted": ["one", "two"]}, now=utc_now(), limit=10
        )
    ids = [event_id for event_id, _, _ in claimed]
    ran: list[tuple[str, int]] = []
    inside = threading.Event()

    def run(reaction: str) -> None:
        def handle(_session: Session, taken: Sequence[Event]) -> dict[str, int]:
            inside.set()
            time.sleep(0.3)
            ran.append((reaction, len(taken)))
            return {}

        with committed_db.app_context():
            in_transaction(reaction, ids, handle)

    first = threading.Thread(target=run, args=("one",))
    first.start()
    inside.wait()
    run("two")
    first.join()
    assert sorted(ran) == [("one", 5), ("two", 5)]
    with committed_db.app_context(), transaction() as session:
        left = sa.select(sa.func.count()).where(OutboxEvent.done_at.is_(None))
        assert session.scalar(left) == 0


def test_what_stalls_is_found_and_what_runs_is_not(session: Session) -> None:
    ids = emitted(session, 2)
    now = utc_now()
    assert outbox.stalled(session, relayed_before=now - timedelta(seconds=30), limit=5) == []
    assert outbox.stalled(session, relayed_before=now + timedelta(seconds=1), limit=5) == ids


def test_one_that_fails_alone_stops_no_other_and_is_named_without_its_words() -> None:
    def work(number: int) -> int:
        if number == 2:
            raise ValueError("somebody@ville.example")
        return number * 10

    with structlog.testing.capture_logs() as lines:
        assert each_alone("cities.failed", [1, 2, 3], work, named=str) == [10, None, 30]
    [line] = lines
    assert (line["event"], line["subject"], line["is_transient"]) == ("cities.failed", "2", False)
    assert line["error"].startswith("ValueError at ")
    assert "ville.example" not in str(line)


def test_when_there_is_no_time_left_the_others_are_not_begun() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        raise SoftTimeLimitExceeded

    with pytest.raises(SoftTimeLimitExceeded):
        each_alone("cities.failed", [1, 2], work)
    assert begun == [1]
