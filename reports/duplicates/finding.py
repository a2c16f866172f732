"""Finds the reports that others may repeat: candidates for whole batches in one statement.

It decides nothing (`reports.duplicates.rules`) and changes nothing (`reports.triage`, `joining`).

A report is looked for by its place, its address and its asset, among those that lead: nobody's
duplicate, placed in a queue by the pipeline, open or over since a short while. Three indexes begin
with the week in which a leader was over (`reports.models.WEEK_OVER`), so that years of closed
reports cost nothing. What one question brings is bounded by `QUOTAS`: at a point where thousands
wait, the nearest are looked at and, besides, those that most others were joined to, so that a
wave finds its leader wherever its reporter stood.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.db import Executor
from geo import cells
from geo.measures import Point
from reports.catalogue import Catalogue, ServiceEntry
from reports.duplicates import judging
from reports.duplicates.rules import (
    Candidate,
    DuplicateJudge,
    Features,
    Ranked,
    Scope,
    Search,
    Verdicts,
)
from reports.models import WEEK_OVER
from reports.rules import BLOCK_RESOLUTION
from reports.vocabulary import PhotoState, Status, Visibility

#: How many candidates of each kind one report is compared with: the nearest that are open, those
#: that most others were joined to, the nearest that are over, those at its very address and asset.
#: Together 200: more at one place are one problem told by many.
QUOTAS = {"open": 90, "leading": 30, "over": 40, "address": 20, "asset": 20}

#: A phone that knows its place badly is believed to be anywhere within this; beyond, not even so.
WIDEST_ACCURACY_M = 100.0

#: Leaders that were over longer ago are compared with nothing, whatever a judge asks.
LONGEST_OVER = timedelta(days=180)

#: What is compared of a description; the rest of a long one says no more.
TEXT_LENGTH = 600

_WEEK = timedelta(weeks=1)
_WEEK_S = _WEEK.total_seconds()


@dataclass(frozen=True, slots=True)
class Leader(Candidate):
    """A candidate as it is stored.

    Attributes:
        is_repaired: of one that is over, whether the work was done; else it was rejected or taken
            back.
    """

    is_repaired: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """Which reports may be meant here?

    Attributes:
        at: when it was told; what was over later than a day after that is not looked at.
        ranges: cells to look in; None: those within the radius of the search.
    """

    jurisdiction_id: int
    point: Point
    search: Search
    at: datetime
    street: str | None = None
    number: str | None = None
    asset_id: UUID | None = None
    ranges: Sequence[cells.Range] | None = None


def question_of(jurisdiction_id: int, report: Features, search: Search) -> Question | None:
    """What to look for, for a report with a position; a bad position widens the circle."""
    if report.point is None:
        return None
    return Question(
        jurisdiction_id,
        report.point,
        replace(search, radius_m=search.radius_m + _leeway_m(report)),
        report.requested_at,
        street=report.street,
        number=report.number,
        asset_id=report.asset_id,
    )


def judge_of(session: Executor, catalogue: Catalogue) -> DuplicateJudge:
    """The judge in force in a city: by its own model, or by the one that ships."""
    return judging.judge_for(session, catalogue)


def scope_of(service: ServiceEntry, catalogue: Catalogue, judge: DuplicateJudge) -> Scope:
    """What the catalogue says of duplicates of that service, and with which others it is confused.

    The services of other families are those that the judge knows to be mixed up with it.
    """
    return Scope(
        family=service.family,
        service_ids=tuple(catalogue.family_ids(service.family)),
        radius_m=service.duplicate_radius_m,
        days=service.duplicate_days,
        join_at=service.duplicate_join_at,
        suggest_at=service.duplicate_suggest_at,
        pairs=tuple(judge.confused(service.id)),
    )


@dataclass(slots=True)
class Neighbourhoods:
    """Whose reports of a city can repeat one another, and how far apart: what locks must cover.

    A report of a family takes the locks of its own family and of those whose reports its services
    are compared with. Two reports that can be compared share a family then, and in it a cell, an
    address or an asset. All that take a family's locks must use cells of one size, so that is
    worked out for the whole catalogue.
    """

    catalogue: Catalogue
    judge: DuplicateJudge
    _families: dict[int, tuple[str, ...]] = field(default_factory=dict, init=False)
    _reach_m: dict[str, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for service in self.catalogue.services:
            scope = scope_of(service, self.catalogue, self.judge)
            compared = {self.catalogue.by_id[id_].family for id_ in scope.pairs}
            families = tuple(sorted({service.family, *compared}))
            self._families[service.id] = families
            reach_m = self.judge.reach_m(scope)
            for family in families:
                self._reach_m[family] = max(reach_m, self._reach_m.get(family, 0.0))

    def families(self, service_id: int) -> tuple[str, ...]:
        """The families whose locks a report of that service takes."""
        return self._families[service_id]

    def reach_m(self, family: str) -> float:
        """How far apart two reports that take a family's locks may be, to be compared."""
        return self._reach_m[family]

    def keys(self, report: Features) -> list[int]:
        """Keys of advisory locks: two reports that could be compared share at least one.

        Taken in ascending order, as all of a transaction's keys must be, they cannot deadlock.
        """
        names: list[str] = []
        for family in self._families[report.service_id]:
            if report.point is not None:
                reach_m = self._reach_m[family]
                # Who is inaccurate looks farther, and so meets the others half-way and beyond.
                near = cells.lock_cells(
                    report.point,
                    reach_m + 2 * _leeway_m(report),
                    cells.lock_resolution(reach_m),
                )
                names += [f"{family}|{cell}" for cell in near]
            if report.street is not None and report.number is not None:
                names.append(f"{family}|@{report.street}|{report.number}")
            if report.asset_id is not None:
                names.append(f"{family}|#{report.asset_id}")
        return sorted(_key(f"{self.catalogue.place.id}|{name}") for name in names)


def take_locks(session: Session, keys: Iterable[int]) -> None:
    """Hold these locks to the end of the caller's transaction; waits for those who have them."""
    ordered = sorted(set(keys))
    if ordered:
        # The function scan yields the keys in the order of the array.
        session.execute(
            sa.text("SELECT count(pg_advisory_xact_lock(k)) FROM unnest(:keys ::bigint[]) AS k"),
            {"keys": ordered},
        )


def candidates(session: Session, questions: Sequence[Question]) -> list[list[Leader]]:
    """For each question the leaders near it, at its address and its asset; one statement.

    What lies in the corners of the cells, outside the radius, is among them: the judge measures.
    """
    found: list[list[Leader]] = [[] for _ in questions]
    if not questions:
        return found
    # Where the table has grown since it was last analysed, the planner takes it for small and would
    # read the whole of it for each range: measured, forty times as slow. And it plans this
    # statement anew for each question, for longer than it takes to answer it, because it hopes for
    # something from arrays that it cannot see through: one plan does for all. To the end of the
    # transaction, whose other statements go by primary keys.
    session.execute(_BY_INDEX)
    for row in session.execute(_NEAR, _arrays(questions)):
        found[row.question].append(_leader(row))
    return found


def with_photos(session: Session, leaders: Collection[Leader]) -> dict[UUID, Leader]:
    """The same leaders with the likeness of their photos; for reports that have photos."""
    hashes: dict[UUID, list[int]] = {}
    ids = sorted({leader.id for leader in leaders})
    if ids:
        for row in session.execute(_LIKENESS, {"ids": ids}):
            hashes.setdefault(row.report_id, []).append(unsigned(row.likeness))
    return {
        leader.id: replace(leader, photo_hashes=tuple(hashes.get(leader.id, ())))
        for leader in leaders
    }


def unsigned(likeness: int) -> int:
    """The bits of a stored hash: columns have a sign, bits have none."""
    return likeness & ((1 << 64) - 1)


def named(session: Session, ids: Sequence[UUID]) -> dict[UUID, Leader]:
    """The leaders that people named: of a duplicate, its parent. By the id that was named."""
    if not ids:
        return {}
    return {row.named: _leader(row) for row in session.execute(_NAMED, {"ids": list(ids)})}


def verdicts_on(session: Session, ids: Sequence[UUID]) -> dict[UUID, Verdicts]:
    """What people said of these reports and others.

    A verdict stands under the report of which it was said, mostly the later one. A no holds for
    both: whoever is looked at late, or again, does not take the lead of one that was told apart.
    """
    if not ids:
        return {}
    same: dict[UUID, set[UUID]] = {}
    not_same: dict[UUID, set[UUID]] = {}
    for row in session.execute(_VERDICTS, {"ids": list(ids)}):
        # What was said of the report itself comes first and is the nearer word.
        if row.is_others and row.other_id in same.get(row.report_id, ()):
            continue
        said = same if row.is_same else not_same
        said.setdefault(row.report_id, set()).add(row.other_id)
    return {
        id_: Verdicts(frozenset(same.get(id_, ())), frozenset(not_same.get(id_, ())))
        for id_ in same.keys() | not_same.keys()
    }


def similar(
    session: Session,
    catalogue: Catalogue,
    report: Features,
    judge: DuplicateJudge,
) -> list[Ranked]:
    """The open reports that a new one may repeat, best first.

    For the public: of services that show blocks only, those of the same block are found, all of
    them and as if they lay in its middle. Whoever asks from place to place learns no more of them
    than the map says. Who asks by an asset is told nothing of those.
    """
    if report.point is None:
        return []
    # Whoever is about to send a report can still say "the same": only of what is open.
    search = replace(judge.search(report), closed_since=None)
    blurred = {item.id for item in catalogue.services if item.public_precision == "block"}
    exact_ids = tuple(id_ for id_ in search.service_ids if id_ not in blurred)
    blurred_ids = tuple(id_ for id_ in search.service_ids if id_ in blurred)
    block = cells.cell_of(report.point, BLOCK_RESOLUTION)
    middle = cells.centre_of(block)
    place_id, at = catalogue.place.id, report.requested_at
    near = replace(search, service_ids=exact_ids, radius_m=search.radius_m + _leeway_m(report))
    exact, shared = candidates(
        session,
        [
            Question(place_id, report.point, near, at, asset_id=report.asset_id),
            Question(
                place_id,
                middle,
                replace(search, service_ids=blurred_ids),
                at,
                ranges=[cells.children_range(block)],
            ),
        ],
    )
    nowhere = replace(report, point=middle, asset_id=None)
    hidden = [
        replace(item, point=middle, asset_id=None, address=None, street=None, number=None)
        for item in shared
    ]
    ranked = judge.rank(report, exact) + judge.rank(nowhere, hidden)
    return sorted(ranked, key=lambda item: -item.score)


def _leeway_m(report: Features) -> float:
    """How much farther one looks for a report whose position is inexact."""
    return min(report.accuracy_m or 0.0, WIDEST_ACCURACY_M)


def _leader(row: sa.Row[tuple[object, ...]]) -> Leader:
    return Leader(
        id=row.id,
        service_id=row.service_id,
        requested_at=row.requested_at,
        point=None if row.lat is None else Point(row.lat, row.lon),
        address=row.address,
        asset_id=row.asset_id,
        text=row.text,
        accuracy_m=row.accuracy_m,
        street=row.address_street,
        number=row.address_number,
        closed_at=row.over_at,
        joined=row.joined_count,
        is_repaired=row.is_repaired,
    )


def _weeks(question: Question) -> list[int]:
    """The weeks of `WEEK_OVER` that may hold what is looked for; 0: what is open."""
    since = question.search.closed_since
    if since is None:
        return [0]
    first = max(since, question.at - LONGEST_OVER).timestamp() / _WEEK_S
    last = (question.at + timedelta(days=1)).timestamp() / _WEEK_S
    # The database rounds to the nearest.
    return [0, *range(math.floor(first), math.ceil(last) + 1)]


def _arrays(questions: Sequence[Question]) -> Mapping[str, list[object]]:
    """One row per question. Lists of lists would be flattened by unnest; as text they stay."""
    arrays: dict[str, list[object]] = {name: [] for name in _ARRAYS}
    for number, question in enumerate(questions):
        search = question.search
        if not search.service_ids:
            continue
        ranges = question.ranges
        if ranges is None:
            ranges = cells.cover_disk(question.point, search.radius_m)
        values = (
            number,
            question.jurisdiction_id,
            _text_of(low for low, _ in ranges),
            _text_of(high for _, high in ranges),
            _text_of(search.service_ids),
            _text_of(_weeks(question)),
            search.since,
            search.until,
            search.closed_since,
            question.point.lat,
            question.point.lon,
            question.street,
            question.number,
            question.asset_id,
        )
        for name, value in zip(_ARRAYS, values, strict=True):
            arrays[name].append(value)
    return arrays


def _text_of(numbers: Iterable[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


_ARRAYS = (
    "question",
    "place",
    "lows",
    "highs",
    "services",
    "weeks",
    "since",
    "until",
    "closed_since",
    "lat",
    "lon",
    "street",
    "number",
    "asset",
)

#: A compiler of plans would take longer than the search.
_BY_INDEX = sa.text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),"
    " set_config('plan_cache_mode', 'force_generic_plan', true)"
)

_OVER_AT = "coalesce(r.resolved_at, r.closed_at)"

_LEADS = f"""
    (r.jurisdiction_id + 0) = q.place
    AND {WEEK_OVER} = ANY (q.weeks::integer[])
    AND (r.service_id + 0) = ANY (q.services::integer[])
    AND r.parent_id IS NULL
    AND r.triaged_at IS NOT NULL
    AND r.visibility <> '{Visibility.HIDDEN}'
    AND r.requested_at + interval '0' BETWEEN q.since AND q.until
    AND ({_OVER_AT} IS NULL OR {_OVER_AT} >= q.closed_since)
"""

_COLUMNS = f"""
    r.id, r.service_id, r.requested_at, r.lat, r.lon, r.address, r.asset_id, r.accuracy_m,
    r.address_street, r.address_number, r.joined_count,
    left(r.description, {TEXT_LENGTH}) AS text, {_OVER_AT} AS over_at,
    (r.resolved_at IS NOT NULL AND r.status <> '{Status.REJECTED}') AS is_repaired
"""

# Every condition on `service_requests` is written as an index of leaders has it, or with an
# addition of nothing that keeps it from all indexes: while the table is young others look as good
# to the planner and read the whole city for each range. The order is by distance on a small flat
# map; it matters where a place has more reports than are looked at. What is wide is read at the
# end, of those few that are looked at, by their primary keys.
_NEAR = sa.text(
    f"""
    SELECT q.question, c.*
      FROM unnest(
               :question ::integer[], :place ::smallint[], :lows ::text[], :highs ::text[],
               :services ::text[], :weeks ::text[], :since ::timestamptz[],
               :until ::timestamptz[], :closed_since ::timestamptz[], :lat ::float8[],
               :lon ::float8[], :street ::text[], :number ::text[], :asset ::uuid[]
           ) AS q({", ".join(_ARRAYS)})
     CROSS JOIN LATERAL (
           WITH near AS MATERIALIZED (
               SELECT there.*
                 FROM unnest(q.lows::bigint[], q.highs::bigint[]) AS span(low, high)
                CROSS JOIN LATERAL (
                      SELECT r.id, r.requested_at, r.joined_count, {_OVER_AT} AS over_at,
                             (r.lat - q.lat) ^ 2 + ((r.lon - q.lon) * cosd(q.lat)) ^ 2 AS away
                        FROM service_requests AS r
                       WHERE (r.cell + 0) BETWEEN span.low AND span.high
                         AND r.cell IS NOT NULL AND {_LEADS}
                      OFFSET 0
                ) AS there
           )
           (SELECT id FROM near WHERE over_at IS NULL
             ORDER BY away, requested_at, id LIMIT {QUOTAS["open"]})
           UNION
           (SELECT id FROM near WHERE over_at IS NULL AND joined_count > 0
             ORDER BY joined_count DESC, away, requested_at, id LIMIT {QUOTAS["leading"]})
           UNION
           (SELECT id FROM near WHERE over_at IS NOT NULL
             ORDER BY away, over_at DESC, id LIMIT {QUOTAS["over"]})
           UNION
           (SELECT r.id FROM service_requests AS r
             WHERE r.address_street = q.street AND r.address_number = q.number
               AND r.address_number IS NOT NULL AND {_LEADS}
             ORDER BY r.joined_count DESC, r.requested_at, r.id LIMIT {QUOTAS["address"]})
           UNION
           (SELECT r.id FROM service_requests AS r
             WHERE r.asset_id = q.asset AND r.asset_id IS NOT NULL AND {_LEADS}
             ORDER BY r.joined_count DESC, r.requested_at, r.id LIMIT {QUOTAS["asset"]})
     ) AS picked
     CROSS JOIN LATERAL (
           SELECT {_COLUMNS} FROM service_requests AS r WHERE r.id = picked.id OFFSET 0
     ) AS c
    """
)

_NAMED = sa.text(
    f"""
    SELECT named.id AS named, {_COLUMNS}
      FROM service_requests AS named
      JOIN service_requests AS r ON r.id = coalesce(named.parent_id, named.id)
     WHERE named.id = ANY (:ids ::uuid[])
       AND r.jurisdiction_id = named.jurisdiction_id
       AND r.triaged_at IS NOT NULL
       AND r.visibility <> '{Visibility.HIDDEN}'
    """
)

_LIKENESS = sa.text(
    f"""
    SELECT report_id, likeness FROM photos
     WHERE report_id = ANY (:ids ::uuid[]) AND state = '{PhotoState.READY}'
       AND likeness IS NOT NULL
     ORDER BY report_id, created_at, id
    """
)

_VERDICTS = sa.text(
    """
    SELECT report_id, other_id, is_same, false AS is_others
      FROM pair_verdicts WHERE report_id = ANY (:ids ::uuid[])
    UNION ALL
    SELECT other_id, report_id, is_same, true
      FROM pair_verdicts WHERE other_id = ANY (:ids ::uuid[]) AND NOT is_same
     ORDER BY is_others
    """
)
