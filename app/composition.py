"""Puts the whole application together; `app.create_app` is its only caller.

`compose` reads from top to bottom: foundation, API, logs and metrics, features, pages, headers,
commands.
"""

from __future__ import annotations

from flask import Flask

from accounts import access
from app import access_log, foundation, headers, health, metrics
from app.commands import register_commands
from app.config import Settings
from app.features import register_features, register_pages
from core import api


def compose(settings: Settings | None = None) -> Flask:
    """A Riverain application with these settings; by default those of the environment."""
    app = foundation.lay(settings)
    json_api = api.install(app)
    access_log.install(app)
    metrics.install(app)
    health.install(app)
    register_features(app, json_api)
    register_pages(app, json_api)
    headers.install(app)
    register_commands(app)
    access.check_routes(app)
    return app
