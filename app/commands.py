"""The command line: `flask …`, gathered from the features.

A command's module is imported when the command is asked for: the web and the workers make the same
application and have no use for parsers of city folders.
"""

from __future__ import annotations

import copy
import sys
from importlib import import_module
from typing import Any

import click
import sqlalchemy as sa
from flask import Flask, current_app
from flask.cli import AppGroup, ScriptInfo

from app.config import Settings

#: Name of the command, and where it is: module and attribute.
COMMANDS = {
    "accounts": "app.person_data_cli:accounts_commands",
    "assets": "app.assets_cli:assets_commands",
    "audit": "accounts.audit.cli:audit_commands",
    "blocks": "accounts.blocks.cli:blocks_commands",
    "duplicates": "app.duplicates_cli:duplicates_commands",
    "evaluate": "app.evaluating:evaluate_commands",
    "jurisdictions": "app.city_cli:jurisdictions",
    "open311": "open311.cli:open311_commands",
    "outbox": "app.outbox_commands:outbox_commands",
    "reports": "app.import_cli:reports_commands",
    "retention": "app.retention_cli:retention_commands",
    "routing": "app.routing_cli:routing_commands",
    "sensing": "sensing.cli:sensing_commands",
    "services": "app.services_cli:services_commands",
    "settings": "app.commands:settings_command",
}


class LazyCommands(AppGroup):
    """The table above as a group of commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in alphabetical order."""
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return _told_plainly(command)


def _told_plainly(command: click.Command) -> click.Command:
    """The command, which says in a sentence that no database answers."""
    told = copy.copy(command)

    def invoke(ctx: click.Context) -> Any:
        try:
            return command.invoke(ctx)
        except sa.exc.OperationalError as error:
            # What a server answers has a code. Nobody answered.
            if getattr(error.orig, "sqlstate", None) is not None:
                raise
            app = ctx.ensure_object(ScriptInfo).load_app()
            raise click.ClickException(_no_database(app.extensions["settings"])) from error

    told.invoke = invoke  # type: ignore[method-assign]
    return told


def _no_database(settings: Settings) -> str:
    if settings.database_url is not None:
        return "The database that DATABASE_URL names does not answer."
    return (
        f"No database runs in DATA_DIR ({settings.data_dir}). Start it with `make run`, or name the"
        " folder of the one that runs."
    )


def register_commands(app: Flask) -> None:
    """Add every feature's commands to `flask`."""
    app.cli = LazyCommands(app.name)


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
