"""The list of services and their definitions, in both formats."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from geo import jurisdictions, loading
from tests.factories import COMEDIE, new_jurisdiction, new_service
from tests.open311.conftest import Open311, Town, as_xml_says, read


def test_services_say_everything_the_standard_names(open311: Open311) -> None:
    answer = open311.get("services.json")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    first, asking, batch, blackbox, _ = answer.json
    assert first == {
        "service_code": "nid-de-poule",
        "service_name": "Nid-de-poule",
        "description": "Un trou.",
        "metadata": False,
        "type": "realtime",
        "keywords": "trou, chaussée",
        "group": "Voirie",
    }
    assert asking["metadata"] is True
    # An empty text is null.
    assert (asking["description"], asking["keywords"]) == (None, None)
    assert (batch["type"], blackbox["type"]) == ("batch", "blackbox")


@pytest.mark.parametrize(
    "path", ["services", "services/questions", "services/nid-de-poule", "services/dragons"]
)
def test_both_formats_say_the_same(open311: Open311, path: str) -> None:
    as_json, as_xml = open311.get(f"{path}.json"), open311.get(f"{path}.xml")
    assert as_xml.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert as_xml.status_code == as_json.status_code
    assert read(as_xml) == as_xml_says(as_json.json)


def test_a_definition_has_every_datatype_in_its_order(open311: Open311) -> None:
    document = open311.get("services/questions.json").json
    assert document["service_code"] == "questions"
    found = document["attributes"]
    assert [each["datatype"] for each in found] == [
        "string",
        "number",
        "datetime",
        "text",
        "singlevaluelist",
        "multivaluelist",
    ]
    assert [each["order"] for each in found] == [1, 2, 3, 4, 5, 6]
    assert {each["required"] for each in found} == {True}
    assert {each["variable"] for each in found} == {True}
    assert found[0]["values"] == []
    assert found[4]["values"] == [
        {"key": "a", "name": "Premier"},
        {"key": "b", "name": "Second"},
    ]


def test_the_readers_language_is_spoken(client: FlaskClient, town: Town) -> None:
    answer = client.get("/open311/v2/services.json", headers={"Accept-Language": "en-GB,en;q=0.9"})
    assert answer.json[0]["service_name"] == "Pothole"
    assert "Accept-Language" in answer.headers["Vary"]


def test_an_emergency_is_called_and_not_listed(
    open311: Open311, session: Session, town: Town
) -> None:
    new_service(session, town.city, code="gaz", emergency={"phone": "112", "text": {}})
    jurisdictions.forget()
    codes = [each["service_code"] for each in open311.get("services.json").json]
    assert "gaz" not in codes
    assert open311.get("services/gaz.json").status_code == 404
    answer = open311.post(service_code="gaz", lat=COMEDIE.lat, long=COMEDIE.lon)
    assert answer.status_code == 400
    assert "112" in answer.json[0]["description"]


def test_who_has_this_version_gets_304_until_the_services_change(
    client: FlaskClient, session: Session, town: Town
) -> None:
    first = client.get("/open311/v2/services.json")
    tag = first.headers["ETag"]
    again = client.get("/open311/v2/services.json", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    # The other format is another document.
    other = client.get("/open311/v2/services.xml", headers={"If-None-Match": tag})
    assert other.status_code == 200
    loading.touch(session, town.city.id)
    jurisdictions.forget()
    changed = client.get("/open311/v2/services.json", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


@pytest.mark.parametrize("path", ["services.json", "services.xml", "services/questions.xml"])
def test_head_is_get_without_its_body(client: FlaskClient, town: Town, path: str) -> None:
    whole, head = client.get(f"/open311/v2/{path}"), client.head(f"/open311/v2/{path}")
    assert head.status_code == 200
    assert head.data == b""
    assert head.headers["ETag"] == whole.headers["ETag"]
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]


@pytest.mark.parametrize(
    ("path", "accept", "mime"),
    [
        ("services.json", "text/xml", "application/json"),
        ("services.xml", "application/json", "text/xml"),
        ("services", "application/json", "application/json"),
        ("services", "text/xml", "text/xml"),
        ("services", "application/xml", "text/xml"),
        ("services", "*/*", "text/xml"),
        ("services", "text/html", "text/xml"),
        ("services.JSON", "*/*", "application/json"),
        ("services/questions", "application/json", "application/json"),
        ("services/dragons.json", "text/html", "application/json"),
    ],
)
def test_the_suffix_beats_what_is_accepted(
    client: FlaskClient, town: Town, path: str, accept: str, mime: str
) -> None:
    answer = client.get(f"/open311/v2/{path}", headers={"Accept": accept})
    assert answer.mimetype == mime


def test_of_several_cities_one_must_be_named(
    client: FlaskClient, session: Session, town: Town
) -> None:
    other = new_jurisdiction(session, code="sete")
    new_service(session, other, code="quai")
    jurisdictions.forget()
    refused = client.get("/open311/v2/services.json")
    assert refused.status_code == 400
    assert "montpellier, sete" in refused.json[0]["description"]
    named: Any = client.get("/open311/v2/services.json?jurisdiction_id=sete")
    assert [each["service_code"] for each in named.json] == ["quai"]
    own: Any = client.get("/open311/sete/v2/services.json")
    assert own.json == named.json
    assert client.get("/open311/v2/services.json?jurisdiction_id=nimes").status_code == 404
    assert client.get("/open311/nimes/v2/services.json").status_code == 404
    crossed = client.get("/open311/sete/v2/services.json?jurisdiction_id=montpellier")
    assert crossed.status_code == 404
