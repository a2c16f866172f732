"""`requests.csv`: GeoReport Bulk, as RFC 4180 writes tables. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

#: What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

CONTENT_TYPE = "text/csv; charset=utf-8"

#: The last columns are numbers, which may well begin with a minus.
NUMBERS = 2


def table(head: Sequence[str], batches: Iterable[Iterable[Sequence[str | None]]]) -> Iterator[str]:
    """The lines of a table, a piece for each batch of rows."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(head)
    for rows in batches:
        writer.writerows(_harmless(row) for row in rows)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    if text.tell():
        yield text.getvalue()


def _harmless(row: Sequence[str | None]) -> list[str]:
    """A row whose words no spreadsheet takes for a formula."""
    words = [_word(cell or "") for cell in row[:-NUMBERS]]
    return [*words, *(cell or "" for cell in row[-NUMBERS:])]


def _word(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
