"""`celery -A app.beating:celery beat`: the clock, with the settings in force and without tasks."""

from __future__ import annotations

from app.config import Settings
from app.embedded import layout
from core import logging
from workers.celery_app import new_celery
from workers.schedule import beat_schedule

_settings = Settings.load()
logging.configure(_settings.log_level)
_redis_url = _settings.redis_url or layout.redis_url(_settings.data_dir)

celery = new_celery(layout.broker_url(_redis_url), _redis_url)
celery.conf.update(
    beat_schedule=beat_schedule(),
    # In memory: every job is an interval and asks the database what is due, so nothing is lost
    # with the clock's own memory, and no file is left behind.
    beat_scheduler="celery.beat:Scheduler",
    beat_max_loop_interval=5,
)
