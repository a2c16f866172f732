"""The documents say what the code does: settings, commands, events, links between files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask

from app.config import Settings
from core.outbox import CATALOGUE
from core.version import VERSION
from workers.queues import REACTIONS

ROOT = Path(__file__).parent.parent

#: Groups of commands that libraries bring along; their own documents speak of them.
_OF_LIBRARIES = frozenset({"db", "limiter", "openapi", "routes", "run", "shell"})


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def rows(text: str, first: str) -> dict[str, list[str]]:
    """The rows of every table whose head begins with that word, by their first cell."""
    found: dict[str, list[str]] = {}
    is_inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            is_inside = False
        elif cells[0] == first:
            is_inside = True
        elif is_inside and not set(cells[0]) <= set("-: "):
            found[cells[0].strip("`")] = cells
    return found


# -- settings -------------------------------------------------------------------------------------

SETTINGS = rows(read("docs/configuration.md"), "setting")


def test_every_setting_is_documented_and_no_other() -> None:
    assert set(SETTINGS) == {field.name.upper() for field in fields(Settings)}


def test_every_default_is_the_documented_one() -> None:
    for field in fields(Settings):
        default = SETTINGS[field.name.upper()][1]
        if field.default in (None, ""):
            # What happens without it is said in words.
            assert not default.startswith("`") or field.name == "public_url", field.name
        elif isinstance(field.default, bool):
            assert default == ("`on`" if field.default else "`off`"), field.name
        else:
            assert default == f"`{field.default}`", field.name


def test_what_is_masked_is_documented_as_secret_and_the_reverse() -> None:
    url = "x://user:hunter2@host/path"
    given: dict[str, Any] = {
        field.name: url
        for field in fields(Settings)
        if field.name.endswith(("_url", "_key", "_keys", "_token", "_secrets"))
    }
    settings = Settings(**given)
    for field in fields(Settings):
        shown = settings.show(field.name)
        is_masked = shown == "********"
        hides_password = "********" in shown and not is_masked
        said = SETTINGS[field.name.upper()][2]
        assert (said == "yes") == is_masked, field.name
        assert (said == "password") == hides_password, field.name


# -- commands -------------------------------------------------------------------------------------


def commands(group: click.Group, name: str = "") -> Iterator[str]:
    context = click.Context(group)
    for part in group.list_commands(context):
        if not name and part in _OF_LIBRARIES:
            continue
        command = group.get_command(context, part)
        if isinstance(command, click.Group):
            yield from commands(command, f"{name}{part} ")
        elif command is not None:
            yield f"{name}{part}"


def test_every_command_is_documented(app: Flask) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in documents())
    assert [name for name in commands(app.cli) if f"flask {name}" not in text] == []


#: What a document tells the reader to type, up to its first argument.
_TYPED = re.compile(r"bin/flask ((?:[a-z][a-z0-9-]*)(?: [a-z][a-z0-9-]+)*)")


def test_every_command_that_documents_name_is_there(app: Flask) -> None:
    known = set(commands(app.cli))
    for path in documents():
        for typed in _TYPED.findall(path.read_text(encoding="utf-8")):
            words = typed.split()
            is_known = " ".join(words[:2]) in known or words[0] in known
            assert is_known or words[0] in _OF_LIBRARIES, f"{path.name}: flask {typed}"


def test_every_command_of_make_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    for path in documents():
        named = set(re.findall(r"`make ([a-z]+)", path.read_text(encoding="utf-8")))
        assert named <= targets, path


# -- events ---------------------------------------------------------------------------------------


def test_every_event_is_documented_with_its_meaning_and_its_reactions(app: Flask) -> None:
    told = rows(read("docs/architecture.md"), "event")

    assert set(told) == set(CATALOGUE)
    for name, event in CATALOGUE.items():
        assert told[name][1] == event.meaning, name
        assert told[name][2] == (", ".join(REACTIONS.get(name, ())) or "none"), name


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target):
            assert (path.parent / target.partition("#")[0]).exists(), target


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_change_log_begins_with_the_present_version() -> None:
    first = re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)
    assert first is not None
    assert first[1] == VERSION
