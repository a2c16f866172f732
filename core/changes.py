"""What a load from outside did to stored rows, counted, so that a person sees it at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Changes:
    """How many rows a load made, altered, left alone and took out of use.

    Attributes:
        retired: deleted, or made inactive where something still refers to them.
    """

    created: int = 0
    updated: int = 0
    retired: int = 0
    unchanged: int = 0

    def __bool__(self) -> bool:
        """Whether anything is different from before."""
        return bool(self.created or self.updated or self.retired)


def assign(row: Any, values: Mapping[str, Any]) -> bool:
    """Set those attributes of a row that differ. True when there were any."""
    differing = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in differing.items():
        setattr(row, name, value)
    return bool(differing)
