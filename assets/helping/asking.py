"""Asking adopters about reports at or near their assets, whole batches of reports at once.

Done after triage: by then it is known which asset a report is about, if any, and whether it is new.
It is done again whenever a report is triaged again; who is not concerned any more is asked no more,
and who was asked is not told twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets.helping import events
from assets.helping.rules import Adopter, asked
from assets.kinds import kinds_of
from assets.vocabulary import THERE_SQL
from core.ids import new_id
from core.outbox import Happening, emit_many
from geo.cells import cover_disk
from geo.measures import Point, distance_m
from reports.catalogue import catalogue_of
from reports.vocabulary import OPEN_STATUSES, Visibility


def ask(
    session: Session, report_ids: Sequence[UUID], *, now: datetime, but: UUID | None = None
) -> int:
    """Ask the adopters concerned by those of these reports that are open; how many are told.

    In the caller's transaction, who holds the reports locked. Doing it again changes nothing. A
    batch costs half a dozen statements at most, one where nothing can be adopted.

    Args:
        but: somebody who is asked without being told: they are about to answer.
    """
    rows = session.execute(_OPEN, {"ids": list(report_ids)}).all()
    rows = [row for row in rows if _adoptables(session, row.jurisdiction_id)]
    if not rows:
        return 0
    found = _found(session, rows)
    wanted = [
        (row, adopter) for row in rows for adopter in asked(list(found.get(row.id, {}).values()))
    ]
    session.execute(
        _WITHDRAW,
        {
            "ids": [row.id for row in rows],
            "reports": [row.id for row, _ in wanted],
            "adoptions": [adopter.adoption_id for _, adopter in wanted],
        },
    )
    if not wanted:
        return 0
    made = session.execute(
        _ASK,
        {
            "ids": [new_id() for _ in wanted],
            "places": [row.jurisdiction_id for row, _ in wanted],
            "reports": [row.id for row, _ in wanted],
            "assets": [adopter.asset_id for _, adopter in wanted],
            "adoptions": [adopter.adoption_id for _, adopter in wanted],
            "persons": [adopter.person_id for _, adopter in wanted],
            "distances": [adopter.distance_m for _, adopter in wanted],
            "now": now,
        },
    ).all()
    told = [row for row in made if row.is_new and not row.is_reporter and row.person_id != but]
    emit_many(
        session,
        events.HELP_ASKED,
        [
            Happening(
                row.id,
                row.jurisdiction_id,
                {
                    "help_id": str(row.id),
                    "report_id": str(row.report_id),
                    "asset_id": str(row.asset_id),
                    "adoption_id": str(row.adoption_id),
                },
            )
            for row in told
        ],
    )
    return len(told)


def _adoptables(session: Session, jurisdiction_id: int) -> bool:
    return any(kind.is_adoptable for kind in kinds_of(session, jurisdiction_id).offered())


def _found(session: Session, rows: Sequence[Any]) -> Mapping[UUID, Mapping[UUID, Adopter]]:
    """By report and adoption: the adopters at it, and those near it."""
    found: dict[UUID, dict[UUID, Adopter]] = {}
    linked = [row for row in rows if row.asset_id is not None]
    if linked:
        values = {
            "reports": [row.id for row in linked],
            "assets": [row.asset_id for row in linked],
        }
        for row in session.execute(_AT, values):
            adopter = Adopter(row.adoption_id, row.person_id, row.asset_id)
            found.setdefault(row.report_id, {})[row.adoption_id] = adopter
    questions: dict[str, list[Any]] = {name: [] for name in ("places", "kinds", "lows", "highs")}
    radii: dict[int, float] = {}
    for place, report in enumerate(rows):
        if report.lat is None or report.id in found:
            continue
        service = catalogue_of(session, report.jurisdiction_id).by_id[report.service_id]
        for kind in kinds_of(session, report.jurisdiction_id).fitting(service.code):
            if not kind.is_adoptable:
                continue
            radii[kind.id] = kind.link_radius_m
            for low, high in cover_disk(Point(report.lat, report.lon), kind.link_radius_m):
                for column, value in zip(
                    questions.values(), (place, kind.id, low, high), strict=True
                ):
                    column.append(value)
    if not radii:
        return found
    for row in session.execute(_NEAR, questions):
        report = rows[row.place]
        away_m = distance_m(Point(report.lat, report.lon), Point(row.lat, row.lon))
        if away_m <= radii[row.kind_id]:
            adopter = Adopter(row.adoption_id, row.person_id, row.asset_id, round(away_m, 1))
            found.setdefault(report.id, {})[row.adoption_id] = adopter
    return found


_STATUSES = ", ".join(f"'{status}'" for status in OPEN_STATUSES)

# What is hidden from the public is nobody's to help with.
_OPEN = sa.text(
    f"""
    SELECT id, jurisdiction_id, service_id, lat, lon, asset_id
      FROM service_requests
     WHERE id = ANY (:ids ::uuid[]) AND status IN ({_STATUSES}) AND parent_id IS NULL
       AND visibility <> '{Visibility.HIDDEN}'
     ORDER BY id
    """
)

_AT = sa.text(
    f"""
    SELECT q.report_id, d.id AS adoption_id, d.person_id, d.asset_id
      FROM unnest(:reports ::uuid[], :assets ::uuid[]) AS q(report_id, asset_id)
      JOIN assets AS a ON a.id = q.asset_id AND a.state IN ({THERE_SQL})
      JOIN adoptions AS d ON d.asset_id = a.id AND d.ended_at IS NULL
    """
)

# Distances are measured afterwards: adopted assets about one report are few.
_NEAR = sa.text(
    f"""
    SELECT q.place, q.kind_id, a.lat, a.lon, d.id AS adoption_id, d.person_id, d.asset_id
      FROM unnest(:places ::integer[], :kinds ::integer[], :lows ::bigint[], :highs ::bigint[])
           AS q(place, kind_id, low, high)
     CROSS JOIN LATERAL (
           SELECT a.id, a.lat, a.lon FROM assets AS a
            WHERE a.kind_id = q.kind_id AND a.cell BETWEEN q.low AND q.high AND a.adopters > 0
              AND a.state IN ({THERE_SQL})
           -- Each range is a stretch of an index.
           OFFSET 0
           ) AS a
      JOIN adoptions AS d ON d.asset_id = a.id AND d.ended_at IS NULL
    """
)

_WITHDRAW = sa.text(
    """
    UPDATE help_requests AS h SET state = 'withdrawn'
     WHERE h.report_id = ANY (:ids ::uuid[]) AND h.state = 'open'
       AND NOT EXISTS (
           SELECT FROM unnest(:reports ::uuid[], :adoptions ::uuid[]) AS w(report_id, adoption_id)
            WHERE w.report_id = h.report_id AND w.adoption_id = h.adoption_id
       )
    """
)

# Who was asked before and is concerned again is asked again, without another letter. What was
# answered stays so, and nobody else is asked then.
_ASK = sa.text(
    """
    WITH asked AS (
        INSERT INTO help_requests AS h (
            id, jurisdiction_id, report_id, asset_id, adoption_id, person_id, distance_m, asked_at
        )
        SELECT q.id, q.place, q.report_id, q.asset_id, q.adoption_id, q.person_id, q.distance_m,
               :now
          FROM unnest(
                   :ids ::uuid[], :places ::integer[], :reports ::uuid[], :assets ::uuid[],
                   :adoptions ::uuid[], :persons ::uuid[], :distances ::float8[]
               ) AS q(id, place, report_id, asset_id, adoption_id, person_id, distance_m)
         WHERE NOT EXISTS (
               SELECT FROM help_requests AS o
                WHERE o.report_id = q.report_id AND o.answered_at IS NOT NULL
         )
            ON CONFLICT (report_id, adoption_id) DO UPDATE
           SET state = 'open', distance_m = excluded.distance_m
         WHERE h.state = 'withdrawn' OR h.distance_m IS DISTINCT FROM excluded.distance_m
        RETURNING h.id, h.jurisdiction_id, h.report_id, h.asset_id, h.adoption_id, h.person_id,
                  h.xmax = 0 AS is_new
    )
    SELECT a.*, EXISTS (
               SELECT FROM followers AS f
                WHERE f.report_id = a.report_id AND f.is_reporter AND f.person_id = a.person_id
           ) AS is_reporter
      FROM asked AS a ORDER BY a.report_id, a.id
    """
)
