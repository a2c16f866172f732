"""`make bench`: every benchmark, as a table and as JSON.

    SCALE=full   the largest sizes, as long as they take
    BENCH=a,b    only these: intake, limits, pipeline, lists, open311, assets, duplicates,
                 sensing, memory

By default it takes at most five minutes. Compare ratios, not seconds: the floor is measured in
the same run, in turns with what is measured.
"""

from __future__ import annotations

import json
import operator
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import assets, duplicates, intake, lists, memory, open311, pipeline, sensing
from bench.system import Riverain, riverain

RESULTS = Path("var/bench.json")


def main() -> int:
    """Run what was asked for; 1 when a figure is beyond its limit."""
    is_full = os.environ.get("SCALE") == "full"
    wanted = set(filter(None, os.environ.get("BENCH", "").split(",")))

    def asked(name: str) -> bool:
        return not wanted or name in wanted

    results: dict[str, dict[str, float]] = {}

    def note(name: str, measured: Callable[[], dict[str, float]]) -> None:
        started = time.perf_counter()
        results[name] = measured()
        _print(name, results[name], time.perf_counter() - started)

    print(f"Riverain's benchmarks, {platform.machine()}, {os.cpu_count()} cores\n", flush=True)
    seconds = 60.0 if is_full else 18.0
    if any(map(asked, ("memory", "intake", "pipeline", "lists", "open311"))):
        with riverain(RATE_LIMITS="off") as system:
            if asked("memory"):
                time.sleep(5)
                note("memory", lambda: memory.measure(system))
            if asked("pipeline"):
                note("promptness", lambda: pipeline.promptness(system, reports=40))
                note("pipeline", lambda: pipeline.drain(system, reports=20_000))
            if asked("intake"):
                system.wait_until_idle()
                note("intake", lambda: intake.measure(system, seconds=seconds))
                system.wait_until_idle()
            if asked("lists") or asked("open311"):
                token = _agent(system)
                lists.fill(system, reports=1_000_000)
            if asked("lists"):
                note("lists", lambda: lists.measure(system, token, seconds=2.0))
            if asked("open311"):
                note("open311", lambda: open311.measure(system, seconds=2.0))
    if asked("limits"):
        with riverain(RATE_LIMITS="on", TRUSTED_PROXIES="1") as system:
            note("intake with limits", lambda: intake.measure(system, seconds=seconds / 2))

    if asked("assets"):
        with riverain(RATE_LIMITS="off") as system:
            assets.fill(system, assets=1_000_000)
            note("assets", lambda: assets.measure(system, assets=1_000_000, seconds=2.0))

    if asked("duplicates"):
        with riverain() as system:
            for size in (100_000, 10_000_000) if is_full else (100_000,):
                duplicates.fill(system, reports=size)
                note(
                    "duplicates" if size == 100_000 else "duplicates at 10,000,000",
                    lambda: duplicates.measure(system, questions=2_000),
                )

    if asked("sensing"):
        note("sensing", sensing.analysis)
        size = 1_000_000 if is_full else 100_000
        note("fusion" if is_full else "fusion among 100,000", lambda: sensing.fusion(size))
        with riverain() as system:
            note("fusion in the database", lambda: sensing.stored_fusion(system))

    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nWritten to {RESULTS}.")
    return _judge(results)


def _agent(system: Riverain) -> str:
    """The key of an agent of the whole city."""
    system.flask(
        *("accounts", "create", "--email", "banc@ville.example", "--role", "agent"),
        *("--jurisdiction", "montpellier", "--password-stdin"),
        input_text="a passphrase for the bench only\n",
    )
    key = system.flask("accounts", "api-key", "--email", "banc@ville.example", "--name", "bench")
    return key.strip().splitlines()[-1]


_HOLDS: dict[str, Callable[[float, float], bool]] = {
    "below": operator.lt,
    "at most": operator.le,
    "above": operator.ge,
}

#: Figure, limit, and whether it must stay below it or above it.
LIMITS = (
    ("intake", "ratio", 0.35, "above"),
    ("intake", "p99_ratio", 10.0, "below"),
    ("pipeline", "reports_per_s", 300.0, "above"),
    ("promptness", "routed_p95_ms", 1000.0, "below"),
    ("lists", "newest_median_ms", 30.0, "below"),
    ("assets", "box_median_ms", 25.0, "below"),
    ("open311", "json_median_ms", 120.0, "below"),
    ("open311", "xml_median_ms", 120.0, "below"),
    ("open311", "statements_for_1000", 1.0, "at most"),
    ("open311", "table_web_growth_mb", 40.0, "below"),
    ("duplicates", "p99_ms", 5.0, "below"),
    ("duplicates at 10,000,000", "p99_ms", 5.0, "below"),
    ("sensing", "ratio", 25.0, "at most"),
    ("fusion", "median_ms", 100.0, "below"),
    ("fusion among 100,000", "median_ms", 100.0, "below"),
    ("fusion in the database", "processor_ms", 100.0, "below"),
    ("memory", "total_mb", 600.0, "below"),
)


def _judge(results: dict[str, dict[str, float]]) -> int:
    status = 0
    for name, figure, limit, side in LIMITS:
        if name in results:
            value = results[name][figure]
            if not _HOLDS[side](value, limit):
                print(f"{name}: {figure} is {value:g}; it should be {side} {limit:g}.")
                status = 1
    return status


def _print(name: str, figures: dict[str, float], seconds: float) -> None:
    print(f"{name} ({seconds:.0f} s)")
    for figure, value in figures.items():
        print(f"    {figure:<34}{value:>12.2f}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
