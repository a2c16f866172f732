"""The staff's list of 50 at up to a million stored reports, as an agent's browser asks for it.

Time is measured at the client, over HTTP; statements are counted by PostgreSQL itself, which logs
nothing but counts the calls that it executes for this database.
"""

from __future__ import annotations

from collections.abc import Callable

from bench import load
from bench.system import Riverain

#: What an agent looks at in a day: the plain list, filters, the map, a search, a queue.
QUERIES = {
    "newest": "/api/v1/reports?limit=50",
    "open of one service": "/api/v1/reports?limit=50&service_code=nid-de-poule&status=triaged",
    "overdue": "/api/v1/reports?limit=50&overdue=true",
    "box": "/api/v1/reports?limit=50&bbox=3.870,43.605,3.885,43.615",
    "words": "/api/v1/reports?limit=50&q=signalement+4242",
    "queue": "/api/v1/queues/voirie-centre/reports?limit=50",
}


def fill(system: Riverain, *, reports: int, city: str = "montpellier") -> None:
    """Store so many reports of the last three years, a tenth of them open, without the pipeline."""
    with system.connect() as connection:
        for part in _PARTS:
            connection.execute(part, {"city": city})
        connection.execute(b"ANALYZE bench_places, bench_services, bench_teams")
        connection.execute(_FILL, {"count": reports})
        connection.execute(b"VACUUM (ANALYZE) service_requests")


def always(message: bytes) -> Callable[[int, int], bytes]:
    """The same request from every client, every time."""
    return lambda _client, _number: message


def measure(system: Riverain, token: str, *, seconds: float) -> dict[str, float]:
    """Median milliseconds of each query, by one client."""
    medians: dict[str, float] = {}
    for name, path in QUERIES.items():
        message = load.get(f"{path}&jurisdiction=montpellier", token)
        result = load.run(system.port, always(message), clients=1, seconds=seconds)
        assert set(result.statuses) == {200}, (name, result.statuses)
        medians[f"{name}_median_ms"] = round(result.quantile_ms(0.5), 1)
    return medians


# Numbered tables, so that each row finds its place, service and team by a hash of a plain number.
_PARTS = (
    b"""
    CREATE TEMPORARY TABLE bench_places AS
    SELECT row_number() OVER (ORDER BY a.id) - 1 AS n, a.lat, a.lon, a.cell, a.street
      FROM addresses AS a JOIN jurisdictions AS j ON j.id = a.jurisdiction_id AND j.code = %(city)s
    """,
    b"""
    CREATE TEMPORARY TABLE bench_services AS
    SELECT row_number() OVER (ORDER BY s.id) - 1 AS n, s.id, s.jurisdiction_id
      FROM services AS s JOIN jurisdictions AS j ON j.id = s.jurisdiction_id AND j.code = %(city)s
     WHERE s.emergency IS NULL
    """,
    b"""
    CREATE TEMPORARY TABLE bench_teams AS
    SELECT row_number() OVER (ORDER BY t.id) - 1 AS n, t.id
      FROM teams AS t JOIN jurisdictions AS j ON j.id = t.jurisdiction_id AND j.code = %(city)s
    """,
)

_FILL = b"""
WITH numbered AS (
    SELECT g, now() - g * interval '90 seconds' AS moment,
           g %% (SELECT count(*) FROM bench_places) AS place,
           g %% (SELECT count(*) FROM bench_services) AS service,
           g %% (SELECT count(*) FROM bench_teams) AS team
      FROM generate_series(1, %(count)s) AS g
)
INSERT INTO service_requests (
    id, jurisdiction_id, number, service_id, source, status, description, lat, lon, cell,
    place_source, address, team_id, routed_by, requested_at, updated_at, located_at, triaged_at,
    due_at, resolved_at, closed_at, content_hash, caller_hash, search
)
SELECT gen_random_uuid(), s.jurisdiction_id,
       nextval(format('report_numbers_%%s', s.jurisdiction_id)::regclass),
       s.id, 'app', CASE WHEN g %% 10 = 0 THEN 'triaged' ELSE 'closed' END,
       'Signalement ' || g || ' devant la porte', p.lat, p.lon, p.cell, 'pin',
       p.street, t.id, 'rule', moment, moment, moment, moment, moment + interval '5 days',
       CASE WHEN g %% 10 = 0 THEN NULL ELSE moment + interval '3 days' END,
       CASE WHEN g %% 10 = 0 THEN NULL ELSE moment + interval '9 days' END,
       '\\x00', '\\x00', to_tsvector('simple', 'signalement ' || g || ' devant la porte')
  FROM numbered
  JOIN bench_places AS p ON p.n = numbered.place
  JOIN bench_services AS s ON s.n = numbered.service
  JOIN bench_teams AS t ON t.n = numbered.team
"""
