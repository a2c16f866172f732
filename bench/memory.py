"""Memory of everything that `make run` starts, as the sum of PSS: shared pages count once."""

from __future__ import annotations

from pathlib import Path

import psutil

from bench.system import Riverain


def measure(system: Riverain) -> dict[str, float]:
    """Megabytes in all and of each program; Linux only, elsewhere empty."""
    parts: dict[str, float] = {}
    root = psutil.Process(system.process_id)
    for process in [root, *root.children(recursive=True)]:
        size = _pss_kb(process.pid)
        if size:
            name = _name(process)
            parts[name] = parts.get(name, 0.0) + size / 1024
    rounded = {f"{name}_mb": round(size, 1) for name, size in sorted(parts.items())}
    return {"total_mb": round(sum(parts.values()), 1), **rounded}


def _pss_kb(process_id: int) -> int:
    try:
        lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _name(process: psutil.Process) -> str:
    """Which program of ours a process belongs to."""
    command = " ".join(process.cmdline())
    for mark, name in (
        ("postgres", "postgres"),
        ("valkey", "valkey"),
        ("gunicorn", "web"),
        ("app.working courier", "courier"),
        ("app.working worker", "worker"),
        ("app.beating", "beat"),
        ("app.relaying", "relay"),
        ("supervisord", "supervisor"),
    ):
        if mark in command:
            return name
    return "run"
