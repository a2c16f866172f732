"""Rules learned from past cases: readable, minimal, and no finer than the history bears."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from geo.measures import Point
from reports.case_files import PastCase
from reports.routing import learning
from reports.routing.evaluation import Router, rolling
from reports.routing.grammar import parse
from reports.routing.past import AreaMemory, CodeBook, Past, area_code, source_of
from reports.routing.rules import Subject

START = datetime(2011, 7, 1, 8, tzinfo=UTC)


def past(day: float, service: str, team: str, **more: object) -> Past:
    area = more.pop("ward", "")
    values: dict[str, object] = {
        "id": f"{day}-{service}-{team}-{area}",
        "group": "street",
        "source": "phone",
        "at": START + timedelta(days=day),
        "point": None,
        "areas": {"ward": area} if area else {},
        "team": team,
    }
    return Past(service=service, **{**values, **more})  # type: ignore[arg-type]


def potholes() -> list[Past]:
    """Two districts mend holes; lamps have one team everywhere."""
    cases = []
    for day in range(90):
        for ward, team in (("1", "north"), ("2", "south")):
            cases.append(past(day, "pothole", team, ward=ward))
            cases.append(past(day + 0.3, "sidewalk", team, ward=ward))
            cases.append(past(day + 0.5, "lamp", "lights", ward=ward))
            cases.append(past(day + 0.6, "flag", "lights", ward=ward))
    return cases


def test_services_that_go_the_same_ways_share_a_rule() -> None:
    table = learning.learn(potholes())
    rules = parse(learning.as_text(table))
    # Of two equal teams one is the rest; the other district has the only rule of its own.
    assert [(rule.team, len(rule.conditions)) for rule in rules] == [
        ("north", 2),
        ("south", 1),
        ("lights", 0),
    ] or [(rule.team, len(rule.conditions)) for rule in rules] == [
        ("south", 2),
        ("north", 1),
        ("lights", 0),
    ]
    services, areas = rules[0].conditions
    assert (services.subject, services.values) == (Subject.SERVICE, ("pothole", "sidewalk"))
    assert (areas.subject, areas.key) == (Subject.AREA, "ward")


def test_each_rule_says_how_many_cases_bear_it_and_how_many_agree() -> None:
    table = learning.learn([*potholes(), past(89.9, "pothole", "odd", ward="1")])
    assert sum(rule.cases for rule in table.rules) == table.cases
    text = learning.as_text(table)
    assert "went there; in the last 30 days" in text
    assert "odd" not in text


def test_the_text_comes_back_from_the_grammar_as_the_same_rules() -> None:
    table = learning.learn(potholes())
    read = parse(learning.as_text(table))
    assert [rule.team for rule in read] == [rule.team for rule in table.rules]


def test_chance_makes_no_rule() -> None:
    chance = random.Random(5)
    cases = [
        past(day / 3, "pothole", chance.choice(("north", "south", "south")), ward=str(day % 9))
        for day in range(270)
    ]
    assert [rule.team for rule in learning.learn(cases).rules] == ["south"]


def test_a_team_that_took_over_gets_what_comes_next() -> None:
    cases = [past(day, "lamp", "old" if day < 60 else "new") for day in range(90)]
    assert learning.learn(cases).rules[-1].team == "new"


def test_nothing_is_learned_from_nothing() -> None:
    with pytest.raises(ValueError, match="no case"):
        learning.learn([past(0, "lamp", "")])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Ward 3", "3"),
        ("03", "3"),
        ("1C", "1c"),
        ("10B", "10b"),
        ("South End", "south-end"),
        ("Allston / Brighton", "allston-brighton"),
        ("0", "0"),
    ],
)
def test_one_area_has_one_code(name: str, code: str) -> None:
    assert area_code(name) == code


def test_two_names_never_share_a_code() -> None:
    book = CodeBook()
    codes = [book.code(name) for name in ("PWDx_Graffiti", "PWDx Graffiti", "PWDx_Graffiti", "?")]
    assert codes == ["pwdx-graffiti", "pwdx-graffiti-2", "pwdx-graffiti", "none"]
    assert [book.name(code) for code in codes][1] == "PWDx Graffiti"


def test_other_systems_ways_in_are_ours() -> None:
    said = ("Constituent Call", "Self Service", "app", "Carrier pigeon", "")
    assert [source_of(name) for name in said] == ["phone", "web", "app", "import", "import"]


def test_a_case_without_its_area_has_that_of_its_neighbours() -> None:
    here, there = Point(42.36, -71.06), Point(42.30, -71.10)
    known = [
        past(0, "lamp", "a", ward="1", point=here),
        past(0, "lamp", "a", ward="2", point=there),
    ]
    memory = AreaMemory(known)
    bare = past(1, "lamp", "a", point=Point(42.3601, -71.0601))
    assert memory.completed(bare).areas == {"ward": "1"}
    assert memory.completed(past(1, "lamp", "a")).areas == {}
    assert memory.completed(known[1]) is known[1]


_ids = itertools.count(1)


def case(day: float, kind: str, ward: str, queue: str, days_due: int | None = 2) -> PastCase:
    opened = START + timedelta(days=day)
    return PastCase(
        line=1,
        id=str(next(_ids)),
        opened_at=opened,
        closed_at=opened + timedelta(days=1),
        type=kind,
        address=None,
        point=None,
        reason="Street",
        department=queue.split("_")[0],
        queue=queue,
        due_at=None if days_due is None else opened + timedelta(days=days_due),
        areas=(("ward", ward),),
    )


def history() -> list[PastCase]:
    return [
        case(day + hour, "Pothole", f"Ward {ward}", f"PWD_District {ward}")
        for day in range(100)
        for ward in (1, 2)
        for hour in (0, 0.1)
    ]


def routed(router: Router, cases: Sequence[PastCase]) -> list[tuple[str, str]]:
    return [(found.department, found.queue) for found in map(router.route, cases)]


def test_a_router_answers_in_the_words_of_the_file() -> None:
    router = Router.learn(history(), ZoneInfo("UTC"))
    unknown = case(101, "Something new", "Ward 2", "")
    assert routed(router, [case(101, "Pothole", "02", "x"), unknown])[0] == (
        "PWD",
        "PWD_District 2",
    )
    answer = router.route(unknown)
    assert answer.queue.startswith("PWD_District")
    assert answer.due_at == unknown.opened_at + timedelta(days=2)


def test_what_the_city_decided_about_the_judged_case_changes_nothing() -> None:
    router = Router.learn(history(), ZoneInfo("UTC"))
    plain = case(101, "Pothole", "Ward 1", "")
    told = replace(
        plain, queue="BTDT_Other", department="BTDT", due_at=plain.opened_at, closed_at=None
    )
    assert replace(router.route(told), id="") == replace(router.route(plain), id="")


def test_each_month_is_judged_by_those_before_it() -> None:
    months = list(rolling(history(), ZoneInfo("UTC")))
    assert [month.name for month in months] == ["2011-08", "2011-09", "2011-10"]
    assert all(month.queue.right == month.queue.of for month in months)
    assert months[0].simple_queue.right * 2 == months[0].simple_queue.of
    strict = list(rolling(history(), ZoneInfo("UTC"), closed_only=True))
    assert [month.queue for month in strict] == [month.queue for month in months]
