"""`flask outbox status` and `flask outbox retry`: what waits or is stuck, and setting it going."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import sqlalchemy as sa
from flask.cli import AppGroup

from core import outbox
from core.clock import utc_now
from core.db import reading, transaction
from core.models import DeadLetter, OutboxEvent
from notifications import delivery
from notifications.models import Delivery
from notifications.vocabulary import DeliveryState

outbox_commands = AppGroup("outbox", help="Events between the features and the workers.")

#: Dead letters, and causes of dead messages, that `status` lists; the counts are of all.
LISTED = 20


@outbox_commands.command("status")
def status() -> None:
    """Show what waits, how long, and what was put aside after failing too often."""
    now = utc_now()
    with reading() as session:
        pending, oldest = session.execute(
            sa.select(sa.func.count(), sa.func.min(OutboxEvent.created_at)).where(
                OutboxEvent.relayed_at.is_(None)
            )
        ).one()
        unfinished = session.execute(
            sa.select(OutboxEvent.name, sa.func.count(), sa.func.min(OutboxEvent.relayed_at))
            .where(OutboxEvent.relayed_at.is_not(None), OutboxEvent.done_at.is_(None))
            .group_by(OutboxEvent.name)
            .order_by(OutboxEvent.name)
        ).all()
        deliveries = session.execute(
            sa.select(Delivery.state, sa.func.count())
            .where(Delivery.state.in_(["pending", "sending", "dead"]))
            .group_by(Delivery.state)
        ).all()
        unsent = session.execute(
            sa.select(
                Delivery.channel,
                Delivery.last_fault,
                sa.func.count(),
                sa.func.min(Delivery.created_at),
            )
            .where(Delivery.state == DeliveryState.DEAD.value)
            .group_by(Delivery.channel, Delivery.last_fault)
            .order_by(sa.func.count().desc(), Delivery.channel, Delivery.last_fault)
        ).all()
        letters = session.execute(
            sa.select(
                DeadLetter.id,
                OutboxEvent.name,
                DeadLetter.reaction,
                DeadLetter.error,
                DeadLetter.failed_at,
                OutboxEvent.subject_id,
            )
            .join(OutboxEvent, OutboxEvent.id == DeadLetter.event_id)
            .where(DeadLetter.settled_at.is_(None))
            .order_by(DeadLetter.id)
        ).all()
    click.echo(f"pending events: {pending}" + (f", oldest {_age(oldest, now)}" if oldest else ""))
    click.echo(f"relayed and not done: {sum(row[1] for row in unfinished)}")
    for name, count, since in unfinished:
        click.echo(f"  {name}: {count}, oldest {_age(since, now)}")
    states = {row[0]: row[1] for row in deliveries}
    click.echo(
        f"deliveries: {states.get('pending', 0)} pending, {states.get('sending', 0)} sending,"
        f" {states.get('dead', 0)} dead"
    )
    for channel, fault, count, since in unsent[:LISTED]:
        click.echo(f"  dead: {count} by {channel}, oldest {_age(since, now)}: {fault}")
    click.echo(f"dead letters: {len(letters)}")
    for letter in letters[:LISTED]:
        click.echo(
            f"  {letter.id}: {letter.reaction} of {letter.name} {letter.subject_id or ''},"
            f" {_age(letter.failed_at, now)}: {letter.error}"
        )
    if len(letters) > LISTED:
        click.echo(f"  and {len(letters) - LISTED} more")


@outbox_commands.command("retry")
@click.argument("letter_ids", type=int, nargs=-1)
@click.option("--deliveries", is_flag=True, help="Send dead deliveries again, too.")
def retry(letter_ids: tuple[int, ...], deliveries: bool) -> None:
    """Let reactions that were put aside run again: those of LETTER_IDS, else all."""
    now = utc_now()
    with transaction() as session:
        count = outbox.retry_dead(session, letter_ids or None, now=now)
        again = delivery.retry_dead(session, None, now=now) if deliveries else []
    click.echo(f"{count} dead letters run again.")
    if deliveries:
        click.echo(f"{len(again)} dead deliveries are sent again.")


def _age(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "never"
    seconds = int((now - at.astimezone(UTC)).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
