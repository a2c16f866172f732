"""The same content from the same key, sent again by a client that heard no answer: stored once."""

from __future__ import annotations

import io
import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import keys
from core.clock import utc_now
from core.db import db, transaction
from geo import jurisdictions
from geo.measures import Point
from open311 import repeating
from open311.models import FiledContent
from reports.models import Photo, ServiceRequest
from tests.factories import COMEDIE, new_jurisdiction, new_person, new_service, stored
from tests.open311.album import jpeg
from tests.open311.conftest import URL, Open311, Town, read

FORM: dict[str, Any] = {
    "service_code": "nid-de-poule",
    "lat": COMEDIE.lat,
    "long": COMEDIE.lon,
    "description": "Un trou devant le 3.",
    "email": "ana@exemple.org",
}


def count(session: Session) -> int:
    return len(stored(session, ServiceRequest))


def later(session: Session, span: timedelta) -> None:
    """Let time pass since everything that was filed."""
    session.execute(sa.update(FiledContent).values(filed_at=FiledContent.filed_at - span))


@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_the_second_answer_is_the_first_one(
    open311: Open311, session: Session, suffix: str
) -> None:
    first, again = (open311.post(f"requests.{suffix}", **FORM) for _ in range(2))
    assert read(again) == read(first)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert count(session) == 1


def test_the_key_may_come_another_way_and_the_answer_in_another_format(
    client: FlaskClient, town: Town, open311: Open311, session: Session
) -> None:
    first = open311.post(**FORM)
    again = client.post(
        f"{URL}/requests.xml", data=FORM, headers={"Authorization": f"Bearer {town.key}"}
    )
    assert read(again)[0]["service_request_id"] == first.json[0]["service_request_id"]


def test_a_batch_service_answers_its_token_again(open311: Open311, session: Session) -> None:
    form = FORM | {"service_code": "encombrants"}
    assert open311.post(**form).json[0]["token"] == open311.post(**form).json[0]["token"]
    assert count(session) == 1


def test_a_photo_belongs_to_the_content(open311: Open311, session: Session) -> None:
    def send(colour: str) -> Any:
        return open311.post(**FORM, media=(io.BytesIO(jpeg(colour)), "a.jpg")).json

    assert send("teal") == send("teal")
    assert send("red") != send("teal")
    assert (count(session), len(stored(session, Photo))) == (2, 2)


@pytest.mark.parametrize(
    "other",
    [
        {"email": "bob@exemple.org"},
        {"phone": "+33467123456"},
        {"first_name": "Ana"},
        {"device_id": "tt222111"},
        {"account_id": "7"},
        {"description": "Un trou devant le 5."},
        {"long": COMEDIE.lon + 0.0001},
        {"service_code": "vehicule"},
    ],
)
def test_two_who_report_through_one_app_stay_two(
    open311: Open311, session: Session, other: dict[str, Any]
) -> None:
    assert open311.post(**FORM).json != open311.post(**FORM | other).json
    assert count(session) == 2


def test_another_key_is_another_sender(open311: Open311, session: Session, town: Town) -> None:
    person = new_person(session)
    other = keys.create_key(session, person.email or "", "b", now=utc_now())
    assert open311.post(**FORM).json != open311.post(**FORM, api_key=other).json


def test_another_city_is_another_request(open311: Open311, session: Session, town: Town) -> None:
    other = new_jurisdiction(session, code="sete", centre=Point(43.4, 3.4))
    new_service(session, other, code="nid-de-poule")
    jurisdictions.forget()
    form = {"service_code": "nid-de-poule", "address_string": "1 rue Foch", "api_key": town.key}
    ids = {
        open311.client.post(f"/open311/{code}/v2/requests.json", data=form).json[0][
            "service_request_id"
        ]
        for code in ("montpellier", "sete")
    }
    assert len(ids) == 2


def test_after_ten_minutes_it_is_news(open311: Open311, session: Session) -> None:
    first = open311.post(**FORM).json
    later(session, timedelta(minutes=9, seconds=50))
    assert open311.post(**FORM).json == first
    later(session, timedelta(seconds=10))
    second = open311.post(**FORM).json
    assert second != first
    # And the window begins anew.
    assert open311.post(**FORM).json == second


def test_an_idempotency_key_says_by_itself_what_is_one(open311: Open311, session: Session) -> None:
    def send(key: str) -> Any:
        form = FORM | {"api_key": open311.key}
        headers = {"Idempotency-Key": key}
        return open311.client.post(f"{URL}/requests.json", data=form, headers=headers).json

    assert len({str(send(key)) for key in ("a", "b", "a")}) == 2
    assert open311.post(**FORM).json not in (send("a"), send("b"))


def test_what_is_refused_may_be_sent_again(open311: Open311, session: Session) -> None:
    faulty = FORM | {"service_code": "questions"}
    assert [open311.post(**faulty).status_code for _ in range(2)] == [400, 400]
    assert session.scalars(sa.select(FiledContent)).all() == []


def test_what_is_kept_of_it_says_nothing_and_is_forgotten(
    open311: Open311, session: Session
) -> None:
    open311.post(**FORM)
    [row] = session.scalars(sa.select(FiledContent)).all()
    assert len(row.digest) == 32
    now = utc_now()
    assert repeating.forget_filed(session, now=now) == 0
    assert repeating.forget_filed(session, now=now + repeating.REPEATED_WITHIN) == 1


def test_many_at_one_moment_are_one(committed_db: Flask) -> None:
    """A client that gives up after a second and tries again while the first is still at work."""
    with committed_db.app_context():
        jurisdictions.forget()
        with transaction() as session:
            city = new_jurisdiction(session, code="montpellier")
            new_service(session, city, code="nid-de-poule")
            person = new_person(session)
            key = keys.create_key(session, person.email or "", "app", now=utc_now())
        db.session.remove()
    gate = threading.Barrier(6)
    answers: list[Any] = []

    def send() -> None:
        client = committed_db.test_client()
        gate.wait()
        answers.append(client.post(f"{URL}/requests.json", data=FORM | {"api_key": key}))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json[0]["service_request_id"] for answer in answers}) == 1
    with committed_db.app_context(), transaction() as session:
        assert count(session) == 1
    jurisdictions.forget()
