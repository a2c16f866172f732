"""A browser of a test: somebody's session in its cookie, and the forms it was shown."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from accounts.cookies import PLAIN_NAME
from accounts.models import Person, SignInSession
from accounts.secrets import digest
from core.tokens import Purpose, token_for
from tests.conftest import SECRET_KEY
from tests.factories import sign_in


def csrf_of(session: Session, token: str) -> str:
    """What a form of that session carries."""
    session_id = session.scalars(
        sa.select(SignInSession.id).where(SignInSession.token_hash == digest(token))
    ).one()
    return token_for(SECRET_KEY, Purpose.CSRF, session_id, 1)


def browse_as(client: FlaskClient, session: Session, person: Person, **values: Any) -> str:
    """Let `client` be a browser that this person is signed in with; the CSRF token of its forms."""
    token = sign_in(session, person, is_browser=True, **values)
    client.set_cookie(PLAIN_NAME, token)
    return csrf_of(session, token)


def cookie_of(client: FlaskClient) -> str | None:
    """The session token that the browser holds."""
    cookie = client.get_cookie(PLAIN_NAME)
    return cookie.value if cookie is not None else None


def field(answer: Any, name: str) -> str:
    """What a hidden field of a shown form holds."""
    found = re.search(rf'name="{re.escape(name)}" value="([^"]*)"', answer.get_data(as_text=True))
    assert found, f"no field {name}"
    return found[1]


def text_of(answer: Any) -> str:
    """What a reader sees."""
    html = answer.get_data(as_text=True)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
