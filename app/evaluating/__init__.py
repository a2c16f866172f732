"""`flask evaluate …`: the production rules run over past cases, and how good they would have been.

A subcommand is imported when it is asked for, so that one does not pay for another's libraries.
"""

from __future__ import annotations

from importlib import import_module

import click
from flask.cli import AppGroup

#: Name of the subcommand, and where it is: module and attribute.
SUBCOMMANDS = {
    "bumps": "app.evaluating.bumps:bumps_command",
    "duplicates": "app.evaluating.duplicates:duplicates_command",
    "duplicates-by-month": "app.evaluating.duplicates_by_month:by_month_command",
    "routing": "app.evaluating.routing:routing_command",
    "forecast": "app.evaluating.forecast:forecast_command",
    "text": "app.evaluating.text:text_command",
}


class _LazyGroup(AppGroup):
    """The table above as a group of commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in alphabetical order."""
        return sorted({*super().list_commands(ctx), *SUBCOMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in SUBCOMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = SUBCOMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


evaluate_commands = _LazyGroup(
    "evaluate", help="Run the production rules over past cases, and say how good they were."
)
