"""What `make run` says to whoever started it, and what it finds to say in the logs."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from pathlib import Path

from app import supervised

#: The same complaint of a program is shown once in so many seconds.
QUIET_S = 60.0


def say(line: str) -> None:
    """Say one line to whoever started us."""
    # A terminal that was closed is no reason not to stop in good order.
    with contextlib.suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


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
            say(f"{name} reports an error: {event}; see {path}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def show_from(log: Path, start: int) -> int:
    """Say what a command wrote for people since `start`; returns where to go on from."""
    with log.open("rb") as file:
        file.seek(start)
        whole, newline, _ = file.read().rpartition(b"\n")
    for line in whole.decode(errors="replace").splitlines():
        if line.startswith("Traceback "):
            break
        if line.strip() and not line.startswith("{"):
            say(f"  {line.rstrip()}")
    return start + len(whole) + len(newline)


def last_line(log: Path) -> str:
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
