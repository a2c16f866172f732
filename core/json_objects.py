"""JSON that no two parsers read differently: each name of an object stands once. Pure."""

from __future__ import annotations

from typing import Any


class SaidTwiceError(ValueError):
    """An object says a name twice; `name` is the first that it repeats."""

    def __init__(self, name: str) -> None:
        super().__init__("a key stands twice in one object")
        self.name = name


def said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of which each name stands once, as `object_pairs_hook` of a JSON parser.

    Raises:
        SaidTwiceError
    """
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise SaidTwiceError(name)
        seen.add(name)
    return made
