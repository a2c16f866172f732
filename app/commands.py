"""The command line: `flask …`, gathered from the features."""

from __future__ import annotations

import sys

import click
from flask import Flask, current_app

from accounts.cli import accounts_commands
from app.city_cli import jurisdictions
from app.config import Settings
from app.outbox_commands import outbox_commands


def register_commands(app: Flask) -> None:
    """Add every feature's commands to `flask`."""
    app.cli.add_command(accounts_commands)
    app.cli.add_command(settings_command)
    app.cli.add_command(outbox_commands)
    app.cli.add_command(jurisdictions)


@click.command("settings")
@click.argument("name", required=False)
def settings_command(name: str | None) -> None:
    """Show the settings in force, secrets masked; with NAME, that one whole."""
    settings: Settings = current_app.extensions["settings"]
    if name is None:
        for key, value in settings.shown().items():
            click.echo(f"{key}={value}")
        return
    whole = {
        "DATABASE_URL": current_app.config["SQLALCHEMY_DATABASE_URI"],
        "REDIS_URL": current_app.config["REDIS_URL"],
        "PUBLIC_URL": settings.base_url,
    }
    key = name.upper()
    if key in whole:
        click.echo(whole[key])
    elif hasattr(settings, key.lower()):
        value = getattr(settings, key.lower())
        click.echo("" if value is None else value)
    else:
        click.echo(f"There is no setting {name}; `flask settings` lists them.", err=True)
        sys.exit(2)
