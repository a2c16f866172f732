"""The programs of `make run` and the supervisor (http://supervisord.org) that keeps them alive.

Supervisor restarts a program that died, waiting a second longer each time. It starts PostgreSQL
and Valkey by itself; the rest waits until `app.running` has looked at the database and says so.
Priorities say the order: started from low to high, stopped from high to low, so that the web goes
first and PostgreSQL last.
"""

from __future__ import annotations

import http.client
import shlex
import sys
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from app import holding
from app.config import Settings
from app.embedded import layout, servers

PROJECT = Path(__file__).resolve().parent.parent

#: How far the workers give way where the processor is scarce: a flood of reports is taken first and
#: worked through afterwards. On an idle machine it changes nothing.
BEHIND_THE_WEB = 15

#: Programs whose output is JSON lines of our own logging.
OURS = ("worker", "courier", "beat", "relay", "web")


@dataclass(frozen=True, slots=True)
class Program:
    """One program under the supervisor."""

    name: str
    priority: int
    command: list[str]
    #: The signal that means "finish what you have and go" to this program.
    stop_signal: str = "TERM"
    #: How long it may take over that before it is killed.
    stop_wait_s: int = 15
    is_server: bool = False


def programs(settings: Settings) -> list[Program]:
    """What runs, in the order of starting; embedded servers only where no URL is given."""
    data_dir = settings.data_dir.resolve()
    runs = layout.run_dir(data_dir)
    listed: list[Program] = []
    if settings.database_url is None:
        listed.append(
            Program("postgres", 10, servers.postgres_command(data_dir), "INT", 30, is_server=True)
        )
    if settings.redis_url is None:
        listed.append(Program("valkey", 20, servers.valkey_command(data_dir), is_server=True))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return [
        *listed,
        Program(
            "worker",
            30,
            _ours(sys.executable, "-m", "app.working", "worker", nice=BEHIND_THE_WEB),
            # A batch has this long to end; what is cut off is relayed again.
            stop_wait_s=45,
        ),
        Program(
            "courier",
            35,
            _ours(sys.executable, "-m", "app.working", "courier", nice=BEHIND_THE_WEB),
            stop_wait_s=45,
        ),
        Program(
            "beat",
            40,
            _ours(sys.executable, "-m", "app.beating", nice=BEHIND_THE_WEB),
        ),
        Program(
            "relay",
            50,
            _ours(sys.executable, "-m", "app.relaying", nice=BEHIND_THE_WEB),
        ),
        Program(
            "web",
            60,
            _ours(
                sys.executable,
                "-m",
                "gunicorn",
                "wsgi:app",
                "--config=python:app.web_server",
                f"--bind={host}:{settings.port}",
                "--worker-class=gthread",
                f"--workers={settings.web_workers}",
                f"--threads={settings.web_threads}",
                # Forked after loading, the workers share the memory of the code.
                "--preload",
                "--timeout=60",
                "--graceful-timeout=15",
                f"--worker-tmp-dir={runs}",
                "--no-control-socket",
                "--log-level=warning",
            ),
            stop_wait_s=25,
        ),
    ]


def _ours(*command: str, nice: int = 0) -> list[str]:
    return servers.launched("SIGTERM", list(command), nice=nice)


def environment(settings: Settings, environ: dict[str, str]) -> dict[str, str]:
    """The environment of everything we start: the caller's, and what saves memory."""
    data_dir = settings.data_dir.resolve()
    return {
        # One arena per process and one thread per library: many small processes share two cores.
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **environ,
        "DATA_DIR": str(data_dir),
        "PROMETHEUS_MULTIPROC_DIR": str(layout.run_dir(data_dir) / "metrics"),
        holding.MARK: str(data_dir),
    }


def configuration(settings: Settings, listed: list[Program], *, is_root: bool) -> str:
    """The supervisor's configuration file."""
    data_dir = settings.data_dir.resolve()
    runs = layout.run_dir(data_dir)
    socket = runs / "supervisor.sock"
    sections: dict[str, dict[str, object]] = {
        "supervisord": {
            "nodaemon": "true",
            "logfile": data_dir / "log" / "supervisor.log",
            "logfile_maxbytes": "5MB",
            "logfile_backups": 2,
            "pidfile": runs / "supervisord.pid",
            "childlogdir": data_dir / "log",
            "directory": PROJECT,
            # Said aloud, because the supervisor warns when root does not.
            **({"user": "root"} if is_root else {}),
        },
        "unix_http_server": {"file": socket, "chmod": "0700"},
        "supervisorctl": {"serverurl": f"unix://{socket}"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    for program in listed:
        sections[f"program:{program.name}"] = {
            "command": shlex.join(program.command),
            "directory": PROJECT,
            "priority": program.priority,
            "autostart": str(program.is_server).lower(),
            "autorestart": "true",
            "startsecs": 1,
            # It never gives up: the wait grows by a second each time.
            "startretries": 1000,
            "stopsignal": program.stop_signal,
            "stopwaitsecs": program.stop_wait_s,
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": data_dir / "log" / f"{program.name}.log",
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": 3,
        }
    lines = ["# Written by `make run` at every start; a change here is lost."]
    for title, values in sections.items():
        lines += ["", f"[{title}]"]
        lines += [f"{key}={str(value).replace('%', '%%')}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


class Supervisor:
    """Talks to a running supervisor over its socket."""

    def __init__(self, socket: Path) -> None:
        self._url = f"unix://{socket}"

    def _calls(self) -> Any:
        # A fresh one for every call: after a failed connection the transport is of no more use.
        # The proxy insists on an address, which this transport does not look at.
        transport = SupervisorTransport(None, None, self._url)
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def answers(self) -> bool:
        """Whether it takes orders yet."""
        try:
            return bool(self._calls().getState()["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error, http.client.HTTPException):
            return False

    def start(self, name: str) -> None:
        """Start a program; does not wait until it runs."""
        self._calls().startProcess(name, False)
