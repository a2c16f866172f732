"""A fleet that drives through a city and sends its trips over HTTP, day after day.

The clock of the whole process is moved: trips of a day are sent in its evening, and the city's
round is done in the night after.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import sqlalchemy as sa
import time_machine
from flask import Flask
from sqlalchemy.orm import Session

from core.db import reading
from geo.jurisdictions import JurisdictionRef
from geo.measures import Point, distance_m
from reports.models import ServiceRequest
from reports.vocabulary import Source
from sensing import fleet, simulation
from sensing.acting.models import DefectCase
from sensing.fleet import Tour
from sensing.simulation import Planted
from workers import pipeline, roads

ROOT = Path(__file__).parents[2]

#: A Monday.
FIRST_DAY = datetime(2026, 5, 4, tzinfo=UTC)

#: What is planted and what is found are one when they are so near.
NEAR_M = 25.0

#: Sends a body to a path under the API, with a device's key; the status of the answer.
Post = Callable[[str, bytes, dict[str, str]], int]


def addresses_of_montpellier() -> dict[str, list[Point]]:
    """The positions of the city's house numbers, by street."""
    streets: dict[str, list[Point]] = defaultdict(list)
    with gzip.open(ROOT / "cities/montpellier/addresses.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            streets[row["voie"]].append(Point(float(row["lat"]), float(row["lon"])))
    return dict(streets)


@dataclass(slots=True)
class Fleet:
    """Phones on tours.

    Attributes:
        app: whose workers' tasks are run in this process.
        new_key: gets a phone a key for its uploads.
        rate_hz: of all phones; None: as they come.
    """

    app: Flask
    tours: Sequence[Tour]
    place: JurisdictionRef
    post: Post
    new_key: Callable[[], str]
    drawn: np.random.Generator
    rate_hz: float | None = None
    sent: int = field(default=0, init=False)

    def drive(self, day: int, phones: int, *, without: Collection[Planted] = ()) -> None:
        """On a day each phone drives one tour and sends it in the evening; all are analysed."""
        midnight = FIRST_DAY + timedelta(days=day)
        with time_machine.travel(midnight + timedelta(hours=20), tick=False):
            for number in range(phones):
                trip = fleet.drive(
                    self.tours[number % len(self.tours)],
                    start_s=midnight.timestamp() + float(self.drawn.uniform(7, 18)) * 3600.0,
                    drawn=self.drawn,
                    without=without,
                    phone=simulation.random_phone(self.drawn, rate_hz=self.rate_hz),
                )
                body = gzip.compress(simulation.csv_of(trip), 1)
                headers = {
                    "Authorization": f"Bearer {self.new_key()}",
                    "Content-Type": "application/gzip",
                }
                status = self.post(f"/api/v1/trips?id={uuid4()}", body, headers)
                assert status in (200, 201, 202), status
                self.sent += 1
            self.drain()

    def night_after(self, day: int) -> datetime:
        """The city's round in the night after a day, and what follows from it; when it was."""
        now = FIRST_DAY + timedelta(days=day + 1, hours=1)
        with time_machine.travel(now, tick=False):
            with self.app.app_context():
                roads.act(self.place, now)
            self.drain()
        return now

    def drain(self) -> None:
        """Run what waits for the workers."""
        with self.app.app_context():
            pipeline.drain()


def planted_in(tours: Iterable[Tour]) -> list[tuple[Planted, Point]]:
    """Everything that lies in the streets, and where."""
    return [(each, tour.place_of(each)) for tour in tours for each in tour.planted]


def requests_at(session: Session, point: Point) -> list[UUID]:
    """The requests that sensors opened about a place."""
    rows = session.execute(
        sa.select(ServiceRequest.id, ServiceRequest.lat, ServiceRequest.lon).where(
            ServiceRequest.source == Source.SENSOR.value
        )
    )
    return [row.id for row in rows if distance_m(point, Point(row.lat, row.lon)) <= NEAR_M]


def states_at(points: Iterable[Point]) -> list[str | None]:
    """Where the case at each place stands; None: there is none."""
    with reading() as session:
        cases = session.execute(sa.select(DefectCase.lat, DefectCase.lon, DefectCase.state)).all()
    found: list[str | None] = []
    for point in points:
        near = [
            (distance_m(point, Point(case.lat, case.lon)), case.state)
            for case in cases
            if distance_m(point, Point(case.lat, case.lon)) <= NEAR_M
        ]
        found.append(min(near)[1] if near else None)
    return found
