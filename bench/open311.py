"""Open311's list of 1,000 of many more, in both formats, and the table of 90 days.

Time is measured at the client, over HTTP. The statements of a list are counted in this process, on
the same database: one request more would show at once. Memory is that of the web while the long
table is read: it must not grow with it.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bench import load, memory
from bench.lists import always
from bench.system import Riverain

BASE = "/open311/montpellier/v2/requests"


def measure(system: Riverain, *, seconds: float) -> dict[str, float]:
    """Median milliseconds of each list by one client, statements, and the web's memory."""
    figures: dict[str, float] = {}
    for name, path in {
        "json": f"{BASE}.json",
        "xml": f"{BASE}.xml",
        "json_extended": f"{BASE}.json?extensions=true",
        "json_page_50": f"{BASE}.json?page=50",
        "json_closed": f"{BASE}.json?status=closed&service_code=nid-de-poule",
        "json_near": f"{BASE}.json?lat=43.6086&long=3.8797&radius=1000",
    }.items():
        result = load.run(system.port, always(load.get(path)), clients=1, seconds=seconds)
        assert set(result.statuses) == {200}, (name, result.statuses)
        figures[f"{name}_median_ms"] = round(result.quantile_ms(0.5), 1)
    figures |= _statements(system)
    before = memory.measure(system).get("web_mb", 0.0)
    rows, took_s, peak = _table(system)
    figures["table_rows"] = rows
    figures["table_rows_per_s"] = round(rows / took_s)
    figures["table_web_growth_mb"] = round(peak - before, 1)
    return figures


def _statements(system: Riverain) -> dict[str, float]:
    """How many statements a list of ten takes, and one of a thousand."""
    from app import create_app
    from app.config import Settings

    url = system.database_url.replace("postgresql://", "postgresql+psycopg://")
    app = create_app(
        Settings(
            data_dir=system.data_dir,
            database_url=url,
            secret_key="only to read with, in this process",
            rate_limits=False,
        )
    )
    client = app.test_client()
    client.get(f"{BASE}.json?page_size=1")
    figures = {}
    for size in (10, 1000):
        with _counted() as statements:
            assert len(client.get(f"{BASE}.json?page_size={size}").get_json()) == size
        figures[f"statements_for_{size}"] = float(len(statements))
    return figures


@contextmanager
def _counted() -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        # Once a second each process asks whether a city changed; that belongs to no list.
        if "jurisdictions.version" not in statement:
            statements.append(statement)

    sa.event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(Engine, "before_cursor_execute", note)


def _table(system: Riverain) -> tuple[int, float, float]:
    """Rows of the table of the last 90 days, how long it took, and the web's peak in megabytes."""
    started = time.perf_counter()
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 90 * 86400))
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=120)
    connection.request("GET", f"{BASE}.csv?start_date={since}")
    answer = connection.getresponse()
    assert answer.status == 200
    lines, peak, looked_at = 0, 0.0, started
    while part := answer.read(1 << 16):
        lines += part.count(b"\r\n")
        if time.perf_counter() - looked_at > 0.5:
            looked_at = time.perf_counter()
            peak = max(peak, memory.measure(system).get("web_mb", 0.0))
    connection.close()
    peak = max(peak, memory.measure(system).get("web_mb", 0.0))
    return lines - 1, time.perf_counter() - started, peak
