"""Deletes photos of assets whose time is over, for the beat and for whoever erases somebody."""

from __future__ import annotations

from datetime import datetime

from assets import photos
from core.db import transaction
from reports.storage import Storage

#: Transactions of one run; the rest follows with the next beat.
ROUNDS = 20


def delete_photos(storage: Storage, *, now: datetime) -> int:
    """Delete the files of photos that nobody sees any more; how many photos."""
    from reports.media import deleting

    total = 0
    for _ in range(ROUNDS):
        with transaction() as session:
            ripe = photos.ripe(session, now=now)
        if not ripe:
            break
        deleting.delete(storage, [deleting.HiddenPhoto(each.id, each.name) for each in ripe])
        with transaction() as session:
            photos.settle(session, ripe)
        total += len(ripe)
    return total
