"""Reading a forecast in the format of Open-Meteo (open-meteo.com/en/docs). Pure.

Times are local to the place unless the answer says otherwise; `utc_offset_seconds` is how far they
are from UTC. Units are those that `hourly_units` names. What cannot be is unknown: a value beyond
any record is a broken sensor or another unit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from assets.weather.rules import Forecast, Hour
from assets.weather.vocabulary import Measure

#: Names of a variable, the present one first.
_NAMES: Mapping[Measure, Sequence[str]] = {
    Measure.SNOWFALL_CM: ("snowfall",),
    Measure.RAIN_MM: ("rain", "precipitation"),
    Measure.COLD_C: ("temperature_2m",),
    Measure.HEAT_C: ("temperature_2m",),
    Measure.WIND_KMH: ("wind_speed_10m", "windspeed_10m"),
    Measure.GUST_KMH: ("wind_gusts_10m", "windgusts_10m"),
}

#: What is asked of the server.
VARIABLES = ("snowfall", "rain", "temperature_2m", "wind_speed_10m", "wind_gusts_10m")

#: What a value of a unit is in ours: factor and summand.
_UNITS: Mapping[Measure, Mapping[str, tuple[float, float]]] = {
    Measure.SNOWFALL_CM: {"cm": (1, 0), "mm": (0.1, 0), "inch": (2.54, 0)},
    Measure.RAIN_MM: {"mm": (1, 0), "inch": (25.4, 0)},
    Measure.COLD_C: {"°C": (1, 0), "°F": (5 / 9, -160 / 9)},
    Measure.HEAT_C: {"°C": (1, 0), "°F": (5 / 9, -160 / 9)},
    Measure.WIND_KMH: {"km/h": (1, 0), "m/s": (3.6, 0), "mp/h": (1.609344, 0), "kn": (1.852, 0)},
    Measure.GUST_KMH: {"km/h": (1, 0), "m/s": (3.6, 0), "mp/h": (1.609344, 0), "kn": (1.852, 0)},
}

#: In one hour, anywhere on Earth (World Meteorological Organization, Archive of Extremes, rounded
#: outwards).
_POSSIBLE: Mapping[Measure, tuple[float, float]] = {
    Measure.SNOWFALL_CM: (0, 50),
    Measure.RAIN_MM: (0, 500),
    Measure.COLD_C: (-95, 65),
    Measure.HEAT_C: (-95, 65),
    Measure.WIND_KMH: (0, 420),
    Measure.GUST_KMH: (0, 420),
}

#: A month by the hour; nobody forecasts further.
_MOST_HOURS = 24 * 31


class UnreadableWeatherError(ValueError):
    """This is no forecast, or no alert; the text is a code."""


def read(body: bytes) -> Forecast:
    """The forecast of an answer; of several places the first one's.

    Raises:
        UnreadableWeatherError: it is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableWeatherError("not_json") from error
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        raise UnreadableWeatherError("no_forecast")
    if document.get("error"):
        raise UnreadableWeatherError("refused")
    hourly = document.get("hourly")
    if not isinstance(hourly, dict) or not isinstance(hourly.get("time"), list):
        raise UnreadableWeatherError("no_hours")
    units = document.get("hourly_units")
    times = _times(hourly["time"][:_MOST_HOURS], document)
    columns = {
        measure: column
        for measure in Measure
        if (column := _column(measure, hourly, units if isinstance(units, dict) else {}))
    }
    if not columns:
        raise UnreadableWeatherError("no_values")
    hours = []
    for index, at in enumerate(times):
        values = {
            measure: value
            for measure, column in columns.items()
            if index < len(column) and (value := column[index]) is not None
        }
        hours.append(Hour(at, values))
    return Forecast(sorted(hours, key=lambda hour: hour.at))


def _column(
    measure: Measure, hourly: Mapping[str, Any], units: Mapping[str, Any]
) -> list[float | None]:
    for name in _NAMES[measure]:
        given = hourly.get(name)
        if isinstance(given, list):
            unit = _UNITS[measure].get(str(units.get(name, next(iter(_UNITS[measure])))))
            return [] if unit is None else [_value(measure, each, unit) for each in given]
    return []


def _value(measure: Measure, given: Any, unit: tuple[float, float]) -> float | None:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return None
    try:
        value = float(given) * unit[0] + unit[1]
    except OverflowError:
        return None
    lowest, highest = _POSSIBLE[measure]
    return value if math.isfinite(value) and lowest <= value <= highest else None


def _times(given: Sequence[Any], document: Mapping[str, Any]) -> list[datetime]:
    zone = _zone(document)
    try:
        return [_time(each, zone) for each in given]
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise UnreadableWeatherError("no_times") from error


def _time(given: Any, zone: tzinfo | None) -> datetime:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return datetime.fromtimestamp(given, UTC)
    at = datetime.fromisoformat(given)
    if at.tzinfo is None:
        if zone is None:
            raise ValueError("a local time without a place")
        at = at.replace(tzinfo=zone)
    return at.astimezone(UTC)


def _zone(document: Mapping[str, Any]) -> tzinfo | None:
    """What the local times are local to; the offset decides, it is what was applied."""
    offset, name = document.get("utc_offset_seconds"), document.get("timezone")
    if isinstance(offset, (int, float)) and abs(offset) < 86_400:
        return timezone(timedelta(seconds=offset))
    if isinstance(name, str):
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise UnreadableWeatherError("unknown_time_zone") from error
    return None
