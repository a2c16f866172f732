"""Asking for the weather: Open-Meteo and CAP over HTTP, or files, behind two protocols.

What is asked for is one `Outlook` per city. Somebody else's failure is a `Fault` in it and never an
exception: the next beat asks again. Never in a transaction.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import url2pathname

from assets.weather import alerts as alert_reading
from assets.weather import forecasts
from assets.weather.forecasts import UnreadableWeatherError
from assets.weather.rules import Alert, AlertInfo, Forecast
from assets.weather.vocabulary import Source
from core.outgoing import Allowance, Outgoing, OutgoingError
from geo.measures import Point

if TYPE_CHECKING:
    from geo.areas import Boundary

#: The worst day of a country's feed; a forecast is a hundredth of it.
MAX_BYTES = 4 * 1024 * 1024

#: An entry that only says where its alert is costs a call of its own.
MOST_LINKS = 30

#: No further one is followed after so many seconds: other cities wait.
LINKS_S = 20.0

#: So many days are asked for: the longest that a campaign looks ahead.
DAYS_AHEAD = 4

_SEPARATOR = "="


class WeatherAwayError(Exception):
    """Nobody said what the weather does; the text is a code, never an address."""


@dataclass(frozen=True, slots=True)
class Where:
    """The city that is asked about.

    Attributes:
        geocodes: how those who alert call it, as `EMMA_ID:FR034`.
    """

    code: str
    point: Point
    boundary: Boundary
    geocodes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fault:
    """Somebody who was asked and did not answer; `reason` is a code."""

    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What was said of one city; what nobody was asked for, or nobody answered, is None."""

    forecast: Forecast | None = None
    alerts: Sequence[Alert] | None = None
    faults: Sequence[Fault] = ()


class ForecastProvider(Protocol):
    """Somebody who knows what is coming, hour by hour."""

    def forecast(self, where: Where, /) -> Forecast:
        """What is foreseen there.

        Raises:
            WeatherAwayError
        """
        ...


class AlertProvider(Protocol):
    """Somebody who warns."""

    def alerts(self, where: Where, /) -> Sequence[Alert]:
        """The alerts that are out, wherever they hold.

        Raises:
            WeatherAwayError
        """
        ...


@dataclass(frozen=True, slots=True)
class Providers:
    """Whom an installation asks; None where nobody is set up."""

    forecast: ForecastProvider | None = None
    alerts: AlertProvider | None = None

    def look(self, where: Where) -> Outlook:
        """Ask everybody. Never raises for the other side."""
        faults: list[Fault] = []
        forecast, alerts = None, None
        if self.forecast is not None:
            try:
                forecast = self.forecast.forecast(where)
            except WeatherAwayError as error:
                faults.append(Fault(Source.FORECAST, str(error)))
        if self.alerts is not None:
            try:
                alerts = self.alerts.alerts(where)
            except WeatherAwayError as error:
                faults.append(Fault(Source.ALERTS, str(error)))
        return Outlook(forecast, alerts, faults)


@dataclass(frozen=True, slots=True)
class OpenMeteo:
    """A server that speaks Open-Meteo's format."""

    url: str
    reach: Reach

    def forecast(self, where: Where, /) -> Forecast:
        """As the protocol says."""
        query = urlencode(
            {
                "latitude": f"{where.point.lat:.4f}",
                "longitude": f"{where.point.lon:.4f}",
                "hourly": ",".join(forecasts.VARIABLES),
                "forecast_days": DAYS_AHEAD,
                "timeformat": "unixtime",
                "timezone": "UTC",
            }
        )
        joint = "&" if urlsplit(self.url).query else "?"
        return _read_forecast(self.reach.get(f"{self.url}{joint}{query}"))


@dataclass(frozen=True, slots=True)
class CapFeed:
    """A CAP alert or a feed of them, of a server or in a file; a city may have its own."""

    urls: Mapping[str, str]
    reach: Reach

    def alerts(self, where: Where, /) -> Sequence[Alert]:
        """As the protocol says; entries without an alert in them are followed."""
        url = self.urls.get(where.code) or self.urls.get("")
        if url is None:
            return []
        path = _path(url)
        if path is not None:
            return WeatherFile(path).alerts(where)
        feed = _read_alerts(self.reach.get(url))
        found = list(feed.alerts)
        stop_at = time.monotonic() + LINKS_S
        for link in feed.links[:MOST_LINKS]:
            if time.monotonic() >= stop_at:
                break
            # One that cannot be had says nothing against the others.
            try:
                found += _read_alerts(self.reach.get(urljoin(url, link))).alerts
            except WeatherAwayError:
                continue
        return found


@dataclass(frozen=True, slots=True)
class WeatherFile:
    """A file that holds what a server would answer: for tests, and to try a campaign out."""

    path: Path

    def forecast(self, where: Where, /) -> Forecast:
        """As the protocol says; the same for every city, unless its code names one."""
        body = self._body()
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise WeatherAwayError("not_json") from error
        own = document.get(where.code) if isinstance(document, dict) else None
        return _read_forecast(body if own is None else json.dumps(own).encode())

    def alerts(self, _where: Where, /) -> Sequence[Alert]:
        """As the protocol says; where the alerts hold tells cities apart."""
        return _read_alerts(self._body()).alerts

    def _body(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                body = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise WeatherAwayError("no_file") from error
        if len(body) > MAX_BYTES:
            raise WeatherAwayError("too_large")
        return body


@dataclass(frozen=True, slots=True)
class Reach:
    """How servers are reached: the one door out, with its limits."""

    allow: Allowance = field(default_factory=Allowance)
    timeout_s: float = 10.0

    def get(self, url: str) -> bytes:
        """The whole body of a 200.

        Raises:
            WeatherAwayError
        """
        # One byte more tells an answer that is too long from one that just fits.
        door = Outgoing(allow=self.allow, timeout_s=self.timeout_s, max_bytes=MAX_BYTES + 1)
        with door as outgoing:
            try:
                answer = outgoing.request("GET", url)
            except OutgoingError as error:
                raise WeatherAwayError(str(error)) from error
        if answer.status != 200:
            raise WeatherAwayError(f"http_{answer.status}")
        if len(answer.body) > MAX_BYTES:
            raise WeatherAwayError("too_large")
        return answer.body


def providers_of(
    forecast_url: str | None, alert_urls: str | None, *, allow: str = "", timeout_s: float = 10.0
) -> Providers:
    """Whom the settings name: `http(s)://` a server, `file://` a file.

    Args:
        alert_urls: as `urls_by_city` reads them.
    """
    reach = Reach(Allowance.parse(allow), timeout_s)
    forecast: ForecastProvider | None = None
    alerts: AlertProvider | None = None
    if forecast_url:
        path = _path(forecast_url)
        forecast = OpenMeteo(forecast_url, reach) if path is None else WeatherFile(path)
    urls = urls_by_city(alert_urls)
    if urls:
        alerts = CapFeed(urls, reach)
    return Providers(forecast, alerts)


def urls_by_city(text: str | None) -> dict[str, str]:
    """`city=url` words, and one bare URL (under "") for every other city."""
    found: dict[str, str] = {}
    for word in (text or "").split():
        city, _, url = word.partition(_SEPARATOR)
        # A bare URL may hold the sign in its query.
        is_bare = "/" in city or ":" in city
        found["" if is_bare else city] = word if is_bare else url
    return found


def geocodes_by_city(text: str | None) -> dict[str, frozenset[str]]:
    """`city=NAME:VALUE` words, several for one city if need be."""
    found: dict[str, set[str]] = {}
    for word in (text or "").split():
        city, _, geocode = word.partition(_SEPARATOR)
        found.setdefault(city, set()).add(geocode)
    return {city: frozenset(geocodes) for city, geocodes in found.items()}


def holding_in(where: Where, alert: Alert) -> list[AlertInfo]:
    """The parts of an alert that hold somewhere in the city."""
    return [info for info in alert.infos if _holds(where, info)]


def _holds(where: Where, info: AlertInfo) -> bool:
    # Polygons are large, and most of the processes that know of campaigns read no alert.
    from geo.areas import Polygon, PolygonError

    if info.area.geocodes & where.geocodes:
        return True
    for centre, radius_m in info.area.circles:
        if where.boundary.distances_m([centre])[0] <= radius_m:
            return True
    for ring in info.area.polygons:
        geometry = {"type": "Polygon", "coordinates": [[point.lon_lat for point in ring]]}
        try:
            polygon = Polygon.read(geometry)
        except PolygonError:
            continue
        if where.boundary.distance_of_polygon_m(polygon) == 0.0:
            return True
    return False


def _path(url: str) -> Path | None:
    parts: Any = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _read_forecast(body: bytes) -> Forecast:
    try:
        return forecasts.read(body)
    except UnreadableWeatherError as error:
        raise WeatherAwayError(str(error)) from error


def _read_alerts(body: bytes) -> alert_reading.Feed:
    try:
        return alert_reading.read(body)
    except UnreadableWeatherError as error:
        raise WeatherAwayError(str(error)) from error
