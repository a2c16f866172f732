"""`flask jurisdictions …` as an operator sees it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from app.boston import code_of
from app.city_reading import read_city
from core.db import db
from geo.models import Jurisdiction

CITIES = Path(__file__).parents[2] / "cities"
DATA = Path(__file__).parents[3] / "shared/data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the small demo city."""
    copy = tmp_path / "boston"
    shutil.copytree(CITIES / "boston", copy)
    return copy


def flask(app: Flask, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    result = app.test_cli_runner().invoke(args=["jurisdictions", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_load_says_what_changed_and_the_second_time_that_nothing_did(
    committed_db: Flask, folder: Path
) -> None:
    code, out, _ = flask(committed_db, "load", str(folder))
    assert code == 0
    assert "services             8        0       0       0" in out
    assert "asset kinds          1        0       0       0" in out
    assert "assets           13253        0       0       0" in out
    assert "boston: loaded, version 2" in out
    code, out, _ = flask(committed_db, "load", str(folder))
    assert code == 0
    assert "boston: nothing changed, version 2" in out
    assert flask(committed_db, "list")[1] == "boston  version 2  Boston\n"


def test_a_broken_folder_lists_its_faults_and_changes_nothing(
    committed_db: Flask, folder: Path
) -> None:
    path = folder / "teams.yaml"
    path.write_text(path.read_text().replace("digest: daily", "digest: sometimes"))
    code, out, err = flask(committed_db, "load", str(folder))
    assert code == 1
    assert out == ""
    assert err.splitlines()[0].startswith("teams.yaml:")
    assert err.splitlines()[-1] == "2 faults; nothing was changed."
    with committed_db.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Jurisdiction)) == 0


def test_check_reads_the_folder_and_loads_nothing(committed_db: Flask, folder: Path) -> None:
    code, out, _ = flask(committed_db, "load", "--check", str(folder))
    assert code == 0
    assert out == "boston: the folder is right; nothing was loaded.\n"
    assert flask(committed_db, "list")[1] == ""


def test_build_boston_needs_its_data(app: Flask, tmp_path: Path) -> None:
    code, _, err = flask(app, "build-boston", str(tmp_path), str(tmp_path / "out"))
    assert code == 1
    assert "boston311/cases.csv.gz" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder of evaluation data is not here")
def test_the_real_boston_loads_over_the_demo_and_back(
    committed_db: Flask, folder: Path, tmp_path: Path
) -> None:
    real = tmp_path / "real"
    code, out, _ = flask(committed_db, "build-boston", str(DATA), str(real))
    assert code == 0
    assert out.split()[:10] == [
        *("wards", "22", "neighborhoods", "26", "services", "134"),
        *("teams", "101", "rules", "63"),
    ]
    city = read_city(real)
    assert {rule.team for rule in city.rules} <= {team.code for team in city.teams}
    assert code_of("Missed Trash/Recycling/Yard Waste/Bulk Item") in {
        service.code for service in city.services
    }
    for source in (folder, real, folder):
        code, out, err = flask(committed_db, "load", str(source))
        assert (code, err) == (0, "")
    assert "services             8        0     134       0" in out
