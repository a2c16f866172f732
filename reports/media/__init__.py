"""Photos of a report, from the bytes a phone sends to what everybody may see.

1. In the request, before the transaction: `check_photos(streams)` looks at count, size, header and
   dimensions without decoding; `stage(storage, checked)` keeps the bytes as sent, in private.
2. In the request's transaction: `check_room(session, report, count)` where photos join a report
   that is there, then `insert_staged(session, report_id, staged, by=…,
   jurisdiction_id=…, now=…)` inserts the rows and emits `photo.staged` for each.
3. In a task, on `photo.staged`, three steps so that no transaction is open while pixels are
   decoded or a storage is called:

       with transaction() as session:
           waiting = cleaning.waiting(session, photo_ids)
       outcomes = [cleaning.clean(storage, photo) for photo in waiting]
       with transaction() as session:
           cleaning.record(session, outcomes, now=now)   # ready or dropped, once
       cleaning.discard(storage, outcomes)               # the bytes as sent

   Each step may run twice, and the process may die between any two. `cleaning` is imported where
   it is used: the decoders take memory that most processes never need.
4. Once a day, staged bytes that no row waits for go, in three steps for the same reason:

       names = media.stale(storage, now=now)
       with transaction() as session:
           lost = media.orphans(session, names)
       media.forget(storage, lost)

`storage` is `reports.storage.open_storage(settings.storage_url, settings.data_dir)`, which the
application keeps in `app.extensions["storage"]`.
"""

from reports.media.checking import (
    MAX_BYTES,
    MAX_PHOTOS,
    MAX_PIXELS,
    BinaryStream,
    CheckedPhoto,
    TooLargeError,
    check_photos,
)
from reports.media.showing import ShownPhoto, Size, find_shown, photo_document, photos_of
from reports.media.staging import (
    StagedPhoto,
    TooManyPhotosError,
    check_room,
    forget,
    insert_staged,
    orphans,
    stage,
    stale,
)

__all__ = [
    "MAX_BYTES",
    "MAX_PHOTOS",
    "MAX_PIXELS",
    "BinaryStream",
    "CheckedPhoto",
    "ShownPhoto",
    "Size",
    "StagedPhoto",
    "TooLargeError",
    "TooManyPhotosError",
    "check_photos",
    "check_room",
    "find_shown",
    "forget",
    "insert_staged",
    "orphans",
    "photo_document",
    "photos_of",
    "stage",
    "stale",
]
