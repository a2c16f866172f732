"""`flask open311 …`: trying out another system, seeing how forwarding does, setting it going."""

from __future__ import annotations

import sys
from datetime import UTC

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import AppGroup

from core.clock import utc_now
from core.db import reading, transaction
from core.outgoing import Allowance, OutgoingRefusedError, check_url
from geo.models import Jurisdiction
from open311 import checking
from open311.checking import Mark
from open311.client import Address
from open311.downstream import endpoint_named, endpoints, webhook_secret, webhook_url
from open311.downstream_models import DownstreamEndpoint, Forwarding
from open311.forwarding import queueing
from open311.rules import ForwardingState
from reports.models import ServiceRequest

open311_commands = AppGroup("open311", help="Other systems that speak Open311.")

#: Forwardings for a person that `status` lists; the count says how many there are.
LISTED = 20

_MARKS = {Mark.YES: "yes", Mark.NO: " no", Mark.NOTE: "  ·"}


@open311_commands.command("check")
@click.argument("url")
@click.option("--jurisdiction", "jurisdiction_id", help="Their jurisdiction_id, if they want one.")
@click.option("--key", help="Name of a key in OPEN311_KEYS, to send it when reading.")
@click.option("--timeout", "timeout_s", default=15.0, show_default=True, help="Seconds per call.")
def check(url: str, jurisdiction_id: str | None, key: str | None, timeout_s: float) -> None:
    """Say what the endpoint at URL supports; only reads, posts nothing.

    Exit code 1 when its services cannot be read.
    """
    settings = current_app.extensions["settings"]
    secret = None
    if key is not None:
        secret = settings.downstream_keys.get(key)
        if secret is None:
            click.echo(f"OPEN311_KEYS has no key of the name {key}.", err=True)
            sys.exit(2)
    try:
        check_url(url)
    except OutgoingRefusedError as error:
        click.echo(f"That is not an address that is called ({error}).", err=True)
        sys.exit(2)
    address = Address(
        checking.endpoint_of(url),
        jurisdiction_id,
        secret,
        "json",
        UTC,
        key_for_reading=secret is not None,
    )
    allow = Allowance.parse(settings.outgoing_allow)
    is_readable = False
    for finding in checking.check(address, allow, now=utc_now(), timeout_s=timeout_s):
        is_readable |= finding.mark is Mark.YES and finding.what.startswith("services in")
        said = finding.said.replace("\n", "\n      ")
        joint = "\n      " if "\n" in finding.said else "  "
        click.echo(f"{_MARKS[finding.mark]}  {finding.what:<28}{joint}{said}".rstrip())
        if finding.said.endswith("private_address"):
            click.echo("      Name its host in OUTGOING_ALLOW if it may be called.", err=True)
    sys.exit(0 if is_readable else 1)


@open311_commands.command("status")
def status() -> None:
    """Show the other systems, how they do, what waits, and what waits for a person."""
    settings = current_app.extensions["settings"]
    now = utc_now()
    with reading() as session:
        known = endpoints(session)
        rows = {
            row.id: row
            for row in session.scalars(
                sa.select(DownstreamEndpoint).where(DownstreamEndpoint.id.in_(list(known)))
            )
        }
        counted = session.execute(
            sa.select(Forwarding.endpoint_id, Forwarding.state, sa.func.count()).group_by(
                Forwarding.endpoint_id, Forwarding.state
            )
        ).all()
        stuck = session.execute(
            sa.select(
                Forwarding.endpoint_id,
                Forwarding.last_fault,
                ServiceRequest.number,
                Jurisdiction.code,
            )
            .join(ServiceRequest, ServiceRequest.id == Forwarding.report_id)
            .join(Jurisdiction, Jurisdiction.id == ServiceRequest.jurisdiction_id)
            .where(Forwarding.state == ForwardingState.STUCK.value)
            .order_by(Forwarding.created_at)
        ).all()
    if not known:
        click.echo("No team lives in another system.")
    for endpoint_id, endpoint in known.items():
        states = {state: count for at, state, count in counted if at == endpoint_id}
        told = ", ".join(f"{states.get(state.value, 0)} {state.value}" for state in ForwardingState)
        click.echo(f"{endpoint.name}  {endpoint.spec.url}")
        click.echo(f"  forwarded: {told}")
        row = rows[endpoint_id]
        if endpoint.address(settings.downstream_keys) is None:
            click.echo(f"  OPEN311_KEYS lacks its key: {endpoint.spec.key}")
        if row.open_until is not None and row.open_until > now:
            click.echo(f"  left alone until {row.open_until:%H:%M:%S} ({row.last_fault})")
        elif row.failing_since is not None:
            click.echo(f"  failing since {row.failing_since:%Y-%m-%d %H:%M} ({row.last_fault})")
    click.echo(f"waiting for a person: {len(stuck)}")
    for at, fault, number, city in stuck[:LISTED]:
        name = known[at].name if at in known else "an endpoint that left"
        click.echo(f"  {city} {number}: {name}, {fault}")
    if len(stuck) > LISTED:
        click.echo(f"  and {len(stuck) - LISTED} more")


@open311_commands.command("retry")
@click.argument("numbers", type=int, nargs=-1)
@click.option("--jurisdiction", help="Code of the city whose numbers these are.")
@click.option(
    "--surely-absent",
    is_flag=True,
    help="Somebody asked there: they do not have these. Send without looking first.",
)
def retry(numbers: tuple[int, ...], jurisdiction: str | None, *, surely_absent: bool) -> None:
    """Hand over again what waits for a person: the reports of these NUMBERS, or all."""
    if surely_absent and not numbers:
        click.echo("Say which reports are surely absent.", err=True)
        sys.exit(2)
    with transaction() as session:
        ids = None
        if numbers:
            wanted = sa.select(ServiceRequest.id).where(ServiceRequest.number.in_(numbers))
            if jurisdiction is not None:
                wanted = wanted.join(
                    Jurisdiction, Jurisdiction.id == ServiceRequest.jurisdiction_id
                ).where(Jurisdiction.code == jurisdiction)
            ids = list(session.scalars(wanted))
        again = queueing.retry(session, ids, now=utc_now(), is_surely_absent=surely_absent)
    click.echo(f"handed over again: {len(again)}")


@open311_commands.command("webhook")
@click.argument("endpoint")
def webhook(endpoint: str) -> None:
    """Print the address and the secret with which ENDPOINT (city.name) tells of steps by itself."""
    settings = current_app.extensions["settings"]
    with reading() as session:
        found = endpoint_named(session, endpoint)
    if found is None:
        click.echo(f"There is no endpoint {endpoint}; `flask open311 status` lists them.", err=True)
        sys.exit(1)
    click.echo(webhook_url(settings.base_url, found))
    click.echo(webhook_secret(settings.secret_key, found))
