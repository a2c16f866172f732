"""Why two reports may be one, in words a clerk reads: "same lamp, 4 m, 20 minutes apart". Pure.

Reasons are stored as codes with numbers (`reports.duplicates.rules.Reason`), so that they can be
read in any language and in later years. A code that this release does not know is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.i18n import language_of

#: Long enough to be said in the larger unit.
_HOURS_FROM_MINUTES = 100
_DAYS_FROM_MINUTES = 48 * 60
_KM_FROM_M = 1000

Numbers = Mapping[str, Any]


def words(
    reasons: Sequence[Numbers], locale: str | None, asset_name: str | None = None
) -> list[str]:
    """Each reason in a few words; `asset_name` is what the asset is called there: a lamp."""
    say = _SAID[language_of(locale)]
    said = []
    for reason in reasons:
        code = str(reason.get("code"))
        if code == "same_asset" and asset_name:
            said.append(_SAME[language_of(locale)].format(name=asset_name))
        elif code in say:
            text = say[code]
            said.append(text if isinstance(text, str) else text(reason))
    return said


def sentence(reasons: Sequence[Numbers], locale: str | None, asset_name: str | None = None) -> str:
    """All reasons in one line."""
    return ", ".join(words(reasons, locale, asset_name))


def _number(reason: Numbers, name: str) -> float:
    value = reason.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0


def _metres(value: float, decimal: str) -> str:
    if value >= _KM_FROM_M:
        return f"{value / 1000:.1f} km".replace(".", decimal)
    return f"{round(value)} m"


def _count(value: float, one: str, many: str, *, zero_is_one: bool) -> str:
    whole = round(value)
    is_one = whole == 1 or (zero_is_one and whole == 0)
    return f"{whole} {one if is_one else many}"


def _english_time(minutes: float) -> str:
    if minutes < 1:
        return "at the same minute"
    if minutes >= _DAYS_FROM_MINUTES:
        return _count(minutes / 1440, "day apart", "days apart", zero_is_one=False)
    if minutes >= _HOURS_FROM_MINUTES:
        return _count(minutes / 60, "hour apart", "hours apart", zero_is_one=False)
    return _count(minutes, "minute apart", "minutes apart", zero_is_one=False)


def _french_time(minutes: float) -> str:
    if minutes < 1:
        return "à la même minute"
    if minutes >= _DAYS_FROM_MINUTES:
        return "à " + _count(minutes / 1440, "jour", "jours", zero_is_one=True) + " d’intervalle"
    if minutes >= _HOURS_FROM_MINUTES:
        return "à " + _count(minutes / 60, "heure", "heures", zero_is_one=True) + " d’intervalle"
    return "à " + _count(minutes, "minute", "minutes", zero_is_one=True) + " d’intervalle"


def _english_days(days: float) -> str:
    if round(days) == 0:
        return "on the same day"
    return _count(days, "day apart", "days apart", zero_is_one=False)


def _french_days(days: float) -> str:
    if round(days) == 0:
        return "le même jour"
    return "à " + _count(days, "jour", "jours", zero_is_one=True) + " d’intervalle"


def _english_closed(days: float) -> str:
    if round(days) == 0:
        return "closed the same day"
    return "closed " + _count(days, "day", "days", zero_is_one=False) + " before"


def _french_closed(days: float) -> str:
    if round(days) == 0:
        return "clos le même jour"
    return "clos depuis " + _count(days, "jour", "jours", zero_is_one=True)


Say = Callable[[Numbers], str]

_SAME = {"en": "same {name}", "fr": "objet identique : {name}"}

_SAID: Mapping[str, Mapping[str, Say | str]] = {
    "en": {
        "same_asset": "same object of the register",
        "same_service": "same kind of problem",
        "same_family": "related kind of problem",
        "confused_service": "a kind of problem often taken for this one",
        "same_address": "same address",
        "distance": lambda r: _metres(_number(r, "m"), "."),
        "inaccurate": lambda r: f"position sure to about {round(_number(r, 'm'))} m only",
        "elapsed": lambda r: _english_time(_number(r, "minutes")),
        "elapsed_days": lambda r: _english_days(_number(r, "days")),
        "closed": lambda r: _english_closed(_number(r, "days")),
        "alike_words": lambda r: f"words {round(_number(r, 'percent'))} % alike",
        "alike_photo": "photos look alike",
        "joined": lambda r: _count(
            _number(r, "count"), "report joined to it", "reports joined to it", zero_is_one=False
        ),
        "wave": lambda r: f"{round(_number(r, 'count'))} such reports in the last six hours",
        "leader_older": "told earlier",
        "leader_better_placed": "its place is better known",
        "reporter_said": "the reporter says it is the same",
        "staff_said": "staff said it is the same",
    },
    "fr": {
        "same_asset": "même objet du registre",
        "same_service": "même type de problème",
        "same_family": "type de problème voisin",
        "confused_service": "type de problème souvent confondu avec celui-ci",
        "same_address": "même adresse",
        "distance": lambda r: _metres(_number(r, "m"), ","),
        "inaccurate": lambda r: f"position connue à {round(_number(r, 'm'))} m près seulement",
        "elapsed": lambda r: _french_time(_number(r, "minutes")),
        "elapsed_days": lambda r: _french_days(_number(r, "days")),
        "closed": lambda r: _french_closed(_number(r, "days")),
        "alike_words": lambda r: f"textes semblables à {round(_number(r, 'percent'))} %",
        "alike_photo": "photos ressemblantes",
        "joined": lambda r: _count(
            _number(r, "count"),
            "signalement déjà rattaché",
            "signalements déjà rattachés",
            zero_is_one=True,
        ),
        "wave": lambda r: f"{round(_number(r, 'count'))} signalements de ce type en six heures",
        "leader_older": "signalé plus tôt",
        "leader_better_placed": "mieux localisé",
        "reporter_said": "d’après l’auteur du signalement, c’est le même",
        "staff_said": "d’après les services, c’est le même",
    },
}
