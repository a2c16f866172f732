"""The document for the data protection officer says what the code does, in both languages."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from accounts.rules import CITIZEN_SESSION, FAILURES_KEPT, STAFF_SESSION
from app.config import Settings
from assets import photos
from assets.adoption.rules import HANDOVER_FOR
from assets.campaigns.answering import LETTERS_KEPT
from core.idempotency import KEPT_FOR
from geo.geocoding import FOUND_IS_KEPT
from notifications.people_data import DELIVERIES_KEPT, FOLDER_KEPT
from open311.repeating import REPEATED_WITHIN
from reports.media import staging
from reports.retention_rules import DEFAULT, REDACTED_PHOTO_DAYS
from sensing import devices, uploading
from workers import retaining, sweeper

DOCS = Path(__file__).parent.parent / "docs"

#: What the table of both documents must say, by its key.
KEPT = {
    "contacts": timedelta(days=DEFAULT.contacts_days),
    "photos": timedelta(days=DEFAULT.photos_days),
    "redacted_photos": timedelta(days=REDACTED_PHOTO_DAYS),
    "staged_photos": staging._STALE_AFTER,
    "asset_photos": photos.KEPT_FOR,
    "handovers": HANDOVER_FOR,
    "campaign_letters": LETTERS_KEPT,
    "messages": DELIVERIES_KEPT,
    "mail_copies": FOLDER_KEPT,
    "sign_ins": sweeper.SIGN_INS_KEPT,
    "staff_sessions": STAFF_SESSION,
    "citizen_sessions": CITIZEN_SESSION,
    "sign_in_failures": FAILURES_KEPT,
    "accounts": retaining.ACCOUNTS_KEPT,
    "kept_answers": KEPT_FOR,
    "repeated_requests": REPEATED_WITHIN,
    "errors": retaining.ERRORS_KEPT,
    "events": sweeper.KEPT,
    "geocodes": FOUND_IS_KEPT,
    "trips": uploading.TRIPS_KEPT,
    "trip_parts": uploading.PARTS_KEPT,
    "device_keys": devices.KEY_LIFE,
    "device_days": devices.DAY_KEPT,
    "traces": timedelta(days=Settings().research_days),
}

_KEY_ROW = re.compile(r"^\| `([a-z_]+)` \| [^|]+ \| ([^|]+) \|", re.MULTILINE)
_SPAN = re.compile(r"(\d+) (day|jour|hour|heure|minute)")

_UNITS = {
    "day": timedelta(days=1),
    "jour": timedelta(days=1),
    "hour": timedelta(hours=1),
    "heure": timedelta(hours=1),
    "minute": timedelta(minutes=1),
}


def _as_in_france(cited: re.Match[str]) -> str:
    return ".".join(part for part in cited.groups() if part)


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["privacy.md", "privacy.fr.md"])
def test_every_term_is_the_one_that_the_code_keeps(name: str) -> None:
    said = {key: _SPAN.search(kept) for key, kept in _KEY_ROW.findall(text_of(name))}
    assert said.pop("requests") is None
    assert said.keys() == KEPT.keys()
    for key, found in said.items():
        assert found is not None, key
        assert int(found[1]) * _UNITS[found[2]] == KEPT[key], key


@pytest.mark.parametrize("name", ["privacy.md", "privacy.fr.md"])
def test_the_entry_of_the_register_has_the_same_terms(name: str) -> None:
    [row] = re.findall(r"^\| (?:erasure|effacement) \|(.*)$", text_of(name), re.MULTILINE)
    days = [int(number) for number in re.findall(r"(\d+) (?:days|jours)", row)]
    assert days[:2] == [DEFAULT.contacts_days, DEFAULT.photos_days]


def test_both_languages_say_the_same() -> None:
    """The same headings, tables, codes and numbers, in the same order."""
    english, french = text_of("privacy.md"), text_of("privacy.fr.md")

    def shape(text: str) -> list[str]:
        return [
            re.match(r"#+|\||\d\.|\*", line)[0]  # type: ignore[index]
            for line in text.splitlines()
            if re.match(r"#+ |\||\d\. |\* ", line)
        ]

    assert shape(english) == shape(french)
    # In France articles are cited as 6.1.e.
    english = re.sub(r"\b(\d+)\((\d)\)(?:\(([a-z])\))?", _as_in_france, english)
    for pattern in (r"`[^`]+`", r"\b\d+\b", r"art\. [\d.a-z]+"):
        first = [" ".join(found.split()) for found in re.findall(pattern, english)]
        second = [" ".join(found.split()) for found in re.findall(pattern, french)]
        first = [found.replace("ADDRESS", "ADRESSE") for found in first]
        assert sorted(first) == sorted(second), pattern
