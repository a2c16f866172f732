"""`make run`: everything on one machine, in the foreground, until it is told to stop.

1. Look: settings, DATA_DIR, the lock on it, what a killed run left behind, the port.
2. Start the supervisor, which starts the embedded servers that are needed.
3. Look at the database: refuse one of a newer version, migrate an older one, load the demo city
   into an empty one.
4. Start worker, beat, relay and web; wait until `/readyz` says yes; say so.
5. Watch, and say in one line when a program died or reports an error.
6. On SIGTERM, SIGINT or SIGHUP, or when the process that started us is gone: stop every child in
   order and leave no process, socket or lock behind.

Whatever stands in the way is one sentence on stderr and a non-zero exit. This process serves
nothing itself and imports nothing of the features.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

import psycopg

from app import holding, revisions, supervised
from app.config import SettingError, Settings
from app.embedded import layout, preparing, servers
from app.preflight import (
    RefusalError,
    check_data_dir,
    check_database,
    check_port,
    check_redis,
    connect,
    find_data_dir,
    hold,
    one_line,
    place_of,
)
from app.telling import Complaints, last_line, say, show_from

PROJECT = supervised.PROJECT
DEMO_CITIES = ("montpellier", "boston")

READY_TIMEOUT_S = 120.0
#: More than all programs together may take to stop, one after the other.
STOP_TIMEOUT_S = 150.0
#: A program that ended so often before the first "ready" will not start by itself.
DEATHS_AT_START = 3


class StoppingError(Exception):
    """We were told to stop."""


def main() -> int:
    """Run until told to stop; the exit status."""
    try:
        data_dir = find_data_dir()
        check_data_dir(data_dir)
        held = hold(data_dir)
        settings = Settings.load({**os.environ, "DATA_DIR": str(data_dir)})
    except (RefusalError, SettingError, layout.EmbeddedError) as refusal:
        return _refuse(refusal)
    except KeyboardInterrupt:
        return 0
    run = Run(settings)
    try:
        run.run()
    except StoppingError:
        return 0
    except (RefusalError, SettingError, layout.EmbeddedError) as refusal:
        return _refuse(refusal)
    except (OSError, psycopg.Error) as error:
        # A full disk, a folder taken away, a database that goes while it is looked at.
        return _refuse(RefusalError(f"something went away while starting: {one_line(error)}"))
    finally:
        run.clean_up()
        held.release()
    return 0


def _refuse(refusal: Exception) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"Riverain cannot run: {refusal}\n")
    return 1


class Run:
    """One run, from the first check to the last process gone."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.data_dir = settings.data_dir
        self.run_dir = layout.run_dir(self.data_dir)
        self.log_dir = self.data_dir / "log"
        self.database_url = settings.database_url or layout.database_url(self.data_dir)
        self.environment = supervised.environment(settings, dict(os.environ))
        self.parent = os.getppid()
        self.supervisor = supervised.Supervisor(self.run_dir / "supervisor.sock")
        self.process: subprocess.Popen[bytes] | None = None
        self.helper: subprocess.Popen[str] | None = None
        self.deaths: dict[str, int] = {}
        self.is_ready = False
        self.told_to_stop = False
        self.complaints = Complaints(self.log_dir)
        self._unread = b""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.told_to_stop = True

    def run(self) -> None:
        """All of it. Raises `StoppingError` when told to stop."""
        self._record(is_stopping=False)
        self._look()
        self._start_supervisor()
        self._see_to_the_database()
        self._start_programs()
        self._wait_until_ready()
        self._announce()
        while True:
            self._tick(1.0)
            self.complaints.show()

    def clean_up(self) -> None:
        """Stop whatever was started, in order, and remove what only the run needed."""
        self._record(is_stopping=True)
        if self.helper is not None and self.helper.poll() is None:
            self.helper.terminate()
            self.helper.wait()
        if self.process is not None:
            if self.told_to_stop or self.is_ready:
                say("Stopping …")
            self.process.terminate()
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while self.process.poll() is None and time.monotonic() < deadline:
                # Each question wakes the supervisor, which else looks once a second only
                # whether the next program can be stopped. Its pipe must not fill up either.
                self.supervisor.answers()
                self._drain(0.05)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        holding.stop_orphans(self.data_dir)
        preparing.tidy(self.data_dir)
        if self.process is not None and (self.told_to_stop or self.is_ready):
            say("Riverain has stopped.")

    def _record(self, *, is_stopping: bool) -> None:
        """Tell another `make run`, should there be one, whether waiting for us makes sense."""
        self.run_dir.mkdir(mode=0o700, exist_ok=True)
        unfinished = self.run_dir / "run.json.unfinished"
        unfinished.write_text(json.dumps({"parent": self.parent, "is_stopping": is_stopping}))
        unfinished.replace(self.run_dir / "run.json")

    # 1

    def _look(self) -> None:
        left = holding.stop_orphans(self.data_dir)
        if left:
            say(f"Stopped {left} processes that a killed run had left behind.")
        check_port(self.settings.host, self.settings.port)
        if self.settings.database_url is not None:
            check_database(self.settings.database_url)
        if self.settings.redis_url is not None:
            check_redis(self.settings.redis_url)

    # 2

    def _start_supervisor(self) -> None:
        settings = self.settings
        is_new = settings.database_url is None and not (self.data_dir / "postgres").exists()
        say("Making the database …" if is_new else "Starting …")
        preparing.prepare(
            self.data_dir,
            database=settings.database_url is None,
            redis=settings.redis_url is None,
        )
        for folder in (self.log_dir, self.run_dir / "metrics"):
            folder.mkdir(exist_ok=True)
        for leftover in (self.run_dir / "metrics").iterdir():
            leftover.unlink()
        (self.run_dir / "supervisor.sock").unlink(missing_ok=True)
        self.complaints.begin()
        file = self.run_dir / "supervisor.conf"
        file.write_text(
            supervised.configuration(
                settings, supervised.programs(settings), is_root=os.geteuid() == 0
            )
        )
        self.process = subprocess.Popen(
            servers.launched(
                "SIGTERM",
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(file)],
            ),
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C goes to us alone; we stop the rest in order.
            start_new_session=True,
        )
        self._wait(self.supervisor.answers, "supervisor", 20)
        if settings.database_url is None:
            self._wait(lambda: preparing.answers(self.data_dir), "postgres", 60)
            preparing.ensure_role_and_database(self.data_dir)
        if settings.redis_url is None:
            self._wait(self._forget_old_heartbeats, "valkey", 20)

    def _forget_old_heartbeats(self) -> bool:
        """Whether Valkey answers; heartbeats kept over the stop would tell of workers long gone."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2)
                connection.connect(str(layout.valkey_socket(self.data_dir)))
                connection.sendall(b"DEL riverain:heartbeat\r\n")
                return connection.recv(64).startswith(b":")
        except OSError:
            return False

    # 3

    def _see_to_the_database(self) -> None:
        known, newest = revisions.of(revisions.FOLDER)
        try:
            found = self._revisions_in_database()
            if not found <= known:
                unknown = ", ".join(sorted(found - known))
                raise RefusalError(
                    f"the database was made by a newer version of Riverain (revision {unknown} is "
                    "unknown here). Update Riverain, or choose another database or DATA_DIR."
                )
            if found != newest:
                say("Bringing the database up to date …")
                self._flask("the migration", "db", "upgrade", is_shown=False)
            unfinished = self.data_dir / "demo_unfinished"
            if self.settings.demo and (unfinished.exists() or self._is_empty()):
                # Whoever stops us between two cities finds both after the next start.
                unfinished.touch()
                self._load_demo()
                unfinished.unlink()
        except psycopg.Error as error:
            raise RefusalError(f"the database cannot be used: {one_line(error)}") from error

    def _revisions_in_database(self) -> set[str]:
        with connect(self.database_url) as connection:
            found = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
            if found is None or found[0] is None:
                return set()
            rows = connection.execute("SELECT version_num FROM alembic_version")
            return {str(row[0]) for row in rows}

    def _is_empty(self) -> bool:
        with connect(self.database_url) as connection:
            return connection.execute("SELECT 1 FROM jurisdictions LIMIT 1").fetchone() is None

    def _load_demo(self) -> None:
        for city in DEMO_CITIES:
            folder = PROJECT / "cities" / city
            if folder.is_dir():
                say(f"Loading the demo city {city.capitalize()} (once; DEMO=0 does without) …")
                began = time.monotonic()
                self._flask(f"loading cities/{city}", "jurisdictions", "load", str(folder))
                # Invented cases, so that there is something to look at; nobody is told of them.
                cases = folder / "history" / "cases.csv"
                if cases.is_file():
                    past = ("import", str(cases), "--jurisdiction", city, "--until-now")
                    self._flask(f"the history of cities/{city}", "reports", *past, is_shown=False)
                say(f"  done in {time.monotonic() - began:.0f} s")

    def _flask(self, what: str, *arguments: str, is_shown: bool = True) -> None:
        """Run a flask command, show what it says to people, keep all of it in the log."""
        log = self.log_dir / "setup.log"
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
        with log.open("a", encoding="utf-8") as file:
            start = file.tell()
            self.helper = subprocess.Popen(
                servers.launched("SIGTERM", command),
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            while self.helper.poll() is None:
                self._tick(0.1)
                if is_shown:
                    start = show_from(log, start)
            if is_shown and self.helper.returncode == 0:
                show_from(log, start)
        if self.helper.returncode != 0:
            raise RefusalError(f"{what} failed: {last_line(log)} All of it is in {log}.")

    # 4

    def _start_programs(self) -> None:
        say("Starting web, workers, relay and beat …")
        for program in supervised.programs(self.settings):
            if not program.is_server:
                self.supervisor.start(program.name)

    def _wait_until_ready(self) -> None:
        self._wait(self._answers_ready, "web", READY_TIMEOUT_S)

    def _answers_ready(self) -> bool:
        host = self.settings.host
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        connection = http.client.HTTPConnection(host, self.settings.port, timeout=3)
        try:
            connection.request("GET", "/readyz", headers={"Host": "localhost"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _announce(self) -> None:
        self.is_ready = True
        say(f"Riverain is ready: {self.settings.base_url}")
        if self.settings.smtp_url:
            say(f"Mail goes through {place_of(self.settings.smtp_url)}. Ctrl-C stops everything.")
        else:
            say(
                f"Mail is not sent but written to {self.data_dir / 'outbox'}. "
                "Ctrl-C stops everything."
            )

    # 5

    def _wait(self, is_done: object, name: str, timeout_s: float) -> None:
        """Wait for one part while listening to the supervisor."""
        assert callable(is_done)
        deadline = time.monotonic() + timeout_s
        while not is_done():
            self._tick(0.1)
            for program, deaths in self.deaths.items():
                if deaths >= DEATHS_AT_START:
                    self._give_up(program)
            if time.monotonic() > deadline:
                self._give_up(name)

    def _give_up(self, name: str) -> None:
        log = self.log_dir / f"{name}.log"
        raise RefusalError(f"{name} does not start: {last_line(log)} All of it is in {log}.")

    def _tick(self, seconds: float) -> None:
        """Let that much time pass, listening to the supervisor; the place where we stop."""
        self._check_orders()
        said = self._drain(seconds)
        self._check_orders()
        if said == b"":
            raise RefusalError("its supervisor was killed, so everything is stopped.")
        *lines, self._unread = (self._unread + (said or b"")).split(b"\n")
        for line in lines:
            self._hear(line.decode(errors="replace"))

    def _drain(self, seconds: float) -> bytes | None:
        """What the supervisor says within that time; empty when it is gone, None if nothing."""
        assert self.process is not None
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], seconds)
        return os.read(self.process.stdout.fileno(), 65536) if readable else None

    def _check_orders(self) -> None:
        if os.getppid() != self.parent:
            # Whoever started us was killed. Going on unseen would block the next start.
            self.told_to_stop = True
        if self.told_to_stop:
            raise StoppingError

    def _hear(self, line: str) -> None:
        """Tell of a program that died by itself."""
        died = re.search(r"exited: (\w+) \((.*); not expected\)|exited: (\w+) \((.*); exp", line)
        if died is None:
            return
        name = died[1] or died[3]
        why = died[2] or died[4]
        self.deaths[name] = self.deaths.get(name, 0) + 1
        if self.is_ready:
            log = self.log_dir / f"{name}.log"
            say(f"{name} stopped by itself ({why}) and is started again; see {log}")


if __name__ == "__main__":
    sys.exit(main())
