"""Redaction: the new words everywhere, the old ones for auditors only."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.models import AuditEntry
from accounts.rules import Role
from core.tokens import Purpose, token_for
from geo.models import Jurisdiction
from reports.history import Author, add_note
from reports.masking import MARK
from reports.models import HistoryEntry, Note, Photo, Redaction, ServiceRequest
from reports.vocabulary import ActorKind, NoteKind
from tests.factories import (
    WEDNESDAY,
    new_citizen,
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    stored,
)

OWN_WORDS = "Devant chez Mme Quatrebarbes, au 06 12 34 56 78."

QUESTIONS = [
    {"code": "qui", "datatype": "string", "required": False, "order": 1, "descriptions": {}},
    {
        "code": "danger",
        "datatype": "singlevaluelist",
        "required": False,
        "order": 2,
        "descriptions": {},
        "values": [{"key": "oui", "names": {"fr": "Oui"}}],
    },
]


@pytest.fixture
def city(session: Session) -> Jurisdiction:
    return new_jurisdiction(session)


@pytest.fixture
def report(session: Session, city: Jurisdiction) -> ServiceRequest:
    service = new_service(session, city, attributes=QUESTIONS)
    return new_report(
        session,
        service,
        description=OWN_WORDS,
        address_given="chez Quatrebarbes, 3 rue Foch",
        address="3 rue Foch",
        attributes={"qui": "Zéphyrine Quatrebarbes", "danger": "oui"},
    )


@pytest.fixture
def token(app: Flask, report: ServiceRequest) -> dict[str, str]:
    return {"X-Tracking-Token": token_for(app.config["SECRET_KEY"], Purpose.TRACK, report.id, 1)}


def redact(client: FlaskClient, report_id: UUID, headers: Any, **payload: Any) -> Any:
    return client.post(f"/api/v1/reports/{report_id}/redactions", json=payload, headers=headers)


def test_new_words_replace_the_old_ones_wherever_the_report_is_shown(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    before = client.get(f"/api/v1/reports/{report.id}", headers=agent.headers)

    done = redact(client, report.id, agent.headers, part="description", text="Devant le numéro 3.")

    assert done.status_code == 201
    assert done.headers["ETag"] != before.headers["ETag"]
    for headers in ({}, agent.headers):
        shown = client.get(f"/api/v1/reports/{report.id}", headers=headers)
        assert shown.json["description"] == "Devant le numéro 3."
        assert OWN_WORDS not in client.get("/api/v1/reports", headers=headers).text
    found = client.get("/api/v1/reports?q=quatrebarbes", headers=agent.headers).json["items"]
    # It is still in the address as it was given.
    assert [item["id"] for item in found] == [str(report.id)]
    redact(client, report.id, agent.headers, part="address")
    assert not client.get("/api/v1/reports?q=quatrebarbes", headers=agent.headers).json["items"]
    [entry] = stored(session, HistoryEntry, report_id=report.id, kind="redacted")[:1]
    assert set(entry.data) == {"part", "redaction_id"}
    assert entry.actor_id == agent.id
    assert len(stored(session, AuditEntry, action="report.redacted")) == 2


def test_without_words_a_mark_says_that_something_stood_there(
    client: FlaskClient,
    session: Session,
    report: ServiceRequest,
    token: dict[str, str],
) -> None:
    for payload in (
        {"part": "description"},
        {"part": "address"},
        {"part": "attribute", "key": "qui"},
        {"part": "attribute", "key": "danger"},
    ):
        assert redact(client, report.id, token, **payload).status_code == 201, payload

    shown = client.get(f"/api/v1/reports/{report.id}", headers=token).json
    assert shown["description"] == MARK
    assert shown["address"] == MARK
    assert shown["address_given"] is None
    assert shown["attributes"] == {"qui": MARK}
    kept = {(row.subject, row.subject_key): row.before for row in stored(session, Redaction)}
    assert kept == {
        ("description", None): OWN_WORDS,
        ("address", None): "chez Quatrebarbes, 3 rue Foch\n3 rue Foch",
        ("attribute", "qui"): "Zéphyrine Quatrebarbes",
        ("attribute", "danger"): "oui",
    }


def test_a_reporter_redacts_their_own_words_and_photos_and_nobody_elses(
    client: FlaskClient,
    session: Session,
    report: ServiceRequest,
    token: dict[str, str],
) -> None:
    notes = {
        kind: add_note(
            session, report.id, note, "Mots", by=Author(kind), history_id=None, now=WEDNESDAY
        )
        for kind, note in (
            (ActorKind.REPORTER, NoteKind.ADDITION),
            (ActorKind.STAFF, NoteKind.PUBLIC),
        )
    }
    own = new_photo(session, report, storage_name="a" * 32)
    theirs = new_photo(session, report, added_by="staff", storage_name="b" * 32)

    answers = [
        redact(client, report.id, token, part=part, key=str(key)).status_code
        for part, key in (
            ("note", notes[ActorKind.REPORTER]),
            ("photo", own.id),
            ("note", notes[ActorKind.STAFF]),
            ("photo", theirs.id),
        )
    ]

    assert answers == [201, 201, 403, 403]
    assert session.get_one(Note, notes[ActorKind.REPORTER]).body == MARK
    assert session.get_one(Note, notes[ActorKind.STAFF]).body == "Mots"
    shown = client.get(f"/api/v1/reports/{report.id}", headers=token).json
    assert [photo["id"] for photo in shown["photos"]] == [str(theirs.id)]
    assert client.get(f"/media/{own.id}/full.jpg").status_code == 404
    # Its files wait for their days in the private storage.
    assert session.get_one(Photo, own.id).storage_name == "a" * 32
    assert not stored(session, AuditEntry)


def test_a_reporter_with_an_account_needs_no_link(
    client: FlaskClient, session: Session, report: ServiceRequest
) -> None:
    reporter, other = new_citizen(session), new_citizen(session)
    new_follower(session, report, is_reporter=True, person_id=reporter.id)

    assert redact(client, report.id, other.headers, part="description").status_code == 404
    assert redact(client, report.id, reporter.headers, part="description").status_code == 201
    [entry] = stored(session, HistoryEntry, report_id=report.id, kind="redacted")
    assert (entry.actor_kind, entry.actor_id) == ("reporter", None)


def test_staff_who_reported_it_themselves_act_as_staff(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    new_follower(session, report, is_reporter=True, person_id=agent.id)
    theirs = new_photo(session, report, added_by="staff", storage_name="b" * 32)

    answer = redact(client, report.id, agent.headers, part="photo", key=str(theirs.id))

    assert answer.status_code == 201
    [entry] = stored(session, AuditEntry, action="report.redacted")
    assert entry.actor_id == agent.id


def test_what_stood_there_is_for_auditors_who_leave_a_trace(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    auditor = new_staff(session, city, Role.AUDITOR)
    stranger = new_staff(session, new_jurisdiction(session), Role.AUDITOR)
    redact(client, report.id, agent.headers, part="description")
    path = f"/api/v1/reports/{report.id}/redactions"

    assert client.get(path).status_code == 401
    assert client.get(path, headers=agent.headers).status_code == 403
    assert client.get(path, headers=stranger.headers).status_code == 404
    [item] = client.get(path, headers=auditor.headers).json["items"]
    assert item["before"] == OWN_WORDS
    assert (item["part"], item["by"], item["by_id"]) == ("description", "staff", str(agent.id))
    [entry] = stored(session, AuditEntry, action="redaction.read")
    assert (entry.actor_id, entry.subject_id) == (auditor.id, str(report.id))
    for reader in ({}, agent.headers, auditor.headers):
        for page in ("", "/history"):
            assert OWN_WORDS not in client.get(
                f"/api/v1/reports/{report.id}{page}", headers=reader
            ).get_data(as_text=True)


def test_answers_kept_for_retries_forget_the_words(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    agent = new_staff(session, city)
    once = {**agent.headers, "Idempotency-Key": "a"}
    comments = f"/api/v1/reports/{report.id}/comments"
    assert OWN_WORDS in client.post(comments, json={"note": "Vu"}, headers=once).get_data(True)

    twice = {**agent.headers, "Idempotency-Key": "b"}
    first = redact(client, report.id, twice, part="description")
    again = redact(client, report.id, twice, part="description")

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json
    assert len(stored(session, Redaction)) == 1
    assert not session.scalar(
        sa.text("SELECT count(*) FROM kept_answers WHERE body LIKE '%Quatrebarbes%'")
    )


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        pytest.param({"part": "soul"}, 422, id="no such part"),
        pytest.param({}, 422, id="no part"),
        pytest.param({"part": "note"}, 422, id="a note without an id"),
        pytest.param({"part": "note", "key": "x"}, 422, id="a note by another name"),
        pytest.param({"part": "note", "key": str(uuid4())}, 404, id="an unknown note"),
        pytest.param({"part": "photo", "key": str(uuid4())}, 404, id="an unknown photo"),
        pytest.param(
            {"part": "photo", "key": str(uuid4()), "text": "a"}, 422, id="a photo in words"
        ),
        pytest.param({"part": "attribute", "key": "nope"}, 404, id="an answer nobody gave"),
        pytest.param(
            {"part": "attribute", "key": "danger", "text": "bof"}, 422, id="a choice in words"
        ),
        pytest.param({"part": "description", "key": "a"}, 422, id="a key too many"),
        pytest.param({"part": "description", "visibility": "public"}, 422, id="a field too many"),
        pytest.param({"part": "description", "text": "a\u0000"}, 422, id="a NUL"),
    ],
)
def test_what_cannot_be_redacted_is_refused_and_leaves_no_trace(
    client: FlaskClient,
    session: Session,
    report: ServiceRequest,
    token: dict[str, str],
    payload: dict[str, Any],
    status: int,
) -> None:
    answer = redact(client, report.id, token, **payload)

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert not stored(session, Redaction)
    assert session.get_one(ServiceRequest, report.id).version == 1


def test_strangers_and_stale_readers_change_nothing(
    client: FlaskClient, session: Session, city: Jurisdiction, report: ServiceRequest
) -> None:
    viewer = new_staff(session, city, Role.VIEWER)
    elsewhere = new_staff(session, new_jurisdiction(session))
    agent = new_staff(session, city)

    assert redact(client, report.id, {}, part="description").status_code == 404
    assert (
        redact(client, report.id, {"X-Tracking-Token": "no"}, part="description").status_code == 404
    )
    assert redact(client, report.id, viewer.headers, part="description").status_code == 403
    assert redact(client, report.id, elsewhere.headers, part="description").status_code == 404
    stale = {**agent.headers, "If-Match": '"99"'}
    assert redact(client, report.id, stale, part="description").status_code == 412
    assert session.get_one(ServiceRequest, report.id).description == OWN_WORDS
