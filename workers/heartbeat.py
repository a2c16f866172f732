"""A worker's sign of life, which `/readyz` looks for.

It is written by the worker's main process, which only waits and hands out, so it goes on while
tasks run; it stops with the broker's connection and begins again with it.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import redis
from celery import bootsteps

#: A hash: one field for each worker (`host:pid queue,queue`), with the second (Unix time) of its
#: last sign. Which queues it takes is said because a courier alone does not route a report.
HEARTBEAT_KEY = "riverain:heartbeat"

EVERY_S = 5.0

#: A worker that was silent for so long is not coming back under that name.
FORGOTTEN_AFTER_S = 600.0


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """A step of Celery's consumer: started with each connection, stopped with it."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None
        self._client: redis.Redis | None = None
        queues = sorted(consumer.app.amqp.queues.consume_from)
        self._name = f"{socket.gethostname()}:{os.getpid()} {','.join(queues)}"

    def start(self, consumer: Any) -> None:
        """Beat now, and then regularly."""
        self._client = redis.Redis.from_url(
            consumer.app.conf.riverain_redis_url, socket_connect_timeout=1, socket_timeout=1
        )
        self._beat()
        self._timer = consumer.timer.call_repeatedly(EVERY_S, self._beat)

    def stop(self, _consumer: Any) -> None:
        """No more signs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._client is not None:
            self._client.close()
            self._client = None

    def shutdown(self, consumer: Any) -> None:
        """The worker goes in good order and takes its field with it."""
        client = self._client or redis.Redis.from_url(
            consumer.app.conf.riverain_redis_url, socket_connect_timeout=1, socket_timeout=1
        )
        try:
            client.hdel(HEARTBEAT_KEY, self._name)
        except redis.RedisError:
            # Nobody can read the hash either.
            pass
        finally:
            self.stop(consumer)

    def _beat(self) -> None:
        if self._client is None:
            return
        try:
            beat(self._client, self._name, time.time())
        except redis.RedisError:
            # The consumer notices the same and starts over; a missing sign is the message.
            return


def beat(client: redis.Redis, name: str, now: float) -> None:
    """Write one sign of life and drop those of workers that went without a word."""
    client.hset(HEARTBEAT_KEY, name, str(now))
    signs: Any = client.hgetall(HEARTBEAT_KEY)
    gone = [field for field, value in signs.items() if now - float(value) > FORGOTTEN_AFTER_S]
    if gone:
        client.hdel(HEARTBEAT_KEY, *gone)
