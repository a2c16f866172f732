"""Finds the reports that others may repeat: candidates for whole batches in one statement.

It decides nothing (`reports.duplicates.rules`) and changes nothing (`reports.triage`, `joining`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo import cells
from geo.measures import Point
from reports.catalogue import Catalogue, ServiceEntry
from reports.duplicates.rules import (
    Candidate,
    DuplicateJudge,
    Features,
    FirstRule,
    Ranked,
    Scope,
    Search,
    Verdicts,
)
from reports.rules import BLOCK_RESOLUTION
from reports.vocabulary import OPEN_STATUSES, Visibility

#: The judge in force.
JUDGE: DuplicateJudge = FirstRule()

#: More candidates than this at one place are one problem told by many; the nearest decide.
MOST_CANDIDATES = 200

_OPEN = ", ".join(f"'{status}'" for status in OPEN_STATUSES)


@dataclass(frozen=True, slots=True)
class Question:
    """Which reports may be meant here?"""

    jurisdiction_id: int
    point: Point
    search: Search
    #: Cells to look in; None: those within the radius of the search.
    ranges: Sequence[cells.Range] | None = None


def scope_of(service: ServiceEntry, catalogue: Catalogue) -> Scope:
    """What the catalogue says of duplicates of that service."""
    return Scope(
        family=service.family,
        service_ids=tuple(catalogue.family_ids(service.family)),
        radius_m=service.duplicate_radius_m,
        days=service.duplicate_days,
    )


def lock_keys(
    catalogue: Catalogue, service: ServiceEntry, point: Point, judge: DuplicateJudge = JUDGE
) -> list[int]:
    """Keys of advisory locks: two reports that could repeat one another share at least one.

    Taken in ascending order, as all of a transaction's keys must be, they cannot deadlock.
    """
    family = [item for item in catalogue.services if item.family == service.family]
    reach_m = max(judge.reach_m(scope_of(item, catalogue)) for item in family)
    resolution = cells.lock_resolution(reach_m)
    return sorted(
        _key(f"{service.jurisdiction_id}|{service.family}|{cell}")
        for cell in cells.lock_cells(point, reach_m, resolution)
    )


def take_locks(session: Session, keys: Iterable[int]) -> None:
    """Hold these locks to the end of the caller's transaction; waits for those who have them."""
    ordered = sorted(set(keys))
    if ordered:
        # The function scan yields the keys in the order of the array.
        session.execute(
            sa.text("SELECT count(pg_advisory_xact_lock(k)) FROM unnest(:keys ::bigint[]) AS k"),
            {"keys": ordered},
        )


def candidates(session: Session, questions: Sequence[Question]) -> list[list[Candidate]]:
    """For each question the open reports near it that are nobody's duplicate; one statement.

    Only reports that the pipeline has placed in a queue can lead others. What lies in the corners
    of the cells, outside the radius, is among them: the judge measures.
    """
    found: list[list[Candidate]] = [[] for _ in questions]
    if not questions:
        return found
    # Where the table has grown since it was last analysed, the planner takes it for small and would
    # read the whole of it for each range: measured, forty times as slow. To the end of the
    # transaction, whose other statements go by primary keys.
    session.execute(sa.text("SET LOCAL enable_seqscan = off"))
    rows = session.execute(_NEAR, _arrays(questions))
    for row in rows:
        found[row.question].append(
            Candidate(
                id=row.id,
                service_id=row.service_id,
                requested_at=row.requested_at,
                point=Point(row.lat, row.lon),
                address=row.address,
                asset_id=row.asset_id,
            )
        )
    return found


def named(session: Session, ids: Sequence[UUID]) -> dict[UUID, Candidate]:
    """The open leaders that citizens named: of a duplicate, its parent. By the id they named."""
    if not ids:
        return {}
    rows = session.execute(_NAMED, {"ids": list(ids)})
    return {
        row.named: Candidate(
            id=row.id,
            service_id=row.service_id,
            requested_at=row.requested_at,
            point=None if row.lat is None else Point(row.lat, row.lon),
            address=row.address,
            asset_id=row.asset_id,
        )
        for row in rows
    }


def verdicts_on(session: Session, ids: Sequence[UUID]) -> dict[UUID, Verdicts]:
    """What people said of these reports and others; a verdict stands under the later report."""
    if not ids:
        return {}
    same: dict[UUID, set[UUID]] = {}
    not_same: dict[UUID, set[UUID]] = {}
    for row in session.execute(_VERDICTS, {"ids": list(ids)}):
        said = same if row.is_same else not_same
        said.setdefault(row.report_id, set()).add(row.other_id)
    return {
        id_: Verdicts(frozenset(same.get(id_, ())), frozenset(not_same.get(id_, ())))
        for id_ in same.keys() | not_same.keys()
    }


def similar(
    session: Session,
    catalogue: Catalogue,
    service: ServiceEntry,
    point: Point,
    *,
    now: datetime,
    judge: DuplicateJudge = JUDGE,
) -> list[Ranked]:
    """The open reports that a new one of this service at this place may repeat, best first.

    For the public: of services that show blocks only, those of the same block are found, all of
    them and as if they lay in its middle. Whoever asks from place to place learns no more of them
    than the map says.
    """
    report = Features(
        id=UUID(int=0),
        service_id=service.id,
        requested_at=now,
        point=point,
        scope=scope_of(service, catalogue),
    )
    search = judge.search(report)
    blurred = {item.id for item in catalogue.services if item.public_precision == "block"}
    exact_ids = tuple(id_ for id_ in search.service_ids if id_ not in blurred)
    blurred_ids = tuple(id_ for id_ in search.service_ids if id_ in blurred)
    block = cells.cell_of(point, BLOCK_RESOLUTION)
    middle = cells.centre_of(block)
    exact, shared = candidates(
        session,
        [
            Question(catalogue.place.id, point, replace(search, service_ids=exact_ids)),
            Question(
                catalogue.place.id,
                middle,
                replace(search, service_ids=blurred_ids),
                [cells.children_range(block)],
            ),
        ],
    )
    ranked = judge.rank(report, exact) + judge.rank(
        replace(report, point=middle), [replace(item, point=middle) for item in shared]
    )
    return sorted(ranked, key=lambda item: -item.score)


def _arrays(questions: Sequence[Question]) -> Mapping[str, list[object]]:
    """One row per question and range of cells."""
    arrays: dict[str, list[object]] = {
        name: []
        for name in ("question", "place", "low", "high", "services", "since", "until", "lat", "lon")
    }
    for number, question in enumerate(questions):
        search = question.search
        services = "{" + ",".join(str(id_) for id_ in search.service_ids) + "}"
        ranges = question.ranges
        if ranges is None:
            ranges = cells.cover_disk(question.point, search.radius_m)
        for low, high in ranges if search.service_ids else ():
            arrays["question"].append(number)
            arrays["place"].append(question.jurisdiction_id)
            arrays["low"].append(low)
            arrays["high"].append(high)
            # A list of lists would be flattened by unnest; as text it stays one.
            arrays["services"].append(services)
            arrays["since"].append(search.since)
            arrays["until"].append(search.until)
            arrays["lat"].append(question.point.lat)
            arrays["lon"].append(question.point.lon)
    return arrays


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


# The lateral subquery with its LIMIT makes PostgreSQL descend the index of leading cells once for
# every range. The additions of nothing keep it from every other index: while the table is young
# they look as good to the planner and read the whole city for each range. The order is by distance
# on a small flat map; it matters where a place has more reports than are looked at.
_NEAR = sa.text(
    f"""
    SELECT q.question, c.*
      FROM unnest(
               :question ::integer[], :place ::smallint[], :low ::bigint[], :high ::bigint[],
               :services ::text[], :since ::timestamptz[], :until ::timestamptz[],
               :lat ::float8[], :lon ::float8[]
           ) AS q(question, place, low, high, services, since, until, lat, lon)
     CROSS JOIN LATERAL (
           SELECT r.id, r.service_id, r.requested_at, r.lat, r.lon, r.address, r.asset_id
             FROM service_requests AS r
            WHERE r.jurisdiction_id + 0 = q.place
              AND r.cell BETWEEN q.low AND q.high
              AND r.status IN ({_OPEN})
              AND r.triaged_at IS NOT NULL
              AND r.parent_id IS NULL
              AND r.visibility <> '{Visibility.HIDDEN}'
              AND r.service_id + 0 = ANY (q.services::integer[])
              AND r.requested_at + interval '0' BETWEEN q.since AND q.until
            ORDER BY (r.lat - q.lat) ^ 2 + ((r.lon - q.lon) * cosd(q.lat)) ^ 2,
                     r.requested_at, r.id
            LIMIT {MOST_CANDIDATES}
     ) AS c
    """
)

_NAMED = sa.text(
    f"""
    SELECT named.id AS named, r.id, r.service_id, r.requested_at, r.lat, r.lon, r.address,
           r.asset_id
      FROM service_requests AS named
      JOIN service_requests AS r ON r.id = coalesce(named.parent_id, named.id)
     WHERE named.id = ANY (:ids ::uuid[])
       AND r.jurisdiction_id = named.jurisdiction_id
       AND r.status IN ({_OPEN})
       AND r.triaged_at IS NOT NULL
       AND r.visibility <> '{Visibility.HIDDEN}'
    """
)

_VERDICTS = sa.text(
    "SELECT report_id, other_id, is_same FROM pair_verdicts WHERE report_id = ANY (:ids ::uuid[])"
)
