"""What every test may ask for: a real PostgreSQL, a real Valkey, and the application on them.

One PostgreSQL serves the whole run; each xdist worker has its own database, a copy of a template
that the migrations built once, and its own Valkey. Ask for

* `session` and `client` where one transaction that is never committed will do (nearly always);
* `committed_db` where commits must be real: several threads, several connections, the pipeline;
* `app` alone where no row is written.
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis
import sqlalchemy as sa
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy.orm import Session, sessionmaker

from accounts import blocks, passwords
from app import create_app, migrating
from app.config import Settings
from app.embedded import layout, preparing, servers, sharing
from core.db import close_connections, db
from geo import jurisdictions

TEMPLATE = "riverain_template"

REAL_NOBODYS_HASH = passwords.NOBODYS_HASH

# How fast a shared machine is says nothing about an example.
hypothesis.settings.register_profile(
    "riverain", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("riverain")

#: Says nothing about production; it only has to be the same all through a run.
SECRET_KEY = "the key of the test run, long enough for every derivation"


# -- the run --------------------------------------------------------------------------------------


def pytest_configure() -> None:
    """Let the collector rest while thousands of tests are collected and nothing is thrown away."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The few that take half a minute first, so that no worker ends the run alone with one."""
    items.sort(key=lambda item: item.get_closest_marker("whole") is None)


def pytest_collection_finish() -> None:
    """Leave what is loaded out of every later collection: an eighth of the run was spent on it."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


# -- servers, once per run ------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The DATA_DIR of the PostgreSQL that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    data_dir = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "servers"
    data_dir.mkdir(exist_ok=True)
    with sharing.running(data_dir, durable=False):
        _build_template(data_dir)
        yield data_dir


@pytest.fixture(scope="session")
def database_url(postgres: Path) -> Iterator[str]:
    """A database of this worker's own, as the migrations leave it."""
    with new_database(
        postgres, f"riverain_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    ) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey of this worker's own."""
    data_dir = tmp_path_factory.mktemp("valkey")
    preparing.prepare(data_dir, database=False)
    with (data_dir / "valkey.log").open("wb") as log:
        server = subprocess.Popen(servers.valkey_command(data_dir), stdout=log, stderr=log)
    try:
        url = layout.redis_url(data_dir)
        _wait_for_redis(url)
        yield url
    finally:
        server.kill()
        server.wait()
        preparing.tidy(data_dir)


@contextlib.contextmanager
def new_database(postgres: Path, name: str) -> Iterator[str]:
    """A fresh database copied from the template, dropped at the end; its URL."""
    with preparing.connect(postgres) as connection:
        preparing.create_database(connection, name, template=TEMPLATE)
    yield layout.database_url(postgres).replace("/riverain?", f"/{name}?")
    with preparing.connect(postgres) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _build_template(data_dir: Path) -> None:
    """Run the migrations once; whoever comes second waits and finds the template there."""
    with preparing.connect(data_dir) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        names = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        if TEMPLATE in names:
            return
        connection.execute("DROP DATABASE IF EXISTS building WITH (FORCE)")
        preparing.create_database(connection, "building")
        url = layout.database_url(data_dir).replace("/riverain?", "/building?")
        app = create_app(_settings(data_dir, url, "redis://127.0.0.1:1/0"))
        migrating.install(app)
        with app.app_context():
            upgrade()
            close_connections()
        connection.execute(f"ALTER DATABASE building RENAME TO {TEMPLATE}".encode())


def _wait_for_redis(url: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            with redis.Redis.from_url(url) as client:
                client.ping()
            return
        except redis.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


# -- passwords ------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Hashing is slow on purpose: a third of the run's time, for passwords that guard nothing."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", quick)
        patch.setattr(passwords, "NOBODYS_HASH", quick.hash("nobody's"))
        yield


@pytest.fixture
def slow_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing as it is in production."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher())
    monkeypatch.setattr(passwords, "NOBODYS_HASH", REAL_NOBODYS_HASH)


# -- the application ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def app(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    """The application of this worker; rate limits are off."""
    app = create_app(_settings(tmp_path_factory.mktemp("data"), database_url, redis_url))
    app.testing = True
    yield app
    with app.app_context():
        close_connections()


@pytest.fixture
def new_app(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """A function that makes an application with other settings on the same database."""
    made: list[Flask] = []

    def make(**settings: Any) -> Flask:
        values: dict[str, Any] = {
            "data_dir": tmp_path,
            "database_url": database_url,
            "redis_url": redis_url,
        }
        other = create_app(_settings(**(values | settings)))
        other.testing = True
        made.append(other)
        return other

    yield make
    for other in made:
        with other.app_context():
            close_connections()


def _settings(data_dir: Path, database_url: str, redis_url: str, **others: Any) -> Settings:
    values = {"rate_limits": False, "secret_key": SECRET_KEY, "demo": False, **others}
    return Settings(data_dir=data_dir, database_url=database_url, redis_url=redis_url, **values)


class OneSession:
    """Stands in for `db.session` during a test: everybody gets the test's own session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self) -> Session:
        return self._session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def remove(self) -> None:
        """The end of a request does not end the test's session."""

    @property
    def registry(self) -> OneSession:
        """Asked whether a session is open already."""
        return self

    def has(self) -> bool:
        """Whether one is: always."""
        return True


@pytest.fixture
def session(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session whose commits are savepoints in a transaction that is rolled back at the end.

    It is `db.session` for the length of the test, so views and tasks under test share it.
    """
    with app.app_context():
        connection = db.engine.connect()
    outer = connection.begin()
    # Flask-SQLAlchemy's own session class ignores `bind`, so this one is plain.
    made = sessionmaker(bind=connection, join_transaction_mode="create_savepoint")()
    monkeypatch.setattr(db, "session", OneSession(made))
    jurisdictions.forget()
    blocks.forget()
    try:
        yield made
    finally:
        jurisdictions.forget()
        blocks.forget()
        made.close()
        outer.rollback()
        connection.close()


class Client(FlaskClient):
    """A client that sees what the test prepared, and lets the test see what the view stored."""

    session: Session

    def open(self, *args: Any, **kwargs: Any) -> Any:
        # A view that fails rolls back; what the test prepared must not go with it.
        self.session.commit()
        try:
            return super().open(*args, **kwargs)
        finally:
            self.session.expire_all()


@pytest.fixture
def client(app: Flask, session: Session) -> FlaskClient:
    """A client of the application, inside the test's transaction."""
    client = Client(app)
    client.session = session
    return client


@pytest.fixture
def committed_db(app: Flask) -> Iterator[Flask]:
    """The application on a database where commits are real; every table is emptied afterwards."""
    jurisdictions.forget()
    blocks.forget()
    try:
        yield app
    finally:
        jurisdictions.forget()
        blocks.forget()
        with app.app_context():
            db.session.remove()
            with db.engine.begin() as connection:
                names = set(sa.inspect(connection).get_table_names()) - {"alembic_version"}
                tables = ", ".join(f'"{name}"' for name in sorted(names))
                _may_be_emptied(connection, True)
                connection.execute(sa.text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
                _may_be_emptied(connection, False)
                # The next city will have the same id, and is to begin at the first number.
                for name in sa.inspect(connection).get_sequence_names():
                    if name.startswith("report_numbers_"):
                        connection.execute(sa.text(f'DROP SEQUENCE "{name}"'))


def _may_be_emptied(connection: sa.Connection, may: bool) -> None:
    """Lift, and put back, what keeps everybody from editing the audit log."""
    for table in ("audit_entries", "audit_seals"):
        state = "DISABLE" if may else "ENABLE"
        connection.execute(sa.text(f"ALTER TABLE {table} {state} TRIGGER append_only"))


@pytest.fixture
def valkey(redis_url: str) -> Iterator[redis.Redis]:
    """A client of this worker's Valkey, emptied before and after."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client
        client.flushall()
