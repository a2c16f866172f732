"""The sign-in at a provider with everything real: server, commits, threads, a browser's cookies."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.serving import make_server

from accounts.models import Identity, Person, RoleGrant, SignInSession
from core.db import db, transaction
from geo import jurisdictions
from tests.accounts.oidc_provider import CLIENT_ID, Provider
from tests.factories import new_jurisdiction

SECRET = "s3cret"


class Browser:
    """Follows redirects and keeps cookies by host, as browsers do; runs no script."""

    def __init__(self) -> None:
        self.cookies: dict[str, dict[str, str]] = {}
        self.visited: list[str] = []

    def open(self, url: str, *, redirects: int = 10) -> tuple[int, str]:
        """Status and text of the page where the redirects end, or of the last one allowed."""
        while True:
            self.visited.append(url)
            status, location, text = self._get(url)
            if location is None or redirects == 0:
                return status, location or text
            url, redirects = urljoin(url, location), redirects - 1

    def _get(self, url: str) -> tuple[int, str | None, str]:
        parts = urlsplit(url)
        jar = self.cookies.setdefault(parts.netloc, {})
        line = http.client.HTTPConnection(parts.netloc, timeout=30)
        try:
            line.request(
                "GET",
                f"{parts.path}?{parts.query}",
                headers={
                    "Accept": "text/html",
                    "Accept-Language": "en",
                    "Cookie": "; ".join(f"{name}={value}" for name, value in jar.items()),
                },
            )
            answer = line.getresponse()
            for header in answer.headers.get_all("Set-Cookie", []):
                for name, morsel in SimpleCookie(header).items():
                    if morsel["max-age"] == "0" or not morsel.value:
                        jar.pop(name, None)
                    else:
                        jar[name] = morsel.value
            return answer.status, answer.headers.get("Location"), answer.read().decode()
        finally:
            line.close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    running = Provider(
        client_secret=SECRET,
        claims={
            "sub": "ada",
            "email": "ada@ville.example",
            "email_verified": True,
            "groups": ["agents"],
        },
    )
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def site(
    committed_db: Flask, new_app: Callable[..., Flask], provider: Provider, tmp_path: Path
) -> Iterator[str]:
    """The address of the application, set up as an operator would, on a port of its own."""
    with committed_db.app_context(), transaction() as session:
        new_jurisdiction(
            session,
            code="montpellier",
            policy={
                "sign_in": {
                    "oidc": {
                        "issuer": provider.issuer,
                        "client_id": CLIENT_ID,
                        "name": {"fr": "Compte de la ville", "en": "City account"},
                        "roles_claim": "groups",
                        "grants": [{"value": "agents", "role": "agent"}],
                    }
                }
            },
        )
    jurisdictions.forget()
    server = make_server("127.0.0.1", 0, lambda *_: [], threaded=True)
    address = f"http://127.0.0.1:{server.server_port}"
    server.app = new_app(
        public_url=address,
        outgoing_allow="127.0.0.1",
        oidc_client_secrets=f"montpellier={SECRET}",
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        jurisdictions.forget()


def count(app: Flask, model: type) -> int:
    with app.app_context(), transaction() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


def test_a_browser_goes_to_the_city_and_comes_back_signed_in(
    committed_db: Flask, provider: Provider, site: str
) -> None:
    browser = Browser()
    status, _ = browser.open(f"{site}/sign-in/oidc/montpellier?next=/my-reports%3Flang%3Den")
    assert (status, browser.visited[-1]) == (200, f"{site}/my-reports?lang=en")
    assert [urlsplit(url).netloc for url in browser.visited] == [
        urlsplit(site).netloc,
        urlsplit(provider.issuer).netloc,
        urlsplit(site).netloc,
        urlsplit(site).netloc,
    ]
    assert list(browser.cookies[urlsplit(site).netloc]) == ["riverain"]
    assert browser.open(f"{site}/api/v1/me")[0] == 200
    assert "ada@ville.example" not in "".join(browser.visited)


def test_no_transaction_is_open_while_the_provider_is_waited_for(
    committed_db: Flask, provider: Provider, site: str
) -> None:
    seen: list[int] = []

    def look() -> None:
        with committed_db.app_context(), db.engine.connect() as connection:
            seen.append(
                connection.scalar(
                    sa.text(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                        " AND state LIKE 'idle in transaction%'"
                    )
                )
            )

    provider.on_call = look
    Browser().open(f"{site}/sign-in/oidc/montpellier", redirects=3)
    assert provider.calls == ["openid-configuration", "authorize", "token", "keys"]
    assert seen == [0, 0, 0, 0]


def test_of_two_uses_of_one_answer_at_the_same_time_one_is_taken(
    committed_db: Flask, provider: Provider, site: str
) -> None:
    provider.codes_last = True
    browser = Browser()
    _, back = browser.open(f"{site}/sign-in/oidc/montpellier", redirects=1)
    host = urlsplit(site).netloc
    copies = [Browser() for _ in range(4)]
    for copy in copies:
        copy.cookies[host] = dict(browser.cookies[host])
    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(lambda each: each.open(back, redirects=0)[0], copies))
    assert statuses == [303, 400, 400, 400]
    assert count(committed_db, SignInSession) == 1


def test_two_first_sign_ins_at_the_same_time_make_one_person(
    committed_db: Flask, provider: Provider, site: str
) -> None:
    def sign_in(_: int) -> int:
        return Browser().open(f"{site}/sign-in/oidc/montpellier", redirects=2)[0]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sign_in, range(4))) == [303] * 4
    assert count(committed_db, Person) == 1
    assert count(committed_db, Identity) == 1
    assert count(committed_db, RoleGrant) == 1
    assert count(committed_db, SignInSession) == 4
