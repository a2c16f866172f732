"""The words of the pages, one file per language, and dates as the reader writes them.

`locales/fr.toml` and `locales/en.toml` hold the same keys (a test compares them) and are written
by hand in both languages. A text may hold simple HTML; what is filled in is escaped.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from markupsafe import Markup

from core.i18n import LANGUAGES

LOCALES = Path(__file__).parent / "locales"


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one language."""

    lang: str
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: Any) -> Markup:
        """The text of that key with its values filled in. A key that is not there is a defect."""
        return Markup(self.texts[key]).format(**values)

    def has(self, key: str) -> bool:
        """Whether there is a text of that key."""
        return key in self.texts

    def one_or_many(self, key: str, count: int) -> Markup:
        """`key.none`, `key.one` or `key.many`. In French, zero is singular; here it has its own."""
        form = "none" if count == 0 else "one" if count == 1 else "many"
        return self(f"{key}.{form}", count=self.number(count))

    def moment(self, instant: datetime, zone: tzinfo) -> str:
        """mercredi 11 mars 2026 à 10:00; Wednesday 11 March 2026 at 10:00."""
        pattern = "EEEE d MMMM y 'à' HH:mm" if self.lang == "fr" else "EEEE d MMMM y 'at' HH:mm"
        return format_datetime(instant, pattern, tzinfo=zone, locale=_babel(self.lang))

    def day(self, instant: datetime, zone: tzinfo) -> str:
        """mercredi 11 mars 2026; Wednesday 11 March 2026."""
        return format_date(instant.astimezone(zone), "EEEE d MMMM y", locale=_babel(self.lang))

    def wait(self, seconds: int) -> Markup:
        """2 minutes; rounded up, so that nobody comes back too early."""
        if seconds <= 90:
            return self.one_or_many("wait.seconds", seconds)
        minutes = -(-seconds // 60)
        if minutes <= 90:
            return self.one_or_many("wait.minutes", minutes)
        return self.one_or_many("wait.hours", -(-minutes // 60))

    def number(self, value: float) -> str:
        """12 345 in French, 12,345 in English."""
        return format_decimal(value, locale=_babel(self.lang))


@functools.cache
def wording(lang: str) -> Wording:
    """The words of a language that pages are written in."""
    if lang not in LANGUAGES:
        raise ValueError(f"no pages are written in {lang!r}")
    with (LOCALES / f"{lang}.toml").open("rb") as file:
        return Wording(lang, dict(_flat(tomllib.load(file))))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def _babel(lang: str) -> str:
    return "en_GB" if lang == "en" else lang
