"""`flask reports import`: a city's past, replayed, and the table of what became of it.

Needs no running server: without one the embedded database is started for the length of the
command. `reports.history_import` does the work; here are the transactions, the bar and the table.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import psycopg
import sqlalchemy as sa
from flask import current_app
from flask.cli import AppGroup

from accounts import audit
from accounts.audit import Action, Subject
from app.embedded import layout, sharing
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import DomainError
from geo import jurisdictions
from reports import case_files, history_import
from reports.case_files import BadRow, CaseFileError
from reports.catalogue import catalogue_of
from reports.history_import import Agreement, Comparison, Register

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

reports_commands = AppGroup("reports", help="Reports: bring in a city's past cases.")

#: Bad rows that are listed on the screen; `--report` has all of them.
LISTED = 20

_GO_ON = "What is in stays in; run the command again to go on."


class _RefusedError(click.ClickException):
    """One sentence on stderr, exit code 2."""

    exit_code = 2


class _StoppedError(click.ClickException):
    """Ctrl-C."""

    exit_code = 130


@dataclass(frozen=True, slots=True)
class _Run:
    """What this run of the command did."""

    rows: int
    imported_before: int
    imported_now: int
    closed_now: int
    seconds: float
    bad: Sequence[BadRow]

    @property
    def cases_per_s(self) -> float:
        return round(self.imported_now / self.seconds, 1) if self.seconds else 0.0


@reports_commands.command("import")
@click.argument("cases", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--jurisdiction", required=True, help="Code of the city whose cases these are.")
@click.option("--announce", is_flag=True, help="Tell followers, webhooks and systems about them.")
@click.option("--create-services", is_flag=True, help="Make a service for every unknown type.")
@click.option(
    "--until-now",
    is_flag=True,
    help="Move all of it by whole weeks, so that it ends in the last one: for a demonstration.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write the table and every bad row to this file, as JSON.",
)
def import_cases(
    cases: Path,
    *,
    jurisdiction: str,
    announce: bool,
    create_services: bool,
    until_now: bool,
    report: Path | None,
) -> None:
    """Replay the past cases of CASES (CSV, may be gzipped; see docs/import.md).

    What is there already is skipped, so that a run that was interrupted is run again.
    """
    settings = current_app.extensions["settings"]
    started = time.monotonic()
    with _one_sentence(), sharing.ensure_database(settings):
        with reading() as session:
            place = jurisdictions.by_code(session, jurisdiction)
            file = case_files.read(cases, place.time_zone, now=utc_now())
        if until_now:
            file = replace(file, cases=case_files.until(file.cases, utc_now()))
        if create_services:
            with transaction() as session:
                made = history_import.create_services(session, place, file)
            jurisdictions.forget()
            click.echo(f"{made} services made.", err=True)
        with reading() as session:
            place = jurisdictions.by_code(session, jurisdiction)
            catalogue = catalogue_of(session, place.id)
            plan = history_import.plan(session, place, file)
        with transaction() as session:
            audit.record(
                session,
                audit.OPERATOR,
                Action.CITY_CHANGED,
                Subject("jurisdiction", place.id, place.id),
                now=utc_now(),
                data={"what": "import", "cases": len(plan.moments)},
            )
        bad = [*file.bad, *plan.bad]
        register = Register(
            current_app.extensions["asset_facts"], current_app.extensions["asset_owners"]
        )
        imported = closed = 0
        with _bar(len(plan.moments)) as bar:
            for batch in history_import.batches(plan, catalogue):
                with transaction() as session:
                    done = history_import.bring_in(
                        session,
                        plan,
                        batch,
                        secret=settings.secret_key,
                        is_announced=announce,
                        register=register,
                    )
                imported += done.imported
                closed += done.closed
                bad.extend(done.bad)
                bar.update(len(batch))
        seconds = time.monotonic() - started
        with reading() as session:
            comparison = history_import.compare(session, plan, file)
    run = _Run(
        rows=len(file.cases) + len(file.bad),
        imported_before=len(plan.known),
        imported_now=imported,
        closed_now=closed,
        seconds=round(seconds, 1),
        bad=sorted(bad, key=lambda row: row.line),
    )
    if report is not None:
        report.write_text(_as_json(cases, jurisdiction, run, comparison), encoding="utf-8")
    _say_bad(run.bad)
    for name, value, note in _table(run, comparison):
        click.echo(f"{name:<24}{value:>9}  {note}".rstrip())


def _table(run: _Run, comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    """Lines of name, value and note."""
    joined = comparison.imported - comparison.joined
    yield "cases in the file", f"{run.rows:,}", ""
    yield "bad rows left out", f"{len(run.bad):,}", ""
    before = f"{run.imported_now:,} now, {run.imported_before:,} before"
    yield "imported", f"{comparison.imported:,}", before
    yield "needs place", f"{comparison.needs_place:,}", "no position, nobody could place them"
    yield "joined as duplicates", f"{comparison.joined:,}", _percent(comparison)
    yield "suggested to staff", f"{comparison.suggested:,}", ""
    yield "routed", f"{comparison.routed:,}", f"of the {joined:,} others"
    yield "  department agrees", *_share(comparison.department)
    yield "  queue agrees", *_share(comparison.queue)
    yield "ward by polygon agrees", *_share(comparison.ward)
    note = f"of {comparison.closings:,}; joined reports follow their parents"
    yield "closings applied", f"{comparison.closed:,}", note
    yield "still open", f"{comparison.still_open:,}", ""
    yield "seconds", f"{run.seconds:,.1f}", f"{run.cases_per_s:,.0f} cases/s"


def _percent(comparison: Comparison) -> str:
    if not comparison.imported:
        return ""
    return f"{100 * comparison.joined / comparison.imported:.1f} %"


def _share(agreement: Agreement) -> tuple[str, str]:
    if agreement.share is None:
        return "-", "nothing to compare with"
    return f"{agreement.share:.3f}", f"{agreement.same:,} of {agreement.of:,}"


def _say_bad(bad: Sequence[BadRow]) -> None:
    """Bad rows on stderr: each of the first few, and how many there are of each kind."""
    for row in bad[:LISTED]:
        click.echo(f"line {row.line}: {row.reason}", err=True)
    if len(bad) > LISTED:
        click.echo(f"and {len(bad) - LISTED:,} more; --report lists all", err=True)
    for fault, count in Counter(row.fault.value for row in bad).most_common():
        click.echo(f"bad rows, {fault}: {count:,}", err=True)


def _as_json(cases: Path, jurisdiction: str, run: _Run, comparison: Comparison) -> str:
    shares = {
        name: {**asdict(agreement), "share": agreement.share}
        for name, agreement in (
            ("department", comparison.department),
            ("queue", comparison.queue),
            ("ward", comparison.ward),
        )
    }
    content: dict[str, Any] = {
        "file": cases.name,
        "jurisdiction": jurisdiction,
        **asdict(run),
        "cases_per_s": run.cases_per_s,
        "bad_by_fault": Counter(row.fault.value for row in run.bad),
        **asdict(comparison),
        "agreement": shares,
    }
    for name in shares:
        del content[name]
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def _bar(length: int) -> Iterator[ProgressBar[int]]:
    """A bar on a terminal; elsewhere it is silent."""
    bar: ProgressBar[int] = click.progressbar(
        length=length, label="Replaying", file=sys.stderr, show_pos=True
    )
    with bar:
        yield bar


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Faults of the operator or of the database as one sentence."""
    try:
        yield
    except DomainError as error:
        raise _RefusedError(str(error) or error.title) from error
    except (CaseFileError, layout.EmbeddedError) as error:
        raise _RefusedError(str(error)) from error
    except sa.exc.ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.UndefinedTable):
            raise
        raise _RefusedError("The database has no tables yet; `flask db upgrade` makes them.") from (
            error
        )
    except sa.exc.OperationalError as error:
        raise _RefusedError(
            f"The database cannot be reached ({type(error.orig).__name__}). {_GO_ON}"
        ) from error
    except KeyboardInterrupt as stop:
        raise _StoppedError(f"Stopped. {_GO_ON}") from stop
