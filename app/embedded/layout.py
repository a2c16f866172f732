"""Where the embedded servers live and how they are reached, without asking whether they run.

    DATA_DIR/postgres   the cluster            DATA_DIR/run/pg/.s.PGSQL.5432   its socket
    DATA_DIR/valkey     what it kept on exit   DATA_DIR/run/valkey.sock        its socket

The path of a Unix socket holds about a hundred bytes. Where DATA_DIR is deeper, the sockets lie in
`/tmp/riverain-<hash of DATA_DIR>` instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from urllib.parse import quote

#: The role that owns the database; the cluster's superuser is `postgres`.
ROLE = "riverain"


DATABASE = "riverain"


PG_MAJOR = "18"


#: The shortest limit is macOS's 104 bytes with the final NUL; supervisor adds a suffix to its own.
LONGEST_SOCKET_PATH = 90


class EmbeddedError(RuntimeError):
    """An embedded server cannot be used; the message says why in one sentence."""


def run_dir(data_dir: Path) -> Path:
    """The folder of the sockets of that DATA_DIR; the same for whoever asks.

    Raises:
        EmbeddedError: somebody else made it.
    """
    data_dir = data_dir.resolve()
    near = data_dir / "run"
    if len(os.fsencode(near / "pg" / ".s.PGSQL.5432.lock")) <= LONGEST_SOCKET_PATH:
        return near
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    far = Path("/tmp") / f"riverain-{name}"
    with contextlib.suppress(FileNotFoundError):
        there = far.lstat()
        trusted = {os.geteuid(), 0, data_dir.stat().st_uid}
        if not stat.S_ISDIR(there.st_mode) or there.st_uid not in trusted:
            raise EmbeddedError(f"{far} belongs to somebody else; remove it or move DATA_DIR.")
    return far


def database_url(data_dir: Path) -> str:
    """The embedded database, as SQLAlchemy wants it. Says nothing about whether it runs."""
    return f"postgresql+psycopg://{ROLE}@/{DATABASE}?host={quote(str(socket_dir(data_dir)))}"


def redis_url(data_dir: Path) -> str:
    """The embedded Valkey, as redis-py wants it. Says nothing about whether it runs."""
    return f"unix://{quote(str(valkey_socket(data_dir)))}?db=0"


def broker_url(url: str) -> str:
    """A REDIS_URL as Celery wants it, which spells Unix sockets its own way."""
    if not url.startswith("unix://"):
        return url
    return "redis+socket" + url.removeprefix("unix").replace("?db=", "?virtual_host=")


def socket_dir(data_dir: Path) -> Path:
    """The folder of the socket of PostgreSQL, which belongs to whom it runs as."""
    return run_dir(data_dir) / "pg"


def valkey_socket(data_dir: Path) -> Path:
    """Where the embedded Valkey listens."""
    return run_dir(data_dir) / "valkey.sock"
