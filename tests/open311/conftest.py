"""A city that offers all three kinds of services, a key, and a caller in both formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from accounts import keys
from core.clock import utc_now
from geo.models import Jurisdiction
from open311.formats import ITEMS
from reports.models import Service
from tests.factories import COMEDIE, new_jurisdiction, new_person, new_service

URL = "/open311/v2"

#: One question of every datatype, each needed.
QUESTIONS = [
    {
        "code": name,
        "datatype": datatype,
        "required": True,
        "order": order,
        "descriptions": {"fr": f"Question {name} ?", "en": f"Question {name}?"},
        "values": [
            {"key": "a", "names": {"fr": "Premier", "en": "First"}},
            {"key": "b", "names": {"fr": "Second", "en": "Second"}},
        ]
        if datatype.endswith("list")
        else [],
    }
    for order, (name, datatype) in enumerate(
        [
            ("line", "string"),
            ("count", "number"),
            ("seen", "datetime"),
            ("story", "text"),
            ("one", "singlevaluelist"),
            ("many", "multivaluelist"),
        ],
        start=1,
    )
]

#: Answers to them, as a form sends them.
ANSWERS = {
    "attribute[line]": "Ligne 1",
    "attribute[count]": "12",
    "attribute[seen]": "2026-03-01T08:00:00+01:00",
    "attribute[story]": "D’abord ceci,\npuis cela.",
    "attribute[one]": "a",
    "attribute[many][]": ["a", "b"],
}


@dataclass(frozen=True, slots=True)
class Town:
    """What is there, by name."""

    city: Jurisdiction
    pothole: Service
    asking: Service
    batch: Service
    blackbox: Service
    block: Service
    key: str


@pytest.fixture
def town(session: Session) -> Town:
    city = new_jurisdiction(session, code="montpellier", names={"fr": "Ville", "en": "City"})
    person = new_person(session, email="app@integrateur.example")
    return Town(
        city=city,
        pothole=new_service(
            session,
            city,
            code="nid-de-poule",
            names={"fr": "Nid-de-poule", "en": "Pothole"},
            descriptions={"fr": "Un trou.", "en": "A hole."},
            keywords={"fr": ["trou", "chaussée"], "en": ["hole", "road"]},
        ),
        asking=new_service(session, city, code="questions", attributes=QUESTIONS),
        batch=new_service(session, city, code="encombrants", kind="batch"),
        blackbox=new_service(session, city, code="logement", kind="blackbox"),
        block=new_service(session, city, code="vehicule", public_precision="block"),
        key=keys.create_key(session, person.email or "", "app", now=utc_now()),
    )


@dataclass(frozen=True, slots=True)
class Open311:
    """Calls the server and reads its answers, whichever format they are in."""

    client: FlaskClient
    key: str

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"{URL}/{path}", query_string=query or None)

    def post(self, path: str = "requests.json", **form: Any) -> Any:
        """A form; names that are no Python names come in `also`."""
        form |= form.pop("also", {})
        form.setdefault("api_key", self.key)
        return self.client.post(f"{URL}/{path}", data=form)

    def file(self, service_code: str = "nid-de-poule", **form: Any) -> dict[str, Any]:
        """A request that is taken; the one document of the answer."""
        form = {"lat": COMEDIE.lat, "long": COMEDIE.lon, "description": "Un trou.", **form}
        answer = self.post(service_code=service_code, **form)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        [document] = answer.json
        return dict(document)


@pytest.fixture
def open311(client: FlaskClient, town: Town) -> Open311:
    return Open311(client, town.key)


def read(answer: TestResponse) -> Any:
    """The document of an answer in either format; of XML everything is text or None."""
    if answer.mimetype == "application/json":
        return answer.json
    assert answer.mimetype == "text/xml"
    text = answer.get_data(as_text=True)
    assert text.startswith('<?xml version="1.0" encoding="utf-8"?>')
    assert "xmlns" not in text
    return _parsed(ET.fromstring(text.encode()))


def _parsed(element: ET.Element) -> Any:
    assert not element.attrib
    if element.tag in ITEMS:
        assert {child.tag for child in element} <= {ITEMS[element.tag]}
        return [_parsed(child) for child in element]
    if len(element):
        return {child.tag: _parsed(child) for child in element}
    return element.text


def as_xml_says(document: Any) -> Any:
    """A JSON document with everything as XML has it: texts, null for nothing."""
    if isinstance(document, Mapping):
        return {name: as_xml_says(part) for name, part in document.items()}
    if isinstance(document, list):
        return [as_xml_says(part) for part in document]
    if document is None:
        return None
    if isinstance(document, bool):
        return "true" if document else "false"
    return str(document)
