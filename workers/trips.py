"""Trips of phones: analysed when they come, forgotten when their time is over.

What is done with one is the business of `sensing.analysing`; here are the transactions around it.
numpy, scipy and Arrow are loaded with the first trip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from uuid import UUID

import structlog
from celery import shared_task
from flask import current_app
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.db import transaction
from core.outbox import Event
from reports.storage import MissingFileError, Storage
from sensing import devices, keeping, research, uploading
from workers.queues import ANALYSE_TRIP
from workers.reacting import Counts, Work, outside

log = structlog.get_logger()

#: Rounds of one run of the clean-up; the rest follows with the next beat.
ROUNDS = 20

#: Keys of files that one statement asks about.
_ASKED_AT_ONCE = 500


@shared_task(name="pipeline.analyse_trip")
def analyse_trip(event_ids: Sequence[int]) -> None:
    """Find what trips felt, add it to what is known, and delete their samples."""

    def work(events: Sequence[Event]) -> Work:
        counts = analyse([event.subject_id for event in events if event.subject_id is not None])
        return Work(record=lambda _session: counts)

    outside(ANALYSE_TRIP, event_ids, work)


def analyse(trip_ids: Sequence[UUID]) -> Counts:
    """Analyse trips that wait, one by one; each ends as one that says what became of it."""
    # With it comes what computes, and an idle worker needs none of that.
    from sensing import analysing

    storage: Storage = current_app.extensions["storage"]
    trace_days = current_app.extensions["settings"].research_days
    with transaction() as session:
        waiting = analysing.waiting(session, trip_ids)
    counts: Counter[str] = Counter()
    for trip in waiting:
        key = keeping.key_of(keeping.WAITING, trip.storage_name)
        try:
            content: bytes | None = storage.get(key)
        except MissingFileError:
            content = None
        found = None if content is None else analysing.felt(content)
        if content is None or found is None:
            with transaction() as session:
                counts["refused"] += analysing.refuse(session, trip.id)
        else:
            is_kept = trip.is_research and trace_days > 0
            trace = research.keep(storage, content) if is_kept else None
            with transaction() as session:
                fused = analysing.record(
                    session, trip.id, found, trace=trace, trace_days=trace_days, now=utc_now()
                )
            counts["analysed"] += fused is not None
            counts["defects_changed"] += len(fused.changed) if fused is not None else 0
        storage.delete(key)
    return counts


@shared_task(name="clean.trips")
def clean_trips() -> None:
    """Forget what is over: trips, keys, days of devices, traces, and files that nobody knows."""
    from sensing import analysing

    storage: Storage = current_app.extensions["storage"]
    today = utc_now().date()
    with transaction() as session:
        counts = {
            "trips": uploading.forget_old(session, today=today),
            "keys": devices.forget_expired(session, today=today),
            "days": analysing.forget_days(session, today=today),
        }
    counts["traces"] = _forget_traces(storage)
    counts["files"] = sum(
        _forget_files(storage, folder, orphans)
        for folder, orphans in (
            (keeping.WAITING, uploading.orphans),
            (keeping.PARTS, uploading.orphans),
            (keeping.RESEARCH, research.orphans),
        )
    )
    if any(counts.values()):
        log.info("clean.trips", **counts)


def _forget_traces(storage: Storage) -> int:
    """Delete traces whose time is over: first the files, so that none outlives its row."""
    total = 0
    for _ in range(ROUNDS):
        with transaction() as session:
            names = research.over(session, today=utc_now().date())
        if not names:
            break
        for name in names:
            storage.delete(keeping.key_of(keeping.RESEARCH, name))
        with transaction() as session:
            research.forget(session, names)
        total += len(names)
    return total


def _forget_files(
    storage: Storage, folder: str, orphans: Callable[[Session, Sequence[str]], list[str]]
) -> int:
    """Delete files that no row knows, a day after they were written."""
    total = 0
    stale = storage.older_than(folder, utc_now() - uploading.STALE_AFTER)
    while keys := list(islice(stale, _ASKED_AT_ONCE)):
        with transaction() as session:
            gone = orphans(session, keys)
        for key in gone:
            storage.delete(key)
        total += len(gone)
    return total
