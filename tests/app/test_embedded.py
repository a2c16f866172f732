"""The embedded servers: where they live, that they start, stop and survive a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from app import holding
from app.config import Settings
from app.embedded import layout, preparing, servers, sharing


def settings_in(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, secret_key="not used")


def sessions(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url.replace("+psycopg", ""))


def test_sockets_lie_in_data_dir_where_their_paths_are_short_enough(tmp_path: Path) -> None:
    assert layout.run_dir(Path("/srv/riverain")) == Path("/srv/riverain/run")
    assert layout.database_url(Path("/srv/riverain")) == (
        "postgresql+psycopg://riverain@/riverain?host=/srv/riverain/run/pg"
    )


def test_sockets_of_a_deep_data_dir_lie_in_tmp_the_same_for_whoever_asks() -> None:
    deep = Path("/srv") / ("x" * 120)
    assert layout.run_dir(deep) == layout.run_dir(deep / ".." / deep.name)
    assert layout.run_dir(deep).parent == Path("/tmp")
    assert layout.run_dir(deep) != layout.run_dir(deep / "other")
    longest = layout.run_dir(deep) / "pg" / ".s.PGSQL.5432.lock"
    assert len(os.fsencode(longest)) <= layout.LONGEST_SOCKET_PATH


def test_a_socket_folder_that_somebody_else_prepared_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("y" * 120)
    deep.mkdir()
    trap = layout.run_dir(deep)
    trap.symlink_to(tmp_path)
    try:
        with pytest.raises(layout.EmbeddedError, match="belongs to somebody else"):
            layout.run_dir(deep)
    finally:
        trap.unlink()


@pytest.mark.parametrize(
    ("redis_url", "broker_url"),
    [
        ("redis://cache:6379/2", "redis://cache:6379/2"),
        ("unix:///var/run/valkey.sock?db=0", "redis+socket:///var/run/valkey.sock?virtual_host=0"),
    ],
)
def test_celery_gets_the_broker_in_its_own_spelling(redis_url: str, broker_url: str) -> None:
    assert layout.broker_url(redis_url) == broker_url


def test_a_given_database_is_used_as_it_is(tmp_path: Path) -> None:
    given = Settings(data_dir=tmp_path, secret_key="x", database_url="postgresql://elsewhere/db")
    with sharing.ensure_database(given) as url:
        assert url == "postgresql://elsewhere/db"
    assert list(tmp_path.iterdir()) == []


def test_the_database_keeps_its_rows_over_a_stop_and_leaves_no_process(tmp_path: Path) -> None:
    with sharing.ensure_database(settings_in(tmp_path)) as url:
        with sessions(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT lower('É') AS letter")
        server = holding.postmaster(tmp_path / "postgres")
        assert server is not None
    assert not server.is_running()
    assert not layout.run_dir(tmp_path).exists()
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()
    with sharing.ensure_database(settings_in(tmp_path)) as url, sessions(url) as connection:
        assert connection.execute("SELECT letter FROM kept").fetchone() == ("é",)


def test_a_second_user_of_the_database_keeps_it_running_until_done(tmp_path: Path) -> None:
    is_open, may_end = threading.Event(), threading.Event()
    seen: list[object] = []

    def second() -> None:
        with sharing.ensure_database(settings_in(tmp_path)) as url:
            is_open.set()
            may_end.wait(20)
            with sessions(url) as connection:
                seen.append(connection.execute("SELECT 1").fetchone())

    other = threading.Thread(target=second)
    with sharing.ensure_database(settings_in(tmp_path)):
        other.start()
        assert is_open.wait(20)
        threading.Timer(0.5, may_end.set).start()
    other.join()
    assert seen == [(1,)]


def test_what_a_killed_run_left_is_found_by_its_data_dir_and_stopped(tmp_path: Path) -> None:
    preparing.prepare(tmp_path, redis=False)
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours = subprocess.Popen(sleeper, env={**os.environ, holding.MARK: str(tmp_path)})
    stranger = subprocess.Popen(sleeper, env={**os.environ, holding.MARK: str(tmp_path / "other")})
    server = subprocess.Popen(servers.postgres_command(tmp_path), stderr=subprocess.DEVNULL)
    try:
        preparing.wait_for_database(tmp_path)
        held = holding.hold(tmp_path)
        assert holding.stop_orphans(tmp_path) == 2
        held.release()
        assert ours.poll() is not None
        assert server.poll() is not None
        assert stranger.poll() is None
    finally:
        for process in (ours, stranger, server):
            process.kill()
            process.wait()


def test_a_number_in_a_stale_pid_file_that_a_stranger_has_now_is_not_our_server(
    tmp_path: Path,
) -> None:
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}\n")
    assert holding.postmaster(tmp_path) is None


def test_the_database_comes_back_after_its_server_was_killed(tmp_path: Path) -> None:
    preparing.prepare(tmp_path, redis=False)
    server = subprocess.Popen(servers.postgres_command(tmp_path), stderr=subprocess.DEVNULL)
    preparing.wait_for_database(tmp_path)
    children = psutil.Process(server.pid).children(recursive=True)
    server.kill()
    server.wait()
    psutil.wait_procs(children, timeout=10)
    assert (tmp_path / "postgres" / "postmaster.pid").exists()
    with sharing.ensure_database(settings_in(tmp_path)) as url, sessions(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_cluster_of_another_postgresql_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(layout.EmbeddedError, match="was made by PostgreSQL 16 and this is 18"):
        preparing.prepare(tmp_path, redis=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel does it on Linux only")
def test_a_program_dies_with_whoever_launched_it(tmp_path: Path) -> None:
    sleeper = servers.launched("SIGTERM", [sys.executable, "-c", "import time; time.sleep(60)"])
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({sleeper!r})\n"
        "time.sleep(0.5); print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
