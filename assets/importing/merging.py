"""What a file says, held against the register: the difference, and how it becomes true.

The rows are copied into a temporary table; a handful of statements find what is different and, if
asked, apply it, however many rows there are. All in the caller's transaction; one import of a kind
waits for another.

What the file says of an asset is compared with what it said last (`source_*`), not with the asset:
only news is taken over, thing by thing, so a position that somebody corrected stays until the
city's own file says another one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from assets import events
from assets.importing.faults import BadRow
from assets.importing.judging import Incoming
from assets.importing.matching import Placed, match_one_to_one
from assets.kinds import KindEntry
from assets.register import search_words
from assets.vocabulary import THERE_SQL
from core.ids import new_id
from core.outbox import Happening, emit_many
from geo.cells import cell_of
from geo.measures import MEAN_RADIUS_M, Point

#: A position that changes by less was only measured better.
MOVED_M = 1.0

#: Assets that are named in a difference, of each sort.
EXAMPLES = 10

#: So many changes make the planner's picture of the table a wrong one.
_WORTH_ANALYSING = 1_000

SORTS = ("new", "changed", "moved", "renamed", "returned", "gone", "same")


@dataclass(frozen=True, slots=True)
class Example:
    """One asset of a difference.

    Attributes:
        before: its code before, where that is another one.
        distance_m: how far it moved.
    """

    code: str
    line: int | None = None
    before: str | None = None
    distance_m: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What a file would change.

    Attributes:
        counts: each of `SORTS` → how many.
        known: assets that the file brought before.
        vanished: those of them that the file does not have any more.
        examples: sort → the first few.
    """

    counts: Mapping[str, int]
    known: int
    vanished: int
    examples: Mapping[str, Sequence[Example]]

    @property
    def is_nothing(self) -> bool:
        """Whether the register is as the file says already."""
        return not any(count for sort, count in self.counts.items() if sort != "same")


def lock(session: Session, kind: KindEntry) -> None:
    """Let a second import of the kind wait until this transaction ends."""
    session.execute(
        sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"import assets {kind.id}")))
    )


def copy(session: Session, rows: Iterable[Incoming | BadRow]) -> list[BadRow]:
    """Fill the temporary table with the assets, as they come; the rows that were put aside."""
    session.execute(sa.text("DROP TABLE IF EXISTS incoming_assets, asset_decisions"))
    session.execute(_CREATE)
    bad: list[BadRow] = []
    driver: Any = session.connection().connection.driver_connection
    with driver.cursor() as cursor, cursor.copy("COPY incoming_assets FROM STDIN") as target:
        number = 0
        for row in rows:
            if isinstance(row, BadRow):
                bad.append(row)
                continue
            number += 1
            point = row.point
            target.write_row(
                (
                    number,
                    str(new_id()),
                    row.line,
                    row.code,
                    point.lat,
                    point.lon,
                    cell_of(point),
                    json.dumps(dict(row.attributes), ensure_ascii=False),
                    row.state and row.state.value,
                    f"{point.lat:.7f},{point.lon:.7f}",
                    row.words,
                    None,
                    False,
                )
            )
    return bad


def difference(session: Session, kind: KindEntry, spared: Collection[str]) -> Difference:
    """Compare what was copied with the register; nothing of the register is changed.

    Args:
        spared: codes of rows that were put aside. Their assets are in the file, so they are not
            gone.
    """
    session.execute(sa.text("ANALYZE incoming_assets"))
    session.execute(_MATCH_BY_CODE, {"kind": kind.id})
    _match_by_place(session, kind, spared)
    session.execute(_DECIDE, {"kind": kind.id, "spared": sorted(spared)})
    session.execute(sa.text("ANALYZE asset_decisions"))
    counts = dict.fromkeys(SORTS, 0)
    for sort, count in session.execute(_COUNT):
        counts[sort] = count
    loss = session.execute(_LOSS, {"kind": kind.id}).one()
    examples: dict[str, list[Example]] = {}
    for row in session.execute(_EXAMPLES, {"most": EXAMPLES}):
        examples.setdefault(row.sort, []).append(
            Example(row.code, row.line, row.before, row.distance_m)
        )
    return Difference(counts, loss.known, loss.vanished, examples)


def carry_out(session: Session, kind: KindEntry, *, run_id: int | None, now: datetime) -> None:
    """Make the register what the difference says, and emit what happened."""
    values = {"kind": kind.id, "jurisdiction": kind.jurisdiction_id, "now": now, "run": run_id}
    new = session.execute(_INSERT, values).scalar_one()
    session.execute(_VERSIONS_OF_NEW, values)
    session.execute(_UPDATE, values)
    changed = session.execute(_VERSIONS_OF_CHANGED, values).all()
    session.execute(_SOURCES, values)
    _index(session)
    told: dict[str, list[Happening]] = {}
    for row in changed:
        told.setdefault(row.sort, []).append(
            Happening(
                row.asset_id,
                kind.jurisdiction_id,
                {
                    "version": row.version,
                    "state": row.state,
                    "origin": "import",
                    "adopters": row.adopters,
                },
            )
        )
    for sort, name in (
        ("gone", events.REMOVED),
        ("returned", events.RETURNED),
        ("moved", events.RELOCATED),
    ):
        emit_many(session, name, told.get(sort, []))
    if new + len(changed) >= _WORTH_ANALYSING:
        # As after a load of addresses: searches would read the list of pending entries whole.
        session.execute(sa.text("SELECT gin_clean_pending_list('ix_assets_search')"))
        session.execute(sa.text("ANALYZE assets"))


def _match_by_place(session: Session, kind: KindEntry, spared: Collection[str]) -> None:
    """Find gone ones, and those that no file has had yet, again under new codes."""
    new = [
        Placed(row.number, Point(row.lat, row.lon))
        for row in session.execute(_UNMATCHED_NEW, {"kind": kind.id})
    ]
    if not new:
        return
    old = [
        Placed(row.id, Point(row.lat, row.lon))
        for row in session.execute(_UNMATCHED_OLD, {"kind": kind.id, "spared": sorted(spared)})
    ]
    pairs: list[tuple[UUID, int]] = match_one_to_one(old, new, kind.match_radius_m)
    if pairs:
        session.execute(
            _MATCH_PAIRS,
            {"ids": [id_ for id_, _ in pairs], "numbers": [number for _, number in pairs]},
        )


def _index(session: Session) -> None:
    """Words of changed assets: theirs may be more than the file's."""
    rows = session.execute(_TO_INDEX).all()
    if rows:
        session.execute(
            _SET_WORDS,
            {
                "ids": [row.id for row in rows],
                "words": [search_words(row.code, row.attributes) for row in rows],
            },
        )


_CREATE = sa.text(
    """
    CREATE TEMPORARY TABLE incoming_assets (
        number integer, id uuid, line integer, code text, lat float8, lon float8, cell bigint,
        attributes jsonb, state text, place text, words text,
        asset_id uuid, is_renamed boolean
    ) ON COMMIT DROP
    """
)

_MATCH_BY_CODE = sa.text(
    """
    UPDATE incoming_assets AS i SET asset_id = a.id
      FROM assets AS a WHERE a.kind_id = :kind AND a.code = i.code
    """
)

_UNMATCHED_NEW = sa.text(
    """
    SELECT number, lat, lon FROM incoming_assets
     WHERE asset_id IS NULL
       -- In a kind without assets there is nothing to match.
       AND EXISTS (SELECT FROM assets WHERE kind_id = :kind)
     ORDER BY number
    """
)

# What the file had, or what people entered and no file has had yet.
_UNMATCHED_OLD = sa.text(
    f"""
    SELECT a.id, a.lat, a.lon FROM assets AS a
     WHERE a.kind_id = :kind AND a.state IN ({THERE_SQL})
       AND NOT EXISTS (SELECT FROM incoming_assets AS i WHERE i.code = a.code)
       AND a.code <> ALL (:spared ::text[])
     ORDER BY a.id
    """
)

_MATCH_PAIRS = sa.text(
    """
    UPDATE incoming_assets AS i SET asset_id = p.id, is_renamed = true
      FROM unnest(:ids ::uuid[], :numbers ::integer[]) AS p(id, number)
     WHERE i.number = p.number
    """
)

_AWAY = f"""(2 * {MEAN_RADIUS_M} * asin(least(1.0, sqrt(
    power(sind((d.lat - d.old_lat) / 2), 2)
    + cosd(d.lat) * cosd(d.old_lat) * power(sind((d.lon - d.old_lon) / 2), 2)))))"""

# One row for each asset of the kind that the file has or does not have any more: what it becomes.
_DECIDE = sa.text(
    f"""
    CREATE TEMPORARY TABLE asset_decisions ON COMMIT DROP AS
    WITH paired AS (
        SELECT a.id AS asset_id, i.line, i.is_renamed, a.version, a.adopters,
               a.code AS old_code, i.code,
               a.lat AS old_lat, a.lon AS old_lon, a.cell AS old_cell, a.state AS old_state,
               a.attributes AS old_attributes, a.owner_team_id,
               i.place AS source_place, i.state AS source_state,
               i.attributes AS source_attributes,
               i.place IS DISTINCT FROM a.source_place
               OR i.state IS DISTINCT FROM a.source_state
               OR i.attributes IS DISTINCT FROM a.source_attributes AS is_news,
               CASE WHEN i.place IS DISTINCT FROM a.source_place THEN i.lat ELSE a.lat END AS lat,
               CASE WHEN i.place IS DISTINCT FROM a.source_place THEN i.lon ELSE a.lon END AS lon,
               CASE WHEN i.place IS DISTINCT FROM a.source_place THEN i.cell ELSE a.cell END
                   AS cell,
               CASE
                   WHEN i.state IS NOT NULL
                        AND (a.source_place IS NULL OR i.state IS DISTINCT FROM a.source_state)
                       THEN i.state
                   -- It was gone from the file, and is there again.
                   WHEN a.source_place IS NULL AND a.state NOT IN ({THERE_SQL})
                       THEN coalesce(i.state, 'in_service')
                   ELSE a.state
               END AS state,
               CASE
                   WHEN i.attributes = a.source_attributes THEN a.attributes
                   WHEN a.source_attributes IS NULL THEN a.attributes || i.attributes
                   ELSE (a.attributes - ARRAY(
                            SELECT key FROM jsonb_object_keys(a.source_attributes) AS k(key)
                             WHERE NOT i.attributes ? key
                        )) || coalesce((
                            SELECT jsonb_object_agg(key, value)
                              FROM jsonb_each(i.attributes) AS e(key, value)
                             WHERE a.source_attributes -> key IS DISTINCT FROM value
                        ), '{{}}')
               END AS attributes
          FROM incoming_assets AS i JOIN assets AS a ON a.id = i.asset_id
    ), gone AS (
        SELECT a.id AS asset_id, NULL::integer AS line, false AS is_renamed, a.version, a.adopters,
               a.code AS old_code, a.code, a.lat AS old_lat, a.lon AS old_lon,
               a.cell AS old_cell, a.state AS old_state, a.attributes AS old_attributes,
               a.owner_team_id, NULL::text AS source_place, NULL::text AS source_state,
               NULL::jsonb AS source_attributes, true AS is_news, a.lat, a.lon, a.cell,
               CASE WHEN a.state IN ({THERE_SQL}) THEN 'removed' ELSE a.state END AS state,
               a.attributes
          FROM assets AS a
         WHERE a.kind_id = :kind AND a.source_place IS NOT NULL
           AND NOT EXISTS (SELECT FROM incoming_assets AS i WHERE i.asset_id = a.id)
           AND a.code <> ALL (:spared ::text[])
    ), said AS (
        SELECT *, array_remove(ARRAY[
                   CASE WHEN (lat, lon) IS DISTINCT FROM (old_lat, old_lon) THEN 'place' END,
                   CASE WHEN state <> old_state THEN 'state' END,
                   CASE WHEN attributes <> old_attributes THEN 'attributes' END,
                   CASE WHEN code <> old_code THEN 'code' END
               ], NULL) AS changed
          FROM (SELECT * FROM paired UNION ALL SELECT * FROM gone) AS both_kinds
    )
    SELECT d.*, {_AWAY} AS away_m,
           CASE
               WHEN d.old_state NOT IN ({THERE_SQL}) AND d.state IN ({THERE_SQL}) THEN 'returned'
               WHEN d.old_state IN ({THERE_SQL}) AND d.state NOT IN ({THERE_SQL}) THEN 'gone'
               WHEN d.is_renamed THEN 'renamed'
               WHEN {_AWAY} >= {MOVED_M} THEN 'moved'
               WHEN cardinality(d.changed) > 0 THEN 'changed'
               ELSE 'same'
           END AS sort
      FROM said AS d
    """
)

_COUNT = sa.text(
    """
    SELECT sort, count(*) AS count FROM asset_decisions
     -- What was gone before and is not in the file is nothing that one could count.
     WHERE line IS NOT NULL OR sort = 'gone' GROUP BY sort
    UNION ALL
    SELECT 'new', count(*) FROM incoming_assets WHERE asset_id IS NULL
    """
)

_LOSS = sa.text(
    f"""
    SELECT (SELECT count(*) FROM assets
             WHERE kind_id = :kind AND source_place IS NOT NULL AND state IN ({THERE_SQL})
           ) AS known,
           (SELECT count(*) FROM asset_decisions WHERE line IS NULL AND sort = 'gone') AS vanished
    """
)

_EXAMPLES = sa.text(
    """
    SELECT sort, code, line, before, distance_m FROM (
        SELECT sort, code, line, CASE WHEN is_renamed THEN old_code END AS before,
               CASE WHEN sort IN ('moved', 'renamed') THEN away_m END AS distance_m,
               row_number() OVER (PARTITION BY sort ORDER BY line, code) AS place
          FROM asset_decisions WHERE sort <> 'same'
        UNION ALL
        SELECT 'new', code, line, NULL, NULL, row_number() OVER (ORDER BY number)
          FROM incoming_assets WHERE asset_id IS NULL
    ) AS listed WHERE place <= :most ORDER BY sort, place
    """
)

_INSERT = sa.text(
    """
    WITH made AS (
        INSERT INTO assets (
            id, jurisdiction_id, kind_id, code, lat, lon, cell, attributes, state, version, since,
            created_at, source_place, source_state, source_attributes, search
        )
        SELECT id, :jurisdiction, :kind, code, lat, lon, cell, attributes,
               coalesce(state, 'in_service'), 1, :now, :now, place, state, attributes,
               to_tsvector('simple', words)
          FROM incoming_assets WHERE asset_id IS NULL
         -- Neighbours lie together on disk, as they are read together.
         ORDER BY cell
        RETURNING 1
    )
    SELECT count(*) FROM made
    """
)

_VERSIONS_OF_NEW = sa.text(
    """
    INSERT INTO asset_versions (
        asset_id, version, at, origin, run_id, changed, code, lat, lon, attributes, state
    )
    SELECT id, 1, :now, 'import', :run, '{created}', code, lat, lon, attributes,
           coalesce(state, 'in_service')
      FROM incoming_assets WHERE asset_id IS NULL
    """
)

_UPDATE = sa.text(
    """
    UPDATE assets AS a
       SET code = d.code, lat = d.lat, lon = d.lon, cell = d.cell, state = d.state,
           attributes = d.attributes, version = a.version + 1, since = :now
      FROM asset_decisions AS d
     WHERE a.id = d.asset_id AND cardinality(d.changed) > 0
    """
)

_VERSIONS_OF_CHANGED = sa.text(
    """
    WITH written AS (
        INSERT INTO asset_versions (
            asset_id, version, at, origin, run_id, changed, code, lat, lon, attributes, state,
            owner_team_id
        )
        SELECT asset_id, version + 1, :now, 'import', :run, changed, code, lat, lon, attributes,
               state, owner_team_id
          FROM asset_decisions WHERE cardinality(changed) > 0
    )
    SELECT asset_id, sort, state, version + 1 AS version, adopters
      FROM asset_decisions WHERE cardinality(changed) > 0 ORDER BY asset_id
    """
)

_SOURCES = sa.text(
    """
    UPDATE assets AS a
       SET source_place = d.source_place, source_state = d.source_state,
           source_attributes = d.source_attributes
      FROM asset_decisions AS d WHERE a.id = d.asset_id AND d.is_news
    """
)

_TO_INDEX = sa.text(
    """
    SELECT a.id, a.code, a.attributes
      FROM asset_decisions AS d JOIN assets AS a ON a.id = d.asset_id
     WHERE d.changed && '{code,attributes}'
    """
)

_SET_WORDS = sa.text(
    """
    UPDATE assets AS a SET search = to_tsvector('simple', w.words)
      FROM unnest(:ids ::uuid[], :words ::text[]) AS w(id, words) WHERE a.id = w.id
    """
)
