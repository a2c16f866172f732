"""Weather: forecasts and alerts as servers send them, broken ones, and what is foreseen in them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.config import SettingError, Settings
from assets.weather import alerts, forecasts
from assets.weather.forecasts import UnreadableWeatherError
from assets.weather.providers import (
    MAX_BYTES,
    CapFeed,
    Providers,
    Where,
    geocodes_by_city,
    holding_in,
    providers_of,
    urls_by_city,
)
from assets.weather.rules import (
    Alert,
    Awaited,
    AwaitedAlert,
    Foreseen,
    Told,
    alerted,
    cancelled,
    foreseen,
    in_force,
    same_event,
)
from assets.weather.vocabulary import Measure, Severity, Source
from geo.areas import Boundary
from tests.factories import COMEDIE, square

NOW = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

WHERE = Where("montpellier", COMEDIE, Boundary(square(COMEDIE, 0.1)), frozenset({"EMMA_ID:FR034"}))


def document(hours: int = 73, **values: Any) -> dict[str, Any]:
    """Open-Meteo's answer: a centimetre of snow each hour, minus three degrees."""
    first = NOW.replace(tzinfo=None)
    return {
        "latitude": 43.6,
        "longitude": 3.88,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "hourly_units": {
            "time": "iso8601", "snowfall": "cm", "temperature_2m": "°C",
            "wind_speed_10m": "km/h", "wind_gusts_10m": "km/h",
        },
        "hourly": {
            "time": [f"{first + HOUR * at:%Y-%m-%dT%H:%M}" for at in range(hours)],
            "snowfall": [1.0] * hours,
            "temperature_2m": [-3.0] * hours,
            "wind_speed_10m": [20] * hours,
            "wind_gusts_10m": [45] * hours,
        },
        **values,
    }  # fmt: skip


def read(given: Any) -> Any:
    return forecasts.read(json.dumps(given).encode())


# -- forecasts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "within_h", "held"),
    [
        ({"snowfall_cm": 24}, 24, True),
        ({"snowfall_cm": 24.1}, 24, False),
        ({"snowfall_cm": 13}, 12, False),
        ({"cold_c": -3}, 24, True),
        ({"cold_c": -3.1}, 24, False),
        ({"heat_c": -3}, 24, True),
        ({"heat_c": 0}, 24, False),
        ({"wind_kmh": 20, "gust_kmh": 45}, 6, True),
        ({"wind_kmh": 20, "gust_kmh": 46}, 6, False),
        # Nothing is known of rain.
        ({"rain_mm": 0.1}, 24, False),
    ],
)
def test_what_is_awaited_is_foreseen_or_not(
    thresholds: dict[str, float], within_h: int, held: bool
) -> None:
    awaited = Awaited({Measure(name): value for name, value in thresholds.items()}, within_h)
    assert (foreseen(read(document()), awaited, NOW) is not None) is held


def test_an_event_spans_the_hours_that_it_comes_from() -> None:
    given = document()
    given["hourly"]["snowfall"] = [0.0] * 10 + [2.0] * 4 + [0.0] * 59
    found = foreseen(read(given), Awaited({Measure.SNOWFALL_CM: 5}), NOW)
    assert found is not None
    assert (found.starts_at, found.ends_at) == (NOW + HOUR * 9, NOW + HOUR * 13)
    assert found.values == {Measure.SNOWFALL_CM: 8.0}


@pytest.mark.parametrize(
    "zone",
    [
        {"utc_offset_seconds": 3600, "timezone": "Europe/Paris"},
        {"utc_offset_seconds": -18000, "timezone": "America/New_York"},
        {"utc_offset_seconds": None, "timezone": "Asia/Kolkata"},
        {"utc_offset_seconds": 20700},
    ],
)
def test_local_times_are_local_to_the_place(zone: dict[str, Any]) -> None:
    given = document(**zone)
    offset_s = zone["utc_offset_seconds"] or 19800
    local = (NOW + timedelta(seconds=offset_s)).replace(tzinfo=None)
    given["hourly"]["time"] = [f"{local + HOUR * at:%Y-%m-%dT%H:%M}" for at in range(73)]
    assert read(given).hours[0].at == NOW
    # Seconds since 1970 are the same everywhere.
    given["hourly"]["time"] = [int(NOW.timestamp()) + 3600 * at for at in range(73)]
    assert read(given).hours[0].at == NOW


def test_units_are_those_that_the_answer_names() -> None:
    given = document()
    given["hourly_units"] |= {
        "snowfall": "inch", "temperature_2m": "°F", "wind_speed_10m": "m/s",
        "wind_gusts_10m": "furlongs",
    }  # fmt: skip
    values = read(given).hours[1].values
    assert values[Measure.SNOWFALL_CM] == pytest.approx(2.54)
    assert values[Measure.COLD_C] == pytest.approx(-19.44, abs=0.01)
    assert values[Measure.WIND_KMH] == pytest.approx(72)
    assert Measure.GUST_KMH not in values


@pytest.mark.parametrize("value", [None, "5", True, 1e9, -1, float("nan"), 10**400, [], {}])
def test_a_value_that_cannot_be_is_unknown(value: Any) -> None:
    given = document()
    given["hourly"]["snowfall"] = [value] * 73
    found = read(given)
    assert Measure.SNOWFALL_CM not in found.hours[5].values
    assert foreseen(found, Awaited({Measure.SNOWFALL_CM: 1}), NOW) is None
    assert foreseen(found, Awaited({Measure.COLD_C: -3}), NOW) is not None


def test_a_few_missing_hours_do_not_hide_the_snow() -> None:
    given = document()
    given["hourly"]["snowfall"][3:8] = [None] * 5
    assert foreseen(read(given), Awaited({Measure.SNOWFALL_CM: 10}), NOW) is not None
    given["hourly"]["snowfall"][3:12] = [None] * 9
    assert foreseen(read(given), Awaited({Measure.SNOWFALL_CM: 10}), NOW) is None


@pytest.mark.parametrize("hours_ago", [-2, 50, 1000])
def test_a_forecast_of_another_time_is_not_believed(hours_ago: int) -> None:
    awaited = Awaited({Measure.SNOWFALL_CM: 1})
    assert foreseen(read(document()), awaited, NOW + HOUR * hours_ago) is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"<html>", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"[]", "no_forecast"),
        (b"5", "no_forecast"),
        (b'{"error": true, "reason": "too many"}', "refused"),
        (b'{"hourly": {}}', "no_hours"),
        (b'{"hourly": {"time": "now"}}', "no_hours"),
        (b'{"hourly": {"time": ["now"], "snowfall": [1]}}', "no_times"),
        (b'{"hourly": {"time": ["2026-11-24T11:00"], "snowfall": [1]}}', "no_times"),
        (b'{"hourly": {"time": [1e99], "snowfall": [1]}}', "no_times"),
        (b'{"timezone": "Mars/Base", "hourly": {"time": [], "x": []}}', "unknown_time_zone"),
        (b'{"timezone": "GMT", "hourly": {"time": [1]}}', "no_values"),
    ],
)
def test_what_is_no_forecast_is_told_by_a_code(body: bytes, code: str) -> None:
    with pytest.raises(UnreadableWeatherError) as error:
        forecasts.read(body)
    assert str(error.value) == code


# -- the same event -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("starts_h", "ends_h", "same"),
    [
        (0, 8, True),
        (2, 10, True),
        (-5, 3, True),
        (-14, -13, False),
        (19, 30, True),
        (21, 30, False),
        # It goes on and on: the third day is another event.
        (47, 60, False),
    ],
)
def test_what_moves_by_hours_is_the_same(starts_h: int, ends_h: int, same: bool) -> None:
    known = [Told(1, NOW, NOW + HOUR * 8)]
    found = same_event(known, Foreseen(NOW + HOUR * starts_h, NOW + HOUR * ends_h))
    assert (found is not None) is same


def test_what_goes_on_for_days_is_news_again_after_two() -> None:
    known = [Told(1, NOW, NOW + HOUR * 70)]
    assert same_event(known, Foreseen(NOW + HOUR * 40, NOW + HOUR * 70)) is not None
    assert same_event(known, Foreseen(NOW + HOUR * 48, NOW + HOUR * 72)) is None


# -- alerts ---------------------------------------------------------------------------------------

CAP = """<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>{identifier}</identifier>
  <sender>meteo@example.org</sender>
  <sent>2026-11-24T11:30:00+01:00</sent>
  <status>Actual</status>
  <msgType>{kind}</msgType>
  <scope>Public</scope>
  <references>{references}</references>
  <info>
    <language>fr-FR</language>
    <category>Met</category>
    <event>Vigilance neige-verglas</event>
    <urgency>Future</urgency>
    <severity>Severe</severity>
    <certainty>Likely</certainty>
    <onset>2026-11-24T18:00:00+01:00</onset>
    <expires>2026-11-25T06:00:00+01:00</expires>
    <area><areaDesc>Hérault</areaDesc>{area}</area>
  </info>
</alert>"""

POLYGON = "<polygon>43.5,3.8 43.5,4.0 43.7,4.0 43.7,3.8 43.5,3.8</polygon>"
FAR = "<polygon>48.5,2.0 48.5,2.5 49.0,2.5 49.0,2.0 48.5,2.0</polygon>"
GEOCODE = "<geocode><valueName>EMMA_ID</valueName><value>FR034</value></geocode>"

AWAITED = AwaitedAlert(("neige",), Severity.MODERATE)


def cap(
    identifier: str = "a", kind: str = "Alert", references: str = "", area: str = POLYGON
) -> str:
    return CAP.format(identifier=identifier, kind=kind, references=references, area=area)


def only(text: str) -> Alert:
    [found] = alerts.read(text.encode()).alerts
    return found


def test_a_whole_alert_is_read_with_its_times_and_place() -> None:
    found = only(cap(references="meteo@example.org,z,2026-11-24T09:00:00+01:00"))
    assert (found.identifier, found.kind, found.references) == ("a", "Alert", frozenset("z"))
    assert found.sent_at == datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
    [info] = found.infos
    assert (info.severity, info.starts_at) == (
        Severity.SEVERE, datetime(2026, 11, 24, 17, 0, tzinfo=UTC),
    )  # fmt: skip
    said = alerted(found, holding_in(WHERE, found), AWAITED, NOW)
    assert said is not None
    assert (said.event, said.identifiers) == ("Vigilance neige-verglas", frozenset({"a", "z"}))
    # Expired, it says nothing.
    assert alerted(found, found.infos, AWAITED, NOW + timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("area", "held"),
    [
        (POLYGON, True),
        (FAR, False),
        (GEOCODE, True),
        (FAR + GEOCODE, True),
        (GEOCODE.replace("FR034", "FR030"), False),
        ("<circle>43.6,3.9 5</circle>", True),
        ("<circle>43.9,3.88 10</circle>", False),
        ("<circle>43.9,3.88 40</circle>", True),
        ("<circle>43.6,3.9</circle>", False),
        ("<circle>443.6,3.9 5</circle>", False),
        ("<polygon>43.5,3.8 43.5,4.0 x</polygon>", False),
        ("<polygon>43.5,3.8 43.5,3.8 43.5,3.8 43.5,3.8</polygon>", False),
        ("<polygon>nan,3.8 43.5,4.0 43.7,4.0 nan,3.8</polygon>", False),
        ("", False),
    ],
)
def test_where_an_alert_holds_is_held_against_the_city(area: str, held: bool) -> None:
    assert bool(holding_in(WHERE, only(cap(area=area)))) is held


def test_a_feed_holds_alerts_whole_in_part_or_by_their_address() -> None:
    entry = """<entry><id>urn:b</id><updated>2026-11-24T10:00:00Z</updated>
      <event xmlns="urn:oasis:names:tc:emergency:cap:1.2">Snow</event>
      <c:severity xmlns:c="urn:oasis:names:tc:emergency:cap:1.2">Minor</c:severity>
      <c:status xmlns:c="urn:x">Actual</c:status><c:msgType xmlns:c="urn:x">Update</c:msgType>
      <geocode><valueName>FIPS6</valueName><value>025025 025017</value>
      <valueName>UGC</valueName><value>MAC025</value></geocode></entry>"""
    linked = '<entry><id>c</id><link type="application/cap+xml" href="/c.xml"/></entry>'
    whole = cap().partition("?>")[2]
    broken = "<entry><content><alert><identifier/></alert></content></entry>"
    feed = (
        f'<feed xmlns="http://www.w3.org/2005/Atom">{broken}<entry><content>{whole}</content>'
        f"</entry>{entry}{linked}</feed>"
    )
    found = alerts.read(feed.encode())
    assert [each.identifier for each in found.alerts] == ["a", "urn:b"]
    assert (found.alerts[1].kind, found.alerts[1].infos[0].severity) == ("Update", Severity.MINOR)
    assert found.alerts[1].infos[0].area.geocodes == {
        "FIPS6:025025", "FIPS6:025017", "UGC:MAC025",
    }  # fmt: skip
    assert found.links == ["/c.xml"]
    rss = "<rss><channel><item><title>x</title><link>https://a.example/1</link></item></channel></rss>"
    assert alerts.read(rss.encode()).links == ["https://a.example/1"]


def test_updates_and_cancellations_take_the_place_of_what_they_follow() -> None:
    refers = "meteo@example.org,a,2026-11-24T09:00:00+01:00"
    first, second = only(cap()), only(cap("b", "Update", refers))
    third = only(cap("c", "Cancel", refers.replace(",a,", ",b,")))
    assert [each.identifier for each in in_force([first, second], NOW)] == ["b"]
    assert in_force([first, second, third], NOW) == []
    assert cancelled([first, second, third], NOW) == {"b", "c"}
    clear = cap("d", "Update", refers).replace(
        "<urgency>", "<responseType>AllClear</responseType><urgency>"
    )
    assert cancelled([only(clear)], NOW) == {"a", "d"}


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n + 1} "{f"&lol{n or str()};" * 10}">' for n in range(9))
    + "]><alert>&lol9;</alert>"
)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_xml"),
        (b"{}", "not_xml"),
        (b"<alert>", "not_xml"),
        (b"<html><body/></html>", "no_alerts"),
        (b"<alert/>", "incomplete_alert"),
        (b"<alert><identifier>a</identifier><sent>now</sent></alert>", "incomplete_alert"),
        # Without an offset it is nobody's time.
        (
            b"<alert><identifier>a</identifier><sent>2026-11-24T10:00:00</sent></alert>",
            "incomplete_alert",
        ),
        (BOMB.encode(), "entities"),
        (BOMB.encode("utf-16"), "encoding"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><alert/>', "entities"),
        (b"<?xml version='1.0' encoding='utf-7'?><alert/>", "incomplete_alert"),
        (b"\xff\xfe\x00", "encoding"),
        (b"<alert>" + b"<a>" * 50_000, "not_xml"),
    ],
)
def test_what_is_no_alert_or_hostile_is_told_by_a_code(body: bytes, code: str) -> None:
    with pytest.raises(UnreadableWeatherError) as error:
        alerts.read(body)
    assert str(error.value) == code


def test_latin_1_is_read_where_it_is_declared() -> None:
    text = cap().replace("UTF-8", "ISO-8859-1").replace("Vigilance", "Épisode")
    [found] = alerts.read(text.encode("latin-1")).alerts
    assert found.infos[0].event == "Épisode neige-verglas"


# -- servers --------------------------------------------------------------------------------------


class Sky(ThreadingHTTPServer):
    """A server on this machine that answers as the test says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Sky

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, body = self.server.answers.get(urlsplit(self.path).path, (404, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", "/forecast")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests are silent."""


@contextmanager
def sky() -> Iterator[Sky]:
    server = Sky()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_forecast_comes_over_http_with_what_was_asked_for() -> None:
    with sky() as server:
        server.answers["/forecast"] = (200, json.dumps(document()).encode())
        asked = providers_of(f"{server.url}/forecast?apikey=x", None, allow="127.0.0.1")
        outlook = asked.look(WHERE)
        [path] = server.asked
    assert outlook.faults == []
    assert outlook.forecast is not None
    assert outlook.alerts is None
    query = parse_qs(urlsplit(path).query)
    assert (query["apikey"], query["latitude"], query["longitude"]) == (
        ["x"], ["43.6086"], ["3.8797"],
    )  # fmt: skip
    assert query["timezone"] == ["UTC"]


def test_alerts_come_over_http_and_their_links_are_followed() -> None:
    feed = (
        '<feed><entry><link type="application/cap+xml" href="/a.xml"/></entry>'
        '<entry><link type="application/cap+xml" href="/gone.xml"/></entry>'
        '<entry><link type="application/cap+xml" href="file:///etc/hostname"/></entry>'
        '<entry><link type="application/cap+xml" href="http://10.0.0.1/"/></entry></feed>'
    )
    with sky() as server:
        server.answers["/feed"] = (200, feed.encode())
        server.answers["/a.xml"] = (200, cap().encode())
        asked = providers_of(
            None, f"paris=http://127.0.0.1:1/ {server.url}/feed", allow="127.0.0.1"
        )
        outlook = asked.look(WHERE)
        assert outlook.alerts is not None
        assert [each.identifier for each in outlook.alerts] == ["a"]
        assert server.asked == ["/feed", "/a.xml", "/gone.xml"]
        other = asked.look(Where("paris", COMEDIE, WHERE.boundary))
    assert [(fault.source, fault.reason) for fault in other.faults] == [(Source.ALERTS, "refused")]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (500, b"", "http_500"),
        (302, b"", "http_302"),
        (200, b"<html>", "not_json"),
        (200, b"x" * (MAX_BYTES + 1), "too_large"),
    ],
)
def test_a_server_that_fails_is_a_fault_and_no_crash(status: int, body: bytes, reason: str) -> None:
    with sky() as server:
        server.answers["/forecast"] = (status, body)
        asked = providers_of(f"{server.url}/forecast", None, allow="127.0.0.1")
        outlook = asked.look(WHERE)
    assert outlook.forecast is None
    assert [fault.reason for fault in outlook.faults] == [reason]


def test_a_server_inside_the_citys_network_is_not_called_unless_allowed() -> None:
    with sky() as server:
        outlook = providers_of(f"{server.url}/forecast", None).look(WHERE)
        assert server.asked == []
    assert [fault.reason for fault in outlook.faults] == ["private_address"]


def test_a_file_says_the_weather_of_every_city_or_of_each(tmp_path: Path) -> None:
    path = tmp_path / "weather.json"
    path.write_text(json.dumps(document()))
    asked = providers_of(path.as_uri(), None)
    assert asked.look(WHERE).forecast is not None
    cold = document()
    cold["hourly"]["temperature_2m"] = [-20.0] * 73
    path.write_text(json.dumps({"montpellier": cold}))
    found = asked.look(WHERE).forecast
    assert found is not None
    assert found.hours[0].values[Measure.COLD_C] == -20
    path.write_text("{")
    assert [fault.reason for fault in asked.look(WHERE).faults] == ["not_json"]
    path.unlink()
    assert [fault.reason for fault in asked.look(WHERE).faults] == ["no_file"]
    xml = tmp_path / "alert.xml"
    xml.write_text(cap())
    for given in (xml.as_uri(), f"paris=https://a.example montpellier={xml.as_uri()}"):
        found_alerts = providers_of(None, given).look(WHERE).alerts
        assert found_alerts is not None
        assert len(found_alerts) == 1


def test_nobody_is_asked_where_nobody_is_set_up() -> None:
    assert providers_of(None, None) == Providers()
    outlook = Providers().look(WHERE)
    assert (outlook.forecast, outlook.alerts, outlook.faults) == (None, None, [])


# -- settings -------------------------------------------------------------------------------------


def test_settings_name_urls_and_areas_by_city() -> None:
    assert urls_by_city("https://a.example/x?area=MA") == {"": "https://a.example/x?area=MA"}
    assert urls_by_city("boston=https://a.example/x?a=b https://c.example") == {
        "boston": "https://a.example/x?a=b",
        "": "https://c.example",
    }
    assert urls_by_city(None) == {}
    assert geocodes_by_city("b=SAME:025025 b=UGC:MAC025 m=EMMA_ID:FR034") == {
        "b": {"SAME:025025", "UGC:MAC025"},
        "m": {"EMMA_ID:FR034"},
    }
    feed = providers_of(None, "boston=https://a.example").alerts
    assert isinstance(feed, CapFeed)
    assert feed.alerts(WHERE) == []


@pytest.mark.parametrize(
    "environ",
    [
        {"WEATHER_FORECAST_URL": "ftp://a.example"},
        {"WEATHER_FORECAST_URL": "https://"},
        {"WEATHER_ALERTS_URL": "boston="},
        {"WEATHER_ALERTS_URL": "a.example"},
        {"WEATHER_ALERT_AREAS": "FR034"},
        {"WEATHER_ALERT_AREAS": "montpellier=FR034"},
        {"WEATHER_TIMEOUT_S": "0"},
        {"CAMPAIGN_CONFIRM_ABOVE": "0"},
    ],
)
def test_a_setting_that_cannot_be_used_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=next(iter(environ))):
        Settings.load({**environ, "DATA_DIR": str(tmp_path)})
