"""The same request sent again: known by a digest of what was sent, kept for ten minutes."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.ids import new_id
from open311.models import FiledContent

#: For so long the same content from the same key is the same request, sent again.
REPEATED_WITHIN = timedelta(minutes=10)


def forget_filed(session: Session, *, now: datetime) -> int:
    """Delete what is too old to be the same request, sent again; called by the beat. How many."""
    gone = session.execute(
        sa.delete(FiledContent)
        .where(FiledContent.filed_at <= now - REPEATED_WITHIN)
        .returning(FiledContent.digest)
    )
    return len(gone.all())


def id_of(session: Session, content: bytes, now: datetime) -> UUID:
    """The id of the request with that content: a new one, or that of a moment ago.

    One that is being stored by somebody else at this moment is waited for, at the unique key.
    """
    claim = postgresql.insert(FiledContent).values(digest=content, report_id=new_id(), filed_at=now)
    claimed: UUID | None = session.scalar(
        claim.on_conflict_do_update(
            index_elements=["digest"],
            set_={"report_id": claim.excluded.report_id, "filed_at": claim.excluded.filed_at},
            where=FiledContent.filed_at <= now - REPEATED_WITHIN,
        ).returning(FiledContent.report_id)
    )
    if claimed is not None:
        return claimed
    return session.scalars(
        sa.select(FiledContent.report_id).where(FiledContent.digest == content)
    ).one()
