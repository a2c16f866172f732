"""`flask evaluate bumps`: the tables it writes, alone, without a server or a database."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.evaluating.bumps import bumps_command
from sensing import simulation
from tests.sensing.roads import holes, shared_file, trip_over


@pytest.fixture
def trips(tmp_path: Path) -> list[Path]:
    """Three laps over the same holes, as files."""
    paths = []
    for seed in range(3):
        path = tmp_path / f"lap{seed}.csv"
        path.write_bytes(simulation.csv_of(trip_over(holes(300.0, 600.0), seed=seed)))
        paths.append(path)
    return paths


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_detections_and_defects_are_written(trips: list[Path], tmp_path: Path) -> None:
    out, fused = tmp_path / "bumps.csv", tmp_path / "defects.geojson"
    run = CliRunner().invoke(
        bumps_command,
        ["--trips", *map(str, trips), "--out", str(out), "--fused", str(fused)],
    )
    assert run.exit_code == 0, run.output
    rows = rows_of(out)
    assert set(rows[0]) == {"trip", "t", "lat", "lon", "severity"}
    assert {row["trip"] for row in rows} <= {"lap0", "lap1", "lap2"}
    told = json.loads(fused.read_text(encoding="utf-8"))
    assert told["type"] == "FeatureCollection"
    for feature in told["features"]:
        lon, lat = feature["geometry"]["coordinates"]
        assert 3.8 < lon < 3.9
        assert 43.5 < lat < 43.7


def test_labels_beside_a_trip_are_not_read_when_it_is_judged(
    trips: list[Path], tmp_path: Path
) -> None:
    for path in trips:
        path.with_name(f"{path.stem}_labels.csv").write_text("no labels at all")
    run = CliRunner().invoke(
        bumps_command, ["--trips", *map(str, trips), "--out", str(tmp_path / "o.csv")]
    )
    assert run.exit_code == 0, run.output


def test_a_file_that_is_no_trip_takes_no_other_away(trips: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    bad.write_text("t,lat,lon,speed_ms,ax,ay,az\n1,2,3,4,5,6,7\n")
    run = CliRunner().invoke(
        bumps_command,
        ["--trips", str(bad), str(empty), *map(str, trips), "--out", str(tmp_path / "o.csv")],
    )
    assert run.exit_code == 0, run.output
    assert "bad.csv: left out" in run.output
    assert rows_of(tmp_path / "o.csv")


def test_trips_or_clips_must_be_given(tmp_path: Path) -> None:
    run = CliRunner().invoke(bumps_command, ["--out", str(tmp_path / "o.csv")])
    assert run.exit_code == 2


def test_real_laps_are_found_far_better_than_by_chance() -> None:
    paths = [shared_file("pittsburgh", f"trip{number}.csv") for number in (1, 2, 3)]
    run = CliRunner().invoke(bumps_command, ["--trips", *map(str, paths)])
    assert run.exit_code == 0, run.output
    one_s = next(line for line in run.output.splitlines() if "±1 s" in line)
    assert float(one_s.split("F1 ")[1].split()[0]) > 0.48
    fused = next(line for line in run.output.splitlines() if "2 or more" in line)
    assert float(fused.split("precision ")[1].split()[0]) > 0.75
    assert float(fused.split("recall ")[1].split()[0]) > 0.81


def test_real_phones_of_boston_run_clean(tmp_path: Path) -> None:
    paths = [shared_file("boston2011", name) for name in ("SelfTest.csv", "SelfTest_newdata.csv")]
    run = CliRunner().invoke(
        bumps_command, ["--trips", *map(str, paths), "--out", str(tmp_path / "o.csv")]
    )
    assert run.exit_code == 0, run.output
    assert rows_of(tmp_path / "o.csv")


def test_real_clips_are_told_apart_without_their_labels(tmp_path: Path) -> None:
    import gzip

    lines = gzip.decompress(shared_file("gonzalez", "series.csv.gz").read_bytes()).decode()
    header, *rows = lines.strip().splitlines()
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("\n".join([header, *(row for at, row in enumerate(rows) if at % 4)]))
    hidden = [row for at, row in enumerate(rows) if not at % 4]
    test.write_text("\n".join([header, *("?," + row.split(",", 1)[1] for row in hidden)]))
    out = tmp_path / "o.csv"
    run = CliRunner().invoke(
        bumps_command,
        ["--clips", str(train), "--clips-test", str(test), "--out", str(out)],
    )
    assert run.exit_code == 0, run.output
    told = rows_of(out)
    assert set(told[0]) == {"series_id", "label", "pothole_probability"}
    right = sum(
        row["label"] == line.split(",", 1)[0] for row, line in zip(told, hidden, strict=True)
    )
    assert right / len(told) > 0.6


def test_a_table_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    trip = shared_file("pittsburgh", "trip1.csv")
    out = tmp_path / "nowhere" / "o.csv"
    run = CliRunner().invoke(bumps_command, ["--trips", str(trip), "--out", str(out)])
    assert run.exit_code == 1
    assert run.output.splitlines()[-1].startswith("Error: ")
