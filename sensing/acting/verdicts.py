"""What each defect is taken for, kept beside it, so that whoever shows defects need not judge them.

Judged anew when a defect changed (`road_defect.changed`) and before a city's defects are acted on,
because the register of assets changes too. In the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.kinds import kinds_of
from assets.vocabulary import THERE_SQL
from geo import jurisdictions
from geo.cells import cover_disk
from geo.measures import Point, distance_m
from sensing.classifying import ASSET_REACH_M, Judgement, Nearby, judge
from sensing.clustering import Defect
from sensing.holding import hold
from sensing.models import RoadDefect
from sensing.policy import RoadPolicy
from sensing.vocabulary import KnownAs

_KEEP = sa.update(RoadDefect).where(
    RoadDefect.id == sa.bindparam("judged_id"),
    RoadDefect.version == sa.bindparam("judged_version"),
)


def give(session: Session, ids: Collection[UUID]) -> int:
    """Judge these defects by what is known of them and of the assets near them; how many changed.

    A constant number of statements for any number of defects of a city.
    """
    rows = session.scalars(
        sa.select(RoadDefect)
        .where(RoadDefect.id.in_(list(ids)), RoadDefect.is_present)
        .order_by(RoadDefect.id)
        .execution_options(populate_existing=True)
    ).all()
    return keep(session, rows, judged(session, rows))


def judged(session: Session, rows: Iterable[RoadDefect]) -> Mapping[UUID, Judgement]:
    """What each of these is taken for now; nothing is stored."""
    by_place: dict[int, list[RoadDefect]] = {}
    for row in rows:
        by_place.setdefault(row.jurisdiction_id, []).append(row)
    judgements: dict[UUID, Judgement] = {}
    for place_id, theirs in sorted(by_place.items()):
        near = _assets_near(session, place_id, theirs)
        for row in theirs:
            judgements[row.id] = judge(defect_of(row), near.get(row.id, ()))
    return judgements


def keep(session: Session, rows: Sequence[RoadDefect], judgements: Mapping[UUID, Judgement]) -> int:
    """Store judgements that are new; how many were. Holds the neighbourhoods of all the rows.

    A defect that changed since it was read keeps its verdict: it is judged again for that change.
    """
    hold(session, {row.packet for row in rows})
    changed = [
        {
            "judged_id": row.id,
            "judged_version": row.version,
            "verdict": judgements[row.id].verdict.value,
            "probability": judgements[row.id].probability,
        }
        for row in rows
        if row.id in judgements
        and (row.verdict, row.probability)
        != (judgements[row.id].verdict.value, judgements[row.id].probability)
    ]
    return session.connection().execute(_KEEP, changed).rowcount if changed else 0


def defect_of(row: RoadDefect) -> Defect:
    """A stored defect as the pure modules take it."""
    return Defect(
        cell=row.cell,
        octant=row.octant,
        point=Point(row.lat, row.lon),
        error_m=row.error_m,
        heading_deg=row.heading_deg,
        belief=row.belief,
        severity=row.severity,
        hits=row.hits,
        passes=row.passes,
        first_day=row.first_day,
        last_day=row.last_day,
        width_m=row.width_m,
        symmetry=row.symmetry,
    )


def _assets_near(
    session: Session, place_id: int, rows: Sequence[RoadDefect]
) -> Mapping[UUID, Sequence[Nearby]]:
    """By defect: the assets within reach that the city says cars feel; one statement."""
    policy = RoadPolicy.of(jurisdictions.by_id(session, place_id).policy)
    if policy is None or not policy.known_as:
        return {}
    kinds = kinds_of(session, place_id).by_code
    felt_as = {
        kinds[code].id: KnownAs(known_as)
        for code, known_as in policy.known_as.items()
        if code in kinds
    }
    asked: dict[str, list[Any]] = {"places": [], "kinds": [], "lows": [], "highs": []}
    for place, row in enumerate(rows):
        for low, high in cover_disk(Point(row.lat, row.lon), ASSET_REACH_M):
            for kind_id in felt_as:
                for name, value in zip(asked, (place, kind_id, low, high), strict=True):
                    asked[name].append(value)
    near: dict[UUID, list[Nearby]] = {}
    if not felt_as:
        return near
    for found in session.execute(_NEAR, asked):
        row = rows[found.place]
        away_m = distance_m(Point(row.lat, row.lon), Point(found.lat, found.lon))
        if away_m <= ASSET_REACH_M:
            near.setdefault(row.id, []).append(Nearby(felt_as[found.kind_id], away_m))
    # A crossing is entered by its two ends: of each sort of thing the nearest alone speaks.
    return {id_: _nearest_of_each(each) for id_, each in near.items()}


def _nearest_of_each(found: Iterable[Nearby]) -> list[Nearby]:
    best: dict[KnownAs, Nearby] = {}
    for each in sorted(found, key=lambda nearby: (nearby.distance_m, nearby.known_as)):
        best.setdefault(each.known_as, each)
    return list(best.values())


_NEAR = sa.text(
    f"""
    SELECT q.place, a.kind_id, a.lat, a.lon
      FROM unnest(:places ::integer[], :kinds ::integer[], :lows ::bigint[], :highs ::bigint[])
           AS q(place, kind_id, low, high)
     CROSS JOIN LATERAL (
           SELECT a.kind_id, a.lat, a.lon FROM assets AS a
            WHERE a.kind_id = q.kind_id AND a.cell BETWEEN q.low AND q.high
              AND a.state IN ({THERE_SQL})
           -- Each range is a stretch of an index.
           OFFSET 0
     ) AS a
    """
)
