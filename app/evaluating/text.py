"""`flask evaluate text`: what the words of a report would have proposed, and how good that is.

Without a database. Labels of the judged file are never read when `--out` is asked for.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from app.evaluating.options import OutFile, zone_named
from reports import case_files
from reports.case_files import CaseFileError
from reports.words import evaluation, prior
from reports.words.examples import (
    FEWEST,
    Example,
    common_labels,
    of_catalogue,
    sift,
    with_other,
)
from reports.words.scoring import Score, score

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

#: Judged in time order in so many windows, and in folds so many times.
WINDOWS, REPEATS = 4, 5


@click.command("text")
@click.option("--train", "train_file", type=_FILE, help="What to learn from.")
@click.option("--catalogue", type=_FILE, help="Instead: judge a services.yaml alone on --cases.")
@click.option("--cases", "cases_file", type=_FILE, help="What to propose a service for.")
@click.option("--out", type=OutFile())
@click.option("--fewest", default=FEWEST, show_default=True, help="Rarer ones are 'other'.")
@click.option("--repeats", default=REPEATS, show_default=True, help="Of the five folds.")
@click.option("--zone", default="UTC", show_default=True, help="Of times that do not say theirs.")
def text_command(
    train_file: Path | None,
    catalogue: Path | None,
    cases_file: Path | None,
    out: Path | None,
    *,
    fewest: int,
    repeats: int,
    zone: str,
) -> None:
    """Propose services from words: writes `id,first,second,third` for every row of --cases.

    Without --cases, --train judges itself: repeated folds and, where it has times, the past the
    future, with baselines and 95 % intervals.
    """
    clock = zone_named(zone)
    if catalogue is not None and cases_file is not None:
        try:
            _judge_catalogue(catalogue, cases_file, clock)
        except (CaseFileError, OSError) as error:
            raise click.ClickException(str(error)) from error
        return
    if train_file is None:
        raise click.UsageError("--train is needed, or --catalogue with --cases.")
    if (cases_file is None) != (out is None):
        raise click.UsageError("--cases and --out belong together.")
    try:
        told = case_files.told(train_file, clock)
        examples = [Example(case.text, case.label, case.at) for case in told if case.label]
        if not any(example.text for example in examples):
            raise CaseFileError(f"{train_file} has no row with words and the kind they meant.")
        if cases_file is None or out is None:
            _judge(examples, fewest, repeats)
        else:
            judged = case_files.told(cases_file, clock, with_labels=False)
            _propose(examples, judged, out, fewest)
    except (CaseFileError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _propose(
    examples: Sequence[Example], cases: Sequence[case_files.ToldCase], out: Path, fewest: int
) -> None:
    model, sifted = evaluation.learn(examples, fewest=fewest)
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "first", "second", "third"))
        for case in cases:
            labels = [guess.label for guess in model.ranked(case.text)[:3]]
            writer.writerow((case.id, *labels, *[""] * (3 - len(labels))))
    click.echo(f"{len(cases)} rows; learnt from {sifted.counted()}", err=True)


def _judge(examples: Sequence[Example], fewest: int, repeats: int) -> None:
    sifted = sift(examples)
    labels = common_labels(sifted.real, fewest)
    kept = with_other(sifted.real, labels)
    click.echo(f"texts: {sifted.counted()}")
    click.echo(f"labels of {fewest} texts or more: {len(labels)}, and other")
    ways = {
        "majority": evaluation.by_majority,
        "words of the label": evaluation.by_label_words,
        "model": evaluation.by_model,
    }
    click.echo(f"\nFive folds, {repeats} times.")
    for name, way in ways.items():
        judged = evaluation.repeated_folds(kept, way, repeats=repeats)
        _say(name, judged)
    click.echo("\nThe confidence of the first proposal, and how often it was right:")
    for each in judged.bins:
        click.echo(f"  said {each.said:.2f}  true {each.true:.2f}  {each.texts} texts")
    if any(example.at for example in kept):
        click.echo("\nIn time order: each window judged by what came before it.")
        for name, way in ways.items():
            for period, window in evaluation.rolling(kept, way, windows=WINDOWS):
                _say(f"{name}, {period}", window)


def _judge_catalogue(catalogue: Path, cases_file: Path, clock: ZoneInfo) -> None:
    """What a city would be proposed before it has a past."""
    try:
        said = [
            text
            for service in YAML(typ="safe").load(catalogue)["services"]
            for text in of_catalogue(
                service["code"],
                service.get("name", {}),
                service.get("description", {}),
                service.get("keywords", {}),
            )
        ]
    except (YAMLError, UnicodeDecodeError, TypeError, KeyError, AttributeError) as error:
        raise CaseFileError(f"{catalogue} is no services.yaml of a city.") from error
    told = case_files.told(cases_file, clock)
    sifted = sift([Example(case.text, case.label, case.at) for case in told])
    model = prior.of_texts(said)
    guesses = evaluation.guess_all(model, [example.text for example in sifted.real])
    click.echo(f"texts: {sifted.counted()}; services: {len(model.labels)}")
    _say("catalogue", score(guesses, [example.label for example in sifted.real]))


def _say(name: str, judged: Score) -> None:
    click.echo(
        f"  {name:<40} first {judged.first}  among three {judged.among_three}"
        f"  log loss {judged.log_loss:.2f}  calibration {judged.calibration_error:.3f}"
    )
