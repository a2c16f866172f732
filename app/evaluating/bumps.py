"""`flask evaluate bumps`: what the road sensing finds in trips and clips, and how good that is.

Without a server or a database. Labels of what is judged are never read when `--out` is asked for.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import click

from core.errors import DomainError
from sensing.traces import Bump

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUT = click.Path(path_type=Path, dir_okay=False, writable=True)


class _ManyFiles(click.Option):
    """An option that takes every word up to the next option: `--trips T1.csv T2.csv`."""

    def add_to_parser(self, parser: click.parser._OptionParser, ctx: click.Context) -> None:
        """Let the parser go on eating values while they are no options."""
        super().add_to_parser(parser, ctx)
        name = self.opts[0]
        mine = parser._long_opt[name]
        plain = mine.process

        def process(value: str, state: click.parser._ParsingState) -> None:
            plain(value, state)
            while state.rargs and not state.rargs[0].startswith("-"):
                plain(state.rargs.pop(0), state)

        mine.process = process  # type: ignore[method-assign]


@click.command("bumps")
@click.option("--trips", "trip_files", type=_FILE, multiple=True, cls=_ManyFiles, help="CSV files.")
@click.option("--clips", "clip_file", type=_FILE, help="Labelled clips to learn from.")
@click.option("--clips-test", "judged_file", type=_FILE, help="Clips to tell the labels of.")
@click.option("--out", type=_OUT, help="Where to write the table.")
@click.option("--fused", type=_OUT, help="GeoJSON of the defects fused over all trips.")
@click.option("--repeats", default=5, show_default=True, help="Of the five folds of clips.")
def bumps_command(
    trip_files: tuple[Path, ...],
    clip_file: Path | None,
    judged_file: Path | None,
    out: Path | None,
    fused: Path | None,
    *,
    repeats: int,
) -> None:
    """Find bumps in trips: writes `trip,t,lat,lon,severity`, and with --fused the defects.

    With --clips and --clips-test, tells events apart: `series_id,label,pothole_probability`.
    Without --out, trips whose presses stand beside them (`NAME_labels.csv`) and clips judge
    themselves: one trip left out at a time, repeated folds, chance and 95 % intervals.
    """
    from sensing.files import FileError

    if bool(trip_files) == (clip_file is not None):
        raise click.UsageError("Give either --trips or --clips.")
    if judged_file is not None and (clip_file is None or out is None):
        raise click.UsageError("--clips-test needs --clips and --out.")
    if clip_file is not None and out is not None and judged_file is None:
        raise click.UsageError("--clips with --out needs --clips-test.")
    try:
        if clip_file is not None and judged_file is not None and out is not None:
            _tell_clips(clip_file, judged_file, out)
        elif clip_file is not None:
            _judge_clips(clip_file, repeats)
        elif out is None and fused is None:
            _judge_trips(trip_files)
        else:
            _find(trip_files, out, fused)
    except (FileError, DomainError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _find(trip_files: Sequence[Path], out: Path | None, fused: Path | None) -> None:
    from sensing import clustering, files, grid, sighting, signal, tallies
    from sensing.checking import TripError
    from sensing.traces import Detector

    evidence = tallies.Evidence()
    latest = 0.0
    rows: list[tuple[str, str, str, str, str]] = []
    for path in trip_files:
        try:
            journeys = files.journeys(path)
        except (TripError, files.FileError) as error:
            # One file that is no trip does not take the others' bumps away.
            click.echo(f"{path.name}: left out. {error}", err=True)
            continue
        found = 0
        for trip in journeys:
            analysis = signal.analyse(trip)
            evidence.add(sighting.sightings(analysis))
            latest = max(latest, float(trip.t_s[-1]))
            told = [bump for bump in analysis.bumps if Detector.LEARNED in bump.detectors]
            rows += [_row(path.stem, bump) for bump in told]
            found += len(told)
            marks = ", ".join(sorted(analysis.marks)) or "none"
            click.echo(
                f"{path.name}: {len(trip.t_s)} samples, {analysis.rate_hz:.1f} Hz, marks: {marks}",
                err=True,
            )
        click.echo(f"{path.name}: {found} bumps", err=True)
    if out is not None:
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("trip", "t", "lat", "lon", "severity"))
            writer.writerows(rows)
    if fused is not None:
        today = grid.day_of(latest)
        defects = clustering.defects(evidence.all(), today=today)
        fused.write_text(json.dumps(_collection(defects)) + "\n", encoding="utf-8")
        click.echo(f"{len(defects)} defects", err=True)


def _row(name: str, bump: Bump) -> tuple[str, str, str, str, str]:
    return (
        name,
        f"{bump.t_s:.3f}",
        f"{bump.point.lat:.7f}",
        f"{bump.point.lon:.7f}",
        f"{bump.severity:.2f}",
    )


def _collection(defects: Sequence[object]) -> dict[str, object]:
    from sensing import clustering

    features = []
    for defect in defects:
        assert isinstance(defect, clustering.Defect)
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": defect.point.lon_lat},
                "properties": {
                    "belief": round(defect.belief, 4),
                    "severity": round(defect.severity, 2),
                    "hits": defect.hits,
                    "passes": defect.passes,
                    "heading_deg": round(defect.heading_deg, 1),
                    "error_m": round(defect.error_m, 1),
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _tell_clips(clip_file: Path, judged_file: Path, out: Path) -> None:
    from sensing import files, learned, training

    fitted = training.fit_windows(files.clips(clip_file))
    judged = files.clips(judged_file, with_labels=False)
    shares = training.clip_probabilities(fitted, judged)
    place = fitted.classes.index(learned.POTHOLE) if learned.POTHOLE in fitted.classes else None
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("series_id", "label", "pothole_probability"))
        for clip, row in zip(judged, shares, strict=True):
            pothole = 0.0 if place is None else float(row[place])
            writer.writerow((clip.name, fitted.classes[int(row.argmax())], f"{pothole:.6f}"))
    click.echo(f"{len(judged)} clips told apart", err=True)


def _judge_clips(clip_file: Path, repeats: int) -> None:
    from sensing import files, judging

    judged = judging.clips(files.clips(clip_file), repeats=repeats)
    click.echo(f"{judged.count} clips, five folds, {repeats} times; one second of each")
    click.echo(f"  accuracy                   {judged.accuracy}")
    click.echo(f"  always the commonest       {judged.commonest:.3f}")
    click.echo(f"  pothole or not, area       {judged.pothole_area}")


def _judge_trips(trip_files: Sequence[Path]) -> None:
    from sensing import files, judging, training

    trips = []
    for path in trip_files:
        labels = path.with_name(f"{path.stem}_labels.csv")
        if not labels.exists():
            raise click.UsageError(f"{labels.name} is not beside {path.name}; or give --out.")
        trips.append(training.analysed(path.stem, files.trip(path), files.presses(labels)))
    for line in judging.trips(trips):
        click.echo(line)
