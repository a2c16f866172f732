"""`flask blocks …`: who may not file reports, for the operator of an installation."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from accounts import blocks
from accounts.audit import OPERATOR
from accounts.blocks import NewBlock
from accounts.cli import one_sentence
from accounts.rules import BlockKind
from core.clock import utc_now
from core.db import reading, transaction
from geo import jurisdictions
from geo.jurisdictions import JurisdictionRef

#: More than anybody reads at once; the list over HTTP has pages.
_MOST_LISTED = 1_000

blocks_commands = AppGroup("blocks", help="Who may not file reports.")


@blocks_commands.command("list")
@click.option("--jurisdiction", help="Only of that city, and those that hold everywhere.")
@click.option("--past", is_flag=True, help="Also those that were lifted or have expired.")
def list_(jurisdiction: str | None, past: bool) -> None:
    """List the blocks, newest first."""
    with one_sentence(), reading() as session:
        place = _place(session, jurisdiction)
        codes = {each.id: each.code for each in jurisdictions.all_of_them(session)}
        page = blocks.page(
            session,
            None if place is None else [place.id],
            now=utc_now(),
            with_past=past,
            limit=_MOST_LISTED,
        )
    for block in page.items:
        who = block.network or block.person_id or "kept as a digest"
        where = f"in {codes[block.jurisdiction_id]}" if block.jurisdiction_id else "everywhere"
        until = f", until {block.expires_at:%Y-%m-%d %H:%M} UTC" if block.expires_at else ""
        over = ", lifted" if block.lifted_at else ""
        click.echo(f"{block.id} {block.kind.value} {who}, {where}{until}{over}: {block.reason}")
    if not page.items:
        click.echo("Nobody is blocked.", err=True)


@blocks_commands.command("add")
@click.argument("kind", type=click.Choice([kind.value for kind in BlockKind]))
@click.argument("subject")
@click.option("--reason", required=True, help="A code or a few words; nothing personal.")
@click.option("--jurisdiction", help="Only in that city; by default everywhere.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True, max=36_500))
def add(kind: str, subject: str, reason: str, jurisdiction: str | None, days: float | None) -> None:
    """Block a network (CIDR), an e-mail address, a phone number or a person (id)."""
    now = utc_now()
    with one_sentence(), transaction() as session:
        listed = blocks.add(
            session,
            NewBlock(
                kind=BlockKind(kind),
                subject=subject,
                reason=reason.strip()[:200],
                place=_place(session, jurisdiction),
                expires_at=None if days is None else now + timedelta(days=days),
            ),
            by=OPERATOR,
            secret=current_app.config["SECRET_KEY"],
            now=now,
        )
    click.echo(f"Blocked; every process knows within {blocks.RELOAD_EVERY_S:.0f} seconds.")
    click.echo(str(listed.id))


@blocks_commands.command("lift")
@click.argument("block_id", type=click.UUID)
def lift(block_id: UUID) -> None:
    """End a block. It stays in the list of past ones."""
    with one_sentence(), transaction() as session:
        blocks.lift(session, block_id, by=OPERATOR, now=utc_now())
    click.echo("Lifted.")


def _place(session: Session, code: str | None) -> JurisdictionRef | None:
    return None if code is None else jurisdictions.by_code(session, code)
