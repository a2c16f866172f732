"""`flask audit …`: reading the audit log, and checking that nobody tampered with it."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import AppGroup

from accounts.audit import chain as audit_chain
from accounts.audit import log as audit_log
from accounts.audit.log import Wanted
from accounts.models import Person
from accounts.rules import normal_email
from core.clock import utc_now
from core.db import reading, transaction

audit_commands = AppGroup("audit", help="Who read personal data, who changed what.")

_DAY_OR_INSTANT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@audit_commands.command("verify")
@click.option(
    "--head", "heads", multiple=True, help="A head that was noted earlier; it must be in the chain."
)
@click.option(
    "--former-key",
    "key_files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with an earlier SECRET_KEY, for the seals that were made with it.",
)
def verify(heads: tuple[str, ...], key_files: tuple[Path, ...]) -> None:
    """Compute every seal of the audit log again.

    Exit code 0 when the chain is intact, 1 when it is not: then the first broken seal is named with
    the entries in it.
    """
    former = [path.read_text(encoding="utf-8").strip() for path in key_files]
    with reading() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        length = audit_chain.count_seals(session)
        with click.progressbar(length=length, label="Checking", file=sys.stderr) as bar:
            verdict = audit_chain.verify(
                session,
                secret=current_app.config["SECRET_KEY"],
                former=former,
                heads=heads,
                checked=bar.update,
            )
    if verdict.fault is not None:
        click.echo(verdict.fault, err=True)
        click.echo(
            f"Broken; intact up to there: {verdict.seals} seals, {verdict.sealed} entries."
            f" Not sealed yet: {verdict.unsealed}."
        )
        sys.exit(1)
    click.echo(
        f"Intact: {verdict.sealed} entries in {verdict.seals} seals; not sealed yet:"
        f" {verdict.unsealed}."
    )
    if verdict.head is not None:
        click.echo(f"Head: {verdict.head}")


@audit_commands.command("seal")
def seal() -> None:
    """Seal what waits now, as the beat does every minute; for installations without workers."""
    while True:
        with transaction() as session:
            made = audit_chain.seal_next(
                session, secret=current_app.config["SECRET_KEY"], now=utc_now()
            )
        if made is None:
            return
        click.echo(f"Seal {made.number}: {made.entries} entries, head {made.head}")


@audit_commands.command("list")
@click.option("--actor", metavar="EMAIL", help="Only what this person did.")
@click.option("--subject", metavar="KIND:ID", help="Only what was done to it: report:0189…")
@click.option("--since", type=_DAY_OR_INSTANT, help="A day or an instant, in UTC.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
def list_(actor: str | None, subject: str | None, since: datetime | None, limit: int) -> None:
    """Print entries, newest first, one a line: id, time, who, what, about what, particulars."""
    about = audit_log.parse_subject(subject) if subject is not None else None
    if subject is not None and about is None:
        raise click.UsageError("--subject is a kind and an id: report:0189…")
    with reading() as session:
        actor_id = None
        if actor is not None:
            actor_id = session.scalar(sa.select(Person.id).filter_by(email=normal_email(actor)))
            if actor_id is None:
                raise click.UsageError("Nobody has that address.")
        wanted = Wanted(
            actor_id=actor_id,
            subject=about,
            since=since and since.replace(tzinfo=utc_now().tzinfo),
        )
        rows = audit_log.entries(session, wanted, limit=limit)
    for row in rows:
        who = row.actor_email or (row.actor_id and str(row.actor_id)) or row.actor_kind
        if row.api_key_id is not None:
            who = f"{who} by key {row.api_key_id}"
        what = f"{row.subject_kind}:{row.subject_id}" if row.subject_kind else "-"
        data = json.dumps(row.data, ensure_ascii=False, sort_keys=True) if row.data else ""
        click.echo(f"{row.id}  {row.at:%Y-%m-%d %H:%M:%S}  {who}  {row.action}  {what}  {data}")
