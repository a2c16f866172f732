"""Settings of gunicorn that its command line does not take (`--config=python:app.web_server`)."""

from __future__ import annotations

import gc
import sys
from typing import Any, TextIO, cast

from app.config import Settings
from core import logging


def pre_fork(_server: object, _worker: object) -> None:
    """Keep what the master loaded shared with its workers: the collector would write to it."""
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """Gather the lines about requests; here, because a thread does not outlive a fork."""
    settings: Settings = worker.wsgi.extensions["settings"]
    gathered = logging.Gathered(sys.stderr)
    logging.configure(settings.log_level, cast("TextIO", gathered))
