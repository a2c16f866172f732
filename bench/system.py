"""A whole Riverain to measure, as `make run` starts it, and the floor beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

PROJECT = Path(__file__).resolve().parent.parent

#: First start: cluster, migrations, two cities.
START_TIMEOUT_S = 180


@dataclass(frozen=True, slots=True)
class Riverain:
    """One that runs."""

    port: int
    data_dir: Path
    process_id: int
    #: Of libpq's form, for a plain connection.
    database_url: str
    environment: dict[str, str]

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection to its database."""
        return psycopg.connect(self.database_url, autocommit=True)

    def wait_until_idle(self) -> None:
        """Let the pipeline finish, so that one measurement does not pay for another."""
        with self.connect() as connection:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                row = connection.execute(
                    "SELECT count(*) FROM outbox_events WHERE done_at IS NULL"
                ).fetchone()
                if row == (0,):
                    return
                time.sleep(0.5)

    def flask(self, *arguments: str, input_text: str | None = None) -> str:
        """What a command of `flask` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", *arguments],
            cwd=PROJECT,
            env=self.environment,
            input=input_text,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


@contextlib.contextmanager
def riverain(data_dir: Path | None = None, **settings: str) -> Iterator[Riverain]:
    """A Riverain on that DATA_DIR; without one in a folder of its own, gone with it afterwards."""
    with contextlib.ExitStack() as kept:
        folder = data_dir or Path(
            kept.enter_context(tempfile.TemporaryDirectory(prefix="riverain-bench-"))
        )
        port = free_port()
        environment = {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "PORT": str(port),
            "DATA_DIR": str(folder),
            **settings,
        }
        with (folder / "bench.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.running"],
                cwd=PROJECT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(port, process, folder / "bench.log")
            system = Riverain(port, folder, process.pid, "", environment)
            url = system.flask("settings", "DATABASE_URL").strip()
            yield Riverain(port, folder, process.pid, url.replace("+psycopg", ""), environment)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)


@contextlib.contextmanager
def floor_server(system: Riverain) -> Iterator[int]:
    """The floor on its own port, on the same database server; yields the port."""
    with system.connect() as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS floor (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
            " body jsonb NOT NULL, lat float8 NOT NULL, lon float8 NOT NULL,"
            " at timestamptz NOT NULL DEFAULT now())"
        )
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "bench.floor:app", f"--bind=127.0.0.1:{port}"),
            *("--worker-class=gthread", "--workers=2", "--threads=4", "--no-control-socket"),
            "--log-level=warning",
        ],
        cwd=PROJECT,
        env={**system.environment, "FLOOR_DATABASE_URL": system.database_url},
    )
    try:
        wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    """Until somebody listens on it, half a minute at most."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"Riverain did not start:\n{log.read_text()}")
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"Riverain was not ready in time:\n{log.read_text()}")
