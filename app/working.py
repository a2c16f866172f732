"""`python -m app.working worker` and `… courier`: Celery's workers, without its command line.

The command line would load a terminal's toolkit into each of them, 11 MB. What it sets is set here:
which queues each one takes, and how it works on them.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable
from dataclasses import dataclass

from celery import Celery
from celery.utils.nodenames import default_nodename, host_format

from app import foundation
from app.config import SettingError, Settings
from workers.celery_app import celery_of
from workers.queues import (
    DELIVERY_QUEUE,
    HOUSE_QUEUE,
    MEDIA_QUEUE,
    PIPELINE_QUEUE,
    TRIPS_QUEUE,
)


@dataclass(frozen=True, slots=True)
class Role:
    """What one of the workers takes, and on what.

    Attributes:
        pool: Celery's name of it.
        concurrency: how many tasks at a time; None: the setting `PIPELINE_WORKERS`.
    """

    pool: str
    queues: tuple[str, ...]
    concurrency: int | None = None


ROLES = {
    "worker": Role("prefork", (PIPELINE_QUEUE, HOUSE_QUEUE, TRIPS_QUEUE)),
    # Apart from the pipeline, because it waits for mail servers, gateways and decoders.
    "courier": Role("threads", (DELIVERY_QUEUE, MEDIA_QUEUE), concurrency=4),
}


def application(settings: Settings | None = None) -> Celery:
    """The Celery application with its tasks, as every worker has it.

    Where children are not forked but started anew (macOS), they are handed the application as what
    it takes to make it: this function. What it is made of cannot be sent.
    """
    celery = celery_of(foundation.lay(settings))
    copyreg.pickle(Celery, _recipe)
    return celery


def _recipe(_celery: Celery) -> tuple[Callable[[], Celery], tuple[()]]:
    return application, ()


def main(name: str) -> int:
    """Work until told to stop; the exit status."""
    role = ROLES[name]
    # By these Celery starts the program again on SIGHUP; as a script it would not find its modules.
    sys.argv = ["-m", "app.working", name]
    try:
        settings = Settings.load()
    except SettingError as error:
        sys.stderr.write(f"Riverain cannot run: {error}\n")
        return 1
    worker = application(settings).Worker(
        hostname=host_format(default_nodename(f"{name}@%h")),
        pool_cls=role.pool,
        concurrency=role.concurrency or settings.pipeline_workers,
        queues=",".join(role.queues),
        without_gossip=True,
        without_mingle=True,
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    if sys.argv[1:] not in [[role] for role in ROLES]:
        sys.exit(f"Say which worker to start: one of {', '.join(ROLES)}.")
    sys.exit(main(sys.argv[1]))
