"""`flask evaluate routing`: which team past cases would have gone to, and until when.

Without a database. The judged file's departments, queues and due dates are never looked at when
`--out` is asked for; without `--cases` the history judges itself, month by month.
"""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from app.evaluating.options import OutFile, only_one_month, require_cases, zone_named
from core.clock import utc_now
from geo.areas import AreaIndex, AreaRef, AreaShape, PolygonError
from reports import case_files
from reports.case_files import CaseFile, CaseFileError
from reports.routing import evaluation
from reports.routing.evaluation import Routed, Router, Tally
from reports.words.scoring import Share

#: Cases on a bridge or a pier lie a little outside the wards, as in `app.boston`.
MARGIN_M = 250

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("routing")
@click.option("--train", "train_file", type=_FILE, required=True, help="What to learn from.")
@click.option("--cases", "cases_file", type=_FILE, help="What to route.")
@click.option("--out", type=OutFile())
@click.option("--zone", default="UTC", show_default=True, help="Of times that do not say theirs.")
@click.option("--country", default="", help="Whose public holidays may count, such as US.")
@click.option("--subdivision", help="Of the country, such as MA.")
@click.option("--closed-only", is_flag=True, help="Learn from cases closed by then alone.")
@click.option("--wards", type=_FILE, help="GeoJSON to compare the file's wards with.")
@click.option("--ward-property", default="WARD", show_default=True, help="With a ward's code.")
def routing_command(
    train_file: Path,
    cases_file: Path | None,
    out: Path | None,
    *,
    zone: str,
    country: str,
    subdivision: str | None,
    closed_only: bool,
    wards: Path | None,
    ward_property: str,
) -> None:
    """Learn rules and service levels from --train, and write `id,department,queue,due_at`.

    Without --cases, each month of --train is judged by the months before it, beside simple rules.
    """
    if (cases_file is None) != (out is None):
        raise click.UsageError("--cases and --out belong together.")
    zone_info = zone_named(zone)
    try:
        train = _read(train_file, zone_info)
        if cases_file is not None and out is not None:
            router = Router.learn(train.cases, zone_info, country=country, subdivision=subdivision)
            judged = _read(cases_file, zone_info)
            _write(router, judged, out, zone_info)
            require_cases(cases_file, judged)
            return
        require_cases(train_file, train)
        months = evaluation.rolling(
            train.cases,
            zone_info,
            country=country,
            subdivision=subdivision,
            closed_only=closed_only,
        )
        has_judged = False
        for month in months:
            has_judged = True
            click.echo(f"\n{month.name}: {month.queue.of} cases, {month.rules} rules")
            _say("department", month.department, month.simple_department)
            _say("queue", month.queue, month.simple_queue)
            _say("due within an hour", month.within_hour, month.simple_within_hour)
            _say("due within a day", month.within_day, month.simple_within_day)
        if not has_judged:
            said = only_one_month(train_file)
            if wards is None:
                raise CaseFileError(said)
            click.echo(said, err=True)
        if wards is not None:
            agreed = evaluation.ward_agreement(train.cases, _index(wards, ward_property))
            click.echo(f"\nward by polygon as the record says  {Share(agreed.right, agreed.of)}")
    except (CaseFileError, PolygonError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _read(path: Path, zone: ZoneInfo) -> CaseFile:
    file = case_files.read_to_decide(path, zone, now=utc_now())
    if file.bad:
        click.echo(
            f"{path}: {len(file.bad)} rows not understood, the first: {file.bad[0]}", err=True
        )
    return file


def _write(router: Router, file: CaseFile, out: Path, zone: ZoneInfo) -> None:
    """An answer for each row of the file, in its order; of what was not understood only the id."""
    routed = {case.id: router.route(case) for case in file.cases}
    with out.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(("id", "department", "queue", "due_at"))
        for id_ in file.ids():
            each = routed.get(id_) or Routed(id_, "", "", None)
            due = "" if each.due_at is None else _local(each.due_at, zone)
            writer.writerow((each.id, each.department, each.queue, due))
    click.echo(f"{len(file.cases)} cases; {len(router.table.rules)} rules", err=True)


def _local(at: datetime, zone: ZoneInfo) -> str:
    """The instant on the clock of the file, as such files write it."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _say(what: str, ours: Tally, simple: Tally) -> None:
    share, beside = Share(ours.right, ours.of), Share(simple.right, simple.of)
    click.echo(f"  {what:<20} {share}  by type alone {beside}")


def _index(path: Path, name: str) -> AreaIndex:
    try:
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
    except (ValueError, KeyError, TypeError) as error:
        raise CaseFileError(f"{path} is no GeoJSON file of areas.") from error
    try:
        codes = [str(feature["properties"][name]) for feature in features]
    except KeyError as error:
        raise click.UsageError(f"{path}: a feature has no property {name}.") from error
    shapes = [
        AreaShape(AreaRef(number, "wards", code, {}), feature["geometry"])
        for number, (code, feature) in enumerate(zip(codes, features, strict=True))
    ]
    return AreaIndex(shapes, snap_m=MARGIN_M)
