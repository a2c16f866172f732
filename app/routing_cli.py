"""`flask routing …`: rules checked, tried on the past, learned from it and accepted.

With a city these commands need its database: without a running server the embedded one is started
for the length of the command. Without `--jurisdiction`, `try` and `learn` work on files alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from app.embedded import sharing
from app.evaluating.options import OutFile
from core.clock import utc_now
from core.db import reading, transaction
from core.errors import DomainError
from geo import jurisdictions
from reports import case_files, rule_trials, rule_versions
from reports.case_files import CaseFileError, PastCase
from reports.catalogue import Catalogue, catalogue_of
from reports.routing import learning, level_learning
from reports.routing.deciding import RoutingPlan
from reports.routing.evaluation import facts_of
from reports.routing.fault_wording import sentence
from reports.routing.faults import RuleFault
from reports.routing.grammar import RuleSyntaxError, parse
from reports.routing.level_learning import USUAL_CLOCK
from reports.routing.overlapping import warnings
from reports.routing.past import AreaMemory, CodeBooks
from reports.routing.rules import Rule
from reports.routing.trying import Trial, Tried, compare
from reports.rule_versions import Version

routing_commands = AppGroup(
    "routing", help="Routing rules: check, try, learn and accept them; their history."
)

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUT = OutFile()

#: Commands speak English, whatever the city speaks.
_LANGUAGE = "en"

#: Moves that are listed; the totals count all.
LISTED = 40


@routing_commands.command("check")
@click.argument("file", type=_FILE)
@click.option("--jurisdiction", help="The city whose services, areas, teams they name.")
def check_command(file: Path, *, jurisdiction: str | None) -> None:
    """Say what is wrong with the rules of FILE, and what is worth a second look."""
    text = _text(file)
    if jurisdiction is None:
        rules = _parsed(file, text)
        _remark(file, warnings(rules, {}))
    else:
        with _database(), reading() as session:
            rules = _checked(session, _catalogue(session, jurisdiction), file, text)
    click.echo(f"{file}: {len(rules)} rules, nothing wrong")


@routing_commands.command("try")
@click.option("--rules", "file", type=_FILE, required=True, help="The rules to try.")
@click.option("--cases", type=_FILE, help="Past cases to try them on (CSV).")
@click.option(
    "--days", type=click.IntRange(1, 3_660), help="Or the city's reports of so many days."
)
@click.option("--jurisdiction", help="The city whose rules in force they are compared with.")
@click.option("--against", type=_FILE, help="Or these rules; else where each case really went.")
@click.option("--zone", default="UTC", show_default=True, help="Of times that do not say theirs.")
def try_command(
    file: Path,
    *,
    cases: Path | None,
    days: int | None,
    jurisdiction: str | None,
    against: Path | None,
    zone: str,
) -> None:
    """Show what a change of rules would move, before it is made: counts and examples per team."""
    if (cases is None) == (days is None):
        raise click.UsageError("Give either --cases or --days.")
    if days is not None and jurisdiction is None:
        raise click.UsageError("--days needs --jurisdiction.")
    if against is not None and jurisdiction is not None:
        raise click.UsageError("With --jurisdiction, rules are compared with those in force.")
    text = _text(file)
    if jurisdiction is None:
        assert cases is not None
        rules = _parsed(file, text)
        _remark(file, warnings(rules, {}))
        old = _parsed(against, _text(against)) if against is not None else None
        _say(_on_file(rules, old, _cases(cases, _zone(zone)), _zone(zone)))
        return
    with _database(), reading() as session:
        catalogue = _catalogue(session, jurisdiction)
        rules = _checked(session, catalogue, file, text)
        if days is not None:
            since = rule_trials.days_before(utc_now(), days)
            owners = current_app.extensions["asset_owners"]
            trial = rule_trials.on_reports(session, catalogue, rules, since=since, assets=owners)
        else:
            assert cases is not None
            past = _cases(cases, catalogue.place.time_zone)
            trial, strange = rule_trials.on_cases(session, catalogue, rules, past)
            if strange:
                click.echo(f"{strange} cases of services that the city does not have left out.")
    _say(trial)


@routing_commands.command("learn")
@click.option("--cases", type=_FILE, required=True, help="Past cases (CSV).")
@click.option("--jurisdiction", help="The city whose services, areas and teams are to be named.")
@click.option("--out", type=_OUT, help="The proposed rules; else they are printed.")
@click.option("--levels", type=_OUT, help="The proposed service levels, as YAML.")
@click.option("--zone", default="UTC", show_default=True, help="Of times that do not say theirs.")
@click.option("--country", default="", help="Whose public holidays may count; else the city's.")
def learn_command(
    cases: Path,
    *,
    jurisdiction: str | None,
    out: Path | None,
    levels: Path | None,
    zone: str,
    country: str,
) -> None:
    """Propose rules from history, with support and accuracy beside each. Nothing is put in force.

    Read them, change what is wrong, try them, and `flask routing accept` them.
    """
    clock, subdivision, names = _zone(zone), None, {}
    if jurisdiction is None:
        books = CodeBooks()
        bare = [books.past(case) for case in _cases(cases, clock)]
        memory = AreaMemory(bare)
        past = [memory.completed(case) for case in bare]
        names = {case.service: books.services.name(case.service) for case in past}
    else:
        with _database(), reading() as session:
            catalogue = _catalogue(session, jurisdiction)
            place = catalogue.place
            clock, country = place.time_zone, country or place.country
            subdivision = place.subdivision
            history = rule_trials.history_of(session, catalogue, _cases(cases, clock))
        past = list(history.cases)
        names = {
            service.code: service.names[place.default_locale] for service in catalogue.services
        }
        _say_strange("services", history.unknown_services)
        _say_strange("teams", history.unknown_teams)
    try:
        text = learning.as_text(learning.learn(past))
    except ValueError as error:
        raise click.ClickException(f"Nothing can be learned: {error}.") from error
    if levels is not None:
        learned = level_learning.learn_levels(past, clock, country=country, subdivision=subdivision)
        levels.write_text(level_learning.as_yaml(learned, names), encoding="utf-8")
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        click.echo(f"{out}: {len(parse(text))} rules from {len(past)} cases", err=True)


@routing_commands.command("accept")
@click.argument("file", type=_FILE)
@click.option("--jurisdiction", required=True, help="Code of the city.")
def accept_command(file: Path, *, jurisdiction: str) -> None:
    """Put the rules of FILE in force, as the next version."""
    text = _text(file)
    with _database(), transaction() as session:
        catalogue = _catalogue(session, jurisdiction)
        before = rule_versions.lock(session, catalogue.place)
        _checked(session, catalogue, file, text)
        made = rule_versions.change(session, catalogue, text, by=None, now=utc_now())
    jurisdictions.forget()
    if made.version == before.version:
        click.echo(f"{jurisdiction}: nothing changed, version {made.version} says so already")
    else:
        click.echo(f"{jurisdiction}: version {made.version} of the rules is in force")


@routing_commands.command("history")
@click.option("--jurisdiction", required=True, help="Code of the city.")
@click.option("--last", default=20, show_default=True, type=click.IntRange(1, 200))
def history_command(*, jurisdiction: str, last: int) -> None:
    """The versions of the rules, newest first."""
    with _database(), reading() as session:
        place = _catalogue(session, jurisdiction).place
        page = rule_versions.page(session, place.id, cursor=None, limit=last)
    for item in page.items:
        click.echo(_described(item))


@routing_commands.command("show")
@click.option("--jurisdiction", required=True, help="Code of the city.")
@click.option("--version", type=click.IntRange(1), help="An earlier one.")
def show_command(*, jurisdiction: str, version: int | None) -> None:
    """Print the rules in force, or those of an earlier version."""
    with _database(), reading() as session:
        place = _catalogue(session, jurisdiction).place
        found = (
            rule_versions.current(session, place.id)
            if version is None
            else rule_versions.version(session, place.id, version)
        )
    click.echo(found.text, nl=False)


@routing_commands.command("restore")
@click.argument("version", type=click.IntRange(1))
@click.option("--jurisdiction", required=True, help="Code of the city.")
def restore_command(version: int, *, jurisdiction: str) -> None:
    """Put the rules of an earlier VERSION in force again, as a new version."""
    with _database(), transaction() as session:
        catalogue = _catalogue(session, jurisdiction)
        rule_versions.lock(session, catalogue.place)
        made = rule_versions.restore(session, catalogue, version, by=None, now=utc_now())
    jurisdictions.forget()
    click.echo(f"{jurisdiction}: version {made.version} of the rules is in force")


# What the commands share


@contextmanager
def _database() -> Iterator[None]:
    """A database that answers; a broken rule of the domain is one sentence and exit code 1."""
    with sharing.ensure_database(current_app.extensions["settings"]):
        try:
            yield
        except DomainError as error:
            raise click.ClickException(error.detail) from error


def _catalogue(session: Session, code: str) -> Catalogue:
    return catalogue_of(session, jurisdictions.by_code(session, code).id)


def _text(file: Path) -> str:
    try:
        # Editors of Windows begin it with a mark that is no word.
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file} is not UTF-8.") from error


def _cases(path: Path, zone: ZoneInfo) -> Sequence[PastCase]:
    try:
        file = case_files.read(path, zone, now=utc_now())
    except CaseFileError as error:
        raise click.ClickException(str(error)) from error
    if file.bad:
        click.echo(f"{path}: {len(file.bad)} rows left out", err=True)
    return file.cases


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise click.UsageError(f"There is no time zone {name!r}.") from error


def _parsed(file: Path, text: str) -> tuple[Rule, ...]:
    try:
        return parse(text)
    except RuleSyntaxError as error:
        _refuse(file, error.faults)


def _checked(session: Session, catalogue: Catalogue, file: Path, text: str) -> tuple[Rule, ...]:
    """The rules of a text for that city; or its faults, and the end."""
    checked = rule_versions.check(session, catalogue, text)
    if checked.faults:
        _refuse(file, checked.faults)
    _remark(file, checked.warnings)
    return checked.rules


def _refuse(file: Path, faults: Sequence[RuleFault]) -> NoReturn:
    for fault in faults:
        click.echo(f"{file}:{sentence(fault, _LANGUAGE)}", err=True)
    click.echo(f"{len(faults)} fault{'s' if len(faults) > 1 else ''}", err=True)
    sys.exit(1)


def _remark(file: Path, remarks: Sequence[RuleFault]) -> None:
    for remark in remarks:
        click.echo(f"warning: {file}:{sentence(remark, _LANGUAGE)}", err=True)


def _on_file(
    rules: Sequence[Rule], old: Sequence[Rule] | None, cases: Sequence[PastCase], zone: ZoneInfo
) -> Trial:
    """Without a city: codes as `learn` makes them of a file, and usual office hours."""
    books = CodeBooks()
    bare = [books.past(case) for case in cases]
    memory = AreaMemory(bare)
    new = _bare_plan(rules, zone)
    tried = [
        Tried(case.id, facts_of(memory.completed(case), new), team=case.team or None)
        for case in bare
    ]
    return compare(tried, None if old is None else _bare_plan(old, zone), new)


def _bare_plan(rules: Sequence[Rule], zone: ZoneInfo) -> RoutingPlan:
    teams = sorted({rule.team for rule in rules})
    return RoutingPlan(
        rules=tuple(rules),
        teams={team: number for number, team in enumerate(teams, start=1)},
        calendars={},
        usual=USUAL_CLOCK.calendar(zone, "", None),
    )


def _say(trial: Trial) -> None:
    click.echo(f"{trial.total} reports looked at, {trial.moved} would go elsewhere")
    if trial.persons:
        click.echo(f"{trial.persons} stay where a person put them")
    if trial.urgency:
        click.echo(f"{trial.urgency} would get another priority or service level")
    for move in trial.moves[:LISTED]:
        rules = ", ".join(f"{name} ({count})" for name, count in move.rules.items())
        click.echo(f"\n{move.count:>7}  {_team(move.before)} → {_team(move.after)}")
        click.echo(f"         by {rules}; such as {', '.join(move.examples)}")
    if len(trial.moves) > LISTED:
        rest = sum(move.count for move in trial.moves[LISTED:])
        click.echo(f"\n{rest:>7}  in {len(trial.moves) - LISTED} smaller moves")
    if trial.moves:
        click.echo(f"\n{'team':<44}{'before':>8}{'after':>8}")
        for team in sorted({*trial.before, *trial.after}, key=_team):
            was, would = trial.before.get(team, 0), trial.after.get(team, 0)
            if was != would:
                click.echo(f"{_team(team):<44}{was:>8}{would:>8}")


def _team(code: str | None) -> str:
    return code or "nobody"


def _say_strange(what: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        click.echo(f"The city has no such {what}: {', '.join(names[:5])}{more}.", err=True)


def _described(item: Version) -> str:
    at = f"{item.created_at:%Y-%m-%d %H:%M}" if item.created_at else ""
    by = f"  by {item.by_id}" if item.by_id else ""
    restored = f"  version {item.restored} again" if item.restored else ""
    size = f"{len(item.text)} characters"
    return f"{item.version:>5}  {at}  {item.origin.value:<8}{size:>18}{by}{restored}"
