"""Settings of gunicorn that cannot be said on its command line (`--config=python:app.web_server`)."""

from __future__ import annotations

import gc


def pre_fork(_server: object, _worker: object) -> None:
    """Keep what the master loaded shared with its workers: the collector would write to it."""
    gc.collect()
    gc.freeze()
