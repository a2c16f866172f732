"""One commit, one door to the queue, one clock: held by reading the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.tree import ROOT, calls, modules, parsed

COMMIT = re.compile(r"(^|\.)commit$")
SEND = re.compile(r"(^|\.)(delay|apply_async|send_task|apply)$")
NOW = re.compile(r"(^|\.)(datetime\.now|datetime\.utcnow|datetime\.today|date\.today|utcnow)$")

#: Where each may be called. Everything else asks there.
ALLOWED = {
    COMMIT: {Path("core/db.py")},
    SEND: {Path("workers/relay.py")},
    NOW: {Path("core/clock.py")},
}


def elsewhere(pattern: re.Pattern[str]) -> list[str]:
    """Where a call is written outside the one place for it."""
    return [
        f"{path}:{line} {name}"
        for path in modules()
        if path not in ALLOWED[pattern]
        for name, line in calls(path)
        if pattern.search(name)
    ]


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(COMMIT, id="only core.db commits"),
        pytest.param(SEND, id="only the relay hands work to Celery"),
        pytest.param(NOW, id="only core.clock reads the clock"),
    ],
)
def test_what_only_one_place_does(pattern: re.Pattern[str]) -> None:
    assert elsewhere(pattern) == []
    for path in ALLOWED[pattern]:
        assert any(pattern.search(name) for name, _ in calls(path)), f"{path} no longer does it"


def handlers(path: Path) -> list[ast.ExceptHandler]:
    return [node for node in ast.walk(parsed(path)) if isinstance(node, ast.ExceptHandler)]


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether it catches everything and only goes on."""
    catches_all = handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    )
    return catches_all and all(isinstance(node, (ast.Pass, ast.Continue)) for node in handler.body)


@pytest.mark.parametrize(
    "is_fault",
    [
        pytest.param(lambda handler: handler.type is None, id="no bare except"),
        pytest.param(swallows, id="nothing is swallowed whole"),
    ],
)
def test_errors_are_caught_by_name(is_fault: Callable[[ast.ExceptHandler], bool]) -> None:
    found = [
        f"{path}:{handler.lineno}"
        for path in modules()
        for handler in handlers(path)
        if is_fault(handler)
    ]
    assert found == []


def test_nothing_prints() -> None:
    assert [
        f"{path}:{line}" for path in modules() for name, line in calls(path) if name == "print"
    ] == []


def test_nothing_is_left_for_later() -> None:
    mark = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b")
    assert [
        f"{path}:{number}"
        for path in modules()
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if mark.search(line)
    ] == []


def test_no_type_or_style_is_silenced_without_a_name() -> None:
    blanket = re.compile(r"# (type: ignore|noqa)(?!\[|: [A-Z])")
    assert [
        f"{path}:{number}"
        for path in modules()
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if blanket.search(line)
    ] == []
