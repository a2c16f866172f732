"""The Celery application, made from the Flask application. It publishes nothing by itself.

Only the relay publishes. Tasks acknowledge early: a message that is lost with its worker is
relayed again by the sweeper, because the database, not the broker, knows what is done.
"""

from __future__ import annotations

from celery import Celery, Task
from celery.signals import setup_logging
from flask import Flask

#: A batch that runs longer is stopped; its events are relayed again.
TIME_LIMIT_S = 120

#: Above the time limit, so that Redis does not hand out again what is still being worked on.
VISIBILITY_TIMEOUT_S = 600


def celery_of(app: Flask) -> Celery:
    """The Celery application whose tasks run inside `app`'s context."""

    class ContextTask(Task):  # type: ignore[misc]
        """A task with the application's context around it, and so its own database session."""

        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery = Celery("riverain", task_cls=ContextTask)
    celery.conf.update(
        broker_url=app.config["BROKER_URL"],
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
        task_default_queue="pipeline",
        task_time_limit=TIME_LIMIT_S,
        task_soft_time_limit=TIME_LIMIT_S - 20,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        timezone="UTC",
        enable_utc=True,
        beat_schedule={},
    )
    celery.set_default()
    app.extensions["celery"] = celery
    return celery


@setup_logging.connect
def _keep_our_logging(**_kwargs: object) -> None:
    """Celery leaves logging alone when somebody listens to this signal; create_app has set it."""
