"""`python -m app.beating`: the clock, with the settings in force and without tasks."""

from __future__ import annotations

import sys

from app.config import SettingError, Settings
from app.embedded import layout
from core import logging
from workers.celery_app import new_celery
from workers.schedule import beat_schedule


def main() -> int:
    """Tick until told to stop; the exit status."""
    try:
        settings = Settings.load()
    except SettingError as error:
        sys.stderr.write(f"Riverain cannot run: {error}\n")
        return 1
    logging.configure(settings.log_level)
    redis_url = settings.redis_url or layout.redis_url(settings.data_dir)

    celery = new_celery(layout.broker_url(redis_url), redis_url)
    celery.conf.update(
        beat_schedule=beat_schedule(),
        # In memory: every job is an interval and asks the database what is due, so nothing is lost
        # with the clock's own memory, and no file is left behind.
        beat_scheduler="celery.beat:Scheduler",
        beat_max_loop_interval=5,
    )
    celery.Beat(loglevel="WARNING", quiet=True).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
