"""Workers run on the foundation alone: what their tasks ask of the application must be there."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.house.tree import modules, parsed

#: Put there by the worker itself, when Celery starts.
OWN = frozenset({"celery"})


def test_what_tasks_ask_of_the_application_the_foundation_has() -> None:
    asked = {
        name: path for path in modules() if path.parts[0] == "workers" for name in asked_of(path)
    }
    there = asked_of(Path("app/foundation.py")) | OWN
    assert asked
    assert {name: path for name, path in asked.items() if name not in there} == {}


def asked_of(path: Path) -> set[str]:
    """The names in `….extensions["name"]` and `….extensions.get("name")` of a module."""
    names = set()
    for node in ast.walk(parsed(path)):
        match node:
            case ast.Subscript(ast.Attribute(attr="extensions"), ast.Constant(str(name))):
                names.add(name)
            case ast.Call(
                ast.Attribute(ast.Attribute(attr="extensions"), "get"),
                [ast.Constant(str(name)), *_],
            ):
                names.add(name)
    return names
