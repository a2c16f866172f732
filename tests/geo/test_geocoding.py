"""The gazetteer first, then what was answered before, then a server: slow, wrong, down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from geopy.exc import GeocoderUnavailable
from sqlalchemy.orm import Session

from core.outgoing import NOTHING_ALLOWED, Allowance
from geo import geocoding
from geo.geocoding import (
    NOT_FOUND,
    UNAVAILABLE,
    AddressQuestion,
    Answer,
    Geocoder,
    Outcome,
    Place,
    PositionQuestion,
    Question,
)
from geo.loading import load_addresses, load_jurisdiction
from geo.measures import Box, Point
from geo.models import GeocodeCache
from geo.network_geocoders import through_the_door
from tests.geo.cities import house, town

NOW = datetime(2026, 3, 11, 9, 0, tzinfo=UTC)
BOX = Box(3.80, 43.55, 3.95, 43.65)
ZOLA = AddressQuestion("31 rue Émile Zola", BOX, "FR", "fr")
HERE = PositionQuestion(Point(43.61, 3.87), "fr")


# -- a server that answers as real ones do ---------------------------------------------------------


@dataclass
class FakeServer:
    """Answers every path with `body` and `status` after `delay_s`; remembers what was asked."""

    body: Any = None
    status: int = 200
    delay_s: float = 0.0
    url: str = ""
    asked: list[tuple[str, dict[str, list[str]], str]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            agent = self.headers["User-Agent"]
            fake.asked.append((parts.path, parse_qs(parts.query), agent))
            released.wait(fake.delay_s)
            body = fake.body if isinstance(fake.body, bytes) else json.dumps(fake.body).encode()
            try:
                self.send_response(fake.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                # The client lost patience: that is what some tests are about.
                pass

        def log_message(self, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    released.set()
    http.shutdown()
    thread.join()
    http.server_close()


def geocoder(server: FakeServer, kind: str, timeout_s: float = 3.0) -> Geocoder:
    made = geocoding.geocoder_of(kind, server.url, timeout_s=timeout_s)
    assert made is not None
    return made


def nominatim(lat: float = 43.6119, lon: float = 3.8772) -> dict[str, Any]:
    return {
        "lat": str(lat),
        "lon": str(lon),
        "display_name": "31, Rue Émile Zola, Montpellier, 34000, France",
        "address": {
            "house_number": "31",
            "road": "Rue Émile Zola",
            "city": "Montpellier",
            "postcode": "34000",
        },
    }


def feature(lat: float = 43.6119, lon: float = 3.8772, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [lon, lat]},
        "properties": {
            "label": "31 Rue Émile Zola 34000 Montpellier",
            "housenumber": "31",
            "street": "Rue Émile Zola",
            "name": "31 Rue Émile Zola",
            "postcode": "34000",
            "city": "Montpellier",
            "type": "housenumber",
            "score": 0.97,
            **properties,
        },
    }


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


FOUND = {
    "nominatim": [nominatim()],
    "ban": collection(feature()),
    "photon": collection(feature()),
}
NOTHING: dict[str, Any] = {"nominatim": [], "ban": collection(), "photon": collection()}
KINDS = ["nominatim", "ban", "photon"]


# -- geocoders on the network ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_is_placed(server: FakeServer, kind: str) -> None:
    server.body = FOUND[kind]
    answer = geocoder(server, kind).forward(ZOLA)
    assert answer.outcome is Outcome.FOUND
    assert answer.place is not None
    assert answer.place.point == Point(43.6119, 3.8772)
    assert (answer.place.label, answer.place.source) == ("31 Rue Émile Zola", kind)
    assert (answer.place.house_number, answer.place.locality) == ("31", "Montpellier")
    assert answer.place.confidence >= 0.9
    _, query, agent = server.asked[0]
    assert query["q"] == ["31 rue Émile Zola"]
    assert agent == "riverain"


@pytest.mark.parametrize("kind", KINDS)
def test_a_position_gets_its_address(server: FakeServer, kind: str) -> None:
    near = {"lat": 43.6101, "lon": 3.8701}
    server.body = nominatim(**near) if kind == "nominatim" else collection(feature(**near))
    answer = geocoder(server, kind).reverse(HERE)
    assert answer.place is not None
    assert answer.place.label == "31 Rue Émile Zola"
    path, query, _ = server.asked[0]
    assert path.strip("/") == "reverse"
    assert query["lat"] == ["43.61"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_does_not_know_is_not_found(server: FakeServer, kind: str) -> None:
    server.body = NOTHING[kind]
    assert geocoder(server, kind).forward(ZOLA) == NOT_FOUND
    server.body = {"error": "Unable to geocode"} if kind == "nominatim" else NOTHING[kind]
    assert geocoder(server, kind).reverse(HERE) == NOT_FOUND


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_of_that_name_in_another_city_is_not_found(server: FakeServer, kind: str) -> None:
    paris = {"lat": 48.85, "lon": 2.35}
    server.body = [nominatim(**paris)] if kind == "nominatim" else collection(feature(**paris))
    assert geocoder(server, kind).forward(ZOLA) == NOT_FOUND
    server.body = nominatim(**paris) if kind == "nominatim" else server.body
    assert geocoder(server, kind).reverse(HERE) == NOT_FOUND


@pytest.mark.parametrize("kind", ["ban", "photon"])
def test_of_several_places_the_first_inside_the_city_is_meant(
    server: FakeServer, kind: str
) -> None:
    server.body = collection(feature(48.85, 2.35), feature(43.62, 3.88))
    answer = geocoder(server, kind).forward(ZOLA)
    assert answer.place is not None
    assert answer.place.point == Point(43.62, 3.88)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_server_is_unavailable_after_the_timeout(server: FakeServer, kind: str) -> None:
    server.body, server.delay_s = FOUND[kind], 20.0
    started = time.monotonic()
    assert geocoder(server, kind, timeout_s=0.3).forward(ZOLA) == UNAVAILABLE
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {}),
        (503, {}),
        (429, {}),
        (403, {}),
        (200, b"<html>not json"),
        (200, [{"display_name": "without a place"}]),
        (200, {"features": [{"geometry": {"coordinates": []}, "properties": None}]}),
        (200, {"features": [{"geometry": {"coordinates": [999, 999]}, "properties": {}}]}),
    ],
)
@pytest.mark.filterwarnings("ignore:Latitude normalization")
def test_a_server_that_fails_never_raises(
    server: FakeServer, kind: str, status: int, body: Any
) -> None:
    server.status, server.body = status, body
    asked = geocoder(server, kind)
    for answer in (asked.forward(ZOLA), asked.reverse(HERE)):
        assert answer.place is None
        assert answer.outcome in (Outcome.UNAVAILABLE, Outcome.NOT_FOUND)
        if status != 200 or isinstance(body, bytes):
            assert answer == UNAVAILABLE


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_down_is_unavailable(kind: str) -> None:
    down = geocoding.geocoder_of(kind, "http://127.0.0.1:1", timeout_s=0.5)
    assert down is not None
    assert down.forward(ZOLA) == UNAVAILABLE


def test_a_server_of_ones_own_may_live_under_a_path(server: FakeServer) -> None:
    server.body = FOUND["nominatim"]
    own = geocoding.geocoder_of("nominatim", f"{server.url}/maps/", timeout_s=3)
    assert own is not None
    assert own.forward(ZOLA).outcome is Outcome.FOUND
    assert server.asked[0][0] == "/maps/search"
    assert own.pause_s == 0


def test_the_public_nominatim_is_asked_once_a_second_at_most() -> None:
    public = geocoding.geocoder_of("nominatim")
    assert public is not None
    assert public.pause_s >= 1


@pytest.mark.parametrize(("kind", "url"), [("osm", None), ("ban", "ftp://x"), ("ban", "localhost")])
def test_settings_that_name_no_geocoder_are_refused(kind: str, url: str | None) -> None:
    with pytest.raises(ValueError, match="GEOCODER"):
        geocoding.geocoder_of(kind, url)


# -- the three steps -------------------------------------------------------------------------------


@dataclass
class FakeGeocoder:
    """Answers from a list, and counts."""

    answers: list[Answer]
    name: str = "fake"
    pause_s: float = 0.0
    asked: int = 0

    def forward(self, question: AddressQuestion) -> Answer:
        self.asked += 1
        return self.answers[self.asked - 1]

    def reverse(self, question: PositionQuestion) -> Answer:
        self.asked += 1
        return self.answers[self.asked - 1]


PLACE = Answer(
    Outcome.FOUND,
    Place(Point(43.6119, 3.8772), "31 Rue Émile Zola", "fake", 10.0, 0.9, "Rue Émile Zola", "31"),
)


@pytest.fixture
def bourg(session: Session) -> int:
    id_ = load_jurisdiction(session, town()).id
    load_addresses(session, id_, [house(3, "Rue Foch", locality="Le Bourg")])
    return id_


def test_what_the_gazetteer_knows_is_not_asked(session: Session, bourg: int) -> None:
    foch = AddressQuestion("3 rue Foch", BOX, "FR", "fr")
    questions: list[Question] = [HERE, ZOLA, foch]
    answers = geocoding.look_up(session, bourg, questions, FakeGeocoder([]), now=NOW)
    assert answers[1] is None
    for answer in (answers[0], answers[2]):
        assert answer is not None
        assert answer.place is not None
        assert answer.place.label == "3 Rue Foch, Le Bourg"
        assert answer.place.source == "gazetteer"
        assert answer.place.house_number == "3"


def test_without_a_geocoder_the_rest_is_not_found(session: Session, bourg: int) -> None:
    assert geocoding.look_up(session, bourg, [ZOLA], None, now=NOW) == [NOT_FOUND]


def test_an_answer_is_remembered_until_it_expires(session: Session, bourg: int) -> None:
    fake = FakeGeocoder([PLACE, NOT_FOUND])
    elsewhere = PositionQuestion(Point(43.56, 3.81), "fr")
    questions: list[Question] = [ZOLA, elsewhere]
    assert geocoding.look_up(session, bourg, questions, fake, now=NOW) == [None, None]
    answers = geocoding.ask(fake, questions)
    geocoding.remember(session, fake, questions, answers, now=NOW)
    geocoding.remember(session, fake, questions, answers, now=NOW)
    soon = NOW + timedelta(days=1)
    assert geocoding.look_up(session, bourg, questions, fake, now=soon) == [PLACE, NOT_FOUND]
    later = NOW + geocoding.NOT_FOUND_IS_KEPT
    assert geocoding.look_up(session, bourg, questions, fake, now=later) == [PLACE, None]
    much_later = NOW + geocoding.FOUND_IS_KEPT
    assert geocoding.look_up(session, bourg, questions, fake, now=much_later) == [None, None]
    assert geocoding.purge(session, now=later) == 1
    assert geocoding.purge(session, now=much_later) == 1


def test_the_same_address_written_otherwise_is_the_same_question(
    session: Session, bourg: int
) -> None:
    fake = FakeGeocoder([PLACE])
    geocoding.remember(session, fake, [ZOLA], [PLACE], now=NOW)
    again = AddressQuestion("31, RUE EMILE ZOLA", BOX, "FR", "fr")
    assert geocoding.look_up(session, bourg, [again], fake, now=NOW) == [PLACE]
    other = FakeGeocoder([], name="other")
    assert geocoding.look_up(session, bourg, [again], other, now=NOW) == [None]


def test_that_nobody_answered_is_not_remembered(session: Session, bourg: int) -> None:
    fake = FakeGeocoder([])
    geocoding.remember(session, fake, [ZOLA], [UNAVAILABLE], now=NOW)
    assert session.scalar(sa.select(sa.func.count()).select_from(GeocodeCache)) == 0
    assert geocoding.look_up(session, bourg, [ZOLA], fake, now=NOW) == [None]


def test_the_memory_holds_nobodys_words(session: Session) -> None:
    fake = FakeGeocoder([])
    private = AddressQuestion("chez Mme Dupont, 06 12 34 56 78", BOX, "FR", "fr")
    geocoding.remember(session, fake, [private], [NOT_FOUND], now=NOW)
    row = session.scalars(sa.select(GeocodeCache)).one()
    assert row.answer is None
    assert len(row.key) == 64


def test_after_the_first_failure_the_rest_is_not_asked() -> None:
    fake = FakeGeocoder([PLACE, UNAVAILABLE])
    assert geocoding.ask(fake, [ZOLA] * 50) == [PLACE] + [UNAVAILABLE] * 49
    assert fake.asked == 2


def test_a_batch_waits_no_longer_than_its_patience() -> None:
    fake = FakeGeocoder([PLACE] * 50, pause_s=1.0)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    answers = geocoding.ask(fake, [ZOLA] * 50, patience_s=5, clock=lambda: now[0], sleep=sleep)
    assert answers == [PLACE] * 5 + [UNAVAILABLE] * 45
    assert now[0] == 5


def test_only_the_host_that_the_operator_named_is_called_inside(server: FakeServer) -> None:
    """Whatever else a geocoder's client were made to ask stays outside the city's network."""
    call: dict[str, Any] = {"timeout": 3.0, "headers": {}}
    closed = through_the_door(NOTHING_ALLOWED)(proxies=None, ssl_context=None)
    with pytest.raises(GeocoderUnavailable):
        closed.get_text(f"{server.url}/search", **call)
    assert server.asked == []
    named = through_the_door(Allowance.parse("127.0.0.1"))(proxies=None, ssl_context=None)
    server.body = {"a": 1}
    assert named.get_json(f"{server.url}/search", **call) == {"a": 1}


def test_an_answer_without_end_is_cut_and_none(server: FakeServer) -> None:
    server.body = b'["' + b"x" * 2_000_000
    assert geocoder(server, "nominatim").forward(ZOLA) == UNAVAILABLE
