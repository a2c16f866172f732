"""French texts in the code are set as French is: no line ends before a colon or a question mark."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import modules, parsed

#: Letters that English texts of ours do not have.
FRENCH = re.compile("[éèêàçùôîœÉÀ]")

#: The letters that a text message may hold: no text.
ALPHABET = Path("notifications/texting.py")

#: A plain space where there must be one that does not break.
BREAKS = re.compile(r"[\w}%)] [;:!?»]|« ")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each string of a module without its docstrings."""
    tree = parsed(path)
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documents
        ):
            yield node.lineno, node.value


def test_no_line_ends_before_a_mark_that_stands_apart() -> None:
    faults = [
        f"{path}:{line}: {text}"
        for path in modules()
        if path != ALPHABET
        for line, text in texts(path)
        if FRENCH.search(text) and BREAKS.search(text)
    ]
    assert not faults, "\n".join(faults)
