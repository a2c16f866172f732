"""What the long runs share with the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.installation import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Everything but the web, on servers of its own."""
    made = Installation(tmp_path / "data")
    try:
        made.start_servers()
        yield made
    finally:
        made.close()
