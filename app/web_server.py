"""Settings of gunicorn that its command line does not take (`--config=python:app.web_server`)."""

from __future__ import annotations

import gc


def pre_fork(_server: object, _worker: object) -> None:
    """Keep what the master loaded shared with its workers: the collector would write to it."""
    gc.collect()
    gc.freeze()
