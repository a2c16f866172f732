"""What a process keeps in memory of a city, read again when the city is another object.

`geo.jurisdictions` gives one object per version of a city, and what is read for it is good as long
as that object is given. Nothing here looks at a clock or asks the database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """One value for each id. Two threads may both read a new one; the later stays."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[object, T]] = {}
        self._lock = threading.Lock()

    def get(self, id_: int, source: object, read: Callable[[], T]) -> T:
        """The value that was read from this very `source`; by `read` where there is none yet."""
        kept = self._kept.get(id_)
        if kept is None or kept[0] is not source:
            kept = source, read()
            with self._lock:
                self._kept[id_] = kept
        return kept[1]

    def forget(self) -> None:
        """Drop everything; for tests, whose database goes back in time."""
        with self._lock:
            self._kept.clear()
