"""What the placeholders of a campaign say, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from assets.campaigns.rules import filled
from assets.weather.rules import Foreseen
from assets.weather.vocabulary import Measure
from core.i18n import language_of, pick
from geo.jurisdictions import JurisdictionRef

#: So many assets are named in a sentence; the rest are counted.
_NAMED = 3

_MEASURES: Mapping[str, Mapping[Measure, str]] = {
    "fr": {
        Measure.SNOWFALL_CM: "{value} cm de neige",
        Measure.RAIN_MM: "{value} mm de pluie",
        Measure.COLD_C: "{value} °C au plus froid",
        Measure.HEAT_C: "{value} °C au plus chaud",
        Measure.WIND_KMH: "du vent à {value} km/h",
        Measure.GUST_KMH: "des rafales à {value} km/h",
    },
    "en": {
        Measure.SNOWFALL_CM: "{value} cm of snow",
        Measure.RAIN_MM: "{value} mm of rain",
        Measure.COLD_C: "{value} °C at the coldest",
        Measure.HEAT_C: "{value} °C at the hottest",
        Measure.WIND_KMH: "wind of {value} km/h",
        Measure.GUST_KMH: "gusts of {value} km/h",
    },
}

_FROM = {"fr": "{what}, à partir de {when}", "en": "{what}, from {when}"}
_WHEN = {"fr": "EEEE d MMMM 'vers' HH 'h'", "en": "EEEE d MMMM, 'about' HH:00"}
_AND = {"fr": " et ", "en": " and "}


@dataclass(frozen=True, slots=True)
class Words:
    """A campaign's words for one reader."""

    subject: str
    text: str


def kept(found: Foreseen) -> dict[str, Any]:
    """What of the weather a round keeps, so that its letters can say it."""
    return {
        "values": {measure.value: round(value, 1) for measure, value in found.values.items()},
        "starts_at": found.starts_at.isoformat(),
        "ends_at": found.ends_at.isoformat(),
        "event": found.event,
    }


def words_for(
    words: Mapping[str, Any],
    labels: Sequence[str],
    foreseen: Mapping[str, Any],
    place: JurisdictionRef,
    locale: str,
    day: date,
) -> Words:
    """The words in the reader's language, else in the city's, filled in.

    Args:
        labels: what the reader's assets are called.
        foreseen: as `kept` made it; empty for what is no weather campaign.
        day: today, by the city's calendar.
    """
    lang = language_of(locale)
    if foreseen.get("starts_at"):
        starts_at = datetime.fromisoformat(foreseen["starts_at"]).astimezone(place.time_zone)
        day = max(day, starts_at.date())
    values = {
        "asset": _listed(labels, lang),
        "count": str(len(labels)),
        "city": place.name(lang),
        "day": format_date(day, "EEEE d MMMM", locale=lang),
        "weather": _weather(foreseen, place, lang),
    }
    own = pick_words(words, lang, place.default_locale)
    # A subject of nothing but the weather, and the round was sent by hand.
    subject = filled(own["subject"], values) or values["asset"]
    return Words(subject, filled(own["text"], values))


def pick_words(words: Mapping[str, Any], lang: str, default: str) -> Mapping[str, str]:
    """Subject and text in a language, else in the default one, else in any."""
    for wanted in (lang, default, *words):
        if wanted in words:
            own: Mapping[str, str] = words[wanted]
            return own
    return {"subject": "", "text": ""}


def label(names: Mapping[str, str], code: str, name: str | None, lang: str, default: str) -> str:
    """What people call an asset: its kind, its code, the name it was given."""
    made = f"{pick(names, lang, default)} {code}"
    if name:
        made += f" « {name} »" if lang == "fr" else f" “{name}”"
    return made


def _listed(labels: Sequence[str], lang: str) -> str:
    if len(labels) > _NAMED:
        return f"{', '.join(labels[:_NAMED])} … (+{len(labels) - _NAMED})"
    if len(labels) < 2:
        return "".join(labels)
    return f"{', '.join(labels[:-1])}{_AND[lang]}{labels[-1]}"


def _weather(foreseen: Mapping[str, Any], place: JurisdictionRef, lang: str) -> str:
    if not foreseen:
        return ""
    parts = [
        _MEASURES[lang][Measure(name)].format(
            value=format_decimal(value, "0.#" if abs(value) < 10 else "0", locale=lang)
        )
        for name, value in foreseen.get("values", {}).items()
    ]
    what = _AND[lang].join(parts) or str(foreseen.get("event", ""))
    starts_at = datetime.fromisoformat(foreseen["starts_at"])
    when = format_datetime(starts_at, _WHEN[lang], tzinfo=place.time_zone, locale=lang)
    return _FROM[lang].format(what=what, when=when)
