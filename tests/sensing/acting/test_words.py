"""What people read of what phones felt: the same figures in both languages, and no alarm."""

from __future__ import annotations

import dataclasses

import pytest

from reports.reviewing import SHOWN, judge
from sensing.acting import wording
from sensing.acting.wording import Felt

FELT = Felt(
    hits=14,
    passes=17,
    belief=0.9991,
    severity=5.24,
    error_m=2.9,
    heading_deg=44.0,
    first_day=20_500,
    last_day=20_523,
)


def test_the_description_says_the_figures_in_both_languages() -> None:
    assert wording.description("en", FELT) == (
        "Felt by phones in cars: 14 of 17 trips felt a bump here, between 16 February 2026 and"
        " 11 March 2026, driving north-eastwards. Position within 6 m. Severity 5.2 of 10,"
        " likelihood 99%. This is an estimate made by sensors: nobody has come to look yet."
    )
    french = wording.description("fr", FELT)
    for figure in ("14 trajets sur 17", "16 février 2026", "nord-est", "6 m", "5,2 sur 10", "99 %"):
        assert figure in french.replace("\u00a0", " ")


@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_single_day_is_one_day(language: str) -> None:
    text = wording.description(language, dataclasses.replace(FELT, first_day=20_523))
    assert "16 " not in text
    assert ("le 11 mars 2026," in text) or ("on 11 March 2026," in text)


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("hits", [3, 612, 100_000])
def test_no_figure_is_taken_for_somebodys_number(language: str, hits: int) -> None:
    felt = dataclasses.replace(FELT, hits=hits, passes=hits * 3)
    text = wording.description(language, felt)
    assert judge(text, "FR", moderation="none", is_trap_filled=False) == SHOWN


@pytest.mark.parametrize(
    ("heading", "words"),
    [(0.0, "northwards"), (359.0, "northwards"), (91.0, "eastwards"), (225.0, "south-westwards")],
)
def test_a_direction_is_a_word(heading: float, words: str) -> None:
    assert wording.heading("en", heading) == words


def test_notes_are_written_in_the_citys_language() -> None:
    assert wording.language_for("fr-CA") == "fr"
    assert wording.language_for("de") == "en"
    assert "6 m" in wording.evidence_note("en", FELT, "https://x.example/e.svg")
    assert wording.evidence_note("fr", FELT, "https://x.example/e.svg").endswith("e.svg")
    assert "seulement" in wording.confirmed("fr", 1, 9)
    assert "none felt" in wording.confirmed("en", 0, 9)
