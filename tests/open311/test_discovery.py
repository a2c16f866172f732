"""Service discovery, in its three places."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from geo import jurisdictions, loading
from geo.measures import Point
from geo.models import Jurisdiction
from tests.factories import new_jurisdiction
from tests.open311.conftest import Town, as_xml_says, read

PLACES = ["/open311/discovery", "/open311/v2/discovery"]


@pytest.fixture(autouse=True)
def contact(session: Session, town: Town) -> None:
    town.city.contact = {"name": {"fr": "Mairie"}, "email": "api@ville.example", "phone": "1"}
    session.flush()
    jurisdictions.forget()


@pytest.mark.parametrize("path", PLACES)
def test_it_is_there_in_both_formats_and_says_the_same(
    client: FlaskClient, town: Town, path: str
) -> None:
    as_json: Any = client.get(f"{path}.json")
    as_xml = client.get(f"{path}.xml")
    assert as_json.headers["Content-Type"] == "application/json; charset=utf-8"
    assert as_xml.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert read(as_xml) == as_xml_says(as_json.json)
    document = as_json.json
    assert set(document) == {"changeset", "contact", "key_service", "endpoints"}
    assert document["contact"] == "Mairie: api@ville.example, 1"
    assert "api@ville.example" in document["key_service"]
    [endpoint] = document["endpoints"]
    assert endpoint == {
        "specification": "http://wiki.open311.org/GeoReport_v2",
        "url": "http://127.0.0.1:8000/open311/montpellier/v2",
        "changeset": document["changeset"],
        "type": "production",
        "formats": ["text/xml", "application/json"],
    }


def test_each_jurisdiction_has_an_entry_whose_endpoint_needs_no_parameter(
    client: FlaskClient, session: Session, town: Town
) -> None:
    new_jurisdiction(session, code="sete", centre=Point(43.4, 3.4))
    jurisdictions.forget()
    document: Any = client.get("/open311/discovery.json").json
    urls = [endpoint["url"] for endpoint in document["endpoints"]]
    assert [url.split("/")[-2] for url in urls] == ["montpellier", "sete"]
    for url in urls:
        path = url.removeprefix("http://127.0.0.1:8000")
        assert client.get(f"{path}/services.json").status_code == 200
        own: Any = client.get(f"{path}/discovery.json").json
        assert [endpoint["url"] for endpoint in own["endpoints"]] == [url]
    assert client.get("/open311/nimes/v2/discovery.json").status_code == 404


def test_the_changeset_moves_when_services_change(
    client: FlaskClient, session: Session, town: Town
) -> None:
    session.execute(sa.update(Jurisdiction).values(updated_at=sa.text("now() - interval '1 day'")))
    jurisdictions.forget()
    before: Any = client.get("/open311/discovery.json")
    tag = {"If-None-Match": before.headers["ETag"]}
    assert client.get("/open311/discovery.json", headers=tag).status_code == 304
    loading.touch(session, town.city.id)
    jurisdictions.forget()
    after: Any = client.get("/open311/discovery.json", headers=tag)
    assert after.status_code == 200
    assert after.json["changeset"] > before.json["changeset"]
    assert after.json["endpoints"][0]["changeset"] == after.json["changeset"]


@pytest.mark.parametrize("path", ["/open311", "/open311/", "/open311/v2/", "/open311/discovery"])
def test_whoever_opens_the_root_finds_it_too(client: FlaskClient, town: Town, path: str) -> None:
    answer = client.get(path, headers={"Accept": "application/json"})
    assert answer.status_code == 200
    assert "endpoints" in answer.get_json()
