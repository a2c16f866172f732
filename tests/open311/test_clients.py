"""Other people's clients, as they come from PyPI, against a running server."""

from __future__ import annotations

import io
import itertools
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from flask import Flask
from georeport import GeoReport
from PIL import Image
from werkzeug.serving import make_server

from accounts import keys
from core.clock import utc_now
from core.db import db, transaction
from geo import jurisdictions
from tests.factories import COMEDIE, new_jurisdiction, new_person, new_report, new_service
from tests.open311.conftest import QUESTIONS


class Running:
    """A server with a small city, and a key for it."""

    def __init__(self, app: Flask) -> None:
        jurisdictions.forget()
        with app.app_context(), transaction() as session:
            city = new_jurisdiction(session, code="montpellier")
            pothole = new_service(session, city, code="nid-de-poule", names={"fr": "Trou"})
            new_service(session, city, code="questions", attributes=QUESTIONS)
            new_service(session, city, code="encombrants", kind="batch")
            self.reports = [str(new_report(session, pothole).id) for _ in range(3)]
            person = new_person(session)
            self.key = keys.create_key(session, person.email or "", "app", now=utc_now())
        with app.app_context():
            db.session.remove()
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/open311/v2"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def running(committed_db: Flask) -> Iterator[Running]:
    made = Running(committed_db)
    try:
        yield made
    finally:
        made.stop()
        jurisdictions.forget()


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("jurisdiction", [None, "montpellier"])
def test_georeport_reads_everything(running: Running, form: str, jurisdiction: str | None) -> None:
    client = GeoReport(running.url, jurisdiction=jurisdiction, output_format=form)
    services = client.get_service_list()
    assert [each["service_code"] for each in services] == [
        "nid-de-poule",
        "questions",
        "encombrants",
    ]
    assert str(services[1]["metadata"]).lower() == "true"
    definition = client.get_service_definition("questions")
    questions = definition["attributes"]
    if form == "xml":
        questions = questions["attribute"]
    assert [each["datatype"] for each in questions] == [each["datatype"] for each in QUESTIONS]
    found = client.get_service_requests(service_code="nid-de-poule", status="open")
    assert sorted(each["service_request_id"] for each in found) == sorted(running.reports)
    two = client.get_service_requests(service_request_id=",".join(running.reports[:2]))
    assert len(two) == 2
    one = client.get_service_request(running.reports[0])
    assert one["service_name"] == "Trou"
    assert float(one["lat"]) == COMEDIE.lat


def test_georeport_hears_of_errors_by_their_status(running: Running) -> None:
    client = GeoReport(running.url)
    with pytest.raises(requests.HTTPError) as refused:
        client.get_service_definition("dragons")
    assert refused.value.response.status_code == 404
    with pytest.raises(requests.HTTPError) as refused:
        client.get_service_requests(
            start_date="2024-01-01T00:00:00Z", end_date="2026-01-01T00:00:00Z"
        )
    assert refused.value.response.status_code == 400


@pytest.fixture
def three_client(running: Running, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`three` was written for Python 2, whose itertools had `ifilter`."""
    monkeypatch.setattr(itertools, "ifilter", filter, raising=False)
    with warnings.catch_warnings():
        # Of its own dependencies, at their first import.
        warnings.simplefilter("ignore")
        import three
    return three.Three(running.url, api_key=running.key)


def test_three_finds_lists_files_and_follows(running: Running, three_client: Any) -> None:
    discovered = three_client.discovery()
    assert discovered["endpoints"][0]["formats"] == ["text/xml", "application/json"]
    assert three_client.services()[0]["service_code"] == "nid-de-poule"
    assert len(three_client.services("questions")["attributes"]) == 6
    assert len(three_client.requests()) == 3
    assert len(three_client.requests("nid-de-poule", count=2)) == 2
    assert three_client.requests(between=["03-01-2026", "03-10-2026"]) == []
    assert three_client.request(running.reports[0])[0]["status"] == "open"

    [filed] = three_client.post(
        "nid-de-poule",
        lat=COMEDIE.lat,
        long=COMEDIE.lon,
        address="12 rue Foch",
        name="Zach Williams",
        phone="555-5555",
        email="zach@example.org",
        description="My issue description.",
        media=photo(),
    )
    assert three_client.post_response.headers["Content-Type"] == "application/json; charset=utf-8"
    [shown] = three_client.request(filed["service_request_id"])
    assert shown["description"] == "My issue description."


def test_three_resolves_a_token_and_hears_of_errors(running: Running, three_client: Any) -> None:
    [filed] = three_client.post("encombrants", address="12 rue Foch", description="Un canapé.")
    [resolved] = three_client.token(filed["token"])
    [shown] = three_client.request(resolved["service_request_id"])
    assert shown["service_code"] == "encombrants"
    [missing] = three_client.post("dragons", address="12 rue Foch")
    assert missing["code"] == 404
    [refused] = three_client.post("nid-de-poule", address="12 rue Foch", api_key="wrong")
    assert refused["code"] == 403


def photo() -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "grey").save(file, "PNG")
    file.seek(0)
    file.name = "photo.png"
    return file
