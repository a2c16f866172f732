"""Alembic, for `flask db …` and for those who build a database in code.

Apart from `create_app`, because the web and the workers never migrate, and alembic would take
twelve megabytes of each.
"""

from __future__ import annotations

from flask import Flask
from flask_migrate import Migrate

from app.revisions import MIGRATIONS
from core.db import db


def install(app: Flask) -> None:
    """Let `flask_migrate` work on this application."""
    Migrate(app, db, directory=str(MIGRATIONS))
