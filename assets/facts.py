"""What reports ask of the register: where an asset stands, and which one a report is about.

Answers `reports.submission.AssetFacts` and `reports.asset_linking.AssetFinder`; the application
binds it. Who owns an asset is answered by `assets.owning`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.kinds import kinds_of
from assets.models import Asset
from assets.vocabulary import STATES_THERE, THERE_SQL
from core.db import Executor
from geo.cells import cover_disk
from geo.measures import MEAN_RADIUS_M, Point, distance_m
from reports.asset_linking import Nearest, Placed


class Facts:
    """The register's answers."""

    def position(self, session: Executor, jurisdiction_id: int, asset_id: UUID) -> Point | None:
        """Where the asset stands; None when this jurisdiction has no such asset that is there."""
        row = session.execute(
            sa.select(Asset.lat, Asset.lon).where(
                Asset.id == asset_id,
                Asset.jurisdiction_id == jurisdiction_id,
                Asset.state.in_([state.value for state in STATES_THERE]),
            )
        ).one_or_none()
        return None if row is None else Point(row.lat, row.lon)

    def nearest_fitting(self, session: Session, asked: Sequence[Placed]) -> Mapping[UUID, Nearest]:
        """For each report the nearest asset of a kind that its service can be about, within the
        radius of that kind; one statement, none where no kind fits."""
        questions: dict[str, list[Any]] = {
            name: [] for name in ("places", "kinds", "lows", "highs", "lats", "lons", "radii")
        }
        known: dict[int, tuple[str, float]] = {}
        for place, report in enumerate(asked):
            kinds = kinds_of(session, report.jurisdiction_id).fitting(report.service_code)
            for kind in kinds:
                known[kind.id] = (kind.code, kind.link_radius_m)
                for low, high in cover_disk(report.point, kind.link_radius_m):
                    values = (
                        place,
                        kind.id,
                        low,
                        high,
                        report.point.lat,
                        report.point.lon,
                        kind.link_radius_m,
                    )
                    for column, value in zip(questions.values(), values, strict=True):
                        column.append(value)
        if not known:
            return {}
        best: dict[UUID, Nearest] = {}
        for row in session.execute(_NEAREST, questions):
            report = asked[row.place]
            code, radius_m = known[row.kind_id]
            away_m = distance_m(report.point, Point(row.lat, row.lon))
            if away_m <= radius_m:
                best[report.report_id] = Nearest(row.id, code, away_m, radius_m)
        return best


# The sphere errs against the ellipsoid by a little: what is just outside is measured afterwards.
_NEAREST = sa.text(
    f"""
    SELECT DISTINCT ON (q.place) q.place, a.id, a.kind_id, a.lat, a.lon
      FROM unnest(
               :places ::integer[], :kinds ::integer[], :lows ::bigint[], :highs ::bigint[],
               :lats ::float8[], :lons ::float8[], :radii ::float8[]
           ) AS q(place, kind_id, low, high, lat, lon, radius_m)
     CROSS JOIN LATERAL (
           SELECT a.id, a.kind_id, a.lat, a.lon,
                  2 * {MEAN_RADIUS_M} * asin(least(1.0, sqrt(
                      power(sind((a.lat - q.lat) / 2), 2)
                      + cosd(a.lat) * cosd(q.lat) * power(sind((a.lon - q.lon) / 2), 2)
                  ))) AS away
             FROM assets AS a
            WHERE a.kind_id = q.kind_id AND a.cell BETWEEN q.low AND q.high
              AND a.state IN ({THERE_SQL})
           -- Each range is a stretch of an index.
           OFFSET 0
           ) AS a
     WHERE a.away <= q.radius_m * 1.006 + 1
     ORDER BY q.place, a.away, a.id
    """
)
