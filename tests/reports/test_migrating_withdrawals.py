"""Migration 0030 over stored reports: who took theirs back, and who has told of it again since."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy.orm import Session

from app import migrating
from core.clock import utc_now
from core.db import db
from reports.models import HistoryEntry, ServiceRequest
from tests.conftest import new_database
from tests.factories import new_follower, new_jurisdiction, new_report, new_service

TAKEN = ("withdrawn", "reporter", None)
CLOSED = ("status", "reporter", "closed")
NOT_FIXED = ("status", "reporter", "reopened")
REOPENED = ("status", "staff", "reopened")
REPAIRED = ("status", "staff", "closed")
AFTER_ITS_DAYS = ("status", "system", "closed")

#: What the history says, a day apart each, and on which of these days it was taken back for good.
STORIES: Mapping[str, tuple[list[tuple[str, str, str | None]], int | None]] = {
    "that closed it": ([CLOSED], 0),
    "others told of it": ([TAKEN], 0),
    "the one, then the other": ([TAKEN, CLOSED], 1),
    "staff opened it again": ([CLOSED, REOPENED], 0),
    "it was not fixed": ([TAKEN, REPAIRED, NOT_FIXED], None),
    "not fixed, then taken back": ([NOT_FIXED, TAKEN], 1),
    "repaired": ([REPAIRED], None),
    "closed after its days": ([AFTER_ITS_DAYS], None),
    "followed again": ([TAKEN], None),
}


def test_the_history_says_who_took_a_report_back_and_nothing_is_left_behind(
    postgres: Path, new_app: Callable[..., Flask]
) -> None:
    start = utc_now() - timedelta(days=30)
    said = {name: _day(start, day) for name, (_, day) in STORIES.items()}
    with new_database(postgres, "riverain_withdrawals") as url:
        app = new_app(database_url=url)
        migrating.install(app)
        with app.app_context(), db.engine.connect() as connection:
            with Session(connection) as session:
                names = _tell(session, start)
                session.commit()
            for _ in range(2):
                downgrade(revision="0029")
                assert "withdrawn_at" not in _columns(connection)
                upgrade(revision="0030")
                rows = connection.execute(
                    sa.select(ServiceRequest.id, ServiceRequest.withdrawn_at)
                ).all()
                connection.rollback()
                assert {names[row.id]: row.withdrawn_at for row in rows} == said


def _tell(session: Session, start: datetime) -> dict[UUID, str]:
    """Store a report for each story; their names."""
    service = new_service(session, new_jurisdiction(session))
    names = {}
    for name, (entries, _) in STORIES.items():
        report = new_report(session, service, history=False)
        names[report.id] = name
        left_at = None if name == "followed again" or CLOSED in entries else start
        new_follower(session, report, is_reporter=True, left_at=left_at)
        for day, (kind, actor_kind, to_status) in enumerate(entries):
            session.add(
                HistoryEntry(
                    report_id=report.id,
                    at=_day(start, day),
                    kind=kind,
                    actor_kind=actor_kind,
                    to_status=to_status,
                )
            )
    session.flush()
    return names


def _day(start: datetime, day: int | None) -> datetime | None:
    return None if day is None else start + timedelta(days=day)


def _columns(connection: sa.Connection) -> set[str]:
    columns = {column["name"] for column in sa.inspect(connection).get_columns("service_requests")}
    connection.rollback()
    return columns
