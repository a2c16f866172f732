"""Closing what an import left nothing to decide about: its asset is gone, or is so already.

In the import's transaction, for all open corrections of the kind; each proposer is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.corrections import deciding
from assets.corrections.models import Correction
from assets.corrections.rules import KNOWN_WITHIN_M, Claim, overtaken
from assets.corrections.vocabulary import State, What
from assets.kinds import KindEntry
from assets.models import Asset
from assets.vocabulary import THERE_SQL, AssetState
from geo.cells import cover_disk
from geo.measures import Point, distance_m


def close(session: Session, kind: KindEntry, *, now: datetime) -> int:
    """Close the open corrections of a kind that the register has overtaken; how many.

    Three statements, whatever there is, and one for each that is closed.
    """
    is_open = sa.and_(Correction.kind_id == kind.id, Correction.state == State.OPEN.value)
    if not session.scalar(sa.select(sa.exists().where(is_open))):
        return 0
    # Whoever decides one holds its asset or kind first: nobody waits in a circle.
    deciding.lock_kind(session, kind.id)
    rows = session.scalars(
        sa.select(Correction)
        .where(is_open)
        .order_by(Correction.id)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    assets = {
        row.id: row
        for row in session.execute(
            sa.select(Asset.id, Asset.state, Asset.lat, Asset.lon, Asset.attributes).where(
                Asset.id.in_({row.asset_id for row in rows if row.asset_id is not None})
            )
        )
    }
    standing = _standing(session, kind, [row for row in rows if row.what == What.MISSING])
    closed = 0
    for row in rows:
        asset = standing.get(row.id) if row.asset_id is None else assets.get(row.asset_id)
        if asset is None:
            continue
        why = overtaken(
            Claim(What(row.what), row.asset_id, Point(row.lat, row.lon), row.attributes),
            is_there=_counts_as_there(row.what, AssetState(asset.state)),
            point=Point(asset.lat, asset.lon),
            attributes=asset.attributes,
        )
        if why is not None:
            deciding.overtake(session, row, why, now=now)
            closed += 1
    return closed


def _counts_as_there(what: str, state: AssetState) -> bool:
    """Whether a claim can be about it: where one was taken to is asked of what is not there."""
    return state.is_there or (what == What.MOVED and state is AssetState.MOVED)


def _standing(
    session: Session, kind: KindEntry, missing: Sequence[Correction]
) -> Mapping[UUID, Any]:
    """By correction: the nearest asset that stands where one was said to be missing."""
    questions: dict[str, list[Any]] = {"places": [], "lows": [], "highs": []}
    for place, row in enumerate(missing):
        for low, high in cover_disk(Point(row.lat, row.lon), KNOWN_WITHIN_M):
            for column, value in zip(questions.values(), (place, low, high), strict=True):
                column.append(value)
    if not questions["places"]:
        return {}
    nearest: dict[UUID, tuple[float, Any]] = {}
    for found in session.execute(_NEAR, {**questions, "kind": kind.id}):
        row = missing[found.place]
        away_m = distance_m(Point(row.lat, row.lon), Point(found.lat, found.lon))
        if row.id not in nearest or away_m < nearest[row.id][0]:
            nearest[row.id] = (away_m, found)
    return {id_: found for id_, (_, found) in nearest.items()}


_NEAR = sa.text(
    f"""
    SELECT q.place, a.state, a.lat, a.lon, a.attributes
      FROM unnest(:places ::integer[], :lows ::bigint[], :highs ::bigint[]) AS q(place, low, high)
     CROSS JOIN LATERAL (
           SELECT a.state, a.lat, a.lon, a.attributes FROM assets AS a
            WHERE a.kind_id = :kind AND a.cell BETWEEN q.low AND q.high
              AND a.state IN ({THERE_SQL})
           -- Each range is a stretch of an index.
           OFFSET 0
           ) AS a
    """
)
