"""Who uses a DATA_DIR: one lock, and the processes that a killed run left behind.

The lock is `flock` on the folder itself: no file to leave behind, and the kernel drops it with
its holder, so a stale lock cannot exist. Processes of a run carry its DATA_DIR in their
environment; whatever carries ours while we hold the lock is an orphan of a run that was killed,
and nothing else is ever signalled.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Name in the environment of everything that `make run` starts; its value is the DATA_DIR.
MARK = "RIVERAIN_RUN_OF"

#: A supervisor that lost its parent stops its children in order; this is what that may take.
SUPERVISOR_PATIENCE_S = 40.0
#: PostgreSQL writes a checkpoint before it goes.
PATIENCE_S = 15.0


class InUseError(RuntimeError):
    """Somebody else holds this DATA_DIR."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The lock on a DATA_DIR, held until `release` or the end of the process."""

    descriptor: int

    def release(self) -> None:
        os.close(self.descriptor)


def hold(data_dir: Path) -> Hold:
    """The lock on an existing `data_dir`.

    Raises:
        InUseError: another process holds it.
        OSError: the folder cannot be opened.
    """
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise InUseError(str(data_dir)) from error
        raise
    return Hold(descriptor)


@contextlib.contextmanager
def shared(path: Path) -> Iterator[None]:
    """A shared lock on a file for the length of the block; waits for an exclusive one to go."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """An exclusive lock on a file for the length of the block; waits for all others to go."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def orphans(data_dir: Path) -> list[psutil.Process]:
    """Processes of earlier runs in this DATA_DIR. Call it only while holding the lock."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            # PostgreSQL's own processes are the business of its postmaster, asked for below.
            if process.environ().get(MARK) == str(data_dir) and not _is_postgres(process):
                found.append(process)
    server = postmaster(data_dir / "postgres")
    if server is not None:
        found.append(server)
    return [process for process in found if _runs(process)]


def postmaster(pgdata: Path) -> psutil.Process | None:
    """The PostgreSQL server of that cluster, if it runs.

    `postmaster.pid` may be stale and its number in use by a stranger, so the process must also be
    a `postgres` that was given this very folder.
    """
    try:
        pid = int((pgdata / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        command = process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    if command and Path(command[0]).name == "postgres" and str(pgdata) in command:
        return process
    return None


def stop_orphans(data_dir: Path) -> int:
    """Stop what a killed run left behind, in good order first. Returns how many there were.

    Waiting for the supervisor comes first, because it stops its children in the right order.
    """
    found = orphans(data_dir)
    if not found:
        return 0
    supervisors = [process for process in found if "supervisord" in " ".join(_command(process))]
    servers = [process for process in found if _is_postgres(process)]
    others = [process for process in found if process not in [*supervisors, *servers]]
    _stop(supervisors, signal.SIGTERM, SUPERVISOR_PATIENCE_S)
    _stop(others, signal.SIGTERM)
    # To PostgreSQL SIGINT means: end the sessions, write everything, go ("fast shutdown").
    _stop(servers, signal.SIGINT)
    return len(found)


def _stop(
    processes: list[psutil.Process], polite: signal.Signals, patience_s: float = PATIENCE_S
) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(polite)
    _, left = psutil.wait_procs(processes, timeout=patience_s)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5)


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return list(process.cmdline())
    return []


def _is_postgres(process: psutil.Process) -> bool:
    command = _command(process)
    return bool(command) and Path(command[0].split(":")[0]).name == "postgres"


def wait_for(data_dir: Path, *, timeout_s: float) -> Hold:
    """The lock, as soon as its holder lets go.

    Raises:
        InUseError: it did not within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return hold(data_dir)
        except InUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
