"""docs/api.md shows calls that exist and tells the life cycle as the code has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException

from reports.rules import MOVES, Reason
from reports.vocabulary import ActorKind, Status

TOUR = Path(__file__).parents[2] / "docs" / "api.md"
TEXT = TOUR.read_text(encoding="utf-8")
CALLS = re.findall(r"^curl (?:-i )?(?:-X (\w+) )?\"\$API(/[^\"?]*)", TEXT, re.MULTILINE)
SOME_ID = "0199b5ad-7f00-7000-8000-000000000000"


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_call_of_the_tour_exists(app: Flask, method: str, path: str) -> None:
    path = re.sub(r"\$\w+", SOME_ID, path)
    adapter = app.url_map.bind("127.0.0.1")
    try:
        adapter.match(f"/api/v1{path}", method=method or "GET")
    except HTTPException as error:
        pytest.fail(f"{method or 'GET'} {path}: {error}")


def test_the_tour_names_every_call_about_reports(app: Flask) -> None:
    adapter = app.url_map.bind("127.0.0.1")
    shown = {
        adapter.match("/api/v1" + re.sub(r"\$\w+", SOME_ID, path), method=method or "GET")[0]
        for method, path in CALLS
    }
    routed = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(("reports.", "staff."))
    }
    assert routed - shown == set()


def test_the_tour_names_what_the_demo_city_has() -> None:
    city = TOUR.parents[1] / "cities" / "montpellier"
    teams = (city / "teams.yaml").read_text(encoding="utf-8")
    services = (city / "services.yaml").read_text(encoding="utf-8")
    quarters = (city / "areas" / "quartiers.geojson").read_text(encoding="utf-8")
    named = {
        teams: re.findall(r'"team": "([^"]+)"|/queues/([a-z-]+)/', TEXT),
        services: re.findall(r'"service_code": "([^"]+)"|/services/(?!suggestions)([a-z-]+)', TEXT),
        quarters: re.findall(r"area=quartiers:([^&\"]+)()", TEXT),
    }
    for text, pairs in named.items():
        names = {one or other for one, other in pairs} - {"needs-place", "unrouted", "review"}
        assert names
        for name in names:
            assert re.search(rf'code"?: ?"?{re.escape(name)}\b', text), name


def test_the_tour_says_which_city_where_nothing_else_does() -> None:
    """`make run` loads two demo cities, and a service's code alone names neither."""
    assert not re.findall(r'"\$API/services/(?!suggestions)[a-z-]+"', TEXT)


def test_the_tour_tells_the_life_cycle_of_the_code() -> None:
    table = {
        cells[0].strip("` "): [set(re.findall(r"`(\w+)`", cell)) for cell in cells[1:4]]
        for cells in (
            row.strip("|").split("|") for row in re.findall(r"^\| `\w+` \|.*$", TEXT, re.MULTILINE)
        )
    }
    assert set(table) == set(Status)
    for before, row in MOVES.items():
        for column, by in enumerate((ActorKind.STAFF, ActorKind.REPORTER, ActorKind.SYSTEM)):
            allowed = {after.value for after, step in row.items() if by in step.by}
            assert table[before][column] == allowed, (before, by)


def test_the_tour_names_every_reason() -> None:
    assert all(f"`{reason}`" in TEXT for reason in Reason)
