"""The staff's list of 50 at a million stored reports, as an agent's browser asks for it.

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
        connection.execute(_FILL, {"count": reports, "city": city})
        connection.execute(b"VACUUM (ANALYZE) service_requests")


def _always(message: bytes) -> Callable[[int, int], bytes]:
    """The same request from every client, every time."""
    return lambda _client, _number: message


def measure(system: Riverain, token: str, *, seconds: float) -> dict[str, float]:
    """Median milliseconds of each query, by one client."""
    medians: dict[str, float] = {}
    for name, path in QUERIES.items():
        message = load.get(f"{path}&jurisdiction=montpellier", token)
        result = load.run(system.port, _always(message), clients=1, seconds=seconds)
        assert set(result.statuses) == {200}, (name, result.statuses)
        medians[f"{name}_median_ms"] = round(result.quantile_ms(0.5), 1)
    return medians


_FILL = b"""
WITH city AS (
    SELECT id FROM jurisdictions WHERE code = %(city)s
), place AS (
    SELECT row_number() OVER (ORDER BY a.id) AS n, a.lat, a.lon, a.cell, a.street,
           count(*) OVER () AS places
      FROM addresses AS a, city WHERE a.jurisdiction_id = city.id
), kind AS (
    SELECT row_number() OVER (ORDER BY s.id) AS n, s.id, count(*) OVER () AS kinds
      FROM services AS s, city WHERE s.jurisdiction_id = city.id AND s.emergency IS NULL
), team AS (
    SELECT row_number() OVER (ORDER BY t.id) AS n, t.id, count(*) OVER () AS teams
      FROM teams AS t, city WHERE t.jurisdiction_id = city.id
)
INSERT INTO service_requests (
    id, jurisdiction_id, number, service_id, source, status, description, lat, lon, cell,
    place_source, address, team_id, routed_by, requested_at, updated_at, located_at, triaged_at,
    due_at, resolved_at, closed_at, content_hash, caller_hash, search
)
SELECT gen_random_uuid(), city.id, nextval(format('report_numbers_%%s', city.id)::regclass),
       kind.id, 'app', CASE WHEN g %% 10 = 0 THEN 'triaged' ELSE 'closed' END,
       'Signalement ' || g || ' devant la porte', place.lat, place.lon, place.cell, 'pin',
       place.street, team.id, 'rule', moment, moment, moment, moment, moment + interval '5 days',
       CASE WHEN g %% 10 = 0 THEN NULL ELSE moment + interval '3 days' END,
       CASE WHEN g %% 10 = 0 THEN NULL ELSE moment + interval '9 days' END,
       '\\x00', '\\x00', to_tsvector('simple', 'signalement ' || g || ' devant la porte')
  FROM generate_series(1, %(count)s) AS g
 CROSS JOIN city
 CROSS JOIN LATERAL (SELECT now() - g * interval '90 seconds' AS moment) AS at
  JOIN place ON place.n = 1 + g %% place.places
  JOIN kind ON kind.n = 1 + g %% kind.kinds
  JOIN team ON team.n = 1 + g %% team.teams
"""
