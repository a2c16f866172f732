"""`flask accounts …`: people, their roles and keys, for the operator of an installation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

import click
import sqlalchemy as sa
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from accounts import audit, keys, people, second_factor
from accounts.rules import Permission, Role
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import DomainError
from geo.models import Jurisdiction

accounts_commands = AppGroup("accounts", help="People, their roles and keys.")


class _RefusedError(click.ClickException):
    """One sentence on stderr, exit code 2."""

    exit_code = 2


@accounts_commands.command("create")
@click.option("--email", required=True)
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]))
@click.option("--team", help="Code of a team: the role holds for that team's work only.")
@click.option("--jurisdiction", help="Needed only where there are several.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def create(
    email: str, role: str, team: str | None, jurisdiction: str | None, password_stdin: bool
) -> None:
    """Create a person, verified and ready to sign in, or give an existing one a further role.

    Without a password the person signs in by a mailed link. A password for an existing person
    replaces theirs.
    """
    password = _password() if password_stdin else None
    wanted = Role(role)
    with one_sentence(), transaction() as session:
        city = _jurisdiction(session, jurisdiction) if _is_scoped(wanted, team) else None
        given = people.create_person(
            session,
            email,
            wanted,
            jurisdiction_id=city.id if city else None,
            team_id=people.find_team(session, city.id, team).id if city and team else None,
            password=password,
            now=utc_now(),
        )
        audit.record(
            session,
            audit.OPERATOR,
            audit.Action.PERSON_CHANGED if given.is_new_person else audit.Action.ROLE_CHANGED,
            audit.Subject("person", given.person_id, city.id if city else None),
            now=utc_now(),
            data={"change": "created" if given.is_new_person else "given", "role": role},
        )
        where = f" in {city.code}" + (f", team {team}" if team else "") if city else ""
    done = "created" if given.is_new_person else "updated"
    click.echo(f"{email.strip().lower()} {done}: {role}{where}.")


@accounts_commands.command("api-key")
@click.option("--email", required=True, help="The person that the key acts as.")
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([str(permission) for permission in Permission]),
    help="A permission that the key is limited to; repeatable. None: all its person may do.",
)
@click.option(
    "--expires-days", type=click.IntRange(min=1, max=36_500), help="Without it the key has no end."
)
def api_key(email: str, name: str, scopes: tuple[str, ...], expires_days: int | None) -> None:
    """Make a key for a program. It is shown once, alone on the last line."""
    if not name.strip():
        raise _RefusedError("A key needs a name that says what it is for.")
    now = utc_now()
    with one_sentence(), transaction() as session:
        key = keys.create_key(
            session,
            email,
            name.strip(),
            scopes=[Permission(scope) for scope in scopes] or None,
            expires_at=now + timedelta(days=expires_days) if expires_days else None,
            now=now,
        )
    click.echo(f"A key for {email.strip().lower()}. Keep it: it is not shown again.")
    click.echo(key)


@accounts_commands.command("keys")
def list_keys() -> None:
    """List the valid keys: id, person, name, scopes, end and last use."""
    with one_sentence(), reading() as session:
        lines = [
            f"{key.id} {email}: {key.name} ({', '.join(key.scopes or ['all'])};"
            f" ends {_day(key.expires_at)}; last used {_day(key.last_used_at)})"
            for key, email in keys.all_valid(session, now=utc_now())
        ]
    for line in lines:
        click.echo(line)
    if not lines:
        click.echo("There is no valid key; `flask accounts api-key` makes one.", err=True)


@accounts_commands.command("revoke-key")
@click.argument("key_id", type=click.UUID)
def revoke_key(key_id: UUID) -> None:
    """End a key at once; `keys` tells its id."""
    with one_sentence(), transaction() as session:
        keys.revoke(session, audit.OPERATOR, key_id, now=utc_now())
    click.echo(f"The key {key_id} is revoked.")


@accounts_commands.command("reset-second-factor")
@click.option("--email", required=True)
def reset_second_factor(email: str) -> None:
    """Take the second factor off an account whose holder lost it; their sessions end."""
    now = utc_now()
    with one_sentence(), transaction() as session:
        person = people.find_person(session, email)
        was_on = second_factor.turn_off(session, person.id)
        people.end_sessions(session, person.id, now)
        audit.record(
            session,
            audit.OPERATOR,
            audit.Action.SECOND_FACTOR_CHANGED,
            audit.Subject("person", person.id),
            now=now,
            data={"change": "reset"},
        )
    said = "has no second factor any more" if was_on else "had no second factor"
    click.echo(f"{email.strip().lower()} {said}; their sessions are ended.")


@accounts_commands.command("deactivate")
@click.option("--email", required=True)
def deactivate(email: str) -> None:
    """Shut a person out: sessions, keys and invitations they sent end. `create` lets them in."""
    with one_sentence(), transaction() as session:
        person_id = people.deactivate(session, email, now=utc_now())
        audit.record(
            session,
            audit.OPERATOR,
            audit.Action.PERSON_CHANGED,
            audit.Subject("person", person_id),
            now=utc_now(),
            data={"change": "deactivated"},
        )
    click.echo(f"{email.strip().lower()} is deactivated.")


@accounts_commands.command("list")
def list_() -> None:
    """List everybody with a role or a key."""
    with one_sentence(), reading() as session:
        listed = people.list_people(session)
    for person in listed:
        notes = [
            f"{held.role} in {held.jurisdiction}" + (f", team {held.team}" if held.team else "")
            for held in person.roles
        ]
        if person.keys:
            notes.append("1 key" if person.keys == 1 else f"{person.keys} keys")
        if not person.is_active:
            notes.append("deactivated")
        click.echo(f"{person.email}: {'; '.join(notes)}")
    if not listed:
        click.echo("Nobody has a role yet; `flask accounts create` gives one.", err=True)


def _day(instant: datetime | None) -> str:
    return "never" if instant is None else f"{instant:%Y-%m-%d}"


def _password() -> str:
    """The password on standard input, without the newline that ends it."""
    try:
        text = sys.stdin.read()
    except UnicodeDecodeError as error:
        raise _RefusedError("The password on standard input is not UTF-8 text.") from error
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise _RefusedError("There is no password on standard input.")
    return text


def _is_scoped(role: Role, team: str | None) -> bool:
    if role is not Role.CITIZEN:
        return True
    if team is not None:
        raise _RefusedError("A citizen belongs to no team; leave --team out.")
    return False


def _jurisdiction(session: Session, code: str | None) -> Jurisdiction:
    """The jurisdiction that is meant: the named one, the only one, or the default."""
    cities = session.scalars(sa.select(Jurisdiction).order_by(Jurisdiction.code)).all()
    if not cities:
        raise _RefusedError(
            "No jurisdiction is loaded yet; `flask jurisdictions load FOLDER` comes first."
        )
    wanted = code or (
        cities[0].code if len(cities) == 1 else current_app.config["DEFAULT_JURISDICTION"]
    )
    known = ", ".join(city.code for city in cities)
    if wanted is None:
        raise _RefusedError(f"Say which jurisdiction with --jurisdiction; there are: {known}.")
    for city in cities:
        if city.code == wanted:
            return city
    raise _RefusedError(f"There is no jurisdiction {wanted}; there are: {known}.")


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what an operator can act on into one sentence and exit code 2."""
    try:
        yield
    except DomainError as error:
        raise _RefusedError(error.detail) from error
    except sa.exc.OperationalError as error:
        raise _RefusedError(
            "The database does not answer; is `make run` running, or DATABASE_URL right?"
        ) from error
