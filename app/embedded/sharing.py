"""A database for a command or a test, without `make run`: as it runs, or started for the while."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from app import holding
from app.config import Settings
from app.embedded.layout import EmbeddedError, database_url
from app.embedded.preparing import START_TIMEOUT_S, is_set_up, prepare, tidy, wait_for_database
from app.embedded.servers import postgres_command


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
