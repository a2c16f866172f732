"""A load for a running server: simulated phones that send their trips to it over HTTP.

What they feel is made up (`sensing.fleet`): for trials and for measuring, never for a city in
service.
"""

from __future__ import annotations

import gzip
import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo.measures import Point
from geo.models import Address
from sensing import fleet, simulation
from sensing.simulation import Planted
from sensing.traces import Trip

#: About so long is a drive through a city.
TOUR_M = 2_500.0

#: A server that is busy is asked again when it says, or after so long; so often, and not by one
#: that wants more than a minute.
_WAIT_S, _TRIES, _LONGEST_S = 2.0, 30, 60.0

_BUSY = (429, 503)


class NoKeyError(Exception):
    """The server gives out no more keys for devices."""


def addresses_of(session: Session, jurisdiction_id: int) -> Mapping[str, Sequence[Point]]:
    """The positions of a city's house numbers, by street."""
    streets: dict[str, list[Point]] = {}
    rows = session.execute(
        sa.select(Address.street_key, Address.lat, Address.lon)
        .where(Address.jurisdiction_id == jurisdiction_id)
        .order_by(Address.street_key, Address.id)
    )
    for row in rows:
        streets.setdefault(row.street_key, []).append(Point(row.lat, row.lon))
    return streets


class Load:
    """A fleet on the streets that addresses make, the same for the same seed."""

    def __init__(
        self, addresses: Mapping[str, Sequence[Point]], *, total_m: float, seed: int
    ) -> None:
        self._drawn = np.random.default_rng(seed)
        self.tours = fleet.tours(addresses, total_m=total_m, tour_m=TOUR_M, drawn=self._drawn)

    @property
    def length_m(self) -> float:
        """Of all tours."""
        return sum(tour.length_m for tour in self.tours)

    @property
    def planted(self) -> Sequence[Planted]:
        """What lies in the streets."""
        return [each for tour in self.tours for each in tour.planted]

    @property
    def to_mend(self) -> int:
        """How much of it a city should hear of."""
        return sum(map(fleet.is_to_mend, self.planted))

    def send(self, url: str, *, phones: int, days: int, now: datetime) -> Iterator[str]:
        """Send every phone's trips of the last days; a line for each day, and one of the whole.

        Raises:
            NoKeyError: the server has fewer keys for one address than there are phones.
            OSError: nobody answers there.
        """
        keys = [_key(url, number, phones) for number in range(phones)]
        answers: Counter[int] = Counter()
        began, waited_s, size = time.monotonic(), 0.0, 0
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        for back in range(days, 0, -1):
            day = midnight - timedelta(days=back)
            for number in range(phones):
                body = gzip.compress(simulation.csv_of(self._trip(number, day)), 1)
                sent = time.monotonic()
                answers[_upload(url, keys[number], body)] += 1
                waited_s += time.monotonic() - sent
                size += len(body)
            yield f"{day:%Y-%m-%d}: {phones} phones"
        said = ", ".join(f"{count} × {status}" for status, count in sorted(answers.items()))
        trips = answers.total()
        yield (
            f"{trips} trips, {size / 1e6:.1f} MB; answers: {said}; {waited_s / trips * 1000:.0f} ms"
            f" for each upload, {time.monotonic() - began:.0f} s in all"
        )

    def _trip(self, number: int, day: datetime) -> Trip:
        return fleet.drive(
            self.tours[number % len(self.tours)],
            start_s=day.timestamp() + float(self._drawn.uniform(6.0, 20.0)) * 3600.0,
            drawn=self._drawn,
        )


def _key(url: str, number: int, phones: int) -> str:
    """The key of one phone: it has the same on all its days, as phones do."""
    status, document = _call(url, "/api/v1/devices", b"", {})
    if status == 201:
        return document["key"]
    raise NoKeyError(
        f"The server gave keys to {number} of {phones} phones, then answered {status}. It limits"
        " them by address: try fewer phones, or a server of its own with RATE_LIMITS=off."
    )


def _upload(url: str, key: str, body: bytes) -> int:
    """Send a trip under the key of a phone; the status of the answer."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/gzip"}
    return _call(url, f"/api/v1/trips?id={uuid4()}", body, headers)[0]


def _call(
    url: str, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, str]]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    for _ in range(_TRIES):
        connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=60)
        try:
            connection.request("POST", parts.path + path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        wait_s = float(answer.headers.get("Retry-After") or _WAIT_S)
        if answer.status not in _BUSY or wait_s > _LONGEST_S:
            break
        time.sleep(wait_s)
    return answer.status, json.loads(content) if content else {}
