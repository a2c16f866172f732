"""`make bench`: every benchmark, as a table and as JSON.

    SCALE=full   the largest sizes, as long as they take
    BENCH=a,b    only these: limits, memory, pipeline, intake, lists, open311, assets, duplicates,
                 sensing

By default it takes at most five minutes. Compare ratios, not seconds: the floor is measured in
the same run, in turns with what is measured.
"""

from __future__ import annotations

import json
import operator
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import assets, duplicates, intake, lists, memory, open311, pipeline, sensing
from bench.system import Riverain, riverain

RESULTS = Path("var/bench.json")

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is stored, and how long each question is asked.

    Attributes:
        past: reports that duplicates are looked for among, one size after the other.
    """

    load_s: float
    question_s: float
    reports: int
    assets: int
    past: tuple[int, ...]
    bumps: int


SCALES = {
    "": Scale(7.0, 0.7, 200_000, 200_000, (100_000,), 100_000),
    "full": Scale(60.0, 2.0, 1_000_000, 1_000_000, (100_000, 10_000_000), 1_000_000),
}


class Bench:
    """What was asked for, and what came of it."""

    def __init__(self, wanted: set[str]) -> None:
        self._wanted = wanted
        self.results: dict[str, Figures] = {}

    def asks(self, *names: str) -> bool:
        """Whether one of these is wanted."""
        return not self._wanted or not self._wanted.isdisjoint(names)

    def note(self, name: str, measured: Callable[[], Figures]) -> None:
        """Measure, print and keep."""
        started = time.perf_counter()
        self.results[name] = measured()
        _print(name, self.results[name], time.perf_counter() - started)


def main() -> int:
    """Run what was asked for; 1 when a figure is beyond its limit."""
    bench = Bench(set(filter(None, os.environ.get("BENCH", "").split(","))))
    scale = SCALES[os.environ.get("SCALE", "")]
    print(f"Riverain's benchmarks, {platform.machine()}, {os.cpu_count()} cores\n", flush=True)
    # One installation for all of them: the first start of another takes half a minute.
    with tempfile.TemporaryDirectory(prefix="riverain-bench-") as folder:
        if bench.asks("limits"):
            with riverain(Path(folder), RATE_LIMITS="on", TRUSTED_PROXIES="1") as system:
                seconds = scale.load_s / 2
                bench.note("intake with limits", lambda: intake.measure(system, seconds=seconds))
                system.wait_until_idle()
        with riverain(Path(folder), RATE_LIMITS="off") as system:
            _flow(bench, system, scale)
            _stock(bench, system, scale)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(bench.results, indent=2) + "\n")
    print(f"\nWritten to {RESULTS}.")
    return _judge(bench.results)


def _flow(bench: Bench, system: Riverain, scale: Scale) -> None:
    """What goes in, and how soon it is where it belongs."""
    if bench.asks("memory"):
        time.sleep(5)
        bench.note("memory", lambda: memory.measure(system))
    if bench.asks("pipeline"):
        bench.note("promptness", lambda: pipeline.promptness(system, reports=30))
        bench.note("pipeline", lambda: pipeline.drain(system, reports=20_000))
    if bench.asks("intake"):
        system.wait_until_idle()
        bench.note("intake", lambda: intake.measure(system, seconds=scale.load_s))
        system.wait_until_idle()


def _stock(bench: Bench, system: Riverain, scale: Scale) -> None:
    """What is asked of much that is stored; duplicates last: they drop the indexes of others."""
    seconds = scale.question_s
    if bench.asks("lists", "open311"):
        token = _agent(system)
        lists.fill(system, reports=scale.reports)
    if bench.asks("lists"):
        bench.note("lists", lambda: lists.measure(system, token, seconds=seconds))
    if bench.asks("open311"):
        bench.note("open311", lambda: open311.measure(system, seconds=seconds))
    if bench.asks("assets"):
        assets.fill(system, assets=scale.assets)
        bench.note("assets", lambda: assets.measure(system, assets=scale.assets, seconds=seconds))
    if bench.asks("sensing"):
        bench.note("analysis", sensing.analysis)
        bench.note("fusion", lambda: sensing.fusion(scale.bumps))
        bench.note("fusion in the database", lambda: sensing.stored_fusion(system, scale.bumps))
    if bench.asks("duplicates"):
        for past in scale.past:
            duplicates.fill(system, reports=past)
            bench.note(
                f"duplicates among {past:,}", lambda: duplicates.measure(system, questions=2_000)
            )


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
    ("duplicates among 100,000", "p99_ms", 5.0, "below"),
    ("duplicates among 10,000,000", "p99_ms", 5.0, "below"),
    ("analysis", "ratio", 25.0, "at most"),
    ("fusion", "median_ms", 100.0, "below"),
    ("fusion in the database", "processor_ms", 100.0, "below"),
    ("memory", "total_mb", 600.0, "below"),
)


def _judge(results: dict[str, Figures]) -> int:
    status = 0
    for name, figure, limit, side in LIMITS:
        if name in results:
            value = results[name][figure]
            if not _HOLDS[side](value, limit):
                print(f"{name}: {figure} is {value:g}; it should be {side} {limit:g}.")
                status = 1
    return status


def _print(name: str, figures: Figures, seconds: float) -> None:
    print(f"{name} ({seconds:.0f} s)")
    for figure, value in figures.items():
        print(f"    {figure:<34}{value:>12.2f}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
