"""Which language a reader gets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from core.i18n import LANGUAGES, asked_for


def wanted(header: str) -> LanguageAccept:
    return parse_accept_header(header, LanguageAccept)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("fr", "fr"),
        ("en-GB", "en"),
        ("fr_CA", "fr"),
        # What is liked better goes first, though the other is exactly one of ours.
        ("fr-FR, en;q=0.5", "fr"),
        ("en;q=0.5, fr-FR", "fr"),
        ("en-US, fr;q=0.9", "en"),
        ("de, en;q=0.4, fr;q=0.2", "en"),
        ("en;q=0, fr-BE;q=0.1", "fr"),
        ("de", None),
        ("*", None),
        ("en;q=0", None),
        ("", None),
    ],
)
def test_a_reader_gets_the_language_they_like_best_of_ours(
    header: str, language: str | None
) -> None:
    assert asked_for(wanted(header)) == language


@pytest.mark.parametrize(
    ("header", "offered", "locale"),
    [
        ("oc", ("oc", *LANGUAGES), "oc"),
        ("fr-CA", ("fr-CA", *LANGUAGES), "fr-CA"),
        ("fr", ("fr-CA", *LANGUAGES), "fr"),
        ("pt", ("pt-BR", *LANGUAGES), "pt-BR"),
    ],
)
def test_a_city_may_offer_a_locale_of_its_own(
    header: str, offered: Sequence[str], locale: str
) -> None:
    assert asked_for(wanted(header), offered) == locale
