"""Rate limits: who is one caller, what a refusal looks like, and a Redis that is away."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
import uuid
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
        app.add_url_rule(
            "/reports",
            "reports",
            limited(Allowance.INTAKE, place=lambda: request.headers.get("X-Place"))(take),
            methods=["POST"],
        )
        return app

    return make


def take() -> str:
    """Knows the place only by itself when the header does not say it."""
    from flask import request

    if "X-Place" not in request.headers and "place" in request.form:
        limits.hold_place(request.form["place"])
    return "taken"


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


# -- devices and places ----------------------------------------------------------------------------

DEVICE = "6b7a7d3e-3f7c-4a52-9d0e-6a3f1b2c4d5e"


def report(client: FlaskClient, address: str = "192.0.2.1", **headers: str) -> int:
    return client.post(
        "/reports", environ_base={"REMOTE_ADDR": address}, headers=headers
    ).status_code


def test_a_device_that_changes_its_network_is_still_one(client: FlaskClient) -> None:
    headers = {"X-Device-Id": DEVICE}
    answers = [report(client, f"192.0.2.{number}", **headers) for number in range(31)]
    assert answers == [200] * 30 + [429]
    assert report(client, "192.0.2.99", **{"X-Device-Id": DEVICE.upper()}) == 429
    assert report(client, "192.0.2.99") == 200


def test_the_key_of_a_sensing_device_counts_as_a_device_and_is_stored_nowhere(
    client: FlaskClient, valkey: redis.Redis
) -> None:
    key = f"rvd_{'k' * 43}"
    headers = {"Authorization": f"Bearer {key}"}
    answers = [report(client, f"192.0.2.{number}", **headers) for number in range(31)]
    assert answers == [200] * 30 + [429]
    assert report(client, "192.0.2.99") == 200
    assert not any(b"kkk" in name for name in valkey.scan_iter("*"))


def test_naming_ever_new_devices_does_not_replace_the_address(client: FlaskClient) -> None:
    answers = [report(client, **{"X-Device-Id": str(uuid.uuid4())}) for _ in range(101)]
    assert answers == [200] * 100 + [429]


@pytest.mark.parametrize("named", ["", "my phone", "0", "x" * 5000])
def test_what_is_no_uuid_is_no_device(client: FlaskClient, named: str) -> None:
    assert {report(client, **{"X-Device-Id": named}) for _ in range(40)} == {200}


def test_a_hundred_neighbours_may_tell_of_the_same_place_and_a_flood_may_not(
    client: FlaskClient,
) -> None:
    headers = {"X-Place": "here|lamp"}
    answers = [report(client, f"198.51.100.{number}", **headers) for number in range(151)]
    assert answers == [200] * 150 + [429]
    assert report(client, "203.0.113.1", **{"X-Place": "there|lamp"}) == 200
    assert report(client, "203.0.113.1") == 200


def test_a_place_that_the_view_reads_counts_in_the_same_count(client: FlaskClient) -> None:
    for number in range(150):
        report(client, f"198.51.100.{number}", **{"X-Place": "here|lamp"})
    refused = client.post(
        "/reports", data={"place": "here|lamp"}, environ_base={"REMOTE_ADDR": "203.0.113.7"}
    )
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json is not None
    assert "this place" in refused.json["detail"]


def test_who_signed_in_is_counted_by_no_place_and_staff_by_no_device(client: FlaskClient) -> None:
    place, device = {"X-Place": "here|lamp"}, {"X-Device-Id": DEVICE}
    for number in range(150):
        report(client, f"198.51.100.{number}", **place)
    assert report(client, Authorization="marie", **place) == 200
    assert {report(client, Authorization="agent", **place, **device) for _ in range(40)} == {200}


def test_all_counters_of_a_request_are_one_round_trip(
    client: FlaskClient, valkey: redis.Redis
) -> None:
    headers = {"X-Place": "here|lamp", "X-Device-Id": DEVICE}
    report(client, **headers)
    before = _reads(valkey)
    report(client, **headers)
    # Reading the number is one itself.
    assert _reads(valkey) - before == 2


def _reads(valkey: redis.Redis) -> int:
    return int(valkey.info("stats")["total_reads_processed"])


def test_a_redis_that_forgot_its_scripts_is_told_them_again(
    client: FlaskClient, valkey: redis.Redis
) -> None:
    headers = {"X-Place": "here|lamp", "X-Device-Id": DEVICE}
    report(client, **headers)
    alone = limits.ALONE._value.get()
    valkey.script_flush()
    answers = [report(client, f"192.0.2.{number}", **headers) for number in range(30)]
    assert answers == [200] * 29 + [429]
    assert limits.ALONE._value.get() == alone


def test_without_redis_places_and_devices_are_counted_too(make: Callable[..., Flask]) -> None:
    client = make(url="redis://127.0.0.1:1/0").test_client()
    answers = [report(client, **{"X-Device-Id": DEVICE}) for _ in range(31)]
    assert answers == [200] * 30 + [429]


def test_no_device_is_kept_readable(client: FlaskClient, valkey: redis.Redis) -> None:
    report(client, **{"X-Device-Id": DEVICE, "X-Place": "here|lamp"})
    stored = b" ".join(valkey.scan_iter("*"))
    assert DEVICE.encode() not in stored
    assert b"here" not in stored


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
    hits = [limits._Hit(Allowance.READ.public, ("test", "somebody"))]
    hit = functools.partial(away.hit, hits)
    threads = [threading.Thread(target=hit) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert away._patience.pause_s == 1
