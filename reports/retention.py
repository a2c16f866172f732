"""Retention: forget the people of reports that are over, then delete their photos.

What is over: every final status, counted from `closed_at`; a duplicate is over with the report that
it repeats. How long each is kept stands with its service (`reports.retention_rules.Terms`).

1. `overdue` counts what is due, by service, and changes nothing: the dry run.
2. `begin` opens the record of a run in a jurisdiction; every batch adds to it in its own
   transaction, so a run that was killed says how far it came.
3. `forget_people` and `hide_photos` take a batch each, skip what somebody holds, and are called
   until they find nothing. Files go afterwards, outside: see `reports.media.deleting`.

Nothing here commits, and nothing remembers where it was: what is due is asked anew each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reports import anonymising
from reports.media import deleting
from reports.models import Photo, RetentionRun
from reports.retention_rules import DEFAULT, FINAL_STATUSES
from reports.vocabulary import PhotoState

#: Reports of one transaction.
BATCH = 500

#: A run that did nothing is recorded once a day, so that one can see that it ran.
RECORDED_EVERY = timedelta(hours=23)


@dataclass(frozen=True, slots=True)
class Overdue:
    """What of a service is due.

    Attributes:
        reports: whose people are to be forgotten.
        photos: that are to be deleted.
    """

    service_code: str
    contacts_days: int
    photos_days: int
    reports: int
    photos: int


def overdue(session: Session, jurisdiction_id: int, *, now: datetime) -> list[Overdue]:
    """What is due in a jurisdiction, by service; a service of which nothing is due is left out."""
    rows = session.execute(_OVERDUE, _asked(jurisdiction_id, now))
    return [
        Overdue(row.code, row.contacts_days, row.photos_days, row.reports, row.photos)
        for row in rows
        if row.reports or row.photos
    ]


def begin(session: Session, jurisdiction_id: int, *, now: datetime) -> int:
    """Open the record of a run; its id."""
    run = RetentionRun(jurisdiction_id=jurisdiction_id, at=now, anonymised=0, photos_deleted=0)
    session.add(run)
    session.flush()
    return run.id


def is_due(session: Session, jurisdiction_id: int, *, now: datetime) -> bool:
    """Whether there is something to do, or a run to be recorded."""
    last = session.scalar(
        sa.select(sa.func.max(RetentionRun.at)).where(
            RetentionRun.jurisdiction_id == jurisdiction_id
        )
    )
    if last is None or now - last >= RECORDED_EVERY:
        return True
    asked = _asked(jurisdiction_id, now) | {"limit": 1}
    return any(session.scalar(query, asked) is not None for query in (*_CONTACTS, *_PHOTOS))


def forget_people(
    session: Session, run_id: int, jurisdiction_id: int, *, now: datetime, limit: int = BATCH
) -> Sequence[UUID]:
    """Forget the people of some reports that are due; which reports those are."""
    ids = _taken(session, _CONTACTS, jurisdiction_id, now, limit)
    count = anonymising.anonymise(session, ids, now=now)
    _count(session, run_id, anonymised=count)
    return ids


def hide_photos(
    session: Session, run_id: int, jurisdiction_id: int, *, now: datetime, limit: int = BATCH
) -> Sequence[UUID]:
    """Take the photos of some reports that are due out of sight; which reports."""
    ids = _taken(session, _PHOTOS, jurisdiction_id, now, limit)
    if not ids:
        return ids
    photos = session.scalars(
        sa.select(Photo.id).where(
            Photo.report_id.in_(list(ids)),
            Photo.storage_name.is_not(None),
            sa.or_(
                Photo.state != PhotoState.DROPPED.value,
                Photo.dropped_because == deleting.Reason.REDACTED.value,
            ),
        )
    ).all()
    deleting.hide(session, photos, deleting.Reason.RETENTION, now=now)
    session.execute(_HIDDEN, {"now": now, "ids": list(ids), "photos": list(photos)})
    _count(session, run_id, photos_deleted=len(photos))
    return ids


def runs(session: Session, jurisdiction_id: int | None, *, limit: int = 30) -> list[Any]:
    """The last runs, latest first: at, jurisdiction_id, anonymised, photos_deleted."""
    query = sa.select(
        RetentionRun.at,
        RetentionRun.jurisdiction_id,
        RetentionRun.anonymised,
        RetentionRun.photos_deleted,
    ).order_by(RetentionRun.at.desc(), RetentionRun.id.desc())
    if jurisdiction_id is not None:
        query = query.where(RetentionRun.jurisdiction_id == jurisdiction_id)
    return list(session.execute(query.limit(limit)))


def _taken(
    session: Session, queries: Sequence[sa.TextClause], place: int, now: datetime, limit: int
) -> list[UUID]:
    """Reports that are due, locked; what somebody else holds is left for the next time."""
    found: list[UUID] = []
    for query in queries:
        if len(found) < limit:
            asked = _asked(place, now) | {"limit": limit - len(found)}
            found += session.scalars(query, asked).all()
    return found


def _count(session: Session, run_id: int, *, anonymised: int = 0, photos_deleted: int = 0) -> None:
    session.execute(
        sa.update(RetentionRun)
        .where(RetentionRun.id == run_id)
        .values(
            anonymised=RetentionRun.anonymised + anonymised,
            photos_deleted=RetentionRun.photos_deleted + photos_deleted,
        )
        .execution_options(synchronize_session=False)
    )


def _asked(jurisdiction_id: int, now: datetime) -> dict[str, Any]:
    return {
        "place": jurisdiction_id,
        "now": now,
        "contacts_days": DEFAULT.contacts_days,
        "photos_days": DEFAULT.photos_days,
    }


#: Those that had photos are another document now.
_HIDDEN = sa.text(
    """
    UPDATE service_requests AS r
       SET photos_deleted_at = :now,
           version = r.version + had.photos::integer,
           updated_at = CASE WHEN had.photos THEN :now ELSE r.updated_at END
      FROM (SELECT given.id, EXISTS (
                       SELECT FROM photos
                        WHERE photos.report_id = given.id AND photos.id = ANY (:photos ::uuid[])
                   ) AS photos
              FROM unnest(:ids ::uuid[]) AS given(id)) AS had
     WHERE r.id = had.id
    """
).bindparams(sa.bindparam("now", type_=sa.DateTime(timezone=True)))

_FINAL = ", ".join(f"'{status}'" for status in FINAL_STATUSES)


def _days(name: str) -> str:
    return f"coalesce((s.retention ->> '{name}')::integer, CAST(:{name} AS integer))"


def _is_past(closed_at: str, name: str) -> str:
    return f"{closed_at} <= CAST(:now AS timestamptz) - make_interval(days => {_days(name)})"


def _due(name: str, mark: str) -> tuple[sa.TextClause, sa.TextClause]:
    """Reports that are over by themselves, and those that are over with the one they repeat."""
    own = f"""
        SELECT r.id FROM service_requests AS r JOIN services AS s ON s.id = r.service_id
         WHERE r.jurisdiction_id = :place AND r.{mark} IS NULL AND r.closed_at IS NOT NULL
           AND r.status IN ({_FINAL}) AND {_is_past("r.closed_at", name)}
         ORDER BY r.closed_at LIMIT :limit FOR UPDATE OF r SKIP LOCKED
    """
    repeating = f"""
        SELECT r.id FROM service_requests AS r JOIN services AS s ON s.id = r.service_id
          JOIN service_requests AS p ON p.id = r.parent_id
         WHERE r.jurisdiction_id = :place AND r.{mark} IS NULL AND r.parent_id IS NOT NULL
           AND p.status IN ({_FINAL}) AND {_is_past("p.closed_at", name)}
         ORDER BY r.id LIMIT :limit FOR UPDATE OF r SKIP LOCKED
    """
    return sa.text(own), sa.text(repeating)


_CONTACTS = _due("contacts_days", "anonymised_at")
_PHOTOS = _due("photos_days", "photos_deleted_at")

_OVER = "CASE WHEN r.parent_id IS NULL THEN r.closed_at ELSE p.closed_at END"

_OVERDUE = sa.text(
    f"""
    SELECT s.code, {_days("contacts_days")} AS contacts_days, {_days("photos_days")} AS photos_days,
           count(*) FILTER (WHERE r.anonymised_at IS NULL
                              AND {_is_past(_OVER, "contacts_days")}) AS reports,
           coalesce(sum(kept.photos) FILTER (WHERE r.photos_deleted_at IS NULL
                              AND {_is_past(_OVER, "photos_days")}), 0)::integer AS photos
      FROM service_requests AS r
      JOIN services AS s ON s.id = r.service_id
      LEFT JOIN service_requests AS p ON p.id = r.parent_id
     CROSS JOIN LATERAL (
           SELECT count(*) AS photos FROM photos
            WHERE photos.report_id = r.id AND photos.storage_name IS NOT NULL
              AND (photos.state <> '{PhotoState.DROPPED}'
                   OR photos.dropped_because = '{deleting.Reason.REDACTED}')
     ) AS kept
     WHERE r.jurisdiction_id = :place
       AND (r.anonymised_at IS NULL OR r.photos_deleted_at IS NULL)
       AND coalesce(p.status, r.status) IN ({_FINAL})
     GROUP BY s.id
     ORDER BY s.position, s.id
    """
)
