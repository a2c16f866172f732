"""`flask assets …` as an operator sees it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from accounts.models import AuditEntry
from assets.models import Asset
from core.db import db, transaction
from geo import jurisdictions
from tests.assets.files import around, csv_file, positions
from tests.factories import new_asset_kind, new_jurisdiction


@pytest.fixture
def app(committed_db: Flask) -> Flask:
    """An installation with a city that has hydrants."""
    with committed_db.app_context():
        jurisdictions.forget()
        with transaction() as session:
            new_asset_kind(session, new_jurisdiction(session, code="ville"), code="hydrant")
        jurisdictions.forget()
    return committed_db


def flask(app: Flask, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    result = app.test_cli_runner().invoke(args=["assets", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def bring(app: Flask, path: Path, *options: str | Path) -> tuple[int, str, str]:
    return flask(app, "import", path, "--kind", "hydrant", "--jurisdiction", "ville", *options)


def count(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(sa.select(sa.func.count()).select_from(Asset)) or 0


def test_an_import_says_what_it_did_and_a_dry_run_what_it_would(app: Flask, tmp_path: Path) -> None:
    path = csv_file(tmp_path / "h.csv", positions(around(20)))
    code, out, _ = bring(app, path, "--dry-run")
    assert code == 0
    assert "new              20  1, 2, 3," in out
    assert "hydrant: dry run, nothing was changed" in out
    assert count(app) == 0
    code, out, _ = bring(app, path)
    assert (code, count(app)) == (0, 20)
    assert "hydrant: imported" in out
    # The only city needs no name.
    code, out, _ = flask(app, "import", path, "--kind", "hydrant")
    assert "hydrant: nothing changed" in out
    assert "same             20" in out


def test_rows_that_were_put_aside_are_listed_written_and_kept(app: Flask, tmp_path: Path) -> None:
    path = csv_file(tmp_path / "h.csv", [*positions(around(20)), ("21", "x", "y")])
    errors = tmp_path / "errors.csv"
    code, out, err = bring(app, path, "--errors", errors)
    assert code == 0
    assert "put aside         1" in out
    assert "h.csv:22: the position (y, x) is not two numbers" in err
    with errors.open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["line"], row["code"], row["reason"]) == ("22", "21", "not_a_number")
    _, listed, _ = flask(app, "imports")
    assert "hydrant  h.csv: 20 new, 1 quarantined" in listed
    run = listed.split()[0]
    _, kept, _ = flask(app, "quarantine", run)
    assert kept.splitlines()[1] == errors.read_text(encoding="utf-8").splitlines()[1]


def test_a_refusal_is_one_sentence_and_changes_nothing(app: Flask, tmp_path: Path) -> None:
    path = csv_file(tmp_path / "h.csv", positions(around(20)))
    bring(app, path)
    csv_file(path, positions(around(10)))
    code, out, err = bring(app, path)
    assert (code, out) == (2, "")
    assert "10 of 20 known ones are not in the file any more, more than 10%" in err
    assert "Nothing was changed." in err
    (tmp_path / "empty.csv").touch()
    assert "the file is empty. Nothing was changed." in bring(app, tmp_path / "empty.csv")[2]
    code, _, err = flask(app, "import", path, "--kind", "tree", "--jurisdiction", "ville")
    assert (code, "no kind of asset 'tree'" in err) == (2, True)
    assert "Give --allow-loss a reason." in bring(app, path, "--allow-loss", " ")[2]
    code, _, _ = bring(app, path, "--allow-loss", "Ten were dug out in May")
    assert code == 0
    assert "allowed: Ten were dug out in May" in flask(app, "imports", "--jurisdiction", "ville")[1]
    with app.app_context():
        entry = db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id.desc())).first()
        assert entry is not None
        assert entry.data["is_loss_allowed"] is True
        assert "May" not in str(entry.data)


def test_a_mapping_says_how_a_file_is_written(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text("Num;Y;X;Désignation\n1;43,6086;3,8797;Comédie\n", encoding="latin-1")
    assert "not UTF-8" in bring(app, path)[2]
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        "code: Num\nlat: Y\nlon: X\nencoding: latin-1\nattributes: {name: Désignation}\n"
    )
    code, _, err = bring(app, path, "--mapping", mapping)
    assert (code, err) == (0, "")
    with app.app_context():
        asset = db.session.scalars(sa.select(Asset)).one()
        assert (asset.code, asset.lat, asset.attributes) == ("1", 43.6086, {"name": "Comédie"})
    mapping.write_text("kode: Num\n")
    assert "mapping.yaml: unknown key “kode”" in bring(app, path, "--mapping", mapping)[2]
    mapping.write_text("- Num\n")
    assert "must be a list of “key: value” lines" in bring(app, path, "--mapping", mapping)[2]
