"""Which cities are looked at now, and which event it is that was foreseen.

    with transaction() as session:
        due = watching.claim(session, place_ids, sources, now=now)      # ours; others skip them
    outlook = providers.look(where)                                     # outside any transaction
    with transaction() as session:
        watching.note(session, place_id, outlook, sources, now=now)
        event = watching.event_of(session, place_id, sort, found, now=now)

Two beats at once: one claims, the other finds nothing due. Whoever asks which event something is
holds the city's row until the end of the transaction, so that two never enter the same one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from assets.weather.models import WeatherEvent, WeatherLook
from assets.weather.providers import Outlook
from assets.weather.rules import Foreseen, Told, same_event
from assets.weather.vocabulary import Source

#: A city is looked at again no sooner; a little less than the beat's quarter of an hour.
LOOK_EVERY = timedelta(minutes=10)

#: An event that ended so long ago is another one's business no more.
REMEMBERED = timedelta(days=5)


def claim(
    session: Session, place_ids: Collection[int], sources: Collection[Source], *, now: datetime
) -> list[int]:
    """Those of the cities that are due, now this caller's alone; in the caller's transaction."""
    if not place_ids or not sources:
        return []
    session.execute(
        postgresql.insert(WeatherLook)
        .values(
            [
                {"jurisdiction_id": place_id, "source": source.value, "next_look_at": now}
                for place_id in sorted(place_ids)
                for source in sorted(sources)
            ]
        )
        .on_conflict_do_nothing()
    )
    due = (
        sa.select(WeatherLook.jurisdiction_id, WeatherLook.source)
        .where(
            WeatherLook.jurisdiction_id.in_(list(place_ids)),
            WeatherLook.source.in_([source.value for source in sources]),
            WeatherLook.next_look_at <= now,
        )
        .order_by(WeatherLook.jurisdiction_id, WeatherLook.source)
        .with_for_update(skip_locked=True)
        .subquery()
    )
    claimed = session.scalars(
        sa.update(WeatherLook)
        .where(
            WeatherLook.jurisdiction_id == due.c.jurisdiction_id,
            WeatherLook.source == due.c.source,
        )
        .values(next_look_at=now + LOOK_EVERY)
        .returning(WeatherLook.jurisdiction_id)
        .execution_options(synchronize_session=False)
    )
    return sorted(set(claimed))


def note(session: Session, place_id: int, outlook: Outlook, *, now: datetime) -> None:
    """Remember who answered and who did not, in the caller's transaction."""
    answered = [
        source
        for source, found in (
            (Source.FORECAST, outlook.forecast),
            (Source.ALERTS, outlook.alerts),
        )
        if found is not None
    ]
    of_place = WeatherLook.jurisdiction_id == place_id
    if answered:
        session.execute(
            sa.update(WeatherLook)
            .where(of_place, WeatherLook.source.in_([source.value for source in answered]))
            .values(answered_at=now, failures=0, fault=None)
            .execution_options(synchronize_session=False)
        )
    for fault in outlook.faults:
        session.execute(
            sa.update(WeatherLook)
            .where(of_place, WeatherLook.source == fault.source.value)
            .values(failed_at=now, failures=WeatherLook.failures + 1, fault=fault.reason)
            .execution_options(synchronize_session=False)
        )


def event_of(
    session: Session, place_id: int, sort: str, found: Foreseen, *, now: datetime
) -> WeatherEvent:
    """The event that was foreseen: one that is known and moves with it, or a new one."""
    _lock(session, place_id)
    rows = session.scalars(
        sa.select(WeatherEvent)
        .where(
            WeatherEvent.jurisdiction_id == place_id,
            WeatherEvent.sort == sort,
            WeatherEvent.ends_at >= now - REMEMBERED,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    known = [Told(row.id, row.starts_at, row.ends_at, frozenset(row.identifiers)) for row in rows]
    same = same_event(known, found)
    if same is not None:
        event = next(row for row in rows if row.id == same.id)
        event.starts_at = min(event.starts_at, found.starts_at)
        event.ends_at = max(found.ends_at, event.starts_at)
        event.identifiers = sorted({*event.identifiers, *found.identifiers})
        event.cancelled_at = None
    else:
        event = WeatherEvent(
            jurisdiction_id=place_id,
            sort=sort,
            starts_at=found.starts_at,
            ends_at=found.ends_at,
            identifiers=sorted(found.identifiers),
            seen_at=now,
        )
        session.add(event)
    session.flush()
    return event


def take_back(
    session: Session, place_id: int, identifiers: Collection[str], *, now: datetime
) -> list[int]:
    """Mark the events of these alerts as cancelled; their ids."""
    if not identifiers:
        return []
    return list(
        session.scalars(
            sa.update(WeatherEvent)
            .where(
                WeatherEvent.jurisdiction_id == place_id,
                WeatherEvent.cancelled_at.is_(None),
                WeatherEvent.identifiers.overlap(
                    sa.cast(list(identifiers), postgresql.ARRAY(sa.Text()))
                ),
            )
            .values(cancelled_at=now)
            .returning(WeatherEvent.id)
            .execution_options(synchronize_session=False)
        )
    )


def looks(session: Session, place_id: int) -> Sequence[WeatherLook]:
    """Who was asked about a city and what came of it."""
    return session.scalars(
        sa.select(WeatherLook)
        .where(WeatherLook.jurisdiction_id == place_id)
        .order_by(WeatherLook.source)
        .execution_options(populate_existing=True)
    ).all()


def _lock(session: Session, place_id: int) -> None:
    session.execute(
        sa.select(WeatherLook.source)
        .where(WeatherLook.jurisdiction_id == place_id)
        .order_by(WeatherLook.source)
        .with_for_update()
    )
