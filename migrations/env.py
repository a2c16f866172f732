"""Alembic's environment: one transaction under a lock timeout, on the application's engine."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context
from flask import current_app

from core.db import Base

#: A migration that cannot get its lock gives up instead of queueing every reader behind itself.
LOCK_TIMEOUT = "10s"


def run() -> None:
    """Run the migrations that were asked for."""
    engine = current_app.extensions["migrate"].db.engine
    with engine.connect() as connection:
        connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(sa.text("SET statement_timeout = 0"))
        # Two machines that start at once migrate one after the other.
        connection.execute(sa.text("SELECT pg_advisory_lock(7315401)"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            compare_type=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()


if not context.is_offline_mode():
    run()
else:
    raise SystemExit("Riverain's migrations need a database to look at; run them on line.")
