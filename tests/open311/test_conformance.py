"""Every sentence of what the server promises, each with the calls that show it.

The first table is the promise itself; the other tests of this folder go into each matter's
corners. What takes more than a call or two to show stands in the second table, with the name of the
test that shows it.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from ruamel.yaml import YAML
from sqlalchemy.orm import Session

from core.clock import utc_now
from reports.models import ServiceRequest
from reports.vocabulary import Status
from tests.conftest import Client
from tests.factories import COMEDIE, new_report
from tests.open311.album import jpeg
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

    def file(self, **form: Any) -> str:
        """The id of a plain request that is taken."""
        return str(self.server.file(**form)["service_request_id"])

    def one(self, id_: str, **query: Any) -> dict[str, Any]:
        [document] = self.get(f"requests/{id_}.json", **query).json
        return dict(document)

    def with_bearer(self, key: str, **form: Any) -> Any:
        """Filed with the key and an `Idempotency-Key` in headers."""
        headers = {"Authorization": f"Bearer {self.server.key}", "Idempotency-Key": key}
        form = {"service_code": "nid-de-poule", **HERE, **form}
        return self.client.post(f"{URL}/requests.json", data=form, headers=headers)

    def update(self, id_: str, **form: Any) -> Any:
        return self.post("servicerequestupdates.json", service_request_id=id_, **form)

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


def roots(world: World) -> list[list[str]]:
    """The names of root and items of every kind of document, in XML."""
    world.file(description="Encore un.")
    paths = {
        "discovery.xml": {},
        "services.xml": {},
        "services/questions.xml": {},
        "requests.xml": {"extensions": "true"},
        "servicerequestupdates.xml": {},
        "requests/x.xml": {},
    }
    return [
        re.findall(r"<([a-z_]+)/?>", world.get(path, **query).get_data(as_text=True))[:2]
        for path, query in paths.items()
    ]


def verbatim(world: World) -> bool:
    """4,000 characters with line breaks and markup come back as they went, in both formats."""
    words = ('Été <b>&amp; "l’eau"</b>\n\n- =1+1 ]]> ' * 200)[:4000]
    words = words[:-1] + "."
    id_ = world.file(description=words)
    return bool(
        world.one(id_)["description"] == words
        and read(world.get(f"requests/{id_}.xml"))[0]["description"] == words
    )


DISCOVERY = ("/open311/discovery", f"{URL}/discovery", "/open311/montpellier/v2/discovery")

SENTENCES: dict[str, Shown] = {
    # -- discovery
    "discovery is there in both formats, and beside the endpoint": lambda w: all(
        w.client.get(f"{path}.{suffix}").status_code == 200
        for path in DISCOVERY
        for suffix in ("json", "xml")
    ),
    "it names when services changed, whom to ask and who gives keys": lambda w: all(
        w.get("discovery.json").json[name] for name in ("changeset", "contact", "key_service")
    ),
    "it names an endpoint for each jurisdiction, and its formats as MIME types": lambda w: (
        [
            (each["url"].rpartition("/open311/")[2], each["formats"])
            for each in w.get("discovery.json").json["endpoints"]
        ]
        == [("montpellier/v2", ["text/xml", "application/json"])]
    ),
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
    "XML containers have exactly their names": lambda w: (
        roots(w)
        == [
            ["discovery", "changeset"],
            ["services", "service"],
            ["service_definition", "service_code"],
            ["service_requests", "request"],
            ["service_request_updates", "request_update"],
            ["errors", "error"],
        ]
    ),
    "an answer to POST is an array of one, too": lambda w: (
        len(w.post(service_code="nid-de-poule", **HERE).json) == 1
    ),
    # -- kinds of services
    "a realtime service answers an id": lambda w: (
        "service_request_id" in w.post(service_code="nid-de-poule", **HERE).json[0]
    ),
    "a batch service answers a token first": lambda w: (
        set(w.post(service_code="encombrants", **HERE).json[0])
        == {"token", "service_notice", "account_id"}
    ),
    "the token leads to the id": lambda w: (
        "service_request_id"
        in w.get(f"tokens/{w.post(service_code='encombrants', **HERE).json[0]['token']}.json").json[
            0
        ]
    ),
    "an unknown token is 404": lambda w: w.get("tokens/x.json").status_code == 404,
    "a black box answers neither": lambda w: (
        set(w.post(service_code="logement", **HERE).json[0]) == {"service_notice", "account_id"}
    ),
    "and is shown to nobody": lambda w: (
        w.post(service_code="logement", **HERE).status_code == 200
        and w.ids(service_code="logement") == []
        and b"logement" not in w.get("requests.csv").data
    ),
    "a definition names every datatype": lambda w: (
        [each["datatype"] for each in w.get("services/questions.json").json["attributes"]]
        == ["string", "number", "datetime", "text", "singlevaluelist", "multivaluelist"]
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
    "address_id alone is not refused for want of a position": lambda w: (
        "address_id" in w.post(service_code="nid-de-poule", address_id="x").json[0]["description"]
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
    "a form may say its charset": lambda w: all(
        w.client.post(
            f"{URL}/requests.json?api_key={w.server.key}",
            data=f"service_code=nid-de-poule&address_string=%C3%A9t%C3%A9+{len(each)}",
            content_type=f"application/x-www-form-urlencoded{each}",
        ).status_code
        == 200
        for each in ("", "; charset=utf-8", ";charset=UTF-8")
    ),
    "multipart brings a photo in media": lambda w: (
        w.post(service_code="nid-de-poule", media=(io.BytesIO(jpeg()), "1.jpg"), **HERE).status_code
        == 200
    ),
    "attribute[code]=v and attribute[code][]=v are read": lambda w: (
        [
            (each["name"], each["code"])
            for each in w.one(
                w.post(service_code="questions", also=ANSWERS, **HERE).json[0][
                    "service_request_id"
                ],
                extensions="true",
            )["attributes"]
            if each["code"]
        ]
        == [("one", "a"), ("many", "a"), ("many", "b")]
    ),
    "a description of 4,000 characters is kept verbatim": verbatim,
    "a longer one is 400 and not cut": lambda w: (
        w.post(service_code="nid-de-poule", description="x" * 4001, **HERE).status_code == 400
    ),
    "the jurisdiction is named in the body or in the query": lambda w: all(
        w.client.post(
            f"{URL}/requests.json",
            query_string=query,
            data={"service_code": "nid-de-poule", "address_string": "1 rue Foch", **body},
            headers={"Authorization": f"Bearer {w.server.key}"},
        ).status_code
        == status
        for status, code in ((200, "montpellier"), (404, "nowhere"))
        for query, body in (({"jurisdiction_id": code}, {}), ({}, {"jurisdiction_id": code}))
    ),
    "the same content under one Idempotency-Key is stored once": lambda w: (
        w.with_bearer("a").json == w.with_bearer("a").json
        and w.with_bearer("b").json != w.with_bearer("a").json
        and w.with_bearer("a", description="Autre.").status_code == 400
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
    "both ends of a window are included": lambda w: (
        w.ids(start_date=w3c(w.closed.requested_at), end_date=w3c(w.fresh.requested_at))
        == [str(w.fresh.id), str(w.closed.id)]
    ),
    "a window of 90 days is not beyond": lambda w: (
        w.get("requests.json", start_date="2026-01-01", end_date="2026-04-01").status_code == 200
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
    "they are attributes, notes and the list of media": lambda w: (
        {"attributes", "notes"} <= set(w.one(str(w.fresh.id), extensions="true"))
        and w.one(str(w.fresh.id), extensions="true")["extended_attributes"]["photos"] == []
    ),
    "a spreadsheet runs no formula of the table": lambda w: (
        w.file(description="=1+1") != ""
        and "'=1+1"
        in [
            row["description"]
            for row in csv.DictReader(io.StringIO(w.get("requests.csv").get_data(as_text=True)))
        ]
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
    # -- updates
    "updates are a list in both formats": lambda w: (
        read(w.get("servicerequestupdates.xml"))
        == as_xml_says(w.get("servicerequestupdates.json").json)
        != []
    ),
    "an update is taken with the key that filed the request": lambda w: (
        set(w.update(w.file(), update_id="1", status="OPEN", description="Encore.").json[0])
        == {"update_id"}
    ),
    "the same update_id is stored once, for each request": lambda w: (
        [
            w.update(id_, update_id="1", description="Encore.").json[0]["update_id"] == first
            for one, two in [(w.file(), w.file(description="Un autre."))]
            for first in [w.update(one, update_id="1", description="Encore.").json[0]["update_id"]]
            for id_ in (one, two)
        ]
        == [True, False]
    ),
    "an update without a key is 403": lambda w: (
        w.client.post(
            f"{URL}/servicerequestupdates.json",
            data={"service_request_id": str(w.fresh.id), "description": "x"},
        ).status_code
        == 403
    ),
    "an update of an unknown id is 404": lambda w: all(
        w.update(id_, description="x").status_code == 404
        for id_ in (str(uuid4()), "x", f"{w.fresh.id},{uuid4()}")
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
    "attributes are named by their codes": lambda w: (
        [
            each["description"].partition(":")[0]
            for each in w.post(service_code="questions", **HERE).json
        ]
        == [f"attribute[{code}]" for code in ("line", "count", "seen", "story", "one", "many")]
    ),
    "control characters cannot break a later list": lambda w: (
        w.one(w.file(description="a\x00b\x01c\x0b\ufffe\x7f\nd"))["description"] == "abc\nd"
        and isinstance(read(w.get("requests.xml", extensions="true")), list)
    ),
    "an error that repeats what was sent cannot break either": lambda w: (
        read(w.get("requests.xml", status="\x00\x08<&\ud7ff\uffff"))[0]["code"] == "400"
    ),
    "a body that is no form is said to be none": lambda w: (
        "form"
        in w.client.post(
            f"{URL}/requests.json?api_key={w.server.key}", json={"service_code": "x"}
        ).json[0]["description"]
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
    "services have an ETag, and 304 for who has it": lambda w: (
        w.client.get(
            f"{URL}/services.json",
            headers={"If-None-Match": w.get("services.json").headers["ETag"]},
        ).status_code
        == 304
    ),
    "HEAD works": lambda w: w.client.head(f"{URL}/requests.json").status_code == 200,
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_it_is_so(world: World, sentence: str) -> None:
    assert SENTENCES[sentence](world)


#: Sentence → the test that shows it, in a module of this folder.
ELSEWHERE: dict[str, str] = {
    # -- server
    "the changeset moves when services change": "discovery.the_changeset_moves",
    "address_id alone is enough": "intake.each_way_to_say_where",
    "a photo comes as media, another file is refused": "intake.photos_come_as_media",
    "a photo comes by its address": "linked_photos.the_address_of_a_photo",
    "the same content without a key of its own is stored once": "repeating.the_second_answer",
    "1,000 are the most, from a constant number of statements": "reading.a_thousand_is_the_most",
    "a list is written in bounded memory": "conformance.a_list_is_one_json_document",
    "the table is GeoReport Bulk": "reading.the_table_is_geo_report_bulk",
    "updates move, speak and reopen": "updates.the_staffs_system_moves",
    "photos come with updates": "updates.photos_of_the_citizens_system",
    "429 with Retry-After": "conformance.who_calls_too_often",
    "nobody's contact data in any output": "reading.nobodys_contact",
    "a hidden request looks missing": "reading.what_is_private_looks_missing",
    "never a 5xx, never HTML": "fuzz.no_parameter_set",
    # -- client
    "endpoints stand in the city folder": "downstream.endpoints_are_loaded",
    "a routed report is forwarded in parameters of the standard": "forwarding.a_routed_report",
    "a photo goes as a public URL": "forwarding.a_photo_goes_as_a_public_address",
    "answers are parsed leniently": "answers.a_request_is_read_from_whatever",
    "booleans may be words": "answers.truths_are_read_as_words",
    "tokens are asked about": "forwarding.a_token_is_asked_about",
    "up to a deadline": "forwarding.a_token_that_never_becomes_an_id",
    "an attempt is remembered before it is sent": "forwarding.an_attempt_is_written_down",
    "a lost answer is looked up and never sent twice blindly": "forwarding.a_lost_answer",
    "4xx is a person's job with the text shown": "forwarding.a_refusal_is_a_persons_job",
    "429 waits as long as asked": "forwarding.429_waits_as_long_as_asked",
    "5xx and timeouts retry with growing delay": "forwarding.delays_grow",
    "a circuit per endpoint": "forwarding.an_endpoint_that_keeps_failing",
    "statuses come back by polling in batches": "polling.many_are_asked_in_batches",
    "with windows that overlap": "polling.steps_are_taken_once_though_their_windows_overlap",
    "and by webhook": "polling.a_step_comes_by_webhook",
    "only what is newer than our last change applies": "polling.an_older_status_does_not_undo",
    "a missing or unknown status changes nothing": "polling.a_missing_or_unknown_status",
    "flask open311 check tells what is supported": "downstream.check_tells_what",
    # -- shown by
    "answers fit the schemas": "contract.what_is_read_fits_its_schema",
    "georeport reads JSON and XML": "clients.georeport_reads_everything",
    "three reads, files and follows": "clients.three_finds_lists_files_and_follows",
    "a second Riverain takes what the first forwards": "two_systems.a_report_goes_over",
    "over a line that loses answers": "two_systems.over_a_line_that_loses_answers",
    "whatever the other system answers": "forwarding.odd_answers_are_understood",
}


@pytest.mark.parametrize("sentence", ELSEWHERE)
def test_what_takes_longer_to_show_has_its_test(sentence: str) -> None:
    module, _, begins = ELSEWHERE[sentence].partition(".")
    text = Path(__file__).with_name(f"test_{module}.py").read_text(encoding="utf-8")
    names = [each.name for each in ast.parse(text).body if isinstance(each, ast.FunctionDef)]
    assert [name for name in names if name.startswith(f"test_{begins}")]


CITY = Path(__file__).parents[2] / "cities" / "montpellier"


def test_the_demo_city_offers_every_kind_of_service_and_a_past_to_page_through() -> None:
    services = YAML(typ="safe", pure=True).load(CITY / "services.yaml")["services"]
    kinds = [each.get("type", "realtime") for each in services]
    assert set(kinds) == {"realtime", "batch", "blackbox"}
    assert any(
        kind == "realtime" and not each.get("attributes")
        for kind, each in zip(kinds, services, strict=True)
    )
    datatypes = [
        {each["datatype"] for each in service.get("attributes", ()) if each.get("required")}
        for service in services
    ]
    assert {
        "string",
        "number",
        "datetime",
        "text",
        "singlevaluelist",
        "multivaluelist",
    } in datatypes
    with (CITY / "history" / "cases.csv").open(encoding="utf-8", newline="") as file:
        days = sorted(row["opened_at"][:10] for row in csv.DictReader(file))
    newest = date.fromisoformat(days[-1])
    old = [day for day in days if newest - date.fromisoformat(day) > timedelta(days=90)]
    # Both within the window that lists show by themselves and before it.
    assert len(old) > 100
    assert len(days) - len(old) > 50


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
