"""The relay: from the outbox to the broker, and back when the broker is away."""

from __future__ import annotations

import importlib
import json
import threading
import time

import pytest
import redis
import sqlalchemy as sa
from celery.local import Proxy
from flask import Flask
from sqlalchemy.orm import Session

from core import outbox
from core.clock import utc_now
from core.db import transaction
from core.models import OutboxEvent
from core.outbox import EventName, Happening
from notifications.events import DELIVERY_QUEUED
from reports import events
from tests.factories import stored
from workers import relay as relaying
from workers import sweeper
from workers.celery_app import TASK_MODULES, new_celery
from workers.heartbeat import HEARTBEAT_KEY, beat
from workers.relay import Relay
from workers.schedule import JOBS


@pytest.fixture
def relay(app: Flask, valkey: redis.Redis) -> Relay:
    celery = new_celery(app.config["BROKER_URL"], app.config["REDIS_URL"])
    return Relay(app, celery, valkey)


def emit(session: Session, name: EventName, count: int = 1, **data: object) -> None:
    outbox.emit_many(session, name, [Happening(None, 1, data) for _ in range(count)])
    session.commit()


def messages(valkey: redis.Redis, queue: str) -> list[tuple[str, list[int]]]:
    """Task and event ids of each message that waits in a queue."""
    found = []
    for raw in valkey.lrange(queue, 0, -1):
        headers = json.loads(raw)["headers"]
        found.append((headers["task"], json.loads(headers["argsrepr"])[0]))
    return found


def test_events_become_one_message_for_each_reaction(
    relay: Relay, session: Session, valkey: redis.Redis
) -> None:
    emit(session, events.SUBMITTED, 3)
    done = relay.round()
    assert (done.events, done.messages) == (3, 2)
    ids = [event.id for event in stored(session, OutboxEvent)]
    found = messages(valkey, "pipeline")
    assert sorted(found) == [("pipeline.announce", ids), ("pipeline.locate", ids)]
    assert [valkey.llen(queue) for queue in ("delivery", "media", "house")] == [0, 0, 0]
    assert relay.round().events == 0


def test_a_full_queue_holds_back_what_would_wait_there_and_nothing_else(
    relay: Relay, session: Session, valkey: redis.Redis
) -> None:
    for _ in range(relaying.ROOM):
        valkey.lpush("delivery", "x")
    emit(session, DELIVERY_QUEUED, delivery_ids=[])
    emit(session, events.LOCATED)
    assert relay.round().events == 1
    pending = [event.name for event in stored(session, OutboxEvent) if event.relayed_at is None]
    assert pending == ["delivery.queued"]
    valkey.delete("delivery")
    assert relay.round().events == 1
    assert valkey.llen("delivery") == 1


def test_with_the_broker_away_events_stay_and_go_out_when_it_is_back(
    app: Flask, session: Session, valkey: redis.Redis
) -> None:
    emit(session, events.LOCATED, 2)
    nowhere = "redis://127.0.0.1:1/0"
    # The broker answers when it is asked for room, and is away when the message is sent.
    halfway = Relay(app, new_celery(nowhere, nowhere), valkey)
    with pytest.raises(Exception, match=r"refused|Error"):
        halfway.round()
    assert [event.relayed_at for event in stored(session, OutboxEvent)] == [None, None]
    with redis.Redis.from_url(nowhere) as client, pytest.raises(redis.ConnectionError):
        Relay(app, new_celery(nowhere, nowhere), client).round()
    assert [event.relayed_at for event in stored(session, OutboxEvent)] == [None, None]
    back = Relay(app, new_celery(app.config["BROKER_URL"], app.config["REDIS_URL"]), valkey)
    assert back.round().events == 2


@pytest.mark.timeout(60)
def test_it_lives_on_while_the_broker_is_away_and_ends_when_told(
    committed_db: Flask, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "FIRST_WAIT_S", 0.02)
    app = committed_db
    celery = new_celery(app.config["BROKER_URL"], app.config["REDIS_URL"])
    relay = Relay(app, celery, valkey)
    with app.app_context(), transaction() as session:
        outbox.emit(session, events.LOCATED, None)
    answers, room = [], relay._room

    def away_at_first() -> object:
        answers.append(1)
        if len(answers) < 4:
            raise redis.ConnectionError
        return room()

    monkeypatch.setattr(relay, "_room", away_at_first)
    thread = threading.Thread(target=relay.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not valkey.llen("pipeline") and time.monotonic() < deadline:
        time.sleep(0.02)
    relay.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert valkey.llen("pipeline") == 1


def test_the_sweeper_gives_back_what_was_lost_and_waits_longer_when_there_is_a_queue(
    app: Flask, session: Session, valkey: redis.Redis, relay: Relay
) -> None:
    emit(session, events.LOCATED)
    relay.round()
    lost_at = utc_now() - sweeper.LOST_AFTER * 2
    session.execute(sa.update(OutboxEvent).values(relayed_at=lost_at))
    session.commit()
    with app.app_context():
        # The message still waits: it is not lost.
        sweeper.sweep_events.run()
        assert stored(session, OutboxEvent)[0].relayed_at is not None
        valkey.flushall()
        sweeper.sweep_events.run()
    assert stored(session, OutboxEvent)[0].relayed_at is None
    assert relay.round().messages == 1


def test_done_events_are_forgotten_after_a_week(app: Flask, session: Session) -> None:
    emit(session, events.LOCATED, 3)
    old, fresh, open_ = [event.id for event in stored(session, OutboxEvent)]
    for event_id, at in ((old, utc_now() - 2 * sweeper.KEPT), (fresh, utc_now())):
        session.execute(sa.update(OutboxEvent).where(OutboxEvent.id == event_id).values(done_at=at))
    session.commit()
    with app.app_context():
        sweeper.clean_outbox.run()
    assert [event.id for event in stored(session, OutboxEvent)] == [fresh, open_]


def test_every_job_of_the_clock_is_a_task_and_runs_on_an_empty_house(
    app: Flask, session: Session, valkey: redis.Redis
) -> None:
    tasks = {
        value.name: value
        for module in map(importlib.import_module, TASK_MODULES)
        for value in vars(module).values()
        if issubclass(type(value), Proxy)
    }
    of_the_clock = {name for name in tasks if not name.startswith("pipeline.")}
    assert {job.task for job in JOBS} == of_the_clock
    with app.app_context():
        for job in JOBS:
            tasks[job.task].run()
            tasks[job.task].run()


def test_a_worker_that_went_without_a_word_is_forgotten(valkey: redis.Redis) -> None:
    beat(valkey, "gone", 1000.0)
    beat(valkey, "here", 5000.0)
    assert valkey.hgetall(HEARTBEAT_KEY) == {b"here": b"5000.0"}


def test_health_looks_where_the_workers_write() -> None:
    from app import health

    assert health.HEARTBEAT_KEY == HEARTBEAT_KEY
