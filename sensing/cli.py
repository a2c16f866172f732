"""`flask sensing …`: learn the detector's weights anew; hand out traces that research may have."""

from __future__ import annotations

import csv
from pathlib import Path

import click
from flask import current_app
from flask.cli import AppGroup

from core.clock import utc_now
from core.db import reading
from core.errors import DomainError
from geo import jurisdictions

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

sensing_commands = AppGroup("sensing", help="The road felt by phones.")


@sensing_commands.command("train")
@click.option("--trips", "trip_files", type=_FILE, multiple=True, required=True)
@click.option("--clips", "clip_file", type=_FILE, required=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False, writable=True))
@click.option("--version", default="1", show_default=True, help="Name of the weights.")
def train_command(
    trip_files: tuple[Path, ...], clip_file: Path, out: Path | None, version: str
) -> None:
    """Learn from labelled trips (each beside its `NAME_labels.csv`) and clips.

    Writes the weights with a record of the training and of how good they are on what they did not
    learn from; without --out over the ones that ship with this version.
    """
    from sensing import evaluation, files, judging, learned, training

    try:
        clips = files.clips(clip_file)
        trips = [
            training.analysed(
                path.stem,
                files.trip(path),
                files.presses(path.with_name(f"{path.stem}_labels.csv")),
            )
            for path in trip_files
        ]
        judged = judging.clips(clips, repeats=2)
        left_out = judging.left_out(trips)
        scores = {
            f"f1_within_{within:.0f}_s": round(
                evaluation.f1(
                    [
                        evaluation.matched(
                            training.above(each.analysis, fitted.threshold), each.pressed_s, within
                        )
                        for each, fitted in zip(trips, left_out, strict=True)
                    ]
                ),
                3,
            )
            for within in (1.0, 2.0)
        }
        record = {
            "trained_at": utc_now().isoformat(timespec="seconds"),
            "trips": [
                {"name": each.name, "samples": len(each.trip.t_s), "presses": len(each.pressed_s)}
                for each in trips
            ],
            "one_trip_left_out": scores,
            "clips": len(clips),
            "clips_five_folds": {
                "accuracy": round(judged.accuracy.value, 3),
                "pothole_area": round(judged.pothole_area.value, 3),
            },
        }
        weights = learned.Weights(
            version, training.fit_peaks(trips), training.fit_windows(clips), record
        )
    except (files.FileError, DomainError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    target = out or learned.WEIGHTS
    try:
        training.written(weights, target)
    except OSError as error:
        raise click.ClickException(f"The weights cannot be written: {error}") from error
    click.echo(f"{target.name}: {record}")


@sensing_commands.command("export-traces")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def export_traces_command(folder: Path) -> None:
    """Write the traces that drivers gave to research into FOLDER.

    Parquet files, numbered in no order, and `traces.csv` with the month of each: no device, no
    day, no end of a drive.
    """
    from sensing import research

    try:
        if folder.exists() and any(folder.iterdir()):
            raise click.ClickException(f"{folder} is not empty.")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"Nothing can be written into {folder}: {error}") from error
    with reading() as session:
        traces = research.kept(session)
    with (folder / "traces.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "month"])
        found = research.contents(current_app.extensions["storage"], traces)
        for number, (trace, content) in enumerate(found, start=1):
            name = f"trace-{number:06d}.parquet"
            (folder / name).write_bytes(content)
            table.writerow([name, f"{trace.driven_on:%Y-%m}"])
    click.echo(f"{len(traces)} traces")


@sensing_commands.command("simulate")
@click.option("--jurisdiction", required=True, help="The city whose addresses make the streets.")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Where to send to.")
@click.option("--phones", type=click.IntRange(1, 100_000), default=20, show_default=True)
@click.option("--km", type=click.FloatRange(1.0, 10_000.0), default=5.0, show_default=True)
@click.option("--days", type=click.IntRange(1, 60), default=2, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="The same gives the same.")
def simulate_command(
    jurisdiction: str, url: str, phones: int, km: float, days: int, seed: int
) -> None:
    """Let simulated phones drive, and send their trips to a running server: a load, and a trial.

    The streets are made of the city's addresses, what lies in them is drawn at random. Each phone
    drives once on each of the last days. Never for a city in service: what they feel is not there.
    """
    from sensing import sending

    with reading() as session:
        place = jurisdictions.by_code(session, jurisdiction)
        addresses = sending.addresses_of(session, place.id)
    fleet = sending.Load(addresses, total_m=km * 1000.0, seed=seed)
    if not fleet.tours:
        raise click.ClickException("There are too few addresses to make streets of.")
    click.echo(
        f"{len(fleet.tours)} tours, {fleet.length_m / 1000:.1f} km, {len(fleet.planted)} things in"
        f" them, of which {fleet.to_mend} to be mended"
    )
    try:
        for line in fleet.send(url, phones=phones, days=days, now=utc_now()):
            click.echo(line)
    except sending.NoKeyError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"Nobody answers at {url}: {error}") from error
