"""Past cases judged in memory as production judges them: what is known when, and what is learnt."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from geo.measures import Point
from reports import case_files
from reports.case_files import CaseFileError, PastCase
from reports.duplicates import replaying, training
from reports.duplicates.features import Kind
from reports.duplicates.judging import default_model
from reports.duplicates.model import Decider, Model
from reports.duplicates.replaying import City, Decided, Label
from reports.duplicates.rules import Candidate, Features, Scope, Search
from reports.duplicates.stock import MOST, Stock
from tests.geo.cities import SHARED

BOSTON = SHARED / "boston311"

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
HERE = Point(48.85, 2.35)
DEGREE_M = 1 / 111_200


def case(number: int, hours: float = 0.0, metres: float = 0.0, **values: Any) -> PastCase:
    return PastCase(
        **{"line": number + 1, "id": str(number), "opened_at": NOW + timedelta(hours=hours),
           "closed_at": None, "type": "Street Light Outages", "address": None,
           "point": Point(HERE.lat + metres * DEGREE_M, HERE.lon), **values}
    )  # fmt: skip


def decided(cases: Sequence[PastCase], before: Sequence[PastCase] = ()) -> dict[str, Decided]:
    return {each.id: each for each in replaying.decide(default_model(), PARIS, cases, before)}


def test_nothing_of_the_future_is_a_candidate() -> None:
    cases = [case(number, hours=number) for number in range(6)]
    made = decided(cases[::-1])
    assert made["0"].candidates == ()
    for number in range(1, 6):
        assert set(made[str(number)].candidates) <= {str(other) for other in range(number)}


def test_a_closing_in_the_future_changes_nothing_now() -> None:
    first = case(1)
    later = case(2, hours=5)
    open_ = decided([first, later])["2"]
    closed_later = replace(first, closed_at=NOW + timedelta(hours=6))
    assert decided([closed_later, later])["2"] == open_
    closed_before = replace(first, closed_at=NOW + timedelta(hours=1))
    assert decided([closed_before, later])["2"].score < open_.score


def test_cases_that_came_before_can_be_named_once() -> None:
    made = decided([case(2, hours=1), case(3, hours=2)], [case(1), case(2, hours=1)])
    assert list(made) == ["2", "3"]
    assert made["2"].candidates == ("1",)
    assert sorted(made["3"].candidates) in (["1", "2"], ["1"])


def test_cases_without_a_position_are_decided_too() -> None:
    made = decided([case(1), case(2, hours=1, point=None), case(3, hours=2)])
    assert (made["2"].is_duplicate, made["2"].candidates) == (False, ())
    assert "1" in made["3"].candidates


def test_a_source_that_knows_days_only_is_recognised() -> None:
    midnight = datetime(2026, 5, 4, tzinfo=PARIS).astimezone(UTC)
    dated = [case(number, opened_at=midnight + timedelta(days=number)) for number in range(4)]
    assert City(PARIS).is_dated(dated)
    assert not City(PARIS).is_dated([*dated, case(9)])
    assert not City(PARIS).is_dated([])


def test_what_was_closed_on_a_day_is_open_all_day_where_hours_are_unknown() -> None:
    scope = Scope("light", (1,), 60.0, 30.0)
    report = Features(UUID(int=9), 1, NOW, HERE, scope)
    closed = Candidate(UUID(int=1), 1, NOW - timedelta(days=3), HERE, closed_at=NOW)
    search = Search((1,), 60.0, NOW - timedelta(days=30), NOW, NOW - timedelta(days=14))
    for has_time, expected in ((True, NOW), (False, None)):
        stock = Stock(HERE.lat)
        stock.add(closed, has_time=has_time)
        assert [each.closed_at for each in stock.near(report, search)] == [expected]


def test_of_thousands_at_one_point_no_more_than_production_sees_are_seen() -> None:
    stock = Stock(HERE.lat)
    for number in range(1, 1001):
        at = NOW - timedelta(minutes=number)
        point = Point(HERE.lat + number % 50 * DEGREE_M, HERE.lon)
        stock.add(Candidate(UUID(int=number), 1, at, point))
    report = Features(UUID(int=9999), 1, NOW, HERE, Scope("light", (1,), 60.0, 30.0))
    search = Search((1,), 60.0, NOW - timedelta(days=30), NOW)
    near = stock.near(report, search)
    assert len(near) == MOST
    assert all(each.point and each.point.lat - HERE.lat < 11 * DEGREE_M for each in near)


def test_labels_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,duplicate,parent_id\n1,0,\n2,1,1\n3,true,\n", encoding="utf-8")
    assert replaying.read_labels(path) == {
        "1": Label(False, None),
        "2": Label(True, "1"),
        "3": Label(True, None),
    }
    path.write_text("id,duplicate\n1,0\n", encoding="utf-8")
    with pytest.raises(CaseFileError, match="lacks the column parent_id"):
        replaying.read_labels(path)


def a_past(count: int = 900) -> tuple[list[PastCase], dict[str, Label]]:
    """A city where a third of the lamps are told of twice, of which staff notice most."""
    draw = random.Random(7)
    cases: list[PastCase] = []
    labels: dict[str, Label] = {}
    number = 0
    for turn in range(count):
        number += 1
        hours = turn * 2.0
        far = draw.uniform(-40_000, 40_000)
        kind = draw.choice(["Lamp", "Tree"])
        address = f"{draw.randint(1, 90)} rue Foch"
        closed_at = NOW + timedelta(hours=hours + 90)
        shared = {"type": kind, "address": address, "closed_at": closed_at, "reason": kind}
        cases.append(case(number, hours, far, **shared))
        labels[str(number)] = Label(False, None)
        if kind == "Lamp" and draw.random() < 0.4:
            number += 1
            cases.append(case(number, hours + draw.uniform(0.1, 4), far + 1, **shared))
            labels[str(number)] = Label(draw.random() < 0.9, str(number - 1))
    return cases, labels


def test_a_city_teaches_what_its_staff_said() -> None:
    cases, labels = a_past()
    city, pasts = replaying.pasts(cases, labels, PARIS)
    model = training.train(pasts, city.kinds, version="t", record={"source": "a test"})
    assert Model.load(model.as_text()) == model
    assert model.record["duplicates"] == sum(label.is_duplicate for label in labels.values())
    assert set(model.tables.services) == {"lamp", "tree"}
    made = {each.id: each for each in replaying.decide(model, PARIS, cases)}
    flagged = [id_ for id_, each in made.items() if each.is_duplicate]
    true = [id_ for id_ in flagged if labels[id_].is_duplicate]
    assert len(true) > 0.9 * len(flagged)
    assert len(true) > 0.8 * sum(label.is_duplicate for label in labels.values())
    assert all(made[id_].parent == labels[id_].parent for id_ in true)


def test_too_little_to_learn_from_is_said() -> None:
    cases, labels = a_past(30)
    city, pasts = replaying.pasts(cases, labels, PARIS)
    with pytest.raises(training.TooLittleError, match="30 are needed"):
        training.train(pasts, city.kinds, version="t", record={})


@pytest.mark.parametrize(
    ("repeats", "duplicates", "expected"), [(40, 20, 0.60), (10, 30, 0.70), (0, 0, 0.99)]
)
def test_staff_are_asked_as_often_as_the_simple_rule_would_or_as_they_said_yes(
    repeats: int, duplicates: int, expected: float
) -> None:
    from reports.duplicates.model import DECIDING

    share = np.linspace(0.99, 0.0, 100).clip(0.001)
    values = np.full((100, len(DECIDING)), math.log1p(24 * 75))
    values[:repeats, DECIDING.index("since_point")] = math.log1p(24 * 6.9)
    truth = np.zeros(100)
    truth[:duplicates] = 1
    asked = training._asking(np.log(share / (1 - share)), values, truth, 1.0)
    assert asked == pytest.approx(expected)


def test_the_trees_that_are_kept_say_what_the_library_says() -> None:
    draw = np.random.default_rng(3)
    names = ("distance", "elapsed", "same")
    x = np.round(draw.normal(size=(800, 3)), 2)
    truth = (draw.random(800) < 1 / (1 + np.exp(x[:, 0] - x[:, 2]))).astype(float)
    base, trees = training._grow(x, truth, names)
    booster = HistGradientBoostingClassifier(
        max_iter=80, learning_rate=0.06, max_leaf_nodes=4, min_samples_leaf=40,
        l2_regularization=5.0, monotonic_cst=[-1, -1, 1], early_stopping=False, random_state=1,
    ).fit(x, truth)  # fmt: skip
    ours = Decider(names, 0.0, (0.0, 0.0, 0.0), base, trees, 0.5, 1.0)
    from reports.duplicates.model import DECIDING

    places = [DECIDING.index(name) for name in names]
    for row, expected in zip(x, booster.decision_function(x), strict=True):
        values = [0.0] * len(DECIDING)
        for place, value in zip(places, row, strict=True):
            values[place] = float(value)
        assert 2 * ours.log_odds(values) == pytest.approx(expected, abs=0.002)


def test_own_kinds_are_numbered_in_the_order_of_their_first_mention() -> None:
    city = City(PARIS)
    city.learn_services([case(1, type="B", reason="x"), case(2, type="A"), case(3, type="B")])
    assert city.kinds == {1: Kind("b", "x"), 2: Kind("a", "")}


@pytest.mark.skipif(not BOSTON.is_dir(), reason="shared/data/boston311 is not there")
def test_a_fortnight_of_boston_is_decided_better_than_by_any_neighbour() -> None:
    file = case_files.read(BOSTON / "cases.csv.gz", ZoneInfo("America/New_York"), now=NOW)
    start = datetime(2011, 9, 1, tzinfo=UTC)
    cases = [each for each in file.cases if start <= each.opened_at < start + timedelta(days=14)]
    labels = replaying.read_labels(BOSTON / "duplicates.csv")
    made = decided(cases)
    assert len(made) == len(cases) > 3000
    flagged = {id_ for id_, each in made.items() if each.is_duplicate}
    near = {id_ for id_, each in made.items() if each.candidates}
    duplicates = {each.id for each in cases if labels[each.id].is_duplicate}

    def f1(said: set[str]) -> float:
        return 2 * len(said & duplicates) / (len(said) + len(duplicates))

    assert f1(flagged) > 2 * f1(near)
    by_id = {each.id: each for each in cases}
    for id_, each in made.items():
        assert all(by_id[other].opened_at <= by_id[id_].opened_at for other in each.candidates)


def test_candidates_are_written_best_first_and_few() -> None:
    cases = [case(number, hours=number / 10, metres=number) for number in range(40)]
    made = decided(cases)
    assert len(made["39"].candidates) == replaying.WRITTEN
    assert len(set(made["39"].candidates)) == replaying.WRITTEN


def test_the_file_that_is_written_has_the_columns_of_the_contract(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from app.evaluating.duplicates import duplicates_command

    cases_file, out = tmp_path / "cases.csv", tmp_path / "out.csv"
    with cases_file.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(case_files.NEEDED)
        for number in range(3):
            at = f"2012-01-0{number + 1}T10:00:00"
            writer.writerow([number, at, "", "Graffiti", "1 rue Foch", 48.85, 2.35, 0])
        writer.writerow(["x", "2012-01-09T10:00:00", "", "Graffiti", "2 rue Foch", "", "", 1])
    result = CliRunner().invoke(duplicates_command, ["--cases", str(cases_file), "--out", str(out)])
    assert result.exit_code == 0, result.output
    with out.open(encoding="utf-8") as written:
        rows = list(csv.DictReader(written))
    assert [row["id"] for row in rows] == ["0", "1", "2", "x"]
    assert list(rows[0]) == ["id", "duplicate", "parent_id", "score", "candidates"]
    assert rows[1]["candidates"] == "0"
    assert rows[3]["candidates"] == ""


def test_a_zone_that_does_not_exist_is_said_so(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from app.evaluating.duplicates import duplicates_command

    path = tmp_path / "cases.csv"
    path.touch()
    result = CliRunner().invoke(
        duplicates_command,
        ["--cases", str(path), "--out", str(tmp_path / "o"), "--zone", "Mars/Base"],
    )
    assert result.exit_code == 2
    assert "There is no time zone 'Mars/Base'" in result.output
