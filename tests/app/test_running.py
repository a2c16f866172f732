"""`make run`: what it refuses and in which words, what it starts, and that it leaves nothing."""

from __future__ import annotations

import configparser
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app import holding, revisions, supervised, telling
from app.config import Settings
from app.embedded import layout, preparing, sharing

PROJECT = Path(__file__).resolve().parents[2]


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "DATA_DIR": str(data_dir), "DEMO": "0", **settings}


def refusal(data_dir: Path, **settings: str) -> str:
    """What `make run` says on stderr when it refuses; one line, and nothing left behind."""
    ended = subprocess.run(
        [sys.executable, "-m", "app.running"],
        cwd=PROJECT,
        env=environment(data_dir, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr + ended.stdout
    assert ended.stderr.count("\n") == 1
    return ended.stderr


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


# -- refusals -------------------------------------------------------------------------------------


def test_a_port_in_use_is_named_with_the_way_out(tmp_path: Path, taken_port: int) -> None:
    said = refusal(tmp_path, PORT=str(taken_port))
    assert f"port {taken_port} on 127.0.0.1 is in use" in said
    assert "make run PORT=" in said
    assert not layout.run_dir(tmp_path).exists()


def test_a_host_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    assert "HOST 192.0.2.1 is no address of this machine" in refusal(tmp_path, HOST="192.0.2.1")


@pytest.mark.parametrize("port", ["http", "0", "70000"])
def test_a_port_that_is_no_port_is_refused(tmp_path: Path, port: str) -> None:
    assert f"PORT is {port!r}".replace("'", "") in refusal(tmp_path, PORT=port).replace("'", "")


def test_a_database_that_is_away_is_refused_with_the_reason(tmp_path: Path) -> None:
    said = refusal(tmp_path, DATABASE_URL="postgresql+psycopg://x@127.0.0.1:1/x")
    assert "does not answer" in said
    assert said.rstrip().endswith("Connection refused.")


def test_a_data_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert f"DATA_DIR {file} is not a folder" in refusal(file)
    assert f"DATA_DIR {file / 'below'} is not a folder" in refusal(file / "below")


def test_a_data_dir_that_cannot_be_written_is_refused() -> None:
    # /proc takes no folders, not even from root.
    where = Path("/proc/riverain") if Path("/proc/self").exists() else Path("/dev/riverain")
    assert f"DATA_DIR {where} cannot be written" in refusal(where)


def test_a_data_dir_in_use_is_refused(tmp_path: Path) -> None:
    held = holding.hold(tmp_path)
    try:
        assert f"already uses DATA_DIR {tmp_path}" in refusal(tmp_path)
    finally:
        held.release()


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/city"
    said = refusal(tmp_path, DATABASE_URL=url, PORT=str(free_port()))
    assert "the PostgreSQL of DATABASE_URL (127.0.0.1:" in said
    assert "secret" not in said


def test_a_redis_that_does_not_answer_is_named(tmp_path: Path, database_url: str) -> None:
    said = refusal(
        tmp_path,
        DATABASE_URL=database_url,
        REDIS_URL=f"redis://:secret@127.0.0.1:{free_port()}/0",
        PORT=str(free_port()),
    )
    assert "the Redis of REDIS_URL (127.0.0.1:" in said
    assert "secret" not in said


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, secret_key="x")
    with sharing.ensure_database(settings), preparing.connect(tmp_path) as connection:
        url = layout.database_url(tmp_path).replace("+psycopg", "")
        with connection.connect(url, autocommit=True) as mine:
            mine.execute("CREATE TABLE alembic_version AS SELECT '9999' AS version_num")
    said = refusal(tmp_path, PORT=str(free_port()))
    assert "made by a newer version of Riverain (revision 9999 is unknown here)" in said
    assert not layout.run_dir(tmp_path).exists()
    assert holding.postmaster(tmp_path / "postgres") is None


# -- parts ----------------------------------------------------------------------------------------


def test_the_newest_revision_is_the_one_that_no_other_follows(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('revision = "0001"\ndown_revision = None\n')
    (tmp_path / "b.py").write_text('revision: str = "0002"\ndown_revision: str = "0001"\n')
    assert revisions.of(tmp_path) == ({"0001", "0002"}, {"0002"})


def test_the_project_has_one_newest_revision() -> None:
    assert len(revisions.of(revisions.FOLDER)[1]) == 1


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["postgres", "valkey", "worker", "courier", "beat", "relay", "web"]),
        (
            {"database_url": "postgresql://db/city"},
            ["valkey", "worker", "courier", "beat", "relay", "web"],
        ),
        ({"redis_url": "redis://cache"}, ["postgres", "worker", "courier", "beat", "relay", "web"]),
        (
            {"database_url": "postgresql://db/city", "redis_url": "redis://cache"},
            ["worker", "courier", "beat", "relay", "web"],
        ),
    ],
)
def test_only_the_servers_that_no_url_names_are_embedded(
    tmp_path: Path, given: dict[str, str], names: list[str]
) -> None:
    listed = supervised.programs(Settings(data_dir=tmp_path, secret_key="x", **given))  # type: ignore[arg-type]
    assert [program.name for program in listed] == names
    assert [program.priority for program in listed] == sorted(p.priority for p in listed)


def test_the_supervisor_restarts_everything_and_asks_each_in_its_own_way_to_stop(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path / "100% mine", secret_key="x")
    settings.data_dir.mkdir()
    text = supervised.configuration(settings, supervised.programs(settings), is_root=True)
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(text)
    assert parsed["supervisord"]["user"] == "root"
    assert "100%% mine" in parsed["supervisord"]["logfile"]
    for name in ("postgres", "valkey", "worker", "courier", "beat", "relay", "web"):
        program = parsed[f"program:{name}"]
        assert program["autorestart"] == "true"
        assert int(program["startretries"]) >= 1000
        assert program["stdout_logfile_maxbytes"] == "10MB"
        assert program["autostart"] == str(name in ("postgres", "valkey")).lower()
    assert parsed["program:postgres"]["stopsignal"] == "INT"


def test_what_the_operator_set_is_stronger_than_what_we_set_for_small_machines(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path, secret_key="x")
    made = supervised.environment(settings, {"OMP_NUM_THREADS": "8", "DATA_DIR": "elsewhere"})
    assert made["OMP_NUM_THREADS"] == "8"
    assert made["MALLOC_ARENA_MAX"] == "2"
    assert made["DATA_DIR"] == made[holding.MARK] == str(tmp_path)


def test_an_error_in_a_log_is_shown_once_and_the_rest_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "worker.log"
    log.write_text(json.dumps({"level": "error", "event": "of an earlier run"}) + "\n")
    complaints = telling.Complaints(tmp_path)
    complaints.begin()
    with log.open("a") as file:
        file.write(json.dumps({"level": "info", "event": "task.done"}) + "\n")
        file.write(json.dumps({"level": "error", "event": "mail.refused"}) + "\n")
        file.write(json.dumps({"level": "error", "event": "mail.refused"}) + "\nnot whole")
    complaints.show()
    complaints.show()
    assert capsys.readouterr().out == f"worker reports an error: mail.refused; see {log}\n"


# -- the whole of it ------------------------------------------------------------------------------


class Running:
    """A `make run` in the background whose lines can be waited for."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.running"],
            cwd=PROJECT,
            env=environment(data_dir, PORT=str(port)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self.said: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                with self._news:
                    self.said.append(line.rstrip())
                    self._news.notify_all()

    def wait_for(self, text: str, timeout_s: float) -> None:
        with self._news:
            assert self._news.wait_for(
                lambda: any(text in line for line in self.said), timeout_s
            ), self.said

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join()
        return status

    def children(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    # Whatever a failed test left: it carries this DATA_DIR.
    holding.stop_orphans(tmp_path)


@pytest.mark.whole
def test_it_starts_everything_survives_kills_and_leaves_nothing_behind(data_dir: Path) -> None:
    port = free_port()
    first = Running(data_dir, port)
    first.wait_for(f"Riverain is ready: http://127.0.0.1:{port}", 90)
    first.wait_for(f"written to {data_dir / 'outbox'}", 5)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
        assert answer.status == 200
    assert "already uses DATA_DIR" in refusal(data_dir, PORT=str(free_port()))

    relay = next(p for p in first.children() if "app.relaying" in p.cmdline())
    relay.kill()
    first.wait_for("relay stopped by itself", 10)

    left = first.children()
    first.end(signal.SIGKILL)
    second = Running(data_dir, port)
    second.wait_for("Riverain is ready", 90)
    _, alive = psutil.wait_procs(left, timeout=0)
    assert alive == []

    left = second.children()
    assert len(left) >= 8
    assert second.end(signal.SIGTERM) == 0
    assert second.said[-1] == "Riverain has stopped."
    _, alive = psutil.wait_procs(left, timeout=0)
    assert alive == []
    assert not layout.run_dir(data_dir).exists()
    leftovers = [
        path
        for path in data_dir.rglob("*")
        if path.is_socket() or path.suffix in (".pid", ".lock", ".sock")
    ]
    assert leftovers == []


@pytest.mark.whole
def test_told_to_stop_while_it_starts_it_stops(data_dir: Path) -> None:
    run = Running(data_dir, free_port())
    run.wait_for("Making the database", 30)
    time.sleep(0.3)
    assert run.end(signal.SIGINT) == 0
    assert holding.orphans(data_dir) == []
    assert not layout.run_dir(data_dir).exists()


def test_the_reason_of_a_failed_start_is_the_error_not_what_followed_from_it(
    data_dir: Path,
) -> None:
    log = data_dir / "setup.log"
    log.write_text(
        "Traceback (most recent call last):\n"
        "ModuleNotFoundError: No module named 'h3'\n\n"
        "Error: No such command 'db'.\n"
    )
    assert telling.last_line(log) == "ModuleNotFoundError: No module named 'h3'."
