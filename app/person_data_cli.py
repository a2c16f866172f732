"""`flask accounts export` and `erase`: somebody's right to their data, and to have them gone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from flask import current_app

from accounts import people_data
from accounts.audit import OPERATOR
from accounts.cli import accounts_commands
from accounts.contact_rules import PhoneError, normal_phone
from accounts.rules import normal_email
from app.config import Settings
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import DomainError
from workers import person_data
from workers.person_data import Outcome

__all__ = ["accounts_commands"]


class _RefusedError(click.ClickException):
    """One sentence on stderr, exit code 2."""

    exit_code = 2


_EMAIL = click.argument("email", required=False)
_PHONE = click.option("--phone", help="Instead of an address: a number, with its country (+33…).")


@accounts_commands.command("export")
@_EMAIL
@_PHONE
@click.option("--out", type=click.Path(path_type=Path), help="Default: person-DATE.zip here.")
def export(email: str | None, phone: str | None, out: Path | None) -> None:
    """Write everything held on one person into one ZIP, readable by its owner only."""
    now = utc_now()
    asked = _asked(email, phone)
    with transaction() as session:
        who = person_data.known(session, people_data.identify(session, **asked))
        collected = person_data.collect(session, who, OPERATOR, now=now)
    if collected.is_empty:
        click.echo("Nothing is held on them.", err=True)
        sys.exit(1)
    path = out or Path(f"person-{now.date().isoformat()}.zip")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise _RefusedError(f"{path} is there already; name another file with --out.") from None
    except OSError as error:
        raise _RefusedError(f"{path} cannot be written: {error.strerror}.") from error
    with os.fdopen(handle, "wb") as file:
        person_data.write_zip(file, collected, current_app.extensions["storage"], now=now)
    for name, rows in collected.documents.items():
        if rows:
            click.echo(f"{name + '.json':26}{len(rows):6}")
    click.echo(f"{'photos':26}{len(collected.files):6}")
    click.echo(f"Written to {path}. It holds personal data: hand it over, then delete it.")


@accounts_commands.command("erase")
@_EMAIL
@_PHONE
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(email: str | None, phone: str | None, dry_run: bool, yes: bool) -> None:
    """Erase a person everywhere. Their reports stay, without them. It cannot be undone."""
    now = utc_now()
    asked = _asked(email, phone)
    settings: Settings = current_app.extensions["settings"]
    with reading() as session:
        who = people_data.identify(session, **asked)
        planned = person_data.would_erase(session, who, now)
    if dry_run:
        _show(planned, "would go")
        return
    if not yes:
        _show(planned, "will go")
        click.confirm("Erase this person?", abort=True)
    try:
        outcome = person_data.erase(
            who,
            OPERATOR,
            storage=current_app.extensions["storage"],
            data_dir=settings.data_dir,
            now=now,
        )
    except DomainError as error:
        raise _RefusedError(f"{error.detail} Run it again: nothing is lost by that.") from error
    _show(outcome, "erased")


def _asked(email: str | None, phone: str | None) -> dict[str, str]:
    if (email is None) == (phone is None):
        raise _RefusedError("Say whom: an e-mail address, or a number with --phone.")
    if email is not None:
        return {"email": normal_email(email)}
    try:
        return {"phone": normal_phone(phone or "", "ZZ")}
    except PhoneError:
        raise _RefusedError("Write the number with its country: +33612345678.") from None


def _show(outcome: Outcome, verb: str) -> None:
    for name, count in outcome.counts.items():
        if count:
            click.echo(f"{name:32}{count:6}  {verb}")
    if not outcome.total:
        click.echo("Nothing is held on them.")
    click.echo("What stays:")
    for sentence in outcome.kept:
        click.echo(f"  {sentence}")
