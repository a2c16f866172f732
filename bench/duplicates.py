"""Candidates and score for one new report, against a city with years of reports behind it.

What a worker does for each report between the locks and the update: the one statement that finds
candidates, and the judge. Measured in this process, on a connection as a worker has it, in turns
with the floor: one row read by its primary key on that connection. Reports stand at 200,000 places
of the city; one in twenty is open, of the last ninety days, the others were closed over three
years, so that more are stored for each place the larger the city's past is.

Every second question is about anywhere in the city, and seldom finds anything; the others are asked
beside an open report of the same service. Apart from them, where an outage has brought `CROWD`
reports to one crossing, each question is compared with as many as it may be.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from bench.system import Riverain
from core.clock import utc_now
from core.ids import new_id
from geo import jurisdictions
from geo.cells import cell_of
from geo.measures import Point
from reports.catalogue import Catalogue, catalogue_of
from reports.duplicates import finding
from reports.duplicates.rules import DuplicateJudge, Features, Verdicts

PLACES = 200_000
OPEN_SHARE = 20

#: The square of the city, in degrees: some eight kilometres to a side.
_SOUTH, _WEST, _HIGH, _WIDE = 43.57, 3.83, 0.075, 0.10

_WARM_UP = 200

#: So many wait at one crossing.
CROWD = 2_000

Place = tuple[int, float, float, int, str, str]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a question is asked, and of which service."""

    point: Point
    service_id: int


def fill(system: Riverain, *, reports: int, city: str = "montpellier") -> None:
    """Store so many reports by one statement; indexes and keys that are not measured are gone."""
    with system.connect() as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("DROP TABLE IF EXISTS bench_spots")
        connection.execute(_PLACES)
        with connection.cursor().copy(_COPY) as copy:
            for place in _places():
                copy.write_row(place)
        connection.execute("ANALYZE bench_spots")
        measured = _without_indexes(connection)
        connection.execute("TRUNCATE service_requests CASCADE")
        connection.execute(_FILL, {"count": reports, "city": city, "share": OPEN_SHARE})
        for definition in measured:
            connection.execute(definition.encode())
        connection.execute("VACUUM (ANALYZE) service_requests")


def measure(system: Riverain, *, questions: int, city: str = "montpellier") -> dict[str, float]:
    """Milliseconds for one report, the floor, and what was looked at."""
    engine = sa.create_engine(system.database_url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.connect() as connection:
        with Session(connection) as session:
            catalogue = catalogue_of(session, jurisdictions.by_code(session, city).id)
            judge = finding.judge_of(session, catalogue)
            ids = session.scalars(
                sa.text("SELECT id FROM service_requests TABLESAMPLE SYSTEM (1) LIMIT 5000")
            ).all()
            waiting = [
                Spot(Point(row.lat, row.lon), row.service_id) for row in session.execute(_OPEN)
            ]
        chance = random.Random(5)
        crossing = Spot(Point(*_where(0)), waiting[0].service_id)

        def anywhere_or_beside(number: int) -> Spot:
            return chance.choice(waiting) if number % 2 else _anywhere(catalogue, chance)

        def asked(spot_of: Callable[[int], Spot], many: int) -> _Times:
            times = _Times()
            for number in range(_WARM_UP + many):
                report = _report(catalogue, judge, chance, spot_of(number))
                with Session(connection) as session:
                    session.execute(sa.text("SELECT 1"))
                    started = time.perf_counter()
                    count = _ask(session, catalogue, report, judge)
                    asked = time.perf_counter()
                    session.execute(_BY_KEY, {"id": chance.choice(ids)}).one()
                    ended = time.perf_counter()
                    # As a worker does: after a rollback the driver forgets what it has prepared.
                    session.commit()
                if number >= _WARM_UP:
                    times.asked.append((asked - started) * 1000)
                    times.floor.append((ended - asked) * 1000)
                    times.candidates.append(count)
            return times

        usual = asked(anywhere_or_beside, questions)
        connection.execute(
            _CROWD, {"count": CROWD, "service": crossing.service_id, **_at(crossing)}
        )
        connection.commit()
        crowded = asked(lambda _number: crossing, questions // 8)
    engine.dispose()
    p99, floor_p99 = _quantile(usual.asked, 0.99), _quantile(usual.floor, 0.99)
    return {
        "p50_ms": round(_quantile(usual.asked, 0.5), 2),
        "p99_ms": round(p99, 2),
        "floor_p50_ms": round(_quantile(usual.floor, 0.5), 3),
        "floor_p99_ms": round(floor_p99, 3),
        "p50_ratio": round(_quantile(usual.asked, 0.5) / _quantile(usual.floor, 0.5), 1),
        "p99_ratio": round(p99 / floor_p99, 1),
        "candidates_mean": round(statistics.mean(usual.candidates), 1),
        "candidates_max": float(max(usual.candidates)),
        "crowd_p50_ms": round(_quantile(crowded.asked, 0.5), 2),
        "crowd_p99_ms": round(_quantile(crowded.asked, 0.99), 2),
        "crowd_candidates_mean": round(statistics.mean(crowded.candidates), 1),
    }


@dataclass(slots=True)
class _Times:
    """Milliseconds of each question and of the floor after it, and what was compared."""

    asked: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    candidates: list[int] = field(default_factory=list)


def _quantile(times: list[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)]


def _ask(session: Session, catalogue: Catalogue, report: Features, judge: DuplicateJudge) -> int:
    question = finding.question_of(catalogue.place.id, report, judge.search(report))
    assert question is not None
    [candidates] = finding.candidates(session, [question])
    judge.decide(report, candidates, Verdicts())
    return len(candidates)


def _anywhere(catalogue: Catalogue, chance: random.Random) -> Spot:
    """One of the places, and any service."""
    service = chance.choice([item for item in catalogue.offered() if item.emergency is None])
    return Spot(Point(*_where(chance.randrange(PLACES))), service.id)


def _report(
    catalogue: Catalogue, judge: DuplicateJudge, chance: random.Random, spot: Spot
) -> Features:
    """A report of that service a few metres off that spot."""
    return Features(
        id=new_id(),
        service_id=spot.service_id,
        requested_at=utc_now() - timedelta(minutes=chance.randrange(60)),
        point=Point(
            spot.point.lat + chance.uniform(-4e-5, 4e-5),
            spot.point.lon + chance.uniform(-4e-5, 4e-5),
        ),
        scope=finding.scope_of(catalogue.by_id[spot.service_id], catalogue, judge),
        address=f"{(number := chance.randrange(90))} rue {(street := chance.randrange(2000))}",
        text="Un trou devant la porte, on ne peut plus passer avec une poussette.",
        street=f"r {street}",
        number=str(number),
        source="app",
    )


def _at(spot: Spot) -> dict[str, float]:
    return {"lat": spot.point.lat, "lon": spot.point.lon, "cell": cell_of(spot.point)}


def _where(number: int) -> tuple[float, float]:
    """The place of that number: the same in the table and in the questions."""
    # Two irrational steps fill the square evenly and without a grid.
    return (
        _SOUTH + _HIGH * (number * 0.754877666 % 1.0),
        _WEST + _WIDE * (number * 0.569840291 % 1.0),
    )


def _places() -> list[Place]:
    places = []
    for number in range(PLACES):
        lat, lon = _where(number)
        cell = cell_of(Point(lat, lon))
        places.append((number, lat, lon, cell, f"r {number % 2000}", str(number % 90)))
    return places


def _without_indexes(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    """Drop the indexes of reports; how to make those that are measured, once the rows are in."""
    rows = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'service_requests'"
    ).fetchall()
    keys = connection.execute(
        "SELECT conname FROM pg_constraint"
        " WHERE conrelid = 'service_requests'::regclass AND contype IN ('f', 'u', 'p')"
    ).fetchall()
    for (name,) in keys:
        # With the key go the references of other tables, which are empty.
        drop = f'ALTER TABLE service_requests DROP CONSTRAINT IF EXISTS "{name}" CASCADE'
        connection.execute(drop.encode())
    for name, _ in rows:
        connection.execute(f'DROP INDEX IF EXISTS "{name}"'.encode())
    return [
        str(definition)
        for name, definition in rows
        if "_leading_" in str(name) or name == "pk_service_requests"
    ]


_PLACES = b"""
CREATE TABLE bench_spots (
    n integer PRIMARY KEY, lat float8, lon float8, cell bigint, street text, number text
)
"""

_COPY = b"COPY bench_spots (n, lat, lon, cell, street, number) FROM STDIN"

_BY_KEY = sa.text("SELECT id, description, lat, lon FROM service_requests WHERE id = :id")

_OPEN = sa.text(
    "SELECT lat, lon, service_id FROM service_requests"
    " WHERE status = 'triaged' AND requested_at > now() - interval '14 days' LIMIT 5000"
)

_CROWD = sa.text(
    """
INSERT INTO service_requests (
    id, jurisdiction_id, number, service_id, source, status, description, lat, lon, cell,
    place_source, routed_by, requested_at, updated_at, located_at, triaged_at, content_hash,
    caller_hash, joined_count
)
SELECT gen_random_uuid(), s.jurisdiction_id, 1000000000 + g, s.id, 'app', 'triaged',
       'Plus de lumière au carrefour, appel ' || g, :lat, :lon, :cell, 'pin', 'rule',
       m.at, m.at, m.at, m.at, '\\x00', '\\x00', (g % 40 = 0)::integer
  FROM generate_series(1, :count) AS g
 CROSS JOIN LATERAL (SELECT now() - g * interval '3 seconds' AS at) AS m
  JOIN services AS s ON s.id = :service
"""
)

# What is open is of the last ninety days; the rest of three years, closed five days later.
_FILL = b"""
INSERT INTO service_requests (
    id, jurisdiction_id, number, service_id, source, status, description, lat, lon, cell,
    place_source, address, address_street, address_number, routed_by, requested_at, updated_at,
    located_at, triaged_at, due_at, resolved_at, closed_at, content_hash, caller_hash, joined_count
)
SELECT gen_random_uuid(), s.jurisdiction_id, g, s.id, 'app',
       CASE WHEN g %% %(share)s = 0 THEN 'triaged' ELSE 'closed' END,
       'Signalement ' || g || ' devant la porte', p.lat, p.lon, p.cell, 'pin',
       p.number || ' rue ' || p.street, p.street, p.number, 'rule', m.at, m.at, m.at, m.at,
       m.at + interval '5 days', m.over_at, m.over_at, '\\x00', '\\x00', (g %% 400 = 0)::integer
  FROM generate_series(1, %(count)s) AS g
 CROSS JOIN LATERAL (
       SELECT now() - random() * CASE WHEN g %% %(share)s = 0 THEN interval '90 days'
                                      ELSE interval '3 years' END AS at
 ) AS t
 CROSS JOIN LATERAL (
       SELECT t.at, CASE WHEN g %% %(share)s > 0 THEN least(t.at + interval '5 days', now()) END
              AS over_at
 ) AS m
  JOIN bench_spots AS p ON p.n = (g * 7919::bigint) %% (SELECT count(*) FROM bench_spots)
  JOIN (
       SELECT s.id, s.jurisdiction_id, row_number() OVER (ORDER BY s.id) - 1 AS n,
              count(*) OVER () AS many
         FROM services AS s
         JOIN jurisdictions AS j ON j.id = s.jurisdiction_id AND j.code = %(city)s
        WHERE s.emergency IS NULL
  ) AS s ON s.n = (g / 3) %% s.many
"""
