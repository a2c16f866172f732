"""`flask retention …`: what is kept for how long, what is due, and what was done."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import AppGroup

from accounts.audit import OPERATOR
from core.clock import utc_now
from core.db import reading
from core.errors import DomainError
from geo import jurisdictions
from reports import retention
from workers import retaining

retention_commands = AppGroup(
    "retention", help="Forget people and photos of reports that are over."
)


class _RefusedError(click.ClickException):
    """One sentence on stderr, exit code 2."""

    exit_code = 2


_JURISDICTION = click.option("--jurisdiction", help="Only this one; by its code.")


@retention_commands.command("run")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@_JURISDICTION
def run(dry_run: bool, jurisdiction: str | None) -> None:
    """Do now what is due; the beat does it by itself. Photos go from the storage, too."""
    now = utc_now()
    only = _id_of(jurisdiction)
    with reading() as session:
        places = [
            (place.id, place.code)
            for place in jurisdictions.all_of_them(session)
            if only in (None, place.id)
        ]
        due = [(code, retention.overdue(session, id_, now=now)) for id_, code in places]
    verb = "would go" if dry_run else "due"
    click.echo(f"{'jurisdiction':18}{'service':28}{'people of reports':>18}{'photos':>14}")
    for code, rows in due:
        for row in rows:
            people = f"{row.reports} ({row.contacts_days} d)"
            pictures = f"{row.photos} ({row.photos_days} d)"
            click.echo(f"{code:18}{row.service_code:28}{people:>18}{pictures:>14}")
    reports = sum(row.reports for _, rows in due for row in rows)
    photos = sum(row.photos for _, rows in due for row in rows)
    click.echo(f"{verb}: the people of {reports} reports, {photos} photos")
    if dry_run:
        return
    try:
        done = retaining.run(
            current_app.extensions["storage"],
            now=now,
            only=only,
            by=OPERATOR,
            patience_s=None,
            is_forced=True,
        )
    except DomainError as error:
        raise _RefusedError(f"{error.detail} Run it again: what is left is remembered.") from error
    for each in done:
        click.echo(
            f"{each.jurisdiction}: people forgotten in {each.anonymised} reports,"
            f" photos of {each.photos_hidden} reports gone through"
        )


@retention_commands.command("report")
@_JURISDICTION
@click.option("--last", default=30, show_default=True, type=click.IntRange(1, 1000))
def report(jurisdiction: str | None, last: int) -> None:
    """The last runs, latest first."""
    only = _id_of(jurisdiction)
    with reading() as session:
        codes = {place.id: place.code for place in jurisdictions.all_of_them(session)}
        rows = retention.runs(session, only, limit=last)
    click.echo(f"{'when (UTC)':22}{'jurisdiction':18}{'people of reports':>18}{'photos':>14}")
    for row in rows:
        code = codes.get(row.jurisdiction_id, str(row.jurisdiction_id))
        when = row.at.isoformat(timespec="seconds").removesuffix("+00:00")
        click.echo(f"{when:22}{code:18}{row.anonymised:>18}{row.photos_deleted:>14}")
    if not rows:
        click.echo("It has not run yet.", err=True)


def _id_of(code: str | None) -> int | None:
    if code is None:
        return None
    with reading() as session:
        try:
            return jurisdictions.by_code(session, code).id
        except DomainError as error:
            raise _RefusedError(error.detail) from error
