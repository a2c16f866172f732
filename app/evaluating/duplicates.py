"""`flask evaluate duplicates`: which past cases the judge would have called duplicates.

Without a database, and without labels at the moment of any decision: those of `--labels` are for
training, on the cases of `--train`, and were known when a case was closed.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from app.evaluating.options import OutFile, require_cases, zone_named
from core.clock import utc_now
from reports import case_files
from reports.case_files import CaseFile, CaseFileError, PastCase
from reports.duplicates import replaying
from reports.duplicates.judging import default_model
from reports.duplicates.model import Model, ModelError
from reports.duplicates.replaying import Decided

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUT = OutFile()

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
    ids, best first, joined by `|`. The rows stand as in --cases. With --train and --labels it
    first learns from those; cases of --train that came before can be named as parents.
    """
    if (train_file is None) != (labels_file is None):
        raise click.UsageError("--train and --labels belong together.")
    if train_file is not None and model_file is not None:
        raise click.UsageError("Either --train or --model.")
    started = time.monotonic()
    clock = zone_named(zone)
    try:
        file = _read(cases_file, clock)
        before: Sequence[PastCase] = ()
        if train_file is not None and labels_file is not None:
            before = _read(train_file, clock).cases
            model = _learn(before, labels_file, clock, train_file.name, name)
            if save_model is not None:
                save_model.write_text(model.as_text(), encoding="utf-8")
        elif model_file is not None:
            model = _loaded(model_file)
        else:
            model = default_model()
        decided = _decide(model, clock, file, before)
        _write(file, decided, out)
        require_cases(cases_file, file)
    except (CaseFileError, ModelError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{len(decided)} cases decided by model {model.version}"
        f" in {time.monotonic() - started:.0f} s.",
        err=True,
    )


def _read(path: Path, clock: ZoneInfo) -> CaseFile:
    file = case_files.read_to_decide(path, clock, now=utc_now())
    if file.bad:
        click.echo(f"{path}: {len(file.bad)} rows not understood, first {file.bad[0]}", err=True)
    return file


def _loaded(path: Path) -> Model:
    try:
        return Model.load(path.read_text(encoding="utf-8"))
    except (ModelError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: {error}.") from error


def _learn(
    cases: Sequence[PastCase], labels_file: Path, clock: ZoneInfo, source: str, name: str | None
) -> Model:
    # NumPy and scikit-learn: only where something is learnt.
    from reports.duplicates import training

    if not cases:
        raise CaseFileError(f"{source} holds no case to learn from.")
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
    model: Model, clock: ZoneInfo, file: CaseFile, before: Sequence[PastCase]
) -> dict[str, Decided]:
    decided = {}
    bar: ProgressBar[int] = click.progressbar(
        length=len(file.cases), label="Deciding", file=sys.stderr
    )
    with bar:
        for each in replaying.decide(model, clock, file.cases, before):
            decided[each.id] = each
            if len(decided) % _STEP == 0:
                bar.update(_STEP)
    return decided


def _write(file: CaseFile, decided: Mapping[str, Decided], out: Path) -> None:
    """An answer for each row of the file, in its order: what was not understood is no duplicate."""
    with out.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(("id", "duplicate", "parent_id", "score", "candidates"))
        for id_ in file.ids():
            each = decided.get(id_) or Decided(id_, False, None, 0.0, ())
            writer.writerow(
                (
                    each.id,
                    int(each.is_duplicate),
                    (each.parent or "") if each.is_duplicate else "",
                    f"{each.score:.4f}",
                    "|".join(each.candidates),
                )
            )
