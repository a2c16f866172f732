"""Hostile parameter sets: some hundred here, 5,000 against a whole installation in `make soak`."""

from __future__ import annotations

import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from geo import jurisdictions
from reports.models import ServiceRequest
from tests.factories import new_service
from tests.open311.conftest import Open311, Town, read
from tests.open311.hostile import SERVICES, calls, sound

SETS = 400


def test_no_parameter_set_brings_out_more_than_a_refusal(
    client: FlaskClient, open311: Open311, session: Session, town: Town
) -> None:
    new_service(session, town.city, code=SERVICES[0])
    jurisdictions.forget()
    faults = []
    statuses = set()
    for call in calls(7, SETS, town.key):
        answer = client.open(
            call.url, method=call.method, data=call.body, headers=call.headers, buffered=True
        )
        statuses.add(answer.status_code)
        wrong = sound(answer.status_code, answer.content_type or "", answer.data, call.method)
        if wrong is not None:
            faults.append((wrong, call.method, call.url[:200], call.headers, answer.data[:300]))
    assert faults == []
    # Not everything was refused: what was taken is there, and every list can be read.
    assert statuses >= {200, 400, 403, 404}
    stored = session.scalar(sa.select(sa.func.count()).select_from(ServiceRequest)) or 0
    assert stored > 5
    for path in ("requests.xml", "requests.json", "servicerequestupdates.xml"):
        read(open311.get(path, extensions="true"))
    assert sound(200, "text/csv; charset=utf-8", open311.get("requests.csv").data, "GET") is None
