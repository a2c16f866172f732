"""`flask duplicates …`: how a city's reports are recognised as one, learnt, looked at, taken back.

Needs no running server: without one the embedded database is started for the length of the command.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from flask import current_app
from flask.cli import AppGroup

from accounts import audit
from accounts.audit import Action, Subject
from app.embedded import sharing
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import DomainError
from geo import jurisdictions
from reports import case_files
from reports.case_files import CaseFileError
from reports.catalogue import Catalogue, catalogue_of
from reports.duplicates import judging, keeping, replaying
from reports.duplicates.model import Model

duplicates_commands = AppGroup(
    "duplicates", help="Duplicates: learn from a city's past, look at what was learnt."
)

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_CITY = click.option("--jurisdiction", required=True, help="Code of the city.")


@duplicates_commands.command("train")
@_CITY
@click.option("--cases", type=_FILE, help="Past cases to learn from, not the city's own reports.")
@click.option("--labels", type=_FILE, help="What staff said of those: id, duplicate, parent_id.")
@click.option("--dry-run", is_flag=True, help="Only say how good it is; keep nothing.")
@click.option("--activate", is_flag=True, help="Put it in force at once.")
def train_command(
    jurisdiction: str,
    cases: Path | None,
    labels: Path | None,
    *,
    dry_run: bool,
    activate: bool,
) -> None:
    """Learn which reports are one from what people said of those of the past."""
    # NumPy and scikit-learn: for this command alone.
    from reports.duplicates import training

    if (cases is None) != (labels is None):
        raise click.UsageError("--cases and --labels belong together.")
    now = utc_now()
    course = training.Course(lambda line: click.echo(line, err=True))
    with sharing.ensure_database(current_app.extensions["settings"]):
        try:
            with reading() as session:
                catalogue = _catalogue(session, jurisdiction)
                if cases is not None and labels is not None:
                    kinds, past = _of_files(cases, labels, catalogue.place.time_zone)
                    source = cases.name
                else:
                    kinds = dict(judging.own_kinds(catalogue))
                    past = keeping.past_of(session, catalogue, kinds)
                    source = "the city's own reports"
            if not past:
                raise training.TooLittleError("there are no past reports")
            model = training.train(
                past,
                kinds,
                version=f"{jurisdiction} {now:%Y-%m-%d}",
                record={"source": source, "trained_at": now.isoformat()},
                course=course,
            )
        except (DomainError, CaseFileError, training.TooLittleError) as error:
            raise click.ClickException(str(error)) from error
        click.echo(json.dumps(dict(model.record), ensure_ascii=False, indent=2))
        if dry_run:
            return
        with transaction() as session:
            version = keeping.keep(session, catalogue, model, activate=activate, now=now)
            _record(session, catalogue, "train_duplicates", version)
    state = "in force" if activate else "kept; `flask duplicates activate` puts it in force"
    click.echo(f"Version {version} is {state}.", err=True)


@duplicates_commands.command("activate")
@_CITY
@click.argument("version", type=click.IntRange(0))
def activate_command(jurisdiction: str, version: int) -> None:
    """Put VERSION in force, an older one too; 0 is the model that ships."""
    with sharing.ensure_database(current_app.extensions["settings"]):
        try:
            with transaction() as session:
                catalogue = _catalogue(session, jurisdiction)
                keeping.put_in_force(session, catalogue, version)
                _record(session, catalogue, "activate_duplicates", version)
        except DomainError as error:
            raise click.ClickException(error.title) from error
    click.echo(f"Version {version} is in force.", err=True)


@duplicates_commands.command("models")
@_CITY
def models_command(jurisdiction: str) -> None:
    """List the city's models and the one that ships, with how good each was."""
    with sharing.ensure_database(current_app.extensions["settings"]), reading() as session:
        try:
            catalogue = _catalogue(session, jurisdiction)
        except DomainError as error:
            raise click.ClickException(str(error)) from error
        rows = keeping.versions(session, catalogue)
    for row in rows:
        click.echo(_line(str(row.version), is_active=row.is_active, record=row.record))
    shipped = judging.default_model()
    is_active = not any(row.is_active for row in rows)
    click.echo(_line("0", is_active=is_active, record=shipped.record))


@duplicates_commands.command("pairs")
@click.option("--jurisdiction", help="Code of a city; without it, the model that ships.")
@click.option("--service", help="Of that service alone, as the model calls it.")
def pairs_command(jurisdiction: str | None, service: str | None) -> None:
    """List the services whose reports people take for one another, most often seen first."""
    if jurisdiction is None:
        model = judging.default_model()
    else:
        with sharing.ensure_database(current_app.extensions["settings"]), reading() as session:
            try:
                model = judging.judge_for(session, _catalogue(session, jurisdiction)).model
            except DomainError as error:
                raise click.ClickException(str(error)) from error
    for line in _pairs(model, service):
        click.echo(line)


def _pairs(model: Model, service: str | None) -> list[str]:
    rows = [
        (row.seen, row.odds, one, other)
        for one, others in model.tables.pairs.items()
        for other, row in others.items()
        if row.seen and (service is None or service in (one, other))
    ]
    width = max((len(one) for _, _, one, _ in rows), default=0)
    return ["seen  log odds  report of … repeats one of …"] + [
        f"{seen:4}  {odds:8.2f}  {one:{width}}  {other}"
        for seen, odds, one, other in sorted(rows, key=lambda row: (-row[0], row[2:]))
    ]


def _line(version: str, *, is_active: bool, record: Any) -> str:
    scores = record.get("scores_on_last_part", {}).get("known", {}).get("suggest", {})
    return (
        f"{'*' if is_active else ' '} {version:>3}  {record.get('trained_at', '')[:10]}"
        f"  from {record.get('source', '?')}: {record.get('labelled')} reports,"
        f" {record.get('duplicates')} duplicates;"
        f" precision {scores.get('precision')}, recall {scores.get('recall')}"
    )


def _of_files(cases: Path, labels: Path, zone: ZoneInfo) -> tuple[Any, Any]:
    file = case_files.read(cases, zone, now=utc_now())
    if file.bad:
        click.echo(f"{cases}: {len(file.bad)} rows left out, first {file.bad[0]}", err=True)
    city, past = replaying.pasts(file.cases, replaying.read_labels(labels), zone)
    return city.kinds, past


def _catalogue(session: Any, code: str) -> Catalogue:
    return catalogue_of(session, jurisdictions.by_code(session, code).id)


def _record(session: Any, catalogue: Catalogue, what: str, version: int) -> None:
    audit.record(
        session,
        audit.OPERATOR,
        Action.CITY_CHANGED,
        Subject("jurisdiction", catalogue.place.id, catalogue.place.id),
        now=utc_now(),
        data={"what": what, "version": version},
    )
