"""What one trip costs: its analysis beside a plain pass of numpy, and its fusion into a million,
in memory and in the database.

The floor is one pass of numpy over the decoded arrays of the trip: the mean and the standard
deviation of every column, as anybody would print them first. Parsing the upload is shown apart.
In the database the floor is to write the trip's rows into an empty table, and to commit.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import psutil
import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from bench.system import Riverain
from core.clock import utc_now
from geo.measures import Point
from sensing import clustering, fusing, grid, reading, sighting, signal, simulation, tallies
from sensing.arrays import Series
from sensing.models import RoadSighting, RoadTotal
from sensing.traces import Analysis, Bump, Detector, Track, Trip

HOUR_S, RATE_HZ = 3600, 50


def analysis(repeats: int = 7) -> dict[str, float]:
    """An hour at 50 Hz with the jitter of a phone: seconds, and as a multiple of the floor."""
    trip = _hour()
    columns: list[Series] = [trip.t_s, trip.lat_deg, trip.lon_deg, trip.speed_ms]
    columns += [np.ascontiguousarray(axis) for axis in trip.acceleration.T]

    def floor() -> None:
        for column in columns:
            column.mean(), column.std()

    signal.analyse(trip)
    # In turns, so that a busy machine is as busy for both; the best of each.
    floors, takes = [], []
    for _ in range(repeats):
        floors.append(_seconds(floor))
        takes.append(_seconds(lambda: signal.analyse(trip)))
    text = simulation.csv_of(_hour(seconds=360))
    reading.read(text)
    parsing = _seconds(lambda: reading.read(text)) * 10
    return {
        "samples": float(len(trip.t_s)),
        "numpy_pass_ms": min(floors) * 1e3,
        "analysis_ms": min(takes) * 1e3,
        "ratio": min(takes) / min(floors),
        "parsing_csv_ms": parsing * 1e3,
        "bumps": float(len(signal.analyse(trip).bumps)),
    }


def fusion(bumps: int = 1_000_000, trips: int = 10) -> dict[str, float]:
    """A new trip of 15 km among so many stored bumps: rows added and defects told anew.

    Stored bumps are counted as hits by four: a bump stands in about four cells within its reach.
    """
    drawn = np.random.default_rng(0)
    evidence = _city(bumps, drawn)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    takes = []
    for _ in range(trips):
        way = _way(drawn, 15_000.0)
        found = Analysis(_felt(way), way, 50.0, is_low_rate=False, handled_s=0.0, marks=frozenset())
        # Time of the processor: it waits for nothing, and a busy machine tells nothing.
        started = time.process_time()
        rows = sighting.sightings(found)
        clustering.fuse(evidence, rows, today=20_000)
        takes.append(time.process_time() - started)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "stored_bumps": float(bumps),
        "stored_rows": float(len(evidence)),
        "median_ms": float(np.median(takes)) * 1e3,
        "slowest_ms": max(takes) * 1e3,
        "memory_of_a_trip_mb": (after - before) / 1024.0,
    }


def stored_fusion(system: Riverain, bumps: int = 1_000_000, trips: int = 20) -> dict[str, float]:
    """The same in the database, from a trip's bumps to its commit: rows, totals and defects.

    A trip of 15 km through a city of 100 km², in which so many bumps are stored.
    """
    drawn = np.random.default_rng(0)
    with system.connect() as connection:
        rows = _fill(connection, bumps, drawn)
    engine = sa.create_engine(system.database_url.replace("postgresql:", "postgresql+psycopg:", 1))
    with Session(engine) as session:
        cells = session.scalars(sa.text("SELECT cell FROM road_totals WHERE strong > 0")).all()
        fusing.refreshed(session, cells, now=utc_now())
        session.commit()
    takes, floors, processor = [], [], []
    for number in range(5 + trips):
        way = _way(drawn, 15_000.0)
        found = Analysis(_felt(way), way, 50.0, is_low_rate=False, handled_s=0.0, marks=frozenset())
        floor = _floor(engine, sighting.sightings(found))
        with Session(engine) as session:
            server = psutil.Process(session.scalar(sa.text("SELECT pg_backend_pid()")))
            spent = time.process_time() + sum(server.cpu_times()[:2])
            started = time.perf_counter()
            fusing.fuse(session, sighting.sightings(found), now=utc_now())
            session.commit()
            took = time.perf_counter() - started
            spent = time.process_time() + sum(server.cpu_times()[:2]) - spent
        # The first ones load cities and fill caches, as in any worker.
        if number >= 5:
            takes.append(took)
            floors.append(floor)
            processor.append(spent)
    with engine.connect() as connection:
        defects = connection.scalar(sa.text("SELECT count(*) FROM road_defects WHERE is_present"))
    engine.dispose()
    return {
        "stored_bumps": float(bumps),
        "stored_rows": float(rows),
        "defects": float(defects or 0),
        "floor_ms": statistics.median(floors) * 1e3,
        "median_ms": statistics.median(takes) * 1e3,
        "slowest_ms": max(takes) * 1e3,
        # Of this process and of the server's: on a machine that does nothing else, the same.
        "processor_ms": statistics.fmean(processor) * 1e3,
        "ratio": statistics.median(takes) / statistics.median(floors),
    }


def _floor(engine: sa.Engine, rows: tallies.Rows) -> float:
    """Seconds to write rows into an empty table and commit."""
    started = time.perf_counter()
    with Session(engine) as session:
        session.execute(
            sa.text("CREATE TEMPORARY TABLE floor (LIKE road_sightings) ON COMMIT DROP")
        )
        names = ("packet", *(tallies.ROW.names or ()))
        columns = [grid.packets_of(rows["cell"]), *(rows[name] for name in names[1:])]
        session.execute(
            sa.text(
                f"INSERT INTO floor ({', '.join(names)}) SELECT * FROM unnest("
                + ", ".join(f"CAST(:{name} AS bigint[])" for name in names)
                + ")"
            ),
            {
                name: f"{{{','.join(map(str, column.tolist()))}}}"
                for name, column in zip(names, columns, strict=True)
            },
        )
        session.commit()
    return time.perf_counter() - started


def _fill(
    connection: psycopg.Connection[tuple[object, ...]], bumps: int, drawn: np.random.Generator
) -> int:
    """Store the evidence of a city; how many rows by day there are."""
    connection.execute("TRUNCATE road_sightings, road_totals, road_repairs, road_defects CASCADE")
    evidence = _city(bumps, drawn, keeps_days=True, days=3, hits=150, share=0.05)
    sightings = evidence.all()
    for table, rows in (
        (RoadSighting.__tablename__, sightings),
        (RoadTotal.__tablename__, evidence.everywhere()),
    ):
        names = rows.dtype.names or ()
        packets = grid.packets_of(rows["cell"]).tolist()
        copying = f"COPY {table} (packet, {', '.join(names)}) FROM STDIN".encode()
        with connection.cursor() as cursor, cursor.copy(copying) as copy:
            for packet, row in zip(packets, rows.tolist(), strict=True):
                copy.write(f"{packet}\t{chr(9).join(map(repr, row))}\n".encode())
        connection.execute(f"VACUUM (ANALYZE) {table}".encode())
    return len(sightings)


def _hour(seconds: int = HOUR_S) -> Trip:
    """Driving at 30 km/h with a bump every fifteen seconds."""
    drawn = np.random.default_rng(0)
    count = seconds * RATE_HZ
    t = np.arange(count) / RATE_HZ + drawn.uniform(-0.002, 0.002, count)
    felt = drawn.normal(size=(count, 3)) * 0.5 + np.array([0.3, 0.5, 9.8])
    for at in range(500, count - 50, 15 * RATE_HZ):
        felt[at : at + 12, 2] += 6.0 * np.sin(np.arange(12) * 0.9)
    speed = 8.3 + 0.3 * drawn.normal(size=count)
    lat = 43.6 + np.floor(np.arange(count) / RATE_HZ) * 8.3 / 111_100.0 % 0.1
    return Trip(1.7e9 + t, lat, np.full(count, 3.87), speed, felt)


def _city(
    bumps: int,
    drawn: np.random.Generator,
    *,
    keeps_days: bool = False,
    days: int = 30,
    hits: int = 3,
    share: float | None = None,
) -> tallies.Evidence:
    """Evidence of a city of 100 km²: rows along streets 100 m apart, over so many days.

    Args:
        hits: in a row that was felt, at most.
        share: of the cells are felt, always the same ones; without it any cell, now and then.
    """
    evidence = tallies.Evidence(keeps_days=keeps_days)
    stored = 0
    while stored < bumps:
        rows = sighting.sightings(
            Analysis(
                (), _way(drawn, 40_000.0), 50.0, is_low_rate=False, handled_s=0.0, marks=frozenset()
            ),
            day=0,
        )
        # One way stands for days of driving it: every row holds bumps of several trips.
        driven = np.repeat(rows, days)
        driven["day"] = np.tile(np.arange(20_000 - days, 20_000), len(rows))
        driven["passes"] = drawn.integers(1, 20, len(driven))
        is_hit = drawn.random(len(driven)) < 0.3
        if share is not None:
            is_hit = driven["cell"] // 512 % 1000 < share * 1000
        driven["strong"] = np.where(is_hit, drawn.integers(1, hits + 1, len(driven)), 0)
        driven["passes"] += driven["strong"]
        driven["weight"] = driven["strong"] * 400
        driven["severity"] = driven["strong"] * 5000
        evidence.add(driven)
        # A bump stands in about four rows: those of the cells within its reach.
        stored += int(driven["strong"].sum()) // 4
    return evidence


def _way(drawn: np.random.Generator, length_m: float) -> Track:
    """A drive through a grid of streets, 400 m between turns."""
    north, east = drawn.uniform(0, 10_000, 2)
    heading = float(drawn.choice([0.0, 90.0, 180.0, 270.0]))
    places, headings = [], []
    for _ in range(int(length_m / 400)):
        heading = (heading + float(drawn.choice([-90.0, 0.0, 90.0]))) % 360.0
        along = np.arange(0.0, 400.0, 5.0)
        turn = np.radians(heading)
        places.append(np.stack([north + along * np.cos(turn), east + along * np.sin(turn)], 1))
        headings.append(np.full(len(along), heading))
        north = (places[-1][-1, 0]) % 10_000
        east = (places[-1][-1, 1]) % 10_000
    way = np.concatenate(places)
    count = len(way)
    t: Series = 20_000 * 86_400.0 + np.arange(float(count)) * 0.6
    return Track(
        t,
        43.55 + way[:, 0] / 111_100.0,
        3.80 + way[:, 1] / 80_600.0,
        np.concatenate(headings),
        np.full(count, 4.0),
    )


def _felt(way: Track) -> tuple[Bump, ...]:
    """A bump every 150 m."""
    return tuple(
        Bump(
            t_s=float(way.t_s[at]),
            point=Point(float(way.lat_deg[at]), float(way.lon_deg[at])),
            heading_deg=float(way.heading_deg[at]),
            speed_ms=8.0,
            error_m=5.0,
            severity=5.0,
            confidence=0.8,
            detectors=frozenset({Detector.LEARNED}),
            peak_ms2=5.5,
            width_m=3.5,
            symmetry=-0.7,
        )
        for at in range(0, len(way.t_s), 30)
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
