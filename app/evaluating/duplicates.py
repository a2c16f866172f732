"""`flask evaluate duplicates`: which past cases the judge would have called duplicates.

Without a database, and without labels at the moment of any decision: those of `--labels` are for
training, on the cases of `--train`, and were known when a case was closed.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from core.clock import utc_now
from reports import case_files
from reports.case_files import CaseFileError, PastCase
from reports.duplicates import replaying
from reports.duplicates.judging import default_model
from reports.duplicates.model import Model, ModelError

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUT = click.Path(path_type=Path, dir_okay=False, writable=True)

#: How often the bar moves.
_STEP = 200


@click.command("duplicates")
@click.option("--cases", "cases_file", type=_FILE, required=True, help="What to decide.")
@click.option("--out", type=_OUT, required=True, help="Where to write the decisions.")
@click.option("--train", "train_file", type=_FILE, help="Cases to learn from.")
@click.option("--labels", "labels_file", type=_FILE, help="What staff said of those.")
@click.option("--model", "model_file", type=_FILE, help="A model instead of the default one.")
@click.option("--name", help="What to call what was learnt.")
@click.option("--save-model", type=_OUT, help="Where to write what was learnt.")
@click.option("--zone", default="UTC", show_default=True, help="Of times that do not say theirs.")
def duplicates_command(
    cases_file: Path,
    out: Path,
    train_file: Path | None,
    labels_file: Path | None,
    model_file: Path | None,
    name: str | None,
    save_model: Path | None,
    zone: str,
) -> None:
    """Decide every case in time order: writes `id,duplicate,parent_id,score,candidates`.

    `duplicate` is 1 where the judge would have joined the report or asked staff; candidates are
    ids, best first, joined by `|`. With --train and --labels it first learns from those; cases of
    --train that came before can be named as parents.
    """
    if (train_file is None) != (labels_file is None):
        raise click.UsageError("--train and --labels belong together.")
    if train_file is not None and model_file is not None:
        raise click.UsageError("Either --train or --model.")
    started = time.monotonic()
    clock = zone_named(zone)
    try:
        cases = _read(cases_file, clock)
        before: list[PastCase] = []
        if train_file is not None and labels_file is not None:
            before = _read(train_file, clock)
            model = _learn(before, labels_file, clock, train_file.name, name)
            if save_model is not None:
                save_model.write_text(model.as_text(), encoding="utf-8")
        elif model_file is not None:
            model = Model.load(model_file.read_text(encoding="utf-8"))
        else:
            model = default_model()
        decided = _decide(model, clock, cases, before, out)
    except (CaseFileError, ModelError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{len(decided)} cases decided by model {model.version}"
        f" in {time.monotonic() - started:.0f} s.",
        err=True,
    )


def zone_named(name: str) -> ZoneInfo:
    """The time zone; a sentence for the operator where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise click.UsageError(f"There is no time zone {name!r}.") from error


def _read(path: Path, clock: ZoneInfo) -> list[PastCase]:
    file = case_files.read(path, clock, now=utc_now())
    if file.bad:
        click.echo(f"{path}: {len(file.bad)} rows left out, first {file.bad[0]}", err=True)
    return list(file.cases)


def _learn(
    cases: list[PastCase], labels_file: Path, clock: ZoneInfo, source: str, name: str | None
) -> Model:
    # NumPy and scikit-learn: only where something is learnt.
    from reports.duplicates import training

    labels = replaying.read_labels(labels_file)
    city, pasts = replaying.pasts(cases, labels, clock)
    return training.train(
        pasts,
        city.kinds,
        version=name or f"of {source}",
        record={"source": source, "labels": labels_file.name, "trained_at": utc_now().isoformat()},
        course=training.Course(lambda line: click.echo(line, err=True)),
    )


def _decide(
    model: Model, clock: ZoneInfo, cases: list[PastCase], before: list[PastCase], out: Path
) -> list[replaying.Decided]:
    decided = []
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "duplicate", "parent_id", "score", "candidates"))
        bar: ProgressBar[int] = click.progressbar(
            length=len(cases), label="Deciding", file=sys.stderr
        )
        with bar:
            for each in replaying.decide(model, clock, cases, before):
                decided.append(each)
                writer.writerow(
                    (
                        each.id,
                        int(each.is_duplicate),
                        (each.parent or "") if each.is_duplicate else "",
                        f"{each.score:.4f}",
                        "|".join(each.candidates),
                    )
                )
                if len(decided) % _STEP == 0:
                    bar.update(_STEP)
    return decided
