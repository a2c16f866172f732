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

import contextlib
import errno
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import psutil
import psycopg

from app import holding, revisions, supervised
from app.config import SettingError, Settings
from app.embedded import layout, preparing, servers

PROJECT = supervised.PROJECT
DEMO_CITIES = ("montpellier", "boston")

#: Room for the cluster, its log and the demo cities.
FREE_AT_FIRST_MB = 400
#: Below this PostgreSQL soon cannot write its log.
FREE_MB = 50
READY_TIMEOUT_S = 120.0
#: More than all programs together may take to stop, one after the other.
STOP_TIMEOUT_S = 150.0
#: A program that ended so often before the first "ready" will not start by itself.
DEATHS_AT_START = 3
#: The same complaint of a program is shown once in so many seconds.
QUIET_S = 60.0


class RefusalError(RuntimeError):
    """We cannot run; the message says why in one sentence, and what to do."""


class StoppingError(Exception):
    """We were told to stop."""


def main() -> int:
    """Run until told to stop; the exit status."""
    try:
        data_dir = _data_dir()
        _check_data_dir(data_dir)
        held = _hold(data_dir)
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
        return _refuse(RefusalError(f"something went away while starting: {_one_line(error)}"))
    finally:
        run.clean_up()
        held.release()
    return 0


def _refuse(refusal: Exception) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"Riverain cannot run: {refusal}\n")
    return 1


def _say(line: str) -> None:
    # A terminal that was closed is no reason not to stop in good order.
    with contextlib.suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


# -- looking --------------------------------------------------------------------------------------


def _data_dir() -> Path:
    """DATA_DIR, absolute. `Settings.load` would write a key into it before it was looked at."""
    probe = {**os.environ, "SECRET_KEY": "not used", "ENVIRONMENT": "development"}
    return Settings.load(probe).data_dir.resolve()


def _check_data_dir(data_dir: Path) -> None:
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


def _hold(data_dir: Path) -> holding.Hold:
    """The lock on DATA_DIR; waits for a run that is on its way out."""
    try:
        return holding.hold(data_dir)
    except holding.InUseError:
        pass
    try:
        # A command that started the database for itself is soon done; a run may be stopping.
        if _is_stopping(data_dir):
            _say("The previous run is still stopping; waiting for it.")
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


def _check_port(host: str, port: int) -> None:
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


def _check_redis(url: str) -> None:
    """See that the given Redis answers."""
    import redis  # an embedded Valkey is seen to by the supervisor, so most runs do without

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise RefusalError(
            f"the Redis of REDIS_URL ({_place(url)}) does not answer: {_one_line(error)}"
        ) from error


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    plain = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    return psycopg.connect(plain, connect_timeout=5, autocommit=True)


def _check_database(url: str) -> None:
    """See that the given PostgreSQL answers."""
    try:
        _connect(url).close()
    except psycopg.Error as error:
        raise RefusalError(
            f"the PostgreSQL of DATABASE_URL ({_place(url)}) does not answer: {_one_line(error)}"
        ) from error


def _place(url: str) -> str:
    """A URL without whom and how: host, port and path."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".") + "."


# -- running --------------------------------------------------------------------------------------


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
                _say("Stopping …")
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
            _say("Riverain has stopped.")

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
            _say(f"Stopped {left} processes that a killed run had left behind.")
        _check_port(self.settings.host, self.settings.port)
        if self.settings.database_url is not None:
            _check_database(self.settings.database_url)
        if self.settings.redis_url is not None:
            _check_redis(self.settings.redis_url)

    # 2

    def _start_supervisor(self) -> None:
        settings = self.settings
        is_new = settings.database_url is None and not (self.data_dir / "postgres").exists()
        _say("Making the database …" if is_new else "Starting …")
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
                _say("Bringing the database up to date …")
                self._flask("the migration", "db", "upgrade", is_shown=False)
            if self.settings.demo and self._is_empty():
                self._load_demo()
        except psycopg.Error as error:
            raise RefusalError(f"the database cannot be used: {_one_line(error)}") from error

    def _revisions_in_database(self) -> set[str]:
        with _connect(self.database_url) as connection:
            found = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
            if found is None or found[0] is None:
                return set()
            rows = connection.execute("SELECT version_num FROM alembic_version")
            return {str(row[0]) for row in rows}

    def _is_empty(self) -> bool:
        with _connect(self.database_url) as connection:
            return connection.execute("SELECT 1 FROM jurisdictions LIMIT 1").fetchone() is None

    def _load_demo(self) -> None:
        for city in DEMO_CITIES:
            folder = PROJECT / "cities" / city
            if folder.is_dir():
                _say(f"Loading the demo city {city.capitalize()} (once; DEMO=0 does without) …")
                began = time.monotonic()
                self._flask(f"loading cities/{city}", "jurisdictions", "load", str(folder))
                _say(f"  done in {time.monotonic() - began:.0f} s")

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
                    start = _show_from(log, start)
            if is_shown and self.helper.returncode == 0:
                _show_from(log, start)
        if self.helper.returncode != 0:
            raise RefusalError(f"{what} failed: {_last_line(log)} All of it is in {log}.")

    # 4

    def _start_programs(self) -> None:
        _say("Starting web, workers, relay and beat …")
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
        _say(f"Riverain is ready: {self.settings.base_url}")
        if self.settings.smtp_url:
            _say(f"Mail goes through {_place(self.settings.smtp_url)}. Ctrl-C stops everything.")
        else:
            _say(
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
        raise RefusalError(f"{name} does not start: {_last_line(log)} All of it is in {log}.")

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
            _say(f"{name} stopped by itself ({why}) and is started again; see {log}")


class Complaints:
    """Shows errors that our programs log, each kind once in a while, in one line."""

    def __init__(self, log_dir: Path) -> None:
        self._paths = {name: log_dir / f"{name}.log" for name in supervised.OURS}
        self._read: dict[str, int] = {}
        self._shown: dict[tuple[str, str], float] = {}

    def begin(self) -> None:
        """Pass over what earlier runs logged."""
        self._read = {name: _size(path) for name, path in self._paths.items()}

    def show(self) -> None:
        """Say what came since the last call."""
        for name, path in self._paths.items():
            size = _size(path)
            start = self._read.get(name, 0)
            if size < start:  # the supervisor began a new file
                start = 0
            if size > start:
                with path.open("rb") as file:
                    file.seek(start)
                    said = file.read(min(size - start, 1_000_000))
                whole = said.rpartition(b"\n")[0]
                self._read[name] = start + (len(whole) + 1 if whole else 0)
                for line in whole.splitlines():
                    self._consider(name, path, line)

    def _consider(self, name: str, path: Path, line: bytes) -> None:
        if b'"error"' not in line and b'"critical"' not in line:
            return
        try:
            entry = json.loads(line)
        except ValueError:
            return
        if not isinstance(entry, dict) or entry.get("level") not in ("error", "critical"):
            return
        event = str(entry.get("event", "error")).splitlines()[0][:120]
        now = time.monotonic()
        if now - self._shown.get((name, event), -QUIET_S) >= QUIET_S:
            self._shown[name, event] = now
            _say(f"{name} reports an error: {event}; see {path}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _show_from(log: Path, start: int) -> int:
    """Say what a command wrote for people since `start`; returns where to go on from."""
    with log.open("rb") as file:
        file.seek(start)
        whole, newline, _ = file.read().rpartition(b"\n")
    for line in whole.decode(errors="replace").splitlines():
        if line.startswith("Traceback "):
            break
        if line.strip() and not line.startswith("{"):
            _say(f"  {line.rstrip()}")
    return start + len(whole) + len(newline)


def _last_line(log: Path) -> str:
    """What a log ends with, as a sentence: the last error that has a name, else the last line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it said nothing."
    said = [line.strip() for line in lines if line.strip()]
    # Flask and gunicorn tell the cause first and then that they therefore cannot go on.
    causes = [line for line in said[-100:] if re.match(r"[\w.]+(Error|Exception): ", line)]
    last = (causes or said or ["it said nothing"])[-1]
    if last.startswith("{"):
        with contextlib.suppress(ValueError):
            last = str(json.loads(last).get("event", last))
    return last[:300].rstrip(".") + "."


if __name__ == "__main__":
    sys.exit(main())
