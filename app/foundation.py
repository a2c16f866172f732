"""The part of the application that every process needs: settings, logs, storage, database.

Workers run on this alone; the web adds routes, pages and commands in `app.composition`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin

from app.config import Settings
from app.embedded import layout
from assets.facts import Facts
from assets.owning import Owners
from core import logging
from core.db import SINGLE_WRITES, db, refuse_dead_connections, single_writes
from reports.storage import open_storage


def lay(settings: Settings | None = None) -> Flask:
    """An application with settings, logs, storage and database, and no route yet."""
    settings = settings or Settings.load()
    logging.configure(settings.log_level)
    redis_url = settings.redis_url or layout.redis_url(settings.data_dir)

    app = Application(__name__, static_folder=None)
    app.session_interface = NoSessions()
    app.extensions["settings"] = settings
    database_url = settings.database_url or layout.database_url(settings.data_dir)
    engine_options = _engine_options(settings)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SQLALCHEMY_DATABASE_URI=database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options,
        SQLALCHEMY_BINDS={SINGLE_WRITES: single_writes(database_url, engine_options)},
        REDIS_URL=redis_url,
        BASE_URL=settings.base_url,
        DEFAULT_JURISDICTION=settings.default_jurisdiction,
        BROKER_URL=layout.broker_url(redis_url),
        MAX_CONTENT_LENGTH=56 * 1024 * 1024,
        MAX_FORM_MEMORY_SIZE=1024 * 1024,
        MAX_FORM_PARTS=1000,
    )

    # Reports know no register of assets: what they ask of one is answered from here.
    app.extensions["asset_owners"] = Owners()
    app.extensions["asset_facts"] = Facts()
    app.extensions["storage"] = open_storage(settings.storage_url, settings.data_dir)
    db.init_app(app)
    with app.app_context():
        for engine in db.engines.values():
            refuse_dead_connections(engine)
    return app


class Application(Flask):
    """Flask without what a request here never uses, and would pay for."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: no view or hook is a coroutine, so none is asked, a dozen times."""
        return func


class NoSessions(SessionInterface):
    """Nothing is kept in a signed cookie, so no request needs to look for one."""

    def open_session(self, _app: Flask, _request: Request) -> SessionMixin:
        """An empty session that refuses to be written to."""
        return NullSession()

    def save_session(self, _app: Flask, _session: SessionMixin, _response: Response) -> None:
        """There is nothing to save."""


def _engine_options(settings: Settings) -> dict[str, object]:
    """A connection for every thread and one to spare; dead ones are found before use."""
    return {
        "pool_size": settings.web_threads,
        "max_overflow": 2,
        "pool_timeout": 5,
        # An error of the driver must not carry what somebody wrote into a log.
        "hide_parameters": True,
        "connect_args": {
            "connect_timeout": 5,
            "application_name": "riverain",
            "options": "-c timezone=utc -c lock_timeout=15s -c statement_timeout=60s"
            " -c idle_in_transaction_session_timeout=120s",
        },
    }
