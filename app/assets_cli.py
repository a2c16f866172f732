"""`flask assets …`: a city's own files of assets, brought into the register.

Needs no running server: without one the embedded database is started for the length of the
command. `assets.importing` does the work; here are the transaction, the table and the files.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import psycopg
import sqlalchemy as sa
from flask import current_app
from flask.cli import AppGroup

from accounts import audit
from accounts.audit import Action, Subject
from app.embedded import layout, sharing
from assets.importing import running
from assets.importing.faults import BadRow, FileError
from assets.importing.mapping import FileMapping
from assets.importing.merging import SORTS, Example
from assets.importing.running import LossRefusedError, Outcome
from assets.kinds import KindEntry, kinds_of
from assets.models import AssetImportRun, AssetKind, QuarantinedAsset
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import DomainError
from geo import jurisdictions

assets_commands = AppGroup("assets", help="The register of assets: bring in a city's files.")

#: Rows that were put aside and are listed on the screen; `--errors` has all of them.
LISTED = 20

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class _RefusedError(click.ClickException):
    """One sentence on stderr, exit code 2; nothing was changed."""

    exit_code = 2


@assets_commands.command("import")
@click.argument("files", nargs=-1, required=True, type=_FILE, metavar="FILE...")
@click.option("--kind", required=True, help="Code of the kind that the files hold, all of it.")
@click.option("--jurisdiction", help="Code of the city; needed where there are several.")
@click.option("--mapping", type=_FILE, help="How the files are written: YAML, see docs/assets.md.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option(
    "--allow-loss",
    metavar="REASON",
    help="Let more than a tenth of the known ones vanish, for this reason.",
)
@click.option(
    "--errors",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write the rows that were put aside to this CSV file.",
)
def import_assets(
    files: Sequence[Path],
    *,
    kind: str,
    jurisdiction: str | None,
    mapping: Path | None,
    dry_run: bool,
    allow_loss: str | None,
    errors: Path | None,
) -> None:
    """Make a kind of the register what FILE says (CSV, GeoJSON or GeoPackage; .gz too).

    Several files together hold the whole kind. All or nothing: a file that is broken, empty or
    another city's changes nothing. Single rows that are wrong are put aside, with line and reason.
    """
    if allow_loss is not None and not allow_loss.strip():
        raise _RefusedError("Give --allow-loss a reason.")
    started = time.monotonic()
    with _one_sentence(), sharing.ensure_database(current_app.extensions["settings"]):
        chosen = None if mapping is None else _mapping(mapping)
        with transaction() if not dry_run else reading() as session:
            place = jurisdictions.resolve(
                session, code=jurisdiction, default=current_app.config["DEFAULT_JURISDICTION"]
            )
            entry = kinds_of(session, place.id).kind(kind)
            now = utc_now()
            outcome = running.run_files(
                session,
                place,
                entry,
                list(files),
                mapping=chosen,
                loss_reason=allow_loss,
                is_dry=dry_run,
                now=now,
            )
            if outcome.run_id is not None:
                audit.record(
                    session,
                    audit.OPERATOR,
                    Action.CITY_CHANGED,
                    Subject("asset_import", outcome.run_id, place.id),
                    now=now,
                    data={
                        "what": "asset_import",
                        "kind": entry.code,
                        "counts": dict(outcome.difference.counts),
                        "is_loss_allowed": allow_loss is not None,
                    },
                )
    if errors is not None:
        _write_errors(errors, outcome.bad)
    _say(outcome, entry, is_dry=dry_run, seconds=time.monotonic() - started)


@assets_commands.command("imports")
@click.option("--jurisdiction", help="Only of this city.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
def list_imports(jurisdiction: str | None, limit: int) -> None:
    """What was imported: when, what it changed, what was put aside, newest first."""
    with (
        _one_sentence(),
        sharing.ensure_database(current_app.extensions["settings"]),
        reading() as session,
    ):
        statement = (
            sa.select(AssetImportRun, AssetKind.code, AssetKind.jurisdiction_id)
            .join(AssetKind, AssetKind.id == AssetImportRun.kind_id)
            .order_by(AssetImportRun.id.desc())
            .limit(limit)
        )
        if jurisdiction is not None:
            place = jurisdictions.by_code(session, jurisdiction)
            statement = statement.where(AssetImportRun.jurisdiction_id == place.id)
        rows = session.execute(statement).all()
        for run, kind, place_id in rows:
            city = jurisdictions.by_id(session, place_id).code
            counts = ", ".join(f"{count} {sort}" for sort, count in run.counts.items() if count)
            reason = f"  allowed: {run.loss_reason}" if run.loss_reason else ""
            click.echo(
                f"{run.id:>6}  {run.at:%Y-%m-%d %H:%M}  {city}  {kind}  "
                f"{', '.join(run.files)}: {counts or 'nothing'}{reason}"
            )


@assets_commands.command("quarantine")
@click.argument("run_id", type=int)
def list_quarantine(run_id: int) -> None:
    """The rows that a run put aside, as CSV; kept until the next run of the same kind."""
    with (
        _one_sentence(),
        sharing.ensure_database(current_app.extensions["settings"]),
        reading() as session,
    ):
        rows = session.scalars(
            sa.select(QuarantinedAsset)
            .where(QuarantinedAsset.run_id == run_id)
            .order_by(QuarantinedAsset.file, QuarantinedAsset.line)
        ).all()
    out = csv.writer(sys.stdout)
    out.writerow(_ERROR_COLUMNS)
    out.writerows((row.file, row.line, row.code or "", row.reason, row.detail) for row in rows)


_ERROR_COLUMNS = ("file", "line", "code", "reason", "detail")


def _mapping(path: Path) -> FileMapping:
    # Only this command reads YAML here.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        given: Any = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        if not isinstance(given, dict):
            raise ValueError("it must be a list of “key: value” lines")
        return FileMapping.of(given)
    except (ValueError, YAMLError) as error:
        raise _RefusedError(f"{path.name}: {str(error).splitlines()[0]}") from error


def _write_errors(path: Path, bad: Sequence[BadRow]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(_ERROR_COLUMNS)
        out.writerows(
            (row.file, row.line, row.code or "", row.reason.value, row.detail) for row in bad
        )


def _say(outcome: Outcome, kind: KindEntry, *, is_dry: bool, seconds: float) -> None:
    found = outcome.difference
    for sort in SORTS:
        count = found.counts[sort]
        if not count and sort not in ("new", "changed", "moved", "gone"):
            continue
        named = found.examples.get(sort, ())
        shown = f"  {', '.join(_shown(example) for example in named)}" if named else ""
        more = ", …" if count > len(named) and named else ""
        click.echo(f"{sort:<10}{count:>9}{shown}{more}")
    click.echo(f"{'put aside':<10}{len(outcome.bad):>9}")
    for row in outcome.bad[:LISTED]:
        click.echo(f"  {row}", err=True)
    if len(outcome.bad) > LISTED:
        click.echo(f"  … and {len(outcome.bad) - LISTED} more; --errors FILE has all", err=True)
    if is_dry:
        result = "dry run, nothing was changed"
    else:
        result = "nothing changed" if found.is_nothing else "imported"
    click.echo(f"{kind.code}: {result}, {seconds:.1f} s")


def _shown(example: Example) -> str:
    before = f"{example.before} → " if example.before is not None else ""
    moved = f" ({example.distance_m:.0f} m)" if example.distance_m is not None else ""
    return f"{before}{example.code}{moved}"


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Faults of the file, the operator or the database as one sentence; nothing was changed."""
    try:
        yield
    except (FileError, LossRefusedError) as error:
        raise _RefusedError(f"{error}. Nothing was changed.") from error
    except DomainError as error:
        raise _RefusedError(str(error) or error.title) from error
    except layout.EmbeddedError as error:
        raise _RefusedError(str(error)) from error
    except sa.exc.ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.UndefinedTable):
            raise
        raise _RefusedError("The database has no tables yet; `flask db upgrade` makes them.") from (
            error
        )
    except sa.exc.OperationalError as error:
        raise _RefusedError(
            f"The database cannot be reached ({type(error.orig).__name__}). Nothing was changed."
        ) from error
