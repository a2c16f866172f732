"""Simulated phones send their trips to a running server, as a load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask
from werkzeug.serving import make_server

from core.db import reading, transaction
from geo import jurisdictions
from geo.cells import cell_of
from geo.measures import destination
from geo.models import Address
from sensing import keeping
from sensing.models import DeviceKey, StoredTrip
from tests.factories import COMEDIE, new_jurisdiction


@pytest.fixture
def url(committed_db: Flask) -> Iterator[str]:
    """Where the application listens, with a city of one straight street."""
    with committed_db.app_context(), transaction() as session:
        city = new_jurisdiction(session, code="ville")
        for number in range(120):
            here = destination(COMEDIE, 0.0, 20.0 * number + float(np.sin(number)))
            session.add(
                Address(
                    jurisdiction_id=city.id,
                    number=number + 1,
                    street="Rue Longue",
                    street_key="rue longue",
                    lat=here.lat,
                    lon=here.lon,
                    cell=cell_of(here),
                )
            )
    # Another test's city had the same code.
    jurisdictions.forget()
    server = make_server("127.0.0.1", 0, committed_db, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        jurisdictions.forget()
        # Other tests ask what lies there.
        media = Path(committed_db.extensions["settings"].data_dir) / "media"
        for path in (media / keeping.WAITING).rglob("*"):
            if path.is_file():
                path.unlink()


def simulate(app: Flask, *options: str) -> Result:
    command = ["sensing", "simulate", "--jurisdiction", "ville", "--km", "1", *options]
    return app.test_cli_runner().invoke(args=command)


def test_every_phone_sends_a_trip_for_each_day(committed_db: Flask, url: str) -> None:
    done = simulate(committed_db, "--url", url, "--phones", "2", "--days", "1")
    assert done.exit_code == 0, done.output
    assert "2 trips" in done.output
    assert "answers: 2 × 202" in done.output
    with committed_db.app_context(), reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(StoredTrip)) == 2


def test_a_phone_has_one_key_on_all_its_days(committed_db: Flask, url: str) -> None:
    done = simulate(committed_db, "--url", url, "--phones", "2", "--days", "2")
    assert "answers: 4 × 202" in done.output
    with committed_db.app_context(), reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(DeviceKey)) == 2


class _NoMoreKeys(BaseHTTPRequestHandler):
    """Answers as a server does that has given an address all the keys it may have."""

    def do_POST(self) -> None:
        self.send_response(429)
        self.send_header("Retry-After", "501")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_server_that_gives_no_more_keys_is_not_waited_for(committed_db: Flask, url: str) -> None:
    server = HTTPServer(("127.0.0.1", 0), _NoMoreKeys)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        done = simulate(
            committed_db, "--url", f"http://127.0.0.1:{server.server_port}", "--phones", "3"
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.exit_code == 1
    assert "gave keys to 0 of 3 phones, then answered 429" in done.output
    assert "RATE_LIMITS=off" in done.output
    assert url


def test_who_is_not_there_is_said(committed_db: Flask, url: str) -> None:
    done = simulate(committed_db, "--url", "http://127.0.0.1:9", "--phones", "1")
    assert done.exit_code == 1
    assert "Nobody answers at http://127.0.0.1:9" in done.output
    assert url


def test_a_city_without_streets_is_refused(committed_db: Flask) -> None:
    with committed_db.app_context(), transaction() as session:
        new_jurisdiction(session, code="ville")
    done = simulate(committed_db)
    assert done.exit_code == 1
    assert "too few addresses" in done.output
