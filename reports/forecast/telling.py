"""A forecast in words: "usually fixed in 3 days; 4 of 5 within 9 days". In French and English."""

from __future__ import annotations

import math
from typing import Any

from core.i18n import language_of
from reports.forecast.foreseeing import Forecast

_WORDS = {
    "en": {
        "whole": "Usually fixed within {median}; 4 of 5 within {most}.",
        "same": "4 of 5 are fixed within {most}.",
        "open": "Half are fixed within {median}; some take much longer.",
        "hour": ("an hour", "{count} hours"),
        "day": ("a day", "{count} days"),
        "week": ("a week", "{count} weeks"),
        "month": ("a month", "{count} months"),
    },
    "fr": {
        "whole": "D’ordinaire réglé en {median} au plus ; 4 fois sur 5 en {most}.",
        "same": "Réglé 4 fois sur 5 en {most} au plus.",
        "open": "Réglé une fois sur deux en {median} au plus ; parfois bien plus tard.",
        "hour": ("une heure", "{count} heures"),
        "day": ("un jour", "{count} jours"),
        "week": ("une semaine", "{count} semaines"),
        "month": ("un mois", "{count} mois"),
    },
}


def document(forecast: Forecast | None, locale: str | None) -> dict[str, Any] | None:
    """A forecast for a program and for a person; None where nothing can be said."""
    if forecast is None or forecast.median_h is None:
        return None
    return {
        "text": sentence(forecast, locale),
        "median_hours": forecast.median_h,
        "low_hours": forecast.low_h,
        "four_in_five_hours": forecast.four_in_five_h,
        "high_hours": forecast.high_h,
        "cases": forecast.cases,
    }


def sentence(forecast: Forecast, locale: str | None) -> str:
    """The forecast in one sentence; durations are rounded up, so that nobody waits in vain."""
    words = _WORDS[language_of(locale, ("en", "fr"))]
    assert forecast.median_h is not None
    median = _duration(forecast.median_h, words)
    if forecast.four_in_five_h is None:
        return str(words["open"]).format(median=median)
    most = _duration(forecast.four_in_five_h, words)
    return str(words["same" if median == most else "whole"]).format(median=median, most=most)


def _duration(hours: float, words: dict[str, Any]) -> str:
    if hours <= 24:
        unit, count = "hour", math.ceil(hours)
    elif hours <= 14 * 24:
        unit, count = "day", math.ceil(hours / 24)
    elif hours <= 9 * 7 * 24:
        unit, count = "week", math.ceil(hours / 168)
    else:
        unit, count = "month", math.ceil(hours / (24 * 30.44))
    one, many = words[unit]
    return str(one) if count <= 1 else str(many).format(count=count)
