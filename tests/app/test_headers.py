"""Every answer carries the headers that keep browsers safe, whoever made it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from sqlalchemy.orm import Session

from core import links
from core.clock import utc_now
from reports import media
from reports.conversation import REPORTER
from reports.media import cleaning
from tests.accounts.test_access import url_of
from tests.factories import new_jurisdiction, new_report, new_service, new_staff

READ_BY_OTHERS = ("/api/", "/open311/", "/ogc/")


def asked(app: Flask) -> list[tuple[str, str]]:
    """One call of each route and method, and some that no route takes."""
    calls = [
        (method, url_of(app, rule))
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD"})
    ]
    return [*calls, ("GET", "/nothing-here"), ("GET", "/api/v1/nothing"), ("PUT", "/healthz")]


def test_every_answer_of_every_route_has_them(
    app: Flask, client: FlaskClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    walked = 0
    for method, url in asked(app):
        answer = client.open(url, method=method)
        where = f"{method} {url}"
        headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'"), where
        assert "unsafe-inline" not in policy, where
        assert "frame-ancestors 'none'" in policy or policy.endswith("sandbox"), where
        assert headers["X-Content-Type-Options"] == "nosniff", where
        assert headers["Referrer-Policy"] in ("no-referrer", "same-origin"), where
        assert "geolocation=()" in headers["Permissions-Policy"], where
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", where
        expected = "cross-origin" if url.startswith(READ_BY_OTHERS) else "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == expected, where
        assert "Strict-Transport-Security" not in headers, where
        assert "Server" not in headers, where
        walked += 1
    assert walked > 60


def test_strict_transport_is_said_where_people_come_over_https(
    new_app: Callable[..., Flask],
) -> None:
    app = new_app(public_url="https://signaler.ville.example")

    for path in ("/docs", "/api/v1/openapi.json", "/healthz", "/nothing-here"):
        said = app.test_client().get(path).headers["Strict-Transport-Security"]
        assert said == "max-age=31536000; includeSubDomains"


def test_what_somebody_who_is_signed_in_gets_is_kept_nowhere(
    client: FlaskClient, session: Session
) -> None:
    staff = new_staff(session, new_jurisdiction(session))

    for path in ("/api/v1/me", "/api/v1/queues", "/api/v1/reports", "/api/v1/webhooks"):
        answer = client.get(path, headers=staff.headers)
        assert answer.cache_control.no_store, path


def test_a_defect_has_them_too(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    for path in ("/", "/api/v1/me"):
        endpoint, _ = app.url_map.bind("").match(path)
        monkeypatch.setitem(app.view_functions, endpoint, fail)
        answer = client.get(path)
        assert answer.status_code == 500
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_photo_is_a_picture_and_nothing_else(
    app: Flask, client: FlaskClient, session: Session
) -> None:
    report = new_report(session, new_service(session, new_jurisdiction(session)))
    content = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(content, "PNG")
    storage = app.extensions["storage"]
    content.seek(0)
    staged = media.stage(storage, media.check_photos([content]))
    (photo_id,) = media.insert_staged(
        session,
        report.id,
        staged,
        by=REPORTER,
        jurisdiction_id=report.jurisdiction_id,
        now=utc_now(),
    )
    outcomes = [cleaning.clean(storage, photo) for photo in cleaning.waiting(session, [photo_id])]
    cleaning.record(session, outcomes, now=utc_now())

    answer = client.get(links.photo_url("", photo_id))

    assert answer.status_code == 200
    assert answer.mimetype == "image/jpeg"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == f'inline; filename="{photo_id}.jpg"'
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
