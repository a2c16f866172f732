"""A thousand trips at once: each is taken or told to come again, and none is lost or counted twice.

The server is what `make run` starts, its limits in force. Two hundred phones, 25 behind one address
of a carrier, come home at the same hour and send five days each; one trip in ten comes in two
parts. They repeat what is answered by 429 or 503, as the answers say, and nothing else. What the
phones felt is made up (`sensing.fleet`).
"""

from __future__ import annotations

import gzip
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import LiteralString
from uuid import UUID, uuid4

import numpy as np
import psutil
import pytest

from bench import memory
from bench.system import Riverain, riverain
from core.clock import utc_now
from sensing import analysing, fleet, keeping, sighting, simulation, uploading
from sensing.reading import read
from tests.sensing.fleets import addresses_of_montpellier

PHONES, DAYS, THREADS = 200, 5, 64

#: A phone asks for its key from its carrier's address, which gets 30 in ten minutes.
PHONES_OF_A_CARRIER = 25

#: Every so many-th trip comes in two parts, every so many-th is sent again when it was taken.
IN_PARTS, SENT_AGAIN = 10, 20

#: Samples a second: a trip of seven minutes is about 100 KB.
RATE_HZ = 10.0

#: Proportional set size of everything together, while it happens and afterwards. 1,212 MB were
#: measured, when every process that reads or analyses trips had loaded what it needs for that.
MOST_MB = 1_500.0

#: All must be taken, and then analysed, in so long.
LONGEST_S = 600.0

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Sending:
    """One trip of one phone, packed."""

    number: int
    phone: int
    body: bytes
    id: UUID = field(default_factory=uuid4)


@dataclass(slots=True)
class Answers:
    """What the server said, of many threads."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    takes: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, took_s: float, wrong: str | None) -> None:
        with self.lock:
            self.statuses[what] += 1
            self.takes.append(took_s)
            if wrong is not None:
                self.wrong.append(wrong)


class Home:
    """Where phones send from, and to which server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers = Answers()
        self.keys: dict[int, str] = {}

    def ask_for_key(self, phone: int) -> None:
        document = self._until_taken("POST", "/api/v1/devices", b"", phone, (201,))
        self.keys[phone] = document["key"]

    def send(self, sending: Sending) -> None:
        """Until it is taken: whole, or in two parts."""
        path = f"/api/v1/trips/{sending.id}"
        if sending.number % IN_PARTS == 0:
            cut = len(sending.body) // 2
            for place, part in enumerate((sending.body[:cut], sending.body[cut:]), 1):
                self._until_taken("PUT", f"{path}/parts/{place}", part, sending.phone, (201,))
            body = json.dumps({"parts": 2}).encode()
            self._until_taken("POST", f"{path}/complete", body, sending.phone, (202,))
        else:
            whole = f"/api/v1/trips?id={sending.id}"
            self._until_taken("POST", whole, sending.body, sending.phone, (202,))
            if sending.number % SENT_AGAIN == 1:
                self._until_taken("POST", whole, sending.body, sending.phone, (200,))

    def _until_taken(
        self, method: str, path: str, body: bytes, phone: int, taken: Sequence[int]
    ) -> dict[str, str]:
        """The document of the answer that took it; every other must say when to come again."""
        kind = "application/json" if path.endswith("/complete") else "application/gzip"
        headers = {"Content-Type": kind, "X-Forwarded-For": _address(phone)}
        if phone in self.keys:
            headers["Authorization"] = f"Bearer {self.keys[phone]}"
        deadline = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline:
            began = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            try:
                connection.request(method, path, body=body, headers=headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.answers.add(type(error).__name__, time.monotonic() - began, repr(error))
                time.sleep(2)
                continue
            finally:
                connection.close()
            wait = answer.headers.get("Retry-After", "")
            is_later = answer.status in (429, 503) and wait.isdecimal()
            is_right = answer.status in taken or is_later
            self.answers.add(
                f"{method} {answer.status}",
                time.monotonic() - began,
                None if is_right else f"{method} {path}: {answer.status} {content[:300]!r}",
            )
            if not is_later:
                document: dict[str, str] = json.loads(content)
                return document
            time.sleep(float(wait))
        raise AssertionError(f"not taken in {LONGEST_S:.0f} s: {method} {path}")


@pytest.mark.timeout(2400)
def test_a_thousand_trips_at_once_are_each_taken_once_and_nothing_dies() -> None:
    sendings, passes = _sendings()
    with riverain(TRUSTED_PROXIES="1") as system:
        home = Home(system.port)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(home.ask_for_key, range(PHONES)))
        system.wait_until_idle()
        processes = _processes(system)
        before_mb = memory.measure(system)["total_mb"]
        began = time.monotonic()
        with _watched(system) as watched:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(home.send, sendings))
            taken_s = time.monotonic() - began
            states = _until_analysed(system)
            analysed_s = time.monotonic() - began
        system.wait_until_idle()
        after = memory.measure(system)
        answers = home.answers
        print(
            f"\n{len(sendings)} trips, {sum(len(each.body) for each in sendings) / 1e6:.0f} MB,"
            f" {THREADS} threads: {dict(sorted(answers.statuses.items()))}; all taken after"
            f" {taken_s:.0f} s, all analysed after {analysed_s:.0f} s; an answer took"
            f" {np.median(answers.takes) * 1e3:.0f} ms in the median,"
            f" {max(answers.takes) * 1e3:.0f} ms at most; the catalogue meanwhile"
            f" {np.median(watched.takes) * 1e3:.0f} ms and {max(watched.takes) * 1e3:.0f} ms"
            f" ({len(watched.takes)} times); {before_mb:.0f} MB before,"
            f" {watched.most_mb:.0f} MB at most, afterwards {after}"
        )
        assert answers.wrong == []
        assert watched.wrong == []
        assert states == {"analysed": len(sendings)}
        # A trip that was lost would be missing here, one that was counted twice would be too much.
        assert _number(system, "SELECT sum(passes) FROM road_sightings") == passes
        assert _number(system, "SELECT count(*) FROM device_days") == len(sendings)
        assert _number(system, "SELECT count(*) FROM trip_parts") == 0
        assert _files(system) == []
        assert _processes(system) == processes
        assert max(watched.most_mb, after["total_mb"]) < MOST_MB


def _sendings() -> tuple[list[Sending], int]:
    """The trips of all phones, each on a day of its own, and how many passes they are together."""
    drawn = np.random.default_rng(1000)
    tours = fleet.tours(addresses_of_montpellier(), total_m=50_000.0, tour_m=2_500.0, drawn=drawn)
    now = utc_now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    sendings: list[Sending] = []
    passes = 0
    for phone in range(PHONES):
        trip = fleet.drive(
            tours[phone % len(tours)],
            start_s=midnight - DAYS * _DAY_S + drawn.uniform(6.0, 20.0) * 3600.0,
            drawn=drawn,
            phone=simulation.random_phone(drawn, rate_hz=RATE_HZ),
        )
        for day in range(DAYS):
            text = simulation.csv_of(replace(trip, t_s=trip.t_s + day * _DAY_S))
            passes += _passes(text, now)
            sendings.append(Sending(len(sendings), phone, gzip.compress(text, 1)))
    # All phones at once, and no phone's days one after the other.
    return [sendings[place] for place in drawn.permutation(len(sendings))], passes


def _passes(text: bytes, now: datetime) -> int:
    """How many a trip adds to what is known, if it is counted once."""
    made = uploading.prepared(read(text), boxes=[], now=now)
    assert made.content is not None
    felt = analysing.felt(made.content)
    assert felt is not None
    return int(sighting.sightings(felt.analysis)["passes"].sum())


def _address(phone: int) -> str:
    return f"198.51.100.{phone // PHONES_OF_A_CARRIER + 1}"


@dataclass(slots=True)
class Watched:
    """What was seen beside the load."""

    takes: list[float] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)
    most_mb: float = 0.0


@contextmanager
def _watched(system: Riverain) -> Iterator[Watched]:
    """Somebody who looks at the catalogue twice a second, and a measure of memory beside it."""
    seen, over = Watched(), threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            began = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=60)
            connection.request("GET", "/api/v1/services?jurisdiction=montpellier")
            answer = connection.getresponse()
            answer.read()
            connection.close()
            seen.takes.append(time.monotonic() - began)
            if answer.status != 200:
                seen.wrong.append(answer.status)

    def weigh() -> None:
        while not over.wait(3):
            seen.most_mb = max(seen.most_mb, memory.measure(system)["total_mb"])

    threads = [threading.Thread(target=each) for each in (look, weigh)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _until_analysed(system: Riverain) -> dict[str, int]:
    """How many trips are in each state, once none waits."""
    deadline = time.monotonic() + LONGEST_S
    while True:
        with system.connect() as connection:
            rows = connection.execute("SELECT state, count(*) FROM trips GROUP BY state")
            states = {str(state): int(str(count)) for state, count in rows}
        if not {"received", "uploading"} & set(states) or time.monotonic() > deadline:
            return states
        time.sleep(0.5)


def _number(system: Riverain, query: LiteralString) -> int:
    with system.connect() as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(str(row[0]))


def _processes(system: Riverain) -> set[int]:
    """Everything that `make run` started, but for the database's own helpers."""
    root = psutil.Process(system.process_id)
    return {
        process.pid
        for process in [root, *root.children(recursive=True)]
        if "postgres" not in " ".join(process.cmdline())
    }


def _files(system: Riverain) -> list[str]:
    """What of trips still lies in the storage."""
    folders = (keeping.WAITING, keeping.PARTS, keeping.RESEARCH)
    return [
        str(path)
        for folder in folders
        for path in (system.data_dir / "media" / folder).rglob("*")
        if path.is_file()
    ]
