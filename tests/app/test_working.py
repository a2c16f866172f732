"""Workers start by our own program: how children get the application, and who is there."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient

from app.working import ROLES
from workers.heartbeat import HEARTBEAT_KEY
from workers.queues import PIPELINE_QUEUE, QUEUES

ROOT = Path(__file__).resolve().parents[2]

#: What a child that is started anew is handed, as billiard does it on macOS.
PROGRAM = """
import pickle
from app.working import application

celery = application()
again = pickle.loads(pickle.dumps(celery))
assert again is not celery
again.loader.import_default_modules()
assert "pipeline.triage" in again.tasks
"""


@pytest.fixture
def environment(tmp_path: Path, database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a key that lives for one test, long enough",
    }


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_children_that_are_not_forked_make_the_application_again(
    environment: dict[str, str],
) -> None:
    done = run([sys.executable, "-c", PROGRAM], environment)
    assert done.returncode == 0, done.stderr


def test_the_celery_script_finds_the_application(environment: dict[str, str]) -> None:
    script = Path(sys.executable).with_name("celery")
    done = run([sys.executable, str(script), "-A", "wsgi:celery", "report"], environment)
    assert "task_queues" in done.stdout, done.stderr


def test_a_worker_that_there_is_not_is_refused_in_a_sentence(environment: dict[str, str]) -> None:
    done = run([sys.executable, "-m", "app.working", "boss"], environment)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "worker, courier" in done.stderr


def test_our_two_workers_take_every_queue_between_them() -> None:
    assert sorted(name for role in ROLES.values() for name in role.queues) == sorted(QUEUES)


def test_workers_are_there_once_every_queue_is_served(
    client: FlaskClient, valkey: redis.Redis
) -> None:
    def workers() -> str:
        parts = client.get("/readyz").get_json()["parts"]
        return str(parts["workers"])

    now = time.time()
    others = ",".join(name for name in QUEUES if name != PIPELINE_QUEUE)
    assert workers() == "missing"
    valkey.hset(HEARTBEAT_KEY, f"here:1 {PIPELINE_QUEUE}", str(now))
    assert workers() == "missing"
    valkey.hset(HEARTBEAT_KEY, f"here:2 {others}", str(now - 60))
    assert workers() == "missing"
    valkey.hset(HEARTBEAT_KEY, f"here:2 {others}", str(now - 10))
    assert workers() == "ok"
