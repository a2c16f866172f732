"""Fifty people press at once, against everything that `make run` starts: several processes of the
web server on one PostgreSQL. The same on one process's threads stands in `test_adoption`."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.adoption.models import Adoption, AdoptionEntry
from assets.models import Asset
from bench.system import riverain
from core.models import OutboxEvent
from tests.factories import new_asset, new_asset_kind, new_citizen

PEOPLE = 50


@pytest.mark.whole
@pytest.mark.timeout(300)
def test_fifty_people_at_once_against_a_running_server_end_with_one_adopter() -> None:
    with riverain(RATE_LIMITS="off", DEMO="0") as system:
        engine = sa.create_engine(system.database_url.replace("postgresql", "postgresql+psycopg"))
        with Session(engine) as session:
            kind = new_asset_kind(session)
            asset_id, free_id = new_asset(session, kind).id, new_asset(session, kind).id
            headers = [dict(new_citizen(session).headers) for _ in range(PEOPLE)]
            session.commit()
        url = f"http://127.0.0.1:{system.port}/api/v1/assets/{asset_id}/adoption"
        answers = pressed(url, headers)
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * (PEOPLE - 1)
        for answer in answers:
            if answer.status_code == 409:
                document = answer.json()
                assert document["code"] == "adopted"
                assert document["waiting_list"].endswith("/adoption/waiting")
                assert [each["id"] for each in document["nearest_free"]] == [str(free_id)]
        with Session(engine) as session:
            [adoption] = session.scalars(sa.select(Adoption)).all()
            assert session.get_one(Asset, asset_id).adopters == 1
            assert session.scalars(sa.select(AdoptionEntry.entry)).all() == ["begun"]
            begun = sa.select(OutboxEvent.subject_id).where(OutboxEvent.name == "adoption.begun")
            assert session.scalars(begun).all() == [adoption.id]
        engine.dispose()


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
