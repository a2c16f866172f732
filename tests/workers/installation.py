"""A whole Riverain without the web, run as `make run` runs it, whose parts a test may kill.

The programs are those of `app.supervised`, with their own PostgreSQL and Valkey in a DATA_DIR of
their own; a thread starts again what died, as the supervisor does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import redis
import sqlalchemy as sa
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy.orm import Session

from accounts.actors import ANONYMOUS
from accounts.models import Team
from app import foundation, migrating, supervised
from app.config import Settings
from app.embedded import preparing
from core.clock import utc_now
from core.db import close_connections, transaction
from geo import jurisdictions
from geo.measures import Point
from reports import catalogue, submission
from reports.contacts import Contact
from reports.loading import load_routing_rules
from reports.routing import deciding
from reports.routing.grammar import parse
from tests.factories import COMEDIE, new_jurisdiction, new_service, new_team
from workers.heartbeat import HEARTBEAT_KEY

#: What a supervisor waits before it starts again what died.
RESTART_AFTER_S = 1.0

_SERVERS = ("postgres", "valkey")
_OURS = ("worker", "courier", "beat", "relay")


class Installation:
    """PostgreSQL, Valkey, worker, courier, beat and relay on one DATA_DIR."""

    def __init__(self, data_dir: Path, *, workers: int = 2) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir = data_dir
        self.settings = Settings(
            data_dir=data_dir,
            secret_key="the key of an installation that lives for one test",
            demo=False,
            rate_limits=False,
            pipeline_workers=workers,
        )
        self._programs = {program.name: program for program in supervised.programs(self.settings)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._wanted: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.app: Flask

    @property
    def outbox(self) -> Path:
        """The folder that messages are written to."""
        return self.data_dir / "outbox"

    def start_servers(self) -> None:
        """Start PostgreSQL and Valkey, with a small city in the database."""
        preparing.prepare(self.data_dir)
        (self.data_dir / "log").mkdir(exist_ok=True)
        for name in _SERVERS:
            self.start(name)
        preparing.wait_for_database(self.data_dir)
        self.app = foundation.lay(self.settings)
        migrating.install(self.app)
        with self.app.app_context():
            upgrade()

    def start_ours(self) -> None:
        """Start the programs of the pipeline and wait for the worker's first sign of life."""
        for name in _OURS:
            self.start(name)
        threading.Thread(target=self._keep, daemon=True).start()
        self.wait_until(self._has_workers, 60, "the workers did not start")

    def start(self, name: str) -> None:
        """Start a program, and keep it running from now on."""
        with self._lock:
            self._wanted.add(name)
            self._spawn(name)

    def kill(self, name: str) -> None:
        """Kill a program and all its children with SIGKILL; it is started again."""
        with self._lock:
            _kill_tree(self._running[name].pid)
            self._running[name].wait()

    def stop(self, name: str) -> None:
        """Stop a program in good order and leave it stopped until `start`."""
        with self._lock:
            self._wanted.discard(name)
            process = self._running[name]
        process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
        process.wait(timeout=60)

    def close(self) -> None:
        """Stop everything."""
        self._over.set()
        with self._lock:
            self._wanted.clear()
        for name in (*_OURS, *reversed(_SERVERS)):
            process = self._running.get(name)
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                _kill_tree(process.pid)
                process.wait()
        if hasattr(self, "app"):
            with self.app.app_context():
                close_connections()
        preparing.tidy(self.data_dir)

    def load_city(self, services: int = 5) -> list[str]:
        """Load a city with a team for each service; the codes of the services."""
        codes = [f"service-{number}" for number in range(services)]
        rules = [
            f"rule vers-{code}\n  when service {code}\n  then team equipe-{code}\n"
            for code in codes
        ]
        with self.app.app_context(), transaction() as session:
            city = new_jurisdiction(session, code="ville")
            for code in codes:
                new_service(
                    session, city, code=code, service_level={"working_days": 5},
                    duplicate_radius_m=10.0,
                )  # fmt: skip
                new_team(session, city, code=f"equipe-{code}")
            new_team(session, city, code="accueil")
            load_routing_rules(
                session, city.id, parse("\n".join(rules) + "\notherwise team accueil")
            )
        forget_caches()
        return codes

    def submit(self, number: int, code: str, *, email: str | None, at: Point | None = None) -> None:
        """Send one report through intake, as often as it takes: its id makes it one."""
        draft = submission.Draft(
            service_code=code,
            point=at or place_of(number),
            description=f"Signalement {number}",
            contact=Contact(email=email) if email else None,
        )
        caller = submission.Caller(
            actor=ANONYMOUS, address="127.0.0.1", idempotency_key=f"envoi-{number}"
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                with self.app.app_context(), transaction() as session:
                    submission.submit(
                        session, draft, caller, now=utc_now(), secret=self.settings.secret_key
                    )
                return
            except (sa.exc.OperationalError, sa.exc.InterfaceError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A session to look with."""
        with self.app.app_context(), transaction() as session:
            yield session

    def redis(self) -> redis.Redis:
        """A client of its Valkey."""
        return redis.Redis.from_url(self.app.config["REDIS_URL"])

    def wait_until(self, is_so: object, timeout_s: float, otherwise: str) -> float:
        """Ask until it is so; how long that took."""
        assert callable(is_so)
        started = time.monotonic()
        while True:
            with contextlib.suppress(sa.exc.SQLAlchemyError, redis.RedisError):
                if is_so():
                    return time.monotonic() - started
            if time.monotonic() - started > timeout_s:
                raise AssertionError(f"{otherwise} within {timeout_s:.0f} s; {self._said()}")
            time.sleep(0.1)

    def is_settled(self) -> bool:
        """Whether nothing waits any more: no event, no delivery."""
        with self.session() as session:
            waiting = session.scalar(
                sa.text(
                    "SELECT (SELECT count(*) FROM outbox_events WHERE done_at IS NULL)"
                    " + (SELECT count(*) FROM deliveries WHERE state IN ('pending', 'sending'))"
                )
            )
        return waiting == 0

    def _has_workers(self) -> bool:
        with self.redis() as client:
            return len(client.hgetall(HEARTBEAT_KEY)) >= 2

    def _keep(self) -> None:
        """Start again what died, until the end."""
        while not self._over.wait(RESTART_AFTER_S):
            with self._lock:
                for name in self._wanted:
                    if self._running[name].poll() is not None:
                        self._spawn(name)

    def _spawn(self, name: str) -> None:
        log = (self.data_dir / "log" / f"{name}.log").open("ab")
        environment = {
            **supervised.environment(self.settings, dict(os.environ)),
            "SECRET_KEY": self.settings.secret_key,
            "RATE_LIMITS": "off",
        }
        environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
        with log:
            self._running[name] = subprocess.Popen(
                self._programs[name].command,
                cwd=supervised.PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _said(self) -> str:
        """The last words of each program."""
        lines = []
        for name in _OURS:
            path = self.data_dir / "log" / f"{name}.log"
            if path.exists():
                lines.append(f"{name}: {path.read_text(errors='replace')[-600:]}")
        return "\n".join(lines)


def place_of(number: int) -> Point:
    """Positions some hundred metres apart, so that no report repeats another one."""
    return Point(
        COMEDIE.lat - 0.09 + 0.002 * (number % 90), COMEDIE.lon - 0.09 + 0.003 * (number // 90)
    )


def forget_caches() -> None:
    """Read the city again: the database is another one, or went back in time."""
    jurisdictions.forget()
    catalogue.forget()
    deciding.forget()


def teams(session: Session) -> dict[str, int]:
    """Ids of teams by code."""
    return {team.code: team.id for team in session.scalars(sa.select(Team))}


def _kill_tree(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
