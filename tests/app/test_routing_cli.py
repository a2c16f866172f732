"""`flask routing …`: checked, tried, learned, accepted, and put back."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from core.db import transaction
from geo import jurisdictions
from tests.factories import COMEDIE, new_area, new_jurisdiction, new_service, new_team

COLUMNS = (
    *("id", "opened_at", "closed_at", "due_at", "type", "reason", "department", "queue", "source"),
    *("address", "lat", "lon", "ward", "fallback_location"),
)
RULES = "rule lamps\n  when service lamp\n  then team lights\n\notherwise team desk\n"


def flask(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["routing", *arguments])


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Sixty days: lamps go to the lights, everything else to the desk; two days each."""
    path = tmp_path / "cases.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for number in range(240):
            opened = datetime(2026, 3, 2, 9, tzinfo=UTC) + timedelta(hours=6 * number)
            kind = ("Lamp", "Hole")[number % 2]
            writer.writerow(
                {
                    "id": number,
                    "opened_at": f"{opened:%Y-%m-%d %H:%M:%S}",
                    "closed_at": f"{opened + timedelta(days=1):%Y-%m-%d %H:%M:%S}",
                    "due_at": f"{opened + timedelta(days=2):%Y-%m-%d %H:%M:%S}",
                    "type": kind,
                    "reason": "Street",
                    "department": "City",
                    "queue": {"Lamp": "Lights", "Hole": "Desk"}[kind],
                    "source": "Self Service",
                    "lat": COMEDIE.lat,
                    "lon": COMEDIE.lon,
                    "ward": "Ward 1",
                    "fallback_location": "0",
                }
            )
    return path


@pytest.fixture
def city(committed_db: Flask) -> str:
    with committed_db.app_context(), transaction() as session:
        place = new_jurisdiction(session)
        new_area(session, place)
        for code in ("desk", "lights"):
            new_team(session, place, code=code, names={"fr": code, "en": code.title()})
        for code in ("lamp", "hole"):
            new_service(session, place, code=code, names={"fr": code, "en": code.title()})
        code = place.code
    jurisdictions.forget()
    return code


def written(tmp_path: Path, text: str, name: str = "new.rules") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_rules_are_checked_without_a_city(app: Flask, tmp_path: Path) -> None:
    assert flask(app, "check", written(tmp_path, RULES)).exit_code == 0
    broken = flask(app, "check", written(tmp_path, "rule a wen x\notherwise team y\n"))
    assert broken.exit_code == 1
    assert ":line 1 at “wen”: expected when" in broken.output


def test_what_a_file_teaches_agrees_with_the_file(app: Flask, cases: Path, tmp_path: Path) -> None:
    out, levels = tmp_path / "learned.rules", tmp_path / "levels.yaml"
    learned = flask(app, "learn", "--cases", str(cases), "--out", str(out), "--levels", str(levels))
    assert learned.exit_code == 0, learned.output
    assert "100 % of them went to the team" in out.read_text()
    assert "{hours: 48, clock: calendar}" in levels.read_text()
    tried = flask(app, "try", "--rules", str(out), "--cases", str(cases))
    assert "240 reports looked at, 0 would go elsewhere" in tried.output


def test_a_trial_shows_counts_examples_and_totals(app: Flask, cases: Path, tmp_path: Path) -> None:
    rules = written(tmp_path, "otherwise team desk\n")
    tried = flask(app, "try", "--rules", rules, "--cases", str(cases))
    assert tried.exit_code == 0
    assert "240 reports looked at, 120 would go elsewhere" in tried.output
    assert "120  lights → desk" in tried.output
    assert "by otherwise (120); such as 0, 2, 4, 6, 8" in tried.output
    faulty = flask(app, "try", "--rules", written(tmp_path, "x"), "--cases", str(cases))
    assert faulty.exit_code == 1


def test_a_city_learns_tries_accepts_and_goes_back(
    committed_db: Flask, city: str, cases: Path, tmp_path: Path
) -> None:
    here = ("--jurisdiction", city)
    first = written(tmp_path, "otherwise team desk\n", "first.rules")
    assert (
        "version 1 of the rules is in force" in flask(committed_db, "accept", first, *here).output
    )
    out = tmp_path / "learned.rules"
    learned = flask(committed_db, "learn", "--cases", str(cases), "--out", str(out), *here)
    assert learned.exit_code == 0, learned.output
    tried = flask(committed_db, "try", "--rules", str(out), "--cases", str(cases), *here)
    assert "120  desk → lights" in tried.output
    assert "version 2" in flask(committed_db, "accept", str(out), *here).output
    assert "nothing changed" in flask(committed_db, "accept", str(out), *here).output
    assert flask(committed_db, "show", *here).output == out.read_text()
    assert "version 3" in flask(committed_db, "restore", "1", *here).output
    assert flask(committed_db, "show", *here).output == "otherwise team desk\n"
    told = flask(committed_db, "history", *here).output.splitlines()
    assert [line.split()[0] for line in told] == ["3", "2", "1"]
    assert told[0].endswith("version 1 again")
    empty = flask(committed_db, "try", "--rules", str(out), "--days", "30", *here)
    assert "0 reports looked at" in empty.output


def test_rules_for_another_city_are_refused_and_nothing_changes(
    committed_db: Flask, city: str, tmp_path: Path
) -> None:
    here = ("--jurisdiction", city)
    strange = written(tmp_path, "otherwise team firemen\n")
    refused = flask(committed_db, "accept", strange, *here)
    assert refused.exit_code == 1
    assert "line 1 at “firemen”: there is no team of this code" in refused.output
    assert flask(committed_db, "history", *here).output == ""
    assert flask(committed_db, "show", "--jurisdiction", "nowhere").exit_code == 1


def test_a_folder_that_is_not_there_is_said_before_anything_is_learned(
    app: Flask, cases: Path, tmp_path: Path
) -> None:
    for option in ("--out", "--levels"):
        made = flask(app, "learn", "--cases", str(cases), option, str(tmp_path / "none" / "x"))
        assert (made.exit_code, "there is no folder" in made.output) == (2, True)


def test_the_mark_that_editors_put_first_is_no_word(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "new.rules"
    path.write_text(RULES, encoding="utf-8-sig")
    assert flask(app, "check", str(path)).exit_code == 0
