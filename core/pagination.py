"""Cursor paging: a list goes on after the last row seen, however many rows came since.

A cursor is the sort key of the last row, packed; it is opaque to clients and holds nothing that
the row itself did not show.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from core.errors import InvalidError

T = TypeVar("T")

#: Rows of a page when the client does not say.
DEFAULT_LIMIT = 50

#: The most rows that one page may hold.
MAX_LIMIT = 200


class BadCursorError(InvalidError):
    """The cursor was not made by this list."""

    code = "bad_cursor"
    title = "The cursor is not one that this list gave out"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of a list and the cursor of the next page, if there is one."""

    items: Sequence[T]
    next: str | None


def pack(*key: Any) -> str:
    """The cursor of a row with that sort key (strings, numbers and null)."""
    text = json.dumps(key, separators=(",", ":"), default=str)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unpack(cursor: str, size: int) -> list[Any]:
    """The sort key in a cursor of `size` parts.

    Raises:
        BadCursorError: it is no such cursor.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, binascii.Error, UnicodeError, RecursionError) as error:
        raise BadCursorError(field="cursor") from error
    if not isinstance(key, list) or len(key) != size:
        raise BadCursorError(field="cursor")
    if any(isinstance(part, (list, dict)) or "\0" in str(part) for part in key):
        raise BadCursorError(field="cursor")
    return key
