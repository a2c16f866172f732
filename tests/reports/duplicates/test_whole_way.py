"""The citizen's side: what is similar, the same or another, and that joining loses nothing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image, ImageDraw, ImageEnhance
from sqlalchemy.orm import Session

from accounts.rules import Role
from core.clock import utc_now
from core.models import OutboxEvent
from geo.models import Jurisdiction
from reports import comparing
from reports.duplicates import joining
from reports.duplicates.rules import Candidate, Decision, FirstRule, Outcome, Reason, Verdicts
from reports.duplicates.rules import Features as Told
from reports.history import SYSTEM
from reports.media.likeness import likeness_of
from reports.models import Follower, HistoryEntry, Note, PairVerdict, Photo, Service, ServiceRequest
from reports.vocabulary import Status
from tests.factories import (
    COMEDIE,
    new_follower,
    new_jurisdiction,
    new_photo,
    new_report,
    new_service,
    new_staff,
    new_team,
    stored,
)
from tests.workers.driving import run_pipeline

WHERE = {"lat": COMEDIE.lat, "lon": COMEDIE.lon}


@pytest.fixture
def known(session: Session) -> ServiceRequest:
    """An open report of a hole, which a team has."""
    city = new_jurisdiction(session)
    service = new_service(session, city, code="trou")
    return new_report(session, service, status=Status.TRIAGED, team=new_team(session, city))


def send(client: FlaskClient, known: ServiceRequest, **values: Any) -> UUID:
    answer = client.post(
        "/api/v1/reports",
        json={
            "service_code": "trou",
            **WHERE,
            "description": "Une roue y entre.",
            "contact": {"email": "camille@courriel.example", "locale": "fr"},
            **values,
        },
    )
    assert answer.status_code == 201, answer.text
    return UUID(answer.json["id"])


def similar(client: FlaskClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(
        "/api/v1/reports/similar",
        query_string={"service_code": "trou", **WHERE, "description": "Une roue", **query},
    )
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def test_before_sending_one_sees_what_is_known_with_its_reasons_and_its_people(
    client: FlaskClient, session: Session, known: ServiceRequest
) -> None:
    new_follower(session, known)
    child = new_report(session, session.get_one(Service, known.service_id), parent=known)
    [item] = similar(client, accuracy_m=20)
    assert item["report"]["id"] == str(known.id) != str(child.id)
    assert (item["people"], item["followers"], item["distance_m"]) == (3, 1, 0.0)
    assert {"distance", "elapsed"} <= {reason["code"] for reason in item["reasons"]}
    assert 0 < item["score"] <= 1
    known.status = Status.RESOLVED.value
    known.resolved_at = utc_now()
    session.flush()
    assert similar(client) == []


def test_the_same_one_is_joined_and_remembered_as_a_label(
    app: Flask, client: FlaskClient, session: Session, known: ServiceRequest
) -> None:
    sent = send(client, known, same_as=str(known.id), lat=COMEDIE.lat + 0.0015)
    run_pipeline(app)
    report = session.get_one(ServiceRequest, sent)
    session.refresh(report)
    assert (report.status, report.parent_id) == ("duplicate", known.id)
    assert report.duplicate is not None
    assert report.duplicate["reasons"][0]["code"] == "reporter_said"
    [label] = stored(session, PairVerdict)
    assert (label.report_id, label.other_id, label.is_same) == (sent, known.id, True)
    assert label.said_by == "reporter"


def test_another_one_stands_for_itself_and_is_remembered_as_a_label(
    app: Flask, client: FlaskClient, session: Session, known: ServiceRequest
) -> None:
    sent = send(client, known, not_same_as=[str(known.id)])
    run_pipeline(app)
    report = session.get_one(ServiceRequest, sent)
    session.refresh(report)
    assert report.parent_id is None
    [label] = stored(session, PairVerdict)
    assert (label.other_id, label.is_same, label.said_by) == (known.id, False, "reporter")


def test_joining_keeps_everything_and_separating_brings_it_back(
    app: Flask, client: FlaskClient, session: Session, known: ServiceRequest
) -> None:
    first = new_follower(session, known, is_reporter=True)
    sent = send(client, known)
    new_photo(session, session.get_one(ServiceRequest, sent))
    run_pipeline(app)
    child = session.get_one(ServiceRequest, sent)
    session.refresh(child)
    assert child.parent_id == known.id
    [reporter] = stored(session, Follower, report_id=sent)
    # What it is and who told of it stays its own.
    assert (child.description, child.lat, child.number != known.number) == (
        "Une roue y entre.",
        COMEDIE.lat,
        True,
    )
    assert (reporter.email, reporter.is_reporter) == ("camille@courriel.example", True)
    assert len(stored(session, Photo, report_id=sent)) == 1
    kinds = [entry.kind for entry in stored(session, HistoryEntry, report_id=sent)]
    assert kinds == ["status", "located", "joined"]
    # It follows its parent: the reporter of each hears once that it is fixed.
    staff = new_staff(session, session.get_one(Jurisdiction, known.jurisdiction_id), Role.MANAGER)
    answer = client.post(
        f"/api/v1/reports/{known.id}/status", json={"status": "resolved"}, headers=staff.headers
    )
    assert answer.status_code == 200, answer.text
    run_pipeline(app)
    letters = _letters(app)
    assert sum(first.email in letter and "réglé" in letter for letter in letters) >= 1
    assert any("camille@courriel.example" in letter and "réglé" in letter for letter in letters)
    # Separated, it is as it was, and is triaged for itself.
    joining.unjoin(session, child, by=SYSTEM, now=utc_now())
    run_pipeline(app)
    session.refresh(child)
    session.refresh(known)
    assert (child.status, child.parent_id, known.joined_count) == ("received", None, 0)
    assert child.triaged_at is not None
    assert stored(session, Note) == []


def _letters(app: Flask) -> list[str]:
    folder = Path(app.extensions["settings"].data_dir) / "outbox"
    return [path.read_text() for path in folder.iterdir()]


# -- photos ---------------------------------------------------------------------------------------


def scene(seed: int = 3) -> Image.Image:
    """A picture with something in it."""
    image = Image.new("RGB", (400, 300), (90, 90, 90))
    draw = ImageDraw.Draw(image)
    for number in range(9):
        left, top = (number * seed * 53) % 360, (number * seed * 29) % 260
        grey = (number * seed * 41) % 255
        draw.rectangle((left, top, left + 70, top + 60), fill=(grey, grey, 255 - grey))
    return image


def differing(one: Image.Image, other: Image.Image) -> int:
    hashes = [likeness_of(image) for image in (one, other)]
    assert None not in hashes
    mask = (1 << 64) - 1
    return ((hashes[0] & mask) ^ (hashes[1] & mask)).bit_count()


def test_the_same_photo_is_alike_however_it_was_encoded() -> None:
    photo = scene()
    content = io.BytesIO()
    photo.resize((250, 188)).save(content, "JPEG", quality=40)
    assert differing(photo, Image.open(content)) <= 4
    assert differing(photo, ImageEnhance.Brightness(photo).enhance(1.2)) <= 4
    assert differing(photo, scene(seed=5)) >= 12
    assert differing(photo, photo) == 0


def test_a_wall_is_like_no_other_wall() -> None:
    assert likeness_of(Image.new("RGB", (300, 200), (120, 118, 119))) is None


class SeesPhotos(FirstRule):
    """Joins what has a photo in common, and nothing else."""

    name = "sees-photos/1"

    def decide(self, report: Told, candidates: Any, verdicts: Verdicts) -> Decision:
        alike = [
            item
            for item in candidates
            if set(item.photo_hashes) & set(report.photo_hashes)
            and item.id not in verdicts.not_same
        ]
        if not alike:
            return Decision(Outcome.APART)
        best: Candidate = alike[0]
        return Decision(Outcome.JOINED, best.id, 0.99, (Reason("same_photo"),), ())


def test_a_photo_that_is_cleaned_late_brings_a_suggestion_and_no_more(session: Session) -> None:
    service = new_service(session)
    first, second, third = (new_report(session, service, status=Status.TRIAGED) for _ in range(3))
    new_photo(session, first, likeness=-5)
    new_photo(session, second, likeness=-5)
    new_photo(session, third, likeness=77)
    ids = [second.id, third.id]
    done = comparing.compare_again(session, ids, now=utc_now(), judge=SeesPhotos())
    session.expire_all()
    assert done == 1
    assert (second.parent_id, second.suggested_id) == (None, first.id)
    assert second.duplicate is not None
    assert second.duplicate["outcome"] == "suggested"
    assert (third.suggested_id, third.duplicate) == (None, None)
    joining.join(session, second, first, by=SYSTEM, now=utc_now())
    assert comparing.compare_again(session, ids, now=utc_now(), judge=SeesPhotos()) == 0


def test_a_cleaned_photo_has_its_report_compared(
    app: Flask, client: FlaskClient, session: Session, known: ServiceRequest
) -> None:
    content = io.BytesIO()
    scene().save(content, "JPEG")
    content.seek(0)
    answer = client.post(
        "/api/v1/reports",
        data={
            "service_code": "trou",
            "lat": str(COMEDIE.lat + 0.003),
            "lon": str(COMEDIE.lon),
            "photos": (content, "trou.jpg"),
        },
    )
    assert answer.status_code == 201
    run_pipeline(app)
    [photo] = stored(session, Photo)
    assert photo.likeness is not None
    assert "photo.cleaned" in {event.name for event in stored(session, OutboxEvent)}
    assert all(event.done_at is not None for event in stored(session, OutboxEvent))
