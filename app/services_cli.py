"""`flask services …`: what words mean which service, learnt from a city's own cases.

Needs no running server: without one the embedded database is started for the length of the command.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from reports.catalogue import Catalogue, catalogue_of
from reports.words import learning, proposing
from reports.words.examples import Example

services_commands = AppGroup(
    "services", help="Services: learn which of them the words of a report mean."
)

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

#: Words that are listed of an explanation.
LISTED = 12


@services_commands.command("train")
@click.option("--jurisdiction", required=True, help="Code of the city.")
@click.option("--cases", type=_FILE, multiple=True, help="Past cases to learn from as well.")
@click.option("--dry-run", is_flag=True, help="Only say how good it would be.")
@click.option("--force", is_flag=True, help="Put it in force even if the catalogue does better.")
def train_command(jurisdiction: str, cases: Sequence[Path], *, dry_run: bool, force: bool) -> None:
    """Learn from what people wrote and the service it turned out to be, and from the catalogue.

    In force at once, for everybody, if it does better than the catalogue alone on texts left out.
    """
    now = utc_now()
    with sharing.ensure_database(current_app.extensions["settings"]):
        try:
            with reading() as session:
                catalogue = _catalogue(session, jurisdiction)
                texts = learning.texts_of(session, catalogue)
            for path in cases:
                texts += _of_file(path, catalogue)
            trained = learning.train(catalogue, texts, now=now)
        except (DomainError, ValueError) as error:
            raise click.ClickException(str(error)) from error
        click.echo(json.dumps(dict(trained.model.record), ensure_ascii=False, indent=2))
        if dry_run:
            return
        if not (trained.is_better or force):
            raise click.ClickException(
                "The catalogue alone does better on texts left out; nothing was changed."
            )
        with transaction() as session:
            version = learning.put_in_force(session, catalogue, trained.model, now=now)
            audit.record(
                session,
                audit.OPERATOR,
                Action.CITY_CHANGED,
                Subject("jurisdiction", catalogue.place.id, catalogue.place.id),
                now=now,
                data={"what": "train_services", "version": version},
            )
        click.echo(f"Version {version} is in force.", err=True)


@services_commands.command("explain")
@click.argument("text")
@click.option("--jurisdiction", required=True, help="Code of the city.")
def explain_command(text: str, jurisdiction: str) -> None:
    """Say what would be proposed for TEXT, and which of its words count for and against it."""
    with sharing.ensure_database(current_app.extensions["settings"]), reading() as session:
        try:
            catalogue = _catalogue(session, jurisdiction)
        except DomainError as error:
            raise click.ClickException(str(error)) from error
        model = proposing.model_of(session, catalogue)
        if model is None:
            raise click.ClickException("The catalogue has no word to go by.")
        click.echo(f"learnt from: {model.record.get('source')}")
        proposed = proposing.propose(session, catalogue, text)
        if not proposed:
            click.echo("Nothing is sure enough to be proposed.")
        for each in proposed:
            click.echo(f"{each.service.code}  {each.confidence:.2f}")
            for counted in model.explain(text, each.service.code)[:LISTED]:
                click.echo(f"    {counted.weight:+.2f}  {counted.word}")


def _catalogue(session: Any, code: str) -> Catalogue:
    return catalogue_of(session, jurisdictions.by_code(session, code).id)


def _of_file(path: Path, catalogue: Catalogue) -> list[Example]:
    """The texts of a file; its types are codes or names of services."""
    known = {service.code: service.code for service in catalogue.services}
    for service in catalogue.services:
        for name in service.names.values():
            known.setdefault(name, service.code)
    return [
        Example(case.text, known[case.label], case.at)
        for case in case_files.told(path, catalogue.place.time_zone)
        if case.label in known
    ]
