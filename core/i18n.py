"""Choosing words in somebody's language: names kept as `{locale: text}`, languages offered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
    language = _language(locale or "")
    return language if language in offered else offered[0]


def asked_for(
    wanted: Iterable[tuple[str, float]], offered: Sequence[str] = LANGUAGES
) -> str | None:
    """The language offered for the first of these locales that has one; None when none has.

    "fr-FR, en;q=0.5" asks for French. Werkzeug's `best_match` says English of it: there, a name
    that is exactly one of those offered goes before whatever is liked better.

    Args:
        wanted: locales and how much each is liked, best first: `request.accept_languages`.
    """
    for locale, quality in wanted:
        near = [each for each in offered if _language(each) == _language(locale)]
        if quality > 0 and near:
            return next((each for each in near if each.lower() == locale.lower()), near[0])
    return None


def spoken(*locales: str | None) -> str | None:
    """The first of these locales that messages can be written in; None when none can."""
    return next((each for each in locales if each and language_of(each, ("", *LANGUAGES))), None)


def _language(locale: str) -> str:
    return locale.replace("_", "-").split("-")[0].lower()
