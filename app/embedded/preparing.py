"""Making ready: the folders, the cluster, our role and our database."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg import sql

from app.embedded.layout import (
    DATABASE,
    PG_MAJOR,
    ROLE,
    EmbeddedError,
    run_dir,
    socket_dir,
    valkey_socket,
)
from app.embedded.servers import ServerUser, launched, postgres_program, server_user

#: How long PostgreSQL may take to be ready: after a crash it replays its log first.
START_TIMEOUT_S = 60.0


def prepare(data_dir: Path, *, database: bool = True, redis: bool = True) -> None:
    """Make the folders, and the cluster if there is none. Call it while holding DATA_DIR.

    Raises:
        EmbeddedError: something is in the way.
    """
    data_dir = data_dir.resolve()
    runs = run_dir(data_dir)
    runs.mkdir(mode=0o700, exist_ok=True)
    if redis:
        (data_dir / "valkey").mkdir(mode=0o700, exist_ok=True)
        valkey_socket(data_dir).unlink(missing_ok=True)
    if database:
        sockets = socket_dir(data_dir)
        shutil.rmtree(sockets, ignore_errors=True)
        sockets.mkdir(mode=0o700)
        user = server_user(data_dir)
        if user is not None:
            os.chown(sockets, user.uid, user.gid)
            runs.chmod(0o711)
        _make_cluster(data_dir, user)


def tidy(data_dir: Path) -> None:
    """Remove the sockets and whatever else only a run needs. Call it when nothing runs."""
    shutil.rmtree(run_dir(data_dir), ignore_errors=True)


def wait_for_database(data_dir: Path, *, timeout_s: float = START_TIMEOUT_S) -> None:
    """Wait until the embedded PostgreSQL answers, then see that it has our role and database.

    Raises:
        EmbeddedError: it does not answer in time.
    """
    deadline = time.monotonic() + timeout_s
    while not answers(data_dir):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"PostgreSQL did not start within {timeout_s:.0f} seconds.")
        time.sleep(0.05)
    ensure_role_and_database(data_dir)


def ensure_role_and_database(data_dir: Path) -> None:
    """Make our role and the database where they are missing."""
    with connect(data_dir) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone():
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(sql.Identifier(ROLE))
            )
        create_database(connection, DATABASE)


def create_database(
    connection: psycopg.Connection[tuple[object, ...]], name: str, *, template: str = "template0"
) -> None:
    """Make a database of our role, a copy of `template`, unless it is there already."""
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
        return
    connection.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(ROLE), sql.Identifier(template)
        )
    )


def connect(data_dir: Path) -> psycopg.Connection[tuple[object, ...]]:
    """A connection of the superuser to the cluster itself, each statement on its own."""
    return psycopg.connect(
        host=str(socket_dir(data_dir)),
        user="postgres",
        dbname="postgres",
        autocommit=True,
        connect_timeout=5,
    )


def answers(data_dir: Path) -> bool:
    """Whether the embedded PostgreSQL takes connections."""
    try:
        connect(data_dir).close()
    except psycopg.OperationalError:
        return False
    return True


def is_set_up(data_dir: Path) -> bool:
    """Whether it takes connections and has our role and our database, which is made last.

    At its very first start it takes connections before it has them; who came to share it then
    would find neither.
    """
    try:
        with connect(data_dir) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
            ).fetchone()
    except psycopg.OperationalError:
        return False
    return found is not None


def _make_cluster(data_dir: Path, user: ServerUser | None) -> None:
    """`DATA_DIR/postgres`, whole or not at all: made under another name, then renamed."""
    cluster = data_dir / "postgres"
    if cluster.exists():
        _check_cluster(cluster, user)
        return
    unfinished = data_dir / "postgres.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if user is not None:
        os.chown(unfinished, user.uid, user.gid)
    made = subprocess.run(
        launched(
            "SIGKILL",
            [
                str(postgres_program("initdb")),
                "--pgdata",
                str(unfinished),
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ],
            user=user,
            reach=data_dir,
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        reason = (made.stderr.strip() or made.stdout.strip()).splitlines()[-1:]
        raise EmbeddedError(f"The database could not be made in {data_dir}: {' '.join(reason)}")
    unfinished.rename(cluster)


def _check_cluster(cluster: Path, user: ServerUser | None) -> None:
    try:
        version = (cluster / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise EmbeddedError(
            f"{cluster} is not a database of Riverain ({error.strerror}: PG_VERSION)."
        ) from error
    if version != PG_MAJOR:
        raise EmbeddedError(
            f"{cluster} was made by PostgreSQL {version} and this is {PG_MAJOR}; "
            "docs/operations.md says how to move it."
        )
    owner = cluster.stat().st_uid
    if user is None and owner != os.geteuid():
        raise EmbeddedError(
            f"{cluster} belongs to another user (uid {owner}); start Riverain as that user or root."
        )
    if user is not None and owner != user.uid:
        # A backup that root put back: PostgreSQL insists on owning its files.
        for path in [cluster, *cluster.rglob("*")]:
            os.chown(path, user.uid, user.gid, follow_symlinks=False)
    cluster.chmod(0o700)
