"""Bodies of requests that come otherwise than they said."""

from __future__ import annotations

import io

import pytest
from flask.testing import FlaskClient


@pytest.mark.parametrize(
    ("path", "media_type", "body"),
    [
        ("/api/v1/reports", "application/json", b'{"service_code": "x"}'),
        ("/open311/v2/requests.json", "application/x-www-form-urlencoded", b"description=A+dog"),
        (
            "/api/v1/reports",
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="description"\r\n\r\nA dog',
        ),
    ],
)
def test_a_body_that_breaks_off_is_no_shorter_body(
    client: FlaskClient, path: str, media_type: str, body: bytes
) -> None:
    """gunicorn says that it ends bodies itself, and ends one that breaks off where it broke."""
    answer = client.post(
        path,
        environ_overrides={
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            "CONTENT_LENGTH": str(len(body) + 100),
        },
        content_type=media_type,
    )
    assert answer.status_code == 400, answer.text
    assert "service_code" not in answer.text
