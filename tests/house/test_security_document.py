"""docs/security.md keeps its word: every test it names exists, every item has an answer."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")

#: Items of levels 1 and 2 of OWASP ASVS 4.0.3, by section; the deleted ones left out.
SECTIONS = {
    "1.1": "1-7", "1.2": "1-4", "1.4": "1 4 5", "1.5": "1-4", "1.6": "1-4", "1.7": "1 2",
    "1.8": "1 2", "1.9": "1 2", "1.10": "1", "1.11": "1 2", "1.12": "2", "1.14": "1-6",
    "2.1": "1-12", "2.2": "1-3", "2.3": "1-3", "2.4": "1-5", "2.5": "1-7", "2.6": "1-3",
    "2.7": "1-6", "2.8": "1-7", "2.9": "1-3", "2.10": "1-4",
    "3.1": "1", "3.2": "1-4", "3.3": "1-4", "3.4": "1-5", "3.5": "1-3", "3.7": "1",
    "4.1": "1-3 5", "4.2": "1 2", "4.3": "1-3",
    "5.1": "1-5", "5.2": "1-8", "5.3": "1-10", "5.4": "1-3", "5.5": "1-4",
    "6.1": "1-3", "6.2": "1-6", "6.3": "1 2", "6.4": "1 2",
    "7.1": "1-4", "7.2": "1 2", "7.3": "1 3 4", "7.4": "1-3",
    "8.1": "1-4", "8.2": "1-3", "8.3": "1-8",
    "9.1": "1-3", "9.2": "1-4",
    "10.2": "1 2", "10.3": "1-3",
    "11.1": "1-8",
    "12.1": "1-3", "12.2": "1", "12.3": "1-6", "12.4": "1 2", "12.5": "1 2", "12.6": "1",
    "13.1": "1 3-5", "13.2": "1-3 5 6", "13.3": "1 2", "13.4": "1 2",
    "14.1": "1-4", "14.2": "1-6", "14.3": "2 3", "14.4": "1-7", "14.5": "1-4",
}  # fmt: skip


def items() -> set[str]:
    found = set()
    for section, numbers in SECTIONS.items():
        for part in numbers.split():
            first, _, last = part.partition("-")
            found |= {f"{section}.{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 100
    known: dict[str, set[str]] = {}
    missing = []
    for path, name in named:
        if path not in known:
            file = ROOT / path
            tree = ast.parse(file.read_text(encoding="utf-8")) if file.exists() else None
            known[path] = {
                node.name
                for node in (tree.body if tree else ())
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            }
        if name not in known[path]:
            missing.append(f"{path}::{name}")
    assert missing == []


def test_every_promise_names_a_test() -> None:
    promised = TEXT.partition("## Promised")[2].partition("## Not promised")[0]
    rows = [line for line in promised.splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| promise")]
    assert len(promises) > 50
    assert [row for row in promises if "`tests/" not in row] == []


def test_every_item_of_the_standard_has_one_answer() -> None:
    table = TEXT.partition("## OWASP ASVS")[2].partition("## Report")[0]
    answered = Counter(
        item
        for line in table.splitlines()
        if line.startswith("| ") and not line.startswith("| items")
        for item in line.split("|")[1].replace(",", " ").split()
    )
    assert set(answered) == items()
    assert [item for item, count in answered.items() if count > 1] == []


def test_every_answer_is_a_test_a_setting_or_a_reason() -> None:
    table = TEXT.partition("## OWASP ASVS")[2].partition("## Report")[0]
    for line in table.splitlines():
        if not line.startswith("| ") or line.startswith("| items"):
            continue
        numbers, answer = (cell.strip() for cell in line.strip("|").split("|"))
        assert len(answer) >= 40, numbers
