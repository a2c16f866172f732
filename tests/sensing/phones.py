"""Phones that send trips over HTTP, for the tests of uploads."""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import numpy as np
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from geo.measures import Point
from sensing.simulation import Planted
from sensing.traces import Trip
from tests.sensing.roads import START, trip_over

DAY_S = 86_400.0

#: Eight in the morning, sixty days ago: what phones send may not lie in the future.
FIRST_S = (time.time() // DAY_S - 60) * DAY_S + 8 * 3600.0


def new_device(client: FlaskClient) -> dict[str, str]:
    """The headers of a phone with a fresh key."""
    answer = client.post("/api/v1/devices")
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json['key']}"}


def street(length_m: float = 2500.0, start: Point = START) -> list[Point]:
    """Straight to the north, long enough that something is left between its ends."""
    return [start, Point(start.lat + length_m / 111_100.0, start.lon)]


def drive(
    planted: list[Planted] | None = None,
    *,
    day: int = 0,
    seed: int = 0,
    rate_hz: float = 50.0,
    route: list[Point] | None = None,
) -> Trip:
    """A drive along the street, so many days after the first."""
    return trip_over(
        planted or [],
        seed=seed,
        route=route or street(),
        rate_hz=rate_hz,
        start_s=FIRST_S + day * DAY_S,
    )


def csv_of(trip: Trip, **changed: Any) -> bytes:
    """The trip as a phone writes it, with columns replaced."""
    columns: dict[str, Any] = {
        "t": trip.t_s,
        "lat": trip.lat_deg,
        "lon": trip.lon_deg,
        "speed_ms": trip.speed_ms,
        "ax": trip.acceleration[:, 0],
        "ay": trip.acceleration[:, 1],
        "az": trip.acceleration[:, 2],
    } | changed
    text = io.StringIO()
    text.write(",".join(columns) + "\n")
    np.savetxt(text, np.stack(list(columns.values()), 1), delimiter=",", fmt="%.8f")
    return text.getvalue().encode()


def send(
    client: FlaskClient,
    device: Mapping[str, str],
    body: bytes,
    *,
    id: str | None = None,  # noqa: A002 (as the query calls it)
    packed: bool = True,
    **query: str,
) -> TestResponse:
    """Send a trip as gzip CSV, or as it is."""
    return client.post(
        "/api/v1/trips",
        query_string={"id": id or str(uuid4()), **query},
        data=gzip.compress(body, 1) if packed else body,
        content_type="application/gzip" if packed else "text/csv",
        headers=dict(device),
    )
