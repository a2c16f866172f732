"""What volunteers need of the workers: reminders, waiting lists, hand-overs that nobody answered,
and photos of assets, cleaned when they come and deleted when their time is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import structlog
from celery import shared_task
from flask import current_app
from sqlalchemy.orm import Session

from assets import photos
from assets.adoption import passing, reminding, waiting
from core.clock import utc_now
from core.db import transaction
from core.outbox import Event
from workers.asset_photos import delete_photos
from workers.queues import CLEAN_ASSET_PHOTO
from workers.reacting import Counts, Work, outside

log = structlog.get_logger()

#: Transactions of one run for each kind of work; the rest follows with the next beat.
ROUNDS = 20


@shared_task(name="adoptions.keep")
def keep_adoptions() -> None:
    """Take what is due, in small transactions, each safe to run again."""
    for what, step in (
        ("adoptions.stepped", _remind),
        ("adoptions.handovers_ended", _expire),
        ("adoptions.lists_seen_to", _see_to_lists),
    ):
        count = _rounds(step, utc_now())
        if count:
            log.info(what, count=count)


@shared_task(name="pipeline.clean_asset_photo")
def clean_asset_photo(event_ids: Sequence[int]) -> None:
    """Decode, clean and store photos of corrections and care."""
    # The decoders are large, and most processes never see a photo.
    from reports.media import cleaning

    storage = current_app.extensions["storage"]

    def work(events: Sequence[Event]) -> Work:
        with transaction() as session:
            named = photos.waiting(session, [UUID(event.data["photo_id"]) for event in events])
        outcomes = [
            cleaning.clean(storage, cleaning.WaitingPhoto(each.id, each.name)) for each in named
        ]

        def record(session: Session) -> Counts:
            photos.record(session, outcomes)
            return {"cleaned": len(outcomes)}

        return Work(record=record, afterwards=lambda: cleaning.discard(storage, outcomes))

    outside(CLEAN_ASSET_PHOTO, event_ids, work)


@shared_task(name="clean.asset_photos")
def clean_asset_photos() -> None:
    """Delete photos of assets that are forgotten or old."""
    count = delete_photos(current_app.extensions["storage"], now=utc_now())
    if count:
        log.info("clean.asset_photos", deleted=count)


def _remind(session: Session, now: datetime) -> int:
    return reminding.take_steps(session, now=now)


def _expire(session: Session, now: datetime) -> int:
    return passing.expire(session, now=now)


def _see_to_lists(session: Session, now: datetime) -> int:
    return waiting.see_to_lists(session, now=now)


def _rounds(step: Callable[[Session, datetime], int], now: datetime) -> int:
    total = 0
    for _ in range(ROUNDS):
        with transaction() as session:
            count = step(session, now)
        total += count
        if not count:
            break
    return total
