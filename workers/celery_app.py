"""The Celery application, made from the Flask application.

Relay and beat publish; nobody else does. Tasks acknowledge early: a message that is lost with its
worker is relayed again by the sweeper, because the database, not the broker, knows what is done.
"""

from __future__ import annotations

import gc
import importlib
from typing import TYPE_CHECKING, Any

from celery import Celery, Task
from celery.signals import (
    setup_logging,
    worker_before_create_process,
    worker_process_init,
)
from kombu import Exchange, Queue

from workers.heartbeat import Heartbeat
from workers.queues import PIPELINE_QUEUE, QUEUES

if TYPE_CHECKING:
    from flask import Flask

#: A batch that runs longer is stopped; its events are relayed again.
TIME_LIMIT_S = 120

#: Above the time limit, so that Redis does not hand out again what is still being worked on.
VISIBILITY_TIMEOUT_S = 600

#: Modules with tasks; only workers import them.
TASK_MODULES = (
    *("workers.pipeline", "workers.sweeper", "workers.volunteering"),
    *("workers.roads", "workers.trips", "workers.campaigning"),
)

#: What the code loads where it is used, so that programs without that use do not.
NEEDED_BY_EVERY_REPORT = ("geo.areas", "rapidfuzz.fuzz")


def celery_of(app: Flask) -> Celery:
    """The Celery application whose tasks run inside `app`'s context."""

    class ContextTask(Task):  # type: ignore[misc]
        """A task with the application's context around it, and so its own database session."""

        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery = new_celery(app.config["BROKER_URL"], app.config["REDIS_URL"], task_cls=ContextTask)
    celery.conf.imports = TASK_MODULES
    celery.set_default()
    app.extensions["celery"] = celery

    @worker_process_init.connect(weak=False)
    def _own_connections(**_kwargs: object) -> None:
        """A forked process must not talk over the connections of its parent."""
        from core.db import db

        with app.app_context():
            db.engine.dispose(close=False)

    return celery


def new_celery(broker_url: str, redis_url: str, *, task_cls: Any = None) -> Celery:
    """A Celery application with our settings and no tasks: what relay and beat need.

    Args:
        broker_url: as kombu spells it.
        redis_url: the same server, as redis-py spells it.
    """
    celery = Celery("riverain", task_cls=task_cls)
    celery.conf.update(
        broker_url=broker_url,
        riverain_redis_url=redis_url,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_connect_timeout": 1,
            "socket_timeout": 10,
            "max_retries": 0,
        },
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue=PIPELINE_QUEUE,
        # An exchange for each: bound to one, every queue would get every message.
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        task_time_limit=TIME_LIMIT_S,
        task_soft_time_limit=TIME_LIMIT_S - 20,
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        timezone="UTC",
        enable_utc=True,
    )
    celery.steps["consumer"].add(Heartbeat)
    return celery


@setup_logging.connect
def _keep_our_logging(**_kwargs: object) -> None:
    """Celery leaves logging alone when somebody listens to this signal; create_app has set it."""


@worker_before_create_process.connect
def _share_memory(**_kwargs: object) -> None:
    """What is loaded before the fork stays shared: the collector would write to all of it.

    Two children, idle: 104 MB of their own before, 48 MB after. What every report needs is loaded
    now, so that the first one need not wait for it; the courier, which has threads, needs none.
    """
    for name in NEEDED_BY_EVERY_REPORT:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
