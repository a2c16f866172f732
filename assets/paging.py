"""Pages of adoptions, care, corrections and the like, the latest first.

Their ids are made in the order of time (UUIDv7), so an id is where a page goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import InstrumentedAttribute, Session

from core.pagination import BadCursorError, Page, pack, unpack


def latest_first(
    session: Session,
    query: Any,
    column: InstrumentedAttribute[UUID],
    *,
    cursor: str | None,
    limit: int,
) -> Page[Any]:
    """A page of the rows of a query whose first entity has `column` for its id.

    Raises:
        BadCursorError: the cursor is of no such list.
    """
    if cursor is not None:
        (last,) = unpack(cursor, 1)
        try:
            query = query.where(column < UUID(str(last)))
        except ValueError as error:
            raise BadCursorError(field="cursor") from error
    rows: Sequence[Any] = session.execute(query.order_by(column.desc()).limit(limit + 1)).all()
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], pack(str(rows[limit - 1][0].id)))
