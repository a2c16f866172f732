"""Entry point: `gunicorn wsgi:app`, `celery -A wsgi:celery`, `flask --app wsgi`.

Each is made when it is asked for: the web has no use for Celery, nor the workers for pages.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "app":
        made: Any = _app()
    elif name == "celery":
        made = _celery()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = made
    return made


def _app() -> Any:
    from app import create_app
    from app.config import SettingError

    is_command = os.environ.get("FLASK_RUN_FROM_CLI") == "true"
    try:
        application = create_app()
    except SettingError as error:
        if not is_command:
            raise
        # Flask would print where in the code it was raised, which helps nobody at a terminal.
        raise SystemExit(f"Error: {error}") from None
    if is_command:
        from app import migrating

        migrating.install(application)
    return application


def _celery() -> Any:
    project = str(Path(__file__).resolve().parent)
    if project not in sys.path:
        # The script `celery` looks there only while it imports this module, which is too early.
        sys.path.insert(0, project)

    from app.working import application

    return application()
