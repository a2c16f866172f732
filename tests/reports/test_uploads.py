"""What is sent as a photo and is none, over HTTP: a clear refusal, and nothing left behind."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.models import OutboxEvent
from reports import media
from reports.history import Author
from reports.media import checking, cleaning
from reports.models import Photo, Service, ServiceRequest
from reports.storage import Folder
from reports.vocabulary import ActorKind
from tests import factories
from tests.conftest import Client
from tests.factories import COMEDIE
from tests.reports.test_media import encoded, huge_png, picture, text_bomb

URL = "/api/v1/reports"
SCRIPT = b"<script>alert(1)</script>"

#: Takes the place of the 10 MB, which the test client would put on disk and leave open.
SMALL = 50_000


@pytest.fixture
def pothole(session: Session) -> Service:
    return factories.new_service(session, factories.new_jurisdiction(session), code="pothole")


@pytest.fixture
def client(new_app: Callable[..., Flask], session: Session) -> FlaskClient:
    """A client of an application with a folder of photos of its own."""
    client = Client(new_app())
    client.session = session
    return client


def files(tmp_path: Path) -> list[Path]:
    """Whatever stands below the folder of this test's application."""
    return [path for path in tmp_path.rglob("*") if path.is_file() and "media" in path.parts]


def send(client: FlaskClient, *photos: tuple[bytes, str]) -> Any:
    report = {"service_code": "pothole", "lat": COMEDIE.lat, "lon": COMEDIE.lon}
    return client.post(
        URL,
        data={
            "report": json.dumps(report),
            "photos": [(io.BytesIO(content), name) for content, name in photos],
        },
    )


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 422, "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>" + SCRIPT + b"</svg>", 422, "not a JPEG"),
        (b"<!doctype html>" + SCRIPT, 422, "not a JPEG"),
        (b"GIF89a" + SCRIPT, 422, "not a JPEG"),
        (b"PK\x03\x04" + b"\0" * 100, 422, "not a JPEG"),
        (huge_png(30_000, 30_000), 422, "40 million"),
        (text_bomb(), 422, "damaged"),
        (b"\xff\xd8\xff\xe0" + SCRIPT, 422, "damaged"),
        (encoded(picture()) + b"\0" * SMALL, 413, "10 MB"),
    ],
    ids=["empty", "svg", "html", "gif", "zip", "pixels", "text", "script", "large"],
)
def test_what_is_no_photo_is_refused_and_leaves_nothing(
    client: FlaskClient,
    session: Session,
    tmp_path: Path,
    pothole: Service,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    status: int,
    said: str,
) -> None:
    monkeypatch.setattr(checking, "MAX_BYTES", SMALL)
    # The photo before it is good, and must not stay behind either.
    refused = send(client, (encoded(picture()), "a.jpg"), (content, "b.jpg"))
    assert refused.status_code == status, refused.json
    assert said in str(refused.json["errors"]["photos.1"])
    for table in (ServiceRequest, Photo, OutboxEvent):
        assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0
    assert files(tmp_path) == []


def test_a_hundred_files_are_refused_before_one_is_kept(
    client: FlaskClient, session: Session, tmp_path: Path, pothole: Service
) -> None:
    refused = send(client, *[(encoded(picture()), f"{number}.jpg") for number in range(100)])
    assert refused.status_code == 422
    assert "at most 5" in str(refused.json["errors"]["photos"])
    assert session.scalar(sa.select(sa.func.count()).select_from(ServiceRequest)) == 0
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../../../etc/cron.d/x.jpg",
        "..\\..\\x.jpg",
        "/etc/passwd",
        "a\0b.jpg",
        "x.php",
        "\u202egpj.exe",
        "é" * 300 + ".jpg",
    ],
)
def test_a_files_name_is_never_asked(
    client: FlaskClient, session: Session, tmp_path: Path, pothole: Service, name: str
) -> None:
    taken = send(client, (encoded(picture()), name))
    assert taken.status_code == 201, taken.json
    assert session.scalar(sa.select(sa.func.count()).select_from(Photo)) == 1
    for path in files(tmp_path):
        assert path.resolve().is_relative_to(tmp_path)
        assert path.name.isascii()
        assert not {"passwd", "cron", "php", "exe"} & set(path.name.replace(".", " ").split())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_photo_that_is_something_else_too_is_only_a_photo_when_it_is_shown(
    session: Session, tmp_path: Path, form: str
) -> None:
    polyglot = encoded(picture(), form) + b"PK\x03\x04" + SCRIPT
    if form == "JPEG":
        polyglot = encoded(picture(), form, comment=SCRIPT) + SCRIPT
    storage = Folder(tmp_path / "media")
    report = factories.new_report(session)
    staged = media.stage(storage, media.check_photos([io.BytesIO(polyglot)]))
    ids = media.insert_staged(
        session,
        report.id,
        staged,
        by=Author(ActorKind.REPORTER),
        jurisdiction_id=report.jurisdiction_id,
        now=utc_now(),
    )
    outcomes = [cleaning.clean(storage, photo) for photo in cleaning.waiting(session, ids)]
    cleaning.record(session, outcomes, now=utc_now())
    cleaning.discard(storage, outcomes)
    kept = [path.read_bytes() for path in files(tmp_path)]
    assert kept
    for content in kept:
        assert SCRIPT not in content
        assert b"PK\x03\x04" not in content
        assert Image.open(io.BytesIO(content)).format == "JPEG"
