"""Why a report is with its team, in words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reports.routing.rules import Subject
from reports.routing.wording import _NEGATED, _SAID, _SUBJECTS, _VALUES, sentence

STORED: dict[str, Any] = {
    "rule": "voirie-centre",
    "team": "voirie",
    "why": [
        {"subject": "service", "values": ["trou"]},
        {"subject": "area", "key": "quartiers", "values": ["centre"]},
        {"subject": "hours", "not": True, "values": ["outside"]},
    ],
    "next": {"rule": "otherwise", "position": 9, "team": "accueil"},
}


@pytest.mark.parametrize(
    ("routing", "locale", "said"),
    [
        (
            STORED,
            "en",
            (
                "Rule voirie-centre sent it to voirie, because the service is trou, and it lies in "
                "quartiers: centre, and it did not come outside working hours. "
                "Next would have been accueil, who has the rest."
            ),
        ),
        (
            STORED,
            "fr",
            (
                "La règle voirie-centre l’a confié à voirie, car le service est trou, et il se "
                "trouve dans quartiers\u00a0: centre, et il n’est pas arrivé en dehors des heures "
                "de travail. Sinon il serait allé à accueil, qui prend le reste."
            ),
        ),
        (
            {"rule": "otherwise", "team": "accueil", "why": [], "next": None},
            "en",
            "No rule fitted, so it went to accueil, who has the rest.",
        ),
        ({"by": "person", "person_id": "x"}, "fr", "Une personne l’a confié à cette équipe."),
        (
            {"rule": None, "why": [], "next": None},
            "en",
            "No rule fits, and the rules name nobody for the rest.",
        ),
        # What a later release stores is passed over.
        (
            {"rule": "a", "team": "b", "why": [{"subject": "moon", "values": ["full"]}]},
            "en",
            "Rule a sent it to b.",
        ),
        (None, "en", None),
    ],
)
def test_the_stored_decision_is_said_in_the_readers_language(
    routing: dict[str, Any] | None, locale: str, said: str | None
) -> None:
    assert sentence(routing, locale) == said


def test_french_never_breaks_a_line_before_its_punctuation() -> None:
    for table in (_SUBJECTS, _NEGATED, _VALUES, _SAID):
        for text in table["fr"].values():
            assert not re.search(r" [:;!?»]|« |'", text), text


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_condition_has_its_words(language: str) -> None:
    subjects = {subject.value for subject in Subject}
    assert set(_SUBJECTS[language]) == set(_NEGATED[language]) == subjects
