"""Every sentence of what the server promises, each with the calls that show it.

The table is the promise itself; the other tests of this folder go into each matter's corners.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from core.clock import utc_now
from reports.models import ServiceRequest
from reports.vocabulary import Status
from tests.conftest import Client
from tests.factories import COMEDIE, new_report
from tests.open311.conftest import ANSWERS, URL, Open311, Town, as_xml_says, read

HERE: dict[str, Any] = {"lat": COMEDIE.lat, "long": COMEDIE.lon}
XML = "text/xml; charset=utf-8"
JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class World:
    """What a sentence is held against: the server, and three reports of which one is old."""

    server: Open311
    client: FlaskClient
    fresh: ServiceRequest
    closed: ServiceRequest
    old: ServiceRequest

    def get(self, path: str, **query: Any) -> Any:
        return self.server.get(path, **query)

    def post(self, path: str = "requests.json", **form: Any) -> Any:
        return self.server.post(path, **form)

    def ids(self, **query: Any) -> list[str]:
        return [each["service_request_id"] for each in self.get("requests.json", **query).json]


@pytest.fixture
def world(session: Session, town: Town, open311: Open311, client: FlaskClient) -> World:
    now = utc_now().replace(microsecond=0)
    return World(
        open311,
        client,
        new_report(session, town.pothole, requested_at=now - timedelta(days=1)),
        new_report(
            session, town.pothole, requested_at=now - timedelta(days=2), status=Status.CLOSED
        ),
        new_report(session, town.pothole, requested_at=now - timedelta(days=200)),
    )


Shown = Callable[[World], bool]


def w3c(moment: Any) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


SENTENCES: dict[str, Shown] = {
    # -- formats
    "the suffix beats Accept": lambda w: (
        w.client.get(f"{URL}/services.xml", headers={"Accept": "application/json"}).content_type
        == XML
    ),
    "JSON has its type and charset": lambda w: w.get("requests.json").content_type == JSON,
    "XML has its type and charset": lambda w: w.get("requests.xml").content_type == XML,
    "errors have them too": lambda w: (
        w.get("requests/x.json").content_type == JSON
        and w.get("requests/x.xml").content_type == XML
    ),
    "answers to POST have them too": lambda w: (
        w.post("requests.xml", service_code="nid-de-poule", **HERE).content_type == XML
    ),
    "XML begins with its declaration": lambda w: w.get("services.xml").data.startswith(
        b'<?xml version="1.0" encoding="utf-8"?>'
    ),
    "XML has no namespace": lambda w: b"xmlns" not in w.get("requests.xml").data,
    "JSON has no wrapper about its root": lambda w: isinstance(w.get("services.json").json, list),
    "an array of one stays an array": lambda w: len(w.get(f"requests/{w.fresh.id}.json").json) == 1,
    "nothing is null and not an empty text": lambda w: (
        w.get(f"requests/{w.fresh.id}.json").json[0]["zipcode"] is None
        and b'""' not in w.get("requests.json").data
    ),
    "times are whole seconds with a zone": lambda w: (
        w.get(f"requests/{w.fresh.id}.json").json[0]["requested_datetime"]
        == w3c(w.fresh.requested_at)
    ),
    "both formats say the same": lambda w: (
        read(w.get("requests.xml")) == as_xml_says(w.get("requests.json").json)
    ),
    # -- kinds of services
    "a realtime service answers an id": lambda w: (
        "service_request_id" in w.post(service_code="nid-de-poule", **HERE).json[0]
    ),
    "a batch service answers a token first": lambda w: (
        set(w.post(service_code="encombrants", **HERE).json[0])
        == {"token", "service_notice", "account_id"}
    ),
    "a black box answers neither": lambda w: (
        set(w.post(service_code="logement", **HERE).json[0]) == {"service_notice", "account_id"}
    ),
    "a service asks for every datatype": lambda w: (
        w.post(service_code="questions", also=ANSWERS, **HERE).status_code == 200
        and len(w.post(service_code="questions", **HERE).json) == 6
    ),
    # -- filing
    "lat and long alone are enough": lambda w: (
        w.post(service_code="nid-de-poule", **HERE).status_code == 200
    ),
    "address_string alone is enough": lambda w: (
        w.post(service_code="nid-de-poule", address_string="1 rue Foch").status_code == 200
    ),
    "nothing of where is not": lambda w: w.post(service_code="nid-de-poule").status_code == 400,
    "half a position is not": lambda w: (
        w.post(service_code="nid-de-poule", lat="43.6").status_code == 400
    ),
    "an empty parameter is not sent": lambda w: (
        w.post(service_code="nid-de-poule", email="", phone="", description="", **HERE).status_code
        == 200
    ),
    "an unknown parameter is ignored": lambda w: (
        w.post(service_code="nid-de-poule", colour="red", **HERE).status_code == 200
    ),
    "the key is taken from the query": lambda w: (
        w.client.post(
            f"{URL}/requests.json?api_key={w.server.key}",
            data={"service_code": "nid-de-poule", **HERE},
        ).status_code
        == 200
    ),
    "and as a bearer": lambda w: (
        w.client.post(
            f"{URL}/requests.json",
            data={"service_code": "nid-de-poule", **HERE},
            headers={"Authorization": f"Bearer {w.server.key}"},
        ).status_code
        == 200
    ),
    # -- lists
    "the newest come first": lambda w: w.ids() == [str(w.fresh.id), str(w.closed.id)],
    "90 days are the window": lambda w: str(w.old.id) not in w.ids(),
    "a window beyond is 400": lambda w: (
        w.get("requests.json", start_date="2020-01-01", end_date="2021-01-01").status_code == 400
    ),
    "an older window is read by its dates": lambda w: (
        w.ids(
            start_date=w3c(w.old.requested_at - timedelta(days=1)),
            end_date=w3c(w.old.requested_at),
        )
        == [str(w.old.id)]
    ),
    "ids override everything": lambda w: (
        w.ids(service_request_id=str(w.old.id), status="nonsense") == [str(w.old.id)]
    ),
    "ids come with commas": lambda w: (
        len(w.ids(service_request_id=f"{w.old.id},{w.fresh.id}")) == 2
    ),
    "status narrows": lambda w: w.ids(status="closed") == [str(w.closed.id)],
    "statuses come with commas": lambda w: len(w.ids(status="open,closed")) == 2,
    "service_code narrows": lambda w: w.ids(service_code="vehicule") == [],
    "a page past the end is empty": lambda w: (
        w.get("requests.json", page=99).data == b"[]" and read(w.get("requests.xml", page=99)) == []
    ),
    "pages have their size": lambda w: w.ids(page_size=1, page=2) == [str(w.closed.id)],
    "updated_after asks for what changed": lambda w: (
        w.ids(updated_after=w3c(w.fresh.updated_at)) == [str(w.fresh.id)]
    ),
    "updated_before likewise": lambda w: (
        w.ids(updated_before=w3c(w.old.updated_at)) == [str(w.old.id)]
    ),
    "lat, long and radius make a circle": lambda w: (
        len(w.ids(radius=50, **HERE)) == 2 and w.ids(lat=43.7, long=3.9, radius=50) == []
    ),
    "bbox makes a box": lambda w: (
        len(w.ids(bbox="3.8,43.5,3.9,43.7")) == 2 and w.ids(bbox="3.8,43.5,3.81,43.51") == []
    ),
    "extensions are shown to who asks": lambda w: (
        "extended_attributes" in w.get(f"requests/{w.fresh.id}.json", extensions="true").json[0]
        and "extended_attributes" not in w.get(f"requests/{w.fresh.id}.json").json[0]
    ),
    "requests.csv is a table": lambda w: (
        w.get("requests.csv").content_type == "text/csv; charset=utf-8"
    ),
    "JSONP is refused": lambda w: (
        w.get("requests.json", callback="f").status_code == 400
        and b"f(" not in w.get("requests.json", callback="f").data
    ),
    "CORS is on": lambda w: (
        w.client.get(f"{URL}/services.json", headers={"Origin": "https://x.example"}).headers[
            "Access-Control-Allow-Origin"
        ]
        in ("*", "https://x.example")
    ),
    # -- errors
    "an unknown service is 404 on POST": lambda w: (
        w.post(service_code="x", **HERE).status_code == 404
    ),
    "an unknown jurisdiction is 404": lambda w: (
        w.get("services.json", jurisdiction_id="x").status_code == 404
    ),
    "an unknown id is 404": lambda w: w.get(f"requests/{uuid4()}.json").status_code == 404,
    "no key is 403": lambda w: w.client.post(f"{URL}/requests.json", data=HERE).status_code == 403,
    "a wrong key is 403": lambda w: w.post(api_key="x", **HERE).status_code == 403,
    "everything else is 400": lambda w: (
        w.get("requests.json", page="x").status_code == 400
        and w.client.delete(f"{URL}/requests.json").status_code == 400
        and w.get("services.yaml").status_code == 400
    ),
    "errors are a list of codes and descriptions": lambda w: (
        [set(each) for each in w.get("requests/x.json").json] == [{"code", "description"}]
        and set(read(w.get("requests/x.xml"))[0]) == {"code", "description"}
    ),
    "every fault is told at once": lambda w: (
        len(w.get("requests.json", page="x", status="x", bbox="x").json) == 3
    ),
    "an error is never a page": lambda w: all(
        b"<html" not in answer.data.lower() and "html" not in answer.content_type
        for answer in (
            w.client.get("/open311/nowhere", headers={"Accept": "text/html"}),
            w.client.put(f"{URL}/services", headers={"Accept": "text/html"}),
            w.client.get(f"{URL}/requests/x", headers={"Accept": "text/html"}),
        )
    ),
    "HEAD works": lambda w: w.client.head(f"{URL}/requests.json").status_code == 200,
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_it_is_so(world: World, sentence: str) -> None:
    assert SENTENCES[sentence](world)


@pytest.mark.parametrize(
    ("method", "path", "most", "address"),
    [("POST", "requests", 300, "198.51.100.61"), ("GET", "services", 600, "198.51.100.62")],
)
def test_who_calls_too_often_is_told_when_to_come_back(
    new_app: Callable[..., Flask],
    town: Town,
    session: Session,
    method: str,
    path: str,
    most: int,
    address: str,
) -> None:
    """The counter itself, used up call by call."""
    client = Client(new_app(rate_limits=True))
    client.session = session

    def call(suffix: str) -> Any:
        return client.open(
            f"{URL}/{path}.{suffix}", method=method, environ_base={"REMOTE_ADDR": address}
        )

    statuses = [call("json").status_code for _ in range(most)]
    assert set(statuses) == {403 if method == "POST" else 200}
    for suffix, content_type in (("json", JSON), ("xml", XML)):
        answer = call(suffix)
        assert (answer.status_code, answer.content_type) == (429, content_type)
        [fault] = read(answer)
        assert int(fault["code"]) == 429
        assert f"{most} calls" in fault["description"]
        assert 0 < int(answer.headers["Retry-After"]) <= 121
    # Nobody else is held up.
    other = client.get(f"{URL}/services.json", environ_base={"REMOTE_ADDR": "198.51.100.63"})
    assert other.status_code == 200


def test_a_list_is_one_json_document_however_it_is_cut(world: World) -> None:
    """It is sent in pieces; what arrives is whole."""
    text = world.get("requests.json").get_data(as_text=True)
    assert json.loads(text) == world.get("requests.json").json
