"""A worker process of its own, with a connection of its own, that triages what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.clock import utc_now
from reports.triage import triage


def work(url: str, ids: Sequence[UUID], start: Barrier) -> None:
    """Triage each of these reports in a transaction of its own, all workers at once."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        connection.rollback()
        start.wait(60)
        for report_id in ids:
            with Session(connection) as session:
                triage(session, [report_id], now=utc_now())
                session.commit()
    engine.dispose()
