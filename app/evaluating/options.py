"""What options of the evaluations mean: the file to write, cases to read, the zone of a file."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from reports.case_files import CaseFile, CaseFileError


class OutFile(click.Path):
    """A file that can be written: said before minutes of learning, not after."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False, writable=True)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """The path, in a folder that is there."""
        path = super().convert(value, param, ctx)
        folder = Path(os.fsdecode(path)).parent
        if not os.access(folder, os.W_OK | os.X_OK):
            self.fail(f"there is no folder {str(folder)!r} to write to.", param, ctx)
        return path


def require_cases(path: Path, file: CaseFile) -> None:
    """Stop where there is nothing to decide about, or to compare with.

    Raises:
        CaseFileError: the file holds no case that was understood.
    """
    if not file.cases:
        raise CaseFileError(f"{path} holds no case.")


def only_one_month(path: Path) -> str:
    """What is said of a file in which no month can be judged by those before it."""
    return f"All cases of {path} are of one month: there is none to judge by another."


def zone_named(name: str) -> ZoneInfo:
    """The time zone; a sentence for the operator where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise click.UsageError(f"There is no time zone {name!r}.") from error
