"""Who may import whom: the contracts of pyproject.toml, held in every test run."""

from __future__ import annotations

import ast
import fnmatch
import tomllib

import pytest
from importlinter.cli import lint_imports

from tests.house.tree import ROOT, modules, name_of, parsed

CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
IMPORTLINTER = CONFIGURATION["tool"]["importlinter"]


def contract(beginning: str) -> dict[str, list[str]]:
    """The one contract whose name begins so."""
    (found,) = [each for each in IMPORTLINTER["contracts"] if each["name"].startswith(beginning)]
    return dict(found)


def test_every_import_contract_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    broken = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    report = capsys.readouterr().out
    assert not broken, report[report.find("Broken contracts") :]


def test_every_package_has_its_place_among_the_layers() -> None:
    packages = {path.parts[0] for path in modules() if len(path.parts) > 1}
    lines = contract("Each package")["layers"]
    layered = {part.strip(" ()") for line in lines for part in line.split("|")}
    assert packages <= layered
    # Packages of the design that are not built yet stand in brackets.
    assert packages <= set(IMPORTLINTER["root_packages"])


def test_what_calls_itself_pure_is_held_to_it() -> None:
    names = contract("Rules and measures are pure")["source_modules"]
    patterns = [name.replace("**.", "*.") for name in names]
    claimed = {
        name_of(path)
        for path in modules()
        if "Pure." in (ast.get_docstring(parsed(path)) or "").partition("\n\n")[0]
    }
    unheld = {name for name in claimed if not any(fnmatch.fnmatch(name, each) for each in patterns)}
    assert claimed
    assert unheld == set()


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path)
        for path in modules()
        if not ast.get_docstring(parsed(path)) and (ROOT / path).stat().st_size
    ]
    assert silent == []


def test_no_module_is_named_for_nothing() -> None:
    empty_names = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert [str(path) for path in modules() if path.stem in empty_names] == []
