"""What Prometheus reads: each metric once, whichever process answers, and however often."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]

#: Asks twice, as one of several processes: the library decides for several when it is imported.
PROGRAM = """
from app import create_app
from app.config import Settings

client = create_app(Settings.load()).test_client()
client.get("/metrics")
print(client.get("/metrics").text)
"""


def test_every_metric_stands_there_once_and_says_what_is_now(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    environment = {
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a key that lives for one test, long enough",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    families = list(text_string_to_metric_families(done.stdout))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert {"riverain_requests", "riverain_request_seconds", "riverain_database_up"} <= set(names)
    age = next(f for f in families if f.name == "riverain_outbox_oldest_pending_seconds")
    assert [sample.labels for sample in age.samples] == [{}]
