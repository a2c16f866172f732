"""The worker is killed in the middle of a batch; nothing is lost and nobody is told twice.

The other ways of dying are in `soak/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.installation import Installation
from tests.workers.killing import check, load_and_disturb


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "data")
    try:
        made.start_servers()
        yield made
    finally:
        made.close()


@pytest.mark.whole
@pytest.mark.timeout(300)
def test_a_worker_killed_in_the_middle_of_a_batch_loses_nothing(
    installation: Installation,
) -> None:
    def kill_workers() -> None:
        installation.kill("worker")
        installation.kill("courier")

    load_and_disturb(installation, kill_workers)
    check(installation)
