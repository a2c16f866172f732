"""The database session, the declarative base and the only commit.

Everything that is stored goes through `db.session`; everything that is committed goes through
`transaction()`. Services flush and never commit, so that a view or a task decides what belongs
together.
"""

from __future__ import annotations

import enum
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session, registry

#: Names of constraints and indexes, so that a migration can speak of them.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of every table. `datetime` is always aware; see DESIGN.md on `type_annotation_map`."""

    registry = registry(
        metadata=sa.MetaData(naming_convention=NAMING),
        type_annotation_map={
            datetime: sa.DateTime(timezone=True),
            UUID: sa.Uuid(as_uuid=True),
            str: sa.Text(),
            # None is SQL's NULL; the default would store the JSON word null, which IS NOT NULL.
            dict[str, Any]: postgresql.JSONB(none_as_null=True),
            list[Any]: postgresql.JSONB(none_as_null=True),
            list[str]: postgresql.ARRAY(sa.Text()),
        },
    )


db = SQLAlchemy(metadata=Base.metadata, disable_autonaming=True)


def one_of(column: str, values: type[enum.StrEnum] | list[str], name: str) -> sa.CheckConstraint:
    """A CHECK that `column` holds one of the values of an enumeration."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=name)


#: A connection that was in use so recently is taken to be alive, seconds.
FRESH_S = 0.1

_USED_AT = "used_at"

#: Bind key of the engine of `single_write`; see `single_writes`.
SINGLE_WRITES = "single_writes"


def single_writes(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the engine of `single_write`, for `SQLALCHEMY_BINDS`.

    Args:
        options: those of the main engine.
    """
    return {
        **options,
        "url": url,
        "isolation_level": "AUTOCOMMIT",
        # Nothing is open when a connection comes back: there is nothing to roll back.
        "pool_reset_on_return": None,
    }


#: What a function needs that reads and writes by plain statements only.
Executor = Session | sa.Connection


@contextmanager
def transaction() -> Iterator[Session]:
    """One database transaction: committed when the block ends, rolled back when it raises.

    Nothing else commits, but for `single_write`. It does not nest: a service never opens one.
    """
    session = db.session()
    try:
        yield session
        session.commit()
    except BaseException:
        session.rollback()
        raise


@contextmanager
def single_write() -> Iterator[Executor]:
    """A transaction for a block that writes with at most one statement.

    PostgreSQL commits a statement by itself, which saves BEGIN and COMMIT, two round trips of
    three; a plain connection saves the ORM's bookkeeping, and a pool whose connections commit by
    themselves saves telling each of them so: intake's hot path. Where a session is open already it
    is an ordinary transaction of that session.
    """
    if db.session.registry.has():
        with transaction() as session:
            yield session
    else:
        with db.engines[SINGLE_WRITES].connect() as connection:
            yield connection


def refuse_dead_connections(engine: sa.Engine) -> None:
    """Let the pool of `engine` notice, before it is used, that the server closed a connection.

    An idle connection has nothing to read; one whose server went away has its end to read. Asking
    the socket costs microseconds, where SQLAlchemy's pre-ping costs three round trips. One that was
    in use a moment ago is not asked: asking lets go of the interpreter's lock, and under load the
    request then waits for its turn again.
    """

    @sa.event.listens_for(engine, "checkin")
    def note(_connection: Any, record: Any) -> None:
        record.info[_USED_AT] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def look(connection: Any, record: Any, _proxy: Any) -> None:
        if connection.closed:
            raise sa.exc.DisconnectionError
        if time.monotonic() - record.info.get(_USED_AT, 0.0) < FRESH_S:
            return
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        if poll.poll(0):
            raise sa.exc.DisconnectionError


def close_connections() -> None:
    """Close every connection that no thread holds; of the application in hand."""
    for engine in db.engines.values():
        engine.dispose()


def note_use(
    session: Session,
    column: InstrumentedAttribute[datetime | None],
    row_id: UUID,
    *,
    now: datetime,
    every: timedelta,
) -> None:
    """Note in `column` that a row is used, at most once in so long.

    Never waits: who finds the row locked leaves it to the holder.
    """
    model = column.class_
    due = (
        sa.select(model.id)
        .where(model.id == row_id, sa.or_(column.is_(None), column <= now - every))
        .with_for_update(skip_locked=True)
    )
    session.execute(
        sa.update(model)
        .where(model.id.in_(due))
        .values({column: now})
        .execution_options(synchronize_session=False)
    )


@contextmanager
def reading() -> Iterator[Session]:
    """A session to read with; what it opened is given back at the end without a commit."""
    session = db.session()
    try:
        yield session
    finally:
        session.rollback()
