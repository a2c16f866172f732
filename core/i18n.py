"""Choosing words in somebody's language: names kept as `{locale: text}`, languages offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Languages that messages and pages are written in. The first is the last resort.
LANGUAGES = ("fr", "en")


def pick(texts: Mapping[str, str], locale: str, default: str | None = None) -> str:
    """The text for `locale` ("fr-CA" takes "fr"), else for `default`, else any; "" of none."""
    for wanted in (locale, locale.split("-")[0], default):
        if wanted and texts.get(wanted):
            return texts[wanted]
    return next((text for text in texts.values() if text), "")


def language_of(locale: str | None, offered: Sequence[str] = LANGUAGES) -> str:
    """The language offered that serves `locale` best; the first one offered when none does."""
    language = (locale or "").replace("_", "-").split("-")[0].lower()
    return language if language in offered else offered[0]


def spoken(*locales: str | None) -> str | None:
    """The first of these locales that messages can be written in; None when none can."""
    return next((each for each in locales if each and language_of(each, ("", *LANGUAGES))), None)
