"""Whatever dies under a load of 500 reports: all are routed, everybody is told once.

`make test` has one of these; the rest takes minutes. Each case says what is disturbed; what must be
true afterwards is the same for all (`tests.workers.killing.check`).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.workers.installation import Installation
from tests.workers.killing import check, load_and_disturb, pause


def kill_the_worker(installation: Installation) -> None:
    installation.kill("worker")


def kill_the_courier(installation: Installation) -> None:
    installation.kill("courier")


def kill_the_relay(installation: Installation) -> None:
    installation.kill("relay")


def kill_everything_of_ours(installation: Installation) -> None:
    for name in ("relay", "worker", "courier", "beat"):
        installation.kill(name)


def flush_valkey(installation: Installation) -> None:
    with installation.redis() as client:
        client.flushall()


def stop_valkey_for_ten_seconds(installation: Installation) -> None:
    installation.stop("valkey")
    pause(10)
    installation.start("valkey")


def kill_valkey(installation: Installation) -> None:
    installation.kill("valkey")


def restart_postgres(installation: Installation) -> None:
    installation.stop("postgres")
    pause(1)
    installation.start("postgres")


def kill_postgres(installation: Installation) -> None:
    installation.kill("postgres")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "disturb",
    [
        kill_the_worker,
        kill_the_courier,
        kill_the_relay,
        kill_everything_of_ours,
        flush_valkey,
        stop_valkey_for_ten_seconds,
        kill_valkey,
        restart_postgres,
        kill_postgres,
    ],
)
def test_all_reports_arrive_and_everybody_is_told_once(
    installation: Installation, disturb: Callable[[Installation], None]
) -> None:
    seconds = load_and_disturb(installation, lambda: disturb(installation))
    check(installation)
    print(f"{disturb.__name__}: settled after {seconds:.0f} s")
