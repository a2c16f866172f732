"""What `make run` looks at before it starts anything: DATA_DIR, its lock, the port, given servers.

Whatever stands in the way is a `RefusalError`: one sentence that says why, and what to do.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from app import holding
from app.config import Settings
from app.embedded import layout
from app.telling import say

#: Room for the cluster, its log and the demo cities.
FREE_AT_FIRST_MB = 400
#: Below this PostgreSQL soon cannot write its log.
FREE_MB = 50


class RefusalError(RuntimeError):
    """We cannot run; the message says why in one sentence, and what to do."""


def find_data_dir() -> Path:
    """DATA_DIR, absolute. `Settings.load` would write a key into it before it was looked at."""
    probe = {**os.environ, "SECRET_KEY": "not used", "ENVIRONMENT": "development"}
    return Settings.load(probe).data_dir.resolve()


def check_data_dir(data_dir: Path) -> None:
    """Make DATA_DIR if it is not there, and see that it can be written."""
    hint = "Choose another with DATA_DIR=/some/folder."
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir) as probe:
            probe.write(b"x")
        free_mb = shutil.disk_usage(data_dir).free // 1_000_000
    except (FileExistsError, NotADirectoryError) as error:
        raise RefusalError(f"DATA_DIR {data_dir} is not a folder. {hint}") from error
    except OSError as error:
        raise RefusalError(
            f"DATA_DIR {data_dir} cannot be written ({error.strerror}). {hint}"
        ) from error
    needed_mb = FREE_MB if (data_dir / "postgres").exists() else FREE_AT_FIRST_MB
    if free_mb < needed_mb:
        raise RefusalError(
            f"DATA_DIR {data_dir} has {free_mb} MB free and needs {needed_mb} MB. {hint}"
        )


def hold(data_dir: Path) -> holding.Hold:
    """The lock on DATA_DIR; waits for a run that is on its way out."""
    try:
        return holding.hold(data_dir)
    except holding.InUseError:
        pass
    try:
        # A command that started the database for itself is soon done; a run may be stopping.
        if _is_stopping(data_dir):
            say("The previous run is still stopping; waiting for it.")
            return holding.wait_for(data_dir, timeout_s=90)
        return holding.wait_for(data_dir, timeout_s=1)
    except holding.InUseError as error:
        raise RefusalError(
            f"another `make run` or a flask command already uses DATA_DIR {data_dir}. "
            "Stop it, or choose another folder with DATA_DIR=/some/folder."
        ) from error


def _is_stopping(data_dir: Path) -> bool:
    """Whether the run that holds DATA_DIR has lost the process that started it, or is ending."""
    record = layout.run_dir(data_dir) / "run.json"
    try:
        run = json.loads(record.read_text())
    except (OSError, ValueError):
        return False
    return run["is_stopping"] or not psutil.pid_exists(run["parent"])


def check_port(host: str, port: int) -> None:
    """See that we can listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise RefusalError(f"HOST {host} is no address of this machine.") from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise RefusalError(
                    f"port {port} on {host} is in use by another program. "
                    f"Stop it, or choose another port: make run PORT={_other(port)}"
                ) from error
            if error.errno == errno.EACCES:
                raise RefusalError(
                    f"port {port} needs more rights than this user has. "
                    "Choose one above 1023: make run PORT=8000"
                ) from error
            raise RefusalError(f"HOST {host} is no address of this machine.") from error


def _other(port: int) -> int:
    return port + 1 if port < 65535 else 8000


def check_redis(url: str) -> None:
    """See that the given Redis answers."""
    import redis  # an embedded Valkey is seen to by the supervisor, so most runs do without

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise RefusalError(
            f"the Redis of REDIS_URL ({place_of(url)}) does not answer: {one_line(error)}"
        ) from error


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    """A connection to the database of a URL as SQLAlchemy spells it, each statement on its own."""
    plain = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    return psycopg.connect(plain, connect_timeout=5, autocommit=True)


def check_database(url: str) -> None:
    """See that the given PostgreSQL answers."""
    try:
        connect(url).close()
    except psycopg.Error as error:
        raise RefusalError(
            f"the PostgreSQL of DATABASE_URL ({place_of(url)}) does not answer: {one_line(error)}"
        ) from error


def place_of(url: str) -> str:
    """A URL without whom and how: host, port and path."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path


def one_line(error: Exception) -> str:
    """What an error says last, as a sentence.

    libpq ends with a question, "Is the server running …?"; the reason stands before it.
    """
    said = (line.strip() for line in str(error).splitlines())
    lines = [line for line in said if line and not line.endswith("?")]
    return (lines[-1] if lines else type(error).__name__).rstrip(".") + "."
