"""Prometheus metrics at `/metrics`: requests, queue depth, age of the oldest event, deliveries.

Counters and histograms are kept per process and added up through `PROMETHEUS_MULTIPROC_DIR`;
gauges about queues are read from the database when they are asked for.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable

import sqlalchemy as sa
from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from accounts.access import EVERYONE, allow
from core.db import db

REQUESTS = Counter("riverain_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "riverain_request_seconds",
    "Time to answer.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)


def install(app: Flask) -> None:
    """Count every request of `app` and add the route."""
    app.after_request(_count)
    app.add_url_rule("/metrics", "metrics", allow(EVERYONE)(metrics))


def _count(response: Response) -> Response:
    rule = request.url_rule
    route = rule.rule if rule else "none"
    _answered(request.method, route, response.status_code).inc()
    started = g.get("started")
    if started is not None:
        _taken(route).observe(time.perf_counter() - started)
    return response


@functools.cache
def _answered(method: str, route: str, status: int) -> Counter:
    """The counter of these labels: the library looks it up under a lock, and as text, each time."""
    return REQUESTS.labels(method, route, str(status))


@functools.cache
def _taken(route: str) -> Histogram:
    return SECONDS.labels(route)


def metrics() -> Response:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        MultiProcessCollector(registry)
        text = generate_latest(registry)
    else:
        text = generate_latest(REGISTRY)
    present = CollectorRegistry()
    present.register(Present())
    return Response(text + generate_latest(present), content_type=CONTENT_TYPE_LATEST)


class Present(Collector):
    """Gauges of the present state of the outbox and the deliveries.

    Not the library's `Gauge`: each process would keep its last value in `PROMETHEUS_MULTIPROC_DIR`,
    and an old age of the oldest event would be told beside the new one.
    """

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """What the database says now."""
        return _queues()


def _queues() -> Iterable[GaugeMetricFamily]:
    up = "riverain_database_up", "1 when the database answers."
    try:
        pending, age, unfinished, dead = db.session.execute(
            sa.text(
                """
                SELECT (SELECT count(*) FROM outbox_events WHERE relayed_at IS NULL),
                       (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)
                          FROM outbox_events WHERE relayed_at IS NULL),
                       (SELECT count(*) FROM outbox_events
                         WHERE relayed_at IS NOT NULL AND done_at IS NULL),
                       (SELECT count(*) FROM dead_letters WHERE settled_at IS NULL)
                """
            )
        ).one()
        retained = db.session.scalar(
            sa.text(
                "SELECT extract(epoch FROM now() - min(last)) FROM ("
                "SELECT max(at) AS last FROM retention_runs GROUP BY jurisdiction_id) AS runs"
            )
        )
        waiting = db.session.execute(
            sa.text(
                "SELECT channel, count(*) FROM deliveries"
                " WHERE state IN ('pending', 'sending') GROUP BY channel"
            )
        ).all()
        unsent = db.session.execute(
            sa.text(
                "SELECT channel, count(*) FROM deliveries WHERE state = 'dead' GROUP BY channel"
            )
        ).all()
        forwarded = db.session.execute(
            sa.text(
                "SELECT jurisdictions.code || '.' || endpoint.code, state, count(*)"
                " FROM forwardings JOIN downstream_endpoints AS endpoint"
                " ON endpoint.id = endpoint_id"
                " JOIN jurisdictions ON jurisdictions.id = endpoint.jurisdiction_id"
                " WHERE state = 'waiting' OR state = 'stuck' GROUP BY 1, 2"
            )
        ).all()
        weather = db.session.execute(
            sa.text(
                "SELECT jurisdictions.code, source, failures FROM weather_looks"
                " JOIN jurisdictions ON jurisdictions.id = jurisdiction_id"
            )
        ).all()
    except sa.exc.SQLAlchemyError:
        yield GaugeMetricFamily(*up, value=0)
        return
    finally:
        db.session.rollback()
    yield GaugeMetricFamily(*up, value=1)
    for name, help_text, value in (
        ("riverain_outbox_pending", "Events not relayed yet.", pending),
        ("riverain_outbox_oldest_pending_seconds", "Age of the oldest of them.", age),
        ("riverain_outbox_unfinished", "Events relayed and not done yet.", unfinished),
        ("riverain_dead_letters", "Reactions put aside for an operator.", dead),
    ):
        yield GaugeMetricFamily(name, help_text, value=float(value))
    if retained is not None:
        yield GaugeMetricFamily(
            "riverain_retention_last_run_seconds",
            "Since retention last ran, in the jurisdiction where that is longest ago.",
            value=float(retained),
        )
    deliveries = GaugeMetricFamily(
        "riverain_deliveries_waiting", "Messages not sent yet.", labels=["channel"]
    )
    for channel, count in waiting:
        deliveries.add_metric([channel], count)
    yield deliveries
    dead_deliveries = GaugeMetricFamily(
        "riverain_deliveries_dead",
        "Messages given up until an operator sends them again.",
        labels=["channel"],
    )
    for channel, count in unsent:
        dead_deliveries.add_metric([channel], count)
    yield dead_deliveries
    forwardings = GaugeMetricFamily(
        "riverain_forwardings",
        "Reports that another system has not got yet: waiting, or stuck until somebody looks.",
        labels=["endpoint", "state"],
    )
    for endpoint, state, count in forwarded:
        forwardings.add_metric([endpoint, state], count)
    yield forwardings
    failures = GaugeMetricFamily(
        "riverain_weather_failures",
        "How often in a row a weather service has not answered for a city's campaigns.",
        labels=["jurisdiction", "source"],
    )
    for jurisdiction, source, count in weather:
        failures.add_metric([jurisdiction, source], count)
    yield failures
