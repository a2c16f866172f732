"""Why a report is with its team, in a sentence that staff read. Pure.

The decision is stored as codes (`reports.routing.deciding`), so that it can be read in any language
and in later years. The city's own codes stay codes: they are what its rules say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.i18n import language_of

_Data = Mapping[str, Any]

#: What a condition looked at, in either language; `{}` is what held.
_SUBJECTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "service": "the service is {}",
        "group": "the group is {}",
        "area": "it lies in {key}: {}",
        "attribute": "“{key}” is {}",
        "words": "the words {} stand in it",
        "source": "it came by {}",
        "owner": "the asset belongs to {}",
        "hours": "it came {}",
        "season": "it came between {}",
        "day": "it came on {}",
    },
    "fr": {
        "service": "le service est {}",
        "group": "le groupe est {}",
        "area": "il se trouve dans {key} : {}",
        "attribute": "« {key} » vaut {}",
        "words": "on y lit {}",
        "source": "il est arrivé par {}",
        "owner": "l’équipement appartient à {}",
        "hours": "il est arrivé {}",
        "season": "il est arrivé entre {}",
        "day": "il est arrivé un jour parmi {}",
    },
}

#: The same where the condition was that it is not so.
_NEGATED: Mapping[str, Mapping[str, str]] = {
    "en": {
        "service": "the service is not {}",
        "group": "the group is not {}",
        "area": "it does not lie in {key}: {}",
        "attribute": "“{key}” is not {}",
        "words": "the words {} do not stand in it",
        "source": "it did not come by {}",
        "owner": "the asset does not belong to {}",
        "hours": "it did not come {}",
        "season": "it did not come between {}",
        "day": "it did not come on {}",
    },
    "fr": {
        "service": "le service n’est pas {}",
        "group": "le groupe n’est pas {}",
        "area": "il ne se trouve pas dans {key} : {}",
        "attribute": "« {key} » ne vaut pas {}",
        "words": "on n’y lit pas {}",
        "source": "il n’est pas arrivé par {}",
        "owner": "l’équipement n’appartient pas à {}",
        "hours": "il n’est pas arrivé {}",
        "season": "il n’est pas arrivé entre {}",
        "day": "il n’est pas arrivé un jour parmi {}",
    },
}

_VALUES: Mapping[str, Mapping[str, str]] = {
    "en": {"during": "during working hours", "outside": "outside working hours"},
    "fr": {
        "during": "pendant les heures de travail",
        "outside": "en dehors des heures de travail",
    },
}

_SAID: Mapping[str, Mapping[str, str]] = {
    "en": {
        "rule": "Rule {rule} sent it to {team}{why}.",
        "why": ", because {}",
        "and": ", and ",
        "otherwise": "No rule fitted, so it went to {team}, who has the rest.",
        "next": "Next would have been rule {rule}, with {team}.",
        "next_otherwise": "Next would have been {team}, who has the rest.",
        "person": "A person put it there.",
        "nobody": "No rule fits, and the rules name nobody for the rest.",
    },
    "fr": {
        "rule": "La règle {rule} l’a confié à {team}{why}.",
        "why": ", car {}",
        "and": ", et ",
        "otherwise": "Aucune règle ne convenait : il est allé à {team}, qui prend le reste.",
        "next": "La suivante aurait été la règle {rule}, avec {team}.",
        "next_otherwise": "Sinon il serait allé à {team}, qui prend le reste.",
        "person": "Une personne l’a confié à cette équipe.",
        "nobody": "Aucune règle ne convient, et les règles ne nomment personne pour le reste.",
    },
}

_OTHERWISE = "otherwise"


def sentence(routing: _Data | None, locale: str | None) -> str | None:
    """Which rule, why, and which would have been next; None before anybody routed it."""
    if not routing:
        return None
    language = language_of(locale)
    say = _SAID[language]
    if routing.get("by") == "person":
        return say["person"]
    rule, team = routing.get("rule"), routing.get("team")
    if not rule or not team:
        return say["nobody"]
    if rule == _OTHERWISE:
        return say["otherwise"].format(team=team)
    reasons = [_reason(reason, language) for reason in _list(routing.get("why"))]
    told = [reason for reason in reasons if reason]
    why = say["why"].format(say["and"].join(told)) if told else ""
    parts = [say["rule"].format(rule=rule, team=team, why=why)]
    following = routing.get("next")
    if isinstance(following, Mapping):
        form = "next_otherwise" if following.get("rule") == _OTHERWISE else "next"
        parts.append(say[form].format(rule=following.get("rule"), team=following.get("team")))
    return " ".join(parts)


def _reason(reason: _Data, language: str) -> str:
    """One condition that held; nothing for a subject that this release does not know."""
    forms = _NEGATED if reason.get("not") else _SUBJECTS
    form = forms[language].get(str(reason.get("subject")))
    if form is None:
        return ""
    words = _VALUES[language]
    values = ", ".join(words.get(str(value), str(value)) for value in _list(reason.get("values")))
    return form.format(values, key=reason.get("key", ""))


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
