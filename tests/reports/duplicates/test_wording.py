"""Reasons for a duplicate as a clerk reads them, in both languages."""

from __future__ import annotations

from typing import Any

import pytest

from reports.duplicates.wording import _SAID, sentence, words


@pytest.mark.parametrize(
    ("reason", "english", "french"),
    [
        ({"code": "same_asset"}, "same object of the register", "même objet du registre"),
        ({"code": "distance", "m": 4.3}, "4 m", "4 m"),
        ({"code": "distance", "m": 1530.0}, "1.5 km", "1,5 km"),
        ({"code": "elapsed", "minutes": 0}, "at the same minute", "à la même minute"),
        ({"code": "elapsed", "minutes": 1}, "1 minute apart", "à 1 minute d’intervalle"),
        ({"code": "elapsed", "minutes": 20}, "20 minutes apart", "à 20 minutes d’intervalle"),
        ({"code": "elapsed", "minutes": 185}, "3 hours apart", "à 3 heures d’intervalle"),
        ({"code": "elapsed", "minutes": 4400}, "3 days apart", "à 3 jours d’intervalle"),
        ({"code": "elapsed_days", "days": 0}, "on the same day", "le même jour"),
        ({"code": "closed", "days": 2}, "closed 2 days before", "clos depuis 2 jours"),
        ({"code": "joined", "count": 1}, "1 report joined to it", "1 signalement déjà rattaché"),
        (
            {"code": "joined", "count": 22},
            "22 reports joined to it",
            "22 signalements déjà rattachés",
        ),
        ({"code": "alike_words", "percent": 87}, "words 87 % alike", "textes semblables à 87 %"),
    ],
)
def test_a_reason_in_words(reason: dict[str, Any], english: str, french: str) -> None:
    assert words([reason], "en") == [english]
    assert words([reason], "fr-CA") == [french]


def test_a_clerk_reads_one_line() -> None:
    reasons: list[dict[str, Any]] = [
        {"code": "same_asset"},
        {"code": "distance", "m": 4.0},
        {"code": "elapsed", "minutes": 20},
        {"code": "of a later release"},
    ]
    assert sentence(reasons, "en", "lamp") == "same lamp, 4 m, 20 minutes apart"
    assert sentence(reasons, "fr", "lampadaire") == (
        "objet identique : lampadaire, 4 m, à 20 minutes d’intervalle"
    )


def test_both_languages_say_the_same_reasons() -> None:
    assert _SAID["en"].keys() == _SAID["fr"].keys()
