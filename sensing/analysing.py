"""A trip that waits, analysed: what it felt is added to what is known, the rest is forgotten.

The caller reads the file between two transactions and deletes it after the second. Whatever a file
holds ends as a trip that says so: analysed, marked or refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from sensing import fusing, grid, keeping, sighting, signal
from sensing.devices import DAY_KEPT
from sensing.fusing import Fused
from sensing.models import DeviceDay, ResearchTrace, StoredTrip
from sensing.seeing import roughness_sums
from sensing.seeing.roughness_sums import Sum
from sensing.tallies import Rows
from sensing.traces import Analysis, Trip
from sensing.vocabulary import TripState

#: Days since then are what rows count.
_EPOCH = date(1970, 1, 1)

BROKEN = "trip_broken"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A trip that waits to be analysed."""

    id: UUID
    storage_name: str
    is_research: bool


@dataclass(frozen=True, slots=True)
class Felt:
    """What a trip's file told."""

    trip: Trip
    analysis: Analysis
    roughness: Sequence[Sum] = ()


def waiting(session: Session, ids: Collection[UUID]) -> list[Waiting]:
    """Those of the trips that still wait."""
    rows = session.execute(
        sa.select(StoredTrip.id, StoredTrip.storage_name, StoredTrip.is_research)
        .where(
            StoredTrip.id.in_(list(ids)),
            StoredTrip.state == TripState.RECEIVED.value,
            StoredTrip.storage_name.is_not(None),
        )
        .order_by(StoredTrip.id)
    )
    return [Waiting(row.id, row.storage_name, row.is_research) for row in rows]


def felt(content: bytes) -> Felt | None:
    """What a trip felt, of its file; None when the file is broken. Needs no transaction."""
    try:
        trip = keeping.read(content)
        return Felt(trip, signal.analyse(trip), roughness_sums.of_trip(trip))
    except (keeping.BrokenTraceError, ArithmeticError, IndexError, ValueError, MemoryError):
        # Samples that passed the door and break the arithmetic: nothing is learnt from them.
        return None


def refuse(session: Session, trip_id: UUID, *, reason: str = BROKEN) -> bool:
    """Let a trip that waits end as one that cannot be read; False when it waits no more."""
    stored = _locked(session, trip_id)
    if stored is None:
        return False
    stored.reason = reason
    _forget(stored, TripState.REFUSED)
    session.flush()
    return True


def record(
    session: Session,
    trip_id: UUID,
    found: Felt,
    *,
    trace: str | None,
    trace_days: int,
    now: datetime,
) -> Fused | None:
    """Add what a trip felt to what is known and forget where it came from; None: it was done.

    Args:
        trace: the name of the copy that research keeps, if its driver wanted that.
        trace_days: for how long.
    """
    stored = _locked(session, trip_id)
    if stored is None or stored.day is None:
        return None
    day = (stored.day - _EPOCH).days
    rows = sighting.sightings(found.analysis, day=day)
    rows = _counted_once(session, stored, rows, today=now.date())
    fused = fusing.fuse(session, rows, now=now)
    packets = set(grid.packets_of(rows["cell"]).tolist())
    roughness_sums.add(session, found.roughness, day=day, packets=packets)
    if trace is not None:
        session.add(
            ResearchTrace(
                storage_name=trace,
                driven_on=stored.day.replace(day=1),
                forget_on=now.date() + timedelta(days=trace_days),
            )
        )
    stored.marks = sorted(mark.value for mark in found.analysis.marks)
    stored.bumps = len(found.analysis.bumps)
    _forget(stored, TripState.ANALYSED)
    session.flush()
    return fused


def forget_days(session: Session, *, today: date) -> int:
    """Delete what kept devices from counting twice on days that are over; how many days."""
    gone = session.scalars(
        sa.delete(DeviceDay).where(DeviceDay.forget_on < today).returning(DeviceDay.forget_on)
    )
    return len(gone.all())


def _locked(session: Session, trip_id: UUID) -> StoredTrip | None:
    """The trip, if it still waits: a message may come twice."""
    return session.scalar(
        sa.select(StoredTrip)
        .where(StoredTrip.id == trip_id, StoredTrip.state == TripState.RECEIVED.value)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _forget(stored: StoredTrip, state: TripState) -> None:
    """What links a trip to its samples, its day and its device's day goes with the samples."""
    stored.state = state.value
    stored.storage_name = stored.day = stored.day_id = stored.day_key = None


def _counted_once(session: Session, stored: StoredTrip, rows: Rows, *, today: date) -> Rows:
    """The rows in which this device has not counted on that day.

    A taxi that passes a hole ten times a day is one witness, not ten. What is remembered for that
    are digests under a key that only the phone can make again: they tell neither a place nor a
    phone, and not even how two days belong together.
    """
    day_id, day_key = stored.day_id, stored.day_key
    if not len(rows) or day_id is None or day_key is None or stored.day is None:
        return rows
    forget_on = max(stored.day, today) + DAY_KEPT
    session.execute(
        postgresql.insert(DeviceDay)
        .values(id=day_id, cells=b"", forget_on=forget_on)
        .on_conflict_do_nothing()
    )
    kept = session.scalar(
        sa.select(DeviceDay.cells).where(DeviceDay.id == day_id).with_for_update()
    )
    seen = np.frombuffer(kept or b"", dtype=np.uint64)
    cells, octants = rows["cell"].tolist(), rows["octant"].tolist()
    own = _digests(day_key, cells, octants)
    is_fresh = ~np.isin(own, seen)
    # A place between two directions is one place: the next octants count as the same.
    for turn in (-1, 1):
        beside = [(octant + turn) % grid.OCTANTS for octant in octants]
        if len(seen):
            is_fresh &= ~np.isin(_digests(day_key, cells, beside), seen)
    session.execute(
        sa.update(DeviceDay)
        .where(DeviceDay.id == day_id)
        .values(cells=np.union1d(seen, own[is_fresh]).tobytes(), forget_on=forget_on)
    )
    fresh: Rows = rows[is_fresh]
    return fresh


def _digests(
    key: bytes, cells: list[int], octants: list[int]
) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    empty = hashlib.blake2b(key=key, digest_size=8)
    digests = bytearray()
    for cell, octant in zip(cells, octants, strict=True):
        one = empty.copy()
        one.update(cell.to_bytes(8, "big") + octant.to_bytes(1, "big"))
        digests += one.digest()
    return np.frombuffer(bytes(digests), dtype=np.uint64)
