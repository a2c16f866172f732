"""Traces that drivers gave to research: kept for a while, handed out without a device or a time."""

from __future__ import annotations

import io
import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports.storage import Storage
from sensing import keeping
from sensing.models import ResearchTrace

#: Rows that one round of forgetting takes.
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace."""

    storage_name: str
    driven_on: date


def keep(storage: Storage, content: bytes) -> str:
    """Copy a trip's samples, before the transaction; the name of the copy.

    Raises:
        StorageAwayError
    """
    name = secrets.token_hex(16)
    storage.put(keeping.key_of(keeping.RESEARCH, name), io.BytesIO(content), keeping.MEDIA_TYPE)
    return name


def kept(session: Session) -> list[Trace]:
    """All traces, in an order that tells nothing."""
    rows = session.execute(
        sa.select(ResearchTrace.storage_name, ResearchTrace.driven_on).order_by(
            ResearchTrace.storage_name
        )
    )
    found = [Trace(row.storage_name, row.driven_on) for row in rows]
    random.SystemRandom().shuffle(found)
    return found


def contents(storage: Storage, traces: Sequence[Trace]) -> Iterator[tuple[Trace, bytes]]:
    """Each trace with its Parquet file."""
    for trace in traces:
        yield trace, storage.get(keeping.key_of(keeping.RESEARCH, trace.storage_name))


def over(session: Session, *, today: date) -> list[str]:
    """Names of traces whose time is over, a few hundred of them."""
    return list(
        session.scalars(
            sa.select(ResearchTrace.storage_name)
            .where(ResearchTrace.forget_on < today)
            .order_by(ResearchTrace.storage_name)
            .limit(AT_ONCE)
        )
    )


def forget(session: Session, names: Sequence[str]) -> None:
    """Forget traces whose files are deleted."""
    session.execute(sa.delete(ResearchTrace).where(ResearchTrace.storage_name.in_(names)))


def orphans(session: Session, keys: Sequence[str]) -> list[str]:
    """Those of the keys of files that no row knows."""
    names = [key.rpartition("/")[2] for key in keys]
    wanted = set(
        session.scalars(
            sa.select(ResearchTrace.storage_name).where(ResearchTrace.storage_name.in_(names))
        )
    )
    return [key for key, name in zip(keys, names, strict=True) if name not in wanted]
