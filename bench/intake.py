"""Intake at 8 clients, against the floor, in the same run and on the same database server."""

from __future__ import annotations

import json
import random
from uuid import uuid4

from bench import load
from bench.system import Riverain, floor_server

CLIENTS = 8


def measure(system: Riverain, *, seconds: float) -> dict[str, float]:
    """Answers a second and p99 of both, in turns, so that a noisy moment hits both alike."""
    parts: dict[str, list[load.Result]] = {"floor": [], "intake": []}
    turns = 3
    with floor_server(system) as floor_port:
        for _turn in range(turns):
            # What the last turn left to the pipeline is not the floor's to carry.
            system.wait_until_idle()
            parts["floor"].append(
                load.run(floor_port, _floor_request, clients=CLIENTS, seconds=seconds / turns)
            )
            parts["intake"].append(
                load.run(system.port, _report, clients=CLIENTS, seconds=seconds / turns)
            )
    floor, intake = (_sum(parts[name]) for name in ("floor", "intake"))
    assert set(floor.statuses) == {201}, floor.statuses
    assert set(intake.statuses) == {201}, intake.statuses
    return {
        "floor_per_s": floor.per_second,
        "intake_per_s": intake.per_second,
        "ratio": intake.per_second / floor.per_second,
        "floor_p99_ms": floor.quantile_ms(0.99),
        "intake_p99_ms": intake.quantile_ms(0.99),
        "p99_ratio": intake.quantile_ms(0.99) / floor.quantile_ms(0.99),
    }


def report_body(number: int) -> dict[str, object]:
    """A report as an app sends it, somewhere in the middle of Montpellier."""
    return {
        "id": str(uuid4()),
        "service_code": "nid-de-poule",
        "lat": round(random.uniform(43.602, 43.620), 6),
        "lon": round(random.uniform(3.862, 3.885), 6),
        "accuracy_m": 8,
        "description": f"Un trou profond au milieu de la voie, numéro {number}.",
        "attributes": {"danger": "oui"},
        "contact": {"email": f"habitant{number}@example.org", "locale": "fr"},
    }


def _report(client: int, number: int) -> bytes:
    return _message("/api/v1/reports", client * 1_000_000 + number)


def _floor_request(client: int, number: int) -> bytes:
    return _message("/floor", client * 1_000_000 + number)


def _message(path: str, number: int) -> bytes:
    # Everybody has an address of their own: limits are asked for each and stop nobody.
    address = f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}"
    return load.post(path, json.dumps(report_body(number)).encode(), address=address)


def _sum(parts: list[load.Result]) -> load.Result:
    total = load.Result()
    for part in parts:
        total.seconds += part.seconds
        total.statuses += part.statuses
        total.times += part.times
    return total
