"""The pipeline: how fast a backlog is routed and delivered, and how soon a single report is.

The backlog is written in one transaction, as if intake had been flooded; the clock starts with its
commit and stops when the last message lies in the folder. Positions are spread over the city, so
that few reports repeat another one, and every tenth lies where the one before it lies.
"""

from __future__ import annotations

import json
import socket
import statistics
import time
from typing import Any

import psycopg

from bench.system import Riverain

#: Nobody waits longer for a backlog; then the figure is what was done by then.
PATIENCE_S = 300.0


def drain(system: Riverain, *, reports: int, city: str = "montpellier") -> dict[str, float]:
    """Reports per second from intake to routed and delivered, for a backlog of so many."""
    with system.connect() as connection:
        before = _sent(connection)
        with connection.transaction():
            connection.execute(_BACKLOG, {"count": reports, "city": city})
        started = time.perf_counter()
        routed_at = delivered_at = None
        while (routed_at is None or delivered_at is None) and not _is_over(started):
            time.sleep(1.0)
            passed = time.perf_counter() - started
            waiting = _scalar(
                connection, "SELECT count(*) FROM service_requests WHERE triaged_at IS NULL"
            )
            sent = _sent(connection) - before
            if routed_at is None and waiting == 0:
                routed_at = passed
            # Who is joined hears of that as well, so there are some more messages than reports.
            if delivered_at is None and sent >= reports and _is_quiet(connection):
                delivered_at = passed
        passed = time.perf_counter() - started
        return {
            "reports": float(reports - waiting),
            "messages": float(sent),
            "seconds": round(passed, 1),
            "reports_per_s": round((reports - waiting) / passed, 1),
            "joined": float(
                _scalar(
                    connection,
                    "SELECT count(*) FROM service_requests WHERE status = 'duplicate'",
                )
            ),
        }


def promptness(system: Riverain, *, reports: int = 60, pause_s: float = 0.2) -> dict[str, float]:
    """Milliseconds from the POST to "routed", with an empty queue: median and 95 % quantile."""
    waits = []
    with system.connect() as connection:
        for number in range(reports):
            started = time.perf_counter()
            report_id = _post(system.port, number)
            while not _scalar(
                connection,
                "SELECT count(*) FROM service_requests WHERE id = %s AND triaged_at IS NOT NULL",
                report_id,
            ):
                time.sleep(0.01)
                if time.perf_counter() - started > PATIENCE_S:
                    raise TimeoutError("a report was not routed")
            waits.append((time.perf_counter() - started) * 1000)
            time.sleep(pause_s)
    waits.sort()
    return {
        "routed_p50_ms": round(statistics.median(waits), 1),
        "routed_p95_ms": round(waits[int(len(waits) * 0.95) - 1], 1),
        "routed_max_ms": round(waits[-1], 1),
    }


def _post(port: int, number: int) -> str:
    body = json.dumps(
        {
            "jurisdiction": "montpellier",
            "service_code": "trottoir-degrade",
            "lat": 43.600 + 0.0004 * (number % 50),
            "lon": 3.870 + 0.0006 * (number // 50),
            "description": "Une dalle est cassée.",
        }
    ).encode()
    head = (
        "POST /api/v1/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    status, _, rest = answer.partition(b"\r\n")
    if b" 201 " not in status:
        raise RuntimeError(f"intake answered {status!r}: {rest[-300:]!r}")
    report: dict[str, Any] = json.loads(rest.partition(b"\r\n\r\n")[2])
    return str(report["id"])


def _is_over(started: float) -> bool:
    return time.perf_counter() - started > PATIENCE_S


def _is_quiet(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    return not _scalar(
        connection,
        "SELECT (SELECT count(*) FROM outbox_events WHERE done_at IS NULL)"
        " + (SELECT count(*) FROM deliveries WHERE state IN ('pending', 'sending'))",
    )


def _sent(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    return _scalar(connection, "SELECT count(*) FROM deliveries WHERE state = 'sent'")


def _scalar(connection: psycopg.Connection[tuple[object, ...]], query: str, *values: object) -> int:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None
    return int(str(row[0]))


# The cell is not computed here: intake would have, so it is taken from the nearest address of the
# gazetteer, with the address's own position. Every tenth report stands where the one before does.
_BACKLOG = b"""
WITH city AS (
    SELECT id FROM jurisdictions WHERE code = %(city)s
), place AS (
    SELECT row_number() OVER (ORDER BY md5(a.id::text)) AS n, a.lat, a.lon, a.cell
      FROM addresses AS a, city WHERE a.jurisdiction_id = city.id
), kind AS (
    SELECT row_number() OVER (ORDER BY s.id) AS n, s.id, count(*) OVER () AS kinds
      FROM services AS s, city WHERE s.jurisdiction_id = city.id AND s.emergency IS NULL
), request AS (
    INSERT INTO service_requests (
        id, jurisdiction_id, number, service_id, source, description, lat, lon, cell,
        place_source, requested_at, updated_at, content_hash, caller_hash
    )
    SELECT gen_random_uuid(), city.id,
           nextval(format('report_numbers_%%s', city.id)::regclass), kind.id, 'app',
           'Signalement ' || g, place.lat, place.lon, place.cell, 'pin',
           clock_timestamp(), clock_timestamp(), '\\x00', '\\x00'
      FROM generate_series(1, %(count)s) AS g
      CROSS JOIN city
      JOIN place ON place.n = 1 + (g - (g %% 10 = 0)::integer) %% (SELECT count(*) FROM place)
      JOIN kind ON kind.n = 1 + (g - (g %% 10 = 0)::integer) %% kind.kinds
    RETURNING id, jurisdiction_id, number, requested_at
), reporter AS (
    INSERT INTO followers (id, report_id, is_reporter, email, locale, confirmed_at, created_at)
    SELECT gen_random_uuid(), id, true, 'banc-' || number || '@courriel.example', 'fr',
           requested_at, requested_at
      FROM request
)
INSERT INTO outbox_events (name, subject_id, jurisdiction_id)
SELECT 'report.submitted', id, jurisdiction_id FROM request
"""
