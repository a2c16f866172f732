"""A browser's session: who it belongs to, and that no other site can use it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts import cookies
from accounts.access import declarations
from accounts.cookies import CSRF_HEADER, PLAIN_NAME, SECURE_NAME
from accounts.signing_in import Opened
from core.clock import utc_now
from tests.accounts.test_access import url_of
from tests.factories import new_citizen, new_jurisdiction, new_staff, sign_in
from tests.web.browsing import browse_as, csrf_of

ME = "/api/v1/me"
#: A write that anybody who is signed in may make, and that needs no body.
WRITE = "/api/v1/sessions/current"


def code_of(answer: Any) -> str:
    return str(answer.get_json()["code"])


# -- whose it is ----------------------------------------------------------------------------------


def test_a_browser_is_known_by_its_cookie(client: FlaskClient, session: Session) -> None:
    person = new_citizen(session).person
    browse_as(client, session, person)

    assert client.get(ME).get_json()["email"] == person.email


def test_a_browser_s_token_is_worth_nothing_in_a_header_and_an_app_s_none_in_a_cookie(
    client: FlaskClient, session: Session
) -> None:
    person = new_citizen(session).person
    of_browser = sign_in(session, person, is_browser=True)
    of_app = sign_in(session, person)

    answer = client.get(ME, headers={"Authorization": f"Bearer {of_browser}"})
    assert (answer.status_code, code_of(answer)) == (401, "not_signed_in")
    client.set_cookie(PLAIN_NAME, of_app)
    assert client.get(ME).status_code == 401


def test_a_header_goes_before_a_cookie(client: FlaskClient, session: Session) -> None:
    browse_as(client, session, new_citizen(session).person)
    other = new_citizen(session)

    assert client.get(ME, headers=other.headers).get_json()["email"] == other.person.email
    assert client.get(ME, headers={"Authorization": "Bearer rvs_wrong"}).status_code == 401
    # What a header signs was not sent by a browser on its own: no form to forge.
    assert client.delete(WRITE, headers=other.headers).status_code == 204


@pytest.mark.parametrize("value", ["", "rvs_", "x", "rvs_" + "a" * 43, "\u00e9", "a" * 4000])
def test_a_cookie_that_is_no_session_is_as_good_as_none(
    client: FlaskClient, session: Session, value: str
) -> None:
    client.set_cookie(PLAIN_NAME, value)

    assert client.get("/docs").status_code == 200
    assert client.get(ME).status_code == 401
    assert client.delete(WRITE).status_code == 401


def test_a_session_that_is_over_signs_nobody_in(client: FlaskClient, session: Session) -> None:
    person = new_citizen(session).person
    browse_as(client, session, person, expires_at=utc_now() - timedelta(seconds=1))
    assert client.get(ME).status_code == 401

    browse_as(client, session, person, revoked_at=utc_now())
    assert client.get(ME).status_code == 401

    browse_as(client, session, person)
    person.is_active = False
    session.flush()
    assert client.get(ME).status_code == 401


# -- that its owner meant it ----------------------------------------------------------------------


def test_whatever_a_browser_changes_needs_the_token_of_its_session(
    app: Flask, client: FlaskClient, session: Session
) -> None:
    admin = new_staff(session, new_jurisdiction(session))
    browse_as(client, session, admin.person)
    walked = 0
    for rule, method, _ in declarations(app):
        if method in cookies.SAFE_METHODS:
            continue
        answer = client.open(url_of(app, rule), method=method)
        assert answer.status_code == 403, f"{method} {rule.rule}"
        if rule.rule.startswith("/api/"):
            assert code_of(answer) == "csrf_failed"
        elif rule.rule.startswith("/open311/"):
            assert answer.mimetype != "text/html", f"{method} {rule.rule}"
        else:
            assert answer.mimetype == "text/html", f"{method} {rule.rule}"
        walked += 1
    assert walked > 25


def test_the_token_in_a_header_lets_a_call_through(client: FlaskClient, session: Session) -> None:
    csrf = browse_as(client, session, new_citizen(session).person)

    assert client.delete(WRITE, headers={CSRF_HEADER: csrf}).status_code == 204
    assert client.get(ME).status_code == 401


def test_the_token_of_another_session_does_not(client: FlaskClient, session: Session) -> None:
    person = new_citizen(session).person
    other = csrf_of(session, sign_in(session, person, is_browser=True))
    browse_as(client, session, person)

    for wrong in (other, "", "guess", "é", other[:-1]):
        answer = client.delete(WRITE, headers={CSRF_HEADER: wrong.encode().decode("latin-1")})
        assert (answer.status_code, code_of(answer)) == (403, "csrf_failed")
    # The API takes it in a header only: forms are what other sites can send.
    answer = client.delete(WRITE, data={"csrf": other})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://127.0.0.1:8000"}, True),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Origin": "http://localhost:9000"}, False),
        ({"Origin": "https://localhost"}, False),
        ({"Origin": "http://[bad"}, False),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, False),
    ],
)
def test_not_even_the_right_token_helps_another_site(
    client: FlaskClient, session: Session, headers: dict[str, str], is_taken: bool
) -> None:
    csrf = browse_as(client, session, new_citizen(session).person)

    answer = client.delete(WRITE, headers={CSRF_HEADER: csrf, **headers})

    assert answer.status_code == (204 if is_taken else 403)


# -- the cookie itself ----------------------------------------------------------------------------


def kept(app: Flask) -> str:
    opened = Opened(id=UUID(int=7), token="rvs_token", expires_at=utc_now() + timedelta(hours=1))
    with app.test_request_context():
        response = Response()
        cookies.keep(response, opened, now=opened.expires_at - timedelta(hours=1))
        assert response.headers["Cache-Control"] == "no-store"
        return response.headers["Set-Cookie"]


def test_behind_https_the_cookie_is_bound_to_its_host(new_app: Callable[..., Flask]) -> None:
    cookie = kept(new_app(public_url="https://signaler.ville.example"))

    name, *attributes = cookie.split("; ")
    assert name == f"{SECURE_NAME}=rvs_token"
    assert {each for each in attributes if not each.startswith("Expires=")} == {
        "Secure",
        "HttpOnly",
        "Path=/",
        "SameSite=Lax",
        "Max-Age=3600",
    }


def test_without_https_it_has_no_name_that_promises_it(app: Flask) -> None:
    cookie = kept(app)

    assert cookie.startswith(f"{PLAIN_NAME}=rvs_token; ")
    assert "HttpOnly" in cookie
    assert "Secure" not in cookie


def test_a_plain_cookie_is_not_looked_at_behind_https(
    new_app: Callable[..., Flask], session: Session
) -> None:
    token = sign_in(session, new_citizen(session).person, is_browser=True)
    session.commit()
    browser = new_app(public_url="https://signaler.ville.example").test_client()

    browser.set_cookie(PLAIN_NAME, token)
    assert browser.get(ME).status_code == 401
    browser.set_cookie(SECURE_NAME, token, secure=True)
    assert browser.get(ME, base_url="https://localhost").status_code == 200
