"""What the server answers, held against the schemas of the standard as we understand them.

The schemas below say in our own words what the community's validation schemas say, and where the
text of the standard is stricter they follow the text: names of fields, which are needed, types, and
that nothing else is there.
"""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from sqlalchemy.orm import Session

from reports.vocabulary import Status
from tests.factories import new_photo, new_report, new_team
from tests.open311.conftest import ANSWERS, Open311, Town, read

TEXT = {"type": "string", "minLength": 1}
TEXT_OR_NULL = {"type": ["string", "null"], "minLength": 1}

#: W3C date and time, in whole seconds and with a zone.
MOMENT = {
    "type": "string",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$",
}
MOMENT_OR_NULL = {"anyOf": [MOMENT, {"type": "null"}]}
NUMBER_OR_NULL = {"type": ["number", "null"]}


def record(needed: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(needed),
        "properties": {**needed, **others},
        "additionalProperties": False,
    }


def several(item: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": least}


SERVICES = several(
    record(
        {
            "service_code": TEXT,
            "service_name": TEXT,
            "metadata": {"type": "boolean"},
            "type": {"enum": ["realtime", "batch", "blackbox"]},
            "description": TEXT_OR_NULL,
            "keywords": TEXT_OR_NULL,
            "group": TEXT_OR_NULL,
        }
    ),
    least=1,
)

DEFINITION = record(
    {
        "service_code": TEXT,
        "attributes": several(
            record(
                {
                    "variable": {"type": "boolean"},
                    "code": TEXT,
                    "datatype": {
                        "enum": [
                            "string",
                            "number",
                            "datetime",
                            "text",
                            "singlevaluelist",
                            "multivaluelist",
                        ]
                    },
                    "required": {"type": "boolean"},
                    "datatype_description": TEXT_OR_NULL,
                    "order": {"type": "integer", "minimum": 1},
                    "description": TEXT_OR_NULL,
                    "values": several(record({"key": TEXT, "name": TEXT})),
                }
            )
        ),
    }
)

REQUEST = {
    "service_request_id": TEXT,
    "status": {"enum": ["open", "closed"]},
    "status_notes": TEXT_OR_NULL,
    "service_name": TEXT,
    "service_code": TEXT,
    "description": {"type": ["string", "null"], "minLength": 1, "maxLength": 4000},
    "agency_responsible": TEXT_OR_NULL,
    "service_notice": TEXT_OR_NULL,
    "requested_datetime": MOMENT,
    "updated_datetime": MOMENT_OR_NULL,
    "expected_datetime": MOMENT_OR_NULL,
    "address": TEXT_OR_NULL,
    "address_id": TEXT_OR_NULL,
    "zipcode": TEXT_OR_NULL,
    "lat": NUMBER_OR_NULL,
    "long": NUMBER_OR_NULL,
    "media_url": {"type": ["string", "null"], "pattern": "^https?://"},
}
REQUESTS = several(record(REQUEST))

EXTENDED = several(
    record(
        {
            **REQUEST,
            "attributes": several(
                record(
                    {
                        "label": TEXT_OR_NULL,
                        "name": TEXT,
                        "value": TEXT_OR_NULL,
                        "code": TEXT_OR_NULL,
                    }
                )
            ),
            "notes": several(
                record({"datetime": MOMENT, "description": TEXT_OR_NULL, "type": TEXT})
            ),
            "extended_attributes": {"type": "object", "required": ["number", "photos"]},
        }
    )
)

#: Either an id or a token, or, of a black box, neither; never both.
FILED = several(
    {
        **record(
            {"service_notice": TEXT_OR_NULL, "account_id": TEXT_OR_NULL},
            service_request_id=TEXT,
            token=TEXT,
        ),
        "not": {"required": ["service_request_id", "token"]},
    },
    least=1,
)
TOKENS = several(record({"service_request_id": TEXT, "token": TEXT}), least=1)
ERRORS = several(
    record({"code": {"type": "integer", "minimum": 400, "maximum": 499}, "description": TEXT}),
    least=1,
)
UPDATES = several(
    record(
        {
            "update_id": TEXT,
            "service_request_id": TEXT,
            "status": {"enum": ["open", "closed"]},
            "external_status_code": TEXT,
            "updated_datetime": MOMENT,
            "description": TEXT_OR_NULL,
            "media_url": TEXT_OR_NULL,
        }
    )
)
DISCOVERY = record(
    {
        "changeset": TEXT,
        "contact": TEXT,
        "key_service": TEXT,
        "endpoints": several(
            record(
                {
                    "specification": {"const": "http://wiki.open311.org/GeoReport_v2"},
                    "url": {"type": "string", "pattern": "^https?://[^?]+[^/?]$"},
                    "changeset": TEXT,
                    "type": {"enum": ["production", "test"]},
                    "formats": several({"enum": ["text/xml", "application/json"]}, least=1),
                }
            ),
            least=1,
        ),
    }
)


@pytest.fixture
def filled(session: Session, town: Town, open311: Open311) -> Open311:
    """A town with requests in every status, with and without what may be missing."""
    team = new_team(session, town.city)
    for status in Status:
        if status is not Status.DUPLICATE:
            report = new_report(session, town.asking, status=status, team=team)
            report.attributes = {"line": "A", "many": ["a"], "count": 3.5}
            new_photo(session, report)
    new_report(session, town.pothole, at=None, description="", address=None)
    session.flush()
    return open311


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("services.json", SERVICES),
        ("services/questions.json", DEFINITION),
        ("services/nid-de-poule.json", DEFINITION),
        ("services/dragons.json", ERRORS),
        ("requests.json", REQUESTS),
        ("requests.json?status=closed", REQUESTS),
        ("requests.json?extensions=true", EXTENDED),
        ("requests.json?page=0&status=x", ERRORS),
        ("requests/nothing.json", ERRORS),
        ("tokens/nothing.json", ERRORS),
        ("servicerequestupdates.json", UPDATES),
        ("discovery.json", DISCOVERY),
    ],
)
def test_what_is_read_fits_its_schema(filled: Open311, path: str, schema: dict[str, Any]) -> None:
    answer = filled.get(path)
    jsonschema.validate(answer.json, schema)
    # An empty text would be null, and a list of nothing is still a list.
    assert not re.search(r':""', answer.get_data(as_text=True).replace(" ", ""))
    assert answer.status_code in ((404, 400) if schema is ERRORS else (200,))


@pytest.mark.parametrize("code", ["nid-de-poule", "encombrants", "logement", "questions"])
def test_what_is_filed_is_answered_by_its_schema(open311: Open311, code: str) -> None:
    also = ANSWERS if code == "questions" else {}
    answer = open311.post(service_code=code, address_string="12 rue Foch", also=also)
    jsonschema.validate(answer.json, FILED)
    token = answer.json[0].get("token")
    if token is not None:
        jsonschema.validate(open311.get(f"tokens/{token}.json").json, TOKENS)


@pytest.mark.parametrize(
    ("path", "root", "items"),
    [
        ("services.xml", "services", ["service"]),
        ("services/questions.xml", "service_definition", ["service_code", "attributes"]),
        ("requests.xml", "service_requests", ["request"]),
        ("servicerequestupdates.xml", "service_request_updates", ["request_update"]),
        ("requests/nothing.xml", "errors", ["error"]),
        (
            "discovery.xml",
            "discovery",
            ["changeset", "contact", "key_service", "endpoints"],
        ),
    ],
)
def test_containers_have_exactly_their_names(
    filled: Open311, path: str, root: str, items: list[str]
) -> None:
    from xml.etree import ElementTree as ET

    element = ET.fromstring(filled.get(path).data)
    assert element.tag == root
    assert list(dict.fromkeys(child.tag for child in element)) == items
    assert read(filled.get(path))
