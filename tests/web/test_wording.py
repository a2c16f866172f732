"""The words of the pages: the same in both languages, and all of them used."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from core.i18n import LANGUAGES
from reports.vocabulary import Status
from web.wording import wording

WEB = Path(__file__).parents[2] / "web"
NOON = datetime(2026, 3, 11, 11, 5, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", text))


def test_both_languages_say_the_same_things_with_the_same_facts() -> None:
    french, english = (wording(lang).texts for lang in LANGUAGES)

    assert french.keys() == english.keys()
    for key in french:
        assert placeholders(french[key]) == placeholders(english[key]), key


def test_french_never_breaks_a_line_before_its_punctuation() -> None:
    for key, text in wording("fr").texts.items():
        bare = re.sub(r"<[^>]+>", "", text)
        assert not re.search(r" [:;!?»]|« ", bare), key
        assert "'" not in bare, f"{key} has a straight apostrophe"


def test_every_word_that_templates_name_is_there() -> None:
    keys = wording("fr").texts.keys()
    for template in (WEB / "templates").glob("*.html"):
        source = template.read_text(encoding="utf-8")
        for key in re.findall(r"\bt\(\s*\"([a-z_.0-9]+)\"\s*[,)]", source):
            assert key in keys, f"{template.name} names {key}"
        for key in re.findall(r"one_or_many\(\"([a-z_.]+)\"", source):
            assert {f"{key}.none", f"{key}.one", f"{key}.many"} <= keys


@pytest.mark.parametrize("status", list(Status))
def test_every_status_has_its_words(status: Status) -> None:
    for lang in LANGUAGES:
        texts = wording(lang).texts
        assert texts[f"status.{status}"]
        assert texts[f"status_text.{status}"]
        assert texts[f"story.status_{status}"]


def test_dates_and_numbers_are_written_as_the_reader_writes_them() -> None:
    french, english = wording("fr"), wording("en")

    assert french.moment(NOON, PARIS) == "mercredi 11 mars 2026 à 12:05"
    assert english.moment(NOON, PARIS) == "Wednesday 11 March 2026 at 12:05"
    assert french.day(NOON, PARIS) == "mercredi 11 mars 2026"
    assert (french.number(12345), english.number(12345)) == ("12\u202f345", "12,345")


def test_what_is_filled_in_is_escaped() -> None:
    assert "<b>" not in wording("fr")("home.mail_folder", folder="<b>")
