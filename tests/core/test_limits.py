"""Rate limits: who is one caller, what a refusal looks like, and a Redis that is away."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from flask.views import MethodView
from werkzeug.test import TestResponse

from core import api, limits
from core.limits import Allowance, Caller, limited, network_of

PUBLIC_SIGN_IN = 40


@pytest.fixture
def signed() -> dict[str, Caller]:
    """Whose call a header's value is."""
    return {
        "agent": Caller("agent", is_staff=True),
        "marie": Caller("marie", is_staff=False),
    }


@pytest.fixture
def make(redis_url: str, valkey: redis.Redis, signed: dict[str, Caller]) -> Callable[..., Flask]:
    """A function that makes a small limited application."""

    def make(*, url: str = redis_url, proxies: int = 0) -> Flask:
        from flask import request

        app = Flask("small")
        api.install(app)
        limits.trust_proxies(app, proxies)
        limits.install(
            app,
            redis_url=url,
            secret="secret",
            caller=lambda: signed.get(request.headers.get("Authorization", "")),
            exempt=("healthz",),
        )
        app.add_url_rule("/read", "read", lambda: "read")
        app.add_url_rule("/write", "write", lambda: "write", methods=["POST"])
        app.add_url_rule("/healthz", "healthz", lambda: "alive")
        app.add_url_rule(
            "/sessions",
            "sessions",
            limited(Allowance.SIGN_IN)(lambda: "in"),
            methods=["POST"],
        )
        app.add_url_rule(
            "/link", "link", limited(Allowance.SIGN_IN_LINK)(lambda: "sent"), methods=["POST"]
        )
        app.add_url_rule("/class", view_func=ByMethod.as_view("by_method"))
        return app

    return make


class ByMethod(MethodView):
    """A class whose POST has an allowance of its own."""

    def get(self) -> str:
        return "read"

    @limited(Allowance.SIGN_IN_LINK)
    def post(self) -> str:
        return "sent"


@pytest.fixture
def client(make: Callable[..., Flask]) -> FlaskClient:
    return make().test_client()


def link(client: FlaskClient, address: str = "192.0.2.1", **headers: str) -> TestResponse:
    """A call of the smallest allowance: ten."""
    return client.post("/link", environ_base={"REMOTE_ADDR": address}, headers=headers)


def exhaust(client: FlaskClient, address: str = "192.0.2.1", **headers: str) -> None:
    for _ in range(10):
        assert link(client, address, **headers).status_code == 200
    assert link(client, address, **headers).status_code == 429


# -- refusals --------------------------------------------------------------------------------------


def test_the_eleventh_call_of_ten_is_refused_with_the_time_to_wait(client: FlaskClient) -> None:
    for _ in range(10):
        assert link(client).status_code == 200
    answer = link(client)
    assert answer.status_code == 429
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["code"] == "too_many_requests"
    wait = int(answer.headers["Retry-After"])
    assert 1 <= wait <= 601
    assert answer.json["retry_after"] == wait


def test_routes_of_one_allowance_share_one_count(client: FlaskClient) -> None:
    exhaust(client)
    assert client.post("/class", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 429
    assert client.get("/class", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200
    assert client.post("/sessions", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200
    assert client.post("/write", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200


def test_two_processes_count_together(make: Callable[..., Flask]) -> None:
    exhaust(make().test_client())
    assert link(make().test_client()).status_code == 429


def test_health_and_preflight_are_never_refused(client: FlaskClient) -> None:
    for _ in range(15):
        assert client.get("/healthz").status_code == 200
        assert client.options("/link").status_code == 200
    assert link(client, "127.0.0.1").status_code == 200


# -- who is one caller -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", None),
        ("unix:", None),
        ("192.0.2.1:4711", None),
    ],
)
def test_networks(address: str, network: str | None) -> None:
    assert network_of(address) == network


def test_another_address_has_its_own_count(client: FlaskClient) -> None:
    exhaust(client, "192.0.2.1")
    assert link(client, "192.0.2.2").status_code == 200


def test_all_of_an_ipv6_network_of_64_bits_is_one_caller(client: FlaskClient) -> None:
    for host in range(10):
        assert link(client, f"2001:db8:1:2::{host:x}").status_code == 200
    assert link(client, "2001:db8:1:2:ffff::1").status_code == 429
    assert link(client, "2001:db8:1:3::1").status_code == 200


def test_a_caller_without_an_address_is_not_counted_with_all_others(client: FlaskClient) -> None:
    for _ in range(15):
        assert link(client, "").status_code == 200


def test_a_forwarded_address_is_believed_from_nobody_by_default(client: FlaskClient) -> None:
    for number in range(10):
        link(client, **{"X-Forwarded-For": f"198.51.100.{number}"})
    assert link(client, **{"X-Forwarded-For": "198.51.100.99"}).status_code == 429


def test_a_trusted_proxy_says_who_calls_and_the_caller_cannot(
    make: Callable[..., Flask],
) -> None:
    client = make(proxies=1).test_client()
    for number in range(10):
        forged = f"203.0.113.{number}, 198.51.100.1"
        assert link(client, **{"X-Forwarded-For": forged}).status_code == 200
    assert link(client, **{"X-Forwarded-For": "203.0.113.99, 198.51.100.1"}).status_code == 429
    assert link(client, **{"X-Forwarded-For": "203.0.113.0, 198.51.100.2"}).status_code == 200


def test_a_signed_call_is_the_persons_wherever_it_comes_from(client: FlaskClient) -> None:
    def write(address: str, who: str) -> int:
        headers = {"Authorization": who}
        return client.post(
            "/write", environ_base={"REMOTE_ADDR": address}, headers=headers
        ).status_code

    answers = [write(f"192.0.2.{number}", "marie") for number in range(61)]
    assert answers == [200] * 60 + [429]
    assert write("192.0.2.1", "a forged token") == 200
    assert write("192.0.2.1", "agent") == 200


def test_staff_may_call_more_often(client: FlaskClient) -> None:
    headers = {"Authorization": "agent"}
    assert {client.post("/write", headers=headers).status_code for _ in range(100)} == {200}


def test_being_signed_in_buys_no_further_guesses(client: FlaskClient) -> None:
    answers = [
        client.post("/sessions", headers={"Authorization": who}).status_code
        for _ in range(PUBLIC_SIGN_IN // 2)
        for who in ("agent", "marie")
    ]
    assert set(answers) == {200}
    assert client.post("/sessions").status_code == 429


def test_no_address_is_kept_readable(client: FlaskClient, valkey: redis.Redis) -> None:
    link(client, "192.0.2.77")
    stored = b" ".join(valkey.scan_iter("*"))
    assert b"riverain" in stored
    assert b"192.0.2.77" not in stored
    assert all(0 < valkey.ttl(key) <= 1200 for key in valkey.scan_iter("*"))


# -- a Redis that is away --------------------------------------------------------------------------


@contextlib.contextmanager
def a_server_that_never_answers() -> Iterator[str]:
    """The URL of something that takes connections and says nothing, as a stuck Redis does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for connection in taken:
                connection.close()


def test_without_redis_calls_are_answered_and_only_the_first_waits(
    make: Callable[..., Flask],
) -> None:
    with a_server_that_never_answers() as url:
        client = make(url=url).test_client()
        started = time.monotonic()
        answers = [client.get("/read").status_code for _ in range(200)]
        took = time.monotonic() - started
    assert set(answers) == {200}
    # One time-out to find out, and one to ask again after a second, if it took that long.
    assert took < 2


def test_a_refused_connection_costs_nothing(make: Callable[..., Flask]) -> None:
    client = make(url="redis://127.0.0.1:1/0").test_client()
    assert {client.get("/read").status_code for _ in range(50)} == {200}


def test_without_redis_each_process_counts_for_itself(make: Callable[..., Flask]) -> None:
    one = make(url="redis://127.0.0.1:1/0").test_client()
    other = make(url="redis://127.0.0.1:1/0").test_client()
    exhaust(one)
    assert link(other).status_code == 200


def test_redis_going_away_refuses_nobody_who_was_welcome(
    make: Callable[..., Flask], valkey: redis.Redis
) -> None:
    client = make().test_client()
    for _ in range(9):
        link(client)
    valkey.client_pause(400)
    assert link(client).status_code == 200
    assert link(client).status_code == 200


def test_redis_coming_back_counts_for_all_again(
    make: Callable[..., Flask], valkey: redis.Redis
) -> None:
    client = make().test_client()
    for _ in range(9):
        link(client)
    valkey.client_pause(300)
    assert link(client).status_code == 200  # counted alone, after the time-out
    time.sleep(1.1)
    assert link(client).status_code == 200  # the tenth that Redis saw
    assert link(client).status_code == 429


def test_threads_that_find_out_together_pause_once() -> None:
    away = limits._Count("redis://127.0.0.1:1/0")
    hit = functools.partial(away.hit, Allowance.READ.public, "test", "somebody")
    threads = [threading.Thread(target=hit) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert away._pause_s == 1
