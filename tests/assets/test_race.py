"""Fifty people press at once, against the web server as `make run` starts it: several processes on
one PostgreSQL. The same on one process's threads stands in `test_adoption`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from flask import Flask

from app import supervised
from app.config import Settings
from app.embedded import preparing
from assets.adoption.models import Adoption, AdoptionEntry
from assets.models import Asset
from bench.system import free_port, wait_for_port
from core.db import transaction
from core.models import OutboxEvent
from tests.conftest import SECRET_KEY
from tests.factories import new_asset, new_asset_kind, new_citizen

PEOPLE = 50


@contextlib.contextmanager
def web_server(folder: Path, database_url: str, redis_url: str) -> Iterator[str]:
    """The address of gunicorn and its processes, on this database."""
    settings = Settings(
        data_dir=folder,
        database_url=database_url,
        redis_url=redis_url,
        secret_key=SECRET_KEY,
        rate_limits=False,
        demo=False,
        port=free_port(),
    )
    preparing.prepare(folder, database=False)
    environment = supervised.environment(settings, dict(os.environ)) | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": SECRET_KEY,
        "RATE_LIMITS": "off",
        "DEMO": "0",
    }
    del environment["PROMETHEUS_MULTIPROC_DIR"]
    [web] = [program for program in supervised.programs(settings) if program.name == "web"]
    process = subprocess.Popen(web.command, cwd=supervised.PROJECT, env=environment)
    try:
        wait_for_port(settings.port)
        yield f"http://127.0.0.1:{settings.port}"
    finally:
        process.terminate()
        process.wait(timeout=30)
        preparing.tidy(folder)


@pytest.mark.timeout(180)
def test_fifty_people_at_once_against_a_running_server_end_with_one_adopter(
    committed_db: Flask, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with committed_db.app_context(), transaction() as session:
        kind = new_asset_kind(session)
        asset_id, free_id = new_asset(session, kind).id, new_asset(session, kind).id
        headers = [dict(new_citizen(session).headers) for _ in range(PEOPLE)]
    with web_server(tmp_path, database_url, redis_url) as address:
        answers = pressed(f"{address}/api/v1/assets/{asset_id}/adoption", headers)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (PEOPLE - 1)
    for answer in answers:
        if answer.status_code == 409:
            document = answer.json()
            assert document["code"] == "adopted"
            assert document["waiting_list"].endswith("/adoption/waiting")
            assert [each["id"] for each in document["nearest_free"]] == [str(free_id)]
    with committed_db.app_context(), transaction() as session:
        [adoption] = session.scalars(sa.select(Adoption)).all()
        assert session.get_one(Asset, asset_id).adopters == 1
        assert session.scalars(sa.select(AdoptionEntry.entry)).all() == ["begun"]
        begun = sa.select(OutboxEvent.subject_id).where(OutboxEvent.name == "adoption.begun")
        assert session.scalars(begun).all() == [adoption.id]


def pressed(url: str, headers: list[dict[str, str]]) -> list[Any]:
    """The answers to everybody's call, each on a connection of its own, all at once."""
    start = threading.Barrier(len(headers))
    answers: list[Any] = [None] * len(headers)

    def press(number: int) -> None:
        start.wait()
        answers[number] = requests.post(url, json={}, headers=headers[number], timeout=120)

    threads = [threading.Thread(target=press, args=(number,)) for number in range(len(headers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
