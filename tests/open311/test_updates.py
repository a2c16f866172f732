"""Service request updates: what the list tells, and what comes in from other systems."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import keys
from accounts.audit import Action
from accounts.models import AuditEntry
from accounts.rules import Role
from core.clock import utc_now
from core.models import OutboxEvent
from geo.models import Jurisdiction
from open311.models import LinkedPhoto
from reports import lifecycle, remarks
from reports.changing import Words
from reports.history import Author
from reports.models import Note, Photo, ServiceRequest
from reports.vocabulary import ActorKind, NoteKind, Status, Visibility
from tests.factories import new_person, new_photo, new_report, new_staff, new_team, stored
from tests.open311.album import jpeg
from tests.open311.conftest import URL, Open311, Town, as_xml_says, read

BY = Author(ActorKind.STAFF)
MONDAY = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)


def moved(session: Session, town: Town, at: datetime = MONDAY) -> ServiceRequest:
    """A report that was taken on, spoken of and resolved, an hour after another."""
    report = new_report(session, town.pothole, requested_at=at - timedelta(hours=1))
    lifecycle.move(session, report, Status.IN_PROGRESS, by=BY, now=at)
    remarks.comment(
        session,
        report,
        Words(note="secret", public_note="Une équipe passe demain."),
        by=BY,
        now=at + timedelta(hours=1),
    )
    remarks.comment(session, report, Words(note="secret"), by=BY, now=at + timedelta(hours=1))
    done = Words(public_note="Réparé.")
    lifecycle.move(session, report, Status.RESOLVED, by=BY, now=at + timedelta(hours=2), words=done)
    session.flush()
    return report


def test_the_list_tells_each_change_and_each_public_word(
    open311: Open311, session: Session, town: Town
) -> None:
    report = moved(session, town)
    new_report(session, town.pothole, requested_at=MONDAY, visibility=Visibility.HELD.value)
    answer = open311.get("servicerequestupdates.json", start_date="2026-03-09T00:00:00Z")
    assert [
        (each["status"], each["description"], each["updated_datetime"]) for each in answer.json
    ] == [
        ("open", None, "2026-03-09T09:00:00Z"),
        ("open", "Une équipe passe demain.", "2026-03-09T10:00:00Z"),
        ("closed", "Réparé.", "2026-03-09T11:00:00Z"),
    ]
    assert {each["service_request_id"] for each in answer.json} == {str(report.id)}
    assert len({each["update_id"] for each in answer.json}) == 3
    as_xml = open311.get("servicerequestupdates.xml", start_date="2026-03-09T00:00:00Z")
    assert read(as_xml) == as_xml_says(answer.json)
    assert "secret" not in as_xml.get_data(as_text=True)
    extended = open311.get("servicerequestupdates.json", extensions="true").json
    # The newest first where no beginning is said.
    assert [each["status"] for each in extended] == ["fixed", "in_progress", "in_progress"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"start_date": "2026-03-09T10:00:00Z"}, [2, 3]),
        ({"start_date": "2026-03-09T10:00:01Z"}, [3]),
        ({"start_date": "2026-03-09T09:00:00Z", "end_date": "2026-03-09T10:00:00Z"}, [1, 2]),
        ({"end_date": "2026-03-09T10:00:00Z"}, [2, 1]),
        ({"start_date": "2026-03-01T00:00:00Z", "page_size": "2", "page": "2"}, [3]),
        ({"start_date": "2026-03-01T00:00:00Z", "page": "9"}, []),
        ({"service_request_id": "01890000-0000-7000-8000-000000000000"}, []),
    ],
)
def test_a_window_includes_both_its_ends(
    open311: Open311, session: Session, town: Town, query: dict[str, str], found: list[int]
) -> None:
    report = moved(session, town)
    whole = open311.get("servicerequestupdates.json", start_date="2026-01-01T00:00:00Z").json
    answer = open311.get("servicerequestupdates.json", **query)
    assert [each["update_id"] for each in answer.json] == [
        whole[number - 1]["update_id"] for number in found
    ]
    named = open311.get("servicerequestupdates.json", service_request_id=str(report.id))
    assert len(named.json) == 3


def test_a_wrong_window_is_400(open311: Open311, town: Town) -> None:
    for query in ({"start_date": "x"}, {"start_date": "2026-02-02", "end_date": "2026-01-01"}):
        assert open311.get("servicerequestupdates.json", **query).status_code == 400


# -- from other systems ---------------------------------------------------------------------------


@pytest.fixture
def staff_key(session: Session, town: Town) -> str:
    """Of the system that the city's team works with."""
    somebody = new_staff(session, town.city, Role.AGENT)
    return keys.create_key(session, somebody.person.email or "", "works", now=utc_now())


@pytest.fixture
def report(session: Session, town: Town) -> ServiceRequest:
    team = new_team(session, town.city)
    return new_report(session, town.pothole, status=Status.TRIAGED, team=team)


def send(open311: Open311, report: ServiceRequest, **form: Any) -> Any:
    return open311.post("servicerequestupdates.json", service_request_id=str(report.id), **form)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("CLOSED", Status.RESOLVED),
        ("fixed", Status.RESOLVED),
        ("IN_PROGRESS", Status.IN_PROGRESS),
        ("in progress", Status.IN_PROGRESS),
        ("ACTION_SCHEDULED", Status.ASSIGNED),
        ("no_further_action", Status.REJECTED),
        ("not_councils_responsibility", Status.REJECTED),
        ("OPEN", Status.TRIAGED),
        ("flabbergasted", Status.TRIAGED),
        ("", Status.TRIAGED),
    ],
)
def test_the_staffs_system_moves_the_report_and_says_its_words_to_everybody(
    open311: Open311,
    session: Session,
    report: ServiceRequest,
    staff_key: str,
    word: str,
    status: Status,
) -> None:
    answer = send(
        open311,
        report,
        api_key=staff_key,
        update_id="42",
        status=word,
        description="Vu sur place.",
        updated_datetime="2026-03-09T09:00:00Z",
    )
    assert answer.status_code == 200, answer.json
    session.refresh(report)
    assert report.status == status
    [note] = session.scalars(sa.select(Note)).all()
    assert (note.kind, note.body) == (NoteKind.PUBLIC, "Vu sur place.")
    [entry] = session.scalars(
        sa.select(AuditEntry).filter_by(action=Action.REPORT_CHANGED.value)
    ).all()
    assert entry.data["what"] == "open311_update"
    # What was answered is what the list calls it, so that nobody takes in their own update.
    assert {each["update_id"] for each in answer.json} <= {
        each["update_id"] for each in open311.get("servicerequestupdates.json").json
    }


def test_the_same_update_is_stored_once(
    open311: Open311, session: Session, report: ServiceRequest, staff_key: str
) -> None:
    form = {"api_key": staff_key, "update_id": "42", "description": "Vu.", "status": "fixed"}
    first, again = send(open311, report, **form), send(open311, report, **form)
    assert first.status_code == again.status_code == 200
    assert first.json == again.json
    assert len(session.scalars(sa.select(Note)).all()) == 1
    # Another sender has ids of its own.
    other = new_staff(session, session.get_one(Jurisdiction, report.jurisdiction_id))
    key = keys.create_key(session, other.person.email or "", "b", now=utc_now())
    assert send(open311, report, **{**form, "api_key": key}).json != first.json


def test_both_formats_answer_the_same(
    open311: Open311, report: ServiceRequest, staff_key: str
) -> None:
    form = {"service_request_id": str(report.id), "update_id": "1", "description": "Vu."}
    as_json = open311.post("servicerequestupdates.json", api_key=staff_key, **form)
    as_xml = open311.post("servicerequestupdates.xml", api_key=staff_key, **form)
    assert read(as_xml) == as_xml_says(as_json.json)
    assert list(as_json.json[0]) == ["update_id"]


def test_the_citizens_system_adds_words_and_closes_nothing(
    open311: Open311, session: Session
) -> None:
    id_ = open311.file()["service_request_id"]
    report = session.get_one(ServiceRequest, UUID(id_))
    answer = send(open311, report, update_id="7", status="FIXED", description="C’est réparé !")
    assert answer.status_code == 200, answer.json
    session.refresh(report)
    assert report.status == Status.RECEIVED
    [note] = session.scalars(sa.select(Note)).all()
    assert (note.kind, note.body) == (NoteKind.ADDITION, "C’est réparé !")
    # A citizen's words are the team's to read, not the public's.
    assert open311.get("servicerequestupdates.json").json == []


def test_the_citizens_system_says_that_it_is_not_fixed(open311: Open311, session: Session) -> None:
    id_ = open311.file()["service_request_id"]
    report = session.get_one(ServiceRequest, UUID(id_))
    lifecycle.move(session, report, Status.RESOLVED, by=BY, now=utc_now())
    answer = send(open311, report, update_id="8", status="OPEN", description="Toujours là.")
    assert answer.status_code == 200, answer.json
    session.refresh(report)
    assert report.status == Status.REOPENED
    names = set(session.scalars(sa.select(OutboxEvent.name)))
    assert "report.status_changed" in names


LINK = "https://fms.example/photo/7.jpeg"


def filed(open311: Open311, session: Session) -> ServiceRequest:
    return session.get_one(ServiceRequest, UUID(open311.file()["service_request_id"]))


@pytest.mark.parametrize(
    "form", [{}, {"description": "Une autre vue."}, {"status": "OPEN", "description": "Encore."}]
)
def test_photos_of_the_citizens_system_become_the_reporters(
    open311: Open311, session: Session, form: dict[str, str]
) -> None:
    report = filed(open311, session)
    if form.get("status"):
        lifecycle.move(session, report, Status.RESOLVED, by=BY, now=utc_now())
    form = {**form, "update_id": "7", "media_url": LINK}
    for _ in range(2):
        answer = send(open311, report, **form, uploads=(io.BytesIO(jpeg()), "1.jpg"))
        assert answer.status_code == 200, answer.json
    [row] = stored(session, LinkedPhoto)
    assert (row.report_id, row.url) == (report.id, LINK)
    [photo] = stored(session, Photo)
    assert (photo.report_id, photo.added_by, photo.state) == (report.id, "reporter", "staged")


def test_an_address_of_a_photo_alone_is_an_update(open311: Open311, session: Session) -> None:
    report = filed(open311, session)
    answer = send(open311, report, update_id="7", media_url=[LINK, f"{LINK}?2", "no address"])
    assert answer.status_code == 200, answer.json
    assert [row.url for row in stored(session, LinkedPhoto)] == [LINK, f"{LINK}?2"]
    assert send(open311, report, update_id="8", media_url="no address").status_code == 400


def test_photos_of_the_staffs_system_are_theirs(
    open311: Open311, session: Session, report: ServiceRequest, staff_key: str
) -> None:
    form = {"api_key": staff_key, "update_id": "7", "status": "REJECTED", "media_url": LINK}
    for _ in range(2):
        answer = send(open311, report, **form, media=(io.BytesIO(jpeg()), "1.jpg"))
        assert answer.status_code == 200, answer.json
    [photo] = stored(session, Photo)
    assert (photo.report_id, photo.added_by) == (report.id, "machine")
    [row] = stored(session, LinkedPhoto)
    assert (row.report_id, row.url, row.added_by) == (report.id, LINK, "machine")
    # The public is told in words why, and nothing of an address that nobody looked at.
    [said] = stored(session, Note)
    assert said.kind == NoteKind.PUBLIC
    assert "fms.example" not in said.body


def test_photos_that_find_no_room_cost_no_words(
    open311: Open311, session: Session, report: ServiceRequest, staff_key: str
) -> None:
    own = filed(open311, session)
    for full in (own, report):
        for _ in range(20):
            new_photo(session, full)
    words = {"update_id": "7", "description": "Encore."}
    assert send(open311, own, **words, media_url=LINK).status_code == 200
    file = (io.BytesIO(jpeg()), "1.jpg")
    answer = send(open311, report, api_key=staff_key, update_id="8", status="FIXED", media=file)
    assert answer.status_code == 400
    assert "20 photos" in answer.json[0]["description"]


def test_a_file_that_is_no_photo_is_named(
    open311: Open311, report: ServiceRequest, staff_key: str
) -> None:
    file = (io.BytesIO(b"GIF89a"), "1.gif")
    answer = send(open311, report, api_key=staff_key, description="Vu.", media=file)
    assert answer.status_code == 400
    assert "media" in answer.json[0]["description"]


def test_an_update_that_says_nothing_new_changes_nothing(
    open311: Open311, session: Session, report: ServiceRequest, staff_key: str
) -> None:
    version = report.version
    answer = send(open311, report, api_key=staff_key, update_id="9", status="open")
    assert answer.status_code == 200
    session.refresh(report)
    assert report.version == version


def test_a_strangers_key_is_403_and_a_private_report_looks_missing(
    open311: Open311, session: Session, report: ServiceRequest
) -> None:
    person = new_person(session)
    key = keys.create_key(session, person.email or "", "c", now=utc_now())
    form = {"api_key": key, "update_id": "1", "description": "Vu."}
    assert send(open311, report, **form).status_code == 403
    report.visibility = Visibility.HELD.value
    session.flush()
    assert send(open311, report, **form).status_code == 404
    assert session.scalars(sa.select(Note)).all() == []


@pytest.mark.parametrize(
    ("form", "status", "names"),
    [
        ({}, 400, "service_request_id"),
        ({"service_request_id": "01890000-0000-7000-8000-000000000000"}, 404, "id"),
        ({"service_request_id": "nonsense", "description": "x"}, 404, "service_request_id"),
        ({"service_request_id": "{own}"}, 400, "says something"),
        ({"service_request_id": "{own}", "description": "x" * 4001}, 400, "description"),
        ({"service_request_id": "{own}", "update_id": "x" * 201, "status": "x"}, 400, "update_id"),
    ],
)
def test_what_is_wrong_is_named(
    open311: Open311,
    report: ServiceRequest,
    staff_key: str,
    form: dict[str, str],
    status: int,
    names: str,
) -> None:
    form = {name: text.format(own=report.id) for name, text in form.items()}
    answer = open311.post("servicerequestupdates.json", api_key=staff_key, **form)
    assert answer.status_code == status
    assert names in answer.json[0]["description"]


def test_without_a_key_nothing_is_taken(
    client: FlaskClient, report: ServiceRequest, town: Town
) -> None:
    form = {"service_request_id": str(report.id), "description": "x"}
    assert client.post(f"{URL}/servicerequestupdates.json", data=form).status_code == 403


def test_history_of_the_past_is_in_its_own_window(
    open311: Open311, session: Session, town: Town
) -> None:
    moved(session, town, at=MONDAY - timedelta(days=400))
    found = open311.get(
        "servicerequestupdates.json", start_date="2025-01-01T00:00:00Z", end_date="2025-12-31"
    )
    assert len(found.json) == 3
