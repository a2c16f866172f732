"""What can be wrong with a file of assets: with all of it, or with a row. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class RowReason(enum.StrEnum):
    """Why a row was put aside."""

    WRONG_WIDTH = "wrong_width"
    NO_CODE = "no_code"
    DUPLICATE_CODE = "duplicate_code"
    NO_POSITION = "no_position"
    NOT_A_NUMBER = "not_a_number"
    NOT_DEGREES = "not_degrees"
    NOT_METRES = "not_metres"
    SWAPPED = "swapped"
    FAR_OUTSIDE = "far_outside"
    NOT_A_POINT = "not_a_point"
    UNKNOWN_STATE = "unknown_state"
    BAD_ATTRIBUTE = "bad_attribute"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was put aside: where, which asset as far as known, and why in one sentence."""

    file: str
    line: int
    code: str | None
    reason: RowReason
    detail: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.detail}"


class FileError(Exception):
    """A file cannot be read or believed as a whole; nothing is changed.

    Attributes:
        code: stable name of what is wrong.
        line: where, as far as there is one.
    """

    def __init__(self, code: str, file: str, detail: str, *, line: int = 0) -> None:
        place = f"{file}:{line}" if line else file
        super().__init__(f"{place}: {detail}")
        self.code = code
        self.file = file
        self.line = line
        self.detail = detail
