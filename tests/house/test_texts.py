"""Texts in both languages, and nothing in the tree that belongs to one machine or to nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from core.i18n import LANGUAGES
from tests.house.tree import ROOT, files

#: The repository stays small enough to clone over a bad line.
MOST_BYTES = 10 * 1024 * 1024

#: Folders of one person's machine.
OF_A_MACHINE = re.compile(r"(?<![\w.$}{])/(?:home|Users|root|work|private/tmp)/[\w.-]+")

_FORMS_OF_SECRETS = (
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    r"\bAKIA[0-9A-Z]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{36}",
    r"\bxox[abpr]-[A-Za-z0-9-]{10,}",
    r"\bsk-[A-Za-z0-9]{32,}",
    r"\brv[a-z]_[A-Za-z0-9_-]{32,}",
    r"://[^\s/:@{}$<]+:(?!password@|secret@|x@|y@)[^\s/:@{}$<*…]{12,}@",
)
SECRETS = re.compile("|".join(_FORMS_OF_SECRETS))

TEMPLATES = ROOT / "notifications" / "templates"
BLOCK = re.compile(r"{%-?\s*(?:block|macro|set)\s+(\w+)")


@pytest.mark.parametrize("name", sorted(path.name for path in (TEMPLATES / "fr").iterdir()))
def test_a_message_has_the_same_parts_in_both_languages(name: str) -> None:
    parts = {
        lang: sorted(BLOCK.findall((TEMPLATES / lang / name).read_text(encoding="utf-8")))
        for lang in LANGUAGES
    }
    assert parts["fr"] == parts["en"]


def test_both_languages_have_the_same_messages() -> None:
    fr, en = ({path.name for path in (TEMPLATES / lang).iterdir()} for lang in ("fr", "en"))
    assert fr == en


def texts_of(tree: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every `{fr: …, en: …}` of a city's file, with where it stands."""
    if isinstance(tree, dict):
        if tree.keys() & set(LANGUAGES):
            yield place, tree
            return
        for key, value in tree.items():
            yield from texts_of(value, f"{place}.{key}")
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from texts_of(value, f"{place}[{number}]")


@pytest.mark.parametrize(
    "path",
    [each for each in files() if each.parts[0] == "cities" and each.suffix == ".yaml"],
    ids=str,
)
def test_a_city_that_ships_speaks_both_languages(path: Path) -> None:
    tree = YAML(typ="safe").load(ROOT / path)
    half = [place for place, texts in texts_of(tree) if not all(texts.get(x) for x in LANGUAGES)]
    assert half == []


def readable() -> Iterator[tuple[Path, str]]:
    """Every text file, with its text."""
    for path in files():
        raw = (ROOT / path).read_bytes()
        if b"\0" not in raw[:4096]:
            yield path, raw.decode("utf-8")


def test_every_text_file_is_utf8_without_carriage_returns_and_ends_its_last_line() -> None:
    wrong = [
        str(path) for path, text in readable() if text and ("\r" in text or not text.endswith("\n"))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(OF_A_MACHINE, id="no folder of a machine"),
        pytest.param(SECRETS, id="no secret"),
    ],
)
def test_nothing_is_committed_that_should_not_be(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path}: {match[0][:60]}"
        for path, text in readable()
        if path.name != "test_texts.py"
        for match in pattern.finditer(text)
    ]
    assert found == []


def test_the_tree_stays_small() -> None:
    assert sum((ROOT / path).stat().st_size for path in files()) < MOST_BYTES
