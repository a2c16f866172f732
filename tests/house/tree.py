"""The source tree as the house tests read it: files, syntax trees, and where things are called."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

#: What stands in the folder and is nobody's source.
_NOT_OURS = frozenset({".git", ".venv", "var", "build", "node_modules"})


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file that is or may be committed, as paths from the root."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
        ).stdout.decode()
        found = [Path(name) for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        # The tree of an archive, without git.
        found = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    return tuple(
        path
        for path in found
        if (ROOT / path).is_file()
        and not any(part in _NOT_OURS or part.endswith("cache") for part in path.parts)
        and "__pycache__" not in path.parts
    )


@functools.cache
def modules() -> tuple[Path, ...]:
    """Every Python file of the application: neither tests nor benchmarks nor migrations."""
    return tuple(
        path
        for path in files()
        if path.suffix == ".py"
        and path.parts[0] not in {"tests", "bench", "soak", "migrations", ".ci"}
    )


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of one of them."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """Every call in a file: the dotted name as written, and its line."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name:
                yield name, node.lineno


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute; what the first part hangs on is left out."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def name_of(path: Path) -> str:
    """The module's name."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
